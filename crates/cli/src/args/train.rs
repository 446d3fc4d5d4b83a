//! `lorica train ...` as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use lorica_provenance::{
    event::{Finite, Label},
    key::KeyName,
};
use lorica_tensor::Digest;

use super::training::{CommitDataArgs, TrainProveArgs, TrainRunArgs, TrainVerifyArgs};

/// What can be done about training.
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// Commit to a data set, one row a sample, with a proof that all entries are in range
    CommitData(CommitDataArgs),
    /// Train by exact fixed-point arithmetic, so that every step can be proven
    Run(TrainRunArgs),
    /// Prove steps: of a run, or one step of another trainer from its two checkpoints
    Prove(Box<TrainProveArgs>),
    /// Verify all proofs of a run: VALID or INVALID, and what that means
    Verify(TrainVerifyArgs),
    /// The provenance log: an append-only record of data, steps, checkpoints, metrics and proofs
    #[command(subcommand)]
    Log(LogCommand),
}

/// What can be done with a provenance log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Append an event, or a batch of them: all or none
    Append(Box<AppendArgs>),
    /// Compute every hash again; VALID, or INVALID with what was done and where
    Verify(LogVerifyArgs),
    /// Show the signed head, and check that it grew from one that was kept
    Checkpoint(CheckpointArgs),
    /// Prove that an entry stands in the log, and check such a proof without the log
    #[command(subcommand)]
    Inclusion(InclusionCommand),
    /// Prove that the log only grew, and check such a proof without the log
    #[command(subcommand)]
    Consistency(ConsistencyCommand),
}

/// Which log, and who signs it.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The log's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) log: PathBuf,
    /// Who signs the log: the verifier key, or a file with it
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) vkey: String,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    /// The log's folder
    #[arg(long, value_name = "DIR")]
    pub(crate) log: PathBuf,
    /// The secret key that signs the log; FILE.vkey beside it is the public one
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Begin a new log of this name, such as example.org/run-7, and make the key if there is none
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<KeyName>,
    #[command(subcommand)]
    pub(crate) event: EventCommand,
}

/// A file, or its digest where the file is not at hand.
#[derive(Debug, Clone)]
pub(crate) enum FileOrDigest {
    File(PathBuf),
    Digest(Digest),
}

impl std::str::FromStr for FileOrDigest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sha256:") {
            Some(digits) => digits.parse().map(Self::Digest).map_err(|error| error.to_string()),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// What is appended. FILE is a file, whose SHA-256 goes into the log, or sha256:DIGITS.
#[derive(Debug, Subcommand)]
pub(crate) enum EventCommand {
    /// A data set is there
    Data {
        /// The run it belongs to
        #[arg(long, value_name = "NAME")]
        run: Label,
        /// What it is called
        #[arg(long, value_name = "NAME")]
        name: Label,
        /// The data set, or the file of its commitment
        #[arg(long, value_name = "FILE")]
        data: FileOrDigest,
        /// Rows
        #[arg(long, value_name = "N")]
        rows: u64,
    },
    /// Weights are there
    Checkpoint {
        /// The run they belong to
        #[arg(long, value_name = "NAME")]
        run: Label,
        /// Steps done so far; 0 for the weights that training begins with
        #[arg(long, value_name = "N")]
        step: u64,
        /// The weights, or the file of their commitment
        #[arg(long, value_name = "FILE")]
        weights: FileOrDigest,
    },
    /// Steps were made
    Step {
        /// The run they belong to
        #[arg(long, value_name = "NAME")]
        run: Label,
        /// The first step, from 1
        #[arg(long, value_name = "N")]
        first: u64,
        /// The last step [default: the first]
        #[arg(long, value_name = "N")]
        last: Option<u64>,
        /// The data set
        #[arg(long, value_name = "FILE")]
        data: FileOrDigest,
        /// The list of row indices
        #[arg(long, value_name = "FILE")]
        rows: FileOrDigest,
        /// Shapes and hyper-parameters
        #[arg(long, value_name = "FILE")]
        config: FileOrDigest,
        /// The weights before
        #[arg(long, value_name = "FILE")]
        before: FileOrDigest,
        /// The weights after
        #[arg(long, value_name = "FILE")]
        after: FileOrDigest,
    },
    /// Something was measured
    Metric {
        /// The run it belongs to
        #[arg(long, value_name = "NAME")]
        run: Label,
        /// What was measured
        #[arg(long, value_name = "NAME")]
        name: Label,
        /// The value, a finite number
        #[arg(long, value_name = "X", value_parser = finite, allow_hyphen_values = true)]
        value: Finite,
        /// The weights it was measured on
        #[arg(long, value_name = "FILE")]
        weights: FileOrDigest,
        /// The data it was measured on
        #[arg(long, value_name = "FILE")]
        data: FileOrDigest,
    },
    /// A proof of steps was made
    Proof {
        /// The run it belongs to
        #[arg(long, value_name = "NAME")]
        run: Label,
        /// The first step, from 1
        #[arg(long, value_name = "N")]
        first: u64,
        /// The last step [default: the first]
        #[arg(long, value_name = "N")]
        last: Option<u64>,
        /// The proof
        #[arg(long, value_name = "FILE")]
        proof: FileOrDigest,
        /// What it is verified with
        #[arg(long, value_name = "FILE")]
        config: FileOrDigest,
        /// The weights before
        #[arg(long, value_name = "FILE")]
        before: FileOrDigest,
        /// The weights after
        #[arg(long, value_name = "FILE")]
        after: FileOrDigest,
    },
    /// Events from a file of JSON lines
    Events {
        /// The file; - is stdin
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LogVerifyArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// A checkpoint that you kept from an earlier visit; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) kept: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// A checkpoint that you kept from an earlier visit
    #[arg(long, value_name = "FILE")]
    pub(crate) kept: Option<PathBuf>,
    /// Keep the checkpoint in this file, where nothing was found against it; the one that was kept may be replaced
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Proofs about one entry.
#[derive(Debug, Subcommand)]
pub(crate) enum InclusionCommand {
    /// Make the proof file (c2sp.org/tlog-proof)
    Prove(InclusionProveArgs),
    /// Check a proof file: exit code 0 or 1
    Check(InclusionCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct InclusionProveArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Which entry, from 0
    #[arg(long, value_name = "N")]
    pub(crate) index: u64,
    /// The proof file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Also write the entry itself, which the proof is checked with
    #[arg(long, value_name = "FILE")]
    pub(crate) entry_out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct InclusionCheckArgs {
    /// The proof file
    pub(crate) proof: PathBuf,
    /// The entry: the event's bytes as they stand in the log
    #[arg(long, value_name = "FILE")]
    pub(crate) entry: PathBuf,
    /// Who signs the log: the verifier key, or a file with it
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) vkey: String,
}

/// Proofs about growth.
#[derive(Debug, Subcommand)]
pub(crate) enum ConsistencyCommand {
    /// Make the proof file (as in c2sp.org/tlog-witness)
    Prove(ConsistencyProveArgs),
    /// Check a proof file against a checkpoint that was kept: exit code 0 or 1
    Check(ConsistencyCheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConsistencyProveArgs {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// The old checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) kept: PathBuf,
    /// The proof file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConsistencyCheckArgs {
    /// The proof file
    pub(crate) proof: PathBuf,
    /// The old checkpoint
    #[arg(long, value_name = "FILE")]
    pub(crate) kept: PathBuf,
    /// Who signs the log: the verifier key, or a file with it
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) vkey: String,
}

fn finite(text: &str) -> Result<Finite, String> {
    let number = text.parse().ok().and_then(Finite::new);
    number.ok_or_else(|| format!("expected a finite number, found {text:?}"))
}
