//! What an entry of the log may say: one event of training, as strict JSON in one accepted form.
//!
//! Every event names what it is about by SHA-256 digests of files, which anybody can compute with `sha256sum`. Unknown
//! kinds, unknown fields, repeated fields, and any second spelling of the same event are refused, so that no two entries
//! say the same under two hashes.

use std::{fmt, fs::File, io::Read as _, path::Path};

use lorica_tensor::{Digest, files::FileError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use crate::tile::MAX_ENTRY_BYTES;

/// The version of the form of an entry.
pub const EVENT_FORMAT: &str = "lorica-event/1";
/// The longest name of a run, a data set or a metric, in bytes.
pub const MAX_LABEL_BYTES: usize = 256;

/// SHA-256 of a file, as events name files: what `sha256sum` prints. In little memory.
///
/// # Errors
/// A file that cannot be read.
pub fn file_digest(path: &Path) -> Result<Digest, FileError> {
    let unreadable = |source| FileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut block).map_err(unreadable)? {
            0 => return Ok(Digest(hash.finalize().into())),
            length => hash.update(block.get(..length).unwrap_or_default()),
        }
    }
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    format: Format,
    /// Which run it belongs to.
    pub run: Label,
    /// When, in seconds since 1970, by the clock of whoever wrote it: a claim, not evidence.
    pub time: u64,
    /// What happened.
    pub event: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum What {
    /// A data set is there.
    Data {
        /// What it is called.
        name: Label,
        /// Of its file, or of the file of its commitment.
        digest: Digest,
        /// Rows.
        rows: u64,
    },
    /// Weights are there.
    Checkpoint {
        /// Steps done so far; 0 for the weights that training began with.
        step: u64,
        /// Of the weight file, or of the file of its commitment.
        digest: Digest,
    },
    /// Steps were made: from one checkpoint to another, by rows of a data set.
    Step {
        /// The first step, from 1.
        first: u64,
        /// The last step, which may be the first.
        last: u64,
        /// Of the data set.
        data: Digest,
        /// Of the list of row indices.
        rows: Digest,
        /// Of the settings: shapes and hyper-parameters.
        config: Digest,
        /// Of the weights before.
        before: Digest,
        /// Of the weights after.
        after: Digest,
    },
    /// Something was measured on a checkpoint.
    Metric {
        /// What was measured.
        name: Label,
        /// The value, a finite number.
        value: Finite,
        /// Of the weights.
        checkpoint: Digest,
        /// Of the data that it was measured on.
        data: Digest,
    },
    /// A proof of steps was made.
    Proof {
        /// The first step, from 1.
        first: u64,
        /// The last step.
        last: u64,
        /// Of the proof file.
        digest: Digest,
        /// Of the settings that the proof is verified with.
        config: Digest,
        /// Of the weights before.
        before: Digest,
        /// Of the weights after.
        after: Digest,
    },
}

/// Why bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not JSON of the known form.
    #[error("not an event of form {EVENT_FORMAT}: {reason}")]
    Form {
        /// What the parser found.
        reason: String,
    },
    /// The same event, spelled in another way.
    #[error("not in the one accepted form, which is: {expected}")]
    Spelling {
        /// How it is spelled.
        expected: String,
    },
    /// Steps that run backwards, or begin before the first.
    #[error("steps {first} to {last}: expected 1 <= first <= last")]
    Steps {
        /// First.
        first: u64,
        /// Last.
        last: u64,
    },
    /// Longer than an entry may be.
    #[error("{bytes} bytes, an entry has at most {MAX_ENTRY_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl Event {
    /// An event.
    pub fn new(run: Label, time: u64, event: What) -> Self {
        Self { format: Format, run, time, event }
    }

    /// The bytes of the entry.
    ///
    /// # Errors
    /// Steps that make no sense.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EventError> {
        self.event.check()?;
        let bytes =
            serde_json::to_vec(self).map_err(|error| EventError::Form { reason: error.to_string() })?;
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(EventError::TooLong { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads an entry, which must be in its one form.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, EventError> {
        let event = Self::parse_any_spelling(bytes)?;
        let expected = event.to_bytes()?;
        if expected != bytes {
            return Err(EventError::Spelling { expected: String::from_utf8_lossy(&expected).into_owned() });
        }
        Ok(event)
    }

    /// Reads an event as somebody typed it: spaces and the order of fields do not matter.
    ///
    /// # Errors
    /// Everything else that [`Event::parse`] refuses.
    pub fn parse_any_spelling(bytes: &[u8]) -> Result<Self, EventError> {
        let event: Self =
            serde_json::from_slice(bytes).map_err(|error| EventError::Form { reason: error.to_string() })?;
        event.event.check()?;
        Ok(event)
    }
}

impl What {
    /// The kind as it stands in the JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Data { .. } => "data",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Step { .. } => "step",
            Self::Metric { .. } => "metric",
            Self::Proof { .. } => "proof",
        }
    }

    fn check(&self) -> Result<(), EventError> {
        match *self {
            Self::Step { first, last, .. } | Self::Proof { first, last, .. }
                if first == 0 || first > last =>
            {
                Err(EventError::Steps { first, last })
            }
            _ => Ok(()),
        }
    }
}

/// The version, which has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Format;

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(EVENT_FORMAT)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        if found == EVENT_FORMAT {
            Ok(Self)
        } else {
            Err(D::Error::custom(format!("format {found:?}, expected {EVENT_FORMAT:?}")))
        }
    }
}

/// A short name: 1 to 256 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(String);

/// Why a text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no name: expected 1 to {MAX_LABEL_BYTES} bytes without control characters")]
pub struct LabelError {
    /// The beginning of the text.
    pub found: String,
}

impl std::str::FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() || text.len() > MAX_LABEL_BYTES || text.chars().any(char::is_control) {
            return Err(LabelError { found: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A number that is neither infinite nor NaN: JSON has neither.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Finite(f64);

impl Finite {
    /// A finite number; `None` for any other. Minus zero becomes zero.
    pub fn new(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(value + 0.0))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a finite number"))
    }
}
