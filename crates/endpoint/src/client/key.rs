//! The key of an endpoint: read from the environment, never shown, erased when it is dropped.

use std::fmt;

use ureq::http::HeaderValue;
use zeroize::Zeroizing;

/// Runs of the key at least this long are taken out of whatever an endpoint says.
const SHORTEST_RUN: usize = 8;
/// What stands in their place.
const MASK: &str = "[key]";

/// Why a variable holds no key. Nothing of its value is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the environment variable {0} is not set: it must hold the endpoint's key")]
    Absent(String),
    #[error("the environment variable {0} holds no key: expected printable ASCII without spaces, not empty")]
    Unusable(String),
}

/// A bearer key. Its `Debug` shows nothing of it. Our copy is erased when it is dropped; the copies of the HTTP client
/// in its buffers are not ours to erase.
pub(super) struct Key(Zeroizing<String>);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl Key {
    /// The key in an environment variable.
    pub(super) fn from_environment(variable: &str) -> Result<Self, KeyError> {
        // `var` panics for a name that cannot be one.
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(KeyError::Absent(variable.to_owned()));
        }
        match std::env::var(variable) {
            Ok(value) => {
                Self::new(Zeroizing::new(value)).ok_or_else(|| KeyError::Unusable(variable.to_owned()))
            }
            Err(std::env::VarError::NotPresent) => Err(KeyError::Absent(variable.to_owned())),
            Err(std::env::VarError::NotUnicode(_)) => Err(KeyError::Unusable(variable.to_owned())),
        }
    }

    fn new(value: Zeroizing<String>) -> Option<Self> {
        let printable = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        printable.then_some(Self(value))
    }

    /// The `Authorization` header.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether a text holds the key, or a long run of it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.runs().any(|run| text.contains(run))
    }

    /// The text without the key: runs of at least 8 characters of it are masked, for a cut or partly masked key is
    /// worth hiding too.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut hidden = vec![false; text.len()];
        for run in self.runs() {
            for (start, found) in text.match_indices(run) {
                hidden[start..start + found.len()].fill(true);
            }
            // Occurrences that overlap themselves are found by the runs that begin inside.
        }
        let mut clean = String::with_capacity(text.len());
        let mut masked = false;
        for (index, character) in text.char_indices() {
            if !hidden[index] {
                clean.push(character);
            } else if !masked {
                clean.push_str(MASK);
            }
            masked = hidden[index];
        }
        clean
    }

    /// Windows of the key; the whole of it where it is shorter.
    fn runs(&self) -> impl Iterator<Item = &str> {
        let key = self.0.as_str();
        let length = SHORTEST_RUN.min(key.len());
        // ASCII, so every index is a boundary.
        (0..=key.len() - length).filter_map(move |start| key.get(start..start + length))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn neither_the_key_nor_a_long_part_of_it_stays_in_a_text() {
        let key = key("sk-0123456789abcdef");
        assert_eq!(key.redact("bad key sk-0123456789abcdef!"), "bad key [key]!");
        assert_eq!(key.redact("sk-01234567***"), "[key]***");
        assert_eq!(key.redact("ü 456789abcdef ü"), "ü [key] ü");
        assert_eq!(key.redact("nothing of it: 0123"), "nothing of it: 0123");
        assert!(key.is_in("x456789abx") && !key.is_in("0123"));
    }

    #[test]
    fn a_short_key_is_hidden_as_a_whole() {
        assert_eq!(key("abc").redact("xabcabcx"), "x[key]x");
    }

    #[test]
    fn a_key_shows_nothing_and_must_be_printable() {
        assert_eq!(format!("{:?}", key("secret")), "[key]");
        for bad in ["", "two words", "line\n", "ü"] {
            assert!(Key::new(Zeroizing::new(bad.to_owned())).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_is_absent() {
        for name in ["", "a=b", "LORICA_NO_SUCH_VARIABLE"] {
            assert_eq!(Key::from_environment(name).unwrap_err(), KeyError::Absent(name.to_owned()));
        }
    }
}
