//! The prover of [`lorica_verify::training`]. Step numbers are those of the verifier.
//!
//! | module | what it holds |
//! |---|---|
//! | [`values`] | the numbers that a proof is about |
//! | [`commitments`] | rows with their commitments and blinds |
//! | [`sums`] | products of matrices |
//! | [`entrywise`] | entrywise products |
//! | [`columns`] | the columns of all rows |
//! | [`run`] | the proofs of a run, one after the other |
//! | this one | the order of all steps |

pub mod columns;
pub mod commitments;
pub mod entrywise;
pub mod run;
pub mod sums;
pub mod values;

use lorica_algebra::kernels::rows::RowError;
use lorica_algebra::{Point, Scalar};
use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::generators::{Generators, training_slots};
use lorica_argument::lookup::TABLE_BITS;
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_argument::transcript::Transcript;
use lorica_verify::training::TrainingProof;
use lorica_verify::training::context::Context;
use lorica_verify::training::leaves::Lane;
use lorica_verify::training::schedule;
use zeroize::Zeroizing;

use self::columns::ColumnRounds;
use self::commitments::Rows;
use self::entrywise::EntrywiseProducts;
use self::sums::ProductsOfMatrices;
use self::values::{LeafValues, TrainingValues, ValuesError};
use crate::forest::ForestProver;
use crate::fraction::{FractionTree, Leaves};
use crate::opening::{OpeningProofError, OpeningWitness};
use crate::products::ProductsProver;
use crate::randomness::{Entropy, Randomness};
use crate::range::RangeProofError;
use crate::scratch::Scratch;
use crate::secret::AdapterSecret;

/// Why a training proof cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainingProofError {
    /// The statement is not true of the witness.
    #[error(transparent)]
    Values(#[from] ValuesError),
    /// A step of the argument failed.
    #[error(transparent)]
    Argument(#[from] RangeProofError),
    /// The rows could not be committed to.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The opening could not be made.
    #[error(transparent)]
    Opening(#[from] OpeningProofError),
    /// The blinds are not those of the statement's commitments.
    #[error("{expected} blinds of starting commitments expected, {found} found")]
    Blinds {
        /// By the statement.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// The statement's program does not fit its layout: a defect of this program.
    #[error("the statement's program does not fit its own layout")]
    Statement,
}

/// Everything a training proof is made from.
pub struct TrainingProver<'a> {
    /// The statement with its layouts.
    pub context: &'a Context,
    /// The numbers that it is about.
    pub values: &'a dyn TrainingValues,
    /// The blinds of the statement's commitments, in the order of rows.
    pub start_blinds: &'a [Scalar],
    /// The seed that masks depend on.
    pub secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
}

/// A proof with what the next one needs.
pub struct ProvenSteps {
    /// The proof.
    pub proof: TrainingProof,
    /// The blinds of the commitments to tensors, in the order of the proof.
    pub blinds: Zeroizing<Vec<Scalar>>,
}

impl TrainingProver<'_> {
    /// Makes the proof on a given transcript.
    pub fn prove_on(
        &self,
        mode: OpeningMode,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<ProvenSteps, TrainingProofError> {
        let Self { context, values, .. } = self;
        let program = context.program();
        let sizes = context.sizes();
        let bases = self.generators.first_rows(context.rows.width);
        let blinding = self.generators.blinding();
        let slots = training_slots(sizes.slots());
        let mut scratch = Scratch::on(&slots, blinding);

        // 1. The statement.
        let step = schedule::begin(transcript, context);
        let mut rows = self.start(values.rows()?)?;
        // More than one witness may satisfy the statement, and nothing of it has been committed to yet.
        let state = step.transcript.state();
        let hash = |hasher: &mut blake3::Hasher| rows.values.iter().for_each(|row| row.hash_into(hasher));
        let mut randomness = Randomness::of_witness(entropy, self.secret, &state, hash);
        // 2. The tensors.
        let committed = rows.values.split_off(self.start_blinds.len());
        let tensors = rows.commit(committed, &bases, blinding, &mut randomness)?;
        let tensor_blinds = Zeroizing::new(rows.blinds[self.start_blinds.len()..].to_vec());
        let step = step.commit(&tensors);
        // 3. The multiplicities, and only then gamma.
        let beta = step.beta;
        let lanes: Vec<Lane> = context.leaves.lookups().into_iter().map(|(lane, _)| lane).collect();
        let count_bases: &[Point] = &bases[..1 << context.rows.multiplicity_bits];
        let (mut leaves, mut counted, mut multiplicities) = (Vec::new(), Vec::new(), Vec::new());
        for lane in &lanes {
            let (of_lane, counts) = values.leaves(*lane, beta)?;
            let (numerators, commitments) =
                rows.commit_counts(&counts, count_bases, blinding, &mut randomness)?;
            leaves.push(of_lane);
            counted.push(numerators);
            multiplicities.extend(commitments);
        }
        let (gamma, step) = step.commit(&multiplicities).ok_or(RangeProofError::ZeroChallenge)?;
        // 4. The lookup.
        let paired = context.paired(beta);
        let lookups = context.leaves.lookups();
        let trees = lookups.iter().zip(&leaves).zip(&counted).map(|(((lane, shape), leaves), counted)| {
            let of_leaves = shape.trees().into_iter().map(|tree| {
                FractionTree::new(fractions(leaves, tree.first..tree.first + tree.count, beta, gamma))
            });
            of_leaves.chain([FractionTree::new(table(*lane, counted, &paired, gamma))]).collect::<Vec<_>>()
        });
        let mut forest = ForestProver::new(trees.collect::<Vec<_>>(), &mut scratch, &mut randomness);
        let step = step.walk(&mut forest)?.ok_or(TrainingProofError::Statement)?;
        drop(forest);
        // 5, 6. Products of matrices, entrywise products.
        let mut party = ProductsOfMatrices::new(program, *values, &mut scratch, &mut randomness);
        let step = step.products(&mut party)?.ok_or(TrainingProofError::Statement)?;
        drop(party);
        let mut party = EntrywiseProducts::new(program, *values, &mut scratch, &mut randomness);
        let step = step.entrywise(&mut party)?.ok_or(TrainingProofError::Statement)?;
        drop(party);
        // 7. All products of slots.
        let mut party = ProductsProver::new(&mut scratch, &mut randomness);
        let slot_bases = SlotBases { slots: &slots, blinding: *blinding };
        let step = step.factors(slot_bases, &mut party)?.ok_or(TrainingProofError::Statement)?;
        let product = party.finish().ok_or(RangeProofError::Slots)?;
        // 8. Columns.
        let mut party = ColumnRounds::new(&rows, sizes.column_rounds, &mut scratch, &mut randomness);
        let end = step.walk(&mut party)?;
        drop(party);

        // 9. One opening.
        let CollapsedForm { form, .. } = end.collapse().ok_or(RangeProofError::ZeroChallenge)?;
        let weights = end.weights();
        let all: Vec<(usize, Scalar)> = weights.iter().copied().enumerate().collect();
        let mut vector = rows.combine(&all, context.rows.width);
        let separators = end.ledger.blocks().zip(powers(end.theta));
        let separators = separators.flat_map(|(size, power)| std::iter::repeat_n(power, size));
        vector.extend(scratch.slots().iter().zip(separators).map(|(slot, power)| *slot * power));
        let of_scratch: Scalar =
            powers(end.theta).zip(scratch.blinds()).map(|(power, blind)| power * blind).sum();
        let witness = OpeningWitness {
            bases: [&*bases, &slots].concat(),
            blinding,
            form_base: self.generators.form(),
            form,
            vector,
            blind: rows.combined_blind(&weights) + of_scratch,
        };
        let commitments = end.ledger.commitments().to_vec();
        let opening = witness.prove(mode, &mut randomness, end.transcript)?;
        let proof = TrainingProof { tensors, multiplicities, scratch: commitments, product, opening };
        Ok(ProvenSteps { proof, blinds: tensor_blinds })
    }

    /// The rows with the blinds of the statement's.
    fn start(&self, values: Vec<values::RowValues>) -> Result<Rows, TrainingProofError> {
        let expected = self.context.start().count();
        let found = self.start_blinds.len();
        if expected != found {
            return Err(TrainingProofError::Blinds { expected, found });
        }
        Ok(Rows { values, blinds: Zeroizing::new(self.start_blinds.to_vec()) })
    }
}

/// The fractions `1 / (gamma - leaf)`.
fn fractions<'a>(
    leaves: &'a LeafValues,
    range: std::ops::Range<usize>,
    beta: Scalar,
    gamma: Scalar,
) -> Leaves<'a> {
    let denominators: Vec<Scalar> = match leaves {
        LeafValues::Words(words) => return Leaves::Words { words: &words[range], gamma },
        LeafValues::Pairs(pairs) => pairs[range]
            .iter()
            .map(|(index, entry)| gamma - Scalar::from(*index) - beta * Scalar::from(*entry))
            .collect(),
        LeafValues::Field(values) => values[range].iter().map(|value| gamma - value).collect(),
    };
    Leaves::Fractions { numerators: vec![Scalar::from(1u8); denominators.len()], denominators }
}

/// The fractions `m_v / (gamma - v)` of a whole table.
fn table(lane: Lane, counted: &[Scalar], paired: &[Scalar], gamma: Scalar) -> Leaves<'static> {
    let denominators = match lane {
        Lane::Words => {
            let denominators = std::iter::successors(Some(gamma), |last| Some(*last - Scalar::from(1u8)));
            denominators.take(1 << TABLE_BITS).collect()
        }
        Lane::Pairs => paired.iter().map(|entry| gamma - entry).collect(),
    };
    Leaves::Fractions { numerators: counted.to_vec(), denominators }
}
