//! Writing a transcript: call after call, in bounded memory, without losing an accepted call to a crash.
//!
//! Order of writes, and what a crash between two of them leaves:
//!
//! 1. a call is appended to the window log, then acknowledged: a torn record was never acknowledged;
//! 2. a full window becomes a shard (whole or not there at all), *before* the call that would overflow it is
//!    appended: a shard that the header does not list is written again from the log;
//! 3. the header lists the shard: from now on the log's calls, told by their index, are skipped on replay;
//! 4. the log is emptied.
//!
//! Because a window is flushed only when the next call comes, the last call is always in memory and in the log: it can
//! be answered again after a lost response or a restart.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use lorica_relation::{
    digests::{SessionDigests, SessionHasher},
    rows::{FIXED_POINT_FORMAT, ModuleIndex, StreamIndex},
};
use lorica_tensor::{
    Digest,
    files::{self, FileMode},
};

use crate::{
    error::TranscriptError,
    header::{ModuleHeader, Role, ShardHeader, StreamHeader, TRANSCRIPT_FORMAT, TranscriptHeader},
    log::WindowLog,
    reader::Shards,
    shard::{self, Layout},
    storage::io_error,
    window::Window,
};

/// Raw bytes of a window where the caller has no reason to choose others.
pub const DEFAULT_WINDOW_BYTES: u64 = 64 << 20;

/// What a new transcript is about.
#[derive(Debug, Clone)]
pub struct TranscriptPlan {
    /// The session's identity.
    pub session: Digest,
    /// Digest of the pinned manifest.
    pub manifest: Digest,
    /// Who writes.
    pub role: Role,
    /// All modules of the manifest, in its order.
    pub modules: Vec<ModuleHeader>,
    /// The streams.
    pub streams: Vec<StreamPlan>,
}

/// A stream of a new transcript.
#[derive(Debug, Clone)]
pub struct StreamPlan {
    /// The modules that read it.
    pub modules: Vec<ModuleIndex>,
    /// Values in a row of activations.
    pub width: usize,
}

/// One call: rows of activations and the deltas of every module of their stream.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The stream the rows belong to.
    pub stream: StreamIndex,
    /// Index of the call within the session; calls are consecutive from 0.
    pub index: u64,
    /// Row-major, rows x width.
    pub inputs: &'a [i16],
    /// One for each row.
    pub exponents: &'a [i16],
    /// For each module of the stream, in the stream's order, row-major, rows x outputs.
    pub deltas: &'a [Vec<i64>],
}

/// A call read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// The stream the rows belong to.
    pub stream: StreamIndex,
    /// Index of the call within the session.
    pub index: u64,
    /// Row-major, rows x width.
    pub inputs: Vec<i16>,
    /// One for each row.
    pub exponents: Vec<i16>,
    /// For each module of the stream, in the stream's order, row-major, rows x outputs.
    pub deltas: Vec<Vec<i64>>,
}

impl RecordedCall {
    /// The call, borrowed.
    pub fn as_call(&self) -> Call<'_> {
        let Self { stream, index, inputs, exponents, deltas } = self;
        Call { stream: *stream, index: *index, inputs, exponents, deltas }
    }
}

/// Writes one transcript.
#[derive(Debug)]
pub struct TranscriptWriter {
    folder: PathBuf,
    layout: Layout,
    /// What is on disk.
    header: TranscriptHeader,
    hasher: SessionHasher,
    window: Window,
    window_bytes: u64,
    log: WindowLog,
    calls: u64,
}

impl TranscriptWriter {
    /// Starts a transcript in a new or empty folder. At most `window_bytes` of rows are held in memory, and in a shard.
    pub fn create(folder: &Path, plan: &TranscriptPlan, window_bytes: u64) -> Result<Self, TranscriptError> {
        let hasher = SessionHasher::new(plan.streams.len(), plan.modules.len());
        let name = |module: &ModuleIndex| plan.modules.get(module.0).map(|module| module.name.clone());
        let mut streams = Vec::with_capacity(plan.streams.len());
        for (index, stream) in plan.streams.iter().enumerate() {
            let modules = stream.modules.iter().map(name).collect::<Option<Vec<_>>>().ok_or_else(|| {
                TranscriptError::Header {
                    field: format!("streams[{index}].modules"),
                    expected: format!("indices of the {} modules", plan.modules.len()),
                    found: format!("{:?}", stream.modules),
                }
            })?;
            streams.push(StreamHeader { modules, width: stream.width, rows: 0, calls: 0 });
        }
        let header = TranscriptHeader {
            format: TRANSCRIPT_FORMAT.to_owned(),
            session: plan.session,
            manifest: plan.manifest,
            role: plan.role,
            fixed_point: FIXED_POINT_FORMAT.to_owned(),
            completed: false,
            calls: 0,
            modules: plan.modules.clone(),
            streams,
            shards: Vec::new(),
            digests: hasher.digests(),
        };
        header.check()?;
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let mut entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
        if entries.next().is_some() {
            return Err(TranscriptError::NotEmpty { path: folder.to_owned() });
        }
        let log = WindowLog::open(folder, header.session)?;
        header.write(folder)?;
        let layout = Layout::new(&header);
        let window = Window::new(&layout);
        Ok(Self { folder: folder.to_owned(), layout, header, hasher, window, window_bytes, log, calls: 0 })
    }

    /// Opens an unfinished transcript again: hashes its shards, checks them, and replays the window log.
    pub fn resume(folder: &Path, window_bytes: u64) -> Result<Self, TranscriptError> {
        let header = TranscriptHeader::read(folder)?;
        if header.completed {
            return Err(TranscriptError::Finished { folder: folder.to_owned(), calls: header.calls });
        }
        let mut log = WindowLog::open(folder, header.session)?;
        let layout = Layout::new(&header);
        remove_unlisted(folder, &header)?;
        let mut hasher = SessionHasher::new(layout.streams.len(), layout.modules.len());
        let shards = Shards::open(folder, &header, layout.clone())?;
        shards.hash_into(&mut hasher)?;
        crate::reader::compare_digests(&header, &hasher.digests())?;

        let mut window = Window::new(&layout);
        let mut calls = header.calls;
        log.replay(&layout, |call| {
            if call.index < header.calls {
                return Ok(());
            }
            let call = call.as_call();
            let bytes = check_call(&layout, calls, &call)?;
            push(&layout, &mut window, &mut hasher, &call, bytes);
            calls = calls.saturating_add(1);
            Ok(())
        })?;
        Ok(Self { folder: folder.to_owned(), layout, header, hasher, window, window_bytes, log, calls })
    }

    /// The folder of the transcript.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Calls accepted so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Rows accepted so far, for each stream.
    pub fn rows(&self) -> Vec<u64> {
        self.header
            .streams
            .iter()
            .zip(self.window.rows())
            .map(|(stream, rows)| stream.rows.saturating_add(rows))
            .collect()
    }

    /// The last call, for as long as no other was accepted: what a repeated request is answered from.
    pub fn last_call(&self) -> Option<RecordedCall> {
        self.window.last_call(&self.layout)
    }

    /// Digests of all rows accepted so far.
    pub fn digests(&self) -> SessionDigests {
        self.hasher.digests()
    }

    /// Accepts a call. When it returns, a crash of the process no longer loses the call; when it fails, nothing of the
    /// call is kept and the same call can be tried again.
    pub fn append_call(&mut self, call: &Call<'_>) -> Result<(), TranscriptError> {
        let bytes = check_call(&self.layout, self.calls, call)?;
        if bytes > self.window_bytes {
            return Err(TranscriptError::Call {
                index: call.index,
                what: "size of its rows",
                expected: format!(
                    "at most the {} bytes of a window; send fewer rows in a call",
                    self.window_bytes
                ),
                found: format!("{bytes} bytes"),
            });
        }
        if !self.window.is_empty() && self.window.bytes.saturating_add(bytes) > self.window_bytes {
            self.flush()?;
        }
        self.log.append(call)?;
        push(&self.layout, &mut self.window, &mut self.hasher, call, bytes);
        self.calls = self.calls.saturating_add(1);
        Ok(())
    }

    /// Makes the window a shard.
    fn flush(&mut self) -> Result<(), TranscriptError> {
        let number = self.header.shards.len().saturating_add(1);
        let rows = self.window.rows();
        let mut header = self.header.clone();
        for ((stream, rows), calls) in header.streams.iter_mut().zip(&rows).zip(self.window.calls()) {
            stream.rows = stream.rows.saturating_add(*rows);
            stream.calls = stream.calls.saturating_add(calls);
        }
        header.calls = self.calls;
        header.digests = self.hasher.digests();
        let head = self.layout.head(number, &rows);
        header.shards.push(ShardHeader { rows });
        header.check()?;
        files::write_atomically(&self.folder.join(shard::file_name(number)), FileMode::Shared, |file| {
            let (head, _) =
                head.ok_or_else(|| std::io::Error::other("the window is too large for a shard"))?;
            file.write_all(&head)?;
            self.window.write_to(&self.layout, file)
        })?;
        header.write(&self.folder)?;
        // From here on the shard is part of the transcript; a log that cannot be emptied is skipped on replay.
        self.header = header;
        self.window.clear();
        self.log.clear()
    }

    /// Writes what is left, and the header that calls the transcript completed.
    pub fn finish(mut self) -> Result<TranscriptHeader, TranscriptError> {
        if !self.window.is_empty() {
            self.flush()?;
        }
        let mut header = self.header;
        header.completed = true;
        self.log.remove()?;
        header.write(&self.folder)?;
        Ok(header)
    }
}

fn push(layout: &Layout, window: &mut Window, hasher: &mut SessionHasher, call: &Call<'_>, bytes: u64) {
    let modules = layout.streams.get(call.stream.0).map_or(&[][..], |stream| &stream.modules);
    hasher.inputs(call.stream, call.inputs);
    hasher.exponents(call.stream, call.exponents);
    for (module, values) in modules.iter().zip(call.deltas) {
        hasher.deltas(*module, values);
    }
    window.push(call, modules, bytes);
}

/// Checks a call against the shapes of the session, and returns the raw bytes of its rows.
fn check_call(layout: &Layout, next: u64, call: &Call<'_>) -> Result<u64, TranscriptError> {
    let refuse = |what, expected: String, found: String| {
        Err(TranscriptError::Call { index: call.index, what, expected, found })
    };
    if call.index != next {
        return refuse("index", next.to_string(), call.index.to_string());
    }
    let Some(stream) = layout.streams.get(call.stream.0) else {
        return refuse("stream", format!("one of {}", layout.streams.len()), call.stream.0.to_string());
    };
    let rows = call.exponents.len();
    if rows == 0 || u32::try_from(rows).is_err() {
        return refuse("rows", "1 to 4294967295".to_owned(), rows.to_string());
    }
    if rows.checked_mul(stream.width) != Some(call.inputs.len()) {
        return refuse(
            "activations",
            format!("{rows} rows of {}", stream.width),
            call.inputs.len().to_string(),
        );
    }
    if call.deltas.len() != stream.modules.len() {
        return refuse("modules", stream.modules.len().to_string(), call.deltas.len().to_string());
    }
    for (&module, values) in stream.modules.iter().zip(call.deltas) {
        let outputs = layout.outputs(module);
        if rows.checked_mul(outputs) != Some(values.len()) {
            return refuse("deltas", format!("{rows} rows of {outputs}"), values.len().to_string());
        }
    }
    match u64::try_from(rows).ok().and_then(|rows| layout.data_bytes(stream, rows)) {
        Some(bytes) => Ok(bytes),
        None => refuse("rows", "rows that fit 64 bits of bytes".to_owned(), rows.to_string()),
    }
}

/// Removes what a crash may have left: unfinished files, and the one shard that the header does not list yet.
fn remove_unlisted(folder: &Path, header: &TranscriptHeader) -> Result<(), TranscriptError> {
    let next = shard::file_name(header.shards.len().saturating_add(1));
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let path = entry.map_err(io_error("list", folder))?.path();
        if files::is_partial(&path) || path.file_name().is_some_and(|name| name == next.as_str()) {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}
