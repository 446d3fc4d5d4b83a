//! Step 5's private side: the vector u that the one opening opens, and the blind of its commitment.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_verify::collapse::{CollapsedForm, FinalClaims, FinalPoint, RowWeights, collapse, powers};
use lorica_verify::layout::Layout;
use lorica_verify::schedule::Projection;
use zeroize::Zeroizing;

use crate::opening::OpeningWitness;
use crate::registration::row_blinds;
use crate::scratch::Scratch;
use crate::session::SessionProver;

/// What `u = (w || theta^j slots_j)` is made from, with `w = v*(q) w_A + lambda sigma*(q_i) w_B`.
pub struct OpenedVector<'a> {
    /// Adapter, secret, statement and bases.
    pub prover: SessionProver<'a>,
    /// The projection's challenges.
    pub projection: &'a Projection,
    /// Where both sumchecks end.
    pub point: FinalPoint,
    /// The claims they end with.
    pub claims: FinalClaims,
    /// Weighs the two constraints.
    pub mu: Scalar,
    /// Separates the scratch commitments.
    pub theta: Scalar,
    /// `v*(q)`
    pub inputs_at_point: Scalar,
    /// `w_A`, at most `sizes.width` entries.
    pub row_of_a: Zeroizing<Vec<Scalar>>,
    /// `w_B`, at most `sizes.width` entries.
    pub column_of_b: Zeroizing<Vec<Scalar>>,
    /// The values of all slots and the blinds of their commitments.
    pub scratch: &'a Scratch<'a>,
}

impl<'a> OpenedVector<'a> {
    /// The vector with its form and blind; `None` if theta is zero.
    pub fn witness(self) -> Option<OpeningWitness<'a>> {
        let SessionProver { adapter, secret, statement, generators, .. } = self.prover;
        let sizes = statement.sizes();
        let layout = Layout::new(&sizes);
        let weights = RowWeights::new(&sizes, &self.point);
        let CollapsedForm { form, .. } =
            collapse(&layout, &weights.eq_items, &self.claims, self.mu, self.theta)?;

        let b_factor = self.point.lambda * weights.sigma_at_point(self.projection);
        let mut vector = Zeroizing::new(vec![Scalar::zero(); sizes.width]);
        for (factor, values) in [(self.inputs_at_point, &self.row_of_a), (b_factor, &self.column_of_b)] {
            for (entry, value) in vector.iter_mut().zip(values.iter()) {
                *entry += factor * value;
            }
        }
        let separators = layout
            .blocks()
            .zip(powers(self.theta))
            .flat_map(|(size, power)| std::iter::repeat_n(power, size));
        vector.extend(self.scratch.slots().iter().zip(separators).map(|(slot, power)| *slot * power));

        let ranks = statement.modules.iter().map(|module| module.rank);
        let registered = weights.of_rows(ranks, self.projection, self.inputs_at_point);
        let (a_blinds, b_blinds) = row_blinds(adapter, secret);
        let rows = registered.a.iter().zip(a_blinds.iter()).chain(registered.b.iter().zip(b_blinds.iter()));
        let of_rows: Scalar = rows.map(|(weight, blind)| *weight * blind).sum();
        let of_scratch: Scalar =
            powers(self.theta).zip(self.scratch.blinds()).map(|(power, blind)| power * blind).sum();
        Some(OpeningWitness {
            bases: [&generators.rows()[..sizes.width], &generators.scratch()[..layout.slots()]].concat(),
            blinding: generators.blinding(),
            form_base: generators.form(),
            form,
            vector,
            blind: of_rows + of_scratch,
        })
    }
}
