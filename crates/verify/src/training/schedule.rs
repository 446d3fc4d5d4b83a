//! The order of messages and challenges of a training proof, as types whose transitions consume them.
//!
//! [`begin`] → [`Committing`] → [`Counting`] → [`LookupStep`] → [`ReductionStep`] → [`ColumnStep`] → [`TrainingEnd`]. Step
//! numbers are those of `docs/spec/tensor-programs.md`.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_table, variables};
use lorica_algebra::point::EncodedPoint;
use lorica_argument::collapse::{CollapsedForm, Constraints};
use lorica_argument::form::AffineForm;
use lorica_argument::lookup::{self, Forest, ForestClaims, Layers};
use lorica_argument::products::{self as many_products, Factors, ProductConstraint, SlotBases};
use lorica_argument::transcript::{Label, Transcript};
use lorica_argument::walk::{Ledger, RoundLabels, Rounds, Walk};
use lorica_relation::program::{Check, Rule};

use super::context::Context;
use super::forms::{AxisForm, TensorForm};
use super::layout::RowGroup;
use super::leaves::Lane;
use super::reduce::{self, EntrywiseSums, Equation, ProductSums, SourceClaim};

const STATEMENT: Label = Label("training: statement");
const PROGRAM: Label = Label("training: program");
const START: Label = Label("training: starting commitment");
const SELECTED: Label = Label("training: selected row");
const TENSORS: Label = Label("training: tensors");
/// The label of beta: public for the same tests as gamma.
pub const BETA: Label = Label("training: beta");
const MULTIPLICITIES: Label = Label("training: multiplicities");
/// The label of gamma: public, so that a test can show what is accepted with a gamma known beforehand.
pub const GAMMA: Label = lookup::GAMMA;
const ZERO_POINT: Label = Label("training: point of a zero check");
const NU: Label = Label("training: nu");
const COLUMNS: RoundLabels =
    RoundLabels { round: Label("training: column round"), challenge: Label("training: q") };
const MU: Label = Label("training: mu");
/// The label of theta: public for the same tests as gamma.
pub const THETA: Label = Label("training: theta");

/// Step 1: takes in the statement, with every commitment that it starts from.
pub fn begin<'t, 'c>(transcript: &'t mut dyn Transcript, context: &'c Context) -> Committing<'t, 'c> {
    transcript.absorb(STATEMENT, context.statement.digest.as_bytes());
    transcript.absorb(PROGRAM, context.program().digest().as_bytes());
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes();
    for number in [context.statement.row_length, context.statement.selection.rows.len()].map(number) {
        transcript.absorb(PROGRAM, &number);
    }
    for point in context.start() {
        transcript.absorb(START, point.bytes());
    }
    for place in &context.statement.selection.places {
        let row = context.statement.selection.rows.get(*place).copied().unwrap_or(usize::MAX);
        transcript.absorb(SELECTED, &number(row));
    }
    Committing { transcript, context }
}

/// Step 2: the commitments to all tensors.
pub struct Committing<'t, 'c> {
    /// For the prover's randomness, which depends on it.
    pub transcript: &'t mut dyn Transcript,
    context: &'c Context,
}

impl<'t, 'c> Committing<'t, 'c> {
    /// Takes in the tensors; then draws beta, which makes one number of an index and an exponential.
    pub fn commit(self, tensors: &[EncodedPoint]) -> Counting<'t, 'c> {
        for commitment in tensors {
            self.transcript.absorb(TENSORS, commitment.bytes());
        }
        let beta = self.transcript.challenge(BETA);
        Counting { transcript: self.transcript, context: self.context, beta }
    }
}

/// Step 3: the commitments to the multiplicities.
pub struct Counting<'t, 'c> {
    transcript: &'t mut dyn Transcript,
    context: &'c Context,
    /// beta
    pub beta: Scalar,
}

impl<'t, 'c> Counting<'t, 'c> {
    /// Takes in the multiplicities, and only then draws gamma. `None` if gamma is in the table.
    pub fn commit(self, multiplicities: &[EncodedPoint]) -> Option<(Scalar, LookupStep<'t, 'c>)> {
        let Self { transcript, context, beta } = self;
        for commitment in multiplicities {
            transcript.absorb(MULTIPLICITIES, commitment.bytes());
        }
        let gamma = transcript.challenge(GAMMA);
        let walk = Walk::new(transcript);
        (!lookup::is_in_table(&gamma)).then_some((gamma, LookupStep { walk, context, beta, gamma }))
    }
}

/// Step 4: the forest of fraction trees.
pub struct LookupStep<'t, 'c> {
    walk: Walk<'t>,
    context: &'c Context,
    beta: Scalar,
    gamma: Scalar,
}

/// A claim on the multiplicities of one lookup.
#[derive(Debug, Clone)]
pub struct MultiplicityClaim {
    /// The number of the lookup.
    pub lookup: usize,
    /// The point of the table.
    pub point: Vec<Scalar>,
    /// The factor.
    pub factor: Scalar,
}

impl<'t, 'c> LookupStep<'t, 'c> {
    /// Walks from the roots to the claims on leaves and multiplicities, and makes one equation of them and of all zero checks.
    /// `None` if the program names something that it does not have.
    pub fn walk<P: Layers>(mut self, party: &mut P) -> Result<Option<ReductionStep<'t, 'c>>, P::Error> {
        let paired = self.context.paired(self.beta);
        let lookups = self.context.lookups(&paired);
        let claims = Forest { lookups: &lookups }.walk(self.gamma, &mut self.walk, party)?;
        Ok(self.equation(claims))
    }

    fn equation(self, claims: ForestClaims) -> Option<ReductionStep<'t, 'c>> {
        let Self { walk, context, beta, .. } = self;
        let program = context.program();
        let ForestClaims { lookups, zeros, products } = claims;
        let zero_forms: Vec<(&Check, TensorForm)> = context
            .zeros()
            .map(|check| {
                let mut point = |length: usize| -> Vec<Scalar> {
                    (0..variables(length)).map(|_| walk.transcript.challenge(ZERO_POINT)).collect()
                };
                let steps = eq_table(&point(program.steps), program.steps);
                let rows = AxisForm::whole(&point(check.shape.rows), check.shape.rows);
                let columns = AxisForm::whole(&point(check.shape.columns), check.shape.columns);
                (check, TensorForm { steps, rows, columns })
            })
            .collect();
        let nu = walk.transcript.challenge(NU);

        let mut equation = Equation::new();
        let mut multiplicities = Vec::new();
        let mut factor = Scalar::from(1u8);
        for (number, ((lane, _), claims)) in context.leaves.lookups().into_iter().zip(lookups).enumerate() {
            for leaf in claims.leaves {
                equation.value.add_scaled(&leaf.value, factor);
                for part in
                    context.leaves.forms(lane, leaf.tree, &leaf.point, |check| context.check_shape(check))?
                {
                    let check = program.checks.get(part.check)?;
                    let scale = match check.rule {
                        Rule::Word { shift } => factor * Scalar::from(1u64.checked_shl(shift)?),
                        Rule::Zero | Rule::Exponential { .. } => factor,
                    };
                    claim_check(&mut equation, context, check, scale, &part.form)?;
                    if let (Rule::Exponential { result }, Lane::Pairs) = (check.rule, lane) {
                        let form = part.form;
                        equation.sources.push(SourceClaim { source: result, factor: factor * beta, form });
                    }
                }
                factor *= nu;
            }
            equation.value.add_scaled(&claims.multiplicities, factor);
            multiplicities.push(MultiplicityClaim { lookup: number, point: claims.table_point, factor });
            factor *= nu;
        }
        for (check, form) in zero_forms {
            claim_check(&mut equation, context, check, factor, &form)?;
            factor *= nu;
        }
        Some(ReductionStep { walk, context, equation, multiplicities, zeros, products })
    }
}

/// Adds `factor * form(check)` to the claims.
fn claim_check<'c>(
    equation: &mut Equation<'c>,
    context: &'c Context,
    check: &'c Check,
    factor: Scalar,
    form: &TensorForm,
) -> Option<()> {
    equation.value.constant -=
        factor * Scalar::from(check.offset) * form.of_ones(check.shape.rows, 0, check.shape.columns);
    check.terms.iter().try_for_each(|term| equation.claim(context.program(), term, factor, form))
}

/// Steps 5 and 6: claims on products of matrices and on entrywise products are replaced by claims on committed tensors.
pub struct ReductionStep<'t, 'c> {
    walk: Walk<'t>,
    context: &'c Context,
    equation: Equation<'c>,
    multiplicities: Vec<MultiplicityClaim>,
    zeros: Vec<AffineForm>,
    products: Vec<ProductConstraint>,
}

impl<'t, 'c> ReductionStep<'t, 'c> {
    /// Step 5: products of matrices.
    pub fn products<P: ProductSums>(self, party: &mut P) -> Result<Option<Self>, P::Error> {
        let Self { mut walk, context, equation, multiplicities, zeros, mut products } = self;
        let Some((equation, constraint)) = reduce::products(context.program(), equation, &mut walk, party)?
        else {
            return Ok(None);
        };
        products.extend(constraint);
        Ok(Some(Self { walk, context, equation, multiplicities, zeros, products }))
    }

    /// Step 6: entrywise products.
    pub fn entrywise<P: EntrywiseSums>(self, party: &mut P) -> Result<Option<Self>, P::Error> {
        let Self { mut walk, context, equation, multiplicities, zeros, mut products } = self;
        let Some((equation, constraint)) = reduce::entrywise(context.program(), equation, &mut walk, party)?
        else {
            return Ok(None);
        };
        products.extend(constraint);
        Ok(Some(Self { walk, context, equation, multiplicities, zeros, products }))
    }

    /// Step 7: all products of slots are brought down to one. `None` if there are too few bases, or if claims are left that are
    /// not on committed tensors.
    pub fn factors<P: Factors>(
        self,
        bases: SlotBases<'_>,
        party: &mut P,
    ) -> Result<Option<ColumnStep<'t, 'c>>, P::Error> {
        let Self { mut walk, context, equation, multiplicities, mut zeros, products } = self;
        if !equation.products.is_empty() || !equation.entrywise.is_empty() {
            return Ok(None);
        }
        let Some(ties) = many_products::walk(products, bases, &mut walk, party)? else { return Ok(None) };
        zeros.extend(ties);
        let mut groups = Vec::new();
        for SourceClaim { source, factor, form } in &equation.sources {
            let selection = &context.statement.selection;
            let Some(of_claim) = context.rows.groups(*source, form, *factor, selection) else {
                return Ok(None);
            };
            groups.extend(of_claim);
        }
        for MultiplicityClaim { lookup, point, factor } in &multiplicities {
            groups.push(context.rows.multiplicity_group(*lookup, point, *factor));
        }
        Ok(Some(ColumnStep { walk, context, groups, value: equation.value, zeros }))
    }
}

/// Who sends the messages of the column rounds.
pub trait Columns: Rounds {
    /// What the rounds are about: a sum over groups of rows.
    fn enter(&mut self, groups: &[RowGroup]);
}

/// Step 8: columns.
pub struct ColumnStep<'t, 'c> {
    walk: Walk<'t>,
    context: &'c Context,
    groups: Vec<RowGroup>,
    value: AffineForm,
    zeros: Vec<AffineForm>,
}

impl<'t, 'c> ColumnStep<'t, 'c> {
    /// The forms that are zero if everything so far is true.
    pub fn zeros(&self) -> &[AffineForm] {
        &self.zeros
    }

    /// What all rows together hold, by the slots, if everything so far is true.
    pub fn value(&self) -> &AffineForm {
        &self.value
    }

    /// Binds the index inside a row; then mu and theta are drawn, with every scratch commitment fixed.
    pub fn walk<P: Columns>(mut self, party: &mut P) -> Result<TrainingEnd<'t, 'c>, P::Error> {
        let mut rows = self.value;
        party.enter(&self.groups);
        let rounds = variables(self.context.rows.width);
        let columns = self.walk.sumcheck(COLUMNS, rounds, &mut rows, party)?;
        let mu = self.walk.transcript.challenge(MU);
        let theta = self.walk.transcript.challenge(THETA);
        let (transcript, ledger) = self.walk.finish();
        let constraints = Constraints { rows, zeros: self.zeros };
        let eq = eq_table(&columns, self.context.rows.width);
        Ok(TrainingEnd {
            transcript,
            ledger,
            context: self.context,
            constraints,
            groups: self.groups,
            eq,
            mu,
            theta,
        })
    }
}

/// Step 9: everything the opening is made from.
pub struct TrainingEnd<'t, 'c> {
    /// For the opening.
    pub transcript: &'t mut dyn Transcript,
    /// All scratch commitments.
    pub ledger: Ledger,
    context: &'c Context,
    constraints: Constraints,
    groups: Vec<RowGroup>,
    /// `eq` of the point where the column rounds ended, for every column.
    eq: Vec<Scalar>,
    mu: Scalar,
    /// Separates the scratch commitments.
    pub theta: Scalar,
}

impl TrainingEnd<'_, '_> {
    /// The weight of every row in the opened combination.
    pub fn weights(&self) -> Vec<Scalar> {
        let mut weights = vec![Scalar::zero(); self.context.rows.rows()];
        for RowGroup { rows, column, form } in &self.groups {
            let eq = self.eq.get(*column..).unwrap_or(&[]);
            let at_end = lorica_algebra::multilinear::inner_product(form, eq);
            for (row, weight) in rows {
                if let Some(sum) = weights.get_mut(*row) {
                    *sum += at_end * weight;
                }
            }
        }
        weights
    }

    /// The one form, or `None` if theta is zero.
    pub fn collapse(&self) -> Option<CollapsedForm> {
        self.constraints.collapse(self.ledger.blocks(), &self.eq, self.mu, self.theta)
    }
}
