//! Decoders written out as their papers do, one number at a time in double precision: what the crate is compared with.
//! Nothing here is shared with the crate.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A deterministic source of small numbers.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in `[-1, 1)`.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// A tensor with its shape, row-major.
#[derive(Clone)]
pub struct Matrix {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

pub type Weights = BTreeMap<String, Matrix>;

/// A family's small model: its configuration and random weights.
pub struct Model {
    pub config: Value,
    pub weights: Weights,
}

pub const VOCABULARY: usize = 61;
const HIDDEN: usize = 24;
const INNER: usize = 40;
const LAYERS: usize = 3;
const CONTEXT: usize = 64;

fn filled(weights: &mut Weights, numbers: &mut Numbers, name: &str, shape: &[usize], scale: f64) {
    let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
    let count = shape.iter().product();
    let values = (0..count).map(|_| (offset + scale * numbers.next()) as f32).collect();
    weights.insert(name.to_owned(), Matrix { shape: shape.to_vec(), values });
}

/// Llama, Mistral and Qwen 2: 4 query heads, 2 key-value heads of width 6.
pub fn llama_like(kind: &str, seed: u64) -> Model {
    let mut numbers = Numbers::new(seed);
    let mut weights = Weights::new();
    let mut add = |name: &str, shape: &[usize], scale| filled(&mut weights, &mut numbers, name, shape, scale);
    add("model.embed_tokens.weight", &[VOCABULARY, HIDDEN], 1.0);
    add("model.norm.weight", &[HIDDEN], 0.3);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}");
        add(&name("input_layernorm.weight"), &[HIDDEN], 0.3);
        add(&name("post_attention_layernorm.weight"), &[HIDDEN], 0.3);
        for (part, outputs) in [("q", 24), ("k", 12), ("v", 12)] {
            add(&name(&format!("self_attn.{part}_proj.weight")), &[outputs, HIDDEN], 0.4);
            if kind == "qwen2" {
                add(&name(&format!("self_attn.{part}_proj.bias")), &[outputs], 0.4);
            }
        }
        add(&name("self_attn.o_proj.weight"), &[HIDDEN, 24], 0.4);
        add(&name("mlp.gate_proj.weight"), &[INNER, HIDDEN], 0.4);
        add(&name("mlp.up_proj.weight"), &[INNER, HIDDEN], 0.4);
        add(&name("mlp.down_proj.weight"), &[HIDDEN, INNER], 0.4);
    }
    let tied = kind == "qwen2";
    if !tied {
        add("lm_head.weight", &[VOCABULARY, HIDDEN], 0.5);
    }
    let mut config = json!({
        "model_type": kind, "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0,
        "tie_word_embeddings": tied, "sliding_window": null,
    });
    match kind {
        "mistral" => config["sliding_window"] = json!(5),
        // Stated, and not in use.
        "qwen2" => {
            config["sliding_window"] = json!(5);
            config["use_sliding_window"] = json!(false);
            config["max_window_layers"] = json!(2);
        }
        _ => (),
    }
    Model { config, weights }
}

/// GPT-NeoX: 3 heads of width 8, of which 4 entries turn.
pub fn neox(parallel: bool, seed: u64) -> Model {
    let mut numbers = Numbers::new(seed);
    let mut weights = Weights::new();
    let mut add = |name: &str, shape: &[usize], scale| filled(&mut weights, &mut numbers, name, shape, scale);
    add("gpt_neox.embed_in.weight", &[VOCABULARY, HIDDEN], 1.0);
    add("embed_out.weight", &[VOCABULARY, HIDDEN], 0.5);
    let both = |add: &mut dyn FnMut(&str, &[usize], f64), name: String, shape: &[usize], scale: f64| {
        add(&format!("{name}.weight"), shape, scale);
        add(&format!("{name}.bias"), &shape[..1], scale);
    };
    both(&mut add, "gpt_neox.final_layer_norm".into(), &[HIDDEN], 0.3);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
        both(&mut add, name("input_layernorm"), &[HIDDEN], 0.3);
        both(&mut add, name("post_attention_layernorm"), &[HIDDEN], 0.3);
        both(&mut add, name("attention.query_key_value"), &[3 * HIDDEN, HIDDEN], 0.4);
        both(&mut add, name("attention.dense"), &[HIDDEN, HIDDEN], 0.4);
        both(&mut add, name("mlp.dense_h_to_4h"), &[INNER, HIDDEN], 0.4);
        both(&mut add, name("mlp.dense_4h_to_h"), &[HIDDEN, INNER], 0.4);
        // A buffer of older checkpoints, which holds no weights.
        add(&name("attention.rotary_emb.inv_freq"), &[2], 1.0);
    }
    let config = json!({
        "model_type": "gpt_neox", "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 3, "max_position_embeddings": CONTEXT,
        "layer_norm_eps": 1e-5, "hidden_act": "gelu", "rotary_pct": 0.5, "rotary_emb_base": 10000,
        "use_parallel_residual": parallel, "tie_word_embeddings": false,
    });
    Model { config, weights }
}

impl Model {
    fn row(&self, name: &str, row: usize) -> Vec<f64> {
        let matrix = &self.weights[name];
        let width = matrix.shape[1];
        matrix.values[row * width..(row + 1) * width].iter().copied().map(f64::from).collect()
    }

    fn vector(&self, name: &str) -> Vec<f64> {
        self.weights[name].values.iter().copied().map(f64::from).collect()
    }

    /// `W x + b`, without b where there is none.
    fn linear(&self, module: &str, x: &[f64]) -> Vec<f64> {
        let weight = format!("{module}.weight");
        let bias = self.weights.get(&format!("{module}.bias"));
        (0..self.weights[&weight].shape[0])
            .map(|row| {
                let sum: f64 = self.row(&weight, row).iter().zip(x).map(|(w, x)| w * x).sum();
                sum + bias.map_or(0.0, |bias| f64::from(bias.values[row]))
            })
            .collect()
    }

    fn rms_norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + 1e-6).sqrt();
        self.vector(&format!("{name}.weight")).iter().zip(x).map(|(w, x)| w * x * scale).collect()
    }

    fn layer_norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let (weight, bias) = (self.vector(&format!("{name}.weight")), self.vector(&format!("{name}.bias")));
        (0..x.len()).map(|i| weight[i] * (x[i] - mean) / (variance + 1e-5).sqrt() + bias[i]).collect()
    }

    /// The logits at every position.
    pub fn logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        if self.config["model_type"] == "gpt_neox" {
            self.neox_logits(tokens)
        } else {
            self.llama_logits(tokens)
        }
    }

    fn llama_logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let qwen = self.config["model_type"] == "qwen2";
        let window = if self.config["model_type"] == "mistral" {
            self.config["sliding_window"].as_u64()
        } else {
            None
        };
        let mut xs: Vec<Vec<f64>> =
            tokens.iter().map(|&t| self.row("model.embed_tokens.weight", t as usize)).collect();
        for layer in 0..LAYERS {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let normed: Vec<_> = xs.iter().map(|x| self.rms_norm(&name("input_layernorm"), x)).collect();
            let project = |part: &str| -> Vec<Vec<f64>> {
                normed.iter().map(|x| self.linear(&name(&format!("self_attn.{part}_proj")), x)).collect()
            };
            let (queries, keys, values) = (project("q"), project("k"), project("v"));
            for position in 0..xs.len() {
                let mut mixed = Vec::new();
                for head in 0..4 {
                    let part = |x: &[f64], head: usize| x[6 * head..6 * head + 6].to_vec();
                    let query = turned(part(&queries[position], head), position, 6);
                    let first = window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
                    let seen =
                        |at: usize| (turned(part(&keys[at], head / 2), at, 6), part(&values[at], head / 2));
                    mixed.extend(attention(&query, &(first..=position).map(seen).collect::<Vec<_>>()));
                }
                add(&mut xs[position], &self.linear(&name("self_attn.o_proj"), &mixed));
                let normed = self.rms_norm(&name("post_attention_layernorm"), &xs[position]);
                let gate = self.linear(&name("mlp.gate_proj"), &normed);
                let up = self.linear(&name("mlp.up_proj"), &normed);
                let inner: Vec<f64> =
                    gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
                add(&mut xs[position], &self.linear(&name("mlp.down_proj"), &inner));
            }
        }
        let output = if qwen { "model.embed_tokens" } else { "lm_head" };
        xs.iter().map(|x| self.linear(output, &self.rms_norm("model.norm", x))).collect()
    }

    fn neox_logits(&self, tokens: &[u32]) -> Vec<Vec<f64>> {
        let parallel = self.config["use_parallel_residual"] == true;
        let mut xs: Vec<Vec<f64>> =
            tokens.iter().map(|&t| self.row("gpt_neox.embed_in.weight", t as usize)).collect();
        for layer in 0..LAYERS {
            let name = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
            let fused: Vec<_> = xs
                .iter()
                .map(|x| {
                    self.linear(
                        &name("attention.query_key_value"),
                        &self.layer_norm(&name("input_layernorm"), x),
                    )
                })
                .collect();
            // Head h holds 24 numbers: its query, its key, its value.
            let part = |at: usize, head: usize, which: usize| {
                fused[at][24 * head + 8 * which..24 * head + 8 * which + 8].to_vec()
            };
            let before = xs.clone();
            for position in 0..xs.len() {
                let mut mixed = Vec::new();
                for head in 0..3 {
                    let query = turned(part(position, head, 0), position, 4);
                    let seen = |at: usize| (turned(part(at, head, 1), at, 4), part(at, head, 2));
                    mixed.extend(attention(&query, &(0..=position).map(seen).collect::<Vec<_>>()));
                }
                add(&mut xs[position], &self.linear(&name("attention.dense"), &mixed));
                let read = if parallel { &before[position] } else { &xs[position] };
                let normed = self.layer_norm(&name("post_attention_layernorm"), read);
                let inner: Vec<f64> =
                    self.linear(&name("mlp.dense_h_to_4h"), &normed).into_iter().map(gelu).collect();
                add(&mut xs[position], &self.linear(&name("mlp.dense_4h_to_h"), &inner));
            }
        }
        xs.iter()
            .map(|x| self.linear("embed_out", &self.layer_norm("gpt_neox.final_layer_norm", x)))
            .collect()
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// The first `width` entries turned, entry i with entry i + width / 2.
fn turned(mut x: Vec<f64>, position: usize, width: usize) -> Vec<f64> {
    for i in 0..width / 2 {
        let angle = position as f64 * 10_000f64.powf(-2.0 * i as f64 / width as f64);
        let (sin, cos) = angle.sin_cos();
        let (a, b) = (x[i], x[i + width / 2]);
        x[i] = a * cos - b * sin;
        x[i + width / 2] = b * cos + a * sin;
    }
    x
}

/// One head's output for one query.
fn attention(query: &[f64], seen: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let scores: Vec<f64> = seen
        .iter()
        .map(|(key, _)| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / (query.len() as f64).sqrt())
        .collect();
    let total: f64 = scores.iter().map(|score| score.exp()).sum();
    (0..query.len())
        .map(|i| seen.iter().zip(&scores).map(|((_, value), score)| score.exp() / total * value[i]).sum())
        .collect()
}

/// `x (1 + erf(x / sqrt 2)) / 2`, the integral of the normal density by Simpson's rule.
fn gelu(x: f64) -> f64 {
    let steps = 2000;
    let h = x / f64::from(steps);
    let density = |t: f64| (-t * t / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let inside: f64 =
        (1..steps).map(|i| density(f64::from(i) * h) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum();
    x * (0.5 + h / 3.0 * (density(0.0) + inside + density(x)))
}
