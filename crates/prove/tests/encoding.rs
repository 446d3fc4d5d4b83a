//! The bytes of a proof: one encoding, exact lengths, and no panic whatever they are.

use lorica_argument::codec::CodecError;
use lorica_argument::opening::OpeningMode;
use lorica_testkit::adapter::AdapterFixture;
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_verify::session::SessionInvalid;

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

fn fixture() -> (AdapterFixture, SessionFixture) {
    let adapter = AdapterFixture::new(&[(4, 6, 2), (3, 2, 1)], 80);
    let session = SessionFixture::new(&adapter, &[(&[0], 3), (&[1], 1)], 81);
    (adapter, session)
}

fn codec_error(result: Result<(), SessionInvalid>) -> CodecError {
    match result {
        Err(SessionInvalid::Codec(error)) => error,
        other => panic!("expected an encoding error, got {other:?}"),
    }
}

#[test]
fn every_truncation_and_trailing_bytes() {
    let (adapter, session) = fixture();
    for mode in MODES {
        let proof = session.prove(&adapter, mode, 82);
        for length in 0..proof.len() {
            let error = codec_error(session.verify(&adapter, &proof[..length]));
            assert!(matches!(error, CodecError::Truncated { .. }), "{mode:?}, {length} bytes: {error}");
        }
        for extra in [1, 32, 400] {
            let long = [proof.clone(), vec![0; extra]].concat();
            assert_eq!(
                codec_error(session.verify(&adapter, &long)),
                CodecError::Trailing { offset: proof.len(), extra }
            );
        }
    }
}

#[test]
fn another_magic_version_or_mode() {
    let (adapter, session) = fixture();
    let proof = session.prove(&adapter, OpeningMode::Fast, 83);
    for (offset, byte) in [(0, b'X'), (7, b'2'), (8, b'C'), (8, b'f'), (8, 0)] {
        let mut changed = proof.clone();
        changed[offset] = byte;
        codec_error(session.verify(&adapter, &changed));
    }
}

#[test]
fn non_canonical_points_and_scalars() {
    let (adapter, session) = fixture();
    let proof = session.prove(&adapter, OpeningMode::Fast, 84);
    // The order of the group, 2^252 + 27742317777372353535851937790883648493, little-endian.
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    // The last scalar of the proof plus the order is the same residue in another encoding.
    let mut alias = proof.clone();
    let last = alias.len() - 32;
    let mut carry = 0u16;
    for (byte, order) in alias[last..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(matches!(codec_error(session.verify(&adapter, &alias)), CodecError::Scalar { .. }));
    for bytes in [[0xff; 32], order] {
        let mut changed = proof.clone();
        changed[9..41].copy_from_slice(&bytes);
        assert!(matches!(codec_error(session.verify(&adapter, &changed)), CodecError::Point { .. }));
    }
}

/// 10,000 random changes of each opening's proof: none is accepted, none panics.
#[test]
fn random_mutations_are_refused() {
    let (adapter, session) = fixture();
    let mut random = Random::new(85);
    for mode in MODES {
        let proof = session.prove(&adapter, mode, 86);
        for _ in 0..10_000 {
            let mut changed = proof.clone();
            for _ in 0..=random.below(3) {
                match random.below(4) {
                    0 => {
                        let at = random.below(changed.len());
                        changed[at] ^= 1 << random.below(8);
                    }
                    1 => {
                        let at = random.below(changed.len());
                        changed[at] = random.next_u64() as u8;
                    }
                    2 => changed.truncate(random.below(changed.len()) + 1),
                    _ => {
                        let (from, to) = (random.below(changed.len()), random.below(changed.len()));
                        let length = 32.min(changed.len() - from.max(to));
                        changed.copy_within(from..from + length, to);
                    }
                }
            }
            if changed != proof {
                assert!(session.verify(&adapter, &changed).is_err());
            }
        }
    }
}
