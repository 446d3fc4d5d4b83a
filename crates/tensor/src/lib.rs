//! Names, digests, fixed point and weight files: the plain data every other crate speaks of.
//!
//! | module | what it holds |
//! |---|---|
//! | [`digest`] | BLAKE3 and SHA-256 digests as hexadecimal text |
//! | [`name`] | [`ModuleName`]: the path of a linear layer inside a model |
//! | [`fixed_point`] | floats to integers with public power-of-two exponents, and back |
//! | [`checkpoint`] | safetensors weight files, read by position as floats |
//! | [`files`] | files written whole or not at all, and read up to a stated size |
//!
//! This crate knows nothing of cryptography beyond hashing, and depends on no other crate of the project.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod digest;
pub mod files;
pub mod fixed_point;
pub mod name;

pub use digest::Digest;
pub use name::ModuleName;
