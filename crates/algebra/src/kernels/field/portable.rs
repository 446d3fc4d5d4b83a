//! The portable twins of the loops over scalars.

use ark_ff::Zero;

use super::{Halves, RoundSums};
use crate::Scalar;

/// `sum_i left[i] * right[i]`; the lengths agree.
pub(super) fn inner_product(left: &[Scalar], right: &[Scalar]) -> Scalar {
    left.iter().zip(right).fold(Scalar::zero(), |sum, (left, right)| sum + *left * right)
}

/// The sums of a round; the lengths agree.
pub(super) fn round_sums(halves: &Halves<'_>) -> RoundSums {
    let Halves { left_low, left_high, right_low, right_high } = halves;
    let mut leading = Scalar::zero();
    for ((left_low, left_high), (right_low, right_high)) in
        left_low.iter().zip(*left_high).zip(right_low.iter().zip(*right_high))
    {
        leading += (*left_high - left_low) * (*right_high - right_low);
    }
    RoundSums { constant: inner_product(left_low, right_low), leading }
}

/// `low[i] += challenge * (high[i] - low[i])`; the lengths agree.
pub(super) fn bind(low: &mut [Scalar], high: &[Scalar], challenge: Scalar) {
    for (low, high) in low.iter_mut().zip(high) {
        *low += challenge * (*high - *low);
    }
}

/// `values[i] *= factor`.
pub(super) fn scale(values: &mut [Scalar], factor: Scalar) {
    for value in values {
        *value *= factor;
    }
}
