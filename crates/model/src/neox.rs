//! GPT-NeoX (Pythia): layer norms with biases, rotary positions on part of each head, attention and feed-forward layer
//! side by side, one fused projection whose rows are query, key and value of the first head, then of the second.

use candle_core::Tensor;
use candle_nn::{LayerNorm, Module};
use serde::Serialize;

use crate::{
    attention::Heads,
    config::{Activation, Fields, as_text},
    decoder::{Block, LastNorm, Outline, Parts, Pass, Projected},
    error::ModelError,
    linear::{Layout, LinearGroup, LinearSpec, ModuleInfo, ModulePath},
    rotary::RotaryConfig,
    weights::Loader,
};

/// The share of each head that turns where `config.json` does not say.
const DEFAULT_SHARE: f64 = 0.25;

/// The fields of `config.json` that change the forward pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Config {
    vocabulary: usize,
    context: usize,
    hidden: usize,
    layers: usize,
    heads: usize,
    /// Entries of each head that turn.
    turning: usize,
    inner: usize,
    #[serde(serialize_with = "as_text")]
    epsilon: f64,
    activation: Activation,
    rotary: RotaryConfig,
    attention_bias: bool,
    /// Whether both halves of a layer read the layer's input.
    parallel: bool,
    tied: bool,
}

impl Config {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        let hidden = fields.size("hidden_size")?;
        let heads = fields.size("num_attention_heads")?;
        if hidden % heads != 0 {
            return Err(fields.wrong("num_attention_heads", format!("a divisor of hidden_size = {hidden}")));
        }
        let mut share = None;
        for field in ["rotary_pct", "partial_rotary_factor"] {
            if fields.has(field) {
                share = Some(fields.positive(field)?);
            }
        }
        let (rotary, share) = RotaryConfig::read_partial(fields, "rotary_emb_base", share)?;
        let width = hidden / heads;
        // Cut off, as the models were trained.
        let turning = (width as f64 * share.unwrap_or(DEFAULT_SHARE)) as usize;
        if !turning.is_multiple_of(2) || turning == 0 || turning > width {
            let expected = format!("a share of the head's {width} entries that is an even number of them");
            return Err(fields.wrong("rotary_pct", expected));
        }
        Ok(Self {
            vocabulary: fields.size("vocab_size")?,
            context: fields.size("max_position_embeddings")?,
            hidden,
            layers: fields.size("num_hidden_layers")?,
            heads,
            turning,
            inner: fields.size("intermediate_size")?,
            epsilon: fields.positive("layer_norm_eps")?,
            activation: fields.activation("hidden_act")?,
            rotary,
            attention_bias: fields.flag_or("attention_bias", true)?,
            parallel: fields.flag_or("use_parallel_residual", true)?,
            tied: fields.flag_or("tie_word_embeddings", false)?,
        })
    }
}

/// One layer.
struct Layer {
    heads: Heads,
    activation: Activation,
    parallel: bool,
    attention_norm: LayerNorm,
    attention: LinearGroup<1>,
    attention_output: LinearGroup<1>,
    inner_norm: LayerNorm,
    inner: LinearGroup<1>,
    inner_output: LinearGroup<1>,
}

impl Layer {
    fn load(config: &Config, loader: &mut Loader<'_>, layer: usize) -> Result<Self, ModelError> {
        let (hidden, inner) = (config.hidden, config.inner);
        let module = format!("gpt_neox.layers.{layer}");
        let path = ModulePath { module: &module, stored: &module };
        let mut linear = |name: &str, inputs: usize, outputs: usize, bias: bool| {
            let spec = LinearSpec { inputs, outputs, bias, layout: Layout::OutputsFirst };
            LinearGroup::load(loader, path, [(name, spec)])
        };
        let attention = linear("attention.query_key_value", hidden, 3 * hidden, config.attention_bias)?;
        let attention_output = linear("attention.dense", hidden, hidden, config.attention_bias)?;
        let inner_layer = linear("mlp.dense_h_to_4h", hidden, inner, true)?;
        let inner_output = linear("mlp.dense_4h_to_h", inner, hidden, true)?;
        let scale = ((hidden / config.heads) as f64).sqrt().recip();
        Ok(Self {
            heads: Heads { query: config.heads, key_value: config.heads, scale, window: None },
            activation: config.activation,
            parallel: config.parallel,
            attention_norm: layer_norm(config, loader, &format!("{module}.input_layernorm"))?,
            attention,
            attention_output,
            inner_norm: layer_norm(config, loader, &format!("{module}.post_attention_layernorm"))?,
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

impl Parts for Config {
    fn outline(&self, _: &dyn Fn(&str) -> bool) -> Outline {
        Outline {
            vocabulary: self.vocabulary,
            context: self.context,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            attention: 3 * self.hidden,
            inner: self.inner,
            embedding: "gpt_neox.embed_in.weight".into(),
            output: "embed_out.weight",
            tied: self.tied,
            frequencies: self.rotary.frequencies(self.turning),
        }
    }

    fn block(&self, loader: &mut Loader<'_>, layer: usize) -> Result<Box<dyn Block>, ModelError> {
        Ok(Box::new(Layer::load(self, loader, layer)?))
    }

    fn norm(&self, loader: &mut Loader<'_>) -> Result<LastNorm, ModelError> {
        Ok(Box::new(layer_norm(self, loader, "gpt_neox.final_layer_norm")?))
    }
}

impl Block for Layer {
    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let (tokens, hidden) = x.dims2()?;
        let [fused] = self.attention.forward(&self.attention_norm.forward(x)?, pass.hook)?;
        let fused = fused.reshape((tokens, self.heads.query, 3, hidden / self.heads.query))?;
        let part = |index: usize| fused.narrow(2, index, 1)?.contiguous()?.reshape((tokens, hidden));
        let projected = Projected { query: part(0)?, key: part(1)?, value: part(2)? };
        let attended = pass.attend(layer, self.heads, &projected)?;
        let [attended] = self.attention_output.forward(&attended, pass.hook)?;
        let x = pass.kept(x)?;
        let after_attention = (&x + attended)?;
        let read = if self.parallel { &x } else { &after_attention };
        let [inner] = self.inner.forward(&self.inner_norm.forward(read)?, pass.hook)?;
        let [projected] = self.inner_output.forward(&self.activation.apply(&inner)?, pass.hook)?;
        Ok((after_attention + projected)?)
    }

    fn describe(&self, modules: &mut Vec<ModuleInfo>) {
        for group in [&self.attention, &self.attention_output, &self.inner, &self.inner_output] {
            group.describe(modules);
        }
    }
}
