//! Floats to the integers that are committed to.
//!
//! The number of bits of a weight comes from public shapes alone (the caller passes the rule), the exponent of
//! each matrix from its largest entry. Both are public afterwards; the rounding is the contributor's choice of
//! adapter and no part of what a session proves.

use lorica_relation::session::{LowRank, ModuleShape, Witness};
use lorica_tensor::{
    ModuleName,
    fixed_point::{QuantizedMatrix, RoundingError, quantize_matrix},
};

use crate::{
    adapter::{Adapter, LoraModule},
    config::ScalingRule,
    error::AdapterError,
};

/// An adapter as integers.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedAdapter {
    /// What becomes public, in strictly increasing order of the names.
    pub modules: Vec<QuantizedModule>,
    /// The integers, in the same order; wiped from memory when dropped.
    pub witness: Witness,
}

/// The public side of one module, and what rounding cost it.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedModule {
    /// The linear layer's path in the base model.
    pub name: ModuleName,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// Rank r.
    pub rank: usize,
    /// Bits of a weight integer, sign included.
    pub weight_bits: u32,
    /// Floats of A are `integer * 2^-a_exponent`, up to rounding.
    pub a_exponent: i32,
    /// Floats of B are `integer * 2^-b_exponent`, up to rounding.
    pub b_exponent: i32,
    /// `lora_alpha`, or what `alpha_pattern` says.
    pub alpha: f64,
    /// How alpha and the rank make the scaling factor.
    pub rule: ScalingRule,
    /// What rounding cost A; for the contributor alone, no part of the manifest.
    pub a_error: RoundingError,
    /// What rounding cost B; for the contributor alone, no part of the manifest.
    pub b_error: RoundingError,
}

impl QuantizedModule {
    /// The shape, as the relation speaks of it.
    pub fn shape(&self) -> ModuleShape {
        ModuleShape { name: self.name.clone(), inputs: self.inputs, outputs: self.outputs, rank: self.rank }
    }
}

/// Rounds every matrix of an adapter. `bits` gives the weight bits for (inputs, outputs, rank), or `None` for a
/// shape that is not supported.
///
/// # Errors
/// A shape that is not supported, bits outside `2..=16`, or weights that are not finite.
pub fn quantize(
    adapter: &Adapter,
    bits: impl Fn(usize, usize, usize) -> Option<u32>,
) -> Result<QuantizedAdapter, AdapterError> {
    let mut quantized = QuantizedAdapter { modules: Vec::new(), witness: Witness { modules: Vec::new() } };
    for module in &adapter.modules {
        let Some(weight_bits) = bits(module.inputs, module.outputs, module.rank) else {
            return Err(AdapterError::UnsupportedShape {
                module: module.name.clone(),
                inputs: module.inputs,
                outputs: module.outputs,
                rank: module.rank,
            });
        };
        let (public, private) = quantize_module(module, weight_bits)?;
        quantized.modules.push(public);
        quantized.witness.modules.push(private);
    }
    Ok(quantized)
}

fn quantize_module(
    module: &LoraModule,
    weight_bits: u32,
) -> Result<(QuantizedModule, LowRank), AdapterError> {
    let b_floats = module.b_transposed();
    let (a, a_error) = round(module, "A", &module.a, weight_bits)?;
    let (b, b_error) = round(module, "B", &b_floats, weight_bits)?;
    let public = QuantizedModule {
        name: module.name.clone(),
        inputs: module.inputs,
        outputs: module.outputs,
        rank: module.rank,
        weight_bits,
        a_exponent: a.exponent,
        b_exponent: b.exponent,
        alpha: module.alpha,
        rule: module.rule,
        a_error,
        b_error,
    };
    Ok((public, LowRank { a: a.values, b: b.values }))
}

fn round(
    module: &LoraModule,
    matrix: &'static str,
    floats: &[f32],
    bits: u32,
) -> Result<(QuantizedMatrix, RoundingError), AdapterError> {
    let integers = quantize_matrix(floats, bits).map_err(|source| AdapterError::Quantize {
        module: module.name.clone(),
        matrix,
        source,
    })?;
    let error = integers.rounding_error(floats);
    Ok((integers, error))
}
