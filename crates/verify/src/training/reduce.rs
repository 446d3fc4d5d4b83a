//! From claims on leaves to claims on committed tensors: the middle of a training proof.
//!
//! Everything that has to hold is one equation, `value = constant + claims`, in which claims on tensors that are not committed
//! are replaced step by step:
//!
//! | step | what goes | what comes |
//! |---|---|---|
//! | [`products`] | claims on products of matrices | a claim on each factor, at the point where one sumcheck ended |
//! | [`entrywise`] | claims on entrywise products | a claim on each of their factors, all at one point |
//!
//! What is left are claims on committed tensors alone. Each step commits to the part of `value` that its claims make, shows
//! that part by one sumcheck, and adds the claims on the factors with powers of a new challenge.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_table, variables};
use lorica_algebra::point::EncodedPoint;
use lorica_argument::form::AffineForm;
use lorica_argument::products::ProductConstraint;
use lorica_argument::transcript::Label;
use lorica_argument::walk::{RoundLabels, Rounds, Walk};
use lorica_relation::program::{Axis, Operand, Product, Program, Shape, Source, Term, Value};

use super::forms::{AxisForm, TensorForm};

const PRODUCT_TOTAL: Label = Label("training: total of products");
const PRODUCT_ROUNDS: RoundLabels =
    RoundLabels { round: Label("training: product round"), challenge: Label("training: product r") };
const PRODUCT_ENDS: Label = Label("training: factors of products");
const KAPPA: Label = Label("training: kappa");
const ENTRYWISE_TOTAL: Label = Label("training: total of entrywise products");
const ENTRYWISE_ROUNDS: RoundLabels =
    RoundLabels { round: Label("training: entrywise round"), challenge: Label("training: entrywise r") };
const ENTRYWISE_ENDS: Label = Label("training: factors of entrywise products");
const IOTA: Label = Label("training: iota");

/// `factor * form(source)`
#[derive(Debug, Clone)]
pub struct SourceClaim {
    /// The committed matrix.
    pub source: Source,
    /// The factor.
    pub factor: Scalar,
    /// The form, cut at the matrix' shape.
    pub form: TensorForm,
}

/// `factor * form(left entrywise times right)`
#[derive(Debug, Clone)]
pub struct EntrywiseClaim {
    /// One factor.
    pub left: Source,
    /// The other one.
    pub right: Source,
    /// The factor.
    pub factor: Scalar,
    /// The form, cut at the matrices' shape.
    pub form: TensorForm,
}

/// `factor * form(product)`
#[derive(Debug, Clone)]
pub struct ProductClaim<'p> {
    /// The product.
    pub product: &'p Product,
    /// The factor.
    pub factor: Scalar,
    /// The form.
    pub form: TensorForm,
}

impl ProductClaim<'_> {
    /// The number of variables of its sum: those of a step, then those of the inner axis.
    pub fn variables(&self) -> [usize; 2] {
        [variables(self.form.steps.len()), variables(self.product.inner())]
    }
}

/// The equation so far.
#[derive(Debug, Clone)]
pub struct Equation<'p> {
    /// What all claims together are equal to, less the constant.
    pub value: AffineForm,
    /// Claims on committed matrices.
    pub sources: Vec<SourceClaim>,
    /// Claims on entrywise products.
    pub entrywise: Vec<EntrywiseClaim>,
    /// Claims on products of matrices.
    pub products: Vec<ProductClaim<'p>>,
}

impl<'p> Equation<'p> {
    /// Nothing is claimed yet.
    pub fn new() -> Self {
        let value = AffineForm::public(Scalar::zero());
        Self { value, sources: Vec::new(), entrywise: Vec::new(), products: Vec::new() }
    }

    /// Adds `factor * form(term)` to the claims. `None` for a source that the program does not have.
    pub fn claim(
        &mut self,
        program: &Program,
        term: &'p Term,
        factor: Scalar,
        form: &TensorForm,
    ) -> Option<()> {
        let factor = factor * Scalar::from(term.coefficient);
        match &term.value {
            Value::Source(source) => {
                let form = cut(form, program.shape(*source)?);
                self.sources.push(SourceClaim { source: *source, factor, form });
            }
            Value::Entrywise(left, right) => {
                let form = cut(form, program.shape(*left)?);
                self.entrywise.push(EntrywiseClaim { left: *left, right: *right, factor, form });
            }
            Value::Ones { rows, first, columns } => {
                self.value.constant -= factor * form.of_ones(*rows, *first, *columns);
            }
            Value::Product(product) => {
                let outer = |operand: &Operand| operand.shape.length(operand.inner.other());
                let shape = Shape { rows: outer(&product.left), columns: outer(&product.right) };
                self.products.push(ProductClaim { product, factor, form: cut(form, shape) });
            }
        }
        Some(())
    }
}

impl Default for Equation<'_> {
    fn default() -> Self {
        Self::new()
    }
}

fn cut(form: &TensorForm, shape: Shape) -> TensorForm {
    TensorForm {
        steps: form.steps.clone(),
        rows: form.rows.cut(shape.rows),
        columns: form.columns.cut(shape.columns),
    }
}

/// Who sends the messages of the products' sumcheck.
pub trait ProductSums: Rounds {
    /// The commitment to the value that all claims make together: one slot.
    fn total(&mut self, claims: &[ProductClaim<'_>]) -> Result<EncodedPoint, Self::Error>;

    /// The commitment to the values of the factors at the last point: two slots for each claim.
    fn ends(&mut self) -> Result<EncodedPoint, Self::Error>;
}

/// Who sends the messages of the entrywise products' sumcheck.
pub trait EntrywiseSums: Rounds {
    /// The commitment to the value that all claims make together: one slot.
    fn total(&mut self, pairs: &EntrywisePairs) -> Result<EncodedPoint, Self::Error>;

    /// The commitment to the values of all sources at the last point: one slot each.
    fn ends(&mut self) -> Result<EncodedPoint, Self::Error>;
}

/// The product of `1 - r` over the coordinates that a smaller table does not have, and the coordinates that it has.
fn below(point: &[Scalar], variables: usize) -> (Scalar, &[Scalar]) {
    let (above, own) = point.split_at_checked(point.len().saturating_sub(variables)).unwrap_or((&[], point));
    let one = Scalar::from(1u8);
    (above.iter().fold(one, |product, coordinate| product * (one - coordinate)), own)
}

/// Replaces claims on products of matrices by claims on their factors.
pub fn products<'p, P: ProductSums>(
    program: &Program,
    mut equation: Equation<'p>,
    walk: &mut Walk<'_>,
    party: &mut P,
) -> Result<Option<(Equation<'p>, Option<ProductConstraint>)>, P::Error> {
    let claims = std::mem::take(&mut equation.products);
    if claims.is_empty() {
        return Ok(Some((equation, None)));
    }
    let [total] = walk.receive(PRODUCT_TOTAL, party.total(&claims)?);
    equation.value.push(total, -Scalar::from(1u8));
    let rounds = product_rounds(claims.iter().map(ProductClaim::variables));
    let mut claim = AffineForm::slot(total);
    let point = walk.sumcheck(PRODUCT_ROUNDS, rounds, &mut claim, party)?;
    let slots = walk.receive_many(PRODUCT_ENDS, party.ends()?, claims.len().saturating_mul(2));
    let kappa = walk.transcript.challenge(KAPPA);
    let mut weight = Scalar::from(1u8);
    let mut terms = Vec::with_capacity(claims.len());
    let (pairs, _) = slots.as_chunks::<2>();
    for (claim, [left, right]) in claims.iter().zip(pairs) {
        let [of_steps, of_inner] = claim.variables();
        let (factor, own) = below(&point, of_steps.saturating_add(of_inner));
        let (steps, inner) = own.split_at_checked(of_steps).unwrap_or((own, &[]));
        let mut left_form = AffineForm::public(Scalar::zero());
        // Both tables are zero above their own variables.
        left_form.push(*left, factor * factor * claim.factor);
        terms.push((left_form, AffineForm::slot(*right)));
        // The left factor carries the weights of the steps.
        let steps = eq_table(steps, claim.form.steps.len());
        let weighed = steps.iter().zip(&claim.form.steps).map(|(eq, weight)| *eq * weight).collect();
        let inner = AxisForm::whole(inner, claim.product.inner());
        let sides = [
            (&claim.product.left, *left, weighed, &claim.form.rows),
            (&claim.product.right, *right, steps, &claim.form.columns),
        ];
        for (operand, slot, steps, outer) in sides {
            weight *= kappa;
            equation.value.push(slot, weight);
            let form = match operand.inner {
                Axis::Columns => TensorForm { steps, rows: outer.clone(), columns: inner.clone() },
                Axis::Rows => TensorForm { steps, rows: inner.clone(), columns: outer.clone() },
            };
            let form = cut(&form, operand.shape);
            for term in &operand.terms {
                if equation.claim(program, term, weight, &form).is_none() {
                    return Ok(None);
                }
            }
        }
    }
    Ok(Some((equation, Some(ProductConstraint { terms, target: claim }))))
}

/// The number of rounds of the products' sumcheck: those of its largest sum.
pub fn product_rounds(variables: impl Iterator<Item = [usize; 2]>) -> usize {
    variables.map(|[steps, inner]| steps.saturating_add(inner)).max().unwrap_or(0)
}

/// All claims on one entrywise product.
#[derive(Debug, Clone)]
pub struct EntrywisePair {
    /// Places of the two factors among the sources.
    pub sources: [usize; 2],
    /// The shape of both.
    pub shape: Shape,
    /// The claims: factors and forms.
    pub claims: Vec<(Scalar, TensorForm)>,
}

/// All entrywise products with their claims.
#[derive(Debug, Clone, Default)]
pub struct EntrywisePairs {
    /// The factors, each once.
    pub sources: Vec<Source>,
    /// The pairs, each once.
    pub pairs: Vec<EntrywisePair>,
}

impl EntrywisePairs {
    /// Numbers a source.
    fn place(&mut self, source: Source) -> usize {
        self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len().saturating_sub(1)
        })
    }

    /// Adds a pair without a claim on it, unless it is there.
    pub fn add(&mut self, left: Source, right: Source, shape: Shape) -> usize {
        let sources = [self.place(left), self.place(right)];
        self.pairs.iter().position(|pair| pair.sources == sources).unwrap_or_else(|| {
            self.pairs.push(EntrywisePair { sources, shape, claims: Vec::new() });
            self.pairs.len().saturating_sub(1)
        })
    }

    /// The number of rounds of their sumcheck, in a program of so many steps.
    pub fn rounds(&self, steps: usize) -> usize {
        let count = |pair: &EntrywisePair| {
            pair_variables(steps, pair.shape).into_iter().fold(0, usize::saturating_add)
        };
        self.pairs.iter().map(count).max().unwrap_or(0)
    }
}

/// The number of variables of steps, rows and columns.
pub fn pair_variables(steps: usize, shape: Shape) -> [usize; 3] {
    [variables(steps), variables(shape.rows), variables(shape.columns)]
}

/// Replaces claims on entrywise products by claims on their factors.
pub fn entrywise<'p, P: EntrywiseSums>(
    program: &Program,
    mut equation: Equation<'p>,
    walk: &mut Walk<'_>,
    party: &mut P,
) -> Result<Option<(Equation<'p>, Option<ProductConstraint>)>, P::Error> {
    let claims = std::mem::take(&mut equation.entrywise);
    if claims.is_empty() {
        return Ok(Some((equation, None)));
    }
    let mut pairs = EntrywisePairs::default();
    for EntrywiseClaim { left, right, factor, form } in claims {
        let Some(shape) = program.shape(left) else { return Ok(None) };
        let place = pairs.add(left, right, shape);
        if let Some(pair) = pairs.pairs.get_mut(place) {
            pair.claims.push((factor, form));
        }
    }
    let [total] = walk.receive(ENTRYWISE_TOTAL, party.total(&pairs)?);
    equation.value.push(total, -Scalar::from(1u8));
    let mut claim = AffineForm::slot(total);
    let point = walk.cubic_sumcheck(ENTRYWISE_ROUNDS, pairs.rounds(program.steps), &mut claim, party)?;
    let slots = walk.receive_many(ENTRYWISE_ENDS, party.ends()?, pairs.sources.len());
    let iota = walk.transcript.challenge(IOTA);
    let mut terms = Vec::with_capacity(pairs.pairs.len());
    for EntrywisePair { sources: [left, right], shape, claims } in &pairs.pairs {
        let [of_steps, of_rows, of_columns] = pair_variables(program.steps, *shape);
        let (factor, own) = below(&point, of_steps.saturating_add(of_rows).saturating_add(of_columns));
        let (steps, rest) = own.split_at_checked(of_steps).unwrap_or((own, &[]));
        let (rows, columns) = rest.split_at_checked(of_rows).unwrap_or((rest, &[]));
        let weight: Scalar =
            claims.iter().map(|(factor, form)| *factor * form.at(steps, rows, columns)).sum();
        let (Some(left), Some(right)) = (slots.get(*left), slots.get(*right)) else { return Ok(None) };
        let mut left_form = AffineForm::public(Scalar::zero());
        // So are the form and both factors.
        left_form.push(*left, factor * factor * factor * weight);
        terms.push((left_form, AffineForm::slot(*right)));
    }
    let mut weight = Scalar::from(1u8);
    for (source, slot) in pairs.sources.iter().zip(slots) {
        weight *= iota;
        equation.value.push(slot, weight);
        let Some(shape) = program.shape(*source) else { return Ok(None) };
        let [of_steps, of_rows, of_columns] = pair_variables(program.steps, shape);
        let (_, own) = below(&point, of_steps.saturating_add(of_rows).saturating_add(of_columns));
        let (steps, rest) = own.split_at_checked(of_steps).unwrap_or((own, &[]));
        let (rows, columns) = rest.split_at_checked(of_rows).unwrap_or((rest, &[]));
        let form = TensorForm {
            steps: eq_table(steps, program.steps),
            rows: AxisForm::whole(rows, shape.rows),
            columns: AxisForm::whole(columns, shape.columns),
        };
        equation.sources.push(SourceClaim { source: *source, factor: weight, form });
    }
    Ok(Some((equation, Some(ProductConstraint { terms, target: claim }))))
}
