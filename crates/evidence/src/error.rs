//! What can go wrong: writing a bundle, and what makes a bundle invalid, with the place.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::{canonical::CanonicalError, chain::LinkError, digest::Digest, signature::Fingerprint};

/// Why a bundle was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The folder holds something.
    #[error("{} is not empty: evidence is written to a new or an empty folder, or resumed", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run to resume.
    #[error("{} holds no run that could be resumed: {reason}", path.display())]
    NotResumable {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// Another process writes there.
    #[error("{} is in use by another process: stop it first", path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// A line before the last was changed or damaged.
    #[error("{}, line {line}: {reason}; the run cannot be resumed, start a new one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A record that would not verify.
    #[error("{field}: expected {expected}, found {found}")]
    Record {
        /// The field.
        field: String,
        /// What would verify.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A record without a canonical form.
    #[error("a record cannot be written: {0}")]
    Canonical(#[from] CanonicalError),
    /// The run has not ended for a candidate.
    #[error("candidate {candidate} has neither a decision nor a fault after {queries} queries")]
    Unfinished {
        /// Which one.
        candidate: u32,
        /// Queries so far.
        queries: u32,
    },
    /// An earlier write failed: the file may end in a torn line.
    #[error("the transcript can no longer be written because an earlier write failed: resume the run")]
    Broken,
    /// The report could not be made.
    #[error("the report cannot be rendered: {reason}")]
    Report {
        /// What the renderer says.
        reason: String,
    },
    /// A signing key that cannot be used.
    #[error("{}: {reason}", path.display())]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The visitor of a resumed run refused an entry.
    #[error("line {line}: the entry was refused: {reason}")]
    Refused {
        /// The line, from 1.
        line: u64,
        /// What it said.
        reason: String,
    },
}

/// Wraps a file system error with what was tried and where.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> WriteError + 'a {
    move |source| WriteError::Io { action, path: path.to_owned(), source }
}

/// A place in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, relative to the bundle's folder.
    pub file: String,
    /// The line, from 1, in a transcript.
    pub line: Option<u64>,
    /// The field, as a path.
    pub field: Option<String>,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, field: None }
    }

    /// A field of a file.
    pub fn field(file: impl Into<String>, field: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, field: Some(field.into()) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        if let Some(field) = &self.field {
            write!(formatter, ", {field}")?;
        }
        Ok(())
    }
}

/// Why a bundle is not evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct BundleInvalid {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub reason: Box<Reason>,
}

impl BundleInvalid {
    pub(crate) fn new(place: Place, reason: Reason) -> Self {
        Self { place, reason: Box::new(reason) }
    }
}

/// What can be wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A file that the bundle must have.
    #[error("it is missing")]
    Missing,
    /// A file or folder that is no part of the bundle.
    #[error("it is no part of the bundle")]
    Extra,
    /// A link, a pipe, a folder in place of a file.
    #[error("it is not a regular file")]
    NotAFile,
    /// More than could be valid.
    #[error("it is longer than {limit} bytes, the most that is read there")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// Bytes that are not the canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A broken chain.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file that is not the signed one.
    #[error("{bytes} bytes with SHA-256 {stated} were signed, these are {found_bytes} bytes with {found}")]
    Digest {
        /// Signed length.
        bytes: u64,
        /// Signed digest.
        stated: Digest,
        /// Length found.
        found_bytes: u64,
        /// Digest found.
        found: Digest,
    },
    /// Not a public key, or not its signature.
    #[error("the signature does not hold: {detail}")]
    Signature {
        /// What is wrong.
        detail: String,
    },
    /// Signed by somebody else.
    #[error("signed by {found}, but {pinned} was pinned")]
    Signer {
        /// Who was expected.
        pinned: Fingerprint,
        /// Who signed.
        found: Fingerprint,
    },
    /// A value that is not the one that was computed again.
    #[error("recorded as {found}, but it must be {expected}{}", version_note(.code_version))]
    Mismatch {
        /// What was computed again, shortened.
        expected: String,
        /// What is recorded, shortened.
        found: String,
        /// The recorded version of the program where it is not this one: numbers may differ between versions.
        code_version: Option<String>,
    },
    /// A value that nothing can be computed from.
    #[error("{0}")]
    Unusable(String),
}

fn version_note(version: &Option<String>) -> String {
    version.as_ref().map_or_else(String::new, |version| {
        format!(" (written by {version}, checked by {}; check it with that version)", crate::CODE_VERSION)
    })
}

/// Why there is no verdict on a bundle, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The bundle is not evidence.
    #[error("INVALID: {0}")]
    Invalid(#[from] BundleInvalid),
    /// The file system refused, which says nothing about the bundle.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl VerifyError {
    /// What is wrong with the bundle, if it is the bundle.
    pub fn invalid(&self) -> Option<&BundleInvalid> {
        match self {
            Self::Invalid(invalid) => Some(invalid),
            Self::Unreadable { .. } => None,
        }
    }
}
