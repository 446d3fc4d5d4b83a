//! Challenges: what is asked, fixed by a key that is committed to before the first question.

use serde::{Deserialize, Serialize};

/// One prompt, and where in it next-token distributions are compared. One challenge is one sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Its place in the run, from 0.
    pub index: u32,
    /// The family it was drawn from, by name.
    pub family: String,
    /// The text to continue.
    pub prompt: String,
    /// Byte lengths of prefixes of the prompt, ascending, at least one: each side is asked for the distribution of
    /// the token after each prefix. Each ends where a word ends (the next byte is a space, or the prompt ends), so
    /// that it does not depend on a tokenizer.
    pub positions: Vec<u32>,
}

impl Challenge {
    /// The prefixes of the prompt that [`Challenge::positions`] name; a position that is no boundary is left out.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.positions.iter().filter_map(|&length| self.prompt.get(..length as usize))
    }
}
