//! The session transcript on disk: a header and safetensors shards, written and read as a stream.
//!
//! Both parties of a session write one, and the prover and the verifier read it through
//! [`SessionRows`](lorica_relation::rows::SessionRows). It may be larger than memory: writer and reader hold one
//! window of it.
//!
//! ```text
//! transcript/
//!   transcript.json            the header: shapes, counts, shards, digests       see [`header`]
//!   rows-00001.safetensors     rows in order, at most one window of them          see [`shard`]
//!   rows-00002.safetensors
//!   window.log                 only while the session is open: calls that no shard holds yet
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`header`] | [`TranscriptHeader`]: `transcript.json`, its limits and checks |
//! | [`shard`] | the one accepted byte form of a shard |
//! | [`writer`] | [`TranscriptWriter`]: appends calls, survives a crash, finishes |
//! | [`reader`] | [`TranscriptReader`]: random access to the rows of a finished transcript |
//! | [`error`] | [`TranscriptError`] |
//!
//! The crate stands above `lorica-relation` and below the server, the command line and everything that audits.
//! A reader trusts nothing in the folder: every size is checked against the header, every shard's own header must
//! be, byte for byte, the one that `transcript.json` implies, and digests can be recomputed.

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

pub mod error;
pub mod header;
pub mod reader;
pub mod shard;
pub mod writer;

mod log;
mod storage;
mod window;

pub use error::TranscriptError;
pub use header::{ModuleHeader, Role, TranscriptHeader};
pub use reader::TranscriptReader;
pub use writer::{Call, RecordedCall, StreamPlan, TranscriptPlan, TranscriptWriter};
