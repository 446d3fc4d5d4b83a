//! `lorica train verify`: all proofs of a run, and what they mean.

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_argument::generators::Generators;
use lorica_relation::training::{Effective, Loss, Settings};
use lorica_tensor::Digest;
use lorica_verify::training::{
    ProofBatch,
    record::{InvalidRun, PinnedRun, ReadRun, RecordError},
    run::RunState,
};
use serde::Serialize;

use super::folder::{PublicFiles, RunFolder, read_config, read_proof};
use crate::{
    args::training::TrainVerifyArgs,
    error::CliError,
    exit::Exit,
    progress::Unit,
    report::{
        Console, Report,
        format::{bytes, plural, seconds, wrapped},
    },
};

/// The verdict on a run.
#[derive(Debug, Serialize)]
pub(crate) struct TrainVerdict {
    /// `VALID` or `INVALID`.
    verdict: &'static str,
    /// Why it is INVALID.
    reason: Option<String>,
    /// Steps proven, and steps of the whole run.
    proven: u64,
    steps: u64,
    proofs: usize,
    proof_bytes: usize,
    run: Option<Digest>,
    data: Option<Digest>,
    model: Option<Digest>,
    /// SHA-256 of the commitments to the weights after the last proven step.
    final_weights: Option<Digest>,
    matrices: Vec<MatrixVerdict>,
    proves: Vec<String>,
    does_not_prove: Vec<String>,
    seconds: f64,
}

/// What one matrix' updates were proven to be.
#[derive(Debug, Serialize)]
struct MatrixVerdict {
    matrix: String,
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    /// The largest distance of a step from the exact update, as a weight, and summed over all proven steps.
    tolerance: f64,
    tolerance_in_all: f64,
    /// The same in units of the weight: one half is exact rounding.
    tolerance_units: f64,
}

pub(super) fn run(args: &TrainVerifyArgs, console: &Console) -> Result<TrainVerdict, CliError> {
    let started = Instant::now();
    let (_, settings) = read_config(&args.config.config)?;
    let public = RunFolder::public_at(&args.proof);
    let mut verdict = match check(args, &settings, &public, console) {
        Ok(verdict) => verdict,
        Err(Refusal::Failed(error)) => return Err(*error),
        Err(Refusal::Invalid(reason)) => TrainVerdict::invalid(reason),
    };
    verdict.seconds = started.elapsed().as_secs_f64();
    Ok(verdict)
}

/// A checked NO, or files that could not be looked at.
enum Refusal {
    Invalid(String),
    Failed(Box<CliError>),
}

impl From<CliError> for Refusal {
    fn from(error: CliError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<InvalidRun> for Refusal {
    fn from(error: InvalidRun) -> Self {
        Self::Invalid(error.to_string())
    }
}

fn check(
    args: &TrainVerifyArgs,
    settings: &Settings,
    public: &Path,
    console: &Console,
) -> Result<TrainVerdict, Refusal> {
    let files = PublicFiles::read(public)?;
    let read = ReadRun::from_files(&files.files(), settings).map_err(|error| match error {
        // Not a record at all.
        RecordError::Record(_) => CliError::from(error).into(),
        other => Refusal::Invalid(other.to_string()),
    })?;
    for (what, expected, found) in
        [("data set", args.data, read.record.data), ("first model", args.model, read.record.model)]
    {
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(Refusal::Invalid(format!("the {what} of this run is {found}, expected {expected}")));
        }
    }
    if read.record.proofs.is_empty() {
        return Err(Refusal::Invalid("no step of this run is proven".to_owned()));
    }
    let generators = Generators::derive(read.row_length(), 0);
    let pinned = read.pin(&files.files(), settings, &generators)?;
    let begin = pinned.run().begin().map_err(InvalidRun::from)?;
    // The costliest equation of every proof is checked once for all of them.
    let (mut state, mut batch) = (begin.clone(), ProofBatch::default());
    let progress = console.progress("verifying proofs", Unit::Items);
    let mut proof_bytes = 0;
    let all = pinned.record.proofs.len() as u64;
    for (number, entry) in (1..).zip(&pinned.record.proofs) {
        let proof = read_proof(public, entry)?;
        let found = Digest::sha256(&proof);
        if found != entry.digest {
            return Err(Refusal::Invalid(format!(
                "the proof of steps {} to {} has the SHA-256 {found}, the record names {}",
                entry.first,
                entry.end().saturating_sub(1),
                entry.digest
            )));
        }
        state = pinned.defer_next(&state, entry, &proof, &generators, &mut batch)?;
        proof_bytes += proof.len();
        progress.set(number, all);
    }
    if !batch.holds(&generators) {
        // One of them does not hold: each by itself, to name it.
        let mut state = begin;
        for entry in &pinned.record.proofs {
            state = pinned.verify_next(&state, entry, &read_proof(public, entry)?, &generators)?;
        }
        return Err(Refusal::Invalid("the proofs do not hold together".to_owned()));
    }
    Ok(TrainVerdict::valid(args, &pinned, &state, proof_bytes))
}

impl TrainVerdict {
    fn invalid(reason: String) -> Self {
        Self {
            verdict: "INVALID",
            reason: Some(reason),
            proven: 0,
            steps: 0,
            proofs: 0,
            proof_bytes: 0,
            run: None,
            data: None,
            model: None,
            final_weights: None,
            matrices: Vec::new(),
            proves: Vec::new(),
            does_not_prove: Vec::new(),
            seconds: 0.0,
        }
    }

    fn valid(args: &TrainVerifyArgs, pinned: &PinnedRun, state: &RunState, proof_bytes: usize) -> Self {
        let PinnedRun { record, settings, .. } = pinned;
        let matrix = |effective: Effective| MatrixVerdict {
            matrix: effective.tensor,
            learning_rate: effective.learning_rate,
            momentum: effective.momentum,
            weight_decay: effective.weight_decay,
            tolerance: effective.tolerance,
            // What was added to a step goes on through the momentum.
            tolerance_in_all: effective.tolerance * state.steps as f64 / (1.0 - effective.momentum),
            tolerance_units: effective.tolerance_units,
        };
        let matrices: Vec<MatrixVerdict> = settings.effective().into_iter().map(matrix).collect();
        let exact = matrices.iter().all(|matrix| matrix.tolerance_units <= 0.5);
        Self {
            verdict: "VALID",
            reason: None,
            proven: state.steps,
            steps: record.batches.steps,
            proofs: record.proofs.len(),
            proof_bytes,
            run: Some(record.run),
            data: Some(record.data),
            model: Some(record.model),
            final_weights: Some(state.parameters_digest()),
            proves: proves(settings, state.steps, &matrices),
            does_not_prove: does_not_prove(args, exact, record.batches.steps, state.steps),
            matrices,
            seconds: 0.0,
        }
    }
}

fn proves(settings: &Settings, steps: u64, matrices: &[MatrixVerdict]) -> Vec<String> {
    let exact = matrices.iter().all(|matrix| matrix.tolerance_units <= 0.5);
    let loss = match settings.loss {
        Loss::MeanSquaredError { .. } => "mean-squared error",
        Loss::CrossEntropy { .. } => "softmax cross-entropy",
    };
    let update = if settings.layers.iter().any(|layer| layer.adapter.is_some()) {
        "LoRA's matrices alone were moved, over frozen layers"
    } else {
        "all weights were moved"
    };
    let mut tube = if exact {
        "Every update is the one of the fixed-point arithmetic, rounded to nearest".to_owned()
    } else {
        let widest = matrices.iter().map(|matrix| matrix.tolerance_in_all).fold(0.0, f64::max);
        format!(
            "Every update lies within a tube around that of SGD: at most the tolerance above in each weight and step, \
             {widest:.2e} in all, momentum counted. Within the tube its maker was free, and gradients of later steps follow"
        )
    };
    match settings.softmax_error() {
        Some(error) => tube.push_str(&format!(
            ". Its gradients are taken at probabilities within {error:.1e} of the softmax of the outputs; within that its maker \
             was free"
        )),
        None if exact => tube.push_str(": the steps have one possible result"),
        None => {}
    }
    vec![
        format!(
            "The committed weights after step {} came from the committed weights before step 0 by {} of gradient descent on \
             {loss}, in this order, each on the {} rows of the committed data set that the run's batches name; {update}.",
            steps.saturating_sub(1),
            plural(steps, "step"),
            settings.batch
        ),
        format!("{tube}."),
        "All numbers are exact over the integers: every committed one is proven to be small. A wrong run is accepted with \
         probability below 2^-120 for each attempt, if discrete logarithms in ristretto255 are hard and BLAKE3 behaves as a random \
         oracle. Weights, data, activations and gradients stay private."
            .to_owned(),
    ]
}

fn does_not_prove(args: &TrainVerifyArgs, exact: bool, steps: u64, proven: u64) -> Vec<String> {
    let mut list = Vec::new();
    if proven < steps {
        list.push(format!("Steps {proven} to {} of the run have no proof yet.", steps - 1));
    }
    for (option, given, what) in
        [("--data", args.data, "data set"), ("--model", args.model, "weights before step 0")]
    {
        if given.is_none() {
            list.push(format!(
                "The {what} may be any: its digest above was compared with nothing. Give the one that you were promised by {option}."
            ));
        }
    }
    if !exact {
        list.push(
            "How large the updates are beside the tolerance: weights are private, so only the maker knows. The tolerance is part \
             of the configuration, which is for you to accept."
                .to_owned(),
        );
    }
    list.extend(
        [
            "Rows of a batch are in the data set; that they were drawn at random is for you to judge from the batches.",
            "What the data is, how the first weights were made, and how good the model is: nothing is said about them.",
            "Nobody shows that this is the only run: its maker may have tried others and kept this one.",
        ]
        .map(str::to_owned),
    );
    list
}

impl Report for TrainVerdict {
    const SCHEMA: &'static str = "lorica-train-verify/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(reason) = &self.reason {
            writeln!(out, "INVALID: {reason}")?;
            return writeln!(out, "\nNothing is shown about this run.");
        }
        writeln!(
            out,
            "VALID: {} of {} proven, by {} of {} together, in {}",
            self.proven,
            plural(self.steps, "step"),
            plural(self.proofs as u64, "proof"),
            bytes(self.proof_bytes as u64),
            seconds(self.seconds)
        )?;
        for (name, digest) in [("data", self.data), ("model", self.model), ("weights", self.final_weights)] {
            if let Some(digest) = digest {
                let what = match name {
                    "data" => "the data set's manifest",
                    "model" => "the manifest of the weights before step 0",
                    _ => "the commitments to the weights after the last step",
                };
                writeln!(out, "{name:<8} {digest}   {what}")?;
            }
        }
        for matrix in &self.matrices {
            let MatrixVerdict {
                matrix,
                learning_rate,
                momentum,
                weight_decay,
                tolerance,
                tolerance_units,
                ..
            } = matrix;
            writeln!(
                out,
                "  {matrix:<12} learning rate {learning_rate:.6}, momentum {momentum:.6}, weight decay {weight_decay:.2e}, \
                 tolerance {tolerance:.2e} ({tolerance_units:.2} units)"
            )?;
        }
        writeln!(out, "\nwhat this proves:")?;
        self.proves.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))?;
        writeln!(out, "\nwhat it does not prove:")?;
        self.does_not_prove.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))
    }

    fn exit(&self) -> Exit {
        if self.verdict == "VALID" { Exit::Yes } else { Exit::No }
    }
}
