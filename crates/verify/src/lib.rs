//! What an auditor reads: manifests, statements, proof formats, the schedule of messages, and the verifiers.
//!
//! | module | what it holds |
//! |---|---|
//! | [`manifest`] | the public description of an adapter, and the digest that is pinned |
//! | [`canonical`] | the one form of a JSON file |
//! | [`registered`] | manifest and commitments that belong together; [`registered::PinnedAdapter`] |
//! | [`registration`] | the proof that every row commitment can be opened |
//! | [`range`] | the range argument of registered rows |
//! | [`packing`] | where the entries of all rows stand among its leaves |
//! | [`rows`] | registered data sets and models, and several registrations in one proof |
//! | [`statement`] | what a session proof is about, and all sizes that follow from it |
//! | [`schedule`] | the order of messages and challenges, as types |
//! | [`layout`] | which committed value stands on which scratch base |
//! | [`collapse`] | the one linear form that holds all constraints |
//! | [`proof`] | the bytes of a session proof |
//! | [`passes`] | the two streaming passes over activations and deltas |
//! | [`session`] | the session verifier |
//! | [`training`] | proofs about tensor programs: training steps |
//! | [`verdict`] | everything a verifier checks, in order, and the answer it gives |
//!
//! It stands above `argument` and `relation`. The prover imports this crate, never the other way round. Nothing here
//! panics on an artefact's bytes, and every size comes from the statement.

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
pub mod collapse;
pub mod layout;
pub mod manifest;
pub mod packing;
pub mod passes;
pub mod proof;
pub mod range;
pub mod registered;
pub mod registration;
pub mod rows;
pub mod schedule;
pub mod session;
pub mod statement;
pub mod training;
pub mod verdict;
