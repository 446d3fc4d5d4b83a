//! The registration of a data set.

use lorica_algebra::Scalar;
use lorica_argument::generators::Generators;
use lorica_tensor::Digest;
use lorica_verify::manifest::CommitmentList;
use lorica_verify::rows::data::{Columns, DATA_FORMAT, DataManifest, RegisteredData};
use zeroize::Zeroizing;

use super::{Committed, RowsRegistrationError, commitment_list};
use crate::randomness::Entropy;
use crate::range::{IntegerProver, IntegerRows};
use crate::registration::Registered;
use crate::secret::{AdapterSecret, RowOf};

/// What is registered.
pub struct DataRegistration<'a> {
    /// The first columns of a row.
    pub inputs: Columns,
    /// The others.
    pub targets: Columns,
    /// The integers of all samples, one row a sample: inputs, then targets.
    pub rows: &'a [i16],
    /// Fresh public randomness for this commitment.
    pub nonce: Digest,
    /// The seed of all blinds.
    pub secret: &'a AdapterSecret,
    /// The bases; those that are missing are derived.
    pub generators: &'a Generators,
}

impl DataRegistration<'_> {
    /// Commits to every row and proves that all entries are in range. `progress` is told (entries done, of all).
    pub fn run(
        &self,
        entropy: &Entropy,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Registered, RowsRegistrationError> {
        let Committed { manifest, commitments, registered } = self.commit(progress)?;
        let rows = data_rows(&registered, self.rows, self.secret)?;
        let statement = &(&registered).into();
        let prover =
            IntegerProver { statement, rows: &rows, secret: self.secret, generators: self.generators };
        Ok(Registered { manifest, commitments, proof: prover.prove(entropy)?.to_bytes() })
    }

    /// Commits to every row, without a proof: what a joint proof is made for.
    pub fn commit(
        &self,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Committed<RegisteredData>, RowsRegistrationError> {
        let mut manifest = DataManifest {
            format: DATA_FORMAT.to_owned(),
            samples: 0,
            inputs: self.inputs,
            targets: self.targets,
            nonce: self.nonce,
            commitments: CommitmentList { count: 0, digest: Digest([0; 32]) },
        };
        manifest.samples = self.rows.len().checked_div(manifest.row_length()).unwrap_or(0);
        manifest.commitments.count = manifest.samples;
        manifest.check()?;
        let rows = rows_of(&manifest, self.rows, self.secret)?;
        let (commitments, list) = commitment_list(&rows, self.generators, progress)?;
        manifest.commitments = list;
        let manifest = manifest.to_json()?;
        let registered = RegisteredData::from_bytes(manifest.as_bytes(), &commitments, None)?;
        Ok(Committed { manifest, commitments, registered })
    }
}

/// The rows of a data set with their blinds, in the order of its statement; `rows` holds the integers of all samples.
pub fn data_rows<'a>(
    data: &RegisteredData,
    rows: &'a [i16],
    secret: &AdapterSecret,
) -> Result<IntegerRows<'a>, RowsRegistrationError> {
    rows_of(data.manifest(), rows, secret)
}

/// The blind of each sample's commitment.
pub fn data_blinds(data: &RegisteredData, secret: &AdapterSecret) -> Zeroizing<Vec<Scalar>> {
    blinds(data.manifest(), secret)
}

fn rows_of<'a>(
    manifest: &DataManifest,
    rows: &'a [i16],
    secret: &AdapterSecret,
) -> Result<IntegerRows<'a>, RowsRegistrationError> {
    let length = manifest.row_length();
    let expected = manifest.samples.saturating_mul(length);
    if length == 0 || rows.len() != expected {
        let what = "the data set".to_owned();
        return Err(RowsRegistrationError::Shape { what, expected, found: rows.len() });
    }
    Ok(IntegerRows { rows: rows.chunks_exact(length).collect(), blinds: blinds(manifest, secret) })
}

fn blinds(manifest: &DataManifest, secret: &AdapterSecret) -> Zeroizing<Vec<Scalar>> {
    let blind = |sample| secret.row_blind(&manifest.nonce, RowOf::Samples, sample);
    Zeroizing::new((0..manifest.samples).map(blind).collect())
}
