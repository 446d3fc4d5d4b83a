//! The support matrix of a folder: what it holds, what is refused and why.

use std::path::Path;

use lorica_tensor::ModuleName;
use serde::Serialize;

use crate::{
    adapter::Norms,
    config::{ConfigSummary, ScalingRule},
    error::{AdapterError, Refusal},
    folder::{Folder, Pair},
};

/// What a folder holds. Serialises to JSON for tools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Whether [`crate::Adapter::load`] accepts the folder.
    pub supported: bool,
    /// Every reason why it does not.
    pub refusals: Vec<Finding>,
    /// What a person should know although it is no reason to refuse.
    pub notes: Vec<String>,
    /// What the configuration says.
    pub config: ConfigSummary,
    /// The modules whose two matrices are complete, in the order of their names.
    pub modules: Vec<ModuleReport>,
    /// How many of the file's tensors are used.
    pub tensors: TensorCounts,
    /// Number of weights in all modules.
    pub weights: u64,
}

/// One reason to refuse, as data and in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// In words.
    pub message: String,
    /// As data.
    #[serde(flatten)]
    pub refusal: Refusal,
}

/// One module of the support matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModuleReport {
    /// The linear layer's path in the base model.
    pub name: ModuleName,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// Rank r.
    pub rank: usize,
    /// `lora_alpha`, or what `alpha_pattern` says.
    pub alpha: f64,
    /// How alpha and the rank make the scaling factor.
    pub rule: ScalingRule,
    /// The scaling factor.
    pub scaling: f64,
    /// Stored type of A.
    pub a_dtype: String,
    /// Stored type of B.
    pub b_dtype: String,
    /// Frobenius norms.
    pub norms: Norms,
}

/// How many tensors of the file map to modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorCounts {
    /// Tensors of complete modules.
    pub applied: usize,
    /// Names of all others.
    pub unused: Vec<String>,
}

/// Looks at a folder without refusing it for what it asks.
///
/// # Errors
/// A folder that is not one, cannot be read, holds a NaN or an infinity, or contradicts itself. A well-formed
/// adapter that is not supported is an [`Inspection`] with all its reasons.
pub fn inspect(folder: &Path) -> Result<Inspection, AdapterError> {
    let folder = Folder::open(folder)?;
    if !folder.refusals.is_empty() && folder.refusals.iter().all(Refusal::is_malformed) {
        return Err(AdapterError::Refused { folder: folder.path, reasons: folder.refusals });
    }
    let modules = folder.pairs.iter().map(|pair| report(&folder, pair)).collect::<Result<Vec<_>, _>>()?;
    Ok(Inspection {
        supported: folder.refusals.is_empty(),
        refusals: folder
            .refusals
            .into_iter()
            .map(|refusal| Finding { message: refusal.to_string(), refusal })
            .collect(),
        notes: folder.notes,
        tensors: TensorCounts { applied: 2 * modules.len(), unused: folder.unused },
        weights: modules.iter().map(|module| (module.rank * (module.inputs + module.outputs)) as u64).sum(),
        config: folder.config.summary,
        modules,
    })
}

fn report(folder: &Folder, pair: &Pair) -> Result<ModuleReport, AdapterError> {
    let module = folder.read(pair)?;
    Ok(ModuleReport {
        name: pair.name.clone(),
        inputs: pair.inputs,
        outputs: pair.outputs,
        rank: pair.rank,
        alpha: pair.alpha,
        rule: module.rule,
        scaling: module.factor(),
        a_dtype: pair.a.dtype.to_string(),
        b_dtype: pair.b.dtype.to_string(),
        norms: module.norms(),
    })
}
