//! The prover's half of [`lorica_argument::opening`].

use ark_ff::Field;
use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::{Point, Scalar};
use lorica_argument::opening::{self, Fold, OpeningMode, OpeningProof, OpeningResponse, fold_count};
use lorica_argument::transcript::Transcript;
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::randomness::Randomness;

/// What is opened, with what only the prover knows.
pub struct OpeningWitness<'a> {
    /// The bases of the vector, in order.
    pub bases: Vec<Point>,
    /// h
    pub blinding: &'a Point,
    /// q
    pub form_base: &'a Point,
    /// The public form.
    pub form: Vec<Scalar>,
    /// u
    pub vector: Zeroizing<Vec<Scalar>>,
    /// The blind of `C_u`.
    pub blind: Scalar,
}

/// Why an opening cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningProofError {
    /// A fold challenge was zero, which happens once in 2^252 runs.
    #[error("a fold challenge was zero; prove again")]
    ZeroChallenge,
}

impl OpeningWitness<'_> {
    /// Masks and opens the vector.
    pub fn prove(
        self,
        mode: OpeningMode,
        randomness: &mut Randomness,
        transcript: &mut dyn Transcript,
    ) -> Result<OpeningProof, OpeningProofError> {
        randomness.advance(&transcript.state());
        let mut masked = randomness.scalars(self.vector.len());
        let mask_blind = randomness.scalar();
        let mask =
            point::multiscalar(&masked, &self.bases) + point::multiscalar(&[mask_blind], &[*self.blinding]);
        let mask_commitment = EncodedPoint::new(mask);
        let mask_value = inner_product(&masked, &self.form);
        let e = opening::mask_challenge(transcript, &mask_commitment, &mask_value);
        for (masked, value) in masked.iter_mut().zip(self.vector.iter()) {
            *masked += e * value;
        }
        let blind = mask_blind + e * self.blind;
        let masked = MaskedVector {
            bases: self.bases,
            form_base: self.form_base,
            form: self.form,
            vector: masked,
            blind,
        };
        let response = masked.respond(mode, transcript)?;
        Ok(OpeningProof { mask_commitment, mask_value, blind, response })
    }
}

/// The vector `v = y + e u`, uniform whatever u is: from here on nothing is secret.
pub struct MaskedVector<'a> {
    /// The bases of the vector, in order.
    pub bases: Vec<Point>,
    /// q
    pub form_base: &'a Point,
    /// The public form.
    pub form: Vec<Scalar>,
    /// v
    pub vector: Vec<Scalar>,
    /// tau
    pub blind: Scalar,
}

impl MaskedVector<'_> {
    /// Shows the vector, itself or by an inner-product argument.
    pub fn respond(
        self,
        mode: OpeningMode,
        transcript: &mut dyn Transcript,
    ) -> Result<OpeningResponse, OpeningProofError> {
        match mode {
            OpeningMode::Fast => Ok(OpeningResponse::Fast { vector: self.vector }),
            OpeningMode::Compact => {
                let factor = opening::form_base_factor(transcript, &self.blind);
                let argument = InnerProductArgument {
                    form_base: point::multiscalar(&[factor], &[*self.form_base]),
                    bases: LazyBases::new(self.bases),
                    form: self.form,
                    vector: self.vector,
                };
                argument.prove(transcript)
            }
        }
    }
}

struct InnerProductArgument {
    form_base: Point,
    bases: LazyBases,
    form: Vec<Scalar>,
    vector: Vec<Scalar>,
}

impl InnerProductArgument {
    fn prove(mut self, transcript: &mut dyn Transcript) -> Result<OpeningResponse, OpeningProofError> {
        let mut folds = Vec::with_capacity(fold_count(self.vector.len()));
        while self.vector.len() > 1 {
            let half = self.vector.len().div_ceil(2);
            let vector_high = self.vector.split_off(half);
            let form_high = self.form.split_off(half);
            let (left, right) = self.bases.cross_terms(&self.vector, &vector_high);
            // The form's cross terms: the shorter upper half meets the beginning of the lower one.
            let form_left = inner_product(&self.vector, &form_high);
            let form_right = inner_product(&vector_high, &self.form);
            let add =
                |point, value| EncodedPoint::new(point + point::multiscalar(&[value], &[self.form_base]));
            let fold = Fold { left: add(left, form_left), right: add(right, form_right) };
            let challenge = opening::fold_challenge(transcript, &fold);
            let inverse = challenge.inverse().ok_or(OpeningProofError::ZeroChallenge)?;
            for (low, high) in self.vector.iter_mut().zip(&vector_high) {
                *low += challenge * high;
            }
            for (low, high) in self.form.iter_mut().zip(&form_high) {
                *low += inverse * high;
            }
            self.bases.fold(inverse);
            folds.push(fold);
        }
        let last = self.vector.first().copied().unwrap_or_default();
        Ok(OpeningResponse::Compact { folds, last })
    }
}

/// Bases that are folded only every few rounds.
///
/// A folded base is `low + inverse * high`; folding all of them at once costs a full scalar multiplication each. Kept as
/// weights on the unfolded bases, a round costs one multi-scalar multiplication over all of them instead; and after
/// [`LazyBases::ROUNDS`] rounds each new base is one small multi-scalar multiplication.
struct LazyBases {
    points: Vec<Point>,
    /// For each point: which folded base it belongs to, and with what weight.
    places: Vec<(usize, Scalar)>,
    length: usize,
    rounds: u32,
}

impl LazyBases {
    /// Rounds between two real foldings: eight points go into one.
    const ROUNDS: u32 = 3;

    fn new(points: Vec<Point>) -> Self {
        let places = (0..points.len()).map(|place| (place, Scalar::from(1u8))).collect();
        Self { length: points.len(), points, places, rounds: 0 }
    }

    /// `<low, G_high>` and `<high, G_low>`.
    fn cross_terms(&self, low: &[Scalar], high: &[Scalar]) -> (Point, Point) {
        let half = low.len();
        let (mut left, mut right) = (Terms::default(), Terms::default());
        for ((place, weight), point) in self.places.iter().zip(&self.points) {
            if let Some(index) = place.checked_sub(half) {
                left.push(low[index] * weight, *point);
            } else if let Some(value) = high.get(*place) {
                right.push(*value * weight, *point);
            }
        }
        (left.sum(), right.sum())
    }

    fn fold(&mut self, inverse: Scalar) {
        let half = self.length.div_ceil(2);
        for (place, weight) in &mut self.places {
            if *place >= half {
                *place -= half;
                *weight *= inverse;
            }
        }
        self.length = half;
        self.rounds += 1;
        if self.rounds == Self::ROUNDS {
            self.materialise();
        }
    }

    fn materialise(&mut self) {
        let mut groups = vec![Terms::default(); self.length];
        for ((place, weight), point) in self.places.iter().zip(&self.points) {
            groups[*place].push(*weight, *point);
        }
        *self = Self::new(groups.par_iter().map(Terms::sum).collect());
    }
}

#[derive(Default, Clone)]
struct Terms {
    scalars: Vec<Scalar>,
    points: Vec<Point>,
}

impl Terms {
    fn push(&mut self, scalar: Scalar, point: Point) {
        self.scalars.push(scalar);
        self.points.push(point);
    }

    fn sum(&self) -> Point {
        point::multiscalar(&self.scalars, &self.points)
    }
}
