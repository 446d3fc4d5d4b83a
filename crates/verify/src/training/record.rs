//! The public record of a run: which configuration, data set, model, batches and proofs belong together.
//!
//! The record proves nothing. It names files by their SHA-256, so that an exchanged file is found and named; everything that it
//! says of the run is in the statements of the proofs as well.

use lorica_argument::generators::Generators;
use lorica_relation::training::Settings;
use lorica_tensor::Digest;
use serde::{Deserialize, Serialize};

use super::ProofBatch;
use super::run::{Run, RunId, RunInvalid, RunState};
use crate::canonical;
use crate::manifest::{ManifestError, field};
use crate::registration::RegistrationInvalid;
use crate::rows::commitments::RowsError;
use crate::rows::data::{PinnedData, RegisteredData};
use crate::rows::model::{PinnedModel, RegisteredModel};

/// The format this crate reads and writes.
pub const RUN_FORMAT: &str = "lorica-training-run/1";
/// The largest number of steps of a run.
pub const MAX_RUN_STEPS: u64 = 1 << 32;
/// The largest number of proofs of a run.
pub const MAX_PROOFS: usize = 1 << 20;

const BATCHES_MAGIC: &[u8; 8] = b"LoricaB1";

/// Everything public about a run, by digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`RUN_FORMAT`].
    pub format: String,
    /// The name of the run, chosen at random when it began.
    pub run: Digest,
    /// The digest of the configuration's integers.
    pub settings: Digest,
    /// The pin of the data set.
    pub data: Digest,
    /// The pin of the model before the first step.
    pub model: Digest,
    /// Which rows of the data set each step uses.
    pub batches: BatchList,
    /// The proofs so far, in order.
    pub proofs: Vec<ProofEntry>,
}

/// The file of batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchList {
    /// Steps of the whole run.
    pub steps: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// The proof of consecutive steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofEntry {
    /// The first step, from 0.
    pub first: u64,
    /// How many steps.
    pub steps: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
}

impl ProofEntry {
    /// The step after the last one.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.steps)
    }
}

impl RunRecord {
    /// The canonical text.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        canonical::write(self)
    }

    /// Reads a record and checks every field and its canonical form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        canonical::read(bytes, Self::check)
    }

    /// Proofs follow one another without gaps, and end within the run.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != RUN_FORMAT {
            return Err(field("format", RUN_FORMAT, &self.format));
        }
        if self.batches.steps == 0 || self.batches.steps > MAX_RUN_STEPS {
            return Err(field("batches.steps", format!("1 to {MAX_RUN_STEPS}"), self.batches.steps));
        }
        if self.proofs.len() > MAX_PROOFS {
            return Err(field("proofs", format!("at most {MAX_PROOFS}"), self.proofs.len()));
        }
        let mut next = 0u64;
        for (index, entry) in self.proofs.iter().enumerate() {
            if entry.first != next {
                let expected = format!("{next}, the step after the proof before");
                return Err(field(format!("proofs[{index}].first"), expected, entry.first));
            }
            if entry.steps == 0 || entry.end() > self.batches.steps {
                let expected =
                    format!("1 to {}, the steps that are left", self.batches.steps.saturating_sub(next));
                return Err(field(format!("proofs[{index}].steps"), expected, entry.steps));
            }
            next = entry.end();
        }
        Ok(())
    }
}

/// Writes the file of batches: magic, then 32 bits for each row, step by step.
pub fn write_batches(batches: &[Vec<usize>]) -> Option<Vec<u8>> {
    let mut bytes = BATCHES_MAGIC.to_vec();
    for row in batches.iter().flatten() {
        bytes.extend_from_slice(&u32::try_from(*row).ok()?.to_le_bytes());
    }
    Some(bytes)
}

/// Reads a file of batches of one size; `None` for any other bytes.
pub fn read_batches(bytes: &[u8], steps: u64, size: usize) -> Option<Vec<Vec<usize>>> {
    let rows = bytes.strip_prefix(BATCHES_MAGIC)?;
    let expected = usize::try_from(steps).ok()?.checked_mul(size)?.checked_mul(4)?;
    if size == 0 || rows.len() != expected {
        return None;
    }
    let (rows, _) = rows.as_chunks::<4>();
    let rows: Vec<usize> =
        rows.iter().map(|row| usize::try_from(u32::from_le_bytes(*row)).ok()).collect::<Option<_>>()?;
    Some(rows.chunks(size).map(<[usize]>::to_vec).collect())
}

/// The bytes of a registered object.
#[derive(Debug, Clone, Copy)]
pub struct RegisteredFiles<'a> {
    /// Its manifest.
    pub manifest: &'a [u8],
    /// Its commitments.
    pub commitments: &'a [u8],
    /// Its registration proof.
    pub registration: &'a [u8],
}

/// The bytes of a run's public files, proofs left out.
#[derive(Debug, Clone, Copy)]
pub struct RunFiles<'a> {
    /// The record.
    pub record: &'a [u8],
    /// The data set.
    pub data: RegisteredFiles<'a>,
    /// The model before the first step.
    pub model: RegisteredFiles<'a>,
    /// The batches.
    pub batches: &'a [u8],
}

/// Why files do not make a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The record itself.
    #[error("run.json: {0}")]
    Record(#[from] ManifestError),
    /// Files that do not belong together.
    #[error("{object}: {reason}")]
    Rows {
        /// The data set or the model.
        object: &'static str,
        /// Why.
        reason: RowsError,
    },
    /// A digest is another one.
    #[error("{what} has the SHA-256 {found}, the record names {expected}")]
    Digest {
        /// Which file or object.
        what: String,
        /// In the record.
        expected: Digest,
        /// Found.
        found: Digest,
    },
    /// The file of batches has another form or size.
    #[error("the file of batches is not {steps} batches of {size} rows")]
    Batches {
        /// In the record.
        steps: u64,
        /// In the configuration.
        size: usize,
    },
}

/// Why a run is INVALID, although its files belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRun {
    /// A registration proof does not hold.
    #[error("{object}: {reason}")]
    Registration {
        /// The data set or the model.
        object: &'static str,
        /// Why.
        reason: RegistrationInvalid,
    },
    /// A part is not what the configuration asks for, or a proof does not hold.
    #[error(transparent)]
    Run(#[from] RunInvalid),
}

/// A run whose files belong together; no proof was looked at yet.
pub struct ReadRun {
    /// The record.
    pub record: RunRecord,
    /// The batches of all steps.
    pub batches: Vec<Vec<usize>>,
    data: RegisteredData,
    model: RegisteredModel,
}

/// A run with a data set and a model whose registration proofs hold.
pub struct PinnedRun {
    /// The record.
    pub record: RunRecord,
    /// The configuration.
    pub settings: Settings,
    /// The batches of all steps.
    pub batches: Vec<Vec<usize>>,
    /// The data set.
    pub data: PinnedData,
    /// The model before the first step.
    pub model: PinnedModel,
}

impl ReadRun {
    /// Reads files and compares all digests.
    pub fn from_files(files: &RunFiles<'_>, settings: &Settings) -> Result<Self, RecordError> {
        let record = RunRecord::from_json(files.record)?;
        let same = |what: &str, expected: Digest, found: Digest| {
            if expected == found {
                return Ok(());
            }
            Err(RecordError::Digest { what: what.to_owned(), expected, found })
        };
        same("the configuration (its integers)", record.settings, settings.digest())?;
        same("the file of batches", record.batches.digest, Digest::sha256(files.batches))?;
        let rows = |object| move |reason| RecordError::Rows { object, reason };
        let RegisteredFiles { manifest, commitments, .. } = files.data;
        let data = RegisteredData::from_bytes(manifest, commitments, Some(&record.data))
            .map_err(rows("the data set"))?;
        let RegisteredFiles { manifest, commitments, .. } = files.model;
        let model = RegisteredModel::from_bytes(manifest, commitments, Some(&record.model))
            .map_err(rows("the model"))?;
        let (steps, size) = (record.batches.steps, settings.batch);
        let batches = read_batches(files.batches, steps, size).ok_or(RecordError::Batches { steps, size })?;
        Ok(Self { record, batches, data, model })
    }

    /// The longest row of the data set and the model: with so many bases at hand, registrations and proofs derive none or few more.
    pub fn row_length(&self) -> usize {
        self.data.manifest().row_length().max(self.model.manifest().row_length)
    }

    /// Verifies both registration proofs.
    pub fn pin(
        self,
        files: &RunFiles<'_>,
        settings: &Settings,
        generators: &Generators,
    ) -> Result<PinnedRun, InvalidRun> {
        let Self { record, batches, data, model } = self;
        let registration = |object| move |reason| InvalidRun::Registration { object, reason };
        let data = data.pin(files.data.registration, generators).map_err(registration("the data set"))?;
        let model = model.pin(files.model.registration, generators).map_err(registration("the model"))?;
        Ok(PinnedRun { record, settings: settings.clone(), batches, data, model })
    }
}

impl PinnedRun {
    /// What all proofs share.
    pub fn run(&self) -> Run<'_> {
        Run { id: RunId(self.record.run), settings: &self.settings, data: &self.data, model: &self.model }
    }

    /// The batches of a proof's steps.
    pub fn batches_of(&self, entry: &ProofEntry) -> &[Vec<usize>] {
        let place = |step: u64| usize::try_from(step).unwrap_or(usize::MAX);
        self.batches.get(place(entry.first)..place(entry.end())).unwrap_or_default()
    }

    /// As [`PinnedRun::verify_next`], but for one equation, which is added to a batch: all states are worth something only if the
    /// batch holds.
    pub fn defer_next(
        &self,
        state: &RunState,
        entry: &ProofEntry,
        proof: &[u8],
        generators: &Generators,
        batch: &mut ProofBatch,
    ) -> Result<RunState, InvalidRun> {
        Ok(self.run().defer(state, self.batches_of(entry), proof, generators, batch)?)
    }

    /// Verifies the next proof; returns the state after it.
    pub fn verify_next(
        &self,
        state: &RunState,
        entry: &ProofEntry,
        proof: &[u8],
        generators: &Generators,
    ) -> Result<RunState, InvalidRun> {
        Ok(self.run().verify(state, self.batches_of(entry), proof, generators)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> RunRecord {
        let digest = |byte| Digest([byte; 32]);
        let entry = |first, steps| ProofEntry { first, steps, digest: digest(9) };
        RunRecord {
            format: RUN_FORMAT.to_owned(),
            run: digest(1),
            settings: digest(2),
            data: digest(3),
            model: digest(4),
            batches: BatchList { steps: 10, digest: digest(5) },
            proofs: vec![entry(0, 4), entry(4, 6)],
        }
    }

    #[test]
    fn records_read_back_and_every_gap_is_named() {
        let text = record().to_json().unwrap();
        assert_eq!(RunRecord::from_json(text.as_bytes()), Ok(record()));
        let refused = |change: fn(&mut RunRecord)| {
            let mut record = record();
            change(&mut record);
            record.check().unwrap_err().to_string()
        };
        assert!(refused(|record| record.proofs[1].first = 5).contains("proofs[1].first"));
        assert!(refused(|record| record.proofs[1].steps = 7).contains("proofs[1].steps"));
        assert!(refused(|record| record.proofs[0].steps = 0).contains("proofs[0].steps"));
        assert!(refused(|record| record.proofs.swap(0, 1)).contains("proofs[0].first"));
        assert!(refused(|record| record.batches.steps = 0).contains("batches.steps"));
        assert!(refused(|record| record.format = "lorica-training-run/2".into()).contains("format"));
    }

    #[test]
    fn batches_read_back_exactly() {
        let batches = vec![vec![1, 2, 3], vec![70_000, 0, 3]];
        let bytes = write_batches(&batches).unwrap();
        assert_eq!(read_batches(&bytes, 2, 3), Some(batches));
        assert_eq!(read_batches(&bytes, 3, 2).map(|batches| batches.len()), Some(3));
        assert_eq!(read_batches(&bytes, 2, 2), None);
        assert_eq!(read_batches(&bytes[..bytes.len() - 1], 2, 3), None);
        assert_eq!(read_batches(&[bytes.as_slice(), &[0]].concat(), 2, 3), None);
        assert_eq!(read_batches(&bytes[1..], 2, 3), None);
        assert_eq!(read_batches(BATCHES_MAGIC, 0, 0), None);
        assert_eq!(write_batches(&[vec![1 << 40]]), None);
    }
}
