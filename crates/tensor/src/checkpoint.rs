//! Weight files: one safetensors file, mapped into memory, its tensors read as `f32`.
//!
//! The header is checked by the safetensors crate when the file is opened: tensors that overlap, leave gaps,
//! lie about their size or run past the end never get here. Types other than F32, F16 and BF16 are listed but
//! not converted, and a NaN or an infinity is refused with its tensor and position.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{
    SafeTensors,
    tensor::{Metadata, TensorInfo},
};

use crate::files::{FileError, open_regular};

pub use safetensors::Dtype;

/// An open safetensors file.
///
/// It is mapped into memory, so it must not be changed in place or cut short while it is open: the bytes read
/// would change, or the process would end with SIGBUS. Replacing it by renaming is safe.
pub struct Checkpoint {
    path: PathBuf,
    bytes: memmap2::Mmap,
    metadata: Metadata,
    /// Where the header ends and the tensors' bytes begin.
    data_start: usize,
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
    /// Maps a file and checks its header.
    ///
    /// # Errors
    /// A file that cannot be opened or is not well-formed.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let file = open_regular(path)?;
        let bytes = map(&file).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        let (header_bytes, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| LoadError::Malformed { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), bytes, metadata, data_start: 8 + header_bytes })
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
    /// A tensor that is not there.
    pub fn bytes(&self, name: &str) -> Result<&[u8], LoadError> {
        let (start, end) = self.info(name)?.data_offsets;
        self.bytes.get(self.data_start + start..self.data_start + end).ok_or_else(|| LoadError::Malformed {
            path: self.path.clone(),
            reason: format!("tensor {name} runs past the end"),
        })
    }

    /// A tensor as floats, row-major; F16 and BF16 widen without loss.
    ///
    /// # Errors
    /// A tensor that is not there, of another type, or with an entry that is not finite.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, LoadError> {
        let bytes = self.bytes(name)?;
        let values: Vec<f32> = match self.info(name)?.dtype {
            Dtype::F32 => elements(bytes, f32::from_le_bytes),
            Dtype::F16 => elements(bytes, |element| f16::from_le_bytes(element).to_f32()),
            Dtype::BF16 => elements(bytes, |element| bf16::from_le_bytes(element).to_f32()),
            found => {
                let (path, tensor) = (self.path.clone(), name.to_owned());
                return Err(LoadError::UnsupportedType { path, tensor, found });
            }
        };
        match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => {
                let (path, tensor) = (self.path.clone(), name.to_owned());
                Err(LoadError::NotFinite { path, tensor, index, value })
            }
            None => Ok(values),
        }
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

fn elements<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().map(|&element| decode(element)).collect()
}

/// Maps a file for reading, so that weights larger than memory are paged in as they are used.
///
/// This is the crate's one unsafe call. A map is sound only while nobody writes to or truncates the file.
/// Weight files are written once and replaced by renaming, which leaves an open map alone; a person who edits
/// one in place while it is in use is outside what this can protect against.
#[allow(unsafe_code)]
fn map(file: &std::fs::File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: the map is read-only and private to this process; the condition above is stated on `Checkpoint`.
    unsafe { memmap2::Mmap::map(file) }
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
