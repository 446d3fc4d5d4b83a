//! A model in memory while it is being made: configuration, tokenizer and weights as single-precision floats.
//!
//! A draft is read from a Hugging Face folder, changed by [`crate::derive`] or trained by [`crate::train`], and written
//! as one again. Tensor names are those of the model with its output layer (`transformer.` in front for GPT-2).

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use lorica_tensor::{
    checkpoint::Checkpoint,
    files::{FileMode, read_at_most, write_atomically},
};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::ZooError, shape::Shape};

/// The largest JSON file that is read, in bytes.
pub(crate) const MAX_JSON_BYTES: u64 = 64 << 20;
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const GPT2_PREFIX: &str = "transformer.";

/// A tensor: its dimensions, outermost first, and its values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// The dimensions.
    pub shape: Vec<usize>,
    /// The values.
    pub data: Vec<f32>,
}

/// A model in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The fields of `config.json`.
    pub config: Map<String, Value>,
    /// `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// All tensors by name.
    pub tensors: BTreeMap<String, Values>,
}

/// The type that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// 32 bits, as they are in memory.
    #[default]
    Single,
    /// IEEE half precision: rounded to 11 significant bits, from 6e-8 to 65504.
    Half,
    /// The upper half of a single: rounded to 8 significant bits.
    Bfloat,
}

/// How a draft is laid out on disk. None of it changes the function, save the rounding of the narrower types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The type of every tensor.
    pub precision: Precision,
    /// Number of weight files; with more than one there is an index.
    pub files: usize,
    /// Whether GPT-2's tensors lack the prefix `transformer.`, as in checkpoints without an output layer.
    pub unprefixed: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self { precision: Precision::Single, files: 1, unprefixed: false }
    }
}

impl Precision {
    fn name(self) -> &'static str {
        match self {
            Self::Single => "float32",
            Self::Half => "float16",
            Self::Bfloat => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::Single => Dtype::F32,
            Self::Half => Dtype::F16,
            Self::Bfloat => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Single => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Half => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            Self::Bfloat => values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        }
    }
}

impl Draft {
    /// Reads a folder with one weight file or several.
    ///
    /// # Errors
    /// Files that are missing or malformed, and a decoder family or setting that the zoo cannot change.
    pub fn read(folder: &Path) -> Result<Self, ZooError> {
        let config: Map<String, Value> = read_json(&folder.join(CONFIG))?;
        let tokenizer = read_at_most(&folder.join(TOKENIZER), MAX_JSON_BYTES)?;
        let mut tensors = BTreeMap::new();
        for file in weight_files(folder)? {
            let file = Checkpoint::open(&folder.join(file))?;
            for tensor in file.tensors() {
                let data = file.read_f32(&tensor.name)?;
                tensors.insert(tensor.name, Values { shape: tensor.shape, data });
            }
        }
        let mut draft = Self { config, tokenizer, tensors };
        let shape = draft.shape()?;
        if matches!(shape, Shape::Gpt2(_)) && draft.tensors.contains_key("wte.weight") {
            let tensors = std::mem::take(&mut draft.tensors);
            draft.tensors =
                tensors.into_iter().map(|(name, values)| (format!("{GPT2_PREFIX}{name}"), values)).collect();
        }
        shape.check(&draft.tensors)?;
        Ok(draft)
    }

    /// The sizes that the configuration states.
    ///
    /// # Errors
    /// Fields that are missing, or ask for something the zoo cannot compute.
    pub fn shape(&self) -> Result<Shape, ZooError> {
        Shape::read(&self.config)
    }

    /// A tensor that must be there.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<&mut Values, ZooError> {
        self.tensors
            .get_mut(name)
            .ok_or_else(|| ZooError::Shape { tensor: name.to_owned(), expected: "it to be there".into() })
    }

    /// Number of values in all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|values| values.data.len() as u64).sum()
    }

    /// Writes the folder, which must exist. Returns the names of its files.
    ///
    /// # Errors
    /// Tensors that do not fit the configuration, a layout that is not possible, a folder that cannot be written.
    pub fn write(&self, folder: &Path, layout: Layout) -> Result<Vec<String>, ZooError> {
        self.shape()?.check(&self.tensors)?;
        if layout.files == 0 || layout.files > self.tensors.len() {
            return Err(ZooError::Setting {
                setting: "files",
                expected: format!("1 to the number of tensors, {}", self.tensors.len()),
                found: layout.files.to_string(),
            });
        }
        let mut config = self.config.clone();
        config.insert("dtype".into(), layout.precision.name().into());
        write_json(&folder.join(CONFIG), &config)?;
        write_bytes(&folder.join(TOKENIZER), &self.tokenizer)?;
        let mut written = vec![CONFIG.to_owned(), TOKENIZER.to_owned()];

        let mut files: BTreeMap<String, Vec<(&str, &Values)>> = BTreeMap::new();
        let mut map = Map::new();
        for (index, (name, values)) in self.tensors.iter().enumerate() {
            let name = stored_name(name, layout.unprefixed);
            let file = file_name(index % layout.files, layout.files);
            map.insert(name.to_owned(), file.clone().into());
            files.entry(file).or_default().push((name, values));
        }
        for (file, tensors) in &files {
            write_weights(&folder.join(file), tensors, layout.precision)?;
            written.push(file.clone());
        }
        if layout.files > 1 {
            let index = serde_json::json!({ "metadata": {}, "weight_map": map });
            write_json(&folder.join(INDEX), &index)?;
            written.push(INDEX.to_owned());
        }
        written.sort();
        Ok(written)
    }
}

fn stored_name(name: &str, unprefixed: bool) -> &str {
    if unprefixed { name.strip_prefix(GPT2_PREFIX).unwrap_or(name) } else { name }
}

fn file_name(index: usize, files: usize) -> String {
    if files == 1 { WEIGHTS.to_owned() } else { format!("model-{:05}-of-{files:05}.safetensors", index + 1) }
}

fn weight_files(folder: &Path) -> Result<Vec<String>, ZooError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if folder.join(WEIGHTS).exists() {
        return Ok(vec![WEIGHTS.to_owned()]);
    }
    let index: Index = read_json(&folder.join(INDEX))?;
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn write_weights(path: &Path, tensors: &[(&str, &Values)], precision: Precision) -> Result<(), ZooError> {
    let bytes: Vec<_> = tensors.iter().map(|(_, values)| precision.bytes(&values.data)).collect();
    let wrong = |source| ZooError::Safetensors { path: path.to_owned(), source };
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, values), bytes)| {
            Ok((*name, TensorView::new(precision.dtype(), values.shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_bytes(path, &safetensors::serialize(views, Some(metadata)).map_err(wrong)?)
}

pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ZooError> {
    let bytes = read_at_most(path, MAX_JSON_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|source| ZooError::Json { path: path.to_owned(), source })
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ZooError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|source| ZooError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write_bytes(path, text.as_bytes())
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), ZooError> {
    use std::io::Write;
    Ok(write_atomically(path, FileMode::Shared, |writer| writer.write_all(bytes))?)
}
