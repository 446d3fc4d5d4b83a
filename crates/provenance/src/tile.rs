//! Tiles of c2sp.org/tlog-tiles: 256 hashes of one level of the tree, or 256 entries, in a file.
//!
//! The hashes of the tile (L, N) are those of the subtrees (8 L, 256 N .. 256 N + width). A tile that is not yet full
//! has its width in its path, so that no file ever changes.

use std::path::PathBuf;

use crate::hash::{HASH_BYTES, Hash};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree that a tile spans.
pub const TILE_LEVELS: u32 = 8;
/// The longest entry, in bytes: its length has two.
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// The largest bundle: 256 entries with their lengths.
pub const MAX_BUNDLE_BYTES: u64 = 256 * (2 + 65_535);

/// What a file under `tile/` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Entries themselves.
    Entries,
    /// Hashes of the tile level, 0 to 7: a level 8 would be one of 2^64 entries.
    Level(u32),
}

/// One file under `tile/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// Entries or a level.
    pub row: Row,
    /// The index within its row, from 0.
    pub index: u64,
    /// How many it holds, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The tile of a log of `size` entries at a place; `None` where the log does not reach that far.
    pub fn of_size(row: Row, index: u64, size: u64) -> Option<Self> {
        let items = items(row, size);
        let before = index.checked_mul(TILE_WIDTH)?;
        let width = items.checked_sub(before)?.min(TILE_WIDTH);
        (width > 0).then_some(Self { row, index, width })
    }

    /// Whether it is full, and so final.
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile at the same place.
    pub fn full(&self) -> Self {
        Self { width: TILE_WIDTH, ..*self }
    }

    /// Its path below the log's folder.
    pub fn path(&self) -> PathBuf {
        let mut path = self.base();
        if !self.is_full() {
            path.as_mut_os_string().push(format!(".p/{}", self.width));
        }
        path
    }

    /// The folder of all partial tiles at this place.
    pub fn partial_folder(&self) -> PathBuf {
        let mut path = self.base();
        path.as_mut_os_string().push(".p");
        path
    }

    fn base(&self) -> PathBuf {
        let mut path = PathBuf::from("tile");
        path.push(match self.row {
            Row::Entries => "entries".to_owned(),
            Row::Level(level) => level.to_string(),
        });
        let (mut groups, mut rest) = (vec![format!("{:03}", self.index % 1000)], self.index / 1000);
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        path.extend(groups.iter().rev());
        path
    }
}

/// How many hashes or entries a row has in a log of `size` entries.
pub fn items(row: Row, size: u64) -> u64 {
    match row {
        Row::Entries => size,
        Row::Level(level) => size.checked_shr(TILE_LEVELS * level).unwrap_or(0),
    }
}

/// The number of tile levels of a log of `size` entries.
pub fn levels(size: u64) -> u32 {
    (0..=u64::BITS / TILE_LEVELS)
        .take_while(|level| items(Row::Level(*level), size) > 0)
        .count()
        .try_into()
        .unwrap_or(0)
}

/// Reads hashes; `None` where the bytes are not `count` of them.
pub fn hashes(bytes: &[u8], count: u64) -> Option<Vec<Hash>> {
    let (chunks, rest) = bytes.as_chunks::<HASH_BYTES>();
    (rest.is_empty() && u64::try_from(chunks.len()) == Ok(count))
        .then(|| chunks.iter().copied().map(Hash).collect())
}

/// Reads a bundle of entries. All of it must be entries: a length that runs past the end is `None`.
pub fn entries(bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bundle;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
        entries.push(entry);
        rest = after;
    }
    Some(entries)
}

/// Appends an entry to a bundle; `false`, and nothing done, where it is too long.
#[must_use]
pub fn append_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}
