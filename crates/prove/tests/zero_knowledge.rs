//! What a proof tells beyond the statement: nothing. Each message is accounted for, and can be made without the witness.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};

use lorica_argument::opening::{OpeningMode, OpeningResponse};
use lorica_testkit::adapter::{AdapterFixture, entropy, modules};
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_testkit::simulator::simulate;
use lorica_testkit::tamper::{proof_fields, registration_fields};
use lorica_testkit::transcript::Foreseen;
use lorica_verify::proof::SessionProof;
use lorica_verify::registration::RegistrationProof;
use lorica_verify::session::SessionVerifier;

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

/// Why a message can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Simulatable {
    /// A Pedersen commitment with a fresh uniform blind: a uniform point.
    HidingCommitment,
    /// The response of a sigma protocol: a uniform scalar, from which the first message follows.
    SigmaResponse,
    /// A first message or value that the verifier's equation determines from the challenge and the responses.
    DeterminedByResponses,
    /// A function of the uniformly masked vector and of challenges alone.
    OfTheMaskedVector,
}

/// Every message of both proofs. None is a function of a witness in the clear.
fn inventory() -> BTreeMap<&'static str, Simulatable> {
    use Simulatable::*;
    BTreeMap::from([
        ("pair_rounds", HidingCommitment),
        ("factors.alpha", HidingCommitment),
        ("factors.beta", HidingCommitment),
        ("factors.gamma", HidingCommitment),
        ("product.t_a", DeterminedByResponses),
        ("product.t_b", DeterminedByResponses),
        ("product.t_0", DeterminedByResponses),
        ("product.t_1", HidingCommitment),
        ("product.f_a", SigmaResponse),
        ("product.f_b", SigmaResponse),
        ("product.tau_a", SigmaResponse),
        ("product.tau_b", SigmaResponse),
        ("product.tau_c", SigmaResponse),
        ("module_rounds", HidingCommitment),
        ("item_rounds", HidingCommitment),
        ("opening.mask_commitment", DeterminedByResponses),
        ("opening.mask_value", DeterminedByResponses),
        ("opening.blind", SigmaResponse),
        ("opening.vector", SigmaResponse),
        ("opening.folds.left", OfTheMaskedVector),
        ("opening.folds.right", OfTheMaskedVector),
        ("opening.last", OfTheMaskedVector),
    ])
}

fn fixture() -> (AdapterFixture, SessionFixture) {
    let adapter = AdapterFixture::new(&[(6, 10, 2), (6, 10, 2), (9, 3, 1)], 90);
    let session = SessionFixture::new(&adapter, &[(&[0, 1], 4), (&[2], 2)], 91);
    (adapter, session)
}

/// The 32-byte elements of a proof, each with the offset where it stands: points and scalars alike.
fn elements(proof: &SessionProof) -> Vec<[u8; 32]> {
    let bytes = proof.to_bytes();
    let (elements, rest) = bytes[9..].as_chunks::<32>();
    assert!(rest.is_empty());
    elements.to_vec()
}

#[test]
fn every_message_is_in_the_inventory() {
    let (adapter, session) = fixture();
    let inventory = inventory();
    let mut seen = HashSet::new();
    for mode in MODES {
        let proof =
            SessionProof::from_bytes(&session.prove(&adapter, mode, 92), &adapter.pinned.sizes()).unwrap();
        seen.extend(proof_fields(&proof));
    }
    let registration =
        RegistrationProof::from_bytes(&adapter.registered.proof, adapter.pinned.sizes().width).unwrap();
    seen.extend(registration_fields(&registration));
    let listed: HashSet<_> = inventory.keys().copied().collect();
    assert_eq!(seen, listed, "messages sent (left) and messages accounted for (right)");
}

/// With the challenges fixed, a message that were a function of the witness alone would come out the same twice.
#[test]
fn no_message_is_a_function_of_witness_and_challenges_alone() {
    let (adapter, session) = fixture();
    let statement = session.statement(&adapter);
    let prover = session.prover(&adapter, &statement);
    for mode in MODES {
        let prove = |seed| {
            let entropy = entropy(&mut Random::new(seed));
            elements(&prover.prove_on(mode, &entropy, &mut Foreseen::new(93)).unwrap())
        };
        let (first, second) = (prove(1), prove(2));
        assert_eq!(first.len(), second.len());
        for (index, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_ne!(first, second, "{mode:?}: element {index} does not depend on the prover's randomness");
        }
        // The whole proof is a function of the entropy, so nothing else is left that could differ.
        assert_eq!(prove(1), first);
    }
}

/// The simulator's transcripts convince the real verifier, on the challenges that were chosen beforehand.
#[test]
fn accepting_transcripts_can_be_made_without_the_witness() {
    let (adapter, session) = fixture();
    let statement = session.statement(&adapter);
    let verifier = SessionVerifier {
        adapter: &adapter.pinned,
        statement: &statement,
        rows: &session.rows,
        generators: &adapter.generators,
    };
    for mode in MODES {
        for seed in 0..5 {
            let challenges = Foreseen::new(94 + seed);
            let proof = simulate(&verifier, mode, &challenges, seed);
            verifier
                .verify_on(&proof, &mut challenges.clone())
                .unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            // It says nothing where challenges come after messages: the same proof fails by Fiat-Shamir.
            assert!(verifier.verify(&proof.to_bytes()).is_err());
        }
    }
}

/// A simulator needs no true statement: the transcripts exist for false deltas too, so they carry no knowledge.
#[test]
fn the_simulator_works_for_false_statements() {
    let (adapter, mut session) = fixture();
    session.rows.modules[0].values[0] += 12_345;
    let statement = session.statement(&adapter);
    let verifier = SessionVerifier {
        adapter: &adapter.pinned,
        statement: &statement,
        rows: &session.rows,
        generators: &adapter.generators,
    };
    let challenges = Foreseen::new(95);
    let proof = simulate(&verifier, OpeningMode::Compact, &challenges, 96);
    verifier.verify_on(&proof, &mut challenges.clone()).unwrap();
}

#[test]
fn proofs_of_one_statement_differ_in_every_element() {
    let (adapter, session) = fixture();
    let sizes = adapter.pinned.sizes();
    let read = |seed| {
        let proof = session.prove(&adapter, OpeningMode::Fast, seed);
        elements(&SessionProof::from_bytes(&proof, &sizes).unwrap())
    };
    let mut seen = HashSet::new();
    for seed in 0..8 {
        for element in read(seed) {
            assert!(seen.insert(element), "an element came up in two proofs");
        }
    }
}

/// A broken entropy source that repeats must not repeat a mask over two transcripts.
#[test]
fn repeated_entropy_does_not_repeat_masks() {
    let (adapter, session) = fixture();
    let other = SessionFixture { session: lorica_tensor::Digest([1; 32]), ..session.clone() };
    let sizes = adapter.pinned.sizes();
    let vector = |session: &SessionFixture| {
        let proof =
            SessionProof::from_bytes(&session.prove(&adapter, OpeningMode::Fast, 97), &sizes).unwrap();
        let commitments: Vec<_> = [proof.pair_rounds.clone(), proof.item_rounds.clone()].concat();
        match proof.opening.response {
            OpeningResponse::Fast { vector } => (commitments, proof.opening.mask_commitment, vector),
            OpeningResponse::Compact { .. } => panic!("a fast opening was asked for"),
        }
    };
    let (first, second) = (vector(&session), vector(&other));
    assert!(first.0.iter().zip(&second.0).all(|(first, second)| first != second));
    assert_ne!(first.1, second.1);
    assert!(first.2.iter().zip(&second.2).all(|(first, second)| first != second));
}

#[test]
fn commitments_share_no_blind_over_re_registration() {
    let shapes = [(6, 10, 2), (6, 10, 2), (9, 3, 1)];
    let mut random = Random::new(98);
    let (adapter, _) = fixture();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        // The same secret, weights and shapes; only the nonce is fresh. Equal blinds would show as equal commitments.
        let (witness, secret) = (adapter.witness.clone(), adapter.secret.clone());
        let again = AdapterFixture::with_secret(modules(&shapes), witness, secret, &mut random);
        for commitment in again.registered.commitments.as_chunks::<32>().0 {
            assert!(seen.insert(*commitment), "two registrations share a commitment");
        }
    }
    // Equal rows of one adapter are committed to differently as well.
    let mut equal = adapter.witness.clone();
    equal.modules[1] = equal.modules[0].clone();
    let equal = AdapterFixture::with_witness(modules(&shapes), equal, &mut random);
    let commitments: HashSet<_> = equal.registered.commitments.as_chunks::<32>().0.iter().collect();
    assert_eq!(commitments.len(), equal.registered.commitments.len() / 32);
}
