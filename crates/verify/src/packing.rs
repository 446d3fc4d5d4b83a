//! Where each entry of the registered rows stands among the leaves of the range argument.
//!
//! A row of L entries is cut into blocks by the binary digits of L, the largest first: 768 = 512 + 256. Blocks are laid out
//! from the largest to the smallest, those of one size in the order of their rows. So every block of `2^s` leaves begins at a
//! multiple of `2^s`, and the extension of the leaves at a point is one weight a block times one form a size:
//! `docs/spec/lookup.md`, "Aligned blocks".
//!
//! Rows are numbered as in the proofs: all rows of A by pairs, then all columns of B.

use std::collections::BTreeMap;

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_at, eq_range};
use lorica_relation::session::ModuleShape;

/// Blocks of one size that stand at one offset of their rows, so that one form is about all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockKind {
    /// s: a block has `2^s` entries.
    pub log_size: usize,
    /// The entry of the row at which the block begins, a multiple of `2^s`.
    pub offset: usize,
    /// The rows, in order, each with the number of its block: the first leaf divided by `2^s`.
    pub rows: Vec<(usize, usize)>,
}

/// Blocks of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BlockSize {
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
    sizes: Vec<BlockSize>,
}

impl Packing {
    /// The layout for the rows of these modules.
    pub fn of(modules: &[ModuleShape]) -> Self {
        let rows = |width: fn(&ModuleShape) -> usize| {
            modules.iter().flat_map(move |module| std::iter::repeat_n(width(module), module.rank))
        };
        Self::new(&rows(|module| module.inputs).chain(rows(|module| module.outputs)).collect::<Vec<_>>())
    }

    /// The layout for rows of these lengths.
    pub fn new(lengths: &[usize]) -> Self {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut leaves = 0usize;
        let mut sizes = Vec::new();
        for log_size in (0..usize::BITS.saturating_sub(longest.leading_zeros())).rev() {
            let size = 1usize << log_size;
            // All earlier blocks are larger, so the leaves before are a multiple of this size.
            let first = leaves >> log_size;
            let mut block = first;
            let mut kinds: BTreeMap<usize, Vec<(usize, usize)>> = BTreeMap::new();
            for (row, length) in lengths.iter().enumerate().filter(|(_, length)| **length & size != 0) {
                // The digits above this one.
                let offset = length & !(size | (size - 1));
                kinds.entry(offset).or_default().push((row, block));
                block = block.saturating_add(1);
                leaves = leaves.saturating_add(size);
            }
            if block > first {
                let log_size = usize::try_from(log_size).unwrap_or(0);
                let kinds =
                    kinds.into_iter().map(|(offset, rows)| BlockKind { log_size, offset, rows }).collect();
                sizes.push(BlockSize { log_size, first, count: block.saturating_sub(first), kinds });
            }
        }
        Self { rows: lengths.len(), leaves, sizes }
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
        self.sizes.iter().flat_map(|size| &size.kinds)
    }

    /// For each kind, in order: the weight of each of its rows in the extension of the leaves at `point`.
    pub fn block_weights(&self, point: &[Scalar]) -> Vec<Vec<Scalar>> {
        let mut weights = Vec::new();
        for BlockSize { log_size, first, count, kinds } in &self.sizes {
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

    /// The weight of each row's extension at `columns` in the extension of the leaves at `point`, where the columns of all
    /// forms are bound to `columns`.
    pub fn row_weights(&self, point: &[Scalar], columns: &[Scalar]) -> Vec<Scalar> {
        let mut weights = vec![Scalar::zero(); self.rows];
        for (kind, of_blocks) in self.kinds().zip(self.block_weights(point)) {
            let form = kind.form_at(point, columns);
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
        vec![vec![1, 1], vec![5, 3, 8], vec![6, 6, 10, 9, 3, 1], vec![768, 2304, 768, 2304], vec![7; 11]]
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
                        covered[(block << kind.log_size) + i] += 1;
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
                        leaves[(block << kind.log_size) + i] = entry(*row, kind.offset + i);
                    }
                }
            }
            let numbers = |seed: u64, count| (0..count as u64).map(move |i| Scalar::from(seed + i * i));
            let point: Vec<Scalar> = numbers(1000, variables(packing.leaves())).collect();
            let expected = inner_product(&leaves, &eq_table(&point, leaves.len()));
            // At a corner of the columns, rows and forms are their entries: the sum over all corners is the extension.
            let width = lengths.iter().copied().max().unwrap();
            let columns = variables(width);
            let mut sum = Scalar::zero();
            for column in 0..width {
                let corner: Vec<Scalar> =
                    (0..columns).map(|j| Scalar::from((column >> (columns - 1 - j) & 1) as u64)).collect();
                let weights = packing.row_weights(&point, &corner);
                for (row, weight) in weights.iter().enumerate() {
                    // Whatever stands beyond the row's length does not count.
                    sum += *weight * entry(row, column);
                }
            }
            assert_eq!(sum, expected, "{lengths:?}");
        }
    }
}
