//! One body for each decoder of bytes that another party sent or that lay on a disk.
//!
//! A body takes any bytes, runs them through the real decoder and what stands behind it, and tells whether they were
//! accepted. It panics if the decoder does, and if what was accepted breaks a promise of the format: an encoding that
//! is not the canonical one, or bytes other than the one true artefact where a format leaves no second.
//!
//! The same bodies are fuzz targets (`fuzz/`) and run in the tests on mutations of valid artefacts.
//!
//! | module | decoders |
//! |---|---|
//! | `proofs` | session proof, registration proofs, manifest, secret |
//! | `folders` | transcript header, shard and window log; adapter configuration and weights |
//! | `rows` | manifests of data sets and models, a joint proof |
//! | `training` | training proof, record and batches of a run |
//! | `messages` | what the two parties send each other |

mod folders;
mod messages;
mod proofs;
mod rows;
mod training;

pub use folders::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, TRANSCRIPT_HEADER, TRANSCRIPT_LOG, TRANSCRIPT_SHARD};
pub use messages::{
    ANSWER_BODY, CALL_BODY, FLOAT_ANSWER_BODY, FLOAT_BODY, OPEN_REPLY, OPEN_REQUEST, REFUSAL, STATUS, SUMMARY,
};
pub use proofs::{MANIFEST, RANGE_PROOF, REGISTRATION_PROOF, SECRET, SESSION_PROOF};
pub use rows::{DATA_MANIFEST, JOINT_PROOF, MODEL_MANIFEST};
pub use training::{RUN_BATCHES, RUN_RECORD, TRAINING_PROOF};

use std::sync::LazyLock;

use crate::adapter::AdapterFixture;

/// A decoder with artefacts that it accepts.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// The name of its fuzz target.
    pub name: &'static str,
    /// Decodes, and tells whether the bytes were accepted.
    body: fn(&[u8]) -> bool,
    /// Artefacts that are accepted.
    seeds: fn() -> &'static [Vec<u8>],
    /// Whether nothing but these artefacts may be accepted.
    unique: bool,
}

impl Decoder {
    /// Artefacts that the decoder accepts, to start from.
    pub fn seeds(&self) -> &'static [Vec<u8>] {
        (self.seeds)()
    }

    /// Decodes any bytes and tells whether they were accepted.
    ///
    /// # Panics
    /// The decoder panics, or accepts what it must not.
    pub fn run(&self, bytes: &[u8]) -> bool {
        let accepted = (self.body)(bytes);
        if accepted && self.unique {
            assert!(self.seeds().iter().any(|seed| seed == bytes), "{} accepts a forgery", self.name);
        }
        accepted
    }
}

/// All decoders.
pub const DECODERS: &[Decoder] = &[
    SESSION_PROOF,
    REGISTRATION_PROOF,
    RANGE_PROOF,
    MANIFEST,
    SECRET,
    DATA_MANIFEST,
    MODEL_MANIFEST,
    JOINT_PROOF,
    TRAINING_PROOF,
    RUN_RECORD,
    RUN_BATCHES,
    TRANSCRIPT_HEADER,
    TRANSCRIPT_SHARD,
    TRANSCRIPT_LOG,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    OPEN_REQUEST,
    OPEN_REPLY,
    CALL_BODY,
    ANSWER_BODY,
    FLOAT_BODY,
    FLOAT_ANSWER_BODY,
    SUMMARY,
    STATUS,
    REFUSAL,
];

/// The adapter that the artefacts are about: small, ragged, two modules that share an input.
static ADAPTER: LazyLock<AdapterFixture> =
    LazyLock::new(|| AdapterFixture::new(&[(5, 3, 2), (5, 4, 1), (3, 6, 1)], 1));
