//! A bundle of version 1 stays evidence for as long as version 1 is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use lorica_evidence::{ReportCheck, VerifyOptions, verify_bundle};

#[test]
fn the_frozen_bundle_still_verifies() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/frozen/v1");
    let verified = verify_bundle(&folder, VerifyOptions::default()).unwrap();
    assert_eq!(verified.closing.results[0].outcome.word(), "DIFFERENT");
    assert_eq!(
        verified.report,
        ReportCheck::Reproduced,
        "the same transcript gives another report: a new version"
    );
    let signer = "1e069ed619728e040ca87fd27cfaa3da5829182dd4e326bc07bc71bed7b52dac";
    assert_eq!(verified.fingerprint.to_string(), signer);
}
