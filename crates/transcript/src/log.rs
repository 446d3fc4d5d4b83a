//! `window.log`: the calls of the current window, appended before they are acknowledged.
//!
//! A record is its payload's length (8 bytes), a BLAKE3 checksum of the payload keyed with the session's identity
//! (32 bytes), and the payload: call index (8), stream (4), rows (4), then activations, exponents and deltas, all
//! little-endian. A process that dies while it appends leaves a torn tail, which is cut when the log is reopened.
//! The log is locked for as long as a writer holds it, so that two processes never write one transcript.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
};

use lorica_relation::rows::StreamIndex;
use lorica_tensor::Digest;

use crate::{
    error::TranscriptError,
    shard::Layout,
    storage::io_error,
    writer::{Call, RecordedCall},
};

/// Name of the log file.
pub(crate) const LOG_FILE: &str = "window.log";

const PREFIX_BYTES: usize = 8 + 32;
const PAYLOAD_HEAD_BYTES: usize = 8 + 4 + 4;

/// The open log.
#[derive(Debug)]
pub(crate) struct WindowLog {
    path: PathBuf,
    file: File,
    session: Digest,
    /// Bytes of whole records.
    length: u64,
    /// A failed append could not be undone.
    broken: bool,
}

impl WindowLog {
    /// Opens the log of a session, creating it where there is none, and locks it.
    pub(crate) fn open(folder: &Path, session: Digest) -> Result<Self, TranscriptError> {
        let path = folder.join(LOG_FILE);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TranscriptError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(io_error("lock", &path)(source)),
        }
        Ok(Self { path, file, session, length: 0, broken: false })
    }

    /// Appends a call. When that fails the log is cut back, so that the call is not in it by half.
    pub(crate) fn append(&mut self, call: &Call<'_>) -> Result<(), TranscriptError> {
        let folder = || self.path.parent().unwrap_or(&self.path).to_owned();
        if self.broken {
            return Err(TranscriptError::Broken { folder: folder() });
        }
        let mut parts: Vec<&[u8]> = Vec::with_capacity(call.deltas.len().saturating_add(3));
        let mut head = call.index.to_le_bytes().to_vec();
        head.extend_from_slice(&u32::try_from(call.stream.0).unwrap_or(u32::MAX).to_le_bytes());
        head.extend_from_slice(&u32::try_from(call.exponents.len()).unwrap_or(u32::MAX).to_le_bytes());
        parts.push(&head);
        parts.push(bytemuck::cast_slice(call.inputs));
        parts.push(bytemuck::cast_slice(call.exponents));
        parts.extend(call.deltas.iter().map(|values| bytemuck::cast_slice::<i64, u8>(values)));

        let mut checksum = blake3::Hasher::new_keyed(self.session.as_bytes());
        let mut length = 0u64;
        for part in &parts {
            checksum.update(part);
            length = length.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        }
        let mut prefix = length.to_le_bytes().to_vec();
        prefix.extend_from_slice(checksum.finalize().as_bytes());

        let written = self
            .file
            .write_all(&prefix)
            .and_then(|()| parts.iter().try_for_each(|part| self.file.write_all(part)));
        if let Err(source) = written {
            self.broken = self.file.set_len(self.length).is_err();
            return Err(io_error("append to", &self.path)(source));
        }
        let prefix = u64::try_from(PREFIX_BYTES).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length).saturating_add(prefix);
        Ok(())
    }

    /// Reads every whole record, in order, and cuts a torn tail.
    pub(crate) fn replay(
        &mut self,
        layout: &Layout,
        mut each: impl FnMut(RecordedCall) -> Result<(), TranscriptError>,
    ) -> Result<(), TranscriptError> {
        let size = self.file.metadata().map_err(io_error("read", &self.path))?.len();
        let mut reader =
            BufReader::with_capacity(1 << 16, File::open(&self.path).map_err(io_error("read", &self.path))?);
        let prefix_bytes = u64::try_from(PREFIX_BYTES).unwrap_or(u64::MAX);
        self.length = 0;
        loop {
            let rest = size.saturating_sub(self.length);
            let mut length = [0; 8];
            let mut checksum = [0; 32];
            if rest < prefix_bytes {
                break;
            }
            reader.read_exact(&mut length).map_err(io_error("read", &self.path))?;
            reader.read_exact(&mut checksum).map_err(io_error("read", &self.path))?;
            let length = u64::from_le_bytes(length);
            let Some(after) = rest.saturating_sub(prefix_bytes).checked_sub(length) else { break };
            let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
            reader.read_exact(&mut payload).map_err(io_error("read", &self.path))?;
            if blake3::keyed_hash(self.session.as_bytes(), &payload) != blake3::Hash::from_bytes(checksum) {
                if after == 0 {
                    break;
                }
                return Err(self.damaged("the checksum of a record does not fit its bytes"));
            }
            let Some(call) = parse(&payload, layout) else {
                return Err(self.damaged("a record does not have the shapes of the session"));
            };
            each(call)?;
            self.length = self.length.saturating_add(prefix_bytes).saturating_add(length);
        }
        if self.length < size {
            self.file.set_len(self.length).map_err(io_error("cut the torn tail of", &self.path))?;
        }
        Ok(())
    }

    fn damaged(&self, reason: &str) -> TranscriptError {
        TranscriptError::Log { path: self.path.clone(), offset: self.length, reason: reason.to_owned() }
    }

    /// Empties the log: a shard holds its calls now.
    pub(crate) fn clear(&mut self) -> Result<(), TranscriptError> {
        self.file.set_len(0).map_err(io_error("empty", &self.path))?;
        self.length = 0;
        Ok(())
    }

    /// Removes the log.
    pub(crate) fn remove(self) -> Result<(), TranscriptError> {
        let Self { path, file, .. } = self;
        drop(file);
        fs::remove_file(&path).map_err(io_error("remove", &path))
    }
}

fn parse(payload: &[u8], layout: &Layout) -> Option<RecordedCall> {
    let (head, mut body) = payload.split_at_checked(PAYLOAD_HEAD_BYTES)?;
    let (index, rest) = head.split_first_chunk::<8>()?;
    let (stream, rest) = rest.split_first_chunk::<4>()?;
    let (rows, _) = rest.split_first_chunk::<4>()?;
    let stream = StreamIndex(usize::try_from(u32::from_le_bytes(*stream)).ok()?);
    let rows = usize::try_from(u32::from_le_bytes(*rows)).ok()?;
    let shapes = layout.streams.get(stream.0)?;
    let mut take = |count: usize, bytes: usize| -> Option<&[u8]> {
        let (part, rest) = body.split_at_checked(count.checked_mul(bytes)?)?;
        body = rest;
        Some(part)
    };
    let inputs = bytemuck::pod_collect_to_vec(take(rows.checked_mul(shapes.width)?, 2)?);
    let exponents = bytemuck::pod_collect_to_vec(take(rows, 2)?);
    let mut deltas = Vec::with_capacity(shapes.modules.len());
    for &module in &shapes.modules {
        deltas.push(bytemuck::pod_collect_to_vec(take(rows.checked_mul(layout.outputs(module))?, 8)?));
    }
    body.is_empty().then_some(RecordedCall {
        index: u64::from_le_bytes(*index),
        stream,
        inputs,
        exponents,
        deltas,
    })
}
