//! Integer matrices and their products, with 64-bit sums.
//!
//! The bounds of a valid program keep every sum below `2^62`.

use rayon::prelude::*;
use zeroize::Zeroizing;

/// A matrix, row by row.
#[derive(Clone, Default)]
pub(crate) struct Matrix<T: zeroize::Zeroize> {
    pub(crate) columns: usize,
    pub(crate) values: Zeroizing<Vec<T>>,
}

/// Operands: weights, activations, gradients.
pub(crate) type Integers = Matrix<i32>;
/// Sums of products.
pub(crate) type Sums = Matrix<i64>;

impl<T: zeroize::Zeroize> Matrix<T> {
    /// Values of whole rows.
    pub(crate) fn new(columns: usize, values: Vec<T>) -> Self {
        Self { columns, values: Zeroizing::new(values) }
    }

    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// Row after row.
    pub(crate) fn iter(&self) -> std::slice::Chunks<'_, T> {
        self.values.chunks(self.columns.max(1))
    }
}

impl Integers {
    /// A view on a parameter.
    pub(crate) fn of_parameter(columns: usize, values: &Zeroizing<Vec<i32>>) -> Self {
        Self { columns, values: values.clone() }
    }

    /// `sum_k self[i, k] right[j, k]`, over the shorter of the two rows.
    pub(crate) fn times_transposed(&self, right: &Self) -> Sums {
        let columns = right.rows();
        let mut values = vec![0i64; self.rows() * columns];
        values.par_chunks_mut(columns.max(1)).zip(self.values.par_chunks(self.columns.max(1))).for_each(
            |(sums, left)| {
                for (sum, right) in sums.iter_mut().zip(right.iter()) {
                    *sum = left.iter().zip(right).map(|(l, r)| i64::from(*l) * i64::from(*r)).sum();
                }
            },
        );
        Sums::new(columns, values)
    }

    /// `sum_k self[i, k] right[k, j]` for the first `columns` columns.
    pub(crate) fn times(&self, right: &Self, columns: usize) -> Sums {
        let mut values = vec![0i64; self.rows() * columns];
        values.par_chunks_mut(columns.max(1)).zip(self.values.par_chunks(self.columns.max(1))).for_each(
            |(sums, left)| {
                for (factor, right) in left.iter().zip(right.iter()) {
                    add_multiple(sums, *factor, right);
                }
            },
        );
        Sums::new(columns, values)
    }

    /// `sum_k self[k, i] right[k, j]` for the first `columns` columns.
    pub(crate) fn transposed_times(&self, right: &Self, columns: usize) -> Sums {
        let mut values = vec![0i64; self.columns * columns];
        values.par_chunks_mut(columns.max(1)).enumerate().for_each(|(i, sums)| {
            for (left, right) in self.iter().zip(right.iter()) {
                if let Some(factor) = left.get(i) {
                    add_multiple(sums, *factor, right);
                }
            }
        });
        Sums::new(columns, values)
    }
}

/// Many factors are zero: signs of ReLU, pixels of the background.
fn add_multiple(sums: &mut [i64], factor: i32, row: &[i32]) {
    if factor == 0 {
        return;
    }
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += i64::from(factor) * i64::from(*value);
    }
}

impl Sums {
    /// `factor self + other_factor other`, in place.
    pub(crate) fn combine(mut self, factor: i64, other: Option<(i64, &Self)>) -> Self {
        if factor != 1 {
            self.values.iter_mut().for_each(|value| *value *= factor);
        }
        if let Some((factor, other)) = other {
            for (value, other) in self.values.iter_mut().zip(other.values.iter()) {
                *value += factor * other;
            }
        }
        self
    }
}
