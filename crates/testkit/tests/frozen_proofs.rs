//! Version 1 for ever: what was proven then verifies now, and nothing about its making has changed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use lorica_argument::generators::Generators;
use lorica_relation::digests::SessionDigests;
use lorica_testkit::frozen;
use lorica_transcript::TranscriptReader;
use lorica_verify::manifest::RangeLevel;
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::rows::data::RegisteredData;
use lorica_verify::rows::joint::JointRegistration;
use lorica_verify::rows::model::RegisteredModel;
use lorica_verify::training::TrainingProof;
use lorica_verify::training::context::Context;
use lorica_verify::verdict::{
    Check, Evidence, Outcome, RecordedModule, RecordedStream, SessionRecord, judge,
};

struct Frozen {
    manifest: Vec<u8>,
    commitments: Vec<u8>,
    registration: Vec<u8>,
    reader: TranscriptReader,
}

fn frozen() -> Frozen {
    let folder = frozen::folder();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    Frozen {
        manifest: read("manifest.json"),
        commitments: read("commitments.bin"),
        registration: read("registration.bin"),
        reader: TranscriptReader::open(&folder.join("transcript")).unwrap(),
    }
}

impl Frozen {
    fn evidence<'a>(&'a self, proof: &'a [u8]) -> Evidence<'a> {
        let header = self.reader.header();
        let streams = self.reader.streams().iter().zip(&header.streams);
        Evidence {
            pin: fs::read_to_string(frozen::folder().join("pin.txt")).unwrap().trim().parse().unwrap(),
            manifest: &self.manifest,
            commitments: &self.commitments,
            registration: &self.registration,
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
                digests: SessionDigests {
                    streams: header.digests.streams.clone(),
                    modules: header.digests.modules.clone(),
                },
                rows: &self.reader,
            },
            proof,
            loss: None,
        }
    }
}

#[test]
fn both_frozen_proofs_verify() {
    let frozen = frozen();
    for name in ["proof-fast.bin", "proof-compact.bin"] {
        let proof = fs::read(frozen::folder().join(name)).unwrap();
        let verdict = judge(&frozen.evidence(&proof)).unwrap();
        assert_eq!((verdict.verdict, verdict.reason), (Outcome::Valid, None), "{name}");
        assert_eq!(verdict.coverage.never_called.len(), 1);
        let mut changed = proof.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        let reason = judge(&frozen.evidence(&changed)).unwrap().reason.unwrap();
        assert!(matches!(reason.check, Check::Proof | Check::ProofFormat), "{reason:?}");
    }
}

/// The same seeds make the same bytes: registration, hashing, challenges and provers are what they were.
#[test]
fn the_frozen_session_is_made_again_bit_by_bit() {
    let again = tempfile::tempdir().unwrap();
    frozen::write(again.path()).unwrap();
    let files = [
        "manifest.json",
        "commitments.bin",
        "registration.bin",
        "pin.txt",
        "proof-fast.bin",
        "proof-compact.bin",
        "transcript/transcript.json",
        "transcript/rows-00001.safetensors",
    ];
    for name in files {
        let (old, new) =
            (fs::read(frozen::folder().join(name)).unwrap(), fs::read(again.path().join(name)).unwrap());
        assert_eq!(old, new, "{name}");
    }
}

/// The registration with a range argument: what was proven then verifies now, and the same seeds make the same bytes.
#[test]
fn the_frozen_registration_in_range_verifies_and_is_made_again() {
    let folder = frozen::range_folder();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let pin = fs::read_to_string(folder.join("pin.txt")).unwrap().trim().parse().unwrap();
    let pinned = |proof: &[u8]| {
        RegisteredAdapter::from_bytes(&read("manifest.json"), &read("commitments.bin"), Some(&pin))
            .unwrap()
            .pin(proof, &Generators::derive(0, 0))
    };
    let proof = read("registration.bin");
    assert_eq!(pinned(&proof).unwrap().manifest().range, RangeLevel::Int16);
    let mut changed = proof.clone();
    let (first, second) = (9..41, 41..73);
    changed.copy_within(second, first.start);
    changed[41..73].copy_from_slice(&proof[first]);
    assert!(pinned(&changed).is_err(), "two commitments changed places");

    let again = tempfile::tempdir().unwrap();
    frozen::write_range(again.path()).unwrap();
    for name in ["manifest.json", "commitments.bin", "registration.bin", "pin.txt"] {
        assert_eq!(read(name), fs::read(again.path().join(name)).unwrap(), "{name}");
    }
}

/// A data set, a model and one proof about both: what was proven then verifies now, and the same seeds make the same bytes.
#[test]
fn the_frozen_data_set_and_model_verify_and_are_made_again() {
    let folder = frozen::rows_folder();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let pin =
        |kind: &str| fs::read_to_string(folder.join(kind).join("pin.txt")).unwrap().trim().parse().unwrap();
    let data = RegisteredData::from_bytes(
        &read("data/manifest.json"),
        &read("data/commitments.bin"),
        Some(&pin("data")),
    )
    .unwrap();
    let model = RegisteredModel::from_bytes(
        &read("model/manifest.json"),
        &read("model/commitments.bin"),
        Some(&pin("model")),
    )
    .unwrap();
    let none = Generators::derive(0, 0);
    data.clone().pin(&read("data/registration.bin"), &none).unwrap();
    model.clone().pin(&read("model/registration.bin"), &none).unwrap();
    let joint = [(&data).into(), (&model).into()];
    let joint = JointRegistration::verify(joint, &read("joint.bin"), &none).unwrap();
    assert_eq!(data.pin_jointly(&joint).unwrap().rows().len(), 5);
    // Rows of 700 entries stand alone in pieces of 1,024.
    assert_eq!(model.pin_jointly(&joint).unwrap().matrices()[0].len(), 3);

    let again = tempfile::tempdir().unwrap();
    frozen::write_rows(again.path()).unwrap();
    let files = ["manifest.json", "commitments.bin", "registration.bin", "pin.txt"];
    let of_both = ["data", "model"].iter().flat_map(|kind| files.map(|file| format!("{kind}/{file}")));
    for name in of_both.chain(["joint.bin".to_owned()]) {
        assert_eq!(read(&name), fs::read(again.path().join(&name)).unwrap(), "{name}");
    }
}

/// Training proofs of both openings: what was proven then verifies now, and the same seeds make the same bytes. The program's digest
/// is frozen with them.
#[test]
fn the_frozen_training_proofs_verify_and_are_made_again() {
    let folder = frozen::training_folder();
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let program = frozen::training_fixture().context.program().clone();
    let (statement, digest) = frozen::read_training(&folder, program).unwrap();
    assert_eq!(statement.program.digest(), digest, "programs have another digest than they had");
    let context = Context::new(statement).unwrap();
    let generators = Generators::derive(0, 0);
    for name in ["proof-fast.bin", "proof-compact.bin"] {
        let proof = read(name);
        TrainingProof::verify_bytes(&proof, &context, &generators).unwrap();
        let mut changed = proof.clone();
        let (first, second) = (9..41, 41..73);
        changed.copy_within(second, first.start);
        changed[41..73].copy_from_slice(&proof[first]);
        let result = TrainingProof::verify_bytes(&changed, &context, &generators);
        assert!(result.is_err(), "{name}: two commitments changed places");
    }

    let again = tempfile::tempdir().unwrap();
    frozen::write_training(again.path()).unwrap();
    for name in ["statement.json", "proof-fast.bin", "proof-compact.bin"] {
        assert_eq!(read(name), fs::read(again.path().join(name)).unwrap(), "{name}");
    }
}
