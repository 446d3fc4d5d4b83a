//! Which crate of the workspace may use which: data flows one way, and an auditor of the verifier reads nothing else.
//!
//! See `docs/adr/0001-layout-and-crates.md` for the reasons. Development dependencies are free, but for this: only
//! they may name the testkit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every crate with the crates it may use. A crate names only crates above it, so there are no cycles.
const ALLOWED: &[(&str, &[&str])] = &[
    ("algebra", &[]),
    ("argument", &["algebra"]),
    ("tensor", &[]),
    ("relation", &["tensor"]),
    ("transcript", &["relation", "tensor"]),
    ("adapter", &["relation", "tensor"]),
    ("train", &["relation", "tensor"]),
    ("verify", &["algebra", "argument", "relation", "tensor"]),
    ("prove", &["algebra", "argument", "relation", "tensor", "verify"]),
    ("attack", &["algebra", "argument", "prove", "relation", "tensor", "verify"]),
    ("session", &["algebra", "relation", "tensor", "verify"]),
    ("model", &["tensor"]),
    ("serve", &["adapter", "algebra", "relation", "session", "tensor", "transcript", "verify"]),
    ("provenance", &["tensor"]),
    ("commitment", &["algebra", "argument", "tensor"]),
    ("identity", &[]),
    ("evidence", &["identity"]),
    ("endpoint", &["identity"]),
    ("zoo", &["adapter", "model", "tensor"]),
    ("examine", &["endpoint", "evidence", "identity", "model", "tensor", "zoo"]),
    (
        "testkit",
        &["adapter", "algebra", "argument", "prove", "relation", "session", "tensor", "transcript", "verify"],
    ),
    (
        "bench",
        &["algebra", "argument", "identity", "prove", "relation", "tensor", "train", "transcript", "verify"],
    ),
    (
        "cli",
        &[
            "adapter",
            "algebra",
            "argument",
            "attack",
            "bench",
            "commitment",
            "endpoint",
            "evidence",
            "examine",
            "identity",
            "model",
            "provenance",
            "prove",
            "relation",
            "serve",
            "session",
            "tensor",
            "train",
            "transcript",
            "verify",
            "zoo",
        ],
    ),
];

/// The dependencies of each crate on crates of the workspace, those for tests left out, as cargo sees them.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata are JSON");
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let short = |value: &serde_json::Value| {
        value.as_str().expect("a name").strip_prefix("lorica-").map(ToOwned::to_owned)
    };
    let of_package = |package: serde_json::Value| {
        // A normal dependency has no kind; build dependencies count as much.
        let dependencies = list(&package["dependencies"]);
        let used = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        let name = short(&package["name"]).expect("crates of the workspace are named lorica-*");
        (name, used.filter_map(|dependency| short(&dependency["name"])).collect())
    };
    list(&metadata["packages"]).into_iter().map(of_package).collect()
}

#[test]
fn every_edge_between_crates_is_an_allowed_one() {
    let edges = edges();
    let listed: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = edges.keys().map(String::as_str).collect();
    assert_eq!(
        found, listed,
        "the crates of the workspace are not those of the table: add a line for a new crate"
    );
    for (name, allowed) in ALLOWED {
        for used in &edges[*name] {
            assert!(
                allowed.contains(&used.as_str()),
                "lorica-{name} depends on lorica-{used}, which docs/adr/0001-layout-and-crates.md does not allow"
            );
        }
    }
}

#[test]
fn the_table_has_no_cycles_and_keeps_the_testkit_out_of_the_product() {
    let mut above = BTreeSet::new();
    for (name, allowed) in ALLOWED {
        for used in *allowed {
            assert!(above.contains(used), "{name} may use {used}, which does not stand above it");
            assert_ne!(*used, "testkit", "{name} may not use the testkit but in its tests");
        }
        above.insert(*name);
    }
}
