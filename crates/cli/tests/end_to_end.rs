//! From an adapter's folder to a verdict, on the shipped models.

mod common;

use std::{fs, path::Path};

use common::{Contributor, lorica, spanish, testdata};
use serde_json::Value;

fn strings(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

#[test]
fn gpt2_from_folder_to_valid_with_both_openings() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-es");
    let user = contributor.user("user");
    let text = spanish();
    let mut more = strings(&text);
    more.extend(["--generate", "8"]);
    let run = contributor.run(&user, &more).code(0).json();
    assert_eq!(run["schema"], "lorica-run/1");
    let (base, adapted) = (&run["measured_loss"]["base"], &run["measured_loss"]["adapted"]);
    // The adapter learned Spanish, the base model did not.
    assert!(base.as_f64().unwrap() > adapted.as_f64().unwrap() + 2.0, "{base} {adapted}");
    assert_eq!(run["float_check"]["status"], "done");
    assert!(run["float_check"]["max_relative"].as_f64().unwrap() < 2f64.powi(-11));
    assert_ne!(run["generated"]["base"], run["generated"]["adapted"]);
    let stored: Value = serde_json::from_slice(&fs::read(user.join("run.json")).unwrap()).unwrap();
    assert_eq!(stored, run);

    // No proof is no verdict, and no success.
    lorica(args!["fetch", "--session", &user]).code(4).says(&["404", "has not made it yet"]);
    contributor.verify(&user).code(4).says(&["proof.bin is missing", "lorica fetch"]);

    for opening in ["fast", "compact"] {
        let proof = contributor.prove(&user, opening).code(0).json();
        assert_eq!(proof["opening"], opening);
        lorica(args!["fetch", "--session", &user]).code(0);
        assert_eq!(
            fs::metadata(user.join("proof.bin")).unwrap().len(),
            proof["proof_bytes"].as_u64().unwrap()
        );
        let verdict = contributor.verify(&user).code(0).json();
        assert_eq!(verdict["verdict"], "VALID");
        assert_eq!(verdict["schema"], "lorica-verify/1");
        assert_eq!(verdict["coverage"]["calls_covered"], run["traffic"]["calls"]);
        assert_eq!(verdict["coverage"]["modules_called"], 8);
        assert_eq!(verdict["measured_loss"], run["measured_loss"]);
    }
    assert!(fs::metadata(user.join("proof.bin")).unwrap().len() <= 2600);

    let pinned = lorica(args!["pin", user.join("manifest.json"), "--expect", &contributor.pin, "--json"]);
    assert_eq!(pinned.code(0).json()["range"], "int16");
    let (own, adapter) = (contributor.own(), &contributor.adapter);
    let open = lorica(args![
        "open",
        &own,
        "--adapter",
        adapter,
        "--secret",
        own.join("secret"),
        "--base",
        &contributor.base,
        "--json"
    ]);
    assert_eq!(open.code(0).json()["opens"], true);
    let other = testdata("models/tiny-gpt2-lora-attn");
    let open = lorica(args!["open", &own, "--adapter", other, "--secret", own.join("secret"), "--json"])
        .code(1)
        .json();
    assert_eq!(open["difference"]["module"], "transformer.h.0.attn.c_attn");
}

#[test]
fn llama_with_rslora_and_rank_pattern() {
    let contributor = Contributor::serve("tiny-llama", "tiny-llama-lora-es");
    let text = spanish();
    let user = contributor.proven("user", &strings(&text));
    let verdict = contributor.verify(&user).code(0).json();
    assert_eq!(verdict["verdict"], "VALID");
    assert_eq!(verdict["coverage"]["modules"], 28);
    assert_eq!(verdict["coverage"]["never_called"], Value::Array(Vec::new()));
    let loss = &verdict["measured_loss"];
    assert!(loss["base"].as_f64().unwrap() > loss["adapted"].as_f64().unwrap() + 2.0, "{loss}");
    // q, k and v share one input, gate and up another: 4 streams a layer feed 7 modules.
    let rows = verdict["coverage"]["token_rows"].as_u64().unwrap();
    assert_eq!(rows * 7, verdict["coverage"]["delta_rows"].as_u64().unwrap() * 4);
}

#[test]
fn losses_are_those_of_pytorch() {
    for (base, adapter) in [
        ("tiny-gpt2", "tiny-gpt2-lora-es"),
        ("tiny-gpt2", "tiny-gpt2-lora-attn"),
        ("tiny-llama", "tiny-llama-lora-es"),
    ] {
        let contributor = Contributor::serve(base, adapter);
        let reference = fs::read(contributor.adapter.join("reference.json")).unwrap();
        let reference: Value = serde_json::from_slice(&reference).unwrap();
        for text in reference["texts"].as_array().unwrap() {
            let id = text["id"].as_str().unwrap();
            let tokens = contributor.user(&format!("{id}.json"));
            fs::write(&tokens, text["token_ids"].to_string()).unwrap();
            let more = ["--tokens", tokens.to_str().unwrap(), "--float-check", "0"];
            let run = contributor.run(&contributor.user(id), &more).code(0).json();
            assert_eq!(run["float_check"]["status"], "off");
            for which in ["base", "adapted"] {
                let found = run["measured_loss"][which].as_f64().unwrap();
                let expected = text[which]["mean_loss"].as_f64().unwrap();
                assert!(
                    (found - expected).abs() < 2e-3,
                    "{adapter}, {id}, {which}: {found}, PyTorch {expected}"
                );
            }
        }
    }
}

#[test]
fn outputs_can_be_replaced() {
    let contributor = Contributor::serve_with("tiny-gpt2", "tiny-gpt2-lora-attn", &["--max-float-rows", "0"]);
    let text = spanish();
    let mut more = strings(&text);
    let added = contributor.run(&contributor.user("added"), &more).code(0).json();
    // A contributor that offers no float deltas is no error.
    assert_eq!(added["float_check"]["status"], "refused");
    more.extend(["--combine", "replace"]);
    let user = contributor.proven("replaced", &more);
    let verdict = contributor.verify(&user).code(0).json();
    assert_eq!(verdict["verdict"], "VALID");
    assert_ne!(verdict["measured_loss"]["adapted"], added["measured_loss"]["adapted"]);
    assert_eq!(verdict["measured_loss"]["base"], added["measured_loss"]["base"]);
}

/// Comparing with floats is the user's own measurement: it changes neither the result nor what is recorded.
#[test]
fn the_float_check_costs_no_recorded_row() {
    let contributor = Contributor::serve("tiny-llama", "tiny-llama-lora-es");
    let text = spanish();
    let with = |name: &str, count: &'static str| {
        let mut more = strings(&text);
        more.extend(["--float-check", count]);
        contributor.run(&contributor.user(name), &more).code(0).json()
    };
    let (off, part, whole) = (with("off", "0"), with("part", "300"), with("whole", "100000"));
    assert_eq!((&part["float_check"]["tokens"], &whole["float_check"]["tokens"]), (&512.into(), &815.into()));
    for checked in [&part, &whole] {
        assert_eq!(checked["traffic"]["token_rows"], off["traffic"]["token_rows"]);
        assert_eq!(checked["measured_loss"]["tokens"], off["measured_loss"]["tokens"]);
        let difference = checked["measured_loss"]["adapted"].as_f64().unwrap()
            - off["measured_loss"]["adapted"].as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "{difference}");
        let check = &checked["float_check"];
        let cost = check["loss_fixed"].as_f64().unwrap() - check["loss_float"].as_f64().unwrap();
        assert!(cost.abs() < 1e-3 && check["rms"].as_f64().unwrap() > 0.0, "{check}");
    }
}

#[test]
fn a_proof_of_another_session_is_not_accepted() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let text = spanish();
    let (first, second) =
        (contributor.proven("first", &strings(&text)), contributor.proven("second", &strings(&text)));
    assert_eq!(contributor.verify(&first).code(0).json()["verdict"], "VALID");
    // The same text, the same adapter, the same rows: the session's identity alone differs.
    let answer = lorica(args![
        "verify",
        "--pin",
        &contributor.pin,
        "--session",
        &first,
        "--proof",
        second.join("proof.bin"),
        "--json"
    ]);
    let verdict = answer.code(1).json();
    assert_eq!((&verdict["verdict"], &verdict["reason"]["check"]), (&"INVALID".into(), &"proof".into()));
}

#[test]
fn the_secret_is_private_and_nothing_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let own = contributor.own();
    assert_eq!(fs::metadata(own.join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read(own.join("secret")).unwrap();
    let again = |out: &Path| {
        lorica(args!["commit", &contributor.adapter, "--base", &contributor.base, "--out", out, "--json"])
    };
    again(&own).code(4).says(&["holds a manifest or a secret already"]);
    assert_eq!(fs::read(own.join("secret")).unwrap(), secret);
    // A second commitment of the same adapter shares no commitment with the first.
    let other = contributor.user("other");
    assert_ne!(again(&other).code(0).json()["pin"], contributor.pin.as_str());
    let read = |folder: &Path| fs::read(folder.join("commitments.bin")).unwrap();
    let (first, second) = (read(&own), read(&other));
    assert!(first.chunks(32).all(|point| !second.chunks(32).any(|other| other == point)));
}
