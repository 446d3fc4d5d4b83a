//! `transcript.json`: what a transcript holds.
//!
//! The header is replaced as a whole after each shard and once more when the session finishes, so it never
//! promises a shard that is not there. Until then `completed` is false and it counts only what the shards hold.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
};

use lorica_relation::{
    digests::SessionDigests,
    rows::{FIXED_POINT_FORMAT, ModuleIndex},
};
use lorica_tensor::{
    Digest, ModuleName,
    files::{self, FileMode},
};
use serde::{Deserialize, Serialize};

use crate::error::TranscriptError;

/// The format this crate reads and writes.
pub const TRANSCRIPT_FORMAT: &str = "lorica-transcript/1";
/// Name of the header file.
pub const HEADER_FILE: &str = "transcript.json";
/// The largest header that is read, in bytes.
pub const MAX_HEADER_BYTES: u64 = 64 << 20;
/// The largest number of modules, and of streams.
pub const MAX_MODULES: usize = 4_096;
/// The largest width of a row of activations or deltas.
pub const MAX_WIDTH: usize = 65_536;
/// The largest number of shards.
pub const MAX_SHARDS: usize = 99_999;

/// Which party wrote the transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The party that owns the adapter and computed the deltas.
    Contributor,
    /// The party that owns the activations and received the deltas.
    User,
}

/// A module of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleHeader {
    /// The module's name.
    pub name: ModuleName,
    /// Values in a row of its deltas.
    pub outputs: usize,
}

/// A stream of activations and the modules that read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamHeader {
    /// The modules, in the order in which a call's answer carries their deltas.
    pub modules: Vec<ModuleName>,
    /// Values in a row of activations.
    pub width: usize,
    /// Rows in all.
    pub rows: u64,
    /// Calls in all.
    pub calls: u64,
}

/// A shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardHeader {
    /// For each stream the number of its rows in this shard.
    pub rows: Vec<u64>,
}

/// The content of `transcript.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptHeader {
    /// [`TRANSCRIPT_FORMAT`].
    pub format: String,
    /// The session's identity, from both parties' nonces.
    pub session: Digest,
    /// Digest of the pinned manifest.
    pub manifest: Digest,
    /// Who wrote this transcript.
    pub role: Role,
    /// [`FIXED_POINT_FORMAT`].
    pub fixed_point: String,
    /// Whether the session was finished: both parties agreed on counts and digests.
    pub completed: bool,
    /// Calls in all.
    pub calls: u64,
    /// All modules of the manifest, in its order.
    pub modules: Vec<ModuleHeader>,
    /// The streams.
    pub streams: Vec<StreamHeader>,
    /// The shards, in order.
    pub shards: Vec<ShardHeader>,
    /// Digests of all rows in the shards. Stated here, and so trusted by no reader: it can recompute them.
    pub digests: SessionDigests,
}

fn refuse<T>(
    field: impl Into<String>,
    expected: impl Into<String>,
    found: impl ToString,
) -> Result<T, TranscriptError> {
    Err(TranscriptError::Header { field: field.into(), expected: expected.into(), found: found.to_string() })
}

impl TranscriptHeader {
    /// Reads and checks the header of the transcript in `folder`, finished or not.
    pub fn read(folder: &Path) -> Result<Self, TranscriptError> {
        let path = Self::path(folder);
        Self::parse(&path, &files::read_at_most(&path, MAX_HEADER_BYTES)?)
    }

    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join(HEADER_FILE)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TranscriptError> {
        let header: Self = serde_json::from_slice(bytes)
            .map_err(|error| TranscriptError::Json { path: path.to_owned(), message: error.to_string() })?;
        header.check()?;
        let canonical = header
            .to_json()
            .map_err(|error| TranscriptError::Json { path: path.to_owned(), message: error.to_string() })?;
        if canonical != bytes {
            let offset = canonical.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
            return Err(TranscriptError::Json {
                path: path.to_owned(),
                message: format!(
                    "not in the form this program writes: the first difference is at byte {offset}"
                ),
            });
        }
        Ok(header)
    }

    /// The one accepted text of the header.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<(), TranscriptError> {
        files::write_atomically(&Self::path(folder), FileMode::Shared, |file| {
            file.write_all(&self.to_json()?)
        })?;
        Ok(())
    }

    /// For each stream the indices of its modules. Names that are not listed are left out; [`check`](Self::check)
    /// refuses them.
    pub(crate) fn stream_modules(&self) -> Vec<Vec<ModuleIndex>> {
        let index: std::collections::BTreeMap<_, _> = self
            .modules
            .iter()
            .enumerate()
            .map(|(index, module)| (&module.name, ModuleIndex(index)))
            .collect();
        let of_stream = |stream: &StreamHeader| {
            stream.modules.iter().filter_map(|name| index.get(name).copied()).collect()
        };
        self.streams.iter().map(of_stream).collect()
    }

    /// Checks every field against the supported sizes and against each other.
    pub fn check(&self) -> Result<(), TranscriptError> {
        if self.format != TRANSCRIPT_FORMAT {
            return refuse("format", TRANSCRIPT_FORMAT, &self.format);
        }
        if self.fixed_point != FIXED_POINT_FORMAT {
            return refuse("fixed_point", FIXED_POINT_FORMAT, &self.fixed_point);
        }
        self.check_shapes()?;
        self.check_counts()
    }

    fn check_shapes(&self) -> Result<(), TranscriptError> {
        if self.modules.is_empty() || self.modules.len() > MAX_MODULES {
            return refuse("modules", format!("1 to {MAX_MODULES} modules"), self.modules.len());
        }
        let mut unread = BTreeSet::new();
        for (index, module) in self.modules.iter().enumerate() {
            if module.outputs == 0 || module.outputs > MAX_WIDTH {
                return refuse(
                    format!("modules[{index}].outputs"),
                    format!("1 to {MAX_WIDTH}"),
                    module.outputs,
                );
            }
            if !unread.insert(&module.name) {
                return refuse(format!("modules[{index}].name"), "distinct names", &module.name);
            }
        }
        if self.streams.len() > MAX_MODULES {
            return refuse("streams", format!("at most {MAX_MODULES} streams"), self.streams.len());
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.width == 0 || stream.width > MAX_WIDTH {
                return refuse(format!("streams[{index}].width"), format!("1 to {MAX_WIDTH}"), stream.width);
            }
            if stream.modules.is_empty() {
                return refuse(format!("streams[{index}].modules"), "at least one module", "none");
            }
            for name in &stream.modules {
                if !unread.remove(name) {
                    return refuse(
                        format!("streams[{index}].modules"),
                        "modules of the list above, each in one stream only",
                        name,
                    );
                }
            }
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), TranscriptError> {
        if self.shards.len() > MAX_SHARDS {
            return refuse("shards", format!("at most {MAX_SHARDS} shards"), self.shards.len());
        }
        let mut rows = vec![0u64; self.streams.len()];
        for (index, shard) in self.shards.iter().enumerate() {
            if shard.rows.len() != rows.len() {
                return refuse(
                    format!("shards[{index}].rows"),
                    format!("{} counts", rows.len()),
                    shard.rows.len(),
                );
            }
            if shard.rows.iter().all(|&count| count == 0) {
                return refuse(format!("shards[{index}].rows"), "some rows", "none");
            }
            for (sum, &count) in rows.iter_mut().zip(&shard.rows) {
                *sum = match sum.checked_add(count) {
                    Some(sum) => sum,
                    None => {
                        return refuse(
                            format!("shards[{index}].rows"),
                            "counts whose sum fits 64 bits",
                            count,
                        );
                    }
                };
            }
        }
        let mut calls = 0u64;
        for (index, (stream, &sum)) in self.streams.iter().zip(&rows).enumerate() {
            if stream.rows != sum {
                return refuse(
                    format!("streams[{index}].rows"),
                    format!("{sum}, as its shards sum up to"),
                    stream.rows,
                );
            }
            if stream.calls > stream.rows || (stream.calls == 0) != (stream.rows == 0) {
                return refuse(
                    format!("streams[{index}].calls"),
                    format!("calls of one or more rows that make {} rows", stream.rows),
                    stream.calls,
                );
            }
            calls = calls.saturating_add(stream.calls);
        }
        if self.calls != calls {
            return refuse("calls", format!("{calls}, as the streams sum up to"), self.calls);
        }
        if self.digests.streams.len() != self.streams.len() {
            return refuse(
                "digests.streams",
                format!("{} entries", self.streams.len()),
                self.digests.streams.len(),
            );
        }
        if self.digests.modules.len() != self.modules.len() {
            return refuse(
                "digests.modules",
                format!("{} entries", self.modules.len()),
                self.digests.modules.len(),
            );
        }
        Ok(())
    }
}
