//! Training proofs.

use std::sync::LazyLock;

use lorica_argument::opening::OpeningMode;
use lorica_verify::training::TrainingProof;

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
