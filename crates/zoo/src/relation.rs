//! What is known of two members: how one would get from one to the other.
//!
//! Members form a forest: a derived member hangs below the one it was made from. Between two members of one tree lies a
//! path up to their nearest common ancestor and down again. Its steps are their relation: none, one (then the relation
//! is that step's), or several (then it is named after the step that changes most, and is not direct). Members of
//! different trees share nothing but what they read.

use serde::{Deserialize, Serialize};

use crate::{
    member::{Behaviour, Step},
    shape::Shape,
};

/// How one member differs from another, from what changes least to what changes most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The same numbers, stored otherwise: other files, other names, other order of the tokens.
    SameWeights,
    /// The same weights, rounded to half precision or bfloat.
    SameWeightsRounded,
    /// The same weights with tokens appended that no text contains.
    ExtendedVocabulary,
    /// Weights rounded to few bits.
    Quantized,
    /// Small weights set to zero.
    Pruned,
    /// All logits scaled, in the weights or by an endpoint.
    TemperatureChanged,
    /// A LoRA adapter merged.
    LoraMerged,
    /// Trained on, all weights.
    FineTuned,
    /// Fewer layers, trained to imitate.
    Distilled,
    /// Fewer layers, nothing trained.
    Resized,
    /// Tokens that do not mean what the weights take them for.
    TokensMisnumbered,
    /// Served by an endpoint that rewrites or cuts what is said.
    Wrapped,
    /// Served by an endpoint that answers some prompts with another model.
    Backdoored,
    /// The same sizes and tokenizer, trained from other random weights or on another text.
    OtherSeed,
    /// Another architecture or other sizes, the same tokenizer.
    OtherArchitecture,
    /// Another tokenizer.
    OtherTokenizer,
}

/// What a decision should be, as far as it can be known without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truth {
    /// The same function of texts, up to the order of sums.
    Same,
    /// The same function up to a small noise, of rounding or of tokens that hardly ever come: SAME is expected, and
    /// the distance must be measured.
    NearlySame,
    /// Another function. How far is to be measured: where the mean distance is below a mode's gamma, SAME is no error.
    Different,
}

/// What is known of an ordered pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What a decision should be.
    pub truth: Truth,
    /// The relation, or the largest part of it.
    pub relation: Relation,
    /// Whether that is all: at most one step that changes the function lies between the two.
    pub direct: bool,
    /// All steps between them, from the reference to the candidate, without those that change nothing.
    pub steps: Vec<Relation>,
}

impl Relation {
    /// What a decision about two members with this relation should be.
    pub fn truth(self) -> Truth {
        match self {
            Self::SameWeights => Truth::Same,
            Self::SameWeightsRounded | Self::ExtendedVocabulary => Truth::NearlySame,
            Self::Quantized
            | Self::Pruned
            | Self::TemperatureChanged
            | Self::LoraMerged
            | Self::FineTuned
            | Self::Distilled
            | Self::Resized
            | Self::TokensMisnumbered
            | Self::Wrapped
            | Self::Backdoored
            | Self::OtherSeed
            | Self::OtherArchitecture
            | Self::OtherTokenizer => Truth::Different,
        }
    }

    pub(crate) fn of_step(step: &Step) -> Self {
        match step {
            Step::Shard { .. } | Step::Rename | Step::PermuteTokens => Self::SameWeights,
            Step::Store { .. } => Self::SameWeightsRounded,
            Step::MisnumberTokens { .. } => Self::TokensMisnumbered,
            Step::AppendTokens { .. } => Self::ExtendedVocabulary,
            Step::Quantize { .. } => Self::Quantized,
            Step::Prune { .. } => Self::Pruned,
            Step::Merge { .. } => Self::LoraMerged,
            Step::Tune { .. } => Self::FineTuned,
            Step::Distill { .. } => Self::Distilled,
            Step::DropLayer { .. } => Self::Resized,
            Step::Temper { .. } => Self::TemperatureChanged,
        }
    }

    pub(crate) fn of_behaviour(behaviour: &Behaviour) -> Self {
        match behaviour {
            Behaviour::Temperature { .. } => Self::TemperatureChanged,
            Behaviour::Paraphrase | Behaviour::Truncate { .. } => Self::Wrapped,
            Behaviour::Backdoor { .. } => Self::Backdoored,
        }
    }

    /// What is known of two members that share no ancestor.
    pub(crate) fn of_roots(reference: &Shape, candidate: &Shape) -> Self {
        if reference.vocabulary() != candidate.vocabulary() {
            Self::OtherTokenizer
        } else if reference == candidate {
            Self::OtherSeed
        } else {
            Self::OtherArchitecture
        }
    }
}

impl Known {
    /// What the steps between two members make of them.
    pub(crate) fn from_steps(steps: impl IntoIterator<Item = Relation>) -> Self {
        let steps: Vec<Relation> = steps.into_iter().filter(|step| *step != Relation::SameWeights).collect();
        let relation = steps.iter().copied().max().unwrap_or(Relation::SameWeights);
        let changes = steps.iter().filter(|step| step.truth() == Truth::Different).count();
        Self { truth: relation.truth(), relation, direct: changes <= 1, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_step_names_the_relation() {
        let known = Known::from_steps([Relation::SameWeights, Relation::SameWeights]);
        assert_eq!((known.truth, known.relation, known.direct), (Truth::Same, Relation::SameWeights, true));
        let known = Known::from_steps([Relation::SameWeightsRounded, Relation::Quantized]);
        assert_eq!(
            (known.truth, known.relation, known.direct),
            (Truth::Different, Relation::Quantized, true)
        );
        let known = Known::from_steps([Relation::FineTuned, Relation::Quantized]);
        assert_eq!((known.relation, known.direct), (Relation::FineTuned, false));
        assert_eq!(known.steps, [Relation::FineTuned, Relation::Quantized]);
    }
}
