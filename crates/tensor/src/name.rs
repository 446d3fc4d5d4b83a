//! The path of a linear layer inside a model, such as `model.layers.0.self_attn.q_proj`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// The dotted path of a linear layer, as the base model's checkpoint names it (without `.weight`).
///
/// At most 256 bytes; letters, digits, `_`, `-` and dots between non-empty parts. That keeps it safe
/// to print and to hash, and leaves no two spellings of one module.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ModuleName(String);

/// A text that cannot be a module name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a module name: expected 1 to {max} bytes of letters, digits, '_' and '-' in parts joined by dots",
    max = ModuleName::MAX_BYTES
)]
pub struct NameError {
    /// The text that was read.
    pub found: String,
}

impl ModuleName {
    /// The longest accepted name.
    pub const MAX_BYTES: usize = 256;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last dot, `q_proj` of `model.layers.0.self_attn.q_proj`.
    pub fn last_part(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }
}

impl FromStr for ModuleName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let part_is_good = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        if text.len() <= Self::MAX_BYTES && text.split('.').all(part_is_good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { found: text.chars().take(80).collect() })
        }
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for ModuleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_names() {
        for good in ["a", "transformer.h.0.attn.c_attn", "lm-head"] {
            assert_eq!(good.parse::<ModuleName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a/b", "ä", &"x".repeat(257)] {
            assert!(bad.parse::<ModuleName>().is_err(), "{bad:?} was accepted");
        }
    }
}
