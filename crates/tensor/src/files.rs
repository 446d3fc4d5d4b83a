//! Files written whole or not at all, and files read up to a stated size.
//!
//! A file is written under a temporary name in its own folder, synced, and renamed; the folder is synced
//! after that. Whoever opens the final name sees the old content or the complete new one, and an error
//! or a full disk leaves nothing behind.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

const PARTIAL_PREFIX: &str = ".lorica-";
const PARTIAL_SUFFIX: &str = ".partial";

/// What the closure of [`write_atomically`] writes to: buffered, and seekable for formats whose header comes last.
pub type Writer<'a> = BufWriter<&'a File>;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileMode {
    /// What the process's umask leaves of 0666.
    Shared,
    /// 0600 from the moment the file exists: for secrets and private weights.
    Secret,
}

/// Why a file was not read or written. Every message names the path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refused to open or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file system refused to create, write or sync; no partial file was left behind.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is there and must not be replaced.
    #[error("{} exists already and is not replaced: choose another path or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A folder, device or pipe where a file was expected.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than anything that could be valid there.
    #[error("{} is larger than {limit} bytes, the most that is read there", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
}

/// Writes a file whole or not at all, replacing what was there.
///
/// # Errors
/// Whatever `write` returns or the file system says, with the path; the old file, if any, is then untouched.
pub fn write_atomically(
    path: &Path,
    mode: FileMode,
    write: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
) -> Result<(), FileError> {
    let temporary = write_temporary(path, mode, write)?;
    temporary.persist(path).map_err(|error| write_error(path, error.error))?;
    sync_folder(path)
}

/// Like [`write_atomically`], but refuses when the file exists: for secrets, whose loss cannot be repaired.
pub fn create_atomically(
    path: &Path,
    mode: FileMode,
    write: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
) -> Result<(), FileError> {
    let exists = || FileError::Exists { path: path.to_owned() };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let temporary = write_temporary(path, mode, write)?;
    temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => exists(),
        _ => write_error(path, error.error),
    })?;
    sync_folder(path)
}

/// Whether this is the temporary name of a file that a killed process left unfinished: safe to remove once no other
/// process writes to the folder.
pub fn is_partial(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PARTIAL_PREFIX) && name.ends_with(PARTIAL_SUFFIX))
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// A missing or unreadable file, something that is not a regular file, or a file larger than `limit`.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open_regular(path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows a file that is too large, even one that grows while it is read.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|source| read_error(path, source))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// Opens a regular file (or a link to one) for reading. A pipe is refused without waiting for its writer.
pub(crate) fn open_regular(path: &Path) -> Result<File, FileError> {
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(|source| read_error(path, source))
}

fn write_temporary(
    path: &Path,
    mode: FileMode,
    write: impl FnOnce(&mut Writer<'_>) -> io::Result<()>,
) -> Result<NamedTempFile, FileError> {
    let bits = match mode {
        FileMode::Shared => 0o666,
        FileMode::Secret => 0o600,
    };
    // Dropping the NamedTempFile on any error below removes it.
    let temporary = tempfile::Builder::new()
        .prefix(PARTIAL_PREFIX)
        .suffix(PARTIAL_SUFFIX)
        .permissions(Permissions::from_mode(bits))
        .tempfile_in(folder_of(path))
        .map_err(|source| write_error(path, source))?;
    let mut writer = BufWriter::new(temporary.as_file());
    let written = write(&mut writer).and_then(|()| writer.flush());
    // Without this the writer would try to flush again when it is dropped.
    let _ = writer.into_parts();
    written.and_then(|()| temporary.as_file().sync_all()).map_err(|source| write_error(path, source))?;
    Ok(temporary)
}

/// The rename itself is durable only once the folder is on disk.
fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|source| write_error(path, source))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn read_error(path: &Path, source: io::Error) -> FileError {
    FileError::Read { path: path.to_owned(), source }
}

fn write_error(path: &Path, source: io::Error) -> FileError {
    FileError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn writes_whole_files_and_replaces_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for text in ["first", "second, longer"] {
            write_atomically(&path, FileMode::Shared, |w| w.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_header_can_be_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, FileMode::Shared, |w| {
            w.write_all(b"____body")?;
            w.seek(SeekFrom::Start(0))?;
            w.write_all(b"head")
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"headbody");
    }

    #[test]
    fn an_error_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let full = |w: &mut Writer<'_>| {
            w.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = write_atomically(&path, FileMode::Shared, full).unwrap_err();
        assert!(names(folder.path()).is_empty());
        let message = error.to_string();
        assert!(
            message.contains(&path.display().to_string()) && message.contains("no storage space"),
            "{message}"
        );

        fs::write(&path, "old").unwrap();
        write_atomically(&path, FileMode::Shared, full).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn secrets_are_private_while_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let mut during = 0;
        create_atomically(&path, FileMode::Secret, |w| {
            let partial = folder.path().join(&names(folder.path())[0]);
            assert!(is_partial(&partial) && !is_partial(&path));
            during = mode(&partial);
            w.write_all(b"x")
        })
        .unwrap();
        assert_eq!((during, mode(&path)), (0o600, 0o600));

        let error = create_atomically(&path, FileMode::Secret, |w| w.write_all(b"y")).unwrap_err();
        assert!(matches!(error, FileError::Exists { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/such/file");
        let message = write_atomically(&path, FileMode::Shared, |_| Ok(())).unwrap_err().to_string();
        assert!(message.starts_with("cannot write ") && message.contains("no/such/file"), "{message}");
    }

    #[test]
    fn reading_is_bounded_and_only_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_at_most(&path, 5).unwrap(), b"12345");
        let message = read_at_most(&path, 4).unwrap_err().to_string();
        assert!(message.ends_with("is larger than 4 bytes, the most that is read there"), "{message}");
        assert!(matches!(read_at_most(folder.path(), 4), Err(FileError::NotAFile { .. })));
        let message = read_at_most(&folder.path().join("b"), 4).unwrap_err().to_string();
        assert!(message.starts_with("cannot read ") && message.contains("No such file"), "{message}");
    }
}
