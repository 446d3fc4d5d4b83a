//! The folder of a session on the contributor's disk.
//!
//! ```text
//! SESSIONS/<session identity, 64 hexadecimal digits>/
//!   session.json      the handshake, and where the contributor's own files are
//!   transcript/       see lorica-transcript
//!   proof.bin         once it was made
//! ```
//!
//! The folder appears under its name only when it is complete, and its name is the identity itself, so no two
//! sessions share one.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use lorica_session::{
    messages::control::{MAX_CONTROL_BYTES, OpenReply, OpenRequest},
    shapes::SessionShapes,
};
use lorica_tensor::{
    Digest,
    files::{self, FileError, FileMode},
};
use lorica_transcript::{ModuleHeader, Role, StreamPlan, TranscriptPlan};
use serde::{Deserialize, Serialize};

/// The format of `session.json`.
pub const RECORD_FORMAT: &str = "lorica-session-record/1";
/// Name of the record.
pub const RECORD_FILE: &str = "session.json";
/// Name of the transcript's folder.
pub const TRANSCRIPT_FOLDER: &str = "transcript";
/// Name of the proof.
pub const PROOF_FILE: &str = "proof.bin";

/// Where the contributor's own files are. The server stores these texts and never reads the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPaths {
    /// The adapter's folder.
    pub adapter: String,
    /// The secret that `commit` wrote.
    pub secret: String,
    /// The manifest.
    pub manifest: String,
}

/// The content of `session.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRecord {
    /// [`RECORD_FORMAT`].
    pub format: String,
    /// What the user asked for.
    pub request: OpenRequest,
    /// What the contributor answered.
    pub reply: OpenReply,
    /// Where the contributor's own files are.
    pub paths: SessionPaths,
}

/// Why a session's record cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder could not be made.
    #[error("cannot {action} {}: {source}", path.display())]
    Folder {
        /// What was tried.
        action: &'static str,
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The record is not of this version.
    #[error("{} is not a session record: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl RecordError {
    pub(crate) fn is_disk_full(&self) -> bool {
        let source = match self {
            Self::File(FileError::Write { source, .. }) | Self::Folder { source, .. } => source,
            _ => return false,
        };
        source.kind() == io::ErrorKind::StorageFull
    }
}

impl SessionRecord {
    /// Reads the record of the session in `folder`.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(RECORD_FILE);
        // Two control messages and three paths.
        let bytes = files::read_at_most(&path, MAX_CONTROL_BYTES.saturating_mul(3))?;
        let content = |message: String| RecordError::Content { path: path.clone(), message };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
        if record.format != RECORD_FORMAT {
            return Err(content(format!("expected format {RECORD_FORMAT}, found {}", record.format)));
        }
        Ok(record)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), RecordError> {
        files::write_atomically(&folder.join(RECORD_FILE), FileMode::Shared, |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })?;
        Ok(())
    }
}

/// The folder of a session.
pub fn session_folder(sessions: &Path, session: Digest) -> PathBuf {
    sessions.join(session.to_string())
}

pub(crate) fn folder_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Folder { action, path, source }
}

/// A session's folder while it is being made. Dropped before [`publish`](Self::publish), it is removed.
pub(crate) struct NewFolder {
    path: PathBuf,
    published: bool,
}

impl NewFolder {
    pub(crate) fn create(sessions: &Path, session: Digest) -> Result<Self, RecordError> {
        let path = sessions.join(format!(".new-{session}"));
        fs::create_dir_all(&path).map_err(folder_error("create", &path))?;
        Ok(Self { path, published: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn publish(mut self, sessions: &Path, session: Digest) -> Result<PathBuf, RecordError> {
        let path = session_folder(sessions, session);
        fs::rename(&self.path, &path).map_err(folder_error("name", &path))?;
        self.published = true;
        Ok(path)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the error that led here is the one that is reported.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What a party's transcript of a session is about.
pub(crate) fn transcript_plan(
    session: Digest,
    manifest: Digest,
    role: Role,
    shapes: &SessionShapes,
) -> TranscriptPlan {
    let modules = shapes.modules.iter();
    let streams = shapes.streams.iter();
    TranscriptPlan {
        session,
        manifest,
        role,
        modules: modules
            .map(|module| ModuleHeader { name: module.name.clone(), outputs: module.outputs })
            .collect(),
        streams: streams
            .map(|stream| StreamPlan { modules: stream.modules.clone(), width: stream.width })
            .collect(),
    }
}
