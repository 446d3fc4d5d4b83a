//! A decoder with gradients: tokens in, logits out, over the tensors of a [`Draft`].

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::{Rng, RngExt};

use super::{
    fused::gelu,
    layer::{Heads, Rotary, layer_norm, rms_norm},
    text::Batch,
};
use crate::{
    draft::{Draft, Values},
    error::ZooError,
    shape::{Gpt2Shape, LlamaShape, Shape, Start},
};

const GPT2_EPSILON: f64 = 1e-5;
const LLAMA_EPSILON: f64 = 1e-6;

/// A decoder made of candle tensors.
pub struct Network {
    shape: Shape,
    tensors: BTreeMap<String, Tensor>,
    variables: Vec<Var>,
}

impl Network {
    /// The network of a draft, all of whose tensors can be trained.
    ///
    /// # Errors
    /// Tensors that do not fit the configuration.
    pub fn trainable(draft: &Draft) -> Result<Self, ZooError> {
        let mut network = Self::frozen(draft)?;
        for tensor in network.tensors.values_mut() {
            let variable = Var::from_tensor(tensor)?;
            // A variable shares its storage with this tensor, so that steps of the optimiser are seen.
            *tensor = variable.as_tensor().clone();
            network.variables.push(variable);
        }
        Ok(network)
    }

    /// The network of a draft, to be asked only.
    ///
    /// # Errors
    /// Tensors that do not fit the configuration.
    pub fn frozen(draft: &Draft) -> Result<Self, ZooError> {
        let shape = draft.shape()?;
        shape.check(&draft.tensors)?;
        let tensors = draft
            .tensors
            .iter()
            .map(|(name, values)| {
                let tensor = Tensor::from_slice(&values.data, values.shape.as_slice(), &Device::Cpu)?;
                Ok((name.clone(), tensor))
            })
            .collect::<Result<_, ZooError>>()?;
        Ok(Self { shape, tensors, variables: Vec::new() })
    }

    /// The sizes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// What can be trained.
    pub fn variables(&self) -> &[Var] {
        &self.variables
    }

    /// Copies the tensors as they are now into a draft.
    ///
    /// # Errors
    /// A tensor that cannot be read back.
    pub fn store(&self, draft: &mut Draft) -> Result<(), ZooError> {
        for (name, tensor) in &self.tensors {
            let (shape, data) = (tensor.dims().to_vec(), tensor.flatten_all()?.to_vec1()?);
            draft.tensors.insert(name.clone(), Values { shape, data });
        }
        Ok(())
    }

    /// The logits `[sequences * positions, vocabulary]` at every input token of a batch.
    ///
    /// # Errors
    /// More positions than the context, tokens beyond the vocabulary.
    pub fn logits(&self, batch: &Batch) -> Result<Tensor, ZooError> {
        if batch.positions > self.shape.context() {
            return Err(ZooError::Setting {
                setting: "window",
                expected: format!("at most the context, {}", self.shape.context()),
                found: batch.positions.to_string(),
            });
        }
        match &self.shape {
            Shape::Gpt2(shape) => self.gpt2(shape, batch),
            Shape::Llama(shape) => self.llama(shape, batch),
        }
    }

    fn get(&self, name: &str) -> Result<&Tensor, ZooError> {
        self.tensors
            .get(name)
            .ok_or_else(|| ZooError::Shape { tensor: name.to_owned(), expected: "it to be there".into() })
    }

    fn gpt2(&self, shape: &Gpt2Shape, batch: &Batch) -> Result<Tensor, ZooError> {
        let Gpt2Shape { hidden, heads, layers, .. } = *shape;
        let Batch { sequences, positions, .. } = *batch;
        let heads = Heads { sequences, positions, query: heads, key_value: heads, width: hidden / heads };
        let embedding = self.get("transformer.wte.weight")?;
        let places = self.get("transformer.wpe.weight")?.narrow(0, 0, positions)?;
        let norm = |x: &Tensor, name: &str| -> Result<Tensor, ZooError> {
            let (weight, bias) = (format!("transformer.{name}.weight"), format!("transformer.{name}.bias"));
            Ok(layer_norm(x, self.get(&weight)?, self.get(&bias)?, GPT2_EPSILON)?)
        };
        let linear = |x: &Tensor, name: &str| -> Result<Tensor, ZooError> {
            let (weight, bias) = (format!("transformer.{name}.weight"), format!("transformer.{name}.bias"));
            Ok(x.matmul(self.get(&weight)?)?.broadcast_add(self.get(&bias)?)?)
        };
        let mut x = embedding
            .index_select(&batch.input()?, 0)?
            .reshape((sequences, positions, hidden))?
            .broadcast_add(&places)?
            .reshape((sequences * positions, hidden))?;
        for layer in 0..layers {
            let name = |part: &str| format!("h.{layer}.{part}");
            let fused = linear(&norm(&x, &name("ln_1"))?, &name("attn.c_attn"))?;
            let part = |index: usize| heads.split(&fused.narrow(1, index * hidden, hidden)?, heads.query);
            let attended = heads.attend(&part(0)?, &part(1)?, &part(2)?)?;
            x = (x + linear(&attended, &name("attn.c_proj"))?)?;
            let inner = gelu(&linear(&norm(&x, &name("ln_2"))?, &name("mlp.c_fc"))?)?;
            x = (x + linear(&inner, &name("mlp.c_proj"))?)?;
        }
        Ok(norm(&x, "ln_f")?.matmul(&embedding.t()?)?)
    }

    fn llama(&self, shape: &LlamaShape, batch: &Batch) -> Result<Tensor, ZooError> {
        let LlamaShape { hidden, heads, key_value_heads, layers, .. } = *shape;
        let Batch { sequences, positions, .. } = *batch;
        let heads =
            Heads { sequences, positions, query: heads, key_value: key_value_heads, width: hidden / heads };
        let rotary = Rotary::new(positions, heads.width)?;
        let norm = |x: &Tensor, name: &str| -> Result<Tensor, ZooError> {
            Ok(rms_norm(x, self.get(&format!("model.{name}.weight"))?, LLAMA_EPSILON)?)
        };
        let linear = |x: &Tensor, name: &str| -> Result<Tensor, ZooError> {
            Ok(x.matmul(&self.get(&format!("model.{name}.weight"))?.t()?)?)
        };
        let mut x = self.get("model.embed_tokens.weight")?.index_select(&batch.input()?, 0)?;
        for layer in 0..layers {
            let name = |part: &str| format!("layers.{layer}.{part}");
            let normed = norm(&x, &name("input_layernorm"))?;
            let project = |part: &str, count: usize| -> Result<Tensor, ZooError> {
                Ok(heads.split(&linear(&normed, &name(part))?, count)?)
            };
            let query = rotary.turn(&project("self_attn.q_proj", heads.query)?)?;
            let key = rotary.turn(&project("self_attn.k_proj", heads.key_value)?)?;
            let value = project("self_attn.v_proj", heads.key_value)?;
            let attended = heads.attend(&query, &key, &value)?;
            x = (x + linear(&attended, &name("self_attn.o_proj"))?)?;
            let normed = norm(&x, &name("post_attention_layernorm"))?;
            let gate = linear(&normed, &name("mlp.gate_proj"))?.silu()?;
            let inner = (gate * linear(&normed, &name("mlp.up_proj"))?)?;
            x = (x + linear(&inner, &name("mlp.down_proj"))?)?;
        }
        Ok(norm(&x, "norm")?.matmul(&self.get("lm_head.weight")?.t()?)?)
    }
}

/// A model of a shape with random weights, uniform with the standard deviation that each tensor starts with.
pub fn random(shape: &Shape, tokenizer: Vec<u8>, rng: &mut impl Rng) -> Draft {
    let tensors = shape
        .tensors()
        .into_iter()
        .map(|tensor| {
            let count = tensor.shape.iter().product();
            let data = match tensor.start {
                Start::Constant(value) => vec![value; count],
                Start::Spread(deviation) => {
                    // A uniform number between -b and b has standard deviation b / sqrt(3).
                    let bound = deviation * 3f64.sqrt();
                    (0..count).map(|_| rng.random_range(-bound..bound) as f32).collect()
                }
            };
            (tensor.name, Values { shape: tensor.shape, data })
        })
        .collect();
    Draft { config: shape.config(), tokenizer, tensors }
}
