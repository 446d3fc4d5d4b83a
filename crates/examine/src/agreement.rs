//! What two sides can be compared by: the most that both tell, and tokens that mean the same to both.

use std::{collections::BTreeSet, num::NonZeroU32};

use lorica_endpoint::Endpoint;
use lorica_identity::{
    Answer, Bank, BankError, Challenge, ChallengeKey, Distribution, Question, Respondent as _,
    RespondentError, ScoreScale, Tier, Token,
    structure::{Comparability, comparability},
};

use crate::{
    engine::place,
    side::{LocalSide, Side},
};

/// Continuations of each prompt where texts are compared: enough that one statistic says something, few enough that
/// the budget goes into prompts, which are what counts.
pub const SAMPLES: u32 = 8;
/// Tokens of each continuation.
pub const TOKENS: u32 = 16;
/// Sampling temperature of continuations. At 1 the texts of small models are so varied that those of different models
/// look alike; at 0 the last bit of a sum decides which text comes, so that the same weights on another machine differ.
/// `docs/benchmarks/identity/text-tier.md` has the measurement.
pub const TEMPERATURE: f64 = 0.25;

/// Prompts on which tokenizers are compared.
const PROMPTS: u32 = 100;
/// Prompts that an endpoint is asked before the run, where each question has its price: one of each built-in family.
const ASKED: usize = 5;
/// At least this share of the probability that an endpoint tells must be on tokens the other side has.
const KNOWN: f64 = 0.8;

/// What a person wants compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The most that both sides tell.
    Most,
    /// Distributions, or an error.
    Distributions,
    /// Texts.
    Texts,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    /// What is asked.
    pub question: Question,
    /// The lesser tier of all sides.
    pub tier: Tier,
    /// The most probable tokens that all sides tell at each position, where one of them does not tell them all.
    pub top: Option<usize>,
    /// Why it is less than could be, for people: empty where it is not.
    pub reasons: Vec<String>,
}

/// Why sides cannot be compared as wished.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError {
    /// Distributions were asked for, and somebody tells none.
    #[error("distributions cannot be compared: {0}; leave --tier out, or use --tier text")]
    NoDistributions(String),
    /// A recording holds something else.
    #[error(
        "the recording holds {found}, this comparison needs {needed} because {reason}: record the reference again with --tier {tier}"
    )]
    Recorded {
        /// What it holds.
        found: &'static str,
        /// What is needed.
        needed: &'static str,
        /// Why.
        reason: String,
        /// The option.
        tier: &'static str,
    },
    /// A chat template on one side only.
    #[error(
        "{chat} is asked through the chat interface, which puts a chat template around each prompt, and {other} is not: \
         their answers would differ whatever the models are; use --interface completions, or a chat endpoint on both sides"
    )]
    ChatTemplate {
        /// The side with the template.
        chat: String,
        /// The side without.
        other: String,
    },
    /// A side failed.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// The prompts for comparing tokenizers could not be drawn.
    #[error(transparent)]
    Bank(#[from] BankError),
}

impl AgreementError {
    /// Whether other arguments would help, rather than another model or network.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::NoDistributions(_) | Self::Recorded { .. } | Self::ChatTemplate { .. })
    }
}

impl Agreement {
    /// What a score means.
    pub fn scale(&self) -> ScoreScale {
        match self.question {
            Question::Distributions => ScoreScale::Distance,
            Question::Texts { .. } => ScoreScale::TwoSample,
        }
    }
}

/// The question about texts.
pub fn texts() -> Question {
    let number = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
    Question::Texts { samples: number(SAMPLES), tokens: number(TOKENS), temperature: TEMPERATURE }
}

/// What a reference and candidates can be compared by.
///
/// # Errors
/// A wish that they cannot fulfil; a chat template on one side only; a side that fails when asked about its tokens.
pub fn agree(
    reference: &mut Side,
    candidates: &mut [Side],
    bank: &Bank,
    wish: Wish,
) -> Result<Agreement, AgreementError> {
    same_template(reference, candidates)?;
    let mut sides = vec![&*reference];
    sides.extend(&*candidates);
    let tier = sides.iter().map(|side| side.tier()).max().unwrap_or(Tier::TextOnly);
    let mut reasons: Vec<String> = sides
        .iter()
        .filter(|side| side.tier() == Tier::TextOnly)
        .map(|side| format!("{} tells no log-probabilities", side.description().name))
        .collect();
    let top = sides.iter().filter_map(|side| side.top()).min();
    if reasons.is_empty() && wish != Wish::Texts {
        let prompts = prompts(bank)?;
        for candidate in candidates.iter_mut() {
            reasons.extend(other_tokens(reference, candidate, &prompts)?);
        }
    }
    let question = match (wish, reasons.first()) {
        (Wish::Texts, _) => texts(),
        (Wish::Most | Wish::Distributions, None) => Question::Distributions,
        (Wish::Distributions, Some(_)) => return Err(AgreementError::NoDistributions(reasons.join("; "))),
        (Wish::Most, Some(_)) => texts(),
    };
    let question = recorded(reference, question, &reasons)?;
    let (tier, top) = match question {
        Question::Distributions => (tier, top),
        Question::Texts { .. } => (Tier::TextOnly, None),
    };
    Ok(Agreement { question, tier, top, reasons })
}

/// A recording answers the question it was asked, and no other.
fn recorded(reference: &Side, question: Question, reasons: &[String]) -> Result<Question, AgreementError> {
    let Side::Recording(recording) = reference else { return Ok(question) };
    let reason = || match reasons {
        [] => "it was asked for".to_owned(),
        reasons => reasons.join("; "),
    };
    match (recording.header.question, question) {
        (Question::Distributions, Question::Texts { .. }) => Err(AgreementError::Recorded {
            found: "distributions",
            needed: "texts",
            reason: reason(),
            tier: "text",
        }),
        // Asked for by nobody in so many words: what was recorded is what is compared.
        (recorded, _) => Ok(recorded),
    }
}

fn same_template(reference: &Side, candidates: &[Side]) -> Result<(), AgreementError> {
    let name = |side: &Side| side.description().name.clone();
    match candidates.iter().find(|candidate| candidate.is_chat() != reference.is_chat()) {
        None => Ok(()),
        Some(candidate) if candidate.is_chat() => {
            Err(AgreementError::ChatTemplate { chat: name(candidate), other: name(reference) })
        }
        Some(candidate) => {
            Err(AgreementError::ChatTemplate { chat: name(reference), other: name(candidate) })
        }
    }
}

/// Prompts like those of a run, drawn by a key that everybody knows: no secret, and no challenge of any run.
///
/// # Errors
/// Families that do not hold so many prompts.
pub fn prompts(bank: &Bank) -> Result<Vec<Challenge>, BankError> {
    bank.challenges(&ChallengeKey::new([0; 32]), "tokenizers", 0..PROMPTS, 1)
}

/// Why the tokens of two sides do not mean the same, if they do not. Two endpoints cannot be asked: nobody knows their
/// vocabularies.
fn other_tokens(
    reference: &mut Side,
    candidate: &mut Side,
    prompts: &[Challenge],
) -> Result<Option<String>, AgreementError> {
    match (reference, candidate) {
        (Side::Local(ours), Side::Local(theirs)) => {
            let texts: Vec<&str> = prompts.iter().map(|prompt| prompt.prompt.as_str()).collect();
            let (x, y) = (ours.cut(&texts)?, theirs.cut(&texts)?);
            let (a, b) = (&ours.description().name, &theirs.description().name);
            Ok(match comparability(&x, &y) {
                Comparability::CutDifferently { prompt, reference, candidate, .. } => Some(format!(
                    "the tokenizers of {a} and {b} cut prompts differently: prompt {prompt} into {} and {}",
                    piece(reference.as_ref()),
                    piece(candidate.as_ref())
                )),
                Comparability::Comparable { .. }
                | Comparability::OtherPrompts { .. }
                | Comparability::Unknown => None,
            })
        }
        (Side::Local(local), endpoint @ Side::Endpoint(_))
        | (endpoint @ Side::Endpoint(_), Side::Local(local)) => {
            let asked = prompts.get(..ASKED).unwrap_or(prompts);
            let answers = endpoint.answer(Question::Distributions, asked, &mut |_| ())?;
            let told = answers.iter().filter_map(|answer| match answer {
                Answer::Distributions(told) => Some(told),
                Answer::Texts(_) | Answer::Refused(_) => None,
            });
            if let Some(reason) = unknown(told.flatten(), &local.vocabulary()?) {
                return Ok(Some(reason));
            }
            match endpoint {
                Side::Endpoint(endpoint) => Ok(cut_differently(local, endpoint, asked)?),
                Side::Local(_) | Side::Recording(_) => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

/// Says so where an endpoint that echoes prompts cuts one of them at other places than the local tokenizer. Whoever
/// tells next tokens alone may have another tokenizer all the same; then its tokens are compared as they are.
fn cut_differently(
    local: &mut LocalSide,
    endpoint: &Endpoint,
    prompts: &[Challenge],
) -> Result<Option<String>, RespondentError> {
    // Endpoints count offsets in characters, or in what they take for one.
    for prompt in prompts.iter().filter(|prompt| prompt.prompt.is_ascii()) {
        let text = prompt.prompt.as_str();
        let Some(theirs) = endpoint.cut(text)? else { return Ok(None) };
        let tokens = local.cut(&[text])?.pop().unwrap_or_default();
        let Some(ours) = place(tokens, text) else { continue };
        let ours: Vec<usize> = ours.into_iter().map(|(_, start)| start).filter(|start| *start > 0).collect();
        if let Some(start) = first_difference(&ours, &theirs) {
            let side = if ours.contains(&start) { "the local tokenizer's" } else { "the endpoint's" };
            return Ok(Some(format!(
                "the tokenizers cut prompts differently: at byte {start} of prompt {} begins a token of {side} alone",
                prompt.index
            )));
        }
    }
    Ok(None)
}

/// The smallest number that only one of two ascending lists holds.
fn first_difference(ours: &[usize], theirs: &[usize]) -> Option<usize> {
    let alone = |these: &[usize], those: &[usize]| these.iter().copied().find(|start| !those.contains(start));
    match (alone(ours, theirs), alone(theirs, ours)) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// A token for people.
fn piece(token: Option<&Token>) -> String {
    token.map_or_else(|| "nothing more".to_owned(), Token::to_string)
}

/// Says so where much of what is told is not in a vocabulary.
fn unknown<'a>(told: impl Iterator<Item = &'a Distribution>, known: &BTreeSet<Token>) -> Option<String> {
    let (mut all, mut found) = (0.0, 0.0);
    for (token, log) in told.flat_map(Distribution::told).filter(|(token, _)| token.is_legible()) {
        all += log.exp();
        found += if known.contains(token) { log.exp() } else { 0.0 };
    }
    (found < KNOWN * all).then(|| {
        let share = 100.0 * (1.0 - found / all);
        format!(
            "{share:.0} % of what the endpoint tells is on tokens that the local vocabulary does not have"
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_where_two_cuts_part() {
        assert_eq!(first_difference(&[3, 7, 9], &[3, 7, 9]), None);
        assert_eq!(first_difference(&[3, 7, 9], &[3, 9]), Some(7));
        assert_eq!(first_difference(&[3, 9], &[3, 5, 8, 9]), Some(5));
        assert_eq!(first_difference(&[], &[]), None);
    }

    #[test]
    fn what_is_told_must_be_known_on_the_whole_not_at_each_position() {
        let told = |entries: &[(&str, f64)]| {
            let entries = entries.iter().map(|(text, share)| (Token::from(*text), share.ln()));
            Distribution::new(entries.collect()).unwrap()
        };
        let known = BTreeSet::from([Token::from("a")]);
        let (ours, theirs) = (told(&[("a", 0.9)]), told(&[("b", 0.9)]));
        assert_eq!(unknown([&ours, &ours, &ours, &ours, &theirs].into_iter(), &known), None);
        let reason = unknown([&ours, &theirs].into_iter(), &known).unwrap();
        assert!(reason.contains("50 %"), "{reason}");
        // Bytes that are no character are nobody's.
        assert_eq!(unknown([&told(&[("\u{fffd}", 0.9), ("a", 0.1)])].into_iter(), &known), None);
    }
}
