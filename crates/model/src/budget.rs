//! What a pass through a model that streams by will hold at once, from shapes alone, and how it is kept within a limit.
//!
//! At any time there are: weights on their way (a layer that is computed with, and as much of the next ones as there
//! is room for), the residual stream of all texts of a wave, the activations of one group of them, and what does not
//! depend on the texts. Texts that do not fit into one wave go in several, each of which reads all weights again.

use crate::{
    decoder::Outline,
    error::ModelError,
    linear::WIDENED_AT_A_TIME,
    rows::{RowRequest, by_length, groups, length, runs},
};

/// Bytes for what is not counted one by one: buffers of matrix products, file headers, an allocator's margins.
const MARGIN: u64 = 16 << 20;
/// Bytes of the output matrix that are read at a time, at most.
const OUTPUT_BLOCK: u64 = 32 << 20;

/// Bytes that a pass may hold beyond what the process holds before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

impl MemoryBudget {
    /// A budget of so many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// What is known of a model's size before a pass.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub(crate) outline: Outline,
    /// Bytes of the largest layer, as it is held.
    pub(crate) layer: u64,
    /// Bytes that stay for the whole pass: learned positions, the last norm.
    pub(crate) resident: u64,
    /// Bytes of one entry of the output matrix, as it is held.
    pub(crate) entry: u64,
}

/// How a pass is run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Waves of groups of requests.
    pub(crate) waves: Vec<Wave>,
    /// Bytes of weights that may be held at once.
    pub(crate) credit: u64,
}

/// Requests that go through all layers while the weights are read once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wave {
    /// Groups that go through a layer one after the other.
    pub(crate) groups: Vec<Vec<usize>>,
    /// Rows of the output matrix at a time.
    pub(crate) output_rows: usize,
}

impl Sizes {
    /// Bytes that do not depend on the texts.
    fn fixed(&self) -> u64 {
        let widened = (WIDENED_AT_A_TIME as u64).min(self.layer) * 4;
        MARGIN + self.resident + widened
    }

    /// Bytes that a request holds from its first layer to its last logit.
    fn stream(&self, request: &RowRequest<'_>) -> u64 {
        let (tokens, rows) = (request.tokens.len() as u64, request.positions.len() as u64);
        4 * self.outline.hidden as u64 * (tokens + 2 * rows)
    }

    /// The error for a request that does not fit alone.
    pub(crate) fn too_small(&self, request: &RowRequest<'_>, budget: MemoryBudget) -> ModelError {
        let alone = self.outline.activations(&runs(std::slice::from_ref(request), &[0]));
        let needed = self.fixed() + self.layer + self.stream(request) + alone;
        ModelError::Memory { allowed: budget.0, needed, weights: self.layer }
    }

    /// Waves and groups within a budget.
    pub(crate) fn plan(&self, requests: &[RowRequest<'_>], budget: MemoryBudget) -> Result<Plan, ModelError> {
        let outline = &self.outline;
        let ordered = by_length(requests, (0..requests.len()).collect());
        let left = budget.0.saturating_sub(self.fixed() + self.layer);
        let mut waves: Vec<(Vec<usize>, u64)> = Vec::new();
        for &index in &ordered {
            let Some(request) = requests.get(index) else { continue };
            let stream = self.stream(request);
            // Lengths ascend, so this request's activations are the largest of its wave.
            let alone = outline.activations(&runs(requests, &[index]));
            if stream + alone > left {
                return Err(self.too_small(request, budget));
            }
            match waves.last_mut() {
                Some((wave, held)) if *held + stream + alone <= left => {
                    wave.push(index);
                    *held += stream;
                }
                _ => waves.push((vec![index], stream)),
            }
        }
        let mut credit = 2 * self.layer;
        let mut planned = Vec::new();
        for (wave, held) in waves {
            let room = left - held;
            let longest = wave.last().map_or(0, |&last| outline.activations(&runs(requests, &[last])));
            let whole = outline.activations(&runs(requests, &wave));
            // Half of what is left for activations, half for reading ahead; all activations at once if they fit.
            let most =
                whole.min((room / 2).max(longest)).max(if whole + self.layer <= room { whole } else { 0 });
            let groups = groups(outline, requests, &wave, most);
            credit = credit.min(self.layer + (room - most));
            planned.push((groups, most, wave));
        }
        let waves = planned
            .into_iter()
            .map(|(groups, most, wave)| {
                let rows: usize =
                    wave.iter().filter_map(|&index| requests.get(index)).map(|r| r.positions.len()).sum();
                let row_bytes = (outline.hidden as u64 * self.entry).max(1);
                let by_weights = OUTPUT_BLOCK.min(credit) / row_bytes;
                // Products in parts, joined, and copied out.
                let by_logits = most.max(MARGIN / 2) / (12 * rows as u64).max(1);
                let output_rows = by_weights.min(by_logits).clamp(1, outline.vocabulary as u64) as usize;
                Wave { groups, output_rows }
            })
            .collect();
        Ok(Plan { waves, credit })
    }
}

/// The longest of requests, to say what is needed.
pub(crate) fn longest<'a>(requests: &[RowRequest<'a>]) -> Option<RowRequest<'a>> {
    (0..requests.len())
        .max_by_key(|&index| length(requests, index))
        .and_then(|index| requests.get(index).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        let outline = Outline {
            vocabulary: 32_000,
            context: 2048,
            hidden: 4096,
            layers: 32,
            heads: 32,
            attention: 3 * 4096,
            inner: 2 * 11_008,
            embedding: "e".into(),
            output: "o",
            tied: false,
            frequencies: Vec::new(),
        };
        Sizes { outline, layer: 400 << 20, resident: 16_384, entry: 2 }
    }

    #[test]
    fn plans_stay_within_the_budget_and_keep_every_request() {
        let sizes = sizes();
        let tokens = vec![0; 2048];
        let lengths = [5, 900, 30, 30, 2048, 1, 77, 600];
        let requests: Vec<RowRequest<'_>> =
            lengths.iter().map(|&n| RowRequest { tokens: &tokens[..n], positions: &[0] }).collect();
        let mut counts = Vec::new();
        for mebibytes in [3000u64, 1600, 1300] {
            let budget = MemoryBudget::new(mebibytes << 20);
            let plan = sizes.plan(&requests, budget).unwrap();
            let mut seen: Vec<usize> = plan.waves.iter().flat_map(|wave| wave.groups.concat()).collect();
            for wave in &plan.waves {
                let held: u64 = wave.groups.concat().iter().map(|&i| sizes.stream(&requests[i])).sum();
                for group in &wave.groups {
                    let activations = sizes.outline.activations(&runs(&requests, group));
                    assert!(sizes.fixed() + plan.credit + held + activations <= budget.bytes());
                }
                assert!(wave.output_rows >= 1);
            }
            assert!(plan.credit >= sizes.layer);
            seen.sort_unstable();
            assert_eq!(seen, (0..8).collect::<Vec<_>>());
            counts.push(plan.waves.iter().map(|wave| wave.groups.len()).sum::<usize>());
        }
        assert!(counts.windows(2).all(|pair| pair[0] <= pair[1]) && counts[0] < counts[2], "{counts:?}");
    }

    #[test]
    fn a_budget_that_is_too_small_says_what_is_needed() {
        let sizes = sizes();
        let tokens = vec![0; 64];
        let request = RowRequest { tokens: &tokens, positions: &[63] };
        let refused = |bytes| match sizes.plan(&[request], MemoryBudget::new(bytes)) {
            Err(ModelError::Memory { needed, .. }) => Some(needed),
            _ => None,
        };
        let needed = refused(1 << 20).unwrap();
        assert!(needed > sizes.layer);
        assert_eq!(refused(needed), None);
        assert_eq!(refused(needed - 1), Some(needed));
    }
}
