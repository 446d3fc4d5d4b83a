//! Why family files are no bank, or a bank cannot give challenges.

/// What is wrong with a bank of prompts, or with a request to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BankError {
    /// A file that is not JSON of the family format.
    #[error("{file}: not a family file: {reason}")]
    Json {
        /// The file's name.
        file: String,
        /// What the reader of JSON says, with line and column.
        reason: String,
    },
    /// A field that breaks a rule of the format.
    #[error("{file}: {field}: expected {expected}, found {found}")]
    Field {
        /// The file's name.
        file: String,
        /// The field, such as `templates[3]` or `lists.animal[2]`.
        field: String,
        /// The rule.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Two files with the same family.
    #[error("{file}: name: expected a family of its own, found {family:?}, which {other} has already")]
    FamilyTwice {
        /// The later file.
        file: String,
        /// The earlier one.
        other: String,
        /// The family's name.
        family: String,
    },
    /// No file, or more than a run could ask evenly.
    #[error("a bank has 1 to {most} families, found {found}")]
    Families {
        /// The number of files.
        found: usize,
        /// The most there may be.
        most: usize,
    },
    /// A run's name that is empty, too long, or holds anything but printable ASCII.
    #[error("a run's name is 1 to {most} printable ASCII characters, found {found:?}")]
    RunName {
        /// The name.
        found: String,
        /// The most characters.
        most: usize,
    },
    /// A number of positions that the shortest prompt has no room for.
    #[error("a challenge has 1 to {most} positions, {found} were asked for")]
    Positions {
        /// How many were asked for.
        found: usize,
        /// The most there may be.
        most: usize,
    },
    /// A family that has no new prompt left.
    #[error(
        "challenge {index}: family {family} gave no new prompt in {attempts} attempts: add templates or entries"
    )]
    Exhausted {
        /// The family's name.
        family: String,
        /// The challenge's index.
        index: u32,
        /// How often it was tried.
        attempts: u32,
    },
}
