//! Llama: rotary positions, RMS norms, grouped key-value heads, a gated feed-forward layer.

use candle_core::Tensor;
use candle_nn::{Module, RmsNorm};
use serde::Serialize;

use crate::{
    attention::Heads,
    config::{Activation, Fields, as_text},
    decoder::{Architecture, Pass},
    error::ModelError,
    linear::{Layout, LinearGroup, LinearSpec, ModuleInfo, ModulePath},
    rotary::{Rotary, RotaryConfig},
    weights::{Head, Loader},
};

/// The fields of `config.json` that change the forward pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Config {
    pub(crate) vocabulary: usize,
    pub(crate) context: usize,
    pub(crate) hidden: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    head_width: usize,
    inner: usize,
    #[serde(serialize_with = "as_text")]
    epsilon: f64,
    activation: Activation,
    rotary: RotaryConfig,
    attention_bias: bool,
    inner_bias: bool,
    tied: bool,
}

impl Config {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        let hidden = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        let key_value_heads = fields.size_or("num_key_value_heads", heads)?;
        if heads % key_value_heads != 0 {
            return Err(
                fields.wrong("num_key_value_heads", format!("a divisor of num_attention_heads = {heads}"))
            );
        }
        if !fields.has("head_dim") && hidden % heads != 0 {
            return Err(fields.wrong("num_attention_heads", format!("a divisor of hidden_size = {hidden}")));
        }
        let head_width = fields.size_or("head_dim", hidden / heads)?;
        if head_width % 2 != 0 {
            return Err(fields.wrong("head_dim", "an even number, for rotary positions"));
        }
        Ok(Self {
            vocabulary: fields.size("vocab_size")?,
            context: fields.size("max_position_embeddings")?,
            hidden,
            layers: fields.size("num_hidden_layers")?,
            heads,
            key_value_heads,
            head_width,
            inner: fields.size("intermediate_size")?,
            epsilon: fields.positive("rms_norm_eps")?,
            activation: fields.activation("hidden_act")?,
            rotary: RotaryConfig::read(fields)?,
            attention_bias: fields.flag_or("attention_bias", false)?,
            inner_bias: fields.flag_or("mlp_bias", false)?,
            tied: fields.flag_or("tie_word_embeddings", false)?,
        })
    }
}

/// The model.
pub(crate) struct Llama {
    embedding: Tensor,
    blocks: Vec<Block>,
    norm: RmsNorm,
    output: Tensor,
    heads: Heads,
    frequencies: Vec<f64>,
    activation: Activation,
}

struct Block {
    attention_norm: RmsNorm,
    attention: LinearGroup<3>,
    attention_output: LinearGroup<1>,
    inner_norm: RmsNorm,
    inner: LinearGroup<2>,
    inner_output: LinearGroup<1>,
}

impl Llama {
    pub(crate) fn load(config: &Config, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let embedding_name = "model.embed_tokens.weight";
        let embedding = loader.tensor(embedding_name, &[config.vocabulary, config.hidden])?;
        let blocks = (0..config.layers)
            .map(|layer| Block::load(config, loader, layer))
            .collect::<Result<_, ModelError>>()?;
        let norm = rms_norm(config, loader, "model.norm")?;
        let output =
            loader.output_matrix(Head { name: embedding_name, embedding: &embedding, tied: config.tied })?;
        let heads = Heads {
            query: config.heads,
            key_value: config.key_value_heads,
            scale: (config.head_width as f64).sqrt().recip(),
        };
        let (frequencies, activation) = (config.rotary.frequencies(config.head_width), config.activation);
        Ok(Self { embedding, blocks, norm, output, heads, frequencies, activation })
    }
}

impl Block {
    fn load(config: &Config, loader: &mut Loader<'_>, layer: usize) -> Result<Self, ModelError> {
        let module = format!("model.layers.{layer}");
        let path = ModulePath { module: &module, stored: &module };
        let (hidden, inner) = (config.hidden, config.inner);
        let (all, shared) = (config.heads * config.head_width, config.key_value_heads * config.head_width);
        let linear =
            |inputs, outputs, bias| LinearSpec { inputs, outputs, bias, layout: Layout::OutputsFirst };
        let attention = |inputs, outputs| linear(inputs, outputs, config.attention_bias);
        let feed_forward = |inputs, outputs| linear(inputs, outputs, config.inner_bias);
        Ok(Self {
            attention_norm: rms_norm(config, loader, &format!("{module}.input_layernorm"))?,
            attention: LinearGroup::load(
                loader,
                path,
                [
                    ("self_attn.q_proj", attention(hidden, all)),
                    ("self_attn.k_proj", attention(hidden, shared)),
                    ("self_attn.v_proj", attention(hidden, shared)),
                ],
            )?,
            attention_output: LinearGroup::load(
                loader,
                path,
                [("self_attn.o_proj", attention(all, hidden))],
            )?,
            inner_norm: rms_norm(config, loader, &format!("{module}.post_attention_layernorm"))?,
            inner: LinearGroup::load(
                loader,
                path,
                [
                    ("mlp.gate_proj", feed_forward(hidden, inner)),
                    ("mlp.up_proj", feed_forward(hidden, inner)),
                ],
            )?,
            inner_output: LinearGroup::load(loader, path, [("mlp.down_proj", feed_forward(inner, hidden))])?,
        })
    }
}

fn rms_norm(config: &Config, loader: &mut Loader<'_>, name: &str) -> Result<RmsNorm, ModelError> {
    Ok(RmsNorm::new(loader.tensor(&format!("{name}.weight"), &[config.hidden])?, config.epsilon))
}

impl Architecture for Llama {
    fn hidden(&self, tokens: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let heads = self.heads;
        let rotary = Rotary::new(&self.frequencies, pass.past..pass.past + pass.positions)?;
        let mut x = self.embedding.index_select(tokens, 0)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let [query, key, value] =
                block.attention.forward(&block.attention_norm.forward(&x)?, pass.hook)?;
            let query = rotary.turn(&pass.split(&query, heads.query)?)?;
            let key = rotary.turn(&pass.split(&key, heads.key_value)?)?;
            let value = pass.split(&value, heads.key_value)?;
            let attended = pass.attend(layer, heads, (query, key, value))?;
            let [projected] = block.attention_output.forward(&attended, pass.hook)?;
            x = (x + projected)?;
            let [gate, up] = block.inner.forward(&block.inner_norm.forward(&x)?, pass.hook)?;
            let gated = (self.activation.apply(&gate)? * up)?;
            let [projected] = block.inner_output.forward(&gated, pass.hook)?;
            x = (x + projected)?;
        }
        Ok(self.norm.forward(&x)?)
    }

    fn output_matrix(&self) -> &Tensor {
        &self.output
    }

    fn layers(&self) -> usize {
        self.blocks.len()
    }

    fn modules(&self) -> Vec<ModuleInfo> {
        let mut modules = Vec::new();
        for block in &self.blocks {
            block.attention.describe(&mut modules);
            block.attention_output.describe(&mut modules);
            block.inner.describe(&mut modules);
            block.inner_output.describe(&mut modules);
        }
        modules
    }
}
