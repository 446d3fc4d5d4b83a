//! The weight files of a folder: one safetensors file or several with an index, read by tensor name.
//!
//! [`WeightFiles`] knows where each tensor is. [`Loader`] hands tensors to a decoder, checks their shapes
//! against the configuration, and at the end refuses tensors nobody asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use half::{bf16, f16};

use candle_core::{DType, Device, Tensor};
use lorica_tensor::{
    Digest,
    checkpoint::{Checkpoint, LoadError, TensorDescription, Values},
};

use crate::{config::Fields, decoder::Outline, error::ModelError, progress::Progress};

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

    /// Bytes of a tensor as it is stored; 0 if there is none of this name.
    pub(crate) fn stored_bytes(&self, tensor: &str) -> u64 {
        self.find(tensor).map_or(0, |(_, description)| description.bytes as u64)
    }

    /// Some rows of a matrix `[rows, width]`, as stored save for the rounding.
    pub(crate) fn rows(
        &self,
        tensor: &str,
        rows: std::ops::Range<usize>,
        width: usize,
        rounding: Rounding,
    ) -> Result<Values, ModelError> {
        let (file, _) = self.find(tensor).ok_or_else(|| ModelError::MissingTensor {
            folder: self.folder.clone(),
            tensor: tensor.to_owned(),
            expected: vec![rows.end, width],
        })?;
        let values = file.values(tensor, rows.start * width..rows.end * width)?;
        rounding.apply(values, file.path(), tensor)
    }

    pub(crate) fn total_bytes(&self) -> u64 {
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

    /// Some checkpoints store a tied matrix twice; then the two must agree to the last bit.
    pub(crate) fn check_tied(&self, outline: &Outline) -> Result<(), ModelError> {
        let Some((file, output)) = self.find(outline.output) else { return Ok(()) };
        let same = match self.find(&outline.embedding) {
            Some((other, embedding)) => {
                (output.dtype, &output.shape) == (embedding.dtype, &embedding.shape)
                    && file.digest(outline.output)? == other.digest(&outline.embedding)?
            }
            None => false,
        };
        if same {
            return Ok(());
        }
        let (path, output) = (file.path().to_owned(), outline.output);
        Err(ModelError::NotTied { path, output, embedding: outline.embedding.clone() })
    }

    /// [`tensors_digest`] of all tensors: the same for one file and for any division into several.
    pub(crate) fn digest(&self, progress: &mut dyn FnMut(Progress)) -> Result<Digest, ModelError> {
        let mut state = Progress { done: 0, total: self.total_bytes() };
        let mut entries = Vec::new();
        for (name, Place { file, description }) in &self.tensors {
            entries.push(TensorEntry {
                name,
                number_type: description.dtype.to_string(),
                shape: description.shape.iter().map(|&size| size as u64).collect(),
                digest: file.digest(name)?.to_string(),
            });
            state.done += description.bytes as u64;
            progress(state);
        }
        Ok(tensors_digest(entries))
    }
}

/// What a digest of weights holds of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number type, such as `F32`.
    pub number_type: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// BLAKE3 of its bytes, as hexadecimal digits.
    pub digest: String,
}

/// SHA-256 of the JSON list `[[name,type,shape,BLAKE3 of the bytes],...]`. The tensors are given in the order of their
/// names.
pub fn tensors_digest<'a>(tensors: impl IntoIterator<Item = TensorEntry<'a>>) -> Digest {
    let entry = |TensorEntry { name, number_type, shape, digest }: TensorEntry<'a>| {
        serde_json::json!([name, number_type, shape, digest])
    };
    let list: Vec<serde_json::Value> = tensors.into_iter().map(entry).collect();
    Digest::sha256(serde_json::Value::Array(list).to_string().as_bytes())
}

/// What is done to weights after they are read: another number type, as another server might run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// Nothing.
    #[default]
    None,
    /// Each weight becomes the nearest bfloat16, ties to even.
    Bf16,
    /// Each weight becomes the nearest half-precision number, ties to even; one beyond its range is an error.
    F16,
}

impl Rounding {
    fn apply(self, values: Values, path: &Path, tensor: &str) -> Result<Values, ModelError> {
        match (self, values) {
            (Self::None, values) => Ok(values),
            (Self::Bf16, Values::BF16(values)) => Ok(Values::BF16(values)),
            (Self::Bf16, values) => {
                Ok(Values::BF16(values.into_f32().into_iter().map(bf16::from_f32).collect()))
            }
            (Self::F16, Values::F16(values)) => Ok(Values::F16(values)),
            (Self::F16, values) => {
                let rounded: Vec<f16> = values.into_f32().into_iter().map(f16::from_f32).collect();
                match rounded.iter().position(|value| !value.is_finite()) {
                    None => Ok(Values::F16(rounded)),
                    Some(index) => Err(LoadError::NotFinite {
                        path: path.to_owned(),
                        tensor: tensor.to_owned(),
                        index,
                        value: f32::INFINITY,
                    }
                    .into()),
                }
            }
        }
    }
}

/// Values as a tensor of their own type.
pub(crate) fn stored_tensor(values: Values, shape: &[usize]) -> candle_core::Result<Tensor> {
    match values {
        Values::F32(values) => Tensor::from_vec(values, shape, &Device::Cpu),
        Values::F16(values) => Tensor::from_vec(values, shape, &Device::Cpu),
        Values::BF16(values) => Tensor::from_vec(values, shape, &Device::Cpu),
    }
}

/// What a [`Loader`] hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The weights, in single precision.
    Weights,
    /// The weights; matrices in the type they are stored in.
    Stored,
    /// Tensors of the right shapes that take no memory: to learn a model's structure.
    Shapes,
}

/// Called before a tensor of so many stored bytes is read; an error stops the loading.
pub(crate) type Before<'a> = &'a mut dyn FnMut(u64) -> Result<(), ModelError>;

/// Hands out tensors once they are checked.
pub(crate) struct Loader<'a> {
    weights: &'a WeightFiles,
    content: Content,
    rounding: Rounding,
    taken: BTreeSet<String>,
    before: Before<'a>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        weights: &'a WeightFiles,
        content: Content,
        rounding: Rounding,
        before: Before<'a>,
    ) -> Self {
        Self { weights, content, rounding, taken: BTreeSet::new(), before }
    }

    pub(crate) fn contains(&self, tensor: &str) -> bool {
        self.weights.contains(tensor)
    }

    /// A matrix of exactly this shape.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.take(name, shape, self.content == Content::Weights)
    }

    /// A tensor of exactly this shape in single precision, however matrices are handed out.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.take(name, shape, true)
    }

    fn take(&mut self, name: &str, shape: &[usize], widen: bool) -> Result<Tensor, ModelError> {
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
        (self.before)(description.bytes as u64)?;
        if self.content == Content::Shapes {
            // One zero, seen through strides of zero.
            return Ok(Tensor::zeros(1, DType::F32, &Device::Cpu)?.broadcast_as(shape)?);
        }
        let values = file.values(name, 0..shape.iter().product())?;
        let values = self.rounding.apply(values, file.path(), name)?;
        let values = if widen { Values::F32(values.into_f32()) } else { values };
        Ok(stored_tensor(values, shape)?)
    }

    /// The output matrix `[vocabulary, hidden]`: its own tensor, or the embedding where the two are tied.
    pub(crate) fn output_matrix(
        &mut self,
        outline: &Outline,
        embedding: &Tensor,
    ) -> Result<Tensor, ModelError> {
        if !outline.tied {
            return self.tensor(outline.output, embedding.dims());
        }
        if self.weights.contains(outline.output) {
            self.weights.check_tied(outline)?;
            self.taken.insert(outline.output.to_owned());
        }
        Ok(embedding.clone())
    }

    /// Refuses tensors that were not taken, save buffers that older releases of transformers stored and that
    /// hold no weights: causal masks and rotary frequencies.
    pub(crate) fn finish(self, family: &'static str) -> Result<(), ModelError> {
        const BUFFERS: &[&str] = &[
            ".attn.bias",
            ".attn.masked_bias",
            ".attention.bias",
            ".attention.masked_bias",
            ".rotary_emb.inv_freq",
        ];
        let buffer = |name: &str| BUFFERS.iter().any(|end| name.ends_with(end));
        let mut rest =
            self.weights.tensors.keys().filter(|name| !self.taken.contains(*name) && !buffer(name));
        match rest.next() {
            None => Ok(()),
            Some(first) => Err(ModelError::UnexpectedTensors {
                folder: self.weights.folder.clone(),
                family,
                first: first.clone(),
                count: 1 + rest.count(),
            }),
        }
    }
}

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
