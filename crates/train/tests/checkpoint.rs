//! Steps of a float trainer, from its checkpoints: what tolerance they need, and what is refused.

mod common;

use std::path::{Path, PathBuf};

use common::Digits;
use lorica_relation::training::{Settings, TrainingConfig, config::UpdateKind};
use lorica_train::{
    DataSet, FloatTrainer, Shuffled,
    checkpoint::{Changed, CheckpointError, Prepared, Step, USUAL_SHARE, changed, prepare, share},
    initial_parameters,
    model_file::{LinearLayers, floats, write_floats},
};

const CONFIG: &str = r#"
format = "lorica-training/1"

[model]
layers = [64, 32, 10]

[loss]
kind = "cross-entropy"

[update]
kind = "auto"
learning_rate = 0.1
alpha = 8

[batch]
size = 64

[fixed_point]
input = 4
"#;

/// Checkpoints around one step of a float run.
struct Run {
    folder: tempfile::TempDir,
    config: TrainingConfig,
    /// With the kind of update that the run has.
    settings: Settings,
    training: DataSet,
    batch: Vec<usize>,
}

impl Run {
    /// Checkpoints `0`, `1` and `2` around the last two of so many steps.
    fn new(text: &str, is_lora: bool, steps: usize) -> Self {
        let config = TrainingConfig::from_toml(text).expect("a configuration");
        let mut known = config.clone();
        known.update.kind = if is_lora { UpdateKind::Lora } else { UpdateKind::Sgd };
        known.update.rank = is_lora.then_some(4);
        known.update.alpha = known.update.alpha.filter(|_| is_lora);
        let settings = known.settings().expect("settings");
        let Digits { training, .. } = Digits::load(config.input_bits(), config.target_bits());
        let folder = tempfile::tempdir().expect("a folder");
        let mut trainer = FloatTrainer::new(&known, &settings, &initial_parameters(&settings, 1));
        let batches = Shuffled::new(training.len(), 64, 2).expect("a batch").steps(0, steps);
        let mut run = Self { folder, config, settings, training, batch: Vec::new() };
        for (index, batch) in batches.into_iter().enumerate() {
            if let Some(name) = (index + 2).checked_sub(steps) {
                run.write(name, &trainer);
            }
            trainer.step(&run.training, &batch).expect("rows of the data set");
            run.batch = batch;
        }
        run.write(2, &trainer);
        run
    }

    fn path(&self, name: usize) -> PathBuf {
        self.folder.path().join(format!("{name}.safetensors"))
    }

    fn write(&self, name: usize, trainer: &FloatTrainer) {
        let weights: Vec<&[f32]> = trainer.weights().collect();
        write_floats(&self.path(name), &self.settings, &weights).expect("a file that can be written");
    }

    fn prepare(&self) -> Result<Prepared, CheckpointError> {
        self.prepare_with(&self.config, &self.path(2), &self.batch, USUAL_SHARE)
    }

    fn prepare_with(
        &self,
        config: &TrainingConfig,
        after: &Path,
        batch: &[usize],
        limit: f64,
    ) -> Result<Prepared, CheckpointError> {
        let open = |path: &Path| LinearLayers::open(path).expect("a checkpoint");
        let (previous, before) = (open(&self.path(0)), open(&self.path(1)));
        let (before, after, previous) = (&before, &open(after), Some(&previous));
        prepare(config, &Step { before, after, previous, data: &self.training, batch }, limit)
    }
}

#[test]
fn steps_of_a_float_trainer_are_prepared_with_a_small_tolerance() {
    for (text, is_lora, steps) in [
        (CONFIG.to_owned(), false, 2),
        (CONFIG.to_owned(), false, 40),
        (CONFIG.replace("alpha = 8", "alpha = 8\nmomentum = 0.9"), false, 20),
        (CONFIG.replace("cross-entropy", "mean-squared-error"), false, 20),
        (CONFIG.to_owned(), true, 60),
    ] {
        let run = Run::new(&text, is_lora, steps);
        let prepared = run.prepare().expect("a step");
        let share = share(&prepared.residuals);
        let Prepared { chunk, config, residuals, .. } = prepared;
        assert_eq!(chunk.program.program.check(&chunk.witness), Ok(()));
        assert_eq!(config.update.kind == UpdateKind::Lora, is_lora);
        assert_eq!(residuals.len(), if is_lora { 4 } else { 2 });
        assert!(share < 0.2, "{text}: {share}");
        assert!(config.tolerance.bits.is_some_and(|bits| bits <= 5.0), "{text}: {:?}", config.tolerance);
    }
}

/// The float run's last step with one weight moved by a number of units.
fn nudged(run: &Run, layer: usize, units: f64) -> PathBuf {
    let layers = LinearLayers::open(&run.path(2)).expect("a checkpoint");
    let mut parameters = layers.quantise(&run.settings).expect("weights that fit");
    parameters[layer][40] += units.round() as i32;
    let floats = floats(&run.settings, &parameters);
    let floats: Vec<&[f32]> = floats.iter().map(Vec::as_slice).collect();
    write_floats(&run.path(3), &run.settings, &floats).expect("a file that can be written");
    run.path(3)
}

#[test]
fn a_weight_moved_by_twice_the_tolerance_is_named() {
    let run = Run::new(CONFIG, false, 20);
    let prepared = run.prepare().expect("a step");
    let config = TrainingConfig { tolerance: prepared.config.tolerance, ..run.config.clone() };
    assert!(run.prepare_with(&config, &run.path(2), &run.batch, USUAL_SHARE).is_ok());
    for (layer, place) in [(0, (0, 40)), (1, (1, 7))] {
        let units = 2.0 * prepared.residuals[layer].tolerance;
        for sign in [-1.0, 1.0] {
            let path = nudged(&run, layer, sign * units);
            let error =
                run.prepare_with(&config, &path, &run.batch, USUAL_SHARE).expect_err("a nudged weight");
            let CheckpointError::Residual { layer: found, row, column, residual, tolerance, .. } = error
            else {
                panic!("{error}")
            };
            assert_eq!((found, (row, column)), (layer, place));
            assert!(residual > tolerance && residual < 4.0 * tolerance, "{residual} {tolerance}");
        }
    }
}

#[test]
fn a_step_that_the_configuration_does_not_describe_is_refused() {
    let run = Run::new(CONFIG, false, 20);
    let refused = |text: &str, batch: &[usize]| {
        let config = TrainingConfig::from_toml(text).expect("a configuration");
        run.prepare_with(&config, &run.path(2), batch, USUAL_SHARE).expect_err("another step")
    };
    // Another learning rate, another batch, momentum that was not there: either nothing holds, or only a bound that proves nothing.
    let mut other = run.batch.clone();
    other[3] = (other[3] + 1) % run.training.len();
    other[9] = (other[9] + 1) % run.training.len();
    for error in [
        refused(&CONFIG.replace("= 0.1", "= 0.2"), &run.batch),
        refused(&CONFIG.replace("alpha = 8", "momentum = 0.9"), &run.batch),
        refused(CONFIG, &other),
    ] {
        let is_expected = matches!(
            error,
            CheckpointError::Loose { .. } | CheckpointError::Residual { .. } | CheckpointError::Config(_)
        );
        assert!(is_expected, "{error}");
    }
    let loose = run.prepare_with(&run.config, &run.path(2), &run.batch, 0.001).expect_err("a low limit");
    let message = loose.to_string();
    assert!(message.contains("at most 0 % is accepted: a bound so loose proves nothing"), "{message}");
}

#[test]
fn what_changed_is_found_out() {
    let full = Run::new(CONFIG, false, 2);
    let lora = Run::new(CONFIG, true, 2);
    let open = |run: &Run, name| LinearLayers::open(&run.path(name)).expect("a checkpoint");
    assert_eq!(changed(&open(&full, 1), &open(&full, 2)).expect("a change"), Changed::Weights);
    let adapter = Changed::Adapter { rank: 4, layers: vec![0, 1] };
    assert_eq!(changed(&open(&lora, 1), &open(&lora, 2)).expect("a change"), adapter);
    let message =
        |one: &LinearLayers, other: &LinearLayers| changed(one, other).expect_err("no step").to_string();
    assert!(message(&open(&full, 1), &open(&full, 1)).starts_with("both checkpoints hold the same weights"));
    let different = message(&open(&full, 1), &open(&lora, 2));
    assert!(different.starts_with(
        "the checkpoints differ in their tensors: layer 0 has Weight [32, 64], Bias [32] before"
    ));
    // LoRA's matrices and a frozen weight.
    let path = nudged(&lora, 0, 5.0);
    let both = message(&open(&lora, 1), &LinearLayers::open(&path).expect("a checkpoint"));
    assert!(
        both.starts_with("LoRA's matrices changed, and so did the weights under them (layer 0)"),
        "{both}"
    );
    // A configuration that says otherwise.
    let sgd = TrainingConfig::from_toml(&CONFIG.replace("\"auto\"", "\"sgd\"").replace("alpha = 8", ""));
    let error = adapter.apply(sgd.expect("a configuration")).expect_err("another kind");
    assert_eq!(
        error.to_string(),
        "update.kind is sgd, but between the checkpoints LoRA's matrices alone changed"
    );
}
