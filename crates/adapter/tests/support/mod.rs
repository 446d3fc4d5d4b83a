//! Adapter folders made by tests, and the repository's models.
// Each test binary uses a part of this, and a helper that fails is a test that fails.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

/// A folder under `testdata/models`.
pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(name)
}

/// A folder of one to a few small modules that a test changes before it writes it.
pub(crate) struct Draft {
    pub(crate) config: Value,
    pub(crate) tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    folder: tempfile::TempDir,
}

pub(crate) fn a_name(module: &str) -> String {
    format!("base_model.model.{module}.lora_A.weight")
}

pub(crate) fn b_name(module: &str) -> String {
    format!("base_model.model.{module}.lora_B.weight")
}

/// Small floats that bf16 and f16 hold exactly, different for each seed.
pub(crate) fn floats(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + seed * 5 + 3) % 17) as f32 / 8.0 - 1.0).collect()
}

impl Draft {
    /// `layers.0.q` (3 to 5) and `layers.1.q` (3 to 5), both of rank 2, alpha 4.
    pub(crate) fn new() -> Self {
        let config =
            json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"], "bias": "none"});
        let mut draft = Self { config, tensors: Vec::new(), folder: tempfile::tempdir().unwrap() };
        draft.module("layers.0.q", 3, 5, 2);
        draft.module("layers.1.q", 3, 5, 2);
        draft
    }

    pub(crate) fn module(&mut self, name: &str, inputs: usize, outputs: usize, rank: usize) {
        let seed = self.tensors.len();
        self.tensor(&a_name(name), &[rank, inputs], &floats(rank * inputs, seed));
        self.tensor(&b_name(name), &[outputs, rank], &floats(rank * outputs, seed + 1));
    }

    /// Adds a tensor, or replaces the one of that name.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.remove(name);
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensors.push((name.to_owned(), Dtype::F32, shape.to_vec(), bytes));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.tensors.retain(|(found, ..)| found != name);
    }

    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Stores every tensor in a narrower type.
    pub(crate) fn store_as(&mut self, dtype: Dtype) {
        for (_, stored, _, bytes) in &mut self.tensors {
            let (elements, _) = bytes.as_chunks::<4>();
            let values = elements.iter().map(|&element| f32::from_le_bytes(element));
            *bytes = match dtype {
                Dtype::BF16 => values.flat_map(|v| bf16::from_f32(v).to_le_bytes()).collect(),
                Dtype::F16 => values.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect(),
                other => panic!("no test stores {other}"),
            };
            *stored = dtype;
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes both files and returns the folder.
    pub(crate) fn write(&self) -> &Path {
        std::fs::write(self.path().join("adapter_config.json"), self.config.to_string()).unwrap();
        std::fs::write(self.path().join("adapter_model.safetensors"), self.weights()).unwrap();
        self.path()
    }

    /// The bytes of the weight file.
    pub(crate) fn weights(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }
}
