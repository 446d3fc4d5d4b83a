//! Signed 320-bit integers: exact sums of the integer kernels, and their reduction to scalars.
//!
//! The kernels compute over the integers and reduce modulo l once for each result. 320 bits hold every sum they
//! make: the largest, 2^48 rows of int16 weighted by scalars, stays below 2^(253 + 15 + 48) = 2^316.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use ark_ff::BigInt;

use crate::Scalar;

/// c in l = 2^252 + c, least significant limb first.
const C: [u64; 2] = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6];

/// l = 2^252 + c, least significant limb first.
pub(crate) const L: [u64; 4] = [C[0], C[1], 0, 1 << 60];

/// The scalar R = 2^256 mod l: the factor that [`Wide::to_scalar_over_r`] leaves out.
pub const MONTGOMERY_R: Scalar = Scalar::new_unchecked(Scalar::R2);

/// A signed integer of 320 bits in two's complement, least significant limb first. Arithmetic wraps modulo 2^320.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wide([u64; 5]);

impl Wide {
    /// Zero.
    pub const ZERO: Self = Self([0; 5]);

    /// The integer with these two's complement limbs, least significant first.
    pub const fn from_limbs(limbs: [u64; 5]) -> Self {
        Self(limbs)
    }

    /// The two's complement limbs, least significant first.
    pub const fn limbs(&self) -> [u64; 5] {
        self.0
    }

    /// Adds `value * 2^bits`, for `bits` below 320.
    #[inline]
    pub fn add_shifted(&mut self, value: i128, bits: u32) {
        let (first, shift) = ((bits / 64) as usize, bits % 64);
        let sign = (value >> 127) as u64;
        let low = (value as u64) << shift;
        // Shifting by 64 - shift in two steps, because shift may be zero.
        let middle = (((value as u128) << shift) >> 64) as u64;
        let high = (((value >> 64) >> 1) >> (63 - shift)) as u64;
        let mut carry = false;
        for (position, limb) in self.0.iter_mut().skip(first).enumerate() {
            let addend = match position {
                0 => low,
                1 => middle,
                2 => high,
                _ => sign,
            };
            (*limb, carry) = limb.carrying_add(addend, carry);
        }
    }

    /// `sum_j digits[j] * 2^(32 j)` for at most nine digits, each of magnitude at most 2^62 + 2^32.
    ///
    /// A carry is then at most 2^30 + 2, so that digit plus carry stays inside `i64`; and the sum is below
    /// 2^(256 + 62 + 1) = 2^319.
    #[inline]
    pub(crate) fn from_digit_sums(digits: impl IntoIterator<Item = i64>) -> Self {
        let mut halves = [0u32; 10];
        let mut carry = 0i64;
        let mut digits = digits.into_iter();
        for half in &mut halves {
            let sum = digits.next().unwrap_or(0) + carry;
            *half = sum as u32;
            carry = sum >> 32;
        }
        debug_assert!(digits.next().is_none(), "more digits than a 320-bit integer holds");
        let mut limbs = [0; 5];
        for (limb, pair) in limbs.iter_mut().zip(halves.as_chunks::<2>().0) {
            *limb = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        }
        Self(limbs)
    }

    /// The value modulo l.
    #[inline]
    pub fn to_scalar(&self) -> Scalar {
        self.to_scalar_over_r() * MONTGOMERY_R
    }

    /// The value divided by R = 2^256, modulo l: the scalar whose *Montgomery representation* is the value mod l.
    ///
    /// It costs no multiplication. A table whose entries all come from here is the true table times R^-1, so one
    /// multiplication of a final result by [`MONTGOMERY_R`] puts the factor back. Conversely, where the
    /// coefficients of a sum were themselves Montgomery representations, this is the true value.
    #[inline]
    pub fn to_scalar_over_r(&self) -> Scalar {
        Scalar::new_unchecked(BigInt(self.residue()))
    }

    /// The value times a challenge, modulo l.
    ///
    /// The exact product may need more than 320 bits (2^205 times 2^126), so it is formed in the field.
    pub fn times_challenge(&self, challenge: u128) -> Scalar {
        self.to_scalar() * Scalar::from(challenge)
    }

    /// The representative of the value in [0, l).
    ///
    /// Write x = hi 2^252 + lo with 0 <= lo < 2^252 and -2^67 <= hi < 2^67. As 2^252 = -c mod l, x = lo - hi c.
    /// With c < 2^125, |hi c| <= 2^192, so lo - hi c lies in (-2^192, 2^252 + 2^192), inside (-l, 2 l): adding l
    /// where it is negative and then subtracting l where it is at least l reaches [0, l). No branch depends on
    /// the value.
    #[inline]
    fn residue(&self) -> [u64; 4] {
        let [x0, x1, x2, x3, x4] = self.0;
        let high = (i128::from(x4 as i64) << 4) | i128::from(x3 >> 60);
        let low = [x0, x1, x2, x3 & ((1 << 60) - 1)];

        let magnitude = high.unsigned_abs();
        let (m0, m1) = (magnitude as u64, (magnitude >> 64) as u64);
        let (p0, carry) = m0.carrying_mul(C[0], 0);
        let (p1, p2) = m0.carrying_mul(C[1], carry);
        let (p1, carry) = m1.carrying_mul_add(C[0], p1, 0);
        let (p2, p3) = m1.carrying_mul_add(C[1], p2, carry);

        // -high c in two's complement: the product is negated where `high` is positive or zero.
        let negate = !((high >> 127) as u64);
        let product = [p0, p1, p2, p3].map(|limb| limb ^ negate);
        let sum = add(low, product, negate & 1 == 1);
        let sum = add(sum, L.map(|limb| limb & sign_mask(sum)), false);
        let reduced = add(sum, L.map(|limb| !limb), true);
        let keep = sign_mask(reduced);
        std::array::from_fn(|i| (sum[i] & keep) | (reduced[i] & !keep))
    }
}

/// The sum of two 256-bit integers and a carry, modulo 2^256.
#[inline]
fn add(left: [u64; 4], right: [u64; 4], mut carry: bool) -> [u64; 4] {
    let mut sum = [0; 4];
    for ((out, left), right) in sum.iter_mut().zip(left).zip(right) {
        (*out, carry) = left.carrying_add(right, carry);
    }
    sum
}

/// All ones where a two's complement 256-bit integer is negative, otherwise zero.
#[inline]
fn sign_mask(value: [u64; 4]) -> u64 {
    ((value[3] as i64) >> 63) as u64
}

impl From<i128> for Wide {
    fn from(value: i128) -> Self {
        let sign = (value >> 127) as u64;
        Self([value as u64, (value >> 64) as u64, sign, sign, sign])
    }
}

impl From<i64> for Wide {
    fn from(value: i64) -> Self {
        Self::from(i128::from(value))
    }
}

impl AddAssign for Wide {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        let mut carry = false;
        for (limb, addend) in self.0.iter_mut().zip(other.0) {
            (*limb, carry) = limb.carrying_add(addend, carry);
        }
    }
}

impl Add for Wide {
    type Output = Self;

    #[inline]
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Neg for Wide {
    type Output = Self;

    #[inline]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl SubAssign for Wide {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        let mut borrow = false;
        for (limb, subtrahend) in self.0.iter_mut().zip(other.0) {
            (*limb, borrow) = limb.borrowing_sub(subtrahend, borrow);
        }
    }
}

impl Sub for Wide {
    type Output = Self;

    #[inline]
    fn sub(mut self, other: Self) -> Self {
        self -= other;
        self
    }
}

impl Sum for Wide {
    fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
        values.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::{AdditiveGroup, Field, PrimeField};
    use proptest::prelude::*;

    use super::*;

    /// The value mod l by Horner's rule over bytes in the field, with the sign limb's weight negative.
    fn slow(value: &Wide) -> Scalar {
        let limbs = value.limbs();
        let unsigned = limbs.iter().rev().fold(Scalar::ZERO, |sum, &limb| {
            limb.to_be_bytes()
                .iter()
                .fold(sum, |sum, &byte| sum * Scalar::from(256u64) + Scalar::from(u64::from(byte)))
        });
        let negative = (limbs[4] as i64) < 0;
        if negative { unsigned - Scalar::from(2u64).pow([320]) } else { unsigned }
    }

    fn check(value: Wide) {
        let expected = slow(&value);
        assert_eq!(value.to_scalar(), expected, "{value:x?}");
        assert_eq!(value.to_scalar_over_r() * MONTGOMERY_R, expected, "{value:x?}");
        // A field element outside [0, l) would compare unequal to itself in other places.
        assert!(value.to_scalar_over_r().0 < Scalar::MODULUS, "{value:x?}");
    }

    #[test]
    fn the_constants_are_those_of_the_field() {
        assert_eq!(Scalar::MODULUS, BigInt(L));
        assert_eq!(MONTGOMERY_R, Scalar::from(2u64).pow([256]));
    }

    #[test]
    fn extremes_reduce_exactly() {
        let top = |limb: u64| Wide::from_limbs([0, 0, 0, 0, limb]);
        let l = Wide::from_limbs([L[0], L[1], L[2], L[3], 0]);
        let one = Wide::from(1i64);
        let largest = top(1 << 63) - one;
        let mut corners = vec![Wide::ZERO, one, -one, l, l - one, l + one, -l, l + l, l + l - one, -l - l];
        corners.extend([top(1 << 63), largest, top(u64::MAX), top(1), largest - l, top(1 << 63) + l]);
        for bits in [251, 252, 253, 255, 256, 257, 316, 318] {
            let mut power = Wide::ZERO;
            power.add_shifted(1, bits);
            corners.extend([power, -power, power - one, -power - one, power + l, power - l, -power + l]);
            // The largest lower part beside this upper part, and the smallest.
            corners.push(power + Wide::from_limbs([u64::MAX, u64::MAX, u64::MAX, (1 << 60) - 1, 0]));
        }
        corners.into_iter().for_each(check);
    }

    #[test]
    fn digit_sums_at_their_bound() {
        for digit in [1i64 << 62, -(1 << 62)] {
            for count in 0..=9usize {
                let mut expected = Wide::ZERO;
                for j in 0..count {
                    expected.add_shifted(i128::from(digit), 32 * j as u32);
                }
                assert_eq!(Wide::from_digit_sums(std::iter::repeat_n(digit, count)), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn reduction_agrees_with_the_field(limbs: [u64; 5], sign_extended in 0usize..5) {
            let mut limbs = limbs;
            check(Wide::from_limbs(limbs));
            let sign = if limbs[4] & 1 == 0 { 0 } else { u64::MAX };
            limbs[sign_extended..].fill(sign);
            check(Wide::from_limbs(limbs));
        }

        #[test]
        fn arithmetic_agrees_with_the_field(a: [u64; 4], b: i128, bits in 0u32..192, challenge in 0u128..1 << 126) {
            let a = Wide::from_limbs([a[0], a[1], a[2], a[3], (a[3] as i64 >> 63) as u64]);
            let mut sum = a;
            sum.add_shifted(b, bits);
            let shifted = slow(&Wide::from(b)) * Scalar::from(2u64).pow([u64::from(bits)]);
            prop_assert_eq!(slow(&sum), slow(&a) + shifted);
            prop_assert_eq!(slow(&(a - Wide::from(b))), slow(&a) - slow(&Wide::from(b)));
            prop_assert_eq!(slow(&-a), -slow(&a));
            prop_assert_eq!(a.times_challenge(challenge), slow(&a) * Scalar::from(challenge));
        }

        #[test]
        fn shifts_beyond_the_top_wrap(a: i128, bits in 192u32..320) {
            let mut once = Wide::ZERO;
            once.add_shifted(a, bits);
            let mut doubled = Wide::ZERO;
            doubled.add_shifted(a, bits - 1);
            prop_assert_eq!(once, doubled + doubled);
        }
    }
}
