//! A forged product proof, `alpha beta != gamma`, for a verifier that adds the three equations up into one.
//!
//! `T_1` is sent before the challenge e and multiplied by it, as the commitments to alpha and beta are. Where components on
//! the slots of alpha and beta are compared in one sum, `T_1` may hold what these commitments lack: the proof goes through
//! for `gamma = (alpha + excess_a) (beta + excess_b)`, with excesses of the prover's choice.

use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::{Point, Scalar};
use lorica_argument::product::{self as argument, ProductBases, ProductCommitments, ProductProof};
use lorica_argument::transcript::Transcript;
use lorica_prove::product::{self, Factor, ProductWitness};
use lorica_prove::randomness::Randomness;

/// What is committed to, and by how much it is exceeded. With both excesses zero, the proof is an honest one.
#[derive(Debug, Clone, Copy)]
pub struct Excess {
    /// What is committed to for alpha.
    pub alpha: Scalar,
    /// What is committed to for beta.
    pub beta: Scalar,
    /// What gamma has more of alpha.
    pub of_alpha: Scalar,
    /// What gamma has more of beta.
    pub of_beta: Scalar,
}

impl Excess {
    /// Commits to alpha, beta and `(alpha + of_alpha) (beta + of_beta)`, and makes the forged proof.
    pub fn forge(
        &self,
        bases: &ProductBases,
        randomness: &mut Randomness,
        transcript: &mut dyn Transcript,
    ) -> (ProductCommitments, ProductProof) {
        let mut blinded = |value| Factor { value, blind: randomness.scalar() };
        let (a, b) = (blinded(self.alpha), blinded(self.beta));
        let (claimed_a, claimed_b) = (self.alpha + self.of_alpha, self.beta + self.of_beta);
        let c = blinded(claimed_a * claimed_b);
        let commit = |factor: Factor, base: Point| {
            point::multiscalar(&[factor.value, factor.blind], &[base, bases.blinding])
        };
        let commitments =
            ProductCommitments { a: commit(a, bases.a), b: commit(b, bases.b), c: commit(c, bases.c) };
        // The honest proof for the claimed factors; T_1 makes up for what is committed to.
        let claimed =
            ProductWitness { a: Factor { value: claimed_a, ..a }, b: Factor { value: claimed_b, ..b }, c };
        let (mut masks, state) = product::masks(claimed, bases, randomness);
        let made_up = point::multiscalar(&[self.of_alpha, self.of_beta], &[bases.a, bases.b]);
        masks.t_1 = EncodedPoint::new(masks.t_1.point() + made_up);
        let response = state.respond(argument::challenge(transcript, &masks));
        argument::absorb_response(transcript, &response);
        (commitments, ProductProof { masks, response })
    }
}
