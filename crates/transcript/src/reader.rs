//! Reading a finished transcript.

use std::{
    fs::{self, File},
    ops::Range,
    path::{Path, PathBuf},
};

use bytemuck::Pod;
use lorica_relation::{
    digests::{SessionDigests, SessionHasher},
    rows::{ModuleIndex, RowsError, SessionRows, StreamIndex},
    session::{Instance, ModuleShape, StreamShape},
};

use crate::{
    error::TranscriptError,
    header::{HEADER_FILE, TranscriptHeader},
    shard::{self, Layout, Tensor},
    storage::{self, io_error},
};

/// Bytes that are read at once when everything is read.
const CHUNK_BYTES: usize = 1 << 20;

/// Random access to the rows of a finished transcript; memory is what the caller asks for at once.
#[derive(Debug)]
pub struct TranscriptReader {
    header: TranscriptHeader,
    shards: Shards,
    streams: Vec<StreamShape>,
}

impl TranscriptReader {
    /// Opens the transcript in `folder` and checks its header, that the folder holds its shards and nothing else, and
    /// the size and head of every shard. The rows' digests are not recomputed: see [`check_digests`](Self::check_digests).
    pub fn open(folder: &Path) -> Result<Self, TranscriptError> {
        let header = TranscriptHeader::read(folder)?;
        if !header.completed {
            return Err(TranscriptError::NotFinished { folder: folder.to_owned(), calls: header.calls });
        }
        refuse_unexpected(folder, &header)?;
        let shards = Shards::open(folder, &header, Layout::new(&header))?;
        let streams = header
            .streams
            .iter()
            .zip(header.stream_modules())
            .map(|(stream, modules)| StreamShape { modules, width: stream.width, rows: stream.rows })
            .collect();
        Ok(Self { header, shards, streams })
    }

    /// The header.
    pub fn header(&self) -> &TranscriptHeader {
        &self.header
    }

    /// The streams, as the relation speaks of them.
    pub fn streams(&self) -> &[StreamShape] {
        &self.streams
    }

    /// The statement that this transcript makes about the modules of a manifest: they must be the header's, in order.
    pub fn instance<'a>(&'a self, modules: &'a [ModuleShape]) -> Result<Instance<'a>, TranscriptError> {
        let refuse = |field: String, expected: String, found: String| {
            Err(TranscriptError::Header { field, expected, found })
        };
        if modules.len() != self.header.modules.len() {
            let (expected, found) = (modules.len(), self.header.modules.len());
            return refuse(
                "modules".to_owned(),
                format!("the manifest's {expected} modules"),
                found.to_string(),
            );
        }
        for (index, (module, stated)) in modules.iter().zip(&self.header.modules).enumerate() {
            if module.name != stated.name || module.outputs != stated.outputs {
                return refuse(
                    format!("modules[{index}]"),
                    format!("the manifest's {} with {} outputs", module.name, module.outputs),
                    format!("{} with {} outputs", stated.name, stated.outputs),
                );
            }
        }
        for (index, stream) in self.streams.iter().enumerate() {
            for module in stream.modules.iter().filter_map(|module| modules.get(module.0)) {
                if module.inputs != stream.width {
                    return refuse(
                        format!("streams[{index}].width"),
                        format!("{}, the manifest's input width of {}", module.inputs, module.name),
                        stream.width.to_string(),
                    );
                }
            }
        }
        Ok(Instance { modules, streams: &self.streams, rows: self })
    }

    /// Reads all rows once, in fixed memory, and returns their digests.
    pub fn digests(&self) -> Result<SessionDigests, TranscriptError> {
        let mut hasher = SessionHasher::new(self.header.streams.len(), self.header.modules.len());
        self.shards.hash_into(&mut hasher)?;
        Ok(hasher.digests())
    }

    /// Recomputes all digests and compares them with those that the header states.
    pub fn check_digests(&self) -> Result<(), TranscriptError> {
        compare_digests(&self.header, &self.digests()?)
    }
}

/// Compares recomputed digests with the header's, naming the first tensor that differs.
pub(crate) fn compare_digests(
    header: &TranscriptHeader,
    found: &SessionDigests,
) -> Result<(), TranscriptError> {
    let stated = &header.digests;
    let streams =
        stated.streams.iter().zip(&found.streams).enumerate().flat_map(|(index, (stated, found))| {
            [
                (format!("inputs.{index}"), stated.inputs, found.inputs),
                (format!("exponents.{index}"), stated.exponents, found.exponents),
            ]
        });
    let modules = header.modules.iter().zip(stated.modules.iter().zip(&found.modules));
    let modules =
        modules.map(|(module, (stated, found))| (format!("deltas.{}", module.name), *stated, *found));
    match streams.chain(modules).find(|(_, stated, found)| stated != found) {
        Some((tensor, stated, found)) => {
            Err(TranscriptError::Digest { tensor, stated: stated.to_string(), found: found.to_string() })
        }
        None => Ok(()),
    }
}

/// A finished transcript's folder holds the header and the shards, nothing else: what is left over would be
/// something that no check covers.
fn refuse_unexpected(folder: &Path, header: &TranscriptHeader) -> Result<(), TranscriptError> {
    let mut expected: std::collections::BTreeSet<String> =
        (1..=header.shards.len()).map(shard::file_name).collect();
    expected.insert(HEADER_FILE.to_owned());
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        if !entry.file_name().to_str().is_some_and(|name| expected.contains(name)) {
            return Err(TranscriptError::UnexpectedFile { path: entry.path() });
        }
    }
    Ok(())
}

/// The checked shards of a transcript.
#[derive(Debug)]
pub(crate) struct Shards {
    folder: PathBuf,
    layout: Layout,
    shards: Vec<CheckedShard>,
}

#[derive(Debug)]
struct CheckedShard {
    /// Bytes of the safetensors head.
    head: u64,
    /// Rows of each stream.
    rows: Vec<u64>,
    /// For each stream the rows of all shards before.
    before: Vec<u64>,
}

impl Shards {
    pub(crate) fn open(
        folder: &Path,
        header: &TranscriptHeader,
        layout: Layout,
    ) -> Result<Self, TranscriptError> {
        let mut before = vec![0u64; layout.streams.len()];
        let mut shards = Vec::with_capacity(header.shards.len());
        for (number, listed) in (1..).zip(&header.shards) {
            let head = shard::check(folder, number, &layout, &listed.rows)?;
            shards.push(CheckedShard { head, rows: listed.rows.clone(), before: before.clone() });
            for (before, rows) in before.iter_mut().zip(&listed.rows) {
                *before = before.saturating_add(*rows);
            }
        }
        Ok(Self { folder: folder.to_owned(), layout, shards })
    }

    fn name(&self, tensor: Tensor) -> String {
        match tensor {
            Tensor::Deltas(module) => {
                format!("deltas.{}", self.layout.modules.get(module.0).map_or("?", |(name, _)| name))
            }
            Tensor::Inputs(stream) => format!("inputs.{}", stream.0),
            Tensor::Exponents(stream) => format!("exponents.{}", stream.0),
        }
    }

    /// The stream that a tensor's rows belong to, and the values in one of them.
    fn shape(&self, tensor: Tensor) -> Option<(usize, usize)> {
        match tensor {
            Tensor::Inputs(stream) => Some((stream.0, self.layout.streams.get(stream.0)?.width)),
            Tensor::Exponents(stream) => self.layout.streams.get(stream.0).map(|_| (stream.0, 1)),
            Tensor::Deltas(module) => {
                let stream =
                    self.layout.streams.iter().position(|stream| stream.modules.contains(&module))?;
                Some((stream, self.layout.outputs(module)))
            }
        }
    }

    /// Fills `buffer` with rows of a tensor, across shards.
    fn read<'a, T: Pod>(
        &self,
        tensor: Tensor,
        rows: Range<u64>,
        buffer: &'a mut Vec<T>,
    ) -> Result<&'a [T], RowsError> {
        let shape = self.shape(tensor);
        let total = shape.and_then(|(stream, _)| {
            self.shards.last().and_then(|last| last.before.get(stream)?.checked_add(*last.rows.get(stream)?))
        });
        let total = total.unwrap_or(0);
        let count = rows.end.checked_sub(rows.start).filter(|_| rows.end <= total);
        let values = count
            .and_then(|count| usize::try_from(count).ok()?.checked_mul(shape.map_or(0, |(_, width)| width)));
        let Some(values) = values else {
            return Err(RowsError::OutOfRange {
                what: self.name(tensor),
                first: rows.start,
                end: rows.end,
                rows: total,
            });
        };
        buffer.resize(values, T::zeroed());
        let Some((stream, width)) = shape else { return Ok(buffer) };

        let first = self.shards.partition_point(|shard| {
            shard
                .before
                .get(stream)
                .zip(shard.rows.get(stream))
                .is_some_and(|(before, own)| before.saturating_add(*own) <= rows.start)
        });
        let mut rest: &mut [T] = buffer;
        let mut next = rows.start;
        for (index, shard) in self.shards.iter().enumerate().skip(first) {
            if rest.is_empty() {
                break;
            }
            let own = shard.before.get(stream).zip(shard.rows.get(stream));
            let skip = own.and_then(|(before, _)| next.checked_sub(*before));
            let available = own.zip(skip).and_then(|((_, own), skip)| own.checked_sub(skip)).unwrap_or(0);
            let take = available.min(rows.end.saturating_sub(next));
            if take == 0 {
                continue;
            }
            let values = usize::try_from(take).ok().and_then(|take| take.checked_mul(width)).unwrap_or(0);
            let Some((part, remaining)) = std::mem::take(&mut rest).split_at_mut_checked(values) else {
                break;
            };
            self.read_shard(index, tensor, skip.unwrap_or(0), bytemuck::cast_slice_mut(part))?;
            rest = remaining;
            next = next.saturating_add(take);
        }
        if !rest.is_empty() {
            let (what, expected, found) =
                (self.name(tensor), format!("{} rows", rows.end), format!("{next} rows"));
            return Err(RowsError::Malformed { what, expected, found });
        }
        Ok(buffer)
    }

    /// Fills `bytes` from row `skip` of a tensor of one shard.
    fn read_shard(&self, index: usize, tensor: Tensor, skip: u64, bytes: &mut [u8]) -> Result<(), RowsError> {
        let path = self.folder.join(shard::file_name(index.saturating_add(1)));
        let what = || format!("{} of {}", self.name(tensor), path.display());
        let offset = self.shards.get(index).and_then(|shard| {
            let (offset, row_bytes) = self.layout.locate(tensor, &shard.rows)?;
            shard.head.checked_add(offset)?.checked_add(skip.checked_mul(row_bytes)?)
        });
        let Some(offset) = offset else {
            let (expected, found) = ("a tensor".to_owned(), "nothing".to_owned());
            return Err(RowsError::Malformed { what: what(), expected, found });
        };
        // A file is opened for each read: a long session has more shards than a process may hold open.
        File::open(&path)
            .and_then(|file| storage::read_exact_at(&file, bytes, offset))
            .map_err(|source| RowsError::Io { what: what(), source })
    }

    /// Hashes all rows, shard after shard.
    pub(crate) fn hash_into(&self, hasher: &mut SessionHasher) -> Result<(), TranscriptError> {
        let (mut narrow, mut wide) = (Vec::<i16>::new(), Vec::<i64>::new());
        for shard in &self.shards {
            for (index, stream) in self.layout.streams.iter().enumerate() {
                let rows = shard.before.get(index).zip(shard.rows.get(index));
                let Some((&start, &rows)) = rows else { continue };
                let end = start.saturating_add(rows);
                let id = StreamIndex(index);
                for part in chunks(start..end, stream.width.saturating_mul(2)) {
                    hasher.inputs(id, self.read(Tensor::Inputs(id), part, &mut narrow)?);
                }
                for part in chunks(start..end, 2) {
                    hasher.exponents(id, self.read(Tensor::Exponents(id), part, &mut narrow)?);
                }
                for &module in &stream.modules {
                    for part in chunks(start..end, self.layout.outputs(module).saturating_mul(8)) {
                        hasher.deltas(module, self.read(Tensor::Deltas(module), part, &mut wide)?);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Cuts a range of rows into parts of about [`CHUNK_BYTES`].
fn chunks(rows: Range<u64>, row_bytes: usize) -> impl Iterator<Item = Range<u64>> {
    let step = u64::try_from(CHUNK_BYTES.checked_div(row_bytes).unwrap_or(1)).unwrap_or(1).max(1);
    let mut next = rows.start;
    std::iter::from_fn(move || {
        let start = next;
        next = next.saturating_add(step).min(rows.end);
        (start < next).then_some(start..next)
    })
}

impl SessionRows for TranscriptReader {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.shards.read(Tensor::Inputs(stream), rows, buffer)
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.shards.read(Tensor::Exponents(stream), rows, buffer)
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        self.shards.read(Tensor::Deltas(module), rows, buffer)
    }
}
