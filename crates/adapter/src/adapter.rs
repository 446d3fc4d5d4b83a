//! An adapter in memory: the modules and their float weights.

use std::{collections::BTreeMap, fmt, path::Path};

use lorica_tensor::ModuleName;
use serde::Serialize;
use zeroize::Zeroize;

use crate::{
    config::{ConfigSummary, ScalingRule},
    error::{AdapterError, BaseMismatch},
    folder::Folder,
};

/// A LoRA adapter that is supported in full.
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// What its configuration says.
    pub config: ConfigSummary,
    /// The adapted modules, in strictly increasing order of their names; at least one.
    pub modules: Vec<LoraModule>,
}

/// One adapted linear layer: `delta = factor B (A x)`. Its weights are wiped from memory when it is dropped.
#[derive(Clone, PartialEq)]
pub struct LoraModule {
    /// The linear layer's path in the base model.
    pub name: ModuleName,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// Rank r, at least 1.
    pub rank: usize,
    /// `lora_alpha`, or what `alpha_pattern` says.
    pub alpha: f64,
    /// How alpha and the rank make the scaling factor.
    pub rule: ScalingRule,
    /// A, row-major, rank x inputs; finite.
    pub a: Vec<f32>,
    /// B, row-major, outputs x rank; finite.
    pub b: Vec<f32>,
}

/// Frobenius norms of a module's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Norms {
    /// Of A.
    pub a: f64,
    /// Of B.
    pub b: f64,
    /// Of the whole update of the layer's weight, `factor B A`.
    pub update: f64,
}

/// A linear layer of the base model that an adapter may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModule {
    /// Its path.
    pub name: ModuleName,
    /// Values it reads, however the weight is stored.
    pub inputs: usize,
    /// Values it returns.
    pub outputs: usize,
}

impl Adapter {
    /// Reads a PEFT adapter folder.
    ///
    /// # Errors
    /// A folder that is not one, cannot be read, holds a NaN or an infinity, or is refused (with every reason).
    pub fn load(folder: &Path) -> Result<Self, AdapterError> {
        let folder = Folder::open(folder)?;
        if !folder.refusals.is_empty() {
            return Err(AdapterError::Refused { folder: folder.path, reasons: folder.refusals });
        }
        let modules = folder.pairs.iter().map(|pair| folder.read(pair)).collect::<Result<_, _>>()?;
        Ok(Self { config: folder.config.summary, modules })
    }

    /// Checks that the base model has every adapted layer, with the same widths.
    ///
    /// # Errors
    /// Every module that does not fit.
    pub fn check_against(&self, base: &[BaseModule]) -> Result<(), AdapterError> {
        let layers: BTreeMap<&ModuleName, &BaseModule> =
            base.iter().map(|layer| (&layer.name, layer)).collect();
        let mismatches: Vec<_> = self
            .modules
            .iter()
            .filter_map(|module| match layers.get(&module.name) {
                None => Some(BaseMismatch::Missing { module: module.name.clone() }),
                Some(layer) if (layer.inputs, layer.outputs) != (module.inputs, module.outputs) => {
                    Some(BaseMismatch::Widths {
                        module: module.name.clone(),
                        base_inputs: layer.inputs,
                        base_outputs: layer.outputs,
                        inputs: module.inputs,
                        outputs: module.outputs,
                    })
                }
                Some(_) => None,
            })
            .collect();
        if mismatches.is_empty() { Ok(()) } else { Err(AdapterError::Base { mismatches }) }
    }
}

impl LoraModule {
    /// The scaling factor.
    pub fn factor(&self) -> f64 {
        self.rule.factor(self.alpha, self.rank)
    }

    /// Float deltas of row-major activations (rows x inputs), rows x outputs, summed in `f64`: the reference
    /// that fixed point is compared with.
    ///
    /// # Errors
    /// Activations that do not fill whole rows.
    pub fn delta(&self, x: &[f32]) -> Result<Vec<f64>, AdapterError> {
        if !x.len().is_multiple_of(self.inputs) {
            return Err(AdapterError::RaggedRows {
                module: self.name.clone(),
                inputs: self.inputs,
                found: x.len(),
            });
        }
        let factor = self.factor();
        let mut deltas = Vec::with_capacity(x.len() / self.inputs * self.outputs);
        for row in x.chunks_exact(self.inputs) {
            let inner: Vec<f64> = self.a.chunks_exact(self.inputs).map(|a| dot(a, row)).collect();
            deltas.extend(
                self.b.chunks_exact(self.rank).map(|b| {
                    factor * b.iter().zip(&inner).map(|(&b, inner)| f64::from(b) * inner).sum::<f64>()
                }),
            );
        }
        Ok(deltas)
    }

    /// Frobenius norms of A, B and the update, in about `rank^2 (inputs + outputs)` operations: the square of
    /// `|B A|` is the trace of `(B^T B)(A A^T)`, so the product itself is never formed.
    pub fn norms(&self) -> Norms {
        let transposed = self.b_transposed();
        let (mut a, mut b, mut update) = (0f64, 0f64, 0f64);
        for i in 0..self.rank {
            for j in i..self.rank {
                let inner_a = dot(row(&self.a, i, self.inputs), row(&self.a, j, self.inputs));
                let inner_b = dot(row(&transposed, i, self.outputs), row(&transposed, j, self.outputs));
                if i == j {
                    a += inner_a;
                    b += inner_b;
                    update += inner_a * inner_b;
                } else {
                    update += 2.0 * inner_a * inner_b;
                }
            }
        }
        // Rounding can leave a vanishing product a little below zero.
        Norms { a: a.sqrt(), b: b.sqrt(), update: self.factor().abs() * update.max(0.0).sqrt() }
    }

    /// B transposed, row-major, rank x outputs; wiped when dropped.
    pub(crate) fn b_transposed(&self) -> zeroize::Zeroizing<Vec<f32>> {
        let columns = (0..self.rank).flat_map(|j| self.b.iter().skip(j).step_by(self.rank).copied());
        let mut transposed = zeroize::Zeroizing::new(Vec::with_capacity(self.b.len()));
        transposed.extend(columns);
        transposed
    }
}

impl Drop for LoraModule {
    fn drop(&mut self) {
        self.a.zeroize();
        self.b.zeroize();
    }
}

// Weights are private: a stray `{:?}` in a log must not print them.
impl fmt::Debug for LoraModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoraModule({}, {} -> {} -> {})", self.name, self.inputs, self.rank, self.outputs)
    }
}

fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    &matrix[index * width..][..width]
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(&l, &r)| f64::from(l) * f64::from(r)).sum()
}
