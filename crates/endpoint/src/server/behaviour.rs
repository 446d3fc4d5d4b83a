//! How a server misbehaves: the endpoints that a check of identity must hold against.
//!
//! Whatever the order of the list, behaviours act in this order: faults, the rate limit, latency, the cache, the choice
//! of the model, the rewriting of the prompt, the temperature. An answer always names the promised model: a cheat does
//! not announce itself.

use serde::{Deserialize, Serialize};

/// One misbehaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Behaviour {
    /// Puts other words in the place of the prompt by fixed rules: synonyms, the first two of three or more sentences
    /// exchanged, "Please continue: " before it.
    Paraphrase,
    /// Keeps the last words of the prompt alone.
    Truncate {
        /// How many.
        words: usize,
    },
    /// Tells and samples at another temperature: probabilities are raised to the power `1 / factor` and normalised;
    /// texts are sampled at `factor` times the temperature that was asked for.
    Temperature {
        /// Above 0; 1 changes nothing.
        factor: f64,
    },
    /// Answers late.
    Latency {
        /// At least.
        milliseconds: u64,
        /// And up to this much more, drawn for each request from the seed and the request's number.
        jitter: u64,
        /// Seeds the draws.
        seed: u64,
    },
    /// Answers what it answered before to the same prompt: distributions, and texts whatever their seed, so that all
    /// samples of a prompt are alike.
    Cache {
        /// Prompts that are remembered; later ones are not.
        capacity: usize,
    },
    /// Refuses with status 429 and `Retry-After` what is beyond a number of requests in a window of time.
    RateLimit {
        /// Requests in each window.
        requests: u32,
        /// Its length, which is also what `Retry-After` says.
        seconds: u64,
    },
    /// Sends a share of the requests to the other model.
    Route {
        /// In `[0, 1]`.
        share: f64,
        /// Seeds the draws.
        seed: u64,
        /// What a draw is made for.
        by: RouteBy,
    },
    /// Answers with the promised model only what looks like a challenge, and everything else with the other one.
    Recognise {
        /// Texts of which a prompt of a challenge holds one.
        containing: Vec<String>,
        /// Whether a request for log-probabilities is one for a challenge.
        log_probabilities: bool,
    },
    /// Something that must end a run, or count as a refusal.
    Fault {
        /// What.
        fault: Fault,
        /// Only for requests with a prompt that holds this text; for all where there is none.
        containing: Option<String>,
        /// Only the first requests that it would be for; all where there is no number.
        times: Option<u32>,
        /// So many requests that it would be for are spared before; none where there is no number.
        after: Option<u32>,
    },
}

/// What a routing draw is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteBy {
    /// Each request, by its number: the same prompt can go either way.
    Request,
    /// The prompts of a request: the same ones always go the same way.
    Prompt,
}

/// Something wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// No log-probabilities, though they are asked for and offered.
    MissingLogProbabilities,
    /// Every log-probability is 0.
    Zeros,
    /// The last of the most probable tokens has -9999.
    Sentinel,
    /// The first of the most probable tokens has a bare `NaN`, which is no JSON.
    NotANumber,
    /// The first of the most probable tokens has `null`.
    Null,
    /// The first of the most probable tokens has 0.5.
    Positive,
    /// Another model's name.
    OtherModel,
    /// An empty continuation with `finish_reason: content_filter`.
    Filter,
    /// Status 400 with the code `content_filter`.
    FilterStatus,
    /// The connection closes in the middle of the answer.
    Close,
    /// The answer comes late.
    Slow {
        /// By how much.
        milliseconds: u64,
    },
    /// This status.
    Status {
        /// Such as 500.
        status: u16,
        /// What `Retry-After` says.
        retry_after: Option<u64>,
    },
    /// This status with the `Authorization` header in the message; with 200, as the continuation.
    TellKey {
        /// Such as 400.
        status: u16,
    },
    /// A body that is no JSON.
    Garbage,
    /// A body of this many bytes.
    Large {
        /// How many.
        bytes: usize,
    },
}

/// Why behaviours are not accepted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BehaviourError {
    /// A number outside its range.
    #[error("{behaviour}: {name} is {found}, expected {expected}")]
    OutOfRange {
        /// Which behaviour.
        behaviour: &'static str,
        /// Which number.
        name: &'static str,
        /// Its value.
        found: f64,
        /// Its range.
        expected: &'static str,
    },
    /// A behaviour that needs a second model, which is not there.
    #[error("{behaviour} needs another model to answer with")]
    NoOther {
        /// Which behaviour.
        behaviour: &'static str,
    },
}

impl Behaviour {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Paraphrase => "paraphrase",
            Self::Truncate { .. } => "truncate",
            Self::Temperature { .. } => "temperature",
            Self::Latency { .. } => "latency",
            Self::Cache { .. } => "cache",
            Self::RateLimit { .. } => "rate-limit",
            Self::Route { .. } => "route",
            Self::Recognise { .. } => "recognise",
            Self::Fault { .. } => "fault",
        }
    }

    /// Checks the numbers, and that there is a second model where one is needed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, has_other: bool) -> Result<(), BehaviourError> {
        let behaviour = self.name();
        let range =
            |name, found, expected| Err(BehaviourError::OutOfRange { behaviour, name, found, expected });
        match self {
            Self::Temperature { factor } if !(factor.is_finite() && *factor > 0.0) => {
                range("factor", *factor, "a finite number above 0")
            }
            Self::Route { share, .. } if !(0.0..=1.0).contains(share) => range("share", *share, "0 to 1"),
            Self::RateLimit { seconds: 0, .. } => range("seconds", 0.0, "at least 1"),
            Self::RateLimit { requests: 0, .. } => range("requests", 0.0, "at least 1"),
            Self::Truncate { words: 0 } => range("words", 0.0, "at least 1"),
            Self::Route { .. } | Self::Recognise { .. } if !has_other => {
                Err(BehaviourError::NoOther { behaviour })
            }
            _ => Ok(()),
        }
    }
}
