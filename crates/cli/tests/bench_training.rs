//! Proofs of training, measured by the command, and the page of stored results.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{ffi::OsString, fs, path::Path};

use common::{join, lorica};

/// Runs a benchmark and stores its result.
fn store(folder: &Path, name: &str, bench: &[OsString]) -> serde_json::Value {
    let answer = lorica(&join(&[args!["--json", "--quiet", "--threads", "1", "bench"], bench])).code(0);
    fs::write(folder.join(format!("{name}.json")), &answer.stdout).unwrap();
    answer.json()
}

#[test]
fn figures_come_from_a_process_of_its_own_and_make_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let shape = args!["training", "--layers", "12,8,4", "--batch", "4", "--repetitions", "1"];
    for steps in ["1", "2"] {
        let more = args!["--steps", steps, "--loss", "cross-entropy", "--momentum", "0.9"];
        let times = store(folder.path(), &format!("steps-00{steps}"), &join(&[shape, more]));
        assert_eq!(times["schema"], "lorica-bench-training/1");
        assert_eq!(times["threads"], 1);
        assert_eq!(times["shape"]["loss"], "cross-entropy");
        assert_eq!(times["shape"]["rank"], serde_json::Value::Null);
        assert_eq!(times["data"]["values"], 16 * 4 * steps.parse::<u64>().unwrap());
        assert!(times["proofs"]["proof_bytes"].as_u64() > times["proofs"]["row_bytes"].as_u64());
        assert!(
            times["proofs"]["whole_process"]["wall_ms"].as_f64()
                > times["proofs"]["first"]["wall_ms"].as_f64()
        );
    }
    let lora =
        store(folder.path(), "parameters-lora", &join(&[shape, args!["--update", "lora", "--rank", "2"]]));
    assert_eq!((&lora["shape"]["update"], &lora["shape"]["rank"]), (&"lora".into(), &2.into()));
    assert!(lora["moved"].as_u64() < lora["parameters"].as_u64());
    let lookup = store(
        folder.path(),
        "lookup",
        args!["lookup", "--rows", "4", "--row-length", "64", "--repetitions", "1"],
    );
    assert_eq!(lookup["schema"], "lorica-bench-lookup/1");

    let shown = lorica(args!["bench", "show", folder.path().join("parameters-lora.json")]).code(0).stdout;
    assert!(shown.starts_with("1 step of 12-8-4, lora of rank 2, batch 4"), "{shown}");
    lorica(args!["bench", "summary", folder.path()]).code(0);
    let page = fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(page.contains("| 12-8-4 | sgd, momentum 0.9, cross-entropy | 4 | 2 |"), "{page}");
    assert!(page.contains("| lookup | 1 | 256 | 64 |"), "{page}");
    for plot in ["steps.svg", "proof-size.svg"] {
        assert!(page.contains(&format!("]({plot})")) && folder.path().join(plot).exists());
    }

    fs::write(folder.path().join("other.json"), "{\"schema\": \"lorica-bench-survey/1\"}").unwrap();
    lorica(args!["bench", "summary", folder.path()]).code(4).says(&["other.json", "lorica-bench-survey/1"]);
}

#[test]
fn shapes_that_there_are_not_are_refused_by_name() {
    let refused = |options: &[OsString]| lorica(&join(&[args!["bench", "training"], options])).code(4);
    refused(args!["--layers", "12"]).says(&["model.layers"]);
    refused(args!["--layers", "12,4", "--update", "lora", "--rank", "65"]).says(&["update.rank"]);
    refused(args!["--layers", "12,4", "--momentum", "1"]).says(&["update.momentum"]);
}
