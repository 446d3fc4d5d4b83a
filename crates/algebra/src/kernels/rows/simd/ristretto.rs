//! The way between ristretto255 encodings and coordinates, eight at a time: RFC 9496, 4.3.1 and 4.3.2.
//!
//! `curve25519-dalek` shows no coordinates, so its canonical encodings are the way in, and on the way out it decodes what is
//! encoded here, and so checks it.

use super::field::{Field8, Limbs, SQRT_MINUS_ONE, limbs_from_bytes, limbs_to_bytes};
use super::point::{Niels8, Point8};

/// d = -121665/121666.
const D: Limbs = [0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff];

/// 1/sqrt(a - d) with a = -1, the non-negative root.
const INVERSE_SQRT_A_MINUS_D: Limbs =
    [0xfdaa805d40ea, 0x2eb482e57d339, 0x7610274bc58, 0x6510b613dc8ff, 0x786c8905cfaff];

/// The points of eight valid encodings. What an invalid encoding gives is not a point.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn decode(encodings: &[[u8; 32]; 8]) -> Niels8 {
    let s = Field8::from_lanes(&encodings.map(|encoding| limbs_from_bytes(&encoding)));
    let one = Field8::one();
    let s_squared = s.times(s);
    let u1 = one.minus(s_squared);
    let u2 = one.plus(s_squared);
    let u2_squared = u2.times(u2);
    let v = Field8::zero().minus(Field8::splat(D).times(u1).times(u1)).minus(u2_squared);
    let inverse_root = v.times(u2_squared).inverse_sqrt();
    let x_denominator = inverse_root.times(u2);
    let y_denominator = inverse_root.times(x_denominator).times(v);
    let x = s.plus(s).times(x_denominator).absolute();
    Niels8::from_affine(x, u1.times(y_denominator))
}

/// The canonical encodings of eight points.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) fn encode(point: &Point8) -> [[u8; 32]; 8] {
    // 2X, 2Y, 2Z, 2T are coordinates of the same point.
    let x = point.y_plus_x.minus(point.y_minus_x);
    let y = point.y_plus_x.plus(point.y_minus_x);
    let z = point.z.plus(point.z);
    let t = point.t.plus(point.t);

    let u1 = z.plus(y).times(z.minus(y));
    let u2 = x.times(y);
    let inverse_root = u1.times(u2.times(u2)).inverse_sqrt();
    let denominator_1 = inverse_root.times(u1);
    let denominator_2 = inverse_root.times(u2);
    let inverse_z = denominator_1.times(denominator_2).times(t);
    let sqrt_minus_one = Field8::splat(SQRT_MINUS_ONE);
    let rotate = t.times(inverse_z).negative();
    let rotated_denominator = denominator_1.times(Field8::splat(INVERSE_SQRT_A_MINUS_D));
    let rotated_x = x.or_else(y.times(sqrt_minus_one), rotate);
    let rotated_y = y.or_else(x.times(sqrt_minus_one), rotate);
    let denominator = denominator_2.or_else(rotated_denominator, rotate);
    let y = rotated_y.negated_in(rotated_x.times(inverse_z).negative());
    let s = denominator.times(z.minus(y)).absolute();
    s.canonical().to_lanes().map(|limbs| limbs_to_bytes(&limbs))
}
