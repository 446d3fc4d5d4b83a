//! What a training proof is made from: the values of tensors, rows and leaves, as the prover's steps read them.
//!
//! An honest prover has integers ([`IntegerValues`]). The trait is there so that a cheating prover can put anything in their
//! place: field elements that are no integers, leaves that are not what the tensors say.

use lorica_algebra::{Scalar, scalar};
use lorica_argument::lookup::TABLE_BITS;
use lorica_relation::program::evaluate::{Evaluation, Violation, Witness};
use lorica_relation::program::{Rule, Source};
use lorica_verify::training::context::Context;
use lorica_verify::training::leaves::{Cut, Lane};
use zeroize::Zeroizing;

/// A matrix, row by row.
pub enum Matrix {
    /// Integers.
    Integers(Zeroizing<Vec<i32>>),
    /// Any field elements.
    Field(Zeroizing<Vec<Scalar>>),
}

impl Matrix {
    /// The entries as field elements.
    pub fn scalars(&self) -> Zeroizing<Vec<Scalar>> {
        match self {
            Matrix::Integers(values) => {
                Zeroizing::new(values.iter().map(|value| Scalar::from(*value)).collect())
            }
            Matrix::Field(values) => values.clone(),
        }
    }

    /// The entrywise product.
    pub fn times(&self, other: &Self) -> Self {
        if let (Matrix::Integers(left), Matrix::Integers(right)) = (self, other) {
            let products: Option<Vec<i32>> =
                left.iter().zip(right.iter()).map(|(left, right)| left.checked_mul(*right)).collect();
            if let Some(products) = products {
                return Matrix::Integers(Zeroizing::new(products));
            }
        }
        let (left, right) = (self.scalars(), other.scalars());
        Matrix::Field(Zeroizing::new(
            left.iter().zip(right.iter()).map(|(left, right)| *left * right).collect(),
        ))
    }
}

/// A committed row.
pub enum RowValues {
    /// 16-bit integers.
    Narrow(Zeroizing<Vec<i16>>),
    /// `2^16 high + low`
    Wide {
        /// The upper limb.
        high: Zeroizing<Vec<i16>>,
        /// The lower limb.
        low: Zeroizing<Vec<i16>>,
    },
    /// Any field elements.
    Field(Zeroizing<Vec<Scalar>>),
}

impl RowValues {
    /// The number of entries.
    pub fn len(&self) -> usize {
        match self {
            RowValues::Narrow(values) => values.len(),
            RowValues::Wide { high, .. } => high.len(),
            RowValues::Field(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the row into a hash: its kind and length, then its entries, so that no two lists of rows are taken in alike.
    pub fn hash_into(&self, hasher: &mut blake3::Hasher) {
        let kind = match self {
            RowValues::Narrow(_) => 0u8,
            RowValues::Wide { .. } => 1,
            RowValues::Field(_) => 2,
        };
        hasher.update(&[kind]);
        hasher.update(&(self.len() as u64).to_le_bytes());
        match self {
            RowValues::Narrow(values) => hash_integers(values, hasher),
            RowValues::Wide { high, low } => {
                hash_integers(high, hasher);
                hash_integers(low, hasher);
            }
            RowValues::Field(values) => {
                for value in values.iter() {
                    hasher.update(&*Zeroizing::new(scalar::to_bytes(value)));
                }
            }
        }
    }

    /// Cuts 32-bit integers into limbs; `None` if an upper limb leaves 16 bits.
    pub fn wide(values: &[i32]) -> Option<Self> {
        let limbs = values.iter().map(|value| {
            let low = *value as i16;
            let high = (i64::from(*value) - i64::from(low)) >> 16;
            Some((i16::try_from(high).ok()?, low))
        });
        let (high, low): (Vec<i16>, Vec<i16>) = limbs.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        Some(RowValues::Wide { high: Zeroizing::new(high), low: Zeroizing::new(low) })
    }
}

/// Integers that are turned into bytes at once.
const HASHED: usize = 1 << 12;

fn hash_integers(values: &[i16], hasher: &mut blake3::Hasher) {
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * HASHED.min(values.len())));
    for values in values.chunks(HASHED) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
}

/// The leaves of a lookup.
pub enum LeafValues {
    /// Numbers of the table of words.
    Words(Zeroizing<Vec<u16>>),
    /// Indices and entries of the table of exponentials.
    Pairs(Zeroizing<Vec<(u16, u16)>>),
    /// Any field elements, for pairs with beta counted in.
    Field(Zeroizing<Vec<Scalar>>),
}

impl LeafValues {
    /// How often each number of the table is a leaf; `None` for field elements.
    pub fn counts(&self) -> Option<Vec<u64>> {
        let mut counts = vec![0; 1 << TABLE_BITS];
        match self {
            LeafValues::Words(words) => words.iter().for_each(|word| counts[usize::from(*word)] += 1),
            LeafValues::Pairs(pairs) => pairs.iter().for_each(|(index, _)| counts[usize::from(*index)] += 1),
            LeafValues::Field(_) => return None,
        }
        Some(counts)
    }
}

/// The numbers that a training proof is about.
pub trait TrainingValues: Sync {
    /// The matrix of a source in a step.
    fn source(&self, step: usize, source: Source) -> Matrix;

    /// All rows of the statement and of the committed tensors, in order, multiplicities left out.
    fn rows(&self) -> Result<Vec<RowValues>, ValuesError>;

    /// The leaves of a lookup, and the multiplicities that are claimed of them.
    fn leaves(&self, lane: Lane, beta: Scalar) -> Result<(LeafValues, Counts), ValuesError>;
}

/// How often each number of a table is claimed to be a leaf.
pub enum Counts {
    /// What an honest prover counts.
    Numbers(Vec<u64>),
    /// Anything: what a cheating prover may try.
    Field(Vec<Scalar>),
}

/// Why values are not those of a true statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValuesError {
    /// The program does not hold.
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A parameter has an entry that two limbs of 16 bits do not hold.
    #[error(
        "parameter {parameter} has an entry beyond 32 bits in two limbs, at row {row} of its commitments"
    )]
    Limbs {
        /// The parameter's name.
        parameter: String,
        /// The piece.
        row: usize,
    },
}

/// An honest prover's integers: a context with its witness, and the parameters at the beginning of every step.
pub struct IntegerValues<'a> {
    context: &'a Context,
    steps: Vec<Evaluation<'a>>,
    witness: &'a Witness,
}

impl<'a> IntegerValues<'a> {
    /// Evaluates the parameters of every step, and checks what has to be zero; leaves are checked when they are asked for.
    pub fn new(context: &'a Context, witness: &'a Witness) -> Result<Self, ValuesError> {
        let mut evaluation = Evaluation::new(context.program(), witness)?;
        let mut steps = Vec::with_capacity(context.program().steps);
        for step in 0..context.program().steps {
            if step > 0 {
                evaluation.advance()?;
            }
            for check in context.zeros() {
                evaluation.checked(check, context.exponentials.as_deref())?;
            }
            steps.push(evaluation.clone());
        }
        Ok(Self { context, steps, witness })
    }
}

impl TrainingValues for IntegerValues<'_> {
    fn source(&self, step: usize, source: Source) -> Matrix {
        Matrix::Integers(self.steps[step].source(source))
    }

    fn rows(&self) -> Result<Vec<RowValues>, ValuesError> {
        let layout = &self.context.rows;
        let program = self.context.program();
        let mut rows = Vec::with_capacity(layout.rows());
        for ((parameter, pieces), values) in
            program.parameters.iter().zip(&layout.parameters).zip(&self.witness.parameters)
        {
            let mut rest = values.as_slice();
            for (row, length) in pieces.lengths().enumerate() {
                let (piece, others) = rest.split_at(length);
                let limbs = || ValuesError::Limbs { parameter: parameter.name.clone(), row };
                rows.push(RowValues::wide(piece).ok_or_else(limbs)?);
                rest = others;
            }
        }
        let narrow = |values: &[i16]| RowValues::Narrow(Zeroizing::new(values.to_vec()));
        for ((_, pieces), values) in layout.carried.iter().zip(&self.witness.carried) {
            let mut rest = values.as_slice();
            for length in pieces.lengths() {
                let (piece, others) = rest.split_at(length);
                rows.push(narrow(piece));
                rest = others;
            }
        }
        let selection = &self.context.statement.selection;
        let width = program.samples.width;
        for place in 0..selection.rows.len() {
            let sample = selection.places.iter().position(|chosen| *chosen == place).unwrap_or(0);
            rows.push(narrow(&self.witness.samples[sample * width..][..width]));
        }
        for step in 0..program.steps {
            let mut of_step: Vec<Zeroizing<Vec<i16>>> =
                layout.step_rows.iter().map(|length| Zeroizing::new(vec![0; *length])).collect();
            for ((tensor, places), values) in
                program.tensors.iter().zip(&layout.tensors).zip(&self.witness.tensors)
            {
                let entries = tensor.shape.entries();
                let mut rest = &values[step * entries..][..entries];
                for (place, length) in places.places.iter().zip(places.pieces.lengths()) {
                    let (piece, others) = rest.split_at(length);
                    of_step[place.row][place.column..][..length].copy_from_slice(piece);
                    rest = others;
                }
            }
            rows.extend(of_step.into_iter().map(RowValues::Narrow));
        }
        Ok(rows)
    }

    fn leaves(&self, lane: Lane, _beta: Scalar) -> Result<(LeafValues, Counts), ValuesError> {
        let layout = &self.context.leaves;
        let leaves = layout.leaves(lane);
        let values = match lane {
            Lane::Words => {
                let mut words = Zeroizing::new(vec![0u16; leaves]);
                self.fill(lane, |leaf, word, _| words[leaf] = word)?;
                LeafValues::Words(words)
            }
            Lane::Pairs => {
                let mut pairs = Zeroizing::new(vec![(0u16, 0u16); leaves]);
                self.fill(lane, |leaf, index, entry| pairs[leaf] = (index, entry))?;
                LeafValues::Pairs(pairs)
            }
        };
        let counts = values.counts().unwrap_or_default();
        Ok((values, Counts::Numbers(counts)))
    }
}

impl IntegerValues<'_> {
    /// Gives every entry of a lookup's checks, and the second number of a pair, with the leaf where it stands.
    fn fill(&self, lane: Lane, mut put: impl FnMut(usize, u16, u16)) -> Result<(), ValuesError> {
        let layout = &self.context.leaves;
        let program = self.context.program();
        for (number, check) in program.checks.iter().enumerate() {
            let cuts: Vec<&Cut> = layout.cuts(lane).iter().filter(|cut| cut.check == number).collect();
            if cuts.is_empty() {
                continue;
            }
            for (step, evaluation) in self.steps.iter().enumerate() {
                let values = evaluation.checked(check, self.context.exponentials.as_deref())?;
                let (shift, result) = match check.rule {
                    Rule::Word { shift } => (shift, Zeroizing::default()),
                    Rule::Exponential { result } => (0, evaluation.source(result)),
                    Rule::Zero => continue,
                };
                for cut in &cuts {
                    let first = cut.leaf + (step << cut.log_size());
                    let rows = cut.first_row..check.shape.rows.min(cut.first_row + (1 << cut.log_rows));
                    let columns =
                        cut.first_column..check.shape.columns.min(cut.first_column + (1 << cut.log_columns));
                    for row in rows {
                        let leaf = first + ((row - cut.first_row) << cut.log_columns);
                        for (column, leaf) in columns.clone().zip(leaf..) {
                            let index = row * check.shape.columns + column;
                            // The rule was checked: the word has 16 bits.
                            let word = (values[index] << shift) as u16;
                            put(leaf, word, result.get(index).map_or(0, |entry| *entry as u16));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_hashed_with_their_kinds_and_lengths() {
        let digest = |rows: &[RowValues]| {
            let mut hasher = blake3::Hasher::new();
            rows.iter().for_each(|row| row.hash_into(&mut hasher));
            hasher.finalize()
        };
        let narrow = |values: &[i16]| RowValues::Narrow(Zeroizing::new(values.to_vec()));
        let long: Vec<i16> = (0..10_000).map(|i| i as i16).collect();
        let mut changed = long.clone();
        changed[9_999] += 1;
        let lists = [
            vec![narrow(&[1, 2, 3, 4])],
            vec![narrow(&[1, 2]), narrow(&[3, 4])],
            vec![narrow(&[1, 2, 3]), narrow(&[4])],
            vec![RowValues::wide(&[(1 << 16) + 3, (2 << 16) + 4]).unwrap()],
            vec![RowValues::Field(Zeroizing::new([1u8, 2, 3, 4].map(Scalar::from).to_vec()))],
            vec![narrow(&long)],
            vec![narrow(&changed)],
        ];
        let digests: std::collections::HashSet<_> = lists.iter().map(|rows| digest(rows)).collect();
        assert_eq!(digests.len(), lists.len());
    }
}
