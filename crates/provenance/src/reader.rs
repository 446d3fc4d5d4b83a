//! A log on disk: its checkpoint, its entries, its tiles, and the proofs they give.
//!
//! A reader believes nothing but sizes that somebody else has checked: what it returns is to be verified against a signed
//! root, by [`crate::proof`] or by [`mod@crate::audit`].

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use lorica_tensor::files::{FileError, read_at_most};

use crate::{
    checkpoint::{CheckpointError, SignedCheckpoint},
    hash::{HASH_BYTES, Hash},
    key::VerifierKey,
    note::MAX_NOTE_BYTES,
    tile::{self, MAX_BUNDLE_BYTES, Row, TILE_LEVELS, TILE_WIDTH, Tile},
    tree::{self, Subtrees},
};

/// The name of the file that holds the head.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// Tiles that a view keeps in memory: 2 MiB of them.
const CACHED_TILES: usize = 256;

/// Why a part of a log was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// The head.
    #[error("{}: {source}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CheckpointError,
    },
    /// A tile that is not as long as the size of the log says.
    #[error("{}: expected {expected} {what}, found {found}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Hashes or entries.
        what: &'static str,
        /// By the size of the log.
        expected: u64,
        /// In the file.
        found: String,
    },
    /// A place beyond the end.
    #[error("the log has {size} entries, there is no entry {index}")]
    Beyond {
        /// The place.
        index: u64,
        /// Entries.
        size: u64,
    },
    /// A size beyond the size of the log.
    #[error("the log has {size} entries, so none of its proofs begins at {old}")]
    Newer {
        /// The size asked for.
        old: u64,
        /// Entries.
        size: u64,
    },
}

impl ReadError {
    /// Whether a file of the log is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(FileError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A log's folder.
#[derive(Debug, Clone)]
pub struct LogReader {
    folder: PathBuf,
}

impl LogReader {
    /// A reader of the log in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the head stands.
    pub fn checkpoint_path(&self) -> PathBuf {
        self.folder.join(CHECKPOINT_FILE)
    }

    /// The bytes of the head, believed by nobody yet.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn checkpoint_bytes(&self) -> Result<Vec<u8>, ReadError> {
        Ok(read_at_most(&self.checkpoint_path(), MAX_NOTE_BYTES)?)
    }

    /// The head, signed by `key`.
    ///
    /// # Errors
    /// A file that cannot be read, or that the key did not sign.
    pub fn checkpoint(&self, key: &VerifierKey) -> Result<SignedCheckpoint, ReadError> {
        SignedCheckpoint::open(&self.checkpoint_bytes()?, key)
            .map_err(|source| ReadError::Checkpoint { path: self.checkpoint_path(), source })
    }

    /// The log as it was when it had `size` entries.
    pub fn at(&self, size: u64) -> View<'_> {
        View { reader: self, size, cache: RefCell::default() }
    }

    /// Reads a file of tiles; where a partial one is gone, the full one, cut to the width.
    fn bytes(&self, tile: &Tile, limit: u64) -> Result<(PathBuf, Vec<u8>, bool), ReadError> {
        let path = self.folder.join(tile.path());
        match read_at_most(&path, limit) {
            Ok(bytes) => Ok((path, bytes, tile.is_full())),
            Err(error) => {
                let error = ReadError::from(error);
                if tile.is_full() || !error.is_missing() {
                    return Err(error);
                }
                let full = self.folder.join(tile.full().path());
                // The partial tile is the one that should be there: it is the one to name.
                let bytes = read_at_most(&full, limit).map_err(|_| error)?;
                Ok((full, bytes, true))
            }
        }
    }

    /// The hashes of a tile.
    ///
    /// # Errors
    /// A file that cannot be read, or has another number of hashes.
    pub fn tile(&self, tile: &Tile) -> Result<Vec<Hash>, ReadError> {
        let limit = TILE_WIDTH.saturating_mul(u64::try_from(HASH_BYTES).unwrap_or(u64::MAX));
        let (path, bytes, full) = self.bytes(tile, limit)?;
        let expected = if full { TILE_WIDTH } else { tile.width };
        let mut hashes = tile::hashes(&bytes, expected).ok_or_else(|| ReadError::Length {
            path,
            what: "hashes",
            expected,
            found: format!("{} bytes", bytes.len()),
        })?;
        hashes.truncate(usize::try_from(tile.width).unwrap_or(usize::MAX));
        Ok(hashes)
    }

    /// The entries of a bundle, however many its file holds.
    ///
    /// # Errors
    /// A file that cannot be read, or whose bytes are not entries.
    pub fn bundle(&self, tile: &Tile) -> Result<Bundle, ReadError> {
        let (path, bytes, full) = self.bytes(tile, MAX_BUNDLE_BYTES)?;
        if tile::entries(&bytes).is_none() {
            let (what, found) = ("entries", format!("{} bytes that are not all entries", bytes.len()));
            return Err(ReadError::Length { path, what, expected: tile.width, found });
        }
        // A full bundle in place of a partial one holds more than is asked for, and that is right.
        let at_most = if full && !tile.is_full() { Some(tile.width) } else { None };
        Ok(Bundle { path, bytes, at_most })
    }

    /// One entry of a log of `size` entries.
    ///
    /// # Errors
    /// A place beyond the end, a file that cannot be read or is too short.
    pub fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>, ReadError> {
        let beyond = ReadError::Beyond { index, size };
        let tile = Tile::of_size(Row::Entries, index / TILE_WIDTH, size);
        let tile = tile.filter(|_| index < size).ok_or(beyond)?;
        let bundle = self.bundle(&tile)?;
        let entries = bundle.entries();
        let place = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
        match entries.get(place) {
            Some(entry) => Ok((*entry).to_vec()),
            None => Err(ReadError::Length {
                path: bundle.path.clone(),
                what: "entries",
                expected: tile.width,
                found: entries.len().to_string(),
            }),
        }
    }
}

/// The entries of one bundle.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    bytes: Vec<u8>,
    at_most: Option<u64>,
}

impl Bundle {
    /// The file they are in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entries, in order.
    pub fn entries(&self) -> Vec<&[u8]> {
        let mut entries = tile::entries(&self.bytes).unwrap_or_default();
        if let Some(width) = self.at_most {
            entries.truncate(usize::try_from(width).unwrap_or(usize::MAX));
        }
        entries
    }
}

/// A log at a size: where proofs come from.
#[derive(Debug)]
pub struct View<'a> {
    reader: &'a LogReader,
    size: u64,
    cache: RefCell<HashMap<Tile, Vec<Hash>>>,
}

impl View<'_> {
    /// The audit path of an entry.
    ///
    /// # Errors
    /// A place beyond the end, tiles that cannot be read.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, ReadError> {
        tree::inclusion(index, self.size, self)?.ok_or(ReadError::Beyond { index, size: self.size })
    }

    /// The proof that the log of `old` entries is a prefix of this one.
    ///
    /// # Errors
    /// An old size above this one, tiles that cannot be read.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, ReadError> {
        tree::consistency(old, self.size, self)?.ok_or(ReadError::Newer { old, size: self.size })
    }

    /// The root over all entries, as the tiles have it.
    ///
    /// # Errors
    /// Tiles that cannot be read.
    pub fn root(&self) -> Result<Hash, ReadError> {
        tree::root(self.size, self)
    }

    /// Some hashes of one row, which lie in one tile and whose number is a power of two.
    fn hashes(&self, row: u32, start: u64, count: u64) -> Result<Hash, ReadError> {
        let beyond = || ReadError::Beyond { index: start, size: self.size };
        let tile = Tile::of_size(Row::Level(row), start / TILE_WIDTH, self.size).ok_or_else(beyond)?;
        let mut cache = self.cache.borrow_mut();
        if !cache.contains_key(&tile) {
            if cache.len() >= CACHED_TILES {
                cache.clear();
            }
            cache.insert(tile, self.reader.tile(&tile)?);
        }
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let from = place(start % TILE_WIDTH);
        let hashes = cache.get(&tile).and_then(|hashes| hashes.get(from..from.saturating_add(place(count))));
        hashes.and_then(Hash::perfect).ok_or_else(beyond)
    }
}

impl Subtrees for View<'_> {
    type Error = ReadError;

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, ReadError> {
        let (row, within) = (level / TILE_LEVELS, level % TILE_LEVELS);
        self.hashes(row, index << within, 1 << within)
    }
}
