//! How a wrapper changes a prompt before the model sees it, by fixed rules.

/// Words with others of about the same meaning; each is put for the other.
const SYNONYMS: [(&str, &str); 24] = [
    ("big", "large"),
    ("small", "little"),
    ("begin", "start"),
    ("answer", "reply"),
    ("quick", "fast"),
    ("write", "compose"),
    ("explain", "describe"),
    ("make", "create"),
    ("show", "display"),
    ("find", "locate"),
    ("help", "assist"),
    ("buy", "purchase"),
    ("house", "home"),
    ("street", "road"),
    ("city", "town"),
    ("and", "as well as"),
    ("but", "however"),
    ("because", "since"),
    ("often", "frequently"),
    ("whole", "entire"),
    ("near", "close to"),
    ("under", "beneath"),
    ("each", "every"),
    ("the", "that"),
];

/// What a paraphrased prompt begins with.
const LEAD: &str = "Please continue: ";

/// The prompt in other words.
pub(super) fn paraphrase(prompt: &str) -> String {
    let mut sentences: Vec<&str> = prompt.split_inclusive(". ").collect();
    if sentences.len() > 2 {
        sentences.swap(0, 1);
    }
    let mut text = LEAD.to_owned();
    for sentence in sentences {
        for (index, word) in sentence.split(' ').enumerate() {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(&synonym(word));
        }
    }
    text
}

/// Another word in its place, if the table has one; punctuation around it stays.
fn synonym(word: &str) -> String {
    let inner = word.trim_matches(|character: char| !character.is_alphanumeric());
    let lower = inner.to_lowercase();
    let other = SYNONYMS.iter().find_map(|(one, other)| match lower.as_str() {
        found if found == *one => Some(*other),
        found if found == *other => Some(*one),
        _ => None,
    });
    match other {
        Some(other) if inner.starts_with(char::is_uppercase) => {
            let mut capital = other.to_owned();
            if let Some(first) = capital.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            word.replacen(inner, &capital, 1)
        }
        Some(other) => word.replacen(inner, other, 1),
        None => word.to_owned(),
    }
}

/// The last words of the prompt.
pub(super) fn last_words(prompt: &str, words: usize) -> &str {
    let mut starts = prompt
        .char_indices()
        .filter(|(index, character)| {
            let before = prompt[..*index].chars().next_back();
            !character.is_whitespace() && before.is_none_or(char::is_whitespace)
        })
        .map(|(index, _)| index)
        .collect::<Vec<_>>();
    starts.reverse();
    match words.checked_sub(1).and_then(|place| starts.get(place)) {
        Some(start) => &prompt[*start..],
        None => prompt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_in_another_order() {
        assert_eq!(paraphrase("Begin (quick) now"), "Please continue: Start (fast) now");
        assert_eq!(paraphrase("One. Two. Three"), "Please continue: Two. One. Three");
        assert_eq!(paraphrase("One. The two"), "Please continue: One. That two");
    }

    #[test]
    fn the_end_of_a_prompt() {
        assert_eq!(last_words("one two  three", 2), "two  three");
        assert_eq!(last_words("ä ö ", 1), "ö ");
        assert_eq!(last_words("one two", 2), "one two");
        assert_eq!(last_words("one two", 9), "one two");
    }
}
