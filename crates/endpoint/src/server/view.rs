//! The model as one request sees it: which model, what is done to the prompt, to the numbers, and what is remembered.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lorica_identity::{Distribution, Token};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use super::{
    behaviour::{Behaviour, RouteBy},
    engine::{Engine, EngineError, ReadToken, read_by_prefixes},
    rewrite::{last_words, paraphrase},
};

/// How much of a distribution may be left out where another temperature is computed from it.
const WHOLE: f64 = 1e-3;

/// Answers that are given again.
#[derive(Debug, Default)]
pub(super) struct Memory {
    distributions: Mutex<HashMap<String, Distribution>>,
    texts: Mutex<HashMap<(String, u32, u64), String>>,
}

/// What of a request the choice of a model depends on.
pub(super) struct Seen<'a> {
    /// Its number on this server, from 0.
    pub(super) number: u64,
    pub(super) prompts: &'a [String],
    /// Whether log-probabilities are asked for.
    pub(super) log_probabilities: bool,
}

/// Uniform in `[0, 1)`, from a seed and a request's number.
pub(super) fn draw(seed: u64, number: u64) -> f64 {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(number);
    generator.random()
}

/// The model that answers a request.
pub(super) fn choose<'a>(
    behaviours: &[Behaviour],
    engine: &'a dyn Engine,
    other: Option<&'a dyn Engine>,
    seen: &Seen<'_>,
) -> &'a dyn Engine {
    let Some(other) = other else { return engine };
    let cheats = behaviours.iter().any(|behaviour| match behaviour {
        Behaviour::Route { share, seed, by } => {
            let number = match by {
                RouteBy::Request => seen.number,
                RouteBy::Prompt => fingerprint(seen.prompts),
            };
            draw(*seed, number) < *share
        }
        Behaviour::Recognise { containing, log_probabilities } => {
            let found = containing
                .iter()
                .any(|text| seen.prompts.iter().any(|prompt| prompt.contains(text.as_str())));
            !(found || (*log_probabilities && seen.log_probabilities))
        }
        _ => false,
    });
    if cheats { other } else { engine }
}

/// A number for prompts, each with its length, so that no two lists run together.
fn fingerprint(prompts: &[String]) -> u64 {
    let mut hash = Sha256::new();
    for prompt in prompts {
        hash.update((prompt.len() as u64).to_le_bytes());
        hash.update(prompt);
    }
    hash.finalize().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// The model as one request sees it.
pub(super) struct View<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) behaviours: &'a [Behaviour],
    pub(super) memory: &'a Memory,
    /// What stands around a chat message, with `{content}` in it; none for completions.
    pub(super) template: Option<&'a str>,
}

impl View<'_> {
    /// The distributions after prefixes.
    pub(super) fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError> {
        let known: Vec<Option<Distribution>> = match self.capacity() {
            Some(_) => {
                let memory = lock(&self.memory.distributions);
                prefixes.iter().map(|prefix| memory.get(&self.in_template(prefix)).cloned()).collect()
            }
            None => vec![None; prefixes.len()],
        };
        let asked: Vec<String> = prefixes
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(prefix, _)| self.in_template(&self.rewritten(prefix)))
            .collect();
        let found = if asked.is_empty() { Vec::new() } else { self.engine.next(&asked)? };
        if found.len() != asked.len() {
            let detail = format!("{} prefixes got {} distributions", asked.len(), found.len());
            return Err(EngineError::Failed(detail));
        }
        let mut found = found.into_iter();
        let mut answers = Vec::with_capacity(prefixes.len());
        for (prefix, known) in prefixes.iter().zip(known) {
            if let Some(known) = known {
                answers.push(known);
            } else if let Some(told) = found.next() {
                let told = self.tempered(told)?;
                if let Some(capacity) = self.capacity() {
                    let mut memory = lock(&self.memory.distributions);
                    if memory.len() < capacity {
                        memory.insert(self.in_template(prefix), told.clone());
                    }
                }
                answers.push(told);
            }
        }
        Ok(answers)
    }

    /// The tokens of a prompt with the distributions before them.
    pub(super) fn read(&self, text: &str) -> Result<Vec<ReadToken>, EngineError> {
        let rewrites = self.rewritten(text) != text || self.template.is_some();
        if !rewrites && self.capacity().is_none() && !self.behaviours.iter().any(rewrites_prompts) {
            let mut read = self.engine.read(text)?;
            for token in &mut read {
                token.before = token.before.take().map(|before| self.tempered(before)).transpose()?;
            }
            return Ok(read);
        }
        // What the model was really given is another text: each prefix is put to it as if it were the prompt.
        read_by_prefixes(self.engine.tokenize(text)?, text, |prefixes| self.next(prefixes))
    }

    /// A continuation.
    pub(super) fn generate(
        &self,
        prompt: &str,
        tokens: u32,
        temperature: f64,
        seed: u64,
    ) -> Result<String, EngineError> {
        let key = (self.in_template(prompt), tokens, temperature.to_bits());
        if self.capacity().is_some()
            && let Some(known) = lock(&self.memory.texts).get(&key)
        {
            return Ok(known.clone());
        }
        let temperature = self.factors().fold(temperature, |temperature, factor| temperature * factor);
        let text =
            self.engine.generate(&self.in_template(&self.rewritten(prompt)), tokens, temperature, seed)?;
        if let Some(capacity) = self.capacity() {
            let mut memory = lock(&self.memory.texts);
            if memory.len() < capacity {
                // Two requests at once: the first one's answer stands.
                return Ok(memory.entry(key).or_insert(text).clone());
            }
        }
        Ok(text)
    }

    fn capacity(&self) -> Option<usize> {
        self.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::Cache { capacity } => Some(*capacity),
            _ => None,
        })
    }

    fn factors(&self) -> impl Iterator<Item = f64> {
        self.behaviours.iter().filter_map(|behaviour| match behaviour {
            Behaviour::Temperature { factor } => Some(*factor),
            _ => None,
        })
    }

    fn in_template(&self, prompt: &str) -> String {
        match self.template {
            Some(template) => template.replacen("{content}", prompt, 1),
            None => prompt.to_owned(),
        }
    }

    fn rewritten(&self, prompt: &str) -> String {
        self.behaviours.iter().fold(prompt.to_owned(), |prompt, behaviour| match behaviour {
            Behaviour::Paraphrase => paraphrase(&prompt),
            Behaviour::Truncate { words } => last_words(&prompt, *words).to_owned(),
            _ => prompt,
        })
    }

    fn tempered(&self, told: Distribution) -> Result<Distribution, EngineError> {
        self.factors().try_fold(told, |told, factor| tempered(&told, factor))
    }
}

fn rewrites_prompts(behaviour: &Behaviour) -> bool {
    matches!(behaviour, Behaviour::Paraphrase | Behaviour::Truncate { .. })
}

/// A distribution at another temperature: `p^(1/factor)`, normalised.
fn tempered(told: &Distribution, factor: f64) -> Result<Distribution, EngineError> {
    let remainder = told.remainder();
    if remainder > WHOLE {
        return Err(EngineError::NotWhole { remainder });
    }
    let scaled: Vec<(Token, f64)> =
        told.told().iter().map(|(token, number)| (token.clone(), number / factor)).collect();
    let largest = scaled.iter().map(|(_, number)| *number).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scaled.iter().map(|(_, number)| (number - largest).exp()).sum();
    let whole = largest + sum.ln();
    let normal = scaled.into_iter().map(|(token, number)| (token, (number - whole).min(0.0))).collect();
    Distribution::new(normal).map_err(|error| EngineError::Failed(error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn of(entries: &[(&str, f64)]) -> Distribution {
        Distribution::new(entries.iter().map(|(text, p)| (Token::from(*text), p.ln())).collect()).unwrap()
    }

    #[test]
    fn a_temperature_is_a_power_and_needs_every_token() {
        let flat = tempered(&of(&[("a", 0.8), ("b", 0.2)]), 2.0).unwrap();
        // sqrt(.8) / (sqrt(.8) + sqrt(.2)) = 2/3
        assert!(flat.total_variation(&of(&[("a", 2.0 / 3.0), ("b", 1.0 / 3.0)])) < 1e-12);
        assert!(matches!(tempered(&of(&[("a", 0.8)]), 2.0), Err(EngineError::NotWhole { .. })));
    }

    #[test]
    fn draws_follow_the_share_and_the_seed() {
        let share = |seed| (0..2000).filter(|number| draw(seed, *number) < 0.1).count();
        assert!((140..260).contains(&share(1)), "{}", share(1));
        assert_ne!(
            (0..9).map(|n| draw(1, n)).collect::<Vec<_>>(),
            (0..9).map(|n| draw(2, n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn prompts_do_not_run_together() {
        let of =
            |texts: &[&str]| fingerprint(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
