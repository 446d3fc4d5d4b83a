//! The prover's half of [`lorica_argument::product`].

use lorica_algebra::Scalar;
use lorica_algebra::point::{self, EncodedPoint};
use lorica_argument::product::{ProductBases, ProductMasks, ProductResponse};

use zeroize::Zeroize;

use crate::randomness::Randomness;

/// A committed value and the blind of its commitment.
#[derive(Clone, Copy)]
pub struct Factor {
    /// The value on the slot.
    pub value: Scalar,
    /// The blind.
    pub blind: Scalar,
}

/// alpha, beta and gamma with their blinds.
#[derive(Clone, Copy)]
pub struct ProductWitness {
    /// alpha
    pub a: Factor,
    /// beta
    pub b: Factor,
    /// gamma
    pub c: Factor,
}

/// What the prover keeps between its first message and its answer.
pub struct ProductState {
    witness: ProductWitness,
    x_a: Scalar,
    x_b: Scalar,
    blinds: [Scalar; 4],
}

/// Makes the first message.
pub fn masks(
    witness: ProductWitness,
    bases: &ProductBases,
    randomness: &mut Randomness,
) -> (ProductMasks, ProductState) {
    let (x_a, x_b) = (randomness.scalar(), randomness.scalar());
    let blinds = [(); 4].map(|()| randomness.scalar());
    let commit =
        |value, base, blind| EncodedPoint::new(point::multiscalar(&[value, blind], &[base, bases.blinding]));
    let masks = ProductMasks {
        t_a: commit(x_a, bases.a, blinds[0]),
        t_b: commit(x_b, bases.b, blinds[1]),
        t_0: commit(x_a * x_b, bases.c, blinds[2]),
        t_1: commit(x_a * witness.b.value + x_b * witness.a.value, bases.c, blinds[3]),
    };
    (masks, ProductState { witness, x_a, x_b, blinds })
}

impl Drop for ProductState {
    fn drop(&mut self) {
        self.x_a.zeroize();
        self.x_b.zeroize();
        self.blinds.zeroize();
    }
}

impl ProductState {
    /// Answers the challenge.
    pub fn respond(self, e: Scalar) -> ProductResponse {
        let Self { witness, x_a, x_b, blinds } = &self;
        ProductResponse {
            f_a: *x_a + e * witness.a.value,
            f_b: *x_b + e * witness.b.value,
            tau_a: blinds[0] + e * witness.a.blind,
            tau_b: blinds[1] + e * witness.b.blind,
            tau_c: blinds[2] + e * (blinds[3] + e * witness.c.blind),
        }
    }
}
