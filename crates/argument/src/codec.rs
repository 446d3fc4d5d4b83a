//! Canonical bytes: every artefact has one encoding, and a reader takes exactly it.
//!
//! Sizes are never read from the bytes: the caller derives them from its statement, checks the total length
//! with [`Reader::finish`], and every point and scalar must be in its canonical form.

use lorica_algebra::Scalar;
use lorica_algebra::point::{EncodedPoint, POINT_BYTES};
use lorica_algebra::scalar::{self, SCALAR_BYTES};

/// Why bytes are not the encoding of a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{field} at byte {offset}: {needed} bytes expected, {left} are left")]
    Truncated {
        /// What was to be read.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Bytes it takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// Bytes follow the end.
    #[error("the proof ends at byte {offset}, but {extra} more bytes follow")]
    Trailing {
        /// Where it ends.
        offset: usize,
        /// How many bytes follow.
        extra: usize,
    },
    /// A fixed field has another value.
    #[error("{field} at byte {offset}: expected {expected}, found {found}")]
    Unexpected {
        /// The field.
        field: &'static str,
        /// Where.
        offset: usize,
        /// What this version reads.
        expected: String,
        /// What is there.
        found: String,
    },
    /// 32 bytes that are no canonical encoding of a group element.
    #[error("{field} at byte {offset} is not a canonical ristretto255 element")]
    Point {
        /// The field.
        field: &'static str,
        /// Where.
        offset: usize,
    },
    /// 32 bytes that are no canonical encoding of a scalar.
    #[error("{field} at byte {offset} is not a canonical scalar")]
    Scalar {
        /// The field.
        field: &'static str,
        /// Where.
        offset: usize,
    },
}

/// Reads an artefact from front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes not read yet.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], CodecError> {
        let truncated =
            CodecError::Truncated { field, offset: self.offset, needed: N, left: self.bytes.len() };
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or(truncated)?;
        self.bytes = tail;
        self.offset = self.offset.saturating_add(N);
        Ok(head)
    }

    /// Reads `N` bytes that must have one value.
    pub fn expect<const N: usize>(
        &mut self,
        field: &'static str,
        expected: &[u8; N],
    ) -> Result<(), CodecError> {
        let offset = self.offset;
        let found = self.array::<N>(field)?;
        if found == expected {
            return Ok(());
        }
        Err(CodecError::Unexpected {
            field,
            offset,
            expected: expected.escape_ascii().to_string(),
            found: found.escape_ascii().to_string(),
        })
    }

    /// Reads a point.
    pub fn point(&mut self, field: &'static str) -> Result<EncodedPoint, CodecError> {
        let offset = self.offset;
        let bytes = self.array::<POINT_BYTES>(field)?;
        EncodedPoint::decode(bytes).ok_or(CodecError::Point { field, offset })
    }

    /// Reads `count` points. The caller's statement bounds `count`; memory follows the bytes that are there.
    pub fn points(&mut self, field: &'static str, count: usize) -> Result<Vec<EncodedPoint>, CodecError> {
        self.check_room(field, count, POINT_BYTES)?;
        (0..count).map(|_| self.point(field)).collect()
    }

    /// Reads a scalar.
    pub fn scalar(&mut self, field: &'static str) -> Result<Scalar, CodecError> {
        let offset = self.offset;
        let bytes = self.array::<SCALAR_BYTES>(field)?;
        scalar::from_canonical_bytes(bytes).ok_or(CodecError::Scalar { field, offset })
    }

    /// Reads `count` scalars.
    pub fn scalars(&mut self, field: &'static str, count: usize) -> Result<Vec<Scalar>, CodecError> {
        self.check_room(field, count, SCALAR_BYTES)?;
        (0..count).map(|_| self.scalar(field)).collect()
    }

    /// Ends the artefact: not one byte may be left.
    pub fn finish(self) -> Result<(), CodecError> {
        match self.bytes.len() {
            0 => Ok(()),
            extra => Err(CodecError::Trailing { offset: self.offset, extra }),
        }
    }

    fn check_room(&self, field: &'static str, count: usize, size: usize) -> Result<(), CodecError> {
        let needed = count.saturating_mul(size);
        if needed > self.bytes.len() {
            return Err(CodecError::Truncated { field, offset: self.offset, needed, left: self.bytes.len() });
        }
        Ok(())
    }
}

/// Writes an artefact from front to back.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes fixed bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a point.
    pub fn point(&mut self, point: &EncodedPoint) {
        self.bytes(point.bytes());
    }

    /// Writes points.
    pub fn points(&mut self, points: &[EncodedPoint]) {
        points.iter().for_each(|point| self.point(point));
    }

    /// Writes a scalar.
    pub fn scalar(&mut self, scalar: &Scalar) {
        self.bytes(&scalar::to_bytes(scalar));
    }

    /// Writes scalars.
    pub fn scalars(&mut self, scalars: &[Scalar]) {
        scalars.iter().for_each(|scalar| self.scalar(scalar));
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
