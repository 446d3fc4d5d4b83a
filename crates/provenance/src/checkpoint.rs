//! Checkpoints of c2sp.org/tlog-checkpoint: the head of a log, in a signed note.

use std::{fmt, str::FromStr as _};

use crate::{
    hash::Hash,
    key::{KeyName, LogSigner, VerifierKey},
    note::{Note, NoteError},
    tree::{self, Heads},
};

/// The head of a log: how many entries there are, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is; the name of its key.
    pub origin: KeyName,
    /// Entries.
    pub size: u64,
    /// The root over all of them.
    pub root: Hash,
}

/// Why a checkpoint is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note or its signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// What was signed is not the head of a log.
    #[error("the signed text is no checkpoint: {reason}")]
    Text {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It is signed by the right key, but is of another log.
    #[error("it is a checkpoint of {found:?}, expected one of {expected}")]
    Origin {
        /// The key's name.
        expected: KeyName,
        /// The first line.
        found: String,
    },
}

/// A checkpoint together with the note that it was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Signs the head. Its origin must be the name of the key.
    ///
    /// # Errors
    /// The head of another log.
    pub fn sign(self, signer: &LogSigner) -> Result<SignedCheckpoint, CheckpointError> {
        let expected = signer.verifier().name();
        if self.origin != *expected {
            let (expected, found) = (expected.clone(), self.origin.to_string());
            return Err(CheckpointError::Origin { expected, found });
        }
        let note = Note::sign(self.text(), signer)?;
        Ok(SignedCheckpoint { checkpoint: self, note })
    }

    /// Whether this head is what follows from `old` by appending, as a consistency proof shows.
    pub fn follows(&self, old: &Self, proof: &[Hash]) -> bool {
        let heads = Heads { old: (old.size, old.root), new: (self.size, self.root) };
        self.origin == old.origin && tree::verify_consistency(&heads, proof)
    }
}

impl SignedCheckpoint {
    /// Reads a checkpoint and checks that `key` signed it, for the log of that name.
    ///
    /// # Errors
    /// Bytes that are no note, a signature that does not hold, a text that is no head of this log. Extension lines are
    /// refused: no log of this project writes any.
    pub fn open(bytes: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = read(note.verified(key)?, key.name())?;
        Ok(Self { checkpoint, note })
    }

    /// The head.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(formatter)
    }
}

fn read(text: &str, expected: &KeyName) -> Result<Checkpoint, CheckpointError> {
    let wrong = |reason| CheckpointError::Text { reason };
    let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    let mut line = || lines.next().ok_or(wrong("expected an origin, a size and a root"));
    let (origin, size, root) = (line()?, line()?, line()?);
    if lines.next().is_some() {
        return Err(wrong("more than an origin, a size and a root"));
    }
    let origin = KeyName::from_str(origin)
        .ok()
        .filter(|origin| origin == expected)
        .ok_or_else(|| CheckpointError::Origin { expected: expected.clone(), found: origin.to_owned() })?;
    let size = decimal(size).ok_or(wrong("the size is no decimal number"))?;
    let root = Hash::from_base64(root).ok_or(wrong("the root is no hash in base64"))?;
    Ok(Checkpoint { origin, size, root })
}

/// Reads digits without a sign and without leading zeros.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}
