//! The signed head of a log, held against one that was kept.

use std::io::{self, Write};

use lorica_provenance::{LogReader, SignedCheckpoint, VerifierKey};
use lorica_tensor::files::{FileMode, write_atomically};
use serde::Serialize;

use super::{Head, entries, kept, short, verifier};
use crate::{
    args::train::CheckpointArgs,
    error::CliError,
    exit::Exit,
    report::{Report, format::wrapped},
};

/// The head.
#[derive(Debug, Serialize)]
pub(crate) struct CheckpointReport {
    head: Head,
    /// The signed note, as it stands in the log.
    note: String,
    kept: Option<Head>,
    /// `fork` or `rollback`, and what that means here.
    finding: Option<&'static str>,
    message: Option<String>,
    /// Where it was written.
    written: Option<String>,
}

pub(super) fn run(args: &CheckpointArgs) -> Result<CheckpointReport, CliError> {
    let key = verifier(&args.log.vkey)?;
    let reader = LogReader::new(&args.log.log);
    let signed = reader.checkpoint(&key)?;
    let kept = args.kept.as_deref().map(|path| kept(path, &key)).transpose()?;
    let against = match &kept {
        Some(kept) => against(&reader, &signed, kept, &key)?,
        None => None,
    };
    let mut report = CheckpointReport {
        head: Head::of(signed.checkpoint()),
        note: signed.to_string(),
        kept: kept.map(|kept| Head::of(kept.checkpoint())),
        finding: against.as_ref().map(|(name, _)| *name),
        message: against.map(|(_, message)| message),
        written: None,
    };
    // What was kept is the evidence: it is never replaced by a head that contradicts it.
    if let Some(path) = args.out.as_ref().filter(|_| report.finding.is_none()) {
        write_atomically(path, FileMode::Shared, |file| file.write_all(report.note.as_bytes()))?;
        report.written = Some(path.display().to_string());
    }
    Ok(report)
}

/// What speaks against the head, given one that was kept.
fn against(
    reader: &LogReader,
    signed: &SignedCheckpoint,
    kept: &SignedCheckpoint,
    key: &VerifierKey,
) -> Result<Option<(&'static str, String)>, CliError> {
    let (head, kept) = (signed.checkpoint(), kept.checkpoint());
    if kept.size > head.size {
        let message = format!(
            "the log has {}, but {} signed a head of {}: the last {} are gone",
            entries(head.size),
            key.name(),
            kept.size,
            kept.size - head.size
        );
        return Ok(Some(("rollback", message)));
    }
    let hashes = reader.at(head.size).consistency(kept.size)?;
    if head.follows(kept, &hashes) {
        return Ok(None);
    }
    let message = format!(
        "the head of {} does not follow from root {}.. of {} that was kept: the log has forked, or its tiles were \
         changed; `lorica train log verify --kept` tells which",
        entries(head.size),
        short(&kept.root),
        entries(kept.size)
    );
    Ok(Some(("fork", message)))
}

impl Report for CheckpointReport {
    const SCHEMA: &'static str = "lorica-train-log-checkpoint/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", self.note)?;
        match (&self.finding, &self.message, &self.kept) {
            (Some(finding), Some(message), _) => {
                writeln!(out, "\n{}", wrapped(&format!("{} ", finding.to_uppercase()), message))?;
            }
            (.., Some(kept)) => writeln!(out, "\ngrew from the {} that were kept", entries(kept.size))?,
            _ => {}
        }
        match &self.written {
            Some(path) => writeln!(out, "kept in {path}"),
            None => Ok(()),
        }
    }

    fn exit(&self) -> Exit {
        if self.finding.is_none() { Exit::Yes } else { Exit::No }
    }
}
