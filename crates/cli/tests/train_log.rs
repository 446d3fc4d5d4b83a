//! The provenance log by the command: a run recorded, checked, proven, and every attack on it named.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::{Answer, copy, join, lorica};
use serde_json::Value;

/// A log, its key, and files of a training run.
struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    /// A run with 300 entries, more than one tile.
    fn new() -> Self {
        let run = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["data", "rows", "config", "w0", "w1", "proof"] {
            fs::write(run.path(name), format!("content of {name}")).unwrap();
        }
        let data =
            args!["data", "--run", "r1", "--name", "digits", "--data", run.path("data"), "--rows", "1797"];
        run.append_new(data).code(0);
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn vkey(&self) -> PathBuf {
        self.path("key.vkey")
    }

    fn append_new(&self, event: &[std::ffi::OsString]) -> Answer {
        let start = args!["train", "log", "append", "--log", self.log(), "--key", self.path("key"), "--json"];
        lorica(&join(&[start, args!["--origin", "lorica.test/run"], event]))
    }

    fn append(&self, event: &[std::ffi::OsString]) -> Answer {
        let start = args!["train", "log", "append", "--log", self.log(), "--key", self.path("key"), "--json"];
        lorica(&join(&[start, event]))
    }

    /// Checkpoints of many steps, by a file of JSON lines.
    fn append_many(&self, steps: std::ops::Range<u64>) -> Answer {
        let line = |step| {
            format!(
                "{{\"format\": \"lorica-event/1\", \"run\": \"r1\", \"time\": {step}, \
                 \"event\": {{\"kind\": \"checkpoint\", \"step\": {step}, \"digest\": \"{step:064x}\"}}}}\n"
            )
        };
        fs::write(self.path("events"), steps.map(line).collect::<String>()).unwrap();
        self.append(args!["events", self.path("events")])
    }

    fn keep(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        lorica(args![
            "train",
            "log",
            "checkpoint",
            "--log",
            self.log(),
            "--vkey",
            self.vkey(),
            "--out",
            &path
        ])
        .code(0);
        path
    }

    fn verify(&self, log: &Path, kept: &[&Path]) -> Answer {
        let kept = kept
            .iter()
            .flat_map(|path| [std::ffi::OsString::from("--kept"), path.into()])
            .collect::<Vec<_>>();
        lorica(
            &[args!["train", "log", "verify", "--log", log, "--vkey", self.vkey(), "--json"], &kept[..]]
                .concat(),
        )
    }
}

/// What was found, each with its first entry and how many.
fn findings(answer: &Value) -> Vec<(String, Option<u64>, Option<u64>)> {
    let list = answer["findings"].as_array().unwrap().iter();
    list.map(|found| {
        (found["finding"].as_str().unwrap().to_owned(), found["first"].as_u64(), found["count"].as_u64())
    })
    .collect()
}

#[test]
fn a_run_is_recorded_and_checked() {
    let run = Run::new();
    // A public key beside a private one.
    assert_eq!(fs::metadata(run.path("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(run.vkey()).unwrap().starts_with("lorica.test/run+"));
    let path = |name: &str| run.path(name);
    run.append(args!["checkpoint", "--run", "r1", "--step", "0", "--weights", path("w0")]).code(0);
    let step = args!["step", "--run", "r1", "--first", "1", "--data", path("data"), "--rows", path("rows")];
    let weights = args!["--config", path("config"), "--before", path("w0"), "--after", path("w1")];
    run.append(&join(&[step, weights])).code(0);
    let metric =
        args!["metric", "--run", "r1", "--name", "loss", "--value", "-0.25", "--weights", path("w1")];
    run.append(&join(&[metric, args!["--data", path("data")]])).code(0);
    let proof = args!["proof", "--run", "r1", "--first", "1", "--last", "1", "--proof", path("proof")];
    let report = run.append(&join(&[proof, weights])).code(0).json();
    assert_eq!((report["first"].as_u64(), report["appended"].as_u64()), (Some(4), Some(1)));
    // A digest in place of a file, and events of another program.
    let digest = format!("sha256:{}", "ab".repeat(32));
    run.append(args!["checkpoint", "--run", "r1", "--step", "2", "--weights", digest]).code(0);
    run.append_many(3..300).code(0);

    let verdict = run.verify(&run.log(), &[]).code(0).json();
    assert_eq!(verdict["verdict"], "VALID");
    assert_eq!(verdict["head"]["size"], 303);
    assert_eq!(
        verdict["events"],
        serde_json::json!({"checkpoint": 299, "data": 1, "metric": 1, "proof": 1, "step": 1})
    );
    let warns = |verdict: &Value| verdict["does_not_show"].to_string().contains("Keep this checkpoint");
    assert!(warns(&verdict));
    let kept = run.keep("kept");
    let verdict = run.verify(&run.log(), &[&kept]).code(0).json();
    assert!(!warns(&verdict) && verdict["kept"].as_array().unwrap().len() == 1);
    // The entry names the file by the digest that `sha256sum` prints.
    let entry = run.path("entry");
    let out = run.path("proof.tlog");
    let prove =
        args!["train", "log", "inclusion", "prove", "--log", run.log(), "--vkey", run.vkey(), "--index", "0"];
    lorica(&join(&[prove, args!["--out", &out, "--entry-out", &entry]])).code(0);
    let digest = lorica_tensor::Digest::sha256(b"content of data").to_string();
    assert!(fs::read_to_string(&entry).unwrap().contains(&digest));
}

#[test]
fn proofs_are_made_and_checked_without_the_log() {
    let run = Run::new();
    run.append_many(1..280).code(0);
    let kept = run.keep("kept");
    run.append_many(280..600).code(0);
    let (proof, entry) = (run.path("proof"), run.path("entry"));
    let prove = |index: &str| {
        let start = args!["train", "log", "inclusion", "prove", "--log", run.log(), "--vkey", run.vkey()];
        lorica(&join(&[start, args!["--index", index, "--out", &proof, "--entry-out", &entry]]))
    };
    prove("299").code(0);
    prove("600").code(4).says(&["600 entries", "no entry 600"]);
    let check = |entry: &Path| {
        lorica(args![
            "train",
            "log",
            "inclusion",
            "check",
            &proof,
            "--entry",
            entry,
            "--vkey",
            run.vkey(),
            "--json"
        ])
    };
    assert_eq!(check(&entry).code(0).json()["head"]["size"], 600);
    let other = run.path("other");
    let text = fs::read_to_string(&entry).unwrap();
    fs::write(&other, text.replace("\"step\":299", "\"step\":298")).unwrap();
    let verdict = check(&other).code(1).json();
    assert!(verdict["reason"].as_str().unwrap().contains("this entry is not at place 299"), "{verdict}");
    fs::write(&other, "no event").unwrap();
    check(&other).code(4).says(&["other", "not an event"]);

    let growth = run.path("growth");
    let prove = args!["train", "log", "consistency", "prove", "--log", run.log(), "--vkey", run.vkey()];
    lorica(&join(&[prove, args!["--kept", &kept, "--out", &growth]])).code(0);
    let check = |kept: &Path| {
        lorica(args![
            "train",
            "log",
            "consistency",
            "check",
            &growth,
            "--kept",
            kept,
            "--vkey",
            run.vkey(),
            "--json"
        ])
    };
    assert_eq!(check(&kept).code(0).json()["verdict"], "VALID");
    let later = run.keep("later");
    let verdict = check(&later).code(1).json();
    assert!(verdict["reason"].as_str().unwrap().contains("begins at 280 entries"), "{verdict}");
    let text = fs::read_to_string(&growth).unwrap();
    fs::write(&growth, text.replacen("old 280", "old 279", 1)).unwrap();
    check(&kept).code(1);
    fs::write(&growth, "old x\n").unwrap();
    check(&kept).code(4).says(&["not a consistency proof"]);
}

/// A change of a copy of a log, and what is found.
type Attack = (&'static str, fn(&Path), &'static [(&'static str, Option<u64>, Option<u64>)]);

const ATTACKS: &[Attack] = &[
    (
        "an entry is edited",
        |log| edit(&log.join("tile/entries/001.p/44"), |entries| entries[14] = entries[13].clone()),
        &[("edit", Some(270), Some(1))],
    ),
    (
        "an entry is deleted",
        |log| edit(&log.join("tile/entries/001.p/44"), |entries| drop(entries.remove(14))),
        &[("deletion", Some(270), Some(1))],
    ),
    (
        "a bundle is deleted",
        |log| fs::remove_file(log.join("tile/entries/000")).unwrap(),
        &[("deletion", Some(0), Some(256))],
    ),
    (
        "entries are reordered",
        |log| edit(&log.join("tile/entries/000"), |entries| entries.swap(7, 200)),
        &[("reorder", Some(200), Some(1)), ("reorder", Some(7), Some(1))],
    ),
    (
        "a tile is changed",
        |log| {
            let path = log.join("tile/0/000");
            let mut bytes = fs::read(&path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        &[("tile", Some(0), Some(256))],
    ),
    (
        "the head is changed",
        |log| {
            let path = log.join("checkpoint");
            let text = fs::read_to_string(&path).unwrap().replacen("\n300\n", "\n299\n", 1);
            fs::write(path, text).unwrap();
        },
        &[("signature", None, None)],
    ),
];

fn edit(bundle: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let bytes = fs::read(bundle).unwrap();
    let mut entries: Vec<Vec<u8>> =
        lorica_provenance::tile::entries(&bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect();
    change(&mut entries);
    let mut bytes = Vec::new();
    assert!(entries.iter().all(|entry| lorica_provenance::tile::append_entry(&mut bytes, entry)));
    fs::write(bundle, bytes).unwrap();
}

#[test]
fn every_attack_is_named_with_its_place() {
    let run = Run::new();
    run.append_many(1..300).code(0);
    let kept = run.keep("kept");
    for (what, attack, expected) in ATTACKS {
        let changed = run.path(&what.replace(' ', "-"));
        copy(&run.log(), &changed);
        attack(&changed);
        let verdict = run.verify(&changed, &[]).code(1).json();
        let expected: Vec<_> =
            expected.iter().map(|(name, first, count)| ((*name).to_owned(), *first, *count)).collect();
        assert_eq!((&verdict["verdict"], findings(&verdict)), (&"INVALID".into(), expected), "{what}");
    }

    // The holder of the key tells another story: a fork, and a rollback.
    let other = Run { folder: tempfile::tempdir().unwrap() };
    for name in ["key", "key.vkey", "data"] {
        fs::copy(run.path(name), other.path(name)).unwrap();
    }
    let data =
        args!["data", "--run", "r1", "--name", "better digits", "--data", other.path("data"), "--rows", "9"];
    other.append_new(data).code(0);
    other.append_many(1..310).code(0);
    run.verify(&other.log(), &[]).code(0);
    let verdict = run.verify(&other.log(), &[&kept]).code(1).json();
    assert_eq!(findings(&verdict), [("fork".to_owned(), Some(0), Some(300))]);
    let shown = |log: PathBuf| {
        lorica(args![
            "train",
            "log",
            "checkpoint",
            "--log",
            log,
            "--vkey",
            run.vkey(),
            "--kept",
            &kept,
            "--out",
            &kept,
            "--json"
        ])
    };
    let before = fs::read(&kept).unwrap();
    assert_eq!(shown(other.log()).code(1).json()["finding"], "fork");

    let short = Run::new();
    for name in ["key", "key.vkey"] {
        fs::copy(run.path(name), short.path(name)).unwrap();
    }
    fs::remove_dir_all(short.log()).unwrap();
    let data =
        args!["data", "--run", "r1", "--name", "digits", "--data", short.path("data"), "--rows", "1797"];
    short.append_new(data).code(0);
    let verdict = run.verify(&short.log(), &[&kept]).code(1).json();
    assert_eq!(findings(&verdict), [("rollback".to_owned(), Some(1), Some(299))]);
    assert_eq!(shown(short.log()).code(1).json()["finding"], "rollback");
    // The evidence stays.
    assert_eq!(fs::read(&kept).unwrap(), before);
    assert_eq!(shown(run.log()).code(0).json()["finding"], Value::Null);
}

#[test]
fn what_cannot_be_appended_is_refused_and_nothing_is_changed() {
    let run = Run::new();
    let data = args!["data", "--run", "r1", "--name", "digits", "--data", run.path("data"), "--rows", "1"];
    let checkpoint = fs::read(run.log().join("checkpoint")).unwrap();
    // No log and no name for one; another name than the key's; a file that is not there; steps backwards.
    let nowhere = run.path("nowhere");
    let new = args!["train", "log", "append", "--log", &nowhere, "--key", run.path("key")];
    lorica(&join(&[new, data])).code(2).says(&["is no log", "--origin"]);
    assert!(!nowhere.exists());
    lorica(&join(&[new, args!["--origin", "lorica.test/other"], data])).code(2).says(&["lorica.test/run"]);
    lorica(&join(&[new, args!["--origin", "with space"], data])).code(2).says(&["key name"]);
    run.append(args!["checkpoint", "--run", "r1", "--step", "0", "--weights", run.path("gone")])
        .code(4)
        .says(&["gone"]);
    run.append(args!["checkpoint", "--run", "r1", "--step", "0", "--weights", "sha256:abc"]).code(2);
    run.append(args!["checkpoint", "--run", "", "--step", "0", "--weights", run.path("w0")]).code(2);
    let weights =
        args!["--before", run.path("w0"), "--after", run.path("w1"), "--config", run.path("config")];
    let proof = args!["proof", "--run", "r1", "--first", "3", "--last", "2", "--proof", run.path("proof")];
    run.append(&join(&[proof, weights])).code(2).says(&["steps 3 to 2"]);
    // A batch with one bad event, of an unknown kind.
    fs::write(run.path("events"), "").unwrap();
    run.append(args!["events", run.path("events")]).code(4).says(&["no events"]);
    run.append_many(0..2).code(0);
    let text = fs::read_to_string(run.path("events")).unwrap();
    fs::write(run.path("events"), format!("{text}{}", text.replacen("\"checkpoint\"", "\"opinion\"", 1)))
        .unwrap();
    run.append(args!["events", run.path("events")]).code(4).says(&["line 3", "unknown variant `opinion`"]);
    assert_eq!(run.verify(&run.log(), &[]).code(0).json()["head"]["size"], 3);
    // A key that others can read.
    fs::set_permissions(run.path("key"), fs::Permissions::from_mode(0o644)).unwrap();
    run.append(data).code(4).says(&["chmod 600"]);
    fs::set_permissions(run.path("key"), fs::Permissions::from_mode(0o600)).unwrap();
    // A log that was changed is not grown.
    fs::write(run.log().join("checkpoint"), checkpoint).unwrap();
    fs::write(run.log().join("tile/0/000.p/1"), [0; 32]).unwrap();
    run.append(data).code(4).says(&["tile beside them"]);
}

#[test]
fn keys_and_checkpoints_of_others_are_told_apart() {
    let run = Run::new();
    let verify =
        |key: &str| lorica(args!["train", "log", "verify", "--log", run.log(), "--vkey", key, "--json"]);
    // The key as text.
    let text = fs::read_to_string(run.vkey()).unwrap();
    verify(text.trim()).code(0);
    verify("no/such/file").code(2).says(&["no such file", "not a verifier key"]);
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(findings(&verify(other).code(1).json()), [("signature".to_owned(), None, None)]);
    lorica(args!["train", "log", "checkpoint", "--log", run.log(), "--vkey", other])
        .code(1)
        .says(&["not signed by PeterNeumann"]);
    // A folder that is no log, and a kept checkpoint of another log.
    lorica(args!["train", "log", "verify", "--log", run.folder.path(), "--vkey", run.vkey()])
        .code(4)
        .says(&["checkpoint"]);
    let kept = run.path("kept");
    fs::write(&kept, "not a checkpoint\n").unwrap();
    run.verify(&run.log(), &[&kept]).code(4).says(&["kept", "not a signed note"]);
}
