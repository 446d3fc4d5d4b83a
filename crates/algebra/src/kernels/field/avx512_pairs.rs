//! The AVX-512 twins of the loops over pairs of words.

use std::arch::x86_64::*;

use super::lanes::{Columns, LANES, Lanes, SmallColumns, SmallCombination, load_words};
use super::pairs::{LayerChallenges, LayerOut, PairHalves, PairSums, Pairs};
use super::portable_words;
use crate::Scalar;
use crate::wide::Wide;

/// What makes differences positive: of sums below 2^17, of products below 2^32, and of what they are multiplied to.
const SUM_OFFSET: i64 = 1 << 17;
const PRODUCT_OFFSET: i64 = 1 << 32;
const FACTOR_OFFSET: i64 = 1 << 51;

/// Steps of eight nodes between two foldings of the columns, which have room for 2,047.
const STEPS_PER_FOLD: usize = 1024;

/// A list of pairs in steps of eight, and what is left over.
struct Steps<'a> {
    low: &'a [[u16; LANES]],
    high: &'a [[u16; LANES]],
    rest: Pairs<'a>,
}

impl<'a> Steps<'a> {
    fn new(pairs: Pairs<'a>) -> Self {
        let ((low, low_rest), (high, high_rest)) = (pairs.low.as_chunks(), pairs.high.as_chunks());
        Self { low, high, rest: Pairs { low: low_rest, high: high_rest } }
    }

    /// `s = a + b` and `m = a b` of eight nodes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
    fn at(&self, i: usize) -> (__m512i, __m512i) {
        let (a, b) = (load_words(&self.low[i]), load_words(&self.high[i]));
        (_mm512_add_epi64(a, b), _mm512_mul_epu32(a, b))
    }
}

fn rest<'a>(halves: &[Steps<'a>; 4]) -> PairHalves<'a> {
    let [low, low_one, high, high_one] = halves;
    PairHalves { low: [low.rest, low_one.rest], high: [high.rest, high_one.rest] }
}

fn steps<'a>(halves: &PairHalves<'a>) -> [Steps<'a>; 4] {
    [halves.low[0], halves.low[1], halves.high[0], halves.high[1]].map(Steps::new)
}

/// Adds the nodes of two lists.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn add(gamma: Scalar, low: Pairs<'_>, high: Pairs<'_>, p: &mut [Scalar], q: &mut [Scalar]) {
    let (low, high) = (Steps::new(low), Steps::new(high));
    let ((p, p_rest), (q, q_rest)) = (p.as_chunks_mut::<LANES>(), q.as_chunks_mut::<LANES>());
    let (one, sixteen) = (Scalar::from(1u8), Scalar::from(16u8));
    let square = gamma * gamma;
    let numerator = SmallCombination::new(gamma + gamma, [one]);
    let denominator = SmallCombination::new(square, [gamma, -one]);
    // The factor 16 that the reduction of a product takes off.
    let denominator_times_16 = SmallCombination::new(square * sixteen, [gamma * sixteen, -sixteen]);
    for i in 0..p.len() {
        let ((s, m), (s_high, m_high)) = (low.at(i), high.at(i));
        let q_high = denominator_times_16.operand([s_high, m_high]);
        let (mut sum, mut product) = (Columns::zero(), Columns::zero());
        sum.add_product(numerator.operand([s]), q_high);
        sum.add_product(numerator.operand([s_high]), denominator_times_16.operand([s, m]));
        product.add_product(denominator.operand([s, m]), q_high);
        let [sum, product] = Columns::canonical([sum, product]);
        sum.store(&mut p[i]);
        product.store(&mut q[i]);
    }
    portable_words::add_pairs(gamma, low.rest, high.rest, p_rest, q_rest);
}

/// The sums of a layer's first round.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn sums(weights: &[Scalar], halves: &PairHalves<'_>) -> PairSums {
    let (weights, weights_rest) = weights.as_chunks::<LANES>();
    let halves = steps(halves);
    let mut totals = [Wide::ZERO; 11];
    let low_52 = _mm512_set1_epi64((1 << 52) - 1);
    let offset = _mm512_set1_epi64(FACTOR_OFFSET);
    for (fold, folded) in weights.chunks(STEPS_PER_FOLD).enumerate() {
        let mut columns = [SmallColumns::zero(); 11];
        for (i, weight) in (fold * STEPS_PER_FOLD..).zip(folded) {
            let weight = Lanes::load(weight);
            let ((s0, m0), (s0_one, m0_one)) = (halves[0].at(i), halves[1].at(i));
            let ((s1, m1), (s1_one, m1_one)) = (halves[2].at(i), halves[3].at(i));
            let (ds0, dm0) = (_mm512_sub_epi64(s0_one, s0), _mm512_sub_epi64(m0_one, m0));
            let (ds1, dm1) = (_mm512_sub_epi64(s1_one, s1), _mm512_sub_epi64(m1_one, m1));
            // Sums are below 2^17, products below 2^32; mixed ones below 2^49 each, 2^50 together.
            let s_m = _mm512_add_epi64(_mm512_mul_epu32(s0, m1), _mm512_mul_epu32(s1, m0));
            let m_m = _mm512_mul_epu32(m0, m1);
            // Differences are below 2^17 and 2^32 in magnitude, the latter as `2^16 high + low` with a low part below 2^16: so
            // products are below 2^50 in magnitude, and positive with 2^51 added.
            let d_s_m = _mm512_add_epi64(_mm512_mullo_epi64(ds0, dm1), _mm512_mullo_epi64(ds1, dm0));
            let dm0_high = _mm512_srai_epi64::<16>(dm0);
            let dm0_low = _mm512_and_si512(dm0, _mm512_set1_epi64(0xffff));
            let small = [
                _mm512_set1_epi64(1),
                _mm512_add_epi64(s0, s1),
                _mm512_add_epi64(m0, m1),
                _mm512_mul_epu32(s0, s1),
                s_m,
                _mm512_and_si512(m_m, low_52),
                _mm512_srli_epi64::<52>(m_m),
                _mm512_add_epi64(_mm512_mul_epi32(ds0, ds1), offset),
                _mm512_add_epi64(d_s_m, offset),
                _mm512_add_epi64(_mm512_mullo_epi64(dm0_low, dm1), offset),
                _mm512_add_epi64(_mm512_mullo_epi64(dm0_high, dm1), offset),
            ];
            for (columns, small) in columns.iter_mut().zip(small) {
                columns.add(weight, small);
            }
        }
        for (total, columns) in totals.iter_mut().zip(columns) {
            *total += columns.total();
        }
    }
    // Sums of representations times integers are representations.
    let [weights, s, m, s_s, s_m, m_m_low, m_m_high, d_s_s, d_s_m, d_m_m_low, d_m_m_high] =
        totals.map(|total| total.to_scalar_over_r());
    let excess = Scalar::from(FACTOR_OFFSET as u64) * weights;
    let in_lanes = PairSums {
        weights,
        s,
        m,
        s_s: [s_s, d_s_s - excess],
        s_m: [s_m, d_s_m - excess],
        m_m: [
            m_m_low + m_m_high * Scalar::from(1u64 << 52),
            d_m_m_low - excess + (d_m_m_high - excess) * Scalar::from(1u64 << 16),
        ],
    };
    in_lanes + portable_words::pair_sums(weights_rest, &rest(&halves))
}

/// The tables of a layer with its first variable bound.
///
/// # Safety
/// The processor has AVX-512 F, DQ, VL and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) unsafe fn bind(challenges: &LayerChallenges, halves: &PairHalves<'_>, out: LayerOut<'_>) {
    let LayerChallenges { gamma, lambda, bound } = *challenges;
    let one = Scalar::from(1u8);
    let halves = steps(halves);
    let (sum_offset, product_offset) = (Scalar::from(SUM_OFFSET as u64), Scalar::from(PRODUCT_OFFSET as u64));
    // The node `u - v s + w m` with s and m bound, as a constant minus multiples of s, of the difference of s plus its offset, of m,
    // and of the difference of m plus its offset.
    let node = |u: Scalar, v: Scalar, w: Scalar| {
        let constant = u + v * bound * sum_offset - w * bound * product_offset;
        (constant, [v, v * bound, -w, -(w * bound)])
    };
    let square = gamma * gamma;
    let (constant, factors) = node(gamma + gamma + lambda * square, one + lambda * gamma, lambda);
    let left = SmallCombination::new(constant, factors);
    let (constant, factors) = node(square, gamma, one);
    let denominator = SmallCombination::new(constant, factors);
    let (constant, [of_sum, of_difference, ..]) = node(gamma + gamma, one, Scalar::from(0u8));
    let numerator = SmallCombination::new(constant, [of_sum, of_difference]);

    let LayerOut { left: left_out, q_low, p_high, q_high } = out;
    let (left_out, left_rest) = left_out.as_chunks_mut::<LANES>();
    let (q_low, q_low_rest) = q_low.as_chunks_mut::<LANES>();
    let (p_high, p_high_rest) = p_high.as_chunks_mut::<LANES>();
    let (q_high, q_high_rest) = q_high.as_chunks_mut::<LANES>();
    for i in 0..left_out.len() {
        let lower = with_differences(halves[0].at(i), halves[1].at(i));
        left.canonical(lower).store(&mut left_out[i]);
        denominator.canonical(lower).store(&mut q_low[i]);
        let upper = with_differences(halves[2].at(i), halves[3].at(i));
        numerator.canonical([upper[0], upper[1]]).store(&mut p_high[i]);
        denominator.canonical(upper).store(&mut q_high[i]);
    }
    let out = LayerOut { left: left_rest, q_low: q_low_rest, p_high: p_high_rest, q_high: q_high_rest };
    portable_words::bind_pairs(challenges, &rest(&halves), out);
}

/// s, its difference plus 2^17, m, its difference plus 2^32: all positive, the largest below 2^33.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn with_differences((s, m): (__m512i, __m512i), (s_one, m_one): (__m512i, __m512i)) -> [__m512i; 4] {
    [
        s,
        _mm512_add_epi64(_mm512_sub_epi64(s_one, s), _mm512_set1_epi64(SUM_OFFSET)),
        m,
        _mm512_add_epi64(_mm512_sub_epi64(m_one, m), _mm512_set1_epi64(PRODUCT_OFFSET)),
    ]
}
