//! What a training proof tells beyond its statement: nothing. Each message is accounted for, and can be made without the witness.
//! The argument is `docs/spec/tensor-programs.md`, section 7.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lorica_algebra::Point;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_prove::training::values::{IntegerValues, ValuesError};
use lorica_relation::program::evaluate::Witness;
use lorica_relation::program::{Check, Rule, Shape, Term, Value};
use lorica_tensor::Digest;
use lorica_testkit::adapter::entropy;
use lorica_testkit::random::Random;
use lorica_testkit::tamper::training::proof_fields;
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_testkit::training_simulator::simulate_training;
use lorica_testkit::transcript::Foreseen;
use lorica_verify::training::context::Context;
use lorica_verify::training::{TRAINING_PROTOCOL, TrainingProof};

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

const SIZES: SmallProgram =
    SmallProgram { steps: 2, samples: 3, inputs: 5, outputs: 4, data_rows: 5, row_length: 16 };

fn fixture() -> TrainingFixture {
    TrainingFixture::small(SIZES, 90)
}

fn prove_on(
    fixture: &TrainingFixture,
    witness: &Witness,
    mode: OpeningMode,
    seed: u64,
    transcript: &mut dyn Transcript,
) -> TrainingProof {
    let values = IntegerValues::new(&fixture.context, witness).unwrap();
    fixture.prove_on(mode, Some(&values), &entropy(&mut Random::new(seed)), transcript).unwrap().proof
}

fn prove(fixture: &TrainingFixture, mode: OpeningMode, seed: u64) -> TrainingProof {
    prove_on(fixture, &fixture.witness, mode, seed, &mut FiatShamir::new(TRAINING_PROTOCOL))
}

/// The 32-byte elements of a proof: points and scalars alike.
fn elements(proof: &TrainingProof) -> Vec<[u8; 32]> {
    let bytes = proof.to_bytes();
    let (elements, rest) = bytes[9..].as_chunks::<32>();
    assert!(rest.is_empty());
    elements.to_vec()
}

fn assert_nothing_in_common(first: &TrainingProof, second: &TrainingProof) {
    let (first, second) = (elements(first), elements(second));
    assert_eq!(first.len(), second.len());
    let first: HashSet<_> = first.into_iter().collect();
    for (index, element) in second.iter().enumerate() {
        assert!(!first.contains(element), "element {index} stands in the other proof as well");
    }
}

/// Why a message can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Simulatable {
    /// Pedersen commitments, each with a fresh uniform blind: uniform points.
    HidingCommitments,
    /// The response of a sigma protocol: a uniform scalar, from which the first message follows.
    SigmaResponse,
    /// A first message or value that the verifier's equation determines from the challenge and the responses.
    DeterminedByResponses,
    /// A function of the uniformly masked vector and of challenges alone.
    OfTheMaskedVector,
}

#[test]
fn every_message_is_in_the_inventory() {
    use Simulatable::*;
    let inventory = BTreeMap::from([
        ("tensors", HidingCommitments),
        ("multiplicities", HidingCommitments),
        ("scratch", HidingCommitments),
        ("product.t_a", DeterminedByResponses),
        ("product.t_b", DeterminedByResponses),
        ("product.t_0", DeterminedByResponses),
        ("product.t_1", HidingCommitments),
        ("product.f_a", SigmaResponse),
        ("product.f_b", SigmaResponse),
        ("product.tau_a", SigmaResponse),
        ("product.tau_b", SigmaResponse),
        ("product.tau_c", SigmaResponse),
        ("opening.mask_commitment", DeterminedByResponses),
        ("opening.mask_value", DeterminedByResponses),
        ("opening.blind", SigmaResponse),
        ("opening.vector", SigmaResponse),
        ("opening.folds.left", OfTheMaskedVector),
        ("opening.folds.right", OfTheMaskedVector),
        ("opening.last", OfTheMaskedVector),
    ]);
    let fixture = fixture();
    let seen: BTreeSet<_> = MODES.iter().flat_map(|mode| proof_fields(&prove(&fixture, *mode, 1))).collect();
    let listed: BTreeSet<_> = inventory.keys().copied().collect();
    assert_eq!(seen, listed, "messages sent (left) and messages accounted for (right)");
}

/// The number of messages of each kind is the statement's, whatever the witness.
#[test]
fn sizes_follow_from_the_statement() {
    for mode in MODES {
        let length = |seed| prove(&TrainingFixture::small(SIZES, seed), mode, seed).to_bytes().len();
        assert_eq!(length(1), length(2));
    }
}

/// With the challenges fixed, a message that were a function of the witness alone would come out the same twice.
#[test]
fn no_message_is_a_function_of_witness_and_challenges_alone() {
    let fixture = fixture();
    for mode in MODES {
        let prove =
            |seed| elements(&prove_on(&fixture, &fixture.witness, mode, seed, &mut Foreseen::new(91)));
        let (first, second) = (prove(1), prove(2));
        assert_eq!(first.len(), second.len());
        for (index, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_ne!(first, second, "{mode:?}: element {index} does not depend on the prover's randomness");
        }
        // The whole proof is a function of the entropy, so nothing else is left that could differ.
        assert_eq!(prove(1), first);
    }
}

/// Within a proof as well: rows that are equal, as zeros are, would show if two blinds were.
#[test]
fn proofs_of_one_statement_differ_in_every_element() {
    let fixture = fixture();
    let mut seen = HashSet::new();
    for seed in 0..4 {
        for element in elements(&prove(&fixture, OpeningMode::Fast, seed)) {
            assert!(seen.insert(element), "an element came up twice");
        }
    }
}

/// A broken entropy source that repeats must not repeat a blind or a mask over two statements.
#[test]
fn repeated_entropy_does_not_repeat_masks_for_another_statement() {
    let (first, mut second) = (fixture(), fixture());
    let mut statement = second.context.statement;
    statement.digest = Digest([8; 32]);
    second.context = Context::new(statement).unwrap();
    for mode in MODES {
        assert_nothing_in_common(&prove(&first, mode, 92), &prove(&second, mode, 92));
    }
    // Of one statement and one witness the whole proof is the same, which tells nothing new.
    assert_eq!(prove(&first, OpeningMode::Fast, 92), prove(&fixture(), OpeningMode::Fast, 92));
}

/// One statement, two witnesses: the update may be one of two integers for each weight.
fn with_tolerance() -> (TrainingFixture, Witness) {
    let sizes = SmallProgram { steps: 1, ..SIZES };
    let (witness, selected) = sizes.witness(93);
    let mut program = sizes.program();
    let update = program.checks.last_mut().unwrap();
    assert_eq!(update.rule, Rule::Word { shift: 8 }, "the residual of an update");
    update.rule = Rule::Word { shift: 7 };
    let fixture = TrainingFixture::new(program, witness, &selected, sizes.row_length);
    let mut other = fixture.witness.clone();
    other.tensors[0][0] += 1;
    (fixture, other)
}

/// Nor over two witnesses of one statement. The tensors are committed to before anything in the transcript depends on them: with
/// equal blinds, the difference of two commitments would be that of the rows.
#[test]
fn repeated_entropy_does_not_repeat_masks_for_another_witness() {
    let (fixture, other) = with_tolerance();
    for witness in [&fixture.witness, &other] {
        fixture.context.program().check(witness).unwrap();
    }
    let of = |witness: &Witness, transcript: &mut dyn Transcript| {
        prove_on(&fixture, witness, OpeningMode::Fast, 94, transcript)
    };
    let fiat_shamir = || FiatShamir::new(TRAINING_PROTOCOL);
    let proofs = [of(&fixture.witness, &mut fiat_shamir()), of(&other, &mut fiat_shamir())].map(|proof| {
        proof.verify(&fixture.context, &fixture.generators, &mut fiat_shamir()).unwrap();
        proof
    });
    let [first, second] = &proofs;
    assert_nothing_in_common(first, second);
    let difference: Point = second.tensors[0].point() - first.tensors[0].point();
    assert!(difference != fixture.generators.rows()[0], "the difference of two updates is shown");
    // Also where the challenges, and so all later states of the transcript, are the same.
    let [first, second] = [&fixture.witness, &other].map(|witness| of(witness, &mut Foreseen::new(95)));
    assert_nothing_in_common(&first, &second);
}

/// The simulator's transcripts convince the real verifier, on the challenges that were chosen beforehand.
#[test]
fn accepting_transcripts_can_be_made_without_the_witness() {
    let TrainingFixture { context, generators, .. } = &fixture();
    for mode in MODES {
        for seed in 0..3 {
            let challenges = Foreseen::new(96 + seed);
            let proof = simulate_training(context, generators, mode, &challenges, seed);
            proof
                .verify(context, generators, &mut challenges.clone())
                .unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            // On other challenges, and where challenges come after messages, it says nothing.
            assert!(proof.verify(context, generators, &mut Foreseen::new(1)).is_err());
            assert!(TrainingProof::verify_bytes(&proof.to_bytes(), context, generators).is_err());
        }
    }
}

/// A program of many steps, and one with rows and batches of other sizes.
#[test]
fn the_simulator_works_for_other_shapes() {
    for sizes in [
        SmallProgram { steps: 1, samples: 1, inputs: 1, outputs: 1, data_rows: 1, row_length: 1024 },
        SmallProgram { steps: 5, samples: 4, inputs: 3, outputs: 8, data_rows: 5, row_length: 64 },
    ] {
        let TrainingFixture { context, generators, .. } = &TrainingFixture::small(sizes, 97);
        let challenges = Foreseen::new(98);
        let proof = simulate_training(context, generators, OpeningMode::Compact, &challenges, 1);
        proof.verify(context, generators, &mut challenges.clone()).unwrap();
    }
}

/// A check that one is zero.
fn contradiction() -> Check {
    Check {
        name: "one is zero".to_owned(),
        shape: Shape { rows: 1, columns: 1 },
        offset: 0,
        terms: vec![Term { coefficient: 1, value: Value::Ones { rows: 1, first: 0, columns: 1 } }],
        rule: Rule::Zero,
    }
}

/// A simulator needs no true statement, so its transcripts carry no knowledge: a program that no witness satisfies, and weights
/// and samples that belong to no witness at hand. The prover makes no proof of the first.
#[test]
fn the_simulator_works_for_false_statements() {
    let TrainingFixture { context, witness, generators, .. } = &fixture();
    let mut statement = context.statement.clone();
    statement.program.checks.push(contradiction());
    let unsatisfiable = Context::new(statement).unwrap();
    let refused = IntegerValues::new(&unsatisfiable, witness).err();
    assert!(matches!(refused, Some(ValuesError::Violation(_))), "a false proof can be made");
    let mut statement = context.statement.clone();
    statement.start.parameters[0].reverse();
    statement.start.samples.rotate_left(1);
    let unknown = Context::new(statement).unwrap();
    for (context, seed) in [(&unsatisfiable, 99), (&unknown, 100)] {
        for mode in MODES {
            let challenges = Foreseen::new(seed);
            let proof = simulate_training(context, generators, mode, &challenges, seed);
            proof.verify(context, generators, &mut challenges.clone()).unwrap();
            assert!(TrainingProof::verify_bytes(&proof.to_bytes(), context, generators).is_err());
        }
    }
}
