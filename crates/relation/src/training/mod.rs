//! Training as tensor programs: from a configuration to the [`crate::program::Program`] whose proof shows the steps.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | the configuration as a person writes it, in TOML |
//! | [`settings`] | the integers that it stands for: fraction bits, factors, and the digest that a proof absorbs |
//! | [`resolve`] | how they are chosen |
//! | [`layers`] | the program: linear layers, ReLU, rounded backward products, the order of tensors |
//! | [`softmax`] | the gradient of cross-entropy by the table of exponentials |
//! | [`sgd`] | updates: learning rate, momentum, weight decay |
//! | [`lora`] | products with LoRA's two matrices |
//!
//! Notation. Layer l has `o` outputs, `d` inputs and the weights `W`, an `o x (d+1)` matrix whose last column is the bias (`o x d`
//! without bias). For a batch of N samples, `A` are a layer's inputs with a column of ones, `Z = A W^T` its outputs,
//! `S` is 1 where Z is positive, and `A = S∘Z` are the inputs of the next layer. `G` are the gradients of the loss by Z, times
//! N (for mean-squared error times N K / 2), `H = G W` those by A, and `G = S∘H` goes on to the layer below. `f` are fraction
//! bits: an integer x stands for `x / 2^f`.
//!
//! A rounding `round(x / 2^s)` is the integer y with `x - 2^s y + 2^(s-1)` in `[0, 2^s)`: halves go up. Hidden Z are rounded *up*
//! (`2^s - 1` in place of `2^(s-1)`), so that S is the sign of the exact sum. With rounding to nearest, units whose sum is positive
//! but small would be off in fixed point and on in floats, and each of them changes a whole sample's gradient.

pub mod config;
pub mod layers;
pub mod lora;
pub mod resolve;
pub mod settings;
pub mod sgd;
pub mod softmax;

#[cfg(test)]
mod tests;

pub use config::{ConfigError, TrainingConfig};
pub use layers::{AdapterLayout, LayerLayout, Layout, SoftmaxLayout, TrainingProgram};
pub use settings::{
    AdapterSettings, Divisor, Effective, LayerSettings, Loss, Rounding, Settings, UpdateFactors, WeightKind,
    WeightMatrix,
};
