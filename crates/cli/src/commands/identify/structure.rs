//! Files compared without running a model.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

use lorica_evidence::record::StructureCheck;
use lorica_examine::{agreement::Agreement, structure::FolderSummary};
use lorica_identity::{
    Bank,
    structure::{Outcome, Structure},
};
use serde::Serialize;

use super::compare::Sources;
use crate::{
    args::identify::PairArgs,
    error::CliError,
    progress::Unit,
    report::{Console, Report, format::wrapped},
};

/// What two folders say.
#[derive(Debug, Serialize)]
pub(crate) struct StructureReport {
    reference: String,
    candidate: String,
    #[serde(flatten)]
    structure: Structure,
}

pub(super) fn run(args: &PairArgs, console: &Console) -> Result<StructureReport, CliError> {
    let bank = Bank::standard()?;
    let (reference, candidate) = (read(&args.a, &bank, console)?, read(&args.b, &bank, console)?);
    Ok(StructureReport {
        reference: args.a.display().to_string(),
        candidate: args.b.display().to_string(),
        structure: reference.compare(&candidate),
    })
}

/// Reads a folder, with a bar.
pub(super) fn read(path: &Path, bank: &Bank, console: &Console) -> Result<FolderSummary, CliError> {
    let progress = console.progress("comparing files", Unit::Bytes);
    let total = folder_bytes(path);
    Ok(FolderSummary::read(path, bank, &mut |done| progress.set(done, total))?)
}

/// Weight files are read twice: as files and as tensors.
fn folder_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| 2 * metadata.len()).sum()
}

/// The checks of a comparison, for its evidence: of files where both sides are folders, and of access.
pub(super) fn checks(
    sources: &Sources,
    bank: &Bank,
    agreed: &Agreement,
    console: &Console,
) -> Result<(Vec<StructureCheck>, Vec<Option<Structure>>), CliError> {
    let (mut checks, mut structures) = (Vec::new(), Vec::new());
    let mut reference = None;
    for (index, source) in (0..).zip(&sources.candidates) {
        if let (Some(ours), Some(theirs)) = (sources.reference.folder(), source.folder()) {
            if reference.is_none() {
                reference = Some(read(ours, bank, console)?);
            }
            let theirs = read(theirs, bank, console)?;
            let structure = reference.as_ref().map(|ours| ours.compare(&theirs));
            checks.extend(structure.iter().flat_map(|structure| of_structure(index, structure)));
            structures.push(structure);
        } else {
            structures.push(None);
        }
        if !agreed.reasons.is_empty() {
            checks.push(StructureCheck {
                candidate: index,
                name: "access".to_owned(),
                finding: format!("compared by text: {}", agreed.reasons.join("; ")),
                can_tell: "Why distributions were not compared.".to_owned(),
                cannot_tell: "Anything about the models.".to_owned(),
                details: BTreeMap::new(),
            });
        }
    }
    Ok((checks, structures))
}

fn of_structure(candidate: u32, structure: &Structure) -> Vec<StructureCheck> {
    let check = |finding: &lorica_identity::structure::Finding| StructureCheck {
        candidate,
        name: name(finding),
        finding: finding.found.clone(),
        can_tell: finding.check.can_tell().to_owned(),
        cannot_tell: finding.check.cannot_tell().to_owned(),
        details: BTreeMap::from([("outcome".to_owned(), outcome(finding.outcome).to_owned())]),
    };
    structure.findings.iter().map(check).collect()
}

/// A check's name as its JSON form has it.
fn name(finding: &lorica_identity::structure::Finding) -> String {
    match serde_json::to_value(finding.check) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{:?}", finding.check),
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Equal => "equal",
        Outcome::Different => "different",
        Outcome::Hint => "hint",
        Outcome::Unknown => "unknown",
    }
}

impl Report for StructureReport {
    const SCHEMA: &'static str = "lorica-identify-structure/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "reference  {}\ncandidate  {}", self.reference, self.candidate)?;
        for finding in &self.structure.findings {
            writeln!(out, "\n{:<9}  {}", outcome(finding.outcome), name(finding))?;
            writeln!(out, "{}", wrapped("           ", &finding.found))?;
            writeln!(out, "{}", wrapped("           can tell: ", finding.check.can_tell()))?;
            writeln!(out, "{}", wrapped("           cannot tell: ", finding.check.cannot_tell()))?;
        }
        for field in self.structure.config.iter().flatten() {
            let value = |value: &Option<serde_json::Value>| {
                value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
            };
            let (ours, theirs) = (value(&field.reference), value(&field.candidate));
            writeln!(out, "config {}: {ours} and {theirs}", field.pointer)?;
        }
        writeln!(out, "\nNone of this decides whether the models are the same.")
    }
}
