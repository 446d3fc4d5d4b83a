//! `lorica train commit-data`: rows of a data set, committed to once.

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_argument::generators::Generators;
use lorica_prove::rows::data::DataRegistration;
use lorica_relation::training::Settings;
use lorica_tensor::Digest;
use lorica_train::{DataSet, Table};
use lorica_verify::rows::data::Columns;
use serde::Serialize;

use super::folder::{DataFolder, RegisteredBytes, read_config};
use crate::{
    args::training::CommitDataArgs,
    artefacts::NewFolder,
    error::CliError,
    own,
    progress::Unit,
    report::{
        Console, Report,
        format::{count, seconds},
    },
};

/// What was committed to.
#[derive(Debug, Serialize)]
pub(crate) struct CommitDataReport {
    pin: Digest,
    folder: String,
    samples: usize,
    inputs: usize,
    targets: usize,
    input_fraction_bits: u32,
    seconds: f64,
}

/// Reads a table of samples by the ending of its name.
pub(super) fn read_table(path: &Path, scale: f32) -> Result<Table, CliError> {
    let table = match path.extension().and_then(|ending| ending.to_str()) {
        Some("csv") => Table::read_csv(path)?,
        Some("safetensors") => Table::read_safetensors(path)?,
        _ => {
            let reason = "expected a file that ends in .csv or .safetensors".to_owned();
            return Err(CliError::Content { path: path.to_owned(), reason });
        }
    };
    Ok(table.scale_inputs(scale))
}

/// The integers of a table, for a configuration.
pub(super) fn quantise(table: &Table, path: &Path, settings: &Settings) -> Result<DataSet, CliError> {
    let inputs = settings.layers.first().map_or(0, |layer| layer.inputs);
    let outputs = settings.layers.last().map_or(0, |layer| layer.outputs);
    let data = table.quantise(settings.input_bits, settings.target_bits, outputs)?;
    if (data.inputs(), data.targets()) == (inputs, outputs) {
        return Ok(data);
    }
    let reason = format!(
        "{} inputs and {} targets, the configuration's layers ask for {inputs} and {outputs}",
        data.inputs(),
        data.targets()
    );
    Err(CliError::Content { path: path.to_owned(), reason })
}

/// Commits to the rows of a data set.
pub(super) fn register(
    data: &DataSet,
    settings: &Settings,
    console: &Console,
) -> Result<(RegisteredBytes, lorica_prove::secret::AdapterSecret), CliError> {
    let secret = own::fresh_secret()?;
    let progress = console.progress("committing to the data", Unit::Items);
    let registered = DataRegistration {
        inputs: Columns { width: data.inputs(), fraction_bits: settings.input_bits },
        targets: Columns { width: data.targets(), fraction_bits: settings.target_bits },
        rows: data.samples(),
        nonce: own::fresh_nonce()?,
        secret: &secret,
        generators: &Generators::derive(data.width().max(1024), 0),
    }
    .run(&own::entropy()?, &|done, total| progress.set(done, total))?;
    Ok((RegisteredBytes::of(registered), secret))
}

pub(super) fn run(args: &CommitDataArgs, console: &Console) -> Result<CommitDataReport, CliError> {
    let started = Instant::now();
    let mut folder = NewFolder::create(&args.out)?;
    let (_, settings) = read_config(&args.config.config)?;
    let data = quantise(&read_table(&args.data, args.scale_inputs)?, &args.data, &settings)?;
    let (registered, secret) = register(&data, &settings, console)?;
    // The secret first: commitments whose secret is lost are of no use.
    DataFolder::at(&args.out).write_private(&data, &secret)?;
    registered.write(&args.out)?;
    folder.keep();
    Ok(CommitDataReport {
        pin: Digest::sha256(&registered.manifest),
        folder: args.out.display().to_string(),
        samples: data.len(),
        inputs: data.inputs(),
        targets: data.targets(),
        input_fraction_bits: settings.input_bits,
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl Report for CommitDataReport {
    const SCHEMA: &'static str = "lorica-train-commit-data/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { pin, folder, samples, inputs, targets, input_fraction_bits, .. } = self;
        writeln!(
            out,
            "committed to {} samples of {inputs} inputs (unit 2^-{input_fraction_bits}) and {targets} targets in {}",
            count(*samples as u64),
            seconds(self.seconds)
        )?;
        writeln!(out, "pin    {pin}   (sha256sum manifest.json)")?;
        writeln!(out, "\nin {folder}:")?;
        writeln!(out, "  manifest.json, commitments.bin, registration.bin   public")?;
        writeln!(
            out,
            "  private/                                           the samples and the secret: keep them"
        )
    }
}
