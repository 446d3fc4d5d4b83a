//! Greedy generation: the likeliest token, again and again, with a key-value cache.

use crate::{
    error::ModelError,
    hook::Hook,
    model::{BaseModel, TokenBatch},
};

/// Why generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As many tokens as were asked for.
    Length,
    /// The model ended the text.
    EndOfText,
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The new tokens; the last one is the end-of-text token if that ended it.
    pub tokens: Vec<u32>,
    /// Why generation ended.
    pub stop: Stop,
}

impl BaseModel {
    /// Continues a prompt by at most `count` tokens, always the likeliest (the lowest where several are equally
    /// likely), and calls `on_token` with each as it comes.
    ///
    /// # Errors
    /// An empty prompt, tokens beyond the vocabulary, prompt and `count` together longer than the context, a
    /// failing hook, activations that overflow.
    pub fn generate(
        &self,
        prompt: &[u32],
        count: usize,
        hook: &mut dyn Hook,
        on_token: &mut dyn FnMut(u32),
    ) -> Result<Generation, ModelError> {
        if prompt.is_empty() {
            return Err(ModelError::TooFewTokens { what: "the prompt", found: 0, needed: 1 });
        }
        self.check_context(prompt.len().saturating_add(count))?;
        let mut cache = self.new_cache();
        let mut generation = Generation { tokens: Vec::new(), stop: Stop::Length };
        let mut input = TokenBatch::single(prompt);
        while generation.tokens.len() < count {
            let logits = self.last_logits(&input, Some(&mut cache), hook)?;
            let token =
                likeliest(&logits.values).ok_or(ModelError::LogitsNotFinite { position: cache.len() - 1 })?;
            generation.tokens.push(token);
            on_token(token);
            if self.config().end_of_text.contains(&token) {
                generation.stop = Stop::EndOfText;
                break;
            }
            input = TokenBatch::single(&[token]);
        }
        Ok(generation)
    }
}

/// The index of the largest logit, the first of several; nothing if one is not finite.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(usize, f32)> = None;
    for (index, &logit) in logits.iter().enumerate() {
        if !logit.is_finite() {
            return None;
        }
        if best.is_none_or(|(_, largest)| logit > largest) {
            best = Some((index, logit));
        }
    }
    best.and_then(|(index, _)| u32::try_from(index).ok())
}

#[cfg(test)]
mod tests {
    use super::likeliest;

    #[test]
    fn the_first_of_the_largest_is_taken() {
        assert_eq!(likeliest(&[-3.0, 2.0, 2.0, 1.0]), Some(1));
        assert_eq!(likeliest(&[-3.0]), Some(0));
        assert_eq!(likeliest(&[1.0, f32::NAN]), None);
        assert_eq!(likeliest(&[]), None);
    }
}
