//! A tensor as it is committed to.

use lorica_tensor::checkpoint::{Checkpoint, Dtype, LoadError};

/// A tensor: what its file says of it, and its bytes as they are stored, little-endian and row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name in the file. No commitment binds it but through the salts.
    pub name: String,
    /// The type of an entry.
    pub dtype: Dtype,
    /// The dimensions, outermost first.
    pub shape: Vec<u64>,
    /// All entries.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Reads a tensor whole.
    ///
    /// # Errors
    /// A tensor that is not there, a file that cannot be read.
    pub fn read(file: &Checkpoint, name: &str) -> Result<Self, LoadError> {
        let description = file.tensor(name)?;
        // usize is at most 64 bits on every platform Rust supports.
        let shape = description.shape.iter().map(|size| u64::try_from(*size).unwrap_or(u64::MAX)).collect();
        Ok(Self { name: description.name, dtype: description.dtype, shape, bytes: file.bytes(name)? })
    }

    /// The length of the bytes.
    pub fn length(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// The type's name as it stands in weight files, such as `BF16`.
    pub fn dtype_name(&self) -> String {
        self.dtype.to_string()
    }
}
