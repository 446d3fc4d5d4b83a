//! The demo: the first thing a visitor sees.

mod common;

use common::lorica;
use serde_json::Value;

#[test]
fn an_honest_session_is_valid_and_three_cheats_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let report = lorica(args!["demo", "--json", "--keep", &kept]).code(0).json();
    assert_eq!(report["schema"], "lorica-demo/1");
    assert_eq!(report["verdict"], "VALID");
    let names: Vec<&Value> =
        report["cheats"].as_array().unwrap().iter().map(|cheat| &cheat["name"]).collect();
    assert_eq!(names, ["a changed delta", "another adapter", "a forged slot"]);
    for cheat in report["cheats"].as_array().unwrap() {
        assert_eq!(cheat["verdict"], "INVALID", "{cheat}");
        // Nothing but the proof itself may catch them: they keep everything else in order.
        assert_eq!(cheat["reason"]["check"], "proof", "{cheat}");
    }
    assert!(report["seconds"].as_f64().unwrap() < 60.0);
    let commands: Vec<&str> =
        report["steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["inspect", "commit", "serve", "pin", "run", "prove", "fetch", "verify"]);
    // What was kept can be verified by anyone.
    let pin = report["steps"][3]["what"].as_str().unwrap();
    lorica(args!["verify", "--pin", pin, "--session", kept.join("user")]).code(0);
    lorica(args!["demo", "--keep", &kept]).code(4).says(&["is not empty"]);
}

#[test]
fn it_tells_its_story_on_stdout() {
    let answer = lorica(args!["demo"]).code(0);
    assert_eq!(answer.stderr, "");
    for words in ["VALID: ", "without the adapter", "INVALID by the proof", "As it should be"] {
        assert!(answer.stdout.contains(words), "{words:?} is not in {}", answer.stdout);
    }
    assert!(answer.stdout.lines().all(|line| line.chars().count() <= 120), "{}", answer.stdout);
    assert!(answer.stdout.lines().count() <= 45, "{}", answer.stdout);
}
