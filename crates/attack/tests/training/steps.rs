//! Steps of training as configurations make them: no committed number of a real step can be another one.

use lorica_argument::opening::OpeningMode;
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::values::{ForgedValues, Outside};
use lorica_relation::training::TrainingConfig;
use lorica_testkit::random::Random;
use lorica_train::{Chunk, DataSet, FixedTrainer, initial_parameters};
use lorica_verify::training::TrainingInvalid;

use crate::forging::{Case, is_accepted, outcome};

fn config(loss: &str, update: &str) -> String {
    format!(
        "format = \"lorica-training/1\"\n[model]\nlayers = [4, 3, 2]\n[loss]\nkind = \"{loss}\"\n[update]\n{update}\n\
         [batch]\nsize = 2\n"
    )
}

/// Two steps of a tiny network on random samples.
fn steps(text: &str) -> Case {
    let settings = TrainingConfig::from_toml(text).unwrap().settings().unwrap();
    let mut random = Random::new(5);
    let rows = 4;
    let mut samples = Vec::new();
    for row in 0..rows {
        samples.extend((0..4).map(|_| random.below(120) as i16 - 60));
        samples.extend((0..2).map(|class| i16::from(class == row % 2) << settings.target_bits));
    }
    let data = DataSet::new(4, 2, samples).unwrap();
    let parameters = initial_parameters(&settings, 3);
    let mut trainer = FixedTrainer::new(settings, parameters).unwrap();
    let batches = [vec![0, 1], vec![2, 3]];
    let Chunk { program, witness } = trainer.run(&data, &batches).unwrap();
    Case::new(program.program, witness, batches.concat(), 1024)
}

/// In the clear it is refused, and a prover that goes on anyway is refused by the verifier.
fn every_entry(text: &str) {
    let case = steps(text);
    is_accepted(&case.forger, &case.witness, text);
    for (tensor, values) in case.integers.tensors.iter().enumerate() {
        let name = &case.program().tensors[tensor].name;
        for entry in 0..values.len() {
            let what = format!("{text}: {name}, entry {entry}");
            let mut changed = case.integers.clone();
            changed.tensors[tensor][entry] += 1;
            case.program().check(&changed).expect_err(&what);
            let witness = FieldWitness::of(&changed);
            let values =
                ForgedValues { outside: Outside::Left, ..ForgedValues::new(&case.forger.context, &witness) };
            let result = outcome(&case.forger, &values, OpeningMode::Fast);
            assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{what}");
        }
    }
}

#[test]
fn every_entry_of_steps_with_cross_entropy_and_momentum() {
    every_entry(&config("cross-entropy", "kind = \"sgd\"\nlearning_rate = 0.1\nmomentum = 0.9"));
}

#[test]
fn every_entry_of_steps_with_mean_squared_error_and_weight_decay() {
    every_entry(&config("mean-squared-error", "kind = \"sgd\"\nlearning_rate = 0.1\nweight_decay = 0.01"));
}

#[test]
fn every_entry_of_lora_steps() {
    every_entry(&config("cross-entropy", "kind = \"lora\"\nlearning_rate = 0.1\nrank = 2\nalpha = 4"));
}
