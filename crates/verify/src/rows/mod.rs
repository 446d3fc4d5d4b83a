//! Registered rows beside an adapter's: those of data sets and of models.
//!
//! | module | what it holds |
//! |---|---|
//! | [`pieces`] | where the entries of a matrix stand in committed rows |

pub mod pieces;
