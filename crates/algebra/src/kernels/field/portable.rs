//! The portable twins of the loops over scalars.

use ark_ff::Zero;

use super::{Fractions, Halves, LayerHalves, RoundSums};
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

/// Adds fractions in pairs; the lengths agree.
pub(super) fn add_fractions(low: Fractions<'_>, high: Fractions<'_>, p: &mut [Scalar], q: &mut [Scalar]) {
    let low = low.numerators.iter().zip(low.denominators);
    let high = high.numerators.iter().zip(high.denominators);
    for (((p, q), (p_low, q_low)), (p_high, q_high)) in p.iter_mut().zip(q).zip(low).zip(high) {
        *p = *p_low * q_high + *p_high * q_low;
        *q = *q_low * q_high;
    }
}

/// Adds fractions with the numerator 1 in pairs; the lengths agree.
pub(super) fn add_inverses(q_low: &[Scalar], q_high: &[Scalar], p: &mut [Scalar], q: &mut [Scalar]) {
    for (((p, q), q_low), q_high) in p.iter_mut().zip(q).zip(q_low).zip(q_high) {
        *p = *q_low + q_high;
        *q = *q_low * q_high;
    }
}

/// The sums of a round over a layer; the lengths agree.
pub(super) fn layer_sums(weights: &[Scalar], halves: &LayerHalves<'_>) -> RoundSums {
    let LayerHalves { left, q_high, p_high, q_low } = halves;
    let (mut constant, mut leading) = (Scalar::zero(), Scalar::zero());
    for (i, weight) in weights.iter().enumerate() {
        constant += *weight * (left[0][i] * q_high[0][i] + p_high[0][i] * q_low[0][i]);
        let difference = |table: &[&[Scalar]; 2]| table[1][i] - table[0][i];
        leading += *weight * (difference(left) * difference(q_high) + difference(p_high) * difference(q_low));
    }
    RoundSums { constant, leading }
}

/// The sums of a round over two tables, weighed; the lengths agree.
pub(super) fn weighed_sums(weights: &[Scalar], halves: &Halves<'_>) -> RoundSums {
    let Halves { left_low, left_high, right_low, right_high } = halves;
    let (mut constant, mut leading) = (Scalar::zero(), Scalar::zero());
    for (i, weight) in weights.iter().enumerate() {
        constant += *weight * (left_low[i] * right_low[i]);
        leading += *weight * ((left_high[i] - left_low[i]) * (right_high[i] - right_low[i]));
    }
    RoundSums { constant, leading }
}

/// `low[i] += factor * high[i]`.
pub(super) fn add_scaled(low: &mut [Scalar], high: &[Scalar], factor: Scalar) {
    for (low, high) in low.iter_mut().zip(high) {
        *low += factor * high;
    }
}
