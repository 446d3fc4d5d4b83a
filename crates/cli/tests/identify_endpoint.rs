//! Is it the same model behind an endpoint? Each endpoint is a process of its own, asked over loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use assert_cmd::cargo::cargo_bin;
use common::{
    Answer,
    identity::{Served, merged},
    lorica, testdata,
};

fn gpt2() -> PathBuf {
    testdata("models/tiny-gpt2")
}

fn arguments(served: &Served, out: &Path) -> Vec<std::ffi::OsString> {
    args![
        "identify",
        "--reference",
        gpt2(),
        "--candidate",
        &served.url,
        "--model",
        &served.model,
        "--mode",
        "quick",
        "--out",
        out,
        "--json",
        "--attempts",
        "2"
    ]
    .to_vec()
}

fn compare(served: &Served, out: &Path) -> Answer {
    lorica(&arguments(served, out))
}

#[test]
fn each_tier_tells_the_model_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let other = merged(folder.path(), "tiny-gpt2");
    // By text a merged adapter is too near for this mode to be sure; a server that says the same again and again is not.
    let stuck = r#"{"temperature":{"factor":0.05}}"#;
    let cases: [(&str, &str, &Path, &[&str]); 3] = [
        ("prompt", "prompt-log-probabilities", &other, &[]),
        ("top", "top-log-probabilities", &other, &[]),
        ("text", "text-only", &gpt2(), &["--behaviour", stuck]),
    ];
    for (offer, tier, other, behaviour) in cases {
        let out = |name: &str| folder.path().join(format!("{offer}-{name}"));
        let report = compare(&Served::start(&gpt2(), &["--offer", offer]), &out("same")).code(0).json();
        assert_eq!(report["answer"], "SAME", "{offer}");
        assert_eq!(report["access"]["tier"], tier);
        let mut options = vec!["--offer", offer];
        options.extend(behaviour);
        let report = compare(&Served::start(other, &options), &out("other")).code(1).json();
        assert_eq!(report["answer"], "DIFFERENT", "{offer}");
        lorica(args!["verify", "--bundle", out("same")]).code(0);
        lorica(args!["verify", "--bundle", out("other")]).code(0);
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let late = r#"{"latency":{"milliseconds":20,"jitter":0,"seed":1}}"#;
    let served = Served::start(&gpt2(), &["--offer", "top", "--behaviour", late]);
    let mut child = Command::new(cargo_bin!("lorica"))
        .args(arguments(&served, &out))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines =
        || fs::read_to_string(out.join("evidence.ndjson")).map_or(0, |text| text.matches('\n').count());
    while lines() < 7 && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = lines();
    // Whether the kill came in time is a matter of the machine; a run that had ended must say so.
    let finished = out.join("bundle.json").exists();
    let mut again = arguments(&served, &out);
    again.push("--resume".into());
    let answer = lorica(&again);
    if finished {
        answer.code(4).says(&["it is finished"]);
    } else {
        let report = answer.code(0).json();
        assert_eq!(report["answer"], "SAME");
        let scored = report["candidates"][0]["queries"].as_u64().unwrap();
        let asked = report["candidates"][0]["asked"].as_u64().unwrap();
        let in_vain = report["candidates"][0]["asked_in_vain"].as_u64().unwrap();
        // The header is a line; nothing that was answered before is asked again.
        assert_eq!(asked - in_vain + (before as u64 - 1), scored, "{report}");
    }
    lorica(args!["verify", "--bundle", &out]).code(0);
}

/// A server whose fault waits until the connection is made and what is compared is agreed on, and strikes before the
/// run could end: that asks 25 challenges at least, one request each.
fn faulty(fault: &str) -> Served {
    Served::start(&gpt2(), &["--offer", "top", "--behaviour", fault])
}

#[test]
fn a_fault_in_the_middle_of_a_run_is_an_error_with_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let served = faulty(r#"{"fault":{"fault":"not-a-number","after":22}}"#);
    let report = compare(&served, &out).code(4).json();
    assert_eq!(report["answer"], "ERROR");
    let candidate = &report["candidates"][0];
    assert!(candidate["error"]["detail"].as_str().unwrap().contains("NaN"), "{candidate}");
    let scored = candidate["queries"].as_u64().unwrap();
    assert!((1..25).contains(&scored), "{candidate}");
    assert!(candidate["log_e_value"].is_null(), "{candidate}");
    // What was asked before it is evidence, and says nothing about the models.
    let checked = lorica(args!["verify", "--bundle", &out, "--json"]).code(0).json();
    assert_eq!(checked["answer"], "ERROR");
    let text = fs::read_to_string(out.join("evidence.ndjson")).unwrap();
    // The header and the closing beside them.
    assert_eq!(text.lines().count() as u64 - 2, scored);
}

#[test]
fn requests_that_are_sent_again_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let busy = r#"{"fault":{"fault":{"status":{"status":503,"retry_after":0}},"times":2,"after":22}}"#;
    let served = faulty(busy);
    let mut arguments = arguments(&served, &out);
    // Both may strike one request.
    *arguments.last_mut().unwrap() = "6".into();
    let report = lorica(&arguments).code(0).json();
    assert_eq!((&report["answer"], &report["retries"]), (&"SAME".into(), &2.into()));
    let closing = fs::read_to_string(out.join("evidence.ndjson")).unwrap();
    assert!(closing.lines().last().unwrap().contains("\"retries\":2"));
    lorica(args!["verify", "--bundle", &out]).code(0);
}

#[test]
fn a_server_with_other_tokens_is_compared_by_text() {
    let report = lorica(args![
        "identify",
        "robustness",
        "--model",
        gpt2(),
        "--only",
        "70 %",
        "--runs",
        "1",
        "--seed",
        "1",
        "--json"
    ]);
    let report = report.code(0).json();
    let [told, silent] = report["cases"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&told["tells"], &told["by_text"]), (&true.into(), &1.into()));
    assert!(told["by_text_because"].as_str().unwrap().contains("cut prompts differently"), "{told}");
    assert_eq!((&silent["tells"], &silent["by_text"]), (&false.into(), &0.into()));
    for case in [told, silent] {
        // The same texts with the same probabilities: whatever is said, not that it is another model.
        assert_eq!((&case["different"]["count"], &case["error"]["count"]), (&0.into(), &0.into()), "{case}");
    }
    lorica(args!["identify", "robustness", "--model", gpt2(), "--only", "no such case"])
        .code(2)
        .says(&["routes 10 %", "shares 70 %"]);
}

#[test]
fn the_robustness_suite_measures_what_a_right_answer_is() {
    let report = lorica(args![
        "identify",
        "robustness",
        "--model",
        gpt2(),
        "--only",
        "temperature 1.5",
        "--runs",
        "2",
        "--text-runs",
        "1",
        "--measured-on",
        "20",
        "--seed",
        "1",
        "--json"
    ]);
    let report = report.code(0).json();
    let [told, silent] = report["cases"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert!(told["measured"]["mean"].as_f64().unwrap() > 0.15, "{told}");
    assert_eq!((&told["wrong"]["count"], &told["wrong"]["of"]), (&0.into(), &2.into()), "{told}");
    assert_eq!(told["same"]["count"], 0, "{told}");
    // There is no such distance between texts.
    assert!(silent["measured"].is_null() && silent["wrong"].is_null(), "{silent}");
    // What needs another model is named as left out, and what was not wanted is not.
    assert_eq!(report["left_out"].as_array().unwrap().len(), 0);
}

#[test]
fn a_calibration_is_no_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let calibration = folder.path().join("calibration.json");
    fs::write(&calibration, "{}").unwrap();
    let served = Served::start(&gpt2(), &["--offer", "text"]);
    let mut arguments = arguments(&served, &folder.path().join("out"));
    arguments.extend(args!["--calibration", &calibration].to_vec());
    lorica(&arguments).code(2).says(&["this run compares texts"]);
}
