//! A network learns handwritten digits in fixed point as well as in single precision, and every step has a witness.

mod common;

use common::Digits;
use lorica_relation::training::{TrainingConfig, WeightKind};
use lorica_train::{FixedTrainer, FloatTrainer, Score, Shuffled, initial_parameters};

const STEPS: usize = 200;
const CONFIG: &str = r#"
format = "lorica-training/1"

[model]
layers = [64, 32, 10]

[loss]
kind = "cross-entropy"

[update]
kind = "sgd"
learning_rate = 0.2
momentum = 0.9

[batch]
size = 64

[fixed_point]
input = 4   # pixels are sixteenths
"#;

/// Scores on the test rows: fixed point, then float.
fn train(text: &str) -> (Score, Score) {
    let config = TrainingConfig::from_toml(text).expect("a configuration");
    let settings = config.settings().expect("settings");
    let Digits { training, test } = Digits::load(settings.input_bits, settings.target_bits);
    let parameters = initial_parameters(&settings, 1);
    let mut float = FloatTrainer::new(&config, &settings, &parameters);
    let mut fixed = FixedTrainer::new(settings.clone(), parameters).expect("parameters that fit");
    let batches = Shuffled::new(training.len(), settings.batch, 2).expect("a batch");
    let batches = batches.steps(0, STEPS);
    // Chunks of several lengths, as a long run is proven.
    for chunk in batches.chunks(64) {
        let made = fixed.run(&training, chunk).expect("steps without overflow");
        assert_eq!(made.program.program.check(&made.witness), Ok(()));
    }
    for batch in &batches {
        float.step(&training, batch).expect("rows of the data set");
    }
    let fixed = Score::of(&settings, &test, &fixed.outputs(&test).expect("outputs"));
    let float = Score::of(&settings, &test, &float.outputs(&test));
    (fixed, float)
}

#[test]
fn two_hundred_steps_reach_ninety_five_percent_and_match_the_float_run() {
    let (fixed, float) = train(CONFIG);
    assert!(fixed.accuracy >= 0.95, "{fixed:?}");
    assert!((fixed.accuracy - float.accuracy).abs() <= 0.01, "{fixed:?} {float:?}");
    assert!((fixed.loss - float.loss).abs() <= 0.05, "{fixed:?} {float:?}");
}

/// Configurations besides the first one.
fn others() -> [String; 3] {
    let lora = "\"lora\"\nrank = 8\nalpha = 16";
    [
        CONFIG.replace("cross-entropy", "mean-squared-error"),
        CONFIG.replace("\"sgd\"", lora).replace("= 0.2", "= 0.03"),
        CONFIG.replace("momentum = 0.9", "weight_decay = 0.001"),
    ]
}

#[test]
fn other_losses_and_updates_follow_the_float_run() {
    for text in others() {
        let (fixed, float) = train(&text);
        assert!(fixed.accuracy >= 0.9, "{text}: {fixed:?}");
        // An image is 0.3 % here; the loss says more.
        assert!((fixed.loss - float.loss).abs() <= 0.04 * float.loss, "{text}: {fixed:?} {float:?}");
        assert!((fixed.accuracy - float.accuracy).abs() <= 0.02, "{text}: {fixed:?} {float:?}");
    }
}

/// The change of all weights after a few steps, beside that of the float run: a wrong factor or a missing term would show.
#[test]
fn steps_change_weights_as_in_the_float_run() {
    for text in others().iter().map(String::as_str).chain([CONFIG]) {
        let config = TrainingConfig::from_toml(text).expect("a configuration");
        let settings = config.settings().expect("settings");
        let Digits { training, .. } = Digits::load(settings.input_bits, settings.target_bits);
        let before = initial_parameters(&settings, 1);
        let mut float = FloatTrainer::new(&config, &settings, &before);
        let mut fixed = FixedTrainer::new(settings.clone(), before.clone()).expect("parameters that fit");
        let batches = Shuffled::new(training.len(), settings.batch, 2).expect("a batch").steps(0, 12);
        fixed.run(&training, &batches).expect("steps without overflow");
        for batch in &batches {
            float.step(&training, batch).expect("rows of the data set");
        }
        for (((weights, before), fixed), float) in
            settings.weights().iter().zip(&before).zip(fixed.parameters()).zip(float.weights())
        {
            let unit = f64::exp2(-f64::from(weights.bits));
            let (mut difference, mut size) = (0.0, 0.0);
            for ((before, fixed), float) in before.iter().zip(fixed.iter()).zip(float) {
                let before = f64::from(*before) * unit;
                difference += (f64::from(*fixed) * unit - f64::from(*float)).powi(2);
                size += (f64::from(*float) - before).powi(2);
            }
            let (difference, size) = (difference.sqrt(), size.sqrt());
            // LoRA's gradients are small at first, those of A in particular: rounding shows.
            let limit = match weights.kind {
                WeightKind::Weight => 0.03,
                WeightKind::Up => 0.1,
                WeightKind::Down => 0.2,
            };
            assert!(difference <= limit * size, "{text}\n{}: {difference} of {size}", weights.name);
        }
    }
}
