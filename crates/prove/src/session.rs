//! The session prover. The numbered steps are those of `docs/spec/protocol.md` and of the verifier.

use lorica_algebra::kernels::field;
use lorica_algebra::wide::MONTGOMERY_R;
use lorica_algebra::{Scalar, scalar};
use lorica_argument::form::AffineForm;
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::product::{ProductBases, ProductProof};
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_relation::rows::{RowsError, SessionRows};
use lorica_relation::session::Witness;
use lorica_verify::collapse::{FinalClaims, FinalPoint};
use lorica_verify::layout::Layout;
use lorica_verify::proof::SessionProof;
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::schedule::{self, Collapse, FactorCommitments, SESSION_PROTOCOL};
use lorica_verify::statement::{SessionStatement, Sizes, StatementError};

use crate::opened::OpenedVector;
use crate::opening::OpeningProofError;
use crate::product::{self, Factor, ProductWitness};
use crate::projection::{ProjectedInputs, SessionTables};
use crate::randomness::{Entropy, Randomness};
use crate::registration::{self, RegistrationError};
use crate::scratch::Scratch;
use crate::secret::AdapterSecret;
use crate::tables::ProductTables;

/// Everything a session proof is made from.
#[derive(Clone, Copy)]
pub struct SessionProver<'a> {
    /// The registered adapter.
    pub adapter: &'a RegisteredAdapter,
    /// Its integers.
    pub witness: &'a Witness,
    /// The seed of its blinds.
    pub secret: &'a AdapterSecret,
    /// What is proven.
    pub statement: &'a SessionStatement,
    /// The activations. The deltas enter by their digests alone and are not read.
    pub rows: &'a dyn SessionRows,
    /// The bases.
    pub generators: &'a Generators,
}

/// Why a session proof cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SessionProofError {
    /// The statement makes no sense by itself.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The statement is about another adapter.
    #[error("the session is about another adapter: its {what} is not the manifest's")]
    Adapter {
        /// What differs.
        what: &'static str,
    },
    /// The integers do not have the manifest's shapes.
    #[error(transparent)]
    Witness(#[from] RegistrationError),
    /// The activations could not be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The opening could not be made.
    #[error(transparent)]
    Opening(#[from] OpeningProofError),
    /// Too few bases were derived.
    #[error("{rows} row bases and {slots} scratch bases are needed")]
    Generators {
        /// Row bases.
        rows: usize,
        /// Scratch bases.
        slots: usize,
    },
    /// Theta was zero, which happens once in 2^252 runs.
    #[error("a challenge was zero; prove again")]
    ZeroChallenge,
}

impl SessionProver<'_> {
    /// Makes the proof with challenges by Fiat-Shamir.
    pub fn prove(&self, mode: OpeningMode, entropy: &Entropy) -> Result<Vec<u8>, SessionProofError> {
        Ok(self.prove_on(mode, entropy, &mut FiatShamir::new(SESSION_PROTOCOL))?.to_bytes())
    }

    /// Makes the proof on a given transcript.
    pub fn prove_on(
        &self,
        mode: OpeningMode,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<SessionProof, SessionProofError> {
        let Self { statement, generators, .. } = *self;
        let sizes = self.check()?;
        let layout = Layout::new(&sizes);

        // 0, 1. The statement, then the projection: v for each stream, a_k and b_k for each pair.
        let (projection, mut rounds) = schedule::begin(transcript, statement, &sizes);
        let mut randomness = Randomness::new(entropy, self.secret, &projection.rho.0);
        let mut scratch = Scratch::new(generators);
        let builder = SessionTables {
            statement,
            witness: self.witness,
            rows: self.rows,
            sizes,
            projection: &projection,
        };
        let ProjectedInputs { pairs, over_r } = builder.project_inputs()?;
        let mut pairs =
            ProductTables { left: pairs, right: builder.project_outputs(), right_is_public: false };

        // 2. First sumcheck.
        let mut claim = pairs.sum();
        let mut product_claim = AffineForm::public(claim);
        let mut pair_commitments = Vec::with_capacity(sizes.pair_rounds);
        for index in 0..sizes.pair_rounds {
            let half = 1 << (sizes.pair_rounds - 1 - index);
            let polynomial = pairs.round(half);
            let commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
            let challenge = rounds.round(&commitment);
            claim = polynomial.evaluate(claim, challenge);
            product_claim.bind_round(layout.pair_round(index), challenge);
            pairs.bind(half, challenge);
            pair_commitments.push(commitment);
        }
        let (p, factors) = rounds.finish();
        let mut factor = |value: Scalar| {
            let commitment = scratch.commit(&[value], &mut randomness);
            (commitment, Factor { value, blind: scratch.last_blind() })
        };
        let (alpha, beta) = (pairs.left[0], pairs.right[0]);
        let ((c_a, a), (c_b, b), (c_c, c)) = (factor(alpha), factor(beta), factor(claim));
        let commitments = FactorCommitments { alpha: c_a, beta: c_b, gamma: c_c };
        let step = factors.commit(&commitments);
        let bases = self.product_bases(&layout);
        let (masks, state) = product::masks(ProductWitness { a, b, c }, &bases, &mut randomness);
        let (response, mut rounds) = step.prove(&masks, |e| state.respond(e));
        let product = ProductProof { masks, response };

        // 3. Second sumcheck: modules for alpha's claim. Both tables lack a factor: W holds the true values, P the true
        // values over R, and R is put back into each round polynomial.
        let eq_pairs = lorica_algebra::multilinear::eq_table(&p, sizes.pairs);
        let mut tables =
            ProductTables { left: builder.module_rows(&eq_pairs), right: over_r, right_is_public: true };
        let mut rows_claim = AffineForm::slot(layout.alpha());
        let mut module_commitments = Vec::with_capacity(sizes.module_rounds);
        for index in 0..sizes.module_rounds {
            let half = sizes.inputs << (sizes.module_rounds - 1 - index);
            let polynomial = tables.round(half).scaled(MONTGOMERY_R);
            let commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
            let challenge = rounds.round(&commitment);
            rows_claim.bind_round(layout.module_round(index), challenge);
            tables.bind(half, challenge);
            module_commitments.push(commitment);
        }
        let (q_modules, lambda, mut rounds) = rounds.finish();
        // Items, for alpha's claim and lambda times beta's.
        field::scale(&mut tables.right, MONTGOMERY_R);
        let row_of_a = tables.left.clone();
        let column_of_b = builder.combined_columns(&eq_pairs);
        let mut columns = ProductTables {
            left: column_of_b.clone(),
            right: projection.sigma.iter().map(|sigma| scalar::from_challenge(*sigma)).collect(),
            right_is_public: true,
        };
        field::scale(&mut columns.left, lambda);
        rows_claim.push(layout.beta(), lambda);
        let mut item_commitments = Vec::with_capacity(sizes.item_rounds);
        for index in 0..sizes.item_rounds {
            let half = 1 << (sizes.item_rounds - 1 - index);
            let polynomial = tables.round(half) + columns.round(half);
            let commitment = scratch.commit(&[polynomial.constant, polynomial.leading], &mut randomness);
            let challenge = rounds.round(&commitment);
            rows_claim.bind_round(layout.item_round(index), challenge);
            tables.bind(half, challenge);
            columns.bind(half, challenge);
            item_commitments.push(commitment);
        }
        let (q_items, Collapse { transcript, mu, theta }) = rounds.finish();

        // 4. The public evaluation, which the table of inputs has come down to.
        let inputs_at_point = tables.right[0];

        // 5. One opening.
        let opened = OpenedVector {
            prover: *self,
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
        let witness = opened.witness().ok_or(SessionProofError::ZeroChallenge)?;
        let opening = witness.prove(mode, &mut randomness, transcript)?;
        Ok(SessionProof {
            pair_rounds: pair_commitments,
            factors: commitments,
            product,
            module_rounds: module_commitments,
            item_rounds: item_commitments,
            opening,
        })
    }

    fn check(&self) -> Result<Sizes, SessionProofError> {
        self.statement.check()?;
        if self.statement.manifest != self.adapter.digest() {
            return Err(SessionProofError::Adapter { what: "manifest digest" });
        }
        if self.statement.modules != self.adapter.manifest().shapes() {
            return Err(SessionProofError::Adapter { what: "list of modules" });
        }
        registration::check_shapes(&self.adapter.manifest().modules, self.witness)?;
        let sizes = self.statement.sizes();
        let slots = Layout::new(&sizes).slots();
        if self.generators.rows().len() < sizes.width || self.generators.scratch().len() < slots {
            return Err(SessionProofError::Generators { rows: sizes.width, slots });
        }
        Ok(sizes)
    }

    fn product_bases(&self, layout: &Layout) -> ProductBases {
        let scratch = self.generators.scratch();
        ProductBases {
            a: scratch[layout.alpha().0],
            b: scratch[layout.beta().0],
            c: scratch[layout.gamma().0],
            blinding: *self.generators.blinding(),
        }
    }
}
