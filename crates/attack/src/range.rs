//! A cheating registrar: commits to any elements of the field, claims any multiplicities, and makes the best proof there is.
//!
//! Everything but what it cheats with is the honest prover's: the walk, the trees, the opening. So where a proof of it is
//! refused, the lookup refused it, and where the same cheat passes a verifier whose gamma is known beforehand, the attack
//! bites.

use ark_ff::Field;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::collapse::powers;
use lorica_argument::form::Slot;
use lorica_argument::generators::{Generators, registration_slots};
use lorica_argument::lookup::{LeafTree, TABLE_BITS};
use lorica_argument::opening::OpeningMode;
use lorica_argument::products::SlotBases;
use lorica_argument::transcript::Transcript;
use lorica_argument::walk::Rounds;
use lorica_prove::forest::ForestProver;
use lorica_prove::fraction::{FractionTree, Leaves};
use lorica_prove::products::ProductsProver;
use lorica_prove::randomness::{Entropy, Randomness};
use lorica_prove::range::{
    ColumnsProver, CommittedRows, LeafSource, Multiplicities, OpenedRange, RangeProofError, RangeProver,
};
use lorica_prove::scratch::Scratch;
use lorica_prove::secret::AdapterSecret;
use lorica_relation::session::Witness;
use lorica_tensor::Digest;
use lorica_verify::manifest::{CommitmentList, Manifest, ManifestError, ManifestModule, RangeLevel};
use lorica_verify::packing::Packing;
use lorica_verify::range::{self, ColumnClaims, Columns, ENTRY_OFFSET, RangeProof};
use lorica_verify::registered::{Matrix, RegisteredAdapter, RegisteredError};
use lorica_verify::rows::statement::RangeStatement;
use zeroize::Zeroizing;

/// One row as a cheating registrar commits to it: any elements of the field, and any point on top.
#[derive(Debug, Clone)]
pub struct FreeRow {
    /// The entries; those beyond the row's declared length are junk.
    pub entries: Vec<Scalar>,
    /// The blind of the commitment.
    pub blind: Scalar,
    /// What else the commitment holds.
    pub on_top: Option<Point>,
}

/// All rows by their numbers: rows of A by pairs, then columns of B.
#[derive(Debug, Clone)]
pub struct FreeRows(pub Vec<FreeRow>);

impl FreeRows {
    /// The rows of honest weights under a manifest.
    pub fn of(manifest: &Manifest, witness: &Witness, secret: &AdapterSecret) -> Self {
        let rows = |matrix: Matrix| {
            manifest.modules.iter().zip(&witness.modules).flat_map(move |(module, weights)| {
                let (values, width) = match matrix {
                    Matrix::A => (&weights.a, module.inputs),
                    Matrix::B => (&weights.b, module.outputs),
                };
                values.chunks_exact(width).enumerate().map(move |(index, row)| FreeRow {
                    entries: row.iter().map(|value| Scalar::from(*value)).collect(),
                    blind: secret.blind(&manifest.nonce, &module.name, matrix, index),
                    on_top: None,
                })
            })
        };
        Self(rows(Matrix::A).chain(rows(Matrix::B)).collect())
    }

    /// The leaves of an adapter's lookup.
    pub fn leaves(&self, modules: &[ManifestModule]) -> Vec<Scalar> {
        let shapes: Vec<_> = modules.iter().map(ManifestModule::shape).collect();
        self.leaves_of(&Packing::of(&shapes))
    }

    /// The commitments to all rows, in order.
    pub fn commit(&self, generators: &Generators) -> Vec<EncodedPoint> {
        let widest = self.0.iter().map(|row| row.entries.len()).max().unwrap_or(0);
        let bases = generators.first_rows(widest);
        let commit = |row: &FreeRow| {
            let entries = multiscalar(&row.entries, &bases[..row.entries.len()]);
            let blind = multiscalar(&[row.blind], &[*generators.blinding()]);
            EncodedPoint::new(entries + blind + row.on_top.unwrap_or_default())
        };
        self.0.iter().map(commit).collect()
    }

    /// The leaves of a lookup: entries plus 2^15, laid out as the verifier lays them out.
    pub fn leaves_of(&self, packing: &Packing) -> Vec<Scalar> {
        let mut leaves = vec![Scalar::default(); packing.leaves()];
        for kind in packing.kinds() {
            for (row, block) in &kind.rows {
                for i in 0..1 << kind.log_size {
                    let entry = self.0[*row].entries.get(kind.offset + i).copied().unwrap_or_default();
                    leaves[kind.leaf(*block) + i] = entry + Scalar::from(ENTRY_OFFSET);
                }
            }
        }
        leaves
    }
}

impl CommittedRows for FreeRows {
    fn combine(&self, rows: &[(usize, Scalar)], vector: &mut [Scalar]) {
        for (row, weight) in rows {
            for (sum, entry) in vector.iter_mut().zip(&self.0[*row].entries) {
                *sum += *weight * entry;
            }
        }
    }

    fn blinds(&self) -> Zeroizing<Vec<Scalar>> {
        Zeroizing::new(self.0.iter().map(|row| row.blind).collect())
    }
}

/// How often each number of the table is a leaf; what is outside of the table is not counted.
pub fn counts(leaves: &[Scalar]) -> Vec<u64> {
    let mut counts = vec![0; 1 << TABLE_BITS];
    for leaf in leaves {
        let [low, high, rest @ ..] = scalar::to_bytes(leaf);
        if rest.iter().all(|byte| *byte == 0) {
            counts[usize::from(u16::from_le_bytes([low, high]))] += 1;
        }
    }
    counts
}

/// A fraction as a function of gamma.
pub type Fraction = fn(Scalar) -> [Scalar; 2];

/// Leaves that are any elements of the field, with any fractions behind them where an honest prover has `0 / 1`.
struct FreeLeaves<'a> {
    leaves: Vec<Scalar>,
    padding: &'a [Fraction],
}

impl LeafSource for FreeLeaves<'_> {
    fn trees(&self, trees: &[LeafTree], gamma: Scalar) -> Vec<FractionTree<'_>> {
        let tree = |(number, tree): (usize, &LeafTree)| {
            let leaves = &self.leaves[tree.first..tree.first + tree.count];
            let mut numerators = vec![Scalar::from(1u8); leaves.len()];
            let mut denominators: Vec<Scalar> = leaves.iter().map(|leaf| gamma - leaf).collect();
            if number + 1 == trees.len() {
                for padding in self.padding {
                    let [numerator, denominator] = padding(gamma);
                    numerators.push(numerator);
                    denominators.push(denominator);
                }
            }
            FractionTree::new(Leaves::Fractions { numerators, denominators })
        };
        trees.iter().enumerate().map(tree).collect()
    }
}

/// Everything that a proof about any rows is made from.
pub struct CheatingProver<'a> {
    /// What it is about.
    pub statement: &'a RangeStatement<'a>,
    /// The seed its masks depend on.
    pub secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
    /// What stands in the commitments.
    pub rows: &'a FreeRows,
    /// What it claims of the leaves.
    pub multiplicities: &'a Multiplicities,
    /// Fractions behind the last leaf, at most up to where the last tree is full.
    pub padding: &'a [Fraction],
}

impl CheatingProver<'_> {
    /// Makes the proof in any way.
    pub fn prove_by(
        &self,
        prove: impl FnOnce(&RangeProver<'_>) -> Result<RangeProof, RangeProofError>,
    ) -> Result<RangeProof, RangeProofError> {
        let leaves = self.rows.leaves_of(&self.statement.shape().packing);
        let leaves = FreeLeaves { leaves, padding: self.padding };
        prove(&RangeProver {
            statement: self.statement,
            secret: self.secret,
            generators: self.generators,
            rows: self.rows,
            leaves: &leaves,
            multiplicities: self.multiplicities,
        })
    }
}

/// Everything a cheating registrar of an adapter works with.
pub struct CheatingRegistrar<'a> {
    /// The manifest it wants pinned; commitments and range level are filled in.
    pub manifest: &'a Manifest,
    /// The seed its masks depend on.
    pub secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
    /// What it commits to.
    pub rows: &'a FreeRows,
    /// What it claims of the leaves.
    pub multiplicities: &'a Multiplicities,
    /// Fractions behind the last leaf, at most up to where the last tree is full.
    pub padding: &'a [Fraction],
}

/// What comes of it.
pub struct Forged {
    /// The manifest, in canonical form.
    pub manifest: String,
    /// The commitment list.
    pub commitments: Vec<u8>,
    /// Both, read back.
    pub adapter: RegisteredAdapter,
    /// The proof.
    pub proof: RangeProof,
}

/// Why a forgery cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum CheatError {
    /// The manifest would not be valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The artefacts do not belong together.
    #[error(transparent)]
    Registered(#[from] RegisteredError),
    /// An honest step failed.
    #[error(transparent)]
    Prover(#[from] RangeProofError),
}

impl CheatingRegistrar<'_> {
    /// Commits, and makes the proof on a given transcript.
    pub fn register(
        &self,
        mode: OpeningMode,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<Forged, CheatError> {
        self.register_by(|prover| prover.prove_on(mode, entropy, transcript))
    }

    /// Commits, and makes the proof in any way.
    pub fn register_by(
        &self,
        prove: impl FnOnce(&RangeProver<'_>) -> Result<RangeProof, RangeProofError>,
    ) -> Result<Forged, CheatError> {
        let commitments = self.commitments();
        let manifest = Manifest {
            commitments: CommitmentList { count: self.rows.0.len(), digest: Digest::sha256(&commitments) },
            range: RangeLevel::Int16,
            ..self.manifest.clone()
        }
        .to_json()?;
        let adapter = RegisteredAdapter::from_bytes(manifest.as_bytes(), &commitments, None)?;
        let prover = CheatingProver {
            statement: &(&adapter).into(),
            secret: self.secret,
            generators: self.generators,
            rows: self.rows,
            multiplicities: self.multiplicities,
            padding: self.padding,
        };
        let proof = prover.prove_by(prove)?;
        Ok(Forged { manifest, commitments, adapter, proof })
    }

    /// The commitment list: module by module, first the rows of A, then the columns of B.
    fn commitments(&self) -> Vec<u8> {
        let commitments = self.rows.commit(self.generators);
        let pairs = commitments.len() / 2;
        let mut first = 0;
        let mut bytes = Vec::new();
        for module in &self.manifest.modules {
            for start in [first, pairs + first] {
                let of_matrix = &commitments[start..start + module.rank];
                bytes.extend(of_matrix.iter().flat_map(|commitment| *commitment.bytes()));
            }
            first += module.rank;
        }
        bytes
    }
}

/// The party of the column rounds whose last commitment holds an amount on another commitment's slot.
struct Rewriting<'s, 'g> {
    honest: ColumnsProver<'s, 'g>,
    rounds_left: usize,
    amount: Point,
}

impl Rounds for Rewriting<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        self.rounds_left -= 1;
        let commitment = self.honest.round()?;
        let last = self.rounds_left == 0;
        Ok(if last { EncodedPoint::new(commitment.point() + self.amount) } else { commitment })
    }

    fn bind(&mut self, challenge: Scalar) {
        self.honest.bind(challenge);
    }
}

impl Columns for Rewriting<'_, '_> {
    fn enter(&mut self, claims: &ColumnClaims) {
        self.honest.enter(claims);
    }
}

/// A range proof for entries that are not in range, by the forgery of [`crate::session::Forgery::RewriteSlot`].
///
/// All is honest but for the root equation, which does not hold. So the form of the products' last claim is not that of what
/// gamma's slot holds, and the last column round's commitment, sent when all challenges of the products' rounds are known, adds
/// what is missing on the slot of their first round. It counts where commitments are summed without powers of theta.
pub fn rewrite_slot(
    prover: &RangeProver<'_>,
    entropy: &Entropy,
    transcript: &mut dyn Transcript,
) -> Result<RangeProof, RangeProofError> {
    let shape = prover.statement.shape();
    let row_bases = prover.generators.first_rows(shape.width);
    let slots = registration_slots(shape.slots());
    let mut scratch = Scratch::on(&slots, prover.generators.blinding());
    let step = range::begin(transcript, prover.statement);
    let mut randomness = Randomness::new(entropy, prover.secret, &step.transcript.state());
    let (counted, multiplicities) = prover.commit_multiplicities(&shape, &row_bases, &mut randomness)?;
    let (gamma, step) = step.commit(&multiplicities).ok_or(RangeProofError::ZeroChallenge)?;
    let mut trees = prover.leaves.trees(&shape.lookup().trees(), gamma);
    trees.push(FractionTree::new(counted.leaves(gamma)));
    let step = step.walk(&shape, &mut ForestProver::new([trees], &mut scratch, &mut randomness))?;
    let mut products = ProductsProver::new(&mut scratch, &mut randomness);
    let bases = SlotBases { slots: &slots, blinding: *prover.generators.blinding() };
    let step = step.walk(bases, &mut products)?.ok_or(RangeProofError::Slots)?;
    let product = products.finish().ok_or(RangeProofError::Slots)?;

    // What is missing in the last form, gamma's, and what makes up for it on the products' first slot.
    let form = step.zeros().last().ok_or(RangeProofError::Slots)?;
    let excess = form.evaluate(scratch.slots()).ok_or(RangeProofError::Slots)?;
    let Slot(slot) = Slot(shape.lookup().blocks().sum());
    let coefficient: Scalar =
        form.terms.iter().filter(|(of, _)| of.0 == slot).map(|(_, coefficient)| *coefficient).sum();
    let amount = -excess * coefficient.inverse().ok_or(RangeProofError::ZeroChallenge)?;
    let mut columns = Rewriting {
        honest: ColumnsProver::new(&shape, prover.rows, &counted, &mut scratch, &mut randomness),
        rounds_left: shape.column_rounds(),
        amount: multiscalar(&[amount], &[slots[slot]]),
    };
    let end = step.walk(&shape, &mut columns)?;
    let rows = columns.honest.bound();
    let mut opened = prover.opened(&OpenedRange {
        shape: &shape,
        end: &end,
        counted: &counted,
        scratch: &scratch,
        row_bases: &row_bases,
        slots: &slots,
        rows,
    })?;
    let last_power = powers(end.theta).take(shape.commitments()).last().unwrap_or_default();
    opened.vector[shape.width + slot] += last_power * amount;
    let scratch = end.ledger.commitments().to_vec();
    let opening = opened.prove(OpeningMode::Compact, &mut randomness, end.transcript)?;
    Ok(RangeProof { multiplicities, scratch, product, opening })
}
