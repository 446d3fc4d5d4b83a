//! How far apart two answers to one challenge are: one number in `[0, 1]`, or withheld where a side refused.
//!
//! Distributions: the mean over the challenge's positions of the total variation distance. Texts: the string kernel of
//! [`crate::text`], moved to `[0, 1]` by [`crate::text::to_score`]. An answer that is not what was asked for is an
//! error and never a score.

use serde::{Deserialize, Serialize};

use crate::{answer::Answer, challenge::Challenge, respondent::Question, text};

/// What one challenge says about the distance between two models.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scored {
    /// A distance in `[0, 1]`.
    Value(f64),
    /// A side refused the prompt. The decision counts it as 1 where a small distance would help and as 0 where a large
    /// one would.
    Withheld,
}

/// Which side an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The model that was promised.
    Reference,
    /// The model that is checked.
    Candidate,
}

impl std::fmt::Display for Side {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Reference => "reference",
            Self::Candidate => "candidate",
        })
    }
}

/// Why two answers have no score. It ends a run as ERROR.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ScoreError {
    /// Texts where distributions were asked for, or the other way round.
    #[error("the {side} answered with {found} where {expected} were asked for")]
    OtherKind {
        /// The side.
        side: Side,
        /// What was asked for.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// A number of distributions that is not the number of positions.
    #[error("the {side} told {found} distributions, expected {expected}")]
    Positions {
        /// The side.
        side: Side,
        /// Positions of the challenge, or what the other side told.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// A number of texts that is not what was asked for.
    #[error("the {side} gave {found} texts, expected {expected}")]
    Samples {
        /// The side.
        side: Side,
        /// As asked for.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// A question for fewer texts than the kernel needs.
    #[error("texts are compared by at least 2 samples of each side, the question asks for {found}")]
    TooFewSamples {
        /// As asked for.
        found: usize,
    },
    /// A number outside `[0, 1]`: a fault of this program.
    #[error("the score came out as {found}, which is not in [0, 1]")]
    OutOfRange {
        /// The number.
        found: f64,
    },
}

/// The score of two answers to one challenge.
///
/// # Errors
/// An answer of another kind than the question's, two sides with different numbers of distributions or none, another
/// number of texts than asked for. A refusal does not excuse the other side's answer from these checks. Use
/// [`score_challenge`] where the challenge is at hand: it also checks the number of positions.
pub fn score(question: &Question, reference: &Answer, candidate: &Answer) -> Result<Scored, ScoreError> {
    for (side, answer) in [(Side::Reference, reference), (Side::Candidate, candidate)] {
        check_answer(question, None, side, answer)?;
    }
    let value = match (question, reference, candidate) {
        (Question::Distributions, Answer::Distributions(ours), Answer::Distributions(theirs)) => {
            if ours.len() != theirs.len() {
                return Err(ScoreError::Positions {
                    side: Side::Candidate,
                    expected: ours.len(),
                    found: theirs.len(),
                });
            }
            let sum: f64 = ours.iter().zip(theirs).map(|(p, q)| p.total_variation(q)).sum();
            sum / ours.len() as f64
        }
        (Question::Texts { tokens, .. }, Answer::Texts(ours), Answer::Texts(theirs)) => {
            let kernel = text::HammingKernel::for_tokens(*tokens);
            text::to_score(
                kernel.two_sample(ours, theirs).ok_or(ScoreError::TooFewSamples { found: ours.len() })?,
            )
        }
        _ => return Ok(Scored::Withheld),
    };
    if (0.0..=1.0).contains(&value) {
        Ok(Scored::Value(value))
    } else {
        Err(ScoreError::OutOfRange { found: value })
    }
}

/// The score of two answers to this challenge: [`score`] after checking that each side told a distribution for each
/// position.
///
/// # Errors
/// As [`score`], and a number of distributions that is not the number of positions.
pub fn score_challenge(
    question: &Question,
    challenge: &Challenge,
    reference: &Answer,
    candidate: &Answer,
) -> Result<Scored, ScoreError> {
    for (side, answer) in [(Side::Reference, reference), (Side::Candidate, candidate)] {
        check_answer(question, Some(challenge), side, answer)?;
    }
    score(question, reference, candidate)
}

/// Whether one side answered what was asked; a refusal did.
fn check_answer(
    question: &Question,
    challenge: Option<&Challenge>,
    side: Side,
    answer: &Answer,
) -> Result<(), ScoreError> {
    match (question, answer) {
        (_, Answer::Refused(_)) => Ok(()),
        (Question::Distributions, Answer::Distributions(distributions)) => {
            let found = distributions.len();
            let expected = challenge.map_or(found.max(1), |challenge| challenge.positions.len());
            if found == expected && found > 0 {
                Ok(())
            } else {
                Err(ScoreError::Positions { side, expected, found })
            }
        }
        (Question::Texts { samples, .. }, Answer::Texts(texts)) => {
            let expected = samples.get() as usize;
            if expected < 2 {
                return Err(ScoreError::TooFewSamples { found: expected });
            }
            let found = texts.len();
            if found == expected { Ok(()) } else { Err(ScoreError::Samples { side, expected, found }) }
        }
        (Question::Distributions, Answer::Texts(_)) => {
            Err(ScoreError::OtherKind { side, expected: "distributions", found: "texts" })
        }
        (Question::Texts { .. }, Answer::Distributions(_)) => {
            Err(ScoreError::OtherKind { side, expected: "texts", found: "distributions" })
        }
    }
}
