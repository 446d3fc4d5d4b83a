//! The registration proof with a range argument: every field and byte of it at the real verifier, and what it tells beyond the
//! statement. What a cheating registrar may try stands in `crates/attack/tests/range.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lorica_argument::codec::CodecError;
use lorica_argument::opening::{OpeningMode, OpeningResponse};
use lorica_argument::transcript::FiatShamir;
use lorica_prove::registration::prove_range;
use lorica_prove::secret::AdapterSecret;
use lorica_testkit::adapter::{AdapterFixture, entropy, modules};
use lorica_testkit::random::Random;
use lorica_testkit::range_simulator::simulate_range;
use lorica_testkit::tamper::{range_cases, range_fields, range_scratch_cases};
use lorica_testkit::transcript::Foreseen;
use lorica_verify::manifest::{Manifest, RangeLevel};
use lorica_verify::range::{RANGE_PROTOCOL, RangeProof, RangeShape};
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::registration::RegistrationInvalid;

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

fn fixture() -> AdapterFixture {
    AdapterFixture::in_range(&[(6, 10, 2), (9, 3, 1)], 60)
}

fn shape(adapter: &AdapterFixture) -> RangeShape {
    RangeShape::of(&adapter.pinned.manifest().shapes())
}

fn prove(adapter: &AdapterFixture, mode: OpeningMode, seed: u64) -> RangeProof {
    prove_on(adapter, mode, seed, &mut FiatShamir::new(RANGE_PROTOCOL))
}

fn prove_on(
    adapter: &AdapterFixture,
    mode: OpeningMode,
    seed: u64,
    transcript: &mut dyn lorica_argument::transcript::Transcript,
) -> RangeProof {
    let AdapterFixture { witness, secret, pinned, generators, .. } = adapter;
    let entropy = entropy(&mut Random::new(seed));
    prove_range(pinned, witness, secret, generators, mode, &entropy, transcript).unwrap()
}

fn verify(adapter: &AdapterFixture, bytes: &[u8]) -> Result<(), RegistrationInvalid> {
    RangeProof::verify_bytes(bytes, &adapter.pinned, &adapter.generators)
}

#[test]
fn both_openings_are_accepted_and_fewer_bases_do_no_harm() {
    let adapter = fixture();
    for mode in MODES {
        verify(&adapter, &prove(&adapter, mode, 1).to_bytes()).unwrap();
    }
    // The verifier derives what is missing.
    let none = lorica_argument::generators::Generators::derive(0, 0);
    RangeProof::verify_bytes(&adapter.registered.proof, &adapter.pinned, &none).unwrap();
}

#[test]
fn every_field_of_a_range_proof() {
    let adapter = fixture();
    for mode in MODES {
        let proof = prove(&adapter, mode, 2);
        let cases = range_cases(&proof);
        let fields: BTreeSet<_> = range_fields(&proof).into_iter().collect();
        let covered: BTreeSet<_> = cases.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, covered, "fields (left) and tamper cases (right) differ");
        for (field, change) in cases {
            let mut changed = proof.clone();
            change(&mut changed);
            assert_ne!(changed, proof, "the case for {field} changes nothing");
            assert!(verify(&adapter, &changed.to_bytes()).is_err(), "{mode:?}: {field} may be changed");
        }
    }
}

#[test]
fn every_scratch_commitment_alone() {
    let adapter = fixture();
    let proof = prove(&adapter, OpeningMode::Compact, 3);
    assert_eq!(proof.scratch.len(), shape(&adapter).commitments());
    for (index, changed) in range_scratch_cases(&proof).enumerate() {
        assert!(verify(&adapter, &changed.to_bytes()).is_err(), "scratch commitment {index} may be changed");
    }
}

#[test]
fn every_truncation_and_trailing_bytes() {
    let adapter = fixture();
    for mode in MODES {
        let proof = prove(&adapter, mode, 4).to_bytes();
        for length in (0..proof.len()).filter(|length| length % 7 == 0 || length + 40 > proof.len()) {
            let error = verify(&adapter, &proof[..length]).unwrap_err();
            let truncated = matches!(error, RegistrationInvalid::Codec(CodecError::Truncated { .. }));
            assert!(truncated, "{length} bytes: {error}");
        }
        for extra in [1, 32, 400] {
            let long = [proof.clone(), vec![0; extra]].concat();
            let expected = CodecError::Trailing { offset: proof.len(), extra };
            assert_eq!(verify(&adapter, &long), Err(RegistrationInvalid::Codec(expected)));
        }
    }
    let proof = prove(&adapter, OpeningMode::Compact, 4).to_bytes();
    for (offset, byte) in [(0, b'X'), (7, b'1'), (8, b'F'), (8, b'f'), (8, 0)] {
        let mut changed = proof.clone();
        changed[offset] = byte;
        assert!(matches!(verify(&adapter, &changed), Err(RegistrationInvalid::Codec(_))));
    }
}

/// The number of commitments is the manifest's, also for a proof that never was bytes.
#[test]
fn commitments_left_out_or_added() {
    let adapter = fixture();
    let proof = prove(&adapter, OpeningMode::Compact, 5);
    type Change = fn(&mut RangeProof);
    let cases: [(Change, RegistrationInvalid); 4] = [
        (|p| p.scratch.truncate(1), RegistrationInvalid::TooFew),
        (|p| p.scratch.push(p.multiplicities[0]), RegistrationInvalid::TooMany),
        (|p| p.multiplicities.clear(), RegistrationInvalid::TooFew),
        (|p| p.multiplicities.push(p.scratch[0]), RegistrationInvalid::TooMany),
    ];
    for (change, expected) in cases {
        let mut changed = proof.clone();
        change(&mut changed);
        let transcript = &mut FiatShamir::new(RANGE_PROTOCOL);
        assert_eq!(changed.verify(&adapter.pinned, &adapter.generators, transcript), Err(expected));
    }
}

/// A proof is for one manifest; and the level that the manifest names is the one that is checked.
#[test]
fn another_adapters_proof_and_another_level() {
    let adapter = fixture();
    let other = AdapterFixture::in_range(&[(6, 10, 2), (9, 3, 1)], 61);
    assert!(matches!(verify(&adapter, &other.registered.proof), Err(RegistrationInvalid::Product(_))));
    let wider = AdapterFixture::in_range(&[(6, 10, 3), (9, 3, 1)], 62);
    assert!(verify(&adapter, &wider.registered.proof).is_err());

    let plain = AdapterFixture::new(&[(6, 10, 2), (9, 3, 1)], 60);
    for (of, with) in [(&adapter, &plain), (&plain, &adapter)] {
        let registered = RegisteredAdapter::from_bytes(
            of.registered.manifest.as_bytes(),
            &of.registered.commitments,
            None,
        )
        .unwrap();
        let error = registered.pin(&with.registered.proof, &of.generators).err().unwrap();
        assert!(matches!(error, RegistrationInvalid::Codec(_)), "{error}");
    }
    // A manifest whose level was changed is another manifest: its own proof is missing.
    for (of, level) in [(&adapter, RangeLevel::None), (&plain, RangeLevel::Int16)] {
        let mut manifest: Manifest = of.pinned.manifest().clone();
        manifest.range = level;
        let text = manifest.to_json().unwrap();
        let changed =
            RegisteredAdapter::from_bytes(text.as_bytes(), &of.registered.commitments, None).unwrap();
        assert!(changed.pin(&of.registered.proof, &of.generators).is_err());
    }
}

/// Why a message can be simulated: `docs/spec/security.md`, section 5, and `docs/spec/lookup.md`.
#[test]
fn every_message_is_in_the_inventory() {
    let inventory = BTreeMap::from([
        ("multiplicities", "hiding commitment"),
        ("scratch", "hiding commitment"),
        ("product.t_a", "determined by responses"),
        ("product.t_b", "determined by responses"),
        ("product.t_0", "determined by responses"),
        ("product.t_1", "hiding commitment"),
        ("product.f_a", "sigma response"),
        ("product.f_b", "sigma response"),
        ("product.tau_a", "sigma response"),
        ("product.tau_b", "sigma response"),
        ("product.tau_c", "sigma response"),
        ("opening.mask_commitment", "determined by responses"),
        ("opening.mask_value", "determined by responses"),
        ("opening.blind", "sigma response"),
        ("opening.vector", "sigma response"),
        ("opening.folds.left", "of the masked vector"),
        ("opening.folds.right", "of the masked vector"),
        ("opening.last", "of the masked vector"),
    ]);
    let adapter = fixture();
    let seen: BTreeSet<_> = MODES.iter().flat_map(|mode| range_fields(&prove(&adapter, *mode, 6))).collect();
    assert_eq!(seen, inventory.keys().copied().collect::<BTreeSet<_>>());
}

/// The 32-byte elements of a proof.
fn elements(proof: &RangeProof) -> Vec<[u8; 32]> {
    let bytes = proof.to_bytes();
    let (elements, rest) = bytes[9..].as_chunks::<32>();
    assert!(rest.is_empty());
    elements.to_vec()
}

/// With the challenges fixed, a message that were a function of the weights alone would come out the same twice.
#[test]
fn no_message_is_a_function_of_weights_and_challenges_alone() {
    let adapter = fixture();
    for mode in MODES {
        let prove = |seed| elements(&prove_on(&adapter, mode, seed, &mut Foreseen::new(63)));
        let (first, second) = (prove(1), prove(2));
        for (index, (first, second)) in first.iter().zip(&second).enumerate() {
            assert_ne!(first, second, "{mode:?}: element {index} does not depend on the prover's randomness");
        }
        // The whole proof is a function of the entropy, so nothing else is left that could differ.
        assert_eq!(prove(1), first);
    }
}

#[test]
fn proofs_of_one_adapter_differ_in_every_element() {
    let adapter = fixture();
    let mut seen = HashSet::new();
    for seed in 0..4 {
        for element in elements(&prove(&adapter, OpeningMode::Fast, seed)) {
            assert!(seen.insert(element), "an element came up in two proofs");
        }
    }
}

/// A broken entropy source that repeats must not repeat a mask over two adapters, or two commitments of one.
#[test]
fn repeated_entropy_does_not_repeat_masks() {
    let adapter = fixture();
    let (witness, secret) = (adapter.witness.clone(), adapter.secret.clone());
    let shapes = modules(&[(6, 10, 2), (9, 3, 1)]);
    let again = AdapterFixture::with_range(shapes, witness, secret, RangeLevel::Int16, &mut Random::new(64));
    let (first, second) = (prove(&adapter, OpeningMode::Fast, 65), prove(&again, OpeningMode::Fast, 65));
    let vector = |proof: &RangeProof| match &proof.opening.response {
        OpeningResponse::Fast { vector } => vector.clone(),
        OpeningResponse::Compact { .. } => panic!("a fast opening was asked for"),
    };
    assert!(first.multiplicities.iter().zip(&second.multiplicities).all(|(first, second)| first != second));
    assert!(first.scratch.iter().zip(&second.scratch).all(|(first, second)| first != second));
    assert!(vector(&first).iter().zip(&vector(&second)).all(|(first, second)| first != second));
}

/// The simulator's transcripts convince the real verifier on challenges that were chosen beforehand: it has the manifest and the
/// commitments alone, and needs no entry to be in range.
#[test]
fn accepting_transcripts_can_be_made_without_the_weights() {
    let adapter = fixture();
    for mode in MODES {
        for seed in 0..3 {
            let challenges = Foreseen::new(66 + seed);
            let proof = simulate_range(&adapter.pinned, &adapter.generators, mode, &challenges, seed);
            proof
                .verify(&adapter.pinned, &adapter.generators, &mut challenges.clone())
                .unwrap_or_else(|error| panic!("{mode:?}: {error}"));
            // It says nothing where challenges come after messages: the same proof fails by Fiat-Shamir.
            assert!(verify(&adapter, &proof.to_bytes()).is_err());
        }
    }
}

/// The prover refuses what the server refuses: integers beyond the manifest's bits never make a proof.
#[test]
fn integers_that_are_not_the_manifests_make_no_proof() {
    let adapter = fixture();
    let mut witness = adapter.witness.clone();
    witness.modules[0].a.pop();
    let secret = AdapterSecret::from_seed([1; 32]);
    let result = prove_range(
        &adapter.pinned,
        &witness,
        &secret,
        &adapter.generators,
        OpeningMode::Compact,
        &entropy(&mut Random::new(67)),
        &mut FiatShamir::new(RANGE_PROTOCOL),
    );
    assert!(result.is_err());
}
