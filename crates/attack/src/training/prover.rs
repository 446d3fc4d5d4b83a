//! The prover of training proofs step by step, as [`lorica_prove::training`] goes, with the cheats that values alone cannot carry
//! out: fractions in the padding of a tree, and a last commitment that rewrites an earlier slot.
//!
//! **Rewriting.** Let everything be honest for a false statement of which only the claim on all rows fails, by x: what the slots
//! say of the rows is `S + x`, what the rows hold is S. The last column round's commitment is sent when all other
//! challenges of these rounds are known, and also holds y on the slot `c_0` of their first round. After all rounds, x counts
//! `x r_1 r_2 ..` and y counts `y (1 - 2 r_1) r_2 ..`; so `y = -x r_1 / (1 - 2 r_1)` makes the false claim true, where
//! commitments are summed without powers of theta. It is the forgery of [`crate::session::Forgery::RewriteSlot`].

use ark_ff::Field;
use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar};
use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::generators::training_slots;
use lorica_argument::lookup::TABLE_BITS;
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_argument::transcript::Transcript;
use lorica_argument::walk::Rounds;
use lorica_prove::forest::ForestProver;
use lorica_prove::fraction::{FractionTree, Leaves};
use lorica_prove::opening::OpeningWitness;
use lorica_prove::products::ProductsProver;
use lorica_prove::randomness::Randomness;
use lorica_prove::range::RangeProofError;
use lorica_prove::scratch::Scratch;
use lorica_prove::training::columns::ColumnRounds;
use lorica_prove::training::commitments::Rows;
use lorica_prove::training::entrywise::EntrywiseProducts;
use lorica_prove::training::sums::ProductsOfMatrices;
use lorica_prove::training::values::{LeafValues, TrainingValues};
use lorica_prove::training::{TrainingProofError, TrainingProver};
use lorica_verify::training::TrainingProof;
use lorica_verify::training::layout::RowGroup;
use lorica_verify::training::leaves::Lane;
use lorica_verify::training::schedule::{self, Columns};
use zeroize::Zeroizing;

use super::statement::entropy;
use super::values::ForgedValues;
use crate::range::Fraction;

/// What a cheating prover does beside choosing values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cheats<'a> {
    /// Fractions behind the last leaf of the first lookup, at most up to where its last tree is full.
    pub padding: &'a [Fraction],
    /// Whether the last commitment rewrites a slot for the claim on the rows to come out.
    pub rewrite: bool,
}

/// The party of the column rounds whose last commitment makes up for what is missing.
struct Rewriting<'s, 'g> {
    honest: ColumnRounds<'s, 'g>,
    rows: &'s Rows,
    /// What the slots say that the rows hold.
    claimed: Scalar,
    /// x
    excess: Scalar,
    first: Option<Scalar>,
    rounds_left: usize,
    /// The base of the first round's first slot.
    base: Point,
    /// y
    amount: Scalar,
}

impl Rounds for Rewriting<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let commitment = self.honest.round()?;
        self.rounds_left -= 1;
        if self.rounds_left > 0 {
            return Ok(commitment);
        }
        let first = self.first.unwrap_or_default();
        let coefficient = Scalar::from(1u8) - first - first;
        self.amount = -self.excess * first * coefficient.inverse().ok_or(RangeProofError::ZeroChallenge)?;
        Ok(EncodedPoint::new(commitment.point() + multiscalar(&[self.amount], &[self.base])))
    }

    fn bind(&mut self, challenge: Scalar) {
        self.first.get_or_insert(challenge);
        self.honest.bind(challenge);
    }
}

impl Columns for Rewriting<'_, '_> {
    fn enter(&mut self, groups: &[RowGroup]) {
        let held = groups.iter().map(|RowGroup { rows, column, form }| {
            inner_product(&self.rows.combine(rows, column + form.len())[*column..], form)
        });
        self.excess = self.claimed - held.sum::<Scalar>();
        self.honest.enter(groups);
    }
}

/// The fractions of a lookup's leaves, tree by tree, then of its table.
fn trees<'a>(
    values: &ForgedValues<'_>,
    lane: Lane,
    leaves: &LeafValues,
    counts: &[Scalar],
    [beta, gamma]: [Scalar; 2],
    padding: &[Fraction],
) -> Vec<FractionTree<'a>> {
    let leaves: Vec<Scalar> = match leaves {
        LeafValues::Words(words) => words.iter().map(|word| Scalar::from(*word)).collect(),
        LeafValues::Pairs(pairs) => {
            pairs.iter().map(|(index, entry)| Scalar::from(*index) + beta * Scalar::from(*entry)).collect()
        }
        LeafValues::Field(values) => values.to_vec(),
    };
    let lookups = values.context.leaves.lookups();
    let of_lane = lookups.into_iter().find(|(of, _)| *of == lane);
    let shapes = of_lane.map(|(_, shape)| shape.trees()).unwrap_or_default();
    let table: Vec<Scalar> = match lane {
        Lane::Words => (0..1u64 << TABLE_BITS).map(Scalar::from).collect(),
        Lane::Pairs => values.context.paired(beta),
    };
    let last = shapes.len() - 1;
    let of_leaves = shapes.into_iter().enumerate().map(|(number, tree)| {
        let leaves = &leaves[tree.first..tree.first + tree.count];
        let mut numerators = vec![Scalar::from(1u8); leaves.len()];
        let mut denominators: Vec<Scalar> = leaves.iter().map(|leaf| gamma - leaf).collect();
        for padding in padding.iter().filter(|_| number == last) {
            let [numerator, denominator] = padding(gamma);
            numerators.push(numerator);
            denominators.push(denominator);
        }
        FractionTree::new(Leaves::Fractions { numerators, denominators })
    });
    let denominators = table.iter().map(|entry| gamma - entry).collect();
    let of_table = FractionTree::new(Leaves::Fractions { numerators: counts.to_vec(), denominators });
    of_leaves.chain([of_table]).collect()
}

/// The proof of a cheating prover. `prover.values` are not read: `values` are.
pub fn forge(
    prover: &TrainingProver<'_>,
    values: &ForgedValues<'_>,
    cheats: Cheats<'_>,
    mode: OpeningMode,
    transcript: &mut dyn Transcript,
) -> Result<TrainingProof, TrainingProofError> {
    let TrainingProver { context, generators, .. } = *prover;
    let program = context.program();
    let sizes = context.sizes();
    let bases = generators.first_rows(context.rows.width);
    let blinding = generators.blinding();
    let slots = training_slots(sizes.slots());
    let mut scratch = Scratch::on(&slots, blinding);

    // Statement, tensors, multiplicities, gamma.
    let step = schedule::begin(transcript, context);
    let mut randomness = Randomness::new(&entropy(), prover.secret, &step.transcript.state());
    let mut all = values.rows()?;
    let committed = all.split_off(prover.start_blinds.len());
    let mut rows = Rows { values: all, blinds: Zeroizing::new(prover.start_blinds.to_vec()) };
    let tensors = rows.commit(committed, &bases, blinding, &mut randomness)?;
    let step = step.commit(&tensors);
    let beta = step.beta;
    let count_bases = &bases[..1 << context.rows.multiplicity_bits];
    let (mut leaves, mut multiplicities) = (Vec::new(), Vec::new());
    for (lane, _) in context.leaves.lookups() {
        let (of_lane, counts) = values.leaves(lane, beta)?;
        let (counts, commitments) = rows.commit_counts(&counts, count_bases, blinding, &mut randomness)?;
        leaves.push((lane, of_lane, counts));
        multiplicities.extend(commitments);
    }
    let (gamma, step) = step.commit(&multiplicities).ok_or(RangeProofError::ZeroChallenge)?;

    // Lookups, products, entrywise products, all products of slots.
    let forest: Vec<_> = leaves
        .iter()
        .enumerate()
        .map(|(number, (lane, leaves, counts))| {
            let padding = if number == 0 { cheats.padding } else { &[] };
            trees(values, *lane, leaves, counts, [beta, gamma], padding)
        })
        .collect();
    let mut party = ForestProver::new(forest, &mut scratch, &mut randomness);
    let step = step.walk(&mut party)?.ok_or(TrainingProofError::Statement)?;
    drop(party);
    let mut party = ProductsOfMatrices::new(program, values, &mut scratch, &mut randomness);
    let step = step.products(&mut party)?.ok_or(TrainingProofError::Statement)?;
    drop(party);
    let mut party = EntrywiseProducts::new(program, values, &mut scratch, &mut randomness);
    let step = step.entrywise(&mut party)?.ok_or(TrainingProofError::Statement)?;
    drop(party);
    let mut party = ProductsProver::new(&mut scratch, &mut randomness);
    let step = step
        .factors(SlotBases { slots: &slots, blinding: *blinding }, &mut party)?
        .ok_or(TrainingProofError::Statement)?;
    let product = party.finish().ok_or(RangeProofError::Slots)?;

    // Columns.
    let slot = scratch.slots().len();
    let claimed = step.value().evaluate(scratch.slots()).ok_or(RangeProofError::Slots)?;
    let mut party = Rewriting {
        honest: ColumnRounds::new(&rows, sizes.column_rounds, &mut scratch, &mut randomness),
        rows: &rows,
        claimed,
        excess: Scalar::default(),
        first: None,
        rounds_left: if cheats.rewrite { sizes.column_rounds } else { usize::MAX },
        base: slots[slot],
        amount: Scalar::default(),
    };
    let end = step.walk(&mut party)?;
    let amount = party.amount;
    drop(party);

    // The opening: of exactly what was committed, the amount included.
    let CollapsedForm { form, .. } = end.collapse().ok_or(RangeProofError::ZeroChallenge)?;
    let weights = end.weights();
    let all: Vec<(usize, Scalar)> = weights.iter().copied().enumerate().collect();
    let mut vector = rows.combine(&all, context.rows.width);
    let separators = end.ledger.blocks().zip(powers(end.theta));
    let separators = separators.flat_map(|(size, power)| std::iter::repeat_n(power, size));
    vector.extend(scratch.slots().iter().zip(separators).map(|(slot, power)| *slot * power));
    let last_power = powers(end.theta).take(end.ledger.commitments().len()).last().unwrap_or_default();
    vector[context.rows.width + slot] += last_power * amount;
    let of_scratch: Scalar =
        powers(end.theta).zip(scratch.blinds()).map(|(power, blind)| power * blind).sum();
    let witness = OpeningWitness {
        bases: [&*bases, &slots].concat(),
        blinding,
        form_base: generators.form(),
        form,
        vector,
        blind: rows.combined_blind(&weights) + of_scratch,
    };
    let commitments = end.ledger.commitments().to_vec();
    let opening = witness.prove(mode, &mut randomness, end.transcript).map_err(TrainingProofError::from)?;
    Ok(TrainingProof { tensors, multiplicities, scratch: commitments, product, opening })
}
