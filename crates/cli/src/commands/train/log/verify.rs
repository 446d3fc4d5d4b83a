//! The whole log, computed again.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Instant,
};

use lorica_provenance::{Audit, AuditOptions, Broken, Finding, Kept, Verdict, audit, note::MAX_NOTE_BYTES};
use lorica_tensor::files::read_at_most;
use serde::Serialize;

use super::{Head, entries, verifier};
use crate::{
    args::train::LogVerifyArgs,
    error::CliError,
    exit::Exit,
    progress::Unit,
    report::{
        Console, Report,
        format::{count, seconds, wrapped},
    },
};

/// Whether a log holds.
#[derive(Debug, Serialize)]
pub(crate) struct LogVerdict {
    /// `VALID` or `INVALID`.
    verdict: &'static str,
    head: Option<Head>,
    events: BTreeMap<&'static str, u64>,
    /// The kept checkpoints that the log grew from.
    kept: Vec<String>,
    findings: Vec<FoundReport>,
    total_findings: u64,
    seconds: f64,
    does_not_show: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct FoundReport {
    /// `edit`, `deletion`, `insertion`, `reorder`, `rewrite`, `fork`, `rollback`, `signature`, `tile` or `event`.
    finding: &'static str,
    /// The first entry it is about.
    first: Option<u64>,
    /// How many entries.
    count: Option<u64>,
    message: String,
}

impl FoundReport {
    fn of(finding: &Finding) -> Self {
        let (first, count) = finding.entries().unzip();
        Self { finding: finding.name(), first, count, message: finding.to_string() }
    }
}

pub(super) fn run(args: &LogVerifyArgs, console: &Console) -> Result<LogVerdict, CliError> {
    let started = Instant::now();
    let key = verifier(&args.log.vkey)?;
    let kept = args.kept.iter().map(|path| {
        Ok(Kept { name: path.display().to_string(), bytes: read_at_most(path, MAX_NOTE_BYTES)? })
    });
    let kept: Vec<Kept> = kept.collect::<Result<_, CliError>>()?;
    let verdict = {
        let progress = console.progress("verifying the log", Unit::Items);
        let told = |done, all| progress.set(done, all);
        audit(&args.log.log, &AuditOptions { key: &key, kept: &kept, progress: &told })?
    };
    let report = match verdict {
        Verdict::Holds(Audit { head, events, kept }) => LogVerdict {
            verdict: "VALID",
            head: Some(Head::of(&head)),
            events,
            does_not_show: does_not_show(kept.len()),
            kept: kept.into_iter().map(|(name, _)| name).collect(),
            findings: Vec::new(),
            total_findings: 0,
            seconds: 0.0,
        },
        Verdict::Broken(Broken { head, findings, total }) => LogVerdict {
            verdict: "INVALID",
            head: head.as_ref().map(Head::of),
            events: BTreeMap::new(),
            kept: Vec::new(),
            findings: findings.iter().map(FoundReport::of).collect(),
            total_findings: total,
            seconds: 0.0,
            does_not_show: Vec::new(),
        },
    };
    Ok(LogVerdict { seconds: started.elapsed().as_secs_f64(), ..report })
}

fn does_not_show(kept: usize) -> Vec<String> {
    let mut lines = vec![
        "That the events are true: a log shows what was recorded, in which order, and that nothing of it was changed since. \
         Times are those of the recorder's clock.",
        "That the files are what the events say: compare them by `sha256sum`, and verify the proofs.",
    ];
    if kept == 0 {
        lines.push(
            "That nothing was changed before today: whoever holds the key can sign another story. Keep this checkpoint \
             (`lorica train log checkpoint --out`), and name it with --kept next time.",
        );
    }
    lines.into_iter().map(str::to_owned).collect()
}

impl Report for LogVerdict {
    const SCHEMA: &'static str = "lorica-train-log-verify/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.verdict)?;
        for finding in &self.findings {
            writeln!(out, "{}", wrapped(&format!("{:<10} ", finding.finding), &finding.message))?;
        }
        let told = self.findings.len() as u64;
        if self.total_findings > told {
            writeln!(out, "           and {} more", count(self.total_findings - told))?;
        }
        if let Some(Head { origin, size, root }) = &self.head {
            writeln!(out, "head       {origin}, {}, root {root}", entries(*size))?;
        }
        if self.verdict != "VALID" {
            return Ok(());
        }
        let events: Vec<_> =
            self.events.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
        writeln!(
            out,
            "events     {}",
            if events.is_empty() { "none".to_owned() } else { events.join(", ") }
        )?;
        for name in &self.kept {
            writeln!(out, "grew from  {name}")?;
        }
        writeln!(out, "checked    every entry hashed, every tile compared, in {}", seconds(self.seconds))?;
        writeln!(out, "\nwhat it does not show:")?;
        self.does_not_show.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))
    }

    fn exit(&self) -> Exit {
        if self.verdict == "VALID" { Exit::Yes } else { Exit::No }
    }
}
