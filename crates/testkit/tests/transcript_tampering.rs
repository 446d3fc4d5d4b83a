//! A session folder changed on disk, against the real reader and the real verifier: INVALID or a clear error, never VALID.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use lorica_testkit::frozen;
use lorica_testkit::random::Random;
use lorica_testkit::tamper::{change_json, json_leaves};
use lorica_transcript::{TranscriptHeader, TranscriptReader};
use lorica_verify::verdict::{Evidence, Outcome, RecordedModule, RecordedStream, SessionRecord, judge};

const SHARD: &str = "transcript/rows-00001.safetensors";
const HEADER: &str = "transcript/transcript.json";

struct Session {
    folder: tempfile::TempDir,
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        frozen::write(folder.path()).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Whether the folder is accepted, and if not, why.
    fn outcome(&self) -> Result<(), String> {
        judge_folder(self.folder.path())
    }
}

fn judge_folder(folder: &Path) -> Result<(), String> {
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| error.to_string());
    let reader = TranscriptReader::open(&folder.join("transcript")).map_err(|error| error.to_string())?;
    let header = reader.header();
    let streams = reader.streams().iter().zip(&header.streams);
    let (manifest, commitments) = (read("manifest.json")?, read("commitments.bin")?);
    let (registration, proof) = (read("registration.bin")?, read("proof-fast.bin")?);
    let pin = fs::read_to_string(frozen::folder().join("pin.txt")).unwrap();
    let verdict = judge(&Evidence {
        pin: pin.trim().parse().unwrap(),
        manifest: &manifest,
        commitments: &commitments,
        registration: &registration,
        record: SessionRecord {
            manifest: header.manifest,
            session: header.session,
            calls: header.calls,
            modules: header
                .modules
                .iter()
                .map(|module| RecordedModule { name: module.name.clone(), outputs: module.outputs })
                .collect(),
            streams: streams
                .map(|(shape, stream)| RecordedStream { shape: shape.clone(), calls: stream.calls })
                .collect(),
            digests: header.digests.clone(),
            rows: &reader,
        },
        proof: &proof,
        loss: None,
    })
    .map_err(|error| error.to_string())?;
    match (verdict.verdict, verdict.reason) {
        (Outcome::Valid, None) => Ok(()),
        (_, Some(reason)) => Err(reason.message),
        (Outcome::Invalid, None) => panic!("an INVALID without a reason"),
    }
}

#[test]
fn every_value_of_the_header() {
    let session = Session::new();
    session.outcome().unwrap();
    let honest = fs::read(session.path(HEADER)).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&honest).unwrap();
    let leaves = json_leaves(&header);
    assert!(leaves.len() > 20, "{leaves:?}");
    let mut well_formed = 0;
    for leaf in leaves {
        let mut changed = header.clone();
        change_json(changed.pointer_mut(&leaf).unwrap());
        // In its one accepted form, so that the change is refused for what it says; some changes have no such form.
        let Ok(changed) = serde_json::from_value::<TranscriptHeader>(changed) else { continue };
        well_formed += 1;
        fs::write(session.path(HEADER), changed.to_json().unwrap()).unwrap();
        assert!(session.outcome().is_err(), "{leaf} of the header may be changed");
    }
    assert!(well_formed > 20, "{well_formed} changes were well-formed");
    for (name, text) in [
        ("another order of white space", honest.iter().copied().filter(|byte| *byte != b' ').collect()),
        ("an unknown field", [b"{\"extra\":1,".as_slice(), &honest[1..]].concat()),
    ] {
        let text: Vec<u8> = text;
        fs::write(session.path(HEADER), text).unwrap();
        assert!(session.outcome().is_err(), "{name} was accepted");
    }
    fs::write(session.path(HEADER), honest).unwrap();
    session.outcome().unwrap();
}

/// Every byte of the rows, and of the safetensors head before them.
#[test]
fn every_byte_of_the_rows() {
    let session = Session::new();
    let honest = fs::read(session.path(SHARD)).unwrap();
    for offset in 0..honest.len() {
        let mut changed = honest.clone();
        changed[offset] ^= 1;
        fs::write(session.path(SHARD), changed).unwrap();
        assert!(session.outcome().is_err(), "byte {offset} of the rows may be changed");
    }
}

#[test]
fn truncated_padded_missing_renamed_and_added_files() {
    type Change = fn(&Session);
    let cases: [(&str, Change); 7] = [
        ("a truncated shard", |session| session.change(SHARD, |bytes| bytes.truncate(bytes.len() - 1))),
        ("bytes after a shard", |session| session.change(SHARD, |bytes| bytes.push(0))),
        ("an empty shard", |session| session.change(SHARD, Vec::clear)),
        ("a missing shard", |session| fs::remove_file(session.path(SHARD)).unwrap()),
        ("a renamed shard", |session| {
            fs::rename(session.path(SHARD), session.path("transcript/rows-00002.safetensors")).unwrap();
        }),
        ("a file that nobody wrote", |session| fs::write(session.path("transcript/more"), b"x").unwrap()),
        ("a truncated header", |session| session.change(HEADER, |bytes| bytes.truncate(bytes.len() - 1))),
    ];
    for (name, change) in cases {
        let session = Session::new();
        change(&session);
        assert!(session.outcome().is_err(), "{name} was accepted");
    }
}

/// Lengths in the safetensors head that lie: huge, overlapping, beyond the file.
#[test]
fn sizes_that_lie() {
    let mut random = Random::new(120);
    let session = Session::new();
    let honest = fs::read(session.path(SHARD)).unwrap();
    for length in [0u64, 1, 7, 8, u64::MAX, u64::MAX / 2, 1 << 40, honest.len() as u64] {
        let mut changed = honest.clone();
        changed[..8].copy_from_slice(&length.to_le_bytes());
        fs::write(session.path(SHARD), changed).unwrap();
        assert!(session.outcome().is_err(), "a head of {length} bytes was accepted");
    }
    let digits: Vec<usize> = (8..honest.len().min(400)).filter(|at| honest[*at].is_ascii_digit()).collect();
    for _ in 0..200 {
        let mut changed = honest.clone();
        let at = digits[random.below(digits.len())];
        changed[at] = b'0' + (changed[at] - b'0' + 1 + random.below(9) as u8) % 10;
        fs::write(session.path(SHARD), changed).unwrap();
        assert!(session.outcome().is_err(), "a changed digit at {at} was accepted");
    }
}
