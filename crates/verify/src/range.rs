//! The range argument of a registration: every entry of every committed row is an integer of 16 bits.
//!
//! | part | where |
//! |---|---|
//! | what it is about | [`RangeStatement`] |
//! | sizes, all from the manifest | [`RangeShape`] |
//! | the order of messages and challenges | [`begin`] → [`Counting`] → [`LookupStep`] → [`ProductStep`] → [`ColumnStep`] → [`RangeEnd`] |
//! | bytes and verifier | [`RangeProof`] |
//!
//! It was made for adapters and serves all registered rows. For an adapter it takes the place of the proof of
//! [`crate::registration`]: its opening shows as well that every commitment can be
//! opened. The numbered steps are those of `docs/spec/registration.md`.

use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_at, eq_table, prefix_at, variables};
use lorica_algebra::point::EncodedPoint;
use lorica_argument::codec::{CodecError, Reader, Writer};
use lorica_argument::collapse::{CollapsedForm, Constraints, powers};
use lorica_argument::form::AffineForm;
use lorica_argument::generators::{Generators, registration_slots};
use lorica_argument::lookup::{
    self, Forest, ForestClaims, GAMMA, Layers, LeafClaim, Lookup, LookupShape, TABLE_BITS, Table,
};
use lorica_argument::opening::{CommitmentTerms, OpeningError, OpeningProof, OpeningStatement};
use lorica_argument::product::{ProductBases, ProductCommitments, ProductProof};
use lorica_argument::products::{self, Factors, SlotBases};
use lorica_argument::transcript::{FiatShamir, Label, Transcript};
use lorica_argument::walk::{Ledger, RoundLabels, Rounds, Walk};
use lorica_relation::session::ModuleShape;

use crate::packing::{Packing, adapter_rows, split_low};
use crate::proof::{mode_byte, read_mode};
use crate::registration::RegistrationInvalid;
use crate::rows::statement::RangeStatement;

/// The protocol and version that the Fiat-Shamir transcript of an adapter's registration proof with a range argument starts
/// from.
pub const RANGE_PROTOCOL: &str = "lorica registration proof 2";

const MAGIC: &[u8; 8] = b"LoricaR2";
const MULTIPLICITIES: Label = Label("range: multiplicities");
const KAPPA: Label = Label("range: kappa");
const COLUMNS: RoundLabels =
    RoundLabels { round: Label("range: column round"), challenge: Label("range: q") };
const MU: Label = Label("range: mu");
/// The label of theta: public for the same tests as the session's.
pub const THETA: Label = Label("range: theta");

/// A row of multiplicities has at least `2^10` and at most `2^12` entries: few commitments, and no more bases than the widest
/// row of an adapter needs in any case.
const MULTIPLICITY_BITS: std::ops::RangeInclusive<usize> = 10..=12;

/// An entry v stands in the table as `v + 2^15`.
pub const ENTRY_OFFSET: u64 = 1 << (TABLE_BITS - 1);

/// All sizes of a range argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeShape {
    /// Where entries stand among the leaves.
    pub packing: Packing,
    /// The number of row bases: the widest row or the multiplicities' rows.
    pub width: usize,
    /// c: a row of multiplicities has `2^c` entries.
    pub multiplicity_bits: usize,
}

impl RangeShape {
    /// The sizes for these modules.
    pub fn of(modules: &[ModuleShape]) -> Self {
        Self::of_rows(&adapter_rows(modules))
    }

    /// The sizes for rows of these lengths.
    pub fn of_rows(lengths: &[usize]) -> Self {
        let widest = lengths.iter().copied().max().unwrap_or(1);
        let (least, most) = MULTIPLICITY_BITS.into_inner();
        let whole = usize::try_from(widest.max(1).ilog2()).unwrap_or(most);
        let multiplicity_bits = whole.clamp(least, most);
        Self { packing: Packing::new(lengths), width: widest.max(1 << multiplicity_bits), multiplicity_bits }
    }

    /// The lookup's sizes.
    pub fn lookup(&self) -> LookupShape {
        LookupShape { leaves: self.packing.leaves() }
    }

    /// The number of rows of multiplicities.
    pub fn multiplicity_rows(&self) -> usize {
        1 << TABLE_BITS.saturating_sub(self.multiplicity_bits)
    }

    /// The number of column rounds.
    pub fn column_rounds(&self) -> usize {
        variables(self.width)
    }

    /// The number of slots of each scratch commitment, in the order of sending.
    pub fn blocks(&self) -> impl Iterator<Item = usize> {
        let lookup = self.lookup();
        let products = products::blocks(lookup.product_terms());
        lookup.blocks().chain(products).chain(std::iter::repeat_n(2, self.column_rounds()))
    }

    /// The number of scratch commitments, J.
    pub fn commitments(&self) -> usize {
        self.blocks().count()
    }

    /// The number of slots, S.
    pub fn slots(&self) -> usize {
        self.blocks().fold(0, usize::saturating_add)
    }

    /// The extension at `columns` of the form on a row of multiplicities.
    fn multiplicity_form_at(&self, table_point: &[Scalar], columns: &[Scalar]) -> Scalar {
        let (_, form) = split_low(table_point, self.multiplicity_bits);
        let (high, low) = split_low(columns, self.multiplicity_bits);
        let one = Scalar::from(1u8);
        let inside = form
            .iter()
            .zip(low)
            .fold(one, |product, (form, column)| product * (*form * column + (one - form) * (one - column)));
        inside * eq_at(high, 0)
    }
}

/// Step 1: takes in the digests of manifests, which fix shapes and commitments.
pub fn begin<'t>(transcript: &'t mut dyn Transcript, statement: &RangeStatement<'_>) -> Counting<'t> {
    statement.absorb(transcript);
    Counting { transcript }
}

/// Step 2: the commitments to the multiplicities.
pub struct Counting<'t> {
    /// For the prover's randomness, which depends on it.
    pub transcript: &'t mut dyn Transcript,
}

impl<'t> Counting<'t> {
    /// Takes in the multiplicities, and only then draws gamma. `None` if gamma is in the table.
    pub fn commit(self, multiplicities: &[EncodedPoint]) -> Option<(Scalar, LookupStep<'t>)> {
        for commitment in multiplicities {
            self.transcript.absorb(MULTIPLICITIES, commitment.bytes());
        }
        let gamma = self.transcript.challenge(GAMMA);
        let walk = Walk::new(self.transcript);
        (!lookup::is_in_table(&gamma)).then_some((gamma, LookupStep { walk, gamma }))
    }
}

/// Step 3: the forest of fraction trees.
pub struct LookupStep<'t> {
    walk: Walk<'t>,
    gamma: Scalar,
}

impl<'t> LookupStep<'t> {
    /// Walks from the roots to the claims on leaves and multiplicities.
    pub fn walk<P: Layers>(mut self, shape: &RangeShape, party: &mut P) -> Result<ProductStep<'t>, P::Error> {
        let lookups = [Lookup { shape: shape.lookup(), table: Table::Words }];
        let claims = Forest { lookups: &lookups }.walk(self.gamma, &mut self.walk, party)?;
        Ok(ProductStep { walk: self.walk, claims })
    }
}

/// Step 4: all products.
pub struct ProductStep<'t> {
    walk: Walk<'t>,
    claims: ForestClaims,
}

impl<'t> ProductStep<'t> {
    /// Brings all products down to one. `None` if there are too few bases.
    pub fn walk<P: Factors>(
        mut self,
        bases: SlotBases<'_>,
        party: &mut P,
    ) -> Result<Option<ColumnStep<'t>>, P::Error> {
        let constraints = std::mem::take(&mut self.claims.products);
        let Some(zeros) = products::walk(constraints, bases, &mut self.walk, party)? else { return Ok(None) };
        self.claims.zeros.extend(zeros);
        Ok(Some(ColumnStep { walk: self.walk, claims: self.claims }))
    }
}

/// The points and the factors of the claims that the column rounds are about.
#[derive(Debug, Clone)]
pub struct ColumnClaims {
    /// The point of each tree's claim on leaves.
    pub leaf_points: Vec<Vec<Scalar>>,
    /// The factor of each: `1, kappa, kappa^2, ..`.
    pub leaf_factors: Vec<Scalar>,
    /// The point of the multiplicities' claim.
    pub table_point: Vec<Scalar>,
    /// The factor of the multiplicities' claim: the next power of kappa.
    pub table_factor: Scalar,
}

/// Who sends the messages of the column rounds.
pub trait Columns: Rounds {
    /// What the rounds are about.
    fn enter(&mut self, claims: &ColumnClaims);
}

/// Step 5: columns.
pub struct ColumnStep<'t> {
    walk: Walk<'t>,
    claims: ForestClaims,
}

impl<'t> ColumnStep<'t> {
    /// The forms that are zero if everything so far is true.
    pub fn zeros(&self) -> &[AffineForm] {
        &self.claims.zeros
    }

    /// Binds the index inside a row; then mu and theta are drawn, with every scratch commitment fixed.
    pub fn walk<P: Columns>(mut self, shape: &RangeShape, party: &mut P) -> Result<RangeEnd<'t>, P::Error> {
        let ForestClaims { lookups, zeros, .. } = self.claims;
        let kappa = self.walk.transcript.challenge(KAPPA);
        let mut rows = AffineForm::public(Scalar::from(0u8));
        let (mut leaf_points, mut leaf_factors) = (Vec::new(), Vec::new());
        let mut factor = Scalar::from(1u8);
        let mut table_point = Vec::new();
        // There is one lookup.
        for claims in lookups {
            for LeafClaim { tree, point, mut value } in claims.leaves {
                // The leaves are entries + 2^15 where there is an entry.
                value.constant -= Scalar::from(ENTRY_OFFSET) * prefix_at(&point, tree.count);
                rows.add_scaled(&value, factor);
                leaf_points.push(point);
                leaf_factors.push(factor);
                factor *= kappa;
            }
            rows.add_scaled(&claims.multiplicities, factor);
            table_point = claims.table_point;
        }
        let claims = ColumnClaims { leaf_points, leaf_factors, table_point, table_factor: factor };
        party.enter(&claims);
        let columns = self.walk.sumcheck(COLUMNS, shape.column_rounds(), &mut rows, party)?;
        let mu = self.walk.transcript.challenge(MU);
        let theta = self.walk.transcript.challenge(THETA);
        let (transcript, ledger) = self.walk.finish();
        let constraints = Constraints { rows, zeros };
        Ok(RangeEnd { transcript, ledger, constraints, claims, columns, mu, theta })
    }
}

/// Step 6: everything the opening is made from.
pub struct RangeEnd<'t> {
    /// For the opening.
    pub transcript: &'t mut dyn Transcript,
    /// All scratch commitments.
    pub ledger: Ledger,
    /// What has to hold of rows and slots.
    pub constraints: Constraints,
    /// The claims that the column rounds were about.
    pub claims: ColumnClaims,
    /// q, where they ended.
    pub columns: Vec<Scalar>,
    /// Weighs the constraints.
    pub mu: Scalar,
    /// Separates the scratch commitments.
    pub theta: Scalar,
}

/// The weights of all commitments on row bases in the opened vector.
#[derive(Debug, Clone)]
pub struct RangeWeights {
    /// One for each registered row.
    pub rows: Vec<Scalar>,
    /// One for each row of multiplicities.
    pub multiplicities: Vec<Scalar>,
}

impl RangeEnd<'_> {
    /// The weights of the committed rows.
    pub fn weights(&self, shape: &RangeShape) -> RangeWeights {
        let ColumnClaims { leaf_points, leaf_factors, table_point, table_factor } = &self.claims;
        let factor = *table_factor * shape.multiplicity_form_at(table_point, &self.columns);
        let (high, _) = split_low(table_point, shape.multiplicity_bits);
        let eq = eq_table(high, shape.multiplicity_rows());
        RangeWeights {
            rows: shape.packing.row_weights(leaf_points, leaf_factors, &self.columns),
            multiplicities: eq.into_iter().map(|eq| eq * factor).collect(),
        }
    }

    /// The one form, or `None` if theta is zero.
    pub fn collapse(&self, shape: &RangeShape) -> Option<CollapsedForm> {
        let eq = eq_table(&self.columns, shape.width);
        self.constraints.collapse(self.ledger.blocks(), &eq, self.mu, self.theta)
    }
}

/// A registration proof with its range argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeProof {
    /// Commitments to the rows of multiplicities.
    pub multiplicities: Vec<EncodedPoint>,
    /// All scratch commitments, in the order of the walk.
    pub scratch: Vec<EncodedPoint>,
    /// The one product proof.
    pub product: ProductProof,
    /// The one opening.
    pub opening: OpeningProof,
}

/// The verifier's party: reads commitments from the proof.
struct Received<'p> {
    scratch: std::slice::Iter<'p, EncodedPoint>,
    product: &'p ProductProof,
}

impl Received<'_> {
    fn next(&mut self) -> Result<EncodedPoint, RegistrationInvalid> {
        self.scratch.next().copied().ok_or(RegistrationInvalid::TooFew)
    }
}

impl Rounds for Received<'_> {
    type Error = RegistrationInvalid;

    fn round(&mut self) -> Result<EncodedPoint, RegistrationInvalid> {
        self.next()
    }

    fn bind(&mut self, _challenge: Scalar) {}
}

impl Layers for Received<'_> {
    fn roots(&mut self) -> Result<EncodedPoint, RegistrationInvalid> {
        self.next()
    }

    fn enter(&mut self, _point: &[Scalar], _lambda: Scalar) {}

    fn ends(&mut self) -> Result<EncodedPoint, RegistrationInvalid> {
        self.next()
    }

    fn descend(&mut self, _tau: Scalar) {}
}

impl Factors for Received<'_> {
    fn enter(&mut self, _terms: &[(AffineForm, AffineForm)]) -> Result<(), RegistrationInvalid> {
        Ok(())
    }

    fn factors(&mut self) -> Result<[EncodedPoint; 3], RegistrationInvalid> {
        Ok([self.next()?, self.next()?, self.next()?])
    }

    fn product(
        &mut self,
        bases: &ProductBases,
        commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), RegistrationInvalid> {
        Ok(self.product.verify(bases, commitments, transcript)?)
    }
}

impl Columns for Received<'_> {
    fn enter(&mut self, _claims: &ColumnClaims) {}
}

impl RangeProof {
    /// Reads and verifies a proof.
    pub fn verify_bytes<'a>(
        bytes: &[u8],
        statement: impl Into<RangeStatement<'a>>,
        generators: &Generators,
    ) -> Result<(), RegistrationInvalid> {
        let statement = statement.into();
        let shape = statement.shape();
        let transcript = &mut FiatShamir::new(statement.protocol());
        Self::from_bytes(bytes, &shape)?.verify_for(&statement, &shape, generators, transcript)
    }

    /// Verifies the proof on a given transcript.
    pub fn verify<'a>(
        &self,
        statement: impl Into<RangeStatement<'a>>,
        generators: &Generators,
        transcript: &mut dyn Transcript,
    ) -> Result<(), RegistrationInvalid> {
        let statement = statement.into();
        self.verify_for(&statement, &statement.shape(), generators, transcript)
    }

    fn verify_for(
        &self,
        statement: &RangeStatement<'_>,
        shape: &RangeShape,
        generators: &Generators,
        transcript: &mut dyn Transcript,
    ) -> Result<(), RegistrationInvalid> {
        self.check_counts(shape)?;
        let slots = registration_slots(shape.slots());
        let bases = SlotBases { slots: &slots, blinding: *generators.blinding() };
        let mut party = Received { scratch: self.scratch.iter(), product: &self.product };

        // 1, 2. The manifests, then the multiplicities; only then gamma.
        let step = begin(transcript, statement).commit(&self.multiplicities);
        let (_, lookup) = step.ok_or(RegistrationInvalid::Gamma)?;
        // 3, 4, 5. The lookup, its products, columns.
        let products = lookup.walk(shape, &mut party)?;
        let columns = products.walk(bases, &mut party)?.ok_or(RegistrationInvalid::TooFew)?;
        let end = columns.walk(shape, &mut party)?;
        if party.scratch.next().is_some() {
            return Err(RegistrationInvalid::TooMany);
        }

        // 6. One opening.
        let CollapsedForm { form, value } = end.collapse(shape).ok_or(OpeningError::ZeroChallenge)?;
        let weights = end.weights(shape);
        let mut commitment = CommitmentTerms::default();
        for (point, weight) in statement.commitments().zip(&weights.rows) {
            commitment.push(*weight, *point);
        }
        for (point, weight) in self.multiplicities.iter().zip(&weights.multiplicities) {
            commitment.push(*weight, *point.point());
        }
        for (point, power) in self.scratch.iter().zip(powers(end.theta)) {
            commitment.push(power, *point.point());
        }
        let statement = OpeningStatement {
            bases: &[&generators.first_rows(shape.width), &slots],
            blinding: *generators.blinding(),
            form_base: *generators.form(),
            commitment,
            form,
            value,
        };
        Ok(self.opening.verify(statement, end.transcript)?)
    }

    fn check_counts(&self, shape: &RangeShape) -> Result<(), RegistrationInvalid> {
        let counts = [
            (shape.multiplicity_rows(), self.multiplicities.len()),
            (shape.commitments(), self.scratch.len()),
        ];
        match counts.into_iter().find(|(expected, found)| expected != found) {
            Some((expected, found)) if found < expected => Err(RegistrationInvalid::TooFew),
            Some(_) => Err(RegistrationInvalid::TooMany),
            None => Ok(()),
        }
    }

    /// Reads a proof for rows of the given sizes.
    pub fn from_bytes(bytes: &[u8], shape: &RangeShape) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.expect("magic and version", MAGIC)?;
        let mode = read_mode(&mut reader)?;
        let entries = shape.width.saturating_add(shape.slots());
        let proof = Self {
            multiplicities: reader.points("multiplicities", shape.multiplicity_rows())?,
            scratch: reader.points("scratch commitment", shape.commitments())?,
            product: ProductProof::read(&mut reader)?,
            opening: OpeningProof::read(&mut reader, mode, entries)?,
        };
        reader.finish()?;
        Ok(proof)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(MAGIC);
        writer.bytes(&[mode_byte(self.opening.mode())]);
        writer.points(&self.multiplicities);
        writer.points(&self.scratch);
        self.product.write(&mut writer);
        self.opening.write(&mut writer);
        writer.finish()
    }
}

/// The form of kappa's multiplicities and of each kind of block as the prover's column rounds need them: `eq` of the low
/// coordinates of a point, for `2^bits` entries.
pub fn low_form(point: &[Scalar], bits: usize) -> Vec<Scalar> {
    let (_, low) = split_low(point, bits);
    eq_table(low, 1usize.checked_shl(u32::try_from(bits).unwrap_or(u32::MAX)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(modules: &[(usize, usize, usize)]) -> RangeShape {
        let module = |(index, &(inputs, outputs, rank)): (usize, &(usize, usize, usize))| ModuleShape {
            name: format!("m{index}").parse().unwrap(),
            inputs,
            outputs,
            rank,
        };
        RangeShape::of(&modules.iter().enumerate().map(module).collect::<Vec<_>>())
    }

    #[test]
    fn sizes_follow_from_the_modules() {
        let small = shape(&[(6, 10, 2), (9, 3, 1)]);
        assert_eq!((small.packing.leaves(), small.width, small.multiplicity_bits), (44, 1024, 10));
        assert_eq!(
            (small.lookup().trees().len(), small.multiplicity_rows(), small.column_rounds()),
            (3, 64, 10)
        );
        let wide = shape(&[(4096, 4096, 16); 128]);
        assert_eq!((wide.packing.leaves(), wide.width, wide.multiplicity_rows()), (1 << 24, 4096, 16));
        assert_eq!(
            (wide.commitments(), wide.slots()),
            (1 + 276 + 24 + 7 + 3 + 12, 4 + 552 + 160 + 14 + 3 + 24)
        );
        let odd = shape(&[(1280, 1281, 4)]);
        assert_eq!((odd.width, odd.multiplicity_bits, odd.column_rounds()), (1281, 10, 11));
    }

    /// The sizes that `docs/spec/lookup.md` sums its error bound over: they are not exceeded.
    #[test]
    fn the_largest_sizes_are_within_those_of_the_error_bound() {
        let largest = 1usize << 35;
        for leaves in [largest, largest - 1, largest - (1 << 20) - 5, (1 << 34) + (1 << 33) + (1 << 32) + 1] {
            let lookup = LookupShape { leaves };
            let scratch = lookup.blocks().count() + products::blocks(lookup.product_terms()).count() + 16;
            assert!(lookup.layers() <= 35 && lookup.product_terms() <= 316 && scratch <= 659, "{leaves}");
        }
    }
}
