//! The transcript: what was said so far, and the challenges that follow from it.
//!
//! [`FiatShamir`] is the one instance a product uses. The trait exists so that the zero-knowledge suite can run the
//! real verifier on challenges that a simulator chose beforehand, and the soundness suite can switch one of them off.

use lorica_algebra::{Scalar, scalar};

/// The name of a message or challenge. Every label of a protocol is a constant beside the protocol's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label(pub &'static str);

/// A public-coin transcript.
pub trait Transcript {
    /// Takes in a message. Label and length are framed, so no two sequences of messages read the same.
    fn absorb(&mut self, label: Label, message: &[u8]);

    /// Draws a seed that depends on every message and every challenge before it.
    fn seed(&mut self, label: Label) -> Seed;

    /// Draws a scalar, uniform up to 2^-256.
    fn challenge(&mut self, label: Label) -> Scalar {
        self.seed(label).scalar()
    }

    /// A digest of everything so far. The prover mixes it into its masks, so that no mask serves two transcripts.
    fn state(&self) -> [u8; 32];
}

/// Bits of a short challenge.
pub const SHORT_CHALLENGE_BITS: u32 = 126;

/// A seed drawn from the transcript, stretched to one scalar or to any number of short challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// One scalar, uniform up to 2^-256.
    pub fn scalar(&self) -> Scalar {
        let mut bytes = [0; 64];
        blake3::Hasher::new_keyed(&self.0).update(b"scalar").finalize_xof().fill(&mut bytes);
        scalar::from_uniform_bytes(&bytes)
    }

    /// Challenges `first .. first + challenges.len()` of the sequence this seed stands for, each uniform below 2^126.
    ///
    /// Any part of the sequence can be made without the part before it.
    pub fn fill_short(&self, first: u64, challenges: &mut [u128]) {
        let mut reader = blake3::Hasher::new_keyed(&self.0).update(b"short").finalize_xof();
        // 2^60 challenges are more than any session's rows; past them the sequence ends rather than wraps.
        reader.set_position(first.saturating_mul(16));
        let mut bytes = [0; 16];
        for challenge in challenges {
            reader.fill(&mut bytes);
            *challenge = u128::from_le_bytes(bytes) >> (u128::BITS - SHORT_CHALLENGE_BITS);
        }
    }

    /// The first `count` short challenges.
    pub fn short(&self, count: usize) -> Vec<u128> {
        let mut challenges = vec![0; count];
        self.fill_short(0, &mut challenges);
        challenges
    }
}

/// The Fiat-Shamir transcript: BLAKE3 over framed messages.
#[derive(Clone)]
pub struct FiatShamir {
    hasher: blake3::Hasher,
}

const MESSAGE: u8 = 1;
const CHALLENGE: u8 = 2;

impl FiatShamir {
    /// Starts a transcript for one protocol and version, such as `lorica session 1`.
    pub fn new(protocol: &'static str) -> Self {
        Self { hasher: blake3::Hasher::new_derive_key(protocol) }
    }

    fn frame(&mut self, kind: u8, label: Label, message: &[u8]) {
        // usize is at most 64 bits on every platform Rust supports.
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes();
        self.hasher.update(&[kind]);
        self.hasher.update(&length(label.0.as_bytes()));
        self.hasher.update(label.0.as_bytes());
        self.hasher.update(&length(message));
        self.hasher.update(message);
    }
}

impl Transcript for FiatShamir {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        self.frame(MESSAGE, label, message);
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.frame(CHALLENGE, label, &[]);
        Seed(*self.hasher.finalize().as_bytes())
    }

    fn state(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Label = Label("a");
    const B: Label = Label("b");

    fn seed_after(messages: &[(Label, &[u8])]) -> Seed {
        let mut transcript = FiatShamir::new("test");
        for (label, message) in messages {
            transcript.absorb(*label, message);
        }
        transcript.seed(A)
    }

    #[test]
    fn every_part_of_a_message_matters() {
        let seeds = [
            seed_after(&[]),
            seed_after(&[(A, b"")]),
            seed_after(&[(A, b"x")]),
            seed_after(&[(B, b"x")]),
            seed_after(&[(A, b"x"), (A, b"y")]),
            seed_after(&[(A, b"y"), (A, b"x")]),
            seed_after(&[(A, b"xy")]),
            seed_after(&[(Label("ab"), b"")]),
            seed_after(&[(A, b"b")]),
        ];
        for (i, left) in seeds.iter().enumerate() {
            for right in &seeds[i + 1..] {
                assert_ne!(left, right);
            }
        }
    }

    #[test]
    fn challenges_depend_on_earlier_challenges() {
        let mut once = FiatShamir::new("test");
        let mut twice = once.clone();
        let first = twice.seed(A);
        assert_ne!(first, twice.seed(A));
        assert_ne!(first, once.seed(B));
        assert_ne!(FiatShamir::new("other").seed(A), first);
    }

    #[test]
    fn short_challenges_can_be_made_from_the_middle() {
        let seed = Seed([7; 32]);
        let all = seed.short(100);
        let mut part = vec![0; 30];
        seed.fill_short(41, &mut part);
        assert_eq!(part, all[41..71]);
        assert!(all.iter().all(|challenge| challenge >> SHORT_CHALLENGE_BITS == 0));
        assert!(all.iter().any(|challenge| challenge >> (SHORT_CHALLENGE_BITS - 1) == 1));
    }

    /// The test vector of `docs/spec/protocol.md`. A change of the transcript makes every proof there is invalid: it needs a
    /// new version.
    #[test]
    fn challenges_are_frozen() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut transcript = FiatShamir::new("lorica session proof 1");
        transcript.absorb(Label("session: statement"), b"abc");
        let seed = transcript.seed(Label("session: rho"));
        let next = transcript.challenge(Label("session: p"));
        assert_eq!(hex(&seed.0), "9cd9c7bebff16fb52bc5c20ded681fede3be8455c74722281a79132b408e67d9");
        assert_eq!(
            hex(&scalar::to_bytes(&seed.scalar())),
            "0cadd5bbefd08a5281ca9137deb4d2092f2f5e919cb427864ff60b8061aabe0c"
        );
        assert_eq!(
            seed.short(3),
            [
                0x3d761d657f2064adfb413cbc5aece593,
                0x3b8bccd4173d88417861c253bb9d1837,
                0x222128071dcc598d3f5b8f0e1e007489,
            ]
        );
        assert_eq!(
            hex(&scalar::to_bytes(&next)),
            "19d0790341447f3f4f7d7cca70f8a802ebba57e0f29b05301e214bbf8dc70906"
        );
    }
}
