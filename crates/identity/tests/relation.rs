//! Features by hand, and a classifier that learns what separates relations and says how often it is wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use lorica_identity::{
    Answer, Distribution, Token,
    relation::{
        Classifier, ClassifierError, Confusion, Feature, FeatureError, Features, FitError, Labelled,
        Observed, Relation,
    },
    structure::{
        ModelSummary, SimilarityDistances, TensorSummary, TokenizerSummary, WeightsSummary, compare,
    },
};
use rand::RngExt;
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
use serde_json::json;

fn distribution(entries: &[(&str, f64)]) -> Distribution {
    Distribution::new(entries.iter().map(|(t, p)| (Token::from(*t), p.ln())).collect()).unwrap()
}

fn observe(answers: &[(Answer, Answer)]) -> Result<Features, FeatureError> {
    Features::measure(Observed { answers, structure: None, bits_per_token: None })
}

fn one(ours: Distribution, theirs: Distribution) -> (Answer, Answer) {
    (Answer::Distributions(vec![ours]), Answer::Distributions(vec![theirs]))
}

fn assert_close(features: &Features, expected: &[(Feature, f64)]) {
    for (feature, value) in expected {
        let found = features.get(*feature).unwrap();
        assert!((found - value).abs() < 1e-5, "{feature:?}: {found}, by hand {value}");
    }
}

#[test]
fn features_of_answers_by_hand() {
    let p = distribution(&[("a", 0.5), ("b", 0.3), ("c", 0.2)]);
    let q = distribution(&[("b", 0.5), ("a", 0.3), ("c", 0.2)]);
    let features = observe(&[one(p.clone(), p.clone()), one(p, q)]).unwrap();
    // The distances are 0 and 0.2. The order a b c against b a c has two pairs in order and one not.
    assert_close(
        &features,
        &[
            (Feature::MeanDistance, 0.1_f64.ln()),
            (Feature::MedianDistance, 1e-6_f64.ln()),
            (Feature::NinthDecileDistance, 0.2_f64.ln()),
            (Feature::LargestDistance, 0.2_f64.ln()),
            (Feature::TinyShare, 0.5),
            (Feature::TopAgreement, 0.5),
            (Feature::TopOverlap, 1.0),
            (Feature::RankAgreement, f64::midpoint(1.0, 1.0 / 3.0)),
            (Feature::EntropyDifference, 0.0),
            (Feature::EntropyDistance, 0.0),
        ],
    );
    assert_eq!(features.get(Feature::BitsPerToken), None);
    assert_eq!(features.get(Feature::Size), None);
}

#[test]
fn another_temperature_is_a_line_without_rest() {
    let p: [f64; 4] = [0.5, 0.3, 0.15, 0.05];
    let heated = p.map(|probability| probability.powf(1.0 / 1.6));
    let sum: f64 = heated.iter().sum();
    let names = ["a", "b", "c", "d"];
    let told = |probabilities: [f64; 4]| {
        let entries: Vec<(&str, f64)> = names.into_iter().zip(probabilities).collect();
        distribution(&entries)
    };
    let features = observe(&[one(told(p), told(heated.map(|power| power / sum)))]).unwrap();
    assert_close(&features, &[(Feature::Slope, 1.0 / 1.6), (Feature::RankAgreement, 1.0)]);
    assert!(features.get(Feature::SlopeResidual).unwrap() < -13.0);
    assert!(features.get(Feature::EntropyDifference).unwrap() > 0.1);
}

#[test]
fn tokens_without_counterpart_are_no_obstacle() {
    let features = observe(&[one(distribution(&[("a", 1.0)]), distribution(&[("b", 0.9)]))]).unwrap();
    assert_close(
        &features,
        &[(Feature::MeanDistance, 0.0), (Feature::TopOverlap, 0.0), (Feature::TopAgreement, 0.0)],
    );
    assert_eq!(features.get(Feature::RankAgreement), None);
    assert_eq!(features.get(Feature::Slope), None);
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let p = || distribution(&[("a", 1.0)]);
    assert_eq!(observe(&[]), Err(FeatureError::NoDistributions));
    let texts = (Answer::Texts(vec!["a".into()]), Answer::Texts(vec!["a".into()]));
    let refused = (Answer::Distributions(vec![p()]), Answer::Refused("no".into()));
    assert_eq!(observe(&[texts, refused.clone()]), Err(FeatureError::NoDistributions));
    assert!(observe(&[refused, one(p(), p())]).is_ok());
    let uneven = (Answer::Distributions(vec![p()]), Answer::Distributions(vec![p(), p()]));
    assert_eq!(observe(&[uneven]), Err(FeatureError::Positions { pair: 0, reference: 1, candidate: 2 }));
    let answers = [one(p(), p())];
    let observed = Observed { answers: &answers, structure: None, bits_per_token: Some((1.0, f64::NAN)) };
    assert_eq!(Features::measure(observed), Err(FeatureError::NotFinite { feature: Feature::BitsPerToken }));
    assert!(serde_json::from_str::<Features>(r#"{"mean-distance": null}"#).is_err());
    assert!(serde_json::from_str::<Features>(r#"{"no-such-feature": 1.0}"#).is_err());
}

#[test]
fn features_of_files_by_hand() {
    let model = |rows: u64, kind: &str, words: &[&str]| ModelSummary {
        files: None,
        weights: Some(WeightsSummary {
            digest: rows.to_string(),
            tensors: BTreeMap::from([
                (
                    "embed".into(),
                    TensorSummary {
                        shape: vec![rows, 2],
                        number_type: "F32".into(),
                        digest: rows.to_string(),
                    },
                ),
                (
                    "norm".into(),
                    TensorSummary { shape: vec![4], number_type: "F32".into(), digest: "n".into() },
                ),
            ]),
        }),
        config: Some(json!({"model_type": kind, "vocab_size": rows})),
        tokenizer: Some(TokenizerSummary {
            vocabulary: words.iter().map(|word| Token::from(*word)).collect(),
            special: [].into(),
            merges: None,
            corpus: vec![],
            prompts: vec![vec![Token::from("a")]],
        }),
    };
    let similarity = SimilarityDistances { weights: Some(50), config: None };
    let structure =
        compare(&model(3, "gpt2", &["a", "b", "c"]), &model(8, "gpt2", &["a", "b", "d", "e"]), similarity);
    let p = distribution(&[("a", 1.0)]);
    let answers = [one(p.clone(), p)];
    let observed =
        Observed { answers: &answers, structure: Some(&structure), bits_per_token: Some((3.0, 3.5)) };
    let features = Features::measure(observed).unwrap();
    assert_close(
        &features,
        &[
            (Feature::BitsPerToken, 0.5),
            (Feature::VocabularyShare, 0.4),
            (Feature::ReferenceOnlyVocabulary, 0.2),
            (Feature::CandidateOnlyVocabulary, 0.4),
            (Feature::CutAlike, 1.0),
            (Feature::EqualShapes, 0.5),
            (Feature::EqualNumberTypes, 1.0),
            (Feature::EqualTensors, 0.5),
            (Feature::Size, 2.0_f64.ln()),
            (Feature::ConfigDifferences, 2.0_f64.ln()),
            (Feature::OtherArchitecture, 0.0),
            (Feature::WeightsSimilarity, 0.5),
        ],
    );
    let text = serde_json::to_string(&features).unwrap();
    assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), features);
}

/// Pairs of three relations around different centres, and of four groups with a small shift each.
fn pairs(seed: u64, each: u32, spread: f64) -> Vec<Labelled> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let centres = [
        (Relation::Same, [-9.0, 1.0, 1.0]),
        (Relation::Quantized, [-4.0, 0.9, 0.2]),
        (Relation::OtherArchitecture, [-1.0, 0.2, 0.0]),
    ];
    let mut pairs = Vec::new();
    for group in 0..4_u32 {
        for (relation, centre) in centres {
            for _ in 0..each {
                let mut at = centre.map(|value| value + spread * (rng.random::<f64>() - 0.5)).into_iter();
                let mut next = || at.next().unwrap() + 0.05 * f64::from(group);
                let values = BTreeMap::from([
                    (Feature::MeanDistance, next()),
                    (Feature::TopAgreement, next()),
                    (Feature::EqualTensors, next()),
                    // Never varies, so nothing can be learned from it.
                    (Feature::OtherArchitecture, 0.0),
                ]);
                let features = Features::new(values).unwrap();
                pairs.push(Labelled { features, relation, group: format!("base-{group}") });
            }
        }
    }
    pairs
}

#[test]
fn relations_that_differ_are_told_apart_on_groups_never_seen() {
    let confusion = Confusion::leave_one_group_out(&pairs(1, 5, 0.5)).unwrap();
    assert_eq!((confusion.total(), confusion.right(), confusion.never_learned), (60, 60, 0));
    // What overlaps is confused, and the matrix says so.
    let confusion = Confusion::leave_one_group_out(&pairs(2, 5, 12.0)).unwrap();
    assert_eq!(confusion.total(), 60);
    assert!((20..58).contains(&confusion.right()), "{}", confusion.right());
}

#[test]
fn labels_that_say_nothing_are_not_learned() {
    let mut rng = ChaCha12Rng::seed_from_u64(3);
    let mut pairs = pairs(3, 15, 0.5);
    let relations = [Relation::Same, Relation::Quantized, Relation::OtherArchitecture];
    for pair in &mut pairs {
        pair.relation = relations[rng.random_range(0..3)];
    }
    let confusion = Confusion::leave_one_group_out(&pairs).unwrap();
    // 180 pairs by chance: 60 right, five standard deviations are 32.
    assert!(confusion.right().abs_diff(60) < 32, "{}", confusion.right());
}

#[test]
fn probabilities_add_up_and_doubt_shows() {
    let classifier = Classifier::fit(&pairs(4, 5, 0.5)).unwrap();
    let said = classifier.classify(&pairs(5, 1, 0.5)[0].features);
    assert_eq!(said.likeliest, Relation::Same);
    assert!((said.probabilities.values().sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(said.probabilities[&Relation::Same] > 0.9);
    // Half-way between two relations, neither is certain.
    let between = BTreeMap::from([
        (Feature::MeanDistance, -6.5),
        (Feature::TopAgreement, 0.95),
        (Feature::EqualTensors, 0.6),
    ]);
    let said = classifier.classify(&Features::new(between).unwrap());
    assert!(said.probabilities[&Relation::Same] < 0.8 && said.probabilities[&Relation::Quantized] < 0.8);
    // Nothing known: no relation is favoured by how many pairs it had.
    let mut uneven = pairs(4, 5, 0.5);
    uneven.extend(pairs(6, 20, 0.5).into_iter().filter(|pair| pair.relation == Relation::Same));
    for classifier in [classifier, Classifier::fit(&uneven).unwrap()] {
        let said = classifier.classify(&Features::default());
        assert!(said.probabilities.values().all(|probability| *probability < 0.9), "{said:?}");
    }
}

#[test]
fn the_fit_depends_on_the_pairs_alone_and_survives_its_file() {
    let classifier = Classifier::fit(&pairs(7, 4, 1.0)).unwrap();
    assert_eq!(classifier, Classifier::fit(&pairs(7, 4, 1.0)).unwrap());
    let text = classifier.to_json().unwrap();
    let read = Classifier::from_json(&text).unwrap();
    assert_eq!(read, classifier);
    assert_eq!((read.pairs(), read.relations().len()), (48, 3));
    assert!(
        !text.contains("other-architecture\",\n      \"mean"),
        "a feature that never varies has no scale"
    );
    // The order of the pairs changes rounding only.
    let mut reversed = pairs(7, 4, 1.0);
    reversed.reverse();
    let other = Classifier::fit(&reversed).unwrap();
    for pair in pairs(8, 2, 1.0) {
        let (ours, theirs) = (classifier.classify(&pair.features), other.classify(&pair.features));
        assert_eq!(ours.likeliest, theirs.likeliest);
        for (relation, probability) in ours.probabilities {
            assert!((probability - theirs.probabilities[&relation]).abs() < 1e-6);
        }
    }
}

#[test]
fn a_file_that_is_no_classifier_is_refused() {
    type Change = fn(&mut serde_json::Value);
    let text = Classifier::fit(&pairs(9, 2, 1.0)).unwrap().to_json().unwrap();
    let changed = |change: Change| {
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        Classifier::from_json(&value.to_string()).unwrap_err().to_string()
    };
    let cases: [(Change, &str); 7] = [
        (|v| v["format"] = json!("lorica-relation-2"), "format"),
        (|v| v["extra"] = json!(1), "extra"),
        (|v| v["classes"] = json!([]), "classes"),
        (|v| v["classes"][1] = v["classes"][0].clone(), "classes"),
        (|v| v["scales"][1] = v["scales"][0].clone(), "scales"),
        (|v| v["scales"][0]["deviation"] = json!(0.0), "deviation"),
        (|v| v["classes"][0]["coefficients"] = json!([1.0]), "coefficients"),
    ];
    for (change, place) in cases {
        let message = changed(change);
        assert!(message.contains(place), "{place}: {message}");
    }
    assert!(matches!(Classifier::from_json("{"), Err(ClassifierError::Json { .. })));
}

#[test]
fn pairs_that_teach_nothing_are_an_error() {
    let one: Vec<Labelled> =
        pairs(10, 2, 1.0).into_iter().filter(|pair| pair.relation == Relation::Same).collect();
    assert_eq!(Classifier::fit(&one), Err(FitError::TooFewRelations { found: 1 }));
    assert_eq!(Classifier::fit(&[]), Err(FitError::TooFewRelations { found: 0 }));
    let mut grouped = pairs(10, 2, 1.0);
    grouped.retain(|pair| pair.group == "base-0");
    assert_eq!(Confusion::leave_one_group_out(&grouped), Err(FitError::TooFewGroups { found: 1 }));
}

#[test]
fn a_relation_of_one_group_alone_is_counted_as_never_learned() {
    let mut pairs = pairs(11, 2, 0.5);
    for pair in pairs.iter_mut().filter(|pair| pair.group == "base-0" && pair.relation == Relation::Quantized)
    {
        pair.relation = Relation::Pruned;
    }
    let confusion = Confusion::leave_one_group_out(&pairs).unwrap();
    assert_eq!((confusion.never_learned, confusion.total()), (2, 24));
    assert_eq!(confusion.counts[&Relation::Same], BTreeMap::from([(Relation::Same, 8)]));
    assert_eq!(confusion.counts[&Relation::Pruned], BTreeMap::from([(Relation::Quantized, 2)]));
}
