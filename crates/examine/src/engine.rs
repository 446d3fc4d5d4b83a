//! A local model as the engine of a server on loopback.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
};

use lorica_endpoint::server::{Engine, EngineError, ReadToken};
use lorica_identity::{
    Answer, Challenge, Distribution, Question, Respondent as _, RespondentError, RespondentFault, Token,
};

use crate::local::LocalModel;

/// A local model behind a server: one request at a time goes through it.
pub struct LocalEngine {
    name: String,
    model: Mutex<LocalModel>,
}

impl LocalEngine {
    /// Serves a model under a name.
    pub fn new(name: impl Into<String>, model: LocalModel) -> Self {
        Self { name: name.into(), model: Mutex::new(model) }
    }

    fn ask(&self, question: Question, challenges: &[Challenge]) -> Result<Vec<Answer>, EngineError> {
        // The model is as it was before a request that panicked.
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.answer(question, challenges, &mut |_| ()).map_err(failed)
    }

    /// The distributions after prefixes of one text, `positions` in bytes.
    fn after(&self, text: &str, positions: Vec<u32>) -> Result<Vec<Distribution>, EngineError> {
        let asked = [challenge(0, text, positions)];
        match self.ask(Question::Distributions, &asked)?.pop() {
            Some(Answer::Distributions(distributions)) => Ok(distributions),
            _ => Err(EngineError::Failed("it told no distributions".to_owned())),
        }
    }
}

impl Engine for LocalEngine {
    fn model(&self) -> &str {
        &self.name
    }

    fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError> {
        let whole = |prefix: &String| challenge(0, prefix, vec![length(prefix)]);
        let challenges: Vec<Challenge> = prefixes.iter().map(whole).collect();
        let answers = self.ask(Question::Distributions, &challenges)?;
        let first = |answer| match answer {
            Answer::Distributions(distributions) => distributions.into_iter().next(),
            Answer::Texts(_) | Answer::Refused(_) => None,
        };
        let told: Option<Vec<Distribution>> = answers.into_iter().map(first).collect();
        told.ok_or_else(|| EngineError::Failed("it told no distributions".to_owned()))
    }

    fn generate(
        &self,
        prompt: &str,
        tokens: u32,
        temperature: f64,
        seed: u64,
    ) -> Result<String, EngineError> {
        let Some(tokens) = NonZeroU32::new(tokens) else { return Ok(String::new()) };
        let question = Question::Texts { samples: NonZeroU32::MIN, tokens, temperature };
        // The model's own seed and a challenge's index make the text: different seeds, different indices.
        let index = (seed ^ (seed >> 32)) as u32;
        match self.ask(question, &[challenge(index, prompt, vec![length(prompt)])])?.pop() {
            Some(Answer::Texts(texts)) => Ok(texts.into_iter().next().unwrap_or_default()),
            _ => Err(EngineError::Failed("it gave no text".to_owned())),
        }
    }

    fn tokenize(&self, text: &str) -> Result<Vec<(Token, usize)>, EngineError> {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let tokens = model.encode_content(text).map_err(failed)?;
        drop(model);
        place(tokens, text)
            .ok_or_else(|| EngineError::Failed(format!("its tokens do not add up to {text:?}")))
    }

    fn read(&self, text: &str) -> Result<Vec<ReadToken>, EngineError> {
        let tokens = self.tokenize(text)?;
        let is_prefix = |offset: usize| offset > 0 && text.is_char_boundary(offset);
        let positions: Vec<u32> = tokens
            .iter()
            .filter(|(_, offset)| is_prefix(*offset))
            .filter_map(|(_, offset)| u32::try_from(*offset).ok())
            .collect();
        let mut told = match positions.is_empty() {
            true => Vec::new(),
            false => self.after(text, positions)?,
        }
        .into_iter();
        let read = |(token, offset)| {
            let before = if is_prefix(offset) { told.next() } else { None };
            ReadToken { token, offset, before }
        };
        Ok(tokens.into_iter().map(read).collect())
    }
}

/// Tokens with the bytes where they begin. What a tokenizer puts before a text (a beginning of text, a space) is not
/// part of it.
pub(crate) fn place(tokens: Vec<Token>, text: &str) -> Option<Vec<(Token, usize)>> {
    let bytes: usize = tokens.iter().map(|token| token.bytes().len()).sum();
    let extra = bytes.checked_sub(text.len())?;
    let mut placed = Vec::with_capacity(tokens.len());
    let mut position = 0;
    let mut spelled = Vec::with_capacity(bytes);
    for token in tokens {
        spelled.extend_from_slice(token.bytes());
        let end = position + token.bytes().len();
        if end > extra {
            placed.push((token, position.saturating_sub(extra)));
        }
        position = end;
    }
    (spelled.get(extra..)? == text.as_bytes()).then_some(placed)
}

fn challenge(index: u32, prompt: &str, positions: Vec<u32>) -> Challenge {
    Challenge { index, family: String::new(), prompt: prompt.to_owned(), positions }
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

fn failed(error: RespondentError) -> EngineError {
    match error.fault {
        // The server says so with status 400, as others do.
        RespondentFault::Unaskable => EngineError::Failed(error.detail),
        _ => EngineError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_text_is_no_part_of_it() {
        let tokens = |parts: &[&str]| parts.iter().map(|part| Token::from(*part)).collect::<Vec<_>>();
        let placed = |parts: &[&str], text| {
            place(tokens(parts), text).map(|all| all.into_iter().map(|(_, at)| at).collect::<Vec<_>>())
        };
        assert_eq!(placed(&["The", " cat"], "The cat"), Some(vec![0, 3]));
        assert_eq!(placed(&["<s>", "The", " cat"], "The cat"), Some(vec![0, 3]));
        assert_eq!(placed(&["<s>", " The", " cat"], "The cat"), Some(vec![0, 3]));
        assert_eq!(placed(&["The", " dog"], "The cat"), None);
        assert_eq!(placed(&["Th"], "The cat"), None);
    }
}
