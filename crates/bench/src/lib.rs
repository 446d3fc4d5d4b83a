//! Benchmarks of the product's own paths, as the command runs them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`session`] | compute, prove and verify one synthetic session |
//! | [`training`] | register, train, prove and verify synthetic training steps |
//! | [`lookup`] | commitment and range argument of uniform integers, for each value |
//! | [`identity`] | false decisions about model identity, queries, other rules |
//! | [`float`] | the same product in f32, to compare with |
//! | [`stopwatch`] | the clock |
//! | [`machine`] | resident memory, the processor |
//! | [`summary`] | stored results of sessions as a page with a table and a plot |
//! | [`plot`] | lines against a size |
//! | [`noise`] | synthetic weights and activations |
//! | [`error`] | why a benchmark could not run |
//!
//! The crate stands above `prove`, `verify` and `transcript`, beside the command line that prints its figures. Machines are
//! noisy: within a run the steps take turns, and what counts are their ratios.

#![forbid(unsafe_code)]

pub mod error;
pub mod float;
pub mod identity;
pub mod lookup;
pub mod machine;
pub mod noise;
pub mod plot;
pub mod session;
pub mod stopwatch;
pub mod summary;
pub mod training;
