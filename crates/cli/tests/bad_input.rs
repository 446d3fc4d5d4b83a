//! Bad input: each a message that names what was found and expected and what to do, the right exit code, and nothing
//! half-written.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use common::{Contributor, copy, lorica, spanish, testdata};

/// A copy of an adapter in which something is wrong.
fn adapter(folder: &Path, name: &str, edit: impl FnOnce(&Path)) -> PathBuf {
    let path = folder.join(name);
    copy(&testdata("models/tiny-gpt2-lora-es"), &path);
    edit(&path);
    path
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from));
    fs::write(file, text.replace(from, to)).unwrap();
}

fn last_weight(folder: &Path, value: f32) {
    let file = folder.join("adapter_model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&value.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn adapters() {
    let folder = tempfile::tempdir().unwrap();
    let (at, base) = (folder.path(), testdata("models/tiny-gpt2"));
    let config = "adapter_config.json";
    let weights = "adapter_model.safetensors";
    let cases: &[(PathBuf, &[&str])] = &[
        (at.join("nowhere"), &["nowhere", "adapter_config.json is missing", "save_pretrained"]),
        (
            adapter(at, "no-weights", |path| fs::remove_file(path.join(weights)).unwrap()),
            &["adapter_model.safetensors is missing"],
        ),
        (
            adapter(at, "rank-0", |path| replace(&path.join(config), "\"r\": 8", "\"r\": 0")),
            &["field r", "at least 1", "found 0"],
        ),
        (
            adapter(at, "rank-4", |path| replace(&path.join(config), "\"r\": 8", "\"r\": 4")),
            &["transformer.h.0.attn.c_attn", "rank 4", "[8, 128]"],
        ),
        (adapter(at, "nan", |path| last_weight(path, f32::NAN)), &["c_fc.lora_B.weight", "NaN", "finite"]),
        (
            adapter(at, "infinite", |path| last_weight(path, f32::INFINITY)),
            &["c_fc.lora_B.weight", "inf", "finite"],
        ),
        (
            adapter(at, "short", |path| {
                let file = fs::OpenOptions::new().write(true).open(path.join(weights)).unwrap();
                file.set_len(100_000).unwrap();
            }),
            &[weights, "not a valid safetensors file"],
        ),
    ];
    let out = at.join("out");
    for (path, words) in cases {
        lorica(args!["inspect", path]).code(4).says(words);
        lorica(args!["commit", path, "--base", &base, "--out", &out]).code(4).says(words);
        assert!(!out.exists(), "{path:?} left something behind");
    }
    // Well-formed but not supported: a checked no of `inspect`, an error of everything that needs the adapter.
    let dora =
        adapter(at, "dora", |path| replace(&path.join(config), "\"use_dora\": false", "\"use_dora\": true"));
    let inspected = lorica(args!["inspect", &dora]).code(1);
    assert!(inspected.stdout.contains("NOT SUPPORTED") && inspected.stdout.contains("use_dora = true"));
    lorica(args!["commit", &dora, "--base", &base, "--out", &out]).code(4).says(&["use_dora = true", "DoRA"]);
    // An adapter for another base.
    let llama = testdata("models/tiny-llama");
    let es = testdata("models/tiny-gpt2-lora-es");
    lorica(args!["commit", &es, "--base", &llama, "--out", &out]).code(4).says(&[
        "does not fit the base model",
        "transformer.h.0.attn.c_attn",
        "no linear layer of that name",
    ]);
    let inspected = lorica(args!["inspect", &es, "--base", &llama]).code(1);
    assert!(inspected.stdout.contains("does not fit the base model"));
    lorica(args!["commit", &es, "--base", at.join("nowhere"), "--out", &out])
        .code(4)
        .says(&["found no folder"]);
    assert!(!out.exists());
}

#[test]
fn runs() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let out = contributor.user("out");
    let file = |name: &str, content: &[u8]| {
        let path = contributor.user(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (beyond, words, empty) =
        (file("beyond.json", b"[1,2,99999]"), file("words.json", b"1 2 3"), file("empty.txt", b""));
    let (binary, hello, nowhere) =
        (file("binary.txt", b"\xff\xfe"), file("hello.txt", b"hola"), file("nowhere", b""));
    fs::remove_file(&nowhere).unwrap();
    let long = testdata("text/demo-es.txt").to_str().unwrap().to_owned();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--text", &nowhere], &["nowhere", "No such file"]),
        (&["--text", &binary], &["UTF-8", "offset 0", "iconv"]),
        (&["--text", &empty], &["the text holds 0 tokens"]),
        (&["--text", &long], &["the model's context has 256", "--window N"]),
        (&["--text", &long, "--window", "300"], &["--window: 300 tokens", "256"]),
        (&["--text", &hello, "--generate", "300"], &["256", "--generate"]),
        (&["--tokens", &words], &["words.json", "JSON list"]),
        (&["--tokens", &beyond], &["token 99999 at position 2", "vocabulary of 2048"]),
    ];
    for (arguments, words) in cases {
        contributor.run(&out, arguments).code(4).says(words);
        assert!(!out.exists(), "{arguments:?} left something behind");
    }

    let run = |url: &str, pin: &str, base: &str, more: &[&str]| {
        let base = testdata("models").join(base);
        let mut arguments =
            args!["run", "--base", base, "--contributor", url, "--pin", pin, "--out", &out, "--text", &hello]
                .to_vec();
        arguments.extend_from_slice(args!["--combine", "add-delta"]);
        arguments.extend(more.iter().map(Into::into));
        lorica(&arguments)
    };
    let (url, pin) = (contributor.url.as_str(), contributor.pin.as_str());
    run(url, &"0".repeat(64), "tiny-gpt2", &[]).code(1).says(&[pin, "is pinned", "another adapter"]);
    run(url, "abc", "tiny-gpt2", &[]).code(2).says(&["64 lower-case hexadecimal digits", "abc"]);
    run(url, pin, "tiny-llama", &[])
        .code(4)
        .says(&["the family is llama, expected gpt2", "use the base model"]);
    run("http://127.0.0.1:1", pin, "tiny-gpt2", &[])
        .code(4)
        .says(&["127.0.0.1:1", "is `lorica serve` running there?"]);
    run("https://127.0.0.1:1", pin, "tiny-gpt2", &[]).code(4).says(&["only http", "http://127.0.0.1:7700"]);
    run("http://192.0.2.1:80", pin, "tiny-gpt2", &[]).code(4).says(&["not a loopback address"]);
    assert!(!out.exists());

    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "kept").unwrap();
    contributor.run(&out, &["--text", &hello]).code(4).says(&["is not empty", "new or an empty folder"]);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn peers_that_send_garbage_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (base, text) = (testdata("models/tiny-gpt2"), testdata("text/demo-es.txt"));
    for (answer, words) in [
        (&b"SSH-2.0-other\r\n"[..], &["does not answer as a contributor does", "SSH-2.0-other"][..]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", &["the manifest is not valid"]),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", &["too large", "99999999999"]),
        (b"", &["gave no answer within 1 s"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // Ends with the process; a peer that answers nothing keeps its connections open.
        thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
                if answer.is_empty() {
                    open.push(stream);
                }
            }
        });
        let pin = "0".repeat(64);
        let mut arguments =
            args!["run", "--base", &base, "--contributor", url, "--pin", pin, "--out", &out].to_vec();
        arguments.extend_from_slice(args![
            "--combine",
            "add-delta",
            "--text",
            &text,
            "--window",
            "256",
            "--timeout",
            "1"
        ]);
        lorica(&arguments).code(4).says(words);
        assert!(!out.exists());
    }
}

#[test]
fn servers() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let (own, sessions) = (contributor.own(), contributor.user("more-sessions"));
    let serve = |adapter: &Path, secret: &Path, listen: &str| {
        let manifest = own.join("manifest.json");
        lorica(args![
            "serve",
            adapter,
            "--secret",
            secret,
            "--manifest",
            manifest,
            "--sessions",
            &sessions,
            "--listen",
            listen
        ])
    };
    let address = contributor.url.strip_prefix("http://").unwrap();
    let (adapter, secret) = (contributor.adapter.as_path(), own.join("secret"));
    serve(adapter, &secret, address).code(4).says(&["is in use by another program", "choose another port"]);
    serve(adapter, &secret, "0.0.0.0:0").code(4).says(&["0.0.0.0 is not a loopback address", "127.0.0.1"]);
    serve(adapter, &secret, "here").code(2).says(&["invalid socket address"]);
    serve(adapter, &own.join("nowhere"), "127.0.0.1:0")
        .code(4)
        .says(&["nowhere is missing", "lorica commit"]);
    serve(adapter, &own.join("manifest.json"), "127.0.0.1:0").code(4).says(&["the secret file is not valid"]);
    // Other weights, or another secret: found out before a session, not after.
    serve(&testdata("models/tiny-gpt2-lora-es"), &secret, "127.0.0.1:0")
        .code(1)
        .says(&["do not open", "rank 4"]);
    let other = contributor.user("secret");
    fs::write(&other, format!("lorica-secret/1\n{}\n", "1".repeat(64))).unwrap();
    serve(adapter, &other, "127.0.0.1:0").code(1).says(&["transformer.h.0.attn.c_attn", "not the secret"]);
}

/// A contributor that goes away: what was recorded is kept and named, and cannot pass for a finished session.
#[test]
fn a_session_that_was_cut_off() {
    let contributor = Contributor::serve("tiny-gpt2", "tiny-gpt2-lora-attn");
    let user = contributor.proven("user", &spanish().iter().map(String::as_str).collect::<Vec<_>>());
    let header = user.join("transcript/transcript.json");
    replace(&header, "\"completed\": true", "\"completed\": false");
    contributor.verify(&user).code(4).says(&["was not finished", "finish the session first"]);
    lorica(args!["prove", user]).code(4).says(&["session.json is missing", "--sessions"]);
}

#[test]
fn environment_and_threads() {
    let adapter = testdata("models/tiny-gpt2-lora-attn");
    let run = |setting: &str| {
        let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("lorica"))
            .arg("inspect")
            .arg(&adapter)
            .env("LORICA_SIMD", setting)
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = run("yes");
    assert!(code == Some(2) && message.contains("expected `on` or `off`"), "{message}");
    assert_eq!(run("off").0, Some(0));
    lorica(args!["--threads", "0", "inspect", &adapter]).code(2).says(&["--threads"]);
    let error = lorica(args!["inspect", "nowhere", "--json"]).code(4).json();
    assert_eq!((&error["schema"], &error["exit_code"]), (&"lorica-error/1".into(), &4.into()));
}
