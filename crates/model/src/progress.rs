//! How far long work has come.

/// How far long work has come; the unit is stated where it is reported. `done` reaches `total` at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
}
