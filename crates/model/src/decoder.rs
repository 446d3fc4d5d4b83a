//! What every decoder family is to the rest of the crate, and how to add one.
//!
//! A family is one file with three things:
//!
//! 1. a configuration: a struct of the fields that change the forward pass, read with [`crate::config::Fields`];
//!    its serialised form is what the model's identity digests. Fields it does not implement are refused there.
//! 2. a model: loaded with [`crate::weights::Loader`] from [`LinearGroup`](crate::linear::LinearGroup)s,
//!    norms and embeddings, under the checkpoint's own names;
//! 3. an [`Architecture`] for it.
//!
//! Then [`crate::family`] gets one variant, with a line in each of its matches. Mistral is Llama with `sliding_window`
//! masks and without biases; Qwen 2 is Llama with biases on query, key and value, Qwen 3 with norms on their heads.

use candle_core::Tensor;

use crate::{
    attention::{Heads, KvCache, causal, split_heads},
    error::ModelError,
    hook::Hook,
    linear::ModuleInfo,
};

/// A decoder: tokens in, normalised hidden states out, logits from those.
pub(crate) trait Architecture: Send + Sync {
    /// The hidden states after the last norm, `[sequences * positions, hidden]`, of tokens
    /// `[sequences * positions]`.
    fn hidden(&self, tokens: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor, ModelError>;

    /// The output matrix, `[vocabulary, hidden]`.
    fn output_matrix(&self) -> &Tensor;

    /// Number of layers with a cache.
    fn layers(&self) -> usize;

    /// The linear hook points, in the order of the forward pass.
    fn modules(&self) -> Vec<ModuleInfo>;
}

/// One forward pass: its size, its place in the text, and who takes part.
pub(crate) struct Pass<'a> {
    /// Number of sequences.
    pub(crate) sequences: usize,
    /// New positions a sequence.
    pub(crate) positions: usize,
    /// Positions before them, held by the cache.
    pub(crate) past: usize,
    pub(crate) cache: Option<&'a mut KvCache>,
    pub(crate) hook: &'a mut dyn Hook,
}

impl Pass<'_> {
    /// Splits a projection into heads: `[sequences, heads, positions, width]`.
    pub(crate) fn split(&self, x: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
        split_heads(x, self.sequences, heads)
    }

    /// The attention of one layer, over cached positions and the new ones. Takes split heads, returns
    /// `[sequences * positions, query heads * width]`.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        heads: Heads,
        (query, key, value): (Tensor, Tensor, Tensor),
    ) -> candle_core::Result<Tensor> {
        match self.cache.as_deref_mut() {
            None => causal(heads, &query, &key, &value),
            Some(cache) => {
                let (key, value) = cache.append(layer, &key, &value)?;
                causal(heads, &query, &key, &value)
            }
        }
    }
}
