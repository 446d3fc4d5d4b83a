//! Completeness of training proofs: true statements of many shapes, in both modes, are accepted; and the bytes are canonical.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::opening::OpeningMode;
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_verify::training::TrainingProof;

fn accepted(sizes: SmallProgram, mode: OpeningMode) -> usize {
    let fixture = TrainingFixture::small(sizes, 1);
    fixture.context.program().check(&fixture.witness).unwrap();
    let proven = fixture.prove(mode, None).unwrap();
    let bytes = proven.proof.to_bytes();
    let read = TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators);
    assert_eq!(read.as_ref().err(), None, "{sizes:?}");
    assert!(read == Ok(proven.proof), "{sizes:?}");
    bytes.len()
}

#[test]
fn programs_of_many_shapes() {
    let sizes = |steps, samples, inputs, outputs, row_length| SmallProgram {
        steps,
        samples,
        inputs,
        outputs,
        data_rows: 5,
        row_length,
    };
    for sizes in [
        sizes(1, 1, 1, 1, 1024),
        sizes(1, 4, 7, 4, 1024),
        sizes(1, 3, 5, 2, 8),
        sizes(3, 2, 6, 3, 16),
        sizes(2, 9, 17, 11, 64),
        sizes(5, 4, 3, 8, 1024),
    ] {
        accepted(sizes, OpeningMode::Fast);
        accepted(sizes, OpeningMode::Compact);
    }
}
