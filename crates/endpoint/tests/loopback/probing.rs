//! The tier is what the endpoint shows, not what it claims, against answers written by hand as other servers write them.

use std::{num::NonZeroU32, sync::Arc};

use lorica_endpoint::{
    Endpoint, Interface,
    server::{Behaviour, Engine, EngineError, Fault, Offers, PromptOffer, ReadToken, ServerOptions, serve},
};
use lorica_identity::{Distribution, Respondent as _, RespondentFault, Tier, Token};

use super::{MODEL, Toy, challenges, config, connect, distance, distributions, expected, start};

/// The toy, but its reading of a whole text is shifted by one token: what it says of each token is what it should have
/// said of the one before.
struct Shifted(Toy);

impl Engine for Shifted {
    fn model(&self) -> &str {
        MODEL
    }

    fn next(&self, prefixes: &[String]) -> Result<Vec<Distribution>, EngineError> {
        self.0.next(prefixes)
    }

    fn generate(
        &self,
        prompt: &str,
        tokens: u32,
        temperature: f64,
        seed: u64,
    ) -> Result<String, EngineError> {
        self.0.generate(prompt, tokens, temperature, seed)
    }

    fn tokenize(&self, text: &str) -> Result<Vec<(Token, usize)>, EngineError> {
        self.0.tokenize(text)
    }

    fn read(&self, text: &str) -> Result<Vec<ReadToken>, EngineError> {
        let mut read = self.0.read(text)?;
        for place in 1..read.len() {
            read[place].before =
                read.get(place + 1).and_then(|next| next.before.clone()).or(read[place].before.clone());
        }
        Ok(read)
    }
}

#[test]
fn prompt_log_probabilities_that_are_shifted_are_not_used() {
    for prompt in [PromptOffer::Echo, PromptOffer::PromptLogProbabilities] {
        let offers = Offers { prompt, ..Offers::default() };
        let server =
            serve(Arc::new(Shifted(Toy::promised())), ServerOptions { offers, ..ServerOptions::default() })
                .unwrap();
        let mut endpoint = connect(&server);
        assert_eq!(endpoint.description().tier, Tier::TopLogProbabilities);
        let reason = &endpoint.description().details["prompt-log-probabilities"];
        assert!(reason.contains("differs by"), "{reason}");
        let answers = distributions(&mut endpoint, &challenges()).unwrap();
        for (answer, challenge) in answers.iter().zip(&challenges()) {
            assert!(distance(answer, &expected(&Toy::promised(), challenge, 8)) < 1e-9);
        }
    }
}

#[test]
fn fewer_tokens_than_wanted_are_taken_and_told() {
    for (offered, wanted, found) in [(5, 40, 5), (20, 40, 20), (3, 3, 3), (20, 6, 6)] {
        let server = start(Offers { top: offered, ..Offers::default() }, vec![]);
        let mut settings = config(&server.url());
        settings.top = NonZeroU32::new(wanted).unwrap();
        let endpoint = Endpoint::connect(settings).unwrap();
        assert_eq!(endpoint.top(), found);
        let told = &endpoint.description().details["log-probabilities"];
        assert!(told.contains(&format!("{found} most probable")), "{told}");
    }
}

#[test]
fn stand_ins_for_numbers_make_a_weaker_tier_with_its_reason() {
    for (fault, reason) in [
        (Fault::Zeros, "are 0"),
        (Fault::Sentinel, "-9999"),
        (Fault::MissingLogProbabilities, "no log-probabilities"),
    ] {
        for interface in [Interface::Completions, Interface::Chat] {
            let fault = Behaviour::Fault { fault: fault.clone(), containing: None, times: None, after: None };
            let server = start(Offers::default(), vec![fault]);
            let mut settings = config(&server.url());
            settings.interface = interface;
            let endpoint = Endpoint::connect(settings).unwrap();
            assert_eq!(endpoint.description().tier, Tier::TextOnly);
            let told = &endpoint.description().details["log-probabilities"];
            assert!(told.starts_with("not used") && told.contains(reason), "{told}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_an_error_at_once() {
    for (fault, expected) in [
        (Fault::NotANumber, RespondentFault::NotAProbability),
        (Fault::Null, RespondentFault::NotAProbability),
        (Fault::Positive, RespondentFault::NotAProbability),
        (Fault::Garbage, RespondentFault::Malformed),
        (Fault::Close, RespondentFault::Unreachable),
        (Fault::Status { status: 500, retry_after: None }, RespondentFault::Malformed),
        (Fault::Status { status: 401, retry_after: None }, RespondentFault::Unauthorized),
        (Fault::FilterStatus, RespondentFault::Malformed),
    ] {
        let behaviour = Behaviour::Fault { fault: fault.clone(), containing: None, times: None, after: None };
        let server = start(Offers::default(), vec![behaviour]);
        let error = Endpoint::connect(config(&server.url())).unwrap_err();
        assert_eq!(error.fault, expected, "{fault:?}: {error}");
    }
}

#[test]
fn an_interface_that_is_not_there_is_an_error() {
    let server = start(Offers { chat: false, ..Offers::default() }, vec![]);
    let mut settings = config(&server.url());
    settings.interface = Interface::Chat;
    let error = Endpoint::connect(settings).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Malformed);
    assert!(error.detail.contains("not offered"), "{error}");
}
