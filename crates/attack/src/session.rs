//! Forged proofs of sessions with false deltas.
//!
//! The verifier opens `C_w + sum_j theta^j C_j`, where the `C_j` are the scratch commitments. If it opened the plain sum
//! (theta = 1), a later commitment could hold amounts on bases that are not its own:
//!
//! - [`Forgery::RewriteSlot`]: the last commitment adds an amount to the slot of the first sumcheck's first round. By then
//!   all challenges that multiply this slot are known, so the amount can be chosen to make the false claim come out.
//! - [`Forgery::RowBasis`]: alpha is chosen such that the product holds for the false claim. The second sumcheck then
//!   ends at a wrong value of the rows, and the last commitment adds what is missing on a row base.

use ark_ff::{Field, One, Zero};
use lorica_algebra::multilinear::eq_table;
use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::wide::MONTGOMERY_R;
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::form::{AffineForm, Slot};
use lorica_argument::opening::OpeningMode;
use lorica_argument::product::{ProductBases, ProductProof};
use lorica_argument::transcript::Transcript;
use lorica_prove::opened::OpenedVector;
use lorica_prove::product::{self, Factor, ProductWitness};
use lorica_prove::projection::{ProjectedInputs, SessionTables};
use lorica_prove::randomness::{Entropy, Randomness};
use lorica_prove::scratch::Scratch;
use lorica_prove::session::{SessionProofError, SessionProver};
use lorica_prove::tables::ProductTables;
use lorica_relation::session::StreamShape;
use lorica_verify::collapse::{FinalClaims, FinalPoint, powers};
use lorica_verify::layout::Layout;
use lorica_verify::passes::PublicPass;
use lorica_verify::proof::SessionProof;
use lorica_verify::schedule::{self, Collapse, FactorCommitments};

/// Which forgery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgery {
    /// A later commitment rewrites an earlier round's slot.
    RewriteSlot,
    /// A later commitment puts an amount on a row base.
    RowBasis,
}

/// Why a forgery cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ForgeryError {
    /// The session is too small: it takes at least two (module, rank index) pairs and a width of two.
    #[error("the forgery needs at least two pairs and a width of two")]
    TooSmall,
    /// An honest step failed.
    #[error(transparent)]
    Prover(#[from] SessionProofError),
}

/// What the last scratch commitment holds outside its own block.
enum Extra {
    OnSlot(Slot, Scalar),
    OnRow(usize, Scalar),
}

/// Makes a proof for a statement whose deltas are false, by the given forgery. `prover` holds the true weights, the false
/// statement and the rows with the false deltas.
pub fn forge(
    prover: &SessionProver<'_>,
    forgery: Forgery,
    mode: OpeningMode,
    entropy: &Entropy,
    transcript: &mut dyn Transcript,
) -> Result<SessionProof, ForgeryError> {
    let SessionProver { statement, generators, .. } = *prover;
    let sizes = statement.sizes();
    let layout = Layout::new(&sizes);
    if sizes.pair_rounds == 0 || sizes.item_rounds == 0 {
        return Err(ForgeryError::TooSmall);
    }
    let (projection, mut rounds) = schedule::begin(transcript, statement, &sizes);
    let mut randomness = Randomness::new(entropy, prover.secret, &projection.rho.0);
    let mut scratch = Scratch::new(generators);
    let builder = SessionTables {
        statement,
        witness: prover.witness,
        rows: prover.rows,
        sizes,
        projection: &projection,
    };
    let ProjectedInputs { pairs, over_r } = builder.project_inputs().map_err(SessionProofError::from)?;
    let mut pairs = ProductTables { left: pairs, right: builder.project_outputs(), right_is_public: false };
    let true_claim = pairs.sum();
    let streams: Vec<StreamShape> = statement.streams.iter().map(|stream| stream.shape.clone()).collect();
    let false_claim = PublicPass {
        modules: &statement.modules,
        streams: &streams,
        rows: prover.rows,
        projection: &projection,
        eq_modules: &[],
        eq_items: &[],
    }
    .run()
    .map_err(SessionProofError::from)?
    .claim;

    // First sumcheck: honest rounds, for the true claim.
    let mut product_claim = AffineForm::public(Scalar::one());
    let mut claim = true_claim;
    let mut pair_rounds = Vec::new();
    for index in 0..sizes.pair_rounds {
        let half = 1 << (sizes.pair_rounds - 1 - index);
        let polynomial = pairs.round(half);
        let commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
        let challenge = rounds.round(&commitment);
        claim = polynomial.evaluate(claim, challenge);
        product_claim.bind_round(layout.pair_round(index), challenge);
        pairs.bind(half, challenge);
        pair_rounds.push(commitment);
    }
    let excess = product_claim.constant * (false_claim - true_claim);
    product_claim.constant *= false_claim;
    let (p, factors) = rounds.finish();
    let (true_alpha, beta) = (pairs.left[0], pairs.right[0]);
    let (alpha, gamma) = match forgery {
        Forgery::RewriteSlot => (true_alpha, claim),
        Forgery::RowBasis => {
            let gamma = claim + excess;
            (gamma * beta.inverse().ok_or(ForgeryError::TooSmall)?, gamma)
        }
    };
    let mut factor = |value: Scalar| {
        let commitment = scratch.commit(&[value], &mut randomness);
        (commitment, Factor { value, blind: scratch.last_blind() })
    };
    let ((c_a, a), (c_b, b), (c_c, c)) = (factor(alpha), factor(beta), factor(gamma));
    let commitments = FactorCommitments { alpha: c_a, beta: c_b, gamma: c_c };
    let base = |slot: Slot| generators.scratch()[slot.0];
    let bases = ProductBases {
        a: base(layout.alpha()),
        b: base(layout.beta()),
        c: base(layout.gamma()),
        blinding: *generators.blinding(),
    };
    let step = factors.commit(&commitments);
    let (masks, state) = product::masks(ProductWitness { a, b, c }, &bases, &mut randomness);
    let (response, mut rounds) = step.prove(&masks, |e| state.respond(e));

    // Second sumcheck: honest rounds, for whatever alpha was committed; only the last commitment holds something extra.
    let eq_pairs = eq_table(&p, sizes.pairs);
    let mut tables =
        ProductTables { left: builder.module_rows(&eq_pairs), right: over_r, right_is_public: true };
    let mut rows_claim = AffineForm::slot(layout.alpha());
    let mut module_rounds = Vec::new();
    for index in 0..sizes.module_rounds {
        let half = sizes.inputs << (sizes.module_rounds - 1 - index);
        let polynomial = tables.round(half).scaled(MONTGOMERY_R);
        let commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
        let challenge = rounds.round(&commitment);
        rows_claim.bind_round(layout.module_round(index), challenge);
        tables.bind(half, challenge);
        module_rounds.push(commitment);
    }
    let (q_modules, lambda, mut rounds) = rounds.finish();
    for value in &mut tables.right {
        *value *= MONTGOMERY_R;
    }
    let row_of_a = tables.left.clone();
    let column_of_b = builder.combined_columns(&eq_pairs);
    let mut columns = ProductTables {
        left: column_of_b.iter().map(|value| lambda * value).collect(),
        right: projection.sigma.iter().map(|sigma| scalar::from_challenge(*sigma)).collect(),
        right_is_public: true,
    };
    rows_claim.push(layout.beta(), lambda);
    let mut item_rounds = Vec::new();
    let mut eq_of_second_row = Scalar::one();
    let mut extra = None;
    for index in 0..sizes.item_rounds {
        let half = 1 << (sizes.item_rounds - 1 - index);
        let polynomial = tables.round(half) + columns.round(half);
        let mut commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
        if index + 1 == sizes.item_rounds {
            let chosen = match forgery {
                Forgery::RewriteSlot => {
                    let slot = layout.pair_round(0).constant;
                    let coefficient = coefficient_of(&product_claim, slot);
                    Extra::OnSlot(slot, -excess * coefficient.inverse().ok_or(ForgeryError::TooSmall)?)
                }
                Forgery::RowBasis => {
                    // Row 1 has the last bit alone, so its eq is this product times the challenge to come, which
                    // also multiplies alpha's excess.
                    let carried = coefficient_of(&rows_claim, layout.alpha()) * (alpha - true_alpha);
                    Extra::OnRow(1, carried * eq_of_second_row.inverse().ok_or(ForgeryError::TooSmall)?)
                }
            };
            let (value, base): (Scalar, Point) = match &chosen {
                Extra::OnSlot(slot, value) => (*value, base(*slot)),
                Extra::OnRow(row, value) => (*value, generators.rows()[*row]),
            };
            commitment = EncodedPoint::new(commitment.point() + point::multiscalar(&[value], &[base]));
            extra = Some(chosen);
        }
        let challenge = rounds.round(&commitment);
        eq_of_second_row *= Scalar::one() - challenge;
        rows_claim.bind_round(layout.item_round(index), challenge);
        tables.bind(half, challenge);
        columns.bind(half, challenge);
        item_rounds.push(commitment);
    }
    let (q_items, Collapse { transcript, mu, theta }) = rounds.finish();
    let inputs_at_point = tables.right[0];

    // The opening: of exactly what was committed, the extra amount included.
    let opened = OpenedVector {
        prover: *prover,
        projection: &projection,
        point: FinalPoint { pairs: p, modules: q_modules, items: q_items, lambda },
        claims: FinalClaims { product: product_claim, rows: rows_claim },
        mu,
        theta,
        inputs_at_point,
        row_of_a: row_of_a.into(),
        column_of_b: column_of_b.into(),
        scratch: &scratch,
    };
    let mut witness = opened.witness().ok_or(SessionProofError::ZeroChallenge)?;
    let last_power = powers(theta).take(scratch.blinds().len()).last().unwrap_or_default();
    match extra {
        Some(Extra::OnSlot(slot, value)) => witness.vector[sizes.width + slot.0] += last_power * value,
        Some(Extra::OnRow(row, value)) => witness.vector[row] += last_power * value,
        None => {}
    }
    let opening = witness.prove(mode, &mut randomness, transcript).map_err(SessionProofError::from)?;
    let product = ProductProof { masks, response };
    Ok(SessionProof { pair_rounds, factors: commitments, product, module_rounds, item_rounds, opening })
}

fn coefficient_of(form: &AffineForm, slot: Slot) -> Scalar {
    form.terms.iter().find(|(of, _)| *of == slot).map_or(Scalar::zero(), |(_, coefficient)| *coefficient)
}
