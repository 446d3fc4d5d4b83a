//! The forest of fraction trees: the sums of many fractions, layer by layer, with every round committed.
//!
//! A tree of depth n has fractions `p_j(x) / q_j(x)` at its levels j = 0 .. n; a node is the sum of two, told apart by
//! the most significant bit of an index: `p_j(x) = p(0,x) q(1,x) + p(1,x) q(0,x)`, `q_j(x) = q(0,x) q(1,x)` with p and q
//! those of level j + 1. The walk goes from the roots, which are committed, to claims on the leaves of every tree; all
//! trees share its points. `docs/spec/lookup.md` derives it.
//!
//! A lookup is a forest of a few trees over `1 / (gamma - w_i)` for the leaves, one over `m_v / (gamma - v)` for the table,
//! and the constraint that the roots of the former sum to that of the latter. **Leaves and multiplicities are fixed before
//! gamma.** Several lookups, each in a table of its own, share one forest and so all its rounds ([`Forest`]).

use lorica_algebra::Scalar;
use lorica_algebra::multilinear::{eq_table, inner_product, prefix_at};
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

/// The largest number of trees over the leaves: all but the last are full, so that little is padded.
pub const MAX_LEAF_TREES: usize = 4;

/// Who sends the messages of a forest.
pub trait Layers: Rounds {
    /// The commitment to numerators and denominators: for each lookup, of the roots of all leaves' trees and of the table's;
    /// then, for each lookup, of the sums of the first two leaves' roots, of the first three, and so on.
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

/// A tree over consecutive leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafTree {
    /// Its first leaf.
    pub first: usize,
    /// How many there are.
    pub count: usize,
}

impl LeafTree {
    /// `ceil(log2 count)`
    pub fn depth(&self) -> usize {
        lorica_algebra::multilinear::variables(self.count)
    }
}

/// A claim on the leaves of one tree.
#[derive(Debug, Clone)]
pub struct LeafClaim {
    /// Which leaves.
    pub tree: LeafTree,
    /// The point, as many coordinates as the tree is deep.
    pub point: Vec<Scalar>,
    /// Their extension at that point, padded with zeros.
    pub value: AffineForm,
}

/// What a lookup leaves to be shown.
#[derive(Debug, Clone)]
pub struct LookupClaims {
    /// One for each tree over leaves, in order.
    pub leaves: Vec<LeafClaim>,
    /// The point of the table's claim, [`TABLE_BITS`] coordinates.
    pub table_point: Vec<Scalar>,
    /// The extension of the multiplicities at that point.
    pub multiplicities: AffineForm,
}

/// What a forest leaves to be shown.
#[derive(Debug, Clone)]
pub struct ForestClaims {
    /// One for each lookup, in order.
    pub lookups: Vec<LookupClaims>,
    /// Forms that are zero.
    pub zeros: Vec<AffineForm>,
    /// Products that hold.
    pub products: Vec<ProductConstraint>,
}

/// A public table of 2^16 entries.
#[derive(Debug, Clone, Copy)]
pub enum Table<'a> {
    /// `0, 1, .. 2^16 - 1`
    Words,
    /// Any entries, as many.
    Entries(&'a [Scalar]),
}

impl Table<'_> {
    /// The extension of the entries at a point.
    fn at(&self, point: &[Scalar]) -> Scalar {
        match self {
            Table::Words => identity_at(point),
            Table::Entries(entries) => inner_product(entries, &eq_table(point, entries.len())),
        }
    }
}

/// A lookup of so many leaves in a table.
#[derive(Debug, Clone, Copy)]
pub struct Lookup<'a> {
    /// How many leaves.
    pub shape: LookupShape,
    /// Where they stand.
    pub table: Table<'a>,
}

/// Lookups that share one walk, at least one.
#[derive(Debug, Clone, Copy)]
pub struct Forest<'a> {
    /// In order.
    pub lookups: &'a [Lookup<'a>],
}

/// One tree on the walk: its depth, the claims on its level at the walk's point, and the point where it ended.
#[derive(Debug, Clone)]
struct Claims {
    depth: usize,
    numerator: AffineForm,
    denominator: AffineForm,
    end: Vec<Scalar>,
}

impl LookupShape {
    /// The trees over the leaves: powers of two by the highest binary digits of N, and in the last tree what remains. Each
    /// begins at a multiple of its own size, padded to a power of two.
    pub fn trees(&self) -> Vec<LeafTree> {
        let (mut trees, mut first) = (Vec::new(), 0usize);
        while first < self.leaves {
            let left = self.leaves.saturating_sub(first);
            let last = trees.len().saturating_add(1) == MAX_LEAF_TREES;
            let count = if last { left } else { 1 << left.ilog2() };
            trees.push(LeafTree { first, count });
            first = first.saturating_add(count);
        }
        trees
    }

    /// The depth of each tree: the leaves', then the table's.
    fn depths(&self) -> impl Iterator<Item = usize> {
        let depths: Vec<usize> = self.trees().iter().map(LeafTree::depth).collect();
        depths.into_iter().chain([TABLE_BITS])
    }

    /// The number of layers of the walk: the depth of the deepest tree.
    pub fn layers(&self) -> usize {
        self.depths().max().unwrap_or(0)
    }

    /// The number of slots of each commitment of the walk, in the order of sending.
    pub fn blocks(self) -> impl Iterator<Item = usize> {
        blocks(&[self])
    }

    /// The number of terms in the constraints of [`ForestClaims::products`].
    pub fn product_terms(&self) -> usize {
        let of_layers = self.depths().fold(0usize, usize::saturating_add);
        let sums = self.trees().len().saturating_sub(1);
        of_layers.saturating_mul(2).saturating_add(sums.saturating_mul(3)).saturating_add(2)
    }
}

/// The number of slots of each commitment of the walk of a forest, in the order of sending.
pub fn blocks(lookups: &[LookupShape]) -> impl Iterator<Item = usize> + use<> {
    // Two slots for each tree, two for each sum of leaves' roots.
    let roots =
        lookups.iter().fold(0usize, |sum, shape| sum.saturating_add(shape.trees().len().saturating_mul(4)));
    let depths: Vec<usize> = lookups.iter().flat_map(LookupShape::depths).collect();
    let layers = depths.iter().copied().max().unwrap_or(0);
    let layer = move |layer: usize| {
        let active = depths.iter().filter(|depth| **depth > layer).count();
        std::iter::repeat_n(2, layer).chain([active.saturating_mul(4)])
    };
    std::iter::once(roots).chain((0..layers).flat_map(layer))
}

impl Forest<'_> {
    /// Walks from the roots to the leaves, for a gamma that was drawn after leaves and multiplicities were fixed.
    pub fn walk<P: Layers>(
        &self,
        gamma: Scalar,
        walk: &mut Walk<'_>,
        party: &mut P,
    ) -> Result<ForestClaims, P::Error> {
        let trees: Vec<Vec<LeafTree>> = self.lookups.iter().map(|lookup| lookup.shape.trees()).collect();
        let root_slots =
            trees.iter().fold(0usize, |sum, trees| sum.saturating_add(trees.len().saturating_mul(4)));
        let mut slots = walk.receive_many(ROOTS, party.roots()?, root_slots).into_iter();
        // There are as many slots as are taken here; a slot that is not there would be refused when all forms are collapsed.
        let mut next = || slots.next().unwrap_or(Slot(usize::MAX));
        let mut claims: Vec<Claims> = self
            .lookups
            .iter()
            .flat_map(|lookup| lookup.shape.depths())
            .map(|depth| Claims {
                depth,
                numerator: AffineForm::slot(next()),
                denominator: AffineForm::slot(next()),
                end: Vec::new(),
            })
            .collect();
        let mut products = Vec::new();
        let mut rest = claims.as_slice();
        for trees in &trees {
            let (of_lookup, others) =
                rest.split_at_checked(trees.len().saturating_add(1)).unwrap_or((rest, &[]));
            products.extend(root_products(of_lookup, || [next(), next()]));
            rest = others;
        }
        let mut point = Vec::new();
        for layer in 0..claims.iter().map(|claims| claims.depth).max().unwrap_or(0) {
            let active = claims.iter_mut().enumerate().filter(|(_, claims)| claims.depth > layer).collect();
            let product;
            (point, product) = Layer { point, active }.walk(walk, party)?;
            products.push(product);
            let reached = layer.saturating_add(1);
            for claims in claims.iter_mut().filter(|claims| claims.depth == reached) {
                claims.end.clone_from(&point);
            }
        }

        let mut zeros = Vec::new();
        let mut claims = claims.into_iter();
        let mut lookups = Vec::with_capacity(trees.len());
        for (lookup, trees) in self.lookups.iter().zip(trees) {
            let mut leaves = Vec::with_capacity(trees.len());
            // `zip` asks for a tree first, so it takes no claim beyond the last tree's.
            for (tree, Claims { numerator, denominator, end, .. }) in trees.into_iter().zip(claims.by_ref()) {
                // Numerators are 1 for all leaves and then 0, denominators gamma - w_i and then 1.
                let inside = prefix_at(&end, tree.count);
                let mut numerators = numerator;
                numerators.constant -= inside;
                zeros.push(numerators);
                let mut value = scaled(denominator, -Scalar::from(1u8));
                value.constant += gamma * inside + Scalar::from(1u8) - inside;
                leaves.push(LeafClaim { tree, point: end, value });
            }
            let (table_point, multiplicities, mut denominators) = match claims.next() {
                Some(Claims { numerator, denominator, end, .. }) => (end, numerator, denominator),
                None => (Vec::new(), AffineForm::slot(Slot(usize::MAX)), AffineForm::slot(Slot(usize::MAX))),
            };
            // The table's denominators are gamma - v.
            denominators.constant -= gamma - lookup.table.at(&table_point);
            zeros.push(denominators);
            lookups.push(LookupClaims { leaves, table_point, multiplicities });
        }
        Ok(ForestClaims { lookups, zeros, products })
    }
}

/// The roots of the leaves' trees of one lookup sum to the table's, the last one: sum by sum, each on the two slots that `next` gives.
fn root_products(claims: &[Claims], mut next: impl FnMut() -> [Slot; 2]) -> Vec<ProductConstraint> {
    let Some((table, leaves)) = claims.split_last() else { return Vec::new() };
    let Some((first, others)) = leaves.split_first() else { return Vec::new() };
    let (mut p, mut q) = (first.numerator.clone(), first.denominator.clone());
    let mut products = Vec::new();
    for other in others {
        let [p_sum, q_sum] = next().map(AffineForm::slot);
        products.push(ProductConstraint {
            terms: vec![(p, other.denominator.clone()), (other.numerator.clone(), q.clone())],
            target: p_sum.clone(),
        });
        products
            .push(ProductConstraint { terms: vec![(q, other.denominator.clone())], target: q_sum.clone() });
        (p, q) = (p_sum, q_sum);
    }
    products.push(ProductConstraint {
        terms: vec![(p, table.denominator.clone()), (scaled(table.numerator.clone(), -Scalar::from(1u8)), q)],
        target: AffineForm::public(Scalar::from(0u8)),
    });
    products
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
        for (leaves, counts, layers) in [
            (1, vec![1], 16),
            (2, vec![2], 16),
            (3, vec![2, 1], 16),
            (1 << 16, vec![1 << 16], 16),
            ((1 << 16) + 1, vec![1 << 16, 1], 16),
            ((1 << 17) + (1 << 16), vec![1 << 17, 1 << 16], 17),
            (0b1_0111_1101, vec![256, 64, 32, 29], 16),
        ] {
            let shape = LookupShape { leaves };
            let trees = shape.trees();
            assert_eq!(trees.iter().map(|tree| tree.count).collect::<Vec<_>>(), counts);
            for tree in &trees {
                assert_eq!(tree.first % (1 << tree.depth().min(60)), 0, "{leaves}");
            }
            assert_eq!(shape.layers(), layers);
            assert_eq!(shape.blocks().count(), 1 + layers * (layers - 1) / 2 + layers);
            let depths: usize = trees.iter().map(LeafTree::depth).sum();
            assert_eq!(shape.product_terms(), 2 * (depths + 16) + 3 * (counts.len() - 1) + 2);
        }
        assert_eq!(LookupShape { leaves: 3 }.blocks().take(6).collect::<Vec<_>>(), [8, 8, 2, 4, 2, 2]);
    }
}
