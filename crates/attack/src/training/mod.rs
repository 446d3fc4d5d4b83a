//! Cheating provers of tensor programs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`field`] | witnesses of any field elements, and programs evaluated on them |
//! | [`values`] | rows, leaves and multiplicities that a cheating prover puts in the honest prover's hands |
//! | [`statement`] | statements about such witnesses, also of programs that [`Program::validate`] refuses |
//! | [`prover`] | the prover step by step, with fractions in the padding and a commitment that rewrites an earlier slot |
//!
//! A cheat is one false number, and everything after it as good as it can be made: what a check computes follows from the
//! false number, so whatever does not touch the cheat holds.
//!
//! [`Program::validate`]: lorica_relation::program::Program::validate

pub mod field;
pub mod prover;
pub mod statement;
pub mod values;
