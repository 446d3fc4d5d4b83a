//! Why a benchmark could not run.

use std::io;
use std::path::PathBuf;

use lorica_relation::training::ConfigError;

/// Why a benchmark could not run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The shape of a session is not supported.
    #[error(
        "{modules} modules with {inputs} inputs, {outputs} outputs, rank {rank} and {tokens} tokens are not supported: \
         expected 1 to 4,096 modules, widths of 1 to 65,536, ranks of 1 to 512, at least 1 token and 1 shared module"
    )]
    Shape {
        /// Modules.
        modules: usize,
        /// Inputs.
        inputs: usize,
        /// Outputs.
        outputs: usize,
        /// Rank.
        rank: usize,
        /// Tokens.
        tokens: usize,
    },
    /// A training configuration that there is not.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file of the benchmark's own.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step failed that must not fail on honest data.
    #[error("{step} failed on honest data: {message}")]
    Step {
        /// The step.
        step: &'static str,
        /// Its error.
        message: String,
    },
}

/// Names the step in which an error came up.
pub(crate) fn step<T, E: std::fmt::Display>(
    step: &'static str,
    result: Result<T, E>,
) -> Result<T, BenchError> {
    result.map_err(|error| BenchError::Step { step, message: error.to_string() })
}
