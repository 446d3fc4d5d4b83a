//! Llama: rotary positions, RMS norms, grouped key-value heads, a gated feed-forward layer. Mistral and Qwen 2 are the
//! same blocks with a window or with other biases.

use candle_core::Tensor;
use candle_nn::{Module, RmsNorm};
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
    /// On query, key and value, and on the output where that is not set apart.
    attention_bias: bool,
    inner_bias: bool,
    tied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention_output_bias: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<usize>,
}

impl Config {
    pub(crate) fn read(fields: &Fields) -> Result<Self, ModelError> {
        Ok(Self {
            attention_bias: fields.flag_or("attention_bias", false)?,
            inner_bias: fields.flag_or("mlp_bias", false)?,
            ..Self::without_biases(fields)?
        })
    }

    /// Mistral: no biases, and a window where `sliding_window` is a number.
    pub(crate) fn mistral(fields: &Fields) -> Result<Self, ModelError> {
        let window = if fields.has("sliding_window") { Some(fields.size("sliding_window")?) } else { None };
        Ok(Self { window, ..Self::without_biases(fields)? })
    }

    /// Qwen 2: biases on query, key and value alone. Its `sliding_window` is in use only where `use_sliding_window`
    /// says so, which is refused.
    pub(crate) fn qwen2(fields: &Fields) -> Result<Self, ModelError> {
        Ok(Self { attention_bias: true, attention_output_bias: Some(false), ..Self::without_biases(fields)? })
    }

    /// The fields that all of them have.
    fn without_biases(fields: &Fields) -> Result<Self, ModelError> {
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
            attention_bias: false,
            inner_bias: false,
            attention_output_bias: None,
            window: None,
            tied: fields.flag_or("tie_word_embeddings", false)?,
        })
    }
}

/// One layer.
struct Layer {
    heads: Heads,
    activation: Activation,
    attention_norm: RmsNorm,
    attention: LinearGroup<3>,
    attention_output: LinearGroup<1>,
    inner_norm: RmsNorm,
    inner: LinearGroup<2>,
    inner_output: LinearGroup<1>,
}

impl Layer {
    fn load(config: &Config, loader: &mut Loader<'_>, layer: usize) -> Result<Self, ModelError> {
        let module = format!("model.layers.{layer}");
        let path = ModulePath { module: &module, stored: &module };
        let (hidden, inner) = (config.hidden, config.inner);
        let (all, shared) = (config.heads * config.head_width, config.key_value_heads * config.head_width);
        let linear =
            |inputs, outputs, bias| LinearSpec { inputs, outputs, bias, layout: Layout::OutputsFirst };
        let attention = |inputs, outputs| linear(inputs, outputs, config.attention_bias);
        let output_bias = config.attention_output_bias.unwrap_or(config.attention_bias);
        let feed_forward = |inputs, outputs| linear(inputs, outputs, config.inner_bias);
        Ok(Self {
            heads: Heads {
                query: config.heads,
                key_value: config.key_value_heads,
                scale: (config.head_width as f64).sqrt().recip(),
                window: config.window,
            },
            activation: config.activation,
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
                [("self_attn.o_proj", linear(all, hidden, output_bias))],
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
    Ok(RmsNorm::new(loader.floats(&format!("{name}.weight"), &[config.hidden])?, config.epsilon))
}

impl Parts for Config {
    fn outline(&self, _: &dyn Fn(&str) -> bool) -> Outline {
        Outline {
            vocabulary: self.vocabulary,
            context: self.context,
            hidden: self.hidden,
            layers: self.layers,
            heads: self.heads,
            attention: (self.heads + 2 * self.key_value_heads) * self.head_width,
            inner: 2 * self.inner,
            embedding: "model.embed_tokens.weight".into(),
            output: "lm_head.weight",
            tied: self.tied,
            frequencies: self.rotary.frequencies(self.head_width),
        }
    }

    fn block(&self, loader: &mut Loader<'_>, layer: usize) -> Result<Box<dyn Block>, ModelError> {
        Ok(Box::new(Layer::load(self, loader, layer)?))
    }

    fn norm(&self, loader: &mut Loader<'_>) -> Result<LastNorm, ModelError> {
        Ok(Box::new(rms_norm(self, loader, "model.norm")?))
    }
}

impl Block for Layer {
    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let [query, key, value] = self.attention.forward(&self.attention_norm.forward(x)?, pass.hook)?;
        let attended = pass.attend(layer, self.heads, &Projected { query, key, value })?;
        let [projected] = self.attention_output.forward(&attended, pass.hook)?;
        let x = (pass.kept(x)? + projected)?;
        let [gate, up] = self.inner.forward(&self.inner_norm.forward(&x)?, pass.hook)?;
        let gated = (self.activation.apply(&gate)? * up)?;
        let [projected] = self.inner_output.forward(&gated, pass.hook)?;
        Ok((x + projected)?)
    }

    fn describe(&self, modules: &mut Vec<ModuleInfo>) {
        self.attention.describe(modules);
        self.attention_output.describe(modules);
        self.inner.describe(modules);
        self.inner_output.describe(modules);
    }
}
