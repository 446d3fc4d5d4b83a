//! The client against real servers on loopback: every tier, every behaviour, every fault.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod behaviours;
mod engine;
mod faults;
mod keys;
mod probing;
mod tiers;
mod transport;

use std::{num::NonZeroU32, num::NonZeroUsize, sync::Arc, time::Duration};

use engine::Toy;
use lorica_endpoint::{
    Endpoint, EndpointConfig, Retries,
    server::{Behaviour, Offers, ServerHandle, ServerOptions, serve},
};
use lorica_identity::{Answer, Challenge, Distribution, Question, Respondent as _, RespondentError};

/// The model's name.
const MODEL: &str = "toy";

fn number(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

/// Settings that are quick about retries and slow about giving up.
fn config(url: &str) -> EndpointConfig {
    let mut config = EndpointConfig::new(url, MODEL);
    config.retries = Retries {
        attempts: number(3),
        total: Duration::from_secs(60),
        backoff: Duration::from_millis(1),
        longest_pause: Duration::from_millis(4),
    };
    config.top = number(8);
    config.parallel = NonZeroUsize::new(3).unwrap();
    config
}

fn start(offers: Offers, behaviours: Vec<Behaviour>) -> ServerHandle {
    start_with(ServerOptions {
        offers,
        behaviours,
        other: Some(Arc::new(Toy::other())),
        ..ServerOptions::default()
    })
}

fn start_with(options: ServerOptions) -> ServerHandle {
    serve(Arc::new(Toy::promised()), options).unwrap()
}

fn connect(server: &ServerHandle) -> Endpoint {
    Endpoint::connect(config(&server.url())).unwrap()
}

/// A challenge with a position at each of its spaces and at its end.
fn challenge(index: u32, prompt: &str) -> Challenge {
    let spaces = prompt.match_indices(' ').map(|(place, _)| u32::try_from(place).unwrap());
    let positions = spaces.chain([u32::try_from(prompt.len()).unwrap()]).collect();
    Challenge { index, family: "general".to_owned(), prompt: prompt.to_owned(), positions }
}

fn challenges() -> Vec<Challenge> {
    let prompts =
        ["the cat sat on the mat", "zebra crossings are quick and safe", "naïve café prices rise €5 a day"];
    (0..).zip(prompts).map(|(index, prompt)| challenge(index, prompt)).collect()
}

fn distributions(endpoint: &mut Endpoint, challenges: &[Challenge]) -> Result<Vec<Answer>, RespondentError> {
    endpoint.answer(Question::Distributions, challenges, &mut |_| {})
}

fn texts(samples: u32, tokens: u32, temperature: f64) -> Question {
    Question::Texts { samples: number(samples), tokens: number(tokens), temperature }
}

/// What the toy says itself, cut to the number of tokens that an endpoint tells.
fn expected(toy: &Toy, challenge: &Challenge, top: usize) -> Vec<Distribution> {
    challenge.prefixes().map(|prefix| engine::cut(&toy.after(prefix), top)).collect()
}

/// The largest total variation between two answers.
fn distance(found: &Answer, expected: &[Distribution]) -> f64 {
    let Answer::Distributions(found) = found else { panic!("{found:?}") };
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| a.total_variation(b)).fold(0.0, f64::max)
}
