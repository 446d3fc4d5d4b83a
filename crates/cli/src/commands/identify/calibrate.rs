//! A model against itself, run in other ways.

use std::io::{self, Write};

use lorica_evidence::record::Calibration;
use lorica_examine::calibrate;
use lorica_identity::Mode;
use serde::Serialize;

use super::{
    compare::POSITIONS,
    resolve,
    verdict::{number, percent},
};
use crate::{
    args::identify::CalibrateArgs,
    error::CliError,
    progress::Unit,
    report::{
        Console, Report,
        format::{plural, table, wrapped},
    },
};

/// How far a model is from itself.
#[derive(Debug, Serialize)]
pub(crate) struct CalibrateReport {
    model: String,
    challenges: u32,
    calibration: Calibration,
    /// The threshold for SAME of each mode.
    gamma: Vec<(String, f64)>,
}

pub(super) fn run(args: &CalibrateArgs, console: &Console) -> Result<CalibrateReport, CliError> {
    let bank = resolve::bank(&args.families)?;
    let challenges =
        bank.challenges(&resolve::challenge_key()?, "calibrate", 0..args.challenges.get(), POSITIONS)?;
    let conditions = calibrate::conditions(&args.model)?;
    let progress = console.progress("calibrating", Unit::Items);
    let total = conditions.len() as u64;
    let calibration = calibrate::calibrate(&args.model, &conditions, &challenges, &mut |done| {
        progress.set(done as u64, total);
    })?;
    Ok(CalibrateReport {
        model: args.model.display().to_string(),
        challenges: args.challenges.get(),
        calibration,
        gamma: Mode::all().iter().map(|mode| (mode.name().to_owned(), mode.gamma())).collect(),
    })
}

impl Report for CalibrateReport {
    const SCHEMA: &'static str = "lorica-identify-calibrate/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} against itself, {}\n", self.model, plural(self.challenges.into(), "challenge"))?;
        let strictest = self.gamma.iter().map(|(_, gamma)| *gamma).fold(f64::INFINITY, f64::min);
        let rows = self.calibration.conditions.iter().map(|condition| {
            vec![
                condition.name.clone(),
                format!("{:.2e}", condition.mean),
                format!("{:.2e}", condition.largest),
                percent(condition.mean / strictest),
            ]
        });
        let header = ["run with", "mean distance", "largest", "mean / smallest gamma"];
        writeln!(out, "{}\n", table(&header, rows))?;
        let thresholds: Vec<String> =
            self.gamma.iter().map(|(mode, gamma)| format!("{} ({mode})", number(*gamma))).collect();
        let note = format!(
            "SAME needs a mean distance of at most {}. What stands above is the noise of running the same weights in \
             another way: a comparison cannot go below it, and where it is near gamma, that mode cannot say SAME.",
            thresholds.join(", ")
        );
        writeln!(out, "{}", wrapped("", &note))
    }
}
