//! From logits, block by block, to the distribution that is told: tokens by content, most probable first.
//!
//! `log p_i = z_i - log sum_j exp z_j`, the sum over the whole vocabulary in double precision from single-precision
//! logits. Tokens with one content are one token, with the sum of their probabilities.

use std::collections::BTreeMap;

use lorica_identity::{Distribution, DistributionError, Token};
use lorica_model::Content;

/// Vocabularies of at most this size are told whole.
const WHOLE: usize = 4096;
/// Of larger ones the most probable tokens are told, until their probabilities add up to this ...
const SHARE: f64 = 0.999;
/// ... and at most this many.
const MOST: usize = 1024;
/// Candidates are cut down to [`MOST`] when there are this many.
const CANDIDATES: usize = 8 * MOST;

/// The contents of a vocabulary.
pub(super) struct Vocabulary {
    /// By token number; nothing where a number has no content: its probability is in the remainder.
    contents: Vec<Option<Token>>,
    /// For tokens that share their content with others: the first of them.
    shared: BTreeMap<u32, u32>,
}

impl Vocabulary {
    /// Of a model with `size` logits. Numbers that the tokenizer does not use have no content.
    pub(super) fn new(contents: Vec<Option<Content>>, size: usize) -> Self {
        let contents: Vec<Option<Token>> = contents
            .into_iter()
            .map(|content| content.map(|content| Token::new(content.bytes)))
            .chain(std::iter::repeat(None))
            .take(size)
            .collect();
        let mut by_content: BTreeMap<&Token, Vec<u32>> = BTreeMap::new();
        for (id, token) in (0u32..).zip(&contents) {
            if let Some(token) = token {
                by_content.entry(token).or_default().push(id);
            }
        }
        let shared = by_content
            .values()
            .filter(|ids| ids.len() > 1)
            .flat_map(|ids| ids.iter().map(|&id| (id, ids.first().copied().unwrap_or(id))))
            .collect();
        Self { contents, shared }
    }

    /// Contents by token number.
    pub(super) fn contents(&self) -> &[Option<Token>] {
        &self.contents
    }

    fn content(&self, id: u32) -> Option<&Token> {
        self.contents.get(id as usize)?.as_ref()
    }
}

/// Why a row is not a distribution.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum RowError {
    #[error(
        "the logit of token {token} is {found}: the model overflows single precision, or its weights are broken"
    )]
    NotFinite { token: usize, found: f32 },
    #[error("{found} logits came for a vocabulary of {expected}")]
    Incomplete { found: usize, expected: usize },
    #[error(transparent)]
    Distribution(#[from] DistributionError),
}

/// One row, while its logits come in.
#[derive(Default)]
pub(super) struct Row {
    seen: usize,
    largest: f64,
    /// `sum_j exp(z_j - largest)`.
    sum: f64,
    candidates: Vec<(f32, u32)>,
    /// Logits below this are no candidates any more.
    least: Option<f32>,
    /// Tokens that share their content, whatever their logits.
    shared: Vec<(f32, u32)>,
    broken: Option<(usize, f32)>,
}

impl Row {
    /// Takes the logits of the next tokens.
    pub(super) fn add(&mut self, vocabulary: &Vocabulary, logits: &[f32]) {
        let first = self.seen;
        self.seen += logits.len();
        if self.broken.is_some() {
            return;
        }
        if let Some((place, &found)) = logits.iter().enumerate().find(|(_, logit)| !logit.is_finite()) {
            self.broken = Some((first + place, found));
            return;
        }
        let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        if first == 0 || largest > self.largest {
            self.sum = if first == 0 { 0.0 } else { self.sum * (self.largest - largest).exp() };
            self.largest = largest;
        }
        self.sum += logits.iter().map(|&logit| (f64::from(logit) - self.largest).exp()).sum::<f64>();
        let whole = vocabulary.contents.len() <= WHOLE;
        for (id, &logit) in (first as u32..).zip(logits) {
            if vocabulary.shared.contains_key(&id) {
                self.shared.push((logit, id));
            } else if whole || self.least.is_none_or(|least| logit >= least) {
                self.candidates.push((logit, id));
                if !whole && self.candidates.len() >= CANDIDATES {
                    self.cut();
                }
            }
        }
    }

    fn cut(&mut self) {
        self.candidates.sort_unstable_by(|(a, i), (b, j)| b.total_cmp(a).then(i.cmp(j)));
        self.candidates.truncate(MOST);
        self.least = self.candidates.last().map(|(logit, _)| *logit);
    }

    /// The distribution, once all logits are there.
    pub(super) fn finish(self, vocabulary: &Vocabulary) -> Result<Distribution, RowError> {
        if let Some((token, found)) = self.broken {
            return Err(RowError::NotFinite { token, found });
        }
        let expected = vocabulary.contents.len();
        if self.seen != expected {
            return Err(RowError::Incomplete { found: self.seen, expected });
        }
        let normaliser = self.largest + self.sum.ln();
        let log_probability = |logit: f32| (f64::from(logit) - normaliser).min(0.0);
        let mut merged: BTreeMap<u32, f64> = BTreeMap::new();
        for (logit, id) in self.shared {
            let first = vocabulary.shared.get(&id).copied().unwrap_or(id);
            *merged.entry(first).or_insert(0.0) += log_probability(logit).exp();
        }
        // What underflows to 0 has no logarithm, and is no part of what is told.
        let merged =
            merged.into_iter().filter(|(_, sum)| *sum > 0.0).map(|(id, sum)| (id, sum.ln().min(0.0)));
        let mut told: Vec<(u32, f64)> = self
            .candidates
            .into_iter()
            .map(|(logit, id)| (id, log_probability(logit)))
            .chain(merged)
            .collect();
        told.retain(|(id, _)| vocabulary.content(*id).is_some());
        if expected > WHOLE {
            told.sort_unstable_by(|(i, a), (j, b)| b.total_cmp(a).then(i.cmp(j)));
            let mut share = 0.0;
            let needed = told
                .iter()
                .position(|(_, log_probability)| {
                    share += log_probability.exp();
                    share >= SHARE
                })
                .map_or(MOST, |last| last + 1);
            told.truncate(needed.min(MOST));
        }
        let told = told
            .into_iter()
            .filter_map(|(id, log_probability)| Some((vocabulary.content(id)?.clone(), log_probability)))
            .collect();
        Ok(Distribution::new(told)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn vocabulary(contents: &[&str], size: usize) -> Vocabulary {
        let content = |text: &&str| Some(Content { bytes: text.as_bytes().to_vec(), special: false });
        Vocabulary::new(contents.iter().map(content).collect(), size)
    }

    fn probability(distribution: &Distribution, text: &str) -> f64 {
        distribution.told().iter().find(|(token, _)| *token == Token::from(text)).unwrap().1.exp()
    }

    #[test]
    fn blocks_make_no_difference_and_equal_contents_are_one_token() {
        let vocabulary = vocabulary(&["a", "b", "a", "c"], 5);
        // Weights 1 : 2 : 4 : 5 : 8; the last token has no content.
        let logits = [1f32, 2.0, 4.0, 5.0, 8.0].map(f32::ln);
        let mut whole = Row::default();
        whole.add(&vocabulary, &logits);
        let whole = whole.finish(&vocabulary).unwrap();
        for (text, weight) in [("a", 5.0), ("b", 2.0), ("c", 5.0)] {
            assert!((probability(&whole, text) - weight / 20.0).abs() < 1e-7, "{text}");
        }
        assert_eq!(whole.told().len(), 3);
        assert!((whole.remainder() - 0.4).abs() < 1e-6);

        let mut parts = Row::default();
        logits.chunks(2).for_each(|part| parts.add(&vocabulary, part));
        assert!(parts.finish(&vocabulary).unwrap().total_variation(&whole) < 1e-12);
    }

    #[test]
    fn of_a_large_vocabulary_the_most_probable_are_told() {
        let names: Vec<String> = (0..20_000).map(|id| format!("t{id}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let vocabulary = vocabulary(&names, names.len());
        // Steep: the share is reached soon. The most probable token comes last.
        let steep: Vec<f32> = (0..20_000).map(|id| (id as f32 - 19_999.0) * 0.1).collect();
        let mut row = Row::default();
        steep.chunks(777).for_each(|part| row.add(&vocabulary, part));
        let told = row.finish(&vocabulary).unwrap();
        assert_eq!(told.top(), Some(&Token::from("t19999")));
        // 1 - exp(-0.1 n) >= 0.999 at n = 70.
        assert_eq!(told.told().len(), 70);
        assert!((1.0 - (-0.1f64).exp() - told.told()[0].1.exp()).abs() < 1e-6);
        // Flat: at most 1024, the first ones.
        let mut row = Row::default();
        row.add(&vocabulary, &vec![3.0; 20_000]);
        let told = row.finish(&vocabulary).unwrap();
        assert_eq!(told.told().len(), 1024);
        assert!((told.remainder() - (1.0 - 1024.0 / 20_000.0)).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        let vocabulary = vocabulary(&["a", "b"], 2);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = Row::default();
            row.add(&vocabulary, &[0.0, bad]);
            assert!(matches!(row.finish(&vocabulary), Err(RowError::NotFinite { token: 1, .. })), "{bad}");
        }
        let mut row = Row::default();
        row.add(&vocabulary, &[0.0]);
        assert_eq!(row.finish(&vocabulary), Err(RowError::Incomplete { found: 1, expected: 2 }));
    }
}
