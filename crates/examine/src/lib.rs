//! An identity examination, run: who answers, in what order, within which memory, and what is written down.
//!
//! It joins what `lorica-identity` decides with who is asked (local weights layer by layer, endpoints, recordings) and
//! with the evidence that remains.

#![forbid(unsafe_code)]

pub mod local;
