//! From the numbers of an answer to distributions: strict about what is missing, and about where tokens begin.

use lorica_identity::{Distribution, DistributionError, RespondentFault, Token};

use super::wire::{Choice, LogProbs, Pairs, PromptEntry, Top, TopToken};

/// Numbers at or below it stand for "unknown": several servers write it for minus infinity or for what they do not know.
const SENTINEL: f64 = -9999.0;
/// Tokens that stand before the prompt and are none of it, at most: beginnings of a sequence.
const MOST_LEADING: usize = 2;

/// Why numbers are not what the tier promised.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bad {
    pub(super) fault: RespondentFault,
    pub(super) detail: String,
}

pub(super) fn missing(detail: impl Into<String>) -> Bad {
    Bad { fault: RespondentFault::MissingLogProbability, detail: detail.into() }
}

pub(super) fn malformed(detail: impl Into<String>) -> Bad {
    Bad { fault: RespondentFault::Malformed, detail: detail.into() }
}

/// Tokens with log-probabilities as they stand in an answer.
pub(super) type Told = Vec<(Token, Option<f64>)>;

/// A token without any content in an answer: its content is not known.
fn token(text: &str, bytes: Option<&Vec<u8>>) -> Token {
    match bytes {
        Some(bytes) if !bytes.is_empty() => Token::new(bytes.clone()),
        _ if text.is_empty() => Token::from("\u{fffd}"),
        _ => Token::from(text),
    }
}

fn of_list(list: &[TopToken]) -> Told {
    list.iter().map(|top| (token(&top.token, top.bytes.as_ref()), top.logprob)).collect()
}

fn of_top(top: &Top) -> Told {
    match top {
        Top::Object(pairs) => pairs.0.iter().map(|(text, number)| (token(text, None), *number)).collect(),
        Top::List(list) => of_list(list),
    }
}

/// A distribution of the `top` most probable tokens, at most: endpoints add the token that stands in the prompt.
///
/// Missing: no token, every number 0, a number at or below -9999 (a single one too: what it stands for is not known).
/// No probability: null, NaN, infinite, above 0, or a sum above 1. Malformed: a legible token twice.
pub(super) fn distribution(told: Told, top: usize) -> Result<Distribution, Bad> {
    let no_probability = |detail: String| Bad { fault: RespondentFault::NotAProbability, detail };
    if told.is_empty() {
        return Err(missing("a list of most probable tokens is empty"));
    }
    let mut entries = Vec::with_capacity(told.len());
    for (token, number) in told {
        let Some(number) = number else {
            return Err(no_probability(format!("token {token} has the log-probability null")));
        };
        if number <= SENTINEL && number.is_finite() {
            return Err(missing(format!(
                "token {token} has the log-probability {number}, which stands for unknown"
            )));
        }
        entries.push((token, number));
    }
    if entries.iter().all(|(_, number)| *number == 0.0) {
        return Err(missing(format!("all {} log-probabilities at a position are 0", entries.len())));
    }
    let explain = |error: DistributionError| match error {
        DistributionError::Twice { .. } => malformed(format!(
            "{error}: the endpoint writes different tokens alike, so that they cannot be compared by content"
        )),
        DistributionError::Empty => missing(error.to_string()),
        DistributionError::NotALogProbability { .. } | DistributionError::TooMuch { .. } => {
            no_probability(error.to_string())
        }
    };
    let whole = Distribution::new(entries).map_err(explain)?;
    if whole.told().len() <= top {
        return Ok(whole);
    }
    Distribution::new(whole.told().iter().take(top).cloned().collect()).map_err(explain)
}

/// The distribution that the first generated token was drawn from, by either form.
pub(super) fn first_generated(choice: &Choice) -> Result<Told, Bad> {
    let absent = || missing("the answer has no log-probabilities of the next token");
    let found = choice.logprobs.as_ref().ok_or_else(absent)?;
    if let Some(content) = &found.content {
        return match content.first().and_then(|first| first.top_logprobs.as_deref()) {
            Some(list) => Ok(of_list(list)),
            None => Err(absent()),
        };
    }
    match found.top_logprobs.as_deref().and_then(|list| list.first()) {
        Some(Some(top)) => Ok(of_top(top)),
        _ => Err(absent()),
    }
}

/// A prompt as an endpoint cut it into tokens, with the distribution at each.
#[derive(Debug, PartialEq)]
pub(super) struct Reading {
    /// Where each token begins in the prompt, in bytes, ascending, and what was told there. The token after the whole
    /// prompt, where it is told, begins at the prompt's length.
    places: Vec<(usize, Option<Told>)>,
}

/// What a reading says about a position.
#[derive(Debug, PartialEq)]
pub(super) enum At {
    /// The distribution there.
    Told(Told),
    /// No token begins there: the prefix must be asked about by itself.
    Inside,
}

impl Reading {
    /// Where tokens begin behind the prompt's first byte and before its end.
    pub(super) fn inner_starts(&self, length: usize) -> Vec<usize> {
        let mut starts: Vec<usize> = self.places.iter().map(|(start, _)| *start).collect();
        starts.retain(|start| (1..length).contains(start));
        starts.dedup();
        starts
    }

    /// What was told at a byte position of the prompt.
    pub(super) fn at(&self, position: usize) -> Result<At, Bad> {
        // A token without bytes begins where the next one does: the last one is meant.
        match self.places.iter().rev().find(|(start, _)| *start == position) {
            None => Ok(At::Inside),
            Some((_, Some(told))) => Ok(At::Told(told.clone())),
            Some((_, None)) => Err(missing(format!(
                "no log-probabilities are told for the token at byte {position} of the prompt"
            ))),
        }
    }
}

/// The prompt in an answer to `echo: true`.
pub(super) fn read_echo(found: &LogProbs, prompt: &str) -> Result<Reading, Bad> {
    let absent = |what: &str| missing(format!("the answer has no {what} of the prompt"));
    let tokens = found.tokens.as_deref().ok_or_else(|| absent("tokens"))?;
    let tops = found.top_logprobs.as_deref().ok_or_else(|| absent("log-probabilities"))?;
    if tokens.len() != tops.len() {
        return Err(malformed(format!(
            "{} tokens have {} lists of log-probabilities",
            tokens.len(),
            tops.len()
        )));
    }
    let by_offset = found.text_offset.as_deref().filter(|offsets| offsets.len() == tokens.len());
    let starts = by_offset
        .and_then(|offsets| starts_by_character(offsets, tokens, prompt))
        .or_else(|| starts_by_content(tokens, prompt))
        .ok_or_else(|| {
            malformed(format!(
                "its {} tokens do not make up the prompt, nor do their offsets fit it",
                tokens.len()
            ))
        })?;
    let places =
        starts.into_iter().zip(tops).filter_map(|(start, top)| Some((start?, top.as_ref().map(of_top))));
    Ok(Reading { places: places.collect() })
}

/// Byte positions from offsets in characters, if every token stands in the prompt where its offset says and the next
/// one begins at its end. [`None`] for what lies beyond the prompt's end.
fn starts_by_character(offsets: &[i64], tokens: &[String], prompt: &str) -> Option<Vec<Option<usize>>> {
    let mut bytes: Vec<usize> = prompt.char_indices().map(|(index, _)| index).collect();
    bytes.push(prompt.len());
    let mut starts = Vec::with_capacity(offsets.len());
    let mut expected = 0;
    for (offset, token) in offsets.iter().zip(tokens) {
        let Some(start) = usize::try_from(*offset).ok().and_then(|offset| bytes.get(offset)).copied() else {
            starts.push(None);
            continue;
        };
        if start < prompt.len() {
            if Token::from(token.as_str()).is_legible() {
                if start != expected || !prompt[start..].starts_with(token.as_str()) {
                    return None;
                }
                expected = start + token.len();
            } else {
                // Its bytes are not known: where it ends is what the next offset says.
                if start < expected {
                    return None;
                }
                expected = expected_after(offsets, starts.len(), &bytes)?;
            }
        } else if expected != prompt.len() {
            return None;
        }
        starts.push(Some(start));
    }
    (expected == prompt.len() && starts.first() == Some(&Some(0))).then_some(starts)
}

/// Where the token after this one begins; the prompt's end if there is none.
fn expected_after(offsets: &[i64], index: usize, bytes: &[usize]) -> Option<usize> {
    let end = bytes.last().copied()?;
    match offsets.get(index + 1) {
        None => Some(end),
        Some(offset) => bytes.get(usize::try_from(*offset).ok()?).copied(),
    }
}

/// Byte positions from the tokens alone, which must make up the prompt; a token or two before it are left out.
fn starts_by_content(tokens: &[String], prompt: &str) -> Option<Vec<Option<usize>>> {
    (0..=MOST_LEADING.min(tokens.len())).find_map(|leading| {
        let mut starts = vec![None; leading];
        let mut start = 0;
        for token in &tokens[leading..] {
            if start > prompt.len() {
                starts.push(None);
                continue;
            }
            starts.push(Some(start));
            if start == prompt.len() {
                start += 1;
                continue;
            }
            if token.is_empty() || !prompt[start..].starts_with(token.as_str()) {
                return None;
            }
            start += token.len();
        }
        (start >= prompt.len()).then_some(starts)
    })
}

/// The prompt in vLLM's `prompt_logprobs`, and the first generated token after it.
///
/// Each object begins with the token that stands in the prompt. That is not taken on trust: the tokens must make up
/// the prompt, but for the first one, which has no object.
pub(super) fn read_prompt(
    list: &[Option<Pairs<PromptEntry>>],
    after: Option<Told>,
    prompt: &str,
) -> Result<Reading, Bad> {
    let told = |entries: &Pairs<PromptEntry>| -> Told {
        let text = |entry: &PromptEntry| token(entry.decoded_token.as_deref().unwrap_or_default(), None);
        entries.0.iter().map(|(_, entry)| (text(entry), entry.logprob)).collect()
    };
    let rest = match list {
        [None, rest @ ..] => rest,
        _ => return Err(missing("prompt_logprobs does not begin with null for the first token")),
    };
    let mut tokens = Vec::with_capacity(rest.len());
    for (index, entries) in rest.iter().enumerate() {
        let entries = entries
            .as_ref()
            .ok_or_else(|| missing(format!("prompt_logprobs has null for token {}", index + 1)))?;
        let first = entries
            .0
            .first()
            .ok_or_else(|| missing(format!("prompt_logprobs is empty at token {}", index + 1)))?;
        let text = first.1.decoded_token.as_deref();
        tokens.push((text.ok_or_else(|| missing("prompt_logprobs has no decoded_token"))?, told(entries)));
    }
    let length: usize = tokens.iter().map(|(text, _)| text.len()).sum();
    let unfit = || malformed("the tokens of prompt_logprobs do not make up the prompt");
    let mut start = prompt.len().checked_sub(length).ok_or_else(unfit)?;
    let mut places = Vec::with_capacity(tokens.len() + 1);
    for (text, told) in tokens {
        if !prompt.get(start..).is_some_and(|rest| rest.starts_with(text)) {
            return Err(unfit());
        }
        places.push((start, Some(told)));
        start += text.len();
    }
    places.extend(after.map(|told| (prompt.len(), Some(told))));
    Ok(Reading { places })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn told(entries: &[(&str, f64)]) -> Told {
        entries.iter().map(|(text, number)| (token(text, None), Some(*number))).collect()
    }

    fn fault(entries: &[(&str, f64)]) -> RespondentFault {
        distribution(told(entries), 5).unwrap_err().fault
    }

    #[test]
    fn numbers_that_stand_for_nothing_are_missing() {
        assert_eq!(fault(&[]), RespondentFault::MissingLogProbability);
        assert_eq!(fault(&[("a", 0.0), ("b", -0.0)]), RespondentFault::MissingLogProbability);
        assert_eq!(fault(&[("a", -0.5), ("b", -9999.0)]), RespondentFault::MissingLogProbability);
        assert_eq!(fault(&[("a", -0.5), ("b", -1e5)]), RespondentFault::MissingLogProbability);
        // A certain token among others is a distribution.
        assert!(distribution(told(&[("a", 0.0), ("b", -40.0)]), 5).is_ok());
    }

    #[test]
    fn numbers_that_are_no_probabilities_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5] {
            assert_eq!(fault(&[("a", -1.0), ("b", bad)]), RespondentFault::NotAProbability, "{bad}");
        }
        assert_eq!(fault(&[("a", -0.1), ("b", -0.1)]), RespondentFault::NotAProbability);
        let null = distribution(vec![(Token::from("a"), None)], 5).unwrap_err();
        assert_eq!(null.fault, RespondentFault::NotAProbability);
        assert_eq!(fault(&[("a", -1.0), ("a", -2.0)]), RespondentFault::Malformed);
    }

    #[test]
    fn the_token_of_the_prompt_is_cut_off_again() {
        let cut = distribution(told(&[("rare", -9.0), ("a", -1.0), ("b", -2.0)]), 2).unwrap();
        assert_eq!(cut.told(), [(Token::from("a"), -1.0), (Token::from("b"), -2.0)]);
    }

    #[test]
    fn bytes_are_used_where_they_are_told_and_no_content_is_one_symbol() {
        assert_eq!(token("\u{fffd}", Some(&vec![0xe2, 0x82])), Token::new([0xe2, 0x82]));
        assert!(!token("", None).is_legible());
        assert!(distribution(told(&[("", -1.0), ("\u{fffd}", -1.0)]), 5).is_ok());
    }

    fn echo(tokens: &[&str], offsets: Option<&[i64]>) -> LogProbs {
        let top = |index: usize| Top::Object(Pairs(vec![(format!("t{index}"), Some(-1.0))]));
        LogProbs {
            tokens: Some(tokens.iter().map(|text| (*text).to_owned()).collect()),
            text_offset: offsets.map(<[i64]>::to_vec),
            top_logprobs: Some((0..tokens.len()).map(|index| (index > 0).then(|| top(index))).collect()),
            content: None,
        }
    }

    fn number(reading: &Reading, position: usize) -> Option<String> {
        match reading.at(position).unwrap() {
            At::Told(told) => Some(String::from_utf8(told[0].0.bytes().to_vec()).unwrap()),
            At::Inside => None,
        }
    }

    #[test]
    fn positions_are_found_by_offsets_in_characters() {
        let reading = read_echo(&echo(&["Ä", " b", " cd", " next"], Some(&[0, 1, 3, 6])), "Ä b cd").unwrap();
        assert_eq!(number(&reading, 2), Some("t1".to_owned()));
        assert_eq!(number(&reading, 4), Some("t2".to_owned()));
        assert_eq!(number(&reading, 7), Some("t3".to_owned()));
        assert_eq!(number(&reading, 5), None);
        assert_eq!(reading.inner_starts(6), [2, 4]);
        assert_eq!(reading.at(0).unwrap_err().fault, RespondentFault::MissingLogProbability);
    }

    #[test]
    fn offsets_that_count_a_token_before_the_prompt_are_corrected_by_content() {
        let reading = read_echo(&echo(&["<s>", "a", " b", " x"], Some(&[0, 3, 4, 6])), "a b").unwrap();
        assert_eq!(number(&reading, 0), Some("t1".to_owned()));
        assert_eq!(number(&reading, 1), Some("t2".to_owned()));
        assert_eq!(number(&reading, 3), Some("t3".to_owned()));
        assert!(read_echo(&echo(&["a", " b"], None), "a b").is_ok());
    }

    #[test]
    fn tokens_without_content_are_placed_by_their_neighbours() {
        let tokens = ["a", " \u{fffd}", "\u{fffd}", " b"];
        let reading = read_echo(&echo(&tokens, Some(&[0, 1, 3, 3])), "a \u{20ac} b").unwrap();
        assert_eq!(number(&reading, 5), Some("t3".to_owned()));
    }

    #[test]
    fn an_echo_that_is_not_the_prompt_is_refused() {
        for (tokens, offsets) in [
            (&["a", " c"][..], Some(&[0, 1][..])),
            (&["a"][..], Some(&[0][..])),
            (&[" generated"][..], Some(&[3][..])),
            (&["a", " b"][..], Some(&[0, 2][..])),
        ] {
            let found = read_echo(&echo(tokens, offsets), "a bb");
            assert_eq!(found.unwrap_err().fault, RespondentFault::Malformed, "{tokens:?}");
        }
    }

    #[test]
    fn prompt_log_probabilities_must_make_up_the_prompt() {
        let list = |text: &str| -> Vec<Option<Pairs<PromptEntry>>> { serde_json::from_str(text).unwrap() };
        let good = list(
            r#"[null, {"7": {"logprob": -3.0, "rank": 9, "decoded_token": " b"}, "2": {"logprob": -1.0, "rank": 1, "decoded_token": " z"}}]"#,
        );
        let reading = read_prompt(&good, Some(told(&[("n", -1.0)])), "a b").unwrap();
        assert_eq!(number(&reading, 1), Some(" b".to_owned()));
        assert_eq!(number(&reading, 3), Some("n".to_owned()));
        assert_eq!(read_prompt(&good, None, "a c").unwrap_err().fault, RespondentFault::Malformed);
        for absent in ["[]", "[null, null]", "[null, {}]", r#"[null, {"1": {"logprob": -1.0}}]"#] {
            let found = read_prompt(&list(absent), None, "a b");
            assert_eq!(found.unwrap_err().fault, RespondentFault::MissingLogProbability, "{absent}");
        }
    }
}
