//! Next-token logits at chosen positions of texts of different lengths, handed out in blocks of the vocabulary.
//!
//! Linear layers work on rows, whichever text they belong to: all texts of a group are one matrix, and only attention
//! sees where one ends. What texts share at their beginning is computed once, and in the last layer what follows
//! attention is computed of the wanted rows alone. `Flow` is the way of the texts through the layers, and does not
//! know where these come from.

use candle_core::{Device, Tensor};

use crate::{
    beginnings::{Beginnings, Sharing},
    config::ModelConfig,
    decoder::{Block, LastNorm, Outline, Pass, Run},
    error::ModelError,
    hook::NoHook,
    linear::product,
    model::BaseModel,
    stack::place,
};

/// Floats that a group's activations may take in a model that is in memory.
const GROUP_BYTES: u64 = 512 << 20;
/// Logits computed at a time in a model that is in memory.
const LOGITS_AT_A_TIME: usize = 1 << 24;

/// A text, and where in it next-token logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRequest<'a> {
    /// The text.
    pub tokens: &'a [u32],
    /// Positions in it: the logits at position i are those of the token after token i.
    pub positions: &'a [usize],
}

/// Some logits of one row. All blocks of a row together are the whole vocabulary, in its order.
#[derive(Debug, Clone, Copy)]
pub struct LogitBlock<'a> {
    /// The request's place in the call.
    pub request: usize,
    /// The position's place in [`RowRequest::positions`].
    pub place: usize,
    /// The token of the first logit.
    pub first: usize,
    /// The logits of consecutive tokens. They need not be finite where the model overflows.
    pub logits: &'a [f32],
}

/// Takes the blocks of a call, in any order of the rows.
pub type Visit<'a> = &'a mut dyn FnMut(LogitBlock<'_>);

impl BaseModel {
    /// Hands out the logits of the wanted rows. All texts go through the model together as far as memory is not
    /// wasted on it; which ones share a matrix product can change the logits by rounding.
    ///
    /// # Errors
    /// An empty text, tokens beyond the vocabulary, more tokens than the context, positions outside a text.
    pub fn rows(&self, requests: &[RowRequest<'_>], visit: Visit<'_>) -> Result<(), ModelError> {
        check(self.config(), requests)?;
        let stack = self.stack();
        let all = by_length(requests, (0..requests.len()).collect());
        for group in groups(&stack.outline, requests, &all, GROUP_BYTES) {
            let positions = stack.positions.as_ref();
            let mut flow = Flow::start(&stack.outline, requests, &[group], positions, &mut |tokens| {
                Ok(stack.embedding.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?)
            })?;
            for (layer, block) in stack.blocks.iter().enumerate() {
                flow.layer(&**block, layer)?;
            }
            let wanted = flow.finish(&stack.norm)?;
            let at_a_time = (LOGITS_AT_A_TIME / wanted.len().max(1)).max(1);
            for first in (0..stack.outline.vocabulary).step_by(at_a_time) {
                let count = at_a_time.min(stack.outline.vocabulary - first);
                wanted.logits(first, &stack.output.narrow(0, first, count)?, visit)?;
            }
        }
        Ok(())
    }
}

/// Refuses requests that the model cannot run.
pub(crate) fn check(config: &ModelConfig, requests: &[RowRequest<'_>]) -> Result<(), ModelError> {
    for (request, RowRequest { tokens, positions }) in requests.iter().enumerate() {
        if tokens.is_empty() {
            return Err(ModelError::TooFewTokens { what: "a text", found: 0, needed: 1 });
        }
        config.check_context(tokens.len())?;
        config.check_tokens(tokens)?;
        if let Some(&position) = positions.iter().find(|position| **position >= tokens.len()) {
            return Err(ModelError::NoSuchPosition { request, position, tokens: tokens.len() });
        }
    }
    Ok(())
}

/// Requests in the order of their lengths, so that those of one length are neighbours.
pub(crate) fn by_length(requests: &[RowRequest<'_>], mut order: Vec<usize>) -> Vec<usize> {
    order.sort_by_key(|&request| length(requests, request));
    order
}

pub(crate) fn length(requests: &[RowRequest<'_>], request: usize) -> usize {
    requests.get(request).map_or(0, |request| request.tokens.len())
}

/// Cuts ordered requests into groups whose activations take at most `most` bytes, one request each at least.
pub(crate) fn groups(
    outline: &Outline,
    requests: &[RowRequest<'_>],
    ordered: &[usize],
    most: u64,
) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for &request in ordered {
        match groups.last_mut() {
            Some(group) => {
                group.push(request);
                if outline.activations(&runs(requests, group)) > most {
                    group.pop();
                    groups.push(vec![request]);
                }
            }
            None => groups.push(vec![request]),
        }
    }
    groups
}

/// The runs of requests that are ordered by length.
pub(crate) fn runs(requests: &[RowRequest<'_>], ordered: &[usize]) -> Vec<Run> {
    ordered
        .chunk_by(|&left, &right| length(requests, left) == length(requests, right))
        .map(|same| Run {
            sequences: same.len(),
            positions: same.first().map_or(0, |&first| length(requests, first)),
        })
        .collect()
}

impl Outline {
    /// Bytes that a layer takes to compute runs of sequences that go through it together, at most. The residual stream
    /// itself is not among them.
    pub(crate) fn activations(&self, runs: &[Run]) -> u64 {
        let tokens: usize = runs.iter().map(|run| run.sequences * run.positions).sum();
        // Attention: projections, heads split, turned and mixed. Feed-forward: a projection while its parts are
        // joined, its non-linearity, its product. Around them norms, results and sums.
        let a_token = 5 * self.hidden + (4 * self.attention + self.hidden).max(2 * self.inner);
        // Scores before and after the mask, and their softmax.
        let scores = |run: &Run| {
            let rows = run.positions.min(crate::attention::QUERY_BLOCK);
            3 * run.sequences * self.heads * rows * run.positions
        };
        4 * (tokens * a_token + runs.iter().map(scores).max().unwrap_or(0)) as u64
    }
}

/// Requests on their way through the layers.
pub(crate) struct Flow<'a> {
    outline: &'a Outline,
    groups: Vec<Group>,
}

struct Group {
    runs: Vec<Run>,
    sharing: Option<Sharing>,
    /// Request and place of each wanted row, and where it is in `x` until the last layer has run.
    places: Vec<(usize, usize)>,
    wanted: Vec<u32>,
    /// The residual stream, `[rows, hidden]`; of the wanted rows alone after the last layer.
    x: Tensor,
}

impl<'a> Flow<'a> {
    /// Embeds the tokens of groups of requests, each ordered by length.
    pub(crate) fn start(
        outline: &'a Outline,
        requests: &[RowRequest<'_>],
        groups: &[Vec<usize>],
        positions: Option<&Tensor>,
        embed: &mut dyn FnMut(&[u32]) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let groups = groups
            .iter()
            .map(|order| {
                let texts = || order.iter().filter_map(|&request| Some((request, requests.get(request)?)));
                let beginnings = Beginnings::of(texts().map(|(_, request)| request.tokens));
                let (mut places, mut wanted) = (Vec::new(), Vec::new());
                let mut tokens = Vec::new();
                for (request, RowRequest { tokens: text, positions }) in texts() {
                    for (place, &position) in positions.iter().enumerate() {
                        places.push((request, place));
                        wanted.extend(beginnings.row(tokens.len() + position));
                    }
                    tokens.extend_from_slice(text);
                }
                let first = beginnings.first().iter();
                let tokens: Vec<u32> =
                    first.filter_map(|&place| tokens.get(place as usize).copied()).collect();
                let (runs, sharing) = (runs(requests, order), beginnings.sharing()?);
                let hook = &mut NoHook;
                let pass = Pass::new(&[], runs.clone(), None, hook)?.shared(sharing.clone());
                let x = place(embed(&tokens)?, positions, &pass)?;
                Ok(Group { runs, sharing, places, wanted, x })
            })
            .collect::<Result<Vec<_>, ModelError>>()?;
        // Nobody asks what the others become.
        let groups = groups.into_iter().filter(|group| !group.wanted.is_empty()).collect();
        Ok(Self { outline, groups })
    }

    /// Rows that go through each layer.
    pub(crate) fn tokens(&self) -> candle_core::Result<usize> {
        self.groups.iter().map(|group| group.x.dim(0)).sum()
    }

    /// Rows that are wanted.
    pub(crate) fn wanted(&self) -> usize {
        self.groups.iter().map(|group| group.wanted.len()).sum()
    }

    /// Runs one layer.
    pub(crate) fn layer(&mut self, block: &dyn Block, layer: usize) -> Result<(), ModelError> {
        for group in &mut self.groups {
            let hook = &mut NoHook;
            let frequencies = &self.outline.frequencies;
            let mut pass =
                Pass::new(frequencies, group.runs.clone(), None, hook)?.shared(group.sharing.clone());
            if layer + 1 == self.outline.layers {
                pass = pass.keeping(Tensor::new(group.wanted.as_slice(), &Device::Cpu)?);
            }
            group.x = block.forward(&group.x, layer, &mut pass)?;
        }
        Ok(())
    }

    /// The wanted rows after the last layer and the last norm.
    pub(crate) fn finish(self, norm: &LastNorm) -> Result<Wanted, ModelError> {
        let mut places = Vec::new();
        let mut hidden = Vec::new();
        for group in self.groups {
            places.extend(group.places);
            hidden.push(norm.forward(&group.x)?);
        }
        let hidden = if hidden.is_empty() { None } else { Some(Tensor::cat(&hidden, 0)?) };
        Ok(Wanted { places, hidden })
    }
}

/// Hidden states of wanted rows, ready for the output matrix.
pub(crate) struct Wanted {
    /// Request and place of each row.
    places: Vec<(usize, usize)>,
    /// `[rows, hidden]`; nothing where no row is wanted.
    hidden: Option<Tensor>,
}

impl Wanted {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Hands out the logits of the tokens from `first` on, whose rows of the output matrix are given.
    pub(crate) fn logits(&self, first: usize, matrix: &Tensor, visit: Visit<'_>) -> Result<(), ModelError> {
        let Some(hidden) = &self.hidden else { return Ok(()) };
        let logits: Vec<f32> = product(hidden, &matrix.t()?)?.flatten_all()?.to_vec1()?;
        let width = matrix.dim(0)?.max(1);
        for (&(request, place), logits) in self.places.iter().zip(logits.chunks_exact(width)) {
            visit(LogitBlock { request, place, first, logits });
        }
        Ok(())
    }
}
