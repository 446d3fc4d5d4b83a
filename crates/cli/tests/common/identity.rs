//! Models made from the shipped ones, and a server in a process of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use assert_cmd::cargo::cargo_bin;
use lorica_adapter::Adapter;
use lorica_zoo::{
    Draft, Layout, Precision,
    derive::{merge, output},
};
use serde_json::Value;

use super::testdata;

/// A shipped model, changed and written elsewhere.
pub(crate) fn derived(
    folder: &Path,
    name: &str,
    from: &str,
    precision: Precision,
    change: impl FnOnce(&mut Draft),
) -> PathBuf {
    let mut draft = Draft::read(&testdata("models").join(from)).unwrap();
    change(&mut draft);
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    draft.write(&path, Layout { precision, ..Layout::default() }).unwrap();
    path
}

/// The same weights, rounded to bf16.
pub(crate) fn rounded(folder: &Path, from: &str) -> PathBuf {
    derived(folder, &format!("{from}-bf16"), from, Precision::Bfloat, |_| ())
}

/// The model with its Spanish adapter merged in.
pub(crate) fn merged(folder: &Path, from: &str) -> PathBuf {
    let adapter = Adapter::load(&testdata("models").join(format!("{from}-lora-es"))).unwrap();
    derived(folder, &format!("{from}-merged"), from, Precision::Single, |draft| {
        merge::merge(draft, &adapter, 1.0).unwrap();
    })
}

/// The model at another temperature.
pub(crate) fn tempered(folder: &Path, from: &str, temperature: f64) -> PathBuf {
    derived(folder, &format!("{from}-tempered"), from, Precision::Single, |draft| {
        output::temper(draft, temperature).unwrap();
    })
}

/// `lorica identify serve` in a process of its own.
pub(crate) struct Served {
    pub(crate) url: String,
    pub(crate) model: String,
    child: Child,
}

impl Served {
    pub(crate) fn start(model: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(cargo_bin!("lorica"))
            .args(["identify", "serve", "--json", "--end-with-stdin", "--model"])
            .arg(model)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Self { url: text("url"), model: text("model"), child }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
