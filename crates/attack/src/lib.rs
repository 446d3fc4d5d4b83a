//! Cheating provers: the forgeries we know of, written out against the real building blocks.
//!
//! Each works against a weaker form of the argument. They are kept for two reasons: the soundness suite runs them
//! against the real verifier, which must refuse them, and against the weaker one, with a challenge switched off or its
//! equations added up, which must accept them (so that we know the attack bites and the test can fail); and the demo
//! shows one of them to whoever wants to see a forged proof refused.
//!
//! | module | what it holds |
//! |---|---|
//! | [`product`] | a false product against product equations that are added up into one |
//! | [`session`] | two forgeries against an opening that adds scratch commitments without powers of theta |
//! | [`range`] | rows, multiplicities and padding of a cheating registrar, against the range argument |
//! | [`training`] | witnesses of any field elements and false lookups, against proofs of tensor programs |
//!
//! The crate stands above `prove`. Nothing but the demo and tests uses it.

#![forbid(unsafe_code)]

pub mod product;
pub mod range;
pub mod session;
pub mod training;
