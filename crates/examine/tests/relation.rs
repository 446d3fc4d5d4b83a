//! The shipped fit of relations, on shipped models.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use lorica_examine::{
    local::{LocalModel, LocalOptions},
    relation::{Related, classifier, relate},
    structure::FolderSummary,
};
use lorica_identity::{Bank, ChallengeKey, relation::Relation};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(name)
}

fn related(reference: &str, candidate: &str) -> Related {
    let bank = Bank::standard().unwrap();
    let read = |name: &str| FolderSummary::read(&folder(name), &bank, &mut |_| ()).unwrap();
    let open = |name: &str| LocalModel::open(&folder(name), LocalOptions::default()).unwrap();
    let structure = read(reference).compare(&read(candidate));
    let challenges = bank.challenges(&ChallengeKey::new([7; 32]), "relation", 0..10, 4).unwrap();
    relate(&mut open(reference), &mut open(candidate), &challenges, Some(&structure), &mut |_| ()).unwrap()
}

#[test]
fn the_shipped_fit_knows_what_a_folder_can_be() {
    let classifier = classifier().unwrap();
    assert!(classifier.pairs() >= 200, "{}", classifier.pairs());
    let probabilities = related("tiny-gpt2", "tiny-gpt2").classification.probabilities;
    for relation in [
        Relation::Same,
        Relation::Quantized,
        Relation::FineTuned,
        Relation::LoraMerged,
        Relation::Pruned,
        Relation::DistilledOrResized,
        Relation::OtherSeed,
        Relation::OtherArchitecture,
    ] {
        assert!(probabilities.contains_key(&relation), "{relation:?}");
    }
    let sum: f64 = probabilities.values().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
}

#[test]
fn a_model_and_itself_are_the_same() {
    assert_eq!(related("tiny-gpt2", "tiny-gpt2").classification.likeliest, Relation::Same);
}

#[test]
fn a_model_of_another_family_is_another_architecture() {
    for (reference, candidate) in [("tiny-gpt2", "tiny-llama"), ("tiny-llama", "tiny-gpt2")] {
        assert_eq!(
            related(reference, candidate).classification.likeliest,
            Relation::OtherArchitecture,
            "{reference} against {candidate}"
        );
    }
}
