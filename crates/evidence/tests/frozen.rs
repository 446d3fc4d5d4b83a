//! A bundle of version 1 stays evidence for as long as version 1 is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use lorica_evidence::{ReportCheck, Verified, VerifyOptions, verify_bundle};

/// Whoever signed the frozen bundles.
const SIGNER: &str = "1e069ed619728e040ca87fd27cfaa3da5829182dd4e326bc07bc71bed7b52dac";

fn verified(name: &str) -> Verified {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/frozen").join(name);
    let verified = verify_bundle(&folder, VerifyOptions::default()).unwrap();
    assert_eq!(verified.closing.results[0].outcome.word(), "DIFFERENT");
    assert_eq!(verified.fingerprint.to_string(), SIGNER);
    verified
}

#[test]
fn the_frozen_bundle_still_verifies() {
    assert_eq!(
        verified("report-2").report,
        ReportCheck::Reproduced,
        "the same transcript gives another report: a new version"
    );
}

/// Version 1 of the report said that between the thresholds neither answer is an error; both are.
#[test]
fn a_bundle_with_an_earlier_report_still_verifies() {
    assert_eq!(verified("v1").report, ReportCheck::OtherVersion { found: "lorica-report/1".to_owned() });
}
