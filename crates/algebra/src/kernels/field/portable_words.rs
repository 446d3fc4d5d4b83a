//! The portable twins of the loops over words.

use ark_ff::Zero;

use super::pairs::{LayerChallenges, LayerOut, PairHalves, PairSums, Pairs};
use super::words::{WordHalves, WordSums};
use crate::Scalar;

fn field(word: u16) -> Scalar {
    Scalar::from(u64::from(word))
}

/// `q_i = gamma - words[i]`
pub(super) fn denominators(gamma: Scalar, words: &[u16], q: &mut [Scalar]) {
    for (q, word) in q.iter_mut().zip(words) {
        *q = gamma - field(*word);
    }
}

/// Adds inverses in pairs.
pub(super) fn add_inverses(gamma: Scalar, low: &[u16], high: &[u16], p: &mut [Scalar], q: &mut [Scalar]) {
    for (((p, q), low), high) in p.iter_mut().zip(q).zip(low).zip(high) {
        let (low, high) = (gamma - field(*low), gamma - field(*high));
        *p = low + high;
        *q = low * high;
    }
}

/// Denominators with a variable bound.
pub(super) fn bind(gamma: Scalar, challenge: Scalar, low: &[u16], high: &[u16], out: &mut [Scalar]) {
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        let low = field(*low);
        *out = gamma - low - challenge * (field(*high) - low);
    }
}

/// The sums of a round over words.
pub(super) fn sums(weights: &[Scalar], halves: &WordHalves<'_>) -> WordSums {
    let zero = Scalar::zero();
    let mut sums = WordSums { weights: zero, low: [zero; 2], high: zero, product: zero, difference: zero };
    for (i, weight) in weights.iter().enumerate() {
        let [a, a1, b, b1] =
            [halves.low[0], halves.low[1], halves.high[0], halves.high[1]].map(|half| i64::from(half[i]));
        sums.weights += weight;
        sums.low[0] += *weight * Scalar::from(a);
        sums.low[1] += *weight * Scalar::from(a1);
        sums.high += *weight * Scalar::from(b);
        // Products of words are below 2^32, those of differences between -2^32 and 2^32.
        sums.product += *weight * Scalar::from(a * b);
        sums.difference += *weight * Scalar::from((a1 - a) * (b1 - b));
    }
    sums
}

/// `s = a + b` and `m = a b` of a node.
fn sum_and_product(pairs: &Pairs<'_>, i: usize) -> (i64, i64) {
    let (a, b) = (i64::from(pairs.low[i]), i64::from(pairs.high[i]));
    (a + b, a * b)
}

/// Adds the nodes of two lists.
pub(super) fn add_pairs(gamma: Scalar, low: Pairs<'_>, high: Pairs<'_>, p: &mut [Scalar], q: &mut [Scalar]) {
    let node = |pairs: &Pairs<'_>, i: usize| {
        let (a, b) = (gamma - field(pairs.low[i]), gamma - field(pairs.high[i]));
        (a + b, a * b)
    };
    for (i, (p, q)) in p.iter_mut().zip(q).enumerate() {
        let ((p_low, q_low), (p_high, q_high)) = (node(&low, i), node(&high, i));
        *p = p_low * q_high + p_high * q_low;
        *q = q_low * q_high;
    }
}

/// The sums of a layer's first round over pairs.
pub(super) fn pair_sums(weights: &[Scalar], halves: &PairHalves<'_>) -> PairSums {
    let zero = Scalar::zero();
    let mut sums =
        PairSums { weights: zero, s: zero, m: zero, s_s: [zero; 2], s_m: [zero; 2], m_m: [zero; 2] };
    for (i, weight) in weights.iter().enumerate() {
        let [(s0, m0), (s0_one, m0_one)] = [0, 1].map(|at| sum_and_product(&halves.low[at], i));
        let [(s1, m1), (s1_one, m1_one)] = [0, 1].map(|at| sum_and_product(&halves.high[at], i));
        let differences = (s0_one - s0, m0_one - m0, s1_one - s1, m1_one - m1);
        sums.weights += weight;
        sums.s += *weight * Scalar::from(s0 + s1);
        sums.m += *weight * Scalar::from(m0 + m1);
        for (at, (s0, m0, s1, m1)) in [(s0, m0, s1, m1), differences].into_iter().enumerate() {
            sums.s_s[at] += *weight * Scalar::from(s0 * s1);
            sums.s_m[at] += *weight * Scalar::from(s0 * m1 + s1 * m0);
            sums.m_m[at] += *weight * Scalar::from(i128::from(m0) * i128::from(m1));
        }
    }
    sums
}

/// The tables of a layer with its first variable bound, from pairs.
pub(super) fn bind_pairs(challenges: &LayerChallenges, halves: &PairHalves<'_>, out: LayerOut<'_>) {
    let LayerChallenges { gamma, lambda, bound } = *challenges;
    let node = |pairs: &[Pairs<'_>; 2], i: usize| {
        let [(p, q), (p_one, q_one)] = [0, 1].map(|at: usize| {
            let (a, b) = (gamma - field(pairs[at].low[i]), gamma - field(pairs[at].high[i]));
            (a + b, a * b)
        });
        (p + bound * (p_one - p), q + bound * (q_one - q))
    };
    for i in 0..out.left.len() {
        let ((p_low, q_low), (p_high, q_high)) = (node(&halves.low, i), node(&halves.high, i));
        out.left[i] = p_low + lambda * q_low;
        out.q_low[i] = q_low;
        out.p_high[i] = p_high;
        out.q_high[i] = q_high;
    }
}
