//! GPT-NeoX, Mistral and Qwen 2 against decoders written out in double precision, and what all families have in
//! common: a causal pass, loaded or streamed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[allow(unreachable_pub, reason = "as in common")]
#[path = "common/naive.rs"]
mod naive;

use std::path::Path;

use common::{Draft, Stored, message, names};
use lorica_model::{
    BaseModel, LogitBlock, MemoryBudget, ModelError, ModelFolder, NoHook, Rounding, RowRequest,
    StreamedModel, TokenBatch,
};
use naive::{Model, VOCABULARY, llama_like, neox};
use safetensors::tensor::Dtype;
use serde_json::json;

const PLENTY: MemoryBudget = MemoryBudget::new(1 << 30);

fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("llama", llama_like("llama", 1)),
        ("mistral", llama_like("mistral", 2)),
        ("qwen2", llama_like("qwen2", 3)),
        ("gpt_neox", neox(true, 4)),
        ("gpt_neox, in series", neox(false, 5)),
    ]
}

fn draft(model: &Model) -> Draft {
    let mut draft = Draft::of("tiny-gpt2");
    draft.config = model.config.clone();
    draft.tensors = model
        .weights
        .iter()
        .map(|(name, matrix)| {
            let bytes = matrix.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.clone(), Stored { dtype: Dtype::F32, shape: matrix.shape.clone(), bytes })
        })
        .collect();
    draft
}

fn text(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * i * 7 + i * 13 + seed * 29) % VOCABULARY as u32).collect()
}

fn logits(model: &BaseModel, tokens: &[u32]) -> Vec<f32> {
    model.forward(&TokenBatch::single(tokens), None, &mut NoHook).unwrap().values
}

/// The rows by request and place, put together from their blocks.
type Rows = Vec<Vec<Vec<f32>>>;

fn collect(requests: &[RowRequest<'_>], run: impl FnOnce(&mut dyn FnMut(LogitBlock<'_>))) -> Rows {
    let mut rows: Rows = requests.iter().map(|request| vec![Vec::new(); request.positions.len()]).collect();
    run(&mut |block| {
        let row = &mut rows[block.request][block.place];
        assert_eq!(row.len(), block.first, "blocks come in the order of the vocabulary");
        row.extend_from_slice(block.logits);
    });
    rows
}

fn streamed(folder: &Path, rounding: Rounding, budget: MemoryBudget, requests: &[RowRequest<'_>]) -> Rows {
    let model = StreamedModel::open(&ModelFolder::open(folder).unwrap(), rounding, budget).unwrap();
    collect(requests, |visit| {
        model.rows(requests, budget, visit, &mut |_| ()).unwrap();
    })
}

fn largest_difference(left: &Rows, right: &Rows) -> f64 {
    let flat = |rows: &Rows| rows.concat().concat();
    common::largest_difference(&flat(left), &flat(right))
}

#[test]
fn every_family_computes_what_its_definition_says() {
    for (name, reference) in models() {
        let draft = draft(&reference);
        let model = BaseModel::load(draft.write()).unwrap();
        // Beyond the window of 5, and another text that must not see the first.
        for tokens in [text(17, 1), text(9, 2)] {
            let expected = reference.logits(&tokens).concat();
            let largest = expected.iter().fold(0f64, |most, value| most.max(value.abs()));
            let difference = common::largest_difference(&logits(&model, &tokens), &expected);
            assert!(largest > 1.0 && difference < 2e-5 * largest, "{name}: {difference} off of {largest}");
        }
    }
}

#[test]
fn later_tokens_change_no_earlier_logits_and_the_cache_none_at_all() {
    for (name, reference) in models() {
        let model = BaseModel::load(draft(&reference).write()).unwrap();
        let tokens = text(20, 3);
        let whole = logits(&model, &tokens);
        let mut changed = tokens.clone();
        changed[12] = (changed[12] + 1) % VOCABULARY as u32;
        let other = logits(&model, &changed);
        assert!(
            common::largest_difference(&whole[..12 * VOCABULARY], &other[..12 * VOCABULARY]) < 1e-5,
            "{name}"
        );
        let later = |logits: &[f32]| logits[12 * VOCABULARY..].to_vec();
        assert!(common::largest_difference(&later(&whole), &later(&other)) > 1e-2, "{name}");

        let mut cache = model.new_cache();
        let mut parts = Vec::new();
        for part in [&tokens[..7], &tokens[7..8], &tokens[8..]] {
            let batch = TokenBatch::single(part);
            parts.extend(model.forward(&batch, Some(&mut cache), &mut NoHook).unwrap().values);
        }
        assert!(common::largest_difference(&whole, &parts) < 1e-4, "{name}");
    }
}

#[test]
fn a_window_ends_what_a_token_can_see() {
    // Three layers with a window of 5 reach 12 positions back, not 13.
    let model = BaseModel::load(draft(&llama_like("mistral", 2)).write()).unwrap();
    let tokens = text(20, 4);
    let last = |tokens: &[u32]| logits(&model, tokens)[19 * VOCABULARY..].to_vec();
    for (changed, seen) in [(6, false), (7, true)] {
        let mut other = tokens.clone();
        other[changed] = (other[changed] + 1) % VOCABULARY as u32;
        let difference = common::largest_difference(&last(&tokens), &last(&other));
        assert_eq!(difference > 0.0, seen, "position {changed}: {difference}");
    }
}

#[test]
fn a_model_that_streams_by_computes_what_a_loaded_one_does() {
    // Some begin alike, and one of these is asked twice; of one nothing is asked.
    let mut texts = vec![text(11, 1), text(3, 2), text(11, 3), text(1, 4), text(30, 5), text(8, 6)];
    texts.extend([text(11, 1), [&text(11, 1)[..9], &text(21, 7)].concat(), text(30, 5)[..29].to_vec()]);
    let positions: [&[usize]; 9] =
        [&[10, 4], &[2], &[0], &[0], &[29, 1, 15], &[], &[10, 8], &[9, 29], &[28, 0]];
    let requests: Vec<RowRequest<'_>> =
        texts.iter().zip(positions).map(|(tokens, positions)| RowRequest { tokens, positions }).collect();
    let shipped = ["tiny-gpt2", "tiny-llama"].map(|name| (name, Draft::of(name)));
    let drafts = models().into_iter().map(|(name, model)| (name, draft(&model))).chain(shipped);
    for (name, mut draft) in drafts {
        for dtype in [Dtype::F32, Dtype::BF16] {
            if dtype == Dtype::BF16 {
                draft.convert(dtype);
            }
            for sharded in [false, true] {
                // Each layout in a folder of its own.
                let mut copy = Draft::of("tiny-gpt2");
                (copy.config, copy.tensors) = (draft.config.clone(), draft.tensors.clone());
                let folder = if sharded { copy.write_sharded() } else { copy.write() };
                let loaded = BaseModel::load(folder).unwrap();
                let together = collect(&requests, |visit| loaded.rows(&requests, visit).unwrap());
                // One by one, through the path that hooks and caches use.
                for (request, rows) in requests.iter().zip(&together) {
                    let whole = logits(&loaded, request.tokens);
                    let vocabulary = loaded.config().vocabulary;
                    for (&position, row) in request.positions.iter().zip(rows) {
                        let alone = &whole[position * vocabulary..(position + 1) * vocabulary];
                        assert!(common::largest_difference(row, alone) < 1e-4, "{name} {dtype} {sharded}");
                    }
                }
                for budget in [PLENTY, MemoryBudget::new(24 << 20)] {
                    let rows = streamed(folder, Rounding::None, budget, &requests);
                    let difference = largest_difference(&rows, &together);
                    assert!(difference < 1e-4, "{name} {dtype} {sharded}: {difference}");
                }
            }
        }
    }
}

#[test]
fn rounded_weights_are_those_of_a_rounded_checkpoint() {
    let tokens = text(9, 1);
    let requests = [RowRequest { tokens: &tokens, positions: &[8, 3] }];
    let original = draft(&llama_like("qwen2", 3));
    let folder = ModelFolder::open(original.write()).unwrap();
    for (rounding, dtype) in [(Rounding::Bf16, Dtype::BF16), (Rounding::F16, Dtype::F16)] {
        let mut rounded = draft(&llama_like("qwen2", 3));
        rounded.convert(dtype);
        let expected = BaseModel::load(rounded.write()).unwrap();
        let expected = collect(&requests, |visit| expected.rows(&requests, visit).unwrap());
        let loaded = folder.load_rounded(rounding, &mut |_| ()).unwrap();
        assert_eq!(collect(&requests, |visit| loaded.rows(&requests, visit).unwrap()), expected);
        let rows = streamed(folder.path(), rounding, PLENTY, &requests);
        assert!(largest_difference(&rows, &expected) < 1e-4, "{dtype}");
        let exact = streamed(folder.path(), Rounding::None, PLENTY, &requests);
        assert!(largest_difference(&rows, &exact) > 1e-4, "{dtype}");
    }
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_what_is_needed() {
    let folder = ModelFolder::open(&common::shipped("tiny-llama")).unwrap();
    let small = MemoryBudget::new(1 << 20);
    let Err(ModelError::Memory { needed, weights, .. }) = StreamedModel::open(&folder, Rounding::None, small)
    else {
        panic!("1 MiB was enough");
    };
    assert!(weights > 128 * 128 * 4 && needed > weights);
    let model = StreamedModel::open(&folder, Rounding::None, MemoryBudget::new(needed)).unwrap();
    let tokens = text(200, 1);
    let requests = [RowRequest { tokens: &tokens, positions: &[199] }];
    let refused = model.rows(&requests, MemoryBudget::new(needed), &mut |_| (), &mut |_| ());
    names(&message(refused), &["MiB of memory are left", "are needed at least", "largest layer"]);
}

#[test]
fn what_the_files_hold_is_checked_while_it_streams_by() {
    let mut broken = draft(&llama_like("llama", 1));
    broken.poke("model.layers.2.mlp.up_proj.weight", 7, f32::NAN);
    let folder = ModelFolder::open(broken.write()).unwrap();
    let model = StreamedModel::open(&folder, Rounding::None, PLENTY).unwrap();
    let requests = [RowRequest { tokens: &[1, 2], positions: &[1] }];
    let refused = model.rows(&requests, PLENTY, &mut |_| (), &mut |_| ());
    names(&message(refused), &["model.layers.2.mlp.up_proj.weight", "entry 7", "NaN"]);
    for (tokens, positions, part) in [
        (&[1u32, 61][..], &[0usize][..], "token 61 at position 1"),
        (&[1], &[1], "asks for position 1 of a text of 1 tokens"),
        (&[], &[], "a text holds 0 tokens"),
        (&[1; 65], &[0], "65 tokens do not fit"),
    ] {
        let refused = model.rows(&[RowRequest { tokens, positions }], PLENTY, &mut |_| (), &mut |_| ());
        names(&message(refused), &[part]);
    }
}

#[test]
fn fields_that_change_what_a_family_computes_are_refused() {
    let refused = |model: Model, field: &str, value: serde_json::Value| {
        let mut draft = draft(&model);
        draft.config[field] = value;
        draft.write();
        message(BaseModel::load(draft.path()))
    };
    for (model, field, value) in [
        (llama_like("qwen2", 3), "use_sliding_window", json!(true)),
        (llama_like("mistral", 2), "layer_types", json!(["sliding_attention"])),
        (neox(true, 4), "rope_scaling", json!({ "type": "linear", "factor": 2.0 })),
        (neox(true, 4), "hidden_act", json!("mish")),
    ] {
        names(&refused(model, field, value), &["config.json", field, "is not supported"]);
    }
    names(&refused(neox(true, 4), "rotary_pct", json!(0.4)), &["rotary_pct", "an even number"]);
    let stated_twice = json!({ "rope_type": "default", "partial_rotary_factor": 0.25 });
    names(&refused(neox(true, 4), "rope_parameters", stated_twice), &["partial_rotary_factor", "0.25"]);
}
