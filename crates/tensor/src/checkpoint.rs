//! Weight files: one safetensors file, its tensors read by position as they are needed.
//!
//! Nothing is mapped: a file larger than memory costs its header and what is being read. The header is checked by the
//! rules of the safetensors crate when the file is opened: tensors that overlap, leave gaps, lie about their size or
//! run past the end never get here. Types other than F32, F16 and BF16 are listed but not converted, and a NaN or an
//! infinity is refused with its tensor and position.

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use half::{bf16, f16, vec::HalfBitsVecExt};
use safetensors::tensor::{Metadata, TensorInfo};

use crate::{
    digest::Digest,
    files::{FileError, open_regular},
};

pub use safetensors::Dtype;

/// Bytes read at a time where a whole tensor need not be held.
const BLOCK: usize = 1 << 20;
/// The largest header, in bytes; the safetensors format's own bound.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// An open safetensors file.
///
/// It must not be changed in place while it is open: what is read later would be of another model than what was read
/// before. Replacing it by renaming is safe.
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the header ends and the tensors' bytes begin.
    data_start: u64,
}

/// Weights in the type they are stored in, all finite.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// IEEE half precision.
    F16(Vec<f16>),
    /// The upper half of single precision.
    BF16(Vec<bf16>),
}

impl Values {
    /// As single precision; F16 and BF16 widen without loss.
    pub fn into_f32(self) -> Vec<f32> {
        match self {
            Self::F32(values) => values,
            Self::F16(values) => values.into_iter().map(f16::to_f32).collect(),
            Self::BF16(values) => values.into_iter().map(bf16::to_f32).collect(),
        }
    }
}

/// One tensor of a file, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorDescription {
    /// The tensor's name.
    pub name: String,
    /// The type of an element.
    pub dtype: Dtype,
    /// The dimensions, outermost first.
    pub shape: Vec<usize>,
    /// Size in bytes.
    pub bytes: usize,
}

/// Why a weight file or one of its tensors was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be opened.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a well-formed safetensors file.
    #[error("{} is not a valid safetensors file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        reason: String,
    },
    /// The tensor is not in the file.
    #[error("{} holds no tensor {tensor}", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The name that was looked for.
        tensor: String,
    },
    /// The tensor's type is not converted to floats.
    #[error("tensor {tensor} of {}: expected type F32, F16 or BF16, found {found}", path.display())]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: Dtype,
    },
    /// A NaN or an infinity.
    #[error("tensor {tensor} of {}: entry {index} is {value}, weights must be finite", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Position in row-major order.
        index: usize,
        /// What is there.
        value: f32,
    },
}

impl Checkpoint {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// A file that cannot be opened or is not well-formed.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let file = open_regular(path)?;
        let unreadable = |source| FileError::Read { path: path.to_owned(), source };
        let malformed =
            |reason: &str| LoadError::Malformed { path: path.to_owned(), reason: reason.to_owned() };
        let length = file.metadata().map_err(unreadable)?.len();
        let mut prefix = [0; 8];
        if length < 8 {
            return Err(malformed("it is too short for a header"));
        }
        file.read_exact_at(&mut prefix, 0).map_err(unreadable)?;
        let header_bytes = u64::from_le_bytes(prefix);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(malformed("its header is too large"));
        }
        let data_start = 8 + header_bytes;
        if data_start > length {
            return Err(malformed("its header runs past the end"));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact_at(&mut header, 8).map_err(unreadable)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(&format!("its header: {error}")))?;
        if data_start + metadata.data_len() as u64 != length {
            return Err(malformed("its header does not describe all of it, or more than it"));
        }
        Ok(Self { path: path.to_owned(), file, metadata, data_start })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tensors, in the order of their names.
    pub fn tensors(&self) -> Vec<TensorDescription> {
        let mut tensors: Vec<_> =
            self.metadata.tensors().into_iter().map(|(name, info)| describe(name, info)).collect();
        tensors.sort_by(|left, right| left.name.cmp(&right.name));
        tensors
    }

    /// One tensor's description.
    ///
    /// # Errors
    /// A tensor that is not there.
    pub fn tensor(&self, name: &str) -> Result<TensorDescription, LoadError> {
        Ok(describe(name.to_owned(), self.info(name)?))
    }

    /// The stored bytes of a tensor, little-endian, in its own type.
    ///
    /// # Errors
    /// A tensor that is not there, a file that cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, LoadError> {
        let (start, end) = self.info(name)?.data_offsets;
        let mut bytes = vec![0; end - start];
        self.read(start, &mut bytes)?;
        Ok(bytes)
    }

    /// BLAKE3 of a tensor's stored bytes, in little memory.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn digest(&self, name: &str) -> Result<Digest, LoadError> {
        let mut hasher = blake3::Hasher::new();
        self.blocks(name, |block| {
            hasher.update(block);
        })?;
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Hands out a tensor's stored bytes in blocks of at most 1 MiB, in order.
    ///
    /// # Errors
    /// As [`Checkpoint::bytes`].
    pub fn blocks(&self, name: &str, mut take: impl FnMut(&[u8])) -> Result<(), LoadError> {
        let (start, end) = self.info(name)?.data_offsets;
        let mut buffer = vec![0; BLOCK.min(end - start)];
        for from in (start..end).step_by(BLOCK) {
            let size = BLOCK.min(end - from);
            if let Some(block) = buffer.get_mut(..size) {
                self.read(from, block)?;
                take(block);
            }
        }
        Ok(())
    }

    /// A tensor as floats, row-major; F16 and BF16 widen without loss.
    ///
    /// # Errors
    /// A tensor that is not there, of another type, or with an entry that is not finite.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let count = self.info(name)?.shape.iter().product();
        Ok(self.values(name, 0..count)?.into_f32())
    }

    /// Some entries of a tensor, in row-major order and the type they are stored in.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`]; a range beyond the tensor.
    pub fn values(&self, name: &str, entries: Range<usize>) -> Result<Values, LoadError> {
        let TensorInfo { dtype, shape, data_offsets: (start, _) } = self.info(name)?;
        if entries.start > entries.end || entries.end > shape.iter().product() {
            let reason = format!("tensor {name} has no entries {} to {}", entries.start, entries.end);
            return Err(LoadError::Malformed { path: self.path.clone(), reason });
        }
        let count = entries.len();
        let halves = || {
            let mut bits = vec![0u16; count];
            self.read(start + 2 * entries.start, bytemuck::cast_slice_mut(&mut bits))?;
            bits.iter_mut().for_each(|bits| *bits = u16::from_le(*bits));
            Ok::<_, LoadError>(bits)
        };
        let (values, broken) = match dtype {
            Dtype::F32 => {
                let mut bits = vec![0f32; count];
                self.read(start + 4 * entries.start, bytemuck::cast_slice_mut(&mut bits))?;
                bits.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
                let broken = bits.iter().position(|value| !value.is_finite());
                (Values::F32(bits), broken)
            }
            Dtype::F16 => {
                let bits = halves()?;
                let broken = not_finite(&bits, 0x7c00);
                (Values::F16(bits.reinterpret_into()), broken)
            }
            Dtype::BF16 => {
                let bits = halves()?;
                let broken = not_finite(&bits, 0x7f80);
                (Values::BF16(bits.reinterpret_into()), broken)
            }
            found => {
                let (path, tensor, found) = (self.path.clone(), name.to_owned(), *found);
                return Err(LoadError::UnsupportedType { path, tensor, found });
            }
        };
        let Some(place) = broken else { return Ok(values) };
        let (path, tensor, index) = (self.path.clone(), name.to_owned(), entries.start + place);
        let value = values.into_f32().get(place).copied().unwrap_or(f32::NAN);
        Err(LoadError::NotFinite { path, tensor, index, value })
    }

    /// Fills a buffer from a place in the data section.
    fn read(&self, start: usize, buffer: &mut [u8]) -> Result<(), LoadError> {
        self.file.read_exact_at(buffer, self.data_start + start as u64).map_err(|source| {
            // The size was checked when the file was opened.
            let source = match source.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(source.kind(), "it was cut short after it was opened")
                }
                _ => source,
            };
            FileError::Read { path: self.path.clone(), source }.into()
        })
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, LoadError> {
        self.metadata
            .info(name)
            .ok_or_else(|| LoadError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() })
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({}, {} tensors)", self.path.display(), self.metadata.tensors().len())
    }
}

fn describe(name: String, info: &TensorInfo) -> TensorDescription {
    let (start, end) = info.data_offsets;
    TensorDescription { name, dtype: info.dtype, shape: info.shape.clone(), bytes: end - start }
}

/// The first entry whose exponent bits are all set.
fn not_finite(bits: &[u16], exponent: u16) -> Option<usize> {
    // A search that stops at the first looks at them one by one; a block as a whole is looked at many at once.
    const AT_ONCE: usize = 1 << 14;
    let found = |bits: &u16| bits & exponent == exponent;
    let any = |block: &[u16]| block.iter().fold(false, |any, bits| any | found(bits));
    let start = bits.chunks(AT_ONCE).position(any)? * AT_ONCE;
    Some(start + bits.get(start..)?.iter().position(found)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, bytes: &[u8]) -> PathBuf {
            let path = self.0.path().join("model.safetensors");
            std::fs::write(&path, bytes).unwrap();
            path
        }

        fn tensor(&self, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Checkpoint {
            let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
            let file = safetensors::serialize([("w", view)], None).unwrap();
            Checkpoint::open(&self.file(&file)).unwrap()
        }
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn all_three_float_types_are_read() {
        let folder = Folder::new();
        let values = [1.0f32, -0.5, 1.5, 0.0, 2.0, -4.0];
        let f32s: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let f16s: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let bf16s: Vec<u8> = values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect();
        for (dtype, bytes) in [(Dtype::F32, f32s), (Dtype::F16, f16s), (Dtype::BF16, bf16s)] {
            let checkpoint = folder.tensor(dtype, &[2, 3], &bytes);
            assert_eq!(checkpoint.read_f32("w").unwrap(), values, "{dtype}");
            assert_eq!(checkpoint.bytes("w").unwrap(), bytes, "{dtype}");
            let expected =
                TensorDescription { name: "w".into(), dtype, shape: vec![2, 3], bytes: bytes.len() };
            assert_eq!(checkpoint.tensor("w").unwrap(), expected);
            assert_eq!(checkpoint.tensors(), [expected]);
        }
    }

    #[test]
    fn parts_of_a_tensor_are_read_by_themselves() {
        let folder = Folder::new();
        // More than one block, and no whole number of them.
        let values: Vec<bf16> = (0..700_001u32).map(|i| bf16::from_f32((i % 251) as f32)).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let checkpoint = folder.tensor(Dtype::BF16, &[700_001], &bytes);
        assert_eq!(checkpoint.values("w", 250..253).unwrap(), Values::BF16(values[250..253].to_vec()));
        assert_eq!(checkpoint.values("w", 7..7).unwrap(), Values::BF16(vec![]));
        assert_eq!(checkpoint.digest("w").unwrap(), Digest::blake3(&bytes));
        let mut joined = Vec::new();
        checkpoint.blocks("w", |block| joined.extend_from_slice(block)).unwrap();
        assert!(joined == bytes);
        let message = checkpoint.values("w", 700_000..700_002).unwrap_err().to_string();
        assert!(message.ends_with("tensor w has no entries 700000 to 700002"), "{message}");
    }

    #[test]
    fn a_file_cut_short_after_it_was_opened_is_an_error() {
        let folder = Folder::new();
        let checkpoint = folder.tensor(Dtype::F32, &[4], &[0; 16]);
        let file = std::fs::OpenOptions::new().write(true).open(checkpoint.path()).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let message = checkpoint.read_f32("w").unwrap_err().to_string();
        assert!(message.contains("model.safetensors") && message.contains("cut short"), "{message}");
    }

    #[test]
    fn other_types_and_names_are_refused_by_name() {
        let checkpoint = Folder::new().tensor(Dtype::I32, &[1], &[0; 4]);
        let message = checkpoint.read_f32("w").unwrap_err().to_string();
        assert!(message.starts_with("tensor w of "), "{message}");
        assert!(message.ends_with("expected type F32, F16 or BF16, found I32"), "{message}");
        let message = checkpoint.read_f32("v").unwrap_err().to_string();
        assert!(message.ends_with("model.safetensors holds no tensor v"), "{message}");
    }

    #[test]
    fn weights_that_are_not_finite_are_named() {
        let folder = Folder::new();
        let quiet = [0.0f32, 1.0, f32::NAN].map(f32::to_le_bytes).concat();
        let message = folder.tensor(Dtype::F32, &[3], &quiet).read_f32("w").unwrap_err().to_string();
        assert!(message.ends_with("entry 2 is NaN, weights must be finite"), "{message}");
        let infinite = [f16::ONE, f16::NEG_INFINITY].map(f16::to_le_bytes).concat();
        let message = folder.tensor(Dtype::F16, &[2], &infinite).read_f32("w").unwrap_err().to_string();
        assert!(message.ends_with("entry 1 is -inf, weights must be finite"), "{message}");
        let mut many = vec![bf16::ONE; 100_000];
        many[70_000] = bf16::INFINITY;
        many[70_001] = bf16::NAN;
        let bytes: Vec<u8> = many.iter().flat_map(|value| value.to_le_bytes()).collect();
        let message = folder.tensor(Dtype::BF16, &[100_000], &bytes).read_f32("w").unwrap_err().to_string();
        assert!(message.ends_with("entry 70000 is inf, weights must be finite"), "{message}");
    }

    #[test]
    fn headers_that_lie_are_refused_with_the_file_named() {
        let folder = Folder::new();
        let tensor = |shape: &str, start: usize, end: usize| {
            format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
        };
        let one = |entry: String| format!(r#"{{"a":{entry}}}"#);
        let two = |a: String, b: String| format!(r#"{{"a":{a},"b":{b}}}"#);
        for (what, bytes) in [
            ("empty", vec![]),
            ("cut length", vec![1, 0, 0]),
            ("header past the end", 1000u64.to_le_bytes().to_vec()),
            ("huge header", u64::MAX.to_le_bytes().to_vec()),
            ("not JSON", with_header("{", b"")),
            ("not UTF-8", [&2u64.to_le_bytes()[..], &[0xff, 0xff]].concat()),
            ("overlap", with_header(&two(tensor("[2]", 0, 8), tensor("[2]", 4, 12)), &[0; 12])),
            ("gap", with_header(&two(tensor("[1]", 0, 4), tensor("[1]", 8, 12)), &[0; 12])),
            ("size", with_header(&one(tensor("[3]", 0, 8)), &[0; 8])),
            ("overflow", with_header(&one(tensor("[4294967296, 4294967296, 2]", 0, 8)), &[0; 8])),
            ("backwards", with_header(&one(tensor("[1]", 4, 0)), &[0; 4])),
            ("trailing bytes", with_header(&one(tensor("[1]", 0, 4)), &[0; 5])),
            ("cut data", with_header(&one(tensor("[2]", 0, 8)), &[0; 7])),
            ("pickle", b"\x80\x02}q\x00.PK\x03\x04 and so on".to_vec()),
        ] {
            let message = match Checkpoint::open(&folder.file(&bytes)) {
                Ok(_) => panic!("{what} was accepted"),
                Err(error) => error.to_string(),
            };
            assert!(
                message.contains("model.safetensors is not a valid safetensors file: "),
                "{what}: {message}"
            );
        }
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = Folder::new();
        let message = Checkpoint::open(&folder.0.path().join("none")).unwrap_err().to_string();
        assert!(message.contains("none: No such file"), "{message}");
        let message = Checkpoint::open(folder.0.path()).unwrap_err().to_string();
        assert!(message.ends_with("is not a regular file"), "{message}");
    }
}
