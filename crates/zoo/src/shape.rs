//! The sizes of a GPT-2 or Llama decoder: from `config.json`, to `config.json`, and the tensors they imply.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{draft::Values, error::ZooError};

const GPT2_EPSILON: f64 = 1e-5;
const LLAMA_EPSILON: f64 = 1e-6;
const ROTARY_BASE: f64 = 10_000.0;
/// The largest size a field may state.
const LARGEST: u64 = 1 << 20;

/// The decoder family and its sizes; everything else is as transformers has it by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Shape {
    /// GPT-2: learned positions, layer norms, one fused projection, the output matrix tied to the embedding.
    Gpt2(Gpt2Shape),
    /// Llama: rotary positions (base 10000), RMS norms, grouped key-value heads, SiLU gates, its own output matrix.
    Llama(LlamaShape),
}

/// The sizes of a GPT-2. Feed-forward layers are four times as wide as the residual stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpt2Shape {
    /// Number of tokens.
    pub vocabulary: usize,
    /// Number of positions.
    pub context: usize,
    /// Width of the residual stream, a multiple of `heads`.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of attention heads.
    pub heads: usize,
}

/// The sizes of a Llama. Heads are `hidden / heads` wide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaShape {
    /// Number of tokens.
    pub vocabulary: usize,
    /// Number of positions.
    pub context: usize,
    /// Width of the residual stream, a multiple of `heads`.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Number of query heads, a multiple of `key_value_heads`.
    pub heads: usize,
    /// Number of key and value heads.
    pub key_value_heads: usize,
    /// Width of the feed-forward layers.
    pub inner: usize,
}

/// How the values of a new tensor are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Start {
    /// All alike.
    Constant(f32),
    /// At random, with this standard deviation.
    Spread(f64),
}

/// A tensor that a shape implies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expected {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) start: Start,
}

/// How a linear layer's weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Orientation {
    /// `[outputs, inputs]`, as in Llama; embeddings too, where an output is a token.
    OutputsFirst,
    /// `[inputs, outputs]`, as in GPT-2.
    InputsFirst,
}

/// A reader of configuration fields that names what is missing.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn size(&self, field: &str) -> Result<usize, ZooError> {
        let size = self.0.get(field).and_then(Value::as_u64).filter(|size| (1..=LARGEST).contains(size));
        size.and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| wrong(field, format!("a whole number from 1 to {LARGEST}")))
    }

    /// Refuses another value than the one that is implemented; absent and null are fine.
    fn only(&self, field: &str, value: &Value) -> Result<(), ZooError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if found == value || (found.is_number() && found.as_f64() == value.as_f64()) => {
                Ok(())
            }
            Some(_) => Err(wrong(field, value.to_string())),
        }
    }
}

fn wrong(field: &str, expected: impl Into<String>) -> ZooError {
    ZooError::Field { field: field.to_owned(), expected: expected.into() }
}

impl Shape {
    /// Reads the sizes from the fields of `config.json`.
    ///
    /// # Errors
    /// Another family, sizes that are missing, settings that the zoo's decoders do not have.
    pub fn read(config: &Map<String, Value>) -> Result<Self, ZooError> {
        let fields = Fields(config);
        let shape = match config.get("model_type").and_then(Value::as_str) {
            Some("gpt2") => {
                let hidden = fields.size("n_embd")?;
                fields.only("n_inner", &json!(4 * hidden))?;
                fields.only("layer_norm_epsilon", &json!(GPT2_EPSILON))?;
                fields.only("activation_function", &json!("gelu_new"))?;
                fields.only("scale_attn_weights", &json!(true))?;
                fields.only("tie_word_embeddings", &json!(true))?;
                Self::Gpt2(Gpt2Shape {
                    vocabulary: fields.size("vocab_size")?,
                    context: fields.size("n_positions")?,
                    hidden,
                    layers: fields.size("n_layer")?,
                    heads: fields.size("n_head")?,
                })
            }
            Some("llama") => {
                let (hidden, heads) = (fields.size("hidden_size")?, fields.size("num_attention_heads")?);
                fields.only("head_dim", &json!(hidden / heads))?;
                fields.only("rms_norm_eps", &json!(LLAMA_EPSILON))?;
                fields.only("hidden_act", &json!("silu"))?;
                fields.only("attention_bias", &json!(false))?;
                fields.only("mlp_bias", &json!(false))?;
                fields.only("tie_word_embeddings", &json!(false))?;
                fields.only("rope_theta", &json!(ROTARY_BASE))?;
                fields.only("rope_scaling", &Value::Null)?;
                if let Some(Value::Object(rotary)) = config.get("rope_parameters") {
                    Fields(rotary).only("rope_theta", &json!(ROTARY_BASE))?;
                    Fields(rotary).only("rope_type", &json!("default"))?;
                }
                Self::Llama(LlamaShape {
                    vocabulary: fields.size("vocab_size")?,
                    context: fields.size("max_position_embeddings")?,
                    hidden,
                    layers: fields.size("num_hidden_layers")?,
                    heads,
                    key_value_heads: fields.size("num_key_value_heads")?,
                    inner: fields.size("intermediate_size")?,
                })
            }
            _ => return Err(wrong("model_type", "gpt2 or llama")),
        };
        shape.check_heads()?;
        Ok(shape)
    }

    fn check_heads(&self) -> Result<(), ZooError> {
        let (hidden, heads, shared) = match self {
            Self::Gpt2(shape) => (shape.hidden, shape.heads, shape.heads),
            Self::Llama(shape) => (shape.hidden, shape.heads, shape.key_value_heads),
        };
        if heads == 0 || shared == 0 || hidden % heads != 0 || heads % shared != 0 || hidden / heads % 2 != 0
        {
            return Err(wrong("heads", format!("heads of an even width that divide {hidden}")));
        }
        Ok(())
    }

    /// The fields of `config.json`, with token 0 as the end of a text.
    pub fn config(&self) -> Map<String, Value> {
        let config = match self {
            Self::Gpt2(shape) => json!({
                "architectures": ["GPT2LMHeadModel"],
                "model_type": "gpt2",
                "activation_function": "gelu_new",
                "layer_norm_epsilon": GPT2_EPSILON,
                "n_embd": shape.hidden,
                "n_head": shape.heads,
                "n_layer": shape.layers,
                "n_positions": shape.context,
                "vocab_size": shape.vocabulary,
                "tie_word_embeddings": true,
                "bos_token_id": 0,
                "eos_token_id": 0,
            }),
            Self::Llama(shape) => json!({
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "hidden_act": "silu",
                "rms_norm_eps": LLAMA_EPSILON,
                "rope_parameters": { "rope_theta": ROTARY_BASE, "rope_type": "default" },
                "attention_bias": false,
                "mlp_bias": false,
                "hidden_size": shape.hidden,
                "head_dim": shape.hidden / shape.heads,
                "intermediate_size": shape.inner,
                "max_position_embeddings": shape.context,
                "num_attention_heads": shape.heads,
                "num_hidden_layers": shape.layers,
                "num_key_value_heads": shape.key_value_heads,
                "vocab_size": shape.vocabulary,
                "tie_word_embeddings": false,
                "bos_token_id": 0,
                "eos_token_id": 0,
            }),
        };
        match config {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    /// Number of tokens.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Gpt2(shape) => shape.vocabulary,
            Self::Llama(shape) => shape.vocabulary,
        }
    }

    /// Number of positions.
    pub fn context(&self) -> usize {
        match self {
            Self::Gpt2(shape) => shape.context,
            Self::Llama(shape) => shape.context,
        }
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        match self {
            Self::Gpt2(shape) => shape.layers,
            Self::Llama(shape) => shape.layers,
        }
    }

    /// The name of the field that states the layers.
    pub(crate) fn layers_field(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "n_layer",
            Self::Llama(_) => "num_hidden_layers",
        }
    }

    /// What stands before a layer's number in the names of its tensors.
    pub(crate) fn layer_prefix(&self) -> &'static str {
        match self {
            Self::Gpt2(_) => "transformer.h.",
            Self::Llama(_) => "model.layers.",
        }
    }

    /// The matrices with a row for each token: the embedding first.
    pub(crate) fn token_matrices(&self) -> &'static [&'static str] {
        match self {
            Self::Gpt2(_) => &["transformer.wte.weight"],
            Self::Llama(_) => &["model.embed_tokens.weight", "lm_head.weight"],
        }
    }

    /// The tensors of the last norm, through which the logits scale.
    pub(crate) fn final_norm(&self) -> &'static [&'static str] {
        match self {
            Self::Gpt2(_) => &["transformer.ln_f.weight", "transformer.ln_f.bias"],
            Self::Llama(_) => &["model.norm.weight"],
        }
    }

    /// How the weight of this name is stored if it is that of a linear layer inside the network.
    pub(crate) fn linear(&self, name: &str) -> Option<Orientation> {
        let matrix = match self {
            Self::Gpt2(_) => (name.contains(".c_") && name.ends_with(".weight"), Orientation::InputsFirst),
            Self::Llama(_) => (name.ends_with("_proj.weight"), Orientation::OutputsFirst),
        };
        matrix.0.then_some(matrix.1)
    }

    /// The tensors of a model of this shape, in the order of the forward pass. Starting values are GPT-2's: weights
    /// with a standard deviation of 0.02, less by `sqrt(2 layers)` where a layer adds to the residual stream.
    pub(crate) fn tensors(&self) -> Vec<Expected> {
        const SPREAD: f64 = 0.02;
        let residual = SPREAD / (2.0 * self.layers() as f64).sqrt();
        let mut list = Vec::new();
        let mut add = |name: String, shape: &[usize], start: Start| {
            list.push(Expected { name, shape: shape.to_vec(), start });
        };
        let (one, zero, spread) = (Start::Constant(1.0), Start::Constant(0.0), Start::Spread(SPREAD));
        match self {
            Self::Gpt2(shape) => {
                let hidden = shape.hidden;
                add("transformer.wte.weight".into(), &[shape.vocabulary, hidden], spread);
                add("transformer.wpe.weight".into(), &[shape.context, hidden], spread);
                for layer in 0..shape.layers {
                    let linears = [
                        ("attn.c_attn", hidden, 3 * hidden, spread),
                        ("attn.c_proj", hidden, hidden, Start::Spread(residual)),
                        ("mlp.c_fc", hidden, 4 * hidden, spread),
                        ("mlp.c_proj", 4 * hidden, hidden, Start::Spread(residual)),
                    ];
                    for (name, inputs, outputs, start) in linears {
                        add(format!("transformer.h.{layer}.{name}.weight"), &[inputs, outputs], start);
                        add(format!("transformer.h.{layer}.{name}.bias"), &[outputs], zero);
                    }
                    for norm in ["ln_1", "ln_2"] {
                        add(format!("transformer.h.{layer}.{norm}.weight"), &[hidden], one);
                        add(format!("transformer.h.{layer}.{norm}.bias"), &[hidden], zero);
                    }
                }
                add("transformer.ln_f.weight".into(), &[hidden], one);
                add("transformer.ln_f.bias".into(), &[hidden], zero);
            }
            Self::Llama(shape) => {
                let hidden = shape.hidden;
                let shared = hidden / shape.heads * shape.key_value_heads;
                add("model.embed_tokens.weight".into(), &[shape.vocabulary, hidden], spread);
                for layer in 0..shape.layers {
                    let linears = [
                        ("self_attn.q_proj", hidden, hidden, spread),
                        ("self_attn.k_proj", shared, hidden, spread),
                        ("self_attn.v_proj", shared, hidden, spread),
                        ("self_attn.o_proj", hidden, hidden, Start::Spread(residual)),
                        ("mlp.gate_proj", shape.inner, hidden, spread),
                        ("mlp.up_proj", shape.inner, hidden, spread),
                        ("mlp.down_proj", hidden, shape.inner, Start::Spread(residual)),
                    ];
                    for (name, outputs, inputs, start) in linears {
                        add(format!("model.layers.{layer}.{name}.weight"), &[outputs, inputs], start);
                    }
                    for norm in ["input_layernorm", "post_attention_layernorm"] {
                        add(format!("model.layers.{layer}.{norm}.weight"), &[hidden], one);
                    }
                }
                add("model.norm.weight".into(), &[hidden], one);
                add("lm_head.weight".into(), &[shape.vocabulary, hidden], spread);
            }
        }
        list
    }

    /// Refuses tensors that are missing, of another shape, or not part of the model.
    pub(crate) fn check(&self, tensors: &BTreeMap<String, Values>) -> Result<(), ZooError> {
        let expected = self.tensors();
        for Expected { name, shape, .. } in &expected {
            match tensors.get(name) {
                Some(values)
                    if values.shape == *shape && values.data.len() == shape.iter().product::<usize>() => {}
                _ => {
                    return Err(ZooError::Shape {
                        tensor: name.clone(),
                        expected: format!("shape {shape:?}"),
                    });
                }
            }
        }
        let known: std::collections::BTreeSet<&str> = expected.iter().map(|one| one.name.as_str()).collect();
        match tensors.keys().find(|name| !known.contains(name.as_str())) {
            Some(name) => Err(ZooError::Shape {
                tensor: name.clone(),
                expected: "no such tensor in this family".into(),
            }),
            None => Ok(()),
        }
    }
}
