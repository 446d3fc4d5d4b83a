//! The decoder families this crate knows, by the `model_type` of `config.json`.

use serde::Serialize;

use crate::{
    config::{Fields, ModelConfig, refuse_foreign_fields},
    decoder::{Outline, Parts},
    error::ModelError,
    gpt2, llama, neox,
    stack::Stack,
    weights::{Loader, WeightFiles},
};

/// The supported values of `model_type`.
const SUPPORTED: &str = "gpt2, llama, gpt_neox, mistral, qwen2";

/// A family and the part of the configuration that changes its forward pass. The serialised form is digested.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub(crate) enum Family {
    Gpt2(gpt2::Config),
    Llama(llama::Config),
    #[serde(rename = "gpt_neox")]
    GptNeox(neox::Config),
    Mistral(llama::Config),
    Qwen2(llama::Config),
}

impl Family {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        if !fields.has("model_type") {
            return Err(fields.wrong("model_type", format!("one of {SUPPORTED}")));
        }
        // Fields that other families do not implement, and that this one does or has without using them.
        let implemented: &[&str] = match fields.text("model_type")? {
            "gpt_neox" => &["partial_rotary_factor"],
            "mistral" | "qwen2" => &["sliding_window"],
            "gpt2" | "llama" => &[],
            _ => return Err(fields.unsupported("model_type", SUPPORTED)),
        };
        refuse_foreign_fields(fields, implemented)?;
        match fields.text("model_type")? {
            "gpt2" => gpt2::Config::read(fields).map(Self::Gpt2),
            "llama" => llama::Config::read(fields).map(Self::Llama),
            "gpt_neox" => neox::Config::read(fields).map(Self::GptNeox),
            "mistral" => llama::Config::mistral(fields).map(Self::Mistral),
            "qwen2" => llama::Config::qwen2(fields).map(Self::Qwen2),
            _ => Err(fields.unsupported("model_type", SUPPORTED)),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "gpt2",
            Self::Llama(_) => "llama",
            Self::GptNeox(_) => "gpt_neox",
            Self::Mistral(_) => "mistral",
            Self::Qwen2(_) => "qwen2",
        }
    }

    /// The parts to load it from.
    pub(crate) fn parts(&self) -> &dyn Parts {
        match self {
            Self::Gpt2(config) => config,
            Self::GptNeox(config) => config,
            Self::Llama(config) | Self::Mistral(config) | Self::Qwen2(config) => config,
        }
    }

    pub(crate) fn outline(&self, weights: &WeightFiles) -> Outline {
        self.parts().outline(&|name| weights.contains(name))
    }

    pub(crate) fn load(&self, mut loader: Loader<'_>, outline: Outline) -> Result<Stack, ModelError> {
        let stack = Stack::load(self.parts(), outline, &mut loader)?;
        loader.finish(self.name())?;
        Ok(stack)
    }

    pub(crate) fn config(&self, end_of_text: Vec<u32>) -> ModelConfig {
        let outline = self.parts().outline(&|_| false);
        let Outline { vocabulary, context, hidden, .. } = outline;
        ModelConfig { vocabulary, context, hidden, end_of_text }
    }
}
