//! Writing and reading a log: batches, crashes, the lock, proofs as files, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use common::{Log, event, events, signer};
use lorica_provenance::{
    ConsistencyProof, Event, EventError, Hash, InclusionProof, LogReader, LogSigner, LogWriter, ProofInvalid,
    VerifierKey, WriteError,
    key::KeyFileError,
    tree::{Frontier, root_of_inclusion},
};

fn root_of(size: u64) -> Hash {
    let mut frontier = Frontier::default();
    (0..size).for_each(|i| frontier.push(0, Hash::leaf(&event(i).to_bytes().unwrap())));
    frontier.root()
}

/// All files of a log with their contents.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else {
                into.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, &mut files);
    files
}

#[test]
fn a_log_grows_in_batches_of_any_size_to_the_same_tree() {
    let log = Log::of(0);
    assert_eq!(log.holds(&[]).head.root, Hash::empty());
    let mut kept = vec![log.keep()];
    for size in [1, 2, 3, 255, 256, 257, 511, 512, 600, 1300] {
        log.grow(size);
        let audit = log.holds(&kept);
        assert_eq!((audit.head.size, audit.head.root), (size, root_of(size)), "size {size}");
        assert_eq!(audit.events.values().sum::<u64>(), size);
        kept.push(log.keep());
    }
    let at_once = Log::of(1300);
    assert_eq!(at_once.holds(&[]).head, log.holds(&kept).head);
    // The whole tree of files, but for partial tiles of sizes that one of the two never had.
    for (path, bytes) in contents(&at_once.path().join("tile")) {
        let path = log.path().join(path.strip_prefix(at_once.path()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), bytes, "{}", path.display());
    }
}

#[test]
fn partial_tiles_are_kept_until_the_tile_is_full() {
    let log = Log::of(200);
    log.grow(250);
    assert!(log.file("tile/0/000.p/200").exists() && log.file("tile/entries/000.p/250").exists());
    log.grow(256);
    assert!(log.file("tile/0/000").exists() && log.file("tile/1/000.p/1").exists());
    assert!(!log.file("tile/0/000.p").exists() && !log.file("tile/entries/000.p").exists());
    log.holds(&[]);
}

#[test]
fn a_full_tile_stands_in_for_a_partial_one_that_is_gone() {
    let log = Log::of(200);
    let kept = log.keep();
    log.grow(300);
    let proof = LogReader::new(&log.path()).at(200).inclusion(17).unwrap();
    let leaf = Hash::leaf(&event(17).to_bytes().unwrap());
    assert_eq!(root_of_inclusion(17, 200, leaf, &proof), Some(root_of(200)));
    log.holds(&[kept]);
}

#[test]
fn a_batch_that_was_cut_short_is_no_part_of_the_log() {
    // Whatever a batch has written before its checkpoint: the log of the old checkpoint stands.
    let log = Log::of(250);
    let before = contents(&log.path());
    log.grow(1000);
    let after = contents(&log.path());
    let new: Vec<_> = after.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes)).collect();
    assert!(new.len() > 8);
    for written in 0..=new.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // The checkpoint sorts first, but is written last.
        let (checkpoint, tiles): (Vec<_>, Vec<_>) =
            new.iter().copied().partition(|(path, _)| path.ends_with("checkpoint"));
        let order = tiles.into_iter().chain(checkpoint).take(written);
        let files = before.iter().chain(order);
        for (file, bytes) in files {
            let file = path.join(file.strip_prefix(log.path()).unwrap());
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        // A temporary file of the writer that died.
        fs::create_dir_all(path.join(".staging")).unwrap();
        fs::write(path.join(".staging/half"), "half").unwrap();
        let mut writer = LogWriter::open(&path, signer()).unwrap();
        let expected = if written == new.len() { 1000 } else { 250 };
        assert_eq!(writer.head().checkpoint().size, expected);
        assert!(!path.join(".staging/half").exists());
        // Other events than those of the batch that died.
        let other = events(5000..5020);
        assert_eq!(writer.append(&other).unwrap().first, expected);
        let key = signer();
        let options =
            lorica_provenance::AuditOptions { key: key.verifier(), kept: &[], progress: &|_, _| {} };
        let verdict = lorica_provenance::audit(&path, &options).unwrap();
        assert!(matches!(verdict, lorica_provenance::Verdict::Holds(_)), "{written} files: {verdict:?}");
    }
}

#[test]
fn nothing_of_a_batch_that_fails_is_appended() {
    let log = Log::of(10);
    let before = contents(&log.path());
    let mut writer = LogWriter::open(&log.path(), signer()).unwrap();
    let bad = r#"{"format":"lorica-event/1","run":"r","time":1,"event":{"kind":"proof","first":3,"last":2,"digest":"D","config":"D","before":"D","after":"D"}}"#
        .replace('D', &"0".repeat(64));
    assert_eq!(Event::parse(bad.as_bytes()), Err(EventError::Steps { first: 3, last: 2 }));
    // A tile that cannot be written: a folder stands where the file should be.
    fs::create_dir_all(log.file("tile/0/000.p/12/in the way")).unwrap();
    let error = writer.append(&events(10..12)).unwrap_err();
    assert!(matches!(error, WriteError::Io { .. }), "{error}");
    assert!(error.to_string().contains("tile/0/000.p/12"), "{error}");
    let error = writer.append(&events(10..11)).unwrap_err();
    assert!(matches!(error, WriteError::Broken), "{error}");
    drop(writer);
    fs::remove_dir_all(log.file("tile/0/000.p/12")).unwrap();
    assert_eq!(log.holds(&[]).head.size, 10);
    log.grow(12);
    assert_eq!(log.holds(&[]).head.root, root_of(12));
    assert!(
        before.iter().all(|(path, bytes)| path.ends_with("checkpoint") || fs::read(path).unwrap() == *bytes)
    );
}

#[test]
fn there_is_one_writer_at_a_time() {
    let log = Log::of(3);
    let first = LogWriter::open(&log.path(), signer()).unwrap();
    let error = LogWriter::open(&log.path(), signer()).unwrap_err();
    assert!(matches!(error, WriteError::Locked { .. }), "{error}");
    drop(first);
    LogWriter::open(&log.path(), signer()).unwrap();
}

#[test]
fn a_writer_refuses_a_log_that_is_not_its_own_or_was_changed() {
    let log = Log::of(300);
    let other = LogSigner::from_seed("lorica.test/log".parse().unwrap(), &[8; 32]);
    let error = LogWriter::open(&log.path(), other).unwrap_err();
    assert!(matches!(error, WriteError::Read(_)), "{error}");
    let error = LogWriter::create(&log.path(), signer()).unwrap_err();
    assert!(matches!(error, WriteError::Occupied { .. }), "{error}");
    let path = log.file("tile/1/000.p/1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = LogWriter::open(&log.path(), signer()).unwrap_err();
    assert!(matches!(error, WriteError::Changed { size: 300, .. }), "{error}");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(LogWriter::open(nowhere.path(), signer()).is_err());
    assert_eq!(
        fs::read_dir(nowhere.path()).unwrap().count(),
        0,
        "nothing is made in a folder that is no log"
    );
}

#[test]
fn inclusion_proofs_are_files_that_verify_alone() {
    let log = Log::of(700);
    let reader = LogReader::new(&log.path());
    let key = signer();
    let checkpoint = reader.checkpoint_bytes().unwrap();
    let proof = |index| InclusionProof {
        index,
        hashes: reader.at(700).inclusion(index).unwrap(),
        checkpoint: checkpoint.clone(),
    };
    for index in [0, 299, 699] {
        let text = proof(index).to_string();
        let read = InclusionProof::parse(text.as_bytes()).unwrap();
        assert_eq!(read, proof(index));
        let entry = reader.entry(index, 700).unwrap();
        assert_eq!(entry, event(index).to_bytes().unwrap());
        assert_eq!(read.verify(&entry, key.verifier()).unwrap().size, 700);
        let other = event(index + 1).to_bytes().unwrap();
        assert!(matches!(read.verify(&other, key.verifier()), Err(ProofInvalid::Root { .. })));
        // Extra data are passed over; every change of another byte is an error or is not verified.
        let extra = text.replacen("\nindex", "\nextra aGVsbG8=\nindex", 1);
        assert_eq!(InclusionProof::parse(extra.as_bytes()).unwrap(), read);
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let verified =
                InclusionProof::parse(&bytes).ok().map(|proof| proof.verify(&entry, key.verifier()));
            assert!(!matches!(verified, Some(Ok(_))), "byte {place} of {text}");
        }
    }
    let error = reader.at(700).inclusion(700).unwrap_err().to_string();
    assert!(error.contains("there is no entry 700"), "{error}");
}

#[test]
fn consistency_proofs_are_files_that_verify_against_what_was_kept() {
    let log = Log::of(300);
    let reader = LogReader::new(&log.path());
    let key = signer();
    let kept = reader.checkpoint(key.verifier()).unwrap();
    log.grow(900);
    let proof = ConsistencyProof {
        old: 300,
        hashes: reader.at(900).consistency(300).unwrap(),
        checkpoint: reader.checkpoint_bytes().unwrap(),
    };
    let text = proof.to_string();
    assert!(text.starts_with("old 300\n"));
    assert_eq!(ConsistencyProof::parse(text.as_bytes()).unwrap(), proof);
    assert_eq!(proof.verify(kept.checkpoint(), key.verifier()).unwrap().size, 900);
    for place in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        let verified =
            ConsistencyProof::parse(&bytes).ok().map(|proof| proof.verify(kept.checkpoint(), key.verifier()));
        assert!(!matches!(verified, Some(Ok(_))), "byte {place} of {text}");
    }
    // Another log of the same key, which tells another story.
    let other = Log::of(0);
    LogWriter::open(&other.path(), signer()).unwrap().append(&events(1000..1300)).unwrap();
    let other_head = LogReader::new(&other.path()).checkpoint(key.verifier()).unwrap();
    let error = proof.verify(other_head.checkpoint(), key.verifier()).unwrap_err();
    assert!(matches!(error, ProofInvalid::Inconsistent { old: 300, new: 900, .. }), "{error}");
    // Back in time.
    let now = reader.checkpoint(key.verifier()).unwrap();
    let back = ConsistencyProof { old: 900, hashes: vec![], checkpoint: kept.to_string().into_bytes() };
    let error = back.verify(now.checkpoint(), key.verifier()).unwrap_err();
    assert!(matches!(error, ProofInvalid::Rollback { old: 900, new: 300 }), "{error}");
}

#[test]
fn malformed_proof_files_are_refused() {
    for (text, reason) in [
        ("c2sp.org/tlog-proof@v2\nindex 0\n\nx\n", "another first line"),
        ("c2sp.org/tlog-proof@v1\nextra !!\nindex 0\n\nx\n", "extra data"),
        ("c2sp.org/tlog-proof@v1\n\nx\n", "no line with the index"),
        ("c2sp.org/tlog-proof@v1\nindex 01\n\nx\n", "no line with the index"),
        ("c2sp.org/tlog-proof@v1\nindex -1\n\nx\n", "no line with the index"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n!!\n\nx\n", "no hash"),
        ("c2sp.org/tlog-proof@v1\nindex 0\n", "no empty line"),
    ] {
        let error = InclusionProof::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let line = format!("{}\n", Hash::empty());
    let long = format!("c2sp.org/tlog-proof@v1\nindex 0\n{}\nx\n", line.repeat(65));
    assert!(InclusionProof::parse(long.as_bytes()).is_err());
    for text in ["old x\n\nx\n", "old 01\n\nx\n", "new 1\n\nx\n", "old 1\n"] {
        assert!(ConsistencyProof::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn events_have_one_form() {
    for i in 0..5 {
        let bytes = event(i).to_bytes().unwrap();
        assert_eq!(Event::parse(&bytes).unwrap(), event(i));
        let text = String::from_utf8(bytes).unwrap();
        let wrong = [
            text.replacen("lorica-event/1", "lorica-event/2", 1),
            text.replacen("\"kind\":\"", "\"kind\":\"x", 1),
            text.replacen("\"time\":", "\"time\": ", 1),
            text.replacen("\"time\":", "\"time\":0", 1),
            text.replacen("\"time\":1", "\"time\":-1", 1),
            text.replacen("{\"kind\"", "{\"more\":1,\"kind\"", 1),
            text.replacen("{\"kind\"", "{\"kind\":\"data\",\"kind\"", 1),
            text.replacen("\"run\":\"run 1\"", "\"run\":\"\"", 1),
            text.replacen("\"run\":\"run 1\"", "\"run\":\"a\\nb\"", 1),
            text.replacen("\"run\":\"run 1\"", "\"run\":\"run 1\",\"run\":\"run 1\"", 1),
            format!("{text}\n"),
            format!("[{text}]"),
            text[..text.len() - 1].to_owned(),
        ];
        for wrong in wrong {
            assert!(Event::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
    let metric = String::from_utf8(event(3).to_bytes().unwrap()).unwrap();
    let value = |new: &str| {
        let start = metric.find("\"value\":").unwrap() + 8;
        let end = start + metric[start..].find(',').unwrap();
        format!("{}{new}{}", &metric[..start], &metric[end..])
    };
    assert!(Event::parse(value("0.5").as_bytes()).is_ok());
    for wrong in ["NaN", "1e999", "null", "\"0.5\"", "0.50", "5e-1", "-0.0", "Infinity"] {
        assert!(Event::parse(value(wrong).as_bytes()).is_err(), "{wrong}");
    }
    // Spaces are allowed where a person typed it.
    let spaced = metric.replace(':', ": ").replacen(": //", "://", 1);
    assert_eq!(Event::parse_any_spelling(spaced.as_bytes()).unwrap(), event(3));
}

/// The bytes of an entry are part of every log there is: they may only change with the version.
#[test]
fn an_entry_and_its_log_are_frozen() {
    let entry = String::from_utf8(event(0).to_bytes().unwrap()).unwrap();
    let log = Log::of(300);
    let checkpoint = fs::read_to_string(log.file("checkpoint")).unwrap();
    let key = signer().verifier().to_string();
    assert_eq!([entry.as_str(), &checkpoint, &key], FROZEN);
}

const FROZEN: [&str; 3] = [
    r#"{"format":"lorica-event/1","run":"run 1","time":1790000000,"event":{"kind":"data","name":"data 0","digest":"9101783bf3e4ac84d8d48720a42bcb43e9bb61bc0cf7a2986587c4ccd1edf85a","rows":0}}"#,
    "lorica.test/log\n300\nZ+7XS/i5WGLQ014L9gtPAUkr+hXaTg4VWVzi8TMe4uE=\n\n\
     \u{2014} lorica.test/log bjBTYL0fYWNCuq68fTDx8SZBqBJNT1Uu5PstHaVcbLiWNNaMNVHz+HE3heMliR1ga3T19UOLzMFBOPzd5EKyP96tmAg=\n",
    "lorica.test/log+6e305360+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs",
];

#[test]
fn signer_keys_are_private_files_that_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    signer().create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(LogSigner::read(&path).unwrap().verifier(), signer().verifier());
    assert!(signer().create(&path).is_err());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(LogSigner::read(&path), Err(KeyFileError::Exposed { mode: 0o644, .. })));
    let public = folder.path().join("public");
    fs::write(&public, format!("{}\n", signer().verifier())).unwrap();
    assert_eq!(VerifierKey::read(&public).unwrap(), *signer().verifier());
    // Neither the debug form nor an error shows the secret.
    let secret = signer().to_text();
    let secret = secret.rsplit_once('+').unwrap().1;
    assert!(!format!("{:?}", signer()).contains(secret));
    let error = LogSigner::from_text(&signer().to_text().replace("lorica", "lorix")).unwrap_err();
    assert!(!error.to_string().contains(secret));
}
