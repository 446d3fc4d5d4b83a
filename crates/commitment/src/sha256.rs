//! The SHA-256 root of a tensor.
//!
//! ```text
//! leaf i   SHA-256(0x00 || chunk i)                     plain
//!          SHA-256(0x02 || salt i || chunk i)           salted; salt i = HMAC-SHA-256(salt, u64(i))
//! node     SHA-256(0x01 || left || right)
//! root     SHA-256(0x03 || "lorica tensor sha256 1" || mode || u8(length of type) || type
//!                  || u32(dimensions) || u64 of each || u64(bytes) || tree)
//! ```
//!
//! A chunk is 1,024 bytes, the last one shorter; `mode` is 0 for plain, 1 for salted; integers are little-endian; the tree
//! without leaves is SHA-256 of nothing. The four first bytes keep leaves, nodes and roots apart, and the root binds type,
//! shape and length: `[1, 2, 3, 4]` and `[[1, 2], [3, 4]]` differ, and so do a tensor of 32 bytes and its root.

use hmac::{Hmac, KeyInit as _, Mac as _};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{fold::fold, tensor::Tensor};

/// Bytes of a leaf.
pub const CHUNK_BYTES: usize = 1024;

const LEAF: u8 = 0;
const NODE: u8 = 1;
const SALTED_LEAF: u8 = 2;
const ROOT: u8 = 3;
const TAG: &[u8] = b"lorica tensor sha256 1";

/// A secret that makes a root tell nothing of its tensor.
pub type Salt = Zeroizing<[u8; 32]>;

/// The root of a tensor, salted or plain.
pub fn root(tensor: &Tensor, salt: Option<&Salt>) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = (0u64..)
        .zip(tensor.bytes.chunks(CHUNK_BYTES))
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(leaf(salt))
        .collect();
    let node = |(): &mut (), left: &[u8; 32], right: &[u8; 32]| {
        Ok::<[u8; 32], std::convert::Infallible>(
            Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into(),
        )
    };
    let Ok(tree) = fold(leaves, || (), node);
    let tree = tree.unwrap_or_else(|| Sha256::digest([]).into());
    let mut hash = Sha256::new();
    hash.update([ROOT]);
    hash.update(TAG);
    hash.update([u8::from(salt.is_some())]);
    update_description(&mut hash, tensor);
    hash.update(tree);
    hash.finalize().into()
}

/// Type, shape and length, each with what tells where it ends.
pub(crate) fn update_description(hash: &mut Sha256, tensor: &Tensor) {
    let dtype = tensor.dtype_name();
    // Names of types have a few characters, and shapes a few dimensions.
    hash.update([u8::try_from(dtype.len()).unwrap_or(u8::MAX)]);
    hash.update(dtype);
    hash.update(u32::try_from(tensor.shape.len()).unwrap_or(u32::MAX).to_le_bytes());
    tensor.shape.iter().for_each(|size| hash.update(size.to_le_bytes()));
    hash.update(tensor.length().to_le_bytes());
}

fn leaf(salt: Option<&Salt>) -> impl Fn((u64, &[u8])) -> [u8; 32] + Sync {
    move |(index, chunk)| match salt {
        None => Sha256::new().chain_update([LEAF]).chain_update(chunk).finalize().into(),
        Some(salt) => {
            let own = mac(&**salt, &[&index.to_le_bytes()]);
            let hash = Sha256::new().chain_update([SALTED_LEAF]).chain_update(*own).chain_update(chunk);
            hash.finalize().into()
        }
    }
}

/// HMAC-SHA-256 over some parts, one after the other.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    // Keys of every length are keys of HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().into())
}
