//! The session verifier: every delta is exactly `B_m A_m x` for the pinned adapter.
//!
//! The numbered steps are those of `docs/spec/protocol.md`; the prover has the same numbers.

use lorica_algebra::{Point, Scalar};
use lorica_argument::codec::CodecError;
use lorica_argument::form::{AffineForm, Slot};
use lorica_argument::generators::Generators;
use lorica_argument::opening::{CommitmentTerms, OpeningError, OpeningStatement};
use lorica_argument::product::{ProductBases, ProductCommitments, ProductError};
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_relation::rows::{RowsError, SessionRows};
use lorica_relation::session::StreamShape;

use crate::collapse::{
    CollapsedForm, FinalClaims, FinalPoint, RegisteredWeights, RowWeights, collapse, powers,
};
use crate::layout::Layout;
use crate::passes::PublicPass;
use crate::proof::SessionProof;
use crate::registered::PinnedAdapter;
use crate::schedule::{self, Collapse, SESSION_PROTOCOL};
use crate::statement::{SessionStatement, Sizes, StatementError};

/// What the verifier checks a proof against; all of it is the verifier's own.
#[derive(Clone, Copy)]
pub struct SessionVerifier<'a> {
    /// The pinned adapter.
    pub adapter: &'a PinnedAdapter,
    /// The statement, with digests of the rows below that the verifier computed itself.
    pub statement: &'a SessionStatement,
    /// Activations and deltas.
    pub rows: &'a dyn SessionRows,
    /// The bases.
    pub generators: &'a Generators,
}

/// Why a session proof is refused, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum SessionInvalid {
    /// The statement makes no sense by itself.
    #[error("the session's statement is not valid: {0}")]
    Statement(#[from] StatementError),
    /// The statement is about another manifest or other modules than the pinned adapter's.
    #[error("the session is about another adapter: its {what} is not the pinned manifest's")]
    Adapter {
        /// What differs.
        what: &'static str,
    },
    /// The proof's bytes.
    #[error("the proof cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// A proof that was not read from bytes has another number of rounds than the statement asks for.
    #[error("the proof has {found} {rounds}, the statement asks for {expected}")]
    Rounds {
        /// Which rounds.
        rounds: &'static str,
        /// By the statement.
        expected: usize,
        /// In the proof.
        found: usize,
    },
    /// The product proof.
    #[error("{0}: some delta is not the pinned adapter's, or the proof is for another session")]
    Product(#[from] ProductError),
    /// The opening: this is where a wrong delta, other weights or another session shows.
    #[error("{0}: some delta is not the pinned adapter's, or the proof is for another session")]
    Opening(#[from] OpeningError),
    /// The rows could not be read: no verdict.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Too few bases were derived: no verdict.
    #[error("{needed_rows} row bases and {needed_slots} scratch bases are needed")]
    Generators {
        /// Row bases.
        needed_rows: usize,
        /// Scratch bases.
        needed_slots: usize,
    },
}

impl SessionVerifier<'_> {
    /// Verifies a proof with challenges by Fiat-Shamir.
    pub fn verify(&self, proof: &[u8]) -> Result<(), SessionInvalid> {
        let proof = SessionProof::from_bytes(proof, &self.adapter.sizes())?;
        self.verify_on(&proof, &mut FiatShamir::new(SESSION_PROTOCOL))
    }

    /// Verifies a parsed proof on a given transcript.
    pub fn verify_on(
        &self,
        proof: &SessionProof,
        transcript: &mut dyn Transcript,
    ) -> Result<(), SessionInvalid> {
        let statement = self.statement;
        statement.check()?;
        if statement.manifest != self.adapter.digest() {
            return Err(SessionInvalid::Adapter { what: "manifest digest" });
        }
        if statement.modules != self.adapter.manifest().shapes() {
            return Err(SessionInvalid::Adapter { what: "list of modules" });
        }
        let sizes = statement.sizes();
        let layout = Layout::new(&sizes);
        check_rounds(proof, &sizes)?;

        // 0, 1. The statement, then the projection.
        let (projection, mut rounds) = schedule::begin(transcript, statement, &sizes);
        // 2. First sumcheck. Its claim stays a form in the committed coefficients; the rounds multiply its constant
        // part, which is t, so t itself is filled in after the public pass.
        let mut product_claim = AffineForm::public(Scalar::from(1u8));
        for (index, commitment) in proof.pair_rounds.iter().enumerate() {
            product_claim.bind_round(layout.pair_round(index), rounds.round(commitment));
        }
        let (p, factors) = rounds.finish();
        let step = factors.commit(&proof.factors);
        let bases = self.product_bases(&layout)?;
        let commitments = ProductCommitments {
            a: *proof.factors.alpha.point(),
            b: *proof.factors.beta.point(),
            c: *proof.factors.gamma.point(),
        };
        let mut rounds = step.verify(|transcript| proof.product.verify(&bases, &commitments, transcript))?;
        // 3. Second sumcheck: modules for alpha's claim, then items for alpha's and lambda times beta's.
        let mut rows_claim = AffineForm::slot(layout.alpha());
        for (index, commitment) in proof.module_rounds.iter().enumerate() {
            rows_claim.bind_round(layout.module_round(index), rounds.round(commitment));
        }
        let (q_modules, lambda, mut rounds) = rounds.finish();
        rows_claim.push(layout.beta(), lambda);
        for (index, commitment) in proof.item_rounds.iter().enumerate() {
            rows_claim.bind_round(layout.item_round(index), rounds.round(commitment));
        }
        let (q_items, Collapse { transcript, mu, theta }) = rounds.finish();

        // 4. Public evaluation: one pass over X and D.
        let point = FinalPoint { pairs: p, modules: q_modules, items: q_items, lambda };
        let weights = RowWeights::new(&sizes, &point);
        let streams: Vec<StreamShape> = statement.streams.iter().map(|stream| stream.shape.clone()).collect();
        let public = PublicPass {
            modules: &statement.modules,
            streams: &streams,
            rows: self.rows,
            projection: &projection,
            eq_modules: &weights.eq_modules,
            eq_items: &weights.eq_items,
        }
        .run()?;
        product_claim.constant *= public.claim;

        // 5. One opening.
        let claims = FinalClaims { product: product_claim, rows: rows_claim };
        let CollapsedForm { form, value } =
            collapse(&layout, &weights.eq_items, &claims, mu, theta).ok_or(OpeningError::ZeroChallenge)?;
        let ranks = statement.modules.iter().map(|module| module.rank);
        let registered = weights.of_rows(ranks, &projection, public.inputs_at_point);
        let (rows, scratch) = self.bases(&sizes, &layout)?;
        let opening = OpeningStatement {
            bases: &[rows, scratch],
            blinding: *self.generators.blinding(),
            form_base: *self.generators.form(),
            commitment: self.commitment(proof, &registered, theta),
            form,
            value,
        };
        Ok(proof.opening.verify(opening, transcript)?)
    }

    fn bases(&self, sizes: &Sizes, layout: &Layout) -> Result<(&[Point], &[Point]), SessionInvalid> {
        let rows = self.generators.rows().get(..sizes.width);
        let scratch = self.generators.scratch().get(..layout.slots());
        rows.zip(scratch)
            .ok_or(SessionInvalid::Generators { needed_rows: sizes.width, needed_slots: layout.slots() })
    }

    fn product_bases(&self, layout: &Layout) -> Result<ProductBases, SessionInvalid> {
        let scratch = self.generators.scratch();
        let base = |slot: Slot| {
            scratch
                .get(slot.0)
                .copied()
                .ok_or(SessionInvalid::Generators { needed_rows: 0, needed_slots: layout.slots() })
        };
        Ok(ProductBases {
            a: base(layout.alpha())?,
            b: base(layout.beta())?,
            c: base(layout.gamma())?,
            blinding: *self.generators.blinding(),
        })
    }

    /// `C_u = C_w + sum_j theta^j C_j`, j counting the scratch commitments from 1 in the order of sending.
    fn commitment(
        &self,
        proof: &SessionProof,
        weights: &RegisteredWeights,
        theta: Scalar,
    ) -> CommitmentTerms {
        let mut terms = CommitmentTerms::default();
        let registered = weights.a.iter().zip(self.adapter.a()).chain(weights.b.iter().zip(self.adapter.b()));
        for (weight, point) in registered {
            terms.push(*weight, *point);
        }
        let factors = [&proof.factors.alpha, &proof.factors.beta, &proof.factors.gamma];
        let scratch =
            proof.pair_rounds.iter().chain(factors).chain(&proof.module_rounds).chain(&proof.item_rounds);
        for (commitment, power) in scratch.zip(powers(theta)) {
            terms.push(power, *commitment.point());
        }
        terms
    }
}

fn check_rounds(proof: &SessionProof, sizes: &Sizes) -> Result<(), SessionInvalid> {
    let lists = [
        ("pair rounds", sizes.pair_rounds, proof.pair_rounds.len()),
        ("module rounds", sizes.module_rounds, proof.module_rounds.len()),
        ("item rounds", sizes.item_rounds, proof.item_rounds.len()),
    ];
    match lists.into_iter().find(|(_, expected, found)| expected != found) {
        Some((rounds, expected, found)) => Err(SessionInvalid::Rounds { rounds, expected, found }),
        None => Ok(()),
    }
}
