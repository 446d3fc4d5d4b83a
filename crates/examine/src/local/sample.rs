//! Continuations of a prompt from local weights, sampled.

use lorica_identity::Challenge;
use lorica_model::{BaseModel, Content, ModelError, NoHook, TokenBatch};
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use sha2::{Digest as _, Sha256};

/// How continuations are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    pub(super) samples: usize,
    /// Tokens each, at most.
    pub(super) tokens: usize,
    /// Logits are divided by this before the softmax; 0 takes the most probable token.
    pub(super) temperature: f64,
    pub(super) seed: u64,
}

/// Independent continuations of a prompt of at least one token. Each ends before the token that ends a text; control
/// tokens are left out of it, as servers do, and bytes that are no character become U+FFFD.
pub(super) fn continuations(
    model: &BaseModel,
    contents: &[Option<Content>],
    (challenge, prompt): (&Challenge, &[u32]),
    sampling: Sampling,
) -> Result<Vec<String>, ModelError> {
    // As many tokens as the context still holds.
    let room = model.config().context.saturating_sub(prompt.len()).min(sampling.tokens);
    let mut generators: Vec<ChaCha20Rng> = (0..sampling.samples)
        .map(|sample| ChaCha20Rng::from_seed(seed(sampling.seed, challenge, sample as u64)))
        .collect();
    let mut texts = vec![Vec::new(); sampling.samples];
    let mut ended = vec![false; sampling.samples];
    let mut cache = model.new_cache();
    let prompts = vec![prompt; sampling.samples];
    let mut input = TokenBatch::new(&prompts)?;
    for step in 0..room {
        let logits = model.last_logits(&input, Some(&mut cache), &mut NoHook)?;
        let mut next = Vec::with_capacity(sampling.samples);
        for (sample, generator) in generators.iter_mut().enumerate() {
            let row = logits.row(sample, 0).unwrap_or_default();
            let token = draw(row, sampling.temperature, generator)
                .ok_or(ModelError::LogitsNotFinite { position: prompt.len() - 1 + step })?;
            ended[sample] |= model.config().end_of_text.contains(&token);
            if !ended[sample]
                && let Some(Some(content)) = contents.get(token as usize)
                && !content.special
            {
                texts[sample].extend_from_slice(&content.bytes);
            }
            next.push([token]);
        }
        if ended.iter().all(|ended| *ended) {
            break;
        }
        input = TokenBatch::new(&next.iter().map(<[u32; 1]>::as_slice).collect::<Vec<_>>())?;
    }
    Ok(texts.into_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect())
}

/// One seed for each sample of each challenge, whatever is asked beside it.
fn seed(seed: u64, challenge: &Challenge, sample: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"lorica/local-sample/1");
    hash.update(seed.to_le_bytes());
    hash.update(challenge.index.to_le_bytes());
    hash.update(sample.to_le_bytes());
    hash.update(challenge.prompt.as_bytes());
    hash.finalize().into()
}

/// A token drawn from `softmax(logits / temperature)`; nothing where a logit is not finite or there is none.
fn draw(logits: &[f32], temperature: f64, generator: &mut ChaCha20Rng) -> Option<u32> {
    let (mut best, mut largest) = (None, f32::NEG_INFINITY);
    for (id, &logit) in (0u32..).zip(logits) {
        if !logit.is_finite() {
            return None;
        }
        if best.is_none() || logit > largest {
            (best, largest) = (Some(id), logit);
        }
    }
    if temperature == 0.0 {
        return best;
    }
    let weight = |logit: f32| (f64::from(logit - largest) / temperature).exp();
    let total: f64 = logits.iter().map(|&logit| weight(logit)).sum();
    // 53 bits, uniform in [0, 1).
    let uniform = (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut left = uniform * total;
    for (id, &logit) in (0u32..).zip(logits) {
        left -= weight(logit);
        if left < 0.0 {
            return Some(id);
        }
    }
    best
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_drawn_as_often_as_their_probabilities_say() {
        let mut generator = ChaCha20Rng::from_seed([7; 32]);
        let logits = [1f32, 2.0, 5.0].map(f32::ln);
        let mut counts = [0u32; 3];
        for _ in 0..8000 {
            counts[draw(&logits, 1.0, &mut generator).unwrap() as usize] += 1;
        }
        // Standard deviations are below 45.
        for (count, expected) in counts.into_iter().zip([1000u32, 2000, 5000]) {
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        assert_eq!(draw(&logits, 0.0, &mut generator), Some(2));
        assert_eq!(draw(&[0.0, f32::NAN], 1.0, &mut generator), None);
        assert_eq!(draw(&[], 1.0, &mut generator), None);
    }
}
