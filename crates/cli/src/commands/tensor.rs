//! `lorica tensor`: commitments to tensors for tools outside.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_commitment::{
    CommitError, CommitOptions, CommitmentSecret, Document, Kind, Outcome, TensorCommitment, commit,
    document::MAX_DOCUMENT_BYTES, verify,
};
use lorica_tensor::{
    Digest,
    checkpoint::{Checkpoint, TensorDescription},
    files::{FileError, FileMode, create_atomically, read_at_most, write_atomically},
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    args::tensor::{HashChoice, TensorCommand, TensorCommitArgs, TensorVerifyArgs},
    error::CliError,
    exit::Exit,
    own,
    progress::{Progress, Unit},
    report::{
        Console, Report,
        format::{bytes, plural, seconds, table, wrapped},
    },
};

const MAX_OPENING_BYTES: u64 = 4096;

pub(super) fn run(command: &TensorCommand, console: &Console) -> Result<Exit, CliError> {
    match command {
        TensorCommand::Commit(args) => console.emit(&run_commit(args, console)?),
        TensorCommand::Verify(args) => console.emit(&run_verify(args, console)?),
    }
}

/// What was committed to.
#[derive(Debug, Serialize)]
pub(crate) struct TensorCommitReport {
    commitment: String,
    /// SHA-256 of the file with the commitments.
    digest: Digest,
    opening: Option<String>,
    hiding: bool,
    hash: BTreeSet<Kind>,
    tensors: Vec<TensorSummary>,
    seconds: f64,
}

/// One tensor with its roots; the rows are in the file.
#[derive(Debug, Serialize)]
struct TensorSummary {
    name: String,
    dtype: String,
    shape: Vec<u64>,
    bytes: u64,
    sha256: Option<Digest>,
    poseidon: Option<String>,
    pedersen: Option<Digest>,
    pedersen_rows: usize,
}

impl TensorSummary {
    fn of(tensor: &TensorCommitment) -> Self {
        Self {
            name: tensor.name.clone(),
            dtype: tensor.dtype.to_string(),
            shape: tensor.shape.clone(),
            bytes: tensor.bytes,
            sha256: tensor.sha256,
            poseidon: tensor.poseidon.clone(),
            pedersen: tensor.pedersen.as_ref().map(|pedersen| pedersen.root),
            pedersen_rows: tensor.pedersen.as_ref().map_or(0, |pedersen| pedersen.rows.len()),
        }
    }
}

/// Bytes that are done, on a bar.
struct Told {
    bar: Progress,
    total: u64,
    done: std::cell::Cell<u64>,
}

impl Told {
    fn new<'a>(
        console: &Console,
        label: &'static str,
        tensors: impl Iterator<Item = &'a TensorDescription>,
    ) -> Self {
        let total = tensors.map(|tensor| tensor.bytes as u64).sum();
        Self { bar: console.progress(label, Unit::Bytes), total, done: 0.into() }
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Told({} of {})", self.done.get(), self.total)
    }
}

impl lorica_commitment::document::Progress for Told {
    fn done(&self, bytes: u64) {
        self.done.set(self.done.get() + bytes);
        self.bar.set(self.done.get(), self.total);
    }
}

fn kinds(choices: &[HashChoice]) -> BTreeSet<Kind> {
    choices.iter().copied().map(Kind::from).collect()
}

fn run_commit(args: &TensorCommitArgs, console: &Console) -> Result<TensorCommitReport, CliError> {
    let started = Instant::now();
    let file = Checkpoint::open(&args.file).map_err(load)?;
    let all = file.tensors();
    let names: BTreeSet<String> = match args.tensor.is_empty() {
        true => all.iter().map(|tensor| tensor.name.clone()).collect(),
        false => args.tensor.iter().cloned().collect(),
    };
    let kinds = kinds(&args.hash);
    let secret = fresh_secret()?;
    let told =
        Told::new(console, "committing to tensors", all.iter().filter(|tensor| names.contains(&tensor.name)));
    let options =
        CommitOptions { kinds: &kinds, hiding: args.hiding, secret: Some(&secret), progress: Some(&told) };
    let opening = match (&args.opening, options.needs_secret()) {
        (Some(_), false) => {
            let text = "--opening: plain roots need none; leave it out, or add --hiding or --hash pedersen";
            return Err(CliError::Usage(text.to_owned()));
        }
        (Some(path), true) => Some(path.clone()),
        (None, needed) => needed.then(|| beside(&args.out)),
    };
    // Before long work for nothing; it is checked again when it is written.
    if let Some(path) = opening.as_ref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(FileError::Exists { path: path.clone() }.into());
    }
    let document = commit(&file, &names, &options)?;
    let text = document.to_json()?;
    // The opening first: commitments without it are of no use, and nobody has seen them yet.
    if let Some(path) = &opening {
        create_atomically(path, FileMode::Secret, |file| file.write_all(secret.to_text().as_bytes()))?;
    }
    write_atomically(&args.out, FileMode::Shared, |file| file.write_all(text.as_bytes()))?;
    Ok(TensorCommitReport {
        commitment: args.out.display().to_string(),
        digest: Digest::sha256(text.as_bytes()),
        opening: opening.map(|path| path.display().to_string()),
        hiding: args.hiding,
        hash: kinds,
        tensors: document.tensors.iter().map(TensorSummary::of).collect(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn beside(out: &Path) -> PathBuf {
    let mut path = out.to_owned();
    path.as_mut_os_string().push(".opening");
    path
}

fn fresh_secret() -> Result<CommitmentSecret, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)?;
    Ok(CommitmentSecret::from_seed(*seed))
}

/// Whether commitments hold.
#[derive(Debug, Serialize)]
pub(crate) struct TensorVerifyReport {
    /// `VALID` or `INVALID`.
    verdict: &'static str,
    digest: Digest,
    outcomes: Vec<Outcome>,
    /// Tensors of the file that nothing was committed to.
    not_committed: Vec<String>,
    seconds: f64,
}

fn run_verify(args: &TensorVerifyArgs, console: &Console) -> Result<TensorVerifyReport, CliError> {
    let started = Instant::now();
    let text = read_at_most(&args.commitment, MAX_DOCUMENT_BYTES)?;
    let document = Document::parse(&text)
        .map_err(|error| CliError::Content { path: args.commitment.clone(), reason: error.to_string() })?;
    let file = Checkpoint::open(&args.file).map_err(load)?;
    let kinds = if args.hash.is_empty() { document.kinds() } else { kinds(&args.hash) };
    let secret = args.opening.as_deref().map(read_opening).transpose()?;
    let committed: BTreeSet<&str> = document.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let all = file.tensors();
    let told = Told::new(
        console,
        "verifying tensors",
        all.iter().filter(|tensor| committed.contains(tensor.name.as_str())),
    );
    let options = CommitOptions {
        kinds: &kinds,
        hiding: document.hiding,
        secret: secret.as_ref(),
        progress: Some(&told),
    };
    let outcomes = verify(&document, &file, &options)?;
    let holds = outcomes.iter().all(|outcome| outcome.difference.is_none());
    let not_committed = all.iter().filter(|tensor| !committed.contains(tensor.name.as_str()));
    Ok(TensorVerifyReport {
        verdict: if holds { "VALID" } else { "INVALID" },
        digest: Digest::sha256(&text),
        outcomes,
        not_committed: not_committed.map(|tensor| tensor.name.clone()).collect(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn read_opening(path: &Path) -> Result<CommitmentSecret, CliError> {
    let bytes = Zeroizing::new(read_at_most(path, MAX_OPENING_BYTES)?);
    own::warn_if_exposed(path)?;
    // Anything that is not text is not the format either.
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    CommitmentSecret::from_text(text)
        .map_err(|error| CliError::Content { path: path.to_owned(), reason: error.to_string() })
}

fn load(error: lorica_tensor::checkpoint::LoadError) -> CliError {
    CliError::Commitment(CommitError::Load(error))
}

impl Report for TensorCommitReport {
    const SCHEMA: &'static str = "lorica-tensor-commit/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for tensor in &self.tensors {
            let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
            writeln!(
                out,
                "{}  {} [{}], {}",
                tensor.name,
                tensor.dtype,
                shape.join(", "),
                bytes(tensor.bytes)
            )?;
            if let Some(root) = tensor.sha256 {
                writeln!(out, "  sha256    {root}")?;
            }
            if let Some(root) = &tensor.poseidon {
                writeln!(out, "  poseidon  {root}")?;
            }
            if let Some(root) = tensor.pedersen {
                writeln!(out, "  pedersen  {root}, {}", plural(tensor.pedersen_rows as u64, "row"))?;
            }
        }
        writeln!(
            out,
            "\ncommitted to {} in {}: {}",
            plural(self.tensors.len() as u64, "tensor"),
            seconds(self.seconds),
            self.commitment
        )?;
        writeln!(out, "digest   {}   (sha256sum)", self.digest)?;
        if let Some(path) = &self.opening {
            writeln!(out, "opening  {path}   private: keep it, it cannot be made again")?;
        }
        if !self.hiding && (self.hash.contains(&Kind::Sha256) || self.hash.contains(&Kind::Poseidon)) {
            let text = "plain roots can be compared with guesses of the whole tensor; for small ones, or ones with few possible \
                        values, use --hiding";
            writeln!(out, "{}", wrapped("note     ", text))?;
        }
        Ok(())
    }
}

impl Report for TensorVerifyReport {
    const SCHEMA: &'static str = "lorica-tensor-verify/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.verdict)?;
        let rows = self.outcomes.iter().map(|outcome| {
            let word = if outcome.difference.is_none() { "holds" } else { "DOES NOT HOLD" };
            vec![outcome.tensor.clone(), outcome.kind.to_string(), word.to_owned()]
        });
        writeln!(out, "{}", table(&["tensor", "commitment", ""], rows))?;
        for Outcome { tensor, kind, difference } in &self.outcomes {
            if let Some(difference) = difference {
                writeln!(out, "{}", wrapped(&format!("{tensor} {kind}: "), difference))?;
            }
        }
        match self.not_committed.len() as u64 {
            0 => {}
            number => writeln!(out, "no commitment to {} of the file", plural(number, "other tensor"))?,
        }
        writeln!(out, "digest of the commitments  {}   ({})", self.digest, seconds(self.seconds))
    }

    fn exit(&self) -> Exit {
        if self.verdict == "VALID" { Exit::Yes } else { Exit::No }
    }
}
