//! Batches, windows, caches, generation and hooks: different ways to one result.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod common;

use common::{LoraHook, PAIRS, largest_difference, message, model, names, reference, shipped};
use lorica_model::{
    Activations, BaseModel, EvaluateOptions, Hook, HookError, HookOutput, KvCache, ModelError, ModelFolder,
    NoHook, Progress, Stop, TokenBatch, Tokenizer, Window,
};
use lorica_tensor::ModuleName;

/// All tokens of the reference texts, as one text of more than two hundred tokens.
fn long_text() -> Vec<u32> {
    reference("tiny-gpt2-lora-es").texts.into_iter().flat_map(|text| text.token_ids).collect()
}

fn evaluate(
    model: &BaseModel,
    tokens: &[u32],
    window: Window,
    batch: usize,
    hook: &mut dyn Hook,
) -> (f64, u64, u64) {
    let evaluation = model.evaluate(tokens, EvaluateOptions { window, batch }, hook, &mut |_| ()).unwrap();
    (evaluation.loss, evaluation.predicted, evaluation.windows)
}

#[test]
fn batches_compute_what_single_windows_do() {
    let tokens = long_text();
    for (base, adapter) in PAIRS {
        let model = model(base);
        let mut hook = LoraHook::load(adapter);
        let (one, predicted, windows) = evaluate(&model, &tokens, Window::Tokens(16), 1, &mut hook);
        for batch in [3, 100] {
            let (many, predicted_too, windows_too) =
                evaluate(&model, &tokens, Window::Tokens(16), batch, &mut hook);
            assert!((one - many).abs() < 1e-6, "{one} and {many}");
            assert_eq!((predicted, windows), (predicted_too, windows_too));
        }
    }
}

#[test]
fn every_row_of_a_batch_is_its_own_sequence() {
    let tokens = long_text();
    for (base, _) in PAIRS {
        let model = model(base);
        let sequences: Vec<&[u32]> = tokens.chunks_exact(20).take(4).collect();
        let together = model.forward(&TokenBatch::new(&sequences).unwrap(), None, &mut NoHook).unwrap();
        for (index, sequence) in sequences.iter().enumerate() {
            let alone = model.forward(&TokenBatch::single(sequence), None, &mut NoHook).unwrap();
            for position in 0..20 {
                let (left, right) = (together.row(index, position).unwrap(), alone.row(0, position).unwrap());
                assert!(largest_difference(left, right) < 1e-4);
            }
        }
        assert_eq!(together.row(4, 0), None);
        assert_eq!(together.row(0, 20), None);
    }
}

#[test]
fn windows_drop_only_a_rest_that_predicts_nothing() {
    let model = model("tiny-gpt2");
    let tokens = &long_text()[..34];
    let count = |length: usize, window| {
        let (_, predicted, windows) = evaluate(&model, &tokens[..length], window, 2, &mut NoHook);
        (predicted, windows)
    };
    assert_eq!(count(32, Window::Tokens(16)), (30, 2));
    assert_eq!(count(33, Window::Tokens(16)), (30, 2));
    assert_eq!(count(34, Window::Tokens(16)), (31, 3));
    assert_eq!(count(34, Window::Context), (33, 1));
    assert_eq!(count(34, Window::Whole), (33, 1));
    assert_eq!(count(2, Window::Whole), (1, 1));
}

#[test]
fn the_loss_is_the_mean_over_predicted_tokens_of_all_windows() {
    let model = model("tiny-llama");
    let tokens = &long_text()[..40];
    let (all, ..) = evaluate(&model, tokens, Window::Tokens(15), 2, &mut NoHook);
    let parts: f64 = tokens
        .chunks(15)
        .map(|part| evaluate(&model, part, Window::Whole, 1, &mut NoHook))
        .map(|(loss, predicted, _)| loss * predicted as f64)
        .sum();
    assert!((all - parts / 37.0).abs() < 1e-6);
}

#[test]
fn evaluation_reports_progress_in_windows() {
    let mut steps = Vec::new();
    let options = EvaluateOptions { window: Window::Tokens(10), batch: 2 };
    model("tiny-gpt2")
        .evaluate(&long_text()[..45], options, &mut NoHook, &mut |progress| steps.push(progress))
        .unwrap();
    let step = |done| Progress { done, total: 5 };
    assert_eq!(steps, [step(2), step(4), step(5)]);
}

/// Compares the logits of one long window with those of the same window in uneven parts, through a cache.
fn parts_equal_the_whole(model: &BaseModel, tokens: &[u32], parts: &[usize], hook: &mut dyn Hook) {
    let whole = model.forward(&TokenBatch::single(tokens), None, hook).unwrap();
    let mut cache = model.new_cache();
    let mut start = 0;
    for &length in parts {
        let part = TokenBatch::single(&tokens[start..start + length]);
        let logits = model.forward(&part, Some(&mut cache), hook).unwrap();
        for position in 0..length {
            let (left, right) = (logits.row(0, position).unwrap(), whole.row(0, start + position).unwrap());
            assert!(largest_difference(left, right) < 1e-4, "position {}", start + position);
        }
        start += length;
        assert_eq!(cache.len(), start);
    }
    assert_eq!(start, tokens.len());
}

#[test]
fn a_window_in_parts_through_a_cache_equals_the_whole() {
    let tokens: Vec<u32> = long_text().into_iter().cycle().take(256).collect();
    for (base, adapter) in PAIRS {
        parts_equal_the_whole(&model(base), &tokens, &[100, 1, 57, 98], &mut LoraHook::load(adapter));
    }
}

#[test]
fn long_windows_are_no_different() {
    // Llama's positions need no weights, so its context can be stretched beyond a block of queries and beyond what
    // a cache first has room for.
    let mut draft = common::Draft::of("tiny-llama");
    draft.config["max_position_embeddings"] = 700.into();
    let tokens: Vec<u32> = long_text().into_iter().cycle().take(700).collect();
    let model = BaseModel::load(draft.write()).unwrap();
    parts_equal_the_whole(&model, &tokens, &[200, 100, 1, 299, 100], &mut NoHook);
}

/// Greedy generation that computes the whole text anew for every token.
fn recompute(model: &BaseModel, prompt: &[u32], count: usize, hook: &mut dyn Hook) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..count {
        let logits = model.last_logits(&TokenBatch::single(&tokens), None, hook).unwrap().values;
        let best =
            (0..logits.len()).max_by(|&l, &r| logits[l].total_cmp(&logits[r]).then(r.cmp(&l))).unwrap();
        tokens.push(best as u32);
        if model.config().end_of_text.contains(&(best as u32)) {
            break;
        }
    }
    tokens.split_off(prompt.len())
}

#[test]
fn generation_with_a_cache_equals_recomputing_everything() {
    for (base, adapter) in PAIRS {
        let model = model(base);
        let mut hook = LoraHook::load(adapter);
        for text in reference(adapter).texts {
            let prompt = &text.token_ids[..8];
            let mut told = Vec::new();
            let generation = model.generate(prompt, 24, &mut hook, &mut |token| told.push(token)).unwrap();
            assert_eq!(generation.tokens, recompute(&model, prompt, 24, &mut hook), "{}", text.id);
            assert_eq!(generation.tokens, told);
            assert_eq!(
                generation.stop == Stop::Length,
                generation.tokens.len() == 24 && told.last() != Some(&0)
            );
        }
    }
}

#[test]
fn generation_stops_at_the_end_of_the_text() {
    let mut draft = common::Draft::of("tiny-gpt2");
    let prompt = &long_text()[..8];
    let free = model("tiny-gpt2").generate(prompt, 12, &mut NoHook, &mut |_| ()).unwrap();
    let end = free.tokens[5];
    let first = free.tokens.iter().position(|&token| token == end).unwrap();
    draft.config["eos_token_id"] = serde_json::json!([2047, end]);
    let stopped =
        BaseModel::load(draft.write()).unwrap().generate(prompt, 12, &mut NoHook, &mut |_| ()).unwrap();
    assert_eq!(stopped.tokens, free.tokens[..=first]);
    assert_eq!(stopped.stop, Stop::EndOfText);

    // generation_config.json has the last word.
    std::fs::write(draft.path().join("generation_config.json"), r#"{"eos_token_id":2047}"#).unwrap();
    let model = BaseModel::load(draft.path()).unwrap();
    assert_eq!(model.config().end_of_text, [2047]);
    assert_eq!(model.generate(prompt, 12, &mut NoHook, &mut |_| ()).unwrap(), free);
}

#[test]
fn texts_and_tokens_that_do_not_fit_are_named() {
    let model = model("tiny-gpt2");
    let long: Vec<u32> = long_text().into_iter().cycle().take(257).collect();
    let whole = EvaluateOptions { window: Window::Whole, batch: 1 };
    let evaluate = |tokens: &[u32], options| model.evaluate(tokens, options, &mut NoHook, &mut |_| ());
    let parts = ["257 tokens", "context of 256", "windows of at most 256"];
    names(&message(evaluate(&long, whole)), &parts);
    names(&message(model.forward(&TokenBatch::single(&long), None, &mut NoHook)), &parts);
    names(&message(model.generate(&long[..250], 7, &mut NoHook, &mut |_| ())), &parts);
    assert!(evaluate(&long, EvaluateOptions { window: Window::Context, ..whole }).is_ok());

    let mut cache = model.new_cache();
    model.forward(&TokenBatch::single(&long[..200]), Some(&mut cache), &mut NoHook).unwrap();
    names(&message(model.forward(&TokenBatch::single(&long[..57]), Some(&mut cache), &mut NoHook)), &parts);

    names(
        &message(evaluate(&[5, 6, 2048], whole)),
        &["token 2048", "position 2", "vocabulary of 2048", "tokenizer of another model"],
    );
    names(&message(model.generate(&[9999], 1, &mut NoHook, &mut |_| ())), &["token 9999", "position 0"]);

    names(&message(evaluate(&[], whole)), &["the text holds 0 tokens", "at least 2"]);
    names(&message(evaluate(&[5], whole)), &["the text holds 1 tokens", "at least 2"]);
    names(&message(model.generate(&[], 1, &mut NoHook, &mut |_| ())), &["the prompt holds 0 tokens"]);
    names(
        &message(model.forward(&TokenBatch::single(&[]), None, &mut NoHook)),
        &["the batch holds 0 tokens"],
    );
    names(&message(TokenBatch::new(&[&[1, 2], &[1]])), &["sequence 1 has 1 tokens", "the first has 2"]);

    for window in [0, 1, 257] {
        let options = EvaluateOptions { window: Window::Tokens(window), batch: 1 };
        names(&message(evaluate(&[5, 6], options)), &["window", "from 2", "256", &format!("found {window}")]);
    }
    names(
        &message(evaluate(&[5, 6], EvaluateOptions { batch: 0, ..whole })),
        &["batch", "at least 1", "found 0"],
    );
}

#[test]
fn an_empty_text_is_named_by_the_tokenizer() {
    let tokenizer = Tokenizer::load(&shipped("tiny-gpt2")).unwrap();
    names(&message(tokenizer.encode("")), &["the text holds 0 tokens", "at least 1"]);
    assert_eq!(tokenizer.vocabulary(), 2048);
}

/// A hook made of a function.
struct With<F>(F);

impl<F: FnMut(&[ModuleName], &Activations<'_>) -> Result<Vec<HookOutput>, HookError>> Hook for With<F> {
    fn group(
        &mut self,
        modules: &[ModuleName],
        input: &Activations<'_>,
    ) -> Result<Vec<HookOutput>, HookError> {
        (self.0)(modules, input)
    }
}

#[test]
fn the_hook_is_asked_once_for_each_group_in_order() {
    for (base, _) in PAIRS {
        let model = model(base);
        let mut asked = Vec::new();
        let batch = TokenBatch::new(&[&[1, 2, 3], &[4, 5, 6]]).unwrap();
        let mut hook = With(|modules: &[ModuleName], input: &Activations<'_>| {
            assert_eq!((input.tokens, input.values.len()), (6, 6 * input.width));
            asked.push((modules.to_vec(), input.width));
            Ok(vec![HookOutput::Keep; modules.len()])
        });
        let hooked = model.forward(&batch, None, &mut hook).unwrap();
        assert_eq!(hooked, model.forward(&batch, None, &mut NoHook).unwrap());
        let listed: Vec<_> = model
            .modules()
            .chunk_by(|left, right| left.group == right.group)
            .map(|group| (group.iter().map(|module| module.name.clone()).collect(), group[0].inputs))
            .collect();
        assert_eq!(asked, listed);
    }
}

#[test]
fn hook_points_are_known_without_reading_weights() {
    for (base, _) in PAIRS {
        assert_eq!(ModelFolder::open(&shipped(base)).unwrap().modules().unwrap(), model(base).modules());
    }
}

#[test]
fn replacing_an_output_with_the_base_product_changes_nothing() {
    let draft = common::Draft::of("tiny-gpt2");
    let floats = |name: &str| -> Vec<f32> {
        let (values, _) = draft.tensors[name].bytes.as_chunks::<4>();
        values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    };
    let module = "transformer.h.1.mlp.c_fc";
    let (weight, bias) = (floats(&format!("{module}.weight")), floats(&format!("{module}.bias")));
    let mut replace = With(|modules: &[ModuleName], input: &Activations<'_>| {
        if modules[0].as_str() != module {
            return Ok(vec![HookOutput::Keep]);
        }
        let product = |row: &[f32], column: usize| {
            let products = row.iter().zip(weight.iter().skip(column).step_by(bias.len()));
            (f64::from(bias[column]) + products.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>())
                as f32
        };
        let rows = input.rows().flat_map(|row| (0..bias.len()).map(move |column| product(row, column)));
        Ok(vec![HookOutput::Replace(rows.collect())])
    });
    let model = model("tiny-gpt2");
    let batch = TokenBatch::single(&long_text()[..20]);
    let replaced = model.forward(&batch, None, &mut replace).unwrap();
    let plain = model.forward(&batch, None, &mut NoHook).unwrap();
    assert!(largest_difference(&replaced.values, &plain.values) < 1e-4);

    let mut silence = With(|modules: &[ModuleName], input: &Activations<'_>| {
        let zeros = HookOutput::Replace(vec![0.0; input.tokens * 512]);
        Ok(vec![if modules[0].as_str() == module { zeros } else { HookOutput::Keep }])
    });
    let silenced = model.forward(&batch, None, &mut silence).unwrap();
    assert!(largest_difference(&silenced.values, &plain.values) > 0.1);
}

#[test]
fn what_a_hook_does_wrong_is_named() {
    let model = model("tiny-llama");
    let batch = TokenBatch::single(&[1, 2, 3]);
    let group =
        "model.layers.0.self_attn.q_proj, model.layers.0.self_attn.k_proj, model.layers.0.self_attn.v_proj";
    let answer = |outputs: fn() -> Result<Vec<HookOutput>, HookError>| {
        message(model.forward(&batch, None, &mut With(|_: &[_], _: &Activations<'_>| outputs())))
    };
    names(&answer(|| Err("the peer is gone".into())), &[group, "the peer is gone"]);
    names(&answer(|| Ok(vec![HookOutput::Keep])), &[group, "1 outputs for 3 modules"]);
    names(
        &answer(|| Ok(vec![HookOutput::Keep, HookOutput::Add(vec![0.0; 191]), HookOutput::Keep])),
        &["self_attn.k_proj", "191 values", "3 rows of 64 = 192"],
    );
    names(
        &answer(|| {
            let mut values = vec![0.0; 192];
            values[64 + 7] = f32::NAN;
            Ok(vec![HookOutput::Keep, HookOutput::Keep, HookOutput::Replace(values)])
        }),
        &["self_attn.v_proj", "NaN", "row 1, column 7"],
    );
}

#[test]
fn errors_of_a_hook_travel_through_unchanged() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("budget of {0} rows is used up")]
    struct Budget(u32);
    let mut hook = With(|_: &[_], _: &Activations<'_>| Err(Budget(40).into()));
    match model("tiny-gpt2").forward(&TokenBatch::single(&[1]), None, &mut hook) {
        Err(ModelError::Hook { source, .. }) => assert_eq!(source.downcast_ref(), Some(&Budget(40))),
        _ => panic!("the hook's error did not arrive"),
    }
}

#[test]
fn a_cache_that_does_not_belong_to_the_call_is_refused() {
    let gpt2 = model("tiny-gpt2");
    let one = TokenBatch::single(&[1, 2]);
    let call = |batch: &TokenBatch, cache: &mut KvCache| gpt2.forward(batch, Some(cache), &mut NoHook);

    let mut cache = gpt2.new_cache();
    let first = call(&one, &mut cache).unwrap();
    let two = TokenBatch::new(&[&[1], &[2]]).unwrap();
    names(&message(call(&two, &mut cache)), &["cache holds 1 sequences", "2 sequences"]);

    // A call that fails half-way leaves layers of different lengths behind.
    let mut count = 0;
    let mut failing = With(|modules: &[ModuleName], _: &Activations<'_>| {
        count += 1;
        if count > 6 { Err("gone".into()) } else { Ok(vec![HookOutput::Keep; modules.len()]) }
    });
    assert!(gpt2.forward(&one, Some(&mut cache), &mut failing).is_err());
    names(&message(call(&one, &mut cache)), &["part of a call that failed", "new cache"]);
    cache.clear();
    assert!(cache.is_empty());
    assert_eq!(call(&one, &mut cache).unwrap(), first);
}
