//! A loaded base model: tokens in, logits out, a hook in between.

use std::path::Path;

use candle_core::{Device, Tensor};

use crate::{
    attention::KvCache,
    config::ModelConfig,
    decoder::{Pass, Run},
    error::ModelError,
    folder::ModelFolder,
    hook::Hook,
    linear::ModuleInfo,
    stack::Stack,
};

/// A base model in memory, its weights in single precision.
pub struct BaseModel {
    family: &'static str,
    config: ModelConfig,
    stack: Stack,
}

/// Sequences of one length that go through the model together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    sequences: usize,
    positions: usize,
    tokens: Vec<u32>,
}

/// Logits: for each sequence and position, one float for each token of the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    /// Number of sequences.
    pub sequences: usize,
    /// Positions a sequence.
    pub positions: usize,
    /// Floats a position.
    pub vocabulary: usize,
    /// The values: all positions of the first sequence, then those of the second.
    pub values: Vec<f32>,
}

impl TokenBatch {
    /// One sequence.
    pub fn single(tokens: &[u32]) -> Self {
        Self { sequences: 1, positions: tokens.len(), tokens: tokens.to_owned() }
    }

    /// Several sequences of one length.
    ///
    /// # Errors
    /// Sequences of different lengths.
    pub fn new(sequences: &[&[u32]]) -> Result<Self, ModelError> {
        let positions = sequences.first().map_or(0, |first| first.len());
        match sequences.iter().position(|sequence| sequence.len() != positions) {
            Some(index) => Err(ModelError::UnequalSequences {
                index,
                found: sequences.get(index).map_or(0, |sequence| sequence.len()),
                expected: positions,
            }),
            None => Ok(Self { sequences: sequences.len(), positions, tokens: sequences.concat() }),
        }
    }
}

impl Logits {
    /// The logits at one position, `vocabulary` of them; nothing outside the batch.
    pub fn row(&self, sequence: usize, position: usize) -> Option<&[f32]> {
        if sequence >= self.sequences || position >= self.positions {
            return None;
        }
        let start = (sequence * self.positions + position) * self.vocabulary;
        self.values.get(start..start + self.vocabulary)
    }
}

impl BaseModel {
    /// Loads the model in a folder; see [`ModelFolder::open`] and [`ModelFolder::load`].
    ///
    /// # Errors
    /// As those two.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        ModelFolder::open(path)?.load(&mut |_| ())
    }

    pub(crate) fn new(family: &'static str, config: ModelConfig, stack: Stack) -> Self {
        Self { family, config, stack }
    }

    /// The decoder family, as `model_type` names it.
    pub fn family(&self) -> &'static str {
        self.family
    }

    /// Sizes and end-of-text tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The linear hook points in the order of the forward pass. The output matrix is not among them.
    pub fn modules(&self) -> Vec<ModuleInfo> {
        self.stack.modules()
    }

    /// An empty cache for this model.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(self.stack.blocks.len())
    }

    /// The logits at every position of a batch. With a cache, the batch continues the sequences it holds, and is
    /// added to it.
    ///
    /// # Errors
    /// An empty batch, tokens beyond the vocabulary, more tokens than the context, a cache of another model or
    /// batch, a failing hook.
    pub fn forward(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hook: &mut dyn Hook,
    ) -> Result<Logits, ModelError> {
        let hidden = self.hidden(batch, cache, hook)?;
        self.logits(&hidden, batch.sequences, batch.positions)
    }

    /// Like [`BaseModel::forward`], but only the logits of the last position of each sequence.
    ///
    /// # Errors
    /// As [`BaseModel::forward`].
    pub fn last_logits(
        &self,
        batch: &TokenBatch,
        cache: Option<&mut KvCache>,
        hook: &mut dyn Hook,
    ) -> Result<Logits, ModelError> {
        let hidden = self.hidden(batch, cache, hook)?;
        let last = hidden
            .reshape((batch.sequences, batch.positions, self.config.hidden))?
            .narrow(1, batch.positions - 1, 1)?
            .reshape((batch.sequences, self.config.hidden))?;
        self.logits(&last, batch.sequences, 1)
    }

    /// The hidden states before the output matrix, `[sequences * positions, hidden]`.
    pub(crate) fn hidden(
        &self,
        batch: &TokenBatch,
        mut cache: Option<&mut KvCache>,
        hook: &mut dyn Hook,
    ) -> Result<Tensor, ModelError> {
        let TokenBatch { sequences, positions, .. } = *batch;
        if sequences == 0 || positions == 0 {
            return Err(ModelError::TooFewTokens { what: "the batch", found: batch.tokens.len(), needed: 1 });
        }
        self.check_tokens(&batch.tokens)?;
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        self.check_context(past + positions)?;
        if let Some(cache) = cache.as_deref_mut() {
            cache.begin(self.stack.blocks.len(), sequences)?;
        }
        let tokens = Tensor::from_slice(&batch.tokens, batch.tokens.len(), &Device::Cpu)?;
        let runs = vec![Run { sequences, positions }];
        let mut pass = Pass::new(&self.stack.outline.frequencies, runs, cache.as_deref_mut(), hook)?;
        let hidden = self.stack.hidden(&tokens, &mut pass)?;
        if let Some(cache) = cache {
            cache.commit(positions);
        }
        Ok(hidden)
    }

    /// The logits `[rows, vocabulary]` of hidden states `[rows, hidden]`.
    pub(crate) fn output(&self, hidden: &Tensor) -> Result<Vec<f32>, ModelError> {
        Ok(hidden.matmul(&self.stack.output.t()?)?.flatten_all()?.to_vec1()?)
    }

    fn logits(&self, hidden: &Tensor, sequences: usize, positions: usize) -> Result<Logits, ModelError> {
        Ok(Logits { sequences, positions, vocabulary: self.config.vocabulary, values: self.output(hidden)? })
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    pub(crate) fn check_context(&self, tokens: usize) -> Result<(), ModelError> {
        self.config.check_context(tokens)
    }

    /// Refuses tokens that have no embedding.
    ///
    /// # Errors
    /// The first token beyond the vocabulary.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        self.config.check_tokens(tokens)
    }
}
