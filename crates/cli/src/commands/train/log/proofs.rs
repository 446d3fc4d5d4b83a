//! Inclusion and consistency proofs, made from a log and checked without it.

use std::{
    io::{self, Write},
    path::Path,
};

use lorica_provenance::{
    ConsistencyProof, Event, InclusionProof, LogReader,
    proof::{MAX_PROOF_FILE_BYTES, ProofInvalid},
    tile::MAX_ENTRY_BYTES,
};
use lorica_tensor::files::{FileMode, read_at_most, write_atomically};
use serde::Serialize;

use super::{Head, entries, kept, verifier};
use crate::{
    args::train::{ConsistencyCheckArgs, ConsistencyProveArgs, InclusionCheckArgs, InclusionProveArgs},
    error::CliError,
    exit::Exit,
    report::{Report, format::wrapped},
};

/// A proof that was made.
#[derive(Debug, Serialize)]
pub(crate) struct ProofReport {
    proof: String,
    hashes: usize,
    head: Head,
    /// The entry, for an inclusion proof.
    entry: Option<String>,
    /// The old size, for a consistency proof.
    old: Option<u64>,
}

/// Whether a proof holds.
#[derive(Debug, Serialize)]
pub(crate) struct CheckReport {
    /// `VALID` or `INVALID`.
    verdict: &'static str,
    reason: Option<String>,
    /// What it shows, in words.
    shows: Option<String>,
    head: Option<Head>,
}

pub(super) fn prove_inclusion(args: &InclusionProveArgs) -> Result<ProofReport, CliError> {
    let key = verifier(&args.log.vkey)?;
    let reader = LogReader::new(&args.log.log);
    let signed = reader.checkpoint(&key)?;
    let (index, size) = (args.index, signed.checkpoint().size);
    let entry = reader.entry(index, size)?;
    let hashes = reader.at(size).inclusion(index)?;
    let proof = InclusionProof { index, hashes, checkpoint: signed.to_string().into_bytes() };
    // Tiles are believed by nobody: a proof that does not hold is not given away.
    proof.verify(&entry, &key).map_err(changed(&args.log.log))?;
    write(&args.out, proof.to_string().as_bytes())?;
    if let Some(path) = &args.entry_out {
        write(path, &entry)?;
    }
    Ok(ProofReport {
        proof: args.out.display().to_string(),
        hashes: proof.hashes.len(),
        head: Head::of(signed.checkpoint()),
        entry: Some(String::from_utf8_lossy(&entry).into_owned()),
        old: None,
    })
}

pub(super) fn check_inclusion(args: &InclusionCheckArgs) -> Result<CheckReport, CliError> {
    let key = verifier(&args.vkey)?;
    let proof = InclusionProof::parse(&read_at_most(&args.proof, MAX_PROOF_FILE_BYTES)?)
        .map_err(|error| CliError::Content { path: args.proof.clone(), reason: error.to_string() })?;
    let entry = read_at_most(&args.entry, MAX_ENTRY_BYTES as u64)?;
    Event::parse(&entry)
        .map_err(|error| CliError::Content { path: args.entry.clone(), reason: error.to_string() })?;
    let shows = |head: &Head| format!("the entry stands at place {} of {}", proof.index, head.origin);
    Ok(CheckReport::of(proof.verify(&entry, &key).map(|head| Head::of(&head)), shows))
}

pub(super) fn prove_consistency(args: &ConsistencyProveArgs) -> Result<ProofReport, CliError> {
    let key = verifier(&args.log.vkey)?;
    let reader = LogReader::new(&args.log.log);
    let signed = reader.checkpoint(&key)?;
    let kept = kept(&args.kept, &key)?;
    let (old, size) = (kept.checkpoint().size, signed.checkpoint().size);
    // Said by the verifier's words where the log is shorter than what was kept.
    let hashes = if old <= size { reader.at(size).consistency(old)? } else { Vec::new() };
    let proof = ConsistencyProof { old, hashes, checkpoint: signed.to_string().into_bytes() };
    proof.verify(kept.checkpoint(), &key).map_err(changed(&args.log.log))?;
    write(&args.out, proof.to_string().as_bytes())?;
    Ok(ProofReport {
        proof: args.out.display().to_string(),
        hashes: proof.hashes.len(),
        head: Head::of(signed.checkpoint()),
        entry: None,
        old: Some(old),
    })
}

pub(super) fn check_consistency(args: &ConsistencyCheckArgs) -> Result<CheckReport, CliError> {
    let key = verifier(&args.vkey)?;
    let proof = ConsistencyProof::parse(&read_at_most(&args.proof, MAX_PROOF_FILE_BYTES)?)
        .map_err(|error| CliError::Content { path: args.proof.clone(), reason: error.to_string() })?;
    let kept = kept(&args.kept, &key)?;
    let shows = |head: &Head| {
        let (old, size) = (entries(kept.checkpoint().size), entries(head.size));
        format!("the log of {size} begins with the {old} of the checkpoint that was kept")
    };
    Ok(CheckReport::of(proof.verify(kept.checkpoint(), &key).map(|head| Head::of(&head)), shows))
}

fn changed(log: &Path) -> impl FnOnce(ProofInvalid) -> CliError {
    let log = log.display().to_string();
    move |source| CliError::NotProven { log, source: Box::new(source) }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    Ok(write_atomically(path, FileMode::Shared, |file| file.write_all(bytes))?)
}

impl CheckReport {
    fn of(outcome: Result<Head, ProofInvalid>, shows: impl Fn(&Head) -> String) -> Self {
        match outcome {
            Ok(head) => Self { verdict: "VALID", reason: None, shows: Some(shows(&head)), head: Some(head) },
            Err(error) => {
                Self { verdict: "INVALID", reason: Some(error.to_string()), shows: None, head: None }
            }
        }
    }
}

impl Report for ProofReport {
    const SCHEMA: &'static str = "lorica-train-log-proof/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Head { origin, size, root } = &self.head;
        writeln!(out, "wrote {} ({} hashes)", self.proof, self.hashes)?;
        if let Some(entry) = &self.entry {
            writeln!(out, "entry  {entry}")?;
        }
        if let Some(old) = self.old {
            writeln!(out, "from   {}", entries(old))?;
        }
        writeln!(out, "head   {origin}, {}, root {root}", entries(*size))
    }
}

impl Report for CheckReport {
    const SCHEMA: &'static str = "lorica-train-log-check/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.verdict)?;
        if let Some(reason) = &self.reason {
            writeln!(out, "{}", wrapped("reason  ", reason))?;
        }
        if let Some(shows) = &self.shows {
            writeln!(out, "{}", wrapped("shows   ", shows))?;
        }
        match &self.head {
            Some(Head { origin, size, root }) => {
                writeln!(out, "head    {origin}, {}, root {root}", entries(*size))
            }
            None => Ok(()),
        }
    }

    fn exit(&self) -> Exit {
        if self.verdict == "VALID" { Exit::Yes } else { Exit::No }
    }
}
