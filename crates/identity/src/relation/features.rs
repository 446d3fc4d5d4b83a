//! What is measured of a pair of models to tell their relation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    answer::Answer,
    distribution::Distribution,
    structure::{Comparability, Structure},
};

/// Added before a logarithm of a number that may be 0: differences of rounding lie about here.
const SMALLEST: f64 = 1e-6;
/// A distance at most this counts as tiny: it is what other kernels or number types make of the same weights.
const TINY: f64 = 1e-3;
/// Most probable tokens whose order is compared.
const RANKED: usize = 10;
/// Most probable tokens whose log-probabilities are compared.
const REGRESSED: usize = 32;

/// One number about a pair. "Distance" is total variation at one position, logarithms are natural.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Logarithm of the mean distance.
    MeanDistance,
    /// Logarithm of the median distance.
    MedianDistance,
    /// Logarithm of the distance that nine tenths of the positions do not exceed.
    NinthDecileDistance,
    /// Logarithm of the largest distance.
    LargestDistance,
    /// Share of positions with a distance of at most 0.001.
    TinyShare,
    /// Share of positions with the same most probable token.
    TopAgreement,
    /// Mean share of the ten most probable tokens that both sides have.
    TopOverlap,
    /// Mean rank agreement (Kendall) of the tokens that are among the ten most probable of both sides, in `[-1, 1]`.
    RankAgreement,
    /// Mean of the candidate's entropy minus the reference's, in nats; the remainder counts as one token.
    EntropyDifference,
    /// Mean absolute difference of the entropies, in nats.
    EntropyDistance,
    /// Slope of the candidate's log-probabilities over the reference's, centred at each position, over the
    /// reference's 32 most probable tokens that both tell: `1 / T` for the same weights at temperature `T`.
    Slope,
    /// Logarithm of that slope's distance from 1.
    SlopeDistance,
    /// Logarithm of the root mean square of what that line leaves over: small for the same weights at any temperature.
    SlopeResidual,
    /// The candidate's bits per token on the prompts minus the reference's.
    BitsPerToken,
    /// Share of all token contents that both vocabularies have.
    VocabularyShare,
    /// Share of all token contents that the reference alone has.
    ReferenceOnlyVocabulary,
    /// Share of all token contents that the candidate alone has.
    CandidateOnlyVocabulary,
    /// 1 if both cut every prompt alike, otherwise 0.
    CutAlike,
    /// Share of all tensor names that both have with the same shape.
    EqualShapes,
    /// Share of all tensor names that both have with the same number type.
    EqualNumberTypes,
    /// Share of all tensor names that both have with the same bytes.
    EqualTensors,
    /// Logarithm of the candidate's number of weights over the reference's.
    Size,
    /// Logarithm of one more than the number of fields of the configuration that differ.
    ConfigDifferences,
    /// 1 if the configurations name different architectures, otherwise 0.
    OtherArchitecture,
    /// TLSH distance of the bytes of the weights, in hundreds.
    WeightsSimilarity,
}

/// Numbers about a pair; what is not known is not there. All are finite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Feature, f64>", into = "BTreeMap<Feature, f64>")]
pub struct Features(BTreeMap<Feature, f64>);

/// Why nothing can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// No challenge was answered by both sides with distributions.
    #[error("no challenge was answered with distributions by both sides: the relation of texts is not told")]
    NoDistributions,
    /// Two answers with different numbers of distributions.
    #[error("pair {pair}: {reference} and {candidate} distributions")]
    Positions {
        /// Which pair, from 0.
        pair: usize,
        /// The reference's number.
        reference: usize,
        /// The candidate's number.
        candidate: usize,
    },
    /// NaN or an infinity.
    #[error("{feature:?} is not a finite number")]
    NotFinite {
        /// The feature.
        feature: Feature,
    },
}

/// What is known of a pair of models.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The answers to the same challenges: the reference's, the candidate's. Refusals and texts are passed over.
    pub answers: &'a [(Answer, Answer)],
    /// The comparison of their files.
    pub structure: Option<&'a Structure>,
    /// The reference's and the candidate's bits per token on the same prompts.
    pub bits_per_token: Option<(f64, f64)>,
}

impl Features {
    /// Features that were measured elsewhere.
    ///
    /// # Errors
    /// A number that is not finite.
    pub fn new(values: BTreeMap<Feature, f64>) -> Result<Self, FeatureError> {
        match values.iter().find(|(_, value)| !value.is_finite()) {
            Some((&feature, _)) => Err(FeatureError::NotFinite { feature }),
            None => Ok(Self(values)),
        }
    }

    /// Everything that what is known of a pair tells.
    ///
    /// # Errors
    /// No pair of distributions; answers with different numbers of them; a number that is not finite.
    pub fn measure(observed: Observed<'_>) -> Result<Self, FeatureError> {
        let mut positions = Vec::new();
        for (pair, answers) in observed.answers.iter().enumerate() {
            if let (Answer::Distributions(ours), Answer::Distributions(theirs)) = answers {
                if ours.len() != theirs.len() {
                    return Err(FeatureError::Positions {
                        pair,
                        reference: ours.len(),
                        candidate: theirs.len(),
                    });
                }
                positions.extend(ours.iter().zip(theirs));
            }
        }
        if positions.is_empty() {
            return Err(FeatureError::NoDistributions);
        }
        let mut values = BTreeMap::new();
        distances(&positions, &mut values);
        tops(&positions, &mut values);
        entropies(&positions, &mut values);
        slope(&positions, &mut values);
        if let Some((ours, theirs)) = observed.bits_per_token {
            values.insert(Feature::BitsPerToken, theirs - ours);
        }
        if let Some(structure) = observed.structure {
            files(structure, &mut values);
        }
        Self::new(values)
    }

    /// A feature, if it is known.
    pub fn get(&self, feature: Feature) -> Option<f64> {
        self.0.get(&feature).copied()
    }

    /// The known features, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Feature, f64)> {
        self.0.iter().map(|(feature, value)| (*feature, *value))
    }
}

impl TryFrom<BTreeMap<Feature, f64>> for Features {
    type Error = FeatureError;

    fn try_from(values: BTreeMap<Feature, f64>) -> Result<Self, Self::Error> {
        Self::new(values)
    }
}

impl From<Features> for BTreeMap<Feature, f64> {
    fn from(features: Features) -> Self {
        features.0
    }
}

/// The distributions at one position: the reference's, the candidate's.
type Position<'a> = (&'a Distribution, &'a Distribution);
type Values = BTreeMap<Feature, f64>;

fn logarithm(value: f64) -> f64 {
    libm::log(value.max(0.0) + SMALLEST)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn distances(positions: &[Position<'_>], values: &mut Values) {
    let mut sorted: Vec<f64> = positions.iter().map(|(p, q)| p.total_variation(q)).collect();
    sorted.sort_by(f64::total_cmp);
    // The value that at least this part of all values does not exceed.
    let quantile = |tenths: usize| sorted.get((sorted.len() * tenths).div_ceil(10).max(1) - 1).copied();
    let tiny = sorted.iter().filter(|distance| **distance <= TINY).count();
    for (feature, value) in [
        (Feature::MeanDistance, mean(&sorted)),
        (Feature::MedianDistance, quantile(5)),
        (Feature::NinthDecileDistance, quantile(9)),
        (Feature::LargestDistance, quantile(10)),
    ] {
        values.extend(value.map(|value| (feature, logarithm(value))));
    }
    values.extend(share(tiny as u64, sorted.len() as u64).map(|value| (Feature::TinyShare, value)));
}

fn tops(positions: &[Position<'_>], values: &mut Values) {
    let mut agreements = Vec::new();
    let mut overlaps = Vec::new();
    let mut ranks = Vec::new();
    for (ours, theirs) in positions {
        agreements.push(if ours.top() == theirs.top() { 1.0 } else { 0.0 });
        let ranked = RANKED.min(ours.told().len()).min(theirs.told().len());
        // For each of our first tokens that is one of theirs, its place there.
        let places: Vec<usize> = ours
            .told()
            .iter()
            .take(ranked)
            .filter_map(|(token, _)| theirs.told().iter().take(ranked).position(|(other, _)| other == token))
            .collect();
        overlaps.push(places.len() as f64 / ranked as f64);
        let pairs = places.len() * places.len().saturating_sub(1) / 2;
        if pairs > 0 {
            let ascending: usize = places
                .iter()
                .enumerate()
                .map(|(at, place)| places.iter().skip(at + 1).filter(|later| *later > place).count())
                .sum();
            ranks.push(2.0 * ascending as f64 / pairs as f64 - 1.0);
        }
    }
    values.extend(mean(&agreements).map(|value| (Feature::TopAgreement, value)));
    values.extend(mean(&overlaps).map(|value| (Feature::TopOverlap, value)));
    values.extend(mean(&ranks).map(|value| (Feature::RankAgreement, value)));
}

/// In nats; all tokens that are not told count as one.
fn entropy(distribution: &Distribution) -> f64 {
    let remainder = distribution.remainder();
    let of_remainder = if remainder > 0.0 { -remainder * libm::log(remainder) } else { 0.0 };
    let of_told: f64 = distribution.told().iter().map(|(_, log)| -libm::exp(*log) * log).sum();
    of_told + of_remainder
}

fn entropies(positions: &[Position<'_>], values: &mut Values) {
    let differences: Vec<f64> = positions.iter().map(|(p, q)| entropy(q) - entropy(p)).collect();
    let absolute: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    values.extend(mean(&differences).map(|value| (Feature::EntropyDifference, value)));
    values.extend(mean(&absolute).map(|value| (Feature::EntropyDistance, value)));
}

fn slope(positions: &[Position<'_>], values: &mut Values) {
    let (mut xx, mut xy, mut yy, mut count) = (0.0, 0.0, 0.0, 0_u64);
    for (ours, theirs) in positions {
        let told: BTreeMap<_, _> = theirs.told().iter().map(|(token, log)| (token, *log)).collect();
        let points: Vec<(f64, f64)> = ours
            .told()
            .iter()
            .take(REGRESSED)
            .filter(|(token, _)| token.is_legible())
            .filter_map(|(token, log)| told.get(token).map(|other| (*log, *other)))
            .collect();
        let centre = |values: Vec<f64>| mean(&values).unwrap_or(0.0);
        let x = centre(points.iter().map(|(x, _)| *x).collect());
        let y = centre(points.iter().map(|(_, y)| *y).collect());
        for (a, b) in &points {
            xx += (a - x) * (a - x);
            xy += (a - x) * (b - y);
            yy += (b - y) * (b - y);
        }
        count += points.len() as u64;
    }
    // Without two different log-probabilities at some position there is no line.
    if xx > SMALLEST {
        let slope = xy / xx;
        let rest = ((yy - xy * slope).max(0.0) / count as f64).sqrt();
        values.insert(Feature::Slope, slope);
        values.insert(Feature::SlopeDistance, logarithm((slope - 1.0).abs()));
        values.insert(Feature::SlopeResidual, logarithm(rest));
    }
}

fn files(structure: &Structure, values: &mut Values) {
    let flag = |on: bool| if on { 1.0 } else { 0.0 };
    if let Some(overlap) = &structure.vocabulary {
        let all = overlap.shared + overlap.reference_only + overlap.candidate_only;
        for (feature, part) in [
            (Feature::VocabularyShare, overlap.shared),
            (Feature::ReferenceOnlyVocabulary, overlap.reference_only),
            (Feature::CandidateOnlyVocabulary, overlap.candidate_only),
        ] {
            values.extend(share(part, all).map(|value| (feature, value)));
        }
    }
    match structure.comparability {
        Comparability::Comparable { .. } => values.extend([(Feature::CutAlike, 1.0)]),
        Comparability::CutDifferently { .. } => values.extend([(Feature::CutAlike, 0.0)]),
        Comparability::OtherPrompts { .. } | Comparability::Unknown => {}
    }
    if let Some(overlap) = &structure.tensors {
        for (feature, part) in [
            (Feature::EqualShapes, overlap.equal_shapes),
            (Feature::EqualNumberTypes, overlap.equal_number_types),
            (Feature::EqualTensors, overlap.equal),
        ] {
            values.extend(share(part, overlap.names).map(|value| (feature, value)));
        }
        if overlap.reference_elements > 0 && overlap.candidate_elements > 0 {
            let ratio = overlap.candidate_elements as f64 / overlap.reference_elements as f64;
            values.insert(Feature::Size, libm::log(ratio));
        }
    }
    if let Some(differences) = &structure.config {
        values.insert(Feature::ConfigDifferences, libm::log1p(differences.len() as f64));
        let other = differences
            .iter()
            .any(|difference| matches!(difference.pointer.as_str(), "/model_type" | "/architectures"));
        values.insert(Feature::OtherArchitecture, flag(other));
    }
    if let Some(distance) = structure.similarity.weights {
        values.insert(Feature::WeightsSimilarity, f64::from(distance) / 100.0);
    }
}
