//! An identity examination, run: who answers, in what order, within which memory, and what is written down.
//!
//! It joins what `lorica-identity` decides with who is asked (local weights layer by layer, endpoints, recordings) and
//! with the evidence that remains.
//!
//! | module | what it holds |
//! |---|---|
//! | [`source`] | what a side is: a model folder, an endpoint, a recording |
//! | [`recording`] | a reference's answers on disk |
//! | [`run`] | rounds of challenges, scores and the stop |

#![forbid(unsafe_code)]

pub mod recording;
pub mod run;
pub mod source;
