//! Access to the rows of a session, in memory or on disk.
//!
//! A session holds two kinds of tensors. Each *stream* holds the activations that one or more modules
//! share as their input (`q_proj`, `k_proj` and `v_proj` read the same rows): N token rows of `width`
//! int16 values, with one exponent a row. Each *module* holds the deltas it returned for the rows of its
//! stream: N rows of `outputs` int64 values.

use std::ops::Range;

/// The meaning of a session's integers, stated in handshakes and transcripts: activations are int16 with one power-of-two
/// exponent a row, deltas are the exact int64 products. How floats were rounded to these integers is the user's choice.
pub const FIXED_POINT_FORMAT: &str = "lorica-fixed-point/1";

/// Index of an input stream in the order of the session's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamIndex(pub usize);

/// Index of a module in the order of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleIndex(pub usize);

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The file system refused.
    #[error("cannot read {what}: {source}")]
    Io {
        /// The file and tensor that was read.
        what: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The container does not hold what its header promises.
    #[error("{what}: expected {expected}, found {found}")]
    Malformed {
        /// The file and tensor.
        what: String,
        /// What the header promises.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Rows were asked for that the session does not have.
    #[error("{what}: rows {first}..{end} asked for, {rows} are there")]
    OutOfRange {
        /// The tensor.
        what: String,
        /// First row asked for.
        first: u64,
        /// Row after the last one asked for.
        end: u64,
        /// Number of rows there are.
        rows: u64,
    },
}

/// Read access to the activations and deltas of one session.
///
/// The caller chooses how many rows to read at once, and so its memory. A source that holds its rows in
/// memory returns a slice of them; a source on disk fills `buffer` (resizing it to fit) and returns that.
pub trait SessionRows: Sync {
    /// Rows of a stream's activations, row-major, `rows.len() * width` values.
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError>;

    /// The exponent of each of a stream's rows: a row's floats are `value * 2^-exponent`.
    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError>;

    /// Rows of a module's deltas, row-major, `rows.len() * outputs` values.
    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError>;
}

/// Rows held in memory: for tests, benchmarks and short sessions.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    /// For each stream: row-major activations, the exponents, and the width.
    pub streams: Vec<MemoryStream>,
    /// For each module: row-major deltas and their width.
    pub modules: Vec<MemoryDeltas>,
}

/// The activations of one stream in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStream {
    /// Values in a row.
    pub width: usize,
    /// Row-major values.
    pub values: Vec<i16>,
    /// One exponent a row.
    pub exponents: Vec<i16>,
}

/// The deltas of one module in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryDeltas {
    /// Values in a row.
    pub width: usize,
    /// Row-major values.
    pub values: Vec<i64>,
}

fn slice_rows<'a, T>(
    what: &str,
    values: &'a [T],
    width: usize,
    rows: Range<u64>,
) -> Result<&'a [T], RowsError> {
    let bounds = || {
        let first = usize::try_from(rows.start).ok()?.checked_mul(width)?;
        let end = usize::try_from(rows.end).ok()?.checked_mul(width)?;
        values.get(first..end)
    };
    bounds().ok_or_else(|| RowsError::OutOfRange {
        what: what.to_owned(),
        first: rows.start,
        end: rows.end,
        rows: (values.len() / width.max(1)) as u64,
    })
}

fn missing(what: String) -> RowsError {
    RowsError::Malformed { what, expected: "a tensor".to_owned(), found: "nothing".to_owned() }
}

impl SessionRows for MemoryRows {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        _buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        let what = format!("inputs of stream {}", stream.0);
        let tensor = self.streams.get(stream.0).ok_or_else(|| missing(what.clone()))?;
        slice_rows(&what, &tensor.values, tensor.width, rows)
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        _buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        let what = format!("exponents of stream {}", stream.0);
        let tensor = self.streams.get(stream.0).ok_or_else(|| missing(what.clone()))?;
        slice_rows(&what, &tensor.exponents, 1, rows)
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        _buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        let what = format!("deltas of module {}", module.0);
        let tensor = self.modules.get(module.0).ok_or_else(|| missing(what.clone()))?;
        slice_rows(&what, &tensor.values, tensor.width, rows)
    }
}
