//! The mean distance of a candidate from a reference on many challenges, with its standard error: what the answer of
//! `lorica identify` is held against where nobody knows the truth beforehand.
//!
//! `measure_distance REFERENCE CANDIDATE CHALLENGES [NAME]`: REFERENCE is a model folder, CANDIDATE a folder or the
//! address of an endpoint that serves the model NAME. The challenges are drawn under a key that no run has. As in a run,
//! both sides are cut to as many most probable tokens as an endpoint tells. The output is JSON.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::{error::Error, path::Path};

use lorica_endpoint::{Endpoint, EndpointConfig};
use lorica_examine::side::Side;
use lorica_identity::{
    Answer, Bank, ChallengeKey, Distribution, Question, Respondent as _, Scored, score_challenge,
};
use serde_json::json;

/// Positions of each challenge at which distributions are compared.
const POSITIONS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, candidate, count, name @ ..] = arguments.as_slice() else {
        return Err("usage: measure_distance REFERENCE CANDIDATE CHALLENGES [NAME]".into());
    };
    let mut reference = Side::loaded(Path::new(reference), 0)?;
    let mut candidate = match (candidate.contains("://"), name) {
        (true, [name]) => Side::Endpoint(Box::new(Endpoint::connect(EndpointConfig::new(
            candidate.as_str(),
            name.as_str(),
        ))?)),
        (true, _) => return Err("which of the endpoint's models?".into()),
        (false, _) => Side::loaded(Path::new(candidate), 0)?,
    };
    let challenges =
        Bank::standard()?.challenges(&ChallengeKey::new([9; 32]), "measure", 0..count.parse()?, POSITIONS)?;
    let question = Question::Distributions;
    let ours = reference.answer(question, &challenges, &mut |_| ())?;
    let theirs = candidate.answer(question, &challenges, &mut |_| ())?;
    let top = candidate.top();
    let mut scores = Vec::new();
    for (challenge, (ours, theirs)) in challenges.iter().zip(ours.iter().zip(&theirs)) {
        let ours = cut(ours, top)?;
        let Scored::Value(score) = score_challenge(&question, challenge, &ours, &cut(theirs, top)?)? else {
            return Err(format!("challenge {} was declined", challenge.index).into());
        };
        scores.push(score);
    }
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let output = json!({
        "challenges": scores.len(),
        "top": top,
        "mean": mean,
        "standard_error": (variance / n).sqrt(),
        "largest": scores.iter().copied().fold(0.0, f64::max),
        "above_one_half": scores.iter().filter(|score| **score > 0.5).count(),
    });
    println!("{output}");
    Ok(())
}

/// The most probable tokens alone, the rest as one.
fn cut(answer: &Answer, top: Option<usize>) -> Result<Answer, Box<dyn Error>> {
    let (Some(top), Answer::Distributions(told)) = (top, answer) else { return Ok(answer.clone()) };
    let cut = told.iter().map(|whole| Distribution::new(whole.told().iter().take(top).cloned().collect()));
    Ok(Answer::Distributions(cut.collect::<Result<_, _>>()?))
}
