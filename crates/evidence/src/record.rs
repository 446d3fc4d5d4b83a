//! What stands in the lines of a transcript: one header, one entry for each answered question, one closing.

use std::collections::BTreeMap;

use lorica_identity::{
    Answer, Challenge, Decision, Description, Plan, Question, RespondentFault, Scored, State,
};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The format of a transcript.
pub const FORMAT: &str = "lorica-evidence/1";

/// One line's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// The first line.
    Header(Box<Header>),
    /// Every line between.
    Entry(Box<Entry>),
    /// The last line.
    Closing(Box<Closing>),
}

/// Everything that is fixed before the first question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// The run's identifier, from which challenges are derived together with the key.
    pub run_id: String,
    /// When the run began, as RFC 3339 text.
    pub created: String,
    /// The version of the program; scores and states are recomputed bit by bit with the same version.
    pub code_version: String,
    /// What is asked about each challenge.
    pub question: Question,
    /// Positions in each challenge.
    pub positions: u32,
    /// Error probability, thresholds, numbers of queries.
    pub plan: Plan,
    /// The commitment to the key of the challenges, made before the first question.
    pub key_commitment: Digest,
    /// Digest of the families that the challenges are drawn from.
    pub bank_digest: Digest,
    /// The side that is taken as true.
    pub reference: Description,
    /// The sides that are compared with it.
    pub candidates: Vec<Description>,
    /// Where it ran: operating system, processor, number of threads. Nothing in it is secret.
    pub environment: BTreeMap<String, String>,
    /// Comparisons of files made before the questions.
    pub structure: Vec<StructureCheck>,
    /// How far the reference is from itself under other conditions, if that was measured.
    pub calibration: Option<Calibration>,
}

/// One comparison of files, with what it can and cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StructureCheck {
    /// Which candidate, from 0.
    pub candidate: u32,
    /// What was compared.
    pub name: String,
    /// What was found.
    pub finding: String,
    /// What follows from it.
    pub can_tell: String,
    /// What does not follow from it.
    pub cannot_tell: String,
    /// Numbers and digests by name.
    pub details: BTreeMap<String, String>,
}

/// Scores of the reference against itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// One for each condition that was changed.
    pub conditions: Vec<CalibrationCondition>,
}

/// The reference against itself under one other condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationCondition {
    /// What was changed: batch size, number of threads, number type.
    pub name: String,
    /// Questions asked.
    pub queries: u32,
    /// Mean score, in `[0, 1]`.
    pub mean: f64,
    /// Largest score, in `[0, 1]`.
    pub largest: f64,
}

/// One answered question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which candidate, from 0.
    pub candidate: u32,
    /// What was asked.
    pub challenge: Challenge,
    /// What the reference said. It is the same for all candidates.
    pub reference_answer: Answer,
    /// What the candidate said.
    pub candidate_answer: Answer,
    /// How far apart that is.
    pub score: Scored,
    /// The candidate's test after this score.
    pub state: State,
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The key of the challenges, revealed: 64 hexadecimal digits.
    pub key: String,
    /// One for each candidate, in their order.
    pub results: Vec<CandidateResult>,
    /// Seconds that the run took.
    pub seconds: f64,
    /// The most memory that the program used, in bytes, if it was measured.
    pub peak_memory: Option<u64>,
    /// Requests that the program that ended the run sent again after a failure, to all sides, from the connection on.
    pub retries: u64,
}

/// How the run ended for one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CandidateResult {
    /// The answer, or why there is none.
    pub outcome: Outcome,
    /// Questions that were scored.
    pub queries: u32,
    /// Answers that a side withheld; they count against either decision.
    pub withheld: u32,
    /// The test after the last score; none where nothing was scored.
    pub state: Option<State>,
    /// What kind of difference it probably is, if that was estimated.
    pub relation: Option<Relation>,
}

/// The answer for one candidate, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// SAME, DIFFERENT or UNDECIDED.
    Decided(Decision),
    /// ERROR: the run could not be completed, and nothing follows about the models.
    Error(Fault),
}

impl Outcome {
    /// SAME, DIFFERENT, UNDECIDED or ERROR.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Decided(Decision::Same) => "SAME",
            Self::Decided(Decision::Different { .. }) => "DIFFERENT",
            Self::Decided(Decision::Undecided) => "UNDECIDED",
            Self::Error(_) => "ERROR",
        }
    }
}

/// Why a run could not be completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The side's name, or `lorica`.
    pub side: String,
    /// What kind of failure.
    pub kind: FaultKind,
    /// What was found, what was expected, what to do.
    pub detail: String,
}

/// Kinds of failures that end a run as ERROR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A side gave no answer.
    Respondent(RespondentFault),
    /// Two answers could not be compared.
    Score,
    /// The memory budget, the disk, or another limit of this machine.
    Resources,
    /// A person stopped the run.
    Interrupted,
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Respondent(fault) => fault.fmt(formatter),
            Self::Score => formatter.write_str("the answers cannot be compared"),
            Self::Resources => formatter.write_str("a limit of this machine was reached"),
            Self::Interrupted => formatter.write_str("the run was stopped by a person"),
        }
    }
}

/// What kind of difference it probably is: an estimate, without the guarantee of the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The most probable class.
    pub class: String,
    /// Estimated probability of each class.
    pub probabilities: BTreeMap<String, f64>,
    /// What the estimate was made from.
    pub features: BTreeMap<String, f64>,
    /// Which classifier, with its digest and its error rate on held-out pairs.
    pub classifier: String,
}
