//! The three PEFT adapters of the repository against what PyTorch and PEFT computed for them.

// A helper that fails is a test that fails.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use lorica_adapter::{Adapter, BaseModule, LoraModule, ScalingRule, inspect, quantize};
use lorica_relation::{
    rows::{MemoryDeltas, MemoryRows, MemoryStream, ModuleIndex},
    session::{Instance, LowRank, StreamShape, check},
};
use lorica_tensor::fixed_point::{quantize_rows, scale_by_power_of_two};
use safetensors::Dtype;
use serde::Deserialize;
use support::{Draft, floats, model};

const ADAPTERS: [&str; 3] = ["tiny-gpt2-lora-es", "tiny-gpt2-lora-attn", "tiny-llama-lora-es"];

#[derive(Deserialize)]
struct Reference {
    scaling: BTreeMap<String, f64>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    id: String,
    modules: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    module: String,
    rank: usize,
    input: Vec<Vec<f32>>,
    delta: Vec<Vec<f64>>,
}

fn reference(adapter: &str) -> Reference {
    let text = std::fs::read(model(adapter).join("reference.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn find<'a>(adapter: &'a Adapter, name: &str) -> (usize, &'a LoraModule) {
    adapter.modules.iter().enumerate().find(|(_, module)| module.name.as_str() == name).unwrap()
}

fn largest(row: &[f64]) -> f64 {
    row.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Asserts that rows agree within `tolerance` times the largest entry of each expected row.
fn assert_close(found: &[f64], expected: &[Vec<f64>], tolerance: f64, what: &str) {
    let width = expected[0].len();
    assert_eq!(found.len(), expected.len() * width, "{what}");
    for (found, expected) in found.chunks(width).zip(expected) {
        let bound = tolerance * largest(expected);
        assert!(bound > 0.0, "{what}: a reference of zeros shows nothing");
        for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= bound, "{what}, column {column}: expected {expected}, found {found}");
        }
    }
}

/// The exact product, by the definition.
fn integer_delta(module: &LoraModule, weights: &LowRank, row: &[i16]) -> Vec<i64> {
    let mut delta = vec![0i64; module.outputs];
    for (a, b) in weights.a.chunks(module.inputs).zip(weights.b.chunks(module.outputs)) {
        let inner: i64 = a.iter().zip(row).map(|(&a, &x)| i64::from(a) * i64::from(x)).sum();
        delta.iter_mut().zip(b).for_each(|(sum, &b)| *sum += i64::from(b) * inner);
    }
    delta
}

#[test]
fn every_module_has_the_scaling_of_peft() {
    for name in ADAPTERS {
        let adapter = Adapter::load(&model(name)).unwrap();
        let found: BTreeMap<_, _> =
            adapter.modules.iter().map(|module| (module.name.to_string(), module.factor())).collect();
        assert_eq!(found, reference(name).scaling, "{name}");
        assert!(adapter.modules.is_sorted_by(|left, right| left.name < right.name));
    }
}

#[test]
fn float_deltas_are_those_of_peft() {
    for name in ADAPTERS {
        let adapter = Adapter::load(&model(name)).unwrap();
        for text in reference(name).texts {
            for recorded in text.modules {
                let (_, module) = find(&adapter, &recorded.module);
                assert_eq!(module.rank, recorded.rank);
                let found = module.delta(&recorded.input.concat()).unwrap();
                assert_close(&found, &recorded.delta, 1e-5, &format!("{name} {} {}", text.id, module.name));
            }
        }
    }
}

#[test]
fn integer_deltas_are_those_of_peft_to_eleven_bits() {
    for name in ADAPTERS {
        let adapter = Adapter::load(&model(name)).unwrap();
        let quantized = quantize(&adapter, |_, _, _| Some(16)).unwrap();
        for text in reference(name).texts {
            for recorded in text.modules {
                let (index, module) = find(&adapter, &recorded.module);
                let (public, private) = (&quantized.modules[index], &quantized.witness.modules[index]);
                let rows = quantize_rows(&recorded.input.concat(), module.inputs).unwrap();
                let mut deltas = Vec::new();
                for (row, &exponent) in rows.values.chunks(module.inputs).zip(&rows.exponents) {
                    let unit = -(i32::from(exponent) + public.a_exponent + public.b_exponent);
                    deltas.extend(
                        integer_delta(module, private, row)
                            .into_iter()
                            .map(|delta| scale_by_power_of_two(delta as f64, unit) * module.factor()),
                    );
                }
                let what = format!("{name} {} {}", text.id, module.name);
                assert_close(&deltas, &recorded.delta, 1.0 / 2048.0, &what);
            }
        }
    }
}

#[test]
fn the_witness_is_in_the_layout_of_the_relation() {
    let adapter = Adapter::load(&model("tiny-llama-lora-es")).unwrap();
    let quantized = quantize(&adapter, |_, _, _| Some(16)).unwrap();
    let (index, module) = find(&adapter, "model.layers.1.mlp.down_proj");
    let row = quantize_rows(&floats(module.inputs, 1), module.inputs).unwrap();
    let shapes: Vec<_> = quantized.modules.iter().map(|module| module.shape()).collect();
    let mut rows = MemoryRows {
        streams: vec![MemoryStream { width: module.inputs, values: row.values, exponents: row.exponents }],
        modules: shapes.iter().map(|shape| MemoryDeltas { width: shape.outputs, values: vec![] }).collect(),
    };
    rows.modules[index].values =
        integer_delta(module, &quantized.witness.modules[index], &rows.streams[0].values);
    let streams = [StreamShape { modules: vec![ModuleIndex(index)], width: module.inputs, rows: 1 }];
    check(&Instance { modules: &shapes, streams: &streams, rows: &rows }, &quantized.witness).unwrap();
}

#[test]
fn rounding_errors_are_those_of_sixteen_bits() {
    for name in ADAPTERS {
        let adapter = Adapter::load(&model(name)).unwrap();
        for module in quantize(&adapter, |_, _, _| Some(16)).unwrap().modules {
            for (error, exponent) in
                [(module.a_error, module.a_exponent), (module.b_error, module.b_exponent)]
            {
                let unit = scale_by_power_of_two(1.0, -exponent);
                // A uniform error has a root mean square of a unit over the square root of 12, 0.289.
                assert!(error.max <= unit / 2.0, "{}: {error:?}, unit {unit}", module.name);
                assert!(
                    (0.25..0.33).contains(&(error.rms / unit)),
                    "{}: {error:?}, unit {unit}",
                    module.name
                );
            }
        }
    }
}

#[test]
fn half_precision_weights_give_the_same_module() {
    let mut draft = Draft::new();
    let full = Adapter::load(draft.write()).unwrap();
    for dtype in [Dtype::BF16, Dtype::F16] {
        let mut narrow = Draft::new();
        narrow.store_as(dtype);
        // The values of the draft are exact in both types.
        assert_eq!(Adapter::load(narrow.write()).unwrap(), full, "{dtype}");
        let inspection = inspect(narrow.path()).unwrap();
        assert_eq!(inspection.modules[0].a_dtype, dtype.to_string());
    }
    // Types may even differ within one module.
    draft.tensors.truncate(1);
    draft.store_as(Dtype::F16);
    let mixed = Draft::new();
    draft.tensors.extend(mixed.tensors.iter().skip(1).cloned());
    assert_eq!(Adapter::load(draft.write()).unwrap(), full);
}

#[test]
fn patterns_and_rank_stabilised_scaling_are_read() {
    let adapter = Adapter::load(&model("tiny-llama-lora-es")).unwrap();
    assert_eq!((adapter.config.rank, adapter.config.rule), (16, ScalingRule::SqrtRank));
    let (_, special) = find(&adapter, "model.layers.1.mlp.down_proj");
    assert_eq!((special.rank, special.alpha, special.factor()), (4, 6.0, 3.0));
    let (_, plain) = find(&adapter, "model.layers.0.mlp.down_proj");
    assert_eq!((plain.rank, plain.alpha, plain.factor()), (16, 16.0, 4.0));
}

#[test]
fn inspection_lists_every_module_with_its_norms() {
    for (name, modules) in [(ADAPTERS[0], 8), (ADAPTERS[1], 4), (ADAPTERS[2], 28)] {
        let inspection = inspect(&model(name)).unwrap();
        assert!(inspection.supported && inspection.refusals.is_empty() && inspection.notes.is_empty());
        assert_eq!(inspection.modules.len(), modules);
        assert_eq!((inspection.tensors.applied, inspection.tensors.unused.len()), (2 * modules, 0));
        let adapter = Adapter::load(&model(name)).unwrap();
        for (report, module) in inspection.modules.iter().zip(&adapter.modules) {
            assert_eq!(report.name, module.name);
            assert_eq!(report.a_dtype, "F32");
            // The update's norm by its definition: the deltas of all unit vectors are its columns.
            let mut unit_vectors = vec![0f32; module.inputs * module.inputs];
            (0..module.inputs).for_each(|i| unit_vectors[i * module.inputs + i] = 1.0);
            let squares: f64 = module.delta(&unit_vectors).unwrap().iter().map(|x| x * x).sum();
            let norm = squares.sqrt();
            assert!(norm > 0.0 && (report.norms.update - norm).abs() < 1e-9 * norm, "{}", module.name);
            let norm_of = |values: &[f32]| values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            assert!((report.norms.a - norm_of(&module.a)).abs() < 1e-9 * report.norms.a);
            assert!((report.norms.b - norm_of(&module.b)).abs() < 1e-9 * report.norms.b);
        }
    }
}

#[test]
fn an_adapter_is_compared_with_its_base() {
    let adapter = Adapter::load(Draft::new().write()).unwrap();
    let layer = |name: &str, inputs, outputs| BaseModule { name: name.parse().unwrap(), inputs, outputs };
    let fitting = [layer("layers.1.q", 3, 5), layer("layers.0.q", 3, 5), layer("lm_head", 3, 9)];
    adapter.check_against(&fitting).unwrap();
    let error = adapter.check_against(&[layer("layers.1.q", 5, 3)]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the adapter does not fit the base model:\n\
         - module layers.0.q: the base model has no linear layer of that name\n\
         - module layers.1.q: the base layer maps 5 to 3 values, the adapter 3 to 5"
    );
}
