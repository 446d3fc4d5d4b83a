//! Every file of a session's folder, changed in some way: INVALID with the check that failed, or a clear error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Contributor, copy, lorica, spanish};
use lorica_transcript::TranscriptHeader;
use serde_json::Value;

const MODULE: &str = "transformer.h.0.attn.c_attn";

/// Where the first round commitment of `proof.bin` lies, behind the magic and the mode.
const FIRST_POINT: usize = 9;

/// What a change leads to.
enum Expected {
    /// INVALID by this check, and about this module.
    Invalid(&'static str, Option<&'static str>),
    /// No verdict: exit code 4, and a message with these words.
    Error(&'static str),
}

use Expected::{Error, Invalid};

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip(value: &mut Value) {
    let text = value.as_str().unwrap();
    let first = if text.starts_with('0') { '1' } else { '0' };
    *value = format!("{first}{}", &text[1..]).into();
}

/// Flips one bit of a tensor's first value.
fn change_tensor(shard: &Path, tensor: &str) {
    change(shard, |bytes| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let start = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        bytes[8 + length + start] ^= 1;
    });
}

type Change = fn(&Path);

const CHANGES: &[(&str, Change, Expected)] = &[
    ("a delta", |s| change_tensor(&shard(s), &format!("deltas.{MODULE}")), Invalid("digests", Some(MODULE))),
    ("an activation", |s| change_tensor(&shard(s), "inputs.0"), Invalid("digests", Some(MODULE))),
    ("an exponent", |s| change_tensor(&shard(s), "exponents.0"), Invalid("digests", Some(MODULE))),
    (
        "the session in the header",
        |s| header(s, |h| flip(&mut h["session"])),
        Error("rows-00001.safetensors"),
    ),
    (
        "the session everywhere",
        |s| {
            let old = read_header(s)["session"].as_str().unwrap().to_owned();
            header(s, |h| flip(&mut h["session"]));
            let new = read_header(s)["session"].as_str().unwrap().to_owned();
            change(&shard(s), |bytes| {
                let start = bytes.windows(64).position(|window| window == old.as_bytes()).unwrap();
                bytes[start..start + 64].copy_from_slice(new.as_bytes());
            });
        },
        Invalid("proof", None),
    ),
    ("the manifest of the session", |s| header(s, |h| flip(&mut h["manifest"])), Invalid("session", None)),
    (
        "a delta digest",
        |s| header(s, |h| flip(&mut h["digests"]["modules"][0])),
        Invalid("digests", Some(MODULE)),
    ),
    (
        "two modules swapped",
        |s| {
            header(s, |h| {
                let modules = h["modules"].as_array_mut().unwrap();
                modules.swap(0, 2);
            });
        },
        Invalid("session", Some(MODULE)),
    ),
    ("the number of rows", |s| header(s, |h| h["streams"][0]["rows"] = 3.into()), Error("streams[0].rows")),
    (
        "the number of calls",
        |s| {
            header(s, |h| {
                h["streams"][0]["calls"] = (h["streams"][0]["calls"].as_u64().unwrap() + 1).into();
                h["calls"] = (h["calls"].as_u64().unwrap() + 1).into();
            });
        },
        Invalid("proof", None),
    ),
    ("not completed", |s| header(s, |h| h["completed"] = false.into()), Error("was not finished")),
    (
        "an unknown field",
        |s| {
            let path = s.join("transcript/transcript.json");
            let text = fs::read_to_string(&path).unwrap().replacen('{', "{\n  \"more\": 1,", 1);
            fs::write(path, text).unwrap();
        },
        Error("unknown field"),
    ),
    ("a shard cut short", |s| change(&shard(s), |b| b.truncate(b.len() - 1)), Error("expected")),
    (
        "a file too many",
        |s| fs::write(s.join("transcript/more"), "").unwrap(),
        Error("no part of a finished transcript"),
    ),
    // The lowest bit of an encoded point is its sign, and a canonical one is never negative: no point is encoded so.
    (
        "a point of the proof",
        |s| change(&s.join("proof.bin"), |b| b[FIRST_POINT] ^= 1),
        Invalid("proof_format", None),
    ),
    // Each is a point, in the place of the other.
    (
        "two points of the proof",
        |s| {
            change(&s.join("proof.bin"), |b| {
                let (first, second) = b[FIRST_POINT..FIRST_POINT + 64].split_at_mut(32);
                first.swap_with_slice(second);
            });
        },
        Invalid("proof", None),
    ),
    ("the proof's end", |s| change(&s.join("proof.bin"), |b| b.push(0)), Invalid("proof_format", None)),
    ("a shorter proof", |s| change(&s.join("proof.bin"), |b| b.truncate(100)), Invalid("proof_format", None)),
    ("an empty proof", |s| change(&s.join("proof.bin"), Vec::clear), Invalid("proof_format", None)),
    ("the manifest", |s| change(&s.join("manifest.json"), |b| b.push(b'\n')), Invalid("manifest", None)),
    (
        "another scaling",
        |s| {
            let path = s.join("manifest.json");
            let text = fs::read_to_string(&path).unwrap().replacen("\"alpha\": 8.0", "\"alpha\": 4.0", 1);
            fs::write(path, text).unwrap();
        },
        Invalid("pin", None),
    ),
    ("a commitment", |s| change(&s.join("commitments.bin"), |b| b[3] ^= 1), Invalid("commitments", None)),
    (
        "a commitment less",
        |s| change(&s.join("commitments.bin"), |b| b.truncate(64)),
        Invalid("commitments", None),
    ),
    (
        "the registration",
        |s| change(&s.join("registration.bin"), |b| b.push(0)),
        Invalid("registration", None),
    ),
    ("the losses", |s| fs::write(s.join("run.json"), "{}").unwrap(), Error("not the record of a run")),
    (
        "no transcript",
        |s| fs::remove_dir_all(s.join("transcript")).unwrap(),
        Error("transcript.json is missing"),
    ),
    (
        "no commitments",
        |s| fs::remove_file(s.join("commitments.bin")).unwrap(),
        Error("commitments.bin is missing"),
    ),
];

fn shard(session: &Path) -> PathBuf {
    session.join("transcript/rows-00001.safetensors")
}

fn read_header(session: &Path) -> Value {
    serde_json::from_slice(&fs::read(session.join("transcript/transcript.json")).unwrap()).unwrap()
}

/// Changes the header, and writes it in its one form again.
fn header(session: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = read_header(session);
    edit(&mut value);
    let header: TranscriptHeader = serde_json::from_value(value).unwrap();
    let mut bytes = serde_json::to_vec_pretty(&header).unwrap();
    bytes.push(b'\n');
    fs::write(session.join("transcript/transcript.json"), bytes).unwrap();
}

#[test]
fn no_change_goes_unnoticed() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let text = spanish();
    let honest = contributor.proven("honest", &text.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(contributor.verify(&honest).code(0).json()["verdict"], "VALID");
    let mut failures = Vec::new();
    for (index, (what, edit, expected)) in CHANGES.iter().enumerate() {
        let session = contributor.user(&format!("changed-{index}"));
        copy(&honest, &session);
        edit(&session);
        let answer = contributor.verify(&session);
        let as_expected = match expected {
            Invalid(check, module) => {
                answer.code == 1 && {
                    let verdict = answer.json();
                    let reason = &verdict["reason"];
                    verdict["verdict"] == "INVALID"
                        && reason["check"] == *check
                        && reason["module"].as_str() == *module
                        && verdict["proven"] == Value::Array(Vec::new())
                }
            }
            Error(words) => answer.code == 4 && answer.stderr.contains(words),
        };
        if !as_expected {
            failures.push(format!("{what}: exit code {}\n{}{}", answer.code, answer.stdout, answer.stderr));
        }
        fs::remove_dir_all(session).unwrap();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn another_pin_is_invalid() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let text = spanish();
    let session = contributor.proven("user", &text.iter().map(String::as_str).collect::<Vec<_>>());
    let pin = "0".repeat(64);
    let verdict = lorica(args!["verify", "--pin", &pin, "--session", &session, "--json"]).code(1).json();
    assert_eq!((&verdict["verdict"], &verdict["reason"]["check"]), (&"INVALID".into(), &"pin".into()));
    // For people, the first line is the verdict.
    let text = lorica(args!["verify", "--pin", &pin, "--session", &session]).code(1).stdout;
    assert!(text.starts_with("INVALID\nfailed      the pin\n"), "{text}");
}

/// A proof that does not hold would tell a linear value of the weights it was made with, so none is written.
#[test]
fn no_proof_leaves_that_does_not_hold() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let user = contributor.user("user");
    let text = spanish();
    contributor.run(&user, &text.iter().map(String::as_str).collect::<Vec<_>>()).code(0);
    let run: Value = serde_json::from_slice(&fs::read(user.join("run.json")).unwrap()).unwrap();
    let session = contributor.folder.path().join("sessions").join(run["session"].as_str().unwrap());
    let refused = |arguments: &[std::ffi::OsString]| {
        lorica(arguments).code(4).says(&["the proof made does not hold", "was not written"]);
        assert!(!session.join("proof.bin").exists());
    };

    // Other weights, of the same shapes and exponents: one entry changes by a quarter.
    let adapter = contributor.user("other-adapter");
    copy(&contributor.adapter, &adapter);
    change(&adapter.join("adapter_model.safetensors"), |bytes| {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + length + 2] ^= 0x20;
    });
    refused(args!["prove", &session, "--opening", "fast", "--adapter", &adapter]);

    // Deltas that are not those that were sent.
    let honest = fs::read(shard(&session)).unwrap();
    change_tensor(&shard(&session), &format!("deltas.{MODULE}"));
    refused(args!["prove", &session, "--opening", "compact"]);

    fs::write(shard(&session), honest).unwrap();
    contributor.prove(&user, "auto").code(0);
    assert!(session.join("proof.bin").exists());
}
