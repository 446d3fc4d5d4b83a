//! Text to tokens and back, from a model's `tokenizer.json`.

use std::path::{Path, PathBuf};

use lorica_tensor::{Digest, files::read_at_most};
use serde_json::Value;

use crate::{
    config::{MAX_JSON_BYTES, ModelConfig},
    contents::{Alphabet, Contents},
    error::ModelError,
};

/// A model's tokenizer. There is no padding and no truncation.
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    largest: Option<u32>,
    /// The decoder of the file, as it is written there.
    decoder: Value,
    digest: Digest,
}

/// What a token adds to a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its bytes; a token of a byte-level vocabulary need not be UTF-8.
    pub bytes: Vec<u8>,
    /// Whether it is a control token, which decoders leave out of a text.
    pub special: bool,
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
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(wrong)?;
        let file: Value = serde_json::from_slice(&bytes)
            .map_err(|source| ModelError::Json { path: path.clone(), source })?;
        let decoder = file.get("decoder").cloned().unwrap_or_default();
        inner.with_truncation(None).map_err(wrong)?;
        inner.with_padding(None);
        let largest = inner.get_vocab(true).into_values().max();
        Ok(Self { path, inner, largest, decoder, digest: Digest::sha256(&bytes) })
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

    /// The tokens of a text with those the tokenizer's post-processor adds, such as a beginning of text: what
    /// inference servers run. May be empty.
    ///
    /// # Errors
    /// A text the tokenizer refuses.
    pub fn encode_as_served(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self.inner.encode_fast(text, true).map_err(|error| self.refused(error))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// What each token adds to a text, by token number; nothing where a number is not used.
    ///
    /// # Errors
    /// A tokenizer whose decoder is not understood.
    pub fn contents(&self) -> Result<Vec<Option<Content>>, ModelError> {
        let alphabet = Alphabet::of(&self.decoder).map_err(|decoder| ModelError::Tokenizer {
            path: self.path.clone(),
            reason: format!(
                "it decodes with {decoder}, and what its tokens add to a text is not known; supported: ByteLevel, \
                 Metaspace, Replace with ByteFallback, none"
            ),
        })?;
        let reader = Contents::new(alphabet);
        let mut contents = vec![None; self.vocabulary()];
        for (token, id) in self.inner.get_vocab(false) {
            if let Some(place) = contents.get_mut(id as usize) {
                *place = Some(Content { bytes: reader.read(&token), special: false });
            }
        }
        for (id, token) in self.inner.get_added_tokens_decoder() {
            if let Some(place) = contents.get_mut(id as usize) {
                *place = Some(Content { bytes: token.content.into_bytes(), special: token.special });
            }
        }
        Ok(contents)
    }

    /// SHA-256 of the tokenizer's file.
    pub fn digest(&self) -> Digest {
        self.digest
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
