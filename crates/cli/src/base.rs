//! The base model's folder: its identity, and whether it is the manifest's.

use std::path::Path;

use lorica_adapter::BaseModule;
use lorica_model::{BaseModel, ModelFolder, ModuleInfo};
use lorica_verify::manifest::BaseIdentity;

use crate::{error::CliError, progress::Unit, report::Console};

/// Digests configuration and weights.
pub(crate) fn identity(folder: &ModelFolder, console: &Console) -> Result<BaseIdentity, CliError> {
    let progress = console.progress("digesting the base model", Unit::Bytes);
    let parts = folder.identity(&mut |state| progress.set(state.done, state.total))?;
    Ok(BaseIdentity { family: parts.family, config: parts.config, weights: parts.weights })
}

/// Reads the weights.
pub(crate) fn load(folder: &ModelFolder, console: &Console) -> Result<BaseModel, CliError> {
    let progress = console.progress("reading the base model", Unit::Bytes);
    Ok(folder.load(&mut |state| progress.set(state.done, state.total))?)
}

/// The linear layers an adapter may name.
pub(crate) fn modules(layers: Vec<ModuleInfo>) -> Vec<BaseModule> {
    let module =
        |module: ModuleInfo| BaseModule { name: module.name, inputs: module.inputs, outputs: module.outputs };
    layers.into_iter().map(module).collect()
}

/// Refuses a base model that is not the manifest's.
pub(crate) fn require(expected: &BaseIdentity, found: &BaseIdentity, path: &Path) -> Result<(), CliError> {
    let parts = [
        ("the family", expected.family.clone(), found.family.clone()),
        ("the digest of its configuration", expected.config.to_string(), found.config.to_string()),
        ("the digest of its weights", expected.weights.to_string(), found.weights.to_string()),
    ];
    match parts.into_iter().find(|(_, expected, found)| expected != found) {
        None => Ok(()),
        Some((what, expected, found)) => Err(CliError::Base { path: path.to_owned(), what, expected, found }),
    }
}
