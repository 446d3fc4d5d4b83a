//! The simulator of the zero-knowledge argument for a registration with a range argument: accepting transcripts from manifest
//! and commitments alone, by the [`Pretender`].

use lorica_algebra::Point;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_argument::generators::{Generators, registration_slots};
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_verify::range::{self, ColumnClaims, Columns, RangeProof};
use lorica_verify::rows::statement::RangeStatement;

use crate::pretender::{Opened, Pretender};
use crate::transcript::Foreseen;

impl Columns for Pretender<'_> {
    fn enter(&mut self, _claims: &ColumnClaims) {}
}

/// A registration proof for challenges that were fixed beforehand, made without any witness.
///
/// # Panics
/// A foreseen challenge is zero or in the table.
pub fn simulate_range<'a>(
    statement: impl Into<RangeStatement<'a>>,
    generators: &Generators,
    mode: OpeningMode,
    challenges: &Foreseen,
    seed: u64,
) -> RangeProof {
    let statement = statement.into();
    let shape = statement.shape();
    let mut party = Pretender::new(generators, seed);
    let multiplicities: Vec<EncodedPoint> = (0..shape.multiplicity_rows()).map(|_| party.point()).collect();
    let slots = registration_slots(shape.slots());
    let bases = SlotBases { slots: &slots, blinding: *generators.blinding() };
    let mut transcript = challenges.clone();
    let (_, lookup) = range::begin(&mut transcript, &statement).commit(&multiplicities).expect("a gamma");
    let Ok(products) = lookup.walk(&shape, &mut party);
    let Ok(columns) = products.walk(bases, &mut party);
    let Ok(end) = columns.expect("enough bases").walk(&shape, &mut party);

    let collapsed = end.collapse(&shape).expect("a theta");
    let weights = end.weights(&shape);
    let rows: Vec<Point> = statement.commitments().copied().collect();
    let counted: Vec<Point> = multiplicities.iter().map(|row| *row.point()).collect();
    let rows = multiscalar(&weights.rows, &rows) + multiscalar(&weights.multiplicities, &counted);
    let opened = Opened {
        bases: [&generators.first_rows(shape.width), slots.as_slice()].concat(),
        form: collapsed,
        rows,
        scratch: end.ledger.commitments(),
        theta: end.theta,
    };
    let opening = party.open(opened, mode, end.transcript);
    let scratch = end.ledger.commitments().to_vec();
    RangeProof { multiplicities, scratch, product: party.product.expect("a product proof"), opening }
}
