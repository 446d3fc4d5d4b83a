//! Large integers as planes of small digits: the shapes that vector instructions multiply.
//!
//! A *balanced* digit in radix 2^32 lies in [-2^31, 2^31), so that it is a signed 32-bit integer and its product
//! with an int16 has magnitude at most 2^46. *Planar* means that digit j of all entries lies side by side.

use ark_ff::PrimeField;

use crate::Scalar;

/// Challenges are below 2 to this power.
pub const CHALLENGE_BITS: u32 = 126;

/// Balanced radix-2^32 digits of a challenge: |top digit| <= 2^30, because 126 - 96 = 30.
pub(crate) const CHALLENGE_DIGITS: usize = 4;

/// Balanced radix-2^32 digits of a scalar's representative below l < 2^253: |top digit| <= 2^29.
pub(crate) const SCALAR_DIGITS: usize = 8;

/// Splits `value` into `lowest + rest * 2^32` with a balanced `lowest`.
///
/// `value - lowest` must not overflow; |value| <= 2^63 - 2^31 suffices.
#[inline]
pub(crate) fn split_digit(value: i64) -> (i32, i64) {
    let lowest = value as i32;
    (lowest, (value - i64::from(lowest)) >> 32)
}

/// Balanced digits of the number with these unsigned 32-bit limbs, whose top limb is below 2^31.
fn balance<const DIGITS: usize>(limbs: [u32; DIGITS]) -> [i32; DIGITS] {
    let mut carry = 0;
    limbs.map(|limb| {
        let (digit, rest) = split_digit(i64::from(limb) + carry);
        carry = rest;
        digit
    })
}

/// Balanced digits of a challenge.
///
/// # Panics
/// If the challenge is not below 2^126.
pub(crate) fn challenge_digits(challenge: u128) -> [i32; CHALLENGE_DIGITS] {
    assert_challenge(challenge);
    balance(std::array::from_fn(|j| (challenge >> (32 * j)) as u32))
}

/// Balanced digits of a scalar's Montgomery representation.
pub(crate) fn montgomery_digits(scalar: &Scalar) -> [i32; SCALAR_DIGITS] {
    debug_assert!(scalar.0 < Scalar::MODULUS, "a scalar in canonical form");
    let limbs = scalar.0.0;
    balance(std::array::from_fn(|j| (limbs[j / 2] >> (32 * (j % 2))) as u32))
}

fn assert_challenge(challenge: u128) {
    assert!(challenge >> CHALLENGE_BITS == 0, "a challenge is below 2^{CHALLENGE_BITS}");
}

/// A vector of integers as `DIGITS` planes of balanced radix-2^32 digits, for [`super::dot::dot_i16`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitVector<const DIGITS: usize> {
    planes: [Vec<i32>; DIGITS],
}

/// A vector of challenges, or of public integers of that size.
pub type ChallengeDigits = DigitVector<CHALLENGE_DIGITS>;

/// A vector of sums of rows weighted by challenges: magnitudes below 2^(126 + 15 + 48) = 2^189.
pub type CombinationDigits = DigitVector<6>;

impl<const DIGITS: usize> DigitVector<DIGITS> {
    /// The vector with these planes, all of one length.
    pub(crate) fn from_planes(planes: [Vec<i32>; DIGITS]) -> Self {
        debug_assert!(planes.iter().all(|plane| plane.len() == planes[0].len()));
        Self { planes }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.planes[0].len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.planes[0].is_empty()
    }

    /// Digit j of every entry, for each j.
    pub(crate) fn planes(&self) -> &[Vec<i32>; DIGITS] {
        &self.planes
    }
}

impl ChallengeDigits {
    /// The digits of challenges.
    ///
    /// # Panics
    /// If a challenge is not below 2^126.
    pub fn from_challenges(challenges: &[u128]) -> Self {
        let digits: Vec<_> = challenges.iter().map(|&challenge| challenge_digits(challenge)).collect();
        Self::from_planes(std::array::from_fn(|j| digits.iter().map(|entry| entry[j]).collect()))
    }
}

/// Limbs of a challenge in radix 2^52: 52 + 52 + 22 bits.
pub(crate) const CHALLENGE_LIMBS: usize = 3;

/// A vector of challenges as three planes of unsigned limbs in radix 2^52, for [`super::dot::dot_i64`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChallengeVector {
    planes: [Vec<u64>; CHALLENGE_LIMBS],
}

impl ChallengeVector {
    /// The limbs of challenges.
    ///
    /// # Panics
    /// If a challenge is not below 2^126.
    pub fn new(challenges: &[u128]) -> Self {
        challenges.iter().copied().for_each(assert_challenge);
        let plane = |j: usize| {
            challenges.iter().map(|challenge| (challenge >> (52 * j)) as u64 & ((1 << 52) - 1)).collect()
        };
        Self { planes: std::array::from_fn(plane) }
    }

    /// The number of challenges.
    pub fn len(&self) -> usize {
        self.planes[0].len()
    }

    /// Whether there are no challenges.
    pub fn is_empty(&self) -> bool {
        self.planes[0].is_empty()
    }

    /// Limb j of every challenge, for each j.
    pub(crate) fn planes(&self) -> &[Vec<u64>; CHALLENGE_LIMBS] {
        &self.planes
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::{AdditiveGroup, Field};
    use proptest::prelude::*;

    use super::*;

    fn value(digits: &[i32]) -> Scalar {
        let radix = Scalar::from(1u64 << 32);
        digits.iter().rev().fold(Scalar::ZERO, |sum, &digit| sum * radix + Scalar::from(digit))
    }

    #[test]
    fn digits_of_extreme_coefficients() {
        for challenge in [0, 1, (1 << 126) - 1, 1 << 31, (1 << 63) - 1, 0x7fff_ffff_8000_0000_7fff_ffff] {
            assert_eq!(value(&challenge_digits(challenge)), Scalar::from(challenge));
        }
        let largest_representation = Scalar::new_unchecked((-Scalar::ONE).into_bigint());
        assert_eq!(value(&montgomery_digits(&largest_representation)), -Scalar::ONE);
    }

    #[test]
    #[should_panic(expected = "a challenge is below 2^126")]
    fn a_larger_challenge_is_refused() {
        ChallengeVector::new(&[1 << 126]);
    }

    proptest! {
        #[test]
        fn digits_sum_to_the_value(challenge in 0u128..1 << 126, limbs: [u64; 4]) {
            prop_assert_eq!(value(&challenge_digits(challenge)), Scalar::from(challenge));
            let scalar = limbs.iter().fold(Scalar::ONE, |product, &limb| product * Scalar::from(limb) + Scalar::ONE);
            let representation = Scalar::from(scalar.0);
            prop_assert_eq!(value(&montgomery_digits(&scalar)), representation);
        }
    }
}
