//! A reference's answers, recorded for later.

use std::io::{self, Write};

use lorica_evidence::Digest;
use lorica_examine::{
    agreement,
    recording::{self, RecordingHeader},
};
use lorica_identity::{Question, Respondent as _, ScoreScale, Tier};
use serde::Serialize;

use super::{
    compare::POSITIONS,
    resolve::{self, PlanChoice, SideChoice},
};
use crate::{
    args::identify::{RecordArgs, TierChoice},
    error::CliError,
    progress::Unit,
    report::{
        Console, Report,
        format::{bytes, plural, wrapped},
    },
};

/// Challenges asked at a time.
const ROUND: usize = 64;

/// A recording that was made.
#[derive(Debug, Serialize)]
pub(crate) struct RecordReport {
    recording: String,
    model: String,
    tier: Tier,
    question: Question,
    challenges: u32,
    key_commitment: Digest,
    bytes: u64,
}

pub(super) fn run(args: &RecordArgs, console: &Console) -> Result<RecordReport, CliError> {
    if args.out.symlink_metadata().is_ok() {
        return Err(lorica_tensor::files::FileError::Exists { path: args.out.clone() }.into());
    }
    let source = resolve::model_source(&args.model)?;
    let bank = resolve::bank(&args.families)?;
    let choice = SideChoice {
        max_memory: args.max_memory,
        folders: 1,
        endpoint: &args.endpoint,
        model: args.model_name.as_deref(),
        name_option: "--model-name",
    };
    let mut side = choice.open(&source, console)?;
    let question = match (args.tier, side.tier()) {
        (TierChoice::Distributions, Tier::TextOnly) => {
            return Err(CliError::Usage(format!(
                "{} tells no log-probabilities: leave --tier out, or use --tier text",
                side.description().name
            )));
        }
        (TierChoice::Text, _) | (TierChoice::Auto, Tier::TextOnly) => agreement::texts(),
        (TierChoice::Auto | TierChoice::Distributions, _) => Question::Distributions,
    };
    let scale = match question {
        Question::Distributions => ScoreScale::Distance,
        Question::Texts { .. } => ScoreScale::TwoSample,
    };
    let plan = PlanChoice { mode: args.mode, scale, candidates: 1, budget: args.budget, rare_rate: None };
    let challenges = plan.plan(&bank)?.maximum();
    let (key, run_id) = (resolve::challenge_key()?, resolve::run_id()?);
    let asked = bank.challenges(&key, &run_id, 0..challenges, POSITIONS)?;
    let top = side.top().and_then(|top| u32::try_from(top).ok());
    let header = RecordingHeader {
        format: RecordingHeader::format(),
        run_id,
        key: key.reveal().to_string(),
        bank_digest: Digest::new(bank.digest()).to_string(),
        question,
        positions: POSITIONS as u32,
        description: side.description().clone(),
        top: if question == Question::Distributions { top } else { None },
        chat: side.is_chat(),
        challenges,
        created: resolve::now(),
        code_version: lorica_evidence::CODE_VERSION.to_owned(),
    };
    let progress = console.progress("recording", Unit::Items);
    let total = u64::from(challenges);
    recording::record(&args.out, &header, &asked, ROUND, &mut side, &mut |done| {
        progress.set(done as u64, total);
    })?;
    let bytes = args.out.metadata().map_err(CliError::io("read", &args.out))?.len();
    Ok(RecordReport {
        recording: args.out.display().to_string(),
        model: header.description.name,
        tier: header.description.tier,
        question,
        challenges,
        key_commitment: Digest::new(key.commitment()),
        bytes,
    })
}

impl Report for RecordReport {
    const SCHEMA: &'static str = "lorica-identify-record/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let what = match self.question {
            Question::Distributions => "next-token distributions",
            Question::Texts { .. } => "sampled texts",
        };
        writeln!(
            out,
            "recorded {what} of {} for {} in {} ({})",
            self.model,
            plural(self.challenges.into(), "challenge"),
            self.recording,
            bytes(self.bytes)
        )?;
        writeln!(out, "commitment to the key   {}", self.key_commitment)?;
        let secret = "Keep it secret (mode 0600): it holds the key of the challenges, and whoever has it can prepare for \
                      them. The first comparison uses the challenges up: its evidence reveals the key. Folders can still \
                      be compared after that, endpoints only if you say so.";
        writeln!(out, "{}", wrapped("", secret))
    }
}
