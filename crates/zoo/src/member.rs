//! What a member of the zoo is called, what it is, and how it is made.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    derive::quantize::Quantization, draft::Precision, error::ZooError, shape::Shape, train::Training,
};

const LONGEST_NAME: usize = 60;

/// The name of a member, which is also that of its folder: lower-case letters, digits and hyphens, a letter first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberName(String);

impl MemberName {
    /// A name.
    ///
    /// # Errors
    /// A text that is not one.
    pub fn new(text: impl Into<String>) -> Result<Self, ZooError> {
        let text = text.into();
        let fits = text.len() <= LONGEST_NAME
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if fits { Ok(Self(text)) } else { Err(ZooError::Name { found: text }) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MemberName {
    type Error = ZooError;

    fn try_from(text: String) -> Result<Self, ZooError> {
        Self::new(text)
    }
}

impl From<MemberName> for String {
    fn from(name: MemberName) -> Self {
        name.0
    }
}

/// A member of the zoo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name.
    pub name: MemberName,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a member comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// A folder of the shipped models, copied.
    Shipped {
        /// The folder's name.
        folder: String,
    },
    /// Random weights, trained.
    Trained {
        /// Sizes. With fewer tokens than the shipped tokenizer has, the tokenizer is cut to its first ones.
        shape: Shape,
        /// What it learned from.
        text: Text,
        /// How.
        training: Training,
        /// Tells apart members that are otherwise alike.
        seed: u64,
    },
    /// Another member, changed.
    Derived {
        /// The other member.
        from: MemberName,
        /// The change.
        step: Step,
    },
    /// Another member behind an endpoint that does not serve it faithfully. It has no folder.
    Served {
        /// The member that is served.
        from: MemberName,
        /// What the endpoint does.
        behaviour: Behaviour,
    },
}

impl Origin {
    /// The member it is made from, if there is one.
    pub fn parent(&self) -> Option<&MemberName> {
        match self {
            Self::Shipped { .. } | Self::Trained { .. } => None,
            Self::Derived { from, .. } | Self::Served { from, .. } => Some(from),
        }
    }

    /// Whether the member has a folder of its own.
    pub fn has_folder(&self) -> bool {
        !matches!(self, Self::Served { .. })
    }
}

/// A shipped text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// This project's documentation: English prose about cryptography and models.
    Docs,
    /// This project's Rust code without comments.
    Code,
    /// A short Spanish manual page.
    Spanish,
}

impl Text {
    /// Its file in the folder of texts.
    pub fn file(self) -> &'static str {
        match self {
            Self::Docs => "zoo-corpus.txt",
            Self::Code => "zoo-code.txt",
            Self::Spanish => "demo-es.txt",
        }
    }
}

/// A change that makes one member from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Stored in another type.
    Store {
        /// The type.
        precision: Precision,
    },
    /// Divided into several weight files.
    Shard {
        /// How many.
        files: usize,
    },
    /// GPT-2's tensors stored without the prefix `transformer.`.
    Rename,
    /// Tokens renumbered in the tokenizer and in the matrices alike.
    PermuteTokens,
    /// Tokens renumbered in the tokenizer alone.
    MisnumberTokens {
        /// The share of the tokens that move, in percent.
        percent: u32,
    },
    /// Tokens appended that no text contains.
    AppendTokens {
        /// How many.
        tokens: usize,
    },
    /// Weights rounded to few bits.
    Quantize {
        /// How.
        quantization: Quantization,
        /// The type that the rounded weights are stored in.
        stored: Precision,
    },
    /// The smallest weights set to zero.
    Prune {
        /// The share of each linear layer's weights, in percent.
        percent: u32,
    },
    /// A shipped LoRA adapter merged into the weights.
    Merge {
        /// The adapter's folder among the shipped models.
        adapter: String,
        /// Factor on its update; 1 is what it was trained for.
        strength: f64,
    },
    /// Trained on, all weights.
    Tune {
        /// What it learned from.
        text: Text,
        /// How.
        training: Training,
    },
    /// Fewer layers, trained on to predict what the whole model predicts.
    Distill {
        /// Layers that are left, spread over the depth.
        layers: usize,
        /// What it read.
        text: Text,
        /// How.
        training: Training,
    },
    /// One layer left out, nothing trained.
    DropLayer {
        /// Which, from 0.
        layer: usize,
    },
    /// All logits divided by a temperature.
    Temper {
        /// The temperature.
        temperature: f64,
    },
}

/// What an unfaithful endpoint does with the member it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "behaviour", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Behaviour {
    /// It samples, and tells log-probabilities, at this temperature.
    Temperature {
        /// The temperature.
        temperature: f64,
    },
    /// It rewrites answers in other words.
    Paraphrase,
    /// It cuts answers short.
    Truncate {
        /// Tokens that are left.
        tokens: u32,
    },
    /// It answers a share of the prompts with another member.
    Backdoor {
        /// The share, in `(0, 1]`; which prompts is up to the endpoint.
        rate: f64,
        /// The other member.
        with: MemberName,
    },
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder() {
        for good in ["a", "gpt2-int8-group64", "z9"] {
            assert_eq!(MemberName::new(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(61);
        for bad in ["", "..", "a/b", "A", "9a", "-a", "a.b", "a b", &long] {
            assert!(MemberName::new(bad).is_err(), "{bad:?}");
            assert!(serde_json::from_value::<MemberName>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
