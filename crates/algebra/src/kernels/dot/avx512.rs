//! The AVX-512 twins of the inner products.

use std::arch::x86_64::*;

use super::portable;
use crate::kernels::digits::CHALLENGE_LIMBS;
use crate::wide::Wide;

/// `sum_i row[i] * planes[j][i]` for each j. The last entries, less than sixteen, go the portable way.
///
/// # Safety
/// The processor has AVX-512 F and BW; the planes are as long as the row.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn digit_sums<const DIGITS: usize>(row: &[i16], planes: [&[i32]; DIGITS]) -> [i64; DIGITS] {
    let vectors = row.len() - row.len() % 16;
    let mut sums = [_mm512_setzero_si512(); DIGITS];
    for start in (0..vectors).step_by(16) {
        // The signed multiplication reads the lower half of each 64-bit lane: even entries as they lie, odd ones
        // shifted down.
        // SAFETY: start + 16 <= row.len().
        let even = _mm512_cvtepi16_epi32(unsafe { _mm256_loadu_si256(row.as_ptr().add(start).cast()) });
        let odd = _mm512_srli_epi64::<32>(even);
        for (sum, plane) in sums.iter_mut().zip(planes) {
            // SAFETY: start + 16 <= row.len(), the length of every plane.
            let digits = unsafe { _mm512_loadu_si512(plane.as_ptr().add(start).cast()) };
            *sum = _mm512_add_epi64(*sum, _mm512_mul_epi32(even, digits));
            *sum = _mm512_add_epi64(*sum, _mm512_mul_epi32(odd, _mm512_srli_epi64::<32>(digits)));
        }
    }
    let mut totals = portable::digit_sums(&row[vectors..], planes.map(|plane| &plane[vectors..]));
    for (total, sum) in totals.iter_mut().zip(sums) {
        *total += _mm512_reduce_add_epi64(sum);
    }
    totals
}

/// Entries between two foldings of the accumulators: 256 steps of eight entries.
///
/// A step adds at most four numbers below 2^52 to an accumulator, which after 256 steps is below 2^62.
const BLOCK: usize = 256 * 8;

/// How many entries ahead a row is fetched: two pages, as the hardware's own fetching stops at the end of one.
const PREFETCH_DISTANCE: usize = 1024;

/// Rows that share one reading of the challenges: sixteen accumulators.
const ROWS: usize = 4;

/// Words of the radix-2^52 sums.
const WORDS: usize = 4;

/// The inner product of each row with the challenges whose radix-2^52 limbs are given.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn dot_i64_rows(rows: &[i64], planes: [&[u64]; CHALLENGE_LIMBS], out: &mut [Wide]) {
    let width = planes[0].len();
    for (rows, out) in rows.chunks(ROWS * width).zip(out.chunks_mut(ROWS)) {
        for start in (0..width).step_by(BLOCK) {
            let end = width.min(start + BLOCK);
            let planes = planes.map(|plane| &plane[start..end]);
            let row = |index: usize| &rows[index * width..][start..end];
            if let [o0, o1, o2, o3] = out {
                add_block([row(0), row(1), row(2), row(3)], planes, [o0, o1, o2, o3]);
            } else {
                for (index, place) in out.iter_mut().enumerate() {
                    add_block([row(index)], planes, [place]);
                }
            }
        }
    }
}

/// Adds the inner products of one block of some rows.
///
/// Adding 2^63 makes an entry u unsigned, and 2^63 times the sum of the challenges is taken off at the end. Word k
/// gathers what weighs 2^(52 k) in the product of u = u0 + 2^52 u1 and a challenge s = s0 + 2^52 s1 + 2^104 s2; the
/// multiplication reads the low 52 bits of its factors, so u itself stands for u0. As u1 has 12 bits and s2 has
/// 22, their product has no upper part.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_block<const N: usize>(rows: [&[i64]; N], planes: [&[u64]; CHALLENGE_LIMBS], out: [&mut Wide; N]) {
    let length = planes[0].len();
    let sign = _mm512_set1_epi64(i64::MIN);
    let mut words = [[_mm512_setzero_si512(); WORDS]; N];
    let mut limb_sums = [_mm512_setzero_si512(); CHALLENGE_LIMBS];
    for start in (0..length).step_by(8) {
        let [s0, s1, s2] = load_limbs(planes, start, length);
        for (sum, limbs) in limb_sums.iter_mut().zip([s0, s1, s2]) {
            *sum = _mm512_add_epi64(*sum, limbs);
        }
        for (w, row) in words.iter_mut().zip(rows) {
            let u = _mm512_xor_si512(load_entries(row, start, length), sign);
            let u1 = _mm512_srli_epi64::<52>(u);
            w[0] = _mm512_madd52lo_epu64(w[0], u, s0);
            w[1] = _mm512_madd52hi_epu64(w[1], u, s0);
            w[1] = _mm512_madd52lo_epu64(w[1], u, s1);
            w[1] = _mm512_madd52lo_epu64(w[1], u1, s0);
            w[2] = _mm512_madd52hi_epu64(w[2], u, s1);
            w[2] = _mm512_madd52lo_epu64(w[2], u, s2);
            w[2] = _mm512_madd52hi_epu64(w[2], u1, s0);
            w[2] = _mm512_madd52lo_epu64(w[2], u1, s1);
            w[3] = _mm512_madd52hi_epu64(w[3], u, s2);
            w[3] = _mm512_madd52hi_epu64(w[3], u1, s1);
            w[3] = _mm512_madd52lo_epu64(w[3], u1, s2);
        }
    }
    let excess = fold(limb_sums, 63);
    for (out, words) in out.into_iter().zip(words) {
        *out += fold(words, 0) - excess;
    }
}

/// `sum_j (sum of the lanes of words[j]) * 2^(52 j + bits)`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fold<const N: usize>(words: [__m512i; N], bits: u32) -> Wide {
    let mut total = Wide::ZERO;
    for (word, weight) in words.into_iter().zip((bits..).step_by(52)) {
        let mut lanes = [0i64; 8];
        // SAFETY: the array has room for the eight lanes.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), word) };
        // A lane is below 2^62, so eight lanes may sum to 2^65, which only `i128` holds.
        total.add_shifted(lanes.into_iter().map(i128::from).sum(), weight);
    }
    total
}

/// Eight entries of a row of `length`; zeros past its end.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn load_entries(row: &[i64], start: usize, length: usize) -> __m512i {
    assert!(row.len() == length, "rows as wide as the planes");
    let entries = row.as_ptr().wrapping_add(start);
    _mm_prefetch::<_MM_HINT_T0>(entries.wrapping_add(PREFETCH_DISTANCE).cast());
    // SAFETY: the mask keeps the lanes inside the row, and masked lanes are not read.
    unsafe { _mm512_maskz_loadu_epi64(lanes_inside(length, start), entries) }
}

/// The limbs of eight challenges; zeros past their end.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn load_limbs(planes: [&[u64]; CHALLENGE_LIMBS], start: usize, length: usize) -> [__m512i; CHALLENGE_LIMBS] {
    let mut limbs = [_mm512_setzero_si512(); CHALLENGE_LIMBS];
    for (limbs, plane) in limbs.iter_mut().zip(planes) {
        assert!(plane.len() == length, "planes of one width");
        let inside = lanes_inside(length, start);
        // SAFETY: the mask keeps the lanes inside the plane, and masked lanes are not read.
        *limbs = unsafe { _mm512_maskz_loadu_epi64(inside, plane.as_ptr().wrapping_add(start).cast()) };
    }
    limbs
}

/// A mask of those of the eight lanes from `start` on that lie before `end`.
fn lanes_inside(end: usize, start: usize) -> u8 {
    match end.saturating_sub(start) {
        count @ 0..8 => (1 << count) - 1,
        _ => u8::MAX,
    }
}
