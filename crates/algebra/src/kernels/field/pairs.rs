//! The level above the leaves of a lookup: sums of two inverses, `1 / (gamma - a) + 1 / (gamma - b)` for words a and b.
//!
//! Such a node is `p = 2 gamma - s` over `q = gamma^2 - gamma s + m` with the small integers `s = a + b` and `m = a b`. So a
//! layer's first round over these nodes sums scalars times integers below 2^66, and nodes with a variable bound are constants minus
//! small multiples of constants: no node is made for either.

use super::super::Backend;
use super::portable_words;
use crate::Scalar;

/// The words of nodes: lower and upper leaves, as many of each.
#[derive(Debug, Clone, Copy)]
pub struct Pairs<'a> {
    /// a
    pub low: &'a [u16],
    /// b
    pub high: &'a [u16],
}

impl Pairs<'_> {
    fn is_of(&self, length: usize) -> bool {
        self.low.len() == length && self.high.len() == length
    }
}

/// The nodes of a layer's lower and upper children, where the variable is 0 and where it is 1.
#[derive(Debug, Clone, Copy)]
pub struct PairHalves<'a> {
    /// Lower children.
    pub low: [Pairs<'a>; 2],
    /// Upper children.
    pub high: [Pairs<'a>; 2],
}

impl PairHalves<'_> {
    fn are_of(&self, length: usize) -> bool {
        self.low.iter().chain(&self.high).all(|pairs| pairs.is_of(length))
    }
}

/// Weighed sums over s, m of the lower and s', m' of the upper children where the variable is 0; and over their differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairSums {
    /// `sum of weights`
    pub weights: Scalar,
    /// `sum w (s + s')`
    pub s: Scalar,
    /// `sum w (m + m')`
    pub m: Scalar,
    /// `sum w s s'`, and with the differences
    pub s_s: [Scalar; 2],
    /// `sum w (s m' + s' m)`, and with the differences
    pub s_m: [Scalar; 2],
    /// `sum w m m'`, and with the differences
    pub m_m: [Scalar; 2],
}

impl PairSums {
    /// The sums of the layer's round, `(p + lambda q) q' + p' q`: constant and leading coefficient.
    pub fn round(&self, gamma: Scalar, lambda: Scalar) -> super::RoundSums {
        let Self { weights, s, m, s_s, s_m, m_m } = self;
        let (two, three, four) = (Scalar::from(2u8), Scalar::from(3u8), Scalar::from(4u8));
        let square = gamma * gamma;
        let numerators =
            four * square * gamma * weights - three * square * s + two * gamma * (*m + s_s[0]) - s_m[0];
        let product =
            square * square * weights - square * gamma * s + square * (*m + s_s[0]) - gamma * s_m[0] + m_m[0];
        let leading_numerators = two * gamma * s_s[1] - s_m[1];
        let leading_product = square * s_s[1] - gamma * s_m[1] + m_m[1];
        super::RoundSums {
            constant: numerators + lambda * product,
            leading: leading_numerators + lambda * leading_product,
        }
    }
}

impl std::ops::Add for PairSums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = |left: [Scalar; 2], right: [Scalar; 2]| [left[0] + right[0], left[1] + right[1]];
        Self {
            weights: self.weights + other.weights,
            s: self.s + other.s,
            m: self.m + other.m,
            s_s: both(self.s_s, other.s_s),
            s_m: both(self.s_m, other.s_m),
            m_m: both(self.m_m, other.m_m),
        }
    }
}

/// The tables of a layer: as many entries of each.
pub struct LayerOut<'a> {
    /// `p + lambda q` of lower children.
    pub left: &'a mut [Scalar],
    /// q of lower children.
    pub q_low: &'a mut [Scalar],
    /// p of upper children.
    pub p_high: &'a mut [Scalar],
    /// q of upper children.
    pub q_high: &'a mut [Scalar],
}

/// The challenges that a layer's tables depend on.
#[derive(Debug, Clone, Copy)]
pub struct LayerChallenges {
    /// Leaves are `1 / (gamma - word)`.
    pub gamma: Scalar,
    /// The weight of denominators.
    pub lambda: Scalar,
    /// What the variable is bound to.
    pub bound: Scalar,
}

/// Adds the nodes of two lists: the level above them.
///
/// # Panics
/// If the lengths differ.
pub fn add(gamma: Scalar, low: Pairs<'_>, high: Pairs<'_>, p: &mut [Scalar], q: &mut [Scalar]) {
    add_on(Backend::active(), gamma, low, high, p, q);
}

/// As [`add`], on a named twin.
pub fn add_on(
    backend: Backend,
    gamma: Scalar,
    low: Pairs<'_>,
    high: Pairs<'_>,
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let length = p.len();
    assert!(low.is_of(length) && high.is_of(length) && q.len() == length, "fractions of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_pairs::add(gamma, low, high, p, q) };
    }
    let _ = backend;
    portable_words::add_pairs(gamma, low, high, p, q);
}

/// The sums of a layer's first round.
///
/// # Panics
/// If the lengths differ.
pub fn sums(weights: &[Scalar], halves: &PairHalves<'_>) -> PairSums {
    sums_on(Backend::active(), weights, halves)
}

/// As [`sums`], on a named twin.
pub fn sums_on(backend: Backend, weights: &[Scalar], halves: &PairHalves<'_>) -> PairSums {
    assert!(halves.are_of(weights.len()), "halves of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_pairs::sums(weights, halves) };
    }
    let _ = backend;
    portable_words::pair_sums(weights, halves)
}

/// The tables of a layer with its first variable bound.
///
/// # Panics
/// If the lengths differ.
pub fn bind(challenges: &LayerChallenges, halves: &PairHalves<'_>, out: LayerOut<'_>) {
    bind_on(Backend::active(), challenges, halves, out);
}

/// As [`bind`], on a named twin.
pub fn bind_on(backend: Backend, challenges: &LayerChallenges, halves: &PairHalves<'_>, out: LayerOut<'_>) {
    let length = out.left.len();
    assert!(
        halves.are_of(length)
            && [&out.q_low, &out.p_high, &out.q_high].into_iter().all(|table| table.len() == length),
        "tables of one length"
    );
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_pairs::bind(challenges, halves, out) };
    }
    let _ = backend;
    portable_words::bind_pairs(challenges, halves, out);
}

#[cfg(test)]
mod tests {
    use super::super::{Fractions, LayerHalves, add_fractions_on, layer_sums_on, words};
    use super::*;
    use ark_ff::{AdditiveGroup, Field, PrimeField};

    /// Words at the ends of the range, so that sums and products, and differences of them, are the largest and the smallest.
    fn words(length: usize, seed: usize) -> Vec<u16> {
        const EDGES: [u16; 4] = [0, 0xffff, 0xfffe, 0x8000];
        (0..length)
            .map(|i| match (i / 4 + seed) % 3 {
                0 => (i * 40_503 * (2 * seed + 1)) as u16,
                _ => EDGES[(i >> seed) % 4],
            })
            .collect()
    }

    #[test]
    fn loops_over_pairs_are_those_over_their_nodes() {
        let one = Scalar::ONE;
        let random = Scalar::from(17u8).inverse().unwrap();
        for length in (0..40).chain([511, 512, 8 * 1024 + 3]) {
            let all: Vec<Vec<u16>> = (0..8).map(|seed| words(length, seed)).collect();
            let pairs = |i: usize| Pairs { low: &all[2 * i], high: &all[2 * i + 1] };
            let halves = PairHalves { low: [pairs(0), pairs(1)], high: [pairs(2), pairs(3)] };
            let weights: Vec<Scalar> = (0..length)
                .map(|i| if i % 5 == 0 { -one } else { Scalar::from(i as u64 + 2).inverse().unwrap() })
                .collect();
            for (gamma, lambda, bound) in
                [(-one, -one, -one), (random, -random, random * random), (Scalar::ZERO, one, Scalar::ZERO)]
            {
                let nodes: Vec<[Vec<Scalar>; 2]> = (0..4)
                    .map(|i| {
                        let (mut p, mut q) = (vec![one; length], vec![one; length]);
                        let Pairs { low, high } = pairs(i);
                        words::add_inverses_on(Backend::PORTABLE, gamma, low, high, &mut p, &mut q);
                        [p, q]
                    })
                    .collect();
                let left: Vec<Vec<Scalar>> = nodes
                    .iter()
                    .map(|[p, q]| p.iter().zip(q).map(|(p, q)| *p + lambda * q).collect())
                    .collect();
                let fractions = |i: usize| Fractions { numerators: &nodes[i][0], denominators: &nodes[i][1] };
                let (mut p, mut q) = (vec![one; length], vec![one; length]);
                add_fractions_on(Backend::PORTABLE, fractions(0), fractions(3), &mut p, &mut q);
                let layer = LayerHalves {
                    left: [&left[0], &left[1]],
                    q_high: [&nodes[2][1], &nodes[3][1]],
                    p_high: [&nodes[2][0], &nodes[3][0]],
                    q_low: [&nodes[0][1], &nodes[1][1]],
                };
                let round = layer_sums_on(Backend::PORTABLE, &weights, &layer);
                let at = |low: &[Scalar], high: &[Scalar]| -> Vec<Scalar> {
                    low.iter().zip(high).map(|(low, high)| *low + bound * (*high - low)).collect()
                };
                let expected = [
                    at(&left[0], &left[1]),
                    at(&nodes[0][1], &nodes[1][1]),
                    at(&nodes[2][0], &nodes[3][0]),
                    at(&nodes[2][1], &nodes[3][1]),
                ];
                for backend in Backend::available() {
                    let name = backend.name();
                    let (mut p_found, mut q_found) = (vec![one; length], vec![one; length]);
                    add_on(backend, gamma, pairs(0), pairs(3), &mut p_found, &mut q_found);
                    assert_eq!((&p_found, &q_found), (&p, &q), "{name}, {length}");
                    assert_eq!(
                        sums_on(backend, &weights, &halves).round(gamma, lambda),
                        round,
                        "{name}, {length}"
                    );
                    let mut out: [Vec<Scalar>; 4] = std::array::from_fn(|_| vec![one; length]);
                    let [left, q_low, p_high, q_high] = &mut out;
                    let challenges = LayerChallenges { gamma, lambda, bound };
                    bind_on(backend, &challenges, &halves, LayerOut { left, q_low, p_high, q_high });
                    assert_eq!(out, expected, "{name}, {length}");
                    let mut found = out.iter().flatten().chain(&p_found).chain(&q_found);
                    assert!(found.all(|value| value.0 < Scalar::MODULUS), "{name}, {length}");
                }
            }
        }
    }
}
