//! The rules of a family file, one by one; the first that is broken is named with its place.

use std::collections::{BTreeMap, HashSet};

use super::{
    error::BankError,
    family::{FORMAT, MOST_BYTES, Part, Slot, Template, WORDS, Written},
};

/// The checks of one file.
pub(super) struct Reader<'a> {
    pub(super) file: &'a str,
}

impl Reader<'_> {
    pub(super) fn wrong(
        &self,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> BankError {
        BankError::Field {
            file: self.file.to_owned(),
            field: field.into(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(super) fn slots(&self, written: &Written) -> Result<BTreeMap<String, Slot>, BankError> {
        if written.format != FORMAT {
            return Err(self.wrong("format", format!("{FORMAT:?}"), format!("{:?}", written.format)));
        }
        if !is_name(&written.name) {
            return Err(self.wrong("name", NAME_RULE, format!("{:?}", written.name)));
        }
        if written.about.trim().is_empty() {
            return Err(self.wrong("about", "a sentence about the family", "nothing"));
        }
        let mut slots = BTreeMap::new();
        for (name, entries) in &written.lists {
            let field = format!("lists.{name}");
            if !is_name(name) {
                return Err(self.wrong(field, NAME_RULE, format!("{name:?}")));
            }
            if entries.is_empty() {
                return Err(self.wrong(field, "at least one entry", "an empty list"));
            }
            let mut seen = HashSet::new();
            for (place, entry) in entries.iter().enumerate() {
                let field = format!("{field}[{place}]");
                if !is_plain(entry) || entry.contains(['{', '}']) {
                    let rule = format!("{PLAIN_RULE}, without braces");
                    return Err(self.wrong(field, rule, format!("{entry:?}")));
                }
                if !seen.insert(entry) {
                    return Err(self.wrong(field, "an entry of its own", format!("{entry:?} again")));
                }
            }
            slots.insert(name.clone(), Slot::Entries(entries.clone()));
        }
        for (name, numbers) in &written.numbers {
            let field = format!("numbers.{name}");
            if !is_name(name) {
                return Err(self.wrong(field, NAME_RULE, format!("{name:?}")));
            }
            if numbers.from > numbers.to {
                let found = format!("{} to {}", numbers.from, numbers.to);
                return Err(self.wrong(field, "a range that ends no earlier than it begins", found));
            }
            if slots.insert(name.clone(), Slot::Numbers(*numbers)).is_some() {
                return Err(self.wrong(field, "a slot of its own", "a list of the same name"));
            }
        }
        Ok(slots)
    }

    pub(super) fn templates(
        &self,
        written: &Written,
        slots: &BTreeMap<String, Slot>,
    ) -> Result<Vec<Template>, BankError> {
        if written.templates.is_empty() {
            return Err(self.wrong("templates", "at least one template", "an empty list"));
        }
        let mut seen = HashSet::new();
        let mut templates = Vec::new();
        for (place, text) in written.templates.iter().enumerate() {
            let field = format!("templates[{place}]");
            if !is_plain(text) {
                return Err(self.wrong(field, PLAIN_RULE, format!("{text:?}")));
            }
            if !seen.insert(text) {
                return Err(self.wrong(field, "a template of its own", format!("{text:?} again")));
            }
            let template = self.template(&field, text, slots)?;
            self.size(&field, &template, slots)?;
            templates.push(template);
        }
        for name in slots.keys() {
            if !templates.iter().any(|template| template.places.contains(name)) {
                let kind = if written.lists.contains_key(name) { "lists" } else { "numbers" };
                return Err(self.wrong(
                    format!("{kind}.{name}"),
                    "a slot that a template names",
                    "a slot that none names",
                ));
            }
        }
        Ok(templates)
    }

    fn template(
        &self,
        field: &str,
        text: &str,
        slots: &BTreeMap<String, Slot>,
    ) -> Result<Template, BankError> {
        let mut parts = Vec::new();
        let mut labels: Vec<&str> = Vec::new();
        let mut places: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            parts.push(Part::Text(before.to_owned()));
            let Some((label, after)) = from_brace.strip_prefix('{').and_then(|inner| inner.split_once('}'))
            else {
                return Err(self.wrong(
                    field,
                    "every brace to belong to a {slot}",
                    format!("{from_brace:?}"),
                ));
            };
            let (name, extra) = label.split_once('.').unwrap_or((label, "1"));
            if !is_name(name) || !is_name(extra) {
                return Err(self.wrong(field, "{slot} or {slot.label}", format!("{{{label}}}")));
            }
            let Some(slot) = slots.get(name) else {
                return Err(self.wrong(field, "slots that lists or numbers hold", format!("{{{label}}}")));
            };
            let place = labels.iter().position(|known| *known == label).unwrap_or_else(|| {
                labels.push(label);
                places.push(name.to_owned());
                labels.len() - 1
            });
            let wanted = places.iter().filter(|known| *known == name).count() as u64;
            if wanted > slot.count() {
                let expected = format!("at most {} different entries of {name}", slot.count());
                return Err(self.wrong(field, expected, wanted.to_string()));
            }
            parts.push(Part::Place(place));
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template { parts, places })
    }

    /// Every prompt of the template has a number of words and bytes within the limits.
    fn size(
        &self,
        field: &str,
        template: &Template,
        slots: &BTreeMap<String, Slot>,
    ) -> Result<(), BankError> {
        let range = |measure: fn(&str) -> usize| {
            template.parts.iter().fold((0, 0), |(fewest, most), part| {
                let (low, high) = match part {
                    Part::Text(text) => (measure(text), measure(text)),
                    Part::Place(place) => template
                        .places
                        .get(*place)
                        .and_then(|name| slots.get(name))
                        .map_or((0, 0), |slot| slot.range(measure)),
                };
                (fewest + low, most + high)
            })
        };
        let (fewest, most) = range(|text| text.matches(' ').count());
        let (fewest, most) = (fewest + 1, most + 1);
        if fewest < WORDS.0 || most > WORDS.1 {
            let expected = format!("prompts of {} to {} words", WORDS.0, WORDS.1);
            return Err(self.wrong(field, expected, format!("{fewest} to {most} words")));
        }
        let (_, longest) = range(str::len);
        if longest > MOST_BYTES {
            let expected = format!("prompts of at most {MOST_BYTES} bytes");
            return Err(self.wrong(field, expected, format!("up to {longest} bytes")));
        }
        Ok(())
    }
}

const NAME_RULE: &str = "a name of lower-case letters, digits and hyphens";
const PLAIN_RULE: &str = "printable ASCII with single spaces between words and none around them";

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.split(' ').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()))
}
