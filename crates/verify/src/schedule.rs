//! The order of messages and challenges of a session proof, as types whose transitions consume them.
//!
//! Prover and verifier both walk through these states; neither can absorb or draw in another order.
//!
//! [`begin`] → [`PairRounds`] → [`Factors`] → [`ModuleRounds`] → [`ItemRounds`] → [`Collapse`]

use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::product::{self, ProductMasks, ProductResponse};
use lorica_argument::transcript::{Label, Seed, Transcript};

use crate::statement::{SessionStatement, Sizes};

/// The protocol and version that the Fiat-Shamir transcript of a session proof starts from.
pub const SESSION_PROTOCOL: &str = "lorica session proof 1";

/// The label of the statement: public, so that a test can run the prover on inputs that are not the statement's.
pub const STATEMENT: Label = Label("session: statement");
const RHO: Label = Label("session: rho");
const SIGMA: Label = Label("session: sigma");
const Z: Label = Label("session: z");
const PAIR_ROUND: Label = Label("session: pair round");
const P: Label = Label("session: p");
const FACTORS: Label = Label("session: alpha beta gamma");
const MODULE_ROUND: Label = Label("session: module round");
const Q_MODULE: Label = Label("session: q_m");
const LAMBDA: Label = Label("session: lambda");
const ITEM_ROUND: Label = Label("session: item round");
const Q_ITEM: Label = Label("session: q_i");
const MU: Label = Label("session: mu");
/// The label of theta: public, so that a test can show what an argument without theta would accept.
pub const THETA: Label = Label("session: theta");

/// The random projection: challenges over tokens, outputs and modules.
#[derive(Debug, Clone)]
pub struct Projection {
    /// `rho_n`, one for each token row, the same for every stream.
    pub rho: Seed,
    /// `sigma_i`, one for each output coordinate.
    pub sigma: Vec<u128>,
    /// `z_m`, one for each module.
    pub modules: Vec<u128>,
}

/// Step 0 and 1: takes in the whole statement, then draws the projection.
pub fn begin<'t>(
    transcript: &'t mut dyn Transcript,
    statement: &SessionStatement,
    sizes: &Sizes,
) -> (Projection, PairRounds<'t>) {
    transcript.absorb(STATEMENT, &statement.to_bytes());
    let rho = transcript.seed(RHO);
    let sigma = transcript.seed(SIGMA).short(sizes.outputs);
    let modules = transcript.seed(Z).short(sizes.modules);
    (Projection { rho, sigma, modules }, PairRounds { transcript, point: Vec::new() })
}

/// Step 2: the rounds of the first sumcheck, over (module, rank index) pairs.
pub struct PairRounds<'t> {
    transcript: &'t mut dyn Transcript,
    point: Vec<Scalar>,
}

impl<'t> PairRounds<'t> {
    /// Takes in a round commitment and draws the next coordinate of p.
    pub fn round(&mut self, commitment: &EncodedPoint) -> Scalar {
        let challenge = round(self.transcript, PAIR_ROUND, P, commitment);
        self.point.push(challenge);
        challenge
    }

    /// Ends the rounds; returns p.
    pub fn finish(self) -> (Vec<Scalar>, Factors<'t>) {
        (self.point, Factors { transcript: self.transcript })
    }
}

/// The commitments to alpha, beta and gamma.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorCommitments {
    /// alpha alone on its slot.
    pub alpha: EncodedPoint,
    /// beta alone on its slot.
    pub beta: EncodedPoint,
    /// gamma alone on its slot.
    pub gamma: EncodedPoint,
}

/// The end of the first sumcheck: three commitments and their product proof.
pub struct Factors<'t> {
    transcript: &'t mut dyn Transcript,
}

impl<'t> Factors<'t> {
    /// Takes in the three commitments.
    pub fn commit(self, factors: &FactorCommitments) -> ProductStep<'t> {
        for point in [&factors.alpha, &factors.beta, &factors.gamma] {
            self.transcript.absorb(FACTORS, point.bytes());
        }
        ProductStep { transcript: self.transcript }
    }
}

/// The product proof's place in the order.
pub struct ProductStep<'t> {
    transcript: &'t mut dyn Transcript,
}

impl<'t> ProductStep<'t> {
    /// The prover's way: takes in the masks, draws e, takes in the response.
    pub fn prove(
        self,
        masks: &ProductMasks,
        respond: impl FnOnce(Scalar) -> ProductResponse,
    ) -> (ProductResponse, ModuleRounds<'t>) {
        let response = respond(product::challenge(self.transcript, masks));
        product::absorb_response(self.transcript, &response);
        (response, ModuleRounds { transcript: self.transcript, point: Vec::new() })
    }

    /// The verifier's way: `check` is [`product::ProductProof::verify`], which absorbs and draws the same.
    pub fn verify<E>(
        self,
        check: impl FnOnce(&mut dyn Transcript) -> Result<(), E>,
    ) -> Result<ModuleRounds<'t>, E> {
        check(self.transcript)?;
        Ok(ModuleRounds { transcript: self.transcript, point: Vec::new() })
    }
}

/// Step 3, first half: the rounds of the second sumcheck over modules.
pub struct ModuleRounds<'t> {
    transcript: &'t mut dyn Transcript,
    point: Vec<Scalar>,
}

impl<'t> ModuleRounds<'t> {
    /// Takes in a round commitment and draws the next coordinate of `q_m`.
    pub fn round(&mut self, commitment: &EncodedPoint) -> Scalar {
        let challenge = round(self.transcript, MODULE_ROUND, Q_MODULE, commitment);
        self.point.push(challenge);
        challenge
    }

    /// Ends the rounds; returns `q_m` and lambda, which merges beta's claim in.
    pub fn finish(self) -> (Vec<Scalar>, Scalar, ItemRounds<'t>) {
        let lambda = self.transcript.challenge(LAMBDA);
        (self.point, lambda, ItemRounds { transcript: self.transcript, point: Vec::new() })
    }
}

/// Step 3, second half: the rounds of the second sumcheck over items.
pub struct ItemRounds<'t> {
    transcript: &'t mut dyn Transcript,
    point: Vec<Scalar>,
}

impl<'t> ItemRounds<'t> {
    /// Takes in a round commitment and draws the next coordinate of `q_i`.
    pub fn round(&mut self, commitment: &EncodedPoint) -> Scalar {
        let challenge = round(self.transcript, ITEM_ROUND, Q_ITEM, commitment);
        self.point.push(challenge);
        challenge
    }

    /// Ends the rounds: every scratch commitment is fixed, and only now mu and theta are drawn. Returns `q_i`.
    pub fn finish(self) -> (Vec<Scalar>, Collapse<'t>) {
        let mu = self.transcript.challenge(MU);
        let theta = self.transcript.challenge(THETA);
        (self.point, Collapse { transcript: self.transcript, mu, theta })
    }
}

/// Step 5: the challenges that collapse all constraints into one form, and the transcript for the opening.
pub struct Collapse<'t> {
    /// For the opening, which absorbs and draws by its own functions.
    pub transcript: &'t mut dyn Transcript,
    /// Weighs the product's constraint against the sumcheck's.
    pub mu: Scalar,
    /// Separates the scratch commitments from one another and from the rows.
    pub theta: Scalar,
}

fn round(
    transcript: &mut dyn Transcript,
    message: Label,
    challenge: Label,
    commitment: &EncodedPoint,
) -> Scalar {
    transcript.absorb(message, commitment.bytes());
    transcript.challenge(challenge)
}
