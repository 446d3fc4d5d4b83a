//! What a cheating prover may try against proofs of tensor programs, at the real verifier; and the ablations that show that the
//! attacks bite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ablations;
mod challenges;
mod forging;
mod lookup;
mod programs;
mod steps;
mod vectors;
mod witness;
