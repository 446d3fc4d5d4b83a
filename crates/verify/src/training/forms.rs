//! Public linear forms on matrices, as products of a form for each axis.
//!
//! A claim on a private tensor is always about `sum_{t, r, c} steps_t rows_r columns_c value_{t, r, c}`: any weights on steps,
//! and on each axis of a matrix a piece of `eq` that is **cut at the axis' length**. What a commitment holds beyond the length of a
//! row, or in rows beyond the last, has the weight zero: padding is never assumed to be zero.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_at, eq_range, eq_table, inner_product, prefix_at};

/// `eq(point, i - first)` for `first <= i < first + length`, and zero elsewhere.
///
/// `first` is zero or a multiple of `2^n`, n the number of coordinates, and `length <= 2^n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisForm {
    /// The point.
    pub point: Vec<Scalar>,
    /// The first index with a weight.
    pub first: usize,
    /// How many indices have one.
    pub length: usize,
}

/// Weights of consecutive pieces, and the weights inside of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceWeights {
    /// The first piece.
    pub first: usize,
    /// One weight for each piece from the first on.
    pub weights: Vec<Scalar>,
    /// The first row inside of a piece that has a weight.
    pub inside: usize,
    /// The weights inside of a piece, from there on.
    pub form: Vec<Scalar>,
}

impl AxisForm {
    /// The form of a point on the whole axis.
    pub fn whole(point: &[Scalar], length: usize) -> Self {
        Self { point: point.to_vec(), first: 0, length }
    }

    /// The same form with no weight from `limit` on. A form without any weight begins at zero, so that it lies inside of every axis.
    pub fn cut(&self, limit: usize) -> Self {
        let length = self.length.min(limit.saturating_sub(self.first));
        let first = if length == 0 { 0 } else { self.first };
        Self { point: self.point.clone(), first, length }
    }

    /// The weights from `first` on.
    pub fn weights(&self) -> Vec<Scalar> {
        eq_table(&self.point, self.length)
    }

    /// The sum of the weights of indices `from .. to`.
    pub fn sum(&self, from: usize, to: usize) -> Scalar {
        let end = self.first.saturating_add(self.length);
        let below = |index: usize| prefix_at(&self.point, index.min(end).saturating_sub(self.first));
        if from >= to { Scalar::zero() } else { below(to) - below(from) }
    }

    /// The extension of the form at a point: `sum_i weight_i eq(at, i)`.
    pub fn at(&self, at: &[Scalar]) -> Scalar {
        inner_product(&self.weights(), &eq_range(at, self.first, self.length))
    }

    /// The form on an axis that is cut into pieces of `2^log_rows` indices: for whole pieces, then for the last one where the
    /// form ends inside of it.
    pub fn pieces(&self, log_rows: usize) -> Vec<PieceWeights> {
        if self.length == 0 {
            return Vec::new();
        }
        let size = 1usize.checked_shl(u32::try_from(log_rows).unwrap_or(u32::MAX)).unwrap_or(0).max(1);
        let (first, inside) = (self.first / size, self.first % size);
        let Some(high) = self.point.len().checked_sub(log_rows) else {
            // The form lies inside of one piece, because it begins at a multiple of its own size.
            return vec![PieceWeights {
                first,
                weights: vec![Scalar::from(1u8)],
                inside,
                form: self.weights(),
            }];
        };
        let (high, low) = self.point.split_at_checked(high).unwrap_or((&[], &self.point));
        let (whole, rest) = (self.length / size, self.length % size);
        let mut pieces = Vec::new();
        if whole > 0 {
            pieces.push(PieceWeights {
                first,
                weights: eq_table(high, whole),
                inside: 0,
                form: eq_table(low, size),
            });
        }
        if rest > 0 {
            let weights = vec![eq_at(high, whole)];
            let first = first.saturating_add(whole);
            pieces.push(PieceWeights { first, weights, inside: 0, form: eq_table(low, rest) });
        }
        pieces
    }
}

/// A form on a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorForm {
    /// The weight of each step.
    pub steps: Vec<Scalar>,
    /// The form on rows.
    pub rows: AxisForm,
    /// The form on columns.
    pub columns: AxisForm,
}

impl TensorForm {
    /// The form of a tensor of ones in rows `0 .. rows` and columns `first .. first + columns`.
    pub fn of_ones(&self, rows: usize, first: usize, columns: usize) -> Scalar {
        let steps = self.steps.iter().fold(Scalar::zero(), |sum, weight| sum + weight);
        steps * self.rows.sum(0, rows) * self.columns.sum(first, first.saturating_add(columns))
    }

    /// The extension of the form at a point, whose coordinates are those of steps, rows and columns.
    pub fn at(&self, steps: &[Scalar], rows: &[Scalar], columns: &[Scalar]) -> Scalar {
        inner_product(&self.steps, &eq_table(steps, self.steps.len()))
            * self.rows.at(rows)
            * self.columns.at(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seed: u64, count: usize) -> Vec<Scalar> {
        (0..count as u64).map(|j| Scalar::from(seed + 7 * j * j + j)).collect()
    }

    fn dense(form: &AxisForm, length: usize) -> Vec<Scalar> {
        let mut values = vec![Scalar::zero(); length];
        values[form.first..form.first + form.length].copy_from_slice(&form.weights());
        values
    }

    #[test]
    fn pieces_sums_and_extensions_are_those_of_the_dense_form() {
        for (first, bits, length) in
            [(0, 4, 13), (0, 4, 16), (8, 3, 8), (8, 3, 5), (12, 2, 3), (14, 1, 1), (0, 0, 1), (16, 4, 9)]
        {
            let form = AxisForm { point: point(50, bits), first, length };
            let dense = dense(&form, 32);
            for log_rows in 0..5 {
                let mut again = vec![Scalar::zero(); 32];
                for piece in form.pieces(log_rows) {
                    for (number, weight) in piece.weights.iter().enumerate() {
                        for (inside, low) in piece.form.iter().enumerate() {
                            again[((piece.first + number) << log_rows) + piece.inside + inside] +=
                                *weight * low;
                        }
                    }
                }
                assert_eq!(again, dense, "{first} {length} {log_rows}");
            }
            for (from, to) in [(0, 32), (3, 13), (13, 13), (9, 3), (0, 15)] {
                let expected: Scalar = dense.get(from..to).unwrap_or_default().iter().sum();
                assert_eq!(form.sum(from, to), expected, "{first} {length}: {from}..{to}");
            }
            let at = point(1000, 5);
            assert_eq!(form.at(&at), inner_product(&dense, &eq_table(&at, 32)));
            assert_eq!(form.cut(first + 1).weights().len(), 1);
            assert_eq!(form.cut(first).pieces(1), []);
            assert_eq!((form.cut(first).first, form.cut(first).at(&at)), (0, Scalar::zero()));
        }
    }
}
