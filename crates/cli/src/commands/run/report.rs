//! What a run measured: the report, and `run.json`, which is the report's JSON form.

use std::{
    io::{self, Write},
    path::Path,
};

use lorica_model::Evaluation;
use lorica_tensor::{Digest, files::read_at_most};
use lorica_verify::verdict::MeasuredLoss;
use serde::{Deserialize, Serialize};

use super::remote::Deviation;
use crate::{
    args::Combine,
    error::CliError,
    report::{
        Report,
        format::{bytes, count, plural, seconds},
    },
};

const MAX_RECORD_BYTES: u64 = 64 << 20;

/// What a run measured.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) contributor: String,
    pub(crate) pin: Digest,
    pub(crate) session: Digest,
    pub(crate) combine: Combine,
    pub(crate) measured_loss: MeasuredLoss,
    pub(crate) windows: u64,
    pub(crate) modules: usize,
    pub(crate) traffic: Traffic,
    pub(crate) float_check: FloatCheck,
    pub(crate) generated: Option<Generated>,
    pub(crate) seconds: Seconds,
    pub(crate) folder: String,
}

/// What went to and fro.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Traffic {
    pub(crate) calls: u64,
    pub(crate) token_rows: u64,
    pub(crate) delta_rows: u64,
    pub(crate) activation_bytes: u64,
    pub(crate) delta_bytes: u64,
}

/// How the exact deltas compare with float deltas.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum FloatCheck {
    /// Measured.
    Done(Measured),
    /// Not asked for.
    Off,
    /// The contributor does not offer it, or not for so many rows.
    Refused { rows_needed: u64, rows_allowed: u64 },
}

/// Deviations of fixed point from float deltas. They are the caller's measurement and no part of the proof.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    tokens: usize,
    /// Largest absolute deviation of a delta.
    max: f64,
    /// Root of the mean square deviation.
    rms: f64,
    /// Largest deviation over the largest entry of its row.
    max_relative: f64,
    pub(crate) loss_fixed: f64,
    pub(crate) loss_float: f64,
}

/// The continuation of the text's beginning.
#[derive(Debug, Serialize)]
pub(crate) struct Generated {
    pub(super) prompt: String,
    pub(super) base: String,
    pub(super) adapted: String,
}

/// Times.
#[derive(Debug, Serialize)]
pub(crate) struct Seconds {
    pub(super) base: f64,
    pub(super) adapted: f64,
    pub(super) all: f64,
}

impl Measured {
    pub(super) fn new(tokens: usize, deviation: &Deviation, fixed: &Evaluation, float: &Evaluation) -> Self {
        Self {
            tokens,
            max: deviation.max,
            rms: deviation.rms(),
            max_relative: deviation.max_relative,
            loss_fixed: fixed.loss,
            loss_float: float.loss,
        }
    }
}

impl FloatCheck {
    pub(super) fn not_done(asked: usize, rows_needed: u64, rows_allowed: u64) -> Self {
        if asked == 0 { Self::Off } else { Self::Refused { rows_needed, rows_allowed } }
    }
}

impl Report for RunReport {
    const SCHEMA: &'static str = "lorica-run/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let MeasuredLoss { base, adapted, tokens } = self.measured_loss;
        let combine = match self.combine {
            Combine::AddDelta => "deltas added",
            Combine::Replace => "outputs replaced by deltas",
        };
        writeln!(out, "loss without the adapter   {base:.4} nats a token, perplexity {:.2}", base.exp())?;
        writeln!(
            out,
            "loss with the adapter      {adapted:.4} nats a token, perplexity {:.2} ({combine})",
            adapted.exp()
        )?;
        writeln!(
            out,
            "text        {} predicted in {}",
            plural(tokens, "token"),
            plural(self.windows, "window")
        )?;
        let Traffic { calls, token_rows, delta_rows, activation_bytes, delta_bytes } = self.traffic;
        writeln!(
            out,
            "session     {}, {} of activations ({}), {} of deltas ({}), {}",
            plural(calls, "call"),
            plural(token_rows, "row"),
            bytes(activation_bytes),
            count(delta_rows),
            bytes(delta_bytes),
            plural(self.modules as u64, "module")
        )?;
        match &self.float_check {
            FloatCheck::Done(measured) => {
                let Measured { tokens, max, rms, max_relative, loss_fixed, loss_float } = measured;
                writeln!(
                    out,
                    "rounding    over {tokens} tokens: deltas differ from float deltas by at most {max:.1e} (rms {rms:.1e}; \
                     {max_relative:.1e} of a row's largest), the loss by {:.1e}",
                    (loss_fixed - loss_float).abs()
                )?;
            }
            FloatCheck::Off => writeln!(out, "rounding    not measured (--float-check 0)")?,
            FloatCheck::Refused { rows_allowed: 0, .. } => {
                writeln!(out, "rounding    not measured: this contributor does not offer float deltas")?;
            }
            FloatCheck::Refused { rows_needed, rows_allowed } => writeln!(
                out,
                "rounding    not measured: {} float rows are needed, this contributor allows {}; lower --float-check",
                count(*rows_needed),
                count(*rows_allowed)
            )?,
        }
        if let Some(Generated { prompt, base, adapted }) = &self.generated {
            writeln!(
                out,
                "\nprompt            {prompt:?}\nwithout           {base:?}\nwith the adapter  {adapted:?}\n"
            )?;
        }
        let Seconds { base, adapted, all } = self.seconds;
        writeln!(
            out,
            "time        {} without, {} with the adapter, {} in all",
            seconds(base),
            seconds(adapted),
            seconds(all)
        )?;
        writeln!(out, "recorded    session {} in {}", self.session, self.folder)
    }
}

/// The part of `run.json` that other commands read.
#[derive(Debug, Deserialize)]
pub(crate) struct RunRecord {
    schema: String,
    pub(crate) contributor: String,
    pub(crate) measured_loss: MeasuredLoss,
}

impl RunRecord {
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let content = |reason: String| CliError::Content { path: path.to_owned(), reason };
        let record: Self = serde_json::from_slice(&read_at_most(path, MAX_RECORD_BYTES)?)
            .map_err(|error| content(format!("not the record of a run: {error}")))?;
        if record.schema != RunReport::SCHEMA {
            return Err(content(format!("expected schema {}, found {}", RunReport::SCHEMA, record.schema)));
        }
        Ok(record)
    }
}
