//! Training: the same logits as `lorica-model`, losses that fall, teachers that are imitated, the same run twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{BOTH, draft, rng, written};
use lorica_model::{BaseModel, NoHook, TokenBatch};
use lorica_zoo::{
    Draft, Shape, Text, ZooError,
    derive::layers::keep_layers,
    shape::{Gpt2Shape, LlamaShape},
    train::{Batch, Learned, Network, Objective, Tokens, Training, network, train},
};

fn tokens(draft: &Draft, text: Text) -> Tokens {
    let path = common::sources().texts.join(text.file());
    let text: String = std::fs::read_to_string(path).unwrap().chars().take(30_000).collect();
    Tokens::encode(&draft.tokenizer, &text).unwrap()
}

fn small(family: &str) -> Draft {
    let (vocabulary, context, hidden, layers, heads) = (2048, 64, 32, 2, 4);
    let shape = match family {
        "gpt2" => Shape::Gpt2(Gpt2Shape { vocabulary, context, hidden, layers, heads }),
        _ => {
            let (key_value_heads, inner) = (2, 64);
            Shape::Llama(LlamaShape { vocabulary, context, hidden, layers, heads, key_value_heads, inner })
        }
    };
    network::random(&shape, draft("tiny-gpt2").tokenizer, &mut rng())
}

fn learn(draft: &mut Draft, text: Text, training: Training) -> Learned {
    let tokens = tokens(draft, text);
    let network = Network::trainable(draft).unwrap();
    let learned =
        train(&network, &tokens, (training, &Objective::NextToken), &mut rng(), &mut |_, _| ()).unwrap();
    network.store(draft).unwrap();
    learned
}

/// One training at a time: candle's threads wait for each other by spinning, which two at once turn into a crawl.
fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The network that learns and the one that is asked must be the same function.
fn assert_same_logits(draft: &Draft) {
    let folder = written(draft);
    let model = BaseModel::load(folder.path()).unwrap();
    let sequences: [Vec<u32>; 2] = [0, 1].map(|s| (0..48).map(|i| (s * 911 + i * i * 37) % 2048).collect());
    let batch = TokenBatch::new(&[&sequences[0], &sequences[1]]).unwrap();
    let expected = model.forward(&batch, None, &mut NoHook).unwrap().values;
    let tokens = sequences.concat();
    let batch = Batch { sequences: 2, positions: 48, targets: tokens.clone(), tokens };
    let found: Vec<f32> =
        Network::frozen(draft).unwrap().logits(&batch).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 2e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

#[test]
fn logits_are_those_of_the_decoder_that_is_asked() {
    let _turn = turn();
    for name in BOTH {
        assert_same_logits(&draft(name));
    }
    for family in ["gpt2", "llama"] {
        let mut draft = small(family);
        assert_same_logits(&draft);
        learn(&mut draft, Text::Docs, Training { steps: 3, batch: 2, window: 32, rate: 1e-2 });
        assert_same_logits(&draft);
    }
}

#[test]
fn a_model_from_random_weights_learns() {
    let _turn = turn();
    for family in ["gpt2", "llama"] {
        let mut draft = small(family);
        let training = Training { steps: 60, batch: 4, window: 32, rate: 1e-2 };
        let Learned { before, after } = learn(&mut draft, Text::Docs, training);
        // ln 2048 = 7.62 is the loss of a model that knows nothing.
        assert!((before - 7.62).abs() < 0.2, "{family}: {before}");
        assert!(after < before - 1.0, "{family}: {before} -> {after}");
    }
}

#[test]
fn a_trained_model_learns_another_text() {
    let _turn = turn();
    for name in BOTH {
        let mut draft = draft(name);
        let training = Training { steps: 15, batch: 4, window: 32, rate: 2e-3 };
        let Learned { before, after } = learn(&mut draft, Text::Code, training);
        assert!(after < before - 0.3, "{name}: {before} -> {after}");
    }
}

#[test]
fn a_student_comes_nearer_to_its_teacher() {
    let _turn = turn();
    let whole = draft("tiny-llama");
    let mut student = whole.clone();
    keep_layers(&mut student, &[0, 3]).unwrap();
    let apart = |student: &Draft| common::distance(written(&whole).path(), written(student).path());
    let before = apart(&student);
    let teacher = Network::frozen(&whole).unwrap();
    let tokens = tokens(&student, Text::Docs);
    let network = Network::trainable(&student).unwrap();
    let training = Training { steps: 25, batch: 4, window: 32, rate: 2e-3 };
    train(&network, &tokens, (training, &Objective::Teacher(&teacher)), &mut rng(), &mut |_, _| ()).unwrap();
    network.store(&mut student).unwrap();
    let after = apart(&student);
    assert!(after < 0.8 * before, "{before} -> {after}");
}

#[test]
fn settings_and_texts_that_cannot_work_are_refused() {
    let _turn = turn();
    let draft = small("gpt2");
    let network = Network::trainable(&draft).unwrap();
    let good = Training { steps: 1, batch: 1, window: 16, rate: 1e-3 };
    let attempt = |tokens: &Tokens, training: Training| {
        train(&network, tokens, (training, &Objective::NextToken), &mut rng(), &mut |_, _| ())
    };
    let long = Tokens::new(&[1; 2000]);
    attempt(&long, good).unwrap();
    for bad in [
        Training { steps: 0, ..good },
        Training { batch: 0, ..good },
        Training { window: 0, ..good },
        Training { window: 65, ..good },
        Training { rate: f64::NAN, ..good },
        Training { rate: 0.0, ..good },
    ] {
        assert!(matches!(attempt(&long, bad), Err(ZooError::Setting { .. })), "{bad:?}");
    }
    assert!(matches!(attempt(&Tokens::new(&[1; 100]), good), Err(ZooError::TextTooShort { .. })));
    let wild = Training { steps: 30, rate: 1e30, ..good };
    assert!(matches!(attempt(&long, wild), Err(ZooError::Diverged { .. })));
}
