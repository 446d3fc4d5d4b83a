//! The prover's half of step 8: the sumcheck over the columns of all rows.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::walk::Rounds;
use lorica_verify::training::layout::RowGroup;
use lorica_verify::training::schedule::Columns;

use super::commitments::Rows;
use crate::randomness::Randomness;
use crate::range::RangeProofError;
use crate::scratch::Scratch;
use crate::tables::{ProductTables, RoundPolynomial};

/// The prover's party for the column rounds.
pub struct ColumnRounds<'s, 'g> {
    rows: &'s Rows,
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
    tables: Vec<ProductTables>,
    half: usize,
}

impl<'s, 'g> ColumnRounds<'s, 'g> {
    /// Starts behind all products, for rows of `2^rounds` entries at most.
    pub fn new(
        rows: &'s Rows,
        rounds: usize,
        scratch: &'s mut Scratch<'g>,
        randomness: &'s mut Randomness,
    ) -> Self {
        Self { rows, scratch, randomness, tables: Vec::new(), half: 1 << rounds >> 1 }
    }
}

impl Columns for ColumnRounds<'_, '_> {
    fn enter(&mut self, groups: &[RowGroup]) {
        // Whole rows, also where the form is zero: at the last point the verifier meets the extension of whole rows.
        for RowGroup { rows, column, form } in groups {
            let longest = rows.iter().map(|(row, _)| self.rows.values[*row].len()).max().unwrap_or(0);
            let mut right = vec![Scalar::zero(); longest];
            right[*column..column + form.len()].copy_from_slice(form);
            let left = std::mem::take(&mut *self.rows.combine(rows, longest));
            self.tables.push(ProductTables { left, right, right_is_public: true });
        }
    }
}

impl Rounds for ColumnRounds<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let zero = RoundPolynomial { constant: Scalar::zero(), leading: Scalar::zero() };
        let polynomial = self.tables.iter().fold(zero, |sum, tables| sum + tables.round(self.half));
        Ok(self.scratch.commit(&[polynomial.constant, polynomial.leading], self.randomness))
    }

    fn bind(&mut self, challenge: Scalar) {
        self.tables.iter_mut().for_each(|tables| tables.bind(self.half, challenge));
        self.half /= 2;
    }
}
