//! Every tier says what the model says.

use lorica_endpoint::{
    Endpoint, Interface,
    server::{Engine as _, Offers, PromptOffer, ServerOptions},
};
use lorica_identity::{Answer, Question, Respondent as _, RespondentFault, Tier};

use super::{
    Toy, challenge, challenges, config, connect, distance, distributions, expected, start, start_with, texts,
};

/// Log-probabilities travel as decimal text: nothing is lost.
const EXACT: f64 = 1e-12;

fn says_what_the_model_says(offers: Offers, tier: Tier, details: &[(&str, &str)]) {
    let server = start(offers, vec![]);
    let mut endpoint = connect(&server);
    assert_eq!(endpoint.description().tier, tier, "{:?}", endpoint.description());
    for (name, start) in details {
        let found = &endpoint.description().details[*name];
        assert!(found.starts_with(start), "{name}: {found}");
    }
    assert_eq!(endpoint.top(), 8);
    let challenges = challenges();
    let answers = distributions(&mut endpoint, &challenges).unwrap();
    for (answer, challenge) in answers.iter().zip(&challenges) {
        let expected = expected(&Toy::promised(), challenge, 8);
        assert!(distance(answer, &expected) < EXACT, "{}", challenge.prompt);
    }
    assert_eq!(answers, distributions(&mut endpoint, &challenges).unwrap(), "the same again");
}

#[test]
fn prompt_log_probabilities_by_echo() {
    says_what_the_model_says(
        Offers::default(),
        Tier::PromptLogProbabilities,
        &[("prompt-log-probabilities", "echo"), ("model-named", "toy"), ("requests-per-challenge", "1, and")],
    );
}

#[test]
fn prompt_log_probabilities_by_their_own_name() {
    // The pieces of € cannot be placed in this form: that challenge is left out.
    let offers = Offers { prompt: PromptOffer::PromptLogProbabilities, ..Offers::default() };
    let server = start(offers, vec![]);
    let mut endpoint = connect(&server);
    assert_eq!(endpoint.description().tier, Tier::PromptLogProbabilities);
    let challenges = &challenges()[..2];
    let answers = distributions(&mut endpoint, challenges).unwrap();
    for (answer, challenge) in answers.iter().zip(challenges) {
        assert!(distance(answer, &expected(&Toy::promised(), challenge, 8)) < EXACT);
    }
}

#[test]
fn top_log_probabilities_with_prompts_in_a_list() {
    says_what_the_model_says(
        Offers { prompt: PromptOffer::None, ..Offers::default() },
        Tier::TopLogProbabilities,
        &[("prompts-in-a-list", "yes"), ("requests-per-challenge", "1")],
    );
}

#[test]
fn top_log_probabilities_one_by_one() {
    says_what_the_model_says(
        Offers { prompt: PromptOffer::None, lists: false, ..Offers::default() },
        Tier::TopLogProbabilities,
        &[("prompts-in-a-list", "no"), ("requests-per-challenge", "1 for each position")],
    );
}

#[test]
fn a_server_that_leaves_out_what_it_does_not_know() {
    says_what_the_model_says(
        Offers { prompt: PromptOffer::None, silent: true, ..Offers::default() },
        Tier::TopLogProbabilities,
        &[("prompt-log-probabilities", "echo is not used")],
    );
}

#[test]
fn chat_is_behind_a_template_and_says_so() {
    let server = start(Offers::default(), vec![]);
    let mut settings = config(&server.url());
    settings.interface = Interface::Chat;
    let mut endpoint = Endpoint::connect(settings).unwrap();
    assert_eq!(endpoint.description().tier, Tier::TopLogProbabilities);
    assert!(endpoint.is_chat());
    assert!(endpoint.description().details["chat-template"].contains("the same template"));
    let prompt = challenge(0, "the cat sat");
    let answers = distributions(&mut endpoint, std::slice::from_ref(&prompt)).unwrap();
    // Chat tells the bytes of tokens, and the model sees the message within the template.
    let expected: Vec<_> = prompt
        .prefixes()
        .map(|prefix| super::engine::cut(&Toy::promised().after(&format!("User: {prefix}\nAssistant:")), 8))
        .collect();
    assert!(distance(&answers[0], &expected) < EXACT);
}

#[test]
fn text_alone() {
    for (silent, several) in [(false, false), (false, true), (true, false), (true, true)] {
        let offers = Offers { top: 0, prompt: PromptOffer::None, silent, several, ..Offers::default() };
        let server = start(offers, vec![]);
        let mut endpoint = connect(&server);
        assert_eq!(endpoint.description().tier, Tier::TextOnly);
        assert_eq!(endpoint.top(), 0);
        let reason = &endpoint.description().details["log-probabilities"];
        assert!(reason.starts_with("not used"), "{reason}");
        let error = distributions(&mut endpoint, &challenges()).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unsupported);

        let answers = endpoint.answer(texts(6, 4, 1.0), &challenges(), &mut |_| {}).unwrap();
        for answer in &answers {
            let Answer::Texts(texts) = answer else { panic!("{answer:?}") };
            assert_eq!(texts.len(), 6);
            let mut distinct = texts.clone();
            distinct.sort();
            distinct.dedup();
            assert!(distinct.len() > 3, "independent samples: {texts:?}");
        }
        let again = endpoint.answer(texts(6, 4, 1.0), &challenges(), &mut |_| {}).unwrap();
        assert_eq!(answers, again, "seeds are the same in every run");
    }
}

#[test]
fn greedy_texts_are_alike_and_wrong_temperatures_refused() {
    let server = start(Offers::default(), vec![]);
    let mut endpoint = connect(&server);
    let answers = endpoint.answer(texts(3, 4, 0.0), &challenges()[..1], &mut |_| {}).unwrap();
    let Answer::Texts(found) = &answers[0] else { panic!() };
    assert!(found.iter().all(|text| *text == found[0] && !text.is_empty()), "{found:?}");
    for wrong in [-1.0, f64::NAN, f64::INFINITY] {
        let error = endpoint.answer(texts(3, 4, wrong), &challenges(), &mut |_| {}).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unsupported);
    }
}

#[test]
fn positions_inside_tokens_are_asked_by_themselves() {
    let server = start(Offers::default(), vec![]);
    let mut endpoint = connect(&server);
    // "the c|at sat": not a boundary of the toy's tokens.
    let mut inside = challenge(0, "the cat sat");
    inside.positions = vec![3, 5, 11];
    let answers = distributions(&mut endpoint, std::slice::from_ref(&inside)).unwrap();
    assert!(distance(&answers[0], &expected(&Toy::promised(), &inside, 8)) < EXACT);
}

#[test]
fn positions_that_are_none_cannot_be_asked() {
    let server = start(Offers::default(), vec![]);
    let mut endpoint = connect(&server);
    for positions in [vec![], vec![99], vec![0, 3], vec![1]] {
        let mut wrong = challenge(0, "é cat");
        wrong.positions = positions.clone();
        let error = distributions(&mut endpoint, &[wrong]).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unaskable, "{positions:?}");
    }
}

#[test]
fn a_prompt_beyond_the_context_cannot_be_asked() {
    let server = start(Offers::default(), vec![]);
    let long = challenge(3, "word ".repeat(100).trim_end());
    let error = distributions(&mut connect(&server), &[long]).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Unaskable);
    assert!(
        error.detail.contains("challenge 3") && error.detail.contains("maximum context length"),
        "{error}"
    );
}

#[test]
fn answers_come_in_order_and_are_counted() {
    let jitter = lorica_endpoint::server::Behaviour::Latency { milliseconds: 0, jitter: 8, seed: 3 };
    let server = start(Offers::default(), vec![jitter]);
    let mut endpoint = connect(&server);
    let many: Vec<_> = (0..20).map(|index| challenge(index, &format!("number {index} of twenty"))).collect();
    let mut counted = Vec::new();
    let answers = endpoint.answer(Question::Distributions, &many, &mut |count| counted.push(count)).unwrap();
    assert_eq!(counted, (1..=20).collect::<Vec<_>>());
    for (answer, challenge) in answers.iter().zip(&many) {
        assert!(distance(answer, &expected(&Toy::promised(), challenge, 8)) < EXACT);
    }
    assert_eq!(endpoint.answer(Question::Distributions, &[], &mut |_| {}).unwrap(), []);
}

#[test]
fn the_servers_refuse_what_is_not_local_or_not_possible() {
    use lorica_endpoint::server::{Behaviour, RouteBy, ServeError, serve};
    let try_with = |options| serve(std::sync::Arc::new(Toy::promised()), options).unwrap_err();
    let anywhere = ServerOptions { address: "0.0.0.0:0".parse().unwrap(), ..ServerOptions::default() };
    assert!(matches!(try_with(anywhere), ServeError::NotLoopback { .. }));
    for behaviour in [
        Behaviour::Route { share: 0.5, seed: 0, by: RouteBy::Request },
        Behaviour::Recognise { containing: vec![], log_probabilities: true },
        Behaviour::Temperature { factor: 0.0 },
        Behaviour::Truncate { words: 0 },
        Behaviour::RateLimit { requests: 1, seconds: 0 },
    ] {
        let name = behaviour.name();
        let options = ServerOptions { behaviours: vec![behaviour], ..ServerOptions::default() };
        assert!(matches!(try_with(options), ServeError::Behaviour(_)), "{name}");
    }
    let template = ServerOptions { template: "no place".to_owned(), ..ServerOptions::default() };
    assert!(matches!(try_with(template), ServeError::Template));
    let taken = start_with(ServerOptions::default());
    let again = ServerOptions { address: taken.address(), ..ServerOptions::default() };
    assert!(matches!(try_with(again), ServeError::Listen { .. }));
}

#[test]
fn an_echo_tells_where_its_tokens_begin() {
    let text = "the cat sat";
    let tokens = Toy::promised().tokenize(text).unwrap();
    let inner: Vec<usize> = tokens.iter().map(|(_, start)| *start).filter(|start| *start > 0).collect();
    assert!(!inner.is_empty());
    for (prompt, told) in [
        (PromptOffer::Echo, Some(inner.clone())),
        (PromptOffer::PromptLogProbabilities, Some(inner)),
        (PromptOffer::None, None),
    ] {
        let server = start(Offers { prompt, ..Offers::default() }, vec![]);
        assert_eq!(connect(&server).cut(text).unwrap(), told, "{prompt:?}");
    }
}
