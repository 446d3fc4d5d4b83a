//! Is it the same model? Local models and recordings, from folders to a verdict and its evidence.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use common::{
    identity::{Served, merged, rounded, tempered},
    lorica, testdata,
};
use serde_json::Value;

fn gpt2() -> std::path::PathBuf {
    testdata("models/tiny-gpt2")
}

/// The candidate's part of a report with one candidate.
fn only(report: &Value) -> &Value {
    assert_eq!(report["candidates"].as_array().unwrap().len(), 1);
    &report["candidates"][0]
}

#[test]
fn the_same_weights_in_another_number_type_are_same_and_the_bundle_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let (candidate, out) = (rounded(folder.path(), "tiny-gpt2"), folder.path().join("out"));
    let key = folder.path().join("signing-key");
    let report = lorica(args![
        "identify",
        "--reference",
        gpt2(),
        "--candidate",
        &candidate,
        "--mode",
        "audit",
        "--out",
        &out,
        "--signing-key",
        &key,
        "--max-memory",
        "1GiB",
        "--json"
    ])
    .code(0)
    .json();
    assert_eq!(report["schema"], "lorica-identify/1");
    assert_eq!(report["answer"], "SAME");
    assert_eq!(report["access"]["tier"], "local-weights");
    let found = only(&report);
    // Rounding to 8 bits is noise, but more than none; SAME on such noise costs hardly more than on none.
    assert!(found["mean"].as_f64().unwrap() > 0.0 && found["mean"].as_f64().unwrap() < 0.03, "{found}");
    assert!(found["upper"].as_f64().unwrap() <= 0.1);
    assert!(found["queries"].as_u64().unwrap() <= 90, "{found}");
    // The files differ, and the report says so without drawing a conclusion from it.
    let checks = report["structure"].as_array().unwrap();
    let digest = checks.iter().find(|check| check["name"] == "weights-digest").unwrap();
    assert_eq!(digest["details"]["outcome"], "different");
    // One object has one digest, wherever the evidence names it.
    let transcript = fs::read_to_string(out.join("evidence.ndjson")).unwrap();
    let first: Value = serde_json::from_str(transcript.lines().next().unwrap()).unwrap();
    let header = &first["record"]["header"];
    let named = |side: &Value| side["details"]["weights-digest"].as_str().unwrap().to_owned();
    let both = format!("{} and {}", named(&header["reference"]), named(&header["candidates"][0]));
    assert_eq!(digest["finding"], both);

    // The key of the challenges is no secret any more, and lies nowhere else.
    assert!(!out.join("challenge-key.secret").exists());
    let signer = report["signer"].as_str().unwrap();
    let checked = lorica(args!["verify", "--bundle", &out, "--signer", signer, "--json"]).code(0).json();
    assert_eq!((checked["verdict"].as_str(), checked["answer"].as_str()), (Some("VALID"), Some("SAME")));
    lorica(args!["verify", "--bundle", &out, "--signer", "0".repeat(64)]).code(1);

    // Somebody who changes a score is found out, with the place.
    let transcript = out.join("evidence.ndjson");
    let text = fs::read_to_string(&transcript).unwrap();
    let changed = text.replacen("\"score\":{\"value\":0.", "\"score\":{\"value\":0.1", 1);
    assert_ne!(text, changed);
    fs::write(&transcript, changed).unwrap();
    let checked = lorica(args!["verify", "--bundle", &out, "--json"]).code(1).json();
    assert_eq!(checked["verdict"], "INVALID");
    assert!(checked["place"].as_str().unwrap().contains("evidence.ndjson"), "{checked}");
}

#[test]
fn a_merged_adapter_is_different_within_few_questions() {
    let folder = tempfile::tempdir().unwrap();
    let (candidate, out) = (merged(folder.path(), "tiny-gpt2"), folder.path().join("out"));
    let answer =
        lorica(args!["identify", "--reference", gpt2(), "--candidate", &candidate, "--out", &out]).code(1);
    let first = answer.stdout.lines().next();
    assert_eq!(first, Some("DIFFERENT"));
    for words in ["error rate", "e-value", "evidence", "signer", "what this does not show", "calibration"] {
        assert!(answer.stdout.contains(words), "{words:?} is not in {}", answer.stdout);
    }
    assert!(answer.stdout.lines().all(|line| line.chars().count() <= 130), "{}", answer.stdout);
    let checked = lorica(args!["verify", "--bundle", &out, "--json"]).code(0).json();
    assert_eq!(checked["answer"], "DIFFERENT");
    // Evidence is never written over.
    lorica(args!["identify", "--reference", gpt2(), "--candidate", &candidate, "--out", &out])
        .code(4)
        .says(&["is not empty", "--resume"]);
}

#[test]
fn what_the_budget_cannot_decide_is_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = tempered(folder.path(), "tiny-gpt2", 1.1);
    let run = |budget: &str, out: &str| {
        lorica(args![
            "identify",
            "--reference",
            gpt2(),
            "--candidate",
            &candidate,
            "--mode",
            "audit",
            "--budget",
            budget,
            "--out",
            folder.path().join(out),
            "--json"
        ])
    };
    // Not one score is 0, so the budget with which only zeros can be SAME decides nothing.
    let report = run("50", "out").code(3).json();
    assert_eq!(report["answer"], "UNDECIDED");
    let mean = only(&report)["mean"].as_f64().unwrap();
    assert!(mean > 0.005 && mean < 0.1, "{mean}");
    assert_eq!(only(&report)["queries"], 50);
    // Less can never say SAME: not a run that fails, but one that is not begun.
    run("40", "less").code(2).says(&["40 queries can never end in SAME", "44"]);
    assert!(!folder.path().join("less").exists());
}

#[test]
fn several_candidates_share_one_error_rate_and_one_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let (same, other) = (rounded(folder.path(), "tiny-gpt2"), merged(folder.path(), "tiny-gpt2"));
    let out = folder.path().join("out");
    let report = lorica(args![
        "identify",
        "--reference",
        gpt2(),
        "--candidate",
        &other,
        "--candidate",
        &same,
        "--mode",
        "quick",
        "--out",
        &out,
        "--json"
    ])
    .code(1)
    .json();
    let answers: Vec<&Value> =
        report["candidates"].as_array().unwrap().iter().map(|candidate| &candidate["answer"]).collect();
    assert_eq!(answers, ["DIFFERENT", "SAME"]);
    assert_eq!(report["rule"]["alpha_each"], 0.0125);
    lorica(args!["verify", "--bundle", &out]).code(0);
}

#[test]
fn a_recording_stands_in_for_the_reference_and_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recording");
    let recorded =
        lorica(args!["identify", "record", "--model", gpt2(), "--mode", "quick", "--out", &recording])
            .code(0);
    assert!(recorded.stdout.contains("Keep it secret"), "{}", recorded.stdout);
    assert_eq!(fs::metadata(&recording).unwrap().permissions().mode() & 0o777, 0o600);
    let compare = |candidate: &Path, out: &str, more: &[&str]| {
        let mut arguments = args![
            "identify",
            "--reference",
            &recording,
            "--candidate",
            candidate,
            "--mode",
            "quick",
            "--json",
            "--out",
            folder.path().join(out)
        ]
        .to_vec();
        arguments.extend(more.iter().map(Into::into));
        lorica(&arguments)
    };
    let other = merged(folder.path(), "tiny-gpt2");
    assert_eq!(compare(&other, "different", &[]).code(1).json()["answer"], "DIFFERENT");
    let same = rounded(folder.path(), "tiny-gpt2");
    assert_eq!(compare(&same, "same", &[]).code(0).json()["answer"], "SAME");
    // An endpoint could have read the evidence and prepared.
    let served = Served::start(&gpt2(), &[]);
    let endpoint = Path::new(&served.url);
    compare(endpoint, "late", &["--model", &served.model])
        .code(2)
        .says(&["was compared with", "--reuse-recording"]);
    // A plan beyond what was recorded.
    let audit = lorica(args![
        "identify",
        "--reference",
        &recording,
        "--candidate",
        &same,
        "--mode",
        "audit",
        "--out",
        folder.path().join("audit")
    ]);
    audit.code(2).says(&["holds 120 challenges", "--budget 120"]);
    // A line changed is a recording no more.
    let text = fs::read_to_string(&recording).unwrap();
    fs::write(&recording, text.replacen("\"index\":3", "\"index\":4", 1)).unwrap();
    compare(&same, "changed", &[]).code(4).says(&["lines before were changed"]);
}

#[test]
fn a_family_of_prompts_is_added_by_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let families = folder.path().join("families");
    fs::create_dir(&families).unwrap();
    let builtin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../identity/families");
    for file in fs::read_dir(builtin).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), families.join(file.file_name())).unwrap();
    }
    let chess = serde_json::json!({
        "format": "lorica-family-1",
        "name": "chess",
        "about": "Games, as a coach speaks of them.",
        "templates": ["In round {round} the {player} answered with a quiet move and the {player.other} attacked on move {move}"],
        "lists": {"player": ["junior champion", "visiting master", "school teacher"]},
        "numbers": {"round": {"from": 1, "to": 40}, "move": {"from": 4, "to": 60}}
    });
    fs::write(families.join("chess.json"), chess.to_string()).unwrap();
    let out = folder.path().join("out");
    let report = lorica(args![
        "identify",
        "--reference",
        gpt2(),
        "--candidate",
        gpt2(),
        "--mode",
        "quick",
        "--families",
        &families,
        "--out",
        &out,
        "--json"
    ])
    .code(0)
    .json();
    assert_eq!(report["rule"]["families"].as_array().unwrap().len(), 6);
    // Rounds of six: four of them are too few for SAME, and each family was asked as often as the others.
    assert_eq!(only(&report)["queries"], 30);
    let transcript = fs::read_to_string(out.join("evidence.ndjson")).unwrap();
    assert_eq!(transcript.matches("\"family\":\"chess\"").count(), 5);
    // The file is part of the evidence, so whoever checks it needs no other.
    assert!(out.join("families/chess.json").exists());
    lorica(args!["verify", "--bundle", &out]).code(0);
}

#[test]
fn other_tokenizers_are_compared_by_text_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let cut = common::identity::derived(
        folder.path(),
        "recut",
        "tiny-gpt2",
        lorica_zoo::Precision::Single,
        |draft| {
            let tokens = draft.shape().unwrap().vocabulary() * 7 / 10;
            draft.tokenizer =
                lorica_zoo::derive::vocabulary::truncated_tokenizer(&draft.tokenizer, tokens).unwrap();
        },
    );
    let out = folder.path().join("out");
    let run = |tier: &str| {
        lorica(args![
            "identify",
            "--reference",
            gpt2(),
            "--candidate",
            &cut,
            "--mode",
            "quick",
            "--tier",
            tier,
            "--out",
            &out,
            "--json"
        ])
    };
    run("distributions").code(2).says(&["cut prompts differently", "--tier text"]);
    assert!(!out.exists());
    let report = run("auto");
    // What the answer is depends on how well the model copes; that it was found by text does not.
    assert!([0, 1, 3].contains(&report.code), "{}", report.stderr);
    let report = report.json();
    assert_eq!(report["access"]["tier"], "text-only");
    assert!(report["access"]["reasons"][0].as_str().unwrap().contains("cut prompts differently"));
    lorica(args!["verify", "--bundle", &out]).code(0);
}

#[test]
fn what_stands_beside_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let other = rounded(folder.path(), "tiny-gpt2");
    let plan =
        lorica(args!["identify", "plan", "--mode", "audit", "--effect", "0", "--runs", "10", "--json"]);
    let plan = plan.code(0).json();
    assert_eq!((&plan["floor"], &plan["needed"]), (&44.into(), &50.into()));
    assert_eq!(plan["power"][0]["same"]["count"], 10);

    let structure = lorica(args!["identify", "structure", gpt2(), &other, "--json"]).code(0).json();
    let outcome = |check: &str| {
        let findings = structure["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["check"] == check).unwrap()["outcome"].clone()
    };
    assert_eq!(outcome("weights-digest"), "different");
    assert_eq!(outcome("vocabulary"), "equal");
    assert_eq!(outcome("prompt-encodings"), "equal");

    let noise = lorica(args!["identify", "calibrate", "--model", gpt2(), "--challenges", "5", "--json"]);
    for condition in noise.code(0).json()["calibration"]["conditions"].as_array().unwrap() {
        assert!(condition["largest"].as_f64().unwrap() < 0.05, "{condition}");
    }

    let relation = lorica(args!["identify", "relation", gpt2(), &other, "--challenges", "5", "--json"]);
    assert!(!relation.code(0).json()["features"].as_object().unwrap().is_empty());
}

#[test]
fn wrong_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        at(name)
    };
    let (model, out, empty) = (gpt2().to_str().unwrap().to_owned(), at("out"), at("empty"));
    fs::create_dir(&empty).unwrap();
    let (text, gguf) = (file("text", b"hello"), file("model.gguf", b"GGUF"));
    let cases: &[(i32, &[&str], &[&str])] = &[
        (2, &[], &["--reference", "--help"]),
        (2, &["--reference", &model, "--out", &out], &["--candidate"]),
        (
            2,
            &["--reference", &model, "--candidate", &model, "--out", &out, "--mode", "deep"],
            &["quick, audit"],
        ),
        (2, &["--reference", &model, "--candidate", &model, "--out", &out, "--rare-rate", "2"], &["0.01"]),
        (2, &["--reference", &model, "--candidate", &model, "--out", &out, "--max-memory", "5"], &["1MB"]),
        (
            2,
            &["--reference", &model, "--candidate", &model, "--out", &out, "--budget", "10"],
            &["can never end in SAME"],
        ),
        (4, &["--reference", &at("no"), "--candidate", &model, "--out", &out], &["no such file or folder"]),
        (4, &["--reference", &empty, "--candidate", &model, "--out", &out], &["no config.json"]),
        (4, &["--reference", &model, "--candidate", &text, "--out", &out], &["is no recording"]),
        (4, &["--reference", &model, "--candidate", &gguf, "--out", &out], &["llama.cpp"]),
        (4, &["--reference", &model, "--candidate", "ftp://x", "--out", &out], &["http://"]),
        (4, &["--reference", &model, "--candidate", "http://k@x/v1", "--out", &out], &["--key-env"]),
        (
            2,
            &["--reference", &model, "--candidate", "http://127.0.0.1:1/v1", "--out", &out],
            &["--candidate-model"],
        ),
        (
            4,
            &[
                "--reference",
                &model,
                "--candidate",
                "http://127.0.0.1:1/v1",
                "--model",
                "m",
                "--attempts",
                "1",
                "--out",
                &out,
            ],
            &["cannot be reached"],
        ),
        (
            4,
            &["--reference", &model, "--candidate", &model, "--out", &out, "--families", &empty],
            &["no family files"],
        ),
        (
            4,
            &["--reference", &model, "--candidate", &model, "--out", &out, "--resume"],
            &["no run that could be resumed"],
        ),
    ];
    for (code, arguments, words) in cases {
        let mut all = vec!["identify"];
        all.extend_from_slice(arguments);
        lorica(&all).code(*code).says(words);
        assert!(!Path::new(&out).exists(), "{arguments:?} left something behind");
    }
    lorica(args!["verify", "--bundle", &empty]).code(1);
    lorica(args!["verify", "--bundle", at("no")]).code(4).says(&["expected a folder"]);
    lorica(args!["verify"]).code(2);
}

#[test]
fn options_of_every_command_stand_before_or_behind() {
    let plan = ["--effect", "0", "--runs", "5"];
    let before = lorica(&[&["identify", "--json", "plan"][..], &plan].concat()).code(0).json();
    let behind = lorica(&[&["identify", "plan", "--json"][..], &plan].concat()).code(0).json();
    assert_eq!(before, behind);
    // The comparison's own options do not go with the commands beside it.
    for option in [["--mode", "quick"], ["--out", "x"]] {
        lorica(&[&["identify"][..], &option, &["plan"], &plan].concat())
            .code(2)
            .says(&[option[0], "not with `lorica identify plan`"]);
    }
}

#[test]
fn a_calibration_stands_beside_the_decision_about_its_own_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let same = rounded(folder.path(), "tiny-gpt2");
    let noise =
        lorica(args!["identify", "calibrate", "--model", gpt2(), "--challenges", "2", "--json"]).code(0);
    fs::write(at("noise.json"), &noise.stdout).unwrap();
    let run = |reference: &Path, calibration: &str, out: &str| {
        lorica(args![
            "identify",
            "--reference",
            reference,
            "--candidate",
            &same,
            "--mode",
            "quick",
            "--calibration",
            at(calibration),
            "--out",
            at(out),
            "--json"
        ])
    };
    let report = run(&gpt2(), "noise.json", "out").code(0).json();
    assert_eq!(report["calibration"], noise.json()["calibration"]);
    let checked = lorica(args!["verify", "--bundle", at("out"), "--json"]).code(0).json();
    assert_eq!(checked["answer"], "SAME");
    let page = fs::read_to_string(at("out").join("report.html")).unwrap();
    assert!(page.contains("two threads in place of one"));

    // Of other weights; of nothing; of numbers that no measurement gives.
    run(&same, "noise.json", "other").code(4).says(&["calibration of weights", "calibrate the reference"]);
    fs::write(at("changed.json"), noise.stdout.replacen("\"queries\": 2", "\"queries\": 0", 1)).unwrap();
    run(&gpt2(), "changed.json", "other").code(4).says(&["of 0 queries"]);
    fs::write(at("report.json"), "{\"schema\": \"lorica-identify-plan/1\"}").unwrap();
    run(&gpt2(), "report.json", "other").code(4).says(&["identify calibrate --json"]);
    assert!(!at("other").exists());
}
