//! Linear layers, in the groups that read one input, each group a hook point.

use candle_core::{DType, Storage, Tensor};
use lorica_tensor::ModuleName;
use rayon::prelude::*;

use crate::{
    error::ModelError,
    hook::{Activations, Hook, HookOutput},
    weights::Loader,
};

/// How a checkpoint stores a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[outputs, inputs]`, as `torch.nn.Linear` does.
    OutputsFirst,
    /// `[inputs, outputs]`, as GPT-2's Conv1D does.
    InputsFirst,
}

/// What a linear layer looks like in a checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearSpec {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) bias: bool,
    pub(crate) layout: Layout,
}

/// A linear hook point of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleInfo {
    /// The module path, as the checkpoint names it.
    pub name: ModuleName,
    /// Input width.
    pub inputs: usize,
    /// Output width.
    pub outputs: usize,
    /// Modules with the same number read the same input and are hooked together. Numbers count from 0 in the
    /// order of the forward pass.
    pub group: usize,
}

/// One linear layer, `y = x W + b`.
struct Linear {
    /// `[inputs, outputs]`; a transposed view where the checkpoint stores outputs first.
    weight: Tensor,
    bias: Option<Tensor>,
    inputs: usize,
    outputs: usize,
}

/// Weights in 16 bits are widened this many at a time: what is computed is that of single precision throughout.
pub(crate) const WIDENED_AT_A_TIME: usize = 1 << 21;

/// `x W` for `x` `[tokens, inputs]` and `weight` `[inputs, outputs]` of any float type, in single precision.
pub(crate) fn product(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    if weight.dtype() == DType::F32 {
        return x.matmul(weight);
    }
    let (inputs, outputs) = weight.dims2()?;
    // Candle widens on one thread and multiplies on all: a part for each, widened at the same time.
    let threads = rayon::current_num_threads();
    let columns = (WIDENED_AT_A_TIME / threads / inputs.max(1)).max(1);
    let firsts: Vec<usize> = (0..outputs).step_by(columns).collect();
    let mut parts = Vec::with_capacity(firsts.len());
    for firsts in firsts.chunks(threads) {
        let wide = firsts
            .par_iter()
            .map(|&first| widened(&weight.narrow(1, first, columns.min(outputs - first))?))
            .collect::<candle_core::Result<Vec<Tensor>>>()?;
        for wide in wide {
            parts.push(x.matmul(&wide)?);
        }
    }
    Tensor::cat(&parts, 1)
}

fn widened(part: &Tensor) -> candle_core::Result<Tensor> {
    // Transposed views of stored rows widen row by row.
    if part.t()?.is_contiguous() {
        return part.t()?.to_dtype(DType::F32)?.t();
    }
    part.to_dtype(DType::F32)
}

impl Linear {
    /// `[tokens, inputs]` to `[tokens, outputs]`.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = product(x, &self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// `N` linear layers that read the same input.
pub(crate) struct LinearGroup<const N: usize> {
    names: [ModuleName; N],
    layers: [Linear; N],
}

impl<const N: usize> LinearGroup<N> {
    /// Loads the modules `path.name`, each with its own shape, from tensors under `stored` (the path in the
    /// checkpoint, which may lack a prefix that module names have).
    pub(crate) fn load(
        loader: &mut Loader<'_>,
        path: ModulePath<'_>,
        modules: [(&str, LinearSpec); N],
    ) -> Result<Self, ModelError> {
        let mut names = Vec::with_capacity(N);
        let mut layers = Vec::with_capacity(N);
        for (name, spec) in modules {
            names.push(format!("{}.{name}", path.module).parse()?);
            let weight_name = format!("{}.{name}.weight", path.stored);
            let weight = match spec.layout {
                Layout::OutputsFirst => loader.tensor(&weight_name, &[spec.outputs, spec.inputs])?.t()?,
                Layout::InputsFirst => loader.tensor(&weight_name, &[spec.inputs, spec.outputs])?,
            };
            let bias_name = format!("{}.{name}.bias", path.stored);
            let bias = if spec.bias { Some(loader.floats(&bias_name, &[spec.outputs])?) } else { None };
            layers.push(Linear { weight, bias, inputs: spec.inputs, outputs: spec.outputs });
        }
        Ok(Self { names: array(names)?, layers: array(layers)? })
    }

    /// Adds the group's modules to the list of a model's hook points.
    pub(crate) fn describe(&self, modules: &mut Vec<ModuleInfo>) {
        let group = modules.last().map_or(0, |last| last.group + 1);
        modules.extend(self.names.iter().zip(&self.layers).map(|(name, layer)| ModuleInfo {
            name: name.clone(),
            inputs: layer.inputs,
            outputs: layer.outputs,
            group,
        }));
    }

    /// `[tokens, inputs]` to one `[tokens, outputs]` for each layer, with the hook's part in it.
    pub(crate) fn forward(&self, x: &Tensor, hook: &mut dyn Hook) -> Result<[Tensor; N], ModelError> {
        let mut answers = if hook.wants(&self.names) { self.ask(x, hook)? } else { Vec::new() }.into_iter();
        let mut outputs = Vec::with_capacity(N);
        for (name, layer) in self.names.iter().zip(&self.layers) {
            outputs.push(match answers.next().unwrap_or(HookOutput::Keep) {
                HookOutput::Keep => layer.forward(x)?,
                HookOutput::Add(values) => (layer.forward(x)? + layer.checked(name, x, values)?)?,
                HookOutput::Replace(values) => layer.checked(name, x, values)?,
            });
        }
        array(outputs)
    }

    fn ask(&self, x: &Tensor, hook: &mut dyn Hook) -> Result<Vec<HookOutput>, ModelError> {
        let (tokens, width) = x.dims2()?;
        let x = x.contiguous()?;
        let (storage, layout) = x.storage_and_layout();
        let values = match &*storage {
            Storage::Cpu(storage) => storage.as_slice::<f32>()?,
            _ => return Err(candle_core::Error::Msg("activations are not on the CPU".into()).into()),
        };
        let start = layout.start_offset();
        let values = &values[start..start + tokens * width];
        let answers = hook
            .group(&self.names, &Activations { tokens, width, values })
            .map_err(|source| ModelError::Hook { modules: self.names.to_vec(), source })?;
        if answers.len() != N {
            return Err(ModelError::HookCount { modules: self.names.to_vec(), found: answers.len() });
        }
        Ok(answers)
    }
}

impl Linear {
    /// Checks what a hook returned for this layer.
    fn checked(&self, name: &ModuleName, x: &Tensor, values: Vec<f32>) -> Result<Tensor, ModelError> {
        let (tokens, outputs) = (x.dim(0)?, self.outputs);
        if values.len() != tokens * outputs {
            let (module, found) = (name.clone(), values.len());
            return Err(ModelError::HookShape { module, tokens, outputs, found });
        }
        if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            let (row, column) = (index / outputs, index % outputs);
            return Err(ModelError::HookNotFinite { module: name.clone(), row, column, value });
        }
        Ok(Tensor::from_vec(values, (tokens, outputs), x.device())?)
    }
}

/// Where a group's modules are: in the model and in the checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModulePath<'a> {
    pub(crate) module: &'a str,
    pub(crate) stored: &'a str,
}

/// A vector of exactly `N` items as an array.
fn array<T, const N: usize>(items: Vec<T>) -> Result<[T; N], ModelError> {
    let found = items.len();
    items.try_into().map_err(|_| candle_core::Error::Msg(format!("expected {N} items, found {found}")).into())
}
