//! Programs over the field: witnesses of any field elements, evaluated as the verifier's forms weigh them.
//!
//! Written for itself, with plain loops, and not from [`lorica_relation::program::evaluate`]: where a witness is one of integers
//! the two have to agree.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_relation::program::evaluate::Witness;
use lorica_relation::program::{
    Axis, Check, Operand, ParameterId, Program, Shape, Source, TensorId, Term, Value,
};

/// Private numbers of a program: the parts of a [`Witness`], of any field elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldWitness {
    /// For each committed tensor, the matrices of all steps.
    pub tensors: Vec<Vec<Scalar>>,
    /// Each parameter before the first step.
    pub parameters: Vec<Vec<Scalar>>,
    /// The samples of all steps.
    pub samples: Vec<Scalar>,
    /// For each tensor that is carried over, its matrix of the step before the first.
    pub carried: Vec<Vec<Scalar>>,
}

/// A matrix, row by row.
struct Matrix {
    shape: Shape,
    entries: Vec<Scalar>,
}

impl Matrix {
    fn zeros(shape: Shape) -> Self {
        Self { shape, entries: vec![Scalar::zero(); shape.entries()] }
    }

    /// Zero outside of the shape.
    fn at(&self, row: usize, column: usize) -> Scalar {
        let inside = row < self.shape.rows && column < self.shape.columns;
        if inside { self.entries[row * self.shape.columns + column] } else { Scalar::zero() }
    }

    /// Adds a multiple of another matrix, cut to this one's shape.
    fn add(&mut self, other: &Self, factor: Scalar) {
        for row in 0..self.shape.rows {
            for column in 0..self.shape.columns {
                self.entries[row * self.shape.columns + column] += factor * other.at(row, column);
            }
        }
    }
}

fn scalars<T: Copy>(values: &[T]) -> Vec<Scalar>
where
    Scalar: From<T>,
{
    values.iter().map(|value| Scalar::from(*value)).collect()
}

impl FieldWitness {
    /// The same numbers.
    pub fn of(witness: &Witness) -> Self {
        Self {
            tensors: witness.tensors.iter().map(|values| scalars(values)).collect(),
            parameters: witness.parameters.iter().map(|values| scalars(values)).collect(),
            samples: scalars(&witness.samples),
            carried: witness.carried.iter().map(|values| scalars(values)).collect(),
        }
    }

    /// The matrix of a source in a step, row by row.
    pub fn source(&self, program: &Program, step: usize, source: Source) -> Vec<Scalar> {
        let committed = |TensorId(id): TensorId, step: usize| {
            let entries = program.tensors[id].shape.entries();
            self.tensors[id][step * entries..][..entries].to_vec()
        };
        match source {
            Source::Committed(id) => committed(id, step),
            Source::Before(id) if step > 0 => committed(id, step - 1),
            Source::Before(id) => {
                let place = program.carried().iter().position(|carried| *carried == id);
                self.carried[place.unwrap_or(usize::MAX)].clone()
            }
            Source::Parameter(ParameterId(id)) => {
                let mut values = self.parameters[id].clone();
                if let Some(by) = program.parameters[id].moved_by {
                    for step in 0..step {
                        values.iter_mut().zip(committed(by, step)).for_each(|(value, moved)| *value += moved);
                    }
                }
                values
            }
            Source::Samples { first, columns } => {
                let (rows, width) = (program.samples.per_step, program.samples.width);
                let of_step = self.samples[step * rows * width..][..rows * width].chunks(width);
                of_step.flat_map(|row| &row[first..first + columns]).copied().collect()
            }
        }
    }

    /// The entries of a check in a step, offset included, before any shift.
    pub fn check(&self, program: &Program, step: usize, check: &Check) -> Vec<Scalar> {
        let mut sum = Matrix::zeros(check.shape);
        sum.entries.fill(Scalar::from(check.offset));
        for term in &check.terms {
            sum.add(&self.value(program, step, &term.value), Scalar::from(term.coefficient));
        }
        sum.entries
    }

    fn matrix(&self, program: &Program, step: usize, source: Source) -> Matrix {
        let shape = program.shape(source).unwrap_or(Shape { rows: 0, columns: 0 });
        Matrix { shape, entries: self.source(program, step, source) }
    }

    fn value(&self, program: &Program, step: usize, value: &Value) -> Matrix {
        match value {
            Value::Source(source) => self.matrix(program, step, *source),
            Value::Entrywise(left, right) => {
                let mut product = self.matrix(program, step, *left);
                let right = self.source(program, step, *right);
                product.entries.iter_mut().zip(right).for_each(|(left, right)| *left *= right);
                product
            }
            Value::Ones { rows, first, columns } => {
                let mut ones = Matrix::zeros(Shape { rows: *rows, columns: first + columns });
                for row in 0..*rows {
                    ones.entries[row * (first + columns)..][*first..][..*columns].fill(Scalar::from(1u8));
                }
                ones
            }
            Value::Product(product) => {
                let left = self.by_outer(program, step, &product.left);
                let right = self.by_outer(program, step, &product.right);
                let mut sums = Matrix::zeros(Shape { rows: left.shape.rows, columns: right.shape.rows });
                for row in 0..left.shape.rows {
                    for column in 0..right.shape.rows {
                        sums.entries[row * right.shape.rows + column] =
                            (0..product.inner()).map(|k| left.at(row, k) * right.at(column, k)).sum();
                    }
                }
                sums
            }
        }
    }

    /// A factor of a product with its outer axis first.
    fn by_outer(&self, program: &Program, step: usize, operand: &Operand) -> Matrix {
        let mut sum = Matrix::zeros(operand.shape);
        for Term { coefficient, value } in &operand.terms {
            sum.add(&self.value(program, step, value), Scalar::from(*coefficient));
        }
        if operand.inner == Axis::Columns {
            return sum;
        }
        let Shape { rows, columns } = operand.shape;
        let mut turned = Matrix::zeros(Shape { rows: columns, columns: rows });
        for row in 0..columns {
            for column in 0..rows {
                turned.entries[row * rows + column] = sum.at(column, row);
            }
        }
        turned
    }
}
