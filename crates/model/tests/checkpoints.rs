//! One model, however its checkpoint is written: number types, shards, prefixes, tied and separate outputs.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::{Draft, Stored, largest_difference, model, reference, shipped};
use lorica_model::{BaseModel, ModelFolder, NoHook, Progress, TokenBatch, identity};
use lorica_tensor::Digest;
use safetensors::tensor::Dtype;

fn tokens() -> TokenBatch {
    TokenBatch::single(&reference("tiny-llama-lora-es").texts[0].token_ids)
}

fn logits(model: &BaseModel) -> Vec<f32> {
    model.forward(&tokens(), None, &mut NoHook).unwrap().values
}

#[test]
fn half_precision_checkpoints_load() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        let exact = logits(&model(name));
        // Significant digits of the two types are 11 and 8 bits: logits of size 20 move by that much, not more.
        for (dtype, bound) in [(Dtype::F16, 0.05), (Dtype::BF16, 0.5)] {
            let mut draft = Draft::of(name);
            draft.convert(dtype);
            let difference = largest_difference(&logits(&BaseModel::load(draft.write()).unwrap()), &exact);
            assert!(difference > 0.0 && difference < bound, "{name} in {dtype} is {difference} off");
        }
    }
}

#[test]
fn a_half_precision_checkpoint_computes_as_its_widened_copy() {
    let mut draft = Draft::of("tiny-llama");
    draft.convert(Dtype::BF16);
    let half = logits(&BaseModel::load(draft.write()).unwrap());
    for tensor in draft.tensors.values_mut() {
        let (values, _) = tensor.bytes.as_chunks::<2>();
        tensor.bytes =
            values.iter().flat_map(|&v| half::bf16::from_le_bytes(v).to_f32().to_le_bytes()).collect();
        tensor.dtype = Dtype::F32;
    }
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), half);
}

#[test]
fn sharding_changes_neither_the_model_nor_its_identity() {
    for name in ["tiny-gpt2", "tiny-llama"] {
        let draft = Draft::of(name);
        let folder = draft.write_sharded();
        assert_eq!(logits(&BaseModel::load(folder).unwrap()), logits(&model(name)));
        let quiet = &mut |_| ();
        assert_eq!(identity(folder, quiet).unwrap(), identity(&shipped(name), quiet).unwrap());
    }
}

#[test]
fn the_identity_follows_what_changes_the_forward_pass_and_nothing_else() {
    let quiet = &mut |_| ();
    let original = identity(&shipped("tiny-llama"), quiet).unwrap();
    assert_eq!(original.family, "llama");

    let mut draft = Draft::of("tiny-llama");
    for (field, value) in
        [("dtype", "bfloat16".into()), ("use_cache", false.into()), ("attention_dropout", 0.5.into())]
    {
        draft.config[field] = value;
    }
    // Older releases write the rotary base at the top level.
    draft.config.as_object_mut().unwrap().remove("rope_parameters");
    draft.config["rope_theta"] = 10000.0.into();
    draft.config["rope_scaling"] = serde_json::Value::Null;
    assert_eq!(identity(draft.write(), quiet).unwrap(), original);

    draft.config["rms_norm_eps"] = 2e-6.into();
    let changed = identity(draft.write(), quiet).unwrap();
    assert_ne!(changed.config, original.config);
    assert_eq!(changed.weights, original.weights);

    draft.config["rms_norm_eps"] = 1e-6.into();
    draft.poke("model.norm.weight", 3, 0.5);
    let changed = identity(draft.write(), quiet).unwrap();
    assert_eq!(changed.config, original.config);
    assert_ne!(changed.weights, original.weights);

    let mut draft = Draft::of("tiny-llama");
    draft.convert(Dtype::BF16);
    assert_ne!(identity(draft.write(), quiet).unwrap().weights, original.weights);
}

#[test]
fn the_identity_is_what_its_definition_says() {
    let draft = Draft::of("tiny-gpt2");
    let list: Vec<String> = draft
        .tensors
        .iter()
        .map(|(name, tensor)| {
            let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
            format!(r#"["{name}","F32",[{}],"{}"]"#, shape.join(","), Digest::blake3(&tensor.bytes))
        })
        .collect();
    let config = concat!(
        r#"{"family":"gpt2","vocabulary":2048,"context":256,"hidden":128,"layers":4,"heads":4,"inner":512,"#,
        r#""epsilon":"1e-5","activation":"gelu_tanh","scale_scores":true,"tied":true}"#
    );
    let parts = identity(&shipped("tiny-gpt2"), &mut |_| ()).unwrap();
    assert_eq!(parts.weights, Digest::sha256(format!("[{}]", list.join(",")).as_bytes()));
    assert_eq!(parts.config, Digest::sha256(config.as_bytes()));

    let config = concat!(
        r#"{"family":"llama","vocabulary":2048,"context":256,"hidden":128,"layers":4,"heads":4,"#,
        r#""key_value_heads":2,"head_width":32,"inner":344,"epsilon":"1e-6","activation":"silu","#,
        r#""rotary":{"base":"1e4","scaling":"default"},"attention_bias":false,"inner_bias":false,"tied":false}"#
    );
    let parts = identity(&shipped("tiny-llama"), &mut |_| ()).unwrap();
    assert_eq!(parts.config, Digest::sha256(config.as_bytes()));
}

#[test]
fn progress_runs_to_the_end() {
    let folder = ModelFolder::open(&shipped("tiny-gpt2")).unwrap();
    let total: u64 = Draft::of("tiny-gpt2").tensors.values().map(|tensor| tensor.bytes.len() as u64).sum();
    let mut steps = Vec::new();
    folder.identity(&mut |progress| steps.push(progress)).unwrap();
    let digested = std::mem::take(&mut steps);
    folder.load(&mut |progress| steps.push(progress)).unwrap();
    for steps in [digested, steps] {
        assert!(steps.is_sorted_by_key(|progress| progress.done));
        assert_eq!(steps.last(), Some(&Progress { done: total, total }));
    }
}

#[test]
fn gpt2_loads_without_the_prefix_and_with_old_buffers() {
    let mut draft = Draft::of("tiny-gpt2");
    draft.tensors = std::mem::take(&mut draft.tensors)
        .into_iter()
        .map(|(name, tensor)| (name.trim_start_matches("transformer.").to_owned(), tensor))
        .collect();
    let mask = Stored { dtype: Dtype::U8, shape: vec![1, 1, 2, 2], bytes: vec![1, 0, 1, 1] };
    let lowest = Stored { dtype: Dtype::F32, shape: vec![], bytes: (-1e4f32).to_le_bytes().to_vec() };
    for layer in 0..4 {
        draft.tensors.insert(format!("h.{layer}.attn.bias"), mask.clone());
        draft.tensors.insert(format!("h.{layer}.attn.masked_bias"), lowest.clone());
    }
    let bare = BaseModel::load(draft.write()).unwrap();
    let original = model("tiny-gpt2");
    assert_eq!(bare.modules(), original.modules());
    assert_eq!(logits(&bare), logits(&original));
}

#[test]
fn llama_loads_with_old_rotary_buffers() {
    let mut draft = Draft::of("tiny-llama");
    let frequencies = Stored { dtype: Dtype::F32, shape: vec![16], bytes: vec![0; 64] };
    draft.tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), frequencies);
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), logits(&model("tiny-llama")));
}

#[test]
fn a_tied_output_is_the_embedding_stored_once_or_twice() {
    let mut draft = Draft::of("tiny-llama");
    let embedding = draft.tensors["model.embed_tokens.weight"].clone();
    draft.tensors.insert("lm_head.weight".into(), embedding);
    let separate = logits(&BaseModel::load(draft.write()).unwrap());
    assert_ne!(separate, logits(&model("tiny-llama")));
    draft.config["tie_word_embeddings"] = true.into();
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), separate);
    draft.tensors.remove("lm_head.weight");
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), separate);
}

#[test]
fn llama_biases_are_added() {
    let plain = model("tiny-llama");
    let mut draft = Draft::of("tiny-llama");
    draft.config["attention_bias"] = true.into();
    draft.config["mlp_bias"] = true.into();
    for module in plain.modules() {
        let bytes = vec![0; 4 * module.outputs];
        let bias = Stored { dtype: Dtype::F32, shape: vec![module.outputs], bytes };
        draft.tensors.insert(format!("{}.bias", module.name), bias);
    }
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), logits(&plain));
    for module in plain.modules() {
        draft.poke(&format!("{}.bias", module.name), 0, 1.0);
        let biased = logits(&BaseModel::load(draft.write()).unwrap());
        draft.poke(&format!("{}.bias", module.name), 0, 0.0);
        // A bias on all keys shifts all scores of a query alike only before the rotation, so it shows too.
        assert_ne!(biased, logits(&plain), "{}", module.name);
    }
}

#[test]
fn the_rotary_base_is_read_from_either_place() {
    let mut draft = Draft::of("tiny-llama");
    draft.config["rope_parameters"]["rope_theta"] = 500000.0.into();
    let new = logits(&BaseModel::load(draft.write()).unwrap());
    assert_ne!(new, logits(&model("tiny-llama")));
    draft.config.as_object_mut().unwrap().remove("rope_parameters");
    draft.config["rope_theta"] = 500000.into();
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), new);
    draft.config.as_object_mut().unwrap().remove("rope_theta");
    assert_eq!(logits(&BaseModel::load(draft.write()).unwrap()), logits(&model("tiny-llama")));
}

#[test]
fn hook_points_are_all_linear_layers_with_their_widths() {
    let list = |name: &str| -> Vec<(String, usize, usize, usize)> {
        model(name)
            .modules()
            .into_iter()
            .map(|m| (m.name.to_string(), m.inputs, m.outputs, m.group))
            .collect()
    };
    let gpt2 = list("tiny-gpt2");
    assert_eq!(gpt2.len(), 16);
    let expected = [
        ("attn.c_attn", 128, 384, 4),
        ("attn.c_proj", 128, 128, 5),
        ("mlp.c_fc", 128, 512, 6),
        ("mlp.c_proj", 512, 128, 7),
    ];
    assert_eq!(gpt2[4..8], expected.map(|(n, i, o, g)| (format!("transformer.h.1.{n}"), i, o, g)));

    let llama = list("tiny-llama");
    assert_eq!(llama.len(), 28);
    let expected = [
        ("self_attn.q_proj", 128, 128, 4),
        ("self_attn.k_proj", 128, 64, 4),
        ("self_attn.v_proj", 128, 64, 4),
        ("self_attn.o_proj", 128, 128, 5),
        ("mlp.gate_proj", 128, 344, 6),
        ("mlp.up_proj", 128, 344, 6),
        ("mlp.down_proj", 344, 128, 7),
    ];
    assert_eq!(llama[7..14], expected.map(|(n, i, o, g)| (format!("model.layers.1.{n}"), i, o, g)));
}

#[test]
fn llama3_scaling_is_applied_and_part_of_the_identity() {
    let mut draft = Draft::of("tiny-llama");
    let mut scaled = |factor: f64| {
        draft.config["rope_parameters"] = serde_json::json!({
            "rope_theta": 10000.0, "rope_type": "llama3", "factor": factor,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        });
        let model = BaseModel::load(draft.write()).unwrap();
        (logits(&model), identity(draft.path(), &mut |_| ()).unwrap().config)
    };
    let plain = logits(&model("tiny-llama"));
    let (neutral, first) = scaled(1.0);
    let (slowed, second) = scaled(8.0);
    assert_eq!(neutral, plain);
    assert!(largest_difference(&slowed, &plain) > 1e-3);
    assert_ne!(first, second);
}
