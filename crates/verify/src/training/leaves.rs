//! Where the entries of all checks stand among the leaves of the lookups.
//!
//! A check's matrix is cut along both axes into blocks of `2^a x 2^b` entries, which begin at multiples of their own lengths. The
//! blocks of one cut are laid out for all steps one after the other, cuts from the largest to the smallest; so every block begins
//! at a multiple of its size, lies inside of one tree, and the extension of a tree's leaves at a point is, for each cut, weights of
//! steps times one form on rows times one on columns (`docs/spec/lookup.md`, "Aligned blocks").
//!
//! What a block holds beyond the matrix are zeros, which every word check may hold. Pairs for the table of exponentials are cut
//! without padding, since (0, 0) is no entry of it.

use lorica_algebra::Scalar;
use lorica_algebra::multilinear::eq_range;
use lorica_argument::lookup::{LeafTree, LookupShape};
use lorica_relation::program::{Program, Rule, Shape};

use super::forms::{AxisForm, TensorForm};
use crate::packing::split_low;

/// Which lookup a check belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The table of words.
    Words,
    /// The table of exponentials.
    Pairs,
}

/// A block of a check, in all steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The number of the check.
    pub check: usize,
    /// The first row.
    pub first_row: usize,
    /// a: the block has `2^a` rows.
    pub log_rows: usize,
    /// The first column.
    pub first_column: usize,
    /// b: the block has `2^b` columns.
    pub log_columns: usize,
    /// The first leaf of the first step's block.
    pub leaf: usize,
}

impl Cut {
    /// `a + b`
    pub fn log_size(&self) -> usize {
        self.log_rows.saturating_add(self.log_columns)
    }
}

/// The layout of all leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafLayout {
    /// The number of steps.
    pub steps: usize,
    /// Cuts of word checks, the largest first.
    pub words: Vec<Cut>,
    /// Cuts of checks of exponentials, the largest first.
    pub pairs: Vec<Cut>,
}

/// A cut's part in the claim of one tree.
#[derive(Debug, Clone)]
pub struct CutForm {
    /// The number of the check.
    pub check: usize,
    /// The form on the check's entries.
    pub form: TensorForm,
}

/// Padding of an axis is at most this part of its length.
const MAX_PADDING: usize = 8;

/// Consecutive parts of an axis: each begins at `first` and has `2^log` entries, of which the last may reach beyond the axis.
fn parts(length: usize, padded: bool) -> Vec<(usize, usize)> {
    let (mut parts, mut first) = (Vec::new(), 0usize);
    while first < length {
        let left = length.saturating_sub(first);
        let whole = left.next_power_of_two();
        let pad = padded && whole.saturating_sub(left).saturating_mul(MAX_PADDING) <= length;
        let size = if pad { whole } else { 1 << left.ilog2() };
        parts.push((first, usize::try_from(size.trailing_zeros()).unwrap_or(0)));
        first = first.saturating_add(size);
    }
    parts
}

impl LeafLayout {
    /// The layout for a valid program.
    pub fn of(program: &Program) -> Self {
        let layout = |lane: Lane| {
            let mut cuts = Vec::new();
            for (check, shape) in checks(program, lane) {
                let padded = lane == Lane::Words;
                for (first_row, log_rows) in parts(shape.rows, padded) {
                    for (first_column, log_columns) in parts(shape.columns, padded) {
                        cuts.push(Cut { check, first_row, log_rows, first_column, log_columns, leaf: 0 });
                    }
                }
            }
            cuts.sort_by_key(|cut| std::cmp::Reverse(cut.log_size()));
            let mut leaf = 0usize;
            for cut in &mut cuts {
                cut.leaf = leaf;
                leaf = leaf.saturating_add(program.steps.saturating_mul(1 << cut.log_size()));
            }
            cuts
        };
        Self { steps: program.steps, words: layout(Lane::Words), pairs: layout(Lane::Pairs) }
    }

    /// The cuts of one lookup.
    pub fn cuts(&self, lane: Lane) -> &[Cut] {
        match lane {
            Lane::Words => &self.words,
            Lane::Pairs => &self.pairs,
        }
    }

    /// The number of leaves of one lookup, padding included.
    pub fn leaves(&self, lane: Lane) -> usize {
        self.cuts(lane)
            .last()
            .map_or(0, |cut| cut.leaf.saturating_add(self.steps.saturating_mul(1 << cut.log_size())))
    }

    /// The lookups that have leaves, in order.
    pub fn lookups(&self) -> Vec<(Lane, LookupShape)> {
        [Lane::Words, Lane::Pairs]
            .into_iter()
            .map(|lane| (lane, LookupShape { leaves: self.leaves(lane) }))
            .filter(|(_, shape)| shape.leaves > 0)
            .collect()
    }

    /// What the claim on a tree's leaves at a point is about: a form on the entries of each check that has blocks in the tree. `None`
    /// if a block does not lie in trees as it should: nothing may be left out silently.
    pub fn forms(
        &self,
        lane: Lane,
        tree: LeafTree,
        point: &[Scalar],
        shape_of: impl Fn(usize) -> Option<Shape>,
    ) -> Option<Vec<CutForm>> {
        let end = tree.first.saturating_add(tree.count);
        let mut forms = Vec::new();
        for cut in self.cuts(lane) {
            let log_size = cut.log_size();
            let size = 1usize << log_size;
            // The steps whose blocks lie in the tree: whole blocks, because sizes decrease and trees begin at multiples of them.
            let from = tree.first.saturating_sub(cut.leaf).div_ceil(size).min(self.steps);
            let to = (end.saturating_sub(cut.leaf) / size).min(self.steps);
            let Some(count) = to.checked_sub(from).filter(|count| *count > 0) else { continue };
            let (high, low) = split_low(point, log_size);
            let number = cut.leaf.saturating_add(from << log_size).checked_sub(tree.first)? >> log_size;
            let weights = eq_range(high, number, count);
            if weights.len() != count {
                return None;
            }
            let mut steps = vec![Scalar::from(0u8); self.steps];
            for (step, weight) in steps.iter_mut().skip(from).zip(weights) {
                *step = weight;
            }
            let (rows, columns) = split_low(low, cut.log_columns);
            let shape = shape_of(cut.check)?;
            let axis = |point: &[Scalar], first: usize, log: usize, limit: usize| {
                AxisForm { point: point.to_vec(), first, length: 1 << log }.cut(limit)
            };
            let form = TensorForm {
                steps,
                rows: axis(rows, cut.first_row, cut.log_rows, shape.rows),
                columns: axis(columns, cut.first_column, cut.log_columns, shape.columns),
            };
            forms.push(CutForm { check: cut.check, form });
        }
        Some(forms)
    }
}

/// The checks of one lookup, with their shapes.
fn checks(program: &Program, lane: Lane) -> impl Iterator<Item = (usize, Shape)> {
    program.checks.iter().enumerate().filter_map(move |(number, check)| {
        let of = match check.rule {
            Rule::Word { .. } => Lane::Words,
            Rule::Exponential { .. } => Lane::Pairs,
            Rule::Zero => return None,
        };
        (of == lane).then_some((number, check.shape))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::{eq_table, inner_product};
    use lorica_relation::program::{Check, Samples};

    fn program(steps: usize, shapes: &[(usize, usize)]) -> Program {
        let check = |&(rows, columns): &(usize, usize)| Check {
            name: String::new(),
            shape: Shape { rows, columns },
            offset: 0,
            terms: Vec::new(),
            rule: Rule::Word { shift: 0 },
        };
        Program {
            steps,
            steps_before: 0,
            tensors: Vec::new(),
            parameters: Vec::new(),
            samples: Samples { per_step: 1, width: 1 },
            exponential: None,
            checks: shapes.iter().map(check).collect(),
        }
    }

    #[test]
    fn axes_are_cut_with_little_padding() {
        assert_eq!(parts(1024, true), [(0, 10)]);
        assert_eq!(parts(785, true), [(0, 9), (512, 8), (768, 5)]);
        assert_eq!(parts(785, false), [(0, 9), (512, 8), (768, 4), (784, 0)]);
        assert_eq!(parts(10, true), [(0, 3), (8, 1)]);
        assert_eq!(parts(1, true), [(0, 0)]);
    }

    #[test]
    fn blocks_are_aligned_and_hold_every_entry_once() {
        for (steps, shapes) in
            [(1, vec![(5, 7), (16, 33)]), (3, vec![(4, 10), (1, 1), (9, 2)]), (6, vec![(13, 29)])]
        {
            let layout = LeafLayout::of(&program(steps, &shapes));
            let mut leaves = vec![0; layout.leaves(Lane::Words)];
            for (check, (rows, columns)) in shapes.iter().enumerate() {
                let mut entries = vec![0; rows * columns];
                for cut in layout.words.iter().filter(|cut| cut.check == check) {
                    assert_eq!(cut.leaf % (1 << cut.log_size()), 0);
                    for (row, column) in
                        (0..1 << cut.log_rows).flat_map(|r| (0..1 << cut.log_columns).map(move |c| (r, c)))
                    {
                        let (r, c) = (cut.first_row + row, cut.first_column + column);
                        if r < *rows && c < *columns {
                            entries[r * columns + c] += 1;
                        }
                        for step in 0..steps {
                            leaves
                                [cut.leaf + (step << cut.log_size()) + (row << cut.log_columns) + column] +=
                                1;
                        }
                    }
                }
                assert!(entries.iter().all(|count| *count == 1));
            }
            assert!(leaves.iter().all(|count| *count == 1));
        }
    }

    #[test]
    fn forms_make_the_extension_of_the_leaves() {
        let entry = |check: usize, step: usize, row: usize, column: usize| {
            Scalar::from((check * 100_003 + step * 10_007 + row * 101 + column * column + 1) as u64)
        };
        for (steps, shapes) in
            [(1, vec![(5, 7), (16, 33)]), (3, vec![(4, 10), (1, 1), (9, 2)]), (5, vec![(13, 29), (64, 1)])]
        {
            let layout = LeafLayout::of(&program(steps, &shapes));
            let mut leaves = vec![Scalar::from(0u8); layout.leaves(Lane::Words)];
            for cut in &layout.words {
                let (rows, columns) = shapes[cut.check];
                for step in 0..steps {
                    for row in cut.first_row..rows.min(cut.first_row + (1 << cut.log_rows)) {
                        for column in cut.first_column..columns.min(cut.first_column + (1 << cut.log_columns))
                        {
                            let inside =
                                ((row - cut.first_row) << cut.log_columns) + column - cut.first_column;
                            leaves[cut.leaf + (step << cut.log_size()) + inside] =
                                entry(cut.check, step, row, column);
                        }
                    }
                }
            }
            for tree in (LookupShape { leaves: leaves.len() }).trees() {
                let point: Vec<Scalar> =
                    (0..tree.depth() as u64).map(|j| Scalar::from(99 + j * j * 5)).collect();
                let inside = &leaves[tree.first..tree.first + tree.count];
                let expected = inner_product(inside, &eq_table(&point, tree.count));
                let shape_of = |check: usize| {
                    shapes.get(check).map(|(rows, columns)| Shape { rows: *rows, columns: *columns })
                };
                let mut sum = Scalar::from(0u8);
                for CutForm { check, form } in layout.forms(Lane::Words, tree, &point, shape_of).unwrap() {
                    let (rows, columns) = (form.rows.weights(), form.columns.weights());
                    for (step, of_step) in form.steps.iter().enumerate() {
                        for (row, of_row) in rows.iter().enumerate() {
                            for (column, of_column) in columns.iter().enumerate() {
                                let (row, column) = (form.rows.first + row, form.columns.first + column);
                                sum += *of_step * of_row * of_column * entry(check, step, row, column);
                            }
                        }
                    }
                }
                assert_eq!(sum, expected);
            }
        }
    }
}
