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
    decoder::{Block, LastNorm, Outline, Parts, Pass, Projected},
    error::ModelError,
    linear::{Layout, LinearGroup, LinearSpec, ModuleInfo, ModulePath},
    weights::Loader,
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

/// One layer.
struct Layer {
    heads: Heads,
    activation: Activation,
    attention_norm: LayerNorm,
    attention: LinearGroup<1>,
    attention_output: LinearGroup<1>,
    inner_norm: LayerNorm,
    inner: LinearGroup<1>,
    inner_output: LinearGroup<1>,
}

impl Layer {
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
        let width = hidden / config.heads;
        let scale = if config.scale_scores { (width as f64).sqrt().recip() } else { 1.0 };
        Ok(Self {
            heads: Heads { query: config.heads, key_value: config.heads, scale, window: None },
            activation: config.activation,
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
    let weight = loader.floats(&format!("{name}.weight"), &[config.hidden])?;
    let bias = loader.floats(&format!("{name}.bias"), &[config.hidden])?;
    Ok(LayerNorm::new(weight, bias, config.epsilon))
}

/// Tensor names begin with this in some checkpoints.
const PREFIX: &str = "transformer.";

fn prefix(contains: &dyn Fn(&str) -> bool) -> &'static str {
    if contains("wte.weight") { "" } else { PREFIX }
}

impl Parts for Config {
    fn outline(&self, contains: &dyn Fn(&str) -> bool) -> Outline {
        Outline {
            vocabulary: self.vocabulary,
            context: self.context,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            attention: 3 * self.hidden,
            inner: self.inner,
            embedding: format!("{}wte.weight", prefix(contains)),
            output: "lm_head.weight",
            tied: self.tied,
            frequencies: Vec::new(),
        }
    }

    fn positions(&self, loader: &mut Loader<'_>) -> Result<Option<Tensor>, ModelError> {
        let name = format!("{}wpe.weight", prefix(&|name| loader.contains(name)));
        Ok(Some(loader.floats(&name, &[self.context, self.hidden])?))
    }

    fn block(&self, loader: &mut Loader<'_>, layer: usize) -> Result<Box<dyn Block>, ModelError> {
        let stored = prefix(&|name| loader.contains(name));
        Ok(Box::new(Layer::load(self, loader, layer, stored)?))
    }

    fn norm(&self, loader: &mut Loader<'_>) -> Result<LastNorm, ModelError> {
        let name = format!("{}ln_f", prefix(&|name| loader.contains(name)));
        Ok(Box::new(layer_norm(self, loader, &name)?))
    }
}

impl Block for Layer {
    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let width = x.dim(1)?;
        let [fused] = self.attention.forward(&self.attention_norm.forward(x)?, pass.hook)?;
        let part = |index: usize| fused.narrow(1, index * width, width)?.contiguous();
        let projected = Projected { query: part(0)?, key: part(1)?, value: part(2)? };
        let attended = pass.attend(layer, self.heads, &projected)?;
        let [projected] = self.attention_output.forward(&attended, pass.hook)?;
        let x = (pass.kept(x)? + projected)?;
        let [inner] = self.inner.forward(&self.inner_norm.forward(&x)?, pass.hook)?;
        let [projected] = self.inner_output.forward(&self.activation.apply(&inner)?, pass.hook)?;
        Ok((x + projected)?)
    }

    fn describe(&self, modules: &mut Vec<ModuleInfo>) {
        for group in [&self.attention, &self.attention_output, &self.inner, &self.inner_output] {
            group.describe(modules);
        }
    }
}
