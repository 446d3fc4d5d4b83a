//! An identity examination, run: who answers, in what order, within which memory, and what is written down.
//!
//! It joins what `lorica-identity` decides with who is asked (local weights layer by layer, endpoints, recordings) and
//! with the evidence that remains.
//!
//! | module | what it holds |
//! |---|---|
//! | [`side`], [`local`] | one side, opened; a model in a folder, within a memory limit |
//! | [`source`] | what a side is: a model folder, an endpoint, a recording |
//! | [`recording`] | a reference's answers on disk |
//! | [`engine`], [`recut`] | a local model behind a server on loopback, in its own tokens or in others |
//! | [`agreement`] | what two sides can be compared by |
//! | [`run`] | rounds of challenges, scores and the stop |
//! | [`comparison`] | a run with its evidence |
//! | [`measured`] | how far two models are apart, measured, and which decisions that contradicts |
//! | [`survey`] | the real run on many pairs of the zoo, whose relation is known |
//! | [`calibrate`] | how far a model is from itself |
//! | [`relation`] | how two models are related |
//! | [`robustness`] | servers that misbehave, and what is found about them |
//! | [`structure`] | what two folders say without being run |

#![forbid(unsafe_code)]

pub mod agreement;
pub mod calibrate;
pub mod comparison;
pub mod engine;
pub mod local;
pub mod measured;
pub mod recording;
pub mod recut;
pub mod relation;
pub mod robustness;
pub mod run;
pub mod side;
pub mod source;
pub mod structure;
pub mod survey;
