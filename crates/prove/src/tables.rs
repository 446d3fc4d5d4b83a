//! The two tables of a sumcheck of degree two: `sum_i left[i] * right[i]`, bound variable after variable.
//!
//! The first variable is the most significant bit, so a round pairs the lower with the upper half of a table. A table may
//! end early: what is missing counts as zero, is never stored, and costs nothing.
//!
//! Tables that are made from private weights are wiped: each half when it is bound, while it is still in a cache, and what
//! is left of a table when it is dropped.

use ark_ff::{AdditiveGroup, Zero};
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field::{self, Halves, RoundSums};
use rayon::prelude::*;
use zeroize::Zeroize;

/// Two tables that are multiplied entry by entry.
#[derive(Clone)]
pub struct ProductTables {
    /// Left factors.
    pub left: Vec<Scalar>,
    /// Right factors, as many.
    pub right: Vec<Scalar>,
    /// Whether the right factors are known to both parties, so that they need not be wiped.
    pub right_is_public: bool,
}

/// The coefficients of a round polynomial that are committed; the middle one follows from the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundPolynomial {
    /// `g(0)`
    pub constant: Scalar,
    /// The coefficient of `X^2`.
    pub leading: Scalar,
}

impl std::ops::Add for RoundPolynomial {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { constant: self.constant + other.constant, leading: self.leading + other.leading }
    }
}

impl RoundPolynomial {
    const ZERO: Self =
        Self { constant: <Scalar as AdditiveGroup>::ZERO, leading: <Scalar as AdditiveGroup>::ZERO };

    /// Both coefficients times a factor.
    pub fn scaled(self, factor: Scalar) -> Self {
        Self { constant: self.constant * factor, leading: self.leading * factor }
    }

    /// `g(challenge)`, given the claim `g(0) + g(1)`.
    pub fn evaluate(&self, claim: Scalar, challenge: Scalar) -> Scalar {
        let middle = claim - self.constant - self.constant - self.leading;
        self.constant + challenge * (middle + challenge * self.leading)
    }
}

/// Entries that one task of a parallel loop handles.
const CHUNK: usize = 1 << 12;

impl Drop for ProductTables {
    fn drop(&mut self) {
        // Not the vectors themselves: that would wipe their capacity once more, byte after byte.
        self.left.iter_mut().zeroize();
        if !self.right_is_public {
            self.right.iter_mut().zeroize();
        }
    }
}

impl ProductTables {
    /// `sum_i left[i] * right[i]`
    pub fn sum(&self) -> Scalar {
        field::inner_product(&self.left, &self.right)
    }

    /// The round polynomial of the first variable, where its lower half has `half` entries.
    pub fn round(&self, half: usize) -> RoundPolynomial {
        let split = half.min(self.left.len());
        let (left_low, left_high) = self.left.split_at(split);
        let (right_low, right_high) = self.right.split_at(split);
        let paired = left_high.len();
        let both = (left_low[..paired].par_chunks(CHUNK), right_low[..paired].par_chunks(CHUNK))
            .into_par_iter()
            .zip((left_high.par_chunks(CHUNK), right_high.par_chunks(CHUNK)))
            .map(|((left_low, right_low), (left_high, right_high))| {
                let halves = Halves { left_low, left_high, right_low, right_high };
                let RoundSums { constant, leading } = field::round_sums(&halves);
                RoundPolynomial { constant, leading }
            })
            .reduce(|| RoundPolynomial::ZERO, |left, right| left + right);
        // Where the upper half is missing, both coefficients are the product of the lower entries.
        let alone = (left_low[paired..].par_chunks(CHUNK), right_low[paired..].par_chunks(CHUNK))
            .into_par_iter()
            .map(|(left, right)| field::inner_product(left, right))
            .reduce(Scalar::zero, |left, right| left + right);
        both + RoundPolynomial { constant: alone, leading: alone }
    }

    /// Binds the first variable to `challenge`.
    pub fn bind(&mut self, half: usize, challenge: Scalar) {
        bind(&mut self.left, half, challenge, true);
        bind(&mut self.right, half, challenge, !self.right_is_public);
    }
}

fn bind(table: &mut Vec<Scalar>, half: usize, challenge: Scalar, wipe: bool) {
    let split = half.min(table.len());
    let (low, high) = table.split_at_mut(split);
    bind_halves(low, high, challenge, wipe);
    table.truncate(split);
}

/// Binds the lower half in place; wipes the upper one, which may be shorter, if asked to.
fn bind_halves(low: &mut [Scalar], high: &mut [Scalar], challenge: Scalar, wipe: bool) {
    let (paired, alone) = low.split_at_mut(high.len());
    let pieces = paired.par_chunks_mut(CHUNK).zip(high.par_chunks_mut(CHUNK));
    pieces.for_each(|(low, high)| {
        field::bind(low, high, challenge);
        if wipe {
            high.iter_mut().zeroize();
        }
    });
    let rest = Scalar::from(1u8) - challenge;
    alone.par_chunks_mut(CHUNK).for_each(|low| field::scale(low, rest));
}

#[cfg(test)]
mod tests {
    use super::*;
    use lorica_algebra::multilinear::{eq_table, inner_product, variables};

    #[test]
    fn the_half_that_is_bound_is_wiped() {
        for (low, high) in [(CHUNK + 3, CHUNK + 1), (4, 4), (4, 1), (4, 0)] {
            let (mut low, mut high) = (vec![Scalar::from(5u8); low], vec![Scalar::from(7u8); high]);
            bind_halves(&mut low, &mut high, Scalar::from(9u8), true);
            assert!(high.iter().all(Scalar::is_zero));
        }
    }

    #[test]
    fn rounds_follow_the_claim_down_to_the_evaluation_at_every_length() {
        for len in 1..20usize {
            let left: Vec<Scalar> = (0..len as u64).map(|i| Scalar::from(i * 7 + 1)).collect();
            let right: Vec<Scalar> = (0..len as u64).map(|i| Scalar::from(i * i + 3)).collect();
            let mut tables =
                ProductTables { left: left.clone(), right: right.clone(), right_is_public: false };
            let mut claim = tables.sum();
            let mut point = Vec::new();
            for round in 0..variables(len) {
                let half = 1 << (variables(len) - 1 - round);
                let polynomial = tables.round(half);
                let challenge = Scalar::from(1000 + round as u64);
                claim = polynomial.evaluate(claim, challenge);
                tables.bind(half, challenge);
                point.push(challenge);
                assert_eq!(tables.sum(), claim, "length {len}, round {round}");
            }
            let eq = eq_table(&point, len);
            assert_eq!(tables.left, [inner_product(&left, &eq)]);
            assert_eq!(tables.right, [inner_product(&right, &eq)]);
        }
    }
}
