//! The key of a run, the seeds derived from it, and the stream of numbers that a seed stands for.
//!
//! Frozen: evidence is checked by deriving every prompt again, so nothing here may change without a new format.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Hashed before the key, so that a commitment is never a hash of anything else.
const COMMITMENT_TAG: &[u8] = b"lorica/identity/challenge-key/1\0";

/// Begins the messages that order the families; no run's name begins with a zero byte.
const ORDER_TAG: &[u8] = b"\0order|";

/// HMAC-SHA256 pads its key with zeros to this many bytes.
const HMAC_BLOCK: usize = 64;

/// The secret that fixes every challenge of a run. It is committed to before the first question and revealed in the
/// evidence afterwards. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChallengeKey([u8; 32]);

/// Why a text is not a challenge key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a challenge key is 64 lower-case hexadecimal digits; this text of {length} bytes is not")]
pub struct KeyError {
    /// The text's length; the text itself may be a secret and is not repeated.
    pub length: usize,
}

impl ChallengeKey {
    /// A key of these bytes, which must come from a source that neither side can predict.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new key.
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut key = Self([0; 32]);
        rng.fill_bytes(&mut key.0);
        key
    }

    /// A revealed key, as [`ChallengeKey::reveal`] wrote it.
    ///
    /// # Errors
    /// Anything but 64 lower-case hexadecimal digits.
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let error = KeyError { length: digits.len() };
        let mut key = Self([0; 32]);
        hex::decode_to_slice(digits, &mut key.0).map_err(|_| error)?;
        if *key.reveal() == *digits { Ok(key) } else { Err(error) }
    }

    /// The key as 64 hexadecimal digits, for the evidence. Whoever has it knows every challenge of its runs.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// What is published before the first question: SHA-256 over a tag and the key.
    pub fn commitment(&self) -> [u8; 32] {
        Sha256::new().chain_update(COMMITMENT_TAG).chain_update(self.0).finalize().into()
    }

    /// The seed of challenge `index` of a run: `HMAC-SHA256(key, run_id || "|" || index)`, the index in decimal.
    pub fn seed(&self, run_id: &str, index: u32) -> [u8; 32] {
        mac(&self.0, &[run_id.as_bytes(), b"|", index.to_string().as_bytes()])
    }

    /// The seed of the order of the families in a block of consecutive challenges.
    pub(crate) fn order_seed(&self, run_id: &str, block: u32) -> [u8; 32] {
        mac(&self.0, &[ORDER_TAG, run_id.as_bytes(), b"|", block.to_string().as_bytes()])
    }
}

impl fmt::Debug for ChallengeKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChallengeKey(secret)")
    }
}

/// Uniform numbers from a seed: block `j` of attempt `a` is `HMAC-SHA256(seed, a || j)`, both as four bytes, most
/// significant first; a number is the next eight bytes, most significant first.
pub(crate) struct Stream {
    seed: [u8; 32],
    attempt: u32,
    next_block: u32,
    block: [u8; 32],
    used: usize,
}

impl Stream {
    pub(crate) fn new(seed: [u8; 32], attempt: u32) -> Self {
        Self { seed, attempt, next_block: 0, block: [0; 32], used: 32 }
    }

    fn next(&mut self) -> u64 {
        if self.used == self.block.len() {
            self.block = mac(&self.seed, &[&self.attempt.to_be_bytes(), &self.next_block.to_be_bytes()]);
            self.next_block = self.next_block.wrapping_add(1);
            self.used = 0;
        }
        let end = self.used + 8;
        let number = self.block.get(self.used..end).unwrap_or_default();
        self.used = end;
        number.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }

    /// A number below `bound`, each equally probable: numbers beyond the last whole multiple of the bound are thrown
    /// away. 0 for a bound of 0 or 1, without drawing.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if bound <= 1 {
            return 0;
        }
        // 2^64 mod bound numbers at the top are one too many for some remainders.
        let excess = (u64::MAX % bound + 1) % bound;
        loop {
            let number = self.next();
            if number <= u64::MAX - excess {
                return number % bound;
            }
        }
    }
}

fn mac(key: &[u8; 32], message: &[&[u8]]) -> [u8; 32] {
    let mut padded = Zeroizing::new([0; HMAC_BLOCK]);
    padded[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new((&*padded).into());
    for part in message {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_hmac_sha256() {
        // The vector is from `printf 'run|7' | openssl dgst -sha256 -mac HMAC`
        // with the key 00 01 .. 1f.
        let key = ChallengeKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(hex::encode(key.seed("run", 7)), SEED_VECTOR);
        let mut whole = Hmac::<Sha256>::new_from_slice(&key.0).unwrap();
        whole.update(b"run|7");
        assert_eq!(hex::encode(whole.finalize().into_bytes()), SEED_VECTOR);
    }

    const SEED_VECTOR: &str = "0543380b056e71f372b4d8596cb537fa52caad146dfe243f55461abd04d184f5";

    #[test]
    fn numbers_below_a_bound_are_uniform() {
        let mut stream = Stream::new([7; 32], 0);
        let mut counts = [0_u32; 6];
        for _ in 0..6000 {
            counts[usize::try_from(stream.below(6)).unwrap()] += 1;
        }
        // Five standard deviations of a binomial count are 144.
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 144), "{counts:?}");
        assert_eq!(stream.below(1), 0);
    }

    #[test]
    fn a_bound_beyond_half_the_range_is_kept() {
        let mut stream = Stream::new([9; 32], 3);
        let bound = (1 << 63) + 1;
        assert!((0..100).all(|_| stream.below(bound) < bound));
    }
}
