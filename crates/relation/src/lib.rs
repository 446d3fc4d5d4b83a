//! What a session proof states, in plain structs, and a check of it in the clear.
//!
//! | module | what it holds |
//! |---|---|
//! | [`session`] | [`session::Instance`] (public), [`session::Witness`] (private) and `check`, the oracle that fixes the semantics |
//! | [`range`] | what a range argument states: entries of 16 bits, and counts of them |
//! | [`program`] | tensor programs: what a proof about training states, and a check of it in the clear |
//! | [`training`] | training steps as tensor programs, from a configuration |
//! | [`rows`] | [`rows::SessionRows`]: access to activations and deltas that may be larger than memory |
//! | [`digests`] | BLAKE3 digests of every tensor of a session, taken while rows flow |
//!
//! The crate stands above [`lorica_tensor`] and below the prover and the verifier; both speak of these types.

#![forbid(unsafe_code)]

pub mod digests;
pub mod program;
pub mod range;
pub mod rows;
pub mod session;
pub mod training;
