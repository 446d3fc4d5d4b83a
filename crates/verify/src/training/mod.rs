//! Proofs about tensor programs: training steps, and whatever else is stated as a [`lorica_relation::program`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`context`] | the statement, and all sizes that follow from it |
//! | [`forms`] | public linear forms on tensors, cut at every axis' length |
//! | [`leaves`] | where the entries of checks stand among the leaves of the lookups |
//! | [`layout`] | which committed row holds which entry |
//! | [`record`] | the public record of a run |
//! | [`reduce`] | from claims on leaves to claims on committed tensors |
//! | [`run`] | a chain of proofs from a registered model |
//! | [`schedule`] | the order of messages and challenges, as types |
//! | this one | the bytes of a proof, and the verifier |
//!
//! The argument is `docs/spec/tensor-programs.md`; step numbers are those of that page.

pub mod context;
pub mod forms;
pub mod layout;
pub mod leaves;
pub mod record;
pub mod reduce;
pub mod run;
pub mod schedule;

use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::codec::{CodecError, Reader, Writer};
use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::form::AffineForm;
use lorica_argument::generators::{Generators, training_slots};
use lorica_argument::lookup::Layers;
use lorica_argument::opening::{
    CommitmentTerms, EquationBatch, OpeningEquation, OpeningError, OpeningProof, OpeningStatement,
};
use lorica_argument::product::{ProductBases, ProductCommitments, ProductError, ProductProof};
use lorica_argument::products::{Factors, SlotBases};
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_argument::walk::Rounds;

use crate::proof::{mode_byte, read_mode};
use context::{Context, ProofSizes};
use layout::RowGroup;
use reduce::{EntrywisePairs, EntrywiseSums, ProductClaim, ProductSums};
use schedule::Columns;

/// The protocol and version that the Fiat-Shamir transcript of a training proof starts from.
pub const TRAINING_PROTOCOL: &str = "lorica training proof 1";

const MAGIC: &[u8; 8] = b"LoricaT1";

/// A training proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingProof {
    /// Commitments to the rows of all tensors, step by step.
    pub tensors: Vec<EncodedPoint>,
    /// Commitments to the rows of multiplicities, lookup by lookup.
    pub multiplicities: Vec<EncodedPoint>,
    /// All scratch commitments, in the order of the walk.
    pub scratch: Vec<EncodedPoint>,
    /// The one product proof.
    pub product: ProductProof,
    /// The one opening.
    pub opening: OpeningProof,
}

/// Why a training proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainingInvalid {
    /// Its bytes are not a proof for this statement.
    #[error("the training proof cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// Its product proof does not hold.
    #[error("the training proof does not hold: {0}")]
    Product(#[from] ProductError),
    /// It does not hold.
    #[error("the training proof does not hold: {0}")]
    Opening(#[from] OpeningError),
    /// A proof that was not read from bytes has another number of commitments.
    #[error("the training proof has {found} {what}, the statement asks for {expected}")]
    Count {
        /// Which commitments.
        what: &'static str,
        /// By the statement.
        expected: usize,
        /// In the proof.
        found: usize,
    },
    /// The lookup challenge fell into the table, which happens once in 2^236 runs.
    #[error("the lookup challenge is a number of the table")]
    Gamma,
    /// The statement names something that its program does not have: a defect of this program, since statements are checked.
    #[error("the statement's program does not fit its own layout")]
    Statement,
}

/// The verifier's party: reads commitments from the proof.
struct Received<'p> {
    scratch: std::slice::Iter<'p, EncodedPoint>,
    product: &'p ProductProof,
    expected: usize,
}

impl Received<'_> {
    fn next(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        let (expected, found) = (self.expected.saturating_add(1), self.expected);
        let missing = TrainingInvalid::Count { what: "scratch commitments", expected, found };
        self.scratch.next().copied().ok_or(missing)
    }
}

impl Rounds for Received<'_> {
    type Error = TrainingInvalid;

    fn round(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }

    fn bind(&mut self, _challenge: Scalar) {}
}

impl Layers for Received<'_> {
    fn roots(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }

    fn enter(&mut self, _point: &[Scalar], _lambda: Scalar) {}

    fn ends(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }

    fn descend(&mut self, _tau: Scalar) {}
}

impl ProductSums for Received<'_> {
    fn total(&mut self, _claims: &[ProductClaim<'_>]) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }

    fn ends(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }
}

impl EntrywiseSums for Received<'_> {
    fn total(&mut self, _pairs: &EntrywisePairs) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }

    fn ends(&mut self) -> Result<EncodedPoint, TrainingInvalid> {
        self.next()
    }
}

impl Factors for Received<'_> {
    fn enter(&mut self, _terms: &[(AffineForm, AffineForm)]) -> Result<(), TrainingInvalid> {
        Ok(())
    }

    fn factors(&mut self) -> Result<[EncodedPoint; 3], TrainingInvalid> {
        Ok([self.next()?, self.next()?, self.next()?])
    }

    fn product(
        &mut self,
        bases: &ProductBases,
        commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), TrainingInvalid> {
        Ok(self.product.verify(bases, commitments, transcript)?)
    }
}

impl Columns for Received<'_> {
    fn enter(&mut self, _groups: &[RowGroup]) {}
}

/// Independent proofs of which the last, and costliest, equations are checked together.
#[derive(Debug, Clone, Default)]
pub struct ProofBatch {
    equations: EquationBatch,
    width: usize,
    slots: usize,
}

impl ProofBatch {
    fn add(&mut self, context: &Context, bytes: &[u8], equation: OpeningEquation) {
        self.width = self.width.max(context.rows.width);
        self.slots = self.slots.max(context.sizes().slots());
        // The transcript's first state fixes the statement.
        let mut transcript = FiatShamir::new(TRAINING_PROTOCOL);
        let statement = schedule::begin(&mut transcript, context).transcript.state();
        let mut hasher = blake3::Hasher::new();
        hasher.update(&statement);
        hasher.update(bytes);
        self.equations.add(equation, hasher.finalize().as_bytes());
    }

    /// Whether all equations hold: then every proof that was added is valid.
    pub fn holds(&self, generators: &Generators) -> bool {
        let slots = training_slots(self.slots);
        self.equations.holds(&[&generators.first_rows(self.width), &slots])
    }
}

impl TrainingProof {
    /// Reads and verifies a proof.
    pub fn verify_bytes(
        bytes: &[u8],
        context: &Context,
        generators: &Generators,
    ) -> Result<Self, TrainingInvalid> {
        let proof = Self::from_bytes(bytes, context)?;
        proof.verify(context, generators, &mut FiatShamir::new(TRAINING_PROTOCOL))?;
        Ok(proof)
    }

    /// Verifies the proof on a given transcript.
    pub fn verify(
        &self,
        context: &Context,
        generators: &Generators,
        transcript: &mut dyn Transcript,
    ) -> Result<(), TrainingInvalid> {
        self.open(context, generators, transcript, |opening, statement, transcript| {
            opening.verify(statement, transcript)
        })
    }

    /// Everything of [`TrainingProof::verify`] but the last equation.
    fn open<T>(
        &self,
        context: &Context,
        generators: &Generators,
        transcript: &mut dyn Transcript,
        last: impl FnOnce(&OpeningProof, OpeningStatement<'_>, &mut dyn Transcript) -> Result<T, OpeningError>,
    ) -> Result<T, TrainingInvalid> {
        let sizes = context.sizes();
        self.check_counts(context, &sizes)?;
        let slots = training_slots(sizes.slots());
        let bases = SlotBases { slots: &slots, blinding: *generators.blinding() };
        let mut party =
            Received { scratch: self.scratch.iter(), product: &self.product, expected: self.scratch.len() };

        // 1, 2, 3. The statement, the tensors, the multiplicities; only then gamma.
        let step = schedule::begin(transcript, context).commit(&self.tensors).commit(&self.multiplicities);
        let (_, lookup) = step.ok_or(TrainingInvalid::Gamma)?;
        // 4 to 8. The lookup, products, entrywise products, all products of slots, columns.
        let step = lookup.walk(&mut party)?.ok_or(TrainingInvalid::Statement)?;
        let step = step.products(&mut party)?.ok_or(TrainingInvalid::Statement)?;
        let step = step.entrywise(&mut party)?.ok_or(TrainingInvalid::Statement)?;
        let step = step.factors(bases, &mut party)?.ok_or(TrainingInvalid::Statement)?;
        let end = step.walk(&mut party)?;
        let left = party.scratch.len();
        if left > 0 {
            let found = self.scratch.len();
            let expected = found.saturating_sub(left);
            return Err(TrainingInvalid::Count { what: "scratch commitments", expected, found });
        }

        // 9. One opening.
        let CollapsedForm { form, value } = end.collapse().ok_or(OpeningError::ZeroChallenge)?;
        let mut commitment = CommitmentTerms::default();
        let rows = context.start().chain(&self.tensors).chain(&self.multiplicities);
        for (point, weight) in rows.zip(end.weights()) {
            commitment.push(weight, *point.point());
        }
        for (point, power) in self.scratch.iter().zip(powers(end.theta)) {
            commitment.push(power, *point.point());
        }
        let statement = OpeningStatement {
            bases: &[&generators.first_rows(context.rows.width), &slots],
            blinding: *generators.blinding(),
            form_base: *generators.form(),
            commitment,
            form,
            value,
        };
        Ok(last(&self.opening, statement, end.transcript)?)
    }

    /// Reads a proof and checks all of it but one equation, which is added to a batch.
    pub fn defer_bytes(
        bytes: &[u8],
        context: &Context,
        generators: &Generators,
        batch: &mut ProofBatch,
    ) -> Result<Self, TrainingInvalid> {
        let proof = Self::from_bytes(bytes, context)?;
        let transcript = &mut FiatShamir::new(TRAINING_PROTOCOL);
        let equation = proof.open(context, generators, transcript, |opening, statement, transcript| {
            opening.equation(statement, transcript)
        })?;
        batch.add(context, bytes, equation);
        Ok(proof)
    }

    fn check_counts(&self, context: &Context, sizes: &ProofSizes) -> Result<(), TrainingInvalid> {
        let counts = [
            ("commitments to tensors", context.rows.committed_rows(), self.tensors.len()),
            ("commitments to multiplicities", context.rows.multiplicity_rows(), self.multiplicities.len()),
            ("scratch commitments", sizes.blocks().len(), self.scratch.len()),
        ];
        match counts.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => Err(TrainingInvalid::Count { what, expected, found }),
            None => Ok(()),
        }
    }

    /// Reads a proof for a statement.
    pub fn from_bytes(bytes: &[u8], context: &Context) -> Result<Self, CodecError> {
        let sizes = context.sizes();
        let mut reader = Reader::new(bytes);
        reader.expect("magic and version", MAGIC)?;
        let mode = read_mode(&mut reader)?;
        let entries = context.rows.width.saturating_add(sizes.slots());
        let proof = Self {
            tensors: reader.points("tensor commitment", context.rows.committed_rows())?,
            multiplicities: reader.points("multiplicities", context.rows.multiplicity_rows())?,
            scratch: reader.points("scratch commitment", sizes.blocks().len())?,
            product: ProductProof::read(&mut reader)?,
            opening: OpeningProof::read(&mut reader, mode, entries)?,
        };
        reader.finish()?;
        Ok(proof)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(MAGIC);
        writer.bytes(&[mode_byte(self.opening.mode())]);
        writer.points(&self.tensors);
        writer.points(&self.multiplicities);
        writer.points(&self.scratch);
        self.product.write(&mut writer);
        self.opening.write(&mut writer);
        writer.finish()
    }
}
