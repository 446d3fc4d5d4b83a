//! Where each entry of the registered rows stands among the leaves of the range argument.
//!
//! A row of L entries is cut into blocks by the binary digits of L, the largest first: 768 = 512 + 256. Blocks are laid out
//! from the largest to the smallest, those of one size in the order of their rows. So every block of `2^s` leaves begins at a
//! multiple of `2^s`, lies inside of one tree of the lookup, and the extension of a tree's leaves at a point is one weight a block
//! times one form a size: `docs/spec/lookup.md`, "Aligned blocks".
//!
//! Rows are numbered as in the proofs; those of an adapter: all rows of A by pairs, then all columns of B.

use std::collections::BTreeMap;

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_at, eq_range};
use lorica_argument::lookup::LookupShape;
use lorica_relation::session::ModuleShape;

/// The number of entries of each row of an adapter with these modules.
pub fn adapter_rows(modules: &[ModuleShape]) -> Vec<usize> {
    let rows = |width: fn(&ModuleShape) -> usize| {
        modules.iter().flat_map(move |module| std::iter::repeat_n(width(module), module.rank))
    };
    rows(|module| module.inputs).chain(rows(|module| module.outputs)).collect()
}

/// Blocks of one size in one tree that stand at one offset of their rows, so that one form is about all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockKind {
    /// The number of the tree.
    pub tree: usize,
    /// The tree's first leaf.
    pub first: usize,
    /// s: a block has `2^s` entries.
    pub log_size: usize,
    /// The entry of the row at which the block begins, a multiple of `2^s`.
    pub offset: usize,
    /// The rows, in order, each with the number of its block in the tree: leaves before it divided by `2^s`.
    pub rows: Vec<(usize, usize)>,
}

/// Blocks of one size in one tree: consecutive numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BlockRun {
    tree: usize,
    log_size: usize,
    first: usize,
    count: usize,
    kinds: Vec<BlockKind>,
}

/// The layout of all leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packing {
    rows: usize,
    leaves: usize,
    runs: Vec<BlockRun>,
}

impl Packing {
    /// The layout for the rows of these modules.
    pub fn of(modules: &[ModuleShape]) -> Self {
        Self::new(&adapter_rows(modules))
    }

    /// The layout for rows of these lengths.
    pub fn new(lengths: &[usize]) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let all = lengths.iter().fold(0usize, |sum, length| sum.saturating_add(*length));
        let trees = LookupShape { leaves: all }.trees();
        let mut leaves = 0usize;
        let mut runs: Vec<BlockRun> = Vec::new();
        for log_size in (0..usize::BITS.saturating_sub(longest.leading_zeros())).rev() {
            let size = 1usize << log_size;
            let log_size = usize::try_from(log_size).unwrap_or(0);
            // By tree and offset.
            let mut kinds: BTreeMap<(usize, usize), Vec<(usize, usize)>> = BTreeMap::new();
            for (row, length) in lengths.iter().enumerate().filter(|(_, length)| **length & size != 0) {
                // All earlier blocks are larger, and all trees that end here or before begin at multiples of this size.
                let tree = trees.partition_point(|tree| tree.first <= leaves).saturating_sub(1);
                let first = trees.get(tree).map_or(0, |tree| tree.first);
                let block = leaves.saturating_sub(first) >> log_size;
                // The digits above this one.
                let offset = length & !(size | (size - 1));
                kinds.entry((tree, offset)).or_default().push((row, block));
                leaves = leaves.saturating_add(size);
            }
            for ((tree, offset), rows) in kinds {
                let first = trees.get(tree).map_or(0, |tree| tree.first);
                let kind = BlockKind { tree, first, log_size, offset, rows };
                let (least, most) = kind.blocks();
                match runs.last_mut().filter(|run| (run.tree, run.log_size) == (tree, log_size)) {
                    Some(run) => {
                        let last = run.first.saturating_add(run.count).max(most.saturating_add(1));
                        run.first = run.first.min(least);
                        run.count = last.saturating_sub(run.first);
                        run.kinds.push(kind);
                    }
                    None => {
                        let count = most.saturating_add(1).saturating_sub(least);
                        runs.push(BlockRun { tree, log_size, first: least, count, kinds: vec![kind] });
                    }
                }
            }
        }
        Self { rows: lengths.len(), leaves, runs }
    }

    /// N, the number of leaves: the number of entries of all rows.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All kinds of blocks, the largest first.
    pub fn kinds(&self) -> impl Iterator<Item = &BlockKind> {
        self.runs.iter().flat_map(|run| &run.kinds)
    }

    /// For each kind, in order: the weight of each of its rows in the extension of its tree's leaves at the tree's point.
    pub fn block_weights(&self, points: &[Vec<Scalar>]) -> Vec<Vec<Scalar>> {
        let mut weights = Vec::new();
        for BlockRun { tree, log_size, first, count, kinds } in &self.runs {
            let point = points.get(*tree).map_or(&[][..], Vec::as_slice);
            let (high, _) = split_low(point, *log_size);
            let eq = eq_range(high, *first, *count);
            weights.extend(kinds.iter().map(|kind| {
                let weight = |(_, block): &(usize, usize)| {
                    eq.get(block.saturating_sub(*first)).copied().unwrap_or_default()
                };
                kind.rows.iter().map(weight).collect::<Vec<_>>()
            }));
        }
        weights
    }

    /// The weight of each row's extension at `columns` in the sum of the trees' extensions at their points, each with its factor,
    /// where the columns of all forms are bound to `columns`.
    pub fn row_weights(&self, points: &[Vec<Scalar>], factors: &[Scalar], columns: &[Scalar]) -> Vec<Scalar> {
        let mut weights = vec![Scalar::zero(); self.rows];
        for (kind, of_blocks) in self.kinds().zip(self.block_weights(points)) {
            let point = points.get(kind.tree).map_or(&[][..], Vec::as_slice);
            let factor = factors.get(kind.tree).copied().unwrap_or_default();
            let form = factor * kind.form_at(point, columns);
            for ((row, _), of_block) in kind.rows.iter().zip(of_blocks) {
                if let Some(weight) = weights.get_mut(*row) {
                    *weight += of_block * form;
                }
            }
        }
        weights
    }
}

impl BlockKind {
    /// The least and the largest number of a block.
    fn blocks(&self) -> (usize, usize) {
        let number = |at: Option<&(usize, usize)>| at.map_or(0, |(_, block)| *block);
        (number(self.rows.first()), number(self.rows.last()))
    }

    /// The first leaf of a block.
    pub fn leaf(&self, block: usize) -> usize {
        self.first.saturating_add(block << self.log_size)
    }

    /// The extension at `columns` of this kind's form: `eq(low coordinates of point, i - offset)` inside the block and zero
    /// outside.
    pub fn form_at(&self, point: &[Scalar], columns: &[Scalar]) -> Scalar {
        let (_, form_low) = split_low(point, self.log_size);
        let (high, low) = split_low(columns, self.log_size);
        let one = Scalar::from(1u8);
        let inside = form_low
            .iter()
            .zip(low)
            .fold(one, |product, (form, column)| product * (*form * column + (one - form) * (one - column)));
        inside * eq_at(high, self.offset >> self.log_size)
    }
}

/// The coordinates above the `count` lowest, and those.
pub(crate) fn split_low(point: &[Scalar], count: usize) -> (&[Scalar], &[Scalar]) {
    point.split_at_checked(point.len().saturating_sub(count)).unwrap_or((&[], point))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::{eq_table, inner_product, variables};

    fn lengths() -> Vec<Vec<usize>> {
        vec![
            vec![1, 1],
            vec![5, 3, 8],
            vec![6, 6, 10, 9, 3, 1],
            vec![768, 2304, 768, 2304],
            vec![7; 11],
            vec![61, 45, 3, 200, 31, 31, 1],
        ]
    }

    #[test]
    fn blocks_are_aligned_and_cover_all_leaves_once() {
        for lengths in lengths() {
            let packing = Packing::new(&lengths);
            assert_eq!(packing.leaves(), lengths.iter().sum::<usize>());
            let mut covered = vec![0; packing.leaves()];
            let mut entries: Vec<Vec<i32>> = lengths.iter().map(|length| vec![0; *length]).collect();
            for kind in packing.kinds() {
                assert_eq!(kind.offset % (1 << kind.log_size), 0);
                for (row, block) in &kind.rows {
                    for i in 0..1 << kind.log_size {
                        covered[kind.leaf(*block) + i] += 1;
                        entries[*row][kind.offset + i] += 1;
                    }
                }
            }
            assert!(covered.iter().chain(entries.iter().flatten()).all(|count| *count == 1));
        }
    }

    #[test]
    fn weights_make_the_extension_of_the_leaves_from_those_of_the_rows() {
        for lengths in lengths() {
            let packing = Packing::new(&lengths);
            let entry = |row: usize, i: usize| Scalar::from((row * 10_007 + i * i + 1) as u64);
            let mut leaves = vec![Scalar::zero(); packing.leaves()];
            for kind in packing.kinds() {
                for (row, block) in &kind.rows {
                    for i in 0..1 << kind.log_size {
                        leaves[kind.leaf(*block) + i] = entry(*row, kind.offset + i);
                    }
                }
            }
            let numbers = |seed: u64, count| (0..count as u64).map(move |i| Scalar::from(seed + i * i));
            let trees = LookupShape { leaves: leaves.len() }.trees();
            let points: Vec<Vec<Scalar>> =
                trees.iter().map(|tree| numbers(1000 + tree.first as u64, tree.depth()).collect()).collect();
            let factors: Vec<Scalar> = numbers(7, trees.len()).collect();
            let expected: Scalar = trees
                .iter()
                .zip(points.iter().zip(&factors))
                .map(|(tree, (point, factor))| {
                    let leaves = &leaves[tree.first..tree.first + tree.count];
                    *factor * inner_product(leaves, &eq_table(point, tree.count))
                })
                .sum();
            // At a corner of the columns, rows and forms are their entries: the sum over all corners is the extension.
            let width = lengths.iter().copied().max().unwrap();
            let columns = variables(width);
            let mut sum = Scalar::zero();
            for column in 0..width {
                let corner: Vec<Scalar> =
                    (0..columns).map(|j| Scalar::from((column >> (columns - 1 - j) & 1) as u64)).collect();
                let weights = packing.row_weights(&points, &factors, &corner);
                for (row, weight) in weights.iter().enumerate() {
                    // Whatever stands beyond the row's length does not count.
                    sum += *weight * entry(row, column);
                }
            }
            assert_eq!(sum, expected, "{lengths:?}");
        }
    }
}
