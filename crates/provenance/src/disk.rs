//! Files of a log: written to a temporary name, synced, renamed; folders synced after them; one writer at a time.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::writer::WriteError;

/// The file that a writer holds locked.
pub(crate) const LOCK_FILE: &str = ".lock";
/// Where files are written before they are renamed; emptied when a writer opens the log.
pub(crate) const STAGING_FOLDER: &str = ".staging";
/// Files that are synced at once: waiting for a disk is shared by those who wait together.
const SYNCED_AT_ONCE: usize = 64;
/// Threads that wait for the disk.
const SYNCING_THREADS: usize = 8;

/// Files that are written whole or not at all; their folders are synced together.
pub(crate) struct Files<'a> {
    folder: &'a Path,
    staging: PathBuf,
    /// Written, but neither synced nor in their place.
    staged: Vec<(NamedTempFile, PathBuf)>,
    /// Folders with new names in them.
    changed: BTreeSet<PathBuf>,
}

impl<'a> Files<'a> {
    pub(crate) fn new(folder: &'a Path) -> Result<Self, WriteError> {
        let staging = folder.join(STAGING_FOLDER);
        fs::create_dir_all(&staging).map_err(io_error(&staging))?;
        Ok(Self { folder, staging, staged: Vec::new(), changed: BTreeSet::new() })
    }

    pub(crate) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
        let path = self.folder.join(path);
        let parent = path.parent().unwrap_or(self.folder);
        self.make(parent)?;
        let mut file = NamedTempFile::new_in(&self.staging).map_err(io_error(&self.staging))?;
        file.write_all(bytes).and_then(|()| public(file.as_file())).map_err(io_error(&path))?;
        self.changed.insert(parent.to_owned());
        self.staged.push((file, path));
        if self.staged.len() < SYNCED_AT_ONCE { Ok(()) } else { self.place() }
    }

    /// Syncs the files that are staged and moves them to their places.
    fn place(&mut self) -> Result<(), WriteError> {
        let staged = std::mem::take(&mut self.staged);
        let sync = |files: &[(NamedTempFile, PathBuf)]| {
            files.iter().try_for_each(|(file, path)| file.as_file().sync_data().map_err(io_error(path)))
        };
        std::thread::scope(|scope| {
            let chunks = staged.chunks(staged.len().div_ceil(SYNCING_THREADS).max(1));
            let waiting: Vec<_> = chunks.map(|files| scope.spawn(move || sync(files))).collect();
            // A thread that panics has synced nothing.
            let died = || io_error(&self.staging)(io::Error::other("a thread that syncs files died"));
            waiting.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(died())))
        })?;
        for (file, path) in staged {
            file.persist(&path).map_err(|error| io_error(&path)(error.error))?;
        }
        Ok(())
    }

    /// Makes a folder and those above it, each a change of the one above.
    fn make(&mut self, folder: &Path) -> Result<(), WriteError> {
        if self.changed.contains(folder) || folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(self.folder);
        self.make(above)?;
        match fs::create_dir(folder) {
            Ok(()) => {
                self.changed.insert(above.to_owned());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_error(folder)(error)),
        }
    }

    /// Makes all files and their names durable.
    pub(crate) fn sync(&mut self) -> Result<(), WriteError> {
        self.place()?;
        std::mem::take(&mut self.changed).iter().try_for_each(|folder| sync_folder(folder))
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), WriteError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io_error(folder))
}

/// A temporary file is private; those of a log are for everybody the folder is for.
fn public(file: &File) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

pub(crate) fn lock(folder: &Path) -> Result<File, WriteError> {
    let path = folder.join(LOCK_FILE);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WriteError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(WriteError::Io { path, source }),
    }
}

/// Removes what a writer that was killed left behind.
pub(crate) fn clear_staging(folder: &Path) -> Result<(), WriteError> {
    let path = folder.join(STAGING_FOLDER);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io { path, source }
}
