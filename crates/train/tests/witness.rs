//! Witnesses of the trainer: the program accepts them, and refuses every change of a committed number.

use lorica_relation::training::TrainingConfig;
use lorica_train::{Chunk, DataSet, FixedTrainer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

/// Steps of a random network on random data.
fn chunk(text: &str, steps: usize) -> Chunk {
    let config = TrainingConfig::from_toml(text).expect("a configuration");
    let settings = config.settings().expect("settings");
    let mut random = ChaCha20Rng::seed_from_u64(7);
    let program = settings.program(1, 0).expect("a program").program;
    let parameters = program.parameters.iter().map(|parameter| {
        let values = (0..parameter.shape.entries()).map(|_| random.random_range(-50_000..50_000));
        Zeroizing::new(values.collect())
    });
    let parameters = parameters.collect();
    let inputs = settings.layers[0].inputs;
    let targets = settings.sample_width() - inputs;
    let rows = 23;
    let mut samples: Vec<i16> = Vec::new();
    for _ in 0..rows {
        samples.extend((0..inputs).map(|_| random.random_range(-64..64i16)));
        let class = random.random_range(0..targets);
        samples.extend((0..targets).map(|target| i16::from(target == class) << settings.target_bits));
    }
    let data = DataSet::new(inputs, targets, samples).expect("whole rows");
    let mut trainer = FixedTrainer::new(settings, parameters).expect("parameters that fit");
    let mut batches = || -> Vec<Vec<usize>> {
        let mut batch = || (0..config.batch.size).map(|_| random.random_range(0..rows)).collect();
        (0..steps).map(|_| batch()).collect()
    };
    // A first chunk, so that the second starts with changes that are carried over.
    trainer.run(&data, &batches()).expect("steps");
    let chunk = trainer.run(&data, &batches()).expect("steps");
    assert_eq!(chunk.program.program.steps_before, steps as u64);
    chunk
}

fn config(layers: &str, loss: &str, update: &str, more: &str) -> String {
    format!(
        "format = \"lorica-training/1\"\n[model]\nlayers = {layers}\n{more}\n[loss]\nkind = \"{loss}\"\n\
         [update]\n{update}\n[batch]\nsize = 5\n"
    )
}

const SGD: &str = "kind = \"sgd\"\nlearning_rate = 0.1";
const MOMENTUM: &str = "kind = \"sgd\"\nlearning_rate = 0.05\nmomentum = 0.9\nweight_decay = 0.01";
const LORA: &str = "kind = \"lora\"\nlearning_rate = 0.05\nrank = 2\nalpha = 3";
const LORA_TOP: &str =
    "kind = \"lora\"\nlearning_rate = 0.05\nrank = 3\nalpha = 6\nmomentum = 0.5\nadapted = [1]";
const BITS: &str = "\n[tolerance]\nbits = 3";

/// Every kind of loss, update and shape.
fn configurations() -> Vec<String> {
    let mut list = Vec::new();
    for loss in ["mean-squared-error", "cross-entropy"] {
        for update in [SGD, MOMENTUM, LORA, LORA_TOP] {
            for (layers, more) in [("[3, 4, 2]", ""), ("[5, 3, 3, 7]", "bias = false")] {
                list.push(config(layers, loss, update, more));
            }
        }
        list.push(config("[6, 3]", loss, SGD, ""));
        list.push(config("[3, 4, 2]", loss, SGD, "") + BITS);
    }
    list
}

#[test]
fn the_program_accepts_what_the_trainer_makes() {
    for text in configurations() {
        let Chunk { program, witness } = chunk(&text, 3);
        assert_eq!(program.program.check(&witness), Ok(()), "{text}");
    }
}

#[test]
fn every_change_of_a_committed_number_is_refused() {
    for text in configurations() {
        let Chunk { program, mut witness } = chunk(&text, 1);
        let program = program.program;
        for tensor in 0..program.tensors.len() {
            for entry in 0..witness.tensors[tensor].len() {
                let value = witness.tensors[tensor][entry];
                let is_delta = program.tensors[tensor].name.starts_with('d');
                for change in [1, -1] {
                    // With a tolerance, a change of a weight by less than it is no violation.
                    if is_delta && text.contains("tolerance") && (-8..=8).contains(&change) {
                        continue;
                    }
                    witness.tensors[tensor][entry] = value.wrapping_add(change);
                    assert!(
                        program.check(&witness).is_err(),
                        "{text}\n{}[{entry}] + {change}",
                        program.tensors[tensor].name
                    );
                }
                witness.tensors[tensor][entry] = value;
            }
        }
        assert_eq!(program.check(&witness), Ok(()));
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_other_value_of_a_committed_number_is_accepted(
        which in 0..configurations().len(), place in proptest::prelude::any::<proptest::sample::Index>(),
        other in proptest::prelude::any::<i16>(),
    ) {
        let text = &configurations()[which];
        let Chunk { program, mut witness } = chunk(text, 1);
        let program = program.program;
        let places: Vec<(usize, usize)> = (0..witness.tensors.len())
            .flat_map(|tensor| (0..witness.tensors[tensor].len()).map(move |entry| (tensor, entry)))
            .collect();
        let (tensor, entry) = places[place.index(places.len())];
        let value = std::mem::replace(&mut witness.tensors[tensor][entry], other);
        let is_tolerated = text.contains("tolerance")
            && program.tensors[tensor].name.starts_with('d')
            && (i32::from(value) - i32::from(other)).abs() <= 10;
        proptest::prop_assume!(value != other && !is_tolerated);
        proptest::prop_assert!(program.check(&witness).is_err());
    }
}
