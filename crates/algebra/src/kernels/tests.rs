//! Every kernel against plain arithmetic, on every twin: random and ragged shapes, and the worst case of each bound.

use ark_ff::{AdditiveGroup, Field};
use proptest::collection::vec;
use proptest::prelude::*;

use super::combine::combine_scalars_on;
use super::dot::{dot_i16_on, dot_i64_rows_on};
use super::*;
use crate::Scalar;
use crate::wide::{MONTGOMERY_R, Wide};

const LARGEST_CHALLENGE: u128 = (1 << 126) - 1;
const LARGEST_WIDTH: usize = 65_536;

/// Lengths at and around every vector, tile and block size, and some between.
fn lengths(most: usize) -> impl Strategy<Value = usize> {
    let edges: Vec<usize> =
        [0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 1023, 1024, 1025, 2047, 2048, 2049, 4097]
            .into_iter()
            .filter(|&edge| edge <= most)
            .collect();
    prop_oneof![3 => proptest::sample::select(edges), 1 => 0..=most]
}

fn int16() -> impl Strategy<Value = i16> {
    prop_oneof![4 => any::<i16>(), 1 => Just(i16::MIN), 1 => Just(i16::MAX), 1 => -2i16..=2]
}

/// All of `i64`, with the borders at which a 52-bit limb of it turns.
fn int64() -> impl Strategy<Value = i64> {
    let border = 1i64 << 51;
    prop_oneof![
        4 => any::<i64>(),
        1 => Just(i64::MIN),
        1 => Just(i64::MAX),
        1 => -2i64..=2,
        1 => border - 2..=border + 2,
        1 => -border - 2..=-border + 2,
    ]
}

fn challenge() -> impl Strategy<Value = u128> {
    prop_oneof![
        4 => 0..=LARGEST_CHALLENGE,
        1 => Just(LARGEST_CHALLENGE),
        1 => (0u32..126).prop_map(|bits| 1u128 << bits),
        1 => (0u32..126).prop_map(|bits| (1u128 << bits) - 1),
    ]
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let random = any::<[u128; 2]>()
        .prop_map(|[low, high]| Scalar::from(low) + Scalar::from(high) * Scalar::from(2u64).pow([128]));
    prop_oneof![4 => random, 1 => Just(Scalar::ZERO), 1 => Just(-Scalar::ONE), 1 => Just(largest_representation())]
}

/// The scalar whose Montgomery representation is l - 1, the largest.
fn largest_representation() -> Scalar {
    -MONTGOMERY_R.inverse().unwrap()
}

/// The exact product, from two products of at most 126 bits.
fn product(challenge: u128, entry: i64) -> Wide {
    let half = (1 << 63) - 1;
    let mut product = Wide::from((challenge & half) as i128 * i128::from(entry));
    product.add_shifted((challenge >> 63) as i128 * i128::from(entry), 63);
    product
}

fn to_scalars(sums: &[Wide]) -> Vec<Scalar> {
    sums.iter().map(Wide::to_scalar).collect()
}

fn slow_combination(challenges: &[u128], rows: &[i16], width: usize) -> Vec<Wide> {
    (0..width)
        .map(|i| challenges.iter().enumerate().map(|(n, &c)| product(c, rows[n * width + i].into())).sum())
        .collect()
}

fn slow_deltas(module: &LowRankProduct<'_>, x: &[i16]) -> Vec<i64> {
    let rank = module.a.len() / module.inputs;
    let mut deltas = Vec::new();
    for x in x.chunks(module.inputs) {
        let y: Vec<i128> = module
            .a
            .chunks(module.inputs)
            .map(|a| a.iter().zip(x).map(|(&a, &x)| i128::from(a) * i128::from(x)).sum())
            .collect();
        deltas.extend((0..module.outputs).map(|i| {
            let delta: i128 =
                (0..rank).map(|k| y[k] * i128::from(module.b_transposed[k * module.outputs + i])).sum();
            i64::try_from(delta).unwrap()
        }));
    }
    deltas
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn combinations_are_exact(
        (width, challenges, rows, cut) in (lengths(1100), 0usize..40).prop_flat_map(|(width, count)| {
            (Just(width), vec(challenge(), count), vec(int16(), count * width), 0..=count)
        })
    ) {
        let expected = slow_combination(&challenges, &rows, width);
        let residues = to_scalars(&expected);
        for backend in Backend::available() {
            let mut combiner = Combiner::on(backend, width);
            combiner.add_rows(&challenges[..cut], &rows[..cut * width]);
            combiner.add_rows(&challenges[cut..], &rows[cut * width..]);
            prop_assert_eq!(combiner.rows(), challenges.len() as u64);
            prop_assert_eq!(combiner.sums().collect::<Vec<_>>(), expected.clone(), "{}", backend.name());
            let mut out = vec![Scalar::ONE; width];
            combiner.write_scalars(&mut out);
            prop_assert_eq!(&out, &residues);
            combiner.write_scalars_over_r(&mut out);
            prop_assert_eq!(out.iter().map(|entry| *entry * MONTGOMERY_R).collect::<Vec<_>>(), residues.clone());
        }
    }

    #[test]
    fn digits_of_a_combination_make_its_inner_products(
        (challenges, rows, row) in (lengths(1100), 0usize..12).prop_flat_map(|(width, count)| {
            (vec(challenge(), count), vec(int16(), count * width), vec(int16(), width))
        })
    ) {
        let width = row.len();
        let residues = to_scalars(&slow_combination(&challenges, &rows, width));
        let expected: Scalar = row.iter().zip(&residues).map(|(&entry, sum)| Scalar::from(entry) * sum).sum();
        for backend in Backend::available() {
            let mut combiner = Combiner::on(backend, width);
            combiner.add_rows(&challenges, &rows);
            let sum = dot_i16_on(backend, &row, &combiner.into_digits());
            prop_assert_eq!(sum.to_scalar(), expected, "{}", backend.name());
        }
    }

    #[test]
    fn scalar_combinations_are_exact(
        (coefficients, rows, width) in (lengths(1100), 0usize..40).prop_flat_map(|(width, count)| {
            (vec(scalar(), count), vec(vec(int16(), width), count), Just(width))
        })
    ) {
        let expected: Vec<Scalar> = (0..width)
            .map(|i| rows.iter().zip(&coefficients).map(|(row, c)| Scalar::from(row[i]) * c).sum())
            .collect();
        let rows: Vec<&[i16]> = rows.iter().map(Vec::as_slice).collect();
        for backend in Backend::available() {
            let mut out = vec![Scalar::ONE; width];
            combine_scalars_on(backend, &coefficients, &rows, &mut out);
            prop_assert_eq!(&out, &expected, "{}", backend.name());
        }
    }

    #[test]
    fn inner_products_of_int16_rows_are_exact(
        (row, challenges) in (lengths(4200), 0usize..20).prop_flat_map(|(width, more)| {
            (vec(int16(), width), vec(challenge(), width + more))
        })
    ) {
        let expected: Wide = row.iter().zip(&challenges).map(|(&entry, &c)| product(c, entry.into())).sum();
        let digits = ChallengeDigits::from_challenges(&challenges);
        for backend in Backend::available() {
            prop_assert_eq!(dot_i16_on(backend, &row, &digits), expected, "{}", backend.name());
        }
    }

    #[test]
    fn inner_products_of_int64_rows_are_exact(
        (rows, count, challenges) in (lengths(4200), 0usize..6, 0usize..20)
            .prop_flat_map(|(width, count, more)| {
                (vec(int64(), width * count), Just(count), vec(challenge(), width + more))
            })
    ) {
        let width = rows.len().checked_div(count).unwrap_or(0);
        let expected: Vec<Wide> = (0..count)
            .map(|n| rows[n * width..][..width].iter().zip(&challenges).map(|(&entry, &c)| product(c, entry)).sum())
            .collect();
        let challenges = ChallengeVector::new(&challenges);
        for backend in Backend::available() {
            let mut out = vec![Wide::from(1i64); count];
            dot_i64_rows_on(backend, &rows, &challenges, &mut out);
            prop_assert_eq!(&out, &expected, "{}", backend.name());
        }
    }

    #[test]
    fn deltas_are_exact(
        (x, a, b_transposed, inputs, outputs) in (lengths(300), 0usize..12, lengths(300), 0usize..9)
            .prop_flat_map(|(inputs, rank, outputs, tokens)| {
                let inputs = inputs + 1;
                (vec(int16(), tokens * inputs), vec(int16(), rank * inputs), vec(int16(), rank * outputs),
                 Just(inputs), Just(outputs))
            })
    ) {
        let module = LowRankProduct { a: &a, b_transposed: &b_transposed, inputs, outputs };
        let expected = slow_deltas(&module, &x);
        for backend in Backend::available() {
            let mut deltas = vec![1; expected.len()];
            module.write_deltas_on(backend, &x, &mut deltas);
            prop_assert_eq!(&deltas, &expected, "{}", backend.name());
        }
    }
}

/// `value * count` by doubling.
fn times(value: Wide, count: u64) -> Wide {
    (0..64).rev().fold(Wide::ZERO, |sum, bit| {
        let doubled = sum + sum;
        if count >> bit & 1 == 1 { doubled + value } else { doubled }
    })
}

/// The integer whose radix-2^32 digits are all 2^10 + 2^21: both their 11-bit parts are the largest.
const LARGEST_PARTS: u128 = 0x0020_0400_0020_0400_0020_0400_0020_0400;

/// Challenges whose radix-2^32 digits have the largest magnitude, or parts of the largest magnitude, and whose
/// radix-2^52 limbs are all ones.
const EXTREME_CHALLENGES: [u128; 5] = [
    LARGEST_PARTS,
    LARGEST_CHALLENGE,
    0x3fff_ffff_8000_0000_8000_0000_8000_0000,
    0x3fff_ffff_7fff_ffff_7fff_ffff_7fff_ffff,
    (1 << 104) - 1,
];

#[test]
fn inner_products_reach_their_bounds_at_the_largest_width() {
    for challenge in EXTREME_CHALLENGES {
        let challenges = vec![challenge; LARGEST_WIDTH];
        let (digits, limbs) =
            (ChallengeDigits::from_challenges(&challenges), ChallengeVector::new(&challenges));
        for backend in Backend::available() {
            for entry in [i16::MIN, i16::MAX] {
                let expected = times(product(challenge, entry.into()), LARGEST_WIDTH as u64);
                assert_eq!(dot_i16_on(backend, &vec![entry; LARGEST_WIDTH], &digits), expected);
            }
            let border = 1i64 << 51;
            for entry in [i64::MIN, i64::MAX, -1, -border, border - 1, border, -border - 1, i64::MIN + 1] {
                let expected = times(product(challenge, entry), LARGEST_WIDTH as u64);
                let mut out = [Wide::ZERO; 5];
                dot_i64_rows_on(backend, &vec![entry; 5 * LARGEST_WIDTH], &limbs, &mut out);
                assert_eq!(out, [expected; 5], "{entry} on {}", backend.name());
            }
        }
    }
}

#[test]
fn an_inner_product_longer_than_a_block_is_still_exact() {
    let length = 2 * LARGEST_WIDTH + 5;
    let digits = ChallengeDigits::from_challenges(&vec![LARGEST_CHALLENGE; length]);
    for backend in Backend::available() {
        let expected = times(product(LARGEST_CHALLENGE, i16::MIN.into()), length as u64);
        assert_eq!(dot_i16_on(backend, &vec![i16::MIN; length], &digits), expected);
    }
}

#[test]
fn combinations_reach_their_bounds_at_the_largest_shapes() {
    // The rank's limit and one more row: eight full groups of rows in one 32-bit lane, and one that is not full.
    let count = 513;
    let rows = vec![i16::MIN; count * LARGEST_WIDTH];
    let slices: Vec<&[i16]> = rows.chunks(LARGEST_WIDTH).collect();
    let wide_parts = Scalar::new_unchecked(ark_ff::BigInt([LARGEST_PARTS as u64; 4]));
    for backend in Backend::available() {
        for challenge in [LARGEST_CHALLENGE, LARGEST_PARTS] {
            let mut combiner = Combiner::on(backend, LARGEST_WIDTH);
            combiner.add_rows(&vec![challenge; count], &rows);
            let expected = times(product(challenge, i16::MIN.into()), count as u64);
            assert!(combiner.sums().all(|sum| sum == expected), "{}", backend.name());
        }
        for coefficient in [largest_representation(), wide_parts] {
            let mut out = vec![Scalar::ZERO; LARGEST_WIDTH];
            combine_scalars_on(backend, &vec![coefficient; count], &slices, &mut out);
            let expected = coefficient * Scalar::from(i16::MIN) * Scalar::from(count as u64);
            assert!(out.iter().all(|sum| *sum == expected), "{}", backend.name());
        }
    }
}

#[test]
fn combinations_carry_before_they_overflow() {
    // Narrow rows, so that several times 2^16 of them fit a test: in one call, in even and in uneven calls.
    let (width, count) = (33, 5 << 16);
    for challenge in EXTREME_CHALLENGES {
        let challenges = vec![challenge; count];
        for entry in [i16::MIN, i16::MAX] {
            let rows = vec![entry; count * width];
            let expected = times(product(challenge, entry.into()), count as u64);
            for backend in Backend::available() {
                for rows_per_call in [count, 1 << 16, 40_000] {
                    let mut combiner = Combiner::on(backend, width);
                    for (challenges, rows) in
                        challenges.chunks(rows_per_call).zip(rows.chunks(rows_per_call * width))
                    {
                        combiner.add_rows(challenges, rows);
                    }
                    assert_eq!(combiner.sums().collect::<Vec<_>>(), vec![expected; width]);
                    let ones = vec![1i16; width];
                    let digits = combiner.into_digits();
                    assert_eq!(dot_i16_on(backend, &ones, &digits), times(expected, width as u64));
                }
            }
        }
    }
}

#[test]
fn scalar_combinations_carry_before_they_overflow() {
    let (width, count) = (33, (1 << 17) + 3);
    let extreme_digits = Scalar::new_unchecked(ark_ff::BigInt([
        0x8000_0000_8000_0000,
        0x8000_0000_8000_0000,
        0x8000_0000_8000_0000,
        0x0fff_ffff_8000_0000,
    ]));
    let extreme_parts = Scalar::new_unchecked(ark_ff::BigInt([LARGEST_PARTS as u64; 4]));
    for coefficient in [largest_representation(), extreme_digits, extreme_parts] {
        for entry in [i16::MIN, i16::MAX] {
            let row = vec![entry; width];
            let rows = vec![row.as_slice(); count];
            let expected = coefficient * Scalar::from(entry) * Scalar::from(count as u64);
            for backend in Backend::available() {
                let mut out = vec![Scalar::ZERO; width];
                combine_scalars_on(backend, &vec![coefficient; count], &rows, &mut out);
                assert_eq!(out, vec![expected; width]);
            }
        }
    }
}

#[test]
fn deltas_reach_their_bounds_at_the_largest_shapes() {
    // |Y| = 2^46, which with B of 8 bits and rank 512 makes 2^62; with B of 16 bits and rank 3, 3 * 2^61.
    for (rank, b) in [(512, -128i16), (512, 127), (3, i16::MIN), (3, i16::MAX)] {
        for (x, a) in [
            (i16::MIN, i16::MIN),
            (i16::MIN, i16::MAX),
            (i16::MAX, i16::MIN),
            (-1, i16::MIN),
            (255, i16::MIN),
        ] {
            let (tokens, outputs) = (3, 41);
            let (a_rows, b_rows) = (vec![a; rank * LARGEST_WIDTH], vec![b; rank * outputs]);
            let module = LowRankProduct { a: &a_rows, b_transposed: &b_rows, inputs: LARGEST_WIDTH, outputs };
            let expected = i128::from(x) * i128::from(a) * i128::from(b) * (LARGEST_WIDTH * rank) as i128;
            let expected = i64::try_from(expected).unwrap();
            for backend in Backend::available() {
                let mut deltas = vec![0; tokens * outputs];
                module.write_deltas_on(backend, &vec![x; tokens * LARGEST_WIDTH], &mut deltas);
                assert_eq!(deltas, vec![expected; tokens * outputs], "{} {x} {a} {b}", backend.name());
            }
        }
    }
}

#[test]
fn deltas_of_the_widest_output_and_many_tokens_are_exact() {
    let (inputs, outputs, rank, tokens) = (40, LARGEST_WIDTH, 70, 67);
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 48) as i16
    };
    let a: Vec<i16> = std::iter::repeat_with(&mut next).take(rank * inputs).collect();
    let b_transposed: Vec<i16> = std::iter::repeat_with(&mut next).take(rank * outputs).collect();
    let x: Vec<i16> = std::iter::repeat_with(&mut next).take(tokens * inputs).collect();
    let module = LowRankProduct { a: &a, b_transposed: &b_transposed, inputs, outputs };
    let expected = slow_deltas(&module, &x);
    for backend in Backend::available() {
        let mut deltas = vec![0; tokens * outputs];
        module.write_deltas_on(backend, &x, &mut deltas);
        assert!(deltas == expected, "{}", backend.name());
    }
}
