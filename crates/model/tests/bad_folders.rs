//! Folders that are refused: each message names the file, what was found and expected, and what to do.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::{Draft, Stored, message, names, shard_name, shipped};
use lorica_model::{BaseModel, Tokenizer};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

fn refused(draft: &Draft) -> String {
    message(BaseModel::load(draft.path()))
}

/// The message after one change to the configuration.
fn with_field(name: &str, field: &str, value: Value) -> String {
    let mut draft = Draft::of(name);
    draft.config[field] = value;
    draft.write();
    refused(&draft)
}

#[test]
fn missing_files() {
    let nowhere = shipped("no-such-model");
    names(&message(BaseModel::load(&nowhere)), &["no-such-model", "found no folder", "config.json"]);

    let draft = Draft::of("tiny-gpt2");
    names(&refused(&draft), &["config.json", "No such file"]);
    draft.write_config();
    names(&refused(&draft), &["neither model.safetensors nor model.safetensors.index.json"]);
    std::fs::write(draft.path().join("pytorch_model.bin"), b"pickle").unwrap();
    names(&refused(&draft), &["only pytorch_model.bin", "convert it to safetensors", "save_pretrained"]);

    std::fs::remove_file(draft.path().join("tokenizer.json")).unwrap();
    names(&message(Tokenizer::load(draft.path())), &["tokenizer.json", "No such file"]);
    std::fs::write(draft.path().join("tokenizer.json"), b"{}").unwrap();
    names(&message(Tokenizer::load(draft.path())), &["tokenizer.json", "not a tokenizer"]);
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let draft = Draft::of("tiny-gpt2");
    draft.write();
    std::fs::write(draft.path().join("config.json"), b"{\"n_embd\": 1").unwrap();
    names(&refused(&draft), &["config.json is not valid", "line 1"]);
    std::fs::write(draft.path().join("config.json"), b"[]").unwrap();
    names(&refused(&draft), &["config.json is not valid"]);
    draft.write_config();
    std::fs::write(draft.path().join("model.safetensors"), b"not tensors").unwrap();
    names(&refused(&draft), &["model.safetensors is not a valid safetensors file"]);
}

#[test]
fn unknown_families() {
    names(
        &with_field("tiny-llama", "model_type", "mamba".into()),
        &["config.json", "model_type", "\"mamba\"", "supported: gpt2, llama"],
    );
    names(
        &with_field("tiny-llama", "model_type", Value::Null),
        &["model_type", "expected one of gpt2, llama", "found null"],
    );
}

#[test]
fn fields_that_make_no_sense() {
    for (model, field, value, parts) in [
        ("tiny-gpt2", "n_embd", Value::Null, ["a whole number", "found null"]),
        ("tiny-gpt2", "n_layer", json!(0), ["between 1 and", "found 0"]),
        ("tiny-gpt2", "n_head", json!(3), ["a divisor of n_embd = 128", "found 3"]),
        ("tiny-gpt2", "vocab_size", json!(1u64 << 40), ["between 1 and 16777216", "found 1099511627776"]),
        ("tiny-gpt2", "layer_norm_epsilon", json!(0.0), ["a number above 0", "found 0.0"]),
        ("tiny-gpt2", "tie_word_embeddings", json!("yes"), ["true or false", "found \"yes\""]),
        ("tiny-gpt2", "eos_token_id", json!(-1), ["a token id", "found -1"]),
        ("tiny-llama", "num_key_value_heads", json!(3), ["a divisor of num_attention_heads = 4", "found 3"]),
        ("tiny-llama", "head_dim", json!(31), ["an even number", "found 31"]),
        ("tiny-llama", "rope_theta", json!(5.0), ["the same value", "found 10000.0"]),
        ("tiny-llama", "rope_parameters", json!(7), ["an object", "found 7"]),
    ] {
        let message = with_field(model, field, value);
        names(&message, &["config.json", field]);
        names(&message, &parts);
    }
}

#[test]
fn fields_that_would_change_the_forward_pass() {
    for (model, field, value) in [
        ("tiny-gpt2", "scale_attn_by_inverse_layer_idx", json!(true)),
        ("tiny-gpt2", "reorder_and_upcast_attn", json!(true)),
        ("tiny-gpt2", "add_cross_attention", json!(true)),
        ("tiny-gpt2", "activation_function", json!("mish")),
        ("tiny-llama", "hidden_act", json!("relu2")),
        ("tiny-llama", "sliding_window", json!(4096)),
        ("tiny-llama", "use_sliding_window", json!(true)),
        ("tiny-llama", "attn_logit_softcapping", json!(50.0)),
        ("tiny-llama", "final_logit_softcapping", json!(30.0)),
        ("tiny-llama", "partial_rotary_factor", json!(0.5)),
        ("tiny-llama", "logits_scaling", json!(8.0)),
        ("tiny-llama", "num_local_experts", json!(8)),
        ("tiny-llama", "quantization_config", json!({ "bits": 4 })),
        ("tiny-llama", "layer_types", json!(["full_attention", "sliding_attention"])),
        ("tiny-llama", "layer_types", json!("full_attention")),
    ] {
        let message = with_field(model, field, value.clone());
        names(
            &message,
            &["config.json", field, "changes the forward pass", &value.to_string(), "supported: "],
        );
    }
}

#[test]
fn neutral_values_of_the_same_fields_are_accepted() {
    let mut draft = Draft::of("tiny-llama");
    for (field, value) in [
        ("sliding_window", Value::Null),
        ("use_sliding_window", json!(false)),
        ("partial_rotary_factor", json!(1)),
        ("layer_types", json!(["full_attention", "full_attention"])),
        ("rope_scaling", json!({ "type": "default" })),
    ] {
        draft.config[field] = value;
    }
    BaseModel::load(draft.write()).unwrap();
}

#[test]
fn rotary_scalings() {
    let yarn = json!({ "rope_type": "yarn", "factor": 8.0, "rope_theta": 500000.0 });
    names(
        &with_field("tiny-llama", "rope_parameters", yarn),
        &["rope_parameters.rope_type", "\"yarn\"", "default, llama3"],
    );
    let llama3 = |low: f64, high: f64| {
        json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": low, "high_freq_factor": high,
            "original_max_position_embeddings": 8192,
        })
    };
    names(
        &with_field("tiny-llama", "rope_scaling", llama3(4.0, 1.0)),
        &["rope_scaling.high_freq_factor", "more than low_freq_factor = 4", "found 1.0"],
    );
    names(
        &with_field("tiny-llama", "rope_scaling", llama3(1.0, 4.0)),
        &["rope_scaling", "the same scaling as in rope_parameters"],
    );
    let incomplete = json!({ "rope_type": "llama3", "factor": 8.0 });
    names(
        &with_field("tiny-llama", "rope_scaling", incomplete),
        &["rope_scaling.low_freq_factor", "a number above 0", "found nothing"],
    );
    let linear = json!({ "type": "linear", "factor": 2.0 });
    names(&with_field("tiny-llama", "rope_scaling", linear), &["rope_scaling.type", "\"linear\"", "default"]);
    let unknown = json!({ "rope_theta": 10000.0, "mscale": 2.0 });
    names(&with_field("tiny-llama", "rope_parameters", unknown), &["rope_parameters.mscale", "2.0"]);
}

#[test]
fn shapes_that_disagree_with_the_configuration() {
    names(
        &with_field("tiny-gpt2", "n_positions", json!(512)),
        &["transformer.wpe.weight", "expected shape [512, 128]", "found [256, 128]", "config.json"],
    );
    names(
        &with_field("tiny-llama", "num_key_value_heads", json!(4)),
        &["model.layers.0.self_attn.k_proj.weight", "expected shape [128, 128]", "found [64, 128]"],
    );
    // Conv1D and Linear differ in nothing but the order: GPT-2 stores inputs first.
    let mut draft = Draft::of("tiny-gpt2");
    draft.tensors.get_mut("transformer.h.0.mlp.c_fc.weight").unwrap().shape = vec![512, 128];
    draft.write();
    names(
        &refused(&draft),
        &["transformer.h.0.mlp.c_fc.weight", "expected shape [128, 512]", "found [512, 128]"],
    );
}

#[test]
fn missing_and_unexpected_tensors() {
    let mut draft = Draft::of("tiny-llama");
    draft.tensors.remove("model.layers.2.mlp.up_proj.weight");
    draft.write();
    names(&refused(&draft), &["no tensor model.layers.2.mlp.up_proj.weight", "[344, 128]"]);

    let mut draft = Draft::of("tiny-llama");
    draft.tensors.remove("lm_head.weight");
    draft.write();
    names(&refused(&draft), &["no tensor lm_head.weight", "[2048, 128]"]);

    let mut draft = Draft::of("tiny-llama");
    let extra = Stored { dtype: Dtype::F32, shape: vec![128], bytes: vec![0; 512] };
    draft.tensors.insert("model.layers.0.self_attn.q_proj.bias".into(), extra.clone());
    draft.tensors.insert("model.layers.0.self_attn.q_norm.weight".into(), extra);
    draft.write();
    names(
        &refused(&draft),
        &["2 tensors have no place in a llama model", "first is model.layers.0.self_attn.q_norm.weight"],
    );
    // A layer too many is a configuration that belongs to another model.
    names(
        &with_field("tiny-gpt2", "n_layer", json!(3)),
        &["12 tensors", "gpt2", "first is transformer.h.3.attn.c_attn.bias"],
    );
}

#[test]
fn an_output_matrix_that_contradicts_tying() {
    names(
        &with_field("tiny-llama", "tie_word_embeddings", json!(true)),
        &["lm_head.weight", "tie_word_embeddings", "model.embed_tokens.weight"],
    );
}

#[test]
fn weights_that_are_not_finite() {
    for (value, text) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
        let mut draft = Draft::of("tiny-gpt2");
        draft.poke("transformer.h.1.attn.c_proj.weight", 77, value);
        draft.write();
        names(
            &refused(&draft),
            &["transformer.h.1.attn.c_proj.weight", "model.safetensors", "entry 77", text],
        );
    }
}

#[test]
fn number_types_that_are_not_read() {
    let mut draft = Draft::of("tiny-gpt2");
    let tensor = draft.tensors.get_mut("transformer.ln_f.bias").unwrap();
    *tensor = Stored { dtype: Dtype::F64, shape: vec![128], bytes: vec![0; 1024] };
    draft.write();
    names(&refused(&draft), &["transformer.ln_f.bias", "expected type F32, F16 or BF16", "found F64"]);
}

#[test]
fn an_index_that_does_not_match_its_files() {
    let index = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let draft = Draft::of("tiny-gpt2");
        let path = draft.write_sharded().join("model.safetensors.index.json");
        let mut index: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        change(index["weight_map"].as_object_mut().unwrap());
        draft.write_index(&index);
        let message = refused(&draft);
        names(&message, &["model.safetensors.index.json"]);
        message
    };
    let tensor = "transformer.ln_f.bias";
    names(
        &index(&|map| {
            let other = if map[tensor] == shard_name(0) { shard_name(1) } else { shard_name(0) };
            map.insert(tensor.into(), other.into());
        }),
        &[tensor, "where it is not"],
    );
    names(
        &index(&|map| {
            map.remove(tensor);
        }),
        &["does not list", tensor],
    );
    names(
        &index(&|map| {
            map.insert("made.up".into(), shard_name(0).into());
        }),
        &["made.up is in"],
    );
    names(
        &index(&|map| {
            map.insert(tensor.into(), "model-3.safetensors".into());
        }),
        &["model-3.safetensors", "not in the folder"],
    );
    names(
        &index(&|map| {
            map.insert(tensor.into(), "../secret.safetensors".into());
        }),
        &["../secret.safetensors", "in the same folder"],
    );
    names(
        &index(&|map| {
            map.insert(tensor.into(), json!(3));
        }),
        &[tensor, "expected a text", "found 3"],
    );

    let draft = Draft::of("tiny-gpt2");
    draft.write_sharded();
    draft.write_file(&shard_name(1), |_| true);
    names(&refused(&draft), &["is in two of its files"]);
    draft.write_index(&json!({}));
    names(&refused(&draft), &["model.safetensors.index.json", "no weight_map"]);
}

#[test]
fn a_tokenizer_that_is_not_the_models_own() {
    let mut draft = Draft::of("tiny-gpt2");
    draft.config["vocab_size"] = json!(2000);
    draft.tensors.get_mut("transformer.wte.weight").unwrap().shape = vec![2000, 128];
    draft.tensors.get_mut("transformer.wte.weight").unwrap().bytes.truncate(4 * 2000 * 128);
    let model = BaseModel::load(draft.write()).unwrap();
    let tokenizer = Tokenizer::load(draft.path()).unwrap();
    names(
        &message(tokenizer.check(model.config())),
        &["tokenizer.json", "tokens up to 2047", "vocabulary has 2000", "the model's own tokenizer"],
    );
}
