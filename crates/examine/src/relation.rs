//! How two local models are related: features of their answers and files, and a classifier fitted to known pairs.

use lorica_identity::{
    Answer, Challenge, Question, Respondent, RespondentError,
    relation::{Classification, Classifier, ClassifierError, FeatureError, Features, Observed},
    structure::Structure,
};
use sha2::{Digest as _, Sha256};

use crate::recording::hex;

/// The classifier that comes with this program: fitted to the standard zoo by `scripts/bench-identity`.
const FITTED: &str = include_str!("../data/relations.json");

/// Why no relation was estimated.
#[derive(Debug, thiserror::Error)]
pub enum RelationError {
    /// A side failed.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// The answers have no features.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The classifier cannot be read.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
}

/// What two models have in common, and what that makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    /// What was measured.
    pub features: Features,
    /// What it probably is.
    pub classification: Classification,
}

/// The fitted classifier.
///
/// # Errors
/// One that cannot be read.
pub fn classifier() -> Result<Classifier, ClassifierError> {
    Classifier::from_json(FITTED)
}

/// Asks both sides the challenges, and classifies what comes.
///
/// # Errors
/// A side that fails; answers without features; a classifier that cannot be read.
pub fn relate(
    reference: &mut dyn Respondent,
    candidate: &mut dyn Respondent,
    challenges: &[Challenge],
    structure: Option<&Structure>,
    done: &mut dyn FnMut(usize),
) -> Result<Related, RelationError> {
    let ours = reference.answer(Question::Distributions, challenges, done)?;
    let theirs =
        candidate.answer(Question::Distributions, challenges, &mut |count| done(ours.len() + count))?;
    let answers: Vec<(Answer, Answer)> = ours.into_iter().zip(theirs).collect();
    let features = Features::measure(Observed { answers: &answers, structure, bits_per_token: None })?;
    let classification = classifier()?.classify(&features);
    Ok(Related { features, classification })
}

/// An estimate as evidence holds it, with the classifier's digest.
///
/// # Errors
/// A classifier that cannot be written as JSON.
pub fn written(
    classifier: &Classifier,
    features: &Features,
) -> Result<lorica_evidence::record::Relation, ClassifierError> {
    let name = |value: &dyn std::fmt::Debug, json: serde_json::Result<serde_json::Value>| match json {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{value:?}"),
    };
    let found = classifier.classify(features);
    let digest = hex(&Sha256::digest(classifier.to_json()?));
    Ok(lorica_evidence::record::Relation {
        class: name(&found.likeliest, serde_json::to_value(found.likeliest)),
        probabilities: found
            .probabilities
            .iter()
            .map(|(relation, share)| (name(relation, serde_json::to_value(relation)), *share))
            .collect(),
        features: features
            .iter()
            .map(|(feature, value)| (name(&feature, serde_json::to_value(feature)), value))
            .collect(),
        classifier: format!("fitted to {} known pairs, SHA-256 {digest}", classifier.pairs()),
    })
}
