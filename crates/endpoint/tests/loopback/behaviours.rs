//! Behaviours do what their names say, seen through the client.

use std::sync::Arc;

use lorica_endpoint::{
    Endpoint,
    server::{Behaviour, Offers, PromptOffer, RouteBy, ServerOptions, serve},
};
use lorica_identity::{Answer, Challenge, Distribution, Respondent as _};

use super::{
    MODEL, Toy, challenge, challenges, config, connect, distance, distributions, expected, start, texts,
};

/// Far below what tells the two toys apart, far above rounding.
const ALIKE: f64 = 1e-9;

fn many(count: u32) -> Vec<Challenge> {
    (0..count).map(|index| challenge(index, &format!("prompt number {index} asks"))).collect()
}

/// For each challenge: whether the answer is the promised model's, or the other's.
fn by_promised(endpoint: &mut Endpoint, challenges: &[Challenge]) -> Vec<bool> {
    let answers = distributions(endpoint, challenges).unwrap();
    let sides = answers.iter().zip(challenges).map(|(answer, challenge)| {
        let promised = distance(answer, &expected(&Toy::promised(), challenge, 8)) < ALIKE;
        let other = distance(answer, &expected(&Toy::other(), challenge, 8)) < ALIKE;
        assert!(promised != other, "neither one nor the other: {}", challenge.prompt);
        promised
    });
    sides.collect()
}

#[test]
fn every_behaviour_is_plain_json() {
    let all = vec![
        Behaviour::Paraphrase,
        Behaviour::Truncate { words: 3 },
        Behaviour::Temperature { factor: 1.5 },
        Behaviour::Route { share: 0.1, seed: 7, by: RouteBy::Prompt },
        Behaviour::Cache { capacity: 10 },
    ];
    let text = serde_json::to_string(&all).unwrap();
    assert!(text.contains(r#"{"route":{"share":0.1,"seed":7,"by":"prompt"}}"#), "{text}");
    assert_eq!(serde_json::from_str::<Vec<Behaviour>>(&text).unwrap(), all);
    assert!(serde_json::from_str::<Behaviour>(r#"{"truncate":{"words":1,"letters":2}}"#).is_err());
}

#[test]
fn paraphrase_and_truncate_change_what_the_model_sees() {
    // The toy looks at the last two words: "the" becomes another word, and one word alone is another prefix.
    for behaviour in [Behaviour::Paraphrase, Behaviour::Truncate { words: 1 }] {
        for prompt in [PromptOffer::Echo, PromptOffer::None] {
            let name = behaviour.name();
            let server = start(Offers { prompt, ..Offers::default() }, vec![behaviour.clone()]);
            let mut endpoint = connect(&server);
            let asked = challenge(0, "on the mat and the");
            let answers = distributions(&mut endpoint, std::slice::from_ref(&asked)).unwrap();
            let found = distance(&answers[0], &expected(&Toy::promised(), &asked, 8));
            assert!(found > 0.05, "{name}: {found}");
        }
    }
}

#[test]
fn truncation_beyond_the_prompt_changes_nothing() {
    let server = start(Offers::default(), vec![Behaviour::Truncate { words: 100 }]);
    assert!(by_promised(&mut connect(&server), &challenges()).iter().all(|promised| *promised));
}

/// The square roots of the probabilities, normalised.
fn flattened(whole: &Distribution) -> Distribution {
    let sum: f64 = whole.told().iter().map(|(_, number)| (number / 2.0).exp()).sum();
    let told = whole.told().iter().map(|(token, number)| (token.clone(), number / 2.0 - sum.ln()));
    Distribution::new(told.collect()).unwrap()
}

#[test]
fn a_temperature_flattens_every_distribution() {
    let server = start(Offers::default(), vec![Behaviour::Temperature { factor: 2.0 }]);
    let mut endpoint = connect(&server);
    for challenge in &challenges() {
        let answers = distributions(&mut endpoint, std::slice::from_ref(challenge)).unwrap();
        let expected: Vec<_> = challenge
            .prefixes()
            .map(|prefix| super::engine::cut(&flattened(&Toy::promised().after(prefix)), 8))
            .collect();
        assert!(distance(&answers[0], &expected) < ALIKE);
        assert!(distance(&answers[0], &super::expected(&Toy::promised(), challenge, 8)) > 0.1);
    }
}

#[test]
fn latency_changes_no_answer() {
    let server = start(Offers::default(), vec![Behaviour::Latency { milliseconds: 2, jitter: 5, seed: 1 }]);
    assert!(by_promised(&mut connect(&server), &challenges()).iter().all(|promised| *promised));
}

#[test]
fn a_cache_gives_one_text_for_a_prompt() {
    for several in [true, false] {
        let server =
            start(Offers { several, ..Offers::default() }, vec![Behaviour::Cache { capacity: 1000 }]);
        let mut endpoint = connect(&server);
        let answers = endpoint.answer(texts(5, 4, 1.0), &challenges(), &mut |_| {}).unwrap();
        for answer in &answers {
            let Answer::Texts(found) = answer else { panic!() };
            assert!(found.iter().all(|text| *text == found[0]), "{found:?}");
        }
        assert!(by_promised(&mut endpoint, &challenges()).iter().all(|promised| *promised));
    }
}

#[test]
fn a_cache_remembers_the_model_that_answered_first() {
    let route = Behaviour::Route { share: 0.5, seed: 5, by: RouteBy::Request };
    let offers = Offers { prompt: PromptOffer::None, ..Offers::default() };
    let server = start(offers, vec![Behaviour::Cache { capacity: 1000 }, route]);
    // One request at a time: its number decides.
    let mut settings = config(&server.url());
    settings.parallel = std::num::NonZeroUsize::MIN;
    let mut endpoint = Endpoint::connect(settings).unwrap();
    // The end of each alone: shorter prefixes are common to all.
    let mut many = many(12);
    for challenge in &mut many {
        challenge.positions.drain(..challenge.positions.len() - 1);
    }
    let first = by_promised(&mut endpoint, &many);
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    assert_eq!(first, by_promised(&mut endpoint, &many));
}

#[test]
fn a_rate_limit_is_waited_for() {
    let server = start(Offers::default(), vec![Behaviour::RateLimit { requests: 6, seconds: 1 }]);
    // Without the wait that the server asks for, three attempts a few milliseconds apart would be over.
    let mut settings = config(&server.url());
    settings.parallel = std::num::NonZeroUsize::MIN;
    let mut endpoint = Endpoint::connect(settings).unwrap();
    assert!(by_promised(&mut endpoint, &many(8)).iter().all(|promised| *promised));
}

#[test]
fn a_share_of_the_requests_goes_to_the_other_model() {
    let offers = Offers { prompt: PromptOffer::None, ..Offers::default() };
    for (share, range) in [(0.0, 0..=0), (0.1, 1..=25), (0.5, 30..=70), (1.0, 100..=100)] {
        let server = start(offers, vec![Behaviour::Route { share, seed: 11, by: RouteBy::Request }]);
        let mut settings = config(&server.url());
        settings.parallel = std::num::NonZeroUsize::MIN;
        let mut endpoint = Endpoint::connect(settings).unwrap();
        let found = by_promised(&mut endpoint, &many(100));
        let other = found.iter().filter(|promised| !**promised).count();
        assert!(range.contains(&other), "{share}: {other} of 100");
    }
}

#[test]
fn a_route_by_prompt_is_always_the_same() {
    let offers = Offers { prompt: PromptOffer::None, ..Offers::default() };
    let server = start(offers, vec![Behaviour::Route { share: 0.5, seed: 2, by: RouteBy::Prompt }]);
    let mut endpoint = connect(&server);
    let many = many(40);
    let first = by_promised(&mut endpoint, &many);
    assert!(first.contains(&true) && first.contains(&false));
    assert_eq!(first, by_promised(&mut endpoint, &many));
}

#[test]
fn a_recogniser_answers_challenges_with_the_promised_model_alone() {
    let recognise = Behaviour::Recognise { containing: vec!["zebra".to_owned()], log_probabilities: false };
    let server = start(Offers::default(), vec![recognise]);
    let mut endpoint = connect(&server);
    let found = by_promised(&mut endpoint, &[challenges()[0].clone()]);
    assert_eq!(found, [false]);
    // With the whole prompt in one request, its text is seen.
    assert_eq!(by_promised(&mut endpoint, &[challenges()[1].clone()]), [true]);

    let by_form = Behaviour::Recognise { containing: vec![], log_probabilities: true };
    let server = start(Offers::default(), vec![by_form]);
    let honest = start(Offers::default(), vec![]);
    let (mut cheat, mut honest) = (connect(&server), connect(&honest));
    assert!(by_promised(&mut cheat, &challenges()).iter().all(|promised| *promised));
    let question = texts(4, 6, 1.0);
    assert_ne!(
        cheat.answer(question, &challenges(), &mut |_| {}).unwrap(),
        honest.answer(question, &challenges(), &mut |_| {}).unwrap(),
        "what is not recognised comes from the other model"
    );
}

#[test]
fn a_cheat_names_the_promised_model() {
    struct Named;
    impl lorica_endpoint::server::Engine for Named {
        fn model(&self) -> &str {
            "cheap"
        }
        fn next(
            &self,
            prefixes: &[String],
        ) -> Result<Vec<lorica_identity::Distribution>, lorica_endpoint::server::EngineError> {
            Toy::other().next(prefixes)
        }
        fn generate(
            &self,
            prompt: &str,
            tokens: u32,
            temperature: f64,
            seed: u64,
        ) -> Result<String, lorica_endpoint::server::EngineError> {
            Toy::other().generate(prompt, tokens, temperature, seed)
        }
        fn tokenize(
            &self,
            text: &str,
        ) -> Result<Vec<(lorica_identity::Token, usize)>, lorica_endpoint::server::EngineError> {
            Toy::other().tokenize(text)
        }
    }
    let options = ServerOptions {
        behaviours: vec![Behaviour::Route { share: 1.0, seed: 0, by: RouteBy::Request }],
        other: Some(Arc::new(Named)),
        ..ServerOptions::default()
    };
    let server = serve(Arc::new(Toy::promised()), options).unwrap();
    let mut endpoint = connect(&server);
    assert_eq!(endpoint.description().details["model-named"], MODEL);
    assert_eq!(by_promised(&mut endpoint, &challenges()), [false, false, false]);
}

/// On an address of its own, so that no other test's server can take over the port. Only Linux has all of 127/8.
#[cfg(target_os = "linux")]
#[test]
fn a_server_that_stops_is_unreachable() {
    let address = "127.0.0.77:0".parse().unwrap();
    let server = super::start_with(ServerOptions { address, ..ServerOptions::default() });
    let mut endpoint = connect(&server);
    server.shutdown();
    let error = distributions(&mut endpoint, &challenges()).unwrap_err();
    assert_eq!(error.fault, lorica_identity::RespondentFault::Unreachable, "{error}");
}
