//! Affine forms in committed slots.
//!
//! A committed sumcheck never shows a round polynomial. What the verifier keeps instead of a claim is how the claim
//! depends on the committed coefficients: `constant + sum_j coefficient_j * slot_j`, with public coefficients.

use ark_ff::Zero;
use lorica_algebra::Scalar;

/// Index of a scratch base, and of the value committed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// The two slots of a sumcheck round whose factor of eq was taken out: the coefficients of `X` and of `X^2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EqRoundSlots {
    /// `h_1`
    pub linear: Slot,
    /// `h_2`
    pub leading: Slot,
}

/// The two slots of one sumcheck round: the round polynomial's constant and leading coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundSlots {
    /// `g(0)`
    pub constant: Slot,
    /// The coefficient of `X^2`.
    pub leading: Slot,
}

/// The three slots of a sumcheck round of degree three: all coefficients of the round polynomial but the linear one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CubicRoundSlots {
    /// `g(0)`
    pub constant: Slot,
    /// The coefficient of `X^2`.
    pub quadratic: Slot,
    /// The coefficient of `X^3`.
    pub cubic: Slot,
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

    /// Adds `factor * other`. A slot may then have several terms, which count together.
    pub fn add_scaled(&mut self, other: &Self, factor: Scalar) {
        self.constant += factor * other.constant;
        self.terms.extend(other.terms.iter().map(|(slot, coefficient)| (*slot, factor * coefficient)));
    }

    /// Turns the claim `(1 - z) h(0) + z h(1)` into the claim `h(r)` for a polynomial h of degree two.
    ///
    /// With `h = h_0 + h_1 X + h_2 X^2` the claim is `h_0 + z (h_1 + h_2)`, so
    /// `h(r) = claim + (r - z) h_1 + (r^2 - z) h_2`: nothing is divided by.
    pub fn bind_eq_round(&mut self, slots: EqRoundSlots, z: Scalar, challenge: Scalar) {
        self.push(slots.linear, challenge - z);
        self.push(slots.leading, challenge * challenge - z);
    }

    /// The value, given those of all slots; `None` if a term names a slot that there is not.
    pub fn evaluate(&self, slots: &[Scalar]) -> Option<Scalar> {
        self.terms
            .iter()
            .try_fold(self.constant, |sum, (slot, coefficient)| Some(sum + *coefficient * slots.get(slot.0)?))
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

    /// As [`AffineForm::bind_round`] for a round polynomial of degree three:
    /// `g(r) = r * claim + (1 - 2 r) c_0 + (r^2 - r) c_2 + (r^3 - r) c_3`.
    pub fn bind_cubic_round(&mut self, slots: CubicRoundSlots, challenge: Scalar) {
        let CubicRoundSlots { constant, quadratic, cubic } = slots;
        self.bind_round(RoundSlots { constant, leading: quadratic }, challenge);
        self.push(cubic, challenge * challenge * challenge - challenge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_without_its_factor_of_eq_evaluates_the_polynomial_that_meets_the_claim() {
        let [h0, h1, h2, z, r] = [5u64, 11, 7, 23, 1009].map(Scalar::from);
        for z in [z, Scalar::from(0u8), Scalar::from(1u8)] {
            let claim = (Scalar::from(1u8) - z) * h0 + z * (h0 + h1 + h2);
            let mut form = AffineForm::public(claim);
            form.bind_eq_round(EqRoundSlots { linear: Slot(0), leading: Slot(1) }, z, r);
            assert_eq!(form.evaluate(&[h1, h2]), Some(h0 + h1 * r + h2 * r * r));
            assert_eq!(form.evaluate(&[h1]), None);
        }
    }

    #[test]
    fn a_cubic_round_evaluates_the_polynomial_that_meets_the_claim() {
        let [c0, c1, c2, c3, r] = [5u64, 11, 7, 13, 1009].map(Scalar::from);
        let mut form = AffineForm::public(c0 + (c0 + c1 + c2 + c3));
        let slots = CubicRoundSlots { constant: Slot(0), quadratic: Slot(1), cubic: Slot(2) };
        form.bind_cubic_round(slots, r);
        assert_eq!(form.evaluate(&[c0, c2, c3]), Some(c0 + c1 * r + c2 * r * r + c3 * r * r * r));
    }

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
