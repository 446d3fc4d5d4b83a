//! The body of every answer that is not a success.

use serde::{Deserialize, Serialize};

/// Why a request was refused, for people: what is wrong, what was found, what was expected, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What was found; empty where nothing fits.
    pub found: String,
    /// What was expected; empty where nothing fits.
    pub expected: String,
    /// What to do; empty where nothing fits.
    pub hint: String,
}

impl Refusal {
    /// A refusal with all of its parts.
    pub fn new(
        error: impl Into<String>,
        found: impl ToString,
        expected: impl ToString,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            error: error.into(),
            found: found.to_string(),
            expected: expected.to_string(),
            hint: hint.into(),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.error)?;
        match (self.expected.as_str(), self.found.as_str()) {
            ("", "") => {}
            ("", found) => write!(f, ": found {found}")?,
            (expected, "") => write!(f, ": expected {expected}")?,
            (expected, found) => write!(f, ": expected {expected}, found {found}")?,
        }
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}
