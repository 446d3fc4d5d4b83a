//! Training in exact fixed point, with a witness for every step.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | data sets as rows of 16-bit integers |
//! | [`table`] | data sets as people have them: CSV and safetensors |
//! | [`batches`] | which rows a step takes |
//! | [`initial`] | initial weights from a seed |
//! | [`fixed`] | the trainer: weights, steps, witnesses |
//! | [`float`] | the same training in single precision, and scores of both |
//! | [`model_file`] | weights on disk: for PyTorch, and exactly |
//! | [`checkpoint`] | the witness of a step of another trainer, from two checkpoints |
//! | [`error`] | what can go wrong |
//!
//! What a step is, and the integers of a configuration, stand in [`lorica_relation::training`]. Nothing here is trusted by a
//! verifier: a witness that is wrong makes no proof.

#![forbid(unsafe_code)]

pub mod batches;
pub mod checkpoint;
pub mod data;
pub mod error;
pub mod fixed;
pub mod float;
pub mod initial;
mod matrix;
pub mod model_file;
mod pass;
pub mod table;

pub use batches::Shuffled;
pub use checkpoint::CheckpointError;
pub use data::DataSet;
pub use error::TrainError;
pub use fixed::{Chunk, FixedTrainer, Parameters, State};
pub use float::{FloatTrainer, Score};
pub use initial::initial_parameters;
pub use model_file::ModelFileError;
pub use table::{Table, TableError};
