//! The Merkle tree of RFC 6962 (section 2.1) over n entries, in any order of need.
//!
//! A *subtree* (level k, index i) is the perfect tree over entries `i 2^k .. (i+1) 2^k`. Roots and proofs are made from
//! subtrees, wherever those come from; verification takes hashes alone and follows RFC 9162, sections 2.1.3.2 and
//! 2.1.4.2.

use crate::hash::Hash;

/// The most hashes any proof has: a tree of 2^63 entries has 63 levels, and a consistency proof one hash more.
pub const MAX_PROOF_HASHES: usize = 64;

/// Where the hashes of perfect subtrees come from.
pub trait Subtrees {
    /// Why a hash cannot be had.
    type Error;

    /// The hash over entries `index 2^level .. (index + 1) 2^level`, all of which exist.
    ///
    /// # Errors
    /// Whatever keeps the hash from being had.
    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over the first `size` entries.
///
/// # Errors
/// What the source of subtrees says.
pub fn root<S: Subtrees>(size: u64, source: &S) -> Result<Hash, S::Error> {
    if size == 0 { Ok(Hash::empty()) } else { range(0, size, source) }
}

/// The hash over entries `start .. start + count`, where the tree has such a node: `start` is a multiple of the smallest
/// power of two that is not below `count`.
fn range<S: Subtrees>(start: u64, count: u64, source: &S) -> Result<Hash, S::Error> {
    if count.is_power_of_two() {
        let level = count.trailing_zeros();
        return source.subtree(level, start >> level);
    }
    let left = split(count);
    Ok(Hash::node(&range(start, left, source)?, &range(start + left, count - left, source)?))
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The audit path of entry `index` among the first `size`, from the leaf's sibling up; `None` where there is no such
/// entry.
///
/// # Errors
/// What the source of subtrees says.
pub fn inclusion<S: Subtrees>(index: u64, size: u64, source: &S) -> Result<Option<Vec<Hash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut start, mut count) = (0, size);
    let mut path = Vec::new();
    while count > 1 {
        let left = split(count);
        if index - start < left {
            path.push(range(start + left, count - left, source)?);
            count = left;
        } else {
            path.push(range(start, left, source)?);
            start += left;
            count -= left;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// The proof that the tree of `old` entries is a prefix of the tree of `new`; `None` where `old > new`. Empty for
/// `old = 0` and for `old = new`.
///
/// # Errors
/// What the source of subtrees says.
pub fn consistency<S: Subtrees>(old: u64, new: u64, source: &S) -> Result<Option<Vec<Hash>>, S::Error> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut start, mut count, mut kept) = (0, new, old);
    // Whether the part in hand is still the whole old tree, whose root the verifier has.
    let mut whole = true;
    let mut path = Vec::new();
    while kept < count {
        let left = split(count);
        if kept <= left {
            path.push(range(start + left, count - left, source)?);
            count = left;
        } else {
            path.push(range(start, left, source)?);
            start += left;
            count -= left;
            kept -= left;
            whole = false;
        }
    }
    if !whole {
        path.push(range(start, count, source)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// The root that an audit path leads to; `None` where the path has another length than a tree of this size asks for.
pub fn root_of_inclusion(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut position, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = Hash::node(sibling, &hash);
            // Levels at which the node is the last one and has no sibling.
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::node(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Two heads of a log, of which the old one should be a prefix of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Entries and root of the old tree.
    pub old: (u64, Hash),
    /// Entries and root of the new tree.
    pub new: (u64, Hash),
}

/// Whether a consistency proof leads to both roots.
pub fn verify_consistency(heads: &Heads, path: &[Hash]) -> bool {
    let Heads { old: (old, old_root), new: (new, new_root) } = *heads;
    if old > new {
        return false;
    }
    if old == 0 {
        // Nothing is kept: every tree follows, but the empty tree has one root.
        return path.is_empty() && old_root == Hash::empty() && (new > 0 || new_root == Hash::empty());
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    let mut path = path.iter().copied();
    // Where the old tree is a perfect one it is a node of the new tree, and its root is not repeated in the proof.
    let first = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut position, mut last) = (old - 1, new - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut from_old, mut from_new) = (first, first);
    for hash in path {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            from_old = Hash::node(&hash, &from_old);
            from_new = Hash::node(&hash, &from_new);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            from_new = Hash::node(&from_new, &hash);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == old_root && from_new == new_root
}

/// The perfect subtrees that make up a tree, from left to right: all that is needed to append, and to tell the root.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    /// Level and hash, levels falling.
    peaks: Vec<(u32, Hash)>,
}

impl Frontier {
    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a perfect subtree of 2^level entries. The size so far must be a multiple of that.
    pub fn push(&mut self, level: u32, hash: Hash) {
        debug_assert!(self.size.is_multiple_of(1 << level));
        self.size += 1 << level;
        let (mut level, mut hash) = (level, hash);
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == level) {
            hash = Hash::node(&left, &hash);
            level += 1;
        }
        self.peaks.push((level, hash));
    }

    /// The root of everything appended.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        match peaks.next() {
            None => Hash::empty(),
            Some(last) => peaks.fold(last, |right, left| Hash::node(&left, &right)),
        }
    }
}
