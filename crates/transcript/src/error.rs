//! What can be wrong with a transcript, with the file, the place, what was expected and what was found.

use std::{io, path::PathBuf};

use lorica_relation::rows::RowsError;
use lorica_tensor::files::FileError;

/// Why a transcript cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
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
    /// A transcript was to be created in a folder that holds something.
    #[error("{} is not empty: a transcript is created in a new or an empty folder; name another one", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The header file is not JSON of the right shape.
    #[error("{} is not a transcript header: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
    /// A field of the header has a value that is not accepted.
    #[error("transcript header, field {field}: expected {expected}, found {found}")]
    Header {
        /// The field's path.
        field: String,
        /// What is accepted.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A shard is not what the header implies.
    #[error("{}, {what}: expected {expected}, found {found}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What was looked at.
        what: &'static str,
        /// What the header implies.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The folder holds something that is no part of a finished transcript.
    #[error("{} is no part of a finished transcript: remove it, or check that the folder is the right one", path.display())]
    UnexpectedFile {
        /// The file.
        path: PathBuf,
    },
    /// The session was not finished.
    #[error("the transcript in {} was not finished ({calls} calls are in its shards): finish the session first", folder.display())]
    NotFinished {
        /// The folder.
        folder: PathBuf,
        /// Calls that the shards hold.
        calls: u64,
    },
    /// The session was finished: nothing can be appended.
    #[error("the transcript in {} is finished after {calls} calls: nothing can be appended to it", folder.display())]
    Finished {
        /// The folder.
        folder: PathBuf,
        /// Calls in all.
        calls: u64,
    },
    /// Another writer has the transcript open.
    #[error("{} is in use by another process: stop it first", path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// A record before the last one of the window log is damaged.
    #[error("{} is damaged at byte {offset}: {reason}; calls after it cannot be trusted, start a new session", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Where the damaged record begins.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A call does not fit the session.
    #[error("call {index}, {what}: expected {expected}, found {found}")]
    Call {
        /// Index of the call within the session.
        index: u64,
        /// What does not fit.
        what: &'static str,
        /// What the session's shapes imply.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An earlier write failed and could not be undone.
    #[error("the transcript in {} can no longer be written: an earlier write failed and could not be undone; free disk space and reopen it", folder.display())]
    Broken {
        /// The folder.
        folder: PathBuf,
    },
    /// The rows do not have the digest that the header states.
    #[error(
        "{tensor}: the header states digest {stated}, the rows have {found}: the files were changed after they were written"
    )]
    Digest {
        /// The tensor.
        tensor: String,
        /// What the header states.
        stated: String,
        /// What the rows give.
        found: String,
    },
    /// A whole file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows could not be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

impl TranscriptError {
    /// Whether the disk had no room: the same call can be tried again once it has.
    pub fn is_disk_full(&self) -> bool {
        let source = match self {
            Self::Io { source, .. } | Self::File(FileError::Write { source, .. }) => source,
            _ => return false,
        };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
