//! Commitments to tensors by the command.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::{Answer, join, lorica, testdata};
use serde_json::Value;

/// The shipped adapter's weights, and commitments to them.
struct Committed {
    folder: tempfile::TempDir,
}

impl Committed {
    fn new(options: &[&str]) -> Self {
        let committed = Self { folder: tempfile::tempdir().unwrap() };
        fs::copy(testdata("models/tiny-gpt2-lora-attn/adapter_model.safetensors"), committed.weights())
            .unwrap();
        committed.commit(options).code(0);
        committed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn weights(&self) -> PathBuf {
        self.path("weights.safetensors")
    }

    fn commit(&self, options: &[&str]) -> Answer {
        let options: Vec<std::ffi::OsString> = options.iter().map(Into::into).collect();
        let start =
            args!["tensor", "commit", self.weights(), "--out", self.path("commitment.json"), "--json"];
        lorica(&join(&[start, &options[..]]))
    }

    fn verify(&self, options: &[&str]) -> Answer {
        let options: Vec<std::ffi::OsString> = options.iter().map(Into::into).collect();
        let start =
            args!["tensor", "verify", self.path("commitment.json"), "--file", self.weights(), "--json"];
        lorica(&join(&[start, &options[..]]))
    }

    fn opening(&self) -> String {
        self.path("commitment.json.opening").to_str().unwrap().to_owned()
    }
}

/// Which commitments do not hold, as "tensor kind".
fn broken(verdict: &Value) -> Vec<String> {
    let outcomes = verdict["outcomes"].as_array().unwrap().iter();
    outcomes
        .filter(|outcome| !outcome["difference"].is_null())
        .map(|outcome| {
            format!("{} {}", outcome["tensor"].as_str().unwrap(), outcome["kind"].as_str().unwrap())
        })
        .collect()
}

/// Turns the order of the first tensor's floats around; returns its name.
fn change(weights: &Path) -> String {
    let mut bytes = fs::read(weights).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let (name, tensor) =
        header.as_object().unwrap().iter().find(|(name, _)| *name != "__metadata__").unwrap();
    let start = tensor["data_offsets"][0].as_u64().unwrap() as usize;
    let end = tensor["data_offsets"][1].as_u64().unwrap() as usize;
    let entries = &mut bytes[8 + length + start..8 + length + end];
    let reversed: Vec<u8> = entries.chunks(4).rev().flatten().copied().collect();
    entries.copy_from_slice(&reversed);
    fs::write(weights, bytes).unwrap();
    name.clone()
}

#[test]
fn three_commitments_hold_and_a_changed_tensor_is_named() {
    for hiding in [&[][..], &["--hiding"]] {
        let committed = Committed::new(&[&["--hash", "sha256,poseidon,pedersen"], hiding].concat());
        let opening = committed.opening();
        assert_eq!(fs::metadata(&opening).unwrap().permissions().mode() & 0o777, 0o600);
        let verdict = committed.verify(&["--opening", &opening]).code(0).json();
        assert_eq!((&verdict["verdict"], broken(&verdict)), (&"VALID".into(), vec![]));
        let name = change(&committed.weights());
        let verdict = committed.verify(&["--opening", &opening]).code(1).json();
        let expected = ["sha256", "poseidon", "pedersen"].map(|kind| format!("{name} {kind}"));
        assert_eq!((&verdict["verdict"], broken(&verdict)), (&"INVALID".into(), expected.to_vec()));
        // An opening is never written over.
        committed.commit(&["--hash", "pedersen"]).code(4).says(&["exists already"]);
        committed.verify(&["--opening", &opening]).code(1);
    }
}

#[test]
fn plain_roots_need_no_opening_and_others_do() {
    let committed = Committed::new(&[]);
    assert!(!Path::new(&committed.opening()).exists());
    let verdict = committed.verify(&[]).code(0).json();
    assert!(verdict["outcomes"].as_array().unwrap().iter().all(|outcome| outcome["kind"] == "sha256"));
    let verdict = committed.verify(&["--hash", "sha256,poseidon"]).code(1).json();
    assert!(broken(&verdict).iter().all(|name| name.ends_with(" poseidon")), "{verdict}");
    let unused = committed.path("unused");
    committed.commit(&["--opening", unused.to_str().unwrap()]).code(2).says(&["plain roots need none"]);

    let committed = Committed::new(&["--hash", "sha256,pedersen"]);
    committed.verify(&[]).code(2).says(&["--opening"]);
    committed.verify(&["--hash", "sha256"]).code(0);
    let wrong = committed.path("wrong");
    fs::write(&wrong, "not an opening").unwrap();
    committed.verify(&["--opening", wrong.to_str().unwrap()]).code(4).says(&["not an opening"]);
}

#[test]
fn some_tensors_of_a_file_and_files_that_are_none() {
    let committed = Committed::new(&[]);
    let report: Value = committed.commit(&[]).code(0).json();
    let names: Vec<&str> =
        report["tensors"].as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap()).collect();
    assert!(names.len() > 2);
    committed.commit(&["--tensor", names[1]]).code(0);
    let verdict = committed.verify(&[]).code(0).json();
    assert_eq!(verdict["not_committed"].as_array().unwrap().len(), names.len() - 1);
    committed.commit(&["--tensor", "no.such.tensor"]).code(4).says(&["no.such.tensor"]);
    let text = fs::read_to_string(committed.path("commitment.json")).unwrap();
    fs::write(committed.path("commitment.json"), text.replace("  ", "   ")).unwrap();
    committed.verify(&[]).code(4).says(&["one accepted form"]);
    fs::write(committed.weights(), "no weights").unwrap();
    committed.commit(&[]).code(4).says(&["not a valid safetensors file"]);
}
