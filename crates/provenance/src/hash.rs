//! Hashes of RFC 6962: leaves and nodes of the tree, with their two domains.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// A SHA-256 hash of the tree. Its text form is standard Base 64, as in checkpoints and proofs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The root of the tree without entries: SHA-256 of nothing.
    pub fn empty() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// `SHA-256(0x00 || entry)`
    pub fn leaf(entry: &[u8]) -> Self {
        Self(Sha256::new().chain_update([LEAF]).chain_update(entry).finalize().into())
    }

    /// `SHA-256(0x01 || left || right)`
    pub fn node(left: &Self, right: &Self) -> Self {
        Self(Sha256::new().chain_update([NODE]).chain_update(left.0).chain_update(right.0).finalize().into())
    }

    /// The root of a perfect tree over some hashes, 2^k of them; `None` for any other number.
    pub fn perfect(hashes: &[Self]) -> Option<Self> {
        if !hashes.len().is_power_of_two() {
            return None;
        }
        let mut row = hashes.to_vec();
        while row.len() > 1 {
            row = row.as_chunks::<2>().0.iter().map(|[left, right]| Self::node(left, right)).collect();
        }
        row.first().copied()
    }

    /// Reads the text form: exactly 44 characters of canonical Base 64.
    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Hash({self})")
    }
}
