//! The simulator of the zero-knowledge argument: accepting transcripts from public data alone.
//!
//! It chooses the challenges beforehand ([`Foreseen`]) and has no witness: only manifest, statement, activations and deltas.
//! That its transcripts convince the real verifier, and are distributed as the prover's, is what zero knowledge means here;
//! `docs/spec/security.md` gives the argument.

use lorica_algebra::multilinear::inner_product;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::form::{AffineForm, Slot};
use lorica_argument::opening::{OpeningMode, OpeningProof, mask_challenge};
use lorica_argument::product::{ProductMasks, ProductProof, ProductResponse};
use lorica_argument::transcript::Transcript;
use lorica_prove::opening::MaskedVector;
use lorica_relation::session::StreamShape;
use lorica_verify::collapse::{CollapsedForm, FinalClaims, FinalPoint, RowWeights, collapse, powers};
use lorica_verify::layout::Layout;
use lorica_verify::passes::PublicPass;
use lorica_verify::proof::SessionProof;
use lorica_verify::schedule::{self, Collapse, FactorCommitments, Projection};
use lorica_verify::session::SessionVerifier;

use crate::random::Random;
use crate::transcript::Foreseen;

/// What the simulator knows and holds.
struct Simulator<'a> {
    public: &'a SessionVerifier<'a>,
    layout: Layout,
    random: Random,
}

/// All challenges before the opening, and the commitments made so far.
struct Walk {
    projection: Projection,
    point: FinalPoint,
    product_form: AffineForm,
    rows_form: AffineForm,
    e: Scalar,
    mu: Scalar,
    theta: Scalar,
    messages: Messages,
}

#[derive(Clone)]
struct Messages {
    pair_rounds: Vec<EncodedPoint>,
    factors: FactorCommitments,
    product: ProductProof,
    module_rounds: Vec<EncodedPoint>,
    item_rounds: Vec<EncodedPoint>,
}

/// A proof for challenges that were fixed beforehand, made without any witness.
pub fn simulate(
    public: &SessionVerifier<'_>,
    mode: OpeningMode,
    challenges: &Foreseen,
    seed: u64,
) -> SessionProof {
    let sizes = public.statement.sizes();
    let mut simulator = Simulator { public, layout: Layout::new(&sizes), random: Random::new(seed) };
    let messages = simulator.messages();
    // Foreseen challenges do not depend on messages: the first walk learns e, the second uses it.
    let e = simulator.walk(&mut challenges.clone(), messages.clone()).0.e;
    let messages = simulator.with_product_for(messages, e);
    let mut transcript = challenges.clone();
    let (walk, transcript) = simulator.walk(&mut transcript, messages);
    simulator.open(walk, mode, transcript)
}

impl Simulator<'_> {
    fn scalar(&mut self) -> Scalar {
        let (low, high) = (self.random.bytes(), self.random.bytes());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&low);
        bytes[32..].copy_from_slice(&high);
        scalar::from_uniform_bytes(&bytes)
    }

    /// A hiding commitment is a uniform point; so is this multiple of the blinding base.
    fn point(&mut self) -> EncodedPoint {
        let blind = self.scalar();
        EncodedPoint::new(multiscalar(&[blind], &[*self.public.generators.blinding()]))
    }

    fn points(&mut self, count: usize) -> Vec<EncodedPoint> {
        (0..count).map(|_| self.point()).collect()
    }

    fn messages(&mut self) -> Messages {
        let sizes = self.public.statement.sizes();
        Messages {
            pair_rounds: self.points(sizes.pair_rounds),
            factors: FactorCommitments { alpha: self.point(), beta: self.point(), gamma: self.point() },
            product: ProductProof {
                masks: ProductMasks {
                    t_a: self.point(),
                    t_b: self.point(),
                    t_0: self.point(),
                    t_1: self.point(),
                },
                response: ProductResponse {
                    f_a: self.scalar(),
                    f_b: self.scalar(),
                    tau_a: self.scalar(),
                    tau_b: self.scalar(),
                    tau_c: self.scalar(),
                },
            },
            module_rounds: self.points(sizes.module_rounds),
            item_rounds: self.points(sizes.item_rounds),
        }
    }

    /// The masks that fit uniform responses: the three equations, solved for `T_a`, `T_b` and `T_0`.
    fn with_product_for(&self, mut messages: Messages, e: Scalar) -> Messages {
        let base = |slot: Slot| self.public.generators.scratch()[slot.0];
        let h = *self.public.generators.blinding();
        let ProductResponse { f_a, f_b, tau_a, tau_b, tau_c } = messages.product.response;
        let FactorCommitments { alpha, beta, gamma } = &messages.factors;
        let solve = |scalars: &[Scalar], points: &[Point]| EncodedPoint::new(multiscalar(scalars, points));
        let masks = &mut messages.product.masks;
        masks.t_a = solve(&[f_a, tau_a, -e], &[base(self.layout.alpha()), h, *alpha.point()]);
        masks.t_b = solve(&[f_b, tau_b, -e], &[base(self.layout.beta()), h, *beta.point()]);
        masks.t_0 = solve(
            &[f_a * f_b, tau_c, -e, -(e * e)],
            &[base(self.layout.gamma()), h, *masks.t_1.point(), *gamma.point()],
        );
        messages
    }

    /// Sends all messages before the opening, in the schedule's order.
    fn walk<'t>(&self, transcript: &'t mut Foreseen, messages: Messages) -> (Walk, &'t mut dyn Transcript) {
        let sizes = self.public.statement.sizes();
        let layout = &self.layout;
        let (projection, mut rounds) = schedule::begin(transcript, self.public.statement, &sizes);
        let mut product_form = AffineForm::public(Scalar::from(1u8));
        for (index, message) in messages.pair_rounds.iter().enumerate() {
            product_form.bind_round(layout.pair_round(index), rounds.round(message));
        }
        let (pairs, factors) = rounds.finish();
        let mut e = Scalar::default();
        let response = messages.product.response.clone();
        let step = factors.commit(&messages.factors);
        let (_, mut rounds) = step.prove(&messages.product.masks, |challenge| {
            e = challenge;
            response
        });
        let mut rows_form = AffineForm::slot(layout.alpha());
        for (index, message) in messages.module_rounds.iter().enumerate() {
            rows_form.bind_round(layout.module_round(index), rounds.round(message));
        }
        let (modules, lambda, mut rounds) = rounds.finish();
        rows_form.push(layout.beta(), lambda);
        for (index, message) in messages.item_rounds.iter().enumerate() {
            rows_form.bind_round(layout.item_round(index), rounds.round(message));
        }
        let (items, Collapse { transcript, mu, theta }) = rounds.finish();
        let point = FinalPoint { pairs, modules, items, lambda };
        (Walk { projection, point, product_form, rows_form, e, mu, theta, messages }, transcript)
    }

    /// A uniform masked vector, and the mask that fits it.
    fn open(mut self, walk: Walk, mode: OpeningMode, transcript: &mut dyn Transcript) -> SessionProof {
        let SessionVerifier { statement, rows, generators, adapter } = *self.public;
        let sizes = statement.sizes();
        let weights = RowWeights::new(&sizes, &walk.point);
        let streams: Vec<StreamShape> = statement.streams.iter().map(|stream| stream.shape.clone()).collect();
        let public = PublicPass {
            modules: &statement.modules,
            streams: &streams,
            rows,
            projection: &walk.projection,
            eq_modules: &weights.eq_modules,
            eq_items: &weights.eq_items,
        }
        .run()
        .expect("rows in memory");
        let mut product = walk.product_form;
        product.constant *= public.claim;
        let claims = FinalClaims { product, rows: walk.rows_form };
        let CollapsedForm { form, value } =
            collapse(&self.layout, &weights.eq_items, &claims, walk.mu, walk.theta).expect("a challenge");
        let ranks = statement.modules.iter().map(|module| module.rank);
        let registered = weights.of_rows(ranks, &walk.projection, public.inputs_at_point);
        let messages = walk.messages;
        let factors = [&messages.factors.alpha, &messages.factors.beta, &messages.factors.gamma];
        let scratch = messages.pair_rounds.iter().chain(factors);
        let scratch = scratch.chain(&messages.module_rounds).chain(&messages.item_rounds);
        let rows_sum = multiscalar(&registered.a, adapter.a()) + multiscalar(&registered.b, adapter.b());
        let scratch_sum: Point = scratch
            .zip(powers(walk.theta))
            .map(|(commitment, power)| multiscalar(&[power], &[*commitment.point()]))
            .sum();

        let bases =
            [&generators.rows()[..sizes.width], &generators.scratch()[..self.layout.slots()]].concat();
        let vector: Vec<Scalar> = (0..bases.len()).map(|_| self.scalar()).collect();
        let blind = self.scalar();
        // e of the opening is foreseen as well: the copy of the transcript's next challenge.
        let e = next_challenge(transcript);
        let opened = multiscalar(&vector, &bases) + multiscalar(&[blind], &[*generators.blinding()]);
        let mask_commitment = EncodedPoint::new(opened - multiscalar(&[e], &[rows_sum + scratch_sum]));
        let mask_value = inner_product(&vector, &form) - e * value;
        assert_eq!(mask_challenge(transcript, &mask_commitment, &mask_value), e);
        let masked = MaskedVector { bases, form_base: generators.form(), form, vector, blind };
        let response = masked.respond(mode, transcript).expect("a response");
        SessionProof {
            pair_rounds: messages.pair_rounds,
            factors: messages.factors,
            product: messages.product,
            module_rounds: messages.module_rounds,
            item_rounds: messages.item_rounds,
            opening: OpeningProof { mask_commitment, mask_value, blind, response },
        }
    }
}

/// The challenge that a foreseen transcript gives next, without drawing it: its state tells.
fn next_challenge(transcript: &dyn Transcript) -> Scalar {
    Foreseen::from_state(&transcript.state()).challenge(lorica_argument::transcript::Label("next"))
}
