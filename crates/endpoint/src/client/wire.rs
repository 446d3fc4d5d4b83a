//! The answers of OpenAI-compatible endpoints, as far as they are read here.
//!
//! Fields that are not known are left out: every server adds its own. The fields that are read must have their types.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// A JSON object in its order, with names that are there twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Pairs<V>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The body of status 200.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Response {
    pub(super) model: Option<String>,
    pub(super) system_fingerprint: Option<String>,
    pub(super) choices: Vec<Choice>,
}

/// One continuation.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Choice {
    pub(super) index: Option<u32>,
    /// Completions.
    pub(super) text: Option<String>,
    /// Chat.
    pub(super) message: Option<Message>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<LogProbs>,
    /// vLLM: an object for each token of the prompt, none for the first.
    pub(super) prompt_logprobs: Option<Vec<Option<Pairs<PromptEntry>>>>,
}

/// A chat message.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Message {
    pub(super) content: Option<String>,
    pub(super) refusal: Option<String>,
}

/// Log-probabilities: parallel lists for completions, or a list of tokens for chat.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct LogProbs {
    pub(super) tokens: Option<Vec<String>>,
    pub(super) text_offset: Option<Vec<i64>>,
    pub(super) top_logprobs: Option<Vec<Option<Top>>>,
    pub(super) content: Option<Vec<ContentToken>>,
}

/// The most probable tokens at one place of a completion: usually an object from token to log-probability.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Top {
    Object(Pairs<Option<f64>>),
    List(Vec<TopToken>),
}

/// A generated token in the chat form.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ContentToken {
    pub(super) top_logprobs: Option<Vec<TopToken>>,
}

/// A token with its log-probability in the chat form.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TopToken {
    pub(super) token: String,
    pub(super) logprob: Option<f64>,
    pub(super) bytes: Option<Vec<u8>>,
}

/// A token in vLLM's `prompt_logprobs`, under its number.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PromptEntry {
    pub(super) logprob: Option<f64>,
    pub(super) decoded_token: Option<String>,
}

impl Response {
    /// Every text in it that could go further.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let own = [self.model.as_deref(), self.system_fingerprint.as_deref()].into_iter().flatten();
        own.chain(self.choices.iter().flat_map(Choice::texts))
    }
}

impl Choice {
    /// The continuation, by either interface.
    pub(super) fn continuation(&self) -> Option<&str> {
        self.text.as_deref().or_else(|| self.message.as_ref()?.content.as_deref())
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let message =
            self.message.iter().flat_map(|message| [message.content.as_deref(), message.refusal.as_deref()]);
        let own = [self.text.as_deref(), self.finish_reason.as_deref()].into_iter();
        let prompt = self.prompt_logprobs.iter().flatten().flatten().flat_map(|entries| entries.0.iter());
        let prompt = prompt.filter_map(|(_, entry)| entry.decoded_token.as_deref());
        own.chain(message).flatten().chain(prompt).chain(self.logprobs.iter().flat_map(LogProbs::texts))
    }
}

impl LogProbs {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let tokens = self.tokens.iter().flatten().map(String::as_str);
        let tops = self.top_logprobs.iter().flatten().flatten().flat_map(Top::texts);
        let listed = self.content.iter().flatten().flat_map(|token| token.top_logprobs.iter().flatten());
        tokens.chain(tops).chain(listed.map(|top| top.token.as_str()))
    }
}

impl Top {
    fn texts(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Object(pairs) => Box::new(pairs.0.iter().map(|(token, _)| token.as_str())),
            Self::List(list) => Box::new(list.iter().map(|top| top.token.as_str())),
        }
    }
}

/// The body of an error: `{"error": {"message", "type", "code"}}`, or the same without `error`, or `{"detail"}`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refusal {
    error: Option<serde_json::Value>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
    code: Option<serde_json::Value>,
}

impl Refusal {
    /// What it says to a person.
    pub(super) fn message(&self) -> Option<String> {
        let inner = self.error.as_ref().map(|error| error.get("message").unwrap_or(error));
        let value = inner.or(self.detail.as_ref());
        match value {
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
            None => self.message.clone(),
        }
    }

    /// What it says to a program: the first text of `code` and `type`.
    pub(super) fn code(&self) -> Option<String> {
        let error = self.error.as_ref();
        let candidates = [
            error.and_then(|error| error.get("code")),
            error.and_then(|error| error.get("type")),
            self.code.as_ref(),
        ];
        candidates.into_iter().flatten().find_map(|value| value.as_str().map(ToOwned::to_owned))
    }
}

/// Whether a text that is no JSON would be with a number in the place of each `NaN` or `Infinity` outside its
/// strings: servers in languages whose JSON writers allow them send such bodies.
pub(super) fn has_bare_non_numbers(text: &str) -> bool {
    let mut clean = String::with_capacity(text.len());
    let mut found = false;
    let mut rest = text;
    let mut quoted = false;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        if quoted {
            match character {
                '\\' => length += rest[length..].chars().next().map_or(0, char::len_utf8),
                '"' => quoted = false,
                _ => {}
            }
        } else if let Some(name) = ["-Infinity", "Infinity", "-inf", "inf", "-nan", "nan", "NaN"]
            .iter()
            .find(|name| rest.starts_with(**name))
        {
            clean.push('0');
            found = true;
            rest = &rest[name.len()..];
            continue;
        } else if character == '"' {
            quoted = true;
        }
        clean.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    found && serde_json::from_str::<serde::de::IgnoredAny>(&clean).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_what_is_there_twice() {
        let pairs: Pairs<Option<f64>> = serde_json::from_str(r#"{"b": -1, "a": null, "b": -2.5}"#).unwrap();
        let expected = [("b", Some(-1.0)), ("a", None), ("b", Some(-2.5))];
        assert_eq!(pairs.0, expected.map(|(name, value)| (name.to_owned(), value)));
        assert!(serde_json::from_str::<Pairs<Option<f64>>>(r#"{"a": "x"}"#).is_err());
    }

    #[test]
    fn bare_nan_is_told_from_other_broken_bodies() {
        for found in [r#"{"a": NaN}"#, r#"{"a": [-Infinity, "NaN \" NaN"]}"#, "[nan]", "[-inf]"] {
            assert!(has_bare_non_numbers(found), "{found}");
        }
        for other in [r#"{"a": "NaN"}"#, r#"{"a": NaN"#, r#"{"a": }"#, "", "\"NaN", "[\"\\"] {
            assert!(!has_bare_non_numbers(other), "{other}");
        }
    }

    #[test]
    fn errors_are_read_in_the_forms_that_servers_use() {
        let of = |text: &str| {
            let refusal: Refusal = serde_json::from_str(text).unwrap();
            (refusal.message(), refusal.code())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(r#"{"error": {"message": "m", "type": "t", "code": "c"}}"#), (some("m"), some("c")));
        assert_eq!(of(r#"{"error": {"message": "m", "type": "t", "code": 400}}"#), (some("m"), some("t")));
        assert_eq!(of(r#"{"error": "m"}"#), (some("m"), None));
        assert_eq!(of(r#"{"object": "error", "message": "m", "code": 400}"#), (some("m"), None));
        assert_eq!(of(r#"{"detail": "m"}"#), (some("m"), None));
    }
}
