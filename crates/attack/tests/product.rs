//! The forged product proof: refused by the three equations, accepted by their sum.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_algebra::point::{identity, multiscalar};
use lorica_algebra::{Point, Scalar};
use lorica_argument::generators::Generators;
use lorica_argument::product::{self, ProductBases, ProductCommitments, ProductError, ProductProof};
use lorica_argument::transcript::FiatShamir;
use lorica_attack::product::Excess;
use lorica_prove::randomness::Randomness;
use lorica_prove::secret::AdapterSecret;
use lorica_testkit::adapter::entropy;
use lorica_testkit::random::Random;

struct Forged {
    bases: ProductBases,
    commitments: ProductCommitments,
    proof: ProductProof,
}

fn transcript() -> FiatShamir {
    FiatShamir::new("product forgery")
}

fn forged(of_alpha: u64, of_beta: u64) -> Forged {
    let generators = Generators::derive(0, 3);
    let [a, b, c] = *generators.scratch() else { panic!("three slots") };
    let bases = ProductBases { a, b, c, blinding: *generators.blinding() };
    let secret = AdapterSecret::from_seed([1; 32]);
    let mut randomness = Randomness::new(&entropy(&mut Random::new(2)), &secret, &[3; 32]);
    let excess = Excess {
        alpha: Scalar::from(11u8),
        beta: -Scalar::from(7u8),
        of_alpha: of_alpha.into(),
        of_beta: of_beta.into(),
    };
    let (commitments, proof) = excess.forge(&bases, &mut randomness, &mut transcript());
    Forged { bases, commitments, proof }
}

impl Forged {
    fn verify(&self) -> Result<(), ProductError> {
        self.proof.verify(&self.bases, &self.commitments, &mut transcript())
    }

    /// Left side minus right side of the sum of all three equations.
    fn merged(&self) -> Point {
        let Self { bases, commitments, proof } = self;
        let e = product::challenge(&mut transcript(), &proof.masks);
        let (response, masks) = (&proof.response, &proof.masks);
        let one = Scalar::from(1u8);
        let left = multiscalar(
            &[
                response.f_a,
                response.f_b,
                response.f_a * response.f_b,
                response.tau_a + response.tau_b + response.tau_c,
            ],
            &[bases.a, bases.b, bases.c, bases.blinding],
        );
        let right = multiscalar(
            &[one, e, one, e, one, e, e * e],
            &[
                *masks.t_a.point(),
                commitments.a,
                *masks.t_b.point(),
                commitments.b,
                *masks.t_0.point(),
                *masks.t_1.point(),
                commitments.c,
            ],
        );
        left - right
    }
}

#[test]
fn a_false_product_is_refused_by_the_equation_of_the_factor_that_is_exceeded() {
    for (of_alpha, of_beta, equation) in [(5, 0, 1), (0, 9, 2), (5, 9, 1)] {
        assert_eq!(forged(of_alpha, of_beta).verify(), Err(ProductError { equation }));
    }
}

/// If this fails, the attack does not bite any more and the test above shows nothing.
#[test]
fn a_false_product_passes_the_sum_of_the_equations() {
    for (of_alpha, of_beta) in [(5, 0), (0, 9), (5, 9)] {
        assert_eq!(forged(of_alpha, of_beta).merged(), identity());
    }
}

#[test]
fn without_an_excess_the_proof_is_an_honest_one() {
    let honest = forged(0, 0);
    assert_eq!(honest.verify(), Ok(()));
    assert_eq!(honest.merged(), identity());
}

/// The sum is no check that passes anything.
#[test]
fn the_sum_of_the_equations_refuses_a_product_that_nothing_makes_up_for() {
    let mut forged = forged(0, 0);
    forged.commitments.c += forged.bases.c;
    assert_ne!(forged.merged(), identity());
}
