//! Commitments to tensors that tools outside can recompute: SHA-256 and Poseidon Merkle roots, and Pedersen rows.
//!
//! Formats, and what each commitment binds and hides: `docs/spec/tensor-commitments.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`tensor`] | a tensor as it is committed to: type, shape and bytes |
//! | [`fold`] | the shape of the trees: that of RFC 6962, whose odd nodes are not doubled |
//! | [`sha256`] | the root for auditors: SHA-256, bound to type, shape and length |
//! | [`poseidon`] | the root for circuits: Poseidon over BN254, as circom has it |
//! | [`pedersen`] | the rows that this project's proofs are about |
//! | [`secret`] | the seed of all salts and blinds, and its file |
//! | [`document`] | all commitments of a file of tensors, as JSON in one form; made and checked |
//!
//! It stands above `argument` (bases), `algebra` (row kernels) and `tensor` (weight files).

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

pub mod document;
pub mod fold;
pub mod pedersen;
pub mod poseidon;
pub mod secret;
pub mod sha256;
pub mod tensor;

pub use document::{
    CommitError, CommitOptions, Document, DocumentError, Kind, Outcome, TensorCommitment, commit, verify,
};
pub use secret::{CommitmentSecret, SecretError};
pub use tensor::Tensor;
