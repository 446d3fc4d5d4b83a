//! Commitment lists: what a manifest says of them and what they hold.

use lorica_algebra::Point;
use lorica_algebra::point::{EncodedPoint, POINT_BYTES};
use lorica_tensor::Digest;
use rayon::prelude::*;

use crate::manifest::{CommitmentList, ManifestError};

/// Why artefacts do not make registered rows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsError {
    /// The manifest itself.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest is not the pinned one.
    #[error(
        "the manifest's digest is {found}, but {expected} is pinned: these are other rows or another commitment to them"
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
    #[error("commitment {row} is not a canonical ristretto255 element")]
    CommitmentPoint {
        /// The number of the row.
        row: usize,
    },
}

/// The digest of a manifest's text, compared with the pinned one if there is one.
pub(super) fn checked_digest(manifest: &[u8], pin: Option<&Digest>) -> Result<Digest, RowsError> {
    let found = Digest::sha256(manifest);
    match pin.filter(|pin| **pin != found) {
        Some(expected) => Err(RowsError::Pin { expected: *expected, found }),
        None => Ok(found),
    }
}

/// Reads the commitments that a manifest names: exact length, SHA-256, canonical encodings.
pub(super) fn read_commitments(list: &CommitmentList, bytes: &[u8]) -> Result<Vec<Point>, RowsError> {
    let expected = list.count.saturating_mul(POINT_BYTES);
    if bytes.len() != expected {
        return Err(RowsError::CommitmentLength { expected, found: bytes.len() });
    }
    let found = Digest::sha256(bytes);
    if found != list.digest {
        return Err(RowsError::CommitmentDigest { expected: list.digest, found });
    }
    let (encodings, _) = bytes.as_chunks::<POINT_BYTES>();
    let decode = |encoding: &[u8; POINT_BYTES]| Some(*EncodedPoint::decode(encoding)?.point());
    let points: Vec<Option<Point>> = encodings.par_iter().map(decode).collect();
    let read = |(row, point): (usize, Option<Point>)| point.ok_or(RowsError::CommitmentPoint { row });
    points.into_iter().enumerate().map(read).collect()
}
