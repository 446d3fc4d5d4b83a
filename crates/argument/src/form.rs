//! Affine forms in committed slots.
//!
//! A committed sumcheck never shows a round polynomial. What the verifier keeps instead of a claim is how the claim
//! depends on the committed coefficients: `constant + sum_j coefficient_j * slot_j`, with public coefficients.

use ark_ff::Zero;
use lorica_algebra::Scalar;

/// Index of a scratch base, and of the value committed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// The two slots of one sumcheck round: the round polynomial's constant and leading coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundSlots {
    /// `g(0)`
    pub constant: Slot,
    /// The coefficient of `X^2`.
    pub leading: Slot,
}

/// `constant + sum of coefficient * slot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffineForm {
    /// The public part.
    pub constant: Scalar,
    /// The coefficients, at most one for each slot.
    pub terms: Vec<(Slot, Scalar)>,
}

impl AffineForm {
    /// A public value.
    pub fn public(value: Scalar) -> Self {
        Self { constant: value, terms: Vec::new() }
    }

    /// The value of one slot.
    pub fn slot(slot: Slot) -> Self {
        Self { constant: Scalar::zero(), terms: vec![(slot, Scalar::from(1u8))] }
    }

    /// Adds `coefficient * slot` for a slot that has no term yet.
    pub fn push(&mut self, slot: Slot, coefficient: Scalar) {
        self.terms.push((slot, coefficient));
    }

    /// Turns the claim `g(0) + g(1)` into the claim `g(r)` for a round polynomial of degree two.
    ///
    /// With `g = c_0 + c_1 X + c_2 X^2` and `c_1 = claim - 2 c_0 - c_2`:
    /// `g(r) = r * claim + (1 - 2 r) c_0 + (r^2 - r) c_2`. The middle coefficient needs no commitment and no constraint.
    pub fn bind_round(&mut self, slots: RoundSlots, challenge: Scalar) {
        self.constant *= challenge;
        for (_, coefficient) in &mut self.terms {
            *coefficient *= challenge;
        }
        self.push(slots.constant, Scalar::from(1u8) - challenge - challenge);
        self.push(slots.leading, challenge * challenge - challenge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_evaluates_the_polynomial_that_meets_the_claim() {
        let [c0, c1, c2, r] = [5u64, 11, 7, 1009].map(Scalar::from);
        let claim = c0 + (c0 + c1 + c2);
        let mut form = AffineForm::public(claim);
        form.bind_round(RoundSlots { constant: Slot(0), leading: Slot(1) }, r);
        let value = form.constant + form.terms[0].1 * c0 + form.terms[1].1 * c2;
        assert_eq!(value, c0 + c1 * r + c2 * r * r);
    }
}
