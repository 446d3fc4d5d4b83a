//! What the tests share: the shipped models, drafts of them, logits as `lorica-model` computes them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use lorica_model::{BaseModel, NoHook, TokenBatch, Tokenizer};
use lorica_zoo::{Draft, Layout, Sources};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub const BOTH: [&str; 2] = ["tiny-gpt2", "tiny-llama"];
pub const TEXT: &str = "The function returns zero on success, and a negative number where it fails.";

pub fn sources() -> Sources {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    Sources { models: data.join("models"), texts: data.join("text") }
}

pub fn shipped(name: &str) -> PathBuf {
    sources().models.join(name)
}

pub fn draft(name: &str) -> Draft {
    Draft::read(&shipped(name)).unwrap()
}

pub fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(5)
}

/// Writes a draft as one single-precision file.
pub fn written(draft: &Draft) -> tempfile::TempDir {
    laid_out(draft, Layout::default())
}

pub fn laid_out(draft: &Draft, layout: Layout) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    draft.write(folder.path(), layout).unwrap();
    folder
}

/// The logits at every position of a text, by the folder's own tokenizer.
pub fn logits(folder: &Path) -> Vec<Vec<f32>> {
    let (model, tokenizer) = (BaseModel::load(folder).unwrap(), Tokenizer::load(folder).unwrap());
    tokenizer.check(model.config()).unwrap();
    let tokens = tokenizer.encode(TEXT).unwrap();
    let logits = model.forward(&TokenBatch::single(&tokens), None, &mut NoHook).unwrap();
    logits.values.chunks_exact(logits.vocabulary).map(<[f32]>::to_vec).collect()
}

pub fn softmax(row: &[f32]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&z| f64::from(z - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The mean total variation distance of two models of one numbering on the text; tokens beyond the shorter vocabulary
/// have probability 0 there.
pub fn distance(left: &Path, right: &Path) -> f64 {
    let (left, right) = (logits(left), logits(right));
    assert_eq!(left.len(), right.len(), "the two read different tokens");
    let rows = left.iter().zip(&right).map(|(left, right)| {
        let (mut left, mut right) = (softmax(left), softmax(right));
        let length = left.len().max(right.len());
        left.resize(length, 0.0);
        right.resize(length, 0.0);
        left.iter().zip(&right).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
    });
    rows.sum::<f64>() / left.len() as f64
}

/// The vocabulary of a folder's tokenizer by number.
pub fn contents(folder: &Path) -> Vec<String> {
    let tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    let count = tokenizer.get_vocab_size(true) as u32;
    (0..count).map(|id| tokenizer.id_to_token(id).unwrap()).collect()
}
