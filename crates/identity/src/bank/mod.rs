//! The bank of prompts: families of templates in data files, from which a key draws the challenges of a run.
//!
//! A challenge depends on the key, the run's name, its index and the bank, and on nothing else: not on the models, not
//! on an answer. Each block of as many consecutive indices as there are families holds every family once, in an order
//! drawn for the block. Challenge `i` gets its template and entries from `HMAC-SHA256(key, run_id || "|" || i)`; a
//! prompt that an earlier index of the run has already is drawn again with the next attempt number of the same seed,
//! so a run never holds a prompt twice.

mod error;
mod family;
mod key;
mod reader;

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

use sha2::{Digest, Sha256};

pub use error::BankError;
pub use family::Family;
pub use key::{ChallengeKey, KeyError};

use crate::challenge::Challenge;
use family::WORDS;
use key::Stream;

/// The positions of a challenge where nobody asks for another number.
pub const DEFAULT_POSITIONS: usize = 4;
/// The most positions of a challenge: they lie in the last half of a prompt, and the shortest has 12 words.
pub const MOST_POSITIONS: usize = WORDS.0 / 2;

/// The most families: each must come up often enough within a short run.
const MOST_FAMILIES: usize = 64;
/// The longest name of a run, in bytes.
const LONGEST_RUN_NAME: usize = 128;
/// How often a prompt that is there already is drawn again.
const ATTEMPTS: u32 = 10_000;
/// Hashed before the families.
const DIGEST_TAG: &[u8] = b"lorica/identity/bank/1\0";

/// The families that come with the program, by file name.
const STANDARD: [(&str, &str); 5] = [
    ("arithmetic.json", include_str!("../../families/arithmetic.json")),
    ("code.json", include_str!("../../families/code.json")),
    ("general.json", include_str!("../../families/general.json")),
    ("out-of-distribution-nouns.json", include_str!("../../families/out-of-distribution-nouns.json")),
    ("safety-vocabulary.json", include_str!("../../families/safety-vocabulary.json")),
];

/// Families of prompts, ready to draw from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bank {
    /// Ascending by name, so that the order of files does not matter.
    families: Vec<Family>,
}

impl Bank {
    /// The five families that come with the program.
    ///
    /// # Errors
    /// None as shipped: a test reads the same files. The result is the one of [`Bank::from_json`].
    pub fn standard() -> Result<Self, BankError> {
        Self::from_json(&STANDARD)
    }

    /// The names and texts of the standard families' files, to which a person may add their own for
    /// [`Bank::from_json`].
    pub fn standard_files() -> &'static [(&'static str, &'static str)] {
        &STANDARD
    }

    /// A bank from family files: their names, for messages, and their texts.
    ///
    /// # Errors
    /// The first rule that a file breaks, with the file, the field, what was expected and what was found.
    pub fn from_json<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, BankError> {
        if files.is_empty() || files.len() > MOST_FAMILIES {
            return Err(BankError::Families { found: files.len(), most: MOST_FAMILIES });
        }
        let mut families: BTreeMap<String, (String, Family)> = BTreeMap::new();
        for (file, text) in files {
            let file = file.as_ref();
            let family = Family::parse(file, text.as_ref())?;
            if let Some((other, _)) = families.get(family.name()) {
                return Err(BankError::FamilyTwice {
                    file: file.to_owned(),
                    other: other.clone(),
                    family: family.name().to_owned(),
                });
            }
            families.insert(family.name().to_owned(), (file.to_owned(), family));
        }
        Ok(Self { families: families.into_values().map(|(_, family)| family).collect() })
    }

    /// The names of the families, ascending.
    pub fn families(&self) -> Vec<String> {
        self.families.iter().map(|family| family.name().to_owned()).collect()
    }

    /// The families, ascending by name.
    pub fn contents(&self) -> &[Family] {
        &self.families
    }

    /// The bank as files, `name.json` with its text: [`Bank::from_json`] of them is this bank.
    pub fn files(&self) -> Vec<(String, String)> {
        self.families
            .iter()
            .map(|family| (format!("{}.json", family.name()), family.canonical().to_owned()))
            .collect()
    }

    /// SHA-256 over the families' contents; the layout and the names of files do not matter.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(DIGEST_TAG);
        hash.update((self.families.len() as u64).to_be_bytes());
        for (_, text) in self.files() {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }

    /// The challenges of a run with these indices. The same arguments give the same challenges, whichever range is
    /// asked for first.
    ///
    /// Each has `positions` positions, the last of which is the whole prompt; the others are ends of words evenly
    /// spaced in the last half of the prompt. [`DEFAULT_POSITIONS`] is a good number.
    ///
    /// # Errors
    /// A run's name that is not 1 to 128 printable ASCII characters; 0 or more than [`MOST_POSITIONS`] positions; a
    /// family that has no prompt left that was not drawn before.
    pub fn challenges(
        &self,
        key: &ChallengeKey,
        run_id: &str,
        indices: Range<u32>,
        positions: usize,
    ) -> Result<Vec<Challenge>, BankError> {
        if run_id.is_empty()
            || run_id.len() > LONGEST_RUN_NAME
            || !run_id.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
        {
            return Err(BankError::RunName { found: run_id.to_owned(), most: LONGEST_RUN_NAME });
        }
        if positions == 0 || positions > MOST_POSITIONS {
            return Err(BankError::Positions { found: positions, most: MOST_POSITIONS });
        }
        let mut drawn = HashSet::new();
        let mut challenges = Vec::new();
        let mut order = Vec::new();
        for index in 0..indices.end {
            // The families of a block are taken from the back of its order.
            if order.is_empty() {
                let block = index / u32::try_from(self.families.len()).unwrap_or(u32::MAX);
                order = self.order(key.order_seed(run_id, block));
            }
            let Some(family) = order.pop() else { break };
            let seed = key.seed(run_id, index);
            let prompt = (0..ATTEMPTS)
                .map(|attempt| {
                    let mut stream = Stream::new(seed, attempt);
                    family.prompt(|bound| stream.below(bound))
                })
                .find(|prompt| !drawn.contains(prompt))
                .ok_or_else(|| BankError::Exhausted {
                    family: family.name().to_owned(),
                    index,
                    attempts: ATTEMPTS,
                })?;
            drawn.insert(prompt.clone());
            if indices.contains(&index) {
                let positions = spread(&prompt, positions);
                challenges.push(Challenge { index, family: family.name().to_owned(), prompt, positions });
            }
        }
        Ok(challenges)
    }

    /// The families in a random order: each of the orders is equally probable (Fisher and Yates).
    fn order(&self, seed: [u8; 32]) -> Vec<&Family> {
        let mut order: Vec<&Family> = self.families.iter().collect();
        let mut stream = Stream::new(seed, 0);
        for last in (1..order.len()).rev() {
            let other = usize::try_from(stream.below(last as u64 + 1)).unwrap_or(last);
            order.swap(last, other);
        }
        order
    }
}

/// Byte lengths of prefixes that end where a word ends: the whole prompt, and steps back from there that stay within
/// the last half of its words.
fn spread(prompt: &str, positions: usize) -> Vec<u32> {
    let ends: Vec<usize> =
        prompt.match_indices(' ').map(|(at, _)| at).chain(std::iter::once(prompt.len())).collect();
    let step = (ends.len() / 2 / positions).max(1);
    let mut chosen: Vec<u32> =
        ends.iter().rev().step_by(step).take(positions).filter_map(|&end| u32::try_from(end).ok()).collect();
    chosen.reverse();
    chosen
}
