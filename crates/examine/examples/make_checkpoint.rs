//! Writes a Llama-shaped checkpoint with random weights, a file for each layer, in little memory.
//!
//! `make_checkpoint SHAPE OUT [LIKE]`: the shape is `large` (layers and vocabulary of an 8-billion-parameter Llama 3.1,
//! 16 layers of its 32), `wide` (two of these layers) or `small`. With LIKE, a checkpoint this program wrote before, the
//! new one shares its files by hard links but has another `mlp.down_proj` in its middle layer. Weights are bf16, as such
//! models are distributed, and the output matrix is large enough for distributions as peaked as those of trained models:
//! of flat ones, the most probable tokens alone say little.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::{
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::{Map, Value, json};

/// Sizes of a checkpoint.
struct Shape {
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    key_value_heads: usize,
    vocabulary: usize,
}

const LARGE: Shape =
    Shape { hidden: 4096, inner: 14_336, layers: 16, heads: 32, key_value_heads: 8, vocabulary: 128_256 };
const SMALL: Shape =
    Shape { hidden: 512, inner: 1792, layers: 16, heads: 8, key_value_heads: 2, vocabulary: 8192 };

/// As wide as the large one, with few layers and tokens: a rehearsal.
const WIDE: Shape =
    Shape { hidden: 4096, inner: 14_336, layers: 2, heads: 32, key_value_heads: 8, vocabulary: 16_384 };

/// A tensor to write: its name, its shape, and the size of its entries.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    content: Content,
}

enum Content {
    /// Independent, of both signs; the exponent of the largest entries.
    Random {
        seed: u64,
        exponent: u16,
    },
    Ones,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (shape, out, like) = match arguments.as_slice() {
        [shape, out] => (shape, out, None),
        [shape, out, like] => (shape, out, Some(Path::new(like))),
        _ => return Err("usage: make_checkpoint large|wide|small OUT [LIKE]".into()),
    };
    make(shape, Path::new(out), like)
}

/// Writes a checkpoint of this shape, alike to another or not.
pub(crate) fn make(shape: &str, out: &Path, like: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let shape = match shape {
        "large" => LARGE,
        "wide" => WIDE,
        "small" => SMALL,
        other => return Err(format!("unknown shape {other}: expected large, wide or small").into()),
    };
    fs::create_dir_all(out)?;
    let files = shape.files(like.is_some());
    let mut weight_map = Map::new();
    let mut total = 0;
    for (index, (tensors, changed)) in files.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, files.len());
        for tensor in tensors {
            weight_map.insert(tensor.name.clone(), name.clone().into());
        }
        let path = out.join(&name);
        match like {
            Some(like) if !changed => fs::hard_link(like.join(&name), &path)?,
            _ => write(&path, tensors)?,
        }
        total += fs::metadata(&path)?.len();
        println!("{name}: {} MiB so far", total >> 20);
    }
    let index = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    fs::write(out.join("model.safetensors.index.json"), index.to_string())?;
    fs::write(out.join("config.json"), shape.config().to_string())?;
    fs::write(out.join("tokenizer.json"), tokenizer(shape.vocabulary)?.to_string())?;
    Ok(())
}

impl Shape {
    fn config(&self) -> Value {
        json!({
            "model_type": "llama", "vocab_size": self.vocabulary, "hidden_size": self.hidden,
            "intermediate_size": self.inner, "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads, "num_key_value_heads": self.key_value_heads,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 500000.0,
            "tie_word_embeddings": false,
        })
    }

    /// The tensors of each file, and whether the changed checkpoint has a file of its own there.
    fn files(&self, changed: bool) -> Vec<(Vec<Tensor>, bool)> {
        let mut seed = 0;
        let mut random = |name: String, rows: usize, columns: usize| {
            seed += 1;
            // Entries of about 1 / sqrt(columns), so that activations keep their size. Logits are four times as large.
            let larger = if name == "lm_head.weight" { 2 } else { 0 };
            let exponent = 127 + larger - (columns.ilog2() / 2) as u16;
            Tensor { name, shape: vec![rows, columns], content: Content::Random { seed, exponent } }
        };
        let ones = |name: String| Tensor { name, shape: vec![self.hidden], content: Content::Ones };
        let shared = self.hidden / self.heads * self.key_value_heads;
        let mut files =
            vec![(vec![random("model.embed_tokens.weight".into(), self.vocabulary, self.hidden)], false)];
        for layer in 0..self.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let mut tensors = vec![
                ones(name("input_layernorm")),
                ones(name("post_attention_layernorm")),
                random(name("self_attn.q_proj"), self.hidden, self.hidden),
                random(name("self_attn.k_proj"), shared, self.hidden),
                random(name("self_attn.v_proj"), shared, self.hidden),
                random(name("self_attn.o_proj"), self.hidden, self.hidden),
                random(name("mlp.gate_proj"), self.inner, self.hidden),
                random(name("mlp.up_proj"), self.inner, self.hidden),
                random(name("mlp.down_proj"), self.hidden, self.inner),
            ];
            let differs = layer == self.layers / 2;
            if differs
                && changed
                && let Some(Tensor { content: Content::Random { seed, .. }, .. }) = tensors.last_mut()
            {
                *seed += 1 << 32;
            }
            files.push((tensors, differs));
        }
        files.push((
            vec![
                ones("model.norm.weight".into()),
                random("lm_head.weight".into(), self.vocabulary, self.hidden),
            ],
            false,
        ));
        files
    }
}

/// Writes a safetensors file tensor by tensor.
fn write(path: &Path, tensors: &[Tensor]) -> Result<(), Box<dyn Error>> {
    let mut header = Map::new();
    let mut end = 0;
    for tensor in tensors {
        let start = end;
        end += 2 * tensor.shape.iter().product::<usize>();
        header.insert(
            tensor.name.clone(),
            json!({ "dtype": "BF16", "shape": tensor.shape, "data_offsets": [start, end] }),
        );
    }
    let mut header = Value::Object(header).to_string();
    // Data begins at a multiple of 8.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    for tensor in tensors {
        let count: usize = tensor.shape.iter().product();
        match tensor.content {
            Content::Ones => {
                for _ in 0..count {
                    file.write_all(&0x3f80u16.to_le_bytes())?;
                }
            }
            Content::Random { seed, exponent } => random(&mut file, count, seed, exponent)?,
        }
    }
    file.into_inner()?.sync_all()?;
    Ok(())
}

/// Random bf16 numbers, four from each 64-bit number: sign, one of two exponents, mantissa.
fn random(file: &mut impl Write, count: usize, seed: u64, exponent: u16) -> std::io::Result<()> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut buffer = Vec::with_capacity(1 << 16);
    for place in 0..count.div_ceil(4) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let mixed = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        let numbers = (count - 4 * place).min(4);
        for part in 0..numbers {
            let bits = (mixed >> (16 * part)) as u16;
            let number = (bits & 0x807f) | ((exponent - (bits >> 7 & 1)) << 7);
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        if buffer.len() >= (1 << 16) - 8 {
            file.write_all(&buffer)?;
            buffer.clear();
        }
    }
    file.write_all(&buffer)
}

/// The shipped tokenizer with as many more tokens as the model has, which no text is cut into.
fn tokenizer(vocabulary: usize) -> Result<Value, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models/tiny-llama/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(path)?)?;
    let vocab = tokenizer
        .pointer_mut("/model/vocab")
        .and_then(Value::as_object_mut)
        .ok_or("the shipped tokenizer has no vocabulary")?;
    for id in vocab.len()..vocabulary {
        vocab.insert(format!("filler{id}"), id.into());
    }
    Ok(tokenizer)
}
