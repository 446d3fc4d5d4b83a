//! `lorica train run`: exact fixed-point training, kept so that every step can be proven.

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_argument::generators::Generators;
use lorica_prove::{
    rows::model::{ModelRegistration, row_length, weight_matrices},
    secret::AdapterSecret,
};
use lorica_relation::training::Settings;
use lorica_tensor::Digest;
use lorica_train::{
    DataSet, FixedTrainer, Parameters, Score, Shuffled, initial_parameters,
    model_file::{LinearLayers, floats, write_floats, write_state},
};
use lorica_verify::training::{
    record::{BatchList, InvalidRun, RUN_FORMAT, RunRecord, write_batches},
    run::carried_matrices,
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::folder::{DataFolder, RegisteredBytes, RunFolder, copy_private, read_config, read_samples};
use crate::{
    args::training::TrainRunArgs,
    artefacts::{NewFolder, write_bytes},
    error::CliError,
    own,
    progress::Unit,
    report::{
        Console, Report,
        format::{plural, seconds},
    },
};

/// What was trained.
#[derive(Debug, Serialize)]
pub(crate) struct TrainRunReport {
    folder: String,
    run: Digest,
    data: Digest,
    model: Digest,
    steps: u64,
    parameters: usize,
    train_rows: usize,
    before: Option<Scores>,
    after: Option<Scores>,
    seconds: f64,
}

/// Loss and accuracy on the rows that batches are drawn from, and on the others.
#[derive(Debug, Clone, Copy, Serialize)]
struct Scores {
    train_loss: f64,
    train_accuracy: f64,
    test: Option<TestScore>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct TestScore {
    rows: usize,
    loss: f64,
    accuracy: f64,
}

/// Commits to the weights before the first step, and to what it takes over from a step before it where that is not zero.
fn register_model(
    settings: &Settings,
    parameters: &Parameters,
    carried: &[Zeroizing<Vec<i16>>],
    console: &Console,
) -> Result<(RegisteredBytes, AdapterSecret), CliError> {
    let secret = own::fresh_secret()?;
    let row_length = row_length(settings);
    let (mut matrices, mut limbs) = weight_matrices(&settings.weights(), parameters)?;
    if carried.iter().any(|values| values.iter().any(|value| *value != 0)) {
        let carried_matrices = carried_matrices(settings).map_err(InvalidRun::from)?;
        let (more, of_more) = weight_matrices(&carried_matrices, carried)?;
        matrices.extend(more);
        limbs.extend(of_more);
    }
    let progress = console.progress("committing to the weights", Unit::Items);
    let registered = ModelRegistration {
        row_length,
        matrices,
        limbs: &limbs,
        nonce: own::fresh_nonce()?,
        secret: &secret,
        generators: &Generators::derive(row_length, 0),
    }
    .run(&own::entropy()?, &|done, total| progress.set(done, total))?;
    Ok((RegisteredBytes::of(registered), secret))
}

/// A run that begins: everything that is in its folder before the first proof.
pub(super) struct Beginning<'a> {
    pub(super) settings: &'a Settings,
    pub(super) data: &'a RegisteredBytes,
    pub(super) parameters: &'a Parameters,
    /// The last changes before the first step, for momentum.
    pub(super) carried: &'a [Zeroizing<Vec<i16>>],
    pub(super) batches: &'a [Vec<usize>],
}

impl Beginning<'_> {
    /// Writes the public folder and the secret; returns the record.
    pub(super) fn write(&self, folder: &RunFolder, console: &Console) -> Result<RunRecord, CliError> {
        let (model, secret) = register_model(self.settings, self.parameters, self.carried, console)?;
        super::folder::write_secret(&folder.secret(), &secret)?;
        let path = folder.public().join("batches.bin");
        let large = || CliError::Usage("a run uses rows of a data set below 2^32".to_owned());
        let batches = write_batches(self.batches).ok_or_else(large)?;
        write_bytes(&path, &batches)?;
        self.data.write(&folder.public().join("data"))?;
        model.write(&folder.public().join("model"))?;
        let record = RunRecord {
            format: RUN_FORMAT.to_owned(),
            run: own::fresh_nonce()?,
            settings: self.settings.digest(),
            data: Digest::sha256(&self.data.manifest),
            model: Digest::sha256(&model.manifest),
            batches: BatchList { steps: self.batches.len() as u64, digest: Digest::sha256(&batches) },
            proofs: Vec::new(),
        };
        folder.write_record(&record)?;
        Ok(record)
    }
}

pub(super) fn run(args: &TrainRunArgs, console: &Console) -> Result<TrainRunReport, CliError> {
    let started = Instant::now();
    let (config, settings) = read_config(&args.config.config)?;
    if args.steps == 0 || args.checkpoint_every == 0 {
        return Err(CliError::Usage("--steps and --checkpoint-every are at least 1".to_owned()));
    }
    let data_folder = DataFolder::at(&args.data);
    let registered = RegisteredBytes::read(data_folder.path())?;
    let data = read_samples(&data_folder.samples())?;
    let train_rows = args.train_rows.unwrap_or(data.len());
    if train_rows > data.len() {
        let found = data.len();
        return Err(CliError::Usage(format!("--train-rows {train_rows}: the data set has {found} rows")));
    }
    let count = usize::try_from(args.steps).unwrap_or(usize::MAX);
    let batches = Shuffled::new(train_rows, settings.batch, args.seed)?.steps(0, count);
    let parameters = match &args.start {
        Some(path) => LinearLayers::open(path)?.quantise(&settings)?,
        None => initial_parameters(&settings, args.seed),
    };
    let mut trainer = FixedTrainer::new(settings.clone(), parameters.clone())?;

    let mut new = NewFolder::create(&args.out)?;
    let folder = RunFolder::at(&args.out);
    folder.create()?;
    folder.write_config(&config)?;
    copy_private(&data_folder.samples(), &folder.samples())?;
    copy_private(&data_folder.secret(), &folder.data_secret())?;
    let beginning = Beginning {
        settings: &settings,
        data: &registered,
        parameters: &parameters,
        carried: &[],
        batches: &batches,
    };
    let record = beginning.write(&folder, console)?;
    let before = scores(&trainer, &data, train_rows)?;
    write_state(&folder.checkpoint(0), &settings, &trainer.state())?;
    let progress = console.progress("training", Unit::Items);
    for chunk in batches.chunks(usize::try_from(args.checkpoint_every).unwrap_or(usize::MAX)) {
        // Batch by batch: the witness is made again where it is proven.
        for batch in chunk {
            trainer.run(&data, std::slice::from_ref(batch))?;
            progress.set(trainer.steps(), args.steps);
        }
        write_state(&folder.checkpoint(trainer.steps()), &settings, &trainer.state())?;
    }
    drop(progress);
    let weights = floats(&settings, trainer.parameters());
    let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
    write_floats(&args.out.join("private/weights.safetensors"), &settings, &weights)?;
    new.keep();
    Ok(TrainRunReport {
        folder: args.out.display().to_string(),
        run: record.run,
        data: record.data,
        model: record.model,
        steps: args.steps,
        parameters: settings.weights().iter().map(|matrix| matrix.shape.entries()).sum(),
        train_rows,
        before,
        after: scores(&trainer, &data, train_rows)?,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Scores of the weights as they are.
fn scores(trainer: &FixedTrainer, data: &DataSet, train_rows: usize) -> Result<Option<Scores>, CliError> {
    let part = |rows: std::ops::Range<usize>| -> Result<Score, CliError> {
        let width = data.width();
        let samples = data.samples()[rows.start * width..rows.end * width].to_vec();
        let part = DataSet::new(data.inputs(), data.targets(), samples)?;
        Ok(Score::of(trainer.settings(), &part, &trainer.outputs(&part)?))
    };
    let train = part(0..train_rows)?;
    let rows = data.len() - train_rows;
    let test = if rows > 0 {
        let Score { loss, accuracy } = part(train_rows..data.len())?;
        Some(TestScore { rows, loss, accuracy })
    } else {
        None
    };
    Ok(Some(Scores { train_loss: train.loss, train_accuracy: train.accuracy, test }))
}

impl Report for TrainRunReport {
    const SCHEMA: &'static str = "lorica-train-run/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "trained {} parameters for {} in {}",
            self.parameters,
            plural(self.steps, "step"),
            seconds(self.seconds)
        )?;
        for (when, scores) in [("before", self.before), ("after", self.after)] {
            let Some(Scores { train_loss, train_accuracy, test }) = scores else { continue };
            write!(
                out,
                "{when:<7}loss {train_loss:.4}, accuracy {:.1} % on {} rows",
                100.0 * train_accuracy,
                self.train_rows
            )?;
            match test {
                Some(TestScore { rows, loss, accuracy }) => writeln!(
                    out,
                    "; {loss:.4}, {:.1} % on {rows} rows that no batch is drawn from",
                    100.0 * accuracy
                )?,
                None => writeln!(out)?,
            }
        }
        writeln!(out, "data   {}", self.data)?;
        writeln!(out, "model  {}   (before the first step)", self.model)?;
        writeln!(out, "\nin {}:", self.folder)?;
        writeln!(out, "  public/    run.json, batches, commitments: give it away together with the proofs")?;
        writeln!(out, "  private/   weights, samples, secrets: keep it")?;
        writeln!(out, "next: lorica train prove --run {}", Path::new(&self.folder).display())
    }
}
