//! What can be wrong with a log, and where.

use std::{fmt, path::PathBuf};

use crate::{
    checkpoint::{Checkpoint, CheckpointError},
    event::EventError,
    hash::Hash,
};

/// Findings that are told one by one; beyond them only their number grows.
pub const MAX_FINDINGS: usize = 32;

/// What is wrong with a log, and where.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// The head is not signed by the key, or is of another log.
    Signature(CheckpointError),
    /// The log is shorter than a checkpoint that it signed.
    Rollback {
        /// Which kept checkpoint.
        kept: String,
        /// Its entries.
        kept_size: u64,
        /// Entries now.
        size: u64,
    },
    /// The log signed two heads of which neither is a prefix of the other.
    Fork {
        /// Which kept checkpoint.
        kept: String,
        /// Its head.
        kept_head: Box<Checkpoint>,
        /// Entries now.
        size: u64,
        /// The root over the first entries now, as many as the kept checkpoint has.
        root: Hash,
        /// Up to here both tell the same, by another kept checkpoint or because there is nothing before.
        same_before: u64,
    },
    /// An entry is another one than the one that was signed.
    Edited {
        /// Which.
        entry: u64,
    },
    /// Entries are gone.
    Deleted {
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
    },
    /// There are entries that were never signed.
    Inserted {
        /// Where the first of them stands.
        first: u64,
        /// How many.
        count: u64,
    },
    /// An entry stands at another place than its own.
    Reordered {
        /// Which.
        entry: u64,
        /// Where it stands.
        found_at: u64,
    },
    /// The file of a bundle is gone, or is no bundle any more.
    MissingEntries {
        /// The file.
        path: PathBuf,
        /// The first entry it should hold.
        first: u64,
        /// How many.
        count: u64,
        /// What became of it.
        reason: String,
    },
    /// Entries were changed together with what was computed from them, so that only the range can be told.
    Rewritten {
        /// The first entry that may be changed.
        first: u64,
        /// How many.
        count: u64,
    },
    /// A tile does not hold what its entries give.
    Tile {
        /// The file.
        path: PathBuf,
        /// The first entry it covers.
        first: u64,
        /// How many.
        count: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An entry that is no event, although it was signed.
    NoEvent {
        /// Which.
        entry: u64,
        /// What is wrong with it.
        reason: EventError,
    },
}

impl Finding {
    /// One word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Signature(_) => "signature",
            Self::Rollback { .. } => "rollback",
            Self::Fork { .. } => "fork",
            Self::Edited { .. } => "edit",
            Self::Deleted { .. } | Self::MissingEntries { .. } => "deletion",
            Self::Inserted { .. } => "insertion",
            Self::Reordered { .. } => "reorder",
            Self::Rewritten { .. } => "rewrite",
            Self::Tile { .. } => "tile",
            Self::NoEvent { .. } => "event",
        }
    }

    /// The entries it is about: the first, and how many. None for the head as a whole.
    pub fn entries(&self) -> Option<(u64, u64)> {
        match self {
            Self::Signature(_) => None,
            Self::Rollback { kept_size, size, .. } => Some((*size, kept_size - size)),
            Self::Fork { kept_head, same_before, .. } => Some((*same_before, kept_head.size - same_before)),
            Self::Edited { entry } | Self::NoEvent { entry, .. } | Self::Reordered { entry, .. } => {
                Some((*entry, 1))
            }
            Self::Deleted { first, count }
            | Self::Inserted { first, count }
            | Self::MissingEntries { first, count, .. }
            | Self::Rewritten { first, count }
            | Self::Tile { first, count, .. } => Some((*first, *count)),
        }
    }
}

/// "entry 7", "entries 7 to 9"
fn range(first: u64, count: u64) -> String {
    match count {
        0 => "no entry".to_owned(),
        1 => format!("entry {first}"),
        _ => format!("entries {first} to {}", first + (count - 1)),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature(error) => write!(formatter, "the checkpoint: {error}"),
            Self::Rollback { kept, kept_size, size } => write!(
                formatter,
                "rolled back: {kept} is a signed checkpoint of {kept_size} entries, the log has {size}; {} gone",
                range(*size, kept_size - size)
            ),
            Self::Fork { kept, kept_head, size, root, same_before } => write!(
                formatter,
                "forked: the log signed root {} for its first {} entries ({kept}), and now a head of {size} whose first {} have \
                 root {root}; the first difference is among {}",
                kept_head.root,
                kept_head.size,
                kept_head.size,
                range(*same_before, kept_head.size - same_before)
            ),
            Self::Edited { entry } => {
                write!(formatter, "edited: entry {entry} is not the one that was signed")
            }
            Self::Deleted { first, count } => write!(formatter, "deleted: {}", range(*first, *count)),
            Self::Inserted { first, count } => {
                write!(formatter, "inserted: what stands at {} was never signed", range(*first, *count))
            }
            Self::Reordered { entry, found_at } => {
                write!(formatter, "reordered: entry {entry} stands at place {found_at}")
            }
            Self::MissingEntries { path, first, count, reason } => {
                write!(
                    formatter,
                    "deleted: {} (the bundle {}: {reason})",
                    range(*first, *count),
                    path.display()
                )
            }
            Self::Rewritten { first, count } => write!(
                formatter,
                "rewritten: {} do not lead to the signed root, and nor do the tiles over them; no closer place can be told",
                range(*first, *count)
            ),
            Self::Tile { path, first, count, reason } => write!(
                formatter,
                "the tile {} does not hold the hashes of {}: {reason}; the entries themselves are those that were signed",
                path.display(),
                range(*first, *count)
            ),
            Self::NoEvent { entry, reason } => write!(formatter, "entry {entry}: {reason}"),
        }
    }
}

/// Collects findings up to a limit, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    total: u64,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        self.total += 1;
        if self.list.len() < MAX_FINDINGS {
            self.list.push(finding);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many there are, told or not.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn into_parts(self) -> (Vec<Finding>, u64) {
        (self.list, self.total)
    }
}
