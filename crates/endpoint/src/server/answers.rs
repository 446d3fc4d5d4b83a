//! Answers in the forms of the two interfaces.

use lorica_identity::{Distribution, Token};
use serde_json::{Map, Value, json};

use super::{
    behaviour::Fault,
    engine::{EngineError, ReadToken},
    request::{Asked, Kind},
    view::View,
};

/// Stands for a bare `NaN` until the answer is text: JSON values cannot hold one. No token can begin like it in a
/// number's place.
const NOT_A_NUMBER: &str = "\u{1}not a number";

/// What a token looks like in an answer: bytes that are no character become U+FFFD.
fn shown(token: &Token) -> String {
    String::from_utf8_lossy(token.bytes()).into_owned()
}

/// Writes distributions, with a fault or without.
struct Writer<'a> {
    top: usize,
    fault: Option<&'a Fault>,
}

impl Writer<'_> {
    /// The most probable tokens; the one that stands in the text is added where it is not among them.
    fn entries<'a>(&self, told: &'a Distribution, chosen: Option<&Token>) -> Vec<(&'a Token, Value)> {
        let all = told.told();
        let mut entries: Vec<&(Token, f64)> = all.iter().take(self.top).collect();
        if let Some(chosen) = chosen
            && !entries.iter().any(|(token, _)| token == chosen)
        {
            entries.extend(all.iter().find(|(token, _)| token == chosen));
        }
        let last = entries.len().saturating_sub(1);
        let number = |place: usize, number: f64| match self.fault {
            Some(Fault::Zeros) => json!(0.0),
            Some(Fault::Sentinel) if place == last => json!(-9999.0),
            Some(Fault::NotANumber) if place == 0 => json!(NOT_A_NUMBER),
            Some(Fault::Null) if place == 0 => Value::Null,
            Some(Fault::Positive) if place == 0 => json!(0.5),
            _ => json!(number),
        };
        entries
            .into_iter()
            .enumerate()
            .map(|(place, (token, found))| (token, number(place, *found)))
            .collect()
    }

    /// From token to log-probability. Tokens that look alike are one entry, that of the more probable.
    fn object(&self, told: &Distribution, chosen: Option<&Token>) -> Value {
        let mut object = Map::new();
        for (token, number) in self.entries(told, chosen) {
            object.entry(shown(token)).or_insert(number);
        }
        Value::Object(object)
    }

    /// The chat form.
    fn list(&self, told: &Distribution) -> Vec<Value> {
        let entry = |(token, number): (&Token, Value)| json!({ "token": shown(token), "logprob": number, "bytes": token.bytes() });
        self.entries(told, None).into_iter().map(entry).collect()
    }

    /// vLLM's form: by the token's number, the token of the text first. An engine has no numbers of tokens, so these
    /// are places: 0 for the token of the text, then by probability. Nothing where the token of the text is not told.
    fn numbered(&self, told: &Distribution, chosen: &Token) -> Value {
        let rank =
            |token: &Token| told.told().iter().position(|(other, _)| other == token).map(|place| place + 1);
        let mut entries = self.entries(told, Some(chosen));
        if !entries.iter().any(|(token, _)| *token == chosen) {
            return Value::Null;
        }
        entries.sort_by_key(|(token, _)| *token != chosen);
        let mut object = Map::new();
        for (place, (token, number)) in entries.into_iter().enumerate() {
            let value = json!({ "logprob": number, "rank": rank(token), "decoded_token": shown(token) });
            object.insert(place.to_string(), value);
        }
        Value::Object(object)
    }
}

fn log_probability(told: &Distribution, token: &Token) -> Value {
    told.told().iter().find(|(other, _)| other == token).map_or(Value::Null, |(_, number)| json!(number))
}

/// A continuation of one prompt.
struct Continuation {
    text: String,
    /// With the distribution that it was drawn from, where log-probabilities are told.
    told: Option<(Token, Distribution)>,
}

/// Answers a request; the text of a JSON body.
pub(super) fn answer(
    asked: &Asked,
    view: &View<'_>,
    (model, number): (&str, u64),
    fault: Option<&Fault>,
) -> Result<String, EngineError> {
    let told = match asked.top.or(asked.of_prompt) {
        Some(_) => view.next(&asked.prompts)?.into_iter().map(Some).collect(),
        None => vec![None; asked.prompts.len()],
    };
    let mut choices = Vec::new();
    for (prompt, told) in asked.prompts.iter().zip(&told) {
        // The same for all continuations of a prompt.
        let read = if asked.echo && asked.top.is_some() || asked.of_prompt.is_some() {
            Some(view.read(prompt)?)
        } else {
            None
        };
        for sample in 0..asked.several {
            let seed = asked.seed.unwrap_or(number).wrapping_mul(0x1_0001).wrapping_add(u64::from(sample));
            let continuation = continuation(asked, view, prompt, told.as_ref(), seed)?;
            let place = choices.len();
            choices.push(choice(asked, prompt, &continuation, read.as_deref(), (place, fault)));
        }
    }
    let named = if fault == Some(&Fault::OtherModel) { format!("{model}-2") } else { model.to_owned() };
    let object = match asked.kind {
        Kind::Completions => "text_completion",
        Kind::Chat => "chat.completion",
    };
    let body = json!({
        "id": format!("answer-{number}"),
        "object": object,
        "created": 0,
        "model": named,
        "choices": choices,
    });
    Ok(body.to_string().replace(&json!(NOT_A_NUMBER).to_string(), "NaN"))
}

fn continuation(
    asked: &Asked,
    view: &View<'_>,
    prompt: &str,
    told: Option<&Distribution>,
    seed: u64,
) -> Result<Continuation, EngineError> {
    match told {
        Some(told) if asked.temperature == 0.0 => {
            let token = told.top().cloned().unwrap_or_else(|| Token::from(""));
            Ok(Continuation { text: shown(&token), told: Some((token, told.clone())) })
        }
        _ => {
            let text = view.generate(prompt, asked.tokens, asked.temperature, seed)?;
            let told = told.map(|told| (Token::from(text.as_str()), told.clone()));
            Ok(Continuation { text, told })
        }
    }
}

fn choice(
    asked: &Asked,
    prompt: &str,
    continuation: &Continuation,
    read: Option<&[ReadToken]>,
    (place, fault): (usize, Option<&Fault>),
) -> Value {
    let filtered = fault == Some(&Fault::Filter);
    let text = if filtered { String::new() } else { continuation.text.clone() };
    let reason = if filtered { "content_filter" } else { "length" };
    let writer = Writer { top: asked.top.or(asked.of_prompt).unwrap_or(0), fault };
    let silent = filtered || fault == Some(&Fault::MissingLogProbabilities);
    let told = continuation.told.as_ref().filter(|_| !silent && asked.top.is_some());
    let mut choice = json!({ "index": place, "finish_reason": reason, "logprobs": null });
    match asked.kind {
        Kind::Chat => {
            choice["message"] = json!({ "role": "assistant", "content": text });
            if let Some((token, told)) = told {
                choice["logprobs"] = json!({ "content": [{
                    "token": shown(token),
                    "logprob": log_probability(told, token),
                    "bytes": token.bytes(),
                    "top_logprobs": writer.list(told),
                }] });
            }
        }
        Kind::Completions => {
            choice["text"] = json!(if asked.echo { format!("{prompt}{text}") } else { text });
            if let Some((token, told)) = told {
                let echoed = read.filter(|_| asked.echo).unwrap_or_default();
                choice["logprobs"] = classic(&writer, prompt, echoed, (token, told));
            }
        }
    }
    if let Some(read) = read.filter(|_| asked.of_prompt.is_some() && !silent) {
        let entries = read.iter().map(|token| match &token.before {
            Some(before) => writer.numbered(before, &token.token),
            None => Value::Null,
        });
        choice["prompt_logprobs"] = Value::Array(entries.collect());
    }
    choice
}

/// The parallel lists of completions.
fn classic(
    writer: &Writer<'_>,
    prompt: &str,
    echoed: &[ReadToken],
    (token, told): (&Token, &Distribution),
) -> Value {
    let offset = |bytes: usize| prompt.char_indices().take_while(|(index, _)| *index < bytes).count();
    let mut tokens = Vec::new();
    let mut offsets = Vec::new();
    let mut numbers = Vec::new();
    let mut tops = Vec::new();
    for read in echoed {
        tokens.push(shown(&read.token));
        offsets.push(offset(read.offset));
        numbers.push(read.before.as_ref().map_or(Value::Null, |before| log_probability(before, &read.token)));
        tops.push(
            read.before.as_ref().map_or(Value::Null, |before| writer.object(before, Some(&read.token))),
        );
    }
    tokens.push(shown(token));
    offsets.push(prompt.chars().count());
    numbers.push(log_probability(told, token));
    tops.push(writer.object(told, Some(token)));
    json!({ "tokens": tokens, "text_offset": offsets, "token_logprobs": numbers, "top_logprobs": tops })
}
