//! What is written verifies, for every outcome; what a crash leaves can be resumed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt as _};

use common::*;
use lorica_evidence::{
    Outcome, ReportCheck, Resumed, SignerCheck, SigningKeyFile, VerifyOptions, WriteError, Writer,
    verify_bundle,
};
use lorica_identity::{Answer, Challenge, Decision};

fn refusing(challenge: &Challenge) -> Answer {
    match challenge.index % 4 {
        1 => Answer::Refused("<b>I cannot & will not</b>".to_owned()),
        _ => reference(challenge),
    }
}

#[test]
fn each_outcome_verifies() {
    let scratch = Scratch::new();
    for (name, answers, most, word) in [
        ("same", same as Answers, usize::MAX, "SAME"),
        ("different", different, usize::MAX, "DIFFERENT"),
        ("undecided", refusing, usize::MAX, "UNDECIDED"),
        ("error", same, 3, "ERROR"),
        ("nothing", same, 0, "ERROR"),
    ] {
        let folder = scratch.path(name);
        bundle(&folder, answers, most);
        let verified = verify_bundle(&folder, VerifyOptions::default()).unwrap();
        let result = &verified.closing.results[0];
        assert_eq!(result.outcome.word(), word);
        assert_eq!(verified.lines, u64::from(result.queries) + 2);
        assert_eq!(verified.report, ReportCheck::Reproduced);
        assert_eq!(verified.signer, SignerCheck::Unknown);
        let text = verified.to_string();
        assert!(text.contains("signed by an unknown key") && text.contains(word), "{text}");
        assert_eq!(
            files(&folder),
            ["bundle.json", "evidence.ndjson", "families/counting.json", "interval-0.svg", "report.html"]
        );
        let report = fs::read_to_string(folder.join("report.html")).unwrap();
        assert!(report.contains(word) && report.contains(&verified.fingerprint.to_string()));
    }
}

#[test]
fn withheld_answers_are_counted_and_escaped() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, refusing, 10);
    let verified = verify_bundle(&folder, VerifyOptions::default()).unwrap();
    assert_eq!(verified.closing.results[0].withheld, 3);
    let report = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("&lt;b&gt;I cannot &amp; will not&lt;") && !report.contains("<b>I cannot"));
}

#[test]
fn the_report_needs_nothing_from_elsewhere() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    let bank = bank();
    let evil = r#""><script>alert(1)</script><img src=x onerror=alert(1)>"#;
    let mut header = header(&bank, &[evil]);
    header.reference.details.insert(evil.to_owned(), evil.to_owned());
    header.environment.insert(evil.to_owned(), evil.to_owned());
    let mut writer = create(&folder, header.clone(), &bank);
    for entry in entries(&header, &bank, 0, different, usize::MAX) {
        writer.entry(entry).unwrap();
    }
    writer.finish(ending()).unwrap();
    let report = fs::read_to_string(folder.join("report.html")).unwrap();
    for tag in report.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split(' ').next().unwrap();
        assert!(!["script", "img", "link", "iframe", "image", "use", "a"].contains(&name), "{tag}");
        for bad in [" src=", " href=", " onerror=", "url(", "@import"] {
            assert!(!tag.contains(bad), "{tag}");
        }
    }
    // Namespaces of SVG are names, and nothing is loaded from them.
    let links = report.matches("http://").count() + report.matches("https://").count();
    assert_eq!(links, report.matches("http://www.w3.org/2000/svg").count());
    verify_bundle(&folder, VerifyOptions::default()).unwrap();
}

#[test]
fn a_pinned_signer_is_checked() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let pin = |signer| VerifyOptions { signer: Some(signer) };
    let verified = verify_bundle(&folder, pin(signer().fingerprint())).unwrap();
    assert_eq!(verified.signer, SignerCheck::Pinned);
    let other = lorica_evidence::BundleSigner::from_seed(&[1; 32]).fingerprint();
    let message = verify_bundle(&folder, pin(other)).unwrap_err().to_string();
    assert!(message.contains("bundle.json, list.public_key: signed by"), "{message}");
}

#[test]
fn two_candidates_share_a_run() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    let bank = bank();
    let header = header(&bank, &["good", "bad"]);
    let mut writer = create(&folder, header.clone(), &bank);
    let good = entries(&header, &bank, 0, same, usize::MAX);
    let bad = entries(&header, &bank, 1, different, usize::MAX);
    // The order between candidates is free.
    let (first, rest) = good.split_at(4);
    for entry in first.iter().chain(&bad).chain(rest) {
        writer.entry(entry.clone()).unwrap();
    }
    writer.finish(ending()).unwrap();
    let verified = verify_bundle(&folder, VerifyOptions::default()).unwrap();
    let words: Vec<_> = verified.closing.results.iter().map(|result| result.outcome.word()).collect();
    assert_eq!(words, ["SAME", "DIFFERENT"]);
}

#[test]
fn the_writer_refuses_what_would_not_verify() {
    let scratch = Scratch::new();
    let bank = bank();
    let header = header(&bank, &["one", "two"]);
    let mut writer = create(&scratch.path("run"), header.clone(), &bank);
    let good = entries(&header, &bank, 0, different, usize::MAX);
    let field = |error: WriteError| match error {
        WriteError::Record { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(writer.entry(good[1].clone()).unwrap_err()), "challenge.index");
    for entry in &good {
        writer.entry(entry.clone()).unwrap();
    }
    assert_eq!(field(writer.entry(good[0].clone()).unwrap_err()), "challenge.index");
    let mut other = entries(&header, &bank, 1, same, 1).remove(0);
    other.reference_answer = different(&other.challenge);
    assert_eq!(field(writer.entry(other.clone()).unwrap_err()), "reference_answer");
    other.candidate = 2;
    assert_eq!(field(writer.entry(other).unwrap_err()), "candidate");
    assert!(matches!(writer.finish(ending()), Err(WriteError::Unfinished { candidate: 1, queries: 0 })));

    let mut wrong = header.clone();
    wrong.key_commitment = header.bank_digest;
    let (key, folder) = (key(), scratch.path("other"));
    let new = lorica_evidence::NewBundle {
        folder: &folder,
        header: wrong,
        bank: &bank,
        key: &key,
        signer: signer(),
    };
    assert_eq!(field(Writer::create(new).unwrap_err()), "key_commitment");
    assert!(!folder.exists());
}

#[test]
fn a_run_resumes_after_a_crash_at_any_byte() {
    let scratch = Scratch::new();
    let bank = bank();
    let header = header(&bank, &["served"]);
    let all = entries(&header, &bank, 0, different, usize::MAX);
    let folder = scratch.path("run");
    let mut writer = create(&folder, header.clone(), &bank);
    let (last, before) = all.split_last().unwrap();
    let transcript = folder.join("evidence.ndjson");
    for entry in before {
        writer.entry(entry.clone()).unwrap();
    }
    let length = fs::metadata(&transcript).unwrap().len();
    writer.entry(last.clone()).unwrap();
    assert!(matches!(Writer::resume(&folder, signer(), &mut |_, _| Ok(())), Err(WriteError::InUse { .. })));
    drop(writer);
    let full = fs::read(&transcript).unwrap();
    for cut in (length..=full.len() as u64).step_by(37).chain([full.len() as u64]) {
        let torn = scratch.path(&format!("cut {cut}"));
        copy(&folder, &torn);
        fs::write(torn.join("evidence.ndjson"), &full[..cut as usize]).unwrap();
        fs::write(torn.join(".lorica-x.partial"), "half").unwrap();
        let mut seen = Vec::new();
        let resumed = Writer::resume(&torn, signer(), &mut |_, entry| {
            seen.push(entry);
            Ok(())
        });
        let Resumed::Open(mut writer, key) = resumed.unwrap() else { panic!("not open") };
        assert_eq!(*key.reveal(), *common::key().reveal());
        assert_eq!(seen, all[..seen.len()]);
        assert_eq!(seen.len(), if cut == full.len() as u64 { all.len() } else { before.len() });
        for entry in &all[seen.len()..] {
            writer.entry(entry.clone()).unwrap();
        }
        writer.finish(ending()).unwrap();
        let verified = verify_bundle(&torn, VerifyOptions::default()).unwrap();
        assert!(matches!(verified.closing.results[0].outcome, Outcome::Decided(Decision::Different { .. })));
    }
}

#[test]
fn a_damaged_run_is_not_resumed_and_a_finished_one_neither() {
    let scratch = Scratch::new();
    let bank = bank();
    let header = header(&bank, &["served"]);
    let folder = scratch.path("run");
    let mut writer = create(&folder, header.clone(), &bank);
    for entry in entries(&header, &bank, 0, same, 4) {
        writer.entry(entry).unwrap();
    }
    drop(writer);
    let records = records(&folder);
    let resume = || Writer::resume(&folder, signer(), &mut |_, _| Ok(()));
    let path = folder.join("evidence.ndjson");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replacen("\"index\":1", "\"index\":2", 1)).unwrap();
    assert!(matches!(resume(), Err(WriteError::Damaged { line: 3, .. })));
    write_records(&folder, &[records[0].clone(), records[2].clone()]);
    assert!(matches!(resume(), Err(WriteError::Damaged { line: 2, .. })));
    fs::write(&path, good).unwrap();
    let Resumed::Open(writer, _) = resume().unwrap() else { panic!("not open") };
    let mut end = ending();
    end.faults.insert(0, fault());
    writer.finish(end).unwrap();
    assert!(matches!(resume(), Err(WriteError::NotResumable { .. })));
}

#[test]
fn a_crash_while_the_bundle_is_finished_is_made_good() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let before = fs::read(folder.join("bundle.json")).unwrap();
    for lost in [&["bundle.json"][..], &["bundle.json", "report.html", "interval-0.svg"]] {
        for name in lost {
            fs::remove_file(folder.join(name)).unwrap();
        }
        let resumed = Writer::resume(&folder, signer(), &mut |_, _| Ok(())).unwrap();
        assert!(matches!(resumed, Resumed::Finished(_)));
        assert_eq!(fs::read(folder.join("bundle.json")).unwrap(), before);
    }
    verify_bundle(&folder, VerifyOptions::default()).unwrap();
}

#[test]
fn keys_are_private_and_never_in_the_bundle() {
    let scratch = Scratch::new();
    let path = scratch.path("signing.key");
    let made = SigningKeyFile::load_or_create(&path).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(SigningKeyFile::load_or_create(&path).unwrap().fingerprint(), made.fingerprint());
    let text = fs::read_to_string(&path).unwrap();
    let seed = text.lines().nth(1).unwrap();
    assert!(!format!("{made:?}").contains(seed));

    let folder = scratch.path("run");
    let bank = bank();
    let header = header(&bank, &["served"]);
    let mut writer = create(&folder, header.clone(), &bank);
    assert_eq!(mode(&folder.join("challenge-key.secret")), 0o600);
    let transcript = fs::read_to_string(folder.join("evidence.ndjson")).unwrap();
    assert!(!transcript.contains(&*key().reveal()), "the key is not revealed before the end");
    for entry in entries(&header, &bank, 0, different, usize::MAX) {
        writer.entry(entry).unwrap();
    }
    writer.finish(ending()).unwrap();
    assert!(!folder.join("challenge-key.secret").exists());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let message = SigningKeyFile::load_or_create(&path).unwrap_err().to_string();
    assert!(message.contains("chmod 600"), "{message}");
    for bad in ["", "lorica-signing-key/1\n", &text.to_uppercase(), &format!("{text}\n"), &text[..80]] {
        fs::write(&path, bad).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(
            matches!(SigningKeyFile::load_or_create(&path), Err(WriteError::SigningKey { .. })),
            "{bad:?}"
        );
    }
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let scratch = Scratch::new();
    let bank = bank();
    let folder = scratch.path("run");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let key = key();
    let new = lorica_evidence::NewBundle {
        folder: &folder,
        header: header(&bank, &["served"]),
        bank: &bank,
        key: &key,
        signer: signer(),
    };
    assert!(matches!(Writer::create(new), Err(WriteError::NotEmpty { .. })));
    assert_eq!(fs::read_to_string(folder.join("notes.txt")).unwrap(), "mine");
}
