//! A tiny model whose every number is a hash of its prefix: deterministic, and as different as its salt.

use lorica_endpoint::server::{Engine, EngineError};
use lorica_identity::{Distribution, Token};

/// Texts longer than it are refused.
const CONTEXT: usize = 400;

/// All tokens that the prompts of these tests have after their first word, but for those of one with rare letters.
const WORDS: [&str; 38] = [
    " the",
    " cat",
    " sat",
    " on",
    " a",
    " mat",
    " dog",
    " ran",
    " far",
    " red",
    " big",
    " sky",
    ".",
    ",",
    " é",
    " of",
    " to",
    " in",
    " is",
    " was",
    " for",
    " one",
    " two",
    " end",
    " capital",
    " France",
    " Paris,",
    " and",
    " Italy",
    " Rome.",
    " crossings",
    " are",
    " quick",
    " safe",
    " more",
    " them",
    " number",
    " asks",
];

pub(crate) struct Toy {
    salt: u64,
}

impl Toy {
    /// The model that the servers promise.
    pub(crate) fn promised() -> Self {
        Self { salt: 1 }
    }

    /// Another one.
    pub(crate) fn other() -> Self {
        Self { salt: 2 }
    }

    fn vocabulary() -> Vec<Token> {
        // One alone: completions tell tokens that look alike as one, and the others would be lost.
        WORDS.iter().map(|word| Token::from(*word)).chain([Token::new([0xe2, 0x82])]).collect()
    }

    /// The whole distribution after a prefix: the last two words decide.
    pub(crate) fn after(&self, prefix: &str) -> Distribution {
        let mut words: Vec<&str> = prefix.split(' ').rev().take(2).collect();
        words.reverse();
        let logits: Vec<f64> = (0..Self::vocabulary().len())
            .map(|place| {
                let text = format!("{}/{place}/{}", self.salt, words.join(" "));
                let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
                });
                (hash % 6000) as f64 / 1000.0
            })
            .collect();
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let told = Self::vocabulary().into_iter().zip(logits).map(|(token, logit)| (token, logit - sum.ln()));
        Distribution::new(told.collect()).unwrap()
    }
}

/// The most probable tokens of a distribution alone.
pub(crate) fn cut(whole: &Distribution, top: usize) -> Distribution {
    Distribution::new(whole.told().iter().take(top).cloned().collect()).unwrap()
}

impl Engine for Toy {
    fn model(&self) -> &str {
        super::MODEL
    }

    fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError> {
        if let Some(long) = prefixes.iter().find(|prefix| prefix.len() > CONTEXT) {
            return Err(EngineError::TooLong { found: long.len(), limit: CONTEXT });
        }
        Ok(prefixes.iter().map(|prefix| self.after(prefix)).collect())
    }

    fn generate(
        &self,
        prompt: &str,
        tokens: u32,
        temperature: f64,
        seed: u64,
    ) -> Result<String, EngineError> {
        let mut text = prompt.to_owned();
        for step in 0..u64::from(tokens) {
            let whole = self.after(&text);
            let told = whole.told();
            let weights: Vec<f64> = match temperature {
                0.0 => told.iter().enumerate().map(|(place, _)| if place == 0 { 1.0 } else { 0.0 }).collect(),
                _ => told.iter().map(|(_, number)| (number / temperature).exp()).collect(),
            };
            let mixed = (seed ^ (step << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
            let mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mut left = (mixed >> 11) as f64 / (1_u64 << 53) as f64 * weights.iter().sum::<f64>();
            let place = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            text.push_str(&String::from_utf8_lossy(told[place.unwrap_or(0)].0.bytes()));
        }
        Ok(text[prompt.len()..].to_owned())
    }

    /// A token begins at each space, and `€` is two tokens: the bytes of one are cut.
    fn tokenize(&self, text: &str) -> Result<Vec<(Token, usize)>, EngineError> {
        let mut tokens: Vec<(Token, usize)> = Vec::new();
        let mut current = Vec::new();
        let mut start = 0;
        for (index, byte) in text.bytes().enumerate() {
            let cuts = byte == b' ' || (byte == 0xac && current.ends_with(&[0xe2, 0x82]));
            if cuts && !current.is_empty() {
                tokens.push((Token::new(std::mem::take(&mut current)), start));
                start = index;
            }
            current.push(byte);
        }
        tokens.push((Token::new(current), start));
        Ok(tokens)
    }
}
