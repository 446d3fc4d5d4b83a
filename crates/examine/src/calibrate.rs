//! How far a model is from itself: the same weights in other batches, on other numbers of threads, rounded to other
//! number types, read layer by layer. What comes out is the noise that a comparison cannot go below.
//!
//! The same object run twice in the same way is no measurement, and is not among the conditions.

use std::{num::NonZeroUsize, path::Path};

use lorica_evidence::record::{Calibration, CalibrationCondition};
use lorica_identity::{
    Answer, Challenge, Question, Respondent as _, RespondentError, RespondentFault, ScoreError, Scored,
    score_challenge,
};
use lorica_model::ModelFolder;

use crate::local::{LocalModel, LocalOptions, WeightType};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// The model cannot be run in this way.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// Two answers cannot be compared.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A condition that was not the case: it would have been a measurement of nothing.
    #[error("{0}: the model was loaded all the same, so this cannot be measured here")]
    NotStreamed(String),
}

/// Beside all weights a model wants more room than this for activations, so it streams by.
const BESIDE_WEIGHTS: u64 = 600 << 20;

/// Another way to run the same weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// What differs from the usual way, for people.
    pub name: String,
    /// How the model is run.
    pub options: LocalOptions,
    /// Whether it must stream by, layer by layer.
    pub streamed: bool,
}

/// The usual way to run a model, which all others are compared with.
pub fn usual() -> LocalOptions {
    LocalOptions { threads: Some(NonZeroUsize::MIN), ..LocalOptions::default() }
}

/// All other ways to run it on this machine.
///
/// # Errors
/// A model that cannot be opened.
pub fn conditions(folder: &Path) -> Result<Vec<Condition>, CalibrationError> {
    let model = ModelFolder::open(folder).map_err(|error| RespondentError {
        side: folder.display().to_string(),
        fault: RespondentFault::Unusable,
        detail: error.to_string(),
    })?;
    let usual = usual();
    let condition =
        |name: &str, options: LocalOptions| Condition { name: name.to_owned(), options, streamed: false };
    let two = NonZeroUsize::MIN.saturating_add(1);
    let streamed = Condition {
        name: "layer by layer from the disk in place of loaded".to_owned(),
        options: LocalOptions { max_memory: Some(4 * model.parameters() + BESIDE_WEIGHTS), ..usual.clone() },
        streamed: true,
    };
    Ok(vec![
        condition(
            "one challenge at a time in place of 16",
            LocalOptions { batch: NonZeroUsize::MIN, ..usual.clone() },
        ),
        condition("two threads in place of one", LocalOptions { threads: Some(two), ..usual.clone() }),
        condition(
            "weights rounded to bf16",
            LocalOptions { weights: WeightType::RoundBf16, ..usual.clone() },
        ),
        condition("weights rounded to f16", LocalOptions { weights: WeightType::RoundF16, ..usual }),
        streamed,
    ])
}

/// What was measured, of which weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// The distances.
    pub calibration: Calibration,
    /// The digest of the weights, as a description of the model has it.
    pub weights_digest: String,
}

/// The detail of a description that holds the digest of the weights.
pub const WEIGHTS_DIGEST: &str = "weights-digest";

/// The distances of a model in each condition from itself in the usual way. `done` is called with conditions measured.
///
/// # Errors
/// A model that cannot be run in one of the ways; two answers that cannot be compared.
pub fn calibrate(
    folder: &Path,
    conditions: &[Condition],
    challenges: &[Challenge],
    done: &mut dyn FnMut(usize),
) -> Result<Calibrated, CalibrationError> {
    let answers = |options: &LocalOptions| -> Result<(Vec<Answer>, LocalModel), RespondentError> {
        let mut model = LocalModel::open(folder, options.clone())?;
        Ok((model.answer(Question::Distributions, challenges, &mut |_| ())?, model))
    };
    let (usual, model) = answers(&usual())?;
    let weights_digest = model.description().details.get(WEIGHTS_DIGEST).cloned().unwrap_or_default();
    drop(model);
    let mut measured = Vec::with_capacity(conditions.len());
    for (index, Condition { name, options, streamed }) in conditions.iter().enumerate() {
        let (theirs, model) = answers(options)?;
        if *streamed && !model.is_streamed() {
            return Err(CalibrationError::NotStreamed(name.clone()));
        }
        let (mut sum, mut largest) = (0.0, 0.0_f64);
        for ((challenge, ours), theirs) in challenges.iter().zip(&usual).zip(theirs) {
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
    Ok(Calibrated { calibration: Calibration { conditions: measured }, weights_digest })
}
