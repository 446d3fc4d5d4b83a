//! The robustness suite on a model at hand.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use lorica_endpoint::server::Engine;
use lorica_examine::{
    engine::LocalEngine,
    local::{LocalModel, LocalOptions},
    robustness::{self, CaseResult, Expected, Suite},
};
use lorica_identity::{Bank, Rate};
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
    cases: Vec<CaseResult>,
    left_out: Vec<String>,
}

pub(super) fn run(args: &RobustnessArgs, console: &Console) -> Result<RobustnessReport, CliError> {
    let bank = Bank::standard()?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    let cases: Vec<_> =
        robustness::cases(args.other.is_some()).into_iter().filter(|case| wanted(&case.name)).collect();
    if cases.is_empty() {
        let all: Vec<String> = robustness::cases(true).into_iter().map(|case| case.name).collect();
        return Err(CliError::Usage(format!("--only fits no case; there are: {}", all.join(", "))));
    }
    // The two sides draw their samples with different seeds.
    let mut reference = LocalModel::open(&args.model, LocalOptions { seed: 1, ..LocalOptions::default() })?;
    let engine = engine(&args.model, 2)?;
    let other = args.other.as_deref().map(|folder| self::engine(folder, 3)).transpose()?;
    let keys = (0..args.runs.get()).map(|_| resolve::challenge_key()).collect::<Result<Vec<_>, _>>()?;
    let mode = resolve::mode(args.mode)?;
    let mut suite = Suite { reference: &mut reference, engine, other, bank: &bank, mode, keys: &keys };
    let progress = console.progress("asking servers", Unit::Items);
    let mut results = Vec::new();
    for case in &cases {
        results.push(suite.run(case)?);
        progress.set(results.len() as u64, cases.len() as u64);
    }
    let mut left_out: Vec<String> = match args.other {
        Some(_) => Vec::new(),
        None => robustness::cases(true).into_iter().map(|case| case.name).collect(),
    };
    left_out.retain(|name| wanted(name) && !cases.iter().any(|case| case.name == *name));
    left_out.dedup();
    left_out.sort();
    left_out.dedup();
    Ok(RobustnessReport {
        model: args.model.display().to_string(),
        other: args.other.as_ref().map(|other| other.display().to_string()),
        mode: args.mode.name(),
        runs: args.runs.get(),
        cases: results,
        left_out,
    })
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
            "{} against servers of itself, mode {}, {} runs each under new keys; intervals are Clopper-Pearson, 95 %\n",
            self.model, self.mode, self.runs
        )?;
        let cell = |rate: &Rate| match rate.count {
            0 => "-".to_owned(),
            count => format!("{count} ({} to {})", percent(rate.lower), percent(rate.upper)),
        };
        let rows = self.cases.iter().map(|case| {
            vec![
                case.name.clone(),
                if case.distributions { "log-probabilities" } else { "text" }.to_owned(),
                match case.expected {
                    Expected::Same => "SAME",
                    Expected::Different => "DIFFERENT",
                    Expected::Measured => "depends",
                    Expected::Invisible => "cannot be seen",
                }
                .to_owned(),
                cell(&case.same),
                cell(&case.different),
                cell(&case.undecided),
                cell(&case.error),
                case.queries.to_string(),
            ]
        });
        let header =
            ["the server", "asked by", "truth", "SAME", "DIFFERENT", "UNDECIDED", "ERROR", "queries"];
        writeln!(out, "{}", table(&header, rows))?;
        for case in &self.cases {
            if let Some(error) = &case.first_error {
                writeln!(out, "{}", wrapped("", &format!("{}: first error: {error}", case.name)))?;
            }
        }
        if !self.left_out.is_empty() {
            let text = format!("left out, because they need --other: {}", self.left_out.join(", "));
            writeln!(out, "\n{}", wrapped("", &text))?;
        }
        Ok(())
    }
}
