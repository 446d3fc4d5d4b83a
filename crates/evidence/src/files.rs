//! The files of a bundle: their names, how long each may be, and how they are written whole or not at all.

use std::{
    fs::{File, Permissions},
    io::{self, BufWriter, Read as _, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use crate::error::{WriteError, io_error};

/// The transcript.
pub const TRANSCRIPT: &str = "evidence.ndjson";
/// The signed list of files.
pub const BUNDLE: &str = "bundle.json";
/// The report.
pub const REPORT: &str = "report.html";
/// The folder of the challenge families.
pub const FAMILIES: &str = "families";
/// The key of the challenges while the run goes on; mode 0600, gone when the run has ended.
pub const SECRET: &str = "challenge-key.secret";

/// The longest line of a transcript, in bytes.
pub(crate) const LINE_LIMIT: u64 = 64 << 20;
/// The longest other file, in bytes.
pub(crate) const FILE_LIMIT: u64 = 16 << 20;
/// The longest `bundle.json`, in bytes.
pub(crate) const BUNDLE_LIMIT: u64 = 256 << 10;
/// The most family files.
pub(crate) const FAMILY_LIMIT: usize = 256;

const PARTIAL_PREFIX: &str = ".lorica-";
const PARTIAL_SUFFIX: &str = ".partial";

/// The name of a candidate's plot.
pub(crate) fn plot_name(candidate: usize) -> String {
    format!("interval-{candidate}.svg")
}

/// Whether this is the temporary name of a file that a killed process left behind.
pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX)
}

/// Writes a file whole or not at all: under another name, synced, renamed, and the folder synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let temporary = write_temporary(path, 0o666, |file| file.write_all(bytes))?;
    temporary.persist(path).map_err(|error| io_error("write", path)(error.error))?;
    sync_folder(path)
}

/// Writes a new file that nobody else can read, whole or not at all.
pub(crate) fn create_secret(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let temporary = write_temporary(path, 0o600, write)?;
    temporary.persist_noclobber(path).map_err(|error| io_error("create", path)(error.error))?;
    sync_folder(path)
}

fn write_temporary(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<NamedTempFile, WriteError> {
    let fail = io_error("write", path);
    let make = || {
        let temporary = tempfile::Builder::new()
            .prefix(PARTIAL_PREFIX)
            .suffix(PARTIAL_SUFFIX)
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder_of(path))?;
        let mut writer = BufWriter::new(temporary.as_file());
        let written = write(&mut writer).and_then(|()| writer.flush());
        // Without this the writer would try to flush again when it is dropped.
        let _ = writer.into_parts();
        written?;
        temporary.as_file().sync_all()?;
        Ok(temporary)
    };
    make().map_err(fail)
}

/// A rename is durable only once the folder is on disk.
pub(crate) fn sync_folder(path: &Path) -> Result<(), WriteError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync", folder))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Reads at most `limit` bytes; [`None`] where there are more.
pub(crate) fn read_at_most(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((length <= limit).then_some(bytes))
}
