//! `lorica tensor ...` as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use lorica_commitment::Kind;

/// What can be done with commitments to tensors.
#[derive(Debug, Subcommand)]
pub(crate) enum TensorCommand {
    /// Commit to tensors of a safetensors file
    Commit(TensorCommitArgs),
    /// Make the commitments again from the tensors, and say which do not hold
    Verify(TensorVerifyArgs),
}

/// One kind of commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashChoice {
    /// SHA-256 Merkle root, for auditors
    Sha256,
    /// Poseidon Merkle root over BN254 as in circom, for circuits
    Poseidon,
    /// Pedersen rows of 16-bit integers, as in this program's proofs
    Pedersen,
}

impl From<HashChoice> for Kind {
    fn from(choice: HashChoice) -> Self {
        match choice {
            HashChoice::Sha256 => Self::Sha256,
            HashChoice::Poseidon => Self::Poseidon,
            HashChoice::Pedersen => Self::Pedersen,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TensorCommitArgs {
    /// The safetensors file
    pub(crate) file: PathBuf,
    /// Which tensors; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) tensor: Vec<String>,
    /// Which commitments, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sha256", value_name = "HASH")]
    pub(crate) hash: Vec<HashChoice>,
    /// Salt the roots, so that they say nothing of the tensors: for small ones, which could be guessed
    #[arg(long)]
    pub(crate) hiding: bool,
    /// The commitments, to be given away
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The secret that opens salted roots and Pedersen rows [default: OUT.opening, where one is needed]
    #[arg(long, value_name = "FILE")]
    pub(crate) opening: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TensorVerifyArgs {
    /// The commitments
    pub(crate) commitment: PathBuf,
    /// The safetensors file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which commitments, separated by commas [default: all there are]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "HASH")]
    pub(crate) hash: Vec<HashChoice>,
    /// The secret that opens salted roots and Pedersen rows
    #[arg(long, value_name = "FILE")]
    pub(crate) opening: Option<PathBuf>,
}
