//! Data sets: one committed row of 16-bit integers for each sample.
//!
//! A row holds a sample's inputs and then its targets, so that nobody can give a sample the target of another one.

use lorica_algebra::Point;
use lorica_argument::generators::Generators;
use lorica_tensor::Digest;
use serde::{Deserialize, Serialize};

use super::commitments::{RowsError, checked_digest, read_commitments};
use super::joint::JointRegistration;
use super::statement::RangeStatement;
use super::{MAX_ENTRIES, check_fraction_bits};
use crate::canonical;
use crate::manifest::{CommitmentList, MAX_WIDTH, ManifestError, field};
use crate::range::RangeProof;
use crate::registration::RegistrationInvalid;

/// The format of a data manifest.
pub const DATA_FORMAT: &str = "lorica-data/1";
/// The protocol and version that the transcript of a data set's range proof starts from.
pub const DATA_PROTOCOL: &str = "lorica data registration proof 1";
/// The largest number of samples.
pub const MAX_SAMPLES: usize = 1 << 20;

/// Consecutive columns of every sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// How many, at least 1.
    pub width: usize,
    /// An integer v of these columns stands for `v * 2^-fraction_bits`.
    pub fraction_bits: u32,
}

/// Everything public about a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataManifest {
    /// [`DATA_FORMAT`].
    pub format: String,
    /// The number of samples.
    pub samples: usize,
    /// The first columns of a row.
    pub inputs: Columns,
    /// The others.
    pub targets: Columns,
    /// Fresh for each commitment: the blinds are derived from it.
    pub nonce: Digest,
    /// The commitments to all rows: one a sample, in order.
    pub commitments: CommitmentList,
}

impl DataManifest {
    /// The number of entries of a row: inputs and targets.
    pub fn row_length(&self) -> usize {
        self.inputs.width.saturating_add(self.targets.width)
    }

    /// The canonical text.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        canonical::write(self)
    }

    /// Reads a manifest and checks every field and its canonical form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        canonical::read(bytes, Self::check)
    }

    /// The digest to pin: SHA-256 of the canonical text.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::sha256(self.to_json()?.as_bytes()))
    }

    /// Checks every field against the supported sizes and against each other.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != DATA_FORMAT {
            return Err(field("format", DATA_FORMAT, &self.format));
        }
        if self.samples == 0 || self.samples > MAX_SAMPLES {
            return Err(field("samples", format!("1 to {MAX_SAMPLES}"), self.samples));
        }
        for (name, columns) in [("inputs", self.inputs), ("targets", self.targets)] {
            if columns.width == 0 || columns.width > MAX_WIDTH {
                return Err(field(format!("{name}.width"), format!("1 to {MAX_WIDTH}"), columns.width));
            }
            check_fraction_bits(&format!("{name}.fraction_bits"), columns.fraction_bits)?;
        }
        let row_length = self.row_length();
        if row_length > MAX_WIDTH {
            return Err(field(
                "inputs.width, targets.width",
                format!("at most {MAX_WIDTH} together"),
                row_length,
            ));
        }
        let entries = self.samples.saturating_mul(row_length);
        if entries > MAX_ENTRIES {
            return Err(field("samples", format!("at most {MAX_ENTRIES} entries in all rows"), entries));
        }
        if self.commitments.count != self.samples {
            let expected = format!("{}, one for each sample", self.samples);
            return Err(field("commitments.count", expected, self.commitments.count));
        }
        Ok(())
    }
}

/// A data manifest and the commitments it names.
#[derive(Debug, Clone)]
pub struct RegisteredData {
    manifest: DataManifest,
    digest: Digest,
    rows: Vec<Point>,
}

impl RegisteredData {
    /// Reads manifest and commitment list and checks that they belong together, and to `pin` if one is given.
    pub fn from_bytes(manifest: &[u8], commitments: &[u8], pin: Option<&Digest>) -> Result<Self, RowsError> {
        let parsed = DataManifest::from_json(manifest)?;
        let digest = checked_digest(manifest, pin)?;
        let rows = read_commitments(&parsed.commitments, commitments)?;
        Ok(Self { manifest: parsed, digest, rows })
    }

    /// The manifest.
    pub fn manifest(&self) -> &DataManifest {
        &self.manifest
    }

    /// The digest to pin.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The commitment to each sample.
    pub fn rows(&self) -> &[Point] {
        &self.rows
    }

    /// Verifies the range proof about this data set alone; only then is it pinned.
    pub fn pin(self, proof: &[u8], generators: &Generators) -> Result<PinnedData, RegistrationInvalid> {
        RangeProof::verify_bytes(proof, &self, generators)?;
        Ok(PinnedData { registered: self })
    }

    /// Pins a data set that is a member of a verified joint registration.
    pub fn pin_jointly(self, joint: &JointRegistration) -> Result<PinnedData, RegistrationInvalid> {
        joint.check_member(&self.digest)?;
        Ok(PinnedData { registered: self })
    }
}

impl<'a> From<&'a RegisteredData> for RangeStatement<'a> {
    fn from(data: &'a RegisteredData) -> Self {
        let lengths = vec![data.manifest.row_length(); data.rows.len()];
        Self::one(DATA_PROTOCOL, data.digest, lengths, vec![&data.rows])
    }
}

/// A registered data set whose range proof holds: every entry of every row is an integer in `[-2^15, 2^15)`.
#[derive(Debug, Clone)]
pub struct PinnedData {
    registered: RegisteredData,
}

impl std::ops::Deref for PinnedData {
    type Target = RegisteredData;

    fn deref(&self) -> &RegisteredData {
        &self.registered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> DataManifest {
        DataManifest {
            format: DATA_FORMAT.into(),
            samples: 5,
            inputs: Columns { width: 7, fraction_bits: 8 },
            targets: Columns { width: 2, fraction_bits: 12 },
            nonce: Digest([3; 32]),
            commitments: CommitmentList { count: 5, digest: Digest([4; 32]) },
        }
    }

    #[test]
    fn the_largest_sizes_are_accepted() {
        let mut largest = manifest();
        (largest.samples, largest.commitments.count) = (1 << 15, 1 << 15);
        (largest.inputs.width, largest.targets.width) = (MAX_WIDTH - 1, 1);
        largest.check().unwrap();
        let text = largest.to_json().unwrap();
        assert_eq!(DataManifest::from_json(text.as_bytes()), Ok(largest));
    }

    #[test]
    fn a_refused_field_is_named() {
        type Change = fn(&mut DataManifest);
        let cases: [(&str, Change); 13] = [
            ("format", |m| m.format = "lorica-data/2".into()),
            ("samples", |m| m.samples = 0),
            ("samples", |m| m.samples = MAX_SAMPLES + 1),
            ("samples", |m| (m.samples, m.inputs.width) = (MAX_SAMPLES, 1 << 15)),
            ("inputs.width", |m| m.inputs.width = 0),
            ("inputs.width", |m| m.inputs.width = MAX_WIDTH + 1),
            ("targets.width", |m| m.targets.width = 0),
            ("targets.width", |m| m.targets.width = usize::MAX),
            ("inputs.width, targets.width", |m| m.inputs.width = MAX_WIDTH),
            ("inputs.fraction_bits", |m| m.inputs.fraction_bits = 64),
            ("targets.fraction_bits", |m| m.targets.fraction_bits = u32::MAX),
            ("commitments.count", |m| m.commitments.count = 4),
            ("commitments.count", |m| m.samples = 6),
        ];
        for (name, change) in cases {
            let mut changed = manifest();
            change(&mut changed);
            match changed.check() {
                Err(ManifestError::Field { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
