//! The prover of [`lorica_verify::range`]: the range argument of registered rows. Step numbers are those of the verifier.

use std::collections::BTreeMap;

use ark_ff::Zero;
use lorica_algebra::kernels::combine::combine_scalars;
use lorica_algebra::kernels::rows::RowError;
use lorica_algebra::multilinear::eq_table;
use lorica_algebra::point::{self, EncodedPoint, FixedBase};
use lorica_algebra::{Point, Scalar};
use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::generators::{Generators, registration_slots};
use lorica_argument::lookup::{LeafTree, TABLE_BITS};
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_argument::walk::Rounds;
use lorica_verify::packing::Packing;
use lorica_verify::range::{self, ColumnClaims, Columns, RangeEnd, RangeProof, RangeShape, low_form};
use lorica_verify::rows::statement::RangeStatement;
use zeroize::{Zeroize, Zeroizing};

use crate::forest::ForestProver;
use crate::fraction::{FractionTree, Leaves};
use crate::multiplicities::commit_counts;
use crate::opening::{OpeningProofError, OpeningWitness};
use crate::products::ProductsProver;
use crate::randomness::{Entropy, Randomness};
use crate::scratch::Scratch;
use crate::secret::AdapterSecret;
use crate::tables::{ProductTables, RoundPolynomial};

/// Why a registration with a range argument cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeProofError {
    /// A challenge was zero or fell into the table, which happens once in 2^220 runs.
    #[error("a challenge cannot be divided by; register again")]
    ZeroChallenge,
    /// The opening could not be made.
    #[error(transparent)]
    Opening(#[from] OpeningProofError),
    /// The multiplicities could not be committed to.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The integers are not those of the statement's rows.
    #[error("row {row} has {found:?} integers, the statement asks for {expected:?}")]
    Shape {
        /// The first row that differs.
        row: usize,
        /// By the statement; `None` if it has no such row.
        expected: Option<usize>,
        /// There are.
        found: Option<usize>,
    },
    /// The walk and the prover disagree about slots: a defect of this program.
    #[error("the argument asks for a slot that was not committed to")]
    Slots,
}

/// The committed rows, in the order of the statement.
pub trait CommittedRows {
    /// Adds `weight * row` for each of the given rows to a vector that is at least as long as all of them.
    fn combine(&self, rows: &[(usize, Scalar)], vector: &mut [Scalar]);

    /// The blinds of their commitments.
    fn blinds(&self) -> Zeroizing<Vec<Scalar>>;
}

/// The leaves of the lookup.
pub trait LeafSource {
    /// The fractions `1 / (gamma - w_i)`, for each of the given trees.
    fn trees(&self, trees: &[LeafTree], gamma: Scalar) -> Vec<FractionTree<'_>>;
}

/// How often each number of the table is a leaf.
pub enum Multiplicities {
    /// What an honest prover counts.
    Counts(Vec<u64>),
    /// Anything: what a cheating prover may try.
    Field(Vec<Scalar>),
}

/// Leaves as numbers of the table.
pub struct WordLeaves(Vec<u16>);

impl Drop for WordLeaves {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl WordLeaves {
    /// Lays out the entries of all rows; `rows` has one slice for each row that the packing was made for.
    pub fn new(packing: &Packing, rows: &[&[i16]]) -> Self {
        let mut words = vec![0; packing.leaves()];
        for kind in packing.kinds() {
            let size = 1 << kind.log_size;
            for (row, block) in &kind.rows {
                let entries = &rows[*row][kind.offset..kind.offset + size];
                for (word, entry) in words[kind.leaf(*block)..].iter_mut().zip(entries) {
                    // An entry v stands in the table as v + 2^15.
                    *word = (*entry as u16) ^ 0x8000;
                }
            }
        }
        Self(words)
    }

    /// Counts each number.
    pub fn multiplicities(&self) -> Multiplicities {
        let mut counts = vec![0; 1 << TABLE_BITS];
        self.0.iter().for_each(|word| counts[usize::from(*word)] += 1);
        Multiplicities::Counts(counts)
    }
}

impl LeafSource for WordLeaves {
    fn trees(&self, trees: &[LeafTree], gamma: Scalar) -> Vec<FractionTree<'_>> {
        let words = |tree: &LeafTree| &self.0[tree.first..tree.first + tree.count];
        trees.iter().map(|tree| FractionTree::new(Leaves::Words { words: words(tree), gamma })).collect()
    }
}

/// Rows of int16 integers with the blinds of their commitments.
pub struct IntegerRows<'a> {
    /// The integers of each row.
    pub rows: Vec<&'a [i16]>,
    /// The blinds.
    pub blinds: Zeroizing<Vec<Scalar>>,
}

impl CommittedRows for IntegerRows<'_> {
    fn combine(&self, rows: &[(usize, Scalar)], vector: &mut [Scalar]) {
        let mut by_length: BTreeMap<usize, (Vec<Scalar>, Vec<&[i16]>)> = BTreeMap::new();
        for (row, weight) in rows {
            let values = self.rows[*row];
            let (weights, of_length) = by_length.entry(values.len()).or_default();
            weights.push(*weight);
            of_length.push(values);
        }
        for (length, (weights, rows)) in by_length {
            let mut sum = Zeroizing::new(vec![Scalar::zero(); length]);
            combine_scalars(&weights, &rows, &mut sum);
            vector.iter_mut().zip(sum.iter()).for_each(|(entry, sum)| *entry += sum);
        }
    }

    fn blinds(&self) -> Zeroizing<Vec<Scalar>> {
        self.blinds.clone()
    }
}

/// An honest range argument: all rows are integers.
pub struct IntegerProver<'a> {
    /// What it is about.
    pub statement: &'a RangeStatement<'a>,
    /// Its rows with their blinds.
    pub rows: &'a IntegerRows<'a>,
    /// A seed that masks depend on; for several registrations, that of any one.
    pub secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
}

impl IntegerProver<'_> {
    /// Makes the proof.
    pub fn prove(&self, entropy: &Entropy) -> Result<RangeProof, RangeProofError> {
        let mut transcript = FiatShamir::new(self.statement.protocol());
        self.prove_on(OpeningMode::Compact, entropy, &mut transcript)
    }

    /// Makes the proof on a given transcript.
    pub fn prove_on(
        &self,
        mode: OpeningMode,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<RangeProof, RangeProofError> {
        let (lengths, rows) = (self.statement.lengths(), &self.rows.rows);
        for row in 0..lengths.len().max(rows.len()) {
            let (expected, found) = (lengths.get(row).copied(), rows.get(row).map(|row| row.len()));
            if expected != found {
                return Err(RangeProofError::Shape { row, expected, found });
            }
        }
        let leaves = WordLeaves::new(&self.statement.shape().packing, rows);
        let multiplicities = leaves.multiplicities();
        let prover = RangeProver {
            statement: self.statement,
            secret: self.secret,
            generators: self.generators,
            rows: self.rows,
            leaves: &leaves,
            multiplicities: &multiplicities,
        };
        prover.prove_on(mode, entropy, transcript)
    }
}

/// Everything a range argument is made from, true or not.
pub struct RangeProver<'a> {
    /// What it is about.
    pub statement: &'a RangeStatement<'a>,
    /// The seed that masks depend on.
    pub secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
    /// The committed rows.
    pub rows: &'a dyn CommittedRows,
    /// Their entries among the leaves.
    pub leaves: &'a dyn LeafSource,
    /// How often each number is a leaf.
    pub multiplicities: &'a Multiplicities,
}

/// What the opened vector is made from.
pub struct OpenedRange<'a, 't> {
    /// All sizes.
    pub shape: &'a RangeShape,
    /// Where the walk ended.
    pub end: &'a RangeEnd<'t>,
    /// The multiplicities.
    pub counted: &'a MultiplicityRows,
    /// The values of all slots and the blinds of their commitments.
    pub scratch: &'a Scratch<'a>,
    /// `g_0 ..`
    pub row_bases: &'a [Point],
    /// The bases of the slots.
    pub slots: &'a [Point],
    /// The combination of all committed rows.
    pub rows: Zeroizing<Vec<Scalar>>,
}

/// The multiplicities as field elements, cut into rows, with the blinds of their commitments.
pub struct MultiplicityRows {
    values: Zeroizing<Vec<Scalar>>,
    row_length: usize,
    blinds: Zeroizing<Vec<Scalar>>,
}

impl MultiplicityRows {
    /// The fractions `m_v / (gamma - v)` of the whole table.
    pub fn leaves(&self, gamma: Scalar) -> Leaves<'static> {
        let denominators = std::iter::successors(Some(gamma), |last| Some(*last - Scalar::from(1u8)));
        Leaves::Fractions {
            numerators: self.values.to_vec(),
            denominators: denominators.take(1 << TABLE_BITS).collect(),
        }
    }
}

impl RangeProver<'_> {
    /// Makes the proof on a given transcript.
    pub fn prove_on(
        &self,
        mode: OpeningMode,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<RangeProof, RangeProofError> {
        let shape = self.statement.shape();
        let row_bases = self.generators.first_rows(shape.width);
        let slots = registration_slots(shape.slots());
        let mut scratch = Scratch::on(&slots, self.generators.blinding());

        // 1. The manifests.
        let step = range::begin(transcript, self.statement);
        let mut randomness = Randomness::new(entropy, self.secret, &step.transcript.state());
        // 2. The multiplicities, and only then gamma.
        let (counted, multiplicities) = self.commit_multiplicities(&shape, &row_bases, &mut randomness)?;
        let (gamma, step) = step.commit(&multiplicities).ok_or(RangeProofError::ZeroChallenge)?;
        // 3. The lookup.
        let mut trees = self.leaves.trees(&shape.lookup().trees(), gamma);
        trees.push(FractionTree::new(counted.leaves(gamma)));
        let mut forest = ForestProver::new([trees], &mut scratch, &mut randomness);
        let step = step.walk(&shape, &mut forest)?;
        drop(forest);
        // 4. All products.
        let mut products = ProductsProver::new(&mut scratch, &mut randomness);
        let bases = SlotBases { slots: &slots, blinding: *self.generators.blinding() };
        let step = step.walk(bases, &mut products)?.ok_or(RangeProofError::Slots)?;
        let product = products.finish().ok_or(RangeProofError::Slots)?;
        // 5. Columns.
        let mut columns = ColumnsProver::new(&shape, self.rows, &counted, &mut scratch, &mut randomness);
        let end = step.walk(&shape, &mut columns)?;
        let rows = columns.bound();

        // 6. One opening.
        let opened = self.opened(&OpenedRange {
            shape: &shape,
            end: &end,
            counted: &counted,
            scratch: &scratch,
            row_bases: &row_bases,
            slots: &slots,
            rows,
        })?;
        let scratch = end.ledger.commitments().to_vec();
        let opening = opened.prove(mode, &mut randomness, end.transcript)?;
        Ok(RangeProof { multiplicities, scratch, product, opening })
    }

    /// Commits to the multiplicities, row by row.
    pub fn commit_multiplicities(
        &self,
        shape: &RangeShape,
        row_bases: &[Point],
        randomness: &mut Randomness,
    ) -> Result<(MultiplicityRows, Vec<EncodedPoint>), RangeProofError> {
        let row_length = 1 << shape.multiplicity_bits;
        let bases = &row_bases[..row_length];
        let (values, sums): (Vec<Scalar>, Vec<Point>) = match self.multiplicities {
            Multiplicities::Counts(counts) => {
                (counts.iter().map(|count| Scalar::from(*count)).collect(), commit_counts(counts, bases)?)
            }
            Multiplicities::Field(values) => (
                values.clone(),
                values.chunks(row_length).map(|row| point::multiscalar(row, bases)).collect(),
            ),
        };
        let blinding = FixedBase::new(self.generators.blinding());
        let blinds = Zeroizing::new(randomness.scalars(sums.len()));
        let commitments = sums
            .iter()
            .zip(blinds.iter())
            .map(|(sum, blind)| EncodedPoint::new(*sum + blinding.times(blind)))
            .collect();
        Ok((MultiplicityRows { values: Zeroizing::new(values), row_length, blinds }, commitments))
    }

    /// `u = (w || theta^j slots_j)` with its form and blind.
    pub fn opened(&self, opened: &OpenedRange<'_, '_>) -> Result<OpeningWitness<'_>, RangeProofError> {
        let OpenedRange { shape, end, counted, scratch, row_bases, slots, rows } = opened;
        let CollapsedForm { form, .. } = end.collapse(shape).ok_or(RangeProofError::ZeroChallenge)?;
        let weights = end.weights(shape);
        let mut vector = rows.clone();
        vector.resize(shape.width, Scalar::zero());
        let separators = end
            .ledger
            .blocks()
            .zip(powers(end.theta))
            .flat_map(|(size, power)| std::iter::repeat_n(power, size));
        vector.extend(scratch.slots().iter().zip(separators).map(|(slot, power)| *slot * power));
        let row_blinds = self.rows.blinds();
        let of_rows = weights.rows.iter().zip(row_blinds.iter());
        let of_multiplicities = weights.multiplicities.iter().zip(counted.blinds.iter());
        let of_committed: Scalar =
            of_rows.chain(of_multiplicities).map(|(weight, blind)| *weight * blind).sum();
        let of_scratch: Scalar =
            powers(end.theta).zip(scratch.blinds()).map(|(power, blind)| power * blind).sum();
        Ok(OpeningWitness {
            bases: [*row_bases, *slots].concat(),
            blinding: self.generators.blinding(),
            form_base: self.generators.form(),
            form,
            vector,
            blind: of_committed + of_scratch,
        })
    }
}

/// The prover's party for the column rounds: one pair of tables for each kind of block, and one for the multiplicities.
pub struct ColumnsProver<'s, 'g> {
    shape: &'s RangeShape,
    rows: &'s dyn CommittedRows,
    multiplicities: &'s MultiplicityRows,
    tables: Vec<ProductTables>,
    /// The combined rows of each pair, as they were before a column was bound.
    vectors: Vec<Zeroizing<Vec<Scalar>>>,
    half: usize,
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
}

impl<'s, 'g> ColumnsProver<'s, 'g> {
    /// Starts behind all products.
    pub fn new(
        shape: &'s RangeShape,
        rows: &'s dyn CommittedRows,
        multiplicities: &'s MultiplicityRows,
        scratch: &'s mut Scratch<'g>,
        randomness: &'s mut Randomness,
    ) -> Self {
        let half = 1 << shape.column_rounds() >> 1;
        let (tables, vectors) = (Vec::new(), Vec::new());
        Self { shape, rows, multiplicities, tables, vectors, half, scratch, randomness }
    }

    fn add(&mut self, vector: Zeroizing<Vec<Scalar>>, offset: usize, form: Vec<Scalar>, factor: Scalar) {
        let mut right = vec![Scalar::zero(); vector.len()];
        for (right, value) in right[offset..].iter_mut().zip(form) {
            *right = factor * value;
        }
        self.tables.push(ProductTables { left: vector.to_vec(), right, right_is_public: true });
        self.vectors.push(vector);
    }

    /// The opened combination of rows, when all columns are bound: each vector times the value of its form.
    pub fn bound(self) -> Zeroizing<Vec<Scalar>> {
        let longest = self.vectors.iter().map(|vector| vector.len()).max().unwrap_or(0);
        let mut sum = Zeroizing::new(vec![Scalar::zero(); longest]);
        for (vector, tables) in self.vectors.iter().zip(&self.tables) {
            let factor = tables.right[0];
            sum.iter_mut().zip(vector.iter()).for_each(|(sum, value)| *sum += factor * value);
        }
        sum
    }
}

impl Columns for ColumnsProver<'_, '_> {
    fn enter(&mut self, claims: &ColumnClaims) {
        let ColumnClaims { leaf_points, leaf_factors, table_point, table_factor } = claims;
        let packing = &self.shape.packing;
        for (kind, weights) in packing.kinds().zip(packing.block_weights(leaf_points)) {
            let rows: Vec<(usize, Scalar)> =
                kind.rows.iter().zip(weights).map(|((row, _), weight)| (*row, weight)).collect();
            let mut vector = Zeroizing::new(vec![Scalar::zero(); self.shape.width]);
            self.rows.combine(&rows, &mut vector);
            let form = low_form(&leaf_points[kind.tree], kind.log_size);
            self.add(vector, kind.offset, form, leaf_factors[kind.tree]);
        }
        let MultiplicityRows { values, row_length, .. } = self.multiplicities;
        let high = &table_point[..TABLE_BITS - self.shape.multiplicity_bits];
        let mut vector = Zeroizing::new(vec![Scalar::zero(); *row_length]);
        for (row, eq) in values.chunks(*row_length).zip(eq_table(high, self.shape.multiplicity_rows())) {
            vector.iter_mut().zip(row).for_each(|(sum, value)| *sum += eq * value);
        }
        let form = low_form(table_point, self.shape.multiplicity_bits);
        self.add(vector, 0, form, *table_factor);
    }
}

impl Rounds for ColumnsProver<'_, '_> {
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
