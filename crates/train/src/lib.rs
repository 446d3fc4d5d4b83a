//! Training in exact fixed point, with a witness for every step.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | data sets as rows of 16-bit integers |
//! | [`fixed`] | the trainer: weights, steps, witnesses |
//! | [`error`] | what can go wrong |
//!
//! What a step is, and the integers of a configuration, stand in [`lorica_relation::training`]. Nothing here is trusted by a
//! verifier: a witness that is wrong makes no proof.

#![forbid(unsafe_code)]

pub mod data;
pub mod error;
pub mod fixed;
mod matrix;
mod pass;

pub use data::DataSet;
pub use error::TrainError;
pub use fixed::{Chunk, FixedTrainer, Parameters};
