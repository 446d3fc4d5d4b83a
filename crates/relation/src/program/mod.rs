//! Tensor programs: what a proof about private tensors states, as plain data.
//!
//! | module | what it holds |
//! |---|---|
//! | this one | the types: tensors, values made of them, checks |
//! | [`bounds`] | why every number of a program is a small integer, and the refusal of programs where it is not |
//! | [`digest`] | a program's digest |
//! | [`evaluate`] | the program in the clear: values of checks, and the first violation |
//! | [`exponential`] | the table of exponentials that softmax is looked up in |
//!
//! A program runs over T steps of one shape. Every step has one matrix for each *committed tensor*, a batch of *samples* (rows
//! of a registered data set, in a public order) and *parameters* (registered matrices, which a committed tensor may move from
//! step to step). A *check* is a matrix of values, each a sum of terms, of which every entry has to keep a rule: to be a
//! rounding residual of so many bits, to be zero, or to stand in a table.
//!
//! All numbers are integers. Rounding is a residual: that `Z` is `P / 2^16` rounded is the check that
//! `P - 2^16 Z + 2^15` lies in `[0, 2^16)`. Training steps are programs ; the prover and the verifier know
//! nothing of training.

pub mod bounds;
pub mod digest;
pub mod evaluate;
pub mod exponential;

use exponential::ExponentialTable;

/// Rows and columns of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape {
    /// Rows, at least 1.
    pub rows: usize,
    /// Columns, at least 1.
    pub columns: usize,
}

impl Shape {
    /// The number of entries; saturating, limits are checked by [`Program::validate`].
    pub fn entries(&self) -> usize {
        self.rows.saturating_mul(self.columns)
    }

    /// The length of one of the axes.
    pub fn length(&self, axis: Axis) -> usize {
        match axis {
            Axis::Rows => self.rows,
            Axis::Columns => self.columns,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} x {}", self.rows, self.columns)
    }
}

/// An axis of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The first one.
    Rows,
    /// The second one.
    Columns,
}

impl Axis {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Axis::Rows => Axis::Columns,
            Axis::Columns => Axis::Rows,
        }
    }
}

/// The number of a committed tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// The number of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub usize);

/// A tensor that the prover commits to: one matrix of int16 integers for each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedTensor {
    /// For people.
    pub name: String,
    /// The shape of one step's matrix.
    pub shape: Shape,
}

/// A registered matrix of 32-bit integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// For people.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// The tensor that is added to it after every step; `None` if it is frozen.
    pub moved_by: Option<TensorId>,
}

/// The samples of each step: rows of int16 integers of a registered data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples {
    /// Samples in a step's batch, N.
    pub per_step: usize,
    /// Entries of a sample.
    pub width: usize,
}

/// A matrix of integers that stands in commitments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// This step's matrix of a committed tensor.
    Committed(TensorId),
    /// The matrix of the step before; before the first step, the one that is carried over, or zero.
    Before(TensorId),
    /// A parameter as it is at the beginning of the step.
    Parameter(ParameterId),
    /// Columns of this step's samples, one sample a row.
    Samples {
        /// The first column.
        first: usize,
        /// How many.
        columns: usize,
    },
}

/// A matrix that follows from commitments and public numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A committed matrix.
    Source(Source),
    /// The entrywise product of two committed matrices of one shape.
    Entrywise(Source, Source),
    /// Public: ones in some columns of every row, zeros elsewhere.
    Ones {
        /// The number of rows.
        rows: usize,
        /// The first column of ones.
        first: usize,
        /// How many columns of ones.
        columns: usize,
    },
    /// The product of two matrices.
    Product(Product),
}

/// A multiple of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The factor.
    pub coefficient: i64,
    /// The matrix. It may have fewer columns than what it is a part of: it then stands to the left, beside zeros.
    pub value: Value,
}

impl Term {
    /// A multiple of a committed matrix.
    pub fn source(coefficient: i64, source: Source) -> Self {
        Self { coefficient, value: Value::Source(source) }
    }

    /// A multiple of an entrywise product.
    pub fn entrywise(coefficient: i64, left: Source, right: Source) -> Self {
        Self { coefficient, value: Value::Entrywise(left, right) }
    }

    /// A multiple of a product of matrices.
    pub fn product(coefficient: i64, left: Operand, right: Operand) -> Self {
        Self { coefficient, value: Value::Product(Product { left, right }) }
    }
}

/// A factor of a product of matrices: a sum of terms, none of which is itself a product of matrices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// The shape of the sum; terms may be narrower.
    pub shape: Shape,
    /// The terms.
    pub terms: Vec<Term>,
    /// The axis that is summed over.
    pub inner: Axis,
}

/// `sum_k left[i, k] right[j, k]`, where k runs over the inner axis of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its outer axis gives the rows of the product.
    pub left: Operand,
    /// Its outer axis gives the columns of the product.
    pub right: Operand,
}

impl Product {
    /// The number of summands: the shorter of the two inner axes. What is beyond it is multiplied by nothing.
    pub fn inner(&self) -> usize {
        let length = |operand: &Operand| operand.shape.length(operand.inner);
        length(&self.left).min(length(&self.right))
    }
}

/// What has to hold of every entry of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// `2^shift * entry` lies in `[0, 2^16)`: the entry has `16 - shift` bits.
    Word {
        /// At most 16.
        shift: u32,
    },
    /// The entry is zero.
    Zero,
    /// The entry is an index of the table of exponentials, and the entry of this committed matrix is what stands there.
    Exponential {
        /// Of the check's shape.
        result: Source,
    },
}

/// A matrix of values of which every entry keeps a rule, in every step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// For people: what is wrong when it fails.
    pub name: String,
    /// The shape.
    pub shape: Shape,
    /// Added to every entry.
    pub offset: i64,
    /// The sum that makes an entry; terms may be wider or longer, what is beyond the shape does not count.
    pub terms: Vec<Term>,
    /// What has to hold.
    pub rule: Rule,
}

/// A program. [`Program::validate`] has to accept it before anything is proven or verified about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// T, the number of steps, at least 1.
    pub steps: usize,
    /// Steps that moved the parameters before the first one of this program, since they were registered.
    pub steps_before: u64,
    /// Committed tensors.
    pub tensors: Vec<CommittedTensor>,
    /// Parameters.
    pub parameters: Vec<Parameter>,
    /// The samples of each step.
    pub samples: Samples,
    /// The table of exponentials, where a check asks for one.
    pub exponential: Option<ExponentialTable>,
    /// Everything that has to hold.
    pub checks: Vec<Check>,
}

impl Program {
    /// The shape of a source; `None` for a number that there is not.
    pub fn shape(&self, source: Source) -> Option<Shape> {
        match source {
            Source::Committed(TensorId(id)) | Source::Before(TensorId(id)) => {
                self.tensors.get(id).map(|tensor| tensor.shape)
            }
            Source::Parameter(ParameterId(id)) => self.parameters.get(id).map(|parameter| parameter.shape),
            Source::Samples { first, columns } => (columns > 0
                && first.checked_add(columns)? <= self.samples.width)
                .then_some(Shape { rows: self.samples.per_step, columns }),
        }
    }

    /// The tensors that a step takes over from the one before, each once, in order.
    pub fn carried(&self) -> Vec<TensorId> {
        let mut carried = Vec::new();
        let mut add = |source: &Source| {
            if let Source::Before(id) = source
                && !carried.contains(id)
            {
                carried.push(*id);
            }
        };
        for check in &self.checks {
            check.terms.iter().for_each(|term| term.value.sources().iter().for_each(&mut add));
            if let Rule::Exponential { result } = &check.rule {
                add(result);
            }
        }
        carried.sort();
        carried
    }
}

impl Value {
    /// All sources that the value is made of.
    pub fn sources(&self) -> Vec<Source> {
        match self {
            Value::Source(source) => vec![*source],
            Value::Entrywise(left, right) => vec![*left, *right],
            Value::Ones { .. } => Vec::new(),
            Value::Product(Product { left, right }) => {
                left.terms.iter().chain(&right.terms).flat_map(|term| term.value.sources()).collect()
            }
        }
    }
}
