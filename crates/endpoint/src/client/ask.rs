//! Challenges as requests, and answers out of what comes back.

use std::sync::OnceLock;

use lorica_identity::{Answer, Challenge, Distribution, Question, RespondentError, RespondentFault, Tier};
use serde_json::{Map, Value, json};

use super::{
    EndpointConfig, Interface,
    http::{Rejection, Reply, Transport},
    logprobs::{At, Bad, Reading, distribution, first_generated, read_echo, read_prompt},
    wire::{Choice, Response, has_bare_non_numbers},
};

/// What follows a prompt in order to see the distribution at its end, where an endpoint tells nothing about the token
/// that it generates itself. Any word that begins with a space does.
const SUFFIX: &str = " the";
/// Seeds stay below it: some servers take 32-bit integers with a sign.
const SEEDS: u64 = 1 << 31;

/// How an endpoint tells distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// `echo: true`.
    Echo,
    /// vLLM's `prompt_logprobs`.
    PromptLogProbabilities,
    /// Of the next token; `list`: for several prompts in one request.
    Top { list: bool },
    /// Not at all.
    Text,
}

/// What an endpoint takes in a request for texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampling {
    /// `n`.
    pub(super) several: bool,
    /// `seed`.
    pub(super) seeded: bool,
}

/// Why there is no answer of the usual kind.
pub(super) enum Stop {
    /// The endpoint declined the prompt.
    Refused(String),
    /// The endpoint does not take such a request.
    Rejected(Rejection),
    /// Anything else.
    Fault(RespondentError),
}

impl From<RespondentError> for Stop {
    fn from(error: RespondentError) -> Self {
        Self::Fault(error)
    }
}

/// Puts challenges to an endpoint.
pub(super) struct Asker {
    transport: Transport,
    config: EndpointConfig,
    /// The model's name in the first answer.
    named: OnceLock<Option<String>>,
    pub(super) access: Access,
    pub(super) sampling: Sampling,
    pub(super) top: usize,
}

impl Asker {
    /// An asker that knows nothing of the endpoint yet.
    pub(super) fn new(config: EndpointConfig) -> Result<Self, RespondentError> {
        Ok(Self {
            transport: Transport::new(&config)?,
            config,
            named: OnceLock::new(),
            access: Access::Text,
            sampling: Sampling { several: false, seeded: false },
            top: 0,
        })
    }

    pub(super) fn config(&self) -> &EndpointConfig {
        &self.config
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The model's name in the first answer.
    pub(super) fn named(&self) -> Option<&str> {
        self.named.get()?.as_deref()
    }

    pub(super) fn top(&self) -> usize {
        self.top
    }

    pub(super) fn parallel(&self) -> usize {
        self.config.parallel.get()
    }

    pub(super) fn is_chat(&self) -> bool {
        self.config.interface == Interface::Chat
    }

    pub(super) fn tier(&self) -> Tier {
        match self.access {
            Access::Echo | Access::PromptLogProbabilities => Tier::PromptLogProbabilities,
            Access::Top { .. } => Tier::TopLogProbabilities,
            Access::Text => Tier::TextOnly,
        }
    }

    pub(super) fn fault(&self, fault: RespondentFault, detail: impl AsRef<str>) -> RespondentError {
        self.transport.fault(fault, detail)
    }

    pub(super) fn bad(&self, bad: Bad) -> RespondentError {
        self.fault(bad.fault, bad.detail)
    }

    /// Whether a question is within the tier.
    pub(super) fn can_answer(&self, question: Question) -> Result<(), RespondentError> {
        match question {
            Question::Distributions if self.access == Access::Text => Err(self.fault(
                RespondentFault::Unsupported,
                "it tells no log-probabilities: it can be compared by its texts alone",
            )),
            Question::Texts { temperature, .. } if !(temperature.is_finite() && temperature >= 0.0) => {
                Err(self
                    .fault(RespondentFault::Unsupported, format!("{temperature} is no sampling temperature")))
            }
            _ => Ok(()),
        }
    }

    /// The answer to one challenge. The same challenge is the same requests.
    pub(super) fn answer(
        &self,
        question: Question,
        challenge: &Challenge,
    ) -> Result<Answer, RespondentError> {
        let answer = match question {
            Question::Distributions => self.distributions(challenge).map(Answer::Distributions),
            Question::Texts { samples, tokens, temperature } => self
                .texts(challenge, Sample { count: samples.get(), tokens: tokens.get(), temperature })
                .map(Answer::Texts),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(Stop::Refused(reason)) => Ok(Answer::Refused(reason)),
            Err(Stop::Fault(error)) => Err(error),
            Err(Stop::Rejected(rejection)) if rejection.is_filter() => Ok(Answer::Refused(rejection.message)),
            Err(Stop::Rejected(rejection)) => {
                let fault = if rejection.is_length() {
                    RespondentFault::Unaskable
                } else {
                    RespondentFault::Malformed
                };
                Err(self.fault(
                    fault,
                    format!(
                        "challenge {}: status {}: {}",
                        challenge.index, rejection.status, rejection.message
                    ),
                ))
            }
        }
    }

    fn distributions(&self, challenge: &Challenge) -> Result<Vec<Distribution>, Stop> {
        let prefixes: Vec<&str> = challenge.prefixes().collect();
        if prefixes.is_empty() || prefixes.len() != challenge.positions.len() || prefixes.contains(&"") {
            return Err(Stop::Fault(self.fault(
                RespondentFault::Unaskable,
                format!("challenge {} has positions that are no prefixes of its prompt", challenge.index),
            )));
        }
        match self.access {
            Access::Echo | Access::PromptLogProbabilities => self.along(&challenge.prompt, &prefixes),
            Access::Top { list: true } => self.after_all(&prefixes),
            Access::Top { list: false } => prefixes.iter().map(|prefix| self.after(prefix)).collect(),
            Access::Text => {
                Err(Stop::Fault(self.fault(RespondentFault::Unsupported, "it tells no log-probabilities")))
            }
        }
    }

    /// Distributions after prefixes of a prompt that is put as a whole.
    pub(super) fn along(&self, prompt: &str, prefixes: &[&str]) -> Result<Vec<Distribution>, Stop> {
        let reading = self.reading(prompt)?;
        let of = |told| distribution(told, self.top).map_err(|bad| Stop::Fault(self.bad(bad)));
        prefixes
            .iter()
            .map(|prefix| {
                match reading.at(prefix.len()).map_err(|bad| self.bad(bad))? {
                    At::Told(told) => return of(told),
                    At::Inside if prefix.len() < prompt.len() => return self.after(prefix),
                    At::Inside => {}
                }
                // Nothing about a generated token: a model that ends here at once makes some servers silent.
                match self
                    .reading(&format!("{prompt}{SUFFIX}"))?
                    .at(prefix.len())
                    .map_err(|bad| self.bad(bad))?
                {
                    At::Told(told) => of(told),
                    At::Inside => self.after(prefix),
                }
            })
            .collect()
    }

    /// Where the endpoint's tokens begin in a prompt, but for the first one; none where it tells no prompt's tokens or declines this
    /// prompt.
    pub(super) fn cut(&self, prompt: &str) -> Result<Option<Vec<usize>>, RespondentError> {
        if !matches!(self.access, Access::Echo | Access::PromptLogProbabilities) {
            return Ok(None);
        }
        match self.reading(prompt) {
            Ok(reading) => Ok(Some(reading.inner_starts(prompt.len()))),
            Err(Stop::Fault(error)) => Err(error),
            Err(Stop::Refused(_)) => Ok(None),
            Err(Stop::Rejected(rejection)) if rejection.is_filter() => Ok(None),
            Err(Stop::Rejected(Rejection { status, message, .. })) => {
                Err(self.fault(RespondentFault::Malformed, format!("status {status}: {message}")))
            }
        }
    }

    fn reading(&self, prompt: &str) -> Result<Reading, Stop> {
        let form = match self.access {
            Access::PromptLogProbabilities => ("prompt_logprobs", json!(self.wanted())),
            _ => ("echo", json!(true)),
        };
        let response = self.ask(self.next_body(json!(prompt), [form]))?;
        let choice = self.only(&response)?;
        let reading = match self.access {
            Access::PromptLogProbabilities => match &choice.prompt_logprobs {
                Some(list) => read_prompt(list, first_generated(choice).ok(), prompt),
                None => Err(super::logprobs::missing("the answer has no prompt_logprobs")),
            },
            _ => match &choice.logprobs {
                Some(found) => read_echo(found, prompt),
                None => Err(super::logprobs::missing("the answer has no log-probabilities")),
            },
        };
        reading.map_err(|bad| Stop::Fault(self.bad(bad)))
    }

    /// The distribution after one prefix.
    pub(super) fn after(&self, prefix: &str) -> Result<Distribution, Stop> {
        let response = self.ask(self.next_body(json!(prefix), []))?;
        self.next(self.only(&response)?)
    }

    /// The distributions after several prefixes, by one request.
    pub(super) fn after_all(&self, prefixes: &[&str]) -> Result<Vec<Distribution>, Stop> {
        let response = self.ask(self.next_body(json!(prefixes), []))?;
        let mut choices: Vec<&Choice> = response.choices.iter().collect();
        choices.sort_by_key(|choice| choice.index);
        let numbered = choices
            .iter()
            .enumerate()
            .all(|(place, choice)| choice.index.map(|index| index as usize) == Some(place));
        if choices.len() != prefixes.len() || !numbered {
            return Err(Stop::Fault(self.fault(
                RespondentFault::Malformed,
                format!(
                    "{} prompts got {} choices, or ones without their numbers",
                    prefixes.len(),
                    choices.len()
                ),
            )));
        }
        choices.into_iter().map(|choice| self.next(choice)).collect()
    }

    fn next(&self, choice: &Choice) -> Result<Distribution, Stop> {
        let told = first_generated(choice).and_then(|told| distribution(told, self.top));
        told.map_err(|bad| Stop::Fault(self.bad(bad)))
    }

    /// How many tokens to ask for.
    fn wanted(&self) -> usize {
        self.top
    }

    /// A request for one token with log-probabilities.
    fn next_body<const N: usize>(&self, prompt: Value, more: [(&str, Value); N]) -> Value {
        let mut body = self.body(prompt, 1, 0.0);
        match self.config.interface {
            Interface::Completions => {
                body.insert("logprobs".to_owned(), json!(self.wanted()));
            }
            Interface::Chat => {
                body.insert("logprobs".to_owned(), json!(true));
                body.insert("top_logprobs".to_owned(), json!(self.wanted()));
            }
        }
        body.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(body)
    }

    fn body(&self, prompt: Value, tokens: u32, temperature: f64) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(self.config.model));
        match self.config.interface {
            Interface::Completions => body.insert("prompt".to_owned(), prompt),
            Interface::Chat => {
                body.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt }]))
            }
        };
        body.insert("max_tokens".to_owned(), json!(tokens));
        body.insert("temperature".to_owned(), json!(temperature));
        body
    }

    /// Independent continuations: as many as the endpoint gives at once, until there are enough.
    fn texts(&self, challenge: &Challenge, sample: Sample) -> Result<Vec<String>, Stop> {
        let mut texts = Vec::new();
        let mut round = 0;
        while texts.len() < sample.count as usize {
            let left = sample.count as usize - texts.len();
            let seed = self.seed(challenge.index, round);
            let response = self.ask(self.text_body(&challenge.prompt, &sample, left, seed))?;
            if response.choices.is_empty() {
                return Err(Stop::Fault(self.fault(RespondentFault::Malformed, "the answer has no choices")));
            }
            for choice in response.choices.iter().take(left) {
                texts.push(self.text(choice)?);
            }
            round += 1;
        }
        Ok(texts)
    }

    /// A request for `count` continuations, as far as the endpoint takes `n` and `seed`.
    pub(super) fn text_body(&self, prompt: &str, sample: &Sample, count: usize, seed: u64) -> Value {
        let mut body = self.body(json!(prompt), sample.tokens, sample.temperature);
        // Servers with other defaults would otherwise sample from a cut distribution.
        body.insert("top_p".to_owned(), json!(1));
        if self.sampling.several && count > 1 {
            body.insert("n".to_owned(), json!(count));
        }
        if self.sampling.seeded {
            body.insert("seed".to_owned(), json!(seed));
        }
        Value::Object(body)
    }

    /// A different seed for each request of each challenge, the same in every run with the same configuration.
    pub(super) fn seed(&self, challenge: u32, round: u32) -> u64 {
        let place = (u64::from(challenge) << 10).wrapping_add(u64::from(round));
        self.config.seed.wrapping_add(place) % SEEDS
    }

    pub(super) fn text(&self, choice: &Choice) -> Result<String, Stop> {
        let found = choice.continuation().map(ToOwned::to_owned);
        found.ok_or_else(|| Stop::Fault(self.fault(RespondentFault::Malformed, "a choice has no text")))
    }

    fn only<'a>(&self, response: &'a Response) -> Result<&'a Choice, Stop> {
        match response.choices.as_slice() {
            [choice] => Ok(choice),
            other => Err(Stop::Fault(
                self.fault(RespondentFault::Malformed, format!("expected 1 choice, found {}", other.len())),
            )),
        }
    }

    /// Sends a request and reads the answer: its JSON, its model's name, whether it is a refusal.
    pub(super) fn ask(&self, body: Value) -> Result<Response, Stop> {
        let bytes = match self.transport.post(&body)? {
            Reply::Answer(bytes) => bytes,
            Reply::Rejected(rejection) => return Err(Stop::Rejected(rejection)),
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| self.fault(RespondentFault::Malformed, "the answer is not UTF-8"))?;
        let response: Response = serde_json::from_str(&text).map_err(|error| {
            if has_bare_non_numbers(&text) {
                self.fault(
                    RespondentFault::NotAProbability,
                    "its JSON holds NaN or Infinity in the place of a number",
                )
            } else {
                let start = self.transport.quote(&text);
                self.fault(
                    RespondentFault::Malformed,
                    format!("the answer cannot be read: {error}; it begins with {start}"),
                )
            }
        })?;
        if self.transport.tells_key(&text) || response.texts().any(|text| self.transport.tells_key(text)) {
            return Err(Stop::Fault(
                self.fault(RespondentFault::Malformed, "the answer holds the key that it was asked with"),
            ));
        }
        self.same_model(&response)?;
        for choice in &response.choices {
            let refusal = choice.message.as_ref().and_then(|message| message.refusal.as_deref());
            if let Some(reason) = refusal.filter(|reason| !reason.is_empty()) {
                return Err(Stop::Refused(self.transport.quote(reason)));
            }
            if choice.finish_reason.as_deref() == Some("content_filter") {
                return Err(Stop::Refused("finish_reason is content_filter".to_owned()));
            }
        }
        Ok(response)
    }

    fn same_model(&self, response: &Response) -> Result<(), RespondentError> {
        let first = self.named.get_or_init(|| response.model.clone());
        if *first == response.model {
            return Ok(());
        }
        let name =
            |model: &Option<String>| model.as_ref().map_or("none".to_owned(), |name| format!("{name:?}"));
        Err(self.fault(
            RespondentFault::ModelChanged,
            format!("its first answer names the model {}, this one {}", name(first), name(&response.model)),
        ))
    }
}

/// How texts are sampled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) count: u32,
    pub(super) tokens: u32,
    pub(super) temperature: f64,
}
