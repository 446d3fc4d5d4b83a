//! Steps that PyTorch made: each is prepared with a small tolerance, and refused with one weight nudged.

use std::path::{Path, PathBuf};

use lorica_relation::training::TrainingConfig;
use lorica_train::{
    Table,
    checkpoint::{CheckpointError, Prepared, Step, USUAL_SHARE, prepare, share},
    model_file::{LinearLayers, floats, write_floats},
};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/pytorch").join(name)
}

fn config(name: &str) -> TrainingConfig {
    let text = std::fs::read_to_string(folder(name).join("step.toml")).expect("a recorded step");
    TrainingConfig::from_toml(&text).expect("a configuration")
}

fn step(name: &str, config: &TrainingConfig, after: &Path) -> Result<Prepared, CheckpointError> {
    let open = |path: &Path| LinearLayers::open(path).expect("a checkpoint");
    let (before, after) = (open(&folder(name).join("before.safetensors")), open(after));
    let table = Table::read_safetensors(&folder(name).join("batch.safetensors")).expect("a batch");
    let data = table.quantise(config.input_bits(), config.target_bits(), 10).expect("numbers that fit");
    let batch: Vec<usize> = (0..data.len()).collect();
    let step = Step { before: &before, after: &after, previous: None, data: &data, batch: &batch };
    prepare(config, &step, USUAL_SHARE)
}

#[test]
fn recorded_steps_need_a_small_tolerance() {
    // `mse` has small updates; `momentum` has a weight decay too small for integers, which the tolerance has to cover.
    for (name, limit) in [("sgd", 0.08), ("lora", 0.04), ("mse", 0.22), ("momentum", 0.18)] {
        let prepared = step(name, &config(name), &folder(name).join("after.safetensors")).expect(name);
        let share = share(&prepared.residuals);
        let Prepared { chunk, .. } = prepared;
        assert_eq!(chunk.program.program.check(&chunk.witness), Ok(()), "{name}");
        assert!(share <= limit, "{name}: {share}");
    }
}

#[test]
fn a_recorded_step_with_one_weight_nudged_by_twice_the_tolerance_is_refused() {
    let after = folder("sgd").join("after.safetensors");
    let prepared = step("sgd", &config("sgd"), &after).expect("the step as it was");
    let parameters = LinearLayers::open(&after).expect("a checkpoint");
    let mut parameters = parameters.quantise(&prepared.settings).expect("weights that fit");
    parameters[1][100] += (2.0 * prepared.residuals[1].tolerance).ceil() as i32;
    let matrices = floats(&prepared.settings, &parameters);
    let matrices: Vec<&[f32]> = matrices.iter().map(Vec::as_slice).collect();
    let other = tempfile::tempdir().expect("a folder");
    let path = other.path().join("after.safetensors");
    write_floats(&path, &prepared.settings, &matrices).expect("a file");
    let error = step("sgd", &prepared.config, &path).expect_err("a nudged weight").to_string();
    assert!(
        error.starts_with(
            "the weights did not move as the step says: W1 (layer 1), row 3, column 1 is off by"
        ),
        "{error}"
    );
}
