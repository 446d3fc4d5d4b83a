//! Where a log was changed: its entries do not lead to the root that was signed.
//!
//! Level 0 tiles are a second record of the entries' hashes. Where they lead to the signed root they are what was signed,
//! and each entry is compared with its hash. Where they do not, a level 1 that does tells the block of 256 entries. Where
//! nothing on disk leads to the root, kept checkpoints tell how much of the beginning is unchanged.

use std::collections::{BTreeMap, HashMap};

use crate::{
    audit::{AuditError, unreadable},
    checkpoint::Checkpoint,
    finding::{Finding, Findings},
    hash::Hash,
    reader::LogReader,
    tile::{self, Row, TILE_LEVELS, TILE_WIDTH, Tile},
    tree::Frontier,
};

/// A log whose entries do not lead to its head.
pub(crate) struct Diagnosis<'a> {
    pub(crate) reader: &'a LogReader,
    pub(crate) head: &'a Checkpoint,
    /// Entries at the beginning that are unchanged, by a kept checkpoint.
    pub(crate) unchanged: u64,
}

/// What is on disk for 256 entries: hashes of the entries, and the hashes in the tile.
struct Block {
    first: u64,
    width: u64,
    /// Or why they cannot be had.
    found: Result<Vec<Hash>, String>,
    stated: Option<Vec<Hash>>,
}

impl Diagnosis<'_> {
    /// Finds the places.
    pub(crate) fn run(&self, findings: &mut Findings) -> Result<(), AuditError> {
        let before = findings.total();
        let blocks = self.blocks()?;
        let stated: Option<Vec<&[Hash]>> = blocks.iter().map(|block| block.stated.as_deref()).collect();
        let stated = stated.map(|stated| stated.concat());
        if let Some(stated) = stated.filter(|stated| root(&[], stated) == self.head.root) {
            self.compare_with_tiles(&blocks, &stated, findings);
        } else {
            self.compare_with_level_1(&blocks, findings)?;
        }
        if findings.total() == before {
            let (first, size) = (self.unchanged, self.head.size);
            findings.add(Finding::Rewritten { first, count: size - first });
        }
        Ok(())
    }

    fn blocks(&self) -> Result<Vec<Block>, AuditError> {
        let size = self.head.size;
        (0..size.div_ceil(TILE_WIDTH))
            .filter_map(|index| Tile::of_size(Row::Entries, index, size))
            .map(|tile| {
                let found = match self.reader.bundle(&tile) {
                    Ok(bundle) => Ok(bundle.entries().iter().map(|entry| Hash::leaf(entry)).collect()),
                    Err(error) => Err(unreadable(error)?),
                };
                let stated = match self.reader.tile(&Tile { row: Row::Level(0), ..tile }) {
                    Ok(hashes) => Some(hashes),
                    Err(error) => unreadable(error).map(|_| None)?,
                };
                Ok(Block { first: tile.index * TILE_WIDTH, width: tile.width, found, stated })
            })
            .collect()
    }

    /// The tiles hold what was signed: every entry is compared with its hash.
    fn compare_with_tiles(&self, blocks: &[Block], signed: &[Hash], findings: &mut Findings) {
        let complete: Option<Vec<&[Hash]>> = blocks.iter().map(Block::complete).collect();
        if let Some(complete) = complete {
            return compare(0, signed, &complete.concat(), findings);
        }
        for block in blocks {
            let Some(stated) = &block.stated else { continue };
            match &block.found {
                Err(reason) => self.missing(block, reason, findings),
                Ok(found) if found.len() == stated.len() => compare(block.first, stated, found, findings),
                Ok(found) => compare_lengths(block, stated, found, findings),
            }
        }
    }

    /// Level 0 was changed as well. Where level 1 and the entries behind its last tile lead to the root, each block is
    /// compared with its hash there.
    fn compare_with_level_1(&self, blocks: &[Block], findings: &mut Findings) -> Result<(), AuditError> {
        let Some(level) = self.level_1()? else { return Ok(()) };
        let last = blocks.get(level.len());
        let ends = match last {
            None => vec![Vec::new()],
            Some(Block { found, stated, .. }) => {
                [stated.as_ref(), found.as_ref().ok()].into_iter().flatten().cloned().collect()
            }
        };
        let Some(end) = ends.into_iter().find(|end| root(&level, end) == self.head.root) else {
            return Ok(());
        };
        for (block, signed) in blocks.iter().zip(&level) {
            let leads =
                |hashes: Option<&Vec<Hash>>| hashes.and_then(|hashes| Hash::perfect(hashes)) == Some(*signed);
            self.judge(block, leads, findings);
        }
        if let Some(block) = last {
            self.judge(block, |hashes| hashes == Some(&end), findings);
        }
        Ok(())
    }

    /// A block, with what tells whether hashes are those that were signed.
    fn judge(&self, block: &Block, leads: impl Fn(Option<&Vec<Hash>>) -> bool, findings: &mut Findings) {
        let Block { first, width: count, .. } = *block;
        let (entries, tile) = (leads(block.found.as_ref().ok()), leads(block.stated.as_ref()));
        match (entries, tile, &block.found, &block.stated) {
            (true, true, ..) => {}
            (true, false, ..) => {
                let tile = Tile { row: Row::Level(0), index: first / TILE_WIDTH, width: count };
                let path = self.reader.folder().join(tile.path());
                let reason = "its hashes do not lead to the signed root".to_owned();
                findings.add(Finding::Tile { path, first, count, reason });
            }
            (false, _, Err(reason), _) => self.missing(block, reason, findings),
            (false, true, Ok(found), Some(stated)) if found.len() == stated.len() => {
                compare(first, stated, found, findings);
            }
            (false, true, Ok(found), Some(stated)) => compare_lengths(block, stated, found, findings),
            (false, ..) => findings.add(Finding::Rewritten { first, count }),
        }
    }

    /// All hashes of level 1; `None` where a tile of it cannot be had.
    fn level_1(&self) -> Result<Option<Vec<Hash>>, AuditError> {
        let size = self.head.size;
        let items = tile::items(Row::Level(1), size);
        let mut hashes = Vec::new();
        for index in 0..items.div_ceil(TILE_WIDTH) {
            let Some(tile) = Tile::of_size(Row::Level(1), index, size) else { return Ok(None) };
            match self.reader.tile(&tile) {
                Ok(tile) => hashes.extend(tile),
                Err(error) => return unreadable(error).map(|_| None),
            }
        }
        Ok(Some(hashes))
    }

    fn missing(&self, block: &Block, reason: &str, findings: &mut Findings) {
        let Block { first, width, .. } = *block;
        let tile = Tile { row: Row::Entries, index: first / TILE_WIDTH, width };
        let path = self.reader.folder().join(tile.path());
        findings.add(Finding::MissingEntries { path, first, count: width, reason: reason.to_owned() });
    }
}

impl Block {
    /// The hashes of the entries, where there are as many as there should be.
    fn complete(&self) -> Option<&[Hash]> {
        self.found.as_deref().ok().filter(|found| u64::try_from(found.len()) == Ok(self.width))
    }
}

/// The root over full tiles, given by their hashes, and leaves behind them.
fn root(tiles: &[Hash], leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    tiles.iter().for_each(|hash| frontier.push(TILE_LEVELS, *hash));
    leaves.iter().for_each(|hash| frontier.push(0, *hash));
    frontier.root()
}

/// As many entries as were signed, but not the same.
fn compare(first: u64, signed: &[Hash], found: &[Hash], findings: &mut Findings) {
    let pairs = || (first..).zip(signed.iter().zip(found));
    let differing = || pairs().filter(|(_, (signed, found))| signed != found);
    // The same hashes in another order, or some that stand at a place that is not theirs.
    let mut places: HashMap<Hash, Vec<u64>> = HashMap::new();
    differing().for_each(|(place, (signed, _))| places.entry(*signed).or_default().push(place));
    let mut counts: BTreeMap<Hash, i64> = BTreeMap::new();
    for (_, (signed, found)) in differing() {
        *counts.entry(*signed).or_default() += 1;
        *counts.entry(*found).or_default() -= 1;
    }
    let permuted = counts.values().all(|count| *count == 0);
    if !permuted && let Some(finding) = shifted(first, signed, found) {
        findings.add(finding);
        return;
    }
    // Equal entries are told apart by nothing: each place is given out once.
    places.values_mut().for_each(|places| places.reverse());
    for (place, (_, found)) in differing() {
        match places.get_mut(found).and_then(Vec::pop) {
            Some(entry) => findings.add(Finding::Reordered { entry, found_at: place }),
            None => findings.add(Finding::Edited { entry: place }),
        }
    }
}

/// Whether everything from some place on stands too early (entries before it are gone, and the end was filled up) or too
/// late (entries were put in, and the end was cut).
fn shifted(first: u64, signed: &[Hash], found: &[Hash]) -> Option<Finding> {
    /// Shifts beyond this are not looked for.
    const MOST: usize = 256;
    let start = signed.iter().zip(found).position(|(signed, found)| signed != found)?;
    let (signed, found) = (signed.get(start..)?, found.get(start..)?);
    let place = first + u64::try_from(start).ok()?;
    // At least one hash must be seen at its new place, or a change at the end would look like a shift.
    let most = signed.len().saturating_sub(1).min(MOST);
    let agree = |left: &[Hash], right: &[Hash]| left.iter().zip(right).all(|(left, right)| left == right);
    (1..=most).find_map(|by| {
        let count = u64::try_from(by).ok()?;
        if agree(signed.get(by..)?, found) {
            Some(Finding::Deleted { first: place, count })
        } else if agree(found.get(by..)?, signed) {
            Some(Finding::Inserted { first: place, count })
        } else {
            None
        }
    })
}

/// Another number of entries than were signed.
fn compare_lengths(block: &Block, signed: &[Hash], found: &[Hash], findings: &mut Findings) {
    let (longer, shorter) = if signed.len() > found.len() { (signed, found) } else { (found, signed) };
    // Which of the longer list are not in the shorter one, if the rest is the shorter one in its order.
    let mut rest = shorter.iter().peekable();
    let mut alone = Vec::new();
    for (place, hash) in (block.first..).zip(longer) {
        if rest.next_if_eq(&hash).is_none() {
            alone.push(place);
        }
    }
    if rest.peek().is_some() {
        let (first, count) = (block.first, block.width);
        findings.add(Finding::Rewritten { first, count });
        return;
    }
    // Neighbours are told together.
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for place in alone {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == place => *count += 1,
            _ => runs.push((place, 1)),
        }
    }
    for (first, count) in runs {
        findings.add(match signed.len() > found.len() {
            true => Finding::Deleted { first, count },
            false => Finding::Inserted { first, count },
        });
    }
}
