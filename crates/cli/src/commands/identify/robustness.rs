//! The robustness suite on a model at hand.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Instant,
};

use lorica_endpoint::server::Engine;
use lorica_examine::{
    engine::LocalEngine,
    local::{LocalModel, LocalOptions},
    recut::Recut,
    robustness::{self, Available, CaseResult, Expected, SHARED_VOCABULARY, Suite},
    side::Side,
};
use lorica_identity::{Bank, ChallengeKey, Rate};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde::Serialize;

use super::{resolve, verdict::percent};
use crate::{
    args::identify::RobustnessArgs,
    error::CliError,
    progress::Unit,
    report::{
        Console, Report,
        format::{table, wrapped},
    },
};

/// What was said about each server.
#[derive(Debug, Serialize)]
pub(crate) struct RobustnessReport {
    model: String,
    other: Option<String>,
    mode: &'static str,
    runs: u32,
    /// Of servers that tell texts alone.
    text_runs: u32,
    /// Challenges on which the distance of each server that tells log-probabilities was measured.
    measured_on: u32,
    /// Seed of the keys, where it was given.
    seed: Option<u64>,
    cases: Vec<CaseResult>,
    left_out: Vec<LeftOut>,
    seconds: f64,
}

/// A case that was not run.
#[derive(Debug, Serialize)]
struct LeftOut {
    name: String,
    because: String,
}

pub(super) fn run(args: &RobustnessArgs, console: &Console) -> Result<RobustnessReport, CliError> {
    let started = Instant::now();
    let bank = Bank::standard()?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    if !robustness::cases(Available::ALL).iter().any(|case| wanted(&case.name)) {
        let mut all: Vec<String> =
            robustness::cases(Available::ALL).into_iter().map(|case| case.name).collect();
        all.truncate(all.len() / 2);
        return Err(CliError::Usage(format!("--only fits no case; there are: {}", all.join(", "))));
    }
    // The two sides draw their samples with different seeds.
    let mut reference = Side::loaded(&args.model, 1)?;
    let engine = engine(&args.model, 2)?;
    let other = args.other.as_deref().map(|folder| self::engine(folder, 3)).transpose()?;
    let recut = Recut::new(Arc::clone(&engine), &args.model, SHARED_VOCABULARY);
    let available = Available { other: other.is_some(), recut: recut.is_ok() };
    let (recut, no_recut) = match recut {
        Ok(recut) => (Some(Arc::new(recut) as Arc<dyn Engine>), String::new()),
        Err(error) => (None, error.to_string()),
    };
    let cases: Vec<_> = robustness::cases(available).into_iter().filter(|case| wanted(&case.name)).collect();
    let keys = keys(args)?;
    let text_runs = args.text_runs.unwrap_or(args.runs).get() as usize;
    let mode = resolve::mode(args.mode)?;
    let mut suite = Suite {
        reference: &mut reference,
        engine,
        other,
        recut,
        bank: &bank,
        mode,
        keys: &keys,
        text_runs,
        measured_on: args.measured_on,
    };
    let progress = console.progress("asking servers", Unit::Items);
    let mut results = Vec::new();
    for case in &cases {
        results.push(suite.run(case)?);
        progress.set(results.len() as u64, cases.len() as u64);
    }
    let left_out = robustness::cases(Available::ALL).into_iter().filter(|case| {
        case.tells && wanted(&case.name) && !cases.iter().any(|other| other.name == case.name)
    });
    let left_out = left_out.map(|case| LeftOut {
        because: match case.recut {
            true => no_recut.clone(),
            false => "it needs --other".to_owned(),
        },
        name: case.name,
    });
    let left_out = left_out.collect();
    Ok(RobustnessReport {
        model: args.model.display().to_string(),
        other: args.other.as_ref().map(|other| other.display().to_string()),
        mode: args.mode.name(),
        runs: args.runs.get(),
        text_runs: args.text_runs.unwrap_or(args.runs).min(args.runs).get(),
        measured_on: args.measured_on,
        seed: args.seed,
        cases: results,
        left_out,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// One key for each run: new ones, or those of a seed.
fn keys(args: &RobustnessArgs) -> Result<Vec<ChallengeKey>, CliError> {
    let mut seeded = args.seed.map(ChaCha20Rng::seed_from_u64);
    let key = |_| match &mut seeded {
        Some(random) => Ok(ChallengeKey::new(random.random())),
        None => resolve::challenge_key(),
    };
    (0..args.runs.get()).map(key).collect()
}

fn engine(folder: &Path, seed: u64) -> Result<Arc<dyn Engine>, CliError> {
    let model = LocalModel::open(folder, LocalOptions { seed, ..LocalOptions::default() })?;
    Ok(Arc::new(LocalEngine::new(resolve::folder_name(folder), model)))
}

impl Report for RobustnessReport {
    const SCHEMA: &'static str = "lorica-identify-robustness/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} against servers of itself, mode {}, {} runs each{} under new keys; intervals are Clopper-Pearson, 95 %\n",
            self.model,
            self.mode,
            self.runs,
            if self.text_runs < self.runs { format!(" ({} by text)", self.text_runs) } else { String::new() }
        )?;
        let cell = |rate: &Rate| match rate.count {
            0 => "-".to_owned(),
            count => format!("{count} ({} to {})", percent(rate.lower), percent(rate.upper)),
        };
        let rows = self.cases.iter().map(|case| {
            vec![
                case.name.clone(),
                match (case.tells, case.by_text) {
                    (true, 0) => "log-probabilities".to_owned(),
                    (true, count) if u64::from(count) < case.same.of => {
                        format!("log-probabilities, {count} by text")
                    }
                    (true, _) => "text, tokens differ".to_owned(),
                    (false, _) => "text".to_owned(),
                },
                match case.expected {
                    Expected::Same => "SAME",
                    Expected::Different => "DIFFERENT",
                    Expected::Measured => "depends",
                    Expected::Invisible => "cannot be seen",
                }
                .to_owned(),
                case.measured.map_or_else(|| "-".to_owned(), |found| format!("{:.3}", found.mean)),
                cell(&case.same),
                cell(&case.different),
                cell(&case.undecided),
                cell(&case.error),
                case.wrong.map_or_else(|| "-".to_owned(), |wrong| wrong.count.to_string()),
                case.queries.to_string(),
            ]
        });
        let header = [
            "the server",
            "asked by",
            "truth",
            "distance",
            "SAME",
            "DIFFERENT",
            "UNDECIDED",
            "ERROR",
            "wrong",
            "queries",
        ];
        writeln!(out, "{}", table(&header, rows))?;
        if self.cases.iter().any(|case| case.measured.is_some()) {
            let words = format!(
                "distance: the mean over {} challenges that no run asked; wrong: decisions that it contradicts by more \
                 than three standard errors",
                self.measured_on
            );
            writeln!(out, "{}", wrapped("", &words))?;
        }
        for case in &self.cases {
            if let Some(error) = &case.first_error {
                writeln!(out, "{}", wrapped("", &format!("{}: first error: {error}", case.name)))?;
            }
            if let Some(reason) = &case.by_text_because {
                writeln!(out, "{}", wrapped("", &format!("{}: compared by text: {reason}", case.name)))?;
            }
        }
        for LeftOut { name, because } in &self.left_out {
            writeln!(out, "{}", wrapped("left out  ", &format!("{name}: {because}")))?;
        }
        Ok(())
    }
}
