//! `lorica commit`: manifest, commitments, registration proof and secret.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_algebra::kernels::rows::RowCommitter;
use lorica_argument::{generators::Generators, opening::OpeningMode};
use lorica_model::ModelFolder;
use lorica_prove::{registration::Registration, secret::AdapterSecret};
use lorica_tensor::{
    Digest,
    files::{FileMode, create_atomically},
};
use lorica_verify::{
    manifest::{BaseIdentity, RangeLevel},
    proof::SessionProof,
    statement::Sizes,
};
use serde::Serialize;

use crate::{
    args::{CommitArgs, RangeChoice},
    artefacts::{ArtefactPaths, PublicArtefacts, SECRET_FILE, session_generators},
    base,
    error::CliError,
    own::{self, OwnAdapter},
    progress::Unit,
    report::{
        Console, Report,
        format::{bytes, count, plural, seconds, wrapped},
    },
};

/// What was committed to.
#[derive(Debug, Serialize)]
pub(crate) struct CommitReport {
    pub(crate) pin: Digest,
    folder: String,
    base: BaseIdentity,
    pub(crate) modules: usize,
    pub(crate) weights: u64,
    pub(crate) commitments: usize,
    /// What is proven of the committed entries.
    pub(crate) range: RangeLevel,
    pub(crate) seconds: f64,
    pub(crate) proof_bytes: ProofBytes,
    leaks: Vec<String>,
}

/// Bytes of every session proof of this adapter, however long the session.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct ProofBytes {
    fast: usize,
    compact: usize,
}

pub(crate) fn run(args: &CommitArgs, console: &Console) -> Result<CommitReport, CliError> {
    let range = match args.range {
        RangeChoice::Int16 => RangeLevel::Int16,
        RangeChoice::None => RangeLevel::None,
    };
    let mut folder = OutputFolder::create(&args.out)?;
    let own = OwnAdapter::load(&args.adapter)?;
    let model_folder = ModelFolder::open(&args.base)?;
    own.adapter.check_against(&base::modules(model_folder.modules()?))?;
    let base = base::identity(&model_folder, console)?;

    let modules = own.manifest_modules();
    let shapes: Vec<_> = modules.iter().map(|module| module.shape()).collect();
    let sizes = Sizes::of(&shapes);
    let generators = session_generators(&sizes);
    let weights = shapes.iter().map(|shape| (shape.rank * (shape.inputs + shape.outputs)) as u64).sum();
    let proof_bytes = ProofBytes {
        fast: SessionProof::encoded_bytes(&sizes, OpeningMode::Fast),
        compact: SessionProof::encoded_bytes(&sizes, OpeningMode::Compact),
    };
    estimate(&generators, weights, range, proof_bytes, console)?;

    let secret = own::fresh_secret()?;
    let started = Instant::now();
    let registered = {
        let progress = console.progress("committing to the weights", Unit::Items);
        Registration {
            base: base.clone(),
            modules,
            witness: &own.quantized.witness,
            nonce: own::fresh_nonce()?,
            secret: &secret,
            generators: &generators,
            range,
        }
        .run(&own::entropy()?, &|done, total| progress.set(done, total))?
    };
    let seconds = started.elapsed().as_secs_f64();
    let manifest = registered.manifest.into_bytes();
    let pin = Digest::sha256(&manifest);
    folder.write(
        &secret,
        &PublicArtefacts { manifest, commitments: registered.commitments, registration: registered.proof },
    )?;
    Ok(CommitReport {
        pin,
        folder: args.out.display().to_string(),
        base,
        modules: shapes.len(),
        weights,
        commitments: 2 * sizes.pairs,
        range,
        seconds,
        proof_bytes,
        leaks: leaks(),
    })
}

/// Says before long work how long it will take, from a small sample of it.
fn estimate(
    generators: &Generators,
    weights: u64,
    range: RangeLevel,
    proof: ProofBytes,
    console: &Console,
) -> Result<(), CliError> {
    /// Registration with a range argument takes this many times as long, by the `range_times` example of the prover.
    const RANGE_FACTOR: f64 = 1.8;
    const SAMPLE_ROWS: usize = 64;
    const SAMPLE_WIDTH: usize = 1024;
    let width = generators.rows().len().min(SAMPLE_WIDTH);
    // The commitments' cost does not depend on the values.
    let row: Vec<i16> = (0..width).map(|index| (index * 31 + 7) as i16).collect();
    let committer = RowCommitter::new(&generators.rows()[..width]);
    let started = Instant::now();
    committer
        .commit(&[row.as_slice(); SAMPLE_ROWS])
        .map_err(lorica_prove::registration::RegistrationError::from)?;
    let committing = started.elapsed().as_secs_f64() / (SAMPLE_ROWS * width) as f64 * weights as f64;
    let expected = match range {
        RangeLevel::Int16 => RANGE_FACTOR * committing,
        RangeLevel::None => committing,
    };
    console.note(&format!(
        "{} weights to commit to: about {} on this machine; every session proof will have {} (fast) or {} (compact)",
        count(weights),
        seconds(expected),
        bytes(proof.fast as u64),
        bytes(proof.compact as u64)
    ));
    Ok(())
}

fn leaks() -> Vec<String> {
    [
        "The manifest shows the base model, the names, shapes, ranks and scaling of all modules, and for each matrix the \
         power of two of its largest entry. The commitments hide everything else.",
        "Serving shows more: a delta is a linear function of its activations, so whoever collects about as many independent \
         rows of a module as it has inputs can solve for B A. No proof can hide that; serve with a limit on rows.",
    ]
    .map(str::to_owned)
    .into()
}

/// Everything that is written to a folder.
fn files_of(folder: &Path) -> [PathBuf; 4] {
    let ArtefactPaths { manifest, commitments, registration } = ArtefactPaths::in_folder(folder);
    [manifest, commitments, registration, folder.join(SECRET_FILE)]
}

/// The folder the files go to. What was written is removed again when not everything could be.
struct OutputFolder<'a> {
    path: &'a Path,
    made: bool,
    complete: bool,
    secret_written: bool,
}

impl<'a> OutputFolder<'a> {
    fn create(path: &'a Path) -> Result<Self, CliError> {
        if files_of(path).iter().any(|file| file.symlink_metadata().is_ok()) {
            let problem = "holds a manifest or a secret already, which is not replaced";
            return Err(CliError::Occupied { path: path.to_owned(), problem });
        }
        let made = !path.exists();
        fs::create_dir_all(path).map_err(CliError::io("create", path))?;
        Ok(Self { path, made, complete: false, secret_written: false })
    }

    /// The secret first: a manifest whose secret is lost is of no use, and nobody has seen it yet.
    fn write(&mut self, secret: &AdapterSecret, artefacts: &PublicArtefacts) -> Result<(), CliError> {
        create_atomically(&self.path.join(SECRET_FILE), FileMode::Secret, |file| {
            file.write_all(secret.to_text().as_bytes())
        })?;
        self.secret_written = true;
        artefacts.write(self.path)?;
        self.complete = true;
        Ok(())
    }
}

impl Drop for OutputFolder<'_> {
    fn drop(&mut self) {
        if self.complete {
            return;
        }
        // Best effort: the error that led here is the one that is reported.
        if self.secret_written {
            for file in files_of(self.path) {
                let _ = fs::remove_file(file);
            }
        }
        if self.made {
            let _ = fs::remove_dir(self.path);
        }
    }
}

impl Report for CommitReport {
    const SCHEMA: &'static str = "lorica-commit/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "committed to {} ({} weights, {} commitments) in {}",
            plural(self.modules as u64, "module"),
            count(self.weights),
            count(self.commitments as u64),
            seconds(self.seconds)
        )?;
        writeln!(
            out,
            "base   {} (config {}.., weights {}..)",
            self.base.family,
            short(&self.base.config),
            short(&self.base.weights)
        )?;
        match self.range {
            RangeLevel::Int16 => {
                writeln!(out, "range  int16: every entry is proven to be an integer of 16 bits")?
            }
            RangeLevel::None => writeln!(out, "range  none: entries are not proven to be small integers")?,
        }
        writeln!(out, "pin    {}", self.pin)?;
        writeln!(out, "\nin {}:", self.folder)?;
        writeln!(out, "  manifest.json, commitments.bin, registration.bin   public: give them to users")?;
        writeln!(
            out,
            "  secret                                             private: keep it, it cannot be made again"
        )?;
        writeln!(out, "\nwhat others learn:")?;
        self.leaks.iter().try_for_each(|leak| writeln!(out, "{}", wrapped("  - ", leak)))
    }
}

/// The first digits of a digest, for people.
fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(12).collect()
}
