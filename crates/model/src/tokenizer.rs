//! Text to tokens and back, from a model's `tokenizer.json`.

use std::path::{Path, PathBuf};

use lorica_tensor::files::read_at_most;

use crate::{
    config::{MAX_JSON_BYTES, ModelConfig},
    error::ModelError,
};

/// A model's tokenizer. Nothing is added to a text: no token in front, no padding, no truncation.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    largest: Option<u32>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` in a model's folder.
    ///
    /// # Errors
    /// A file that is missing or not a tokenizer.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let bytes = read_at_most(&path, MAX_JSON_BYTES)?;
        let wrong = |error: tokenizers::Error| ModelError::Tokenizer {
            path: path.clone(),
            reason: format!("it is not a tokenizer: {error}"),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(wrong)?;
        inner.with_truncation(None).map_err(wrong)?;
        inner.with_padding(None);
        let largest = inner.get_vocab(true).into_values().max();
        Ok(Self { path, inner, largest })
    }

    /// One more than the largest token.
    pub fn vocabulary(&self) -> usize {
        self.largest.map_or(0, |largest| largest as usize + 1)
    }

    /// Refuses a tokenizer that makes tokens the model does not know. A model may know more.
    ///
    /// # Errors
    /// A token beyond the model's vocabulary.
    pub fn check(&self, model: &ModelConfig) -> Result<(), ModelError> {
        match self.largest {
            Some(largest) if largest as usize >= model.vocabulary => {
                let (path, vocabulary) = (self.path.clone(), model.vocabulary);
                Err(ModelError::TokenizerVocabulary { path, largest, vocabulary })
            }
            _ => Ok(()),
        }
    }

    /// The tokens of a text, with none added.
    ///
    /// # Errors
    /// A text without tokens, or one the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| self.refused(error))?;
        match encoding.get_ids() {
            [] => Err(ModelError::TooFewTokens { what: "the text", found: 0, needed: 1 }),
            tokens => Ok(tokens.to_vec()),
        }
    }

    /// The text of tokens, special ones included.
    ///
    /// # Errors
    /// Tokens the tokenizer cannot decode.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, ModelError> {
        self.inner.decode(tokens, false).map_err(|error| self.refused(error))
    }

    fn refused(&self, error: tokenizers::Error) -> ModelError {
        ModelError::Tokenizer { path: self.path.clone(), reason: error.to_string() }
    }
}
