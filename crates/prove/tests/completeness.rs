//! Honest sessions verify, whatever their shapes.

use lorica_argument::opening::OpeningMode;
use lorica_testkit::adapter::{AdapterFixture, Shape};
use lorica_testkit::session::{SessionFixture, Stream};
use lorica_verify::proof::SessionProof;

fn holds(shapes: &[Shape], streams: &[Stream<'_>], seed: u64) {
    let adapter = AdapterFixture::new(shapes, seed);
    let session = SessionFixture::new(&adapter, streams, seed + 1);
    for mode in [OpeningMode::Fast, OpeningMode::Compact] {
        let proof = session.prove(&adapter, mode, seed + 2);
        assert_eq!(
            proof.len(),
            SessionProof::encoded_bytes(&adapter.pinned.sizes(), mode),
            "{shapes:?} {mode:?}"
        );
        session.verify(&adapter, &proof).unwrap_or_else(|error| panic!("{shapes:?} {mode:?}: {error}"));
    }
}

#[test]
fn one_module_of_every_small_shape() {
    for inputs in 1..=5 {
        for outputs in 1..=5 {
            for rank in 1..=3 {
                holds(&[(inputs, outputs, rank)], &[(&[0], 3)], 7);
            }
        }
    }
}

#[test]
fn ragged_modules_and_streams() {
    holds(
        &[(8, 8, 2), (8, 24, 1), (5, 40, 7), (40, 3, 4), (8, 8, 3)],
        &[(&[0, 1, 4], 5), (&[3], 1), (&[2], 9)],
        21,
    );
}

#[test]
fn a_module_that_was_never_called() {
    holds(&[(8, 4, 2), (6, 9, 3), (4, 4, 1)], &[(&[2], 2), (&[0], 4)], 5);
}

#[test]
fn a_stream_without_rows() {
    holds(&[(8, 4, 2), (6, 9, 3)], &[(&[0], 0), (&[1], 4)], 6);
}

#[test]
fn many_modules_not_a_power_of_two() {
    let shapes: Vec<Shape> = (0..11).map(|i| (16 + i, 30 - i, 1 + i % 4)).collect();
    let indices: Vec<usize> = (0..11).collect();
    let streams: Vec<Stream<'_>> = indices.chunks(1).map(|index| (index, 1 + index[0] as u64)).collect();
    holds(&shapes, &streams, 33);
}

/// Registrations with a range argument: one module, ragged modules, rows of one entry, more leaves than the table has numbers,
/// and rows that are longer than a row of multiplicities.
#[test]
fn adapters_in_range_are_registered_and_serve_sessions() {
    for shapes in [
        vec![(1, 1, 1)],
        vec![(6, 10, 2), (6, 10, 2), (9, 3, 1)],
        vec![(768, 2304, 2)],
        vec![(1500, 1025, 40), (1, 2, 3)],
    ] {
        let adapter = AdapterFixture::in_range(&shapes, 17);
        let session = SessionFixture::new(&adapter, &[(&[0], 3)], 18);
        let proof = session.prove(&adapter, OpeningMode::Compact, 19);
        session.verify(&adapter, &proof).unwrap();
    }
}
