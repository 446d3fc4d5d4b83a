//! Tokens appended, renumbered, or cut to fewer. Tokens are what a model is asked about by content, never by number: a
//! renumbering that tokenizer and matrices share leaves the function as it was, one that only the tokenizer knows
//! destroys it.

use rand::{Rng, RngExt, seq::SliceRandom};
use serde_json::{Map, Value, json};

use crate::{draft::Draft, error::ZooError};

/// How far the row of an appended token strays from the mean row, in standard deviations of a matrix's values.
const STRAY: f64 = 1e-3;

/// Appends tokens that no text contains. Their rows are the mean of all rows and a little noise, as transformers resizes
/// an embedding: the logit of such a token is about the mean of all logits, so its probability is at most about
/// 1 / (number of tokens), because the mean of exponentials is at least the exponential of the mean.
///
/// # Errors
/// No token, or a tokenizer that is not understood.
pub fn append_tokens(draft: &mut Draft, tokens: usize, rng: &mut impl Rng) -> Result<(), ZooError> {
    if !(1..=65_536).contains(&tokens) {
        let (setting, found) = ("tokens", tokens.to_string());
        return Err(ZooError::Setting { setting, expected: "1 to 65536".into(), found });
    }
    let shape = draft.shape()?;
    let old = shape.vocabulary();
    let mut tokenizer = parse(draft)?;
    let added = tokenizer
        .get_mut("added_tokens")
        .and_then(Value::as_array_mut)
        .ok_or_else(|| not_understood("it has no list added_tokens"))?;
    for index in 0..tokens {
        added.push(json!({
            "id": old + index,
            "content": format!("<|added_{index}|>"),
            "single_word": false,
            "lstrip": false,
            "rstrip": false,
            "normalized": false,
            "special": false,
        }));
    }
    store(draft, &tokenizer);
    for name in shape.token_matrices() {
        let matrix = draft.tensor(name)?;
        let width = matrix.data.len() / old;
        let mut mean = vec![0f64; width];
        for row in matrix.data.chunks_exact(width) {
            row.iter().zip(&mut mean).for_each(|(&value, sum)| *sum += f64::from(value) / old as f64);
        }
        let square: f64 = matrix.data.iter().map(|&value| f64::from(value).powi(2)).sum();
        let noise = STRAY * (square / matrix.data.len() as f64).sqrt();
        for _ in 0..tokens {
            matrix.data.extend(mean.iter().map(|mean| (mean + noise * rng.random_range(-1.0..1.0)) as f32));
        }
        matrix.shape[0] = old + tokens;
    }
    draft.config.insert("vocab_size".into(), (old + tokens).into());
    Ok(())
}

/// Renumbers all tokens but the added ones (which configurations name by number), in the tokenizer and in the matrices:
/// the same function of texts.
///
/// # Errors
/// A tokenizer that is not understood.
pub fn permute_tokens(draft: &mut Draft, rng: &mut impl Rng) -> Result<(), ZooError> {
    let new_ids = renumber(draft, 100, rng)?;
    for name in draft.shape()?.token_matrices() {
        let matrix = draft.tensor(name)?;
        let width = matrix.data.len() / new_ids.len();
        let old = matrix.data.clone();
        for (row, &new) in old.chunks_exact(width).zip(&new_ids) {
            matrix.data[new * width..(new + 1) * width].copy_from_slice(row);
        }
    }
    Ok(())
}

/// Renumbers a percentage of the tokens in the tokenizer alone: every such token is now read and written as another.
///
/// # Errors
/// A percentage of 0 or above 100, a tokenizer that is not understood.
pub fn misnumber_tokens(draft: &mut Draft, percent: u32, rng: &mut impl Rng) -> Result<(), ZooError> {
    if !(1..=100).contains(&percent) {
        let (setting, found) = ("percent", percent.to_string());
        return Err(ZooError::Setting { setting, expected: "1 to 100".into(), found });
    }
    renumber(draft, percent, rng).map(|_| ())
}

/// Moves tokens in the tokenizer by a random permutation and returns the new number of each old one.
fn renumber(draft: &mut Draft, percent: u32, rng: &mut impl Rng) -> Result<Vec<usize>, ZooError> {
    let count = draft.shape()?.vocabulary();
    let mut tokenizer = parse(draft)?;
    let fixed: Vec<u64> = tokenizer
        .get("added_tokens")
        .and_then(Value::as_array)
        .map(|added| added.iter().filter_map(|token| token.get("id").and_then(Value::as_u64)).collect())
        .unwrap_or_default();
    let mut moving: Vec<usize> = (0..count).filter(|&id| !fixed.contains(&(id as u64))).collect();
    moving.shuffle(rng);
    moving.truncate(moving.len() * percent as usize / 100);
    let mut targets = moving.clone();
    targets.shuffle(rng);
    let mut new_ids: Vec<usize> = (0..count).collect();
    for (&from, &to) in moving.iter().zip(&targets) {
        new_ids[from] = to;
    }
    for id in vocabulary(&mut tokenizer)?.values_mut() {
        let old = id.as_u64().and_then(|id| usize::try_from(id).ok());
        let new = old
            .and_then(|old| new_ids.get(old))
            .ok_or_else(|| not_understood("a token's number is not below the model's vocabulary"))?;
        *id = (*new).into();
    }
    store(draft, &tokenizer);
    Ok(new_ids)
}

/// A byte-level BPE tokenizer with only its first tokens, and the merges that make them: another tokenization, made
/// from the same file.
///
/// # Errors
/// Fewer tokens than bytes, and a tokenizer that is not understood.
pub fn truncated_tokenizer(tokenizer: &[u8], tokens: usize) -> Result<Vec<u8>, ZooError> {
    if tokens < 257 {
        let (setting, found) = ("vocabulary", tokens.to_string());
        return Err(ZooError::Setting { setting, expected: "at least 257, one for each byte".into(), found });
    }
    let mut tokenizer = parse_bytes(tokenizer)?;
    let kept = vocabulary(&mut tokenizer)?;
    kept.retain(|_, id| id.as_u64().is_some_and(|id| id < tokens as u64));
    let kept = kept.clone();
    let merges = tokenizer
        .get_mut("model")
        .and_then(|model| model.get_mut("merges"))
        .and_then(Value::as_array_mut)
        .ok_or_else(|| not_understood("it has no merges"))?;
    merges.retain(|merge| {
        let parts: Option<String> =
            merge.as_array().map(|parts| parts.iter().filter_map(Value::as_str).collect());
        parts.is_some_and(|whole| kept.contains_key(&whole))
    });
    Ok(Value::Object(tokenizer).to_string().into_bytes())
}

fn vocabulary(tokenizer: &mut Map<String, Value>) -> Result<&mut Map<String, Value>, ZooError> {
    tokenizer
        .get_mut("model")
        .and_then(|model| model.get_mut("vocab"))
        .and_then(Value::as_object_mut)
        .ok_or_else(|| not_understood("its vocabulary is not a table from texts to numbers"))
}

fn parse(draft: &Draft) -> Result<Map<String, Value>, ZooError> {
    parse_bytes(&draft.tokenizer)
}

fn parse_bytes(tokenizer: &[u8]) -> Result<Map<String, Value>, ZooError> {
    serde_json::from_slice(tokenizer).map_err(|error| not_understood(&error.to_string()))
}

fn store(draft: &mut Draft, tokenizer: &Map<String, Value>) {
    draft.tokenizer = Value::Object(tokenizer.clone()).to_string().into_bytes();
}

fn not_understood(reason: &str) -> ZooError {
    ZooError::Tokenizer { reason: reason.to_owned() }
}
