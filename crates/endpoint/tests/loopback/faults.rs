//! Every fault ends the run with its own name, or is a refusal; none becomes an answer.

use lorica_endpoint::{
    Endpoint, Interface,
    server::{Behaviour, Fault, Offers, PromptOffer},
};
use lorica_identity::{Answer, Challenge, RespondentError, RespondentFault};

use super::{challenge, challenges, config, connect, distributions, start, texts};
use lorica_identity::Respondent as _;

/// The ways to tell distributions.
fn ways() -> Vec<(Offers, Interface)> {
    vec![
        (Offers::default(), Interface::Completions),
        (Offers { prompt: PromptOffer::PromptLogProbabilities, ..Offers::default() }, Interface::Completions),
        (Offers { prompt: PromptOffer::None, ..Offers::default() }, Interface::Completions),
        (Offers { prompt: PromptOffer::None, lists: false, ..Offers::default() }, Interface::Completions),
        (Offers::default(), Interface::Chat),
    ]
}

/// A challenge that the fault strikes, among others that it does not.
fn struck() -> Vec<Challenge> {
    let mut all = challenges()[..2].to_vec();
    all.push(challenge(2, "one more of them"));
    all
}

/// What comes of a fault that strikes prompts with a zebra: the probe has none, so that the tier is found as it is.
fn with_fault(
    fault: Fault,
    (offers, interface): (Offers, Interface),
) -> Result<Vec<Answer>, RespondentError> {
    let behaviour =
        Behaviour::Fault { fault, containing: Some("zebra".to_owned()), times: None, after: None };
    let server = start(offers, vec![behaviour]);
    let mut settings = config(&server.url());
    settings.interface = interface;
    settings.largest_answer = 1 << 16;
    distributions(&mut Endpoint::connect(settings).unwrap(), &struck())
}

fn ends_with(fault: Fault, expected: RespondentFault, text: &str) {
    for (place, way) in ways().into_iter().enumerate() {
        let error = with_fault(fault.clone(), way).unwrap_err();
        assert_eq!(error.fault, expected, "{place}: {error}");
        assert!(error.to_string().contains(text), "{place}: {error}");
        assert!(error.side.contains("toy at http://127.0.0.1:"), "{}", error.side);
    }
}

#[test]
fn absent_log_probabilities() {
    ends_with(Fault::MissingLogProbabilities, RespondentFault::MissingLogProbability, "missing");
}

#[test]
fn zeros() {
    ends_with(Fault::Zeros, RespondentFault::MissingLogProbability, "are 0");
}

#[test]
fn one_sentinel_among_others() {
    ends_with(Fault::Sentinel, RespondentFault::MissingLogProbability, "-9999");
}

#[test]
fn a_bare_nan() {
    ends_with(Fault::NotANumber, RespondentFault::NotAProbability, "NaN");
}

#[test]
fn null() {
    ends_with(Fault::Null, RespondentFault::NotAProbability, "null");
}

#[test]
fn above_one() {
    ends_with(Fault::Positive, RespondentFault::NotAProbability, "0.5");
}

#[test]
fn another_model() {
    ends_with(Fault::OtherModel, RespondentFault::ModelChanged, "\"toy-2\"");
}

#[test]
fn no_json() {
    ends_with(Fault::Garbage, RespondentFault::Malformed, "<html>");
}

#[test]
fn too_much() {
    ends_with(Fault::Large { bytes: 1 << 17 }, RespondentFault::Malformed, "at most 65536 bytes");
}

#[test]
fn a_connection_that_always_breaks() {
    ends_with(Fault::Close, RespondentFault::Unreachable, "3 of at most 3 attempts");
}

#[test]
fn an_error_of_the_server() {
    ends_with(Fault::Status { status: 500, retry_after: None }, RespondentFault::Malformed, "status 500");
}

#[test]
fn a_redirect_is_not_followed() {
    ends_with(Fault::Status { status: 307, retry_after: None }, RespondentFault::Malformed, "redirects");
}

#[test]
fn statuses_that_do_not_end() {
    for (status, expected) in [
        (429, RespondentFault::RateLimited),
        (503, RespondentFault::RateLimited),
        (502, RespondentFault::Unreachable),
        (504, RespondentFault::Timeout),
        (401, RespondentFault::Unauthorized),
        (403, RespondentFault::Unauthorized),
    ] {
        let way = (Offers::default(), Interface::Completions);
        let error = with_fault(Fault::Status { status, retry_after: None }, way).unwrap_err();
        assert_eq!(error.fault, expected, "{status}");
    }
}

#[test]
fn a_filter_is_a_refusal_of_one_prompt() {
    for fault in [Fault::Filter, Fault::FilterStatus] {
        for way in ways() {
            let answers = with_fault(fault.clone(), way).unwrap();
            let refused: Vec<bool> =
                answers.iter().map(|answer| matches!(answer, Answer::Refused(_))).collect();
            assert_eq!(refused, [false, true, false]);
            let Answer::Refused(reason) = &answers[1] else { panic!() };
            assert!(reason.contains("content") && reason.len() < 400, "{reason}");
        }
    }
}

#[test]
fn a_filter_strikes_texts_too() {
    let behaviour = Behaviour::Fault {
        fault: Fault::Filter,
        containing: Some("zebra".to_owned()),
        times: None,
        after: None,
    };
    let server = start(Offers::default(), vec![behaviour]);
    let answers = connect(&server).answer(texts(3, 2, 1.0), &struck(), &mut |_| {}).unwrap();
    assert!(matches!(&answers[1], Answer::Refused(_)));
    assert!(matches!(&answers[2], Answer::Texts(texts) if texts.len() == 3));
}

#[test]
fn the_error_of_the_first_challenge_is_told() {
    // Both fail; whichever worker is faster, the first one's name stands if it was answered at all.
    let fault = |fault, text: &str| Behaviour::Fault {
        fault,
        containing: Some(text.to_owned()),
        times: None,
        after: None,
    };
    let server = start(Offers::default(), vec![fault(Fault::Zeros, "zebra"), fault(Fault::Garbage, "more")]);
    let mut settings = config(&server.url());
    settings.parallel = std::num::NonZeroUsize::MIN;
    let error = distributions(&mut Endpoint::connect(settings).unwrap(), &struck()).unwrap_err();
    assert_eq!(error.fault, RespondentFault::MissingLogProbability);
}

#[test]
fn a_fault_can_wait_for_its_turn() {
    let fault = |after| {
        let fault = Fault::Zeros;
        Behaviour::Fault { fault, containing: Some("zebra".to_owned()), times: Some(1), after: Some(after) }
    };
    let server = start(Offers::default(), vec![fault(1)]);
    let mut settings = config(&server.url());
    settings.parallel = std::num::NonZeroUsize::MIN;
    let mut endpoint = Endpoint::connect(settings).unwrap();
    let zebra = super::challenge(0, "zebra");
    let mut ask = || distributions(&mut endpoint, std::slice::from_ref(&zebra));
    let first = ask().unwrap();
    assert_eq!(ask().unwrap_err().fault, RespondentFault::MissingLogProbability);
    assert_eq!(ask().unwrap(), first);
}
