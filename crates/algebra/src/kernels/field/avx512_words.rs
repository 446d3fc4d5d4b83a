//! The AVX-512 twins of the loops over words.

use std::arch::x86_64::*;

use super::lanes::{Columns, LANES, Lanes, SmallColumns, SmallCombination, load_words};
use super::portable_words;
use super::words::{WordHalves, WordSums};
use crate::Scalar;
use crate::wide::Wide;

/// What makes differences of words, and products of two of them, positive.
const WORD_OFFSET: i64 = 1 << 16;
const PRODUCT_OFFSET: i64 = 1 << 32;

/// Steps of eight words between two foldings of the columns, which have room for 2,047.
const STEPS_PER_FOLD: usize = 1024;

/// `q_i = gamma - words[i]`
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn denominators(gamma: Scalar, words: &[u16], q: &mut [Scalar]) {
    let (words, words_rest) = words.as_chunks::<LANES>();
    let (q, q_rest) = q.as_chunks_mut::<LANES>();
    let leaf = SmallCombination::new(gamma, [Scalar::from(1u8)]);
    for (q, words) in q.iter_mut().zip(words) {
        leaf.canonical([load_words(words)]).store(q);
    }
    portable_words::denominators(gamma, words_rest, q_rest);
}

/// Adds inverses in pairs.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn add_inverses(
    gamma: Scalar,
    low: &[u16],
    high: &[u16],
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<LANES>(), high.as_chunks::<LANES>());
    let ((p, p_rest), (q, q_rest)) = (p.as_chunks_mut::<LANES>(), q.as_chunks_mut::<LANES>());
    let one = Scalar::from(1u8);
    let sixteen = Scalar::from(16u8);
    let leaf = SmallCombination::new(gamma, [one]);
    // The factor 16 that the reduction of the product takes off.
    let leaf_times_16 = SmallCombination::new(gamma * sixteen, [sixteen]);
    let numerator = SmallCombination::new(gamma + gamma, [one]);
    for i in 0..p.len() {
        let (low, high) = (load_words(&low[i]), load_words(&high[i]));
        numerator.canonical([_mm512_add_epi64(low, high)]).store(&mut p[i]);
        let mut product = Columns::zero();
        product.add_product(leaf_times_16.operand([low]), leaf.operand([high]));
        let [product] = Columns::canonical([product]);
        product.store(&mut q[i]);
    }
    portable_words::add_inverses(gamma, low_rest, high_rest, p_rest, q_rest);
}

/// Denominators with a variable bound.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn bind(gamma: Scalar, challenge: Scalar, low: &[u16], high: &[u16], out: &mut [Scalar]) {
    let ((low, low_rest), (high, high_rest)) = (low.as_chunks::<LANES>(), high.as_chunks::<LANES>());
    let (out, out_rest) = out.as_chunks_mut::<LANES>();
    // gamma - low - r (high - low), with 2^16 r added and taken off again.
    let offset = Scalar::from(WORD_OFFSET as u64);
    let bound = SmallCombination::new(gamma + offset * challenge, [Scalar::from(1u8), challenge]);
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        let (low, high) = (load_words(low), load_words(high));
        let difference = _mm512_add_epi64(_mm512_sub_epi64(high, low), _mm512_set1_epi64(WORD_OFFSET));
        bound.canonical([low, difference]).store(out);
    }
    portable_words::bind(gamma, challenge, low_rest, high_rest, out_rest);
}

/// The sums of a round over words.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn sums(weights: &[Scalar], halves: &WordHalves<'_>) -> WordSums {
    let (steps, weights_rest) = weights.as_chunks::<LANES>();
    let low = halves.low.map(<[_]>::as_chunks::<LANES>);
    let high = halves.high.map(<[_]>::as_chunks::<LANES>);
    let mut totals = [Wide::ZERO; 6];
    let one = _mm512_set1_epi64(1);
    for (fold, folded) in steps.chunks(STEPS_PER_FOLD).enumerate() {
        let mut columns = [SmallColumns::zero(); 6];
        for (i, weight) in (fold * STEPS_PER_FOLD..).zip(folded) {
            let weight = Lanes::load(weight);
            let [a, a1] = [load_words(&low[0].0[i]), load_words(&low[1].0[i])];
            let [b, b1] = [load_words(&high[0].0[i]), load_words(&high[1].0[i])];
            // Differences of words fit the signed 32 bits that are multiplied.
            let difference = _mm512_mul_epi32(_mm512_sub_epi64(a1, a), _mm512_sub_epi64(b1, b));
            let difference = _mm512_add_epi64(difference, _mm512_set1_epi64(PRODUCT_OFFSET));
            let small = [one, a, a1, b, _mm512_mul_epu32(a, b), difference];
            for (columns, small) in columns.iter_mut().zip(small) {
                columns.add(weight, small);
            }
        }
        for (total, columns) in totals.iter_mut().zip(columns) {
            *total += columns.total();
        }
    }
    // Sums of representations times integers are representations.
    let [weights, a, a1, b, product, difference] = totals.map(|total| total.to_scalar_over_r());
    let in_lanes = WordSums {
        weights,
        low: [a, a1],
        high: b,
        product,
        difference: difference - Scalar::from(PRODUCT_OFFSET as u64) * weights,
    };
    let rest = WordHalves { low: [low[0].1, low[1].1], high: [high[0].1, high[1].1] };
    in_lanes + portable_words::sums(weights_rest, &rest)
}
