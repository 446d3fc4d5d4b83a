//! How two models that differ are related: quantized, fine-tuned, pruned, another architecture, and so on.
//!
//! [`Features`] are measured from the answers and the files of a pair of models; a [`Classifier`] is fitted to pairs
//! whose relation is known because somebody made them, and gives a probability for each relation. No threshold is set
//! by hand. How often it is right is measured by [`Confusion::leave_one_group_out`] on pairs that it was not fitted to.
//! The relation is a description beside the decision and never a part of it.

mod classifier;
mod confusion;
mod features;
mod solve;

use serde::{Deserialize, Serialize};

pub use classifier::{Classification, Classifier, ClassifierError, FitError};
pub use confusion::Confusion;
pub use features::{Feature, FeatureError, Features, Observed};

/// What was done to the reference to make the candidate, or what else the candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Nothing that matters: the same weights, perhaps in another number type of full quality.
    Same,
    /// Weights rounded to few bits.
    Quantized,
    /// Trained further, all weights.
    FineTuned,
    /// Low-rank updates added to some weights.
    LoraMerged,
    /// Small weights set to zero.
    Pruned,
    /// A smaller or larger model taught by the reference, or of its family.
    DistilledOrResized,
    /// The same architecture and data, trained from another random start.
    OtherSeed,
    /// Another architecture or tokenizer.
    OtherArchitecture,
    /// Tokens added to the vocabulary.
    ExtendedVocabulary,
    /// Tokens or dimensions reordered.
    Permuted,
    /// The same weights sampled at another temperature.
    TemperatureChanged,
    /// The same weights behind a program that changes what goes in or comes out.
    Wrapped,
    /// Trained to answer otherwise on rare prompts.
    Backdoored,
}

/// A pair of models whose relation is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// What was measured.
    pub features: Features,
    /// What it is.
    pub relation: Relation,
    /// What must not be on both sides of a fit and its test: the base model that the pair was made from, for example.
    pub group: String,
}
