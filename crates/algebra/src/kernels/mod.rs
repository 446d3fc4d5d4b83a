//! Integer kernels, each with a portable twin.
//!
//! | module | what it computes |
//! |---|---|
//! | [`backend`] | which twin runs |
//! | [`digits`] | large integers as planes of small digits |
//! | [`combine`] | linear combinations of int16 rows |
//! | [`dot`] | inner products of int16 and int64 rows with large integers |
//! | [`field`] | inner products and sumcheck rounds of scalars |
//! | [`product`] | the contributor's exact low-rank product |
//! | [`rows`] | commitments to rows of int16 values |
//! | [`table`] | memory for large tables of scalars |
//!
//! All results are exact integers, so the twins agree bit for bit. Every bound that keeps an accumulator from
//! wrapping stands beside its kernel, and the tests reach it at the largest supported shapes: widths of 65,536,
//! rank 512, entries of -2^15 and of -2^63, challenges of 2^126 - 1. Kernels run on one thread; callers spread
//! them over modules. This is the only place of the project's cryptography with `unsafe`.

pub mod backend;
pub mod combine;
pub mod digits;
pub mod dot;
pub mod field;
pub mod product;
pub mod rows;
pub mod table;
#[cfg(test)]
mod tests;

pub use backend::{Backend, SimdError, simd};
pub use combine::{Combiner, combine_scalars};
pub use digits::{ChallengeDigits, ChallengeVector, CombinationDigits, DigitVector};
pub use dot::{dot_i16, dot_i64, dot_i64_rows};
pub use product::LowRankProduct;
