//! Finding out what an endpoint tells, with a harmless prompt, and writing it down.

use std::collections::BTreeMap;

use lorica_identity::{Description, Distribution, RespondentError, RespondentFault};

use super::{
    EndpointConfig, Interface,
    ask::{Access, Asker, Sample, Sampling, Stop},
    http::Rejection,
};

/// What is asked.
const PROMPT: &str = "The capital of France is Paris, and the capital of Italy is Rome.";
/// Where prompt log-probabilities are checked against those of the prefixes by themselves.
const CHECKED: [usize; 3] = [14, 35, PROMPT.len()];
/// The largest total variation between the two. Other kernels and batch sizes stay far below, other tokens far above.
const AGREEMENT: f64 = 0.1;
/// Numbers of tokens that are tried after the wanted one is not taken: the limits of well-known services.
const USUAL_LIMITS: [usize; 2] = [20, 5];

/// What came of trying something.
enum Tried<T> {
    Works(T),
    /// It is not offered, and why.
    Not(String),
}

/// Connects, and finds out the tier.
pub(super) fn connect(config: EndpointConfig) -> Result<(Asker, Description), RespondentError> {
    let mut asker = Asker::new(config)?;
    let mut details = BTreeMap::new();
    let mut note = |name: &str, text: String| {
        details.insert(name.to_owned(), text);
    };
    note("address", asker.transport().target().to_owned());
    note("interface", asker.config().interface.name().to_owned());
    note("model", asker.config().model.clone());
    match top(&mut asker)? {
        Tried::Not(reason) => note("log-probabilities", format!("not used: {reason}")),
        Tried::Works(alone) => {
            note("log-probabilities", format!("of the {} most probable tokens", asker.top));
            asker.access = Access::Top { list: false };
            if asker.config().interface == Interface::Completions {
                let (found, reason) = prompt(&mut asker, &alone)?;
                note("prompt-log-probabilities", reason);
                if !found {
                    let list = list(&asker)?;
                    asker.access = Access::Top { list };
                    note("prompts-in-a-list", if list { "yes" } else { "no" }.to_owned());
                }
            }
        }
    }
    asker.sampling = sampling(&mut asker)?;
    note(
        "texts",
        format!(
            "{}, {}",
            if asker.sampling.several { "several a request" } else { "one a request" },
            if asker.sampling.seeded { "with a seed" } else { "without a seed" }
        ),
    );
    note(
        "requests-per-challenge",
        match asker.access {
            Access::Echo | Access::PromptLogProbabilities => "1, and 1 for each position inside a token",
            Access::Top { list: true } => "1",
            Access::Top { list: false } => "1 for each position",
            Access::Text => "1 for each text, or 1 where it gives several",
        }
        .to_owned(),
    );
    if asker.is_chat() {
        note(
            "chat-template",
            "in the way: each prefix is a user's message, so its distributions are comparable with those of a chat \
             endpoint with the same template alone"
                .to_owned(),
        );
    }
    if let Some(named) = asker.named() {
        note("model-named", asker.transport().quote(named));
    }
    let description = Description { name: asker.transport().side().to_owned(), tier: asker.tier(), details };
    Ok((asker, description))
}

/// What an attempt says; faults that more attempts would not change are passed on.
fn tried<T>(found: Result<T, Stop>) -> Result<Tried<T>, RespondentError> {
    match found {
        Ok(value) => Ok(Tried::Works(value)),
        Err(Stop::Rejected(Rejection { status, message, .. })) => {
            Ok(Tried::Not(format!("status {status}: {message}")))
        }
        // Absent, or stand-ins for numbers: reported in the description, and not relied on.
        Err(Stop::Fault(error)) if error.fault == RespondentFault::MissingLogProbability => {
            Ok(Tried::Not(error.detail))
        }
        Err(Stop::Fault(error)) => Err(error),
        Err(Stop::Refused(reason)) => {
            Ok(Tried::Not(format!("the endpoint declines a harmless prompt: {reason}")))
        }
    }
}

/// The number of most probable tokens that are told, if any are, and what is told after the prefixes that are checked.
fn top(asker: &mut Asker) -> Result<Tried<Vec<Distribution>>, RespondentError> {
    let wanted = asker.config().top.get() as usize;
    let mut reason = String::new();
    for number in [wanted].into_iter().chain(USUAL_LIMITS.into_iter().filter(|limit| *limit < wanted)) {
        asker.top = number;
        let found: Result<Vec<_>, Stop> = prefixes().map(|prefix| asker.after(prefix)).collect();
        match tried(found)? {
            Tried::Works(found) => {
                // Of several, the most: tokens that look alike are one in some answers.
                let told = |found: &Distribution| found.told().len();
                asker.top = found.iter().map(told).max().unwrap_or(0).min(number);
                return Ok(Tried::Works(found));
            }
            Tried::Not(why) if reason.is_empty() => reason = why,
            Tried::Not(_) => {}
        }
    }
    asker.top = 0;
    Ok(Tried::Not(reason))
}

/// The prefixes that are checked.
fn prefixes() -> impl Iterator<Item = &'static str> {
    CHECKED.iter().map(|length| &PROMPT[..*length])
}

/// Whether prompt log-probabilities are told by one of the two forms, and are what the endpoint tells for the prefixes
/// alone.
fn prompt(asker: &mut Asker, alone: &[Distribution]) -> Result<(bool, String), RespondentError> {
    let mut reasons = Vec::new();
    for (access, name) in [(Access::Echo, "echo"), (Access::PromptLogProbabilities, "prompt_logprobs")] {
        asker.access = access;
        let found = match asker.along(PROMPT, &prefixes().collect::<Vec<_>>()) {
            // An answer that is no echo is what an endpoint gives that does not know the word.
            Err(Stop::Fault(error)) if error.fault == RespondentFault::Malformed => Tried::Not(error.detail),
            other => tried(other)?,
        };
        let found = match found {
            Tried::Works(found) => found,
            Tried::Not(reason) => {
                reasons.push(format!("{name} is not used: {reason}"));
                continue;
            }
        };
        let distance = found.iter().zip(alone).map(|(a, b)| a.total_variation(b)).fold(0.0, f64::max);
        if distance <= AGREEMENT {
            return Ok((true, format!("{name}; differs by {distance:.4} from the prefixes by themselves")));
        }
        reasons.push(format!(
            "{name} is not used: it differs by {distance:.4} from what the endpoint tells for the prefixes by themselves"
        ));
    }
    Ok((false, reasons.join("; ")))
}

/// Whether several prompts can be put in one request.
fn list(asker: &Asker) -> Result<bool, RespondentError> {
    match asker.after_all(&prefixes().collect::<Vec<_>>()) {
        Ok(_) => Ok(true),
        Err(Stop::Fault(error))
            if !matches!(
                error.fault,
                RespondentFault::Malformed | RespondentFault::MissingLogProbability
            ) =>
        {
            Err(error)
        }
        Err(_) => Ok(false),
    }
}

/// Which of `n` and `seed` the endpoint takes.
fn sampling(asker: &mut Asker) -> Result<Sampling, RespondentError> {
    let mut last = String::new();
    let sample = Sample { count: 2, tokens: 1, temperature: 1.0 };
    for (several, seeded) in [(true, true), (false, true), (false, false)] {
        asker.sampling = Sampling { several, seeded };
        let response = asker.ask(asker.text_body(PROMPT, &sample, 2, asker.seed(0, 0)));
        let texts = response.and_then(|response| {
            let texts = response.choices.iter().map(|choice| asker.text(choice));
            texts.collect::<Result<Vec<_>, _>>()
        });
        match tried(texts)? {
            Tried::Works(texts) if texts.is_empty() => {
                return Err(asker.fault(RespondentFault::Malformed, "the answer has no choices"));
            }
            Tried::Works(texts) => return Ok(Sampling { several: several && texts.len() == 2, seeded }),
            Tried::Not(reason) => last = reason,
        }
    }
    Err(asker.fault(RespondentFault::Malformed, format!("it gives no text for a harmless prompt: {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_are_checked_end_with_words() {
        for length in CHECKED {
            assert!(PROMPT.is_char_boundary(length) && !PROMPT[..length].ends_with(' '));
            assert!(PROMPT[length..].is_empty() || PROMPT[length..].starts_with(' '), "{length}");
        }
    }
}
