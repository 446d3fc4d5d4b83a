//! Both forgeries against the real verifier: refused with theta, accepted without it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_algebra::Scalar;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::FiatShamir;
use lorica_attack::session::{Forgery, forge};
use lorica_testkit::adapter::{AdapterFixture, entropy};
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_testkit::transcript::Overridden;
use lorica_verify::schedule::{SESSION_PROTOCOL, THETA};
use lorica_verify::session::{SessionInvalid, SessionVerifier};

/// What the verifier says of a forged proof for false deltas; without theta if `ablated`.
fn outcome(forgery: Forgery, mode: OpeningMode, ablated: bool) -> Result<(), SessionInvalid> {
    let adapter = AdapterFixture::new(&[(12, 9, 3), (7, 20, 2), (12, 4, 1)], 5);
    let mut session = SessionFixture::new(&adapter, &[(&[0, 2], 6), (&[1], 3)], 6);
    session.rows.modules[1].values[23] += 40_000;
    let statement = session.statement(&adapter);
    let prover = session.prover(&adapter, &statement);
    let verifier = SessionVerifier {
        adapter: &adapter.pinned,
        statement: &statement,
        rows: &session.rows,
        generators: &adapter.generators,
    };
    let entropy = entropy(&mut Random::new(9));
    let real = || FiatShamir::new(SESSION_PROTOCOL);
    if !ablated {
        let proof = forge(&prover, forgery, mode, &entropy, &mut real()).unwrap();
        // The bytes go through the real decoder too.
        return verifier.verify(&proof.to_bytes());
    }
    let without = || Overridden { inner: real(), label: THETA, value: Scalar::from(1u8) };
    let proof = forge(&prover, forgery, mode, &entropy, &mut without()).unwrap();
    verifier.verify_on(&proof, &mut without())
}

#[test]
fn both_forgeries_are_refused() {
    for forgery in [Forgery::RewriteSlot, Forgery::RowBasis] {
        for mode in [OpeningMode::Fast, OpeningMode::Compact] {
            let error = outcome(forgery, mode, false).expect_err("a forged proof was accepted");
            assert!(matches!(error, SessionInvalid::Opening(_)), "{forgery:?} {mode:?}: {error}");
        }
    }
}

/// If this fails, the attacks do not bite any more and the test above shows nothing.
#[test]
fn both_forgeries_succeed_against_a_verifier_without_theta() {
    for forgery in [Forgery::RewriteSlot, Forgery::RowBasis] {
        for mode in [OpeningMode::Fast, OpeningMode::Compact] {
            outcome(forgery, mode, true).unwrap_or_else(|error| panic!("{forgery:?} {mode:?}: {error}"));
        }
    }
}
