//! The prover's half of step 6: the sumcheck of all entrywise products, of degree three.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::walk::Rounds;
use lorica_relation::program::{Program, Shape};
use lorica_verify::training::reduce::{EntrywisePairs, EntrywiseSums, pair_variables};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use super::values::TrainingValues;
use crate::randomness::Randomness;
use crate::range::RangeProofError;
use crate::scratch::Scratch;

/// A table over steps, rows and columns, the indices of each padded to a power of two.
struct Table {
    values: Vec<Scalar>,
    /// Entries of the lower half of its own domain before the next round; zero when it is bound.
    half: usize,
    /// Rounds before its own variables begin.
    above: usize,
    /// `(1 - r)` over these rounds.
    below: Scalar,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.values.iter_mut().zeroize();
    }
}

/// Entries that one task of a parallel loop handles.
const CHUNK: usize = 1 << 12;

impl Table {
    fn bind(&mut self, challenge: Scalar) {
        if self.above > 0 {
            self.below *= Scalar::from(1u8) - challenge;
            self.above -= 1;
            return;
        }
        let (low, high) = self.values.split_at_mut(self.half);
        low.par_chunks_mut(CHUNK).zip(high.par_chunks_mut(CHUNK)).for_each(|(low, high)| {
            field::bind(low, high, challenge);
            high.iter_mut().zeroize();
        });
        self.values.truncate(self.half);
        self.half /= 2;
    }
}

/// The coefficients of a round polynomial that are committed to.
#[derive(Clone, Copy)]
struct Cubic([Scalar; 3]);

impl Cubic {
    const ZERO: Self = Self([<Scalar as ark_ff::AdditiveGroup>::ZERO; 3]);

    fn plus(self, other: Self) -> Self {
        let (Self(left), Self(right)) = (self, other);
        Self(std::array::from_fn(|i| left[i] + right[i]))
    }

    fn scaled(self, factor: Scalar) -> Self {
        Self(self.0.map(|coefficient| coefficient * factor))
    }
}

/// The prover's party for entrywise products.
pub struct EntrywiseProducts<'s, 'g> {
    program: &'s Program,
    values: &'s dyn TrainingValues,
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
    sources: Vec<Table>,
    /// For each pair, its form and the places of its factors.
    forms: Vec<(Table, [usize; 2])>,
}

impl<'s, 'g> EntrywiseProducts<'s, 'g> {
    /// Starts behind the products of matrices.
    pub fn new(
        program: &'s Program,
        values: &'s dyn TrainingValues,
        scratch: &'s mut Scratch<'g>,
        randomness: &'s mut Randomness,
    ) -> Self {
        Self { program, values, scratch, randomness, sources: Vec::new(), forms: Vec::new() }
    }

    /// An empty table for matrices of a shape.
    fn table(&self, shape: Shape, rounds: usize) -> Table {
        let variables: usize = pair_variables(self.program.steps, shape).into_iter().sum();
        Table {
            values: vec![Scalar::zero(); 1 << variables],
            half: 1 << variables >> 1,
            above: rounds - variables,
            below: Scalar::from(1u8),
        }
    }
}

impl EntrywiseSums for EntrywiseProducts<'_, '_> {
    fn total(&mut self, pairs: &EntrywisePairs) -> Result<EncodedPoint, RangeProofError> {
        let rounds = pairs.rounds(self.program.steps);
        for source in &pairs.sources {
            let Some(shape) = self.program.shape(*source) else { return Err(RangeProofError::Slots) };
            let [_, of_rows, of_columns] = pair_variables(self.program.steps, shape);
            let mut table = self.table(shape, rounds);
            for step in 0..self.program.steps {
                let matrix = self.values.source(step, *source).scalars();
                for (row, values) in matrix.chunks(shape.columns).enumerate() {
                    let place = ((step << of_rows) + row) << of_columns;
                    table.values[place..place + values.len()].copy_from_slice(values);
                }
            }
            self.sources.push(table);
        }
        for pair in &pairs.pairs {
            let [_, of_rows, of_columns] = pair_variables(self.program.steps, pair.shape);
            let mut table = self.table(pair.shape, rounds);
            for (factor, form) in &pair.claims {
                let (rows, columns) = (form.rows.weights(), form.columns.weights());
                for (step, of_step) in form.steps.iter().enumerate().filter(|(_, weight)| !weight.is_zero()) {
                    let of_step = *factor * of_step;
                    let first = step << (of_rows + of_columns);
                    let of_step_rows = &mut table.values[first + (form.rows.first << of_columns)..];
                    of_step_rows.par_chunks_mut(1 << of_columns).zip(&rows).for_each(|(values, of_row)| {
                        let weight = of_step * of_row;
                        for (value, of_column) in values[form.columns.first..].iter_mut().zip(&columns) {
                            *value += weight * of_column;
                        }
                    });
                }
            }
            self.forms.push((table, pair.sources));
        }
        let total = self.forms.iter().map(|(form, [left, right])| {
            let (left, right) = (&self.sources[*left].values, &self.sources[*right].values);
            let entries = form.values.par_iter().zip(left.par_iter()).zip(right.par_iter());
            entries
                .map(|((form, left), right)| *form * left * right)
                .reduce(Scalar::zero, |sum, value| sum + value)
        });
        let total: Scalar = total.sum();
        Ok(self.scratch.commit(&[total], self.randomness))
    }

    fn ends(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let ends: Zeroizing<Vec<Scalar>> = Zeroizing::new(
            self.sources.iter().map(|table| table.values.first().copied().unwrap_or_default()).collect(),
        );
        Ok(self.scratch.commit(&ends, self.randomness))
    }
}

impl Rounds for EntrywiseProducts<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let polynomial = self.forms.iter().fold(Cubic::ZERO, |sum, (form, [left, right])| {
            let (left, right) = (&self.sources[*left], &self.sources[*right]);
            sum.plus(round_polynomial([form, left, right]))
        });
        Ok(self.scratch.commit(&polynomial.0, self.randomness))
    }

    fn bind(&mut self, challenge: Scalar) {
        self.sources.iter_mut().for_each(|table| table.bind(challenge));
        self.forms.iter_mut().for_each(|(table, _)| table.bind(challenge));
    }
}

/// `g(0)` and the coefficients of `X^2` and `X^3` of the sum over three tables of one shape.
fn round_polynomial(tables: [&Table; 3]) -> Cubic {
    let [form, ..] = tables;
    let scale = form.below * form.below * form.below;
    if form.above > 0 {
        // Above its own variables the polynomial is sum (1 - X)^3.
        let [form, left, right] = tables.map(|table| table.values.par_iter());
        let sum = form.zip(left).zip(right).map(|((form, left), right)| *form * left * right);
        let sum = sum.reduce(Scalar::zero, |sum, value| sum + value);
        return Cubic([sum, sum + sum + sum, -sum]).scaled(scale);
    }
    let half = form.half;
    let halves = tables.map(|table| table.values.split_at(half));
    let [form, left, right] = halves.map(|(low, high)| low.par_chunks(CHUNK).zip(high.par_chunks(CHUNK)));
    let sums = form.zip(left).zip(right).map(|((form, left), right)| {
        let mut sum = Cubic::ZERO;
        for i in 0..form.0.len() {
            let [(f, df), (l, dl), (r, dr)] =
                [form, left, right].map(|(low, high)| (low[i], high[i] - low[i]));
            let (constant, leading, middle) = (l * r, dl * dr, l * dr + dl * r);
            sum = sum.plus(Cubic([f * constant, f * leading + df * middle, df * leading]));
        }
        sum
    });
    sums.reduce(|| Cubic::ZERO, Cubic::plus).scaled(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_polynomials_meet_the_claim_also_above_their_own_variables() {
        let table = |seed: u64| Table {
            values: (0..8u64).map(|i| Scalar::from(seed + i * i * 31)).collect(),
            half: 4,
            above: 2,
            below: Scalar::from(1u8),
        };
        let mut tables = [table(3), table(1000), table(77)];
        let sum = |tables: &[Table; 3]| -> Scalar {
            let [form, left, right] = tables;
            let scale = form.below * form.below * form.below;
            (0..form.values.len()).map(|i| form.values[i] * left.values[i] * right.values[i]).sum::<Scalar>()
                * scale
        };
        let mut claim = sum(&tables);
        for round in 0..5u64 {
            let [form, left, right] = &tables;
            let Cubic([c0, c2, c3]) = round_polynomial([form, left, right]);
            let r = Scalar::from(991 + round);
            let c1 = claim - c0 - c0 - c2 - c3;
            tables.iter_mut().for_each(|table| table.bind(r));
            claim = c0 + r * (c1 + r * (c2 + r * c3));
            assert_eq!(claim, sum(&tables), "{round}");
        }
    }
}
