//! Independent proofs checked together: all true ones hold, and one false one among them is enough to refuse all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_verify::training::{ProofBatch, TrainingProof};

fn fixtures() -> Vec<(TrainingFixture, Vec<u8>)> {
    let sizes = |steps, inputs, row_length| SmallProgram {
        steps,
        samples: 3,
        inputs,
        outputs: 2,
        data_rows: 5,
        row_length,
    };
    [
        (sizes(1, 4, 1024), OpeningMode::Compact),
        (sizes(2, 7, 16), OpeningMode::Fast),
        (sizes(1, 5, 2048), OpeningMode::Compact),
    ]
    .into_iter()
    .zip(1..)
    .map(|((sizes, mode), seed)| {
        let fixture = TrainingFixture::small(sizes, seed);
        let proof = fixture.prove(mode, None).unwrap().proof.to_bytes();
        (fixture, proof)
    })
    .collect()
}

/// Whether proofs pass together, each with the statement of the same place.
fn together(fixtures: &[(TrainingFixture, Vec<u8>)], proofs: &[Vec<u8>]) -> bool {
    let generators = Generators::derive(2048, 0);
    let mut batch = ProofBatch::default();
    fixtures.iter().zip(proofs).all(|((fixture, _), proof)| {
        TrainingProof::defer_bytes(proof, &fixture.context, &generators, &mut batch).is_ok()
    }) && batch.holds(&generators)
}

#[test]
fn proofs_hold_together_exactly_if_each_holds() {
    let fixtures = fixtures();
    let proofs: Vec<Vec<u8>> = fixtures.iter().map(|(_, proof)| proof.clone()).collect();
    assert!(together(&fixtures, &proofs));
    for number in 0..proofs.len() {
        let (fixture, _) = &fixtures[number];
        // The last scalar of the opening: read as before, and seen by the last equation alone.
        let mut changed = proofs.clone();
        let end = changed[number].len();
        changed[number][end - 32] ^= 1;
        assert!(
            TrainingProof::verify_bytes(&changed[number], &fixture.context, &fixture.generators).is_err()
        );
        assert!(!together(&fixtures, &changed), "{number}");
    }
    // Two wrong ones whose errors would cancel in a plain sum: the blinds of the openings, one up and one down.
    let mut changed = proofs.clone();
    for (number, up) in [(0, true), (2, true)] {
        let (fixture, _) = &fixtures[number];
        let mut proof = TrainingProof::from_bytes(&changed[number], &fixture.context).unwrap();
        let one = lorica_algebra::Scalar::from(1u8);
        proof.opening.blind += if up == (number == 0) { one } else { -one };
        changed[number] = proof.to_bytes();
    }
    assert!(!together(&fixtures, &changed));
}
