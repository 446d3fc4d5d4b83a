//! Every field that the verifier reads, changed, against the real verifier.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::FiatShamir;
use lorica_tensor::Digest;
use lorica_testkit::adapter::AdapterFixture;
use lorica_testkit::evidence::evidence;
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_testkit::tamper::{
    Case, change_json, json_leaves, proof_cases, proof_fields, registration_cases, registration_fields,
    statement_cases, statement_fields,
};
use lorica_verify::manifest::Manifest;
use lorica_verify::proof::SessionProof;
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::registration::RegistrationProof;
use lorica_verify::schedule::SESSION_PROTOCOL;
use lorica_verify::session::{SessionInvalid, SessionVerifier};
use lorica_verify::verdict::{Check, Evidence, Outcome, judge};

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

fn fixture() -> (AdapterFixture, SessionFixture) {
    let adapter = AdapterFixture::new(&[(6, 10, 2), (6, 10, 2), (9, 3, 1)], 40);
    let session = SessionFixture::new(&adapter, &[(&[0], 4), (&[1], 4), (&[2], 2)], 41);
    (adapter, session)
}

fn assert_every_field_has_a_case<T>(fields: &[&'static str], cases: &[Case<T>]) {
    let fields: BTreeSet<_> = fields.iter().copied().collect();
    let cases: BTreeSet<_> = cases.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, cases, "fields (left) and tamper cases (right) differ");
}

#[test]
fn every_field_of_a_session_proof() {
    let (adapter, session) = fixture();
    let sizes = adapter.pinned.sizes();
    for mode in MODES {
        let proof = SessionProof::from_bytes(&session.prove(&adapter, mode, 1), &sizes).unwrap();
        session.verify(&adapter, &proof.to_bytes()).unwrap();
        let cases = proof_cases(&proof);
        assert_every_field_has_a_case(&proof_fields(&proof), &cases);
        for (field, change) in cases {
            let mut changed = proof.clone();
            change(&mut changed);
            assert_ne!(changed, proof, "the case for {field} changes nothing");
            assert!(
                session.verify(&adapter, &changed.to_bytes()).is_err(),
                "{mode:?}: {field} may be changed"
            );
        }
    }
}

/// The number of rounds is the statement's, also for a proof that never was bytes.
#[test]
fn rounds_left_out_or_added() {
    let (adapter, session) = fixture();
    let statement = session.statement(&adapter);
    let sizes = adapter.pinned.sizes();
    let proof = SessionProof::from_bytes(&session.prove(&adapter, OpeningMode::Fast, 7), &sizes).unwrap();
    let verifier = SessionVerifier {
        adapter: &adapter.pinned,
        statement: &statement,
        rows: &session.rows,
        generators: &adapter.generators,
    };
    let cases: [fn(&mut SessionProof); 4] = [
        |p| p.pair_rounds.truncate(1),
        |p| p.module_rounds.push(p.factors.alpha),
        |p| p.item_rounds.clear(),
        |p| p.item_rounds.push(p.factors.beta),
    ];
    for change in cases {
        let mut changed = proof.clone();
        change(&mut changed);
        let error = verifier.verify_on(&changed, &mut FiatShamir::new(SESSION_PROTOCOL)).unwrap_err();
        assert!(matches!(error, SessionInvalid::Rounds { .. }), "{error}");
    }
}

#[test]
fn every_field_of_a_statement() {
    let (adapter, session) = fixture();
    let statement = session.statement(&adapter);
    let cases = statement_cases();
    assert_every_field_has_a_case(&statement_fields(&statement), &cases);
    let proof = session.prove(&adapter, OpeningMode::Fast, 2);
    session.verify_statement(&adapter, &statement, &proof).unwrap();
    for (field, change) in cases {
        let mut changed = statement.clone();
        change(&mut changed);
        assert_ne!(changed, statement, "the case for {field} changes nothing");
        assert!(
            session.verify_statement(&adapter, &changed, &proof).is_err(),
            "{field} of the statement may be changed"
        );
    }
}

#[test]
fn every_field_of_a_registration_proof() {
    let (adapter, _) = fixture();
    let width = adapter.pinned.sizes().width;
    let proof = RegistrationProof::from_bytes(&adapter.registered.proof, width).unwrap();
    let cases = registration_cases();
    assert_every_field_has_a_case(&registration_fields(&proof), &cases);
    for (field, change) in cases {
        let mut changed = proof.clone();
        change(&mut changed);
        let result = (*adapter.pinned).clone().pin(&changed.to_bytes(), &adapter.generators);
        assert!(result.is_err(), "{field} of the registration proof may be changed");
    }
}

#[test]
fn every_value_of_a_manifest() {
    let (adapter, session) = fixture();
    let proof = session.prove(&adapter, OpeningMode::Fast, 3);
    let manifest: serde_json::Value = serde_json::from_str(&adapter.registered.manifest).unwrap();
    let leaves = json_leaves(&manifest);
    assert!(leaves.len() > 30, "{leaves:?}");
    let mut well_formed = 0;
    for leaf in leaves {
        let mut changed = manifest.clone();
        change_json(changed.pointer_mut(&leaf).unwrap());
        // In canonical form, so that the change is refused for what it says; some changes have no such form.
        let Ok(changed) = serde_json::from_value::<Manifest>(changed) else { continue };
        well_formed += 1;
        let text = changed.to_json().unwrap();
        let evidence = evidence(&adapter, &session, &proof);
        // Against the pin, and by a cheat who has the user pin what it changed: the registration proof is for another manifest.
        for pin in [evidence.pin, Digest::sha256(text.as_bytes())] {
            let verdict = judge(&Evidence { pin, manifest: text.as_bytes(), ..evidence.clone() }).unwrap();
            assert_eq!(verdict.verdict, Outcome::Invalid, "{leaf} of the manifest may be changed");
        }
    }
    assert!(well_formed > 30, "{well_formed} changes were well-formed");
    for (name, text) in [
        ("another order", adapter.registered.manifest.replacen("  ", " ", 1)),
        ("no last newline", adapter.registered.manifest.trim_end().to_owned()),
        ("an unknown field", adapter.registered.manifest.replacen('{', "{\n  \"extra\": 1,", 1)),
    ] {
        assert!(Manifest::from_json(text.as_bytes()).is_err(), "{name} was accepted");
    }
}

#[test]
fn every_commitment() {
    let (adapter, _) = fixture();
    let manifest = adapter.registered.manifest.as_bytes();
    let mut random = Random::new(4);
    for index in 0..adapter.registered.commitments.len() / 32 {
        let mut changed = adapter.registered.commitments.clone();
        changed[32 * index + random.below(32)] ^= 1 << random.below(8);
        assert!(RegisteredAdapter::from_bytes(manifest, &changed, None).is_err());
    }
    for length in [0, 31, adapter.registered.commitments.len() - 32] {
        let short = &adapter.registered.commitments[..length];
        assert!(RegisteredAdapter::from_bytes(manifest, short, None).is_err());
    }
    let long = [adapter.registered.commitments.as_slice(), &[0; 32]].concat();
    assert!(RegisteredAdapter::from_bytes(manifest, &long, None).is_err());
}

/// The check that catches one change of the evidence, and the module it names.
fn caught<'a>(
    honest: &Evidence<'a>,
    change: impl FnOnce(&mut Evidence<'a>),
) -> Option<(Check, Option<String>)> {
    let mut changed = honest.clone();
    change(&mut changed);
    let verdict = judge(&changed).unwrap();
    assert!(verdict.proven.is_empty() || verdict.verdict == Outcome::Valid);
    verdict.reason.map(|reason| (reason.check, reason.module.map(|module| module.to_string())))
}

/// Each input of the verdict, changed alone, with the check that must catch it.
#[test]
fn every_input_of_the_verdict() {
    let (adapter, session) = fixture();
    let proof = session.prove(&adapter, OpeningMode::Compact, 5);
    let honest = evidence(&adapter, &session, &proof);
    // Taken apart without `..`, so that a new input does not compile until it has a case below.
    let Evidence { pin: _, manifest: _, commitments: _, registration: _, record: _, proof: _, loss: _ } =
        &honest;
    let verdict = judge(&honest).unwrap();
    assert_eq!((verdict.verdict, verdict.reason), (Outcome::Valid, None));

    let other = AdapterFixture::new(&[(6, 10, 2), (6, 10, 2), (9, 3, 1)], 77);
    let mut other_rows = session.clone();
    other_rows.rows.modules[2].values[1] ^= 1;
    let other_session = SessionFixture::new(&adapter, &[(&[0], 4), (&[1], 4), (&[2], 2)], 50);
    let other_proof = other_session.prove(&adapter, OpeningMode::Compact, 6);
    let module = |index: usize| Some(format!("layers.{index:04}.proj"));
    let cases = [
        (caught(&honest, |e| e.pin.0[0] ^= 1), Check::Pin, None),
        (caught(&honest, |e| e.manifest = &e.manifest[1..]), Check::Manifest, None),
        (caught(&honest, |e| e.commitments = &other.registered.commitments), Check::Commitments, None),
        (caught(&honest, |e| e.registration = &other.registered.proof), Check::Registration, None),
        (caught(&honest, |e| e.record.manifest = other.pinned.digest()), Check::Session, None),
        (caught(&honest, |e| e.record.session.0[3] ^= 1), Check::Proof, None),
        (caught(&honest, |e| e.record.calls += 1), Check::Coverage, None),
        (caught(&honest, |e| e.record.modules.swap(0, 1)), Check::Session, module(0)),
        (caught(&honest, |e| drop(e.record.modules.pop())), Check::Session, None),
        (caught(&honest, |e| e.record.modules[1].outputs += 1), Check::Session, module(1)),
        (caught(&honest, |e| e.record.streams[0].shape.rows = 3), Check::Digests, module(0)),
        (caught(&honest, |e| e.record.streams[1].shape.modules.clear()), Check::Coverage, None),
        (caught(&honest, |e| e.record.streams.clear()), Check::Coverage, None),
        (caught(&honest, |e| e.record.digests.modules[1].0[0] ^= 1), Check::Digests, module(1)),
        (caught(&honest, |e| e.record.digests.streams[2].inputs.0[0] ^= 1), Check::Digests, module(2)),
        (caught(&honest, |e| e.record.digests.streams[1].exponents.0[0] ^= 1), Check::Digests, module(1)),
        (caught(&honest, |e| e.record.rows = &other_rows.rows), Check::Digests, module(2)),
        (caught(&honest, |e| e.proof = &e.proof[..e.proof.len() - 1]), Check::ProofFormat, None),
        (caught(&honest, |e| e.proof = &other_proof), Check::Proof, None),
    ];
    for (index, (found, check, module)) in cases.into_iter().enumerate() {
        assert_eq!(found, Some((check, module)), "case {index}");
    }
}
