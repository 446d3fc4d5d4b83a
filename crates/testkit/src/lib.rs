//! Fixtures for tests: random adapters with their registrations, random sessions, a small deterministic generator, and
//! the bodies of the fuzz targets.
//!
//! Development only: no crate depends on it but for its tests and benchmarks.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod evidence;
pub mod frozen;
pub mod fuzz;
pub mod mutate;
pub mod pretender;
pub mod random;
pub mod range_simulator;
pub mod rows;
pub mod session;
pub mod simulator;
pub mod tamper;
pub mod training;
pub mod training_simulator;
pub mod transcript;
