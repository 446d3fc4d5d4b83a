//! Scalars, points, multi-scalar multiplication, multilinear extensions and integer kernels.
//!
//! | module | what it holds |
//! |---|---|
//! | [`scalar`] | the scalar field: canonical bytes, the way to the group |
//! | [`point`] | ristretto255: canonical encodings, multi-scalar multiplication |
//! | [`multilinear`] | `eq` tables and inner products |
//! | [`wide`] | [`wide::Wide`]: signed 320-bit integers, and their reduction to scalars |
//! | [`kernels`] | integer kernels over int16 and int64 rows: SIMD and a portable twin of each |
//!
//! A thin face over `curve25519-dalek` (the group) and `ark-ff` (its scalar field). All `unsafe` of the project's
//! cryptography stands in [`kernels`], alone.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod kernels;
pub mod multilinear;
pub mod point;
pub mod scalar;
pub mod wide;

/// An element of the scalar field of ristretto255, of order l = 2^252 + 27742317777372353535851937790883648493.
pub type Scalar = ark_ed25519::Fr;

/// An element of the ristretto255 group.
pub type Point = curve25519_dalek::RistrettoPoint;
