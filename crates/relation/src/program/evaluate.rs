//! A program in the clear: the values of its checks, and the first entry that breaks a rule.
//!
//! Plain loops over integers, which fix what prover and verifier must agree with. A prover takes the words of its lookup
//! from here, so what it proves is what was checked.

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{Axis, Check, Operand, ParameterId, Program, Rule, Samples, Source, TensorId, Term, Value};

/// Private numbers of a program.
#[derive(Clone, Default)]
pub struct Witness {
    /// For each committed tensor, the matrices of all steps one after the other, row by row.
    pub tensors: Vec<Zeroizing<Vec<i16>>>,
    /// Each parameter as it is before the first step.
    pub parameters: Vec<Zeroizing<Vec<i32>>>,
    /// The samples of all steps in the order of the selection.
    pub samples: Zeroizing<Vec<i16>>,
    /// For each tensor of [`Program::carried`], its matrix of the step before the first.
    pub carried: Vec<Zeroizing<Vec<i16>>>,
}

/// An entry that does not keep its rule, or a witness of other sizes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A part of the witness has another length.
    #[error("{what}: {expected} entries expected, {found} found")]
    Size {
        /// Which part.
        what: String,
        /// Entries the program asks for.
        expected: usize,
        /// Entries there are.
        found: usize,
    },
    /// A parameter leaves 32 bits.
    #[error("parameter `{parameter}` leaves 32 bits in step {step}, at row {row}, column {column}")]
    Parameter {
        /// The parameter.
        parameter: String,
        /// The step, from 0.
        step: usize,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
    },
    /// An entry is out of its range.
    #[error(
        "`{check}` does not hold in step {step}, at row {row}, column {column}: {value} is not {expected}"
    )]
    Entry {
        /// The check.
        check: String,
        /// The step, from 0.
        step: usize,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The entry, offset included.
        value: i64,
        /// What it should be.
        expected: String,
    },
}

/// The state of an evaluation: a witness at one step.
#[derive(Clone)]
pub struct Evaluation<'a> {
    program: &'a Program,
    witness: &'a Witness,
    step: usize,
    parameters: Vec<Zeroizing<Vec<i32>>>,
}

impl<'a> Evaluation<'a> {
    /// Starts at the first step, after the sizes of all parts were compared.
    pub fn new(program: &'a Program, witness: &'a Witness) -> Result<Self, Violation> {
        let size = |what: String, expected: usize, found: usize| {
            if expected == found { Ok(()) } else { Err(Violation::Size { what, expected, found }) }
        };
        size("committed tensors".to_owned(), program.tensors.len(), witness.tensors.len())?;
        size("parameters".to_owned(), program.parameters.len(), witness.parameters.len())?;
        for (tensor, values) in program.tensors.iter().zip(&witness.tensors) {
            size(format!("tensor `{}`", tensor.name), tensor.shape.entries() * program.steps, values.len())?;
        }
        for (parameter, values) in program.parameters.iter().zip(&witness.parameters) {
            size(format!("parameter `{}`", parameter.name), parameter.shape.entries(), values.len())?;
        }
        let samples = program.steps * program.samples.per_step * program.samples.width;
        size("samples".to_owned(), samples, witness.samples.len())?;
        let carried = program.carried();
        size("tensors carried over".to_owned(), carried.len(), witness.carried.len())?;
        for (TensorId(id), values) in carried.into_iter().zip(&witness.carried) {
            let entries = program.tensors.get(id).map_or(0, |tensor| tensor.shape.entries());
            size(format!("the matrix of tensor {id} that is carried over"), entries, values.len())?;
        }
        Ok(Self { program, witness, step: 0, parameters: witness.parameters.clone() })
    }

    /// The step, from 0.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The parameters at the beginning of this step.
    pub fn parameters(&self) -> &[Zeroizing<Vec<i32>>] {
        &self.parameters
    }

    /// Moves the parameters and goes on to the next step.
    pub fn advance(&mut self) -> Result<(), Violation> {
        for (parameter, values) in self.program.parameters.iter().zip(&mut self.parameters) {
            let Some(TensorId(id)) = parameter.moved_by else { continue };
            let entries = parameter.shape.entries();
            let deltas = &self.witness.tensors[id][self.step * entries..][..entries];
            for (index, (value, delta)) in values.iter_mut().zip(deltas).enumerate() {
                *value = value.checked_add(i32::from(*delta)).ok_or_else(|| Violation::Parameter {
                    parameter: parameter.name.clone(),
                    step: self.step,
                    row: index / parameter.shape.columns,
                    column: index % parameter.shape.columns,
                })?;
            }
        }
        self.step += 1;
        Ok(())
    }

    /// The matrix of a source in this step, row by row.
    pub fn source(&self, source: Source) -> Zeroizing<Vec<i32>> {
        let wide = |values: &[i16]| Zeroizing::new(values.iter().map(|value| i32::from(*value)).collect());
        match source {
            Source::Committed(id) => wide(self.committed(id, self.step)),
            Source::Before(id) => match self.step.checked_sub(1) {
                Some(step) => wide(self.committed(id, step)),
                None => {
                    let place = self.program.carried().iter().position(|carried| *carried == id);
                    place.map(|place| wide(&self.witness.carried[place])).unwrap_or_default()
                }
            },
            Source::Parameter(ParameterId(id)) => self.parameters[id].clone(),
            Source::Samples { first, columns } => {
                let Samples { per_step, width } = self.program.samples;
                let rows =
                    self.witness.samples[self.step * per_step * width..][..per_step * width].chunks(width);
                Zeroizing::new(
                    rows.flat_map(|row| &row[first..first + columns])
                        .map(|value| i32::from(*value))
                        .collect(),
                )
            }
        }
    }

    fn committed(&self, TensorId(id): TensorId, step: usize) -> &[i16] {
        let entries = self.program.tensors[id].shape.entries();
        &self.witness.tensors[id][step * entries..][..entries]
    }

    /// The sum that a factor of a product is, row by row.
    ///
    /// Sums of a valid program fit i64; factors fit i32 or are refused by [`super::bounds`] through the product's bound.
    pub fn operand(&self, operand: &Operand) -> Zeroizing<Vec<i64>> {
        let mut sum = Zeroizing::new(vec![0; operand.shape.entries()]);
        for term in &operand.terms {
            self.add(term, operand.shape.columns, operand.shape.rows, &mut sum);
        }
        sum
    }

    /// The entries of a check in this step, offset included.
    pub fn check(&self, check: &Check) -> Zeroizing<Vec<i64>> {
        let mut sum = Zeroizing::new(vec![check.offset; check.shape.entries()]);
        for term in &check.terms {
            self.add(term, check.shape.columns, check.shape.rows, &mut sum);
        }
        sum
    }

    /// As [`Evaluation::check`], refused if an entry does not keep the rule; `exponentials` is the program's table.
    pub fn checked(
        &self,
        check: &Check,
        exponentials: Option<&[u16]>,
    ) -> Result<Zeroizing<Vec<i64>>, Violation> {
        let values = self.check(check);
        let result = match check.rule {
            Rule::Exponential { result } => self.source(result),
            Rule::Word { .. } | Rule::Zero => Zeroizing::default(),
        };
        let broken = values.iter().enumerate().find_map(|(index, value)| {
            let expected = expected(check.rule, *value, exponentials, result.get(index).copied())?;
            Some((index, *value, expected))
        });
        match broken {
            None => Ok(values),
            Some((index, value, expected)) => Err(Violation::Entry {
                check: check.name.clone(),
                step: self.step,
                row: index / check.shape.columns,
                column: index % check.shape.columns,
                value,
                expected,
            }),
        }
    }

    /// Adds a term to a matrix of so many columns and rows, cut to them.
    fn add(&self, term: &Term, columns: usize, rows: usize, sum: &mut [i64]) {
        let factor = term.coefficient;
        let mut add_rows = |values: &mut dyn Iterator<Item = i64>, width: usize| {
            for row in 0..rows {
                for column in 0..width {
                    let Some(value) = values.next() else { return };
                    if column < columns {
                        sum[row * columns + column] += factor * value;
                    }
                }
            }
        };
        match &term.value {
            Value::Source(source) => {
                let width = self.program.shape(*source).map_or(1, |shape| shape.columns);
                add_rows(&mut self.source(*source).iter().map(|value| i64::from(*value)), width);
            }
            Value::Entrywise(left, right) => {
                let width = self.program.shape(*left).map_or(1, |shape| shape.columns);
                let (left, right) = (self.source(*left), self.source(*right));
                let products = left.iter().zip(right.iter());
                add_rows(&mut products.map(|(left, right)| i64::from(*left) * i64::from(*right)), width);
            }
            Value::Ones { rows: ones, first, columns: count } => {
                for row in 0..rows.min(*ones) {
                    for column in (*first..first + count).filter(|column| *column < columns) {
                        sum[row * columns + column] += factor;
                    }
                }
            }
            Value::Product(product) => {
                let inner = product.inner();
                let left = self.by_outer(&product.left, inner);
                let right = self.by_outer(&product.right, inner);
                let right_rows = right.len() / inner;
                sum.par_chunks_mut(columns).zip(left.par_chunks(inner)).take(rows).for_each(|(sum, left)| {
                    for (sum, right) in sum.iter_mut().zip(right.chunks(inner)).take(right_rows) {
                        *sum += factor * dot(left, right);
                    }
                });
            }
        }
    }

    /// A factor with its outer axis first, and only the first `inner` entries of the other one.
    fn by_outer(&self, operand: &Operand, inner: usize) -> Zeroizing<Vec<i64>> {
        let values = self.operand(operand);
        let columns = operand.shape.columns;
        let outer = operand.shape.length(operand.inner.other());
        let at = |outer: usize, inner: usize| match operand.inner {
            Axis::Columns => values[outer * columns + inner],
            Axis::Rows => values[inner * columns + outer],
        };
        Zeroizing::new(
            (0..outer).flat_map(|i| (0..inner).map(move |k| (i, k))).map(|(i, k)| at(i, k)).collect(),
        )
    }
}

/// The inner product of two rows; the bounds of the program keep it inside i64.
fn dot(left: &[i64], right: &[i64]) -> i64 {
    left.iter().zip(right).fold(0i64, |sum, (left, right)| sum.wrapping_add(left.wrapping_mul(*right)))
}

impl Program {
    /// Checks a witness of a valid program: the first violation of the first step that has one.
    pub fn check(&self, witness: &Witness) -> Result<(), Violation> {
        let table = self.exponential.map(|table| table.entries());
        let mut evaluation = Evaluation::new(self, witness)?;
        for _ in 0..self.steps {
            for check in &self.checks {
                evaluation.checked(check, table.as_deref())?;
            }
            evaluation.advance()?;
        }
        Ok(())
    }
}

/// What an entry should have been, or `None` if it keeps its rule.
fn expected(rule: Rule, value: i64, table: Option<&[u16]>, result: Option<i32>) -> Option<String> {
    match rule {
        Rule::Word { shift } => {
            let end = 1i64 << (16 - shift);
            (!(0..end).contains(&value)).then(|| format!("in 0..{end}"))
        }
        Rule::Zero => (value != 0).then(|| "zero".to_owned()),
        Rule::Exponential { .. } => {
            let entry = usize::try_from(value).ok().and_then(|index| table?.get(index).copied());
            match (entry, result) {
                (Some(entry), Some(result)) if i32::from(entry) == result => None,
                (Some(entry), Some(result)) => {
                    Some(format!("the index of {result} in the table of exponentials, where {entry} stands"))
                }
                _ => Some("an index of the table of exponentials, 0..65536".to_owned()),
            }
        }
    }
}
