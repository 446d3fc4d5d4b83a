//! Every loop against arkworks' arithmetic, on every twin: random and extreme scalars, ragged and long vectors.

use ark_ff::{AdditiveGroup, BigInt, Field, PrimeField};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The scalar with this representation, brought below l.
fn represented([w0, w1, w2, w3]: [u64; 4]) -> Scalar {
    let words = BigInt([w0, w1, w2, w3 & ((1 << 60) - 1)]);
    assert!(words < Scalar::MODULUS);
    Scalar::new_unchecked(words)
}

/// Representations at the ends of the range, with limbs of all ones, and around multiples of 2^252 after a sum.
fn extremes() -> Vec<Scalar> {
    let [l0, l1, l2, l3] = Scalar::MODULUS.0;
    let largest = Scalar::new_unchecked(BigInt([l0 - 1, l1, l2, l3]));
    let mut extremes = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, largest, -largest];
    for bits in (0..252).chain([252]) {
        let mut words = [0u64; 4];
        words[bits / 64] = 1 << (bits % 64);
        if bits < 252 {
            extremes.push(represented(words));
        }
        let ones = std::array::from_fn(|i| match bits.saturating_sub(64 * i) {
            count @ 0..64 => (1 << count) - 1,
            _ => u64::MAX,
        });
        extremes.push(represented(ones));
    }
    extremes.push(Scalar::new_unchecked(BigInt([0, 0, 0, 1 << 60])));
    extremes
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![3 => any::<[u64; 4]>().prop_map(represented), 1 => proptest::sample::select(extremes())]
}

/// Four vectors of one length.
fn quadruples(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Vec<[Scalar; 4]>> {
    vec([scalar(), scalar(), scalar(), scalar()], lengths)
}

/// Whether the representation is below l, as arkworks' comparisons take for granted.
fn is_canonical(value: &Scalar) -> bool {
    value.0 < Scalar::MODULUS
}

/// The loops over fractions, with tables that are the given ones in other roles.
fn check_fractions([a, b, c, d]: [&[Scalar]; 4], factor: Scalar) {
    let each = |f: &dyn Fn(usize) -> Scalar| (0..a.len()).map(f).collect::<Vec<Scalar>>();
    let numerators = each(&|i| a[i] * d[i] + c[i] * b[i]);
    let denominators = each(&|i| b[i] * d[i]);
    let sums = each(&|i| b[i] + d[i]);
    let scaled = each(&|i| a[i] + factor * b[i]);
    // Tables (a, b), (b, c), (c, d), (d, a) at the two values of a variable, weighed by c.
    let halves = LayerHalves { left: [a, b], q_high: [b, c], p_high: [c, d], q_low: [d, a] };
    let layer = RoundSums {
        constant: each(&|i| c[i] * (a[i] * b[i] + c[i] * d[i])).iter().sum(),
        leading: each(&|i| c[i] * ((b[i] - a[i]) * (c[i] - b[i]) + (d[i] - c[i]) * (a[i] - d[i])))
            .iter()
            .sum(),
    };
    let two = Halves { left_low: a, left_high: b, right_low: c, right_high: d };
    let weighed = RoundSums {
        constant: each(&|i| b[i] * (a[i] * c[i])).iter().sum(),
        leading: each(&|i| b[i] * ((b[i] - a[i]) * (d[i] - c[i]))).iter().sum(),
    };
    for backend in Backend::available() {
        let name = backend.name();
        let (mut p, mut q) = (vec![Scalar::ONE; a.len()], vec![Scalar::ONE; a.len()]);
        let fractions = |numerators, denominators| Fractions { numerators, denominators };
        add_fractions_on(backend, fractions(a, b), fractions(c, d), &mut p, &mut q);
        assert!(p.iter().chain(&q).all(is_canonical), "{name}");
        assert_eq!((&p, &q), (&numerators, &denominators), "{name}");
        add_inverses_on(backend, b, d, &mut p, &mut q);
        assert!(p.iter().chain(&q).all(is_canonical), "{name}");
        assert_eq!((&p, &q), (&sums, &denominators), "{name}");
        assert_eq!(layer_sums_on(backend, c, &halves), layer, "{name}");
        assert_eq!(weighed_sums_on(backend, b, &two), weighed, "{name}");
        let mut out = a.to_vec();
        add_scaled_on(backend, &mut out, b, factor);
        assert!(out.iter().all(is_canonical), "{name}");
        assert_eq!(out, scaled, "{name}");
    }
}

fn check(rows: &[[Scalar; 4]], challenge: Scalar) {
    let [ll, lh, rl, rh]: [Vec<Scalar>; 4] = std::array::from_fn(|i| rows.iter().map(|row| row[i]).collect());
    let constant: Scalar = ll.iter().zip(&rl).map(|(left, right)| *left * right).sum();
    let leading: Scalar = rows.iter().map(|[ll, lh, rl, rh]| (*lh - ll) * (*rh - rl)).sum();
    let bound: Vec<Scalar> = ll.iter().zip(&lh).map(|(low, high)| *low + challenge * (*high - low)).collect();
    let scaled: Vec<Scalar> = lh.iter().map(|value| challenge * value).collect();
    check_fractions([&ll, &lh, &rl, &rh], challenge);
    for backend in Backend::available() {
        let name = backend.name();
        assert_eq!(inner_product_on(backend, &ll, &rl), constant, "{name}");
        let halves = Halves { left_low: &ll, left_high: &lh, right_low: &rl, right_high: &rh };
        let sums = round_sums_on(backend, &halves);
        assert_eq!(sums, RoundSums { constant, leading }, "{name}");
        let mut out = ll.clone();
        bind_on(backend, &mut out, &lh, challenge);
        assert!(out.iter().all(is_canonical), "{name}");
        assert_eq!(out, bound, "{name}");
        bind_into(&ll, &lh, challenge, &mut out);
        assert_eq!(out, bound, "{name}");
        let mut out = lh.clone();
        scale_on(backend, &mut out, challenge);
        assert!(out.iter().all(is_canonical), "{name}");
        assert_eq!(out, scaled, "{name}");
    }
}

proptest! {
    #[test]
    fn random_and_extreme_scalars(rows in quadruples(0..71), challenge in scalar()) {
        check(&rows, challenge);
    }
}

#[test]
fn every_pair_of_extremes_at_extreme_challenges() {
    let extremes = extremes();
    for (index, challenge) in extremes.iter().enumerate() {
        let rows: Vec<[Scalar; 4]> = extremes
            .iter()
            .enumerate()
            .map(|(i, &value)| {
                let other = extremes[(i * 7 + index) % extremes.len()];
                [value, other, other, extremes[(i + index) % extremes.len()]]
            })
            .collect();
        check(&rows, *challenge);
    }
}

#[test]
fn every_ragged_length() {
    let extremes = extremes();
    for length in 0..=70 {
        let row = |i: usize| std::array::from_fn(|j| extremes[(31 * i + 101 * j + length) % extremes.len()]);
        check(&(0..length).map(row).collect::<Vec<_>>(), extremes[(length * 5) % extremes.len()]);
    }
}

#[test]
fn sums_beyond_the_folding_period() {
    let largest = extremes()[3];
    let ones = represented([u64::MAX; 4]);
    for length in [2047, 2048, 2049, 3640, 3641, 4096, 8 * 455 * 2 + 9] {
        for value in [largest, ones] {
            // The largest products, and the largest differences: with l added, 0 - 1 becomes l - 1 and l - 1 - 0 becomes
            // 2 l - 1.
            check(&vec![[value; 4]; length], value);
            check(&vec![[Scalar::ZERO, value, Scalar::ZERO, value]; length], value);
            check(&vec![[value, Scalar::ZERO, value, Scalar::ZERO]; length], value);
        }
    }
}

#[test]
#[should_panic(expected = "vectors of one length")]
fn vectors_of_two_lengths_are_refused() {
    inner_product(&[Scalar::ONE], &[]);
}
