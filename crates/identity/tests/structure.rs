//! The comparison of files: what differs is named, and a token that nobody uses changes no decision.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use lorica_identity::{
    Token,
    structure::{
        Check, Comparability, FileSummary, ModelSummary, Outcome, SimilarityDistances, Structure,
        TensorSummary, TokenizerSummary, WeightsSummary, compare, config_differences,
    },
};
use serde_json::json;

fn tokens(list: &[&str]) -> Vec<Token> {
    list.iter().map(|text| Token::from(*text)).collect()
}

fn tensor(shape: &[u64], digest: &str) -> TensorSummary {
    TensorSummary { shape: shape.to_vec(), number_type: "F32".into(), digest: digest.into() }
}

fn model() -> ModelSummary {
    let file = FileSummary { bytes: 10, sha256: "aa".into() };
    ModelSummary {
        files: Some(BTreeMap::from([
            ("config.json".into(), file.clone()),
            ("model.safetensors".into(), file),
        ])),
        weights: Some(WeightsSummary {
            digest: "w1".into(),
            tensors: BTreeMap::from([
                ("embed".into(), tensor(&[5, 4], "t1")),
                ("head".into(), tensor(&[4, 5], "t2")),
            ]),
        }),
        config: Some(json!({"model_type": "gpt2", "rope": {"base": 10000, "kind": "x"}, "layers": [1, 2]})),
        tokenizer: Some(TokenizerSummary {
            vocabulary: tokens(&["a", "b", "ab", " c", " d"]).into_iter().collect(),
            special: BTreeSet::from(["<end>".into()]),
            merges: Some("m1".into()),
            corpus: vec![tokens(&["ab", " c"]), tokens(&["a", "a"])],
            prompts: vec![tokens(&["ab", " c", " d"]), tokens(&["b", " d"])],
        }),
    }
}

fn tokenizer(model: &mut ModelSummary) -> &mut TokenizerSummary {
    model.tokenizer.as_mut().unwrap()
}

fn against(change: impl FnOnce(&mut ModelSummary)) -> Structure {
    let mut candidate = model();
    change(&mut candidate);
    compare(&model(), &candidate, SimilarityDistances::default())
}

fn outcome(structure: &Structure, check: Check) -> Outcome {
    structure.findings.iter().find(|finding| finding.check == check).unwrap().outcome
}

/// The checks that found a difference.
fn different(structure: &Structure) -> Vec<Check> {
    let found = structure.findings.iter().filter(|finding| finding.outcome == Outcome::Different);
    found.map(|finding| finding.check).collect()
}

#[test]
fn equal_models_differ_in_nothing() {
    let structure = against(|_| {});
    assert_eq!(different(&structure), []);
    assert_eq!(structure.comparability, Comparability::Comparable { prompts: 2 });
    assert_eq!(structure.findings.len(), 11);
    assert_eq!(structure.vocabulary.as_ref().unwrap().share(), 1.0);
    let text = serde_json::to_string(&structure).unwrap();
    assert_eq!(serde_json::from_str::<Structure>(&text).unwrap(), structure);
}

#[test]
fn an_appended_token_is_seen_and_keeps_log_probabilities_comparable() {
    for reversed in [false, true] {
        let mut longer = model();
        tokenizer(&mut longer).vocabulary.insert(Token::from("<extra>"));
        longer.weights.as_mut().unwrap().tensors.insert("embed".into(), tensor(&[6, 4], "t3"));
        let (ours, theirs) = if reversed { (longer, model()) } else { (model(), longer) };
        let structure = compare(&ours, &theirs, SimilarityDistances::default());
        assert_eq!(structure.comparability, Comparability::Comparable { prompts: 2 });
        assert_eq!(different(&structure), [Check::TensorShapes, Check::Vocabulary]);
        let overlap = structure.vocabulary.unwrap();
        let only = (overlap.reference_only, overlap.candidate_only);
        assert_eq!(only, if reversed { (1, 0) } else { (0, 1) });
        assert!((overlap.share() - 5.0 / 6.0).abs() < 1e-12);
    }
}

#[test]
fn a_token_that_cuts_a_prompt_differently_ends_the_comparison_of_log_probabilities() {
    let structure = against(|candidate| {
        tokenizer(candidate).vocabulary.insert(Token::from("b d"));
        tokenizer(candidate).prompts[1] = tokens(&["b d"]);
    });
    let expected = Comparability::CutDifferently {
        prompt: 1,
        token: 0,
        reference: Some(Token::from("b")),
        candidate: Some(Token::from("b d")),
    };
    assert_eq!(structure.comparability, expected);
    assert_eq!(different(&structure), [Check::Vocabulary, Check::PromptEncodings]);
}

#[test]
fn vocabularies_of_equal_size_need_not_be_equal() {
    let structure = against(|candidate| {
        tokenizer(candidate).vocabulary = tokens(&["a", "b", "ab", "x", "y"]).into_iter().collect();
    });
    let overlap = structure.vocabulary.unwrap();
    assert_eq!((overlap.shared, overlap.reference_only, overlap.candidate_only), (3, 2, 2));
    assert_eq!(overlap.candidate_examples, tokens(&["x", "y"]));
}

#[test]
fn prompts_that_were_not_cut_leave_it_open() {
    let structure = against(|candidate| candidate.tokenizer = None);
    assert_eq!(structure.comparability, Comparability::Unknown);
    assert_eq!(outcome(&structure, Check::PromptEncodings), Outcome::Unknown);
    assert_eq!(outcome(&structure, Check::Vocabulary), Outcome::Unknown);
    let structure = against(|candidate| {
        tokenizer(candidate).prompts.pop();
    });
    assert_eq!(structure.comparability, Comparability::OtherPrompts { reference: 2, candidate: 1 });
    assert_eq!(outcome(&structure, Check::PromptEncodings), Outcome::Unknown);
    let structure = against(|candidate| {
        tokenizer(candidate).prompts[0].pop();
    });
    let Comparability::CutDifferently { prompt: 0, token: 2, reference: Some(_), candidate: None } =
        structure.comparability
    else {
        panic!("{:?}", structure.comparability);
    };
}

#[test]
fn each_difference_is_found_by_its_check_alone() {
    type Change = fn(&mut ModelSummary);
    let cases: [(Check, Change); 6] = [
        (Check::Files, |m| m.files.as_mut().unwrap().get_mut("config.json").unwrap().sha256 = "bb".into()),
        (Check::WeightsDigest, |m| m.weights.as_mut().unwrap().digest = "w2".into()),
        (Check::Config, |m| m.config.as_mut().unwrap()["rope"]["base"] = json!(20000)),
        (Check::Merges, |m| tokenizer(m).merges = None),
        (Check::SpecialTokens, |m| tokenizer(m).special = BTreeSet::new()),
        (Check::CorpusEncodings, |m| tokenizer(m).corpus[1] = tokens(&["aa"])),
    ];
    for (check, change) in cases {
        assert_eq!(different(&against(change)), [check]);
    }
}

#[test]
fn a_hint_is_no_difference() {
    let similarity = SimilarityDistances { weights: Some(240), config: None };
    let structure = compare(&model(), &model(), similarity);
    assert_eq!(outcome(&structure, Check::WeightsSimilarity), Outcome::Hint);
    assert_eq!(outcome(&structure, Check::ConfigSimilarity), Outcome::Unknown);
    assert_eq!(different(&structure), []);
}

#[test]
fn configurations_are_compared_field_by_field() {
    let ours = json!({"a": 1, "b": {"c": 1.0, "x/y": [1, 2]}, "gone": null, "order": {"p": 1, "q": 2}});
    let theirs = json!({"order": {"q": 2, "p": 1}, "a": "1", "b": {"c": 1.0, "x/y": [2, 1], "new": {}}});
    let found: Vec<_> = config_differences(&ours, &theirs)
        .into_iter()
        .map(|difference| (difference.pointer, difference.reference, difference.candidate))
        .collect();
    let expected = vec![
        ("/a".to_owned(), Some(json!(1)), Some(json!("1"))),
        ("/b/new".to_owned(), None, Some(json!({}))),
        ("/b/x~1y".to_owned(), Some(json!([1, 2])), Some(json!([2, 1]))),
        ("/gone".to_owned(), Some(json!(null)), None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn tensors_are_counted_by_what_they_share() {
    let structure = against(|candidate| {
        let tensors = &mut candidate.weights.as_mut().unwrap().tensors;
        tensors.insert("embed".into(), tensor(&[5, 4], "other"));
        tensors.insert("new".into(), tensor(&[3], "t9"));
    });
    let overlap = structure.tensors.unwrap();
    assert_eq!((overlap.names, overlap.shared_names, overlap.equal_shapes, overlap.equal), (3, 2, 2, 1));
    assert_eq!((overlap.reference_elements, overlap.candidate_elements), (40, 43));
}
