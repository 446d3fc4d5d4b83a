//! A request as it comes, and what is made of it: checked against what the server offers.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{Offers, PromptOffer};

/// Limits on one request.
const MOST_PROMPTS: usize = 256;
const MOST_CONTINUATIONS: u32 = 256;
const MOST_TOKENS: u32 = 4096;

/// Which interface was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Completions,
    Chat,
}

/// The body of a request. Fields that are not known are left out, as other servers do: clients send many.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    model: Option<String>,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f64>,
    n: Option<u32>,
    seed: Option<u64>,
    echo: Option<bool>,
    /// A number for completions, a truth value for chat.
    logprobs: Option<Value>,
    top_logprobs: Option<u32>,
    prompt_logprobs: Option<u32>,
    stream: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Message {
    content: String,
}

/// What is asked, after the checks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) prompts: Vec<String>,
    pub(super) tokens: u32,
    pub(super) temperature: f64,
    pub(super) several: u32,
    pub(super) seed: Option<u64>,
    /// Tokens with log-probabilities at each position.
    pub(super) top: Option<usize>,
    /// Whether the prompt is to be part of the answer.
    pub(super) echo: bool,
    /// Tokens in vLLM's `prompt_logprobs`.
    pub(super) of_prompt: Option<usize>,
}

/// A refusal of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "invalid_request_error", message: message.into() }
    }
}

/// What is offered is `Some`; what is not is refused, or left out where the server is silent.
fn offered<T>(value: Option<T>, is_offered: bool, silent: bool, what: &str) -> Result<Option<T>, Refused> {
    match value {
        Some(_) if !is_offered && silent => Ok(None),
        Some(_) if !is_offered => Err(Refused::bad(format!("{what} is not offered"))),
        other => Ok(other),
    }
}

impl Body {
    /// Checks a request.
    pub(super) fn check(self, kind: Kind, model: &str, offers: &Offers) -> Result<Asked, Refused> {
        if self.model.as_deref().is_some_and(|asked| asked != model) {
            let message = format!("there is no such model: this is {model}");
            return Err(Refused { status: StatusCode::NOT_FOUND, code: "model_not_found", message });
        }
        if self.stream == Some(true) {
            return Err(Refused::bad("streams are not offered"));
        }
        let prompts = match (kind, self.prompt, self.messages) {
            (Kind::Completions, Some(Prompt::One(prompt)), _) => vec![prompt],
            (Kind::Completions, Some(Prompt::Several(prompts)), _) if prompts.len() == 1 || offers.lists => {
                prompts
            }
            (Kind::Completions, Some(_), _) => return Err(Refused::bad("several prompts are not offered")),
            (Kind::Completions, None, _) => return Err(Refused::bad("prompt is missing")),
            (Kind::Chat, _, Some(messages)) => match <[Message; 1]>::try_from(messages) {
                Ok([message]) => vec![message.content],
                Err(_) => return Err(Refused::bad("expected one message")),
            },
            (Kind::Chat, _, None) => return Err(Refused::bad("messages is missing")),
        };
        if prompts.is_empty() || prompts.len() > MOST_PROMPTS || prompts.iter().any(String::is_empty) {
            return Err(Refused::bad(format!("expected 1 to {MOST_PROMPTS} prompts, none of them empty")));
        }
        let tokens = self.max_completion_tokens.or(self.max_tokens).unwrap_or(16);
        if !(1..=MOST_TOKENS).contains(&tokens) {
            return Err(Refused::bad(format!("max_tokens is {tokens}: expected 1 to {MOST_TOKENS}")));
        }
        let temperature = self.temperature.unwrap_or(1.0);
        if !(0.0..=10.0).contains(&temperature) {
            return Err(Refused::bad(format!("temperature is {temperature}: expected 0 to 10")));
        }
        let several = offered(self.n.filter(|n| *n != 1), offers.several, offers.silent, "n")?.unwrap_or(1);
        if !(1..=MOST_CONTINUATIONS).contains(&several) {
            return Err(Refused::bad(format!("n is {several}: expected 1 to {MOST_CONTINUATIONS}")));
        }
        let top = match (kind, &self.logprobs) {
            (_, None | Some(Value::Null | Value::Bool(false))) => None,
            (Kind::Chat, Some(Value::Bool(true))) => Some(self.top_logprobs.unwrap_or(0)),
            (Kind::Completions, Some(number)) => {
                match number.as_u64().and_then(|number| u32::try_from(number).ok()) {
                    Some(number) => Some(number),
                    None => return Err(Refused::bad("logprobs is no number of tokens")),
                }
            }
            (Kind::Chat, Some(_)) => return Err(Refused::bad("logprobs is neither true nor false")),
        };
        let top = offered(top, offers.top > 0, offers.silent, "logprobs")?;
        let echo = offered(
            self.echo.filter(|echo| *echo),
            offers.prompt == PromptOffer::Echo && kind == Kind::Completions,
            offers.silent,
            "echo",
        )?;
        let of_prompt = offered(
            self.prompt_logprobs,
            offers.prompt == PromptOffer::PromptLogProbabilities
                && offers.top > 0
                && kind == Kind::Completions,
            offers.silent,
            "prompt_logprobs",
        )?;
        for number in [top, of_prompt].into_iter().flatten() {
            if number > offers.top {
                return Err(Refused::bad(format!(
                    "{number} tokens with log-probabilities: at most {}",
                    offers.top
                )));
            }
        }
        if (top.is_some() || of_prompt.is_some()) && tokens > 1 {
            return Err(Refused::bad(
                "log-probabilities are told for one generated token: max_tokens must be 1",
            ));
        }
        Ok(Asked {
            kind,
            prompts,
            tokens,
            temperature,
            several,
            seed: self.seed,
            top: top.map(|number| number as usize),
            echo: echo.is_some(),
            of_prompt: of_prompt.map(|number| number as usize),
        })
    }
}
