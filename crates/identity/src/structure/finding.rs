//! The checks one by one: what each can and cannot tell, and its result in words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Comparability, FieldDifference, FileSummary, TensorOverlap, VocabularyOverlap};
use crate::token::Token;

/// The most names that a finding lists.
const LISTED: usize = 8;

/// One check with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in words.
    pub found: String,
}

/// The checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// SHA-256 of each file.
    Files,
    /// The order-independent digest over all tensors.
    WeightsDigest,
    /// Names, shapes and number types of the tensors.
    TensorShapes,
    /// The configuration, field by field.
    Config,
    /// TLSH distance of the weights' bytes.
    WeightsSimilarity,
    /// TLSH distance of the configuration.
    ConfigSimilarity,
    /// The vocabularies as sets of contents.
    Vocabulary,
    /// The merges.
    Merges,
    /// The special tokens.
    SpecialTokens,
    /// How a fixed corpus is cut.
    CorpusEncodings,
    /// How the challenges' prompts are cut.
    PromptEncodings,
}

impl Check {
    /// What its result can tell.
    pub fn can_tell(self) -> &'static str {
        match self {
            Self::Files => "Files with equal digests are equal byte for byte.",
            Self::WeightsDigest => {
                "Equal digests mean the same tensors, however they are divided into files; another program or another \
                 configuration can still make another model of them."
            }
            Self::TensorShapes => {
                "Different names or shapes mean that the weights of one are not a plain edit of the other's."
            }
            Self::Config => "Which settings differ, and with equal weights whether they are run differently.",
            Self::WeightsSimilarity => "A small distance hints at bytes with a common origin.",
            Self::ConfigSimilarity => "A small distance hints at a configuration edited from the other.",
            Self::Vocabulary => "Which tokens only one side can say, by their content.",
            Self::Merges => {
                "Equal merges with an equal vocabulary cut a text alike, up to preparation of the text."
            }
            Self::SpecialTokens => "Which control tokens only one side knows.",
            Self::CorpusEncodings => "How often the two cut the same text alike.",
            Self::PromptEncodings => {
                "Whether log-probabilities can be compared token by token on the challenges."
            }
        }
    }

    /// What its result cannot tell.
    pub fn cannot_tell(self) -> &'static str {
        match self {
            Self::Files => {
                "Different digests say nothing about behaviour: one changed letter in a comment changes them."
            }
            Self::WeightsDigest => {
                "Different digests do not mean different behaviour: the number type may be another."
            }
            Self::TensorShapes => {
                "Equal shapes are common to all models of a family and size, whatever they learned."
            }
            Self::Config => "Whether a field matters; some are never read.",
            Self::WeightsSimilarity => {
                "A large distance does not mean different behaviour, and a small one does not mean the same: it is a hint \
                 and no evidence."
            }
            Self::ConfigSimilarity => "Anything about the weights: many models share one configuration.",
            Self::Vocabulary => {
                "Whether the tokens that one side lacks are ever used, or what the model does with them."
            }
            Self::Merges => "Anything about the weights.",
            Self::SpecialTokens => "Whether they are ever used.",
            Self::CorpusEncodings => "How texts outside the corpus are cut.",
            Self::PromptEncodings => "Whether the models agree: that is what the challenges are for.",
        }
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No difference.
    Equal,
    /// A difference.
    Different,
    /// A number that is neither by itself.
    Hint,
    /// A side does not show what is needed.
    Unknown,
}

pub(super) fn finding(check: Check, result: Option<(bool, String)>) -> Finding {
    let (outcome, found) = match result {
        Some((true, found)) => (Outcome::Equal, found),
        Some((false, found)) => (Outcome::Different, found),
        None => (Outcome::Unknown, "not known of both sides".to_owned()),
    };
    Finding { check, outcome, found }
}

pub(super) fn hint(check: Check, distance: Option<u32>) -> Finding {
    match distance {
        Some(distance) => {
            Finding { check, outcome: Outcome::Hint, found: format!("TLSH distance {distance}") }
        }
        None => finding(check, None),
    }
}

pub(super) fn files(
    reference: &BTreeMap<String, FileSummary>,
    candidate: &BTreeMap<String, FileSummary>,
) -> (bool, String) {
    let names: BTreeSet<&String> = reference.keys().chain(candidate.keys()).collect();
    let differing: Vec<&str> = names
        .iter()
        .filter(|name| reference.get(**name) != candidate.get(**name))
        .map(|name| name.as_str())
        .collect();
    let listed = listing(&differing);
    (differing.is_empty(), format!("{} of {} files differ{listed}", differing.len(), names.len()))
}

pub(super) fn shapes(overlap: TensorOverlap) -> (bool, String) {
    let equal = overlap.names == overlap.equal_shapes && overlap.names == overlap.equal_number_types;
    let found = format!(
        "of {} tensors {} are on both sides, {} with equal shapes, {} with equal number types, {} with equal bytes; {} \
         and {} numbers in all",
        overlap.names,
        overlap.shared_names,
        overlap.equal_shapes,
        overlap.equal_number_types,
        overlap.equal,
        overlap.reference_elements,
        overlap.candidate_elements
    );
    (equal, found)
}

pub(super) fn fields(differences: &[FieldDifference]) -> (bool, String) {
    let pointers: Vec<&str> = differences.iter().map(|difference| difference.pointer.as_str()).collect();
    let fields = if differences.len() == 1 {
        "1 field differs".to_owned()
    } else {
        format!("{} fields differ", differences.len())
    };
    (differences.is_empty(), format!("{fields}{}", listing(&pointers)))
}

pub(super) fn contents(overlap: &VocabularyOverlap) -> (bool, String) {
    let found = format!(
        "{} contents shared, {} of the reference alone, {} of the candidate alone",
        overlap.shared, overlap.reference_only, overlap.candidate_only
    );
    (overlap.reference_only == 0 && overlap.candidate_only == 0, found)
}

pub(super) fn merges(reference: Option<&str>, candidate: Option<&str>) -> (bool, String) {
    let name = |merges: Option<&str>| merges.map_or("none".to_owned(), str::to_owned);
    (reference == candidate, format!("{} and {}", name(reference), name(candidate)))
}

pub(super) fn special(reference: &BTreeSet<String>, candidate: &BTreeSet<String>) -> (bool, String) {
    let differing: Vec<&str> = reference.symmetric_difference(candidate).map(String::as_str).collect();
    (differing.is_empty(), format!("{} on one side only{}", differing.len(), listing(&differing)))
}

/// [`None`] where the sides were not given the same corpus, or none.
pub(super) fn corpus(reference: &[Vec<Token>], candidate: &[Vec<Token>]) -> Option<(bool, String)> {
    if reference.len() != candidate.len() || reference.is_empty() {
        return None;
    }
    let equal = reference.iter().zip(candidate).filter(|(a, b)| a == b).count();
    Some((equal == reference.len(), format!("{equal} of {} texts are cut alike", reference.len())))
}

pub(super) fn prompts(comparability: &Comparability) -> Option<(bool, String)> {
    let show = |token: &Option<Token>| token.as_ref().map_or("the end".to_owned(), Token::to_string);
    match comparability {
        Comparability::Comparable { prompts } => Some((true, format!("all {prompts} prompts are cut alike"))),
        Comparability::CutDifferently { prompt, token, reference, candidate } => Some((
            false,
            format!("prompt {prompt}, token {token}: {} and {}", show(reference), show(candidate)),
        )),
        Comparability::OtherPrompts { .. } | Comparability::Unknown => None,
    }
}

fn listing(names: &[&str]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let more = if names.len() > LISTED { ", .." } else { "" };
    let shown: Vec<&str> = names.iter().take(LISTED).copied().collect();
    format!(": {}{more}", shown.join(", "))
}
