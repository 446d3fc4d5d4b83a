//! Checking a bundle: no model, no network, no trust in anything but the code and, if pinned, the signer.
//!
//! In this order: the set of files; `bundle.json` with its signature; the digests of all small files; the transcript,
//! line by line, with its chain, its prompts derived again from the revealed key, its scores and states computed
//! again; the closing; the digest of the transcript; the report rendered again. The first thing that does not hold is
//! named with its place. Nothing here panics on what a bundle holds, and nothing is read without a limit.

mod folder;
mod replay;
mod transcript;

use std::{fmt, path::Path};

use lorica_identity::{Bank, ChallengeKey, Question, ScoreScale};

use crate::{
    digest::Digest,
    error::{BundleInvalid, Place, Reason, VerifyError},
    files::{FAMILIES, REPORT, TRANSCRIPT, plot_name},
    record::{Closing, FORMAT, Header, Outcome},
    report::{self, REPORT_FORMAT},
    signature::Fingerprint,
    summary::Summary,
};

/// What a person asks of a bundle beyond its own consistency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Who must have signed.
    pub signer: Option<Fingerprint>,
}

/// Whether the signer is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerCheck {
    /// The signer that was pinned.
    Pinned,
    /// Nobody was pinned: whoever made the bundle may have signed it.
    Unknown,
}

/// Whether the report says what the transcript says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportCheck {
    /// Rendered again from the transcript, it is the same byte for byte.
    Reproduced,
    /// It was rendered by another version, so only its signature was checked.
    OtherVersion {
        /// Which one.
        found: String,
    },
}

/// A bundle in which everything holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// What was fixed before the first question.
    pub header: Header,
    /// How the run ended.
    pub closing: Closing,
    /// What a report shows, for each candidate.
    pub summaries: Vec<Summary>,
    /// Lines of the transcript.
    pub lines: u64,
    /// Files of the bundle, `bundle.json` included.
    pub files: usize,
    /// Who signed.
    pub fingerprint: Fingerprint,
    /// Whether that is somebody known.
    pub signer: SignerCheck,
    /// Whether the report says what the transcript says.
    pub report: ReportCheck,
}

/// Checks a bundle.
///
/// # Errors
/// The first thing that does not hold, with its place; or a file that cannot be read.
pub fn verify_bundle(folder: &Path, options: VerifyOptions) -> Result<Verified, VerifyError> {
    let found = folder::list(folder)?;
    let signed = folder::signed_list(folder, &found, options)?;
    let small = folder::small_files(folder, &signed)?;
    let bank = bank_of(&small)?;
    let read = transcript::check(folder, &signed, &bank)?;

    let header = read.replay.header().clone();
    for (candidate, name) in (0..header.candidates.len()).map(|c| (c, plot_name(c))) {
        if !small.contains_key(&name) {
            let place =
                Place::field(crate::files::BUNDLE, format!("list.files: {name} of candidate {candidate}"));
            return Err(BundleInvalid::new(place, Reason::Missing).into());
        }
    }
    let expected = small.keys().filter(|path| path.starts_with("interval-")).count();
    if expected != header.candidates.len() {
        let last = small.keys().rfind(|path| path.starts_with("interval-")).cloned().unwrap_or_default();
        return Err(BundleInvalid::new(Place::file(last), Reason::Extra).into());
    }
    let summaries = read.replay.into_summaries();
    let report =
        check_report(&small, &signed.report, &header, &read.closing, &summaries, &signed.fingerprint)?;
    Ok(Verified {
        header,
        closing: read.closing,
        summaries,
        lines: read.lines,
        files: found.len(),
        fingerprint: signed.fingerprint,
        signer: if options.signer.is_some() { SignerCheck::Pinned } else { SignerCheck::Unknown },
        report,
    })
}

/// The families as a bank; their files have one form, too.
fn bank_of(small: &folder::SmallFiles) -> Result<Bank, BundleInvalid> {
    let prefix = format!("{FAMILIES}/");
    let mut files = Vec::new();
    for (path, bytes) in small {
        let Some(name) = path.strip_prefix(&prefix) else { continue };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            BundleInvalid::new(Place::file(path), Reason::Unusable(format!("not UTF-8: {error}")))
        })?;
        files.push((name.to_owned(), text.to_owned()));
    }
    let bank = Bank::from_json(&files)
        .map_err(|error| BundleInvalid::new(Place::file(FAMILIES), Reason::Unusable(error.to_string())))?;
    let mut forms = bank.files();
    forms.sort();
    if let Some((form, found)) = forms.iter().zip(&files).find(|(form, found)| form != found) {
        let place = Place::file(format!("{FAMILIES}/{}", found.0));
        let reason = Reason::Unusable(format!("not the canonical form of the family file {}", form.0));
        return Err(BundleInvalid::new(place, reason));
    }
    Ok(bank)
}

fn check_report(
    small: &folder::SmallFiles,
    version: &str,
    header: &Header,
    closing: &Closing,
    summaries: &[Summary],
    signer: &Fingerprint,
) -> Result<ReportCheck, BundleInvalid> {
    if version != REPORT_FORMAT {
        return Ok(ReportCheck::OtherVersion { found: version.to_owned() });
    }
    let rendered = report::render(&report::Contents { header, closing, summaries, signer })
        .map_err(|error| BundleInvalid::new(Place::file(REPORT), Reason::Unusable(error.to_string())))?;
    let plots = rendered.plots.iter().enumerate().map(|(candidate, plot)| (plot_name(candidate), plot));
    for (name, expected) in std::iter::once((REPORT.to_owned(), &rendered.html)).chain(plots) {
        let found = small.get(&name).map(Vec::as_slice).unwrap_or_default();
        if found != expected.as_bytes() {
            let same = found.iter().zip(expected.as_bytes()).take_while(|(a, b)| a == b).count();
            let line = found.iter().take(same).filter(|byte| **byte == b'\n').count().saturating_add(1);
            let line = u64::try_from(line).ok();
            let reason = Reason::Unusable("it does not say what the transcript says".to_owned());
            return Err(BundleInvalid::new(Place { file: name, line, field: None }, reason));
        }
    }
    Ok(ReportCheck::Reproduced)
}

/// A rule that does not hold: the field, what was expected, what was found.
pub(crate) type Broken = (String, String, String);

/// What must hold of a header before the first question. The writer and the verifier check the same.
pub(crate) fn header_rules(header: &Header, bank: &Bank, key: &ChallengeKey) -> Result<(), Broken> {
    let same = |field: &str, expected: String, found: String| {
        if expected == found { Ok(()) } else { Err((field.to_owned(), expected, found)) }
    };
    same("format", FORMAT.to_owned(), header.format.clone())?;
    let candidates = header.candidates.len();
    same("plan.candidates", candidates.to_string(), header.plan.candidates().to_string())?;
    let mut families = header.plan.families().to_vec();
    families.sort();
    same("plan.families", bank.families().join(", "), families.join(", "))?;
    let scale = match header.question {
        Question::Distributions => ScoreScale::Distance,
        Question::Texts { .. } => ScoreScale::TwoSample,
    };
    same("plan.scale", format!("{scale:?}"), format!("{:?}", header.plan.scale()))?;
    same("bank_digest", Digest::new(bank.digest()).to_string(), header.bank_digest.to_string())?;
    same("key_commitment", Digest::new(key.commitment()).to_string(), header.key_commitment.to_string())?;
    for (index, check) in header.structure.iter().enumerate() {
        if usize::try_from(check.candidate).map_or(true, |candidate| candidate >= candidates) {
            let field = format!("structure[{index}].candidate");
            return Err((field, format!("below {candidates}"), check.candidate.to_string()));
        }
    }
    for (index, condition) in header.calibration.iter().flat_map(|c| c.conditions.iter().enumerate()) {
        for (name, value) in [("mean", condition.mean), ("largest", condition.largest)] {
            if !(0.0..=1.0).contains(&value) {
                let field = format!("calibration.conditions[{index}].{name}");
                return Err((field, "a number from 0 to 1".to_owned(), value.to_string()));
            }
        }
    }
    // The first challenge tells whether the run's name and the number of positions are any good.
    let positions = usize::try_from(header.positions).unwrap_or(usize::MAX);
    bank.challenges(key, &header.run_id, 0..1, positions)
        .map(drop)
        .map_err(|error| ("run_id, positions".to_owned(), "challenges".to_owned(), error.to_string()))
}

impl fmt::Display for Verified {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "VALID: every score, every interval and every decision follows from the recorded answers"
        )?;
        for (candidate, result) in self.header.candidates.iter().zip(&self.closing.results) {
            write!(
                formatter,
                "{}: {} after {} queries",
                candidate.name,
                result.outcome.word(),
                result.queries
            )?;
            match &result.outcome {
                Outcome::Decided(_) => writeln!(formatter)?,
                Outcome::Error(fault) => writeln!(formatter, " ({}: {})", fault.side, fault.kind)?,
            }
        }
        match self.signer {
            SignerCheck::Pinned => writeln!(formatter, "signed by the pinned key {}", self.fingerprint)?,
            SignerCheck::Unknown => writeln!(
                formatter,
                "signed by an unknown key {}: pin it with --signer to know who vouches for the answers",
                self.fingerprint
            )?,
        }
        match &self.report {
            ReportCheck::Reproduced => writeln!(formatter, "report.html says what the transcript says"),
            ReportCheck::OtherVersion { found } => writeln!(
                formatter,
                "report.html was rendered by another version ({found}), so only its signature was checked"
            ),
        }
    }
}

/// The transcript as a place.
pub(crate) fn line_place(line: u64, field: Option<String>) -> Place {
    Place { file: TRANSCRIPT.to_owned(), line: Some(line), field }
}
