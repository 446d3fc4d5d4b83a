//! The simulators' party: it knows no witness and sends what convinces a verifier whose challenges were chosen beforehand.
//!
//! As in [`crate::simulator`]: every hiding commitment is a random point, and the first messages of the product proof and of the
//! opening are solved for. All committed walks use this one ([`crate::range_simulator`], [`crate::training_simulator`]).

use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::form::AffineForm;
use lorica_argument::generators::Generators;
use lorica_argument::lookup::Layers;
use lorica_argument::opening::{OpeningMode, OpeningProof, mask_challenge};
use lorica_argument::product::{
    self, ProductBases, ProductCommitments, ProductMasks, ProductProof, ProductResponse,
};
use lorica_argument::products::Factors;
use lorica_argument::transcript::{Label, Transcript};
use lorica_argument::walk::Rounds;
use lorica_prove::opening::MaskedVector;

use crate::random::Random;
use crate::transcript::Foreseen;

/// The party that sends random points.
pub struct Pretender<'a> {
    generators: &'a Generators,
    random: Random,
    /// The product proof, once it was asked for.
    pub product: Option<ProductProof>,
}

/// What a pretender has to open, all of it public.
pub struct Opened<'a> {
    /// The bases of the opened vector.
    pub bases: Vec<Point>,
    /// The form and the value that it must have.
    pub form: CollapsedForm,
    /// The combination of all rows' commitments.
    pub rows: Point,
    /// The scratch commitments.
    pub scratch: &'a [EncodedPoint],
    /// Separates them.
    pub theta: Scalar,
}

impl<'a> Pretender<'a> {
    /// A party whose messages follow from a seed.
    pub fn new(generators: &'a Generators, seed: u64) -> Self {
        Self { generators, random: Random::new(seed), product: None }
    }

    fn scalar(&mut self) -> Scalar {
        let (low, high) = (self.random.bytes(), self.random.bytes());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        scalar::from_uniform_bytes(&bytes)
    }

    /// A hiding commitment is a uniform point; so is this multiple of the blinding base.
    pub fn point(&mut self) -> EncodedPoint {
        let blind = self.scalar();
        EncodedPoint::new(multiscalar(&[blind], &[*self.generators.blinding()]))
    }

    /// The same for many.
    pub fn points(&mut self, count: usize) -> Vec<EncodedPoint> {
        (0..count).map(|_| self.point()).collect()
    }

    /// A uniform masked vector, and the mask that fits it for the challenge that comes next.
    ///
    /// # Panics
    /// The transcript is not [`Foreseen`], or a fold challenge is zero.
    pub fn open(
        &mut self,
        opened: Opened<'_>,
        mode: OpeningMode,
        transcript: &mut dyn Transcript,
    ) -> OpeningProof {
        let Opened { bases, form: CollapsedForm { form, value }, rows, scratch, theta } = opened;
        let scratch: Point = scratch
            .iter()
            .zip(powers(theta))
            .map(|(commitment, power)| multiscalar(&[power], &[*commitment.point()]))
            .sum();
        let vector: Vec<Scalar> = (0..bases.len()).map(|_| self.scalar()).collect();
        let blind = self.scalar();
        let e = next_challenge(transcript);
        let h = *self.generators.blinding();
        let masked = multiscalar(&vector, &bases) + multiscalar(&[blind], &[h]);
        let mask_commitment = EncodedPoint::new(masked - multiscalar(&[e], &[rows + scratch]));
        let mask_value = inner_product(&vector, &form) - e * value;
        assert_eq!(mask_challenge(transcript, &mask_commitment, &mask_value), e);
        let masked = MaskedVector { bases, form_base: self.generators.form(), form, vector, blind };
        let response = masked.respond(mode, transcript).expect("a response");
        OpeningProof { mask_commitment, mask_value, blind, response }
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

/// The challenge that a foreseen transcript gives next, without drawing it: its state tells.
fn next_challenge(transcript: &dyn Transcript) -> Scalar {
    Foreseen::from_state(&transcript.state()).challenge(Label("next"))
}
