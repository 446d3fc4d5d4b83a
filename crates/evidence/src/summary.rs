//! What a report shows of a transcript, gathered line by line in bounded memory, by the writer and by the verifier.

use lorica_identity::{Answer, Challenge, Distribution, Scored, State};

use crate::record::Entry;

/// Prompts shown with the largest scores, and prompts shown that were withheld.
const SHOWN: usize = 5;
/// Tokens shown of a distribution.
const TOKENS: usize = 4;
/// Characters shown of a text.
const CHARACTERS: usize = 280;

/// The test after one score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TracePoint {
    /// Questions so far.
    pub n: u32,
    /// The score, in `[0, 1]`; none where it was withheld.
    pub score: Option<f64>,
    /// Mean of the scores so far.
    pub mean: Option<f64>,
    /// Lower bound of the mean.
    pub lower: f64,
    /// Upper bound of the mean.
    pub upper: f64,
}

/// One question with both answers, shortened to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The challenge's index.
    pub index: u32,
    /// Its family.
    pub family: String,
    /// The text that was to be continued: up to the position that is shown.
    pub prompt: String,
    /// The score; none where it was withheld.
    pub score: Option<f64>,
    /// What the reference said.
    pub reference: Vec<String>,
    /// What the candidate said.
    pub candidate: Vec<String>,
}

/// Scores of one family.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilySummary {
    /// Its name.
    pub name: String,
    /// Questions scored.
    pub queries: u32,
    /// Of them withheld.
    pub withheld: u32,
    /// Sum of the scores.
    pub sum: f64,
    /// Largest score.
    pub largest: f64,
}

/// What a report shows of one candidate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// One point for each question.
    pub trace: Vec<TracePoint>,
    /// The questions with the largest scores, largest first.
    pub largest: Vec<Sample>,
    /// The first questions that were withheld.
    pub withheld_samples: Vec<Sample>,
    /// Questions that were withheld.
    pub withheld: u32,
    /// Scores by family, in the order in which they came up.
    pub families: Vec<FamilySummary>,
    /// The test after the last score.
    pub state: Option<State>,
}

impl Summary {
    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: &Entry) {
        let score = match entry.score {
            Scored::Value(value) => Some(value),
            Scored::Withheld => None,
        };
        let State { n, mean, lower, upper, .. } = &entry.state;
        self.trace.push(TracePoint { n: *n, score, mean: *mean, lower: *lower, upper: *upper });
        self.add_to_family(&entry.challenge.family, score);
        match score {
            Some(value) => {
                let place = self.largest.iter().take_while(|s| s.score.is_some_and(|s| s >= value)).count();
                if place < SHOWN {
                    self.largest.insert(place, sample(entry, score));
                    self.largest.truncate(SHOWN);
                }
            }
            None => {
                self.withheld = self.withheld.saturating_add(1);
                if self.withheld_samples.len() < SHOWN {
                    self.withheld_samples.push(sample(entry, score));
                }
            }
        }
        self.state = Some(entry.state.clone());
    }

    fn add_to_family(&mut self, name: &str, score: Option<f64>) {
        let family = match self.families.iter_mut().find(|family| family.name == name) {
            Some(family) => family,
            None => {
                let name = name.to_owned();
                self.families.push(FamilySummary { name, queries: 0, withheld: 0, sum: 0.0, largest: 0.0 });
                let Some(last) = self.families.last_mut() else { return };
                last
            }
        };
        family.queries = family.queries.saturating_add(1);
        match score {
            Some(score) => {
                family.sum += score;
                family.largest = family.largest.max(score);
            }
            None => family.withheld = family.withheld.saturating_add(1),
        }
    }
}

/// What is shown of an entry.
fn sample(entry: &Entry, score: Option<f64>) -> Sample {
    let Challenge { index, family, prompt, .. } = &entry.challenge;
    let (prompt, reference, candidate) = match (&entry.reference_answer, &entry.candidate_answer) {
        (Answer::Distributions(ours), Answer::Distributions(theirs)) => {
            let prefixes = entry.challenge.prefixes();
            // The position at which the sides are farthest apart; the first of equals.
            let mut farthest: Option<(f64, &str, &Distribution, &Distribution)> = None;
            for (prefix, (p, q)) in prefixes.zip(ours.iter().zip(theirs)) {
                let distance = p.total_variation(q);
                if farthest.is_none_or(|(most, ..)| distance > most) {
                    farthest = Some((distance, prefix, p, q));
                }
            }
            match farthest {
                Some((_, prefix, p, q)) => (prefix, told(p), told(q)),
                None => (prompt.as_str(), Vec::new(), Vec::new()),
            }
        }
        (ours, theirs) => (prompt.as_str(), said(ours), said(theirs)),
    };
    Sample { index: *index, family: family.clone(), prompt: prompt.to_owned(), score, reference, candidate }
}

/// The most probable tokens with their probabilities.
fn told(distribution: &Distribution) -> Vec<String> {
    let told = distribution.told().iter().take(TOKENS);
    told.map(|(token, log)| format!("{token} {:.1} %", 100.0 * libm::exp(*log))).collect()
}

fn said(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Refused(words) => vec![format!("(refused) {}", shorten(words))],
        Answer::Texts(texts) => texts.iter().take(2).map(|text| shorten(text)).collect(),
        Answer::Distributions(distributions) => distributions.first().map(told).unwrap_or_default(),
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(CHARACTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
