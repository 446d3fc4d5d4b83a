//! The prover's half of [`lorica_argument::lookup`]: the forest of fraction trees.

use ark_ff::{Field, Zero};
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field::RoundSums;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::lookup::{Layers, tree_weights};
use lorica_argument::walk::Rounds;

use crate::fraction::{FractionTree, LayerTables};
use crate::randomness::Randomness;
use crate::range::RangeProofError;
use crate::scratch::Scratch;

/// The values of one tree's claims at the walk's point, and its tables where the layer is being walked.
struct Walked<'a> {
    tree: FractionTree<'a>,
    claims: [Scalar; 2],
    tables: Option<LayerTables>,
    ends: [Scalar; 4],
}

/// The prover's party for the lookup.
pub struct ForestProver<'s, 'g, 'a> {
    trees: Vec<Walked<'a>>,
    /// The number of trees of each lookup, the table's among them.
    lookups: Vec<usize>,
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
    layer: usize,
    point: Vec<Scalar>,
    /// Variables bound in this layer.
    bound: usize,
    lambda: Scalar,
    claim: Scalar,
    round: [Scalar; 2],
}

impl<'s, 'g, 'a> ForestProver<'s, 'g, 'a> {
    /// Starts from the trees of each lookup: those of the leaves, then the table's.
    pub fn new(
        lookups: impl IntoIterator<Item = Vec<FractionTree<'a>>>,
        scratch: &'s mut Scratch<'g>,
        randomness: &'s mut Randomness,
    ) -> Self {
        let lookups: Vec<Vec<FractionTree<'a>>> = lookups.into_iter().collect();
        let walked = |tree: FractionTree<'a>| Walked {
            claims: tree.root(),
            tree,
            tables: None,
            ends: [Scalar::zero(); 4],
        };
        Self {
            lookups: lookups.iter().map(Vec::len).collect(),
            trees: lookups.into_iter().flatten().map(walked).collect(),
            scratch,
            randomness,
            layer: 0,
            point: Vec::new(),
            bound: 0,
            lambda: Scalar::zero(),
            claim: Scalar::zero(),
            round: [Scalar::zero(); 2],
        }
    }
}

impl Rounds for ForestProver<'_, '_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let rest = self.point.get(self.bound + 1..).unwrap_or_default();
        let (mut constant, mut leading) = (Scalar::zero(), Scalar::zero());
        for (number, walked) in self.trees.iter().enumerate() {
            if let Some(tables) = &walked.tables {
                let [weight, _] = tree_weights(self.lambda, number);
                let sums: RoundSums = tables.round(&walked.tree, rest);
                constant += weight * sums.constant;
                leading += weight * sums.leading;
            }
        }
        // The claim is h_0 + z (h_1 + h_2).
        let inverse = self.point[self.bound].inverse().ok_or(RangeProofError::ZeroChallenge)?;
        let linear = (self.claim - constant) * inverse - leading;
        self.round = [linear, leading];
        Ok(self.scratch.commit(&self.round, self.randomness))
    }

    fn bind(&mut self, challenge: Scalar) {
        let z = self.point[self.bound];
        let [linear, leading] = self.round;
        self.claim += (challenge - z) * linear + (challenge * challenge - z) * leading;
        for Walked { tree, tables, .. } in &mut self.trees {
            if let Some(tables) = tables {
                tables.bind(tree, challenge);
            }
        }
        self.bound += 1;
    }
}

impl Layers for ForestProver<'_, '_, '_> {
    fn roots(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let mut values: Vec<Scalar> = self.trees.iter().flat_map(|walked| walked.claims).collect();
        // The sums of each lookup's leaves' roots: of the first two, of the first three, and so on. Its last tree is the table's.
        let mut rest = self.trees.as_slice();
        for count in &self.lookups {
            let (trees, others) = rest.split_at(*count);
            let mut leaves = trees.iter().take(count.saturating_sub(1)).map(|walked| walked.claims);
            if let Some([mut p, mut q]) = leaves.next() {
                for [p_other, q_other] in leaves {
                    (p, q) = (p * q_other + p_other * q, q * q_other);
                    values.extend([p, q]);
                }
            }
            rest = others;
        }
        Ok(self.scratch.commit(&values, self.randomness))
    }

    fn enter(&mut self, point: &[Scalar], lambda: Scalar) {
        self.layer = point.len();
        self.point = point.to_vec();
        self.bound = 0;
        self.lambda = lambda;
        self.claim = Scalar::zero();
        for (number, walked) in self.trees.iter_mut().enumerate() {
            if walked.tree.depth() > self.layer {
                let weights = tree_weights(lambda, number);
                self.claim += weights[0] * walked.claims[0] + weights[1] * walked.claims[1];
                walked.tables = Some(walked.tree.layer(self.layer, lambda));
            }
        }
    }

    fn ends(&mut self) -> Result<EncodedPoint, RangeProofError> {
        let mut values = Vec::new();
        for walked in &mut self.trees {
            if let Some(tables) = walked.tables.take() {
                walked.ends = tables.ends(&mut walked.tree);
                values.extend(walked.ends);
            }
        }
        Ok(self.scratch.commit(&values, self.randomness))
    }

    fn descend(&mut self, tau: Scalar) {
        for walked in self.trees.iter_mut().filter(|walked| walked.tree.depth() > self.layer) {
            let [p_low, p_high, q_low, q_high] = walked.ends;
            walked.claims = [p_low + tau * (p_high - p_low), q_low + tau * (q_high - q_low)];
        }
    }
}
