//! The masked opening of one commitment under a public linear form.
//!
//! Statement: `C_u` commits, on the bases `G_0 .. G_{n-1}` and the blinding base h, to a vector u with
//! `<form, u> = value`. The prover commits to a uniform mask `C_y` and sends `f_y = <form, y>`; the verifier draws e;
//! the vector `v = y + e u`, uniform whatever u is, is opened together with its blind tau:
//! `<v, G> + tau h = C_y + e C_u` and `<form, v> = f_y + e value`.
//!
//! - *Fast*: v itself is sent, 32 bytes an entry.
//! - *Compact*: an inner-product argument shows that such a v is known, with 2 points for each halving. Halves are cut
//!   at `ceil(n / 2)` and the shorter one is padded with identities, so 4,159 entries do not double to 8,192.
//!   Nothing in it needs to hide: v is uniform already.
//!
//! Every check is one multi-scalar multiplication that must give the identity. [`EquationBatch`] checks many at once, by one over
//! the bases that they share.

use ark_ff::Field;
use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::{Point, Scalar};

use crate::codec::{CodecError, Reader, Writer};
use crate::transcript::{Label, Transcript};

const MASK_COMMITMENT: Label = Label("opening: C_y");
const MASK_VALUE: Label = Label("opening: f_y");
const CHALLENGE: Label = Label("opening: e");
const BLIND: Label = Label("opening: tau");
const FORM_BASE: Label = Label("opening: form base factor");
const FOLD: Label = Label("opening: L R");
const FOLD_CHALLENGE: Label = Label("opening: fold");

/// Which of the two responses a proof carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpeningMode {
    /// The masked vector itself.
    Fast,
    /// An inner-product argument.
    Compact,
}

/// One halving of the inner-product argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// `<v_low, G_high> + <v_low, form_high> q`
    pub left: EncodedPoint,
    /// `<v_high, G_low> + <v_high, form_low> q`
    pub right: EncodedPoint,
}

/// How the masked vector is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpeningResponse {
    /// The vector.
    Fast {
        /// `v = y + e u`
        vector: Vec<Scalar>,
    },
    /// The inner-product argument.
    Compact {
        /// One for each halving.
        folds: Vec<Fold>,
        /// The one entry that is left.
        last: Scalar,
    },
}

/// A masked opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningProof {
    /// `C_y`
    pub mask_commitment: EncodedPoint,
    /// `f_y`
    pub mask_value: Scalar,
    /// tau
    pub blind: Scalar,
    /// v
    pub response: OpeningResponse,
}

/// What is opened.
pub struct OpeningStatement<'a> {
    /// `G`, in several runs that follow one another; the number of all of them is n.
    pub bases: &'a [&'a [Point]],
    /// h
    pub blinding: Point,
    /// q, the base that carries the form's value in the compact mode.
    pub form_base: Point,
    /// `C_u` as a sum of scalars times points.
    pub commitment: CommitmentTerms,
    /// The public linear form, n entries.
    pub form: Vec<Scalar>,
    /// The value the form must have.
    pub value: Scalar,
}

/// A commitment as a public combination of known points.
#[derive(Debug, Clone, Default)]
pub struct CommitmentTerms {
    /// Factors.
    pub scalars: Vec<Scalar>,
    /// Points, as many.
    pub points: Vec<Point>,
}

impl CommitmentTerms {
    /// Adds `scalar * point`.
    pub fn push(&mut self, scalar: Scalar, point: Point) {
        self.scalars.push(scalar);
        self.points.push(point);
    }
}

/// Why an opening is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// The masked vector does not have the value of the form: the statement is false or the proof is for another one.
    #[error("the opened vector does not have the claimed value under the linear form")]
    Form,
    /// The masked vector does not open the commitment.
    #[error("the opened vector does not match the commitment")]
    Commitment,
    /// The inner-product argument fails, so one of the two above.
    #[error("the inner-product argument does not hold")]
    InnerProduct,
    /// The statement and the proof disagree about sizes.
    #[error("the opening has {found} entries, the statement {expected}")]
    Size {
        /// Entries of the statement.
        expected: usize,
        /// Entries of the proof.
        found: usize,
    },
    /// A fold challenge was zero, which happens once in 2^252 honest runs.
    #[error("a fold challenge was zero")]
    ZeroChallenge,
}

/// The number of halvings of a vector of n entries.
pub fn fold_count(entries: usize) -> usize {
    let mut count = 0usize;
    let mut length = entries;
    while length > 1 {
        length = length.div_ceil(2);
        count = count.saturating_add(1);
    }
    count
}

/// Takes in the mask and draws e: the one order both sides use.
pub fn mask_challenge(
    transcript: &mut dyn Transcript,
    mask_commitment: &EncodedPoint,
    mask_value: &Scalar,
) -> Scalar {
    transcript.absorb(MASK_COMMITMENT, mask_commitment.bytes());
    transcript.absorb(MASK_VALUE, &lorica_algebra::scalar::to_bytes(mask_value));
    transcript.challenge(CHALLENGE)
}

/// Takes in tau and draws the factor of q, which ties the form's value to the commitment in the compact mode.
pub fn form_base_factor(transcript: &mut dyn Transcript, blind: &Scalar) -> Scalar {
    transcript.absorb(BLIND, &lorica_algebra::scalar::to_bytes(blind));
    transcript.challenge(FORM_BASE)
}

/// Takes in one halving and draws its challenge.
pub fn fold_challenge(transcript: &mut dyn Transcript, fold: &Fold) -> Scalar {
    transcript.absorb(FOLD, fold.left.bytes());
    transcript.absorb(FOLD, fold.right.bytes());
    transcript.challenge(FOLD_CHALLENGE)
}

impl OpeningProof {
    /// Which response the proof carries.
    pub fn mode(&self) -> OpeningMode {
        match self.response {
            OpeningResponse::Fast { .. } => OpeningMode::Fast,
            OpeningResponse::Compact { .. } => OpeningMode::Compact,
        }
    }

    /// Checks the opening against its statement.
    pub fn verify(
        &self,
        statement: OpeningStatement<'_>,
        transcript: &mut dyn Transcript,
    ) -> Result<(), OpeningError> {
        let bases = statement.bases;
        let equation = self.equation(statement, transcript)?;
        if equation.holds(bases) { Ok(()) } else { Err(equation.failure) }
    }

    /// Everything of [`OpeningProof::verify`] but the multi-scalar multiplication: what has to give the identity.
    pub fn equation(
        &self,
        statement: OpeningStatement<'_>,
        transcript: &mut dyn Transcript,
    ) -> Result<OpeningEquation, OpeningError> {
        let e = mask_challenge(transcript, &self.mask_commitment, &self.mask_value);
        let target = self.mask_value + e * statement.value;
        // The equation gathers as: <v, G> + tau h - C_y - e C_u (- folds) = 0.
        let OpeningStatement { bases, blinding, form_base, commitment, form, .. } = statement;
        let size = bases.iter().fold(0usize, |sum, run| sum.saturating_add(run.len()));
        let mut others = CommitmentTerms::default();
        let scalars;
        let failure = match &self.response {
            OpeningResponse::Fast { vector } => {
                check_size(size, vector.len())?;
                check_size(size, form.len())?;
                if inner_product(vector, &form) != target {
                    return Err(OpeningError::Form);
                }
                scalars = vector.clone();
                OpeningError::Commitment
            }
            OpeningResponse::Compact { folds, last } => {
                check_size(size, form.len())?;
                check_size(fold_count(size), folds.len())?;
                let factor = form_base_factor(transcript, &self.blind);
                let mut inverses = Vec::with_capacity(folds.len());
                let mut fold_terms = CommitmentTerms::default();
                for fold in folds {
                    let challenge = fold_challenge(transcript, fold);
                    let inverse = challenge.inverse().ok_or(OpeningError::ZeroChallenge)?;
                    inverses.push(inverse);
                    // The commitment gains x^-1 L + x R with every fold.
                    fold_terms.push(-inverse, *fold.left.point());
                    fold_terms.push(-challenge, *fold.right.point());
                }
                let weights = fold_weights(size, &inverses);
                let form_value = inner_product(&weights, &form) * last;
                scalars = weights.iter().map(|weight| *weight * last).collect();
                others = fold_terms;
                others.push((form_value - target) * factor, form_base);
                OpeningError::InnerProduct
            }
        };
        others.push(self.blind, blinding);
        others.push(-Scalar::from(1u8), *self.mask_commitment.point());
        others.scalars.extend(commitment.scalars.iter().map(|scalar| -(e * scalar)));
        others.points.extend(commitment.points);
        let mut rest: &[Scalar] = &scalars;
        let mut runs = Vec::with_capacity(bases.len());
        for run in bases {
            let (of_run, after) = rest.split_at_checked(run.len()).unwrap_or((rest, &[]));
            runs.push(of_run.to_vec());
            rest = after;
        }
        Ok(OpeningEquation { runs, others, failure })
    }

    /// Reads an opening of a vector of `entries` entries.
    pub fn read(reader: &mut Reader<'_>, mode: OpeningMode, entries: usize) -> Result<Self, CodecError> {
        let mask_commitment = reader.point("opening mask commitment")?;
        let mask_value = reader.scalar("opening mask value")?;
        let blind = reader.scalar("opening blind")?;
        let response = match mode {
            OpeningMode::Fast => OpeningResponse::Fast { vector: reader.scalars("opening vector", entries)? },
            OpeningMode::Compact => {
                let folds = (0..fold_count(entries))
                    .map(|_| {
                        Ok(Fold {
                            left: reader.point("opening fold left")?,
                            right: reader.point("opening fold right")?,
                        })
                    })
                    .collect::<Result<_, CodecError>>()?;
                OpeningResponse::Compact { folds, last: reader.scalar("opening last entry")? }
            }
        };
        Ok(Self { mask_commitment, mask_value, blind, response })
    }

    /// Writes the opening.
    pub fn write(&self, writer: &mut Writer) {
        writer.point(&self.mask_commitment);
        writer.scalar(&self.mask_value);
        writer.scalar(&self.blind);
        match &self.response {
            OpeningResponse::Fast { vector } => writer.scalars(vector),
            OpeningResponse::Compact { folds, last } => {
                for fold in folds {
                    writer.point(&fold.left);
                    writer.point(&fold.right);
                }
                writer.scalar(last);
            }
        }
    }
}

/// A sum of scalars times points that is the identity if an opening holds.
#[derive(Debug, Clone)]
pub struct OpeningEquation {
    /// Scalars of the statement's bases, run by run.
    runs: Vec<Vec<Scalar>>,
    /// Everything else.
    others: CommitmentTerms,
    failure: OpeningError,
}

impl OpeningEquation {
    fn holds(&self, bases: &[&[Point]]) -> bool {
        let runs = self.runs.iter().flatten().copied();
        let scalars: Vec<Scalar> = runs.chain(self.others.scalars.iter().copied()).collect();
        let points = [&bases.concat(), self.others.points.as_slice()].concat();
        scalars.len() == points.len() && point::multiscalar(&scalars, &points) == point::identity()
    }
}

/// Equations that are checked together: a random combination of them is the identity.
///
/// Their weights are drawn from a digest of all that fixes the equations, statements and proofs; so for a false one among n, the
/// combination is the identity with probability `2^-126`, up to the quality of the hash.
#[derive(Debug, Clone, Default)]
pub struct EquationBatch {
    equations: Vec<OpeningEquation>,
    seeds: blake3::Hasher,
}

impl EquationBatch {
    /// Adds an equation, with a digest of the statement and the proof that it is made from.
    pub fn add(&mut self, equation: OpeningEquation, fixed_by: &[u8; 32]) {
        self.seeds.update(fixed_by);
        self.equations.push(equation);
    }

    /// The number of equations.
    pub fn len(&self) -> usize {
        self.equations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.equations.is_empty()
    }

    /// Checks all equations over bases of which each one uses the first of every run; `false` too if it uses more than there are.
    pub fn holds(&self, bases: &[&[Point]]) -> bool {
        let seed = crate::transcript::Seed(*self.seeds.finalize().as_bytes());
        let mut runs: Vec<Vec<Scalar>> = bases.iter().map(|run| vec![Scalar::from(0u8); run.len()]).collect();
        let mut others = CommitmentTerms::default();
        for (equation, weight) in self.equations.iter().zip(seed.short(self.equations.len())) {
            let weight = lorica_algebra::scalar::from_challenge(weight);
            if equation.runs.len() > runs.len() {
                return false;
            }
            for (sum, run) in runs.iter_mut().zip(&equation.runs) {
                if run.len() > sum.len() {
                    return false;
                }
                sum.iter_mut().zip(run).for_each(|(sum, scalar)| *sum += weight * scalar);
            }
            for (scalar, point) in equation.others.scalars.iter().zip(&equation.others.points) {
                others.push(weight * scalar, *point);
            }
        }
        OpeningEquation { runs, others, failure: OpeningError::Commitment }.holds(bases)
    }
}

fn check_size(expected: usize, found: usize) -> Result<(), OpeningError> {
    if expected == found { Ok(()) } else { Err(OpeningError::Size { expected, found }) }
}

/// The factor of each original base in the last folded base: the product of the inverse challenges of those halvings
/// at which the entry stood in the upper half.
pub fn fold_weights(entries: usize, inverses: &[Scalar]) -> Vec<Scalar> {
    // Lengths before each halving, first to last; unfolded from the last one back.
    let mut lengths = Vec::with_capacity(inverses.len());
    let mut length = entries;
    for _ in inverses {
        lengths.push(length);
        length = length.div_ceil(2);
    }
    let mut weights = vec![Scalar::from(1u8)];
    for (inverse, length) in inverses.iter().zip(lengths).rev() {
        let low = length.div_ceil(2);
        let high: Vec<Scalar> =
            weights.iter().take(length.saturating_sub(low)).map(|weight| *weight * inverse).collect();
        weights.extend(high);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halvings_stop_at_one_entry() {
        assert_eq!([1, 2, 3, 4, 5, 8, 9, 4159].map(fold_count), [0, 1, 2, 2, 3, 3, 4, 13]);
    }

    #[test]
    fn fold_weights_fold_any_vector() {
        for entries in 1..40usize {
            let inverses: Vec<Scalar> =
                (0..fold_count(entries)).map(|i| Scalar::from(1000 + 37 * i as u64)).collect();
            let vector: Vec<Scalar> = (0..entries as u64).map(|i| Scalar::from(i * i + 3)).collect();
            let mut folded = vector.clone();
            for inverse in &inverses {
                let high = folded.split_off(folded.len().div_ceil(2));
                for (low, high) in folded.iter_mut().zip(high) {
                    *low += high * inverse;
                }
            }
            assert_eq!(inner_product(&fold_weights(entries, &inverses), &vector), folded[0]);
        }
    }
}
