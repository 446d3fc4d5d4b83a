//! Tokens of a text, divided into those to learn from and those held out.

use candle_core::{Device, Tensor};
use rand::{Rng, RngExt};

use crate::error::ZooError;

/// One token in this many is held out, at the end of the text.
const HELD_OUT: usize = 10;
/// Windows of held-out text that are measured, at most.
const MEASURED: usize = 8;

/// The tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    learned: Vec<u32>,
    held_out: Vec<u32>,
}

/// Windows that go through a network together, with the token that follows each of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of windows.
    pub sequences: usize,
    /// Tokens of a window.
    pub positions: usize,
    /// The tokens, one window after the other.
    pub tokens: Vec<u32>,
    /// The token after each; target i follows token i in the text.
    pub targets: Vec<u32>,
}

impl Batch {
    pub(crate) fn input(&self) -> Result<Tensor, ZooError> {
        Ok(Tensor::from_slice(&self.tokens, self.tokens.len(), &Device::Cpu)?)
    }

    fn new(windows: &[&[u32]], positions: usize) -> Self {
        let tokens = windows.iter().flat_map(|window| window[..positions].iter().copied()).collect();
        let targets = windows.iter().flat_map(|window| window[1..=positions].iter().copied()).collect();
        Self { sequences: windows.len(), positions, tokens, targets }
    }
}

impl Tokens {
    /// Encodes a text with a tokenizer (the bytes of a `tokenizer.json`).
    ///
    /// # Errors
    /// A tokenizer that is not one, a text it refuses.
    pub fn encode(tokenizer: &[u8], text: &str) -> Result<Self, ZooError> {
        let wrong = |error: tokenizers::Error| ZooError::Tokenizer { reason: error.to_string() };
        let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer).map_err(wrong)?;
        Ok(Self::new(tokenizer.encode_fast(text, false).map_err(wrong)?.get_ids()))
    }

    /// Divides tokens: the last tenth is held out.
    pub fn new(tokens: &[u32]) -> Self {
        let (learned, held_out) = tokens.split_at(tokens.len() - tokens.len() / HELD_OUT);
        Self { learned: learned.to_vec(), held_out: held_out.to_vec() }
    }

    /// Windows at random places of the text to learn from.
    ///
    /// # Errors
    /// A text shorter than a window and the token after it.
    pub fn batch(&self, sequences: usize, positions: usize, rng: &mut impl Rng) -> Result<Batch, ZooError> {
        let last = self.learned.len().checked_sub(positions + 1);
        let last = last.ok_or(ZooError::TextTooShort { found: self.learned.len(), needed: positions + 1 })?;
        let windows: Vec<&[u32]> = (0..sequences)
            .map(|_| {
                let start = rng.random_range(0..=last);
                &self.learned[start..=start + positions]
            })
            .collect();
        Ok(Batch::new(&windows, positions))
    }

    /// The first windows of the held-out text, one in each batch.
    ///
    /// # Errors
    /// A held-out text shorter than a window and the token after it.
    pub fn held_out(&self, positions: usize) -> Result<Vec<Batch>, ZooError> {
        let windows: Vec<&[u32]> = self.held_out.chunks_exact(positions + 1).take(MEASURED).collect();
        if windows.is_empty() {
            let (found, needed) = (self.held_out.len(), positions + 1);
            return Err(ZooError::TextTooShort { found: HELD_OUT * found, needed: HELD_OUT * needed });
        }
        Ok(windows.into_iter().map(|window| Batch::new(&[window], positions)).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn targets_are_the_tokens_that_follow_and_nothing_held_out_is_learned() {
        let all: Vec<u32> = (0..1000).collect();
        let tokens = Tokens::new(&all);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..50 {
            let batch = tokens.batch(4, 16, &mut rng).unwrap();
            assert_eq!((batch.sequences, batch.positions, batch.tokens.len()), (4, 16, 64));
            for (token, target) in batch.tokens.iter().zip(&batch.targets) {
                assert_eq!(token + 1, *target);
                assert!(*target < 900);
            }
        }
        for batch in tokens.held_out(16).unwrap() {
            assert!(batch.tokens.iter().all(|&token| token >= 900));
            assert!(batch.tokens.iter().zip(&batch.targets).all(|(token, target)| token + 1 == *target));
        }
        assert!(tokens.batch(1, 900, &mut rng).is_err());
        assert!(tokens.held_out(100).is_err());
    }
}
