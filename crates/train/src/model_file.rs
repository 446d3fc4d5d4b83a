//! Weights on disk, as safetensors.
//!
//! **For PyTorch**: single precision, with the names of `torch.nn.Sequential(Linear, ReLU, Linear, ...)`: `0.weight`, `0.bias`,
//! `2.weight` and so on; LoRA's matrices are `0.lora_A.weight` and `0.lora_B.weight`. Names of checkpoints that are read may have
//! other numbers, in ascending order, and additions for LoRA: `0.base.weight`, or PEFT's `base_model.model.`, `.base_layer.` and
//! `.default.`. Buffers of `torch.optim.SGD` are `momentum.` and the name of a weight.
//!
//! **For a run**: exact integers. `W0`, `A0`, `B0` and so on are I32, the last step's changes `dW0` and so on are I16 where steps
//! carry them over; the metadata hold the format, the digest of the settings and the number of steps.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    path::{Path, PathBuf},
};

use lorica_relation::training::{Settings, WeightKind, WeightMatrix};
use lorica_tensor::{
    checkpoint::{Checkpoint, Dtype, LoadError},
    files::{FileError, FileMode, read_at_most, write_atomically},
};
use safetensors::{SafeTensors, tensor::TensorView};
use zeroize::Zeroizing;

use crate::{
    error::TrainError,
    fixed::{Parameters, State},
};

const FORMAT: &str = "lorica-training-state/1";
/// The largest file of exact weights, in bytes.
const MAX_STATE_BYTES: u64 = 1 << 36;

/// Why a file of weights is refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A tensor cannot be read.
    #[error(transparent)]
    Tensor(#[from] LoadError),
    /// It is not what was expected.
    #[error("{}: {what}: expected {expected}, found {found}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// A tensor, or a field of the metadata.
        what: String,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A weight is too large for 32 bits.
    #[error("{}: {tensor}, entry {index} is {value}: with {bits} fraction bits it is beyond 32 bits", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Position, row by row.
        index: usize,
        /// The weight.
        value: f32,
        /// Fraction bits.
        bits: u32,
    },
    /// Matrices of other sizes.
    #[error(transparent)]
    Size(#[from] TrainError),
}

/// Which tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Weight,
    Bias,
    Down,
    Up,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Down => "lora_A.weight",
            Self::Up => "lora_B.weight",
        }
    }
}

/// The tensors of a checkpoint of linear layers.
pub struct LinearLayers {
    file: Checkpoint,
    /// For each layer, the names of its tensors.
    layers: Vec<BTreeMap<Part, String>>,
    /// For each layer, the names of its momentum buffers; empty if there are none.
    momentum: Vec<BTreeMap<Part, String>>,
}

impl LinearLayers {
    /// Opens a checkpoint of PyTorch.
    ///
    /// # Errors
    /// A file that holds anything but linear layers with numbers as names.
    pub fn open(path: &Path) -> Result<Self, ModelFileError> {
        let file = Checkpoint::open(path)?;
        let mut layers: BTreeMap<u32, BTreeMap<Part, String>> = BTreeMap::new();
        let mut momentum = layers.clone();
        for tensor in file.tensors() {
            let buffer = tensor.name.strip_prefix("momentum.");
            let plain = buffer.unwrap_or(&tensor.name);
            let plain = plain.strip_prefix("base_model.model.").unwrap_or(plain);
            let plain = plain.replace(".base_layer.", ".").replace(".base.", ".").replace(".default.", ".");
            let parts = [Part::Weight, Part::Bias, Part::Down, Part::Up];
            let found = plain.split_once('.').and_then(|(number, rest)| {
                let part = parts.into_iter().find(|part| part.name() == rest)?;
                Some((number.parse().ok()?, part))
            });
            let Some((number, part)) = found else {
                return Err(content(
                    path,
                    "a tensor",
                    "0.weight, 0.bias, 0.lora_A.weight, 0.lora_B.weight, with any number",
                    &tensor.name,
                ));
            };
            let list = if buffer.is_some() { &mut momentum } else { &mut layers };
            if let Some(twice) = list.entry(number).or_default().insert(part, tensor.name.clone()) {
                return Err(content(
                    path,
                    &tensor.name,
                    "one tensor of a kind in a layer",
                    &format!("{twice} too"),
                ));
            }
        }
        if !momentum.is_empty() && momentum.keys().ne(layers.keys()) {
            let found = format!("for {} of {} layers", momentum.len(), layers.len());
            return Err(content(path, "momentum", "buffers for every layer, or none", &found));
        }
        let (layers, momentum) = (layers.into_values().collect(), momentum.into_values().collect());
        Ok(Self { file, layers, momentum })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub(crate) fn layers(&self) -> &[BTreeMap<Part, String>] {
        &self.layers
    }

    pub(crate) fn shape(&self, layer: usize, part: Part) -> Result<Vec<usize>, ModelFileError> {
        Ok(self.file.tensor(self.name(&self.layers, layer, part)?)?.shape)
    }

    fn name<'a>(
        &self,
        list: &'a [BTreeMap<Part, String>],
        layer: usize,
        part: Part,
    ) -> Result<&'a str, ModelFileError> {
        let name = list.get(layer).and_then(|names| names.get(&part));
        name.map(String::as_str).ok_or_else(|| {
            let expected = format!("layer {layer} with a {}", part.name());
            content(self.path(), "tensors", &expected, &format!("{} layers without it", list.len()))
        })
    }

    /// The values of a part, which has to have this shape.
    pub(crate) fn read(
        &self,
        layer: usize,
        part: Part,
        shape: &[usize],
    ) -> Result<Zeroizing<Vec<f32>>, ModelFileError> {
        self.read_tensor(self.name(&self.layers, layer, part)?, shape)
    }

    fn read_tensor(&self, name: &str, shape: &[usize]) -> Result<Zeroizing<Vec<f32>>, ModelFileError> {
        let found = self.file.tensor(name)?.shape;
        if found != shape {
            return Err(content(self.path(), name, &format!("{shape:?}"), &format!("{found:?}")));
        }
        Ok(Zeroizing::new(self.file.read_f32(name)?))
    }

    /// Rounds all weights to the integers of settings, to nearest, halves to even.
    ///
    /// # Errors
    /// Layers or shapes that are not those of the settings, numbers that are not finite or beyond 32 bits.
    pub fn quantise(&self, settings: &Settings) -> Result<Parameters, ModelFileError> {
        let (expected, found) = (settings.layers.len(), self.layers.len());
        if expected != found {
            let (expected, found) = (format!("{expected} layers"), format!("{found} layers"));
            return Err(content(self.path(), "model", &expected, &found));
        }
        let weights = settings.weights();
        weights.iter().map(|weights| self.quantise_matrix(settings, weights, &self.layers, 1.0)).collect()
    }

    /// The changes that a step before this checkpoint made, for the matrices that steps carry over, in their order: `-learning_rate`
    /// times the momentum buffer. `None` if the file has no buffers.
    ///
    /// # Errors
    /// As [`LinearLayers::quantise`], and changes beyond 16 bits.
    pub fn last_changes(
        &self,
        settings: &Settings,
        learning_rate: f64,
    ) -> Result<Option<Vec<Zeroizing<Vec<i16>>>>, ModelFileError> {
        if self.momentum.is_empty() {
            return Ok(None);
        }
        let changes = state_order(settings)?.into_iter().map(|weights| {
            let values = self.quantise_matrix(settings, &weights, &self.momentum, -learning_rate)?;
            let narrow = |(index, value): (usize, &i32)| {
                let (row, column) = (index / weights.shape.columns, index % weights.shape.columns);
                i16::try_from(*value).map_err(|_| {
                    let (tensor, value) = (weights.name.clone(), i64::from(*value));
                    TrainError::Overflow { step: 0, tensor, row, column, value }
                })
            };
            Ok(Zeroizing::new(values.iter().enumerate().map(narrow).collect::<Result<_, _>>()?))
        });
        changes.collect::<Result<_, ModelFileError>>().map(Some)
    }

    /// Integers of a factor times the tensors of a matrix.
    fn quantise_matrix(
        &self,
        settings: &Settings,
        weights: &WeightMatrix,
        names: &[BTreeMap<Part, String>],
        factor: f64,
    ) -> Result<Zeroizing<Vec<i32>>, ModelFileError> {
        let WeightMatrix { layer, shape, bits, .. } = *weights;
        let scale = f64::exp2(f64::from(bits)) * factor;
        let round = |part: Part, shape: &[usize]| {
            let name = self.name(names, layer, part)?;
            let values = self.read_tensor(name, shape)?;
            let mut rounded = Zeroizing::new(Vec::with_capacity(values.len()));
            for (index, value) in values.iter().enumerate() {
                let integer = (f64::from(*value) * scale).round_ties_even();
                if integer.abs() > f64::from(i32::MAX) {
                    let (path, tensor) = (self.path().to_owned(), name.to_owned());
                    return Err(ModelFileError::Range { path, tensor, index, value: *value, bits });
                }
                rounded.push(integer as i32);
            }
            Ok(rounded)
        };
        match weights.kind {
            WeightKind::Down => round(Part::Down, &[shape.rows, shape.columns]),
            WeightKind::Up => round(Part::Up, &[shape.rows, shape.columns]),
            WeightKind::Weight => {
                let inputs = shape.columns - usize::from(settings.bias);
                let plain = round(Part::Weight, &[shape.rows, inputs])?;
                if !settings.bias {
                    if names.get(layer).is_some_and(|parts| parts.contains_key(&Part::Bias)) {
                        let what = format!("layer {layer}");
                        return Err(content(self.path(), &what, "no bias (model.bias = false)", "a bias"));
                    }
                    return Ok(plain);
                }
                let bias = round(Part::Bias, &[shape.rows])?;
                let rows = plain.chunks(inputs.max(1)).zip(bias.iter());
                let values = rows.flat_map(|(row, bias)| row.iter().chain([bias])).copied();
                Ok(Zeroizing::new(values.collect()))
            }
        }
    }
}

fn content(path: &Path, what: &str, expected: &str, found: &str) -> ModelFileError {
    ModelFileError::Content {
        path: path.to_owned(),
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// Name, type, dimensions and bytes.
type NewTensor = (String, Dtype, Vec<usize>, Zeroizing<Vec<u8>>);

/// A safetensors file of named tensors.
fn write(
    path: &Path,
    tensors: Vec<NewTensor>,
    metadata: Option<HashMap<String, String>>,
) -> Result<(), ModelFileError> {
    let unwritable = |error: safetensors::SafeTensorError| {
        content(path, "tensors", "tensors that can be written", &error.to_string())
    };
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unwritable)?;
    let bytes = Zeroizing::new(safetensors::serialize(views, metadata).map_err(unwritable)?);
    Ok(write_atomically(path, FileMode::Secret, |file| file.write_all(&bytes))?)
}

/// The numbers that weights stand for, in the order of the program's parameters, row by row.
pub fn floats(settings: &Settings, parameters: &Parameters) -> Vec<Vec<f32>> {
    let matrices = settings.weights();
    let matrices = matrices.iter().zip(parameters).map(|(weights, values)| {
        let unit = f64::exp2(-f64::from(weights.bits));
        values.iter().map(|value| (f64::from(*value) * unit) as f32).collect()
    });
    matrices.collect()
}

/// Writes weights in single precision, with the names of PyTorch; they come in the order of the program's parameters.
///
/// # Errors
/// A file that cannot be written.
pub fn write_floats(path: &Path, settings: &Settings, matrices: &[&[f32]]) -> Result<(), ModelFileError> {
    let mut tensors = Vec::new();
    for (weights, values) in settings.weights().iter().zip(matrices) {
        let WeightMatrix { layer, kind, shape, .. } = weights;
        let bytes = |values: &mut dyn Iterator<Item = &f32>| {
            Zeroizing::new(values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
        };
        let has_bias = settings.bias && *kind == WeightKind::Weight;
        let plain = shape.columns - usize::from(has_bias);
        let part = match kind {
            WeightKind::Weight => Part::Weight,
            WeightKind::Down => Part::Down,
            WeightKind::Up => Part::Up,
        };
        let name = |part: Part| format!("{}.{}", 2 * layer, part.name());
        let rows = values.chunks(shape.columns);
        let data = bytes(&mut rows.clone().flat_map(|row| row.iter().take(plain)));
        tensors.push((name(part), Dtype::F32, vec![shape.rows, plain], data));
        if has_bias {
            let data = bytes(&mut rows.filter_map(<[f32]>::last));
            tensors.push((name(Part::Bias), Dtype::F32, vec![shape.rows], data));
        }
    }
    write(path, tensors, None)
}

/// Names of the last step's changes that a state carries, with their matrices.
fn carried(settings: &Settings) -> Vec<WeightMatrix> {
    let mut list = settings.weights();
    list.retain(|weights| weights.update.is_some_and(|update| update.momentum != 0));
    list.iter_mut().for_each(|weights| weights.name.insert(0, 'd'));
    list
}

/// Writes the state of a run.
///
/// # Errors
/// A file that cannot be written.
pub fn write_state(path: &Path, settings: &Settings, state: &State) -> Result<(), ModelFileError> {
    let mut tensors = Vec::new();
    for (weights, values) in settings.weights().into_iter().zip(&state.parameters) {
        let bytes = Zeroizing::new(values.iter().flat_map(|value| value.to_le_bytes()).collect());
        tensors.push((weights.name, Dtype::I32, vec![weights.shape.rows, weights.shape.columns], bytes));
    }
    for (weights, values) in state_order(settings)?.into_iter().zip(&state.carried) {
        let bytes = Zeroizing::new(values.iter().flat_map(|value| value.to_le_bytes()).collect());
        tensors.push((weights.name, Dtype::I16, vec![weights.shape.rows, weights.shape.columns], bytes));
    }
    let metadata = [
        ("format", FORMAT.to_owned()),
        ("settings", settings.digest().to_string()),
        ("steps", state.steps.to_string()),
    ];
    let metadata = metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    write(path, tensors, Some(metadata))
}

/// The carried changes in the order in which the program carries them.
fn state_order(settings: &Settings) -> Result<Vec<WeightMatrix>, TrainError> {
    let program = settings.program(1, 0)?.program;
    let mut list = carried(settings);
    let place =
        |weights: &WeightMatrix| program.tensors.iter().position(|tensor| tensor.name == weights.name);
    list.sort_by_key(place);
    Ok(list)
}

/// Reads the state of a run.
///
/// # Errors
/// A file that is not the state of a run with these settings, or holds anything more.
pub fn read_state(path: &Path, settings: &Settings) -> Result<State, ModelFileError> {
    let bytes = Zeroizing::new(read_at_most(path, MAX_STATE_BYTES)?);
    let malformed =
        |error: safetensors::SafeTensorError| content(path, "file", "a safetensors file", &error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(malformed)?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    let field = |name: &str| metadata.get(name).map_or("nothing", String::as_str);
    let digest = settings.digest().to_string();
    for (name, expected) in [("format", FORMAT), ("settings", digest.as_str())] {
        if field(name) != expected {
            return Err(content(path, name, expected, field(name)));
        }
    }
    let steps = field("steps").parse();
    let steps = steps.map_err(|_| content(path, "steps", "a number of steps", field("steps")))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(malformed)?;
    let matrices = settings.weights();
    let changes = state_order(settings)?;
    if tensors.len() != matrices.len() + changes.len() {
        let expected = format!("{} of them", matrices.len() + changes.len());
        return Err(content(path, "tensors", &expected, &tensors.len().to_string()));
    }
    let read = |weights: &WeightMatrix, dtype: Dtype| {
        let tensor = tensors.tensor(&weights.name).map_err(malformed)?;
        let shape = [weights.shape.rows, weights.shape.columns];
        if tensor.dtype() != dtype || tensor.shape() != shape {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(content(path, &weights.name, &format!("{dtype:?} {shape:?}"), &found));
        }
        Ok(tensor.data())
    };
    let mut state = State { steps, ..State::default() };
    for weights in &matrices {
        let (values, _) = read(weights, Dtype::I32)?.as_chunks();
        state
            .parameters
            .push(Zeroizing::new(values.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()));
    }
    for weights in &changes {
        let (values, _) = read(weights, Dtype::I16)?.as_chunks();
        state.carried.push(Zeroizing::new(values.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()));
    }
    Ok(state)
}
