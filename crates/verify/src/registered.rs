//! A registered adapter: manifest and commitments that belong together and carry the pinned digest.
//!
//! [`RegisteredAdapter`] exists only for artefacts that were checked against each other; [`PinnedAdapter`] only for
//! those whose registration proof was verified as well. The session verifier takes nothing less.

use lorica_algebra::Point;
use lorica_algebra::point::{EncodedPoint, POINT_BYTES};
use lorica_argument::generators::Generators;
use lorica_tensor::{Digest, ModuleName};

use crate::manifest::{Manifest, ManifestError, RangeLevel};
use crate::packing::adapter_rows;
use crate::range::{RANGE_PROTOCOL, RangeProof};
use crate::registration::{RegistrationInvalid, RegistrationProof};
use crate::rows::joint::JointRegistration;
use crate::rows::statement::RangeStatement;
use crate::statement::Sizes;

/// A matrix of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// A, rank x inputs: its rows are committed.
    A,
    /// B, outputs x rank: its columns are committed.
    B,
}

impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Matrix::A => "A",
            Matrix::B => "B",
        })
    }
}

/// Why artefacts do not make a registered adapter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisteredError {
    /// The manifest itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest is not the pinned one.
    #[error(
        "the manifest's digest is {found}, but {expected} is pinned: this is another adapter or another commitment of it"
    )]
    Pin {
        /// The pinned digest.
        expected: Digest,
        /// The manifest's digest.
        found: Digest,
    },
    /// The commitment list has another length.
    #[error("the commitment list has {found} bytes, the manifest asks for {expected}")]
    CommitmentLength {
        /// Bytes for the manifest's count.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The commitment list is not the manifest's.
    #[error("the commitment list's SHA-256 is {found}, the manifest names {expected}")]
    CommitmentDigest {
        /// In the manifest.
        expected: Digest,
        /// Of the file.
        found: Digest,
    },
    /// A commitment is not a group element.
    #[error("commitment {index} of {matrix} of {module} is not a canonical ristretto255 element")]
    CommitmentPoint {
        /// The module.
        module: ModuleName,
        /// A or B.
        matrix: Matrix,
        /// The rank index.
        index: usize,
    },
}

/// A manifest and the commitments it names.
#[derive(Clone)]
pub struct RegisteredAdapter {
    manifest: Manifest,
    digest: Digest,
    a: Vec<Point>,
    b: Vec<Point>,
}

impl RegisteredAdapter {
    /// Reads manifest and commitment list and checks that they belong together, and to `pin` if one is given.
    pub fn from_bytes(
        manifest: &[u8],
        commitments: &[u8],
        pin: Option<&Digest>,
    ) -> Result<Self, RegisteredError> {
        let parsed = Manifest::from_json(manifest)?;
        let digest = Digest::sha256(manifest);
        if let Some(expected) = pin.filter(|pin| **pin != digest) {
            return Err(RegisteredError::Pin { expected: *expected, found: digest });
        }
        let expected = parsed.commitments.count.saturating_mul(POINT_BYTES);
        if commitments.len() != expected {
            return Err(RegisteredError::CommitmentLength { expected, found: commitments.len() });
        }
        let found = Digest::sha256(commitments);
        if found != parsed.commitments.digest {
            return Err(RegisteredError::CommitmentDigest { expected: parsed.commitments.digest, found });
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let (mut encodings, _) = commitments.as_chunks::<POINT_BYTES>();
        for module in &parsed.modules {
            for (matrix, points) in [(Matrix::A, &mut a), (Matrix::B, &mut b)] {
                for index in 0..module.rank {
                    let error =
                        || RegisteredError::CommitmentPoint { module: module.name.clone(), matrix, index };
                    let (first, rest) = encodings.split_first().ok_or_else(error)?;
                    encodings = rest;
                    points.push(*EncodedPoint::decode(first).ok_or_else(error)?.point());
                }
            }
        }
        Ok(Self { manifest: parsed, digest, a, b })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest to pin.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Commitments to the rows of A, module after module: one for each (module, rank index) pair.
    pub fn a(&self) -> &[Point] {
        &self.a
    }

    /// Commitments to the columns of B, in the same order.
    pub fn b(&self) -> &[Point] {
        &self.b
    }

    /// Sizes of the arguments about this adapter.
    pub fn sizes(&self) -> Sizes {
        Sizes::of(&self.manifest.shapes())
    }

    /// Verifies the registration proof of the manifest's range level; only then is the adapter pinned.
    pub fn pin(
        self,
        registration: &[u8],
        generators: &Generators,
    ) -> Result<PinnedAdapter, RegistrationInvalid> {
        match self.manifest.range {
            RangeLevel::None => RegistrationProof::verify_bytes(registration, &self, generators)?,
            RangeLevel::Int16 => RangeProof::verify_bytes(registration, &self, generators)?,
        }
        Ok(PinnedAdapter { registered: self })
    }

    /// Pins an adapter of range level int16 that is a member of a verified joint registration.
    pub fn pin_jointly(self, joint: &JointRegistration) -> Result<PinnedAdapter, RegistrationInvalid> {
        match self.manifest.range {
            RangeLevel::None => return Err(RegistrationInvalid::NotInRange),
            RangeLevel::Int16 => joint.check_member(&self.digest)?,
        }
        Ok(PinnedAdapter { registered: self })
    }
}

/// A registered adapter whose registration proof holds.
#[derive(Clone)]
pub struct PinnedAdapter {
    registered: RegisteredAdapter,
}

impl std::ops::Deref for PinnedAdapter {
    type Target = RegisteredAdapter;

    fn deref(&self) -> &RegisteredAdapter {
        &self.registered
    }
}

impl<'a> From<&'a RegisteredAdapter> for RangeStatement<'a> {
    fn from(adapter: &'a RegisteredAdapter) -> Self {
        let lengths = adapter_rows(&adapter.manifest.shapes());
        Self::one(RANGE_PROTOCOL, adapter.digest, lengths, vec![&adapter.a, &adapter.b])
    }
}

impl<'a> From<&'a PinnedAdapter> for RangeStatement<'a> {
    fn from(adapter: &'a PinnedAdapter) -> Self {
        Self::from(&adapter.registered)
    }
}
