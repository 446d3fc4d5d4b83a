//! The prover's half of [`lorica_argument::products`]: many products, brought down to one.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::form::AffineForm;
use lorica_argument::product::{ProductBases, ProductCommitments, ProductProof};
use lorica_argument::products::Factors;
use lorica_argument::transcript::Transcript;
use lorica_argument::walk::Rounds;

use crate::product::{self, Factor, ProductWitness};
use crate::randomness::Randomness;
use crate::range::RangeProofError;
use crate::scratch::Scratch;
use crate::tables::{ProductTables, RoundPolynomial};

/// The prover's party for all products.
pub struct ProductsProver<'s, 'g> {
    scratch: &'s mut Scratch<'g>,
    randomness: &'s mut Randomness,
    tables: ProductTables,
    half: usize,
    claim: Scalar,
    round: RoundPolynomial,
    witness: Option<ProductWitness>,
    proof: Option<ProductProof>,
}

impl<'s, 'g> ProductsProver<'s, 'g> {
    /// Starts behind the lookup.
    pub fn new(scratch: &'s mut Scratch<'g>, randomness: &'s mut Randomness) -> Self {
        Self {
            scratch,
            randomness,
            tables: ProductTables { left: Vec::new(), right: Vec::new(), right_is_public: false },
            half: 0,
            claim: Scalar::zero(),
            round: RoundPolynomial { constant: Scalar::zero(), leading: Scalar::zero() },
            witness: None,
            proof: None,
        }
    }

    /// The product proof, when the walk is over.
    pub fn finish(self) -> Option<ProductProof> {
        self.proof
    }
}

impl Rounds for ProductsProver<'_, '_> {
    type Error = RangeProofError;

    fn round(&mut self) -> Result<EncodedPoint, RangeProofError> {
        self.round = self.tables.round(self.half);
        Ok(self.scratch.commit(&[self.round.constant, self.round.leading], self.randomness))
    }

    fn bind(&mut self, challenge: Scalar) {
        self.claim = self.round.evaluate(self.claim, challenge);
        self.tables.bind(self.half, challenge);
        self.half /= 2;
    }
}

impl Factors for ProductsProver<'_, '_> {
    fn enter(&mut self, terms: &[(AffineForm, AffineForm)]) -> Result<(), RangeProofError> {
        let slots = self.scratch.slots();
        let value = |form: &AffineForm| form.evaluate(slots).ok_or(RangeProofError::Slots);
        for (left, right) in terms {
            self.tables.left.push(value(left)?);
            self.tables.right.push(value(right)?);
        }
        self.half = terms.len().next_power_of_two() / 2;
        self.claim = self.tables.sum();
        Ok(())
    }

    fn factors(&mut self) -> Result<[EncodedPoint; 3], RangeProofError> {
        let mut factor = |value: Scalar| {
            let commitment = self.scratch.commit(&[value], self.randomness);
            (commitment, Factor { value, blind: self.scratch.last_blind() })
        };
        // A statement without any product has no tables.
        let first = |table: &Vec<Scalar>| table.first().copied().unwrap_or_default();
        let (alpha, beta) = (first(&self.tables.left), first(&self.tables.right));
        let ((c_a, a), (c_b, b), (c_c, c)) = (factor(alpha), factor(beta), factor(self.claim));
        self.witness = Some(ProductWitness { a, b, c });
        Ok([c_a, c_b, c_c])
    }

    fn product(
        &mut self,
        bases: &ProductBases,
        _commitments: &ProductCommitments,
        transcript: &mut dyn Transcript,
    ) -> Result<(), RangeProofError> {
        let witness = self.witness.take().ok_or(RangeProofError::Slots)?;
        let (masks, state) = product::masks(witness, bases, self.randomness);
        let e = lorica_argument::product::challenge(transcript, &masks);
        let response = state.respond(e);
        lorica_argument::product::absorb_response(transcript, &response);
        self.proof = Some(ProductProof { masks, response });
        Ok(())
    }
}
