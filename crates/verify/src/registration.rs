//! The registration proof: the contributor knows an opening of every row commitment.
//!
//! One masked opening of a random combination of all commitments. From accepting answers to enough combinations every
//! single row can be computed, so each commitment is to a vector on the row bases and the blinding base, and to nothing else.
//! The range of the entries is not part of it: [`crate::range`] has the proof that shows both, for adapters of the range
//! level [`crate::manifest::RangeLevel::Int16`].

use ark_ff::Zero;
use lorica_algebra::{Scalar, scalar};
use lorica_argument::codec::{CodecError, Reader, Writer};
use lorica_argument::generators::Generators;
use lorica_argument::opening::{CommitmentTerms, OpeningError, OpeningProof, OpeningStatement};
use lorica_argument::product::ProductError;
use lorica_argument::transcript::{FiatShamir, Label, Transcript};
use lorica_tensor::Digest;

use crate::proof::{mode_byte, read_mode};
use crate::registered::RegisteredAdapter;
use crate::rows::statement::JointError;

/// The protocol and version that the Fiat-Shamir transcript of a registration proof starts from.
pub const REGISTRATION_PROTOCOL: &str = "lorica registration proof 1";

const MAGIC: &[u8; 8] = b"LoricaR1";
const MANIFEST: Label = Label("registration: manifest digest");
const COMBINATION: Label = Label("registration: combination");

/// The weights of the rows in the combination: short challenges, first for all rows of A, then for all columns of B.
pub struct Combination {
    /// One for each (module, rank index) pair.
    pub a: Vec<u128>,
    /// The same for B.
    pub b: Vec<u128>,
}

/// Takes in the manifest's digest (which fixes shapes, exponents and commitments) and draws the combination.
pub fn begin(transcript: &mut dyn Transcript, adapter: &RegisteredAdapter) -> Combination {
    transcript.absorb(MANIFEST, adapter.digest().as_bytes());
    let pairs = adapter.a().len();
    let seed = transcript.seed(COMBINATION);
    let mut weights = seed.short(pairs.saturating_mul(2));
    let b = weights.split_off(pairs);
    Combination { a: weights, b }
}

/// A registration proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationProof {
    /// The opening of the combination.
    pub opening: OpeningProof,
}

/// Why a registration proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationInvalid {
    /// Its bytes are not a proof for this manifest.
    #[error("the registration proof cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// It does not hold.
    #[error("the registration proof does not hold: {0}")]
    Opening(#[from] OpeningError),
    /// Its product proof does not hold.
    #[error("the registration proof does not hold: {0}")]
    Product(#[from] ProductError),
    /// A proof that was not read from bytes has too few commitments.
    #[error("the registration proof has fewer commitments than the manifest asks for")]
    TooFew,
    /// A proof that was not read from bytes has too many commitments.
    #[error("the registration proof has more commitments than the manifest asks for")]
    TooMany,
    /// The lookup challenge fell into the table, which happens once in 2^236 runs.
    #[error("the lookup challenge is a number of the table")]
    Gamma,
    /// Registrations that do not go into one proof.
    #[error(transparent)]
    Joint(#[from] JointError),
    /// The joint proof is about other registrations.
    #[error("the joint proof is not about manifest {digest}; use the proof that was made with it")]
    NotMember {
        /// The manifest's digest.
        digest: Digest,
    },
    /// The manifest does not say that its entries are in range.
    #[error(
        "the manifest has range level none, a joint proof is about manifests of level int16; commit with that level"
    )]
    NotInRange,
    /// The verifier was given too few bases.
    #[error("{needed} row bases are needed, {found} were derived")]
    Generators {
        /// For this manifest.
        needed: usize,
        /// Given.
        found: usize,
    },
}

impl RegistrationProof {
    /// Reads and verifies a proof.
    pub fn verify_bytes(
        bytes: &[u8],
        adapter: &RegisteredAdapter,
        generators: &Generators,
    ) -> Result<(), RegistrationInvalid> {
        Self::from_bytes(bytes, adapter.sizes().width)?.verify(
            adapter,
            generators,
            &mut FiatShamir::new(REGISTRATION_PROTOCOL),
        )
    }

    /// Verifies the proof on a given transcript.
    pub fn verify(
        &self,
        adapter: &RegisteredAdapter,
        generators: &Generators,
        transcript: &mut dyn Transcript,
    ) -> Result<(), RegistrationInvalid> {
        let width = adapter.sizes().width;
        let rows = generators.rows();
        let bases =
            rows.get(..width).ok_or(RegistrationInvalid::Generators { needed: width, found: rows.len() })?;
        let combination = begin(transcript, adapter);
        let mut commitment = CommitmentTerms::default();
        let weights = combination.a.iter().chain(&combination.b);
        for (weight, point) in weights.zip(adapter.a().iter().chain(adapter.b())) {
            commitment.push(scalar::from_challenge(*weight), *point);
        }
        // Knowledge alone is shown, so the form is the zero form.
        let statement = OpeningStatement {
            bases: &[bases],
            blinding: *generators.blinding(),
            form_base: *generators.form(),
            commitment,
            form: vec![Scalar::zero(); width],
            value: Scalar::zero(),
        };
        Ok(self.opening.verify(statement, transcript)?)
    }

    /// Reads a proof for an adapter of the given width.
    pub fn from_bytes(bytes: &[u8], width: usize) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.expect("magic and version", MAGIC)?;
        let mode = read_mode(&mut reader)?;
        let opening = OpeningProof::read(&mut reader, mode, width)?;
        reader.finish()?;
        Ok(Self { opening })
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(MAGIC);
        writer.bytes(&[mode_byte(self.opening.mode())]);
        self.opening.write(&mut writer);
        writer.finish()
    }
}
