//! Who can be asked. Local weights, endpoints and recordings implement [`Respondent`] outside this crate.

use std::{collections::BTreeMap, num::NonZeroU32};

use serde::{Deserialize, Serialize};

use crate::{
    answer::{Answer, Tier},
    challenge::Challenge,
};

/// What is asked about each challenge.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Question {
    /// Next-token distributions at the challenge's positions.
    Distributions,
    /// Independent continuations of the prompt.
    Texts {
        /// How many.
        samples: NonZeroU32,
        /// Tokens each, at most.
        tokens: NonZeroU32,
        /// Sampling temperature; 0 is greedy.
        temperature: f64,
    },
}

/// What is known of a side before it is asked; part of the evidence, so nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The folder's or model's name, as the person gave it.
    pub name: String,
    /// The most it can be asked for.
    pub tier: Tier,
    /// Digests and settings by name: weights, configuration, tokenizer, address, number type.
    pub details: BTreeMap<String, String>,
}

/// Why a side gave no answers. It ends the run as ERROR, and never becomes a score.
#[derive(Debug, thiserror::Error)]
#[error("{side}: {fault}: {detail}")]
pub struct RespondentError {
    /// The side's name.
    pub side: String,
    /// What kind of failure.
    pub fault: RespondentFault,
    /// What was found, what was expected, what to do.
    pub detail: String,
}

/// Kinds of failures of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum RespondentFault {
    /// No connection, or it broke, after all retries.
    #[error("it cannot be reached")]
    Unreachable,
    /// No answer in time, after all retries.
    #[error("it did not answer in time")]
    Timeout,
    /// The rate limit did not end within the time allowed.
    #[error("it refuses more requests for now")]
    RateLimited,
    /// It asks for a key, or does not accept the one given.
    #[error("it does not let us in")]
    Unauthorized,
    /// An answer that is not in the format, or an error that is no refusal of one prompt.
    #[error("its answer makes no sense")]
    Malformed,
    /// The model named in an answer is not the one asked for at the start.
    #[error("it changed its model")]
    ModelChanged,
    /// A log-probability that is not there, or stands for "unknown": 0 for every token, -9999.
    #[error("a log-probability is missing")]
    MissingLogProbability,
    /// NaN, an infinity, probabilities that add up to more than 1.
    #[error("its numbers are no probabilities")]
    NotAProbability,
    /// The challenge cannot be put to it: too long, or cut by its tokenizer at other places than the positions.
    #[error("it cannot be asked this challenge")]
    Unaskable,
    /// Files or weights that cannot be read or run.
    #[error("it cannot be run")]
    Unusable,
    /// What was asked for is beyond its tier, or a recording does not hold it.
    #[error("it cannot answer this kind of question")]
    Unsupported,
}

/// One side of the comparison.
pub trait Respondent {
    /// What is known of it.
    fn description(&self) -> &Description;

    /// Answers to challenges, one each, in their order. `done` is called with the number of challenges answered so
    /// far in this call.
    ///
    /// # Errors
    /// Any failure but a refusal of one prompt, which is an [`Answer::Refused`].
    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError>;
}
