//! The bytes of a training proof: one encoding, exact lengths, and no panic whatever they are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::codec::CodecError;
use lorica_argument::opening::{OpeningMode, fold_count};
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_verify::training::{TrainingInvalid, TrainingProof};

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];
/// Magic, version and mode.
const HEADER: usize = 9;

fn fixture() -> TrainingFixture {
    let sizes = SmallProgram { steps: 1, samples: 2, inputs: 3, outputs: 2, data_rows: 3, row_length: 16 };
    TrainingFixture::small(sizes, 80)
}

fn prove(fixture: &TrainingFixture, mode: OpeningMode) -> Vec<u8> {
    fixture.prove(mode, None).unwrap().proof.to_bytes()
}

fn codec_error(fixture: &TrainingFixture, bytes: &[u8]) -> CodecError {
    match TrainingProof::verify_bytes(bytes, &fixture.context, &fixture.generators) {
        Err(TrainingInvalid::Codec(error)) => error,
        other => panic!("expected an encoding error, got {other:?}"),
    }
}

/// Whether element i of a proof, 32 bytes each, is a scalar.
fn scalars(fixture: &TrainingFixture, mode: OpeningMode) -> Vec<bool> {
    let sizes = fixture.context.sizes();
    let rows = &fixture.context.rows;
    let points = rows.committed_rows() + rows.multiplicity_rows() + sizes.blocks().len();
    let mut kinds = vec![false; points];
    // T_a, T_b, T_0, T_1; five responses; C_y; f_y and tau.
    kinds.extend([false; 4]);
    kinds.extend([true; 5]);
    kinds.extend([false, true, true]);
    let entries = rows.width + sizes.slots();
    match mode {
        OpeningMode::Fast => kinds.extend(vec![true; entries]),
        OpeningMode::Compact => {
            kinds.extend(vec![false; 2 * fold_count(entries)]);
            kinds.push(true);
        }
    }
    kinds
}

#[test]
fn proofs_are_read_and_written_alike() {
    let fixture = fixture();
    for mode in MODES {
        let bytes = prove(&fixture, mode);
        assert_eq!(bytes.len(), HEADER + 32 * scalars(&fixture, mode).len());
        let proof = TrainingProof::from_bytes(&bytes, &fixture.context).unwrap();
        assert_eq!(proof.to_bytes(), bytes);
        assert_eq!(proof.opening.mode(), mode);
    }
}

#[test]
fn every_truncation_and_trailing_bytes() {
    let fixture = fixture();
    for mode in MODES {
        let proof = prove(&fixture, mode);
        for length in (0..proof.len()).filter(|length| length % 61 == 0 || length + 40 > proof.len()) {
            let error = codec_error(&fixture, &proof[..length]);
            assert!(matches!(error, CodecError::Truncated { .. }), "{mode:?}, {length} bytes: {error}");
        }
        for extra in [1, 32, 400] {
            let long = [proof.clone(), vec![0; extra]].concat();
            let expected = CodecError::Trailing { offset: proof.len(), extra };
            assert_eq!(codec_error(&fixture, &long), expected);
        }
    }
}

#[test]
fn another_magic_version_or_mode() {
    let fixture = fixture();
    let proof = prove(&fixture, OpeningMode::Compact);
    for (offset, byte) in [(0, b'X'), (6, b'R'), (7, b'2'), (8, b'F'), (8, b'f'), (8, b'c'), (8, 0)] {
        let mut changed = proof.clone();
        changed[offset] = byte;
        codec_error(&fixture, &changed);
    }
    let mut changed = prove(&fixture, OpeningMode::Fast);
    changed[8] = b'C';
    codec_error(&fixture, &changed);
    for nothing in [vec![], vec![0; 128], b"AGG:lol".to_vec(), (0..33).collect()] {
        codec_error(&fixture, &nothing);
    }
}

/// The order of the group, 2^252 + 27742317777372353535851937790883648493, little-endian.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn plus_order(bytes: &mut [u8]) {
    let mut carry = 0u16;
    for (byte, order) in bytes.iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
}

/// Every element: bytes that encode nothing, and the same residue in another encoding.
#[test]
fn non_canonical_points_and_scalars() {
    let fixture = fixture();
    for mode in MODES {
        let proof = prove(&fixture, mode);
        // The long vector of a fast proof is all of one kind, and what is before it the same in both.
        let step = if mode == OpeningMode::Fast { 17 } else { 1 };
        for (index, is_scalar) in scalars(&fixture, mode).into_iter().enumerate().step_by(step) {
            let place = HEADER + 32 * index..HEADER + 32 * (index + 1);
            let mut alias = proof[place.clone()].to_vec();
            plus_order(&mut alias);
            let values = if is_scalar { vec![alias, ORDER.to_vec()] } else { vec![ORDER.to_vec()] };
            for value in values.into_iter().chain([vec![0xff; 32]]) {
                let mut changed = proof.clone();
                changed[place.clone()].copy_from_slice(&value);
                let error = codec_error(&fixture, &changed);
                let offset = match error {
                    CodecError::Scalar { offset, .. } if is_scalar => offset,
                    CodecError::Point { offset, .. } if !is_scalar => offset,
                    other => panic!("{mode:?}, element {index}: {other}"),
                };
                assert_eq!(offset, place.start);
            }
        }
    }
}
