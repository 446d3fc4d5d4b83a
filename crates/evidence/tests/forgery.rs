//! An attacker who holds the signing key, repairs the chain and signs again: what is recomputed still does not fit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, path::Path};

use common::*;
use lorica_evidence::{BundleSigner, Digest, Reason, VerifyOptions, verify_bundle};
use lorica_identity::ChallengeKey;

/// A bundle whose records were edited, with a chain that holds and a new signature by the same key.
fn forged(folder: &Path, edit: impl FnOnce(&mut Vec<String>)) -> (String, Reason) {
    let mut records = records(folder);
    let before = records.clone();
    edit(&mut records);
    assert_ne!(records, before, "the forgery changes something");
    write_records(folder, &records);
    sign_again(folder, &signer());
    let found = invalid(folder);
    write_records(folder, &before);
    sign_again(folder, &signer());
    verify_bundle(folder, VerifyOptions::default()).unwrap();
    (found.place.to_string(), *found.reason)
}

fn replace(records: &mut [String], line: usize, from: &str, to: &str) {
    assert!(records[line].contains(from), "{from} in {}", records[line]);
    records[line] = records[line].replacen(from, to, 1);
}

/// Gives the first field of this name another plain value.
fn set(records: &mut [String], line: usize, field: &str, value: &str) {
    let mark = format!("\"{field}\":");
    let (before, rest) = records[line].split_once(&mark).unwrap();
    let end = rest.find([',', '}']).unwrap();
    records[line] = format!("{before}{mark}{value}{}", &rest[end..]);
}

/// The text between two marks of a record.
fn between<'a>(record: &'a str, before: &str, after: &str) -> &'a str {
    record.split_once(before).unwrap().1.split_once(after).unwrap().0
}

#[test]
fn edited_numbers_prompts_and_answers_are_found() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let original = records(&folder);
    let score = between(&original[2], r#""score":"#, r#","state""#).to_owned();
    let prompt = between(&original[2], r#""prompt":""#, r#"","#).to_owned();

    let entry = |name: &str| format!("evidence.ndjson, line 3, record.entry.{name}");
    for (from, to, place) in [
        (score.as_str(), r#"{"value":0.25}"#, "score.value"),
        (&score, r#""withheld""#, "score"),
        (&prompt, "Say yes", "challenge.prompt"),
        (r#""family":"counting""#, r#""family":"other""#, "challenge.family"),
    ] {
        let (found, reason) = forged(&folder, |records| replace(records, 2, from, to));
        assert_eq!(found, entry(place), "{from} -> {to}: {reason}");
        assert!(recomputed(&reason), "{reason}");
    }
    for (field, value, place) in [
        ("index", "7", "challenge.index"),
        ("positions", "[3", "challenge.positions"),
        ("n", "3", "state.n"),
        ("mean", "0.25", "state.mean"),
        ("mean", "null", "state.mean"),
        ("lower", "0.9", "state.lower"),
        ("upper", "0.1", "state.upper"),
        ("log_e_same", "9.5", "state.log_e_same"),
        ("exceedances", "5", "state.exceedances"),
        ("decision", r#""same""#, "state.decision"),
    ] {
        let (found, reason) = forged(&folder, |records| set(records, 2, field, value));
        assert_eq!(found, entry(place), "{field}: {reason}");
        assert!(recomputed(&reason), "{reason}");
    }
    let (found, _) = forged(&folder, |records| {
        replace(records, 2, r#""candidate_answer":"#, r#""candidate_answer":{"refused":"no"},"x":"#);
        let end = records[2].split_once(r#""x":"#).unwrap();
        let rest = end.1.split_once(r#","score""#).unwrap().1;
        records[2] = format!("{}\"score\"{rest}", end.0);
    });
    assert_eq!(found, entry("score"));
    let (found, _) =
        forged(&folder, |records| replace(records, 2, r#"" yes",-0.6931471805599453"#, r#"" yes",-0.7"#));
    assert_eq!(found, entry("score.value"));
}

#[test]
fn another_key_other_thresholds_or_another_question_are_found() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let last = records(&folder).len() - 1;
    let ours = key().reveal().to_string();
    let other = ChallengeKey::new([8; 32]);
    let commitment = |key: &ChallengeKey| Digest::new(key.commitment()).to_string();

    let (found, _) = forged(&folder, |records| replace(records, last, &ours, &other.reveal()));
    assert_eq!(found, format!("evidence.ndjson, line {}, record.closing.key", last + 1));
    let (found, _) = forged(&folder, |records| replace(records, 0, &commitment(&key()), &commitment(&other)));
    assert_eq!(found, format!("evidence.ndjson, line {}, record.closing.key", last + 1));
    // Both ends of another key fit each other, but not the prompts that were asked.
    let (found, _) = forged(&folder, |records| {
        replace(records, 0, &commitment(&key()), &commitment(&other));
        replace(records, last, &ours, &other.reveal());
    });
    assert!(found.starts_with("evidence.ndjson, line 2, record.entry.challenge."), "{found}");
    let (found, _) = forged(&folder, |records| replace(records, 0, "test run", "best run"));
    assert!(found.starts_with("evidence.ndjson, line 2, record.entry.challenge."), "{found}");

    let header = |name: &str| format!("evidence.ndjson, line 1, record.header.{name}");
    let (found, _) = forged(&folder, |records| {
        replace(records, 0, r#""name":"quick""#, r#""name":"mine""#);
        replace(records, 0, r#""delta_star":0.2"#, r#""delta_star":0.45"#);
    });
    assert!(found.starts_with("evidence.ndjson, line 2, record.entry.state."), "{found}");
    let (found, _) =
        forged(&folder, |records| replace(records, 0, r#""delta_star":0.2"#, r#""delta_star":0.45"#));
    assert_eq!(found, "evidence.ndjson, line 1");
    let (found, _) = forged(&folder, |records| {
        replace(records, 0, r#""name":"quick""#, r#""name":"mine""#);
        replace(records, 0, r#""alpha":0.025"#, r#""alpha":0.2"#);
    });
    assert!(found.contains("record.entry.state") || found.contains("closing"), "{found}");
    let (found, _) = forged(&folder, |records| replace(records, 0, r#""candidates":1"#, r#""candidates":2"#));
    assert_eq!(found, header("plan.candidates"));
    let (found, _) = forged(&folder, |records| replace(records, 0, r#""positions":2"#, r#""positions":3"#));
    assert_eq!(found, "evidence.ndjson, line 2, record.entry.challenge.positions");
    let (found, _) = forged(&folder, |records| replace(records, 0, "lorica-evidence/1", "lorica-evidence/2"));
    assert_eq!(found, header("format"));
    let (found, _) = forged(&folder, |records| replace(records, 0, r#""distance""#, r#""two-sample""#));
    assert_eq!(found, header("plan.scale"));
    let (found, reason) = forged(&folder, |records| {
        replace(records, 0, "lorica 0", "lorica 9");
        set(records, 1, "mean", "0.1");
    });
    assert_eq!(found, "evidence.ndjson, line 2, record.entry.state.mean");
    assert!(reason.to_string().contains("check it with that version"), "{reason}");
}

#[test]
fn another_ending_is_found() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let last = records(&folder).len() - 1;
    let outcome = r#"{"decided":{"different":{"by":"mean"}}}"#;
    let fault = r#"{"error":{"side":"served","kind":"interrupted","detail":"a person stopped it"}}"#;
    let result = |name: &str| format!("evidence.ndjson, line {}, record.closing.results[0].{name}", last + 1);
    for (from, to, place) in [
        (outcome, r#"{"decided":"same"}"#, "outcome"),
        (outcome, r#"{"decided":"undecided"}"#, "outcome"),
        (outcome, r#"{"decided":{"different":{"by":"rare-differences"}}}"#, "outcome"),
        (outcome, fault, "outcome"),
    ] {
        let (found, reason) = forged(&folder, |records| replace(records, last, from, to));
        assert!(found.starts_with(&result(place)), "{to}: {found}: {reason}");
    }
    for (field, value, place) in [
        ("queries", "50", "queries"),
        ("withheld", "1", "withheld"),
        ("log_e_different", "9.5", "state.log_e_different"),
        ("exceedances", "9", "state.exceedances"),
    ] {
        let (found, reason) = forged(&folder, |records| set(records, last, field, value));
        assert_eq!(found, result(place), "{reason}");
    }
    let (found, _) = forged(&folder, |records| drop(records.remove(last)));
    assert_eq!(found, format!("evidence.ndjson, line {last}"));
    // A run that was going the wrong way is cut short, and called DIFFERENT or ERROR.
    let (found, _) = forged(&folder, |records| drop(records.remove(last - 1)));
    assert_eq!(found, format!("evidence.ndjson, line {last}, record.closing.results[0].queries"));
    for edit in [
        (|records: &mut Vec<String>| records.swap(1, 2)) as fn(&mut Vec<String>),
        |records| records.insert(2, records[1].clone()),
        |records| drop(records.remove(1)),
        |records| records.insert(1, records[0].clone()),
        |records| records.insert(1, records[records.len() - 1].clone()),
        |records| records.push(records[records.len() - 2].clone()),
    ] {
        let (found, _) = forged(&folder, edit);
        assert!(found.starts_with("evidence.ndjson, line "), "{found}");
    }
}

#[test]
fn an_error_cannot_become_a_decision() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, same, 3);
    let last = records(&folder).len() - 1;
    let fault = format!(
        "{{\"error\":{}}}",
        between(&records(&folder)[last], r#""outcome":{"error":"#, r#"},"queries""#)
    );
    for decided in [r#"{"decided":"same"}"#, r#"{"decided":"undecided"}"#] {
        let (found, _) = forged(&folder, |records| replace(records, last, &fault, decided));
        assert_eq!(found, format!("evidence.ndjson, line {}, record.closing.results[0].outcome", last + 1));
    }
}

#[test]
fn files_that_do_not_follow_from_the_transcript_are_found() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let forged = |name: &str, from: &str, to: &str| {
        let path = folder.join(name);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{from} in {name}");
        fs::write(&path, before.replacen(from, to, 1)).unwrap();
        sign_again(&folder, &signer());
        let found = message(&folder);
        fs::write(&path, before).unwrap();
        sign_again(&folder, &signer());
        found
    };
    let found = forged("report.html", "does not behave", "does behave");
    assert!(
        found.starts_with("report.html, line ") && found.ends_with("says what the transcript says")
            || found.contains("does not say what the transcript says"),
        "{found}"
    );
    let found = forged("interval-0.svg", "polygon", "polyline");
    assert!(found.starts_with("interval-0.svg, line "), "{found}");
    let found = forged("families/counting.json", "small stones", "large stones");
    assert!(found.starts_with("evidence.ndjson, line 1, record.header.bank_digest"), "{found}");
    let found = forged("families/counting.json", "{\"", "{ \"");
    assert!(found.starts_with("families/counting.json: not the canonical form"), "{found}");
    let found = forged("families/counting.json", "{first}", "{last}");
    assert!(found.starts_with("families: counting.json"), "{found}");
    for extra in ["notes.txt", "interval-1.svg", "families/more.txt"] {
        fs::write(folder.join(extra), "x").unwrap();
        sign_again(&folder, &signer());
        assert!(message(&folder).starts_with(extra), "{}", message(&folder));
        fs::remove_file(folder.join(extra)).unwrap();
    }
}

#[test]
fn signing_with_another_key_is_seen_by_whoever_pinned() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    sign_again(&folder, &BundleSigner::from_seed(&[1; 32]));
    // The report names the signer of the run.
    assert!(message(&folder).starts_with("report.html"), "{}", message(&folder));
    let pinned = VerifyOptions { signer: Some(signer().fingerprint()) };
    let found = verify_bundle(&folder, pinned).unwrap_err().to_string();
    assert!(found.starts_with("INVALID: bundle.json, list.public_key: signed by"), "{found}");
}
