//! What every decoder family is to the rest of the crate, and how to add one.
//!
//! A family is one file with three things:
//!
//! 1. a configuration: a struct of the fields that change the forward pass, read with [`crate::config::Fields`];
//!    its serialised form is what the model's identity digests. Fields it does not implement are refused there.
//! 2. a [`Block`]: one layer, loaded with [`crate::weights::Loader`] from
//!    [`LinearGroup`](crate::linear::LinearGroup)s and norms, under the checkpoint's own names;
//! 3. [`Parts`] for the configuration: the model's outline, its blocks, its last norm.
//!
//! Then [`crate::family`] gets one variant, with a line in each of its matches. A family says nothing of where weights
//! come from or go to: the same block runs in a model that is loaded and in one that streams by. Mistral is Llama with
//! a window, Qwen 2 is Llama with biases on query, key and value; Qwen 3 would be Llama with norms on their heads.

use candle_core::Tensor;
use candle_nn::Module;

use crate::{
    attention::{Heads, KvCache, causal, split_heads},
    beginnings::Sharing,
    error::ModelError,
    hook::Hook,
    linear::ModuleInfo,
    rotary::Rotary,
    weights::Loader,
};

/// One layer of a decoder.
pub(crate) trait Block: Send + Sync {
    /// The residual stream after this layer, `[tokens, hidden]` as before it, or [`Pass::kept`] rows of it: those that
    /// [`Pass::attend`] answers for. `layer` counts from 0.
    fn forward(&self, x: &Tensor, layer: usize, pass: &mut Pass<'_>) -> Result<Tensor, ModelError>;

    /// Adds the layer's linear hook points, in the order of the forward pass.
    fn describe(&self, modules: &mut Vec<ModuleInfo>);
}

/// A norm after the last layer.
pub(crate) type LastNorm = Box<dyn Module + Send + Sync>;

/// A decoder in parts that can be loaded one by one.
pub(crate) trait Parts {
    /// Its sizes, and where its embedding and output are.
    fn outline(&self, contains: &dyn Fn(&str) -> bool) -> Outline;

    /// Learned positions `[context, hidden]`, if it has them.
    fn positions(&self, loader: &mut Loader<'_>) -> Result<Option<Tensor>, ModelError> {
        let _ = loader;
        Ok(None)
    }

    /// One layer.
    fn block(&self, loader: &mut Loader<'_>, layer: usize) -> Result<Box<dyn Block>, ModelError>;

    /// The norm after the last layer.
    fn norm(&self, loader: &mut Loader<'_>) -> Result<LastNorm, ModelError>;
}

/// What a decoder looks like from outside its layers.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    pub(crate) vocabulary: usize,
    pub(crate) context: usize,
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Floats of query, key and value of one token, together.
    pub(crate) attention: usize,
    /// Width of the feed-forward layer.
    pub(crate) inner: usize,
    /// The embedding's name, `[vocabulary, hidden]`.
    pub(crate) embedding: String,
    /// The output matrix's name, `[vocabulary, hidden]`.
    pub(crate) output: &'static str,
    /// Whether the two are one matrix.
    pub(crate) tied: bool,
    /// Frequencies of rotary positions; empty where there are none.
    pub(crate) frequencies: Vec<f64>,
}

/// Consecutive sequences of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) sequences: usize,
    /// New positions a sequence.
    pub(crate) positions: usize,
}

/// One forward pass: its sequences, their place in the text, and who takes part.
pub(crate) struct Pass<'a> {
    runs: Vec<Run>,
    /// Positions before the new ones, held by the cache.
    past: usize,
    cache: Option<&'a mut KvCache>,
    pub(crate) hook: &'a mut dyn Hook,
    rotary: Option<Rotary>,
    /// Where texts begin alike: rows are fewer than tokens.
    sharing: Option<Sharing>,
    /// The rows that are wanted after attention, if not all.
    kept: Option<Tensor>,
}

/// Projections of all rows of a pass, `[rows, heads * width]` each.
pub(crate) struct Projected {
    pub(crate) query: Tensor,
    pub(crate) key: Tensor,
    pub(crate) value: Tensor,
}

impl<'a> Pass<'a> {
    /// A pass over runs of sequences. With a cache there is one run only.
    pub(crate) fn new(
        frequencies: &[f64],
        runs: Vec<Run>,
        cache: Option<&'a mut KvCache>,
        hook: &'a mut dyn Hook,
    ) -> Result<Self, ModelError> {
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        let longest = runs.iter().map(|run| run.positions).max().unwrap_or(0);
        let rotary =
            if frequencies.is_empty() { None } else { Some(Rotary::new(frequencies, past..past + longest)?) };
        Ok(Self { runs, past, cache, hook, rotary, sharing: None, kept: None })
    }

    /// The same pass, where one row stands for several tokens. Not with a cache.
    pub(crate) fn shared(self, sharing: Option<Sharing>) -> Self {
        Self { sharing, ..self }
    }

    /// The same pass, of which these rows alone are wanted after attention.
    pub(crate) fn keeping(self, rows: Tensor) -> Self {
        Self { kept: Some(rows), ..self }
    }

    /// The rows that are wanted after attention, of `[rows, width]`.
    pub(crate) fn kept(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.kept {
            Some(rows) => x.index_select(rows, 0),
            None => Ok(x.clone()),
        }
    }

    /// The position of every row, `[rows]`.
    pub(crate) fn positions(&self) -> candle_core::Result<Tensor> {
        let of_run = |run: &Run| {
            let (first, past) = (self.past as u32, self.past + run.positions);
            std::iter::repeat_n(first..past as u32, run.sequences).flatten()
        };
        let positions: Vec<u32> = self.runs.iter().flat_map(of_run).collect();
        let count = positions.len();
        let positions = Tensor::from_vec(positions, count, &candle_core::Device::Cpu)?;
        match &self.sharing {
            Some(sharing) => sharing.gather(&positions),
            None => Ok(positions),
        }
    }

    /// The attention of one layer, over cached positions and the new ones. Queries and keys are turned where the model
    /// has rotary positions. Returns `[rows, query heads * width]`, of the rows that are kept.
    pub(crate) fn attend(
        &mut self,
        layer: usize,
        heads: Heads,
        projected: &Projected,
    ) -> candle_core::Result<Tensor> {
        let mut start = 0;
        let mut outputs = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let tokens = run.sequences * run.positions;
            let split = |x: &Tensor, heads| {
                let of_run = match &self.sharing {
                    Some(sharing) => sharing.spread(x, start, tokens)?,
                    None => x.narrow(0, start, tokens)?,
                };
                split_heads(&of_run, run.sequences, heads)
            };
            let turned = |x: &Tensor, heads| match &self.rotary {
                Some(rotary) => rotary.turn(&split(x, heads)?),
                None => split(x, heads),
            };
            let query = turned(&projected.query, heads.query)?;
            let key = turned(&projected.key, heads.key_value)?;
            let value = split(&projected.value, heads.key_value)?;
            outputs.push(match self.cache.as_deref_mut() {
                None => causal(heads, &query, &key, &value)?,
                Some(cache) => {
                    let (key, value) = cache.append(layer, &key, &value)?;
                    causal(heads, &query, &key, &value)?
                }
            });
            start += tokens;
        }
        let attended = Tensor::cat(&outputs, 0)?;
        match &self.sharing {
            Some(sharing) => self.kept(&sharing.gather(&attended)?),
            None => self.kept(&attended),
        }
    }
}
