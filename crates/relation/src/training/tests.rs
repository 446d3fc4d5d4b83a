//! Configurations: what is read, what is refused and with which words, what the integers stand for.

use super::*;
use crate::program::bounds::ProgramError;

const CONFIG: &str = r#"
format = "lorica-training/1"

[model]
layers = [64, 32, 10]

[loss]
kind = "cross-entropy"

[update]
kind = "sgd"
learning_rate = 0.1
momentum = 0.9

[batch]
size = 64
"#;

fn read(text: &str) -> Settings {
    TrainingConfig::from_toml(text).unwrap().settings().unwrap()
}

fn lora(more: &str) -> String {
    CONFIG.replace("kind = \"sgd\"", &format!("kind = \"lora\"\n{more}"))
}

fn message(text: &str) -> String {
    TrainingConfig::from_toml(text).unwrap_err().to_string()
}

#[test]
fn a_configuration_resolves_to_integers() {
    let settings = read(CONFIG);
    assert_eq!((settings.batch, settings.bias, settings.input_bits, settings.target_bits), (64, true, 6, 0));
    assert_eq!(settings.sample_width(), 74);
    let [first, last] = settings.layers.as_slice() else { panic!("two layers") };
    assert_eq!((first.input_bits, first.output_bits, first.weight_bits), (6, 8, 18));
    assert_eq!((last.input_bits, last.output_bits, last.weight_bits), (8, 10, 18));
    // 2^18 W by 2^8 A, less 16 bits.
    assert_eq!(last.forward, Rounding { plain: 1, adapter: 0, divisor: Divisor::to_nearest(16) });
    assert_eq!((first.gradient_bits, last.gradient_bits), (13, 11));
    let Loss::CrossEntropy { table, probability_bits, .. } = settings.loss else { panic!("softmax") };
    assert_eq!((table.fraction_bits, table.scale_bits, probability_bits), (10, 11, 11));
    assert!(first.backward.is_none() && last.backward.is_some());
}

#[test]
fn effective_values_are_near_the_wanted_ones() {
    let mut texts = vec![CONFIG.to_owned(), CONFIG.replace("cross-entropy", "mean-squared-error")];
    texts.push(lora("rank = 8\nalpha = 12"));
    texts.push(CONFIG.to_owned() + "[tolerance]\nbits = 4\n");
    for text in texts {
        let settings = read(&text);
        let effective = settings.effective();
        assert_eq!(effective.len(), if text.contains("lora") { 4 } else { 2 });
        for value in effective {
            let error = (value.learning_rate / 0.1 - 1.0).abs();
            let (limit, tolerance) =
                if text.contains("tolerance") { (0.001, 8.0..10.7) } else { (0.03, 0.5..0.6) };
            assert!(error < limit, "{text}: {value:?}");
            assert!(tolerance.contains(&value.tolerance_units), "{text}: {value:?}");
            assert!((value.momentum - 0.9).abs() < 1e-3, "{value:?}");
            assert_eq!(value.weight_decay, 0.0);
        }
    }
}

#[test]
fn every_setting_changes_the_digest() {
    let changes = [
        ("64, 32, 10", "64, 33, 10"),
        ("64, 32, 10]", "64, 32, 10]\nbias = false"),
        ("cross-entropy", "mean-squared-error"),
        ("rate = 0.1", "rate = 0.2"),
        ("momentum = 0.9", "momentum = 0.8"),
        ("momentum = 0.9", "momentum = 0.9\nweight_decay = 0.01"),
        ("size = 64", "size = 32"),
        ("size = 64", "size = 64\n[fixed_point]\ninput = 7"),
        ("size = 64", "size = 64\n[fixed_point]\ntarget = 3"),
        ("size = 64", "size = 64\n[fixed_point]\nprobability = 10"),
        ("size = 64", "size = 64\n[tolerance]\nbits = 1"),
        ("kind = \"sgd\"", "kind = \"lora\"\nrank = 2\nalpha = 2"),
        ("kind = \"sgd\"", "kind = \"lora\"\nrank = 2\nalpha = 4"),
        ("kind = \"sgd\"", "kind = \"lora\"\nrank = 2\nalpha = 2\nadapted = [0]"),
    ];
    let mut digests = vec![read(CONFIG).digest()];
    for (from, to) in changes {
        let text = CONFIG.replace(from, to);
        assert_ne!(text, CONFIG);
        digests.push(read(&text).digest());
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), changes.len() + 1);
}

/// A change of these bytes makes every proof of training invalid: it needs a new version.
#[test]
fn the_digest_is_frozen() {
    assert_eq!(read(CONFIG).digest().to_string(), FROZEN);
}

const FROZEN: &str = "8ce10a248605e2d930f211b6a5430ebcdb82cffc8d7bf35d25b0d2d86947f1c4";

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let with = |from: &str, to: &str| message(&CONFIG.replace(from, to));
    assert!(with("size = 64", "size = 64\nseed = 3").contains("unknown field `seed`, expected `size`"));
    assert!(with("layers = [64, 32, 10]", "").contains("missing field `layers`"));
    assert!(with("[loss]", "[loss").contains("TOML parse error at line 7"));
    assert!(with("rate = 0.1", "rate = \"fast\"").contains("expected f64"));
    assert_eq!(
        with("training/1", "training/2"),
        "format: expected lorica-training/1, found lorica-training/2"
    );
    assert_eq!(
        with("[64, 32, 10]", "[64]"),
        "model.layers: expected 2 to 33 widths, each from 1 to 65535, found [64]"
    );
    assert_eq!(with("size = 64", "size = 0"), "batch.size: expected 1 to 65536, found 0");
    assert_eq!(
        with("rate = 0.1", "rate = nan"),
        "update.learning_rate: expected a positive number, found NaN"
    );
    assert_eq!(
        with("momentum = 0.9", "momentum = 1.0"),
        "update.momentum: expected a number from 0 to below 1, found 1"
    );
    assert_eq!(
        with("momentum = 0.9", "rank = 4"),
        "update.rank: expected nothing, for update.kind = \"sgd\", found a value"
    );
    assert_eq!(
        message(&lora("rank = 65\nalpha = 1")),
        "update.rank: expected 1 to 64, for update.kind = \"lora\", found 65"
    );
    assert_eq!(
        message(&lora("rank = 4\nalpha = 8\nadapted = [1, 0]")),
        "update.adapted: expected layers from 0 to 1, ascending, found [1, 0]"
    );
    assert_eq!(with("10]", "1024]"), "model.layers: expected 2 to 63 outputs for cross-entropy, found 1024");
    let small = with("rate = 0.1", "rate = 0.00001");
    assert!(small.starts_with("update.learning_rate = 0.00001 cannot be stated for W1"), "{small}");
    let bits = CONFIG.to_owned() + "[fixed_point]\nweights = [20, 17]\n";
    assert_eq!(message(&bits), "fixed_point.weights, layer 0: expected 8 to 18, found 20");
}

#[test]
fn programs_are_valid_and_have_what_their_settings_ask_for() {
    let settings = read(&lora("rank = 8\nalpha = 16\nadapted = [1]"));
    let TrainingProgram { program, layout } = settings.program(32, 64).unwrap();
    let frozen: Vec<&str> =
        program.parameters.iter().filter(|p| p.moved_by.is_none()).map(|p| p.name.as_str()).collect();
    assert_eq!(frozen, ["W0", "W1"]);
    for (parameter, weights) in program.parameters.iter().zip(settings.weights()) {
        assert_eq!((&parameter.name, parameter.shape), (&weights.name, weights.shape));
        assert_eq!(parameter.moved_by.is_some(), weights.update.is_some());
    }
    assert_eq!(settings.weights().len(), program.parameters.len());
    assert_eq!((program.steps, program.steps_before), (32, 64));
    assert_eq!(program.carried().len(), 2, "momentum of both matrices");
    // Nothing below the adapted layer is trained.
    assert!(layout.layers[1].input_gradient.is_none());
    assert!(matches!(settings.program(0, 0), Err(ProgramError::Size { .. })));

    let TrainingProgram { program, layout } = read(CONFIG).program(1, 0).unwrap();
    let names: Vec<&str> = program.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["dW0", "Z0", "S0", "dW1", "Z1", "H1", "M", "E", "D", "P"]);
    assert!(layout.softmax.is_some());
}

#[test]
fn large_networks_have_programs() {
    for layers in ["[784, 1024, 256, 10]", "[2048, 4096, 512, 10]", "[16, 16, 16, 16, 16, 16, 16, 16, 3]"] {
        read(&CONFIG.replace("[64, 32, 10]", layers));
        read(&lora("rank = 8\nalpha = 16").replace("[64, 32, 10]", layers));
    }
}
