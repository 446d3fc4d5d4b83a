//! A model's folder, opened once: its configuration parsed, its weight files open.
//!
//! Identity and weights taken from one [`ModelFolder`] are those of the same files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use lorica_tensor::Digest;

use crate::{
    config::{Fields, ModelConfig},
    error::ModelError,
    family::Family,
    linear::ModuleInfo,
    model::BaseModel,
    progress::Progress,
    stack::Stack,
    weights::{Content, Loader, Rounding, WeightFiles},
};

/// What tells one base model from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseIdentityParts {
    /// The decoder family, as `model_type` names it: `gpt2`, `llama`, `gpt_neox`, `mistral`, `qwen2`.
    pub family: String,
    /// SHA-256 of the fields of `config.json` that change the forward pass, as canonical JSON. Other fields,
    /// their order and defaults written out or left out make no difference.
    pub config: Digest,
    /// SHA-256 of the JSON list `[[name,type,shape,BLAKE3 of the bytes],...]` of all tensors in the order of their
    /// names, so that it does not matter how they are divided into files. A renamed tensor is another model.
    pub weights: Digest,
}

/// An open folder as Hugging Face lays it out: `config.json` and safetensors files.
pub struct ModelFolder {
    path: PathBuf,
    family: Family,
    config: ModelConfig,
    weights: Arc<WeightFiles>,
}

impl ModelFolder {
    /// Reads `config.json` (and `generation_config.json` where there is one) and opens the weight files. No
    /// weights are read yet.
    ///
    /// # Errors
    /// Missing or malformed files, and any field that asks for a computation that is not implemented.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        if !path.is_dir() {
            return Err(ModelError::NoFolder { path: path.to_owned() });
        }
        let fields = Fields::read(&path.join("config.json"))?;
        let family = Family::read(&fields)?;
        let config = family.config(end_of_text(path, &fields)?);
        let weights = Arc::new(WeightFiles::open(path)?);
        Ok(Self { path: path.to_owned(), family, config, weights })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The decoder family, as `model_type` names it: `gpt2`, `llama`, `gpt_neox`, `mistral`, `qwen2`.
    pub fn family(&self) -> &'static str {
        self.family.name()
    }

    /// Sizes and end-of-text tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Number of weights, all tensors together.
    pub fn parameters(&self) -> u64 {
        self.weights.parameters()
    }

    /// The number types of the tensors, in the order of their names: `BF16`, `F16`, `F32`.
    pub fn stored_types(&self) -> Vec<String> {
        self.weights.stored_types()
    }

    /// Digests configuration and weights. The weights are streamed from disk; progress is in bytes.
    ///
    /// # Errors
    /// A configuration or tensor that cannot be read.
    pub fn identity(&self, progress: &mut dyn FnMut(Progress)) -> Result<BaseIdentityParts, ModelError> {
        let canonical = serde_json::to_vec(&self.family)
            .map_err(|source| ModelError::Json { path: self.path.join("config.json"), source })?;
        Ok(BaseIdentityParts {
            family: self.family().to_owned(),
            config: Digest::sha256(&canonical),
            weights: self.weights.digest(progress)?,
        })
    }

    /// Reads the weights, as single-precision floats. Progress is in bytes.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected, of another shape or type, or not finite.
    pub fn load(&self, progress: &mut dyn FnMut(Progress)) -> Result<BaseModel, ModelError> {
        self.load_rounded(Rounding::None, progress)
    }

    /// As [`ModelFolder::load`], with the weights rounded to another type first.
    ///
    /// # Errors
    /// As [`ModelFolder::load`], and a weight beyond the range of the type.
    pub fn load_rounded(
        &self,
        rounding: Rounding,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<BaseModel, ModelError> {
        let total = self.weights.total_bytes();
        let mut done = 0;
        let mut before = |bytes| {
            progress(Progress { done, total });
            done += bytes;
            Ok(())
        };
        let stack = self.read(Content::Weights, rounding, &mut before)?;
        progress(Progress { done: total, total });
        Ok(BaseModel::new(self.family(), self.config.clone(), stack))
    }

    /// The linear hook points in the order of the forward pass, as [`BaseModel::modules`] gives them, from names and
    /// shapes alone: no weights are read, whatever the size of the model.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected or of another shape.
    pub fn modules(&self) -> Result<Vec<ModuleInfo>, ModelError> {
        Ok(self.read(Content::Shapes, Rounding::None, &mut |_| Ok(()))?.modules())
    }

    fn read(
        &self,
        content: Content,
        rounding: Rounding,
        before: &mut dyn FnMut(u64) -> Result<(), ModelError>,
    ) -> Result<Stack, ModelError> {
        let loader = Loader::new(&self.weights, content, rounding, before);
        self.family.load(loader, self.family.outline(&self.weights))
    }

    /// The family and the files, for a model that streams by.
    pub(crate) fn sources(&self) -> (Family, Arc<WeightFiles>) {
        (self.family.clone(), Arc::clone(&self.weights))
    }
}

/// `generation_config.json` has the last word on where a text ends, as in transformers.
fn end_of_text(folder: &Path, config: &Fields) -> Result<Vec<u32>, ModelError> {
    let path = folder.join("generation_config.json");
    if path.exists() {
        let generation = Fields::read(&path)?;
        if generation.has("eos_token_id") {
            return generation.token_ids("eos_token_id");
        }
    }
    config.token_ids("eos_token_id")
}

/// Digests the model in a folder; see [`ModelFolder::identity`].
///
/// # Errors
/// As [`ModelFolder::open`] and [`ModelFolder::identity`].
pub fn identity(path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<BaseIdentityParts, ModelError> {
    ModelFolder::open(path)?.identity(progress)
}
