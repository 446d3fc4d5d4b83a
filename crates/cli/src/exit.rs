//! Exit codes, the same for every command.

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and every check said yes.
    Yes,
    /// A check said no: INVALID, weights that do not open, another pin, an adapter that is not supported, DIFFERENT.
    No,
    /// What was typed makes no sense.
    Usage,
    /// Neither yes nor no within the budget.
    Undecided,
    /// Input, files or the network.
    Failed,
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Undecided => 3,
            Self::Failed => 4,
        }
    }
}
