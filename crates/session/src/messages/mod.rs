//! What travels between the parties.
//!
//! | module | what it holds |
//! |---|---|
//! | [`control`] | JSON: opening and finishing a session |
//! | [`body`] | binary: rows and deltas |
//! | [`refusal`] | JSON: why a request was refused |

pub mod body;
pub mod control;
pub mod refusal;
