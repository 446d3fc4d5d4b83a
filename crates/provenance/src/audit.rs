//! Checking a log: every hash computed again from the entries, against the signed head and against heads kept earlier.
//!
//! One pass over the entries gives the root, the roots at the sizes of all kept checkpoints, and every tile. Where something
//! does not hold, `diagnose` looks for the place. Memory: a few hundred bundles, however long the log.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint},
    diagnose::Diagnosis,
    event::Event,
    finding::{Finding, Findings},
    hash::Hash,
    key::VerifierKey,
    reader::{LogReader, ReadError},
    tile::{Row, TILE_LEVELS, TILE_WIDTH, Tile},
    tree::Frontier,
};

/// Bundles that are read and hashed at once, spread over the threads at hand.
const BUNDLES_AT_ONCE: u64 = 64;

/// A checkpoint that an auditor kept from an earlier visit.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What to call it, such as its file name.
    pub name: String,
    /// The signed note.
    pub bytes: Vec<u8>,
}

/// What a log is checked against.
#[derive(Clone, Copy)]
pub struct AuditOptions<'a> {
    /// Who signs the log. Known from elsewhere than the log's folder.
    pub key: &'a VerifierKey,
    /// Checkpoints from earlier. Without any, a log that was rewritten by the holder of its key looks like any other.
    pub kept: &'a [Kept],
    /// Told how many entries of how many are done.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// Why no verdict was reached.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A kept checkpoint is not one of this log.
    #[error("the kept checkpoint {name}: {source}")]
    Kept {
        /// Which.
        name: String,
        /// What is wrong with it.
        source: CheckpointError,
    },
}

/// Whether a log holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Everything does.
    Holds(Audit),
    /// Something does not.
    Broken(Broken),
}

/// A log that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Its head.
    pub head: Checkpoint,
    /// How many events of each kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Heads from earlier that it grew from, with their names.
    pub kept: Vec<(String, Checkpoint)>,
}

/// A log that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// Its head, where its signature holds.
    pub head: Option<Checkpoint>,
    /// What is wrong, at most [`crate::finding::MAX_FINDINGS`] of them.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub total: u64,
}

/// Checks the log in a folder.
///
/// # Errors
/// Files that cannot be read, a folder without a checkpoint, kept checkpoints that are none of this log. What is wrong with the
/// log itself is a verdict.
pub fn audit(folder: &std::path::Path, options: &AuditOptions<'_>) -> Result<Verdict, AuditError> {
    let reader = LogReader::new(folder);
    let kept = options.kept.iter().map(|kept| open_kept(kept, options.key)).collect::<Result<Vec<_>, _>>()?;
    let head = match SignedCheckpoint::open(&reader.checkpoint_bytes()?, options.key) {
        Ok(head) => head.checkpoint().clone(),
        Err(error) => {
            let findings = vec![Finding::Signature(error)];
            return Ok(Verdict::Broken(Broken { head: None, findings, total: 1 }));
        }
    };
    let mut findings = Findings::default();
    for (name, kept) in &kept {
        if kept.size > head.size {
            findings.add(Finding::Rollback { kept: name.clone(), kept_size: kept.size, size: head.size });
        }
    }
    let sizes = kept.iter().map(|(_, kept)| kept.size).filter(|size| *size <= head.size).collect();
    let mut pass = Pass::new(&reader, head.size, sizes);
    pass.run(options.progress)?;
    if pass.readable && pass.frontier.root() == head.root {
        forks(&head, &kept, &pass.roots, &mut findings);
        pass.tiles.into_iter().for_each(|finding| findings.add(finding));
        pass.no_events.into_iter().for_each(|finding| findings.add(finding));
    } else {
        let unchanged = kept.iter().filter(|(_, kept)| pass.roots.get(&kept.size) == Some(&kept.root));
        let unchanged = unchanged.map(|(_, kept)| kept.size).max().unwrap_or(0);
        Diagnosis { reader: &reader, head: &head, unchanged }.run(&mut findings)?;
    }
    if findings.is_empty() {
        return Ok(Verdict::Holds(Audit { head, events: pass.events, kept }));
    }
    let (list, total) = findings.into_parts();
    Ok(Verdict::Broken(Broken { head: Some(head), findings: list, total }))
}

fn open_kept(kept: &Kept, key: &VerifierKey) -> Result<(String, Checkpoint), AuditError> {
    match SignedCheckpoint::open(&kept.bytes, key) {
        Ok(signed) => Ok((kept.name.clone(), signed.checkpoint().clone())),
        Err(source) => Err(AuditError::Kept { name: kept.name.clone(), source }),
    }
}

/// Compares the roots at the sizes of kept checkpoints with what those say.
fn forks(
    head: &Checkpoint,
    kept: &[(String, Checkpoint)],
    roots: &BTreeMap<u64, Hash>,
    findings: &mut Findings,
) {
    let same = |kept: &Checkpoint| roots.get(&kept.size) == Some(&kept.root);
    for (name, kept_head) in kept.iter().filter(|(_, kept)| kept.size <= head.size && !same(kept)) {
        let Some(root) = roots.get(&kept_head.size) else { continue };
        let before = kept.iter().filter(|(_, other)| other.size < kept_head.size && same(other));
        findings.add(Finding::Fork {
            kept: name.clone(),
            kept_head: Box::new(kept_head.clone()),
            size: head.size,
            root: *root,
            same_before: before.map(|(_, other)| other.size).max().unwrap_or(0),
        });
    }
}

/// One pass over all entries.
struct Pass<'a> {
    reader: &'a LogReader,
    size: u64,
    /// Sizes at which the root is wanted.
    sizes: BTreeSet<u64>,
    frontier: Frontier,
    roots: BTreeMap<u64, Hash>,
    /// For each tile level from 1, the hashes of the tile in hand and its index.
    upper: Vec<(u64, Vec<Hash>)>,
    events: BTreeMap<&'static str, u64>,
    tiles: Vec<Finding>,
    no_events: Vec<Finding>,
    /// Whether every bundle is there and holds as many entries as it should.
    readable: bool,
}

/// What one bundle holds.
struct Read {
    leaves: Vec<Hash>,
    events: BTreeMap<&'static str, u64>,
    no_events: Vec<Finding>,
    tile: Option<Finding>,
}

impl<'a> Pass<'a> {
    fn new(reader: &'a LogReader, size: u64, sizes: BTreeSet<u64>) -> Self {
        let roots = if sizes.contains(&0) { BTreeMap::from([(0, Hash::empty())]) } else { BTreeMap::new() };
        Self {
            reader,
            size,
            sizes,
            frontier: Frontier::default(),
            roots,
            upper: Vec::new(),
            events: BTreeMap::new(),
            tiles: Vec::new(),
            no_events: Vec::new(),
            readable: true,
        }
    }

    fn run(&mut self, progress: &(dyn Fn(u64, u64) + Sync)) -> Result<(), AuditError> {
        let bundles = self.size.div_ceil(TILE_WIDTH);
        let mut next = 0;
        while next < bundles {
            let end = bundles.min(next + BUNDLES_AT_ONCE);
            let (reader, size) = (self.reader, self.size);
            let read: Vec<_> =
                (next..end).into_par_iter().map(|index| read_bundle(reader, index, size)).collect();
            for read in read {
                match read? {
                    Some(read) => self.take(read)?,
                    None => {
                        self.readable = false;
                        return Ok(());
                    }
                }
            }
            next = end;
            progress(self.frontier.size(), self.size);
        }
        self.finish_upper()
    }

    fn take(&mut self, read: Read) -> Result<(), AuditError> {
        for (kind, count) in read.events {
            *self.events.entry(kind).or_default() += count;
        }
        self.tiles.extend(read.tile);
        self.no_events.extend(read.no_events);
        let start = self.frontier.size();
        let whole =
            Hash::perfect(&read.leaves).filter(|_| u64::try_from(read.leaves.len()) == Ok(TILE_WIDTH));
        let within = self.sizes.range(start + 1..start + TILE_WIDTH).next().is_some();
        match whole {
            Some(hash) if !within => self.frontier.push(TILE_LEVELS, hash),
            _ => {
                for leaf in read.leaves {
                    self.frontier.push(0, leaf);
                    self.note_root();
                }
            }
        }
        self.note_root();
        if let Some(hash) = whole {
            self.carry(hash)?;
        }
        Ok(())
    }

    fn note_root(&mut self) {
        if self.sizes.contains(&self.frontier.size()) {
            self.roots.insert(self.frontier.size(), self.frontier.root());
        }
    }

    /// Adds the hash of a full tile to the level above it, and so on.
    fn carry(&mut self, hash: Hash) -> Result<(), AuditError> {
        let mut carried = Some(hash);
        let mut level = 0usize;
        while let Some(hash) = carried.take() {
            if self.upper.len() == level {
                self.upper.push((0, Vec::new()));
            }
            let Some((index, hashes)) = self.upper.get_mut(level) else { break };
            hashes.push(hash);
            if u64::try_from(hashes.len()) == Ok(TILE_WIDTH) {
                let (full, of) = (std::mem::take(hashes), *index);
                *index += 1;
                carried = Hash::perfect(&full);
                self.compare_upper(level, of, &full)?;
            }
            level += 1;
        }
        Ok(())
    }

    fn finish_upper(&mut self) -> Result<(), AuditError> {
        for (level, (index, hashes)) in std::mem::take(&mut self.upper).into_iter().enumerate() {
            if !hashes.is_empty() {
                self.compare_upper(level, index, &hashes)?;
            }
        }
        Ok(())
    }

    fn compare_upper(&mut self, above: usize, index: u64, hashes: &[Hash]) -> Result<(), AuditError> {
        let level = u32::try_from(above).unwrap_or(u32::MAX).saturating_add(1);
        if let Some(tile) = Tile::of_size(Row::Level(level), index, self.size) {
            self.tiles.extend(compare_tile(self.reader, &tile, hashes)?);
        }
        Ok(())
    }
}

/// Reads, hashes and parses one bundle; `None` where it is not there or has another number of entries.
fn read_bundle(reader: &LogReader, index: u64, size: u64) -> Result<Option<Read>, AuditError> {
    let Some(tile) = Tile::of_size(Row::Entries, index, size) else { return Ok(None) };
    let bundle = match reader.bundle(&tile) {
        Ok(bundle) => bundle,
        Err(error) => return unreadable(error).map(|_| None),
    };
    let entries = bundle.entries();
    if u64::try_from(entries.len()) != Ok(tile.width) {
        return Ok(None);
    }
    let mut read = Read {
        leaves: entries.iter().map(|entry| Hash::leaf(entry)).collect(),
        events: BTreeMap::new(),
        no_events: Vec::new(),
        tile: None,
    };
    for (entry, bytes) in (index * TILE_WIDTH..).zip(entries) {
        match Event::parse(bytes) {
            Ok(event) => *read.events.entry(event.event.kind()).or_default() += 1,
            Err(reason) => read.no_events.push(Finding::NoEvent { entry, reason }),
        }
    }
    let hashes = Tile { row: Row::Level(0), ..tile };
    read.tile = compare_tile(reader, &hashes, &read.leaves)?;
    Ok(Some(read))
}

/// What is wrong with a tile, where it is not what was computed.
fn compare_tile(reader: &LogReader, tile: &Tile, expected: &[Hash]) -> Result<Option<Finding>, AuditError> {
    let reason = match reader.tile(tile) {
        Ok(hashes) if hashes == expected => return Ok(None),
        Ok(hashes) => {
            let place = hashes.iter().zip(expected).position(|(found, expected)| found != expected);
            format!("hash {} is another one", place.unwrap_or_default())
        }
        Err(error) => unreadable(error)?,
    };
    let covers = match tile.row {
        Row::Level(level) => 1u64.checked_shl(TILE_LEVELS * level).unwrap_or(u64::MAX),
        Row::Entries => 1,
    };
    let path = reader.folder().join(tile.path());
    let first = (tile.index * TILE_WIDTH).saturating_mul(covers);
    Ok(Some(Finding::Tile { path, first, count: tile.width.saturating_mul(covers), reason }))
}

/// A file of the log that is not there, or of another length, is a finding; one that cannot be read is an error.
pub(crate) fn unreadable(error: ReadError) -> Result<String, AuditError> {
    use lorica_tensor::files::FileError;
    match error {
        ReadError::Length { .. }
        | ReadError::File(FileError::TooLarge { .. } | FileError::NotAFile { .. }) => Ok(error.to_string()),
        _ if error.is_missing() => Ok("it is missing".to_owned()),
        _ => Err(error.into()),
    }
}
