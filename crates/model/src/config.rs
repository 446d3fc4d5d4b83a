//! Reading `config.json`: typed fields with their names in every error, and a guard against fields that would
//! change the forward pass in a way that is not implemented.

use std::path::{Path, PathBuf};

use lorica_tensor::files::read_at_most;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ModelError;

/// The largest JSON file that is read, in bytes.
pub(crate) const MAX_JSON_BYTES: u64 = 64 << 20;
/// The largest size a field may state; two of them still multiply without overflow.
const MAX_SIZE: u64 = 1 << 24;

/// The longest value that is shown in a message, in characters.
const MAX_SHOWN: usize = 100;

/// What a person and other crates need to know of a model before running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Number of tokens the model knows; logits have this many entries.
    pub vocabulary: usize,
    /// The largest number of positions.
    pub context: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Tokens that end a text; generation stops there. May be empty.
    pub end_of_text: Vec<u32>,
}

impl ModelConfig {
    pub(crate) fn check_context(&self, tokens: usize) -> Result<(), ModelError> {
        let allowed = self.context;
        if tokens > allowed { Err(ModelError::ContextExceeded { found: tokens, allowed }) } else { Ok(()) }
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let vocabulary = self.vocabulary;
        match tokens.iter().zip(0..).find(|(token, _)| **token as usize >= vocabulary) {
            Some((&token, position)) => {
                Err(ModelError::TokenBeyondVocabulary { position, token, vocabulary })
            }
            None => Ok(()),
        }
    }
}

/// The non-linearity of the feed-forward layers, by the names transformers gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Activation {
    Silu,
    GeluTanh,
    Gelu,
    Relu,
}

impl Activation {
    pub(crate) fn apply(self, x: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::GeluTanh => x.gelu(),
            Self::Gelu => x.gelu_erf(),
            Self::Relu => x.relu(),
        }
    }
}

/// Writes a number into the canonical configuration as text, in the shortest decimal form that reads back exactly
/// (`1e-5`): how a JSON library writes floats must not change a digest.
pub(crate) fn as_text<S: serde::Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:e}"))
}

/// The fields of a JSON object, read by name.
pub(crate) struct Fields {
    path: PathBuf,
    /// The path of the object inside the file, with a dot behind; empty for the whole file.
    within: String,
    fields: Map<String, Value>,
}

impl Fields {
    /// Reads a JSON file that holds one object.
    pub(crate) fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes = read_at_most(path, MAX_JSON_BYTES)?;
        let fields = serde_json::from_slice(&bytes)
            .map_err(|source| ModelError::Json { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), within: String::new(), fields })
    }

    /// A field that is there and not null.
    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        self.get(field).is_some()
    }

    /// The fields that are there and not null.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str())
    }

    /// A field's value as JSON, for a message.
    fn found(&self, field: &str) -> String {
        let Some(value) = self.fields.get(field) else { return "nothing".to_owned() };
        let text = value.to_string();
        match text.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }

    /// An error about a field: what it should hold.
    pub(crate) fn wrong(&self, field: &str, expected: impl Into<String>) -> ModelError {
        ModelError::Field {
            path: self.path.clone(),
            field: format!("{}{field}", self.within),
            expected: expected.into(),
            found: self.found(field),
        }
    }

    /// An error about a field whose value is understood but not implemented.
    pub(crate) fn unsupported(&self, field: &str, supported: impl Into<String>) -> ModelError {
        ModelError::Unsupported {
            path: self.path.clone(),
            field: format!("{}{field}", self.within),
            found: self.found(field),
            supported: supported.into(),
        }
    }

    /// A size between 1 and 2^24.
    pub(crate) fn size(&self, field: &str) -> Result<usize, ModelError> {
        self.get(field)
            .and_then(Value::as_u64)
            .filter(|size| (1..=MAX_SIZE).contains(size))
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| self.wrong(field, format!("a whole number between 1 and {MAX_SIZE}")))
    }

    /// A size, or a default where the field is absent or null.
    pub(crate) fn size_or(&self, field: &str, default: usize) -> Result<usize, ModelError> {
        if self.has(field) { self.size(field) } else { Ok(default) }
    }

    /// A finite number above 0.
    pub(crate) fn positive(&self, field: &str) -> Result<f64, ModelError> {
        self.get(field)
            .and_then(Value::as_f64)
            .filter(|number| number.is_finite() && *number > 0.0)
            .ok_or_else(|| self.wrong(field, "a number above 0"))
    }

    /// True or false, or a default where the field is absent or null.
    pub(crate) fn flag_or(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(field) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(field, "true or false")),
        }
    }

    /// A text.
    pub(crate) fn text(&self, field: &str) -> Result<&str, ModelError> {
        self.get(field).and_then(Value::as_str).ok_or_else(|| self.wrong(field, "a text"))
    }

    /// A text, or a default where the field is absent or null.
    pub(crate) fn text_or<'a>(&'a self, field: &str, default: &'a str) -> Result<&'a str, ModelError> {
        if self.has(field) { self.text(field) } else { Ok(default) }
    }

    /// The non-linearity named by a field.
    pub(crate) fn activation(&self, field: &str) -> Result<Activation, ModelError> {
        match self.text(field)? {
            "silu" | "swish" => Ok(Activation::Silu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            _ => Err(self.unsupported(field, "silu, swish, gelu_new, gelu_pytorch_tanh, gelu, relu")),
        }
    }

    /// Token ids: a number, a list of numbers, or nothing.
    pub(crate) fn token_ids(&self, field: &str) -> Result<Vec<u32>, ModelError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match self.get(field) {
            None => Some(Vec::new()),
            Some(Value::Array(values)) => values.iter().map(id).collect(),
            Some(value) => id(value).map(|id| vec![id]),
        };
        ids.ok_or_else(|| self.wrong(field, "a token id or a list of token ids"))
    }

    /// The object a field holds, if there is one.
    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>, ModelError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self {
                path: self.path.clone(),
                within: format!("{}{field}.", self.within),
                fields: fields.clone(),
            })),
            Some(_) => Err(self.wrong(field, "an object")),
        }
    }

    /// The text values of the whole object.
    pub(crate) fn texts(&self) -> Result<Vec<(&str, &str)>, ModelError> {
        self.fields.keys().map(|name| Ok((name.as_str(), self.text(name)?))).collect()
    }

    /// Refuses a field that is there with another value than the one that leaves the forward pass as implemented.
    /// Absent, null and that value are fine.
    pub(crate) fn only(&self, field: &str, neutral: impl Into<Value>) -> Result<(), ModelError> {
        let neutral = neutral.into();
        let same =
            |value: &Value| *value == neutral || (neutral.is_number() && value.as_f64() == neutral.as_f64());
        match self.get(field) {
            Some(value) if !same(value) => Err(self.unsupported(field, format!("absent or {neutral}"))),
            _ => Ok(()),
        }
    }
}

/// Refuses the fields that would change the forward pass of any decoder family, save those the family implements.
pub(crate) fn refuse_foreign_fields(fields: &Fields, implemented: &[&str]) -> Result<(), ModelError> {
    let foreign = |field: &&&str| !implemented.contains(*field);
    for field in ["is_encoder_decoder", "add_cross_attention", "use_sliding_window"].iter().filter(foreign) {
        fields.only(field, false)?;
    }
    for field in [
        "attn_logit_softcapping",
        "attention_chunk_size",
        "final_logit_softcapping",
        "logit_softcapping",
        "num_experts",
        "num_local_experts",
        "quantization_config",
        "sliding_window",
    ]
    .iter()
    .filter(foreign)
    {
        fields.only(field, Value::Null)?;
    }
    for field in [
        "attention_multiplier",
        "embedding_multiplier",
        "logit_scale",
        "logits_scaling",
        "partial_rotary_factor",
        "residual_multiplier",
    ]
    .iter()
    .filter(foreign)
    {
        fields.only(field, 1.0)?;
    }
    let full = |kind: &Value| kind.as_str() == Some("full_attention");
    match fields.get("layer_types") {
        Some(Value::Array(kinds)) if kinds.iter().all(full) => Ok(()),
        Some(_) => Err(fields.unsupported("layer_types", "full_attention in every layer")),
        None => Ok(()),
    }
}
