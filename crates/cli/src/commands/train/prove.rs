//! `lorica train prove`: proofs of the steps of a run, or of one step between two checkpoints.

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_argument::generators::Generators;
use lorica_prove::{
    secret::AdapterSecret,
    training::run::{NextSteps, RunBlinds, RunProver},
};
use lorica_relation::training::Settings;
use lorica_tensor::Digest;
use lorica_train::{
    DataSet, FixedTrainer, State,
    checkpoint::{self, Prepared, Residual, Step, prepare},
    model_file::{LinearLayers, read_state, write_state},
};
use lorica_verify::training::{
    TrainingProof,
    record::{PinnedRun, ProofEntry, ReadRun},
    run::RunState,
};
use serde::Serialize;

use super::{
    commit_data::{quantise, read_table, register},
    folder::{
        PublicFiles, RunFolder, read_config, read_proof, read_samples, read_unresolved, settings_of,
        write_samples, write_secret,
    },
    run::Beginning,
};
use crate::{
    args::training::{StepRange, TrainProveArgs},
    artefacts::NewFolder,
    error::CliError,
    own,
    progress::Unit,
    report::{
        Console, Report,
        format::{bytes, plural, seconds},
    },
};

/// What was proven.
#[derive(Debug, Serialize)]
pub(crate) struct TrainProveReport {
    folder: String,
    proofs: Vec<ProofReport>,
    /// Steps of the run, and how many of them are proven now.
    steps: u64,
    proven: u64,
    /// For a step of another trainer: how well it keeps the tolerance.
    tolerance: Option<Tolerance>,
}

#[derive(Debug, Serialize)]
struct ProofReport {
    first: u64,
    last: u64,
    bytes: usize,
    seconds: f64,
}

/// The tolerance that a step needs.
#[derive(Debug, Serialize)]
struct Tolerance {
    /// The kind of update that was found: `sgd` or `lora`.
    kind: String,
    /// `tolerance.bits` of the configuration in the public folder.
    bits: Option<f64>,
    /// The tolerance beside the update's size, over all matrices.
    share: f64,
    matrices: Vec<MatrixTolerance>,
}

#[derive(Debug, Serialize)]
struct MatrixTolerance {
    matrix: String,
    /// As a weight.
    tolerance: f64,
    /// The largest residual there is, as a weight, and where.
    largest: f64,
    row: usize,
    column: usize,
    /// The root mean square of the update, as a weight.
    update: f64,
}

impl MatrixTolerance {
    fn of(residual: &Residual) -> Self {
        Self {
            matrix: residual.matrix.clone(),
            tolerance: residual.tolerance * residual.unit,
            largest: residual.largest * residual.unit,
            row: residual.row,
            column: residual.column,
            update: residual.update * residual.unit,
        }
    }
}

pub(super) fn run(args: &TrainProveArgs, console: &Console) -> Result<TrainProveReport, CliError> {
    match (&args.run, &args.before) {
        (Some(run), _) => prove_run(run, args, console),
        (None, Some(before)) => prove_pair(before, args, console),
        (None, None) => Err(CliError::Usage("name a --run, or --before and --after".to_owned())),
    }
}

/// A run that is being proven.
struct Proving<'a> {
    folder: &'a RunFolder,
    pinned: PinnedRun,
    generators: Generators,
    data_secret: AdapterSecret,
    secret: AdapterSecret,
}

/// How far the chain is.
struct Chain {
    state: RunState,
    blinds: RunBlinds,
}

impl<'a> Proving<'a> {
    fn open(folder: &'a RunFolder, settings: &Settings) -> Result<Self, CliError> {
        let files = PublicFiles::read(&folder.public())?;
        let read = ReadRun::from_files(&files.files(), settings)?;
        let generators = Generators::derive(read.row_length(), 0);
        let pinned = read.pin(&files.files(), settings, &generators)?;
        let (data_secret, secret) =
            (own::read_secret(&folder.data_secret())?, own::read_secret(&folder.secret())?);
        Ok(Self { folder, pinned, generators, data_secret, secret })
    }

    fn prover(&self) -> RunProver<'_> {
        RunProver {
            run: self.pinned.run(),
            data_secret: &self.data_secret,
            model_secret: &self.secret,
            generators: &self.generators,
        }
    }

    /// The chain after the proofs that are there.
    fn chain(&self) -> Result<Chain, CliError> {
        let run = self.pinned.run();
        let mut state = run.begin().map_err(lorica_verify::training::record::InvalidRun::from)?;
        let mut blinds = self.prover().begin(&state);
        for entry in &self.pinned.record.proofs {
            let bytes = read_proof(&self.folder.public(), entry)?;
            let context = run
                .context(&state, self.pinned.batches_of(entry))
                .map_err(lorica_verify::training::record::InvalidRun::from)?;
            let damaged = || CliError::Content {
                path: self.folder.public(),
                reason: format!("the proof of step {} on is not the one that was made", entry.first),
            };
            if Digest::sha256(&bytes) != entry.digest {
                return Err(damaged());
            }
            let proof = TrainingProof::from_bytes(&bytes, &context).map_err(|_| damaged())?;
            let tensor_blinds = self.folder.read_blinds(entry)?;
            if tensor_blinds.len() != proof.tensors.len() {
                return Err(damaged());
            }
            blinds = blinds.after(&context, &tensor_blinds);
            state = state.after(&context, &proof, entry.digest);
        }
        Ok(Chain { state, blinds })
    }

    /// Proves the next steps, whose weights a trainer has, and adds the proof to the folder.
    fn prove(
        &mut self,
        chain: Chain,
        steps: usize,
        witness: &lorica_relation::program::evaluate::Witness,
    ) -> Result<(Chain, ProofReport), CliError> {
        let started = Instant::now();
        let first = chain.state.steps;
        let place = usize::try_from(first).unwrap_or(usize::MAX);
        let batches = self.pinned.batches.get(place..place.saturating_add(steps)).unwrap_or_default();
        let NextSteps { proof, tensor_blinds, state, blinds } =
            self.prover().next(&chain.state, &chain.blinds, batches, witness, &own::entropy()?)?;
        let entry = ProofEntry { first, steps: steps as u64, digest: Digest::sha256(&proof) };
        let mut record = self.pinned.record.clone();
        record.proofs.push(entry);
        self.folder.add_proof(&record, &entry, &proof, &tensor_blinds)?;
        self.pinned.record = record;
        let report = ProofReport {
            first,
            last: entry.end() - 1,
            bytes: proof.len(),
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok((Chain { state, blinds }, report))
    }
}

fn prove_run(run: &Path, args: &TrainProveArgs, console: &Console) -> Result<TrainProveReport, CliError> {
    let folder = RunFolder::at(run);
    let (_, settings) = read_config(&folder.config())?;
    let mut proving = Proving::open(&folder, &settings)?;
    let mut chain = proving.chain()?;
    let steps = proving.pinned.record.batches.steps;
    let range = range(args, chain.state.steps, steps)?;
    let data = read_samples(&folder.samples())?;
    let mut trainer = trainer_at(&folder, &settings, &data, &proving.pinned.batches, range.first)?;
    let mut proofs = Vec::new();
    let progress = console.progress("proving steps", Unit::Items);
    let chunk = if args.steps.is_some() { range.end - range.first } else { args.chunk };
    let mut first = range.first;
    while first < range.end {
        let end = range.end.min(first + chunk.max(1));
        let place = |step: u64| usize::try_from(step).unwrap_or(usize::MAX);
        let batches = proving.pinned.batches.get(place(first)..place(end)).unwrap_or_default().to_vec();
        let made = trainer.run(&data, &batches)?;
        let report;
        (chain, report) = proving.prove(chain, batches.len(), &made.witness)?;
        proofs.push(report);
        first = end;
        progress.set(first - range.first, range.end - range.first);
    }
    Ok(TrainProveReport {
        folder: folder.public().display().to_string(),
        proofs,
        steps,
        proven: chain.state.steps,
        tolerance: None,
    })
}

/// Which steps to prove: they have to follow the proofs that are there.
fn range(args: &TrainProveArgs, proven: u64, steps: u64) -> Result<StepRange, CliError> {
    if proven == steps {
        return Err(CliError::Usage(format!("all {steps} steps of the run are proven already")));
    }
    let range = args.steps.unwrap_or(StepRange { first: proven, end: steps });
    if range.first != proven {
        return Err(CliError::Usage(format!(
            "--steps {}..{}: steps are proven one after the other, and {proven} are proven so far; begin with {proven}",
            range.first, range.end
        )));
    }
    if range.end > steps {
        return Err(CliError::Usage(format!(
            "--steps {}..{}: the run has {steps} steps",
            range.first, range.end
        )));
    }
    Ok(range)
}

/// A trainer as it was before a step: from the last weights that were kept.
fn trainer_at(
    folder: &RunFolder,
    settings: &Settings,
    data: &DataSet,
    batches: &[Vec<usize>],
    step: u64,
) -> Result<FixedTrainer, CliError> {
    let kept = folder.checkpoint_before(step)?;
    let state: State = read_state(&folder.checkpoint(kept), settings)?;
    let mut trainer = FixedTrainer::resume(settings.clone(), state)?;
    let place = |step: u64| usize::try_from(step).unwrap_or(usize::MAX);
    for batch in batches.get(place(kept)..place(step)).unwrap_or_default() {
        trainer.run(data, std::slice::from_ref(batch))?;
    }
    Ok(trainer)
}

fn prove_pair(before: &Path, args: &TrainProveArgs, console: &Console) -> Result<TrainProveReport, CliError> {
    let (Some(after), Some(batch), Some(config), Some(out)) =
        (&args.after, &args.batch, &args.config, &args.out)
    else {
        return Err(CliError::Usage("--before goes with --after, --batch, --config and --out".to_owned()));
    };
    let (before, after) = (LinearLayers::open(before)?, LinearLayers::open(after)?);
    let config_path = config;
    let config = checkpoint::changed(&before, &after)?.apply(read_unresolved(config_path)?)?;
    let settings = settings_of(&config, config_path)?;
    let data = quantise(&read_table(batch, 1.0)?, batch, &settings)?;
    let rows: Vec<usize> = (0..data.len()).collect();
    let step = Step { before: &before, after: &after, previous: None, data: &data, batch: &rows };
    let Prepared { config, settings, chunk, residuals } = prepare(&config, &step, args.limit)?;

    let mut new = NewFolder::create(out)?;
    let folder = RunFolder::at(out);
    folder.create()?;
    folder.write_config(&config)?;
    let (registered, data_secret) = register(&data, &settings, console)?;
    write_secret(&folder.data_secret(), &data_secret)?;
    write_samples(&folder.samples(), &data)?;
    let batches = [rows];
    let parameters = &chunk.witness.parameters;
    let carried = &chunk.witness.carried;
    let beginning =
        Beginning { settings: &settings, data: &registered, parameters, carried, batches: &batches };
    beginning.write(&folder, console)?;
    let state = State { steps: 0, parameters: parameters.clone(), carried: chunk.witness.carried.clone() };
    write_state(&folder.checkpoint(0), &settings, &state)?;
    let mut proving = Proving::open(&folder, &settings)?;
    let chain = proving.chain()?;
    let (_, proof) = proving.prove(chain, 1, &chunk.witness)?;
    new.keep();
    Ok(TrainProveReport {
        folder: folder.public().display().to_string(),
        proofs: vec![proof],
        steps: 1,
        proven: 1,
        tolerance: Some(Tolerance {
            kind: config.update.kind.to_string(),
            bits: config.tolerance.bits,
            share: checkpoint::share(&residuals),
            matrices: residuals.iter().map(MatrixTolerance::of).collect(),
        }),
    })
}

impl Report for TrainProveReport {
    const SCHEMA: &'static str = "lorica-train-prove/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for ProofReport { first, last, bytes: size, seconds: time } in &self.proofs {
            writeln!(
                out,
                "steps {first} to {last}: one proof of {} in {}",
                bytes(*size as u64),
                seconds(*time)
            )?;
        }
        if let Some(Tolerance { kind, share, matrices, .. }) = &self.tolerance {
            writeln!(out, "\nupdate {kind}; the tolerance is {:.2} % of the update's size", 100.0 * share)?;
            for MatrixTolerance { matrix, tolerance, largest, row, column, update } in matrices {
                writeln!(
                    out,
                    "  {matrix:<12} tolerance {tolerance:.2e}; largest residual {largest:.2e} at row {row}, column {column}; update {update:.2e} (root mean square)"
                )?;
            }
        }
        writeln!(
            out,
            "\n{} of {} proven; verified before they were written",
            self.proven,
            plural(self.steps, "step")
        )?;
        writeln!(out, "next: lorica train verify {0} --config {0}/step.toml", self.folder)
    }
}
