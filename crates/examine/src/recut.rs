//! A model behind another tokenizer: the same texts with the same probabilities, in tokens of which the reference's
//! vocabulary shares a part alone.
//!
//! Of a byte-level vocabulary the first tokens are kept, with the merges that make them. A text is cut with those; the
//! next token is the first piece of what the model says next, so its probability is the sum over all the model's tokens
//! that begin with that piece; a continuation is the model's own, cut off after as many pieces as were asked for.

use std::{fs, path::Path, sync::Arc};

use lorica_endpoint::server::{Engine, EngineError};
use lorica_identity::{Distribution, Token};
use lorica_model::{ModelError, Tokenizer};
use lorica_zoo::{ZooError, derive::vocabulary::truncated_tokenizer};

use crate::engine::place;

/// Why a model is not served behind another tokenizer.
#[derive(Debug, thiserror::Error)]
pub enum RecutError {
    /// The tokenizer is not of the kind that can be cut short.
    #[error(transparent)]
    Vocabulary(#[from] ZooError),
    /// The tokenizer cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] ModelError),
    /// The shorter tokenizer cannot be written for a moment.
    #[error("cannot write a tokenizer: {0}")]
    File(#[from] std::io::Error),
}

/// An engine whose answers are those of another one, in another vocabulary.
pub struct Recut {
    inner: Arc<dyn Engine>,
    tokenizer: Tokenizer,
    /// By token number; nothing where a number is not used.
    contents: Vec<Option<Token>>,
}

impl Recut {
    /// The engine of the model in `folder`, told in the first `share` of its vocabulary.
    ///
    /// # Errors
    /// A tokenizer that is no byte-level BPE, or a share that leaves too few tokens.
    pub fn new(inner: Arc<dyn Engine>, folder: &Path, share: f64) -> Result<Self, RecutError> {
        let whole = Tokenizer::load(folder)?.vocabulary();
        let file = "tokenizer.json";
        let kept = truncated_tokenizer(&fs::read(folder.join(file))?, (share * whole as f64) as usize)?;
        let shorter = tempfile::tempdir()?;
        fs::write(shorter.path().join(file), kept)?;
        let tokenizer = Tokenizer::load(shorter.path())?;
        let contents = tokenizer
            .contents()?
            .into_iter()
            .map(|content| content.map(|content| Token::new(content.bytes)))
            .collect();
        Ok(Self { inner, tokenizer, contents })
    }

    /// A text's pieces.
    fn pieces(&self, text: &str) -> Result<Vec<Token>, EngineError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.tokenizer.encode(text).map_err(|error| EngineError::Failed(error.to_string()))?;
        let content = |id: u32| self.contents.get(id as usize).cloned().flatten();
        Ok(ids.into_iter().filter_map(content).collect())
    }

    /// The first piece of a token; what is no text by itself is told byte by byte.
    fn first_piece(&self, token: &Token) -> Result<Token, EngineError> {
        let first = match std::str::from_utf8(token.bytes()) {
            Ok(text) => self.pieces(text)?.into_iter().next(),
            Err(_) => token.bytes().first().map(|&byte| Token::new([byte])),
        };
        Ok(first.unwrap_or_else(|| token.clone()))
    }

    fn told(&self, whole: &Distribution) -> Result<Distribution, EngineError> {
        // Tokens with one content are added up.
        let told = whole.told().iter().map(|(token, log)| Ok((self.first_piece(token)?, *log)));
        let mut sums = std::collections::BTreeMap::new();
        for entry in told {
            let (token, log): (Token, f64) = entry?;
            *sums.entry(token).or_insert(0.0) += log.exp();
        }
        let entries = sums.into_iter().map(|(token, sum): (Token, f64)| (token, sum.min(1.0).ln())).collect();
        Distribution::new(entries).map_err(|error| EngineError::Failed(error.to_string()))
    }
}

impl Engine for Recut {
    fn model(&self) -> &str {
        self.inner.model()
    }

    fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError> {
        self.inner.next(prefixes)?.iter().map(|whole| self.told(whole)).collect()
    }

    fn generate(
        &self,
        prompt: &str,
        tokens: u32,
        temperature: f64,
        seed: u64,
    ) -> Result<String, EngineError> {
        let text = self.inner.generate(prompt, tokens, temperature, seed)?;
        let pieces = self.pieces(&text)?;
        let bytes: Vec<u8> =
            pieces.iter().take(tokens as usize).flat_map(|piece| piece.bytes().to_vec()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn tokenize(&self, text: &str) -> Result<Vec<(Token, usize)>, EngineError> {
        place(self.pieces(text)?, text)
            .ok_or_else(|| EngineError::Failed(format!("its pieces do not add up to {text:?}")))
    }
}
