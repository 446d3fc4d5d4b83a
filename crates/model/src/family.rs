//! The decoder families this crate knows, by the `model_type` of `config.json`.

use serde::Serialize;

use crate::{
    config::{Fields, ModelConfig, refuse_foreign_fields},
    decoder::Architecture,
    error::ModelError,
    gpt2, llama,
    weights::Loader,
};

/// The supported values of `model_type`.
const SUPPORTED: &str = "gpt2, llama";

/// A family and the part of the configuration that changes its forward pass. The serialised form is digested.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub(crate) enum Family {
    Gpt2(gpt2::Config),
    Llama(llama::Config),
}

impl Family {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        if !fields.has("model_type") {
            return Err(fields.wrong("model_type", format!("one of {SUPPORTED}")));
        }
        let read = match fields.text("model_type")? {
            "gpt2" => |fields: &Fields| gpt2::Config::read(fields).map(Self::Gpt2),
            "llama" => |fields: &Fields| llama::Config::read(fields).map(Self::Llama),
            _ => return Err(fields.unsupported("model_type", SUPPORTED)),
        };
        refuse_foreign_fields(fields)?;
        read(fields)
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "gpt2",
            Self::Llama(_) => "llama",
        }
    }

    pub(crate) fn load(&self, mut loader: Loader<'_>) -> Result<Box<dyn Architecture>, ModelError> {
        let model: Box<dyn Architecture> = match self {
            Self::Gpt2(config) => Box::new(gpt2::Gpt2::load(config, &mut loader)?),
            Self::Llama(config) => Box::new(llama::Llama::load(config, &mut loader)?),
        };
        loader.finish(self.name())?;
        Ok(model)
    }

    pub(crate) fn config(&self, end_of_text: Vec<u32>) -> ModelConfig {
        let (vocabulary, context, hidden) = match self {
            Self::Gpt2(config) => (config.vocabulary, config.context, config.hidden),
            Self::Llama(config) => (config.vocabulary, config.context, config.hidden),
        };
        ModelConfig { vocabulary, context, hidden, end_of_text }
    }
}
