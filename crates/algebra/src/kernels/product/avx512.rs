//! The AVX-512 twin of the low-rank product.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Expansion, Projection};

/// Entries of a row that are summed in 32-bit lanes before widening.
///
/// X is split into `256 high + low` with -128 <= high < 128 and 0 <= low < 256, and one instruction adds two
/// products with int16 entries to a lane. After the 128 instructions for these entries a lane is at most
/// 256 * 255 * 2^15 = 2,139,095,040 in magnitude, below 2^31. Without the split a single pair can reach 2^31.
const ENTRIES_PER_SUM: usize = 128 * 32;

/// Tokens and ranks of a full tile of Y: with the two parts of X, sixteen accumulators.
const PROJECTION_TOKENS: usize = 2;
const PROJECTION_RANKS: usize = 4;

/// Tokens and outputs of a full tile of D: sixteen accumulators; 32 outputs are one cache line of B^T.
const EXPANSION_TOKENS: usize = 4;
const EXPANSION_OUTPUTS: usize = 32;

/// Entries of B^T that all tokens pass before the next outputs: 256 KiB, a part of the second-level cache.
const EXPANSION_BLOCK: usize = 128 << 10;

/// Writes Y.
///
/// # Safety
/// The processor has AVX-512 F, DQ, BW and VNNI.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vnni")]
pub(super) unsafe fn project(projection: &Projection<'_>, y: &mut [i64]) {
    let &Projection { x, inputs, .. } = projection;
    y.fill(0);
    for start in (0..inputs).step_by(ENTRIES_PER_SUM) {
        let entries = start..inputs.min(start + ENTRIES_PER_SUM);
        let mut token = 0;
        while token < x.len() / inputs {
            let row = |token: usize| &x[token * inputs..][entries.clone()];
            if (token + PROJECTION_TOKENS) * inputs <= x.len() {
                project_tokens(
                    [row(token), row(token + 1)],
                    projection,
                    &entries,
                    &mut y[token * projection.rank..],
                );
                token += PROJECTION_TOKENS;
            } else {
                project_tokens([row(token)], projection, &entries, &mut y[token * projection.rank..]);
                token += 1;
            }
        }
    }
}

/// Adds the part of Y that comes from some entries of some tokens' rows.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vnni")]
fn project_tokens<const TOKENS: usize>(
    x: [&[i16]; TOKENS],
    projection: &Projection<'_>,
    entries: &Range<usize>,
    y: &mut [i64],
) {
    let &Projection { a, inputs, rank, .. } = projection;
    let row = |k: usize| &a[k * inputs..][entries.clone()];
    let mut k = 0;
    while k < rank {
        if k + PROJECTION_RANKS <= rank {
            let sums = inner_products(x, [row(k), row(k + 1), row(k + 2), row(k + 3)]);
            add_tile(sums, rank, &mut y[k..]);
            k += PROJECTION_RANKS;
        } else {
            add_tile(inner_products(x, [row(k)]), rank, &mut y[k..]);
            k += 1;
        }
    }
}

/// Adds a tile to the rows of `y`, which are `rank` apart.
fn add_tile<const TOKENS: usize, const RANKS: usize>(
    sums: [[i64; RANKS]; TOKENS],
    rank: usize,
    y: &mut [i64],
) {
    for (sums, y) in sums.into_iter().zip(y.chunks_mut(rank)) {
        for (sum, y) in sums.into_iter().zip(y) {
            *y += sum;
        }
    }
}

/// All inner products of some rows of X with some rows of A, of at most [`ENTRIES_PER_SUM`] entries each.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vnni")]
fn inner_products<const TOKENS: usize, const RANKS: usize>(
    x: [&[i16]; TOKENS],
    a: [&[i16]; RANKS],
) -> [[i64; RANKS]; TOKENS] {
    let length = x[0].len();
    debug_assert!(length <= ENTRIES_PER_SUM);
    assert!(x.iter().chain(&a).all(|row| row.len() == length), "rows of one length");
    let mut high = [[_mm512_setzero_si512(); RANKS]; TOKENS];
    let mut low = [[_mm512_setzero_si512(); RANKS]; TOKENS];
    let low_byte = _mm512_set1_epi16(0xff);
    for start in (0..length).step_by(32) {
        let mask = first_lanes(length - start, 32);
        let mut columns = [_mm512_setzero_si512(); RANKS];
        for (column, row) in columns.iter_mut().zip(a) {
            // SAFETY: the mask keeps the lanes inside the row, and masked lanes are not read.
            *column = unsafe { _mm512_maskz_loadu_epi16(mask, row.as_ptr().add(start)) };
        }
        for ((high, low), row) in high.iter_mut().zip(&mut low).zip(x) {
            // SAFETY: as above.
            let entries = unsafe { _mm512_maskz_loadu_epi16(mask, row.as_ptr().add(start)) };
            let upper = _mm512_srai_epi16::<8>(entries);
            let lower = _mm512_and_si512(entries, low_byte);
            for ((high, low), column) in high.iter_mut().zip(low).zip(columns) {
                *high = _mm512_dpwssd_epi32(*high, upper, column);
                *low = _mm512_dpwssd_epi32(*low, lower, column);
            }
        }
    }
    let mut sums = [[0; RANKS]; TOKENS];
    for ((sums, high), low) in sums.iter_mut().zip(high).zip(low) {
        for ((sum, high), low) in sums.iter_mut().zip(high).zip(low) {
            let lanes = _mm512_add_epi64(_mm512_slli_epi64::<8>(widen_and_halve(high)), widen_and_halve(low));
            *sum = _mm512_reduce_add_epi64(lanes);
        }
    }
    sums
}

/// Eight 64-bit lanes with the same sum as sixteen signed 32-bit lanes.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vnni")]
fn widen_and_halve(lanes: __m512i) -> __m512i {
    _mm512_add_epi64(
        _mm512_cvtepi32_epi64(_mm512_castsi512_si256(lanes)),
        _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64::<1>(lanes)),
    )
}

/// A mask of the first `count` of `lanes` lanes, of which there are 1 to 32; all where `count` is larger.
fn first_lanes(count: usize, lanes: usize) -> u32 {
    if count >= lanes { u32::MAX >> (32 - lanes) } else { (1 << count) - 1 }
}

/// Writes D.
///
/// # Safety
/// The processor has AVX-512 F, DQ, BW and VL; `y` holds `rank` entries and `deltas` holds `outputs` entries for
/// each token, `b_transposed` holds `rank * outputs`, and neither of these is zero.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
pub(super) unsafe fn expand(expansion: &Expansion<'_>, deltas: &mut [i64]) {
    let &Expansion { y, rank, outputs, .. } = expansion;
    let block = (EXPANSION_BLOCK / rank).next_multiple_of(EXPANSION_OUTPUTS);
    for start in (0..outputs).step_by(block) {
        let columns = start..outputs.min(start + block);
        let tokens = y.chunks(EXPANSION_TOKENS * rank).zip(deltas.chunks_mut(EXPANSION_TOKENS * outputs));
        for (y, deltas) in tokens {
            // SAFETY: `y` and `deltas` hold rows of as many tokens as the tile is made for.
            unsafe {
                match y.len() / rank {
                    EXPANSION_TOKENS => expand_tokens::<EXPANSION_TOKENS>(expansion, &columns, y, deltas),
                    3 => expand_tokens::<3>(expansion, &columns, y, deltas),
                    2 => expand_tokens::<2>(expansion, &columns, y, deltas),
                    _ => expand_tokens::<1>(expansion, &columns, y, deltas),
                }
            }
        }
    }
}

/// Writes some columns of D for some tokens.
///
/// # Safety
/// As [`expand`], with `TOKENS` rows in `y` and in `deltas`, and `columns` inside `outputs`.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl")]
unsafe fn expand_tokens<const TOKENS: usize>(
    expansion: &Expansion<'_>,
    columns: &Range<usize>,
    y: &[i64],
    deltas: &mut [i64],
) {
    const VECTORS: usize = EXPANSION_OUTPUTS / 8;
    let &Expansion { b_transposed, rank, outputs, .. } = expansion;
    for start in columns.clone().step_by(EXPANSION_OUTPUTS) {
        let mask = first_lanes(columns.end - start, EXPANSION_OUTPUTS);
        let mut sums = [[_mm512_setzero_si512(); VECTORS]; TOKENS];
        for k in 0..rank {
            let b = b_transposed.as_ptr().wrapping_add(k * outputs + start);
            let mut entries = [_mm512_setzero_si512(); VECTORS];
            for (vector, entries) in entries.iter_mut().enumerate() {
                // SAFETY: the mask keeps the lanes inside row k of B^T, and masked lanes are not read.
                let narrow = unsafe {
                    _mm_maskz_loadu_epi16((mask >> (8 * vector)) as u8, b.wrapping_add(8 * vector))
                };
                *entries = _mm512_cvtepi16_epi64(narrow);
            }
            for (token, sums) in sums.iter_mut().enumerate() {
                let y = _mm512_set1_epi64(y[token * rank + k]);
                for (sum, entries) in sums.iter_mut().zip(entries) {
                    *sum = _mm512_add_epi64(*sum, _mm512_mullo_epi64(y, entries));
                }
            }
        }
        for (token, sums) in sums.iter().enumerate() {
            for (vector, sum) in sums.iter().enumerate() {
                let place = deltas.as_mut_ptr().wrapping_add(token * outputs + start + 8 * vector);
                // SAFETY: the mask keeps the lanes inside the token's row, and masked lanes are not written.
                unsafe { _mm512_mask_storeu_epi64(place, (mask >> (8 * vector)) as u8, *sum) };
            }
        }
    }
}
