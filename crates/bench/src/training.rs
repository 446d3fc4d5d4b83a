//! Register, train, prove and verify synthetic training steps of a given shape, by the product's own path.
//!
//! | module | what it holds |
//! |---|---|
//! | [`proofs`] | what a prover and a verifier take |
//! | [`page`] | stored results as a page |
//! | this one | the shape, its synthetic case, registration, all figures |
//!
//! Two processes measure one shape. The first commits to data set and model and leaves what a run publishes of them in a
//! folder ([`TrainingBench::register`]). The second begins with that folder, as a person who proves a run does
//! ([`TrainingBench::prove`]): so its first proof finds no warm memory, and its peak of memory is that of proving alone.
//!
//! Weights are those that training begins with, inputs are uniform in `[-1, 1)`, labels uniform, and batches one shuffled epoch of
//! a data set that has as many rows as the steps take: no two samples share a commitment.

use std::fs;
use std::path::{Path, PathBuf};

use lorica_algebra::kernels::Backend;
use lorica_argument::generators::Generators;
use lorica_prove::registration::Registered;
use lorica_prove::rows::data::DataRegistration;
use lorica_prove::rows::model::{ModelRegistration, row_length, weight_matrices};
use lorica_prove::secret::AdapterSecret;
use lorica_relation::training::config::{
    BatchConfig, FORMAT, LossConfig, LossKind, ModelConfig, UpdateConfig, UpdateKind,
};
use lorica_relation::training::{ConfigError, Settings, TrainingConfig};
use lorica_tensor::Digest;
use lorica_train::{DataSet, Parameters, Shuffled, initial_parameters};
use lorica_verify::rows::data::Columns;
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, step};
use crate::machine;
use crate::noise::Noise;
use crate::session::entropy;
use crate::stopwatch::{Span, Stopwatch};

pub mod page;
pub mod proofs;

pub use proofs::ProofTimes;

/// Seed of weights and batches.
const SEED: u64 = 1;
/// The first learning rate that is tried.
const LEAST_RATE: f64 = 0.05;
/// No learning rate above this is tried.
const MOST_RATE: f64 = 100.0;
/// Synthetic data hide nothing: their secrets may be known.
const DATA_SECRET: [u8; 32] = [1; 32];
const MODEL_SECRET: [u8; 32] = [2; 32];

/// The shape of synthetic training steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingShape {
    /// Widths: the inputs, every hidden layer, the outputs.
    pub layers: Vec<usize>,
    /// Samples in a step.
    pub batch: usize,
    /// Steps in one proof.
    pub steps: usize,
    /// Which weights move: `sgd` or `lora`.
    pub update: UpdateKind,
    /// The rank of LoRA matrices, which all layers have; `None` without.
    pub rank: Option<usize>,
    /// The loss.
    pub loss: LossKind,
    /// In `[0, 1)`.
    pub momentum: f64,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct TrainingBench {
    /// The shape.
    pub shape: TrainingShape,
    /// Timed repetitions of each step, after the first proof.
    pub repetitions: usize,
}

/// Commitment and range proof of a data set or a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RegistrationTimes {
    /// Committed integers of 16 bits: two for each weight.
    pub values: usize,
    /// Commitments to rows of them.
    pub commitments: usize,
    /// The first registration in the process, bases derived beforehand.
    pub time: Span,
    /// Its processor time for each value.
    pub ns_per_value: f64,
    /// Bytes of the range proof.
    pub proof_bytes: usize,
}

/// All figures of one shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingTimes {
    /// The shape.
    pub shape: TrainingShape,
    /// Entries of all matrices of weights, biases included.
    pub parameters: usize,
    /// Those of them that a step moves.
    pub moved: usize,
    /// The learning rate: the first of 0.05, 0.1, 0.2, ... that the integers of the configuration can stand for.
    pub learning_rate: f64,
    /// Threads of the pool.
    pub threads: usize,
    /// Which twin of the integer kernels ran.
    pub kernels: String,
    /// The processor, as the operating system names it.
    pub processor: String,
    /// Version of this program.
    pub version: String,
    /// Timed repetitions.
    pub repetitions: usize,
    /// Registration of the data set.
    pub data: RegistrationTimes,
    /// Registration of the model.
    pub model: RegistrationTimes,
    /// Proofs, and the plain steps beside them.
    pub proofs: ProofTimes,
}

/// A case of a shape, the same in every process.
struct Case {
    config: TrainingConfig,
    settings: Settings,
    parameters: Parameters,
    data: DataSet,
    batches: Vec<Vec<usize>>,
}

impl TrainingShape {
    fn config(&self, learning_rate: f64) -> TrainingConfig {
        TrainingConfig {
            format: FORMAT.to_owned(),
            model: ModelConfig { layers: self.layers.clone(), bias: true, activation: Default::default() },
            loss: LossConfig { kind: self.loss },
            update: UpdateConfig {
                kind: self.update,
                learning_rate,
                momentum: self.momentum,
                weight_decay: 0.0,
                rank: self.rank,
                alpha: self.rank.map(|rank| 2.0 * rank as f64),
                adapted: None,
            },
            batch: BatchConfig { size: self.batch },
            fixed_point: Default::default(),
            tolerance: Default::default(),
        }
    }

    /// The configuration with the first learning rate that its integers can stand for. The rate makes no difference to any time.
    fn resolve(&self) -> Result<(TrainingConfig, Settings), BenchError> {
        let mut rate = LEAST_RATE;
        loop {
            let config = self.config(rate);
            match config.settings() {
                Ok(settings) => return Ok((config, settings)),
                Err(ConfigError::Unrepresentable { field: "update.learning_rate", .. })
                    if 2.0 * rate <= MOST_RATE =>
                {
                    rate *= 2.0;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn case(&self) -> Result<Case, BenchError> {
        let (config, settings) = self.resolve()?;
        let (inputs, classes) =
            (self.layers.first().copied().unwrap_or(1), self.layers.last().copied().unwrap_or(1));
        let rows = self.batch.saturating_mul(self.steps);
        let mut noise = Noise::default();
        let mut samples = Vec::with_capacity(rows.saturating_mul(settings.sample_width()));
        for _ in 0..rows {
            samples.extend(noise.integers(inputs, settings.input_bits + 1));
            let label = noise.integers(1, 16).first().map_or(0, |label| usize::from(label.unsigned_abs()));
            samples.extend(
                (0..classes).map(|class| i16::from(class == label % classes) << settings.target_bits),
            );
        }
        let data = step("making samples", DataSet::new(inputs, classes, samples))?;
        let batches = step("drawing batches", Shuffled::new(rows, self.batch, SEED))?.steps(0, self.steps);
        Ok(Case { parameters: initial_parameters(&settings, SEED), config, settings, data, batches })
    }
}

/// The folders of registered objects.
fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn model_folder(folder: &Path) -> PathBuf {
    folder.join("model")
}

const MANIFEST: &str = "manifest.json";
const COMMITMENTS: &str = "commitments.bin";
const REGISTRATION: &str = "registration.bin";

fn write(path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    fs::write(path, bytes).map_err(|source| BenchError::Io { action: "write", path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, BenchError> {
    fs::read(path).map_err(|source| BenchError::Io { action: "read", path: path.to_owned(), source })
}

fn publish(folder: &Path, registered: &Registered) -> Result<(), BenchError> {
    fs::create_dir_all(folder).map_err(|source| BenchError::Io {
        action: "create",
        path: folder.to_owned(),
        source,
    })?;
    write(&folder.join(MANIFEST), registered.manifest.as_bytes())?;
    write(&folder.join(COMMITMENTS), &registered.commitments)?;
    write(&folder.join(REGISTRATION), &registered.proof)
}

/// Registrations of the data set and of the model.
#[derive(Debug, Clone, Copy)]
pub struct Registrations {
    /// Of the data set.
    pub data: RegistrationTimes,
    /// Of the model.
    pub model: RegistrationTimes,
}

impl TrainingBench {
    /// Commits to the data set and the model, and writes what is public of them to a folder. `say` is told what is being done.
    pub fn register(&self, folder: &Path, say: &dyn Fn(&str)) -> Result<Registrations, BenchError> {
        let Case { settings, parameters, data, .. } = self.shape.case()?;
        let row_length = row_length(&settings);
        let generators = Generators::derive(row_length.max(data.width()), 0);
        let mut noise = Noise::default();

        say("registering the data set");
        let registration = DataRegistration {
            inputs: Columns { width: data.inputs(), fraction_bits: settings.input_bits },
            targets: Columns { width: data.targets(), fraction_bits: settings.target_bits },
            rows: data.samples(),
            nonce: Digest(noise.bytes()),
            secret: &AdapterSecret::from_seed(DATA_SECRET),
            generators: &generators,
        };
        let started = Stopwatch::start();
        let registered =
            step("registering the data set", registration.run(&entropy(&mut noise), &|_, _| {}))?;
        let of_data = RegistrationTimes::new(data.samples().len(), &registered, started.span());
        publish(&data_folder(folder), &registered)?;

        say("registering the model");
        let (matrices, limbs) =
            step("naming the matrices", weight_matrices(&settings.weights(), &parameters))?;
        let registration = ModelRegistration {
            row_length,
            matrices,
            limbs: &limbs,
            nonce: Digest(noise.bytes()),
            secret: &AdapterSecret::from_seed(MODEL_SECRET),
            generators: &generators,
        };
        let started = Stopwatch::start();
        let registered = step("registering the model", registration.run(&entropy(&mut noise), &|_, _| {}))?;
        let values = parameters.iter().map(|matrix| 2 * matrix.len()).sum();
        let of_model = RegistrationTimes::new(values, &registered, started.span());
        publish(&model_folder(folder), &registered)?;
        Ok(Registrations { data: of_data, model: of_model })
    }

    /// All figures: those of this process's registrations, and those of the process that proved.
    pub fn times(
        &self,
        registrations: Registrations,
        proofs: ProofTimes,
    ) -> Result<TrainingTimes, BenchError> {
        let (config, settings) = self.shape.resolve()?;
        let weights = settings.weights();
        let moved = weights.iter().filter(|matrix| matrix.update.is_some());
        Ok(TrainingTimes {
            shape: self.shape.clone(),
            parameters: weights.iter().map(|matrix| matrix.shape.entries()).sum(),
            moved: moved.map(|matrix| matrix.shape.entries()).sum(),
            learning_rate: config.update.learning_rate,
            threads: rayon::current_num_threads(),
            kernels: Backend::active().name().to_owned(),
            processor: machine::processor(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            repetitions: self.repetitions,
            data: registrations.data,
            model: registrations.model,
            proofs,
        })
    }
}

impl RegistrationTimes {
    fn new(values: usize, registered: &Registered, time: Span) -> Self {
        Self {
            values,
            commitments: registered.commitments.len() / 32,
            time,
            ns_per_value: time.nanoseconds_each(values),
            proof_bytes: registered.proof.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(update: UpdateKind, loss: LossKind, momentum: f64) -> TrainingShape {
        let rank = (update == UpdateKind::Lora).then_some(2);
        TrainingShape { layers: vec![12, 8, 4], batch: 4, steps: 2, update, rank, loss, momentum }
    }

    #[test]
    fn every_kind_of_step_is_measured_and_its_figures_read_back() {
        for shape in [
            shape(UpdateKind::Sgd, LossKind::MeanSquaredError, 0.0),
            shape(UpdateKind::Sgd, LossKind::CrossEntropy, 0.9),
            shape(UpdateKind::Lora, LossKind::MeanSquaredError, 0.0),
        ] {
            let bench = TrainingBench { shape, repetitions: 1 };
            let folder = tempfile::tempdir().unwrap();
            let registrations = bench.register(folder.path(), &|_| {}).unwrap();
            let proofs = bench.prove(folder.path(), &Stopwatch::of_process(), &|_| {}).unwrap();
            let times = bench.times(registrations, proofs).unwrap();
            assert_eq!(times.data.values, 8 * 16);
            assert_eq!(times.model.values, 2 * times.parameters);
            assert!(times.proofs.row_bytes > 0 && times.proofs.row_bytes < times.proofs.proof_bytes);
            assert!(times.proofs.whole_process.wall_ms >= times.proofs.first.wall_ms);
            let is_lora = times.shape.update == UpdateKind::Lora;
            assert_eq!(times.moved < times.parameters, is_lora);
            let text = serde_json::to_string(&times).unwrap();
            assert_eq!(serde_json::from_str::<TrainingTimes>(&text).unwrap(), times);
        }
    }

    #[test]
    fn the_shapes_of_the_bars_have_a_learning_rate() {
        for (layers, batch) in [
            (vec![784, 1024, 256, 10], 64),
            (vec![784, 128, 10], 64),
            (vec![2048, 4096, 512, 10], 16),
            (vec![20, 32, 10], 16),
        ] {
            for update in [UpdateKind::Sgd, UpdateKind::Lora] {
                for loss in [LossKind::MeanSquaredError, LossKind::CrossEntropy] {
                    let rank = (update == UpdateKind::Lora).then_some(8);
                    let layers = layers.clone();
                    let shape = TrainingShape { layers, batch, steps: 1, update, rank, loss, momentum: 0.0 };
                    assert!(shape.resolve().unwrap().0.update.learning_rate <= 3.2, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_configured_is_refused_by_name() {
        let refused = |change: fn(&mut TrainingShape)| {
            let mut shape = shape(UpdateKind::Lora, LossKind::CrossEntropy, 0.0);
            change(&mut shape);
            shape.case().err().unwrap().to_string()
        };
        assert!(refused(|shape| shape.rank = Some(65)).contains("update.rank"));
        assert!(refused(|shape| shape.layers = vec![3]).contains("model.layers"));
        assert!(refused(|shape| shape.momentum = 1.0).contains("update.momentum"));
        assert!(refused(|shape| shape.update = UpdateKind::Auto).contains("update.kind"));
    }
}
