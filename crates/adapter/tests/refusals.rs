//! Every folder that is refused, with the words it is refused with.

// A helper that fails is a test that fails.
#![allow(clippy::unwrap_used)]

mod support;

use lorica_adapter::{Adapter, AdapterError, Refusal, inspect, quantize};
use proptest::prelude::*;
use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Draft, a_name, b_name, floats};

fn message(draft: &Draft) -> String {
    match Adapter::load(draft.write()) {
        Ok(_) => panic!("the folder was accepted: {}", draft.config),
        Err(error) => error.to_string(),
    }
}

/// Asserts that loading fails with this text, and that inspection lists it as a reason without failing.
fn assert_unsupported(draft: &Draft, expected: &str) {
    let message = message(draft);
    assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    let inspection = inspect(draft.path()).unwrap();
    assert!(!inspection.supported);
    assert!(inspection.refusals.iter().any(|finding| finding.message.contains(expected)), "{inspection:?}");
}

/// Asserts that both loading and inspection fail with this text.
fn assert_malformed(draft: &Draft, expected: &str) {
    let message = message(draft);
    assert!(message.contains(expected), "expected {expected:?} in {message:?}");
    assert_eq!(inspect(draft.path()).unwrap_err().to_string(), message);
}

#[test]
fn settings_that_change_the_forward_pass_are_refused_by_name() {
    for (key, value, why) in [
        ("use_dora", json!(true), "DoRA rescales"),
        ("lora_bias", json!(true), "a bias is added"),
        ("bias", json!("all"), "biases of the base model"),
        ("bias", json!("lora_only"), "biases of the base model"),
        ("modules_to_save", json!(["lm_head"]), "whole modules were trained"),
        ("alora_invocation_tokens", json!([1, 2]), "aLoRA"),
        ("alora_invocation_string", json!("go"), "aLoRA"),
        ("use_qalora", json!(true), "QALoRA"),
        ("target_parameters", json!(["experts.w"]), "parameters that are not linear layers"),
        ("layer_replication", json!([[0, 2], [1, 3]]), "copies of the base model's layers"),
        ("trainable_token_indices", json!([5]), "rows of the embedding"),
        ("megatron_config", json!({"tensor_model_parallel_size": 2}), "Megatron"),
        ("use_bdlora", json!({"nblocks": 2}), "BD-LoRA"),
        ("arrow_config", json!({"top_k": 2}), "Arrow"),
        ("kasa_config", json!({"beta": 1}), "KaSA"),
        ("monteclora_config", json!({"samples": 8}), "MonteCLoRA"),
        ("ensure_weight_tying", json!(true), "ties adapted weights"),
    ] {
        let expected = format!("setting {key} = {value} is not supported: ");
        let draft = Draft::new().set(key, value);
        assert_unsupported(&draft, &expected);
        assert!(message(&draft).contains(why), "{key}");
    }
}

#[test]
fn settings_that_are_off_or_harmless_change_nothing() {
    let plain = Adapter::load(Draft::new().write()).unwrap();
    for (key, value) in [
        ("use_dora", json!(false)),
        ("use_dora", Value::Null),
        ("modules_to_save", json!([])),
        ("megatron_config", json!({})),
        ("layer_replication", Value::Null),
        ("a_setting_of_next_year", Value::Null),
        ("another", json!(false)),
        ("and_another", json!("")),
        ("fan_in_fan_out", json!(true)),
        ("lora_dropout", json!(0.05)),
        ("qalora_group_size", json!(16)),
        ("megatron_core", json!("megatron.core")),
        ("eva_config", json!({"rho": 2.0})),
        ("corda_config", json!({"corda_method": "kpm"})),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("init_lora_weights", json!("gaussian")),
        ("rank_pattern", Value::Null),
    ] {
        let draft = Draft::new().set(key, value.clone());
        assert_eq!(Adapter::load(draft.write()).unwrap(), plain, "{key} = {value}");
    }
}

#[test]
fn an_unknown_setting_that_is_on_is_refused_by_name() {
    for value in [json!(true), json!(0), json!("x"), json!({"a": 1})] {
        let expected = format!("setting a_setting_of_next_year = {value} is unknown and could change");
        assert_unsupported(&Draft::new().set("a_setting_of_next_year", value), &expected);
    }
    let long = Draft::new().set("huge", json!("x".repeat(10_000)));
    assert!(message(&long).len() < 1000);
}

#[test]
fn other_kinds_of_adapter_are_refused_by_name() {
    for kind in ["IA3", "ADALORA", "LOHA", "PROMPT_TUNING", "lora"] {
        let mut draft = Draft::new().set("peft_type", json!(kind));
        // They have neither a rank nor lora_A tensors.
        draft.config.as_object_mut().unwrap().remove("r");
        assert_unsupported(&draft, &format!("peft_type is {kind}: only LORA is supported"));
    }
}

#[test]
fn initialisation_that_changes_the_base_is_noted() {
    for method in ["pissa", "pissa_niter_16", "olora", "corda", "loftq"] {
        let draft = Draft::new().set("init_lora_weights", json!(method));
        let inspection = inspect(draft.write()).unwrap();
        assert!(inspection.supported);
        assert!(inspection.notes[0].contains("training began by changing the base weights"), "{method}");
    }
}

#[test]
fn foreign_tensors_are_refused_by_name() {
    for (tensor, why) in [
        ("base_model.model.layers.0.q.lora_magnitude_vector", "the magnitudes of DoRA"),
        ("base_model.model.layers.0.q.lora_magnitude_vector.weight", "the magnitudes of DoRA"),
        ("base_model.model.layers.0.q.lora_B.bias", "a bias added to the output of lora_B"),
        ("base_model.model.wte.lora_embedding_A", "it adapts an embedding"),
        ("base_model.model.wte.lora_embedding_B", "it adapts an embedding"),
        ("base_model.model.lm_head.weight", "a whole tensor of the base model"),
        ("base_model.model.layers.0.q.bias", "a whole tensor of the base model"),
        ("base_model.model.layers.0.q.lora_E", "singular values of AdaLoRA"),
        ("base_model.model.layers.0.q.lora_A.default.weight", "expected base_model.model.<module>.lora_A"),
        ("layers.0.q.lora_A.weight", "expected base_model.model.<module>.lora_A"),
        ("base_model.model.layers..q.lora_A.weight", "is not a module name"),
    ] {
        let mut draft = Draft::new();
        draft.tensor(tensor, &[2, 3], &floats(6, 0));
        assert_unsupported(&draft, &format!("tensor {tensor} is not supported: "));
        assert!(message(&draft).contains(why), "{tensor}: {}", message(&draft));
        let inspection = inspect(draft.path()).unwrap();
        assert_eq!((inspection.tensors.applied, inspection.tensors.unused), (4, vec![tensor.to_owned()]));
    }
}

#[test]
fn extra_embeddings_are_refused_and_a_second_pickle_is_noted() {
    let draft = Draft::new();
    std::fs::write(draft.path().join("new_embeddings.safetensors"), "").unwrap();
    assert_unsupported(&draft, "file new_embeddings.safetensors is not supported: it adds rows");
    let draft = Draft::new();
    std::fs::write(draft.path().join("adapter_model.bin"), "").unwrap();
    assert_eq!(inspect(draft.write()).unwrap().notes, ["adapter_model.bin is there too and was not read"]);
}

#[test]
fn modules_that_peft_would_drop_are_refused() {
    let expected = "module layers.1.v has weights but target_modules (q) does not name it";
    let mut draft = Draft::new();
    draft.module("layers.1.v", 3, 5, 2);
    assert_unsupported(&draft, expected);
    // "yq" ends like "q" but is another layer.
    let mut draft = Draft::new();
    draft.module("layers.1.yq", 3, 5, 2);
    assert_unsupported(&draft, "module layers.1.yq has weights but target_modules (q)");
    let expression = Draft::new().set("target_modules", json!(r".*\.0\.q"));
    assert_unsupported(&expression, r"module layers.1.q has weights but target_modules (.*\.0\.q)");
}

#[test]
fn all_ways_to_name_targets_are_understood() {
    for targets in [
        json!(["q"]),
        json!(["layers.0.q", "1.q"]),
        json!(["q", "q"]),
        json!(r"layers\.\d\.(q|v)"),
        json!(r".*(?<!v)q"),
        json!("all-linear"),
        Value::Null,
    ] {
        let draft = Draft::new().set("target_modules", targets.clone());
        let inspection = inspect(draft.write()).unwrap();
        assert!(inspection.supported && inspection.notes.is_empty(), "{targets}: {inspection:?}");
    }
}

#[test]
fn a_target_without_tensors_is_noted() {
    let draft = Draft::new().set("target_modules", json!(["q", "k_proj"]));
    let inspection = inspect(draft.write()).unwrap();
    assert!(inspection.supported);
    assert_eq!(inspection.notes, [r#"target_modules names "k_proj", which no tensor adapts"#]);
}

#[test]
fn every_reason_is_listed_not_only_the_first() {
    let mut draft = Draft::new().set("use_dora", json!(true)).set("modules_to_save", json!(["lm_head"]));
    draft.tensor("base_model.model.lm_head.weight", &[1], &[0.0]);
    draft.tensor("base_model.model.layers.0.q.lora_magnitude_vector", &[5], &floats(5, 0));
    draft.remove(&b_name("layers.1.q"));
    let inspection = inspect(draft.write()).unwrap();
    let json = serde_json::to_value(&inspection).unwrap();
    let kinds: Vec<_> =
        json["refusals"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["setting", "setting", "tensor", "tensor", "unpaired"]);
    assert_eq!(json["supported"], json!(false));
    assert_eq!(json["tensors"]["applied"], json!(2));
    assert_eq!(json["modules"][0]["name"], json!("layers.0.q"));
    assert_eq!(message(&draft).matches("\n- ").count(), 5);
}

#[test]
fn a_missing_half_is_named() {
    let mut draft = Draft::new();
    draft.remove(&b_name("layers.1.q"));
    assert_malformed(&draft, "module layers.1.q has lora_A.weight but no lora_B.weight");
    let mut draft = Draft::new();
    draft.remove(&a_name("layers.0.q"));
    assert_malformed(&draft, "module layers.0.q has lora_B.weight but no lora_A.weight");
}

#[test]
fn shapes_that_disagree_are_named() {
    let rank = "module layers.0.q: the configuration gives rank 2, lora_A is";
    let mut draft = Draft::new();
    draft.tensor(&a_name("layers.0.q"), &[4, 3], &floats(12, 0));
    assert_malformed(&draft, &format!("{rank} [4, 3] (rank x inputs) and lora_B is [5, 2] (outputs x rank)"));
    let mut draft = Draft::new();
    draft.tensor(&b_name("layers.0.q"), &[2, 5], &floats(10, 0));
    assert_malformed(&draft, &format!("{rank} [2, 3] (rank x inputs) and lora_B is [2, 5] (outputs x rank)"));
    let mut draft = Draft::new();
    draft.tensor(&a_name("layers.0.q"), &[0, 3], &[]);
    draft.tensor(&b_name("layers.0.q"), &[5, 0], &[]);
    assert_malformed(&draft, &format!("{rank} [0, 3]"));
    let mut draft = Draft::new();
    draft.tensor(&a_name("layers.0.q"), &[2, 3, 1, 1], &floats(6, 0));
    assert_malformed(
        &draft,
        "tensor base_model.model.layers.0.q.lora_A.weight: expected a matrix of rank x inputs, found shape [2, 3, 1, 1]",
    );
    let mut draft = Draft::new();
    draft.tensor(&b_name("layers.0.q"), &[10], &floats(10, 0));
    assert_malformed(&draft, "expected a matrix of outputs x rank, found shape [10]");
    let mut draft = Draft::new();
    draft.tensor(&a_name("layers.0.q"), &[2, 0], &[]);
    assert_malformed(&draft, "expected at least one input, found shape [2, 0]");
    let mut draft = Draft::new();
    draft.tensor(&b_name("layers.0.q"), &[0, 2], &[]);
    assert_malformed(&draft, "expected at least one output, found shape [0, 2]");
}

#[test]
fn rank_patterns_match_as_in_peft() {
    let load = |patterns: &str| {
        let mut draft = Draft::new();
        draft.tensor(&a_name("layers.1.q"), &[1, 3], &floats(3, 0));
        draft.tensor(&b_name("layers.1.q"), &[5, 1], &floats(5, 0));
        draft.write();
        // As text: the order of the keys matters, and serde_json's map would sort them.
        let config = format!(
            r#"{{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q"], {patterns}}}"#
        );
        std::fs::write(draft.path().join("adapter_config.json"), config).unwrap();
        Adapter::load(draft.path())
    };
    for key in ["1.q", "layers.1.q", "^layers.1.q", r"layers\\.1\\.q", "[1-9].q", "(?!0).\\\\.q"] {
        let adapter = load(&format!(r#""rank_pattern": {{"{key}": 1}}"#)).unwrap();
        assert_eq!(adapter.modules.iter().map(|m| m.rank).collect::<Vec<_>>(), [2, 1], "{key}");
        assert_eq!(adapter.modules[1].factor(), 4.0, "alpha 4 over rank 1");
    }
    // Neither a part of a name nor its front is a match.
    for key in [".q", "s.1.q", "layers.1", "^1.q"] {
        let error = load(&format!(r#""rank_pattern": {{"{key}": 1}}"#)).unwrap_err().to_string();
        assert!(error.contains("the configuration gives rank 2, lora_A is [1, 3]"), "{key}: {error}");
    }
    // The first key of the file that matches wins, whatever its place in the alphabet.
    let adapter =
        load(r#""rank_pattern": {"1.q": 1}, "alpha_pattern": {"z|1.q": 7, "1.q": 9, "q": 11}"#).unwrap();
    assert_eq!(adapter.modules.iter().map(|m| m.alpha).collect::<Vec<_>>(), [11.0, 7.0]);
    let error = load(r#""rank_pattern": {"(": 1}"#).unwrap_err().to_string();
    assert!(error.contains("field rank_pattern: key \"(\": "), "{error}");
}

#[test]
fn fractional_and_rank_stabilised_alphas_are_exact() {
    let draft = Draft::new().set("lora_alpha", json!(0.3));
    assert_eq!(Adapter::load(draft.write()).unwrap().modules[0].factor(), 0.3 / 2.0);
    let draft = draft.set("use_rslora", json!(true));
    assert_eq!(Adapter::load(draft.write()).unwrap().modules[0].factor(), 0.3 / 2f64.sqrt());
}

#[test]
fn wrong_fields_are_named() {
    for (key, value, expected) in [
        ("r", json!(0), "field r: expected a rank of at least 1, found 0"),
        ("r", json!(-1), "field r: invalid value: integer `-1`, expected usize"),
        ("r", json!("eight"), "field r: invalid type: string \"eight\", expected usize"),
        ("r", Value::Null, "field r is missing"),
        ("lora_alpha", Value::Null, "field lora_alpha is missing"),
        ("lora_alpha", json!([1]), "field lora_alpha: invalid type: sequence, expected f64"),
        ("use_rslora", json!("yes"), "field use_rslora: invalid type: string \"yes\", expected a boolean"),
        (
            "rank_pattern",
            json!({"q": 0}),
            "field rank_pattern, key \"q\": expected a rank of at least 1, found 0",
        ),
        ("rank_pattern", json!([1]), "field rank_pattern: invalid type: sequence, expected an object"),
        ("target_modules", json!("("), "field target_modules: "),
        ("target_modules", json!(3), "field target_modules: "),
        ("peft_type", Value::Null, "field peft_type is missing"),
    ] {
        let draft = Draft::new().set(key, value);
        assert_malformed(&draft, &format!("adapter_config.json: {expected}"));
    }
    let draft = Draft::new();
    draft.write();
    for text in ["", "[]", "{", "{\"r\": NaN}", "null"] {
        std::fs::write(draft.path().join("adapter_config.json"), text).unwrap();
        let message = inspect(draft.path()).unwrap_err().to_string();
        assert!(message.contains("adapter_config.json: not a JSON object: "), "{text}: {message}");
    }
}

#[test]
fn missing_files_are_named() {
    let draft = Draft::new();
    let message = |draft: &Draft| Adapter::load(draft.path()).unwrap_err().to_string();
    assert!(message(&draft).contains("is not a PEFT adapter folder: adapter_config.json is missing"));
    draft.write();
    let weights = draft.path().join("adapter_model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    assert!(message(&draft).contains("adapter_model.safetensors is missing; expected"));
    std::fs::write(draft.path().join("adapter_model.bin"), "PK").unwrap();
    let error = Adapter::load(draft.path()).unwrap_err();
    assert!(matches!(error, AdapterError::Pickle { .. }));
    assert!(error.to_string().contains("save_pretrained(..., safe_serialization=True)"), "{error}");
    std::fs::write(&weights, "PK").unwrap();
    assert!(message(&draft).contains("adapter_model.safetensors is not a valid safetensors file"));
    let nowhere = Adapter::load(&draft.path().join("nowhere")).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere is not a PEFT adapter folder"), "{nowhere}");
}

#[test]
fn weights_that_are_not_finite_or_no_floats_are_named() {
    let tensor = a_name("layers.1.q");
    let mut draft = Draft::new();
    let mut values = floats(6, 0);
    values[4] = f32::NAN;
    draft.tensor(&tensor, &[2, 3], &values);
    assert_malformed(&draft, "entry 4 is NaN, weights must be finite");
    assert!(message(&draft).starts_with(&format!("tensor {tensor} of ")));
    values[4] = f32::INFINITY;
    draft.tensor(&tensor, &[2, 3], &values);
    assert_malformed(&draft, "entry 4 is inf, weights must be finite");
    let mut draft = Draft::new();
    draft.remove(&tensor);
    draft.tensors.push((tensor, Dtype::I8, vec![2, 3], vec![0; 6]));
    assert_malformed(&draft, "expected type F32, F16 or BF16, found I8");
}

#[test]
fn a_folder_without_modules_is_refused() {
    let mut draft = Draft::new();
    draft.tensors.clear();
    assert_malformed(&draft, "the folder adapts no module");
}

#[test]
fn shapes_and_bits_without_an_exact_product_are_refused() {
    let adapter = Adapter::load(Draft::new().write()).unwrap();
    let message = quantize(&adapter, |_, _, _| None).unwrap_err().to_string();
    assert!(message.starts_with("module layers.0.q: 3 inputs, 5 outputs and rank 2 are outside the sizes"));
    let message = quantize(&adapter, |_, _, _| Some(17)).unwrap_err().to_string();
    assert_eq!(message, "matrix A of module layers.0.q: weight bits: expected 2 to 16, found 17");
    let message = adapter.modules[0].delta(&[0.0; 4]).unwrap_err().to_string();
    assert_eq!(message, "module layers.0.q reads rows of 3 values, 4 values do not make whole rows");
}

#[test]
fn private_values_are_not_printed() {
    let adapter = Adapter::load(Draft::new().write()).unwrap();
    assert_eq!(format!("{:?}", adapter.modules[0]), "LoraModule(layers.0.q, 3 -> 2 -> 5)");
    let quantized = format!("{:?}", quantize(&adapter, |_, _, _| Some(16)).unwrap());
    assert!(quantized.contains("Witness(2 private modules)"), "{quantized}");
}

#[test]
fn malformed_and_unsupported_are_told_apart() {
    assert!(Refusal::Empty.is_malformed());
    assert!(!Refusal::PeftType { found: "IA3".into() }.is_malformed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Damaged files are refused or read, never a panic.
    #[test]
    fn damaged_files_do_not_panic(at: prop::sample::Index, byte: u8, cut: bool, in_weights: bool) {
        let draft = Draft::new();
        draft.write();
        let file = if in_weights { "adapter_model.safetensors" } else { "adapter_config.json" };
        let path = draft.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        std::fs::write(&path, bytes).unwrap();
        if let Ok(adapter) = Adapter::load(draft.path()) {
            prop_assert!(quantize(&adapter, |_, _, _| Some(16)).is_ok());
            prop_assert!(inspect(draft.path()).unwrap().supported);
        }
    }
}
