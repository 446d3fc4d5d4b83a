//! The AVX-512 twin of the row combination.
//!
//! One VNNI instruction adds the products of two rows' entries with two small coefficients to a 32-bit lane for each of
//! sixteen columns. A digit is therefore cut in three parts, `d = p_0 + 2^11 p_1 + 2^22 p_2`, and the sums of the parts
//! are put together again in the planes. A tile is 32 columns, one cache line of a row, times the twelve parts of four
//! digits: 24 accumulators that stay in registers while a group of rows passes.

use std::arch::x86_64::*;

use super::{DIGITS_PER_PASS, Pass, Planes, portable};
use crate::Scalar;
use crate::kernels::field::lanes::{Canonical, LANES};
use crate::wide;

/// Columns of a tile.
const TILE: usize = 32;

/// Columns of an accumulator: one 32-bit lane each.
const SUMS: usize = 16;

/// Parts of a digit.
const PARTS: usize = 3;

/// Bits of a part but the last, which is at most 2^9 in magnitude.
const PART_BITS: u32 = 11;

/// Rows that pass over a tile between two additions to the planes.
///
/// A part p has `-2^10 < p <= 2^10` and an entry e has `-2^15 <= e < 2^15`, so that `-2^25 <= p e < 2^25`: the sum of
/// 64 such products fits an `i32`, and that of 65 does not.
const ROWS_PER_GROUP: usize = 64;

/// Tiles between the one that is worked on and the one that is fetched: the processor does not see by itself that so
/// many rows are read side by side.
const TILES_AHEAD: usize = 4;

/// Cuts a digit in parts; all but the last lie in `(-2^10, 2^10]`.
///
/// That range, and not `[-2^10, 2^10)`, because an entry reaches `-2^15` and not `2^15`.
fn parts(digit: i32) -> [i16; PARTS] {
    const RADIX: i32 = 1 << PART_BITS;
    let mut rest = digit;
    std::array::from_fn(|part| {
        let last = part + 1 == PARTS;
        let low = rest & (RADIX - 1);
        let carry = i32::from(low > RADIX / 2);
        let value = if last { rest } else { low - RADIX * carry };
        rest = (rest >> PART_BITS) + carry;
        value as i16
    })
}

/// The parts of the digits of two rows, side by side as an instruction multiplies them; a missing row counts zero.
pub(super) type PairParts = [[i32; PARTS]; DIGITS_PER_PASS];

/// The parts of the digits of each two rows.
pub(super) fn pair_parts(digits: &[[i32; DIGITS_PER_PASS]]) -> Vec<PairParts> {
    let of_pair = |pair: &[[i32; DIGITS_PER_PASS]]| {
        std::array::from_fn(|j| {
            let first = parts(pair[0][j]);
            let second = pair.get(1).map_or([0; PARTS], |digits| parts(digits[j]));
            std::array::from_fn(|part| i32::from(second[part]) << 16 | i32::from(first[part] as u16))
        })
    };
    digits.chunks(2).map(of_pair).collect()
}

/// Which words of two rows make the pairs of the columns from `start` on: even lanes hold the first eight columns, odd
/// lanes the next eight, so that widening keeps them in order.
const fn interleaving(start: i16) -> [i16; 2 * SUMS] {
    let mut words = [0; 2 * SUMS];
    let mut lane = 0;
    while lane < SUMS {
        let column = start + (lane / 2 + 8 * (lane % 2)) as i16;
        words[2 * lane] = column;
        words[2 * lane + 1] = column + TILE as i16;
        lane += 1;
    }
    words
}

const INTERLEAVINGS: [[i16; 2 * SUMS]; TILE / SUMS] = [interleaving(0), interleaving(SUMS as i16)];

/// Adds `digits[n][j] * rows[n][i]` to `planes[j][i]`. The last columns, less than a tile, go the portable way.
///
/// # Safety
/// The processor has AVX-512 F, BW and VNNI; all rows and planes have one length.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn accumulate(pass: &Pass<'_>, mut planes: [&mut [i64]; DIGITS_PER_PASS]) {
    let width = planes[0].len();
    let tiled = width - width % TILE;
    // SAFETY: an interleaving is as long as a register.
    let interleavings = INTERLEAVINGS.map(|words| unsafe { _mm512_loadu_si512(words.as_ptr().cast()) });
    for (pairs, rows) in
        pass.coefficients.pairs.chunks(ROWS_PER_GROUP / 2).zip(pass.rows.chunks(ROWS_PER_GROUP))
    {
        for start in (0..tiled).step_by(TILE) {
            let mut sums = [[[_mm512_setzero_si512(); TILE / SUMS]; PARTS]; DIGITS_PER_PASS];
            for (digits, rows) in pairs.iter().zip(rows.chunks(2)) {
                let [first, second] = [rows[0], rows[rows.len() - 1]].map(|row| {
                    let place = row.as_ptr().wrapping_add(start);
                    _mm_prefetch::<_MM_HINT_T1>(place.wrapping_add(TILES_AHEAD * TILE).cast());
                    // SAFETY: start + TILE <= width, the length of every row.
                    unsafe { _mm512_loadu_si512(place.cast()) }
                });
                let entries = interleavings.map(|words| _mm512_permutex2var_epi16(first, words, second));
                for (sums, parts) in sums.as_flattened_mut().iter_mut().zip(digits.as_flattened()) {
                    let parts = _mm512_set1_epi32(*parts);
                    for (sum, entries) in sums.iter_mut().zip(entries) {
                        *sum = _mm512_dpwssd_epi32(*sum, entries, parts);
                    }
                }
            }
            for (plane, sums) in planes.iter_mut().zip(&sums) {
                for half in 0..TILE / SUMS {
                    let [even, odd] = put_together(sums.map(|sums| sums[half]));
                    // SAFETY: start + TILE <= width, the length of every plane.
                    unsafe {
                        let place = plane.as_mut_ptr().add(start + half * SUMS);
                        add_to(place, even);
                        add_to(place.add(SUMS / 2), odd);
                    }
                }
            }
        }
    }
    if tiled < width {
        let rows: Vec<_> = pass.rows.iter().map(|row| &row[tiled..]).collect();
        let rest = Pass { coefficients: pass.coefficients, rows: &rows };
        portable::accumulate(&rest, planes.map(|plane| &mut plane[tiled..]));
    }
}

/// `p_0 + 2^11 p_1 + 2^22 p_2` in 64 bits, of the even and of the odd lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn put_together(parts: [__m512i; PARTS]) -> [__m512i; 2] {
    let mut sums = [_mm512_setzero_si512(); 2];
    for (part, low) in parts.into_iter().enumerate() {
        let weight = _mm512_set1_epi64(1 << (PART_BITS * part as u32));
        for (sum, lanes) in sums.iter_mut().zip([low, _mm512_srli_epi64::<32>(low)]) {
            *sum = _mm512_add_epi64(*sum, _mm512_mul_epi32(lanes, weight));
        }
    }
    sums
}

/// Adds to eight sums of a plane.
///
/// # Safety
/// The processor has AVX-512 F; eight sums lie at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn add_to(place: *mut i64, addend: __m512i) {
    // SAFETY: the caller's.
    unsafe { _mm512_storeu_si512(place.cast(), _mm512_add_epi64(_mm512_loadu_si512(place.cast()), addend)) }
}

/// 2^67 l in halves of words: more than the magnitude of any sum, so that adding it leaves nothing negative.
const BIAS: [i64; 10] = {
    let [w0, w1, w2, w3] = wide::L;
    let words = [0, w0 << 3, w0 >> 61 | w1 << 3, w1 >> 61 | w2 << 3, w2 >> 61 | w3 << 3];
    let mut halves = [0; 10];
    let mut i = 0;
    while i < 5 {
        halves[2 * i] = (words[i] & 0xffff_ffff) as i64;
        halves[2 * i + 1] = (words[i] >> 32) as i64;
        i += 1;
    }
    halves
};

/// Writes the sum of each column over R. The last columns, less than eight, go the portable way.
///
/// A plane is at most 2^62 + 2^32 in magnitude, so that a digit with its bias and a carry stays inside `i64`, and at most
/// eight planes and the top make a sum of magnitude below 2^318 + 2^288; 2^67 l, which is added to make it positive, is
/// between 2^319 and 2^319 + 2^192, so that the result lies between 0 and 2^320.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; all planes are as long as `out`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn write_over_r<const DIGITS: usize>(planes: &Planes<DIGITS>, out: &mut [Scalar]) {
    let half = _mm512_set1_epi64(0xffff_ffff);
    let tiled = out.len() - out.len() % LANES;
    for (index, out) in out[..tiled].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let mut halves = [_mm512_setzero_si512(); 10];
        let mut carry = _mm512_setzero_si512();
        for j in 0..10 {
            let plane =
                if j < DIGITS { Some(&planes.digits[j]) } else { (j == DIGITS).then_some(&planes.top) };
            let mut sum = _mm512_add_epi64(carry, _mm512_set1_epi64(BIAS[j]));
            if let Some(plane) = plane {
                // SAFETY: index * LANES + LANES <= tiled <= out.len(), the length of every plane.
                let digits = unsafe { _mm512_loadu_si512(plane.as_ptr().add(index * LANES).cast()) };
                sum = _mm512_add_epi64(sum, digits);
            }
            halves[j] = _mm512_and_si512(sum, half);
            carry = _mm512_srai_epi64::<32>(sum);
        }
        let mut words = [_mm512_setzero_si512(); 5];
        for i in 0..5 {
            words[i] = _mm512_or_si512(halves[2 * i], _mm512_slli_epi64::<32>(halves[2 * i + 1]));
        }
        Canonical::residues(words).store_in_order(out);
    }
    portable::write_over_r(planes, tiled, &mut out[tiled..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LARGEST_PART: i64 = 1 << (PART_BITS - 1);

    fn check_parts(digit: i32) {
        let [p0, p1, p2] = parts(digit).map(i64::from);
        assert_eq!(p0 + (p1 << PART_BITS) + (p2 << (2 * PART_BITS)), i64::from(digit));
        assert!([p0, p1].iter().all(|part| (1 - LARGEST_PART..=LARGEST_PART).contains(part)), "{digit}");
        assert!(p2.abs() <= 1 << 9, "{digit}");
    }

    #[test]
    fn parts_of_extreme_digits() {
        for border in [0, 1 << 10, 1 << 21, (1 << 10) + (1 << 21), i32::MIN, i32::MAX] {
            (-2..=2).for_each(|offset| check_parts(border.wrapping_add(offset)));
        }
        assert_eq!(parts((1 << 10) + (1 << 21)), [1 << 10, 1 << 10, 0]);
    }

    proptest! {
        #[test]
        fn parts_are_small_and_add_up_to_the_digit(digit: i32) {
            check_parts(digit);
        }
    }

    #[test]
    fn a_lane_has_room_for_a_group_of_rows_and_not_for_one_more() {
        let products = [1 - LARGEST_PART, LARGEST_PART]
            .into_iter()
            .flat_map(|part| [i16::MIN, i16::MAX].map(|entry| part * i64::from(entry)));
        let extremes: Vec<i64> = products.collect();
        let rows = ROWS_PER_GROUP as i64;
        assert!(extremes.iter().all(|product| i32::try_from(rows * product).is_ok()));
        assert!(extremes.iter().any(|product| i32::try_from((rows + 1) * product).is_err()));
    }
}
