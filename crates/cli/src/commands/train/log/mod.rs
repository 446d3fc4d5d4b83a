//! `lorica train log`: the provenance log.
//!
//! | module | what it does |
//! |---|---|
//! | [`append`] | events into the log, which is made where there is none |
//! | [`verify`] | every hash computed again |
//! | [`checkpoint`] | the signed head, held against one that was kept |
//! | [`proofs`] | inclusion and consistency, made and checked |

mod append;
mod checkpoint;
mod proofs;
mod verify;

use std::path::Path;

use lorica_provenance::{Checkpoint, SignedCheckpoint, VerifierKey, hash::Hash, note::MAX_NOTE_BYTES};
use lorica_tensor::files::read_at_most;
use serde::Serialize;

use crate::{
    args::train::{ConsistencyCommand, InclusionCommand, LogCommand},
    error::CliError,
    exit::Exit,
    report::{Console, format::count},
};

pub(super) fn run(command: &LogCommand, console: &Console) -> Result<Exit, CliError> {
    match command {
        LogCommand::Append(args) => console.emit(&append::run(args)?),
        LogCommand::Verify(args) => console.emit(&verify::run(args, console)?),
        LogCommand::Checkpoint(args) => console.emit(&checkpoint::run(args)?),
        LogCommand::Inclusion(InclusionCommand::Prove(args)) => console.emit(&proofs::prove_inclusion(args)?),
        LogCommand::Inclusion(InclusionCommand::Check(args)) => console.emit(&proofs::check_inclusion(args)?),
        LogCommand::Consistency(ConsistencyCommand::Prove(args)) => {
            console.emit(&proofs::prove_consistency(args)?)
        }
        LogCommand::Consistency(ConsistencyCommand::Check(args)) => {
            console.emit(&proofs::check_consistency(args)?)
        }
    }
}

/// A head, as reports show it.
#[derive(Debug, Clone, Serialize)]
struct Head {
    origin: String,
    size: u64,
    root: String,
}

impl Head {
    fn of(checkpoint: &Checkpoint) -> Self {
        let Checkpoint { origin, size, root } = checkpoint;
        Self { origin: origin.to_string(), size: *size, root: root.to_string() }
    }
}

/// The verifier key: as text, or a file that holds it.
fn verifier(text: &str) -> Result<VerifierKey, CliError> {
    // A path may hold plus signs as well; a file that is there is meant.
    let path = Path::new(text);
    if path.is_file() {
        return Ok(VerifierKey::read(path)?);
    }
    text.parse()
        .map_err(|error| CliError::Usage(format!("--vkey {text:?}: no such file, and as a key: {error}")))
}

/// A checkpoint that somebody kept.
fn kept(path: &Path, key: &VerifierKey) -> Result<SignedCheckpoint, CliError> {
    SignedCheckpoint::open(&read_at_most(path, MAX_NOTE_BYTES)?, key)
        .map_err(|error| CliError::Content { path: path.to_owned(), reason: error.to_string() })
}

/// "1 entry", "2 entries".
fn entries(number: u64) -> String {
    match number {
        1 => "1 entry".to_owned(),
        _ => format!("{} entries", count(number)),
    }
}

/// Roots in messages, shorter than they are.
fn short(root: &Hash) -> String {
    root.to_string().chars().take(12).collect()
}
