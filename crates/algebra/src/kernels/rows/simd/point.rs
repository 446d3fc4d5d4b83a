//! Eight curve points at a time: complete additions on the twisted Edwards curve `-x^2 + y^2 = 1 + d x^2 y^2`.
//!
//! The formulas are those of Hisil, Wong, Carter and Dawson (2008), section 3.1, for a = -1. Since -1 is a square and d is
//! not, they hold for every pair of points of the curve: equal, opposite, the identity or of small order.

use std::arch::x86_64::*;

use super::field::{Field8, Limbs};

/// 2 d, d = -121665/121666.
const TWICE_D: Limbs = [0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff];

/// Eight points `(x, y) = (X/Z, Y/Z)`, T = XY/Z. Y - X and Y + X stand for X and Y, as an addition needs only those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point8 {
    pub(super) y_minus_x: Field8,
    pub(super) y_plus_x: Field8,
    pub(super) z: Field8,
    pub(super) t: Field8,
}

/// Eight points to add: `y - x`, `y + x` and `2 d x y` of affine coordinates. `twice_dxy` may be loose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Niels8 {
    pub(super) y_minus_x: Field8,
    pub(super) y_plus_x: Field8,
    pub(super) twice_dxy: Field8,
}

/// One [`Niels8`] lane in memory: limbs of `y - x`, of `y + x`, of `2 d x y`, and one limb that is zero. Two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(128))]
pub(super) struct Entry([u64; 16]);

impl Entry {
    /// The identity, x = 0 and y = 1.
    pub(super) const IDENTITY: Self = Self([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

impl Point8 {
    /// The identity in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn identity() -> Self {
        Self { y_minus_x: Field8::one(), y_plus_x: Field8::one(), z: Field8::one(), t: Field8::zero() }
    }

    /// `self += other`: seven multiplications.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add(&mut self, other: &Niels8) {
        let a = self.y_minus_x.product(other.y_minus_x);
        let b = self.y_plus_x.product(other.y_plus_x);
        let (e, h) = (b.minus(a).carry(), b.plus(a).carry());
        let c = self.t.product(other.twice_dxy);
        let d = self.z.columns().plus(self.z.columns());
        let (f, g) = (d.minus(c).carry(), d.plus(c).carry());
        *self = Self::from_efgh(e, f, g, h);
    }

    /// `self + other`: nine multiplications.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn plus(&self, other: &Self) -> Self {
        let a = self.y_minus_x.product(other.y_minus_x);
        let b = self.y_plus_x.product(other.y_plus_x);
        let c = self.t.product(other.t.times(Field8::splat(TWICE_D)));
        let d = self.z.product(other.z.plus(other.z));
        let (e, h) = (b.minus(a).carry(), b.plus(a).carry());
        let (f, g) = (d.minus(c).carry(), d.plus(c).carry());
        Self::from_efgh(e, f, g, h)
    }

    /// X = EF, Y = GH, Z = FG, T = EH.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn from_efgh(e: Field8, f: Field8, g: Field8, h: Field8) -> Self {
        let x = e.product(f);
        let y = g.product(h);
        Self { y_minus_x: y.minus(x).carry(), y_plus_x: y.plus(x).carry(), z: f.times(g), t: e.times(h) }
    }

    /// The points for additions, given `1/Z`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn to_niels(self, inverse_z: Field8) -> Niels8 {
        Niels8 {
            y_minus_x: self.y_minus_x.times(inverse_z),
            y_plus_x: self.y_plus_x.times(inverse_z),
            twice_dxy: self.t.times(inverse_z).times(Field8::splat(TWICE_D)),
        }
    }
}

impl Niels8 {
    /// The points with affine coordinates (x, y).
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_affine(x: Field8, y: Field8) -> Self {
        let twice_dxy = x.times(y).times(Field8::splat(TWICE_D));
        Self { y_minus_x: y.minus(x), y_plus_x: y.plus(x), twice_dxy }
    }

    /// One entry a lane, negated in the lanes of `negative`.
    ///
    /// Entries are written by [`Niels8::to_entries`], or are the identity, so their limbs are tight.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_entries(entries: &[&Entry; 8], negative: __mmask8) -> Self {
        let (mut first, mut second) = ([_mm512_setzero_si512(); 8], [_mm512_setzero_si512(); 8]);
        for lane in 0..8 {
            let words = entries[lane].0.as_ptr();
            // SAFETY: an entry is 128 readable bytes, and aligned to them: both halves are aligned vectors.
            unsafe {
                first[lane] = _mm512_load_si512(words.cast());
                second[lane] = _mm512_load_si512(words.add(8).cast());
            }
        }
        let (first, second) = (transpose(first), transpose(second));
        let y_minus_x = Field8::from_planes([first[0], first[1], first[2], first[3], first[4]]);
        let y_plus_x = Field8::from_planes([first[5], first[6], first[7], second[0], second[1]]);
        let twice_dxy = Field8::from_planes([second[2], second[3], second[4], second[5], second[6]]);
        // -(x, y) = (-x, y): y - x and y + x change places.
        Self {
            y_minus_x: y_minus_x.or_else(y_plus_x, negative),
            y_plus_x: y_plus_x.or_else(y_minus_x, negative),
            twice_dxy: twice_dxy.negate_lanes(negative),
        }
    }

    /// Each lane as an entry. All three must be tight.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn to_entries(self) -> [Entry; 8] {
        let (m, p, t) = (self.y_minus_x.planes(), self.y_plus_x.planes(), self.twice_dxy.planes());
        let first = transpose([m[0], m[1], m[2], m[3], m[4], p[0], p[1], p[2]]);
        let second = transpose([p[3], p[4], t[0], t[1], t[2], t[3], t[4], _mm512_setzero_si512()]);
        let mut entries = [Entry::IDENTITY; 8];
        for ((entry, first), second) in entries.iter_mut().zip(first).zip(second) {
            let words = entry.0.as_mut_ptr();
            // SAFETY: an entry is 128 writable bytes, and aligned to them: both halves are aligned vectors.
            unsafe {
                _mm512_store_si512(words.cast(), first);
                _mm512_store_si512(words.add(8).cast(), second);
            }
        }
        entries
    }
}

/// Word j of vector i becomes word i of vector j.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn transpose([a, b, c, d, e, f, g, h]: [__m512i; 8]) -> [__m512i; 8] {
    let [c0, c2, c4, c6] = transpose_quarters([
        _mm512_unpacklo_epi64(a, b),
        _mm512_unpacklo_epi64(c, d),
        _mm512_unpacklo_epi64(e, f),
        _mm512_unpacklo_epi64(g, h),
    ]);
    let [c1, c3, c5, c7] = transpose_quarters([
        _mm512_unpackhi_epi64(a, b),
        _mm512_unpackhi_epi64(c, d),
        _mm512_unpackhi_epi64(e, f),
        _mm512_unpackhi_epi64(g, h),
    ]);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Quarter j (128 bits) of vector i becomes quarter i of vector j.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn transpose_quarters([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let even = [_mm512_shuffle_i64x2::<EVEN>(a, b), _mm512_shuffle_i64x2::<EVEN>(c, d)];
    let odd = [_mm512_shuffle_i64x2::<ODD>(a, b), _mm512_shuffle_i64x2::<ODD>(c, d)];
    [
        _mm512_shuffle_i64x2::<EVEN>(even[0], even[1]),
        _mm512_shuffle_i64x2::<EVEN>(odd[0], odd[1]),
        _mm512_shuffle_i64x2::<ODD>(even[0], even[1]),
        _mm512_shuffle_i64x2::<ODD>(odd[0], odd[1]),
    ]
}
