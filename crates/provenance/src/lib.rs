//! The provenance log: an append-only Merkle log of training events, on disk in the C2SP tlog-tiles layout.
//!
//! Formats, and what a log shows and does not show: `docs/spec/provenance.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`hash`], [`tree`] | RFC 6962 hashes; roots, inclusion and consistency proofs, and their verification |
//! | [`tile`] | tiles of 256 hashes, entry bundles, and their paths |
//! | [`note`], [`key`] | signed notes, and the Ed25519 keys that sign and verify them |
//! | [`checkpoint`] | the signed head of a log |
//! | [`event`] | what an entry may say: strict JSON in one form |
//! | [`writer`] | appending: one writer, whole batches or nothing |
//! | [`reader`] | entries, tiles and proofs of a log on disk |
//! | [`proof`] | proof files: C2SP tlog-proof, and the body of a tlog-witness request |
//! | [`mod@audit`] | everything computed again from the entries; edit, deletion, reorder, fork and rollback named |
//! | [`finding`] | what can be wrong, with its place |
//!
//! It stands above [`lorica_tensor`] (digests, files) and knows nothing of models, proofs of training or the network.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

pub mod audit;
pub mod checkpoint;
mod diagnose;
mod disk;
pub mod event;
pub mod finding;
pub mod hash;
pub mod key;
pub mod note;
pub mod proof;
pub mod reader;
pub mod tile;
pub mod tree;
pub mod writer;

pub use audit::{Audit, AuditOptions, Broken, Kept, Verdict, audit};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use event::{Event, EventError, What};
pub use finding::Finding;
pub use hash::Hash;
pub use key::{KeyError, KeyFileError, LogSigner, VerifierKey};
pub use note::{Note, NoteError};
pub use proof::{ConsistencyProof, InclusionProof, ProofFormatError, ProofInvalid};
pub use reader::{LogReader, ReadError};
pub use writer::{Appended, LogWriter, WriteError};
