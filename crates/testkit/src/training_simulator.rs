//! The simulator of the zero-knowledge argument for training proofs: accepting transcripts from the statement alone, by the
//! [`Pretender`]. `docs/spec/tensor-programs.md`, section 7, gives the argument.

use lorica_algebra::Point;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_argument::generators::{Generators, training_slots};
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_verify::training::TrainingProof;
use lorica_verify::training::context::Context;
use lorica_verify::training::layout::RowGroup;
use lorica_verify::training::reduce::{EntrywisePairs, EntrywiseSums, ProductClaim, ProductSums};
use lorica_verify::training::schedule::{self, Columns};

use crate::pretender::{Opened, Pretender};
use crate::transcript::Foreseen;

impl ProductSums for Pretender<'_> {
    fn total(&mut self, _claims: &[ProductClaim<'_>]) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }

    fn ends(&mut self) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }
}

impl EntrywiseSums for Pretender<'_> {
    fn total(&mut self, _pairs: &EntrywisePairs) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }

    fn ends(&mut self) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }
}

impl Columns for Pretender<'_> {
    fn enter(&mut self, _groups: &[RowGroup]) {}
}

/// A training proof for challenges that were fixed beforehand, made without any witness, true statement or not.
///
/// # Panics
/// A foreseen challenge is zero or in the table.
pub fn simulate_training(
    context: &Context,
    generators: &Generators,
    mode: OpeningMode,
    challenges: &Foreseen,
    seed: u64,
) -> TrainingProof {
    let mut party = Pretender::new(generators, seed);
    let tensors = party.points(context.rows.committed_rows());
    let multiplicities = party.points(context.rows.multiplicity_rows());
    let slots = training_slots(context.sizes().slots());
    let bases = SlotBases { slots: &slots, blinding: *generators.blinding() };
    let mut transcript = challenges.clone();
    let step = schedule::begin(&mut transcript, context).commit(&tensors).commit(&multiplicities);
    let (_, lookup) = step.expect("a gamma");
    let Ok(step) = lookup.walk(&mut party);
    let Ok(step) = step.expect("a statement").products(&mut party);
    let Ok(step) = step.expect("a statement").entrywise(&mut party);
    let Ok(step) = step.expect("a statement").factors(bases, &mut party);
    let Ok(end) = step.expect("enough bases").walk(&mut party);

    let form = end.collapse().expect("a theta");
    let rows: Vec<Point> =
        context.start().chain(&tensors).chain(&multiplicities).map(|row| *row.point()).collect();
    let opened = Opened {
        bases: [&generators.first_rows(context.rows.width), slots.as_slice()].concat(),
        form,
        rows: multiscalar(&end.weights(), &rows),
        scratch: end.ledger.commitments(),
        theta: end.theta,
    };
    let opening = party.open(opened, mode, end.transcript);
    let scratch = end.ledger.commitments().to_vec();
    let product = party.product.expect("a product proof");
    TrainingProof { tensors, multiplicities, scratch, product, opening }
}
