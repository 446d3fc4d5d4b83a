//! Step 5's public side: the weights of the registered rows, and the one linear form that holds all constraints.
//!
//! Both parties compute these from challenges; the prover for its vector, the verifier for the commitment.

use lorica_algebra::multilinear::{eq_table, inner_product};
use lorica_algebra::{Scalar, scalar};
use lorica_argument::collapse::Constraints;
pub use lorica_argument::collapse::{CollapsedForm, powers};
use lorica_argument::form::AffineForm;

use crate::layout::Layout;
use crate::schedule::Projection;
use crate::statement::Sizes;

/// The points at which the two sumchecks end.
#[derive(Debug, Clone)]
pub struct FinalPoint {
    /// p, over (module, rank index) pairs.
    pub pairs: Vec<Scalar>,
    /// `q_m`, over modules.
    pub modules: Vec<Scalar>,
    /// `q_i`, over items.
    pub items: Vec<Scalar>,
    /// lambda, the weight of beta's claim.
    pub lambda: Scalar,
}

/// `eq` at the final point, cut to the statement's sizes.
#[derive(Debug, Clone)]
pub struct RowWeights {
    /// `eq(p, k)` for each pair.
    pub eq_pairs: Vec<Scalar>,
    /// `eq(q_m, m)` for each module.
    pub eq_modules: Vec<Scalar>,
    /// `eq(q_i, i)` for each row base.
    pub eq_items: Vec<Scalar>,
    lambda: Scalar,
}

/// The weights of the registered rows in the opened vector w.
#[derive(Debug, Clone)]
pub struct RegisteredWeights {
    /// `v*(q) eq(p, k) z_m(k) eq(q_m, m(k))` for each row of A.
    pub a: Vec<Scalar>,
    /// `lambda sigma*(q_i) eq(p, k)` for each column of B.
    pub b: Vec<Scalar>,
}

impl RowWeights {
    /// The tables for a final point.
    pub fn new(sizes: &Sizes, point: &FinalPoint) -> Self {
        Self {
            eq_pairs: eq_table(&point.pairs, sizes.pairs),
            eq_modules: eq_table(&point.modules, sizes.modules),
            eq_items: eq_table(&point.items, sizes.width),
            lambda: point.lambda,
        }
    }

    /// The weights of the registered rows; `ranks` are those of the modules, in order.
    pub fn of_rows(
        &self,
        ranks: impl Iterator<Item = usize>,
        projection: &Projection,
        inputs_at_point: Scalar,
    ) -> RegisteredWeights {
        let b_factor = self.lambda * self.sigma_at_point(projection);
        let module_factors = self
            .eq_modules
            .iter()
            .zip(&projection.modules)
            .map(|(eq, z)| inputs_at_point * eq * scalar::from_challenge(*z));
        let a_factors =
            ranks.zip(module_factors).flat_map(|(rank, factor)| std::iter::repeat_n(factor, rank));
        RegisteredWeights {
            a: self.eq_pairs.iter().zip(a_factors).map(|(eq, factor)| *eq * factor).collect(),
            b: self.eq_pairs.iter().map(|eq| *eq * b_factor).collect(),
        }
    }

    /// `sigma*(q_i) = <sigma, eq(q_i, .)>`
    pub fn sigma_at_point(&self, projection: &Projection) -> Scalar {
        let sigma: Vec<Scalar> =
            projection.sigma.iter().map(|sigma| scalar::from_challenge(*sigma)).collect();
        inner_product(&sigma, &self.eq_items)
    }
}

/// What is known of the two claims when both sumchecks have ended.
#[derive(Debug, Clone)]
pub struct FinalClaims {
    /// The first sumcheck's last claim: gamma must equal it.
    pub product: AffineForm,
    /// The second sumcheck's last claim: `<w, eq(q_i, .)>` must equal it.
    pub rows: AffineForm,
}

/// Collapses the constraints `gamma = product` and `<w, eq(q_i, .)> = rows` with weights mu and 1.
///
/// `None` if theta is zero or a claim names a slot that the layout does not have.
pub fn collapse(
    layout: &Layout,
    eq_items: &[Scalar],
    claims: &FinalClaims,
    mu: Scalar,
    theta: Scalar,
) -> Option<CollapsedForm> {
    // gamma minus the product's form is zero.
    let mut product = AffineForm::slot(layout.gamma());
    product.add_scaled(&claims.product, -Scalar::from(1u8));
    let constraints = Constraints { rows: claims.rows.clone(), zeros: vec![product] };
    constraints.collapse(layout.blocks(), eq_items, mu, theta)
}
