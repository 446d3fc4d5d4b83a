//! Training by the command: digits trained and proven in chunks, steps of PyTorch proven, and every change found.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::{Answer, copy, lorica, testdata};
use serde_json::Value;

const CONFIG: &str = r#"
format = "lorica-training/1"
[model]
layers = [64, 32, 10]
[loss]
kind = "cross-entropy"
[update]
kind = "sgd"
learning_rate = 0.2
momentum = 0.9
[batch]
size = 64
[fixed_point]
input = 4
"#;

/// A folder with a configuration and the digits: every fifth image last, to test on.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(place.path("step.toml"), CONFIG).unwrap();
        let text = fs::read_to_string(testdata("digits/digits.csv")).unwrap();
        let mut lines = text.lines();
        let header = lines.next().unwrap();
        let (train, test): (Vec<_>, Vec<_>) = lines.enumerate().partition(|(row, _)| row % 5 != 4);
        let rows = train.iter().chain(&test).map(|(_, line)| *line);
        let scaled: Vec<&str> = std::iter::once(header).chain(rows).collect();
        fs::write(place.path("digits.csv"), scaled.join("\n") + "\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn commit_data(&self) -> Answer {
        lorica(args![
            "train",
            "commit-data",
            "--json",
            "--data",
            self.path("digits.csv"),
            "--scale-inputs",
            "0.0625",
            "--config",
            self.path("step.toml"),
            "--out",
            self.path("data")
        ])
    }

    fn train(&self, steps: &str, out: &str) -> Answer {
        lorica(args![
            "train",
            "run",
            "--json",
            "--config",
            self.path("step.toml"),
            "--data",
            self.path("data"),
            "--steps",
            steps,
            "--train-rows",
            "1438",
            "--seed",
            "2",
            "--out",
            self.path(out)
        ])
    }

    fn verify(&self, run: &Path) -> Answer {
        lorica(args!["train", "verify", "--json", run, "--config", self.path("step.toml")])
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn two_hundred_steps_on_digits_are_trained_proven_and_verified() {
    let place = Place::new();
    place.commit_data().code(0);
    let trained = place.train("200", "run").code(0).json();
    assert!(number(&trained["after"]["test"]["accuracy"]) >= 0.95, "{trained}");
    assert!(number(&trained["before"]["test"]["accuracy"]) < 0.5, "{trained}");

    // Nothing is proven yet: that is no success.
    let answer = place.verify(&place.path("run")).code(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("no step"), "{answer}");

    let first = lorica(args!["train", "prove", "--json", "--run", place.path("run"), "--steps", "0..20"]);
    assert_eq!(first.code(0).json()["proven"], 20);
    let gap = lorica(args!["train", "prove", "--run", place.path("run"), "--steps", "30..40"]);
    gap.code(2).says(&["20 are proven", "begin with 20"]);
    let rest =
        lorica(args!["train", "prove", "--json", "--run", place.path("run"), "--chunk", "60"]).code(0).json();
    assert_eq!((rest["proven"].as_u64(), rest["proofs"].as_array().unwrap().len()), (Some(200), 3));

    let verdict = place.verify(&place.path("run")).code(0).json();
    assert_eq!((&verdict["verdict"], verdict["proven"].as_u64()), (&"VALID".into(), Some(200)));
    assert!(
        verdict["proves"].as_array().unwrap().len() >= 3
            && verdict["does_not_prove"].as_array().unwrap().len() >= 3
    );
    // The public folder alone is enough, and nothing private is in it or readable by others.
    copy(&place.path("run/public"), &place.path("given"));
    place.verify(&place.path("given")).code(0);
    for secret in ["secret", "data-secret", "samples.bin", "blinds/000000-000019.bin"] {
        let mode = fs::metadata(place.path("run/private").join(secret)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{secret}");
    }
    let pinned = |option: &str, digest: &Value| {
        let digest = digest.as_str().unwrap();
        lorica(args![
            "train",
            "verify",
            place.path("given"),
            "--config",
            place.path("step.toml"),
            option,
            digest
        ])
    };
    pinned("--data", &verdict["data"]).code(0);
    pinned("--model", &verdict["data"]).code(1);

    // Every public file, changed by one bit, is found.
    let mut files = vec!["run.json".to_owned(), "batches.bin".to_owned()];
    for folder in ["data", "model"] {
        files.extend(
            ["manifest.json", "commitments.bin", "registration.bin"].map(|name| format!("{folder}/{name}")),
        );
    }
    files.extend(["proofs/000000-000019.bin".to_owned(), "proofs/000140-000199.bin".to_owned()]);
    for file in files {
        let path = place.path("given").join(&file);
        let original = fs::read(&path).unwrap();
        let mut changed = original.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, changed).unwrap();
        let answer = place.verify(&place.path("given"));
        assert!(answer.code == 1 || (file == "run.json" && answer.code == 4), "{file}: {}", answer.stderr);
        fs::write(&path, original).unwrap();
    }
    // Proofs exchanged, with a record that says so.
    let record = fs::read_to_string(place.path("given/run.json")).unwrap();
    let (a, b) = ("proofs/000020-000079.bin", "proofs/000080-000139.bin");
    let digests: Vec<&str> = record.split('"').filter(|part| part.len() == 64).collect();
    let (from, to) = (digests[digests.len() - 3], digests[digests.len() - 2]);
    let exchanged = record.replace(from, "one of them").replace(to, from).replace("one of them", to);
    fs::write(place.path("given/run.json"), exchanged).unwrap();
    let (first, second) =
        (fs::read(place.path("given").join(a)).unwrap(), fs::read(place.path("given").join(b)).unwrap());
    fs::write(place.path("given").join(a), second).unwrap();
    fs::write(place.path("given").join(b), first).unwrap();
    let answer = place.verify(&place.path("given")).code(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("steps 20 to 79"), "{answer}");
}

#[test]
fn a_run_is_valid_under_its_own_configuration_and_proofs_of_another_run_are_not() {
    let place = Place::new();
    place.commit_data().code(0);
    for run in ["one", "two"] {
        place.train("4", run).code(0);
        lorica(args!["train", "prove", "--run", place.path(run)]).code(0);
    }
    place.verify(&place.path("one")).code(0);
    // Another learning rate.
    fs::write(place.path("other.toml"), CONFIG.replace("= 0.2", "= 0.1")).unwrap();
    let answer =
        lorica(args!["train", "verify", "--json", place.path("one"), "--config", place.path("other.toml")]);
    assert!(answer.code(1).json()["reason"].as_str().unwrap().contains("configuration"));
    // The proof of another run on the same data and batches.
    let proof = "public/proofs/000000-000003.bin";
    let digest = |run: &str| {
        let record: Value =
            serde_json::from_slice(&fs::read(place.path(run).join("public/run.json")).unwrap()).unwrap();
        record["proofs"][0]["digest"].as_str().unwrap().to_owned()
    };
    let (own, other) = (digest("one"), digest("two"));
    fs::copy(place.path("two").join(proof), place.path("one").join(proof)).unwrap();
    let record = fs::read_to_string(place.path("one/public/run.json")).unwrap().replace(&own, &other);
    fs::write(place.path("one/public/run.json"), record).unwrap();
    let answer = place.verify(&place.path("one")).code(1).json();
    assert!(answer["reason"].as_str().unwrap().contains("does not hold"), "{answer}");
}

/// Proves a recorded step of PyTorch.
fn prove_step(fixture: &Path, out: &Path, more: &[std::ffi::OsString]) -> Answer {
    let arguments = args![
        "train",
        "prove",
        "--json",
        "--before",
        fixture.join("before.safetensors"),
        "--after",
        fixture.join("after.safetensors"),
        "--batch",
        fixture.join("batch.safetensors"),
        "--config",
        fixture.join("step.toml"),
        "--out",
        out
    ];
    lorica(&[arguments, more].concat())
}

#[test]
fn steps_of_pytorch_are_proven_with_the_tolerance_shown() {
    let place = Place::new();
    for fixture in ["sgd", "lora", "mse", "momentum"] {
        let out = place.path(fixture);
        let proven = prove_step(&testdata("pytorch").join(fixture), &out, &[]).code(0).json();
        let share = number(&proven["tolerance"]["share"]);
        assert!(share > 0.0 && share < 0.25, "{fixture}: {proven}");
        let verdict =
            lorica(args!["train", "verify", "--json", &out, "--config", out.join("public/step.toml")]);
        let verdict = verdict.code(0).json();
        assert!(number(&verdict["matrices"][0]["tolerance_units"]) > 0.5, "{fixture}: {verdict}");
        assert!(verdict["proves"].to_string().contains("tube"), "{fixture}: {verdict}");
    }
}

#[test]
fn a_nudged_weight_a_wrong_rate_and_a_loose_bound_make_no_proof() {
    let place = Place::new();
    let fixture = place.path("fixture");
    copy(&testdata("pytorch/sgd"), &fixture);
    let proven = prove_step(&fixture, &place.path("honest"), &[]).code(0).json();
    let first = proven["tolerance"]["matrices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["matrix"] == "W0")
        .unwrap()
        .clone();
    // The first entry of the first weight, by twice the tolerance, with the tolerance that the honest step has.
    fs::copy(place.path("honest/public/step.toml"), fixture.join("step.toml")).unwrap();
    prove_step(&fixture, &place.path("again"), &[]).code(0);
    nudge(&fixture.join("after.safetensors"), "0.weight", 2.0 * number(&first["tolerance"]));
    let refused = prove_step(&fixture, &place.path("nudged"), &[]).code(1);
    refused.says(&["W0", "row 0, column 0", "off by"]);
    assert!(!place.path("nudged").exists());

    let fixture = testdata("pytorch/sgd");
    prove_step(&fixture, &place.path("strict"), args!["--limit", "0.0001"])
        .code(1)
        .says(&["so loose proves nothing"]);
    copy(&testdata("pytorch/sgd"), &place.path("rate"));
    let text = fs::read_to_string(fixture.join("step.toml")).unwrap();
    fs::write(place.path("rate/step.toml"), text.replace("learning_rate = 0.1", "learning_rate = 0.2"))
        .unwrap();
    prove_step(&place.path("rate"), &place.path("wrong"), &[]).code(1);
}

/// Adds to the first entry of a tensor of 32-bit floats.
fn nudge(path: &Path, tensor: &str, amount: f64) {
    let mut bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let at = 8 + header + json[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    let value = f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    bytes[at..at + 4].copy_from_slice(&((f64::from(value) + amount) as f32).to_le_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn bad_input_is_named_and_leaves_nothing() {
    let place = Place::new();
    let commit = |data: &str, config: &str| {
        lorica(args![
            "train",
            "commit-data",
            "--data",
            place.path(data),
            "--config",
            place.path(config),
            "--out",
            place.path("out")
        ])
    };
    commit("missing.csv", "step.toml").code(4).says(&["missing.csv"]);
    fs::write(place.path("short.csv"), "label,a,b\n1,2\n").unwrap();
    commit("short.csv", "step.toml").code(4).says(&["short.csv", "line 2", "3 fields"]);
    fs::write(place.path("narrow.csv"), "label,a,b\n1,2,3\n").unwrap();
    commit("narrow.csv", "step.toml").code(4).says(&["64"]);
    fs::write(place.path("bad.toml"), CONFIG.replace("momentum", "momentun")).unwrap();
    commit("digits.csv", "bad.toml").code(4).says(&["bad.toml", "momentun"]);
    assert!(!place.path("out").exists());
    lorica(args!["train", "verify", place.path("nowhere"), "--config", place.path("step.toml")])
        .code(4)
        .says(&["run.json"]);
    lorica(args!["train", "prove", "--run", place.path("nowhere")]).code(4);
    lorica(args!["train", "prove", "--before", "a"]).code(2);
}
