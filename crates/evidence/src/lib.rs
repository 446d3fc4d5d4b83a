//! Evidence bundles of identity runs: a hash-chained transcript, signed, verified offline, and shown as a report.
//!
//! A bundle is a folder. Everything that the decision depends on is in it, so that somebody who has none of the models
//! recomputes every score and the decision, and finds any byte that was changed. The format is specified in
//! `docs/spec/evidence.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`record`] | what stands in the lines: header, entries, closing |
//! | [`writer`] | writing a bundle, crash after crash |
//! | [`verify`] | checking a bundle: the place of whatever does not hold |
//! | [`signature`] | the signing key, its fingerprint, the signed list of files |
//! | [`summary`], [`report`] | what is shown of a transcript: HTML and plots, the same bytes for everybody |
//! | [`canonical`], [`digest`], [`files`] | one form for JSON; SHA-256; names and limits of files |
//! | [`error`] | everything that can go wrong, with its place |
//!
//! It stands above `identity`, whose scores and tests it runs again, and below everything that asks models.

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

pub mod canonical;
mod chain;
pub mod digest;
pub mod error;
pub mod files;
mod plot;
pub mod record;
pub mod report;
pub mod signature;
pub mod summary;
pub mod verify;
pub mod writer;

pub use canonical::CanonicalError;
pub use chain::LinkError;
pub use digest::Digest;
pub use error::{BundleInvalid, Place, Reason, VerifyError, WriteError};
pub use record::{
    Calibration, CalibrationCondition, CandidateResult, Closing, Entry, Fault, FaultKind, Header, Outcome,
    Relation, StructureCheck,
};
pub use signature::{BundleSigner, Fingerprint, SigningKeyFile};
pub use verify::{ReportCheck, SignerCheck, Verified, VerifyOptions, verify_bundle};
pub use writer::{Ending, Finished, NewBundle, Resumed, Writer};

/// The version of this program, for [`Header::code_version`].
pub const CODE_VERSION: &str = concat!("lorica ", env!("CARGO_PKG_VERSION"));
