//! The portable twins of the inner products.

use crate::kernels::digits::CHALLENGE_LIMBS;
use crate::wide::Wide;

/// `sum_i row[i] * planes[j][i]` for each j.
pub(super) fn digit_sums<const DIGITS: usize>(row: &[i16], planes: [&[i32]; DIGITS]) -> [i64; DIGITS] {
    planes
        .map(|plane| row.iter().zip(plane).map(|(&entry, &digit)| i64::from(entry) * i64::from(digit)).sum())
}

/// The inner product of each row with the challenges whose radix-2^52 limbs are given.
///
/// A product of an `i64` and a limb has magnitude at most 2^(63 + 52), so `i128` holds 2^12 of them.
pub(super) fn dot_i64_rows(rows: &[i64], planes: [&[u64]; CHALLENGE_LIMBS], out: &mut [Wide]) {
    const BLOCK: usize = 1 << 11;
    for (row, place) in rows.chunks_exact(planes[0].len()).zip(out) {
        for (j, plane) in planes.iter().enumerate() {
            for (row, limbs) in row.chunks(BLOCK).zip(plane.chunks(BLOCK)) {
                let products =
                    row.iter().zip(limbs).map(|(&entry, &limb)| i128::from(entry) * i128::from(limb));
                place.add_shifted(products.sum(), 52 * j as u32);
            }
        }
    }
}
