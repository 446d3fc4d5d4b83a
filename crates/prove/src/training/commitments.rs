//! The prover's rows: commitments with fresh blinds, and combinations of all rows.

use ark_ff::Zero;
use lorica_algebra::kernels::combine::combine_scalars;
use lorica_algebra::kernels::rows::{RowCommitter, RowError};
use lorica_algebra::point::{self, EncodedPoint, FixedBase};
use lorica_algebra::{Point, Scalar};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::values::{Counts, RowValues};
use crate::multiplicities::commit_counts;
use crate::randomness::Randomness;

/// All rows of a proof with the blinds of their commitments.
pub struct Rows {
    /// Values, in the order of the layout.
    pub values: Vec<RowValues>,
    /// One for each.
    pub blinds: Zeroizing<Vec<Scalar>>,
}

/// Columns that one task combines.
const COLUMNS: usize = 1 << 10;

impl Rows {
    /// Commits to further rows of 16-bit integers or field elements, with fresh blinds.
    pub fn commit(
        &mut self,
        rows: Vec<RowValues>,
        bases: &[Point],
        blinding: &Point,
        randomness: &mut Randomness,
    ) -> Result<Vec<EncodedPoint>, RowError> {
        let narrow: Vec<&[i16]> = rows.iter().filter_map(narrow).collect();
        let mut committed = RowCommitter::new(bases).commit(&narrow)?.into_iter();
        let sums = rows.iter().map(|row| match row {
            RowValues::Narrow(_) => committed.next().unwrap_or_else(point::identity),
            RowValues::Field(values) => point::multiscalar(values, &bases[..values.len()]),
            RowValues::Wide { high, low } => {
                let wide =
                    |(high, low): (&i16, &i16)| Scalar::from((i64::from(*high) << 16) + i64::from(*low));
                let values: Vec<Scalar> = high.iter().zip(low.iter()).map(wide).collect();
                point::multiscalar(&values, &bases[..values.len()])
            }
        });
        let sums: Vec<Point> = sums.collect();
        Ok(self.blind(rows, sums, blinding, randomness))
    }

    /// Commits to the multiplicities of one lookup, cut into rows of `2^bits`.
    pub fn commit_counts(
        &mut self,
        counts: &Counts,
        bases: &[Point],
        blinding: &Point,
        randomness: &mut Randomness,
    ) -> Result<(Zeroizing<Vec<Scalar>>, Vec<EncodedPoint>), RowError> {
        let (values, sums): (Vec<Scalar>, Vec<Point>) = match counts {
            Counts::Numbers(counts) => {
                (counts.iter().map(|count| Scalar::from(*count)).collect(), commit_counts(counts, bases)?)
            }
            Counts::Field(values) => (
                values.clone(),
                values.chunks(bases.len()).map(|row| point::multiscalar(row, bases)).collect(),
            ),
        };
        let rows =
            values.chunks(bases.len()).map(|row| RowValues::Field(Zeroizing::new(row.to_vec()))).collect();
        let commitments = self.blind(rows, sums, blinding, randomness);
        Ok((Zeroizing::new(values), commitments))
    }

    fn blind(
        &mut self,
        rows: Vec<RowValues>,
        sums: Vec<Point>,
        blinding: &Point,
        randomness: &mut Randomness,
    ) -> Vec<EncodedPoint> {
        let blinding = FixedBase::new(blinding);
        let blinds = Zeroizing::new(randomness.scalars(sums.len()));
        let commitments = sums
            .par_iter()
            .zip(blinds.par_iter())
            .map(|(sum, blind)| EncodedPoint::new(*sum + blinding.times(blind)))
            .collect();
        self.values.extend(rows);
        self.blinds.extend(blinds.iter());
        commitments
    }

    /// `sum_r weight_r row_r`, cut at `length` entries; what is beyond the end of a row counts as zero.
    pub fn combine(&self, rows: &[(usize, Scalar)], length: usize) -> Zeroizing<Vec<Scalar>> {
        let mut sum = Zeroizing::new(vec![Scalar::zero(); length]);
        let two_16 = Scalar::from(1u32 << 16);
        let mut narrow: Vec<(&[i16], Scalar)> = Vec::new();
        for (row, weight) in rows.iter().filter(|(_, weight)| !weight.is_zero()) {
            match &self.values[*row] {
                RowValues::Narrow(values) => narrow.push((&values[..values.len().min(length)], *weight)),
                RowValues::Wide { high, low } => {
                    narrow.push((&high[..high.len().min(length)], two_16 * weight));
                    narrow.push((&low[..low.len().min(length)], *weight));
                }
                RowValues::Field(values) => {
                    for (sum, value) in sum.iter_mut().zip(values.iter()) {
                        *sum += *weight * value;
                    }
                }
            }
        }
        add_combination(&mut narrow, &mut sum);
        sum
    }

    /// The blind of the combination of all rows with the given weights.
    pub fn combined_blind(&self, weights: &[Scalar]) -> Scalar {
        weights.iter().zip(self.blinds.iter()).map(|(weight, blind)| *weight * blind).sum()
    }
}

fn narrow(row: &RowValues) -> Option<&[i16]> {
    match row {
        RowValues::Narrow(values) => Some(values),
        RowValues::Wide { .. } | RowValues::Field(_) => None,
    }
}

/// Adds `sum_r weight_r row_r` for rows that may be shorter than the sum.
pub(super) fn add_combination(rows: &mut Vec<(&[i16], Scalar)>, sum: &mut [Scalar]) {
    rows.sort_by_key(|(values, _)| std::cmp::Reverse(values.len()));
    let (rows, weights): (Vec<&[i16]>, Vec<Scalar>) = rows.iter().copied().unzip();
    let mut ends: Vec<usize> = rows.iter().map(|row| row.len()).collect();
    ends.dedup();
    ends.reverse();
    let mut first = 0;
    for end in ends {
        let count = rows.partition_point(|row| row.len() >= end);
        sum[first..end].par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, sum)| {
            let start = first + chunk * COLUMNS;
            let rows: Vec<&[i16]> = rows[..count].iter().map(|row| &row[start..start + sum.len()]).collect();
            let mut part = Zeroizing::new(vec![Scalar::zero(); sum.len()]);
            combine_scalars(&weights[..count], &rows, &mut part);
            sum.iter_mut().zip(part.iter()).for_each(|(sum, part)| *sum += part);
        });
        first = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_of_rows_of_all_kinds_and_lengths() {
        let narrow =
            |length: i16| RowValues::Narrow(Zeroizing::new((0..length).map(|i| i * 300 - 7).collect()));
        let wide: Vec<i32> = (0..9).map(|i| i * 1_000_003 - 77_000_000).collect();
        let field: Vec<Scalar> = (0..5u64).map(|i| Scalar::from(i) - Scalar::from(1u64 << 60)).collect();
        let rows = Rows {
            values: vec![
                narrow(12),
                narrow(3),
                RowValues::wide(&wide).unwrap(),
                RowValues::Field(Zeroizing::new(field.clone())),
                narrow(7),
            ],
            blinds: Zeroizing::default(),
        };
        let weights = [5u64, 11, 1 << 50, 3, 7].map(Scalar::from);
        let all: Vec<(usize, Scalar)> = weights.iter().copied().enumerate().collect();
        let entry = |row: usize, i: usize| match row {
            0 | 1 | 4 => (i < [12, 3, 0, 0, 7][row]).then(|| Scalar::from(i as i64 * 300 - 7)),
            2 => wide.get(i).map(|value| Scalar::from(*value)),
            _ => field.get(i).copied(),
        };
        for length in [14, 12, 8, 3, 1] {
            let sum = rows.combine(&all, length);
            for (i, sum) in sum.iter().enumerate() {
                let expected: Scalar =
                    (0..5).map(|row| weights[row] * entry(row, i).unwrap_or_default()).sum();
                assert_eq!(*sum, expected, "{length}: {i}");
            }
        }
    }

    #[test]
    fn limbs_of_the_largest_numbers() {
        assert!(RowValues::wide(&[i32::MAX]).is_none());
        let largest = i32::MAX - (1 << 15);
        let Some(RowValues::Wide { high, low }) = RowValues::wide(&[largest, i32::MIN, -1]) else { panic!() };
        let value = |i: usize| (i32::from(high[i]) << 16) + i32::from(low[i]);
        assert_eq!([value(0), value(1), value(2)], [largest, i32::MIN, -1]);
    }
}
