//! The portable twin of the row combination.

use super::{DIGITS_PER_PASS, Pass, Planes};
use crate::Scalar;

/// Adds `digits[n][j] * rows[n][i]` to `planes[j][i]`; all lengths agree.
pub(super) fn accumulate(pass: &Pass<'_>, mut planes: [&mut [i64]; DIGITS_PER_PASS]) {
    for (digits, row) in pass.coefficients.digits.iter().zip(pass.rows) {
        for (plane, &digit) in planes.iter_mut().zip(digits) {
            for (sum, &entry) in plane.iter_mut().zip(*row) {
                *sum += i64::from(digit) * i64::from(entry);
            }
        }
    }
}

/// Writes the sums over R of the columns from `start` on.
pub(super) fn write_over_r<const DIGITS: usize>(planes: &Planes<DIGITS>, start: usize, out: &mut [Scalar]) {
    for (place, sum) in out.iter_mut().zip(planes.sums(start)) {
        *place = sum.to_scalar_over_r();
    }
}
