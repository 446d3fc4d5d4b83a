//! What a cheating prover puts in the honest prover's hands: rows of any field elements, also longer ones than the layout
//! says, and any leaves with any multiplicities.

use ark_ff::{Field, Zero};
use lorica_algebra::{Scalar, scalar};
use lorica_argument::lookup::TABLE_BITS;
use lorica_prove::training::values::{Counts, LeafValues, Matrix, RowValues, TrainingValues, ValuesError};
use lorica_relation::program::{Rule, Source};
use lorica_verify::training::context::Context;
use lorica_verify::training::leaves::{Cut, Lane};
use zeroize::Zeroizing;

use super::field::FieldWitness;

/// What a cheating prover does about leaves that are not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Nothing: leaves are what the checks compute, and those outside are not counted.
    Left,
    /// It proves the lookup of a number of the table in their place, and counts that.
    Clamped,
}

/// How a cheating prover counts leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counting {
    /// Each leaf that is in the table once.
    Counted,
    /// The same, with amounts added to the counts of some numbers of a lookup's table.
    Changed(Vec<(Lane, usize, Scalar)>),
    /// The same; for what is missing at this gamma, an amount on one number of the lookup's table.
    Balanced {
        /// The gamma that is known beforehand.
        gamma: Scalar,
        /// The number.
        number: usize,
    },
    /// So often each number of every table.
    Always(Scalar),
}

/// Values of a cheating prover: a witness of field elements, and what it does with it.
#[derive(Debug, Clone)]
pub struct ForgedValues<'a> {
    /// What is proven.
    pub context: &'a Context,
    /// The numbers.
    pub witness: &'a FieldWitness,
    /// Leaves outside of the table.
    pub outside: Outside,
    /// Multiplicities.
    pub counting: Counting,
    /// Rows by number, with what they hold beyond their length.
    pub junk: Vec<(usize, Vec<Scalar>)>,
}

impl<'a> ForgedValues<'a> {
    /// Everything computed from the witness.
    pub fn new(context: &'a Context, witness: &'a FieldWitness) -> Self {
        Self { context, witness, outside: Outside::Left, counting: Counting::Counted, junk: Vec::new() }
    }

    /// The table of a lookup.
    fn table(&self, lane: Lane, beta: Scalar) -> Vec<Scalar> {
        match lane {
            Lane::Words => (0..1u64 << TABLE_BITS).map(Scalar::from).collect(),
            Lane::Pairs => self.context.paired(beta),
        }
    }

    /// The leaves as the checks compute them, each with the number of the table where it belongs: its own, or the index of a pair.
    pub fn computed(&self, lane: Lane, beta: Scalar) -> Vec<(Scalar, Option<usize>)> {
        let layout = &self.context.leaves;
        let program = self.context.program();
        // Padding is zero, and (0, 0) is no entry of the table of exponentials, so pairs have none.
        let mut leaves = vec![(Scalar::zero(), Some(0)); layout.leaves(lane)];
        for (number, check) in program.checks.iter().enumerate() {
            let cuts: Vec<&Cut> = layout.cuts(lane).iter().filter(|cut| cut.check == number).collect();
            for step in (0..program.steps).filter(|_| !cuts.is_empty()) {
                let entries = self.witness.check(program, step, check);
                let leaf = |index: usize| match check.rule {
                    Rule::Word { shift } => {
                        let leaf = entries[index] * Scalar::from(1u64 << shift);
                        (leaf, small(&leaf))
                    }
                    Rule::Exponential { result } => {
                        let result = self.witness.source(program, step, result)[index];
                        (entries[index] + beta * result, small(&entries[index]))
                    }
                    Rule::Zero => (Scalar::zero(), None),
                };
                for cut in &cuts {
                    let first = cut.leaf + (step << cut.log_size());
                    for row in cut.first_row..check.shape.rows.min(cut.first_row + (1 << cut.log_rows)) {
                        let end = check.shape.columns.min(cut.first_column + (1 << cut.log_columns));
                        for column in cut.first_column..end {
                            let inside =
                                ((row - cut.first_row) << cut.log_columns) + column - cut.first_column;
                            leaves[first + inside] = leaf(row * check.shape.columns + column);
                        }
                    }
                }
            }
        }
        leaves
    }
}

/// The number of a table that a field element is.
fn small(value: &Scalar) -> Option<usize> {
    let [low, high, rest @ ..] = scalar::to_bytes(value);
    rest.iter().all(|byte| *byte == 0).then(|| usize::from(u16::from_le_bytes([low, high])))
}

impl TrainingValues for ForgedValues<'_> {
    fn source(&self, step: usize, source: Source) -> Matrix {
        Matrix::Field(Zeroizing::new(self.witness.source(self.context.program(), step, source)))
    }

    fn rows(&self) -> Result<Vec<RowValues>, ValuesError> {
        let Context { rows: layout, statement, .. } = self.context;
        let program = self.context.program();
        let mut rows: Vec<Vec<Scalar>> = Vec::with_capacity(layout.rows());
        let pieces = layout.parameters.iter().zip(&self.witness.parameters);
        let carried = layout.carried.iter().map(|(_, pieces)| pieces).zip(&self.witness.carried);
        for (pieces, values) in pieces.chain(carried) {
            let mut rest = values.as_slice();
            for length in pieces.lengths() {
                let (piece, others) = rest.split_at(length);
                rows.push(piece.to_vec());
                rest = others;
            }
        }
        let width = program.samples.width;
        for place in 0..statement.selection.rows.len() {
            let sample = statement.selection.places.iter().position(|chosen| *chosen == place).unwrap_or(0);
            rows.push(self.witness.samples[sample * width..][..width].to_vec());
        }
        for step in 0..program.steps {
            let mut of_step: Vec<Vec<Scalar>> =
                layout.step_rows.iter().map(|length| vec![Scalar::zero(); *length]).collect();
            for (id, places) in layout.tensors.iter().enumerate() {
                let entries = program.tensors[id].shape.entries();
                let mut rest = &self.witness.tensors[id][step * entries..][..entries];
                for (place, length) in places.places.iter().zip(places.pieces.lengths()) {
                    let (piece, others) = rest.split_at(length);
                    of_step[place.row][place.column..][..length].copy_from_slice(piece);
                    rest = others;
                }
            }
            rows.extend(of_step);
        }
        for (row, junk) in &self.junk {
            rows[*row].extend(junk);
        }
        Ok(rows.into_iter().map(|row| RowValues::Field(Zeroizing::new(row))).collect())
    }

    fn leaves(&self, lane: Lane, beta: Scalar) -> Result<(LeafValues, Counts), ValuesError> {
        let table = self.table(lane, beta);
        let mut counts = vec![0u64; table.len()];
        let mut leaves = Vec::new();
        let mut missing = Vec::new();
        for (mut leaf, number) in self.computed(lane, beta) {
            let at_its_number = number.filter(|number| table[*number] == leaf);
            // With a beta that is known beforehand a pair may be another number's.
            match at_its_number.or_else(|| table.iter().position(|entry| *entry == leaf)) {
                Some(number) => counts[number] += 1,
                None if self.outside == Outside::Clamped => {
                    let number = number.unwrap_or_default();
                    counts[number] += 1;
                    leaf = table[number];
                }
                None => missing.push(leaf),
            }
            leaves.push(leaf);
        }
        let field = |counts: Vec<u64>| counts.into_iter().map(Scalar::from).collect::<Vec<_>>();
        let counts = match &self.counting {
            Counting::Counted => Counts::Numbers(counts),
            Counting::Changed(changes) => {
                let mut counts = field(counts);
                for (_, number, change) in changes.iter().filter(|(of, ..)| *of == lane) {
                    counts[*number] += change;
                }
                Counts::Field(counts)
            }
            Counting::Balanced { gamma, number } => {
                let mut counts = field(counts);
                let sum: Scalar = missing.iter().filter_map(|leaf| (*gamma - leaf).inverse()).sum();
                counts[*number] += (*gamma - table[*number]) * sum;
                Counts::Field(counts)
            }
            Counting::Always(count) => Counts::Field(vec![*count; table.len()]),
        };
        Ok((LeafValues::Field(Zeroizing::new(leaves)), counts))
    }
}
