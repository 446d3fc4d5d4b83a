//! A multinomial logistic regression on standardised features, and the file it is kept in.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Feature, Features, Labelled, Relation,
    solve::{Problem, probabilities},
};

/// The format's name, in every file.
const FORMAT: &str = "lorica-relation-1";
/// The precision of the normal prior of each coefficient. Features have unit variance, so coefficients of about 1 are
/// what one expects before having seen a pair; it is not tuned on the pairs.
const RIDGE: f64 = 1.0;
/// A feature that varies less than this among the pairs is left out.
const LEAST_DEVIATION: f64 = 1e-9;
/// Standardised features are cut off here, so that a pair unlike all that were seen is not extrapolated to.
const FARTHEST: f64 = 5.0;

/// Gives a probability for each relation that it was fitted to.
///
/// The model is `P(relation k) ∝ exp(a_k + b_k · z)` with the standardised features `z`; the coefficients are those of
/// highest posterior density under a standard normal prior. Each relation counts alike in the fit, however many pairs
/// it has: the probabilities suppose that no relation is more usual than another. A feature that is not known is taken
/// for its mean and so speaks for no relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Classifier(Written);

/// A classifier's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    /// How many pairs it was fitted to.
    pairs: u64,
    scales: Vec<Scale>,
    classes: Vec<Class>,
}

/// How a feature is standardised: its mean and standard deviation among the pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scale {
    feature: Feature,
    mean: f64,
    deviation: f64,
}

/// The coefficients of one relation: the intercept, then one for each scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    relation: Relation,
    coefficients: Vec<f64>,
}

/// Why pairs cannot be learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Fewer than two relations to tell apart.
    #[error("the pairs have {found} relations: at least 2 are needed to tell apart")]
    TooFewRelations {
        /// How many there are.
        found: usize,
    },
    /// Fewer than two groups, so nothing can be held out.
    #[error("the pairs have {found} groups: at least 2 are needed to hold one out")]
    TooFewGroups {
        /// How many there are.
        found: usize,
    },
    /// The fit did not come to rest: a fault of this program or features of absurd size.
    #[error("the fit did not converge")]
    NotConverged,
}

/// Why a text is no classifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassifierError {
    /// Not JSON of the format, or fields that break a rule of it.
    #[error("not a classifier of relations: {reason}")]
    Json {
        /// What the reader of JSON says.
        reason: String,
    },
    /// A field that breaks a rule.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// The rule.
        expected: String,
        /// What is there.
        found: String,
    },
}

/// What a classifier says of a pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The relation with the highest probability.
    pub likeliest: Relation,
    /// The probability of each relation that the classifier knows; they add up to 1.
    pub probabilities: BTreeMap<Relation, f64>,
}

impl Classifier {
    /// Fits to pairs whose relation is known. The result depends on the pairs alone.
    ///
    /// # Errors
    /// Fewer than two relations; a fit that does not converge.
    pub fn fit(pairs: &[Labelled]) -> Result<Self, FitError> {
        let mut sizes: BTreeMap<Relation, u32> = BTreeMap::new();
        for pair in pairs {
            *sizes.entry(pair.relation).or_default() += 1;
        }
        if sizes.len() < 2 {
            return Err(FitError::TooFewRelations { found: sizes.len() });
        }
        let scales = scales(pairs);
        let relations: Vec<Relation> = sizes.keys().copied().collect();
        let problem = Problem {
            rows: pairs.iter().map(|pair| row(&scales, &pair.features)).collect(),
            classes: pairs.iter().filter_map(|pair| relations.binary_search(&pair.relation).ok()).collect(),
            weights: pairs
                .iter()
                .filter_map(|pair| sizes.get(&pair.relation))
                .map(|size| pairs.len() as f64 / (relations.len() as f64 * f64::from(*size)))
                .collect(),
            count: relations.len(),
            ridge: RIDGE,
        };
        let coefficients = problem.solve().ok_or(FitError::NotConverged)?;
        let classes = relations
            .into_iter()
            .zip(coefficients)
            .map(|(relation, coefficients)| Class { relation, coefficients })
            .collect();
        Ok(Self(Written { format: FORMAT.to_owned(), pairs: pairs.len() as u64, scales, classes }))
    }

    /// A classifier from its file's text.
    ///
    /// # Errors
    /// Anything that [`Classifier::to_json`] does not write.
    pub fn from_json(text: &str) -> Result<Self, ClassifierError> {
        serde_json::from_str(text).map_err(|error| ClassifierError::Json { reason: error.to_string() })
    }

    /// Its file's text.
    ///
    /// # Errors
    /// None that a person can cause; it is what the writer of JSON may report.
    pub fn to_json(&self) -> Result<String, ClassifierError> {
        let text = serde_json::to_string_pretty(&self.0)
            .map_err(|error| ClassifierError::Json { reason: error.to_string() })?;
        Ok(text + "\n")
    }

    /// The relations it can tell.
    pub fn relations(&self) -> Vec<Relation> {
        self.0.classes.iter().map(|class| class.relation).collect()
    }

    /// How many pairs it was fitted to.
    pub fn pairs(&self) -> u64 {
        self.0.pairs
    }

    /// The probability of each relation for a pair.
    pub fn classify(&self, features: &Features) -> Classification {
        let coefficients: Vec<Vec<f64>> =
            self.0.classes.iter().map(|class| class.coefficients.clone()).collect();
        let probabilities: BTreeMap<Relation, f64> = self
            .relations()
            .into_iter()
            .zip(probabilities(&coefficients, &row(&self.0.scales, features)))
            .collect();
        let likeliest = probabilities.iter().max_by(|a, b| a.1.total_cmp(b.1).then_with(|| b.0.cmp(a.0)));
        let likeliest = likeliest.map_or(Relation::Same, |(relation, _)| *relation);
        Classification { likeliest, probabilities }
    }
}

/// The features that vary among the pairs, each with its mean and deviation where it is known.
fn scales(pairs: &[Labelled]) -> Vec<Scale> {
    let mut known: BTreeMap<Feature, Vec<f64>> = BTreeMap::new();
    for (feature, value) in pairs.iter().flat_map(|pair| pair.features.iter()) {
        known.entry(feature).or_default().push(value);
    }
    known
        .into_iter()
        .map(|(feature, values)| {
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
            Scale { feature, mean, deviation: variance.sqrt() }
        })
        .filter(|scale| scale.deviation.is_finite() && scale.deviation > LEAST_DEVIATION)
        .collect()
}

/// 1 for the intercept, then the standardised features; 0, the mean, for one that is not known.
fn row(scales: &[Scale], features: &Features) -> Vec<f64> {
    let standardised = scales.iter().map(|scale| {
        let value = features.get(scale.feature).map(|value| (value - scale.mean) / scale.deviation);
        value.unwrap_or(0.0).clamp(-FARTHEST, FARTHEST)
    });
    std::iter::once(1.0).chain(standardised).collect()
}

impl TryFrom<Written> for Classifier {
    type Error = ClassifierError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let wrong = |field, expected: &str, found: String| {
            Err(ClassifierError::Field { field, expected: expected.to_owned(), found })
        };
        if written.format != FORMAT {
            return wrong("format", FORMAT, written.format);
        }
        let relations: BTreeSet<Relation> = written.classes.iter().map(|class| class.relation).collect();
        if relations.len() < 2 || relations.len() != written.classes.len() {
            return wrong(
                "classes",
                "at least two, each of its own",
                format!("{} in all", written.classes.len()),
            );
        }
        let features: BTreeSet<Feature> = written.scales.iter().map(|scale| scale.feature).collect();
        if features.len() != written.scales.len() {
            return wrong("scales", "each feature once", format!("{} scales", written.scales.len()));
        }
        for scale in &written.scales {
            if !scale.mean.is_finite() || !scale.deviation.is_finite() || scale.deviation <= LEAST_DEVIATION {
                return wrong("scales", "finite numbers and a positive deviation", format!("{scale:?}"));
            }
        }
        for class in &written.classes {
            if class.coefficients.len() != written.scales.len() + 1 {
                let found = class.coefficients.len().to_string();
                return wrong("coefficients", "an intercept and one for each scale", found);
            }
            if !class.coefficients.iter().all(|coefficient| coefficient.is_finite()) {
                return wrong("coefficients", "finite numbers", format!("{:?}", class.coefficients));
            }
        }
        Ok(Self(written))
    }
}

impl From<Classifier> for Written {
    fn from(classifier: Classifier) -> Self {
        classifier.0
    }
}
