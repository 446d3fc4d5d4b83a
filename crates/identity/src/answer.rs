//! What a model said to a challenge, and by which access it was asked.

use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;

/// How much of a model can be seen. It is named in every verdict; the first is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// The weights are at hand: every probability is computed here.
    LocalWeights,
    /// An endpoint that tells log-probabilities for the tokens of the prompt (`echo`, `prompt_logprobs`).
    PromptLogProbabilities,
    /// An endpoint that tells log-probabilities of the most probable next tokens.
    TopLogProbabilities,
    /// An endpoint that gives text alone.
    TextOnly,
}

/// What one side said to one challenge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The next-token distribution at each position of the challenge, in its order.
    Distributions(Vec<Distribution>),
    /// Independent continuations of the prompt.
    Texts(Vec<String>),
    /// The side declined this prompt, in its own words: a content filter, a policy. It is no score: the decision
    /// counts it against itself, whichever way it goes.
    Refused(String),
}
