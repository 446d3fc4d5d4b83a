//! The prover's randomness, hedged: it stays secret and fresh as long as one of its three sources is.
//!
//! A mask that repeats over two transcripts reveals what it masks. So every stream of randomness is keyed by
//! operating-system entropy, the adapter's secret seed and the transcript's state together: a repeated entropy value (a
//! cloned virtual machine, a broken generator) gives the same masks only for the same transcript, which reveals nothing new.
//!
//! A registered adapter is the one witness of its statements. A training proof's statement leaves its tensors open, and a
//! tolerance leaves room for more than one update that satisfies it. Its randomness is keyed by the witness as well
//! ([`Randomness::of_witness`]): with equal blinds, two commitments to one row would show the difference of what they hold.

use lorica_algebra::{Scalar, scalar};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::AdapterSecret;

/// 32 bytes from the operating system's generator, drawn by the caller for one proof.
pub struct Entropy(pub Zeroizing<[u8; 32]>);

/// A source of blinds and masks for one proof.
pub struct Randomness {
    key: Zeroizing<[u8; 32]>,
    stream: blake3::OutputReader,
}

impl Randomness {
    /// Starts from entropy, the adapter's secret and the transcript's state.
    pub fn new(entropy: &Entropy, secret: &AdapterSecret, transcript_state: &[u8; 32]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("lorica prover randomness 1");
        hasher.update(&*entropy.0);
        hasher.update(secret.seed());
        Self::of_key(hasher, transcript_state)
    }

    /// As [`Randomness::new`], and from a witness that the statement does not fix. `hash` takes in all of it, in one way.
    pub fn of_witness(
        entropy: &Entropy,
        secret: &AdapterSecret,
        transcript_state: &[u8; 32],
        hash: impl FnOnce(&mut blake3::Hasher),
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("lorica prover randomness of a witness 1");
        hasher.update(&*entropy.0);
        hasher.update(secret.seed());
        hash(&mut hasher);
        Self::of_key(hasher, transcript_state)
    }

    /// Starts from the key that a hash gives.
    fn of_key(mut hasher: blake3::Hasher, transcript_state: &[u8; 32]) -> Self {
        let key = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        let stream = stream(&key, transcript_state);
        Self { key, stream }
    }

    /// Goes on with a stream that depends on a later state of the transcript.
    pub fn advance(&mut self, transcript_state: &[u8; 32]) {
        self.stream.zeroize();
        self.stream = stream(&self.key, transcript_state);
    }

    /// A uniform scalar.
    pub fn scalar(&mut self) -> Scalar {
        let mut bytes = Zeroizing::new([0; 64]);
        self.stream.fill(&mut *bytes);
        scalar::from_uniform_bytes(&bytes)
    }

    /// Uniform scalars.
    pub fn scalars(&mut self, count: usize) -> Vec<Scalar> {
        (0..count).map(|_| self.scalar()).collect()
    }
}

impl Drop for Randomness {
    fn drop(&mut self) {
        self.stream.zeroize();
    }
}

fn stream(key: &[u8; 32], transcript_state: &[u8; 32]) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(transcript_state);
    let stream = hasher.finalize_xof();
    hasher.zeroize();
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_changes_the_stream() {
        let first = |entropy: u8, seed: u8, state: u8| {
            let secret = AdapterSecret::from_seed([seed; 32]);
            Randomness::new(&Entropy(Zeroizing::new([entropy; 32])), &secret, &[state; 32]).scalar()
        };
        let base = first(0, 0, 0);
        assert_eq!(base, first(0, 0, 0));
        for other in [first(1, 0, 0), first(0, 1, 0), first(0, 0, 1)] {
            assert_ne!(base, other);
        }
    }

    /// Also where a later state of the transcript is the same for two witnesses.
    #[test]
    fn a_witness_changes_every_stream() {
        let first = |entropy: u8, witness: &[u8]| {
            let secret = AdapterSecret::from_seed([0; 32]);
            let entropy = Entropy(Zeroizing::new([entropy; 32]));
            let mut randomness = Randomness::of_witness(&entropy, &secret, &[0; 32], |hasher| {
                hasher.update(witness);
            });
            let first = randomness.scalar();
            randomness.advance(&[1; 32]);
            [first, randomness.scalar()]
        };
        let base = first(0, b"one");
        assert_eq!(base, first(0, b"one"));
        for other in [first(0, b"two"), first(0, b""), first(1, b"one")] {
            assert_ne!(base[0], other[0]);
            assert_ne!(base[1], other[1]);
        }
    }
}
