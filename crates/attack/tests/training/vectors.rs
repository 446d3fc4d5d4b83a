//! Bytes that an earlier system of this name took for proofs.

use lorica_argument::codec::CodecError;
use lorica_argument::opening::OpeningMode;
use lorica_attack::training::values::ForgedValues;
use lorica_verify::training::{TrainingInvalid, TrainingProof};

use crate::forging::{Case, real};

#[test]
fn what_an_earlier_system_took_for_proofs_is_none() {
    let case = Case::small();
    let read = |bytes: &[u8]| TrainingProof::from_bytes(bytes, &case.forger.context).unwrap_err();
    let arbitrary: Vec<u8> = (0..33u8).map(|i| i.wrapping_mul(167) ^ 0x5c).collect();
    for bytes in [arbitrary.as_slice(), &[0; 128], &[7; 33], b"AGG:lol".as_slice(), b"mock_proof_1", b""] {
        let error = read(bytes);
        let (field, offset) = match &error {
            CodecError::Unexpected { field, offset, .. } | CodecError::Truncated { field, offset, .. } => {
                (*field, *offset)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!((field, offset), ("magic and version", 0));
        assert!(error.to_string().starts_with("magic and version at byte 0"), "{error}");
        let result = TrainingProof::verify_bytes(bytes, &case.forger.context, &case.forger.generators);
        assert_eq!(result.unwrap_err(), TrainingInvalid::Codec(error));
    }
}

/// With our magic before them they are still none; and a proof cut anywhere, or with anything behind it, is refused.
#[test]
fn cut_and_extended_proofs_are_none() {
    let case = Case::small();
    let values = ForgedValues::new(&case.forger.context, &case.witness);
    let bytes = case.forger.prove_on(&values, OpeningMode::Compact, &mut real()).unwrap().proof.to_bytes();
    let read = |bytes: &[u8]| TrainingProof::from_bytes(bytes, &case.forger.context);
    read(&bytes).unwrap();
    for body in [vec![0; 128], b"AGG:lol".to_vec(), vec![0; bytes.len() - 8], vec![0xff; bytes.len() - 8]] {
        read(&[&bytes[..8], &body].concat()).unwrap_err();
    }
    for length in (0..bytes.len()).step_by(31).chain([bytes.len() - 1]) {
        read(&bytes[..length]).unwrap_err();
    }
    read(&[bytes.as_slice(), &[0]].concat()).unwrap_err();
}
