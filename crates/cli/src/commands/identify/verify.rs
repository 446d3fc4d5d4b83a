//! An evidence bundle, computed again: no model, no network.

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_evidence::{
    Fingerprint, ReportCheck, SignerCheck, Verified, VerifyError, VerifyOptions, verify_bundle,
};
use serde::Serialize;

use super::verdict::{does_not_show, worst};
use crate::{
    error::CliError,
    exit::Exit,
    report::{
        Console, Report,
        format::{plural, seconds, wrapped},
    },
};

/// Whether a bundle is evidence, and of what.
#[derive(Debug, Serialize)]
pub(crate) struct BundleReport {
    /// `VALID` or `INVALID`.
    verdict: &'static str,
    /// Where it is wrong, and how.
    place: Option<String>,
    reason: Option<String>,
    /// What it is evidence of.
    answer: Option<&'static str>,
    candidates: Vec<(String, &'static str)>,
    reference: Option<String>,
    created: Option<String>,
    lines: u64,
    files: usize,
    signer: Option<Fingerprint>,
    signer_pinned: bool,
    report_reproduced: bool,
    seconds: f64,
    does_not_show: Vec<String>,
}

pub(crate) fn run(folder: &Path, signer: Option<&str>, _: &Console) -> Result<BundleReport, CliError> {
    let started = Instant::now();
    let signer = signer
        .map(|text| {
            text.parse::<Fingerprint>()
                .map_err(|error| CliError::Usage(format!("--signer {text:?} is no fingerprint: {error}")))
        })
        .transpose()?;
    if !folder.is_dir() {
        return Err(CliError::Missing {
            path: folder.to_owned(),
            hint: "expected a folder that `lorica identify` wrote",
        });
    }
    let report = match verify_bundle(folder, VerifyOptions { signer }) {
        Ok(verified) => BundleReport::valid(verified),
        Err(VerifyError::Invalid(invalid)) => BundleReport {
            verdict: "INVALID",
            place: Some(invalid.place.to_string()),
            reason: Some(invalid.reason.to_string()),
            answer: None,
            candidates: Vec::new(),
            reference: None,
            created: None,
            lines: 0,
            files: 0,
            signer: None,
            signer_pinned: signer.is_some(),
            report_reproduced: false,
            seconds: 0.0,
            does_not_show: Vec::new(),
        },
        Err(error @ VerifyError::Unreadable { .. }) => return Err(error.into()),
    };
    Ok(BundleReport { seconds: started.elapsed().as_secs_f64(), ..report })
}

impl BundleReport {
    fn valid(verified: Verified) -> Self {
        let Verified { header, closing, lines, files, fingerprint, signer, report, .. } = verified;
        let words = closing.results.iter().map(|result| result.outcome.word());
        let names = header.candidates.iter().map(|candidate| candidate.name.clone());
        Self {
            verdict: "VALID",
            place: None,
            reason: None,
            answer: Some(worst(words.clone())),
            candidates: names.zip(words).collect(),
            reference: Some(header.reference.name),
            created: Some(header.created),
            lines,
            files,
            signer: Some(fingerprint),
            signer_pinned: signer == SignerCheck::Pinned,
            report_reproduced: report == ReportCheck::Reproduced,
            seconds: 0.0,
            does_not_show: does_not_show(header.question, &header.plan),
        }
    }
}

impl Report for BundleReport {
    const SCHEMA: &'static str = "lorica-verify-bundle/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.verdict)?;
        if let (Some(place), Some(reason)) = (&self.place, &self.reason) {
            writeln!(out, "place      {place}")?;
            return writeln!(out, "{}", wrapped("reason     ", reason));
        }
        writeln!(out, "reference  {}", self.reference.as_deref().unwrap_or_default())?;
        for (name, answer) in &self.candidates {
            writeln!(out, "candidate  {name}: {answer}")?;
        }
        writeln!(
            out,
            "begun      {}, by the clock of whoever ran it",
            self.created.as_deref().unwrap_or_default()
        )?;
        if let Some(signer) = &self.signer {
            writeln!(out, "signer     {signer}")?;
            if !self.signer_pinned {
                let warning = "nobody was pinned with --signer: whoever made the bundle may have signed it, so VALID says \
                               that it is whole and consistent, not who stands behind it";
                writeln!(out, "{}", wrapped("           ", warning))?;
            }
        }
        let report = match self.report_reproduced {
            true => "rendered again, byte for byte",
            false => "made by another version, so only its signature was checked",
        };
        writeln!(out, "report     {report}")?;
        writeln!(
            out,
            "checked    {}, {}: every prompt, score and state computed again in {}",
            plural(self.lines, "line"),
            plural(self.files as u64, "file"),
            seconds(self.seconds)
        )?;
        writeln!(out, "\nwhat the evidence does not show:")?;
        self.does_not_show.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))
    }

    fn exit(&self) -> Exit {
        if self.verdict == "VALID" { Exit::Yes } else { Exit::No }
    }
}
