//! Causal attention with grouped key-value heads, and the cache of keys and values.

use candle_core::{Device, Tensor};
use candle_nn::ops::softmax_last_dim;

use crate::error::ModelError;

/// Queries are taken this many at a time, so that the scores of a long window never exist as a whole.
pub(crate) const QUERY_BLOCK: usize = 256;
/// A cache grows by this many positions at a time.
const CACHE_STEP: usize = 256;

/// The keys and values of the positions a model has seen, so that generation computes new positions only.
///
/// A cache belongs to one model and one batch. After a failed call it is refused until [`KvCache::clear`].
pub struct KvCache {
    layers: Vec<candle_nn::kv_cache::KvCache>,
    sequences: usize,
    length: usize,
    /// Set while a call is under way: some layers then hold more positions than others.
    torn: bool,
}

impl KvCache {
    pub(crate) fn new(layers: usize) -> Self {
        // Keys are [sequences, heads, positions, width]: positions are dimension 2.
        let layers = vec![candle_nn::kv_cache::KvCache::new(2, CACHE_STEP); layers];
        Self { layers, sequences: 0, length: 0, torn: false }
    }

    /// Number of positions held.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Forgets all positions.
    pub fn clear(&mut self) {
        self.layers.iter_mut().for_each(candle_nn::kv_cache::KvCache::reset);
        (self.sequences, self.length, self.torn) = (0, 0, false);
    }

    /// Starts a call that appends to a cache of `layers` layers for `sequences` sequences.
    pub(crate) fn begin(&mut self, layers: usize, sequences: usize) -> Result<(), ModelError> {
        let mismatch = |expected: String, found: String| Err(ModelError::Cache { expected, found });
        if self.torn {
            return mismatch("a whole one".into(), "part of a call that failed".into());
        }
        if self.layers.len() != layers {
            return mismatch(format!("{layers} layers"), format!("{} layers", self.layers.len()));
        }
        if self.length > 0 && self.sequences != sequences {
            return mismatch(format!("{sequences} sequences"), format!("{} sequences", self.sequences));
        }
        self.sequences = sequences;
        self.torn = true;
        Ok(())
    }

    /// Ends a call that appended `positions` positions to every layer.
    pub(crate) fn commit(&mut self, positions: usize) {
        self.length += positions;
        self.torn = false;
    }

    pub(crate) fn append(
        &mut self,
        layer: usize,
        key: &Tensor,
        value: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        match self.layers.get_mut(layer) {
            Some(cache) => cache.append(key, value),
            None => candle_core::bail!("the cache has no layer {layer}"),
        }
    }
}

/// The heads of an attention layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    /// Number of query heads, a multiple of `key_value`.
    pub(crate) query: usize,
    /// Number of key and value heads; each serves `query / key_value` neighbouring query heads.
    pub(crate) key_value: usize,
    /// Factor on the scores before the softmax.
    pub(crate) scale: f64,
    /// How many positions each sees, itself and those just before it; all earlier ones where it is not set.
    pub(crate) window: Option<usize>,
}

/// `[sequences * positions, heads * width]` to `[sequences, heads, positions, width]`.
pub(crate) fn split_heads(x: &Tensor, sequences: usize, heads: usize) -> candle_core::Result<Tensor> {
    let (tokens, width) = x.dims2()?;
    x.reshape((sequences, tokens / sequences, heads, width / heads))?.transpose(1, 2)?.contiguous()
}

/// `softmax(scale * q k^T, masked) v` for the last positions of a sequence.
///
/// `query` is `[sequences, query heads, positions, width]`; `key` and `value` are
/// `[sequences, key-value heads, all positions, width]`, the earlier positions first. Position i of the queries
/// sees itself and all earlier positions, or those of its window. Returns `[sequences * positions, query heads * width]`.
pub(crate) fn causal(
    heads: Heads,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
) -> candle_core::Result<Tensor> {
    let (sequences, _, positions, width) = query.dims4()?;
    let past = key.dim(2)? - positions;
    let sharing = heads.query / heads.key_value;
    let query = (query * heads.scale)?;
    let mut blocks = Vec::new();
    for start in (0..positions).step_by(QUERY_BLOCK) {
        let rows = QUERY_BLOCK.min(positions - start);
        // Keys before the first query's window are seen by no query of the block.
        let lowest = heads.window.map_or(0, |window| (past + start + 1).saturating_sub(window));
        let visible = past + start + rows - lowest;
        // Query heads that share keys are neighbours: seen as more rows of one head, nothing is repeated.
        let shared = (sequences, heads.key_value, sharing * rows, width);
        let scores = query
            .narrow(2, start, rows)?
            .reshape(shared)?
            .matmul(&key.narrow(2, lowest, visible)?.t()?)?
            .reshape((sequences, heads.query, rows, visible))?;
        let scores =
            if rows == 1 { scores } else { scores.broadcast_add(&mask(rows, visible, heads.window)?)? };
        let weights =
            softmax_last_dim(&scores)?.reshape((sequences, heads.key_value, sharing * rows, visible))?;
        let mixed = weights.matmul(&value.narrow(2, lowest, visible)?)?;
        blocks.push(mixed.reshape((sequences, heads.query, rows, width))?);
    }
    Tensor::cat(&blocks, 2)?.transpose(1, 2)?.reshape((sequences * positions, heads.query * width))
}

/// `[rows, visible]`: 0 where row i, which stands at place `visible - rows + i`, may look, minus infinity elsewhere.
fn mask(rows: usize, visible: usize, window: Option<usize>) -> candle_core::Result<Tensor> {
    let first = visible - rows;
    let mut values = vec![f32::NEG_INFINITY; rows * visible];
    for (row, entries) in values.chunks_exact_mut(visible).enumerate() {
        let end = first + row + 1;
        let start = window.map_or(0, |window| end.saturating_sub(window));
        if let Some(seen) = entries.get_mut(start..end) {
            seen.fill(0.0);
        }
    }
    Tensor::from_vec(values, (rows, visible), &Device::Cpu)
}
