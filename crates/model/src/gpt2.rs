//! GPT-2: learned positions, layer norms with biases, one fused projection for query, key and value.
//!
//! Linear layers are Conv1D, stored `[inputs, outputs]`. Checkpoints name tensors with or without the prefix
//! `transformer.`; module names always have it, as in the model with its output layer.

use candle_core::Tensor;
use candle_nn::{LayerNorm, Module};
use serde::Serialize;

use crate::{
    attention::Heads,
    config::{Activation, Fields, as_text},
    decoder::{Architecture, Pass},
    error::ModelError,
    linear::{Layout, LinearGroup, LinearSpec, ModuleInfo, ModulePath},
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
    inner: usize,
    #[serde(serialize_with = "as_text")]
    epsilon: f64,
    activation: Activation,
    scale_scores: bool,
    tied: bool,
}

impl Config {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        fields.only("scale_attn_by_inverse_layer_idx", false)?;
        fields.only("reorder_and_upcast_attn", false)?;
        let hidden = fields.size("n_embd")?;
        let heads = fields.size("n_head")?;
        if hidden % heads != 0 {
            return Err(fields.wrong("n_head", format!("a divisor of n_embd = {hidden}")));
        }
        Ok(Self {
            vocabulary: fields.size("vocab_size")?,
            context: fields.size("n_positions")?,
            hidden,
            layers: fields.size("n_layer")?,
            heads,
            inner: fields.size_or("n_inner", 4 * hidden)?,
            epsilon: fields.positive("layer_norm_epsilon")?,
            activation: fields.activation("activation_function")?,
            scale_scores: fields.flag_or("scale_attn_weights", true)?,
            tied: fields.flag_or("tie_word_embeddings", true)?,
        })
    }
}

/// The model.
pub(crate) struct Gpt2 {
    token_embedding: Tensor,
    position_embedding: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    output: Tensor,
    heads: Heads,
    activation: Activation,
}

struct Block {
    attention_norm: LayerNorm,
    attention: LinearGroup<1>,
    attention_output: LinearGroup<1>,
    inner_norm: LayerNorm,
    inner: LinearGroup<1>,
    inner_output: LinearGroup<1>,
}

impl Gpt2 {
    pub(crate) fn load(config: &Config, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let stored = if loader.contains("wte.weight") { "" } else { "transformer." };
        let hidden = config.hidden;
        let embedding_name = format!("{stored}wte.weight");
        let token_embedding = loader.tensor(&embedding_name, &[config.vocabulary, hidden])?;
        let position_embedding = loader.tensor(&format!("{stored}wpe.weight"), &[config.context, hidden])?;
        let blocks = (0..config.layers)
            .map(|layer| Block::load(config, loader, layer, stored))
            .collect::<Result<_, ModelError>>()?;
        let norm = layer_norm(config, loader, &format!("{stored}ln_f"))?;
        let output = loader.output_matrix(Head {
            name: &embedding_name,
            embedding: &token_embedding,
            tied: config.tied,
        })?;
        let width = hidden / config.heads;
        let scale = if config.scale_scores { (width as f64).sqrt().recip() } else { 1.0 };
        let heads = Heads { query: config.heads, key_value: config.heads, scale };
        let activation = config.activation;
        Ok(Self { token_embedding, position_embedding, blocks, norm, output, heads, activation })
    }
}

impl Block {
    fn load(
        config: &Config,
        loader: &mut Loader<'_>,
        layer: usize,
        stored: &str,
    ) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden, config.inner);
        let module = format!("transformer.h.{layer}");
        let stored = format!("{stored}h.{layer}");
        let path = ModulePath { module: &module, stored: &stored };
        let mut linear = |name: &str, inputs: usize, outputs: usize| {
            let spec = LinearSpec { inputs, outputs, bias: true, layout: Layout::InputsFirst };
            LinearGroup::load(loader, path, [(name, spec)])
        };
        let attention = linear("attn.c_attn", hidden, 3 * hidden)?;
        let attention_output = linear("attn.c_proj", hidden, hidden)?;
        let inner_layer = linear("mlp.c_fc", hidden, inner)?;
        let inner_output = linear("mlp.c_proj", inner, hidden)?;
        Ok(Self {
            attention_norm: layer_norm(config, loader, &format!("{stored}.ln_1"))?,
            attention,
            attention_output,
            inner_norm: layer_norm(config, loader, &format!("{stored}.ln_2"))?,
            inner: inner_layer,
            inner_output,
        })
    }
}

fn layer_norm(config: &Config, loader: &mut Loader<'_>, name: &str) -> Result<LayerNorm, ModelError> {
    let weight = loader.tensor(&format!("{name}.weight"), &[config.hidden])?;
    let bias = loader.tensor(&format!("{name}.bias"), &[config.hidden])?;
    Ok(LayerNorm::new(weight, bias, config.epsilon))
}

impl Architecture for Gpt2 {
    fn hidden(&self, tokens: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let (sequences, positions) = (pass.sequences, pass.positions);
        let embedded = self.token_embedding.index_select(tokens, 0)?;
        let width = embedded.dim(1)?;
        let mut x = embedded
            .reshape((sequences, positions, width))?
            .broadcast_add(&self.position_embedding.narrow(0, pass.past, positions)?)?
            .reshape((sequences * positions, width))?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let [fused] = block.attention.forward(&block.attention_norm.forward(&x)?, pass.hook)?;
            let part = |index: usize| {
                pass.split(&fused.narrow(1, index * width, width)?.contiguous()?, self.heads.query)
            };
            let parts = (part(0)?, part(1)?, part(2)?);
            let attended = pass.attend(layer, self.heads, parts)?;
            let [projected] = block.attention_output.forward(&attended, pass.hook)?;
            x = (x + projected)?;
            let [inner] = block.inner.forward(&block.inner_norm.forward(&x)?, pass.hook)?;
            let [projected] = block.inner_output.forward(&self.activation.apply(&inner)?, pass.hook)?;
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
            for group in [&block.attention, &block.attention_output, &block.inner, &block.inner_output] {
                group.describe(&mut modules);
            }
        }
        modules
    }
}
