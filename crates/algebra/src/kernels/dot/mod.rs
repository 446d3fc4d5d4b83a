//! Inner products of int16 and int64 rows with vectors of large integers, exact over the integers.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Backend;
use super::digits::{ChallengeVector, DigitVector};
use crate::wide::Wide;

/// Entries between two foldings of the `i64` sums of [`dot_i16`]: 2^16 products of magnitude 2^46 make 2^62.
const DIGIT_BLOCK: usize = 1 << 16;

/// The inner product of a row with the first `row.len()` entries of `vector`.
///
/// # Panics
/// If the row is longer than the vector.
pub fn dot_i16<const DIGITS: usize>(row: &[i16], vector: &DigitVector<DIGITS>) -> Wide {
    dot_i16_on(Backend::active(), row, vector)
}

/// As [`dot_i16`], on a named twin.
pub fn dot_i16_on<const DIGITS: usize>(backend: Backend, row: &[i16], vector: &DigitVector<DIGITS>) -> Wide {
    assert!(row.len() <= vector.len(), "a row of {} against a vector of {}", row.len(), vector.len());
    let mut total = Wide::ZERO;
    for (block, row) in row.chunks(DIGIT_BLOCK).enumerate() {
        let start = block * DIGIT_BLOCK;
        let planes = vector.planes().each_ref().map(|plane| &plane[start..start + row.len()]);
        total += Wide::from_digit_sums(digit_sums(backend, row, planes));
    }
    total
}

/// `sum_i row[i] * planes[j][i]` for each j, of at most [`DIGIT_BLOCK`] entries; all lengths agree.
fn digit_sums<const DIGITS: usize>(backend: Backend, row: &[i16], planes: [&[i32]; DIGITS]) -> [i64; DIGITS] {
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions, and the planes
        // were cut to the row's length.
        return unsafe { avx512::digit_sums(row, planes) };
    }
    let _ = backend;
    portable::digit_sums(row, planes)
}

/// The inner product of a row with the first `row.len()` challenges, exact for every `i64`.
///
/// # Panics
/// If the row is longer than the vector.
pub fn dot_i64(row: &[i64], challenges: &ChallengeVector) -> Wide {
    let mut out = [Wide::ZERO];
    dot_i64_rows(row, challenges, &mut out);
    out[0]
}

/// The inner product of each row with the first entries of `challenges`; the quick way for many rows, because the
/// challenges are read once for several. `rows` holds `out.len()` rows of equal width one after the other.
///
/// # Panics
/// If the rows are longer than the vector, or `rows` is not `out.len()` rows.
pub fn dot_i64_rows(rows: &[i64], challenges: &ChallengeVector, out: &mut [Wide]) {
    dot_i64_rows_on(Backend::active(), rows, challenges, out);
}

/// As [`dot_i64_rows`], on a named twin.
pub fn dot_i64_rows_on(backend: Backend, rows: &[i64], challenges: &ChallengeVector, out: &mut [Wide]) {
    out.fill(Wide::ZERO);
    if rows.is_empty() {
        return;
    }
    assert!(!out.is_empty() && rows.len().is_multiple_of(out.len()), "rows of one width, a place for each");
    let width = rows.len() / out.len();
    assert!(width <= challenges.len(), "rows of {width} against a vector of {}", challenges.len());
    let planes = challenges.planes().each_ref().map(|plane| &plane[..width]);
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions, and the planes
        // were cut to the width of the rows.
        return unsafe { avx512::dot_i64_rows(rows, planes, out) };
    }
    let _ = backend;
    portable::dot_i64_rows(rows, planes, out);
}
