//! One family of prompts: a JSON file of templates and slots, read strictly, and its expansion to prompts.
//!
//! ```json
//! {
//!   "format": "lorica-family-1",
//!   "name": "general",
//!   "about": "Everyday English.",
//!   "templates": ["The {animal} slept beside the {animal.2} for {days} days, because ..."],
//!   "lists": {"animal": ["cat", "owl"]},
//!   "numbers": {"days": {"from": 2, "to": 9}}
//! }
//! ```
//!
//! `{slot}` is replaced by an entry of the list or a number of the range; the same slot gives the same text throughout
//! one prompt. `{slot.label}` is another entry of the same list, different from those with other labels.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, Visitor},
};

use super::{error::BankError, reader::Reader};

/// The format's name, in every file.
pub(super) const FORMAT: &str = "lorica-family-1";
/// The fewest and most words of a prompt.
pub(crate) const WORDS: (usize, usize) = (12, 40);
/// The most bytes of a prompt, so that it fits small models whole.
pub(crate) const MOST_BYTES: usize = 200;
/// The fewest distinct prompts of a family.
pub(crate) const FEWEST_PROMPTS: usize = 2000;
/// Distinct prompts are counted up to about this many.
const COUNTED: u64 = 4000;

/// A family file as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) format: String,
    pub(super) name: String,
    pub(super) about: String,
    pub(super) templates: Vec<String>,
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lists: BTreeMap<String, Vec<String>>,
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) numbers: BTreeMap<String, Numbers>,
}

/// Whole numbers of a range, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// What a slot can be replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Slot {
    Entries(Vec<String>),
    Numbers(Numbers),
}

impl Slot {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Entries(entries) => entries.len() as u64,
            Self::Numbers(Numbers { from, to }) => u64::from(to - from) + 1,
        }
    }

    fn push(&self, choice: u64, prompt: &mut String) {
        match self {
            Self::Entries(entries) => {
                prompt.push_str(entries.get(choice as usize).map_or("", String::as_str));
            }
            Self::Numbers(Numbers { from, .. }) => prompt.push_str(&(u64::from(*from) + choice).to_string()),
        }
    }

    /// Fewest and most of a measure over what can stand here.
    pub(super) fn range(&self, measure: fn(&str) -> usize) -> (usize, usize) {
        match self {
            Self::Entries(entries) => {
                let measures = || entries.iter().map(|entry| measure(entry));
                (measures().min().unwrap_or(0), measures().max().unwrap_or(0))
            }
            Self::Numbers(Numbers { from, to }) => (measure(&from.to_string()), measure(&to.to_string())),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// An index into the template's places.
    Place(usize),
}

/// A template with its places, each of which stands for one slot of the family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) parts: Vec<Part>,
    /// Slot names in the order in which the places first appear.
    pub(super) places: Vec<String>,
}

/// A family of prompts that keeps every rule of the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    written: Written,
    /// `written` with its fields in their order and its slots ascending.
    canonical: String,
    slots: BTreeMap<String, Slot>,
    templates: Vec<Template>,
    arrangements: u64,
    distinct: usize,
}

impl Family {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, BankError> {
        let not_json =
            |error: serde_json::Error| BankError::Json { file: file.to_owned(), reason: error.to_string() };
        let written: Written = serde_json::from_str(text).map_err(not_json)?;
        let canonical = serde_json::to_string(&written).map_err(not_json)?;
        let reader = Reader { file };
        let slots = reader.slots(&written)?;
        let templates = reader.templates(&written, &slots)?;
        let mut family = Self { written, canonical, slots, templates, arrangements: 0, distinct: 0 };
        family.arrangements =
            family.templates.iter().fold(0_u64, |sum, t| sum.saturating_add(family.template_arrangements(t)));
        family.distinct = family.count_distinct();
        if family.distinct < FEWEST_PROMPTS {
            return Err(reader.wrong(
                "templates",
                format!("at least {FEWEST_PROMPTS} distinct prompts"),
                family.distinct.to_string(),
            ));
        }
        Ok(family)
    }

    /// Its name: lower-case letters, digits and hyphens.
    pub fn name(&self) -> &str {
        &self.written.name
    }

    /// What it is for, in the words of its author.
    pub fn about(&self) -> &str {
        &self.written.about
    }

    /// In how many ways templates and entries can be put together; the largest number where there are more. Two ways
    /// may give the same text.
    pub fn arrangements(&self) -> u64 {
        self.arrangements
    }

    /// A number of prompts that were made and found to be all different: at least so many distinct prompts there are.
    pub fn distinct_at_least(&self) -> usize {
        self.distinct
    }

    /// The family in the one form that is hashed: the same for files that differ in layout only.
    pub(crate) fn canonical(&self) -> &str {
        &self.canonical
    }

    /// A prompt; `below(n)` chooses a number below `n`: first the template, then an entry for each place.
    pub(crate) fn prompt(&self, mut below: impl FnMut(u64) -> u64) -> String {
        let template = usize::try_from(below(self.templates.len() as u64)).unwrap_or(0);
        self.templates.get(template).map(|template| self.expand(template, below)).unwrap_or_default()
    }

    fn expand(&self, template: &Template, mut below: impl FnMut(u64) -> u64) -> String {
        let mut used: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut texts = Vec::new();
        for name in &template.places {
            let mut text = String::new();
            if let Some(slot) = self.slots.get(name) {
                let used = used.entry(name.as_str()).or_default();
                let mut choice = below(slot.count().saturating_sub(used.len() as u64));
                // The choice counts only entries that are free: step over the used ones, in ascending order.
                for &taken in used.iter() {
                    if choice >= taken {
                        choice += 1;
                    }
                }
                used.insert(choice);
                slot.push(choice, &mut text);
            }
            texts.push(text);
        }
        template
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Place(place) => texts.get(*place).map_or("", String::as_str),
            })
            .collect()
    }

    fn template_arrangements(&self, template: &Template) -> u64 {
        let mut used: BTreeMap<&str, u64> = BTreeMap::new();
        template.places.iter().fold(1, |product: u64, name| {
            let used = used.entry(name.as_str()).or_default();
            let free = self.slots.get(name).map_or(0, Slot::count).saturating_sub(*used);
            *used += 1;
            product.saturating_mul(free)
        })
    }

    /// Makes prompts evenly spread over all arrangements and counts those that differ.
    fn count_distinct(&self) -> usize {
        let mut order: Vec<(u64, &Template)> =
            self.templates.iter().map(|template| (self.template_arrangements(template), template)).collect();
        order.sort_by_key(|(arrangements, _)| *arrangements);
        let mut prompts = HashSet::new();
        for (done, (arrangements, template)) in order.iter().enumerate() {
            let templates_left = (order.len() - done) as u64;
            let share = COUNTED.saturating_sub(prompts.len() as u64).div_ceil(templates_left);
            let made = share.min(*arrangements);
            let step = arrangements / made.max(1);
            for number in 0..made {
                let mut rest = number * step;
                prompts.insert(self.expand(template, |bound| {
                    let digit = rest % bound.max(1);
                    rest /= bound.max(1);
                    digit
                }));
            }
        }
        prompts.len()
    }
}

/// Reads a map and refuses a key that is there twice.
fn unique<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Unique<V>(PhantomData<V>);

    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("slots by name")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = access.next_entry::<String, V>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(format!("the slot {key:?} is there twice")));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}
