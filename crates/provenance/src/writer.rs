//! Appending to a log: one writer at a time, and a batch counts wholly or not at all.
//!
//! Entries and tiles are written first, each to a temporary file that is synced and renamed; then the folders they stand
//! in are synced; the signed checkpoint comes last, in the same way. Whatever happens before that, the old checkpoint stands,
//! and everything it covers: no file that it needs is ever replaced. What a crash leaves beyond it is not part of the log,
//! and the next batch writes over it.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    disk::{Files, LOCK_FILE, STAGING_FOLDER, clear_staging, io_error, lock, sync_folder},
    event::{Event, EventError},
    hash::Hash,
    key::LogSigner,
    reader::{CHECKPOINT_FILE, LogReader, ReadError},
    tile::{self, Row, TILE_LEVELS, TILE_WIDTH, Tile},
    tree::Frontier,
};

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A new log where there is something already.
    #[error("{} is not empty: a new log needs a new or an empty folder", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else is appending.
    #[error("{} is locked: another program is appending to this log", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// What is there cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tiles at the end of the log do not give the root that was signed.
    #[error(
        "the tiles of {} do not give the root that was signed for its {size} entries: nothing is appended to a log that \
         was changed; `verify` names the place", path.display()
    )]
    Changed {
        /// The folder.
        path: PathBuf,
        /// Entries.
        size: u64,
    },
    /// An event of the batch.
    #[error("event {position} of the batch: {source}; none of the batch was appended")]
    Event {
        /// Its position in the batch, from 0.
        position: usize,
        /// What is wrong.
        source: EventError,
    },
    /// The file system. The log is what it was before.
    #[error("cannot write {}: {source}; the log is as it was before", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The head.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An earlier batch failed.
    #[error("an earlier batch failed: open the log again")]
    Broken,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The index of the first entry of the batch.
    pub first: u64,
    /// The new head.
    pub checkpoint: SignedCheckpoint,
}

/// The one writer of a log.
#[derive(Debug)]
pub struct LogWriter {
    reader: LogReader,
    signer: LogSigner,
    edge: Edge,
    head: SignedCheckpoint,
    broken: bool,
    // Held as long as the writer lives.
    _lock: File,
}

impl LogWriter {
    /// Makes a log without entries, and signs its empty head. The folder must be new or empty.
    ///
    /// # Errors
    /// A folder that holds something, the file system.
    pub fn create(folder: &Path, signer: LogSigner) -> Result<Self, WriteError> {
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let mut entries = fs::read_dir(folder).map_err(io_error(folder))?;
        // A lock or an empty staging folder may be what a crash left before there was a log.
        let own = |name: &std::ffi::OsStr| name == LOCK_FILE || name == STAGING_FOLDER;
        if entries.any(|entry| entry.map_or(true, |entry| !own(&entry.file_name()))) {
            return Err(WriteError::Occupied { path: folder.to_owned() });
        }
        let lock = lock(folder)?;
        let origin = signer.verifier().name().clone();
        let head = Checkpoint { origin, size: 0, root: Hash::empty() }.sign(&signer)?;
        let mut files = Files::new(folder)?;
        files.write(Path::new(CHECKPOINT_FILE), head.to_string().as_bytes())?;
        files.sync()?;
        // The folder's own name; one that is named by itself stands in the current folder.
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new(".")))?;
        Ok(Self {
            reader: LogReader::new(folder),
            signer,
            edge: Edge::default(),
            head,
            broken: false,
            _lock: lock,
        })
    }

    /// Opens a log to append to it. The tiles at its end must give the root that `signer` has signed.
    ///
    /// # Errors
    /// A log that somebody else writes to, that another key signed, that was changed, or that cannot be read.
    pub fn open(folder: &Path, signer: LogSigner) -> Result<Self, WriteError> {
        let reader = LogReader::new(folder);
        // Before the lock, which would make a file in a folder that is no log.
        reader.checkpoint(signer.verifier())?;
        let lock = lock(folder)?;
        // Again: it may have moved before the lock was ours.
        let head = reader.checkpoint(signer.verifier())?;
        let Checkpoint { size, root, .. } = *head.checkpoint();
        let edge = Edge::read(&reader, size)?;
        if edge.root() != Some(root) {
            return Err(WriteError::Changed { path: folder.to_owned(), size });
        }
        clear_staging(folder)?;
        Ok(Self { reader, signer, edge, head, broken: false, _lock: lock })
    }

    /// The head.
    pub fn head(&self) -> &SignedCheckpoint {
        &self.head
    }

    /// Appends a batch, and signs the new head. All of it is in the log when this returns, none of it after an error.
    ///
    /// # Errors
    /// An event that is none, the file system. After a failure of the file system the log must be opened again.
    pub fn append<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Appended, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let encode = |(position, event): (usize, &Event)| {
            event.to_bytes().map_err(|source| WriteError::Event { position, source })
        };
        // Before anything is written: a batch with a bad event is not begun.
        let entries: Vec<_> = events.into_iter().enumerate().map(encode).collect::<Result<_, _>>()?;
        let first = self.head.checkpoint().size;
        if entries.is_empty() {
            return Ok(Appended { first, checkpoint: self.head.clone() });
        }
        self.broken = true;
        let size = self.write(&entries)?;
        self.broken = false;
        self.remove_partial_tiles(first, size);
        Ok(Appended { first, checkpoint: self.head.clone() })
    }

    /// Writes tiles and then the head; returns the new size.
    fn write(&mut self, entries: &[Vec<u8>]) -> Result<u64, WriteError> {
        let mut files = Files::new(self.reader.folder())?;
        for (position, entry) in entries.iter().enumerate() {
            if !self.edge.push(entry, &mut files)? {
                let source = EventError::TooLong { bytes: entry.len() };
                return Err(WriteError::Event { position, source });
            }
        }
        self.edge.write_partial(&mut files)?;
        files.sync()?;
        let (origin, size) = (self.signer.verifier().name().clone(), self.edge.size);
        let root = self.edge.root().ok_or(WriteError::Broken)?;
        let head = Checkpoint { origin, size, root }.sign(&self.signer)?;
        files.write(Path::new(CHECKPOINT_FILE), head.to_string().as_bytes())?;
        files.sync()?;
        self.head = head;
        Ok(size)
    }

    /// Removes the partial tiles of places that are full now. They are of no use any more; a failure costs space alone.
    fn remove_partial_tiles(&self, before: u64, after: u64) {
        let rows = std::iter::once(Row::Entries).chain((0..tile::levels(after)).map(Row::Level));
        for row in rows {
            let index = tile::items(row, before) / TILE_WIDTH;
            if let Some(tile) = Tile::of_size(row, index, after).filter(Tile::is_full) {
                let _ = fs::remove_dir_all(self.reader.folder().join(tile.partial_folder()));
            }
        }
    }
}

/// The tiles at the end of the log that are not full yet.
#[derive(Debug, Default)]
struct Edge {
    size: u64,
    /// Entries since the last full bundle, as they stand in a bundle.
    bundle: Vec<u8>,
    /// For each tile level, the hashes since its last full tile, and whether they are on disk.
    levels: Vec<Level>,
}

#[derive(Debug, Default)]
struct Level {
    hashes: Vec<Hash>,
    written: bool,
}

impl Edge {
    fn read(reader: &LogReader, size: u64) -> Result<Self, ReadError> {
        let mut levels = Vec::new();
        for row in 0..tile::levels(size) {
            let index = tile::items(Row::Level(row), size) / TILE_WIDTH;
            let hashes = match Tile::of_size(Row::Level(row), index, size) {
                Some(tile) => reader.tile(&tile)?,
                None => Vec::new(),
            };
            levels.push(Level { hashes, written: true });
        }
        let mut bundle = Vec::new();
        if let Some(tile) = Tile::of_size(Row::Entries, size / TILE_WIDTH, size) {
            let read = reader.bundle(&tile)?;
            let entries = read.entries();
            let expected: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
            if levels.first().is_none_or(|level| level.hashes != expected) {
                return Err(ReadError::Length {
                    path: read.path().to_owned(),
                    what: "entries that the tile beside them covers",
                    expected: tile.width,
                    found: "others".to_owned(),
                });
            }
            entries.iter().all(|entry| tile::append_entry(&mut bundle, entry));
        }
        Ok(Self { size, bundle, levels })
    }

    /// Adds an entry, and writes every tile that it fills; `false` where it is too long to be one.
    fn push(&mut self, entry: &[u8], files: &mut Files<'_>) -> Result<bool, WriteError> {
        if !tile::append_entry(&mut self.bundle, entry) {
            return Ok(false);
        }
        let index = self.size / TILE_WIDTH;
        self.size += 1;
        let mut carried = Some(Hash::leaf(entry));
        if self.size.is_multiple_of(TILE_WIDTH) {
            let tile = Tile { row: Row::Entries, index, width: TILE_WIDTH };
            files.write(&tile.path(), &self.bundle)?;
            self.bundle.clear();
        }
        let mut row = 0;
        let mut position = self.levels.iter_mut();
        let mut added = None;
        while let Some(hash) = carried.take() {
            let level = match position.next() {
                Some(level) => level,
                None => added.insert(Level::default()),
            };
            level.hashes.push(hash);
            level.written = false;
            if u64::try_from(level.hashes.len()) == Ok(TILE_WIDTH) {
                let index = (self.size >> (TILE_LEVELS * row)) / TILE_WIDTH - 1;
                let tile = Tile { row: Row::Level(row), index, width: TILE_WIDTH };
                files.write(&tile.path(), &bytes(&level.hashes))?;
                carried = Hash::perfect(&level.hashes);
                level.hashes.clear();
            }
            row += 1;
        }
        self.levels.extend(added);
        Ok(true)
    }

    /// Writes the tiles that are not full, where they are new.
    fn write_partial(&mut self, files: &mut Files<'_>) -> Result<(), WriteError> {
        if let Some(tile) = Tile::of_size(Row::Entries, self.size / TILE_WIDTH, self.size) {
            files.write(&tile.path(), &self.bundle)?;
        }
        for (row, level) in (0..).zip(&mut self.levels) {
            let index = tile::items(Row::Level(row), self.size) / TILE_WIDTH;
            let tile = Tile::of_size(Row::Level(row), index, self.size);
            if let Some(tile) = tile.filter(|_| !level.written) {
                files.write(&tile.path(), &bytes(&level.hashes))?;
            }
            level.written = true;
        }
        Ok(())
    }

    /// The root over everything: of every level only the part that is in no full tile.
    fn root(&self) -> Option<Hash> {
        let mut frontier = Frontier::default();
        let mut height = TILE_LEVELS * u32::try_from(self.levels.len()).ok()?;
        for level in self.levels.iter().rev() {
            height -= TILE_LEVELS;
            level.hashes.iter().for_each(|hash| frontier.push(height, *hash));
        }
        (frontier.size() == self.size).then(|| frontier.root())
    }
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
