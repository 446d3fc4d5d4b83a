//! Training proofs, and the public record of a run.

use std::sync::LazyLock;

use lorica_argument::opening::OpeningMode;
use lorica_tensor::Digest;
use lorica_verify::training::TrainingProof;
use lorica_verify::training::record::{
    BatchList, ProofEntry, RUN_FORMAT, RunRecord, read_batches, write_batches,
};

use super::Decoder;
use crate::training::{SmallProgram, TrainingFixture};

/// A small statement that has every kind of check.
static STEPS: LazyLock<TrainingFixture> = LazyLock::new(|| {
    let sizes = SmallProgram { steps: 2, samples: 2, inputs: 3, outputs: 2, data_rows: 3, row_length: 16 };
    TrainingFixture::small(sizes, 8)
});

/// Decoded, verified against the true statement; accepted proofs are those that the prover made.
pub const TRAINING_PROOF: Decoder = Decoder {
    name: "training_proof",
    body: |bytes| {
        let TrainingFixture { context, generators, .. } = &*STEPS;
        if let Ok(proof) = TrainingProof::from_bytes(bytes, context) {
            assert_eq!(proof.to_bytes(), bytes, "a training proof has a second encoding");
        }
        TrainingProof::verify_bytes(bytes, context, generators).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let prove = |mode| STEPS.prove(mode, None).expect("a proof of a true statement").proof.to_bytes();
            [OpeningMode::Fast, OpeningMode::Compact].map(prove).into()
        });
        &SEEDS
    },
    unique: true,
};

/// Decoded; what is accepted is in its canonical form, and its proofs follow one another.
pub const RUN_RECORD: Decoder = Decoder {
    name: "run_record",
    body: |bytes| {
        let Ok(record) = RunRecord::from_json(bytes) else { return false };
        let text = record.to_json().expect("an accepted record can be written");
        assert_eq!(text.as_bytes(), bytes, "a run's record has a second form");
        let proven: u64 = record.proofs.iter().map(|entry| entry.steps).sum();
        assert_eq!(proven, record.proofs.last().map_or(0, ProofEntry::end));
        assert!(proven <= record.batches.steps);
        true
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let digest = |byte| Digest([byte; 32]);
            let record = RunRecord {
                format: RUN_FORMAT.to_owned(),
                run: digest(1),
                settings: digest(2),
                data: digest(3),
                model: digest(4),
                batches: BatchList { steps: 10, digest: digest(5) },
                proofs: [(0, 4), (4, 6)]
                    .map(|(first, steps)| ProofEntry { first, steps, digest: digest(6) })
                    .into(),
            };
            vec![record.to_json().expect("a record can be written").into_bytes()]
        });
        &SEEDS
    },
    unique: false,
};

/// Decoded for a number of steps and a size of batches; what is accepted is written alike.
pub const RUN_BATCHES: Decoder = Decoder {
    name: "run_batches",
    body: |bytes| {
        // Numbers far beyond the file are no more than another length.
        assert_eq!(read_batches(bytes, u64::MAX, usize::MAX), None);
        let Some(batches) = read_batches(bytes, 2, 3) else { return false };
        assert_eq!(write_batches(&batches).as_deref(), Some(bytes), "batches have a second encoding");
        true
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            vec![write_batches(&[vec![1, 2, 3], vec![70_000, 0, 3]]).expect("rows of 32 bits")]
        });
        &SEEDS
    },
    unique: false,
};
