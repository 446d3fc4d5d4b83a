//! What can go wrong while training.

use lorica_relation::program::bounds::ProgramError;

/// Why a step cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// A number does not fit into 16 bits.
    #[error(
        "step {step}: {tensor}, row {row}, column {column} is {value}, beyond 16 bits: {}",
        advice(tensor)
    )]
    Overflow {
        /// The step, from 0, since the weights were made.
        step: u64,
        /// What it is, with the layer.
        tensor: String,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The number.
        value: i64,
    },
    /// A weight does not fit into 32 bits.
    #[error("step {step}: {parameter}, row {row}, column {column} leaves 32 bits: the training diverges")]
    Weight {
        /// The step, from 0, since the weights were made.
        step: u64,
        /// The matrix.
        parameter: String,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
    },
    /// A part has another size than the settings say.
    #[error("{what}: expected {expected} numbers, found {found}")]
    Size {
        /// The part.
        what: String,
        /// What the settings ask for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A row that the data set does not have.
    #[error("row {found} is not in the data set, which has {rows} rows")]
    Row {
        /// The row, from 0.
        found: usize,
        /// How many there are.
        rows: usize,
    },
    /// No program has these settings or so many steps.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// What a person can do about a number that is too large.
fn advice(tensor: &str) -> &'static str {
    if tensor.starts_with('d') {
        "use a smaller learning rate or momentum, or weights with fewer fraction bits"
    } else {
        "use fewer fraction bits under [fixed_point], a smaller learning rate, or smaller data"
    }
}
