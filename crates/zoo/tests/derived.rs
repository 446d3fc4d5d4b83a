//! Derived models compute what their derivation says, as `lorica-model` runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use common::{BOTH, contents, distance, draft, laid_out, logits, rng, shipped, softmax, written};
use lorica_adapter::Adapter;
use lorica_zoo::{
    Draft, Layout, Precision, ZooError,
    derive::{
        layers::keep_layers,
        merge::merge,
        output::temper,
        prune::prune,
        quantize::{Matrices, Quantization, quantize},
        vocabulary::{append_tokens, misnumber_tokens, permute_tokens, truncated_tokenizer},
    },
};

fn largest_difference(left: &[Vec<f32>], right: &[Vec<f32>]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().flatten().zip(right.iter().flatten()).map(|(l, r)| (l - r).abs()).fold(0.0, f32::max)
}

#[test]
fn other_files_and_names_leave_every_logit_as_it_was() {
    for name in BOTH {
        let draft = draft(name);
        let expected = logits(&shipped(name));
        for layout in [
            Layout::default(),
            Layout { files: 3, ..Layout::default() },
            Layout { unprefixed: name == "tiny-gpt2", ..Layout::default() },
        ] {
            let folder = laid_out(&draft, layout);
            assert_eq!(logits(folder.path()), expected, "{name} {layout:?}");
            assert_eq!(Draft::read(folder.path()).unwrap().tensors, draft.tensors, "{name} {layout:?}");
        }
    }
    let layout = Layout { files: 0, ..Layout::default() };
    assert!(matches!(
        draft("tiny-gpt2").write(&std::env::temp_dir(), layout),
        Err(ZooError::Setting { setting: "files", .. })
    ));
}

#[test]
fn narrower_types_add_a_little_noise() {
    for name in BOTH {
        for (precision, most) in [(Precision::Half, 2e-3), (Precision::Bfloat, 2e-2)] {
            let folder = laid_out(&draft(name), Layout { precision, ..Layout::default() });
            let distance = distance(&shipped(name), folder.path());
            assert!(distance > 0.0 && distance < most, "{name} {precision:?}: {distance}");
        }
    }
}

#[test]
fn no_weight_moves_by_more_than_half_a_step() {
    // One output of 4 inputs is a row in Llama and a column in GPT-2; both are checked through whole models.
    for (name, bits, group) in
        [("tiny-gpt2", 8, None), ("tiny-gpt2", 4, Some(32)), ("tiny-llama", 4, Some(64))]
    {
        let before = draft(name);
        let mut after = before.clone();
        quantize(&mut after, Quantization { bits, group, matrices: Matrices::Linear }).unwrap();
        let levels = ((1 << (bits - 1)) - 1) as f32;
        let mut moved = 0;
        for (tensor, old) in &before.tensors {
            let new = &after.tensors[tensor];
            let linear = tensor.contains(".c_") || tensor.contains("_proj");
            if !linear || old.shape.len() != 2 {
                assert_eq!(old, new, "{tensor}");
                continue;
            }
            let (rows, columns) = (old.shape[0], old.shape[1]);
            let by_row = name == "tiny-llama";
            let (outputs, inputs) = if by_row { (rows, columns) } else { (columns, rows) };
            let place = |o: usize, i: usize| if by_row { o * columns + i } else { i * columns + o };
            let width = group.unwrap_or(inputs);
            for output in 0..outputs {
                for start in (0..inputs).step_by(width) {
                    let places: Vec<usize> =
                        (start..inputs.min(start + width)).map(|input| place(output, input)).collect();
                    let step = places.iter().map(|&p| old.data[p].abs()).fold(0.0, f32::max) / levels;
                    let mut values: Vec<i32> = Vec::new();
                    for p in places {
                        let error = (old.data[p] - new.data[p]).abs();
                        assert!(error <= 0.5001 * step, "{tensor}: {error} of {step}");
                        let level = new.data[p] / step;
                        assert!((level - level.round()).abs() < 1e-3, "{tensor}: {level} is no level");
                        values.push(level.round() as i32);
                        moved += usize::from(error > 0.0);
                    }
                    assert!(values.iter().any(|level| level.unsigned_abs() as f32 == levels));
                }
            }
        }
        assert!(moved > 100_000, "{name}: {moved}");
    }
}

#[test]
fn fewer_bits_are_further_away_and_a_finer_group_is_nearer() {
    for name in BOTH {
        let of = |bits, group, matrices| {
            let mut draft = draft(name);
            quantize(&mut draft, Quantization { bits, group, matrices }).unwrap();
            distance(&shipped(name), written(&draft).path())
        };
        let eight = of(8, None, Matrices::Linear);
        let four = of(4, None, Matrices::Linear);
        let grouped = of(4, Some(32), Matrices::Linear);
        let three = of(3, None, Matrices::All);
        assert!(eight > 0.0 && eight < 0.02, "{name}: {eight}");
        assert!(4.0 * eight < grouped && grouped < four && four < three, "{name}: {grouped} {four} {three}");
    }
    let mut draft = draft("tiny-gpt2");
    for (bits, group) in [(1, None), (9, None), (8, Some(0))] {
        assert!(quantize(&mut draft, Quantization { bits, group, matrices: Matrices::All }).is_err());
    }
}

#[test]
fn the_smallest_weights_are_pruned() {
    for name in BOTH {
        let before = draft(name);
        let mut after = before.clone();
        prune(&mut after, 30).unwrap();
        for (tensor, old) in &before.tensors {
            let new = &after.tensors[tensor].data;
            let linear = old.shape.len() == 2 && (tensor.contains(".c_") || tensor.contains("_proj"));
            let zeros = new.iter().filter(|value| **value == 0.0).count();
            if !linear {
                assert_eq!(&old.data, new, "{tensor}");
                continue;
            }
            assert_eq!(zeros, old.data.len() * 30 / 100, "{tensor}");
            let pair = || old.data.iter().zip(new);
            let gone = pair().filter(|(_, new)| **new == 0.0).map(|(old, _)| old.abs()).fold(0.0, f32::max);
            let left = pair().filter(|(_, new)| **new != 0.0).map(|(old, _)| old.abs()).fold(9.0, f32::min);
            assert!(gone <= left, "{tensor}");
        }
        let mut half = before.clone();
        prune(&mut half, 50).unwrap();
        let near = distance(&shipped(name), written(&after).path());
        let far = distance(&shipped(name), written(&half).path());
        assert!(near > 0.0 && near < far, "{name}: {near} {far}");
        assert!(prune(&mut half, 0).is_err() && prune(&mut half, 100).is_err());
    }
}

#[test]
fn a_merged_adapter_computes_what_pytorch_computes_with_the_adapter() {
    for (base, adapter) in [
        ("tiny-gpt2", "tiny-gpt2-lora-es"),
        ("tiny-gpt2", "tiny-gpt2-lora-attn"),
        ("tiny-llama", "tiny-llama-lora-es"),
    ] {
        let mut merged = draft(base);
        merge(&mut merged, &Adapter::load(&shipped(adapter)).unwrap(), 1.0).unwrap();
        let folder = written(&merged);
        let model = lorica_model::BaseModel::load(folder.path()).unwrap();
        let text = std::fs::read_to_string(shipped(adapter).join("reference.json")).unwrap();
        let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
        for text in reference["texts"].as_array().unwrap() {
            let numbers = |value: &serde_json::Value| -> Vec<f64> {
                value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
            };
            let tokens: Vec<u32> = numbers(&text["token_ids"]).iter().map(|&token| token as u32).collect();
            let batch = lorica_model::TokenBatch::single(&tokens);
            let found = model.last_logits(&batch, None, &mut lorica_model::NoHook).unwrap().values;
            let expected = numbers(&text["adapted"]["last_logits"]);
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{adapter}: {found} {expected}");
            }
        }
    }
}

#[test]
fn a_weaker_merge_is_nearer_and_a_foreign_adapter_is_refused() {
    let adapter = Adapter::load(&shipped("tiny-llama-lora-es")).unwrap();
    let of = |strength| {
        let mut draft = draft("tiny-llama");
        merge(&mut draft, &adapter, strength).unwrap();
        distance(&shipped("tiny-llama"), written(&draft).path())
    };
    let (quarter, half, whole) = (of(0.25), of(0.5), of(1.0));
    assert!(0.0 < quarter && quarter < half && half < whole, "{quarter} {half} {whole}");
    assert!(matches!(merge(&mut draft("tiny-gpt2"), &adapter, 1.0), Err(ZooError::Adapter(_))));
    assert!(merge(&mut draft("tiny-llama"), &adapter, f64::NAN).is_err());
}

#[test]
fn appended_tokens_keep_old_logits_and_take_little_probability() {
    for name in BOTH {
        let expected = logits(&shipped(name));
        for count in [1, 64] {
            let mut extended = draft(name);
            append_tokens(&mut extended, count, &mut rng()).unwrap();
            let folder = written(&extended);
            let found = logits(folder.path());
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(found.len(), 2048 + count);
                let difference =
                    largest_difference(std::slice::from_ref(expected), &[found[..2048].to_vec()]);
                assert!(difference < 1e-4, "{name}: {difference}");
                let mass: f64 = softmax(found)[2048..].iter().sum();
                assert!(mass < 1.1 * count as f64 / 2048.0, "{name} {count}: {mass}");
            }
            let contents = contents(folder.path());
            assert_eq!(contents.len(), 2048 + count);
            assert_eq!(contents[..2048], common::contents(&shipped(name))[..]);
        }
    }
    assert!(append_tokens(&mut draft("tiny-gpt2"), 0, &mut rng()).is_err());
}

/// The probability of each token by its content, at the last position of the text.
fn by_content(folder: &std::path::Path) -> HashMap<String, f64> {
    let last = logits(folder).pop().unwrap();
    contents(folder).into_iter().zip(softmax(&last)).collect()
}

#[test]
fn renumbered_tokens_keep_the_function_of_texts() {
    for name in BOTH {
        let mut permuted = draft(name);
        permute_tokens(&mut permuted, &mut rng()).unwrap();
        let folder = written(&permuted);
        let (old, new) = (contents(&shipped(name)), contents(folder.path()));
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
        assert!(moved > 2000 && old[0] == new[0], "{moved}");
        let (expected, found) = (by_content(&shipped(name)), by_content(folder.path()));
        for (token, expected) in expected {
            assert!((found[&token] - expected).abs() < 1e-5, "{name}: {token:?} {expected}");
        }
    }
}

#[test]
fn misnumbered_tokens_destroy_the_function() {
    for name in BOTH {
        let mut last = 0.0;
        for percent in [10, 100] {
            let mut broken = draft(name);
            misnumber_tokens(&mut broken, percent, &mut rng()).unwrap();
            assert_eq!(broken.tensors, draft(name).tensors);
            let folder = written(&broken);
            let (expected, found) = (by_content(&shipped(name)), by_content(folder.path()));
            let far: f64 = expected.iter().map(|(token, p)| (p - found[token]).abs()).sum::<f64>() / 2.0;
            assert!(far > 0.05 && far >= last, "{name} {percent}: {far}");
            last = far;
        }
        assert!(last > 0.5, "{name}: {last}");
    }
}

#[test]
fn a_temperature_divides_the_logits() {
    for name in BOTH {
        let mut tempered = draft(name);
        temper(&mut tempered, 0.5).unwrap();
        let doubled: Vec<Vec<f32>> =
            logits(&shipped(name)).into_iter().map(|row| row.iter().map(|z| 2.0 * z).collect()).collect();
        assert!(largest_difference(&logits(written(&tempered).path()), &doubled) < 1e-3);
        assert!(temper(&mut tempered, 0.0).is_err() && temper(&mut tempered, f64::NAN).is_err());
    }
}

#[test]
fn kept_layers_are_those_asked_for() {
    for name in BOTH {
        let whole = draft(name);
        let mut same = whole.clone();
        keep_layers(&mut same, &[0, 1, 2, 3]).unwrap();
        assert_eq!(same, whole);
        let mut fewer = whole.clone();
        keep_layers(&mut fewer, &[0, 3]).unwrap();
        let prefix = if name == "tiny-gpt2" { "transformer.h." } else { "model.layers." };
        for (tensor, values) in &fewer.tensors {
            let old = tensor.replace(&format!("{prefix}1."), &format!("{prefix}3."));
            assert_eq!(values, &whole.tensors[&old], "{tensor}");
        }
        assert!(distance(&shipped(name), written(&fewer).path()) > 0.05);
        assert!(keep_layers(&mut fewer, &[2]).is_err() && keep_layers(&mut fewer, &[]).is_err());
    }
}

#[test]
fn a_truncated_tokenizer_reads_and_writes_every_text_in_more_tokens() {
    let whole = draft("tiny-gpt2").tokenizer;
    let short = truncated_tokenizer(&whole, 1024).unwrap();
    let [whole, short] = [whole, short].map(|bytes| tokenizers::Tokenizer::from_bytes(bytes).unwrap());
    assert_eq!(short.get_vocab_size(true), 1024);
    for text in [common::TEXT, "mañana 😀 \u{0} fin"] {
        let [many, few] =
            [&short, &whole].map(|one| one.encode_fast(text, false).unwrap().get_ids().to_vec());
        assert!(many.iter().all(|&token| token < 1024));
        assert!(many.len() >= few.len());
        assert_eq!(short.decode(&many, false).unwrap(), text);
    }
    assert!(truncated_tokenizer(&draft("tiny-gpt2").tokenizer, 256).is_err());
}
