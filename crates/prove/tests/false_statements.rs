//! Sessions that did not happen as stated, proven as well as their author can, against the real verifier.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::opening::OpeningMode;
use lorica_relation::rows::ModuleIndex;
use lorica_relation::session::{Instance, Witness, check};
use lorica_tensor::Digest;
use lorica_testkit::adapter::{AdapterFixture, entropy, modules};
use lorica_testkit::random::Random;
use lorica_testkit::session::{SessionFixture, delta};
use lorica_verify::session::SessionInvalid;

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

fn fixture() -> (AdapterFixture, SessionFixture) {
    let adapter = AdapterFixture::new(&[(5, 7, 2), (5, 7, 2), (3, 4, 1)], 60);
    let session = SessionFixture::new(&adapter, &[(&[0, 1], 3), (&[2], 2)], 61);
    (adapter, session)
}

/// The best an honest program can do for these rows must be refused, whichever opening it uses.
fn assert_refused(adapter: &AdapterFixture, session: &SessionFixture, what: &str) {
    for mode in MODES {
        let proof = session.prove(adapter, mode, 62);
        let error = session.verify(adapter, &proof).expect_err(what);
        assert!(matches!(error, SessionInvalid::Opening(_)), "{what}: {error}");
    }
}

#[test]
fn every_single_delta_changed_by_one() {
    let (adapter, honest) = fixture();
    for module in 0..3 {
        for entry in 0..honest.rows.modules[module].values.len() {
            let mut session = honest.clone();
            session.rows.modules[module].values[entry] += 1;
            let proof = session.prove(&adapter, OpeningMode::Fast, 63);
            assert!(session.verify(&adapter, &proof).is_err(), "module {module}, entry {entry}");
        }
    }
}

#[test]
fn every_single_activation_changed_by_one() {
    let (adapter, honest) = fixture();
    for stream in 0..2 {
        for entry in 0..honest.rows.streams[stream].values.len() {
            let mut session = honest.clone();
            session.rows.streams[stream].values[entry] ^= 1;
            let proof = session.prove(&adapter, OpeningMode::Fast, 64);
            assert!(session.verify(&adapter, &proof).is_err(), "stream {stream}, entry {entry}");
        }
    }
}

#[test]
fn deltas_at_the_ends_of_the_integers() {
    let (adapter, honest) = fixture();
    for value in [i64::MIN, i64::MAX, 0, -1] {
        let mut session = honest.clone();
        session.rows.modules[0].values[4] = value;
        assert_refused(&adapter, &session, "an extreme delta");
    }
}

#[test]
fn swapped_rows_and_swapped_modules() {
    let (adapter, honest) = fixture();
    let mut rows = honest.clone();
    let (first, second) = rows.rows.modules[0].values.split_at_mut(7);
    first.swap_with_slice(&mut second[..7]);
    assert_refused(&adapter, &rows, "two rows of deltas swapped");

    let mut deltas = honest.clone();
    deltas.rows.modules.swap(0, 1);
    assert_refused(&adapter, &deltas, "deltas of two modules swapped");

    let mut order = honest.clone();
    order.streams[0].modules = vec![ModuleIndex(1), ModuleIndex(0)];
    let proof = honest.prove(&adapter, OpeningMode::Fast, 65);
    assert!(order.verify(&adapter, &proof).is_err(), "a proof served another order of modules");
}

#[test]
fn another_adapter_under_the_pinned_manifest() {
    let (adapter, _) = fixture();
    for module in 0..3 {
        for matrix in 0..2 {
            // One weight differs by one unit; deltas and proof are consistent with the changed weights.
            let mut other = AdapterFixture::new(&[(5, 7, 2), (5, 7, 2), (3, 4, 1)], 60);
            let weights = &mut other.witness.modules[module];
            let values = if matrix == 0 { &mut weights.a } else { &mut weights.b };
            values[1] = if values[1] == i16::MAX { 0 } else { values[1] + 1 };
            let session = SessionFixture::new(&other, &[(&[0, 1], 3), (&[2], 2)], 61);
            let proof = session.prove(&other, OpeningMode::Compact, 66);
            assert!(session.verify(&adapter, &proof).is_err(), "module {module}, matrix {matrix}");
        }
    }
}

#[test]
fn another_sessions_proof_and_replay() {
    let (adapter, session) = fixture();
    let other = SessionFixture::new(&adapter, &[(&[0, 1], 3), (&[2], 2)], 67);
    let proof = session.prove(&adapter, OpeningMode::Fast, 68);
    session.verify(&adapter, &proof).unwrap();
    assert!(other.verify(&adapter, &proof).is_err(), "the proof of another session");
    let mut replayed = session.clone();
    replayed.session = Digest([9; 32]);
    assert!(replayed.verify(&adapter, &proof).is_err(), "a replay under another session id");
}

#[test]
fn a_manifest_made_after_the_session() {
    let (adapter, session) = fixture();
    // The same weights, committed to again: another nonce, so another manifest.
    let witness = adapter.witness.clone();
    let later = AdapterFixture::with_witness(
        modules(&[(5, 7, 2), (5, 7, 2), (3, 4, 1)]),
        witness,
        &mut Random::new(69),
    );
    let proof = session.prove(&later, OpeningMode::Fast, 70);
    session.verify(&later, &proof).unwrap();
    assert!(session.verify(&adapter, &proof).is_err(), "a proof under a later manifest");
    let statement = session.statement(&later);
    let error = session.verify_statement(&adapter, &statement, &proof).unwrap_err();
    assert!(matches!(error, SessionInvalid::Adapter { .. }), "{error}");
}

#[test]
fn rows_added_removed_or_with_other_exponents() {
    let (adapter, honest) = fixture();
    let proof = honest.prove(&adapter, OpeningMode::Fast, 71);
    let mut fewer = honest.clone();
    fewer.streams[0].rows -= 1;
    assert!(fewer.verify(&adapter, &proof).is_err(), "a row less");
    let mut zero_row = honest.clone();
    zero_row.streams[1].rows += 1;
    zero_row.rows.streams[1].values.extend([0; 3]);
    zero_row.rows.streams[1].exponents.push(0);
    zero_row.rows.modules[2].values.extend([0; 4]);
    assert!(zero_row.verify(&adapter, &proof).is_err(), "a row of zeros more");
    let mut exponents = honest.clone();
    exponents.rows.streams[0].exponents[1] += 1;
    assert!(exponents.verify(&adapter, &proof).is_err(), "another exponent");
}

/// The plain check and the proof system agree on random true and false statements of ragged shapes.
#[test]
fn the_oracle_and_the_verifier_agree() {
    let mut random = Random::new(72);
    for case in 0..60u64 {
        let count = 1 + random.below(4);
        let shapes: Vec<_> =
            (0..count).map(|_| (1 + random.below(19), 1 + random.below(23), 1 + random.below(5))).collect();
        let adapter = AdapterFixture::new(&shapes, 1000 + case);
        let indices: Vec<[usize; 1]> = (0..count).map(|index| [index]).collect();
        let streams: Vec<(&[usize], u64)> =
            indices.iter().map(|index| (index.as_slice(), 1 + random.below(6) as u64)).collect();
        let mut session = SessionFixture::new(&adapter, &streams, 2000 + case);
        if random.below(2) == 1 {
            let values = &mut session.rows.modules[random.below(count)].values;
            let entry = random.below(values.len());
            values[entry] = values[entry].wrapping_add(random.next_u64() as i64 >> random.below(64));
        }
        let shapes = adapter.pinned.manifest().shapes();
        let instance = Instance { modules: &shapes, streams: &session.streams, rows: &session.rows };
        let truth = check(&instance, &adapter.witness).is_ok();
        let mode = MODES[random.below(2)];
        let proof = session.prove(&adapter, mode, 3000 + case);
        assert_eq!(session.verify(&adapter, &proof).is_ok(), truth, "case {case}, {mode:?}");
    }
}

#[test]
fn the_prover_refuses_what_does_not_fit() {
    let (adapter, session) = fixture();
    let statement = session.statement(&adapter);
    let entropy = entropy(&mut Random::new(73));
    let mut prover = session.prover(&adapter, &statement);
    let short = Witness { modules: adapter.witness.modules[..2].to_vec() };
    prover.witness = &short;
    assert!(prover.prove(OpeningMode::Fast, &entropy).is_err());
    let mut other = statement.clone();
    other.manifest = Digest([0; 32]);
    let prover = session.prover(&adapter, &other);
    assert!(prover.prove(OpeningMode::Fast, &entropy).is_err());
    // The helper that makes honest deltas is the oracle's own formula.
    let shapes = adapter.pinned.manifest().shapes();
    let row = &session.rows.streams[1].values[..3];
    assert_eq!(delta(row, &shapes[2], &adapter.witness, 2), session.rows.modules[2].values[..4]);
}
