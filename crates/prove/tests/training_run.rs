//! Chains of training proofs: each is for one run, one configuration, one place in the chain and one choice of batches; and none
//! shares a message with another.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashSet};

use lorica_algebra::Point;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::generators::Generators;
use lorica_prove::rows::data::DataRegistration;
use lorica_prove::rows::model::{Limbs, ModelRegistration};
use lorica_prove::secret::AdapterSecret;
use lorica_prove::training::run::{NextSteps, RunProofError, RunProver};
use lorica_relation::training::{Settings, TrainingConfig, WeightMatrix};
use lorica_tensor::Digest;
use lorica_testkit::adapter::entropy;
use lorica_testkit::random::Random;
use lorica_train::{DataSet, FixedTrainer, State};
use lorica_verify::rows::data::{Columns, PinnedData, RegisteredData};
use lorica_verify::rows::model::{ManifestMatrix, PinnedModel, RegisteredModel};
use lorica_verify::training::run::{Run, RunId, RunInvalid, RunState, carried_matrices};
use zeroize::Zeroizing;

const ROW_LENGTH: usize = 1024;
const ROWS: usize = 5;

fn settings(learning_rate: &str) -> Settings {
    let text = format!(
        "format = \"lorica-training/1\"\n[model]\nlayers = [3, 2]\n[loss]\nkind = \"mean-squared-error\"\n\
         [update]\nkind = \"sgd\"\nlearning_rate = {learning_rate}\nmomentum = 0.9\n[batch]\nsize = 2\n"
    );
    TrainingConfig::from_toml(&text).unwrap().settings().unwrap()
}

/// A registered model and data set, and two proofs of two steps each.
struct Fixture {
    settings: Settings,
    data: PinnedData,
    model: PinnedModel,
    generators: Generators,
    batches: [Vec<Vec<usize>>; 2],
    /// Before the first proof, between the two, and after the second.
    states: [RunState; 3],
    proofs: [Vec<u8>; 2],
}

fn register_data(settings: &Settings, samples: &[i16], secret: &AdapterSecret, seed: u64) -> PinnedData {
    let generators = Generators::derive(0, 0);
    let inputs = settings.layers[0].inputs;
    let random = &mut Random::new(seed);
    let registration = DataRegistration {
        inputs: Columns { width: inputs, fraction_bits: settings.input_bits },
        targets: Columns { width: settings.sample_width() - inputs, fraction_bits: settings.target_bits },
        rows: samples,
        nonce: Digest(random.bytes()),
        secret,
        generators: &generators,
    };
    let registered = registration.run(&entropy(random), &|_, _| {}).unwrap();
    let data = RegisteredData::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None);
    data.unwrap().pin(&registered.proof, &generators).unwrap()
}

fn register_model(
    settings: &Settings,
    values: &[Zeroizing<Vec<i32>>],
    secret: &AdapterSecret,
) -> PinnedModel {
    register_matrices(settings.weights(), values, secret)
}

fn register_matrices(
    matrices: Vec<WeightMatrix>,
    values: &[Zeroizing<Vec<i32>>],
    secret: &AdapterSecret,
) -> PinnedModel {
    let generators = Generators::derive(0, 0);
    let random = &mut Random::new(72);
    let matrices = matrices.into_iter().map(|weight| ManifestMatrix {
        name: weight.name.parse().unwrap(),
        rows: weight.shape.rows,
        columns: weight.shape.columns,
        fraction_bits: weight.bits,
    });
    let limbs: Vec<Limbs> = values
        .iter()
        .map(|values| {
            let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
            Limbs::of("weights", &values).unwrap()
        })
        .collect();
    let registration = ModelRegistration {
        row_length: ROW_LENGTH,
        matrices: matrices.collect(),
        limbs: &limbs,
        nonce: Digest(random.bytes()),
        secret,
        generators: &generators,
    };
    let registered = registration.run(&entropy(random), &|_, _| {}).unwrap();
    let model = RegisteredModel::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None);
    model.unwrap().pin(&registered.proof, &generators).unwrap()
}

const NAME: RunId = RunId(Digest([1; 32]));

fn fixture() -> Fixture {
    let settings = settings("0.1");
    let (inputs, width) = (settings.layers[0].inputs, settings.sample_width());
    let mut random = Random::new(70);
    let samples: Vec<i16> = (0..ROWS * width).map(|_| random.below(120) as i16 - 60).collect();
    let weights: Vec<Zeroizing<Vec<i32>>> = settings
        .weights()
        .iter()
        .map(|weight| {
            let entries = 0..weight.shape.entries();
            Zeroizing::new(entries.map(|_| random.below(60_000) as i32 - 30_000).collect())
        })
        .collect();
    let secrets = [AdapterSecret::from_seed([3; 32]), AdapterSecret::from_seed([4; 32])];
    let data = register_data(&settings, &samples, &secrets[0], 71);
    let model = register_model(&settings, &weights, &secrets[1]);
    let generators = Generators::derive(ROW_LENGTH, 0);
    let set = DataSet::new(inputs, width - inputs, samples).unwrap();
    let mut trainer = FixedTrainer::new(settings.clone(), weights).unwrap();
    let batches = [vec![vec![0, 3], vec![3, 4]], vec![vec![1, 1], vec![2, 0]]];
    let run = Run { id: NAME, settings: &settings, data: &data, model: &model };
    let prover =
        RunProver { run, data_secret: &secrets[0], model_secret: &secrets[1], generators: &generators };
    let begin = run.begin().unwrap();
    let (mut state, mut blinds) = (begin.clone(), prover.begin(&begin));
    let mut made = Vec::new();
    for batches in &batches {
        let witness = trainer.run(&set, batches).unwrap().witness;
        // The generator repeats.
        let next = prover.next(&state, &blinds, batches, &witness, &entropy(&mut Random::new(73)));
        let NextSteps { proof, tensor_blinds: _, state: after, blinds: later } = next.unwrap();
        made.push((proof, after.clone()));
        (state, blinds) = (after, later);
    }
    let [(first, between), (second, after)]: [_; 2] = made.try_into().ok().unwrap();
    Fixture {
        states: [begin, between, after],
        proofs: [first, second],
        settings,
        data,
        model,
        generators,
        batches,
    }
}

fn shift(point: &mut EncodedPoint) {
    *point = EncodedPoint::new(point.point() + Point::from_uniform_bytes(&[7; 64]));
}

#[test]
fn a_proof_is_for_one_place_of_one_run() {
    let fixture = fixture();
    let Fixture { settings: honest, data, model, generators, batches, states, proofs } = &fixture;
    let run = Run { id: NAME, settings: honest, data, model };
    // Taken apart without `..`, so that a new input does not compile until it has a case below.
    let Run { id: _, settings: _, data: _, model: _ } = &run;
    let RunState { steps: _, parameters: _, carried: _, last_proof: _ } = &states[1];
    for place in 0..2 {
        let after = run.verify(&states[place], &batches[place], &proofs[place], generators).unwrap();
        assert_eq!(after, states[place + 1]);
    }
    let verify = |run: Run<'_>, state: &RunState, batches: &[Vec<usize>]| {
        run.verify(state, batches, &proofs[1], generators).err()
    };
    // The run's parts.
    let other_name = Run { id: RunId(Digest([2; 32])), ..run };
    let other_rate = settings("0.2");
    let other_rate = Run { settings: &other_rate, ..run };
    let samples = vec![5; ROWS * honest.sample_width()];
    let other_data = register_data(honest, &samples, &AdapterSecret::from_seed([3; 32]), 74);
    let other_data = Run { data: &other_data, ..run };
    let zeros: Vec<_> =
        honest.weights().iter().map(|weight| Zeroizing::new(vec![0; weight.shape.entries()])).collect();
    let other_model = register_model(honest, &zeros, &AdapterSecret::from_seed([4; 32]));
    let other_model = Run { model: &other_model, ..run };
    for (index, other) in [other_name, other_rate, other_data, other_model].into_iter().enumerate() {
        assert!(verify(other, &states[1], &batches[1]).is_some(), "part {index} of the run may be changed");
    }
    // The state.
    let changes: [fn(&mut RunState); 7] = [
        |state| state.steps += 1,
        |state| state.steps = 0,
        |state| shift(&mut state.parameters[0][0]),
        |state| drop(state.parameters.pop()),
        |state| shift(&mut state.carried[0][0]),
        |state| drop(state.carried.pop()),
        |state| state.last_proof.0[0] ^= 1,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = states[1].clone();
        change(&mut changed);
        assert!(verify(run, &changed, &batches[1]).is_some(), "change {index} of the state is accepted");
    }
    for (place, state) in [(0, &states[0]), (2, &states[2])] {
        assert!(verify(run, state, &batches[1]).is_some(), "the second proof is accepted in place {place}");
    }
    // The batches.
    let changes: [fn(&mut Vec<Vec<usize>>); 8] = [
        |batches| batches.swap(0, 1),
        |batches| batches[1].swap(0, 1),
        |batches| batches[0][0] = 4,
        |batches| batches[0][0] = ROWS,
        |batches| batches[0].push(0),
        |batches| batches.truncate(1),
        |batches| batches.push(vec![0, 1]),
        |batches| batches.clear(),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut changed = batches[1].clone();
        change(&mut changed);
        assert!(verify(run, &states[1], &changed).is_some(), "change {index} of the batches is accepted");
    }
}

/// With one value of entropy for all: no element of a proof stands in another one, or among the commitments that it starts from.
#[test]
fn proofs_of_a_chain_have_nothing_in_common() {
    let Fixture { states, proofs, .. } = fixture();
    let mut seen = HashSet::new();
    for proof in &proofs {
        for element in proof[9..].as_chunks::<32>().0 {
            assert!(seen.insert(*element), "an element came up twice");
        }
    }
    // Parameters and what is carried over between the proofs: sums of commitments, and rows that the first proof sent.
    let parameters: BTreeSet<[u8; 32]> = states
        .iter()
        .flat_map(|state| state.parameters.iter().flatten())
        .map(|point| *point.bytes())
        .collect();
    assert_eq!(parameters.len(), 3 * states[0].parameters.iter().flatten().count());
    assert!(parameters.iter().all(|point| !seen.contains(point)));
    assert!(states[1].carried.iter().flatten().all(|point| seen.contains(point.bytes())));
}

/// A buffer that a model registers behind its weights enters the first step, and no other one can.
#[test]
fn the_first_step_takes_over_the_registered_momentum_alone() {
    let settings = settings("0.1");
    let (inputs, width) = (settings.layers[0].inputs, settings.sample_width());
    let mut random = Random::new(80);
    let samples: Vec<i16> = (0..ROWS * width).map(|_| random.below(120) as i16 - 60).collect();
    let entries = settings.weights()[0].shape.entries();
    let weights =
        Zeroizing::new((0..entries).map(|_| random.below(60_000) as i32 - 30_000).collect::<Vec<_>>());
    let buffer = Zeroizing::new((0..entries).map(|_| random.below(600) as i16 - 300).collect::<Vec<_>>());
    let wide = Zeroizing::new(buffer.iter().map(|value| i32::from(*value)).collect::<Vec<_>>());
    let secrets = [AdapterSecret::from_seed([3; 32]), AdapterSecret::from_seed([4; 32])];
    let data = register_data(&settings, &samples, &secrets[0], 81);
    let mut matrices = settings.weights();
    matrices.extend(carried_matrices(&settings).unwrap());
    assert_eq!(matrices[1].name, "momentum.W0");
    let values = [weights.clone(), wide];
    let model = register_matrices(matrices.clone(), &values, &secrets[1]);
    let generators = Generators::derive(ROW_LENGTH, 0);
    let run = Run { id: NAME, settings: &settings, data: &data, model: &model };
    let prover =
        RunProver { run, data_secret: &secrets[0], model_secret: &secrets[1], generators: &generators };
    let state = run.begin().unwrap();
    let set = DataSet::new(inputs, width - inputs, samples).unwrap();
    let batches = [vec![0, 3], vec![3, 4]];
    let prove = |carried: Zeroizing<Vec<i16>>| {
        let start = State { steps: 0, parameters: vec![weights.clone()], carried: vec![carried] };
        let mut trainer = FixedTrainer::resume(settings.clone(), start).unwrap();
        let witness = trainer.run(&set, &batches).unwrap().witness;
        let blinds = prover.begin(&state);
        prover.next(&state, &blinds, &batches, &witness, &entropy(&mut Random::new(82)))
    };
    let next = prove(buffer.clone()).unwrap();
    assert_eq!(run.verify(&state, &batches, &next.proof, &generators), Ok(next.state));
    // Another buffer, and none: honest steps from what was not registered.
    let mut other = buffer.clone();
    other[2] += 100;
    for carried in [other, Zeroizing::new(vec![0; entries])] {
        assert!(matches!(prove(carried), Err(RunProofError::Run(RunInvalid::Proof { .. }))));
    }
    // A matrix behind the weights that is no buffer.
    matrices[1].name = "momentum.W1".to_owned();
    let model = register_matrices(matrices, &values, &secrets[1]);
    let begun = Run { model: &model, ..run }.begin();
    assert!(matches!(begun, Err(RunInvalid::Mismatch { .. })), "{:?}", begun.err());
}
