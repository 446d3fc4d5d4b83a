//! Writes the small bundle that is frozen in `testdata/frozen/report-2`: `cargo run --release -p lorica-evidence --example
//! freeze -- FOLDER`. Where the test `the_frozen_bundle_still_verifies` fails, a format, a score or the report has
//! changed: give it a new version, or undo the change.

#![allow(clippy::unwrap_used, reason = "an example stops at the first error")]

#[path = "../tests/common/mod.rs"]
mod common;

fn main() {
    let folder = std::env::args().nth(1).expect("a folder to write to");
    common::bundle(std::path::Path::new(&folder), common::different, usize::MAX);
}
