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

impl Entry for f64 {
    type Sum = f64;
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

impl Integers {
    /// [`Matrix::times_transposed`] in doubles where they are exact.
    pub(crate) fn exact_times_transposed(&self, right: &Self) -> Sums {
        match self.as_doubles(right, self.columns.min(right.columns)) {
            Some((left, right)) => left.times_transposed(&right).into_sums(),
            None => self.times_transposed(right),
        }
    }

    /// [`Matrix::times`] in doubles where they are exact.
    pub(crate) fn exact_times(&self, right: &Self, columns: usize) -> Sums {
        match self.as_doubles(right, self.columns) {
            Some((left, right)) => left.times(&right, columns).into_sums(),
            None => self.times(right, columns),
        }
    }

    /// [`Matrix::transposed_times`] in doubles where they are exact.
    pub(crate) fn exact_transposed_times(&self, right: &Self, columns: usize) -> Sums {
        match self.as_doubles(right, self.rows()) {
            Some((left, right)) => left.transposed_times(&right, columns).into_sums(),
            None => self.transposed_times(right, columns),
        }
    }

    /// Both factors as doubles, if no sum of so many products exceeds `2^53`: processors multiply doubles several times faster than
    /// 64-bit integers.
    fn as_doubles(&self, right: &Self, terms: usize) -> Option<(Matrix<f64>, Matrix<f64>)> {
        let largest =
            |matrix: &Self| matrix.values.iter().map(|value| value.unsigned_abs()).max().unwrap_or(0);
        let bound = u128::from(largest(self)) * u128::from(largest(right)) * terms as u128;
        let doubles = |matrix: &Self| {
            Matrix::new(matrix.columns, matrix.values.iter().map(|value| f64::from(*value)).collect())
        };
        (bound <= 1 << 53).then(|| (doubles(self), doubles(right)))
    }
}

impl Matrix<f64> {
    fn into_sums(self) -> Sums {
        Matrix::new(self.columns, self.values.iter().map(|value| *value as i64).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_used_only_where_they_are_exact_and_agree_with_integers() {
        for limit in [1 << 12, i32::MAX] {
            let matrix = |columns: usize, seed: i64| {
                let entry = |index: i64| ((index * 7_919 + seed) * 104_729 % i64::from(limit)) as i32;
                Integers::new(columns, (0..columns as i64 * 6).map(entry).collect())
            };
            let (left, right) = (matrix(11, 3), matrix(11, -5));
            assert_eq!(left.as_doubles(&right, 11).is_some(), limit == 1 << 12);
            let equal = |one: Sums, other: Sums| assert_eq!(*one.values, *other.values);
            equal(left.exact_times_transposed(&right), left.times_transposed(&right));
            equal(left.exact_transposed_times(&right, 9), left.transposed_times(&right, 9));
            let square = matrix(6, 1);
            equal(square.exact_times(&right, 11), square.times(&right, 11));
        }
    }
}
