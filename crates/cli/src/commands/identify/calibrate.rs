//! A model against itself, run in other ways.

use std::{
    io::{self, Write},
    path::Path,
};

use lorica_evidence::record::{Calibration, CalibrationCondition};
use lorica_examine::calibrate::{self, Calibrated, WEIGHTS_DIGEST};
use lorica_identity::{Description, Mode, Question};
use lorica_tensor::files::read_at_most;
use serde::{Deserialize, Serialize};

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

/// A file of some conditions is small.
const MAX_BYTES: u64 = 1 << 20;

/// How far a model is from itself.
#[derive(Debug, Serialize)]
pub(crate) struct CalibrateReport {
    model: String,
    /// Whose calibration it is, wherever the folder lies.
    weights_digest: String,
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
    let Calibrated { calibration, weights_digest } =
        calibrate::calibrate(&args.model, &conditions, &challenges, &mut |done| {
            progress.set(done as u64, total);
        })?;
    Ok(CalibrateReport {
        model: args.model.display().to_string(),
        weights_digest,
        challenges: args.challenges.get(),
        calibration,
        gamma: Mode::all().iter().map(|mode| (mode.name().to_owned(), mode.gamma())).collect(),
    })
}

/// What `lorica identify calibrate --json` printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CalibrationFile {
    schema: String,
    #[serde(rename = "model")]
    _model: String,
    weights_digest: String,
    #[serde(rename = "challenges")]
    _challenges: u32,
    calibration: Calibration,
    #[serde(rename = "gamma")]
    _gamma: Vec<(String, f64)>,
}

/// Reads the calibration that stands beside a comparison with this reference.
pub(super) fn read(
    path: &Path,
    reference: &Description,
    question: Question,
) -> Result<Calibration, CliError> {
    let content = |reason: String| CliError::Content { path: path.to_owned(), reason };
    if matches!(question, Question::Texts { .. }) {
        return Err(CliError::Usage(
            "--calibration holds distances between distributions, and this run compares texts: leave it out"
                .to_owned(),
        ));
    }
    let file: CalibrationFile = serde_json::from_slice(&read_at_most(path, MAX_BYTES)?).map_err(|error| {
        content(format!("expected what `lorica identify calibrate --json` prints: {error}"))
    })?;
    if file.schema != CalibrateReport::SCHEMA {
        let expected = CalibrateReport::SCHEMA;
        return Err(content(format!("its schema is {:?}, expected {expected:?}", file.schema)));
    }
    let Some(digest) = reference.details.get(WEIGHTS_DIGEST) else {
        return Err(CliError::Usage(format!(
            "{} tells no digest of its weights, so nothing says that --calibration is about it: leave it out",
            reference.name
        )));
    };
    if file.weights_digest != *digest {
        return Err(content(format!(
            "it is the calibration of weights {}, the reference {} has {digest}: calibrate the reference",
            file.weights_digest, reference.name
        )));
    }
    let sound = |condition: &CalibrationCondition| {
        let CalibrationCondition { queries, mean, largest, .. } = condition;
        *queries > 0 && 0.0 <= *mean && mean <= largest && *largest <= 1.0
    };
    match file.calibration.conditions.iter().find(|condition| !sound(condition)) {
        _ if file.calibration.conditions.is_empty() => Err(content("it holds no condition".to_owned())),
        None => Ok(file.calibration),
        Some(condition) => Err(content(format!(
            "condition {:?}: mean {}, largest {} of {} queries; expected 0 <= mean <= largest <= 1",
            condition.name, condition.mean, condition.largest, condition.queries
        ))),
    }
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
