//! Every backend against `vartime_multiscalar_mul` of `curve25519-dalek`.

use curve25519_dalek::Scalar;
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use proptest::prelude::*;

use super::*;

/// Deterministic generators: 64 bytes of a BLAKE3 stream each, hashed to the group.
fn generators(count: usize) -> Vec<Point> {
    let mut stream = blake3::Hasher::new().update(b"row commitment tests").finalize_xof();
    let mut bytes = [0; 64];
    (0..count)
        .map(|_| {
            stream.fill(&mut bytes);
            Point::from_uniform_bytes(&bytes)
        })
        .collect()
}

/// `entries` deterministic int16 values.
fn random_row(seed: u64, entries: usize) -> Vec<i16> {
    let mut bytes = vec![0; 2 * entries];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// The commitments by the definition.
fn expected(generators: &[Point], rows: &[&[i16]]) -> Vec<Point> {
    let scalar = |value: &i16| {
        let magnitude = Scalar::from(value.unsigned_abs());
        if *value < 0 { -magnitude } else { magnitude }
    };
    rows.iter()
        .map(|row| Point::vartime_multiscalar_mul(row.iter().map(scalar), &generators[..row.len()]))
        .collect()
}

/// Asserts that every backend this machine has commits to `rows` by the definition.
fn assert_commits(generators: &[Point], rows: &[Vec<i16>]) {
    let rows: Vec<&[i16]> = rows.iter().map(Vec::as_slice).collect();
    let expected = expected(generators, &rows);
    for backend in [Some(Backend::PORTABLE), Backend::avx512()].into_iter().flatten() {
        let committed = RowCommitter::with_backend(generators, backend).commit(&rows).unwrap();
        assert!(committed == expected, "{}, {} rows", backend.name(), rows.len());
    }
}

#[test]
fn random_rows_of_every_group_remainder() {
    let generators = generators(67);
    for count in [0, 1, 7, 8, 9, 17] {
        let rows: Vec<_> = (0..count).map(|k| random_row(k, 67)).collect();
        assert_commits(&generators, &rows);
    }
}

/// Enough rows for each digit width to be the cheapest one, and several blocks of generators.
#[test]
fn random_rows_of_every_digit_width() {
    let generators = generators(150);
    for count in [3, 40, 100, 700] {
        let rows: Vec<_> = (0..count).map(|k| random_row(k, 150)).collect();
        assert_commits(&generators, &rows);
    }
}

#[test]
fn blocks_of_narrow_digits_follow_each_other() {
    assert_commits(&generators(2100), &[random_row(1, 2100), random_row(2, 1025), random_row(3, 1024)]);
}

#[test]
fn extreme_rows() {
    let n = 70;
    let mut single = vec![0; n];
    single[65] = -1;
    let rows = vec![
        vec![i16::MIN; n],
        vec![i16::MAX; n],
        vec![0; n],
        single,
        vec![1; n],
        vec![128; n],
        vec![-129; n],
    ];
    assert_commits(&generators(n), &rows);
    let many: Vec<_> = rows.iter().cycle().take(1000).cloned().collect();
    assert_commits(&generators(n), &many);
}

#[test]
fn generators_may_be_the_identity_or_related() {
    let g = generators(2);
    let related =
        [g[0], Point::identity(), g[0], -g[0], g[1], g[1] + g[1], -g[1], Point::identity(), g[0] + g[1]];
    let rows: Vec<_> = (0..9).map(|k| random_row(k, 9)).collect();
    assert_commits(&related, &rows);
    assert_commits(&[Point::identity(); 9], &rows);
    assert_commits(&[g[0]; 9], &rows);
}

#[test]
fn a_sum_that_cancels_is_the_identity() {
    let g = generators(1)[0];
    let rows = vec![vec![i16::MIN, i16::MIN], vec![77, 77], vec![0, 0], vec![]];
    assert_commits(&[g, -g], &rows);
    let slices: Vec<&[i16]> = rows.iter().map(Vec::as_slice).collect();
    assert_eq!(RowCommitter::new(&[g, -g]).commit(&slices).unwrap(), [Point::identity(); 4]);
}

#[test]
fn ragged_rows() {
    let rows: Vec<_> = (0..33).map(|k| random_row(k, (k as usize * 37) % 101)).collect();
    assert_commits(&generators(100), &rows);
}

#[test]
fn no_generators() {
    assert_commits(&[], &[]);
    assert_commits(&[], &[vec![], vec![]]);
}

#[test]
fn a_row_longer_than_the_generators_is_refused() {
    let committer = RowCommitter::new(&generators(2));
    let error = committer.commit(&[&[1, 2], &[1, 2, 3]]).unwrap_err();
    assert_eq!(error, RowError::TooLong { row: 1, entries: 3, generators: 2 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_rows(rows in prop::collection::vec(prop::collection::vec(any::<i16>(), 0..40), 0..20)) {
        assert_commits(&generators(40), &rows);
    }
}
