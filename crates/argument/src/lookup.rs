//! The forest of fraction trees: the sums of many fractions, layer by layer, with every round committed.
//!
//! A tree of depth n has fractions `p_j(x) / q_j(x)` at its levels j = 0 .. n; a node is the sum of two, told apart by
//! the most significant bit of an index: `p_j(x) = p(0,x) q(1,x) + p(1,x) q(0,x)`, `q_j(x) = q(0,x) q(1,x)` with p and q
//! those of level j + 1. The walk goes from the roots, which are committed, to claims on the leaves of every tree; all
//! trees share its points. `docs/spec/lookup.md` derives it.
//!
//! A lookup is a forest of two trees, one over `1 / (gamma - w_i)` for the leaves and one over `m_v / (gamma - v)` for the
//! table, and the constraint that their roots are equal fractions. **Leaves and multiplicities are fixed before gamma.**

use lorica_algebra::Scalar;
use lorica_algebra::multilinear::prefix_at;
use lorica_algebra::point::EncodedPoint;

use crate::form::{AffineForm, EqRoundSlots, Slot};
use crate::products::ProductConstraint;
use crate::transcript::Label;
use crate::walk::{Rounds, Walk};

/// The label of gamma: public, so that a test can show what a lookup accepts whose gamma is known beforehand.
pub const GAMMA: Label = Label("lookup: gamma");
const ROOTS: Label = Label("lookup: roots");
const LAMBDA: Label = Label("lookup: lambda");
const ROUND: Label = Label("lookup: round");
const ROUND_CHALLENGE: Label = Label("lookup: r");
const ENDS: Label = Label("lookup: ends");
const TAU: Label = Label("lookup: tau");

/// Bits of the table `0, 1, .. 2^16 - 1`.
pub const TABLE_BITS: usize = 16;

/// The trees of a lookup, in order: the leaves', then the table's.
const TREES: usize = 2;

/// Who sends the messages of a forest.
pub trait Layers: Rounds {
    /// The commitment to the roots: numerator and denominator of the leaves' tree, then of the table's.
    fn roots(&mut self) -> Result<EncodedPoint, Self::Error>;

    /// A layer begins, with the claims at `point` weighed by powers of lambda.
    fn enter(&mut self, point: &[Scalar], lambda: Scalar);

    /// The commitment to the values at both children, for each tree that is deeper than the layer:
    /// `p(0,r), p(1,r), q(0,r), q(1,r)`.
    fn ends(&mut self) -> Result<EncodedPoint, Self::Error>;

    /// The challenge between the two children.
    fn descend(&mut self, tau: Scalar);
}

/// Sizes of a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupShape {
    /// N, the number of leaves, at least 1.
    pub leaves: usize,
}

/// What a lookup leaves to be shown.
#[derive(Debug, Clone)]
pub struct LookupClaims {
    /// The point of the leaves' claim, `depth` coordinates.
    pub leaf_point: Vec<Scalar>,
    /// The extension of the leaves at that point, padded with zeros.
    pub leaves: AffineForm,
    /// The point of the table's claim, [`TABLE_BITS`] coordinates.
    pub table_point: Vec<Scalar>,
    /// The extension of the multiplicities at that point.
    pub multiplicities: AffineForm,
    /// Forms that are zero.
    pub zeros: Vec<AffineForm>,
    /// Products that hold.
    pub products: Vec<ProductConstraint>,
}

/// The claims on one tree's level at the walk's point.
#[derive(Debug, Clone)]
struct Claims {
    numerator: AffineForm,
    denominator: AffineForm,
}

impl LookupShape {
    /// The depth of the leaves' tree, `ceil(log2 N)`.
    pub fn depth(&self) -> usize {
        lorica_algebra::multilinear::variables(self.leaves)
    }

    /// The depth of each tree.
    fn depths(&self) -> [usize; TREES] {
        [self.depth(), TABLE_BITS]
    }

    /// The number of layers of the walk: the depth of the deeper tree.
    pub fn layers(&self) -> usize {
        self.depth().max(TABLE_BITS)
    }

    /// The number of trees that are deeper than a layer.
    pub fn active(&self, layer: usize) -> usize {
        self.depths().iter().filter(|depth| **depth > layer).count()
    }

    /// The number of slots of each commitment of the walk, in the order of sending.
    pub fn blocks(self) -> impl Iterator<Item = usize> {
        let layer =
            move |layer: usize| std::iter::repeat_n(2, layer).chain([self.active(layer).saturating_mul(4)]);
        std::iter::once(2 * TREES).chain((0..self.layers()).flat_map(layer))
    }

    /// The number of terms in the constraints of [`LookupClaims::products`].
    pub fn product_terms(&self) -> usize {
        let of_layers = self.depths().iter().fold(0usize, |sum, depth| sum.saturating_add(*depth));
        of_layers.saturating_mul(2).saturating_add(2)
    }

    /// Walks from the roots to the leaves, for a gamma that was drawn after leaves and multiplicities were fixed.
    pub fn walk<P: Layers>(
        &self,
        gamma: Scalar,
        walk: &mut Walk<'_>,
        party: &mut P,
    ) -> Result<LookupClaims, P::Error> {
        let [p_leaves, q_leaves, p_table, q_table] = walk.receive(ROOTS, party.roots()?);
        let slot = AffineForm::slot;
        let minus = |form| scaled(form, -Scalar::from(1u8));
        let roots = ProductConstraint {
            terms: vec![(slot(p_leaves), slot(q_table)), (minus(slot(p_table)), slot(q_leaves))],
            target: AffineForm::public(Scalar::from(0u8)),
        };
        let mut products = vec![roots];
        let mut leaves = Claims { numerator: slot(p_leaves), denominator: slot(q_leaves) };
        let mut table = Claims { numerator: slot(p_table), denominator: slot(q_table) };
        let (mut leaf_point, mut table_point) = (Vec::new(), Vec::new());
        let mut point = Vec::new();
        let [depth, table_depth] = self.depths();
        for layer in 0..self.layers() {
            let mut active = Vec::with_capacity(TREES);
            if depth > layer {
                active.push((0, &mut leaves));
            }
            if table_depth > layer {
                active.push((1, &mut table));
            }
            let step = Layer { point, active };
            let product;
            (point, product) = step.walk(walk, party)?;
            products.push(product);
            let reached = layer.saturating_add(1);
            if reached == depth {
                leaf_point.clone_from(&point);
            }
            if reached == table_depth {
                table_point.clone_from(&point);
            }
        }

        // The leaves' numerators are 1 for i < N and then 0, their denominators gamma - w_i and then 1.
        let inside = prefix_at(&leaf_point, self.leaves);
        let mut numerators = leaves.numerator;
        numerators.constant -= inside;
        let mut values = minus(leaves.denominator);
        values.constant += gamma * inside + Scalar::from(1u8) - inside;
        // The table's denominators are gamma - v.
        let mut denominators = table.denominator;
        denominators.constant -= gamma - identity_at(&table_point);
        Ok(LookupClaims {
            leaf_point,
            leaves: values,
            table_point,
            multiplicities: table.numerator,
            zeros: vec![numerators, denominators],
            products,
        })
    }
}

/// One layer: the claims of the trees that are deeper, each with the tree's number.
struct Layer<'c> {
    point: Vec<Scalar>,
    active: Vec<(usize, &'c mut Claims)>,
}

impl Layer<'_> {
    /// Returns the next layer's point and the constraint on this layer's ends; moves the claims on.
    fn walk<P: Layers>(
        self,
        walk: &mut Walk<'_>,
        party: &mut P,
    ) -> Result<(Vec<Scalar>, ProductConstraint), P::Error> {
        let Self { point, active } = self;
        let lambda = walk.transcript.challenge(LAMBDA);
        party.enter(&point, lambda);
        let mut claim = AffineForm::public(Scalar::from(0u8));
        for (tree, claims) in &active {
            let [of_numerator, of_denominator] = tree_weights(lambda, *tree);
            claim.add_scaled(&claims.numerator, of_numerator);
            claim.add_scaled(&claims.denominator, of_denominator);
        }
        let mut bound = Vec::with_capacity(point.len().saturating_add(1));
        for z in &point {
            let [linear, leading] = walk.receive(ROUND, party.round()?);
            let challenge = walk.transcript.challenge(ROUND_CHALLENGE);
            claim.bind_eq_round(EqRoundSlots { linear, leading }, *z, challenge);
            party.bind(challenge);
            bound.push(challenge);
        }
        let slots = walk.receive_many(ENDS, party.ends()?, active.len().saturating_mul(4));
        let tau = walk.transcript.challenge(TAU);
        party.descend(tau);
        let mut terms = Vec::with_capacity(active.len().saturating_mul(2));
        let (ends, _) = slots.as_chunks::<4>();
        for ((tree, claims), [p_low, p_high, q_low, q_high]) in active.into_iter().zip(ends) {
            let [of_numerator, of_denominator] = tree_weights(lambda, tree);
            let mut left = scaled(AffineForm::slot(*p_low), of_numerator);
            left.push(*q_low, of_denominator);
            terms.push((left, AffineForm::slot(*q_high)));
            terms.push((scaled(AffineForm::slot(*p_high), of_numerator), AffineForm::slot(*q_low)));
            claims.numerator = between(*p_low, *p_high, tau);
            claims.denominator = between(*q_low, *q_high, tau);
        }
        bound.insert(0, tau);
        Ok((bound, ProductConstraint { terms, target: claim }))
    }
}

/// `lambda^(2t)` and `lambda^(2t+1)`: the weights of a tree's numerator and denominator.
pub fn tree_weights(lambda: Scalar, tree: usize) -> [Scalar; 2] {
    let of_numerator = (0..tree).fold(Scalar::from(1u8), |power, _| power * lambda * lambda);
    [of_numerator, of_numerator * lambda]
}

/// `low + tau (high - low)`
fn between(low: Slot, high: Slot, tau: Scalar) -> AffineForm {
    let mut form = scaled(AffineForm::slot(low), Scalar::from(1u8) - tau);
    form.push(high, tau);
    form
}

fn scaled(mut form: AffineForm, factor: Scalar) -> AffineForm {
    form.constant *= factor;
    form.terms.iter_mut().for_each(|(_, coefficient)| *coefficient *= factor);
    form
}

/// The extension of the table `0, 1, 2, ..` at a point.
fn identity_at(point: &[Scalar]) -> Scalar {
    point.iter().fold(Scalar::from(0u8), |value, coordinate| value + value + coordinate)
}

/// Whether gamma is in the table, where the honest prover would divide by zero: refused by both parties.
pub fn is_in_table(gamma: &Scalar) -> bool {
    let [low, high, rest @ ..] = lorica_algebra::scalar::to_bytes(gamma);
    let _ = (low, high);
    rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::{eq_table, inner_product};

    #[test]
    fn the_table_is_the_extension_of_its_numbers() {
        let point: Vec<Scalar> = [3u64, 1 << 40, 77, 5].map(Scalar::from).to_vec();
        let numbers: Vec<Scalar> = (0..16u64).map(Scalar::from).collect();
        assert_eq!(identity_at(&point), inner_product(&numbers, &eq_table(&point, 16)));
    }

    #[test]
    fn gammas_in_the_table_are_known() {
        let largest = Scalar::from((1u64 << TABLE_BITS) - 1);
        assert!(is_in_table(&Scalar::from(0u8)) && is_in_table(&largest));
        assert!(!is_in_table(&(largest + Scalar::from(1u8))) && !is_in_table(&-Scalar::from(1u8)));
    }

    #[test]
    fn sizes_of_small_forests() {
        for (leaves, depth, layers) in
            [(1, 0, 16), (2, 1, 16), (3, 2, 16), (1 << 16, 16, 16), ((1 << 16) + 1, 17, 17)]
        {
            let shape = LookupShape { leaves };
            assert_eq!((shape.depth(), shape.layers()), (depth, layers));
            assert_eq!(shape.blocks().count(), 1 + layers * (layers - 1) / 2 + layers);
            assert_eq!(shape.product_terms(), 2 * (depth + 16) + 2);
        }
        assert_eq!(LookupShape { leaves: 3 }.blocks().take(6).collect::<Vec<_>>(), [4, 8, 2, 8, 2, 2]);
    }
}
