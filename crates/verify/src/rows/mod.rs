//! Registered rows beside an adapter's: those of data sets and of models.
//!
//! | module | what it holds |
//! |---|---|
//! | [`pieces`] | where the entries of a matrix stand in committed rows |
//! | [`statement`] | the rows that a range argument is about, of one registration or of several |

pub mod pieces;
pub mod statement;
