//! The simulator of the zero-knowledge argument for a registration with a range argument: accepting transcripts from manifest
//! and commitments alone.
//!
//! As in [`crate::simulator`]: challenges are chosen beforehand, every hiding commitment is a random point, and the first messages
//! of the product proof and of the opening are solved for.

use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::collapse::powers;
use lorica_argument::form::AffineForm;
use lorica_argument::generators::{Generators, registration_slots};
use lorica_argument::lookup::Layers;
use lorica_argument::opening::{OpeningMode, OpeningProof, mask_challenge};
use lorica_argument::product::{
    self, ProductBases, ProductCommitments, ProductMasks, ProductProof, ProductResponse,
};
use lorica_argument::products::{Factors, SlotBases};
use lorica_argument::transcript::{Label, Transcript};
use lorica_argument::walk::Rounds;
use lorica_prove::opening::MaskedVector;
use lorica_verify::range::{self, ColumnClaims, Columns, RangeProof};
use lorica_verify::rows::statement::RangeStatement;

use crate::random::Random;
use crate::transcript::Foreseen;

/// The party that sends random points.
struct Pretender<'a> {
    generators: &'a Generators,
    random: Random,
    product: Option<ProductProof>,
}

impl Pretender<'_> {
    fn scalar(&mut self) -> Scalar {
        let (low, high) = (self.random.bytes(), self.random.bytes());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        scalar::from_uniform_bytes(&bytes)
    }

    /// A hiding commitment is a uniform point; so is this multiple of the blinding base.
    fn point(&mut self) -> EncodedPoint {
        let blind = self.scalar();
        EncodedPoint::new(multiscalar(&[blind], &[*self.generators.blinding()]))
    }
}

impl Rounds for Pretender<'_> {
    type Error = std::convert::Infallible;

    fn round(&mut self) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }

    fn bind(&mut self, _challenge: Scalar) {}
}

impl Layers for Pretender<'_> {
    fn roots(&mut self) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }

    fn enter(&mut self, _point: &[Scalar], _lambda: Scalar) {}

    fn ends(&mut self) -> Result<EncodedPoint, Self::Error> {
        Ok(self.point())
    }

    fn descend(&mut self, _tau: Scalar) {}
}

impl Factors for Pretender<'_> {
    fn enter(&mut self, _terms: &[(AffineForm, AffineForm)]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn factors(&mut self) -> Result<[EncodedPoint; 3], Self::Error> {
        Ok([self.point(), self.point(), self.point()])
    }

    /// Uniform responses, and the masks that fit them for the challenge that comes next.
    fn product(
        &mut self,
        bases: &ProductBases,
        commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), Self::Error> {
        let e = next_challenge(transcript);
        let t_1 = self.point();
        let [f_a, f_b, tau_a, tau_b, tau_c] = [(); 5].map(|()| self.scalar());
        let h = bases.blinding;
        let solve = |scalars: &[Scalar], points: &[Point]| EncodedPoint::new(multiscalar(scalars, points));
        let masks = ProductMasks {
            t_a: solve(&[f_a, tau_a, -e], &[bases.a, h, commitments.a]),
            t_b: solve(&[f_b, tau_b, -e], &[bases.b, h, commitments.b]),
            t_0: solve(&[f_a * f_b, tau_c, -e, -(e * e)], &[bases.c, h, *t_1.point(), commitments.c]),
            t_1,
        };
        let response = ProductResponse { f_a, f_b, tau_a, tau_b, tau_c };
        assert_eq!(product::challenge(transcript, &masks), e);
        product::absorb_response(transcript, &response);
        self.product = Some(ProductProof { masks, response });
        Ok(())
    }
}

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
    let mut party = Pretender { generators, random: Random::new(seed), product: None };
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
    let scratch: Point = end
        .ledger
        .commitments()
        .iter()
        .zip(powers(end.theta))
        .map(|(commitment, power)| multiscalar(&[power], &[*commitment.point()]))
        .sum();
    let committed =
        multiscalar(&weights.rows, &rows) + multiscalar(&weights.multiplicities, &counted) + scratch;

    let bases = [&generators.first_rows(shape.width), slots.as_slice()].concat();
    let vector: Vec<Scalar> = (0..bases.len()).map(|_| party.scalar()).collect();
    let blind = party.scalar();
    let e = next_challenge(end.transcript);
    let opened = multiscalar(&vector, &bases) + multiscalar(&[blind], &[*generators.blinding()]);
    let mask_commitment = EncodedPoint::new(opened - multiscalar(&[e], &[committed]));
    let mask_value = inner_product(&vector, &collapsed.form) - e * collapsed.value;
    assert_eq!(mask_challenge(end.transcript, &mask_commitment, &mask_value), e);
    let masked = MaskedVector { bases, form_base: generators.form(), form: collapsed.form, vector, blind };
    let response = masked.respond(mode, end.transcript).expect("a response");
    RangeProof {
        multiplicities,
        scratch: end.ledger.commitments().to_vec(),
        product: party.product.expect("a product proof"),
        opening: OpeningProof { mask_commitment, mask_value, blind, response },
    }
}

/// The challenge that a foreseen transcript gives next, without drawing it: its state tells.
fn next_challenge(transcript: &dyn Transcript) -> Scalar {
    Foreseen::from_state(&transcript.state()).challenge(Label("next"))
}
