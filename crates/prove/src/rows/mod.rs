//! Registration of data sets and models, and one proof for several registrations.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | one committed row for each sample |
//! | [`model`] | two committed rows for each piece of a matrix |
//! | [`joint`] | one range proof for several registrations |

pub mod data;
pub mod joint;
pub mod model;

use lorica_algebra::Point;
use lorica_algebra::kernels::rows::RowError;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::generators::Generators;
use lorica_tensor::Digest;
use lorica_tensor::name::NameError;
use lorica_verify::manifest::{CommitmentList, ManifestError};
use lorica_verify::rows::commitments::RowsError;
use lorica_verify::rows::statement::JointError;

use crate::range::{IntegerRows, RangeProofError};
use crate::registration::commit_rows;

/// Why rows cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowsRegistrationError {
    /// The manifest would not be valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A matrix has no name that a manifest may hold.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The artefacts that were just made do not belong together: a defect of this program.
    #[error("the artefacts made do not read back: {0}")]
    Registered(#[from] RowsError),
    /// An integer does not fit.
    #[error(
        "{what}: entry {entry} is {found}, accepted are integers from {least} to {most}; use fewer fraction bits"
    )]
    Outside {
        /// The matrix, or what the caller calls it.
        what: String,
        /// The number of the first entry that does not fit.
        entry: usize,
        /// The integer.
        found: i64,
        /// The least one that fits.
        least: i64,
        /// The largest one.
        most: i64,
    },
    /// Another number of integers.
    #[error("{what} has {found} integers, the manifest asks for {expected}")]
    Shape {
        /// The data set or the matrix.
        what: String,
        /// By the manifest.
        expected: usize,
        /// There are.
        found: usize,
    },
    /// Another number of matrices.
    #[error("there are integers for {found} matrices, the manifest has {expected}")]
    Matrices {
        /// In the manifest.
        expected: usize,
        /// There are.
        found: usize,
    },
    /// The rows could not be committed to.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The registrations do not go into one proof.
    #[error(transparent)]
    Joint(#[from] JointError),
    /// The range argument could not be made.
    #[error(transparent)]
    RangeProof(#[from] RangeProofError),
}

/// What is public of rows that are committed to but not yet proven to be in range.
#[derive(Debug, Clone)]
pub struct Committed<R> {
    /// `manifest.json`
    pub manifest: String,
    /// `commitments.bin`
    pub commitments: Vec<u8>,
    /// Both, read back.
    pub registered: R,
}

/// Integers as 16-bit ones; `what` is named where one does not fit.
pub fn int16<V: Copy + Into<i64>>(what: &str, values: &[V]) -> Result<Vec<i16>, RowsRegistrationError> {
    let narrow = |(entry, value): (usize, &V)| {
        let found: i64 = (*value).into();
        i16::try_from(found).map_err(|_| RowsRegistrationError::Outside {
            what: what.to_owned(),
            entry,
            found,
            least: i64::from(i16::MIN),
            most: i64::from(i16::MAX),
        })
    };
    values.iter().enumerate().map(narrow).collect()
}

/// The bytes of the commitments to all rows, and the entry of the manifest about them.
fn commitment_list(
    rows: &IntegerRows<'_>,
    generators: &Generators,
    progress: &dyn Fn(u64, u64),
) -> Result<(Vec<u8>, CommitmentList), RowError> {
    let longest = rows.rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let points = commit_rows(rows, &generators.first_rows(longest), generators.blinding(), progress)?;
    let encode = |point: &Point| *EncodedPoint::new(*point).bytes();
    let bytes: Vec<u8> = points.iter().flat_map(encode).collect();
    let list = CommitmentList { count: points.len(), digest: Digest::sha256(&bytes) };
    Ok((bytes, list))
}
