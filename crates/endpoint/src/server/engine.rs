//! What a server needs of a model.

use lorica_identity::{Distribution, Token};

/// A model behind a server. It is called from several threads at once.
pub trait Engine: Send + Sync {
    /// The name that requests ask for and answers carry.
    fn model(&self) -> &str;

    /// The next-token distribution after each prefix, in their order. The prefixes are put to the model as they are:
    /// what it puts before every text is the engine's own matter.
    ///
    /// # Errors
    /// A prefix that is too long, or a model that cannot be run.
    fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError>;

    /// A continuation of at most `tokens` tokens, sampled at `temperature` (0: the most probable ones). The same seed
    /// gives the same text.
    ///
    /// # Errors
    /// As [`Engine::next`].
    fn generate(&self, prompt: &str, tokens: u32, temperature: f64, seed: u64)
    -> Result<String, EngineError>;

    /// The tokens of a text with the bytes where they begin, ascending from 0.
    ///
    /// # Errors
    /// A text that has no tokens in this vocabulary.
    fn tokenize(&self, text: &str) -> Result<Vec<(Token, usize)>, EngineError>;

    /// The tokens of a text, each with the distribution that the model had before it.
    ///
    /// By default the text before each token is put to [`Engine::next`] as a prefix of its own; a model that sees
    /// a whole text in one pass answers faster by itself, and must say the same up to rounding.
    ///
    /// # Errors
    /// As [`Engine::next`].
    fn read(&self, text: &str) -> Result<Vec<ReadToken>, EngineError> {
        read_by_prefixes(self.tokenize(text)?, text, |prefixes| self.next(prefixes))
    }
}

/// A token of a text that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadToken {
    /// Its content.
    pub token: Token,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// The distribution before it; none for the first one, and none where it begins inside a character.
    pub before: Option<Distribution>,
}

/// Why an engine gives no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The text does not fit into the model's context.
    #[error("the text has {found} tokens: the maximum context length is {limit}")]
    TooLong {
        /// Tokens of the text.
        found: usize,
        /// Tokens of the context.
        limit: usize,
    },
    /// What was asked for needs the probability of every token, and the engine told only some.
    #[error(
        "the distribution lacks a share of {remainder}: another temperature needs every token of the vocabulary"
    )]
    NotWhole {
        /// The probability of the tokens that were not told.
        remainder: f64,
    },
    /// Anything else.
    #[error("the model cannot be run: {0}")]
    Failed(String),
}

/// Reads a text by one prefix for each of its tokens.
pub(super) fn read_by_prefixes(
    tokens: Vec<(Token, usize)>,
    text: &str,
    next: impl FnOnce(&[String]) -> Result<Vec<Distribution>, EngineError>,
) -> Result<Vec<ReadToken>, EngineError> {
    let prefix = |offset: usize| (offset > 0).then(|| text.get(..offset)).flatten();
    let prefixes: Vec<String> =
        tokens.iter().filter_map(|(_, offset)| prefix(*offset)).map(ToOwned::to_owned).collect();
    let expected = prefixes.len();
    let found = if prefixes.is_empty() { Vec::new() } else { next(&prefixes)? };
    if found.len() != expected {
        return Err(EngineError::Failed(format!("{expected} prefixes got {} distributions", found.len())));
    }
    let mut found = found.into_iter();
    let read = tokens.into_iter().map(|(token, offset)| {
        let before = prefix(offset).and_then(|_| found.next());
        ReadToken { token, offset, before }
    });
    Ok(read.collect())
}
