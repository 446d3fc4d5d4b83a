//! The weight files of a folder: one safetensors file or several with an index, read by tensor name.
//!
//! [`WeightFiles`] knows where each tensor is. [`Loader`] hands tensors to a decoder, checks their shapes
//! against the configuration, and at the end refuses tensors nobody asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};
use lorica_tensor::{
    Digest,
    checkpoint::{Checkpoint, TensorDescription},
};

use crate::{config::Fields, error::ModelError, progress::Progress};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// All tensors of a model's folder.
pub(crate) struct WeightFiles {
    folder: PathBuf,
    tensors: BTreeMap<String, Place>,
}

struct Place {
    file: Arc<Checkpoint>,
    description: TensorDescription,
}

impl WeightFiles {
    /// Opens `model.safetensors`, or else the files `model.safetensors.index.json` names.
    pub(crate) fn open(folder: &Path) -> Result<Self, ModelError> {
        let single = folder.join(SINGLE);
        let index = folder.join(INDEX);
        let files = if single.exists() {
            vec![Checkpoint::open(&single)?]
        } else if index.exists() {
            return Self::open_sharded(folder, &index);
        } else {
            return Err(ModelError::NoWeights { folder: folder.to_owned(), found: other_weights(folder) });
        };
        Self::gather(folder, files)
    }

    fn open_sharded(folder: &Path, index: &Path) -> Result<Self, ModelError> {
        let problem = |problem: String| ModelError::Index { path: index.to_owned(), problem };
        let map = Fields::read(index)?
            .object("weight_map")?
            .ok_or_else(|| problem("it has no weight_map".into()))?;
        let entries = map.texts()?;
        let names: BTreeSet<&str> = entries.iter().map(|(_, file)| *file).collect();
        let mut files = Vec::new();
        for name in names {
            // The index comes with the model: it must not reach out of the folder.
            if Path::new(name).file_name() != Some(name.as_ref()) || !name.ends_with(".safetensors") {
                return Err(problem(format!(
                    "it names {name:?}, expected a safetensors file in the same folder"
                )));
            }
            if !folder.join(name).exists() {
                return Err(problem(format!("it names {name}, which is not in the folder")));
            }
            files.push(Checkpoint::open(&folder.join(name))?);
        }
        let weights = Self::gather(folder, files)?;
        for (tensor, file) in &entries {
            let found = weights.tensors.get(*tensor).and_then(|place| place.file.path().file_name());
            if found != Some(file.as_ref()) {
                return Err(problem(format!("it says {tensor} is in {file}, where it is not")));
            }
        }
        let listed: BTreeSet<&str> = entries.iter().map(|(tensor, _)| *tensor).collect();
        match weights.tensors.keys().find(|tensor| !listed.contains(tensor.as_str())) {
            Some(tensor) => Err(problem(format!("it does not list {tensor}, which is in one of its files"))),
            None => Ok(weights),
        }
    }

    fn gather(folder: &Path, files: Vec<Checkpoint>) -> Result<Self, ModelError> {
        let mut tensors = BTreeMap::new();
        for file in files.into_iter().map(Arc::new) {
            for description in file.tensors() {
                let (name, file) = (description.name.clone(), Arc::clone(&file));
                if tensors.insert(name.clone(), Place { file, description }).is_some() {
                    return Err(ModelError::Index {
                        path: folder.join(INDEX),
                        problem: format!("{name} is in two of its files"),
                    });
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), tensors })
    }

    pub(crate) fn contains(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    fn find(&self, tensor: &str) -> Option<(&Checkpoint, &TensorDescription)> {
        self.tensors.get(tensor).map(|place| (&*place.file, &place.description))
    }

    fn total_bytes(&self) -> u64 {
        self.tensors.values().map(|place| place.description.bytes as u64).sum()
    }

    pub(crate) fn parameters(&self) -> u64 {
        let size = |place: &Place| place.description.shape.iter().map(|&size| size as u64).product::<u64>();
        self.tensors.values().map(size).sum()
    }

    pub(crate) fn stored_types(&self) -> Vec<String> {
        let types: BTreeSet<String> =
            self.tensors.values().map(|place| place.description.dtype.to_string()).collect();
        types.into_iter().collect()
    }

    /// SHA-256 of the JSON list `[[name,type,shape,BLAKE3 of the bytes],...]` in the order of the names:
    /// the same for one file and for any division into several.
    pub(crate) fn digest(&self, progress: &mut dyn FnMut(Progress)) -> Result<Digest, ModelError> {
        let mut state = Progress { done: 0, total: self.total_bytes() };
        let mut entries = Vec::new();
        for (name, Place { file, description }) in &self.tensors {
            entries.push(serde_json::json!([
                name,
                description.dtype.to_string(),
                description.shape,
                Digest::blake3(file.bytes(name)?).to_string(),
            ]));
            state.done += description.bytes as u64;
            progress(state);
        }
        Ok(Digest::sha256(serde_json::Value::Array(entries).to_string().as_bytes()))
    }
}

/// What a [`Loader`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The weights.
    Weights,
    /// Tensors of the right shapes that take no memory: to learn a model's structure.
    Shapes,
}

/// Hands out tensors once they are checked.
pub(crate) struct Loader<'a> {
    weights: &'a WeightFiles,
    content: Content,
    taken: BTreeSet<String>,
    state: Progress,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        weights: &'a WeightFiles,
        content: Content,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let state = Progress { done: 0, total: weights.total_bytes() };
        Self { weights, content, taken: BTreeSet::new(), state, progress }
    }

    pub(crate) fn contains(&self, tensor: &str) -> bool {
        self.weights.contains(tensor)
    }

    /// A tensor of exactly this shape, as `f32`.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        let Some((file, description)) = self.weights.find(name) else {
            return Err(ModelError::MissingTensor {
                folder: self.weights.folder.clone(),
                tensor: name.to_owned(),
                expected: shape.to_owned(),
            });
        };
        if description.shape != shape {
            return Err(ModelError::TensorShape {
                path: file.path().to_owned(),
                tensor: name.to_owned(),
                expected: shape.to_owned(),
                found: description.shape.clone(),
            });
        }
        self.taken.insert(name.to_owned());
        if self.content == Content::Shapes {
            // One zero, seen through strides of zero.
            return Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?);
        }
        let values = file.read_f32(name)?;
        self.state.done += description.bytes as u64;
        (self.progress)(self.state);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// The output matrix `[vocabulary, hidden]`: `lm_head.weight`, or the embedding where the two are tied.
    /// Some checkpoints store a tied matrix twice; then the two must agree to the last bit.
    pub(crate) fn output_matrix(&mut self, head: Head<'_>) -> Result<Tensor, ModelError> {
        let stored = self.weights.find(HEAD);
        match (head.tied, stored) {
            (false, _) => self.tensor(HEAD, head.embedding.dims()),
            (true, None) => Ok(head.embedding.clone()),
            (true, Some((file, description))) => {
                let embedding = self.weights.find(head.name);
                let same = match embedding {
                    Some((other, original)) => {
                        (description.dtype, &description.shape) == (original.dtype, &original.shape)
                            && file.bytes(HEAD)? == other.bytes(head.name)?
                    }
                    None => false,
                };
                if !same {
                    let (path, embedding) = (file.path().to_owned(), head.name.to_owned());
                    return Err(ModelError::NotTied { path, embedding });
                }
                self.taken.insert(HEAD.to_owned());
                Ok(head.embedding.clone())
            }
        }
    }

    /// Refuses tensors that were not taken, save buffers that older releases of transformers stored and that
    /// hold no weights: causal masks and rotary frequencies.
    pub(crate) fn finish(self, family: &'static str) -> Result<(), ModelError> {
        let buffer = |name: &str| {
            [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"].iter().any(|end| name.ends_with(end))
        };
        let mut rest =
            self.weights.tensors.keys().filter(|name| !self.taken.contains(*name) && !buffer(name));
        match rest.next() {
            None => {
                (self.progress)(Progress { done: self.state.total, ..self.state });
                Ok(())
            }
            Some(first) => Err(ModelError::UnexpectedTensors {
                folder: self.weights.folder.clone(),
                family,
                first: first.clone(),
                count: 1 + rest.count(),
            }),
        }
    }
}

/// What is needed to find the output matrix.
pub(crate) struct Head<'a> {
    /// The embedding's name in the checkpoint.
    pub(crate) name: &'a str,
    /// The embedding, `[vocabulary, hidden]`.
    pub(crate) embedding: &'a Tensor,
    /// Whether the two are one matrix.
    pub(crate) tied: bool,
}

const HEAD: &str = "lm_head.weight";

/// Weights in a format that is not read, for the hint in the error.
fn other_weights(folder: &Path) -> Option<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            [".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack"].iter().any(|end| name.ends_with(end))
        })
        .collect();
    names.sort();
    names.into_iter().next()
}
