//! Local models as respondents: what is told at a position, within a memory limit or without, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use lorica_examine::local::{LocalModel, LocalOptions, WeightType, peak_memory};
use lorica_identity::{
    Answer, Challenge, Distribution, Question, Respondent, RespondentError, RespondentFault, Tier, Token,
};
use lorica_model::{BaseModel, NoHook, TokenBatch, Tokenizer};
use serde_json::Value;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(name)
}

fn open(name: &str, options: LocalOptions) -> LocalModel {
    LocalModel::open(&shipped(name), options).unwrap()
}

fn challenge(index: u32, prompt: &str, positions: &[u32]) -> Challenge {
    Challenge { index, family: "general".into(), prompt: prompt.into(), positions: positions.to_vec() }
}

fn challenges() -> Vec<Challenge> {
    // The second is cut inside a word, where the tokens of the prefix are not those of the whole.
    vec![
        challenge(0, "The function returns zero on success.", &[12, 25, 37]),
        challenge(1, "international understanding", &[7, 18, 27]),
        challenge(2, "A caf\u{e9}", &[7]),
    ]
}

fn distributions(model: &mut LocalModel, challenges: &[Challenge]) -> Vec<Vec<Distribution>> {
    model
        .answer(Question::Distributions, challenges, &mut |_| ())
        .unwrap()
        .into_iter()
        .map(|answer| match answer {
            Answer::Distributions(distributions) => distributions,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn texts(samples: u32, temperature: f64) -> Question {
    let count = |number| NonZeroU32::new(number).unwrap();
    Question::Texts { samples: count(samples), tokens: count(12), temperature }
}

fn fault(result: Result<Vec<Answer>, RespondentError>) -> (RespondentFault, String) {
    let error = result.unwrap_err();
    (error.fault, error.to_string())
}

#[test]
fn each_position_is_told_as_its_prefix_alone_would_be() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        let reference = BaseModel::load(&shipped(name)).unwrap();
        let tokenizer = Tokenizer::load(&shipped(name)).unwrap();
        let mut model = open(name, LocalOptions::default());
        assert_eq!(model.description().tier, Tier::LocalWeights);
        let challenges = challenges();
        for (challenge, told) in challenges.iter().zip(distributions(&mut model, &challenges)) {
            assert_eq!(told.len(), challenge.positions.len());
            for (prefix, told) in challenge.prefixes().zip(told) {
                let tokens = tokenizer.encode(prefix).unwrap();
                let logits =
                    reference.last_logits(&TokenBatch::single(&tokens), None, &mut NoHook).unwrap().values;
                let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
                // Every token of the small vocabulary is there, under its content.
                assert_eq!(told.told().len(), 2048);
                assert!(told.remainder() < 1e-6);
                for (id, content) in model.vocabulary().iter().enumerate().step_by(97) {
                    let content = content.as_ref().unwrap();
                    let (_, found) = told.told().iter().find(|(token, _)| token == content).unwrap();
                    let expected = f64::from(logits[id]) - total.ln();
                    assert!((found - expected).abs() < 1e-4, "{name}, {prefix:?}, {content}");
                }
            }
        }
    }
}

#[test]
fn batches_threads_and_a_memory_limit_change_nothing_but_rounding() {
    if peak_memory().is_none() {
        return;
    }
    for name in ["tiny-gpt2", "tiny-llama"] {
        let expected = distributions(&mut open(name, LocalOptions::default()), &challenges());
        let limited = LocalOptions { max_memory: Some(600 << 20), ..LocalOptions::default() };
        for (options, streamed) in [
            (limited, true),
            (LocalOptions { batch: 1.try_into().unwrap(), ..LocalOptions::default() }, false),
            (LocalOptions { threads: Some(1.try_into().unwrap()), ..LocalOptions::default() }, false),
        ] {
            let mut model = open(name, options);
            assert_eq!(model.is_streamed(), streamed);
            let found = distributions(&mut model, &challenges());
            assert_eq!(model.last_pass().is_some(), streamed);
            for (found, expected) in found.concat().iter().zip(expected.concat()) {
                assert!(found.total_variation(&expected) < 1e-5, "{name}");
            }
        }
        let rounded = LocalOptions { weights: WeightType::RoundBf16, ..LocalOptions::default() };
        let rounded = distributions(&mut open(name, rounded), &challenges()).concat();
        let distance = rounded[0].total_variation(&expected[0][0]);
        assert!(distance > 1e-5 && distance < 0.1, "{name}: {distance}");
    }
}

#[test]
fn sampled_texts_follow_their_seed() {
    let ask = |seed, question| {
        let mut model = open("tiny-llama", LocalOptions { seed, ..LocalOptions::default() });
        model.answer(question, &challenges()[..1], &mut |_| ()).unwrap()
    };
    let (first, second) = (ask(1, texts(4, 1.0)), ask(2, texts(4, 1.0)));
    assert_eq!(first, ask(1, texts(4, 1.0)));
    assert_ne!(first, second);
    let [Answer::Texts(samples)] = first.as_slice() else { panic!("no texts") };
    assert_eq!(samples.len(), 4);
    assert_ne!(samples[0], samples[1]);

    let [Answer::Texts(greedy)] = &ask(1, texts(2, 0.0))[..] else { panic!("no texts") };
    assert_eq!(greedy[0], greedy[1]);
    let model = BaseModel::load(&shipped("tiny-llama")).unwrap();
    let tokenizer = Tokenizer::load(&shipped("tiny-llama")).unwrap();
    let prompt = tokenizer.encode(&challenges()[0].prompt).unwrap();
    let generated = model.generate(&prompt, 12, &mut NoHook, &mut |_| ()).unwrap().tokens;
    let ends = &model.config().end_of_text;
    let generated: Vec<u32> = generated.into_iter().take_while(|token| !ends.contains(token)).collect();
    assert_eq!(greedy[0], tokenizer.decode(&generated).unwrap());
}

#[test]
fn contents_of_tokens_make_the_text() {
    let model = open("tiny-llama", LocalOptions::default());
    let text = "Zero,\n\tcaf\u{e9} \u{1f980} <|endoftext|>";
    let tokens = model.encode_content(text).unwrap();
    let joined: Vec<u8> = tokens.iter().flat_map(Token::bytes).copied().collect();
    assert_eq!(joined, text.as_bytes());
    assert!(tokens.contains(&Token::from("<|endoftext|>")));
}

#[test]
fn what_cannot_be_asked_is_refused_by_name() {
    let mut model = open("tiny-llama", LocalOptions::default());
    let mut refused =
        |question, challenge: Challenge| fault(model.answer(question, &[challenge], &mut |_| ()));
    let (kind, message) = refused(Question::Distributions, challenge(4, "A caf\u{e9}", &[6]));
    assert_eq!(kind, RespondentFault::Unaskable, "{message}");
    assert!(message.contains("challenge 4: position 6"), "{message}");
    let long = "word ".repeat(400);
    for question in [Question::Distributions, texts(1, 0.0)] {
        let (kind, message) = refused(question, challenge(5, &long, &[long.len() as u32]));
        assert_eq!(kind, RespondentFault::Unaskable, "{message}");
        assert!(message.contains("challenge 5") && message.contains("context"), "{message}");
    }
    let (kind, _) = refused(texts(1, f64::NAN), challenge(6, "A", &[1]));
    assert_eq!(kind, RespondentFault::Unsupported);

    if peak_memory().is_some() {
        let mut streamed =
            open("tiny-llama", LocalOptions { max_memory: Some(600 << 20), ..LocalOptions::default() });
        let (kind, message) = fault(streamed.answer(texts(1, 0.0), &challenges(), &mut |_| ()));
        assert_eq!(kind, RespondentFault::Unsupported);
        assert!(message.contains("do not fit into the memory allowed"), "{message}");
        let small = LocalOptions { max_memory: Some(1 << 20), ..LocalOptions::default() };
        let error = LocalModel::open(&shipped("tiny-llama"), small).err().unwrap();
        assert_eq!(error.fault, RespondentFault::Unusable);
        assert!(error.to_string().contains("are needed at least"), "{error}");
    }
}

#[test]
fn numbers_that_overflow_are_no_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(shipped("tiny-llama").join(file), folder.path().join(file)).unwrap();
    }
    // The output row of token 5 becomes the largest floats there are.
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let start = entries["lm_head.weight"]["data_offsets"][0].as_u64().unwrap() as usize + 8 + header;
    for number in bytes[start + 5 * 128 * 4..start + 6 * 128 * 4].chunks_exact_mut(4) {
        number.copy_from_slice(&f32::MAX.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
    let mut model = LocalModel::open(folder.path(), LocalOptions::default()).unwrap();
    for question in [Question::Distributions, texts(1, 1.0)] {
        let (kind, message) = fault(model.answer(question, &challenges(), &mut |_| ()));
        assert_eq!(kind, RespondentFault::NotAProbability, "{message}");
        assert!(message.contains("challenge 0"), "{message}");
    }
}
