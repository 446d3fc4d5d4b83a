//! The prover's half of step 5: the sumcheck of all products of matrices.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::walk::Rounds;
use lorica_relation::program::{Axis, Operand, Product, Program, Shape, Term, Value};
use lorica_verify::training::forms::AxisForm;
use lorica_verify::training::reduce::{ProductClaim, ProductSums, product_rounds};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::commitments::add_combination;
use super::values::{Matrix, TrainingValues};
use crate::randomness::Randomness;
use crate::range::RangeProofError;
use crate::scratch::Scratch;
use crate::tables::{ProductTables, RoundPolynomial};

/// The tables of one claim, and its factor.
struct Sum {
    factor: Scalar,
    tables: ProductTables,
    /// Entries of the lower half of its own domain before the next round; zero when it is bound.
    half: usize,
    /// Rounds before its own variables begin.
    above: usize,
    /// `(1 - r)` over these rounds.
    below: Scalar,
    /// `factor * sum`, when its own variables have not begun.
    claim: Scalar,
}

/// The prover's party for products of matrices.
pub struct ProductsOfMatrices<'s, 'g> {
    program: &'s Program,
    values: &'s dyn TrainingValues,
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
    sums: Vec<Sum>,
}

impl<'s, 'g> ProductsOfMatrices<'s, 'g> {
    /// Starts behind the lookup.
    pub fn new(
        program: &'s Program,
        values: &'s dyn TrainingValues,
        scratch: &'s mut Scratch<'g>,
        randomness: &'s mut Randomness,
    ) -> Self {
        Self { program, values, scratch, randomness, sums: Vec::new() }
    }
}

impl ProductSums for ProductsOfMatrices<'_, '_> {
    fn total(&mut self, claims: &[ProductClaim<'_>]) -> Result<EncodedPoint, RangeProofError> {
        let rounds = product_rounds(claims.iter().map(ProductClaim::variables));
        self.sums = claims.iter().map(|claim| self.sum(claim, rounds)).collect();
        let total = self.sums.iter().map(|sum| sum.claim).sum();
        Ok(self.scratch.commit(&[total], self.randomness))
    }

    fn ends(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let end = |table: &Vec<Scalar>| table.first().copied().unwrap_or_default();
        let ends: Vec<Scalar> =
            self.sums.iter().flat_map(|sum| [end(&sum.tables.left), end(&sum.tables.right)]).collect();
        Ok(self.scratch.commit(&ends, self.randomness))
    }
}

impl Rounds for ProductsOfMatrices<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let zero = RoundPolynomial { constant: Scalar::zero(), leading: Scalar::zero() };
        let polynomial = self.sums.iter().fold(zero, |polynomial, sum| {
            let factor = sum.factor * sum.below * sum.below;
            let own = if sum.above > 0 {
                // Above its own variables the polynomial is claim (1 - X)^2.
                RoundPolynomial { constant: sum.claim, leading: sum.claim }
            } else {
                sum.tables.round(sum.half).scaled(factor)
            };
            polynomial + own
        });
        Ok(self.scratch.commit(&[polynomial.constant, polynomial.leading], self.randomness))
    }

    fn bind(&mut self, challenge: Scalar) {
        for sum in &mut self.sums {
            if sum.above > 0 {
                let rest = Scalar::from(1u8) - challenge;
                sum.below *= rest;
                sum.claim *= rest * rest;
                sum.above -= 1;
            } else {
                sum.tables.bind(sum.half, challenge);
                sum.half /= 2;
            }
        }
    }
}

impl ProductsOfMatrices<'_, '_> {
    /// The tables of a claim: entry `t 2^n + k` is that of step t and inner index k, n variables of the inner axis.
    fn sum(&self, claim: &ProductClaim<'_>, rounds: usize) -> Sum {
        let [of_steps, of_inner] = claim.variables();
        let Product { left, right } = claim.product;
        let inner = claim.product.inner();
        let steps = claim.form.steps.len();
        let length = ((steps - 1) << of_inner) + inner;
        let (mut left_table, mut right_table) = (vec![Scalar::zero(); length], vec![Scalar::zero(); length]);
        for (step, weight) in claim.form.steps.iter().enumerate() {
            let place = step << of_inner;
            let right_values = self.fold(step, right, &claim.form.columns, inner);
            right_table[place..place + inner].copy_from_slice(&right_values);
            if weight.is_zero() {
                continue;
            }
            let left_values = self.fold(step, left, &claim.form.rows, inner);
            for (entry, value) in left_table[place..place + inner].iter_mut().zip(left_values.iter()) {
                *entry = *weight * value;
            }
        }
        let tables = ProductTables { left: left_table, right: right_table, right_is_public: false };
        let variables = of_steps + of_inner;
        Sum {
            factor: claim.factor,
            claim: claim.factor * tables.sum(),
            tables,
            half: 1 << variables >> 1,
            above: rounds - variables,
            below: Scalar::from(1u8),
        }
    }

    /// The form on a factor's outer axis, applied: one value for each inner index.
    fn fold(&self, step: usize, operand: &Operand, outer: &AxisForm, inner: usize) -> Zeroizing<Vec<Scalar>> {
        let mut sum = Zeroizing::new(vec![Scalar::zero(); inner]);
        let outer = outer.cut(operand.shape.length(operand.inner.other()));
        for Term { coefficient, value } in &operand.terms {
            let coefficient = Scalar::from(*coefficient);
            let (matrix, shape) = match value {
                Value::Source(source) => (self.values.source(step, *source), self.program.shape(*source)),
                Value::Entrywise(left, right) => {
                    let product = self.values.source(step, *left).times(&self.values.source(step, *right));
                    (product, self.program.shape(*left))
                }
                Value::Ones { rows, first, columns } => {
                    add_ones(&mut sum, coefficient, operand.inner, &outer, (*rows, *first, *columns));
                    continue;
                }
                Value::Product(_) => continue,
            };
            let Some(shape) = shape else { continue };
            let folded = fold_matrix(&matrix, shape, operand.inner, &outer);
            sum.iter_mut().zip(folded.iter()).for_each(|(sum, value)| *sum += coefficient * value);
        }
        sum
    }
}

fn add_ones(
    sum: &mut [Scalar],
    coefficient: Scalar,
    inner: Axis,
    outer: &AxisForm,
    (rows, first, columns): (usize, usize, usize),
) {
    let (weight, range) = match inner {
        Axis::Columns => (outer.sum(0, rows), first..first + columns),
        Axis::Rows => (outer.sum(first, first + columns), 0..rows),
    };
    let end = range.end.min(sum.len());
    for value in sum.get_mut(range.start..end).unwrap_or_default() {
        *value += coefficient * weight;
    }
}

/// `sum_o weight_o matrix[o, k]` for every inner index k.
fn fold_matrix(matrix: &Matrix, shape: Shape, inner: Axis, outer: &AxisForm) -> Zeroizing<Vec<Scalar>> {
    let outer = outer.cut(shape.length(inner.other()));
    let weights = outer.weights();
    let lines = outer.first..outer.first + outer.length;
    let count = shape.length(inner);
    match (matrix, inner) {
        (Matrix::Field(values), _) => {
            let at = |outer: usize, k: usize| match inner {
                Axis::Columns => values[outer * shape.columns + k],
                Axis::Rows => values[k * shape.columns + outer],
            };
            let value =
                |k: usize| lines.clone().zip(&weights).map(|(line, weight)| at(line, k) * weight).sum();
            Zeroizing::new((0..count).map(value).collect())
        }
        (Matrix::Integers(values), Axis::Columns) => combine_integers(
            &values[lines.start * shape.columns..lines.end * shape.columns],
            shape.columns,
            &weights,
        ),
        (Matrix::Integers(values), Axis::Rows) => {
            let column = |column: usize| (0..shape.rows).map(move |row| (row, column));
            let transposed: Zeroizing<Vec<i32>> = Zeroizing::new(
                lines.flat_map(column).map(|(row, column)| values[row * shape.columns + column]).collect(),
            );
            combine_integers(&transposed, shape.rows, &weights)
        }
    }
}

/// The combination of rows of 32-bit integers: of their low limbs, and of their high limbs where there are any.
fn combine_integers(values: &[i32], width: usize, weights: &[Scalar]) -> Zeroizing<Vec<Scalar>> {
    let mut sum = Zeroizing::new(vec![Scalar::zero(); width]);
    let low: Zeroizing<Vec<i16>> = Zeroizing::new(values.par_iter().map(|value| *value as i16).collect());
    let mut rows: Vec<(&[i16], Scalar)> = low.chunks(width).zip(weights.iter().copied()).collect();
    add_combination(&mut rows, &mut sum);
    if values.par_iter().any(|value| i16::try_from(*value).is_err()) {
        // The upper limb of a sum may be 2^15, one more than int16 holds: it is taken as half of it and the rest.
        let high = |value: &i32| (i64::from(*value) - i64::from(*value as i16)) >> 16;
        let half = |value: &i32| (high(value) >> 1) as i16;
        let rest = |value: &i32| (high(value) - i64::from(half(value))) as i16;
        let halves: Zeroizing<Vec<i16>> = Zeroizing::new(values.par_iter().map(half).collect());
        let rests: Zeroizing<Vec<i16>> = Zeroizing::new(values.par_iter().map(rest).collect());
        let factor = Scalar::from(1u32 << 16);
        for limbs in [halves, rests] {
            let mut rows: Vec<(&[i16], Scalar)> =
                limbs.chunks(width).zip(weights.iter().map(|weight| factor * weight)).collect();
            add_combination(&mut rows, &mut sum);
        }
    }
    sum
}
