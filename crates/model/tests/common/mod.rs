//! What the tests share: the shipped models and PyTorch's numbers for them, a float LoRA hook, checkpoints to spoil.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lorica_model::{Activations, BaseModel, Hook, HookError, HookOutput};
use lorica_tensor::{ModuleName, checkpoint::Checkpoint};
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

/// The folder of a shipped model or adapter.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(name)
}

pub fn model(name: &str) -> BaseModel {
    BaseModel::load(&shipped(name)).unwrap()
}

/// Each adapter and its base.
pub const PAIRS: [(&str, &str); 3] = [
    ("tiny-gpt2", "tiny-gpt2-lora-es"),
    ("tiny-gpt2", "tiny-gpt2-lora-attn"),
    ("tiny-llama", "tiny-llama-lora-es"),
];

#[derive(Deserialize)]
pub struct Reference {
    pub scaling: BTreeMap<String, f64>,
    pub texts: Vec<ReferenceText>,
}

#[derive(Deserialize)]
pub struct ReferenceText {
    pub id: String,
    pub text: String,
    pub token_ids: Vec<u32>,
    pub base: ReferenceSide,
    pub adapted: ReferenceSide,
    pub modules: Vec<ReferenceModule>,
}

#[derive(Deserialize)]
pub struct ReferenceSide {
    pub mean_loss: f64,
    pub last_logits: Vec<f64>,
}

#[derive(Deserialize)]
pub struct ReferenceModule {
    pub module: String,
    pub input: Vec<Vec<f64>>,
    pub delta: Vec<Vec<f64>>,
}

pub fn reference(adapter: &str) -> Reference {
    let text = std::fs::read_to_string(shipped(adapter).join("reference.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A LoRA adapter in floats: adds `scaling * B (A x)` to every module it has, and keeps what it saw.
pub struct LoraHook {
    modules: BTreeMap<String, Lora>,
    pub seen: BTreeMap<String, Seen>,
}

struct Lora {
    a: Vec<f32>,
    b: Vec<f32>,
    rank: usize,
    scaling: f64,
}

/// Rows a module received, and what was added to its output.
pub struct Seen {
    pub input: Vec<Vec<f32>>,
    pub delta: Vec<Vec<f32>>,
}

impl LoraHook {
    pub fn load(adapter: &str) -> Self {
        let file = Checkpoint::open(&shipped(adapter).join("adapter_model.safetensors")).unwrap();
        let modules = reference(adapter)
            .scaling
            .into_iter()
            .map(|(module, scaling)| {
                let matrix = |which: &str| format!("base_model.model.{module}.lora_{which}.weight");
                let rank = file.tensor(&matrix("A")).unwrap().shape[0];
                let (a, b) = (file.read_f32(&matrix("A")).unwrap(), file.read_f32(&matrix("B")).unwrap());
                (module, Lora { a, b, rank, scaling })
            })
            .collect();
        Self { modules, seen: BTreeMap::new() }
    }
}

impl Lora {
    fn delta(&self, x: &[f32]) -> Vec<f32> {
        let dot = |row: &[f32], x: &[f64]| row.iter().zip(x).map(|(&w, x)| f64::from(w) * x).sum::<f64>();
        let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
        let low: Vec<f64> = self.a.chunks_exact(x.len()).map(|row| dot(row, &x)).collect();
        self.b.chunks_exact(self.rank).map(|row| (self.scaling * dot(row, &low)) as f32).collect()
    }
}

impl Hook for LoraHook {
    fn wants(&self, modules: &[ModuleName]) -> bool {
        modules.iter().any(|module| self.modules.contains_key(module.as_str()))
    }

    fn group(
        &mut self,
        modules: &[ModuleName],
        input: &Activations<'_>,
    ) -> Result<Vec<HookOutput>, HookError> {
        let mut outputs = Vec::new();
        for module in modules {
            let Some(lora) = self.modules.get(module.as_str()) else {
                outputs.push(HookOutput::Keep);
                continue;
            };
            let rows: Vec<Vec<f32>> = input.rows().map(|row| lora.delta(row)).collect();
            outputs.push(HookOutput::Add(rows.concat()));
            let input = input.rows().map(<[f32]>::to_vec).collect();
            self.seen.insert(module.to_string(), Seen { input, delta: rows });
        }
        Ok(outputs)
    }
}

/// A tensor of a checkpoint under construction.
#[derive(Clone)]
pub struct Stored {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// A copy of a shipped model that a test changes before it is loaded.
pub struct Draft {
    folder: tempfile::TempDir,
    pub tensors: BTreeMap<String, Stored>,
    pub config: serde_json::Value,
}

impl Draft {
    pub fn of(name: &str) -> Self {
        let source = shipped(name);
        let file = Checkpoint::open(&source.join("model.safetensors")).unwrap();
        let tensors = file
            .tensors()
            .into_iter()
            .map(|tensor| {
                let bytes = file.bytes(&tensor.name).unwrap().to_vec();
                (tensor.name, Stored { dtype: tensor.dtype, shape: tensor.shape, bytes })
            })
            .collect();
        let config = serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(source.join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
        Self { folder, tensors, config }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write_config(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    /// Writes the folder with one weight file.
    pub fn write(&self) -> &Path {
        self.write_config();
        self.write_file("model.safetensors", |_| true);
        self.path()
    }

    /// Writes the tensors that `belongs` picks into one file.
    pub fn write_file(&self, file: &str, belongs: impl Fn(&str) -> bool) {
        let views = self.tensors.iter().filter(|(name, _)| belongs(name)).map(|(name, tensor)| {
            (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap())
        });
        std::fs::write(self.path().join(file), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    /// Writes the folder with two weight files and an index.
    pub fn write_sharded(&self) -> &Path {
        self.write_config();
        let mut weight_map = serde_json::Map::new();
        for (index, name) in self.tensors.keys().enumerate() {
            weight_map.insert(name.clone(), shard_name(index % 2).into());
        }
        for shard in 0..2 {
            self.write_file(&shard_name(shard), |name| weight_map[name] == shard_name(shard));
        }
        self.write_index(&serde_json::json!({ "metadata": {}, "weight_map": weight_map }));
        self.path()
    }

    pub fn write_index(&self, index: &serde_json::Value) {
        std::fs::write(self.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    }

    /// Stores every tensor in another type.
    pub fn convert(&mut self, dtype: Dtype) {
        for tensor in self.tensors.values_mut() {
            let (values, _) = tensor.bytes.as_chunks::<4>();
            let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes));
            tensor.bytes = match dtype {
                Dtype::F16 => values.flat_map(|v| half::f16::from_f32(v).to_le_bytes()).collect(),
                Dtype::BF16 => values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(),
                other => panic!("no conversion to {other}"),
            };
            tensor.dtype = dtype;
        }
    }

    /// Puts a value into a float32 tensor.
    pub fn poke(&mut self, tensor: &str, index: usize, value: f32) {
        let bytes = &mut self.tensors.get_mut(tensor).unwrap().bytes;
        bytes[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
    }
}

pub fn shard_name(index: usize) -> String {
    format!("model-{:05}-of-00002.safetensors", index + 1)
}

/// The largest absolute difference.
pub fn largest_difference<A: Copy + Into<f64>, B: Copy + Into<f64>>(left: &[A], right: &[B]) -> f64 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(&l, &r)| (l.into() - r.into()).abs()).fold(0.0, f64::max)
}

/// The message of an error that must be there.
pub fn message<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => panic!("this was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Asserts that a message names all of these.
pub fn names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}
