//! The portable twins of the loops over words.

use ark_ff::Zero;

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
