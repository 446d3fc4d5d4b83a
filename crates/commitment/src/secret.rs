//! The secret of a commitment: one seed, from which all salts and blinds come, and the file that opens everything.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{pedersen, poseidon, sha256, sha256::mac};

const FORMAT: &str = "lorica-tensor-opening/1";

/// The seed of one commitment file. Wiped when dropped; shows nothing of itself in debug output.
///
/// It must be fresh for every commitment: two commitments to different tensors of one name with one seed would share
/// their blinds, and show the difference of the rows.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct CommitmentSecret {
    seed: [u8; 32],
}

/// An opening file that cannot be read. The message holds no part of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an opening: expected the line {FORMAT} and a line of 64 hexadecimal digits, as `lorica tensor commit` writes them"
)]
pub struct SecretError;

impl CommitmentSecret {
    /// The secret with a seed of 32 bytes from the operating system's randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    pub(crate) fn sha256_salt(&self, tensor: &str) -> sha256::Salt {
        self.derive(b"lorica tensor salt sha256 1", tensor)
    }

    pub(crate) fn poseidon_salt(&self, tensor: &str) -> poseidon::Salt {
        let bytes = self.derive(b"lorica tensor salt poseidon 1", tensor);
        let mut salt = Zeroizing::new([0; poseidon::ELEMENT_BYTES]);
        salt.iter_mut().zip(bytes.iter()).for_each(|(salt, byte)| *salt = *byte);
        salt
    }

    pub(crate) fn blind_key(&self, tensor: &str) -> pedersen::BlindKey {
        self.derive(b"lorica tensor blind key 1", tensor)
    }

    /// `HMAC-SHA-256(seed, label || 0x00 || name)`
    fn derive(&self, label: &[u8], tensor: &str) -> Zeroizing<[u8; 32]> {
        mac(&self.seed, &[label, &[0], tensor.as_bytes()])
    }

    /// The text of an opening file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let digits = Zeroizing::new(hex::encode(self.seed));
        let mut text = Zeroizing::new(String::with_capacity(FORMAT.len() + 66));
        for part in [FORMAT, "\n", &digits, "\n"] {
            text.push_str(part);
        }
        text
    }

    /// Reads the text of an opening file.
    ///
    /// # Errors
    /// Any other text.
    pub fn from_text(text: &str) -> Result<Self, SecretError> {
        let digits = text.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix('\n'));
        let digits = digits.and_then(|rest| rest.strip_suffix('\n')).ok_or(SecretError)?;
        let mut secret = Self { seed: [0; 32] };
        hex::decode_to_slice(digits, &mut secret.seed).map_err(|_| SecretError)?;
        if digits.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(SecretError) } else { Ok(secret) }
    }
}

impl std::fmt::Debug for CommitmentSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CommitmentSecret(..)")
    }
}
