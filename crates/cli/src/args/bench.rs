//! The commands of `lorica bench` about proofs of training, as they are typed.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct BenchTrainingArgs {
    /// Widths: inputs, hidden layers, outputs
    #[arg(long, value_delimiter = ',', default_value = "784,1024,256,10", value_name = "WIDTHS")]
    pub(crate) layers: Vec<usize>,
    /// Samples in a step
    #[arg(long, default_value = "64", value_name = "N")]
    pub(crate) batch: NonZeroUsize,
    /// Steps in one proof
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) steps: NonZeroUsize,
    /// Which weights move
    #[arg(long, value_enum, default_value = "sgd")]
    pub(crate) update: UpdateChoice,
    /// Rank of LoRA matrices
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub(crate) rank: usize,
    /// What is minimised
    #[arg(long, value_enum, default_value = "mean-squared-error")]
    pub(crate) loss: LossChoice,
    /// Momentum, from 0 to below 1
    #[arg(long, default_value_t = 0.0, value_name = "M")]
    pub(crate) momentum: f64,
    /// Timed repetitions of each step, after the first proof
    #[arg(long, default_value = "5", value_name = "N")]
    pub(crate) repetitions: NonZeroUsize,
    /// Prove from this folder of registrations, in this process: what the command starts itself with
    #[arg(long, hide = true)]
    pub(crate) registered: Option<PathBuf>,
}

/// Which weights move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UpdateChoice {
    /// All
    Sgd,
    /// LoRA matrices of all layers
    Lora,
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LossChoice {
    /// The mean square of output minus target
    MeanSquaredError,
    /// Softmax, then cross-entropy
    CrossEntropy,
}

#[derive(Debug, Args)]
pub(crate) struct BenchLookupArgs {
    /// Rows of uniform 16-bit integers
    #[arg(long, default_value = "64", value_name = "N")]
    pub(crate) rows: NonZeroUsize,
    /// Entries of each
    #[arg(long, default_value = "4096", value_name = "N")]
    pub(crate) row_length: NonZeroUsize,
    /// Timed repetitions of each step
    #[arg(long, default_value = "5", value_name = "N")]
    pub(crate) repetitions: NonZeroUsize,
}
