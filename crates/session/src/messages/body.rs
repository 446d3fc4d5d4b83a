//! Binary bodies: rows and deltas.
//!
//! All little-endian, without gaps: magic `lorica.b` (8 bytes), version (2), kind (2), stream (4), call index (8),
//! rows (4), columns (4), then the tensors. Their sizes follow from the session's shapes and the row count alone; a body
//! of any other length is refused before anything is allocated for it.
//!
//! | kind | columns | tensors |
//! |---|---|---|
//! | 1 call | width | activations int16 (rows x width), exponents int16 (rows) |
//! | 2 answer | outputs of all modules of the stream | for each module deltas int64 (rows x outputs) |
//! | 3 float check | width | activations f32 (rows x width) |
//! | 4 float answer | outputs of all modules of the stream | for each module deltas f32 (rows x outputs) |

use bytemuck::Pod;
use lorica_relation::rows::StreamIndex;

use crate::shapes::{SessionShapes, StreamShapes};

/// First bytes of every body.
pub const MAGIC: [u8; 8] = *b"lorica.b";
/// Version of the layout.
pub const VERSION: u16 = 1;
/// Bytes before the tensors.
pub const HEADER_BYTES: usize = 32;

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum BodyKind {
    /// Rows of a call.
    Call = 1,
    /// Deltas of a call.
    Answer = 2,
    /// Float rows of the diagnostic check.
    Float = 3,
    /// Float deltas of the diagnostic check.
    FloatAnswer = 4,
}

impl BodyKind {
    fn code(self) -> u16 {
        match self {
            Self::Call => 1,
            Self::Answer => 2,
            Self::Float => 3,
            Self::FloatAnswer => 4,
        }
    }
}

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It does not begin as a body does.
    #[error("not a lorica body: expected it to begin with {:?}, found {found:?}", String::from_utf8_lossy(&MAGIC))]
    Magic {
        /// The first bytes, as text.
        found: String,
    },
    /// A header field is not what it must be.
    #[error("body header, {field}: expected {expected}, found {found}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The length does not fit the header.
    #[error("body of {rows} rows: expected {expected} bytes, found {found}")]
    Length {
        /// Rows that the header states.
        rows: u32,
        /// Bytes that so many rows take.
        expected: u64,
        /// Bytes that are there.
        found: usize,
    },
    /// A float is not finite.
    #[error("float rows: expected finite values, found {found} at value {at}")]
    NotFinite {
        /// Index of the value in the tensor.
        at: usize,
        /// The value.
        found: String,
    },
}

impl BodyError {
    /// What was expected and what was found.
    pub fn parts(&self) -> (String, String) {
        match self {
            Self::Magic { found } => (String::from_utf8_lossy(&MAGIC).into_owned(), format!("{found:?}")),
            Self::Field { expected, found, .. } => (expected.clone(), found.clone()),
            Self::Length { expected, found, .. } => (format!("{expected} bytes"), format!("{found} bytes")),
            Self::NotFinite { found, .. } => ("finite values".to_owned(), found.clone()),
        }
    }
}

/// Rows of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallBody {
    /// The stream.
    pub stream: StreamIndex,
    /// Index of the call within the session.
    pub index: u64,
    /// Row-major, rows x width.
    pub inputs: Vec<i16>,
    /// One for each row.
    pub exponents: Vec<i16>,
}

/// Deltas of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerBody {
    /// The stream.
    pub stream: StreamIndex,
    /// Index of the call within the session.
    pub index: u64,
    /// For each module of the stream, row-major, rows x outputs.
    pub deltas: Vec<Vec<i64>>,
}

/// Float rows of the diagnostic check.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatBody {
    /// The stream.
    pub stream: StreamIndex,
    /// Row-major, rows x width; finite.
    pub inputs: Vec<f32>,
}

/// Float deltas of the diagnostic check.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatAnswerBody {
    /// The stream.
    pub stream: StreamIndex,
    /// For each module of the stream, row-major, rows x outputs, scaling included; finite.
    pub deltas: Vec<Vec<f32>>,
}

/// The fixed part of a body.
struct Head {
    kind: BodyKind,
    stream: StreamIndex,
    index: u64,
    rows: usize,
    columns: usize,
}

impl Head {
    fn encode<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]> + Clone) -> Vec<u8> {
        // Streams, rows and columns passed the checks of the session, which keep them within 32 bits.
        let narrow = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let data: usize = parts.clone().into_iter().map(<[u8]>::len).sum();
        let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_add(data));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.kind.code().to_le_bytes());
        bytes.extend_from_slice(&narrow(self.stream.0));
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&narrow(self.rows));
        bytes.extend_from_slice(&narrow(self.columns));
        parts.into_iter().for_each(|part| bytes.extend_from_slice(part));
        bytes
    }
}

/// A body whose header and length were checked: what is left to read are its tensors.
struct Opened<'a> {
    stream: StreamIndex,
    shapes: &'a StreamShapes,
    index: u64,
    rows: usize,
    data: &'a [u8],
}

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8], kind: BodyKind, session: &'a SessionShapes) -> Result<Self, BodyError> {
        let refuse =
            |field, expected: String, found: String| Err(BodyError::Field { field, expected, found });
        let magic = bytes.get(..MAGIC.len());
        if magic != Some(&MAGIC[..]) {
            let start: Vec<u8> = bytes.iter().take(32).copied().collect();
            return Err(BodyError::Magic { found: String::from_utf8_lossy(&start).into_owned() });
        }
        let mut head = Fields { rest: bytes.get(MAGIC.len()..).unwrap_or_default(), total: bytes.len() };
        let version = u16::from_le_bytes(head.take()?);
        if version != VERSION {
            return refuse("version", VERSION.to_string(), version.to_string());
        }
        let found = u16::from_le_bytes(head.take()?);
        if found != kind.code() {
            return refuse("kind", format!("{} ({kind:?})", kind.code()), found.to_string());
        }
        let stream = u32::from_le_bytes(head.take()?);
        let index = u64::from_le_bytes(head.take()?);
        let rows = u32::from_le_bytes(head.take()?);
        let columns = u32::from_le_bytes(head.take()?);
        let known = usize::try_from(stream).ok().and_then(|at| Some((at, session.streams.get(at)?)));
        let Some((at, shapes)) = known else {
            return refuse("stream", format!("below {}", session.streams.len()), stream.to_string());
        };
        let (expected, row_bytes) = match kind {
            BodyKind::Call => (shapes.width, shapes.call_row_bytes()),
            BodyKind::Answer => (shapes.total_outputs(), shapes.answer_row_bytes()),
            BodyKind::Float => (shapes.width, shapes.float_row_bytes()),
            BodyKind::FloatAnswer => (shapes.total_outputs(), shapes.float_answer_row_bytes()),
        };
        if usize::try_from(columns) != Ok(expected) {
            return refuse("columns", expected.to_string(), columns.to_string());
        }
        if rows == 0 {
            return refuse("rows", "at least 1".to_owned(), "0".to_owned());
        }
        let length = u64::from(rows).saturating_mul(row_bytes);
        if u64::try_from(head.rest.len()) != Ok(length) {
            let header = u64::try_from(HEADER_BYTES).unwrap_or_default();
            return Err(BodyError::Length {
                rows,
                expected: length.saturating_add(header),
                found: bytes.len(),
            });
        }
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        Ok(Self { stream: StreamIndex(at), shapes, index, rows, data: head.rest })
    }

    /// The next tensor. The length was checked, so nothing is ever missing.
    fn tensor<T: Pod>(&mut self, columns: usize) -> Vec<T> {
        let bytes = self.rows.saturating_mul(columns).saturating_mul(size_of::<T>());
        let (part, rest) = self.data.split_at_checked(bytes).unwrap_or((self.data, &[]));
        self.data = rest;
        bytemuck::pod_collect_to_vec(part)
    }

    fn tensors<T: Pod>(&mut self) -> Vec<Vec<T>> {
        let shapes = self.shapes;
        shapes.outputs.iter().map(|&outputs| self.tensor(outputs)).collect()
    }
}

struct Fields<'a> {
    rest: &'a [u8],
    total: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(BodyError::Field {
                field: "length",
                expected: format!("at least {HEADER_BYTES} bytes"),
                found: format!("{} bytes", self.total),
            });
        };
        self.rest = rest;
        Ok(*field)
    }
}

fn all_finite<'a>(values: impl IntoIterator<Item = &'a f32>) -> Result<(), BodyError> {
    match values.into_iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((at, value)) => Err(BodyError::NotFinite { at, found: value.to_string() }),
        None => Ok(()),
    }
}

fn bytes_of<T: Pod>(tensors: &[Vec<T>]) -> Vec<&[u8]> {
    tensors.iter().map(|tensor| bytemuck::cast_slice(tensor)).collect()
}

impl CallBody {
    /// The bytes of a call whose lengths were checked.
    pub fn encode(
        stream: StreamIndex,
        index: u64,
        width: usize,
        inputs: &[i16],
        exponents: &[i16],
    ) -> Vec<u8> {
        let head = Head { kind: BodyKind::Call, stream, index, rows: exponents.len(), columns: width };
        head.encode([bytemuck::cast_slice(inputs), bytemuck::cast_slice(exponents)])
    }

    /// Reads a call.
    pub fn decode(bytes: &[u8], session: &SessionShapes) -> Result<Self, BodyError> {
        let mut body = Opened::new(bytes, BodyKind::Call, session)?;
        let inputs = body.tensor(body.shapes.width);
        let exponents = body.tensor(1);
        Ok(Self { stream: body.stream, index: body.index, inputs, exponents })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.exponents.len()
    }
}

impl AnswerBody {
    /// The bytes of an answer whose lengths were checked.
    pub fn encode(
        stream: StreamIndex,
        index: u64,
        rows: usize,
        shapes: &StreamShapes,
        deltas: &[Vec<i64>],
    ) -> Vec<u8> {
        let head = Head { kind: BodyKind::Answer, stream, index, rows, columns: shapes.total_outputs() };
        head.encode(bytes_of(deltas))
    }

    /// Reads an answer.
    pub fn decode(bytes: &[u8], session: &SessionShapes) -> Result<Self, BodyError> {
        let mut body = Opened::new(bytes, BodyKind::Answer, session)?;
        Ok(Self { stream: body.stream, index: body.index, deltas: body.tensors() })
    }
}

impl FloatBody {
    /// The bytes of a float check whose lengths were checked.
    pub fn encode(stream: StreamIndex, width: usize, inputs: &[f32]) -> Vec<u8> {
        let rows = inputs.len().checked_div(width).unwrap_or(0);
        let head = Head { kind: BodyKind::Float, stream, index: 0, rows, columns: width };
        head.encode([bytemuck::cast_slice(inputs)])
    }

    /// Reads a float check.
    pub fn decode(bytes: &[u8], session: &SessionShapes) -> Result<Self, BodyError> {
        let mut body = Opened::new(bytes, BodyKind::Float, session)?;
        index_is_zero(&body)?;
        let inputs = body.tensor(body.shapes.width);
        all_finite(&inputs)?;
        Ok(Self { stream: body.stream, inputs })
    }
}

impl FloatAnswerBody {
    /// The bytes of a float answer whose lengths were checked.
    pub fn encode(stream: StreamIndex, rows: usize, shapes: &StreamShapes, deltas: &[Vec<f32>]) -> Vec<u8> {
        let head =
            Head { kind: BodyKind::FloatAnswer, stream, index: 0, rows, columns: shapes.total_outputs() };
        head.encode(bytes_of(deltas))
    }

    /// Reads a float answer.
    pub fn decode(bytes: &[u8], session: &SessionShapes) -> Result<Self, BodyError> {
        let mut body = Opened::new(bytes, BodyKind::FloatAnswer, session)?;
        index_is_zero(&body)?;
        let deltas = body.tensors();
        all_finite(deltas.iter().flatten())?;
        Ok(Self { stream: body.stream, deltas })
    }
}

fn index_is_zero(body: &Opened<'_>) -> Result<(), BodyError> {
    if body.index == 0 {
        return Ok(());
    }
    Err(BodyError::Field { field: "call index", expected: "0".to_owned(), found: body.index.to_string() })
}
