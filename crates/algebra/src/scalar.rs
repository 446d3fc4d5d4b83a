//! Scalars: the field of integers modulo the group order l, its canonical bytes and its way to the group.
//!
//! Arithmetic is arkworks' (a multiplication takes a fifth of the time of curve25519-dalek's `Scalar`); the group
//! keeps its own type, and [`to_group`] is the only bridge. None of it is constant-time.

use ark_ff::{BigInt, PrimeField};

use crate::Scalar;

/// Length of the canonical encoding of a scalar: 32 bytes, little-endian, below l.
pub const SCALAR_BYTES: usize = 32;

/// The canonical encoding of a scalar.
pub fn to_bytes(scalar: &Scalar) -> [u8; SCALAR_BYTES] {
    let mut bytes = [0; SCALAR_BYTES];
    for (chunk, limb) in bytes.chunks_exact_mut(8).zip(scalar.into_bigint().0) {
        chunk.copy_from_slice(&limb.to_le_bytes());
    }
    bytes
}

/// Reads a canonical encoding; `None` when the integer is not below l.
pub fn from_canonical_bytes(bytes: &[u8; SCALAR_BYTES]) -> Option<Scalar> {
    Scalar::from_bigint(BigInt(limbs(bytes)))
}

/// Reduces 512 uniform bits modulo l; the result is within 2^-256 of uniform.
pub fn from_uniform_bytes(bytes: &[u8; 64]) -> Scalar {
    let reduced = curve25519_dalek::Scalar::from_bytes_mod_order_wide(bytes).to_bytes();
    // dalek's scalars are reduced, so the conversion below never takes its default.
    from_canonical_bytes(&reduced).unwrap_or_default()
}

/// A challenge below 2^126 as a scalar.
pub fn from_challenge(challenge: u128) -> Scalar {
    Scalar::from(challenge)
}

/// The same scalar in the type that the group multiplies by.
pub fn to_group(scalar: &Scalar) -> curve25519_dalek::Scalar {
    curve25519_dalek::Scalar::from_bytes_mod_order(to_bytes(scalar))
}

fn limbs(bytes: &[u8; SCALAR_BYTES]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *limb = u64::from_le_bytes(*chunk);
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_fields_are_the_same_field(a in any::<[u8; 64]>(), b in any::<[u8; 64]>()) {
            let (x, y) = (from_uniform_bytes(&a), from_uniform_bytes(&b));
            prop_assert_eq!(to_group(&(x * y + x)), to_group(&x) * to_group(&y) + to_group(&x));
            prop_assert_eq!(from_canonical_bytes(&to_bytes(&x)), Some(x));
        }
    }

    #[test]
    fn integers_from_the_order_up_are_refused() {
        let largest = to_bytes(&-Scalar::from(1u8));
        assert!(from_canonical_bytes(&largest).is_some());
        let mut order = largest;
        order[0] += 1;
        assert_eq!(from_canonical_bytes(&order), None);
        assert_eq!(from_canonical_bytes(&[0xff; 32]), None);
    }
}
