//! Pedersen commitments to the rows of a tensor, on the bases and with the integers of this project's proofs.
//!
//! ```text
//! integers   floats (F32, F16, BF16): 16 bits with one exponent for the tensor, as adapters are registered
//!            I8, U8, I16: themselves, exponent 0
//! row j      C_j = sum_i v[4096 j + i] g_i + b_j h      4,096 integers in row-major order, the last row shorter
//! root       SHA-256("lorica tensor pedersen 1" || u8(length of type) || type || u32(dimensions) || u64 of each
//!                    || u64(bytes) || i32(exponent) || u64(rows) || C_0 || C_1 || ..)
//! ```
//!
//! What is committed to are integers: two float tensors that round to the same ones have commitments to the same. The rows
//! hide the integers perfectly; type, shape and exponent are public.

use half::{bf16, f16};
use lorica_algebra::{
    Scalar,
    kernels::rows::{RowCommitter, RowError},
    point::{EncodedPoint, FixedBase, POINT_BYTES},
    scalar,
};
use lorica_argument::generators::Generators;
use lorica_tensor::{
    checkpoint::Dtype,
    fixed_point::{QuantizeError, QuantizedMatrix, quantize_matrix},
};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{sha256::update_description, tensor::Tensor};

/// Integers of a row.
pub const ROW_ENTRIES: usize = 4096;
/// Bits of an integer, sign included.
pub const INTEGER_BITS: u32 = 16;
const TAG: &[u8] = b"lorica tensor pedersen 1";
const BLIND_TAG: &[u8] = b"lorica tensor row blind 1";
/// Rows that one call of the kernel commits to.
const ROWS_AT_ONCE: usize = 2048;

/// The key that all blinds of a tensor come from.
pub type BlindKey = Zeroizing<[u8; 32]>;

/// The commitments of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Integers stand for `integer * 2^-exponent`.
    pub exponent: i32,
    /// One point for each row.
    pub points: Vec<[u8; POINT_BYTES]>,
    /// SHA-256 over everything public.
    pub root: [u8; 32],
}

/// Why rows cannot be committed to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PedersenError {
    /// A type without 16-bit integers.
    #[error(
        "type {dtype} has no Pedersen rows: expected F32, F16, BF16, I16, I8 or U8; leave pedersen out of --hash"
    )]
    Dtype {
        /// The type.
        dtype: Dtype,
    },
    /// A NaN or an infinity.
    #[error(transparent)]
    NotFinite(#[from] QuantizeError),
    /// The kernel.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// Commits to a tensor.
///
/// # Errors
/// A type that has no rows, entries that are not finite.
pub fn commit(tensor: &Tensor, key: &BlindKey, generators: &Generators) -> Result<Rows, PedersenError> {
    let QuantizedMatrix { values, exponent } = integers(tensor)?;
    let values = Zeroizing::new(values);
    let kernel = RowCommitter::new(generators.rows());
    let blinding = FixedBase::new(generators.blinding());
    let rows: Vec<&[i16]> = values.chunks(ROW_ENTRIES).collect();
    let mut points = Vec::with_capacity(rows.len());
    for rows in rows.chunks(ROWS_AT_ONCE) {
        for sum in kernel.commit(rows)? {
            let blind = Zeroizing::new(blind(key, points.len()));
            points.push(*EncodedPoint::new(sum + blinding.times(&blind)).bytes());
        }
    }
    let root = root(tensor, exponent, &points);
    Ok(Rows { exponent, points, root })
}

/// The bases that [`commit`] needs.
pub fn generators() -> Generators {
    Generators::derive(ROW_ENTRIES, 0)
}

/// The digest of everything public about a tensor's rows.
pub fn root(tensor: &Tensor, exponent: i32, points: &[[u8; POINT_BYTES]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(TAG);
    update_description(&mut hash, tensor);
    hash.update(exponent.to_le_bytes());
    hash.update(u64::try_from(points.len()).unwrap_or(u64::MAX).to_le_bytes());
    points.iter().for_each(|point| hash.update(point));
    hash.finalize().into()
}

/// 64 bytes of BLAKE3, keyed, over the row's number: never the same for two rows, tensors or commitments.
fn blind(key: &BlindKey, row: usize) -> Scalar {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(BLIND_TAG);
    hasher.update(&u64::try_from(row).unwrap_or(u64::MAX).to_le_bytes());
    let mut bytes = Zeroizing::new([0; 64]);
    hasher.finalize_xof().fill(&mut *bytes);
    hasher.zeroize();
    scalar::from_uniform_bytes(&bytes)
}

fn integers(tensor: &Tensor) -> Result<QuantizedMatrix, PedersenError> {
    let bytes = &tensor.bytes;
    let exact = |values| Ok(QuantizedMatrix { values, exponent: 0 });
    let halves = || bytes.as_chunks::<2>().0.iter().copied();
    let floats: Vec<f32> = match tensor.dtype {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().copied().map(f32::from_le_bytes).collect(),
        Dtype::F16 => halves().map(|bits| f16::from_le_bytes(bits).to_f32()).collect(),
        Dtype::BF16 => halves().map(|bits| bf16::from_le_bytes(bits).to_f32()).collect(),
        Dtype::I16 => return exact(halves().map(i16::from_le_bytes).collect()),
        Dtype::U8 => return exact(bytes.iter().copied().map(i16::from).collect()),
        Dtype::I8 => return exact(bytes.iter().map(|byte| i16::from(byte.cast_signed())).collect()),
        dtype => return Err(PedersenError::Dtype { dtype }),
    };
    let floats = Zeroizing::new(floats);
    Ok(quantize_matrix(&floats, INTEGER_BITS)?)
}
