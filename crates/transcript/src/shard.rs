//! The one accepted byte form of a shard.
//!
//! A shard is a valid safetensors file: 8 bytes of header length (little-endian), a JSON header, then the tensors
//! without gaps. Given the transcript's shapes and the shard's row counts its header is one fixed text, so a reader
//! compares instead of parsing: a shard that was renamed, reordered, padded or given other names differs, and no size
//! is ever taken from the file itself.
//!
//! For each stream with rows in the shard, in order: `deltas.<module>` (I64, rows x outputs) for each of its modules;
//! then, for each such stream, `inputs.<stream>` (I16, rows x width) and `exponents.<stream>` (I16, rows). The wider type
//! comes first so that every tensor is aligned. `__metadata__` names the format, the session and the shard's number.

use std::{
    fmt::Write as _,
    fs::File,
    path::{Path, PathBuf},
};

use lorica_relation::rows::{ModuleIndex, StreamIndex};
use lorica_tensor::Digest;

use crate::{
    error::TranscriptError,
    header::{TRANSCRIPT_FORMAT, TranscriptHeader},
    storage,
};

/// A tensor of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tensor {
    /// Deltas of a module.
    Deltas(ModuleIndex),
    /// Activations of a stream.
    Inputs(StreamIndex),
    /// Exponents of a stream's rows.
    Exponents(StreamIndex),
}

/// Name of the shard with the given number; the first is 1.
pub fn file_name(number: usize) -> String {
    format!("rows-{number:05}.safetensors")
}

/// The shapes of a session, as shards need them.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) session: Digest,
    /// Name and outputs of each module.
    pub(crate) modules: Vec<(String, usize)>,
    pub(crate) streams: Vec<StreamLayout>,
}

#[derive(Debug, Clone)]
pub(crate) struct StreamLayout {
    pub(crate) width: usize,
    pub(crate) modules: Vec<ModuleIndex>,
}

/// One tensor of one shard.
struct Entry {
    tensor: Tensor,
    rows: u64,
    /// Bytes of a row.
    row_bytes: u64,
}

impl Layout {
    pub(crate) fn new(header: &TranscriptHeader) -> Self {
        let modules = header.modules.iter().map(|module| (module.name.to_string(), module.outputs)).collect();
        let streams = header
            .streams
            .iter()
            .zip(header.stream_modules())
            .map(|(stream, modules)| StreamLayout { width: stream.width, modules })
            .collect();
        Self { session: header.session, modules, streams }
    }

    pub(crate) fn outputs(&self, module: ModuleIndex) -> usize {
        self.modules.get(module.0).map_or(0, |(_, outputs)| *outputs)
    }

    /// Raw bytes that `rows` rows of a stream take with all deltas; `None` beyond 64 bits.
    pub(crate) fn data_bytes(&self, stream: &StreamLayout, rows: u64) -> Option<u64> {
        let outputs: usize = stream.modules.iter().map(|&module| self.outputs(module)).sum();
        let row = outputs.checked_mul(8)?.checked_add(stream.width.checked_mul(2)?)?.checked_add(2)?;
        u64::try_from(row).ok()?.checked_mul(rows)
    }

    /// The tensors of a shard with these row counts, in order.
    fn entries<'a>(&'a self, rows: &'a [u64]) -> impl Iterator<Item = Entry> + 'a {
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let present = || self.streams.iter().zip(rows).enumerate().filter(|(_, (_, rows))| **rows > 0);
        let deltas = present().flat_map(move |(_, (stream, &rows))| {
            stream.modules.iter().map(move |&module| {
                let row_bytes = wide(self.outputs(module)).saturating_mul(8);
                Entry { tensor: Tensor::Deltas(module), rows, row_bytes }
            })
        });
        let inputs = present().flat_map(move |(index, (stream, &rows))| {
            let row_bytes = wide(stream.width).saturating_mul(2);
            [
                Entry { tensor: Tensor::Inputs(StreamIndex(index)), rows, row_bytes },
                Entry { tensor: Tensor::Exponents(StreamIndex(index)), rows, row_bytes: 2 },
            ]
        });
        deltas.chain(inputs)
    }

    /// The first bytes of the shard: length and JSON header, padded with spaces to a multiple of 8; and the bytes of
    /// the whole file. `None` beyond 64 bits.
    pub(crate) fn head(&self, number: usize, rows: &[u64]) -> Option<(Vec<u8>, u64)> {
        let mut json = format!(
            r#"{{"__metadata__":{{"format":"{TRANSCRIPT_FORMAT}","session":"{}","shard":"{number}"}}"#,
            self.session
        );
        let mut offset = 0u64;
        for Entry { tensor, rows, row_bytes } in self.entries(rows) {
            let end = offset.checked_add(rows.checked_mul(row_bytes)?)?;
            let (name, kind, shape) = match tensor {
                Tensor::Deltas(module) => {
                    let (name, outputs) = self.modules.get(module.0)?;
                    (format!("deltas.{name}"), "I64", format!("{rows},{outputs}"))
                }
                Tensor::Inputs(StreamIndex(index)) => {
                    (format!("inputs.{index}"), "I16", format!("{rows},{}", self.streams.get(index)?.width))
                }
                Tensor::Exponents(StreamIndex(index)) => {
                    (format!("exponents.{index}"), "I16", rows.to_string())
                }
            };
            // Writing to a string cannot fail; module names hold nothing that JSON would escape.
            write!(
                json,
                r#","{name}":{{"dtype":"{kind}","shape":[{shape}],"data_offsets":[{offset},{end}]}}"#
            )
            .ok()?;
            offset = end;
        }
        json.push('}');
        while json.len() % 8 != 0 {
            json.push(' ');
        }
        let length = u64::try_from(json.len()).ok()?;
        let mut head = length.to_le_bytes().to_vec();
        head.extend_from_slice(json.as_bytes());
        Some((head, length.checked_add(8)?.checked_add(offset)?))
    }

    /// Where in a shard with these row counts the data of a tensor begins, counted from the end of the shard's head,
    /// and the bytes of one of its rows.
    pub(crate) fn locate(&self, tensor: Tensor, rows: &[u64]) -> Option<(u64, u64)> {
        let mut offset = 0u64;
        for entry in self.entries(rows) {
            if entry.tensor == tensor {
                return Some((offset, entry.row_bytes));
            }
            offset = offset.checked_add(entry.rows.checked_mul(entry.row_bytes)?)?;
        }
        None
    }
}

/// Checks size and head of a shard, and returns the length of the head.
pub(crate) fn check(
    folder: &Path,
    number: usize,
    layout: &Layout,
    rows: &[u64],
) -> Result<u64, TranscriptError> {
    let path: PathBuf = folder.join(file_name(number));
    let shard = |what, expected, found| TranscriptError::Shard { path: path.clone(), what, expected, found };
    let too_large = || shard("size", "rows that fit 64 bits of bytes".to_owned(), "more".to_owned());
    let (head, size) = layout.head(number, rows).ok_or_else(too_large)?;
    let file = File::open(&path).map_err(storage::io_error("open", &path))?;
    let metadata = file.metadata().map_err(storage::io_error("open", &path))?;
    if !metadata.is_file() {
        return Err(shard("kind", "a file".to_owned(), "something else".to_owned()));
    }
    if metadata.len() != size {
        return Err(shard("size in bytes", size.to_string(), metadata.len().to_string()));
    }
    let mut found = vec![0; head.len()];
    storage::read_exact_at(&file, &mut found, 0).map_err(storage::io_error("read", &path))?;
    if found != head {
        let at = found.iter().zip(&head).take_while(|(found, expected)| found == expected).count();
        return Err(shard("header", excerpt(&head, at), excerpt(&found, at)));
    }
    u64::try_from(head.len()).map_err(|_| too_large())
}

/// Text around a byte, so that a person sees which tensor differs.
fn excerpt(bytes: &[u8], at: usize) -> String {
    let start = at.saturating_sub(48).max(8);
    let text: Vec<u8> = bytes.iter().skip(start).take(96).copied().collect();
    format!("{:?} from byte {start}", String::from_utf8_lossy(&text))
}
