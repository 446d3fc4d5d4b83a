//! The prover's randomness, hedged: it stays secret and fresh as long as one of its three sources is.
//!
//! A mask that repeats over two transcripts reveals what it masks. So every stream of randomness is keyed by
//! operating-system entropy, the adapter's secret seed and the transcript's state together: a repeated entropy value (a
//! cloned virtual machine, a broken generator) gives the same masks only for the same transcript, which reveals nothing new.

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
}
