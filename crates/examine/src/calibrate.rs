//! How far a model is from itself: the same weights in other batches, on other numbers of threads, rounded to other
//! number types, read layer by layer. What comes out is the noise that a comparison cannot go below.
//!
//! The same object run twice in the same way is no measurement, and is not among the conditions.

use std::{num::NonZeroUsize, path::Path};

use lorica_evidence::record::{Calibration, CalibrationCondition};
use lorica_identity::{
    Answer, Challenge, Question, Respondent as _, RespondentError, ScoreError, Scored, score_challenge,
};

use crate::local::{LocalModel, LocalOptions};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The model cannot be run in this way.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// Two answers cannot be compared.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// Another way to run the same weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What differs from the usual way, for people.
    pub name: String,
    /// How the model is run.
    pub options: LocalOptions,
}

/// The usual way to run a model, which all others are compared with.
pub fn usual() -> LocalOptions {
    LocalOptions { threads: Some(NonZeroUsize::MIN), ..LocalOptions::default() }
}

/// All other ways to run it on this machine.
pub fn conditions() -> Vec<Condition> {
    let usual = usual();
    let condition = |name: &str, options: LocalOptions| Condition { name: name.to_owned(), options };
    let two = NonZeroUsize::MIN.saturating_add(1);
    vec![
        condition(
            "one challenge at a time in place of 16",
            LocalOptions { batch: NonZeroUsize::MIN, ..usual.clone() },
        ),
        condition("two threads in place of one", LocalOptions { threads: Some(two), ..usual }),
    ]
}

/// The distances of a model in each condition from itself in the usual way. `done` is called with conditions measured.
///
/// # Errors
/// A model that cannot be run in one of the ways; two answers that cannot be compared.
pub fn calibrate(
    folder: &Path,
    conditions: &[Condition],
    challenges: &[Challenge],
    done: &mut dyn FnMut(usize),
) -> Result<Calibration, CalibrationError> {
    let answers = |options: &LocalOptions| -> Result<Vec<Answer>, RespondentError> {
        let mut model = LocalModel::open(folder, options.clone())?;
        model.answer(Question::Distributions, challenges, &mut |_| ())
    };
    let usual = answers(&usual())?;
    let mut measured = Vec::with_capacity(conditions.len());
    for (index, Condition { name, options }) in conditions.iter().enumerate() {
        let (mut sum, mut largest) = (0.0, 0.0_f64);
        for ((challenge, ours), theirs) in challenges.iter().zip(&usual).zip(answers(options)?) {
            if let Scored::Value(score) = score_challenge(&Question::Distributions, challenge, ours, &theirs)?
            {
                sum += score;
                largest = largest.max(score);
            }
        }
        measured.push(CalibrationCondition {
            name: name.clone(),
            queries: u32::try_from(challenges.len()).unwrap_or(u32::MAX),
            mean: sum / challenges.len().max(1) as f64,
            largest,
        });
        done(index + 1);
    }
    Ok(Calibration { conditions: measured })
}
