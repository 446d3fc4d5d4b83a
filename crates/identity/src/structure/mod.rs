//! What files alone say about two models, before any question: digests, configuration, tensors, tokenizer.
//!
//! A pure comparison of two [`ModelSummary`]s, which another crate reads from folders or endpoints. Each finding says
//! what it can tell and what it cannot. No finding decides whether two models are the same; one of them,
//! [`Comparability`], decides whether log-probabilities can be compared at all.

mod finding;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use finding::{Check, Finding, Outcome};

use crate::token::Token;
use finding::{contents, corpus, fields, files, finding, hint, merges, prompts, shapes, special};

/// The most examples of tokens that one side lacks.
const EXAMPLES: usize = 8;

/// What is known of one model without asking it anything. A part that is not known is [`None`] and is not compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSummary {
    /// The model's files by name.
    pub files: Option<BTreeMap<String, FileSummary>>,
    /// The tensors.
    pub weights: Option<WeightsSummary>,
    /// The configuration, as written.
    pub config: Option<Value>,
    /// The tokenizer.
    pub tokenizer: Option<TokenizerSummary>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSummary {
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 as hexadecimal digits.
    pub sha256: String,
}

/// All tensors of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsSummary {
    /// A digest over names, shapes, number types and bytes of all tensors that does not depend on their order or on
    /// their division into files; hexadecimal digits.
    pub digest: String,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorSummary>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSummary {
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Its number type, such as `F32`.
    pub number_type: String,
    /// Digest of its bytes, as hexadecimal digits.
    pub digest: String,
}

impl TensorSummary {
    /// How many numbers it holds; the largest number if there are more.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product: u64, &size| product.saturating_mul(size))
    }
}

/// A tokenizer by content: token numbers do not occur in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerSummary {
    /// The contents of all tokens but special ones.
    pub vocabulary: BTreeSet<Token>,
    /// The special tokens as written.
    pub special: BTreeSet<String>,
    /// A digest over the merges in their order; [`None`] for a tokenizer without any.
    pub merges: Option<String>,
    /// How it cuts the texts of a fixed corpus, in their order.
    pub corpus: Vec<Vec<Token>>,
    /// How it cuts the prompts of the run's challenges, in their order.
    pub prompts: Vec<Vec<Token>>,
}

/// Distances of locality-sensitive digests (TLSH) that the caller measured; 0 is equal or nearly so, and unrelated
/// data mostly lie above 100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarityDistances {
    /// Of the bytes of the weights.
    pub weights: Option<u32>,
    /// Of the configuration's text.
    pub config: Option<u32>,
}

/// The comparison of two summaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Structure {
    /// One line for each check, each of them always there.
    pub findings: Vec<Finding>,
    /// Fields of the configuration that differ; [`None`] if a configuration is not known.
    pub config: Option<Vec<FieldDifference>>,
    /// What tensors have in common; [`None`] if the weights of a side are not known.
    pub tensors: Option<TensorOverlap>,
    /// What vocabularies have in common; [`None`] if a tokenizer is not known.
    pub vocabulary: Option<VocabularyOverlap>,
    /// The distances given by the caller.
    pub similarity: SimilarityDistances,
    /// Whether log-probabilities of the two can be compared on the challenges.
    pub comparability: Comparability,
}

/// One field of the configurations that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDifference {
    /// Where it is: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    /// The reference's value; [`None`] if the field is not there.
    pub reference: Option<Value>,
    /// The candidate's value; [`None`] if the field is not there.
    pub candidate: Option<Value>,
}

/// What the tensors of two models have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorOverlap {
    /// Names on either side.
    pub names: u64,
    /// Names on both sides.
    pub shared_names: u64,
    /// Names on both sides with equal shapes.
    pub equal_shapes: u64,
    /// Names on both sides with equal number types.
    pub equal_number_types: u64,
    /// Names on both sides with equal shapes, number types and bytes.
    pub equal: u64,
    /// Numbers in all of the reference's tensors.
    pub reference_elements: u64,
    /// Numbers in all of the candidate's tensors.
    pub candidate_elements: u64,
}

/// What two vocabularies have in common, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VocabularyOverlap {
    /// Contents on both sides.
    pub shared: u64,
    /// Contents of the reference alone.
    pub reference_only: u64,
    /// Contents of the candidate alone.
    pub candidate_only: u64,
    /// Some of those of the reference alone.
    pub reference_examples: Vec<Token>,
    /// Some of those of the candidate alone.
    pub candidate_examples: Vec<Token>,
}

impl VocabularyOverlap {
    /// Shared contents as a share of all contents, in `[0, 1]`; 1 for two empty vocabularies.
    pub fn share(&self) -> f64 {
        let all = self.shared + self.reference_only + self.candidate_only;
        if all == 0 { 1.0 } else { self.shared as f64 / all as f64 }
    }
}

/// Whether log-probabilities can be compared: exactly if both sides cut every prompt of the challenges into tokens of
/// the same contents. Token numbers, the order of the vocabulary and tokens that the prompts do not use play no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Comparability {
    /// Every prompt is cut alike.
    Comparable {
        /// How many prompts were compared.
        prompts: u64,
    },
    /// A prompt is cut differently: the decision must be on texts.
    CutDifferently {
        /// The first such prompt, counted from 0.
        prompt: u64,
        /// Its first differing token, counted from 0.
        token: u64,
        /// What the reference has there; [`None`] beyond its end.
        reference: Option<Token>,
        /// What the candidate has there; [`None`] beyond its end.
        candidate: Option<Token>,
    },
    /// The sides were not given the same prompts.
    OtherPrompts {
        /// How many the reference has cut.
        reference: u64,
        /// How many the candidate has cut.
        candidate: u64,
    },
    /// A tokenizer is not known, or no prompt was cut.
    Unknown,
}

/// Whether two sides cut the same prompts alike; one sequence of tokens for each prompt.
pub fn comparability(reference: &[Vec<Token>], candidate: &[Vec<Token>]) -> Comparability {
    if reference.len() != candidate.len() {
        return Comparability::OtherPrompts { reference: count(reference), candidate: count(candidate) };
    }
    if reference.is_empty() {
        return Comparability::Unknown;
    }
    for (prompt, (ours, theirs)) in (0..).zip(reference.iter().zip(candidate)) {
        if ours != theirs {
            let token = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
            return Comparability::CutDifferently {
                prompt,
                token: token as u64,
                reference: ours.get(token).cloned(),
                candidate: theirs.get(token).cloned(),
            };
        }
    }
    Comparability::Comparable { prompts: count(reference) }
}

/// Compares what is known of two models.
pub fn compare(
    reference: &ModelSummary,
    candidate: &ModelSummary,
    similarity: SimilarityDistances,
) -> Structure {
    let config =
        both(&reference.config, &candidate.config).map(|(ours, theirs)| config_differences(ours, theirs));
    let tensors =
        both(&reference.weights, &candidate.weights).map(|(ours, theirs)| tensor_overlap(ours, theirs));
    let tokenizers = both(&reference.tokenizer, &candidate.tokenizer);
    let vocabulary =
        tokenizers.map(|(ours, theirs)| vocabulary_overlap(&ours.vocabulary, &theirs.vocabulary));
    let comparability = tokenizers
        .map_or(Comparability::Unknown, |(ours, theirs)| comparability(&ours.prompts, &theirs.prompts));
    let findings = vec![
        finding(Check::Files, both(&reference.files, &candidate.files).map(|(a, b)| files(a, b))),
        finding(
            Check::WeightsDigest,
            both(&reference.weights, &candidate.weights)
                .map(|(a, b)| (a.digest == b.digest, format!("{} and {}", a.digest, b.digest))),
        ),
        finding(Check::TensorShapes, tensors.map(shapes)),
        finding(Check::Config, config.as_deref().map(fields)),
        hint(Check::WeightsSimilarity, similarity.weights),
        hint(Check::ConfigSimilarity, similarity.config),
        finding(Check::Vocabulary, vocabulary.as_ref().map(contents)),
        finding(Check::Merges, tokenizers.map(|(a, b)| merges(a.merges.as_deref(), b.merges.as_deref()))),
        finding(Check::SpecialTokens, tokenizers.map(|(a, b)| special(&a.special, &b.special))),
        finding(Check::CorpusEncodings, tokenizers.and_then(|(a, b)| corpus(&a.corpus, &b.corpus))),
        finding(Check::PromptEncodings, prompts(&comparability)),
    ];
    Structure { findings, config, tensors, vocabulary, similarity, comparability }
}

fn both<'a, T>(reference: &'a Option<T>, candidate: &'a Option<T>) -> Option<(&'a T, &'a T)> {
    reference.as_ref().zip(candidate.as_ref())
}

fn count<T>(list: &[T]) -> u64 {
    list.len() as u64
}

fn tensor_overlap(reference: &WeightsSummary, candidate: &WeightsSummary) -> TensorOverlap {
    let pairs: Vec<(&TensorSummary, &TensorSummary)> = reference
        .tensors
        .iter()
        .filter_map(|(name, ours)| candidate.tensors.get(name).map(|theirs| (ours, theirs)))
        .collect();
    let having = |alike: fn(&TensorSummary, &TensorSummary) -> bool| {
        pairs.iter().filter(|(ours, theirs)| alike(ours, theirs)).count() as u64
    };
    let elements = |weights: &WeightsSummary| {
        weights.tensors.values().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.elements()))
    };
    let shared_names = count(&pairs);
    TensorOverlap {
        names: (reference.tensors.len() + candidate.tensors.len()) as u64 - shared_names,
        shared_names,
        equal_shapes: having(|a, b| a.shape == b.shape),
        equal_number_types: having(|a, b| a.number_type == b.number_type),
        equal: having(|a, b| a == b),
        reference_elements: elements(reference),
        candidate_elements: elements(candidate),
    }
}

fn vocabulary_overlap(reference: &BTreeSet<Token>, candidate: &BTreeSet<Token>) -> VocabularyOverlap {
    let shared = reference.intersection(candidate).count();
    VocabularyOverlap {
        shared: shared as u64,
        reference_only: (reference.len() - shared) as u64,
        candidate_only: (candidate.len() - shared) as u64,
        reference_examples: reference.difference(candidate).take(EXAMPLES).cloned().collect(),
        candidate_examples: candidate.difference(reference).take(EXAMPLES).cloned().collect(),
    }
}

/// The fields that differ: objects are compared field by field to any depth, everything else as a whole. The order of
/// an object's fields does not matter.
pub fn config_differences(reference: &Value, candidate: &Value) -> Vec<FieldDifference> {
    let mut differences = Vec::new();
    differ(String::new(), Some(reference), Some(candidate), &mut differences);
    differences
}

fn differ(
    pointer: String,
    reference: Option<&Value>,
    candidate: Option<&Value>,
    differences: &mut Vec<FieldDifference>,
) {
    match (reference, candidate) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                differ(format!("{pointer}/{escaped}"), ours.get(name), theirs.get(name), differences);
            }
        }
        _ if reference == candidate => {}
        _ => differences.push(FieldDifference {
            pointer,
            reference: reference.cloned(),
            candidate: candidate.cloned(),
        }),
    }
}
