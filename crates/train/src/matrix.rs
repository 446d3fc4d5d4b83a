//! Matrices and their products: of integers with 64-bit sums, and of floats.
//!
//! The bounds of a valid program keep every sum of integers below `2^62`.

use std::ops::{AddAssign, Mul};

use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

/// A matrix, row by row.
#[derive(Clone, Default)]
pub(crate) struct Matrix<T: Zeroize> {
    pub(crate) columns: usize,
    pub(crate) values: Zeroizing<Vec<T>>,
}

/// Operands: weights, activations, gradients.
pub(crate) type Integers = Matrix<i32>;
/// Sums of products.
pub(crate) type Sums = Matrix<i64>;
/// Operands and sums of the float trainer.
pub(crate) type Floats = Matrix<f32>;

/// An entry of a matrix.
pub(crate) trait Entry: Copy + Default + PartialEq + Send + Sync + Zeroize {
    /// What products add up to.
    type Sum: Copy
        + Default
        + Send
        + Sync
        + Zeroize
        + AddAssign
        + Mul<Output = Self::Sum>
        + PartialEq
        + From<Self>;
}

impl Entry for i32 {
    type Sum = i64;
}

impl Entry for f32 {
    type Sum = f32;
}

impl<T: Zeroize> Matrix<T> {
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

impl<T: Entry> Matrix<T> {
    /// `sum_k self[i, k] right[j, k]`, over the shorter of the two rows.
    pub(crate) fn times_transposed(&self, right: &Self) -> Matrix<T::Sum> {
        let columns = right.rows();
        let mut values = vec![T::Sum::default(); self.rows() * columns];
        values.par_chunks_mut(columns.max(1)).zip(self.values.par_chunks(self.columns.max(1))).for_each(
            |(sums, left)| {
                sums.iter_mut().zip(right.iter()).for_each(|(sum, right)| *sum = dot(left, right));
            },
        );
        Matrix::new(columns, values)
    }

    /// `sum_k self[i, k] right[k, j]` for the first `columns` columns.
    pub(crate) fn times(&self, right: &Self, columns: usize) -> Matrix<T::Sum> {
        let mut values = vec![T::Sum::default(); self.rows() * columns];
        values.par_chunks_mut(columns.max(1)).zip(self.values.par_chunks(self.columns.max(1))).for_each(
            |(sums, left)| {
                for (factor, right) in left.iter().zip(right.iter()) {
                    add_multiple(sums, *factor, right);
                }
            },
        );
        Matrix::new(columns, values)
    }

    /// `sum_k self[k, i] right[k, j]` for the first `columns` columns.
    pub(crate) fn transposed_times(&self, right: &Self, columns: usize) -> Matrix<T::Sum> {
        let mut values = vec![T::Sum::default(); self.columns * columns];
        values.par_chunks_mut(columns.max(1)).enumerate().for_each(|(i, sums)| {
            for (left, right) in self.iter().zip(right.iter()) {
                if let Some(factor) = left.get(i) {
                    add_multiple(sums, *factor, right);
                }
            }
        });
        Matrix::new(columns, values)
    }
}

/// Sums in eight lanes, so that floats need not wait for one another.
fn dot<T: Entry>(left: &[T], right: &[T]) -> T::Sum {
    const LANES: usize = 8;
    let length = left.len().min(right.len());
    let (left, right) = (left.get(..length).unwrap_or_default(), right.get(..length).unwrap_or_default());
    let (left_lanes, left_rest) = left.as_chunks::<LANES>();
    let (right_lanes, right_rest) = right.as_chunks::<LANES>();
    let mut lanes = [T::Sum::default(); LANES];
    for (left, right) in left_lanes.iter().zip(right_lanes) {
        for ((lane, left), right) in lanes.iter_mut().zip(left).zip(right) {
            *lane += T::Sum::from(*left) * T::Sum::from(*right);
        }
    }
    let mut sum = T::Sum::default();
    lanes.into_iter().for_each(|lane| sum += lane);
    for (left, right) in left_rest.iter().zip(right_rest) {
        sum += T::Sum::from(*left) * T::Sum::from(*right);
    }
    sum
}

/// Many factors are zero: signs of ReLU, pixels of the background.
fn add_multiple<T: Entry>(sums: &mut [T::Sum], factor: T, row: &[T]) {
    if factor == T::default() {
        return;
    }
    let factor = T::Sum::from(factor);
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += factor * T::Sum::from(*value);
    }
}

impl<S: Copy + Zeroize + AddAssign + Mul<Output = S>> Matrix<S> {
    /// `factor self + other_factor other`.
    pub(crate) fn combine(mut self, factor: S, other: Option<(S, &Self)>) -> Self {
        self.values.iter_mut().for_each(|value| *value = *value * factor);
        if let Some((factor, other)) = other {
            for (value, other) in self.values.iter_mut().zip(other.values.iter()) {
                *value += factor * *other;
            }
        }
        self
    }
}
