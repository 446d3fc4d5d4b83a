//! Many products of committed slots, brought down to one product proof.
//!
//! Constraints `sum_t left_t right_t = target`, all three affine forms in slots, are weighed by powers of chi and summed;
//! a committed sumcheck over the number of a term ends at `alpha beta = gamma`, each committed alone on its slot. Three
//! linear constraints tie these to the other slots.

use lorica_algebra::multilinear::{eq_table, variables};
use lorica_algebra::point::EncodedPoint;
use lorica_algebra::{Point, Scalar};

use crate::form::{AffineForm, Slot};
use crate::product::{ProductBases, ProductCommitments};
use crate::transcript::{Label, Transcript};
use crate::walk::{RoundLabels, Rounds, Walk};

const CHI: Label = Label("products: chi");
const ROUNDS: RoundLabels = RoundLabels { round: Label("products: round"), challenge: Label("products: p") };
const FACTORS: Label = Label("products: alpha beta gamma");

/// `sum_t left_t * right_t = target`
#[derive(Debug, Clone)]
pub struct ProductConstraint {
    /// The pairs of factors.
    pub terms: Vec<(AffineForm, AffineForm)>,
    /// What they sum to.
    pub target: AffineForm,
}

/// The slots on which the last three values stand, each committed alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorSlots {
    /// alpha
    pub a: Slot,
    /// beta
    pub b: Slot,
    /// gamma
    pub c: Slot,
}

/// Who sends the messages of this part.
pub trait Factors: Rounds {
    /// The factors of all terms, in order; the left ones carry their constraint's power of chi.
    fn enter(&mut self, terms: &[(AffineForm, AffineForm)]) -> Result<(), Self::Error>;

    /// The commitments to alpha, beta and gamma, each alone on the next slot.
    fn factors(&mut self) -> Result<[EncodedPoint; 3], Self::Error>;

    /// The product proof: made or checked on the transcript, by the functions of [`crate::product`].
    fn product(
        &mut self,
        bases: &ProductBases,
        commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), Self::Error>;
}

/// The bases that the product proof is about: those of the slots, and the blinding base.
#[derive(Debug, Clone, Copy)]
pub struct SlotBases<'a> {
    /// One for each slot.
    pub slots: &'a [Point],
    /// h
    pub blinding: Point,
}

/// The number of sumcheck rounds for so many terms.
pub fn rounds(terms: usize) -> usize {
    variables(terms)
}

/// The number of slots of each commitment of this part, in the order of sending.
pub fn blocks(terms: usize) -> impl Iterator<Item = usize> {
    std::iter::repeat_n(2, rounds(terms)).chain([1; 3])
}

/// Shows all constraints; returns three forms that are zero. `None` if there are fewer slot bases than slots.
pub fn walk<P: Factors>(
    constraints: Vec<ProductConstraint>,
    bases: SlotBases<'_>,
    walk: &mut Walk<'_>,
    party: &mut P,
) -> Result<Option<[AffineForm; 3]>, P::Error> {
    let chi = walk.transcript.challenge(CHI);
    let mut terms = Vec::new();
    let mut claim = AffineForm::public(Scalar::from(0u8));
    let mut weight = Scalar::from(1u8);
    for constraint in constraints {
        claim.add_scaled(&constraint.target, weight);
        for (left, right) in constraint.terms {
            let mut weighed = AffineForm::public(Scalar::from(0u8));
            weighed.add_scaled(&left, weight);
            terms.push((weighed, right));
        }
        weight *= chi;
    }
    party.enter(&terms)?;
    let point = walk.sumcheck(ROUNDS, rounds(terms.len()), &mut claim, party)?;
    let [c_a, c_b, c_c] = party.factors()?;
    let [a] = walk.receive(FACTORS, c_a);
    let [b] = walk.receive(FACTORS, c_b);
    let [c] = walk.receive(FACTORS, c_c);
    let base = |Slot(slot): Slot| bases.slots.get(slot).copied();
    let (Some(base_a), Some(base_b), Some(base_c)) = (base(a), base(b), base(c)) else { return Ok(None) };
    let product_bases = ProductBases { a: base_a, b: base_b, c: base_c, blinding: bases.blinding };
    let commitments = ProductCommitments { a: *c_a.point(), b: *c_b.point(), c: *c_c.point() };
    party.product(&product_bases, &commitments, walk.transcript)?;

    let minus_one = -Scalar::from(1u8);
    let (mut alpha, mut beta, mut gamma) = (AffineForm::slot(a), AffineForm::slot(b), AffineForm::slot(c));
    for ((left, right), eq) in terms.iter().zip(eq_table(&point, terms.len())) {
        alpha.add_scaled(left, -eq);
        beta.add_scaled(right, -eq);
    }
    gamma.add_scaled(&claim, minus_one);
    Ok(Some([alpha, beta, gamma]))
}
