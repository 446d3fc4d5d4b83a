//! Eight scalars side by side in AVX-512 IFMA: the Montgomery representations of arkworks in radix 2^52.
//!
//! # Representation and bounds
//! A lane holds an integer `x = sum_i x_i 2^(52 i)` with five limbs; l = 2^252 + c has the limbs [`L`], whose fourth is
//! zero. IFMA multiplies the low 52 bits of its operands and nothing else, which is used twice: an operand may carry
//! anything above bit 52, and a limb that has just been carried from need not be masked.
//!
//! | type | limbs | value |
//! |---|---|---|
//! | [`Lanes`] | the low 52 bits count, bits above are left over | below 2 l |
//! | [`Canonical`] | 52 bits each | below l |
//! | [`Columns`] | ten sums of halves of limb products, below 2^64 | what they add up to |
//!
//! Representations are in R = 2^256, reductions in 2^260, the radix that five limbs suggest; the factor 2^4 between
//! the two goes into the multiplier, once for a whole vector.

use std::arch::x86_64::*;

use ark_ff::BigInt;

use crate::Scalar;
use crate::wide::{self, Wide};

/// Scalars that are handled side by side.
pub(in crate::kernels) const LANES: usize = 8;

/// Limbs of a lane.
const LIMBS: usize = 5;

/// The low 52 bits.
const MASK: i64 = (1 << 52) - 1;

/// l in radix 2^52.
const L: [i64; LIMBS] = {
    let [w0, w1, w2, w3] = wide::L;
    let limbs = [w0, w0 >> 52 | w1 << 12, w1 >> 40 | w2 << 24, w2 >> 28 | w3 << 36, w3 >> 16];
    let mut signed = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        signed[i] = limbs[i] as i64 & MASK;
        i += 1;
    }
    signed
};

/// The multiples 0, 1, .. 7 of the three lowest limbs of l, which are c: below 2^55.
const MULTIPLES_OF_C: [[i64; 8]; 3] = {
    let mut multiples = [[0; 8]; 3];
    let mut limb = 0;
    while limb < 3 {
        let mut factor = 0;
        while factor < 8 {
            multiples[limb][factor] = L[limb] * factor as i64;
            factor += 1;
        }
        limb += 1;
    }
    multiples
};

/// `-1 / l` modulo 2^52, by Newton's iteration, which doubles the bits that are right: 5, 10, 20, 40, 80.
const MINUS_INVERSE: i64 = {
    let l = L[0] as u64;
    let mut inverse = l.wrapping_mul(3) ^ 2;
    let mut step = 0;
    while step < 4 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(l.wrapping_mul(inverse)));
        step += 1;
    }
    inverse.wrapping_neg() as i64 & MASK
};

// A scalar is the four limbs of its representation and nothing else, so eight of them are 32 words in a row.
const _: () = assert!(size_of::<Scalar>() == 32 && std::mem::offset_of!(Scalar, 0) == 0);
const _: () = assert!(size_of::<BigInt<4>>() == 32 && std::mem::offset_of!(BigInt<4>, 0) == 0);

/// Eight integers below 2 l.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Lanes([__m512i; LIMBS]);

/// Columns of a product of two integers of five limbs: lower and upper halves of `x_i y_j` go to `i + j` and
/// `i + j + 1`.
const COLUMNS: usize = 2 * LIMBS;

/// Halves of limb products that one product adds to the fullest column, the middle one: five lower, four upper.
const HALVES_PER_COLUMN: u128 = 9;

/// Sums of products, lane by lane: column k weighs 2^(52 k).
#[derive(Clone, Copy)]
pub(super) struct Columns([__m512i; COLUMNS]);

impl Lanes {
    /// Eight representations.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn load(values: &[Scalar; LANES]) -> Self {
        Self::from_words(Self::words(values))
    }

    /// The four words of eight representations, in the order a c b d e g f h, which the store undoes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn words(values: &[Scalar; LANES]) -> [__m512i; 4] {
        let words = values.as_ptr().cast::<__m512i>();
        // SAFETY: eight scalars are 256 bytes, four vectors; a load asks for no alignment.
        let (ab, cd, ef, gh) = unsafe {
            (
                _mm512_loadu_si512(words),
                _mm512_loadu_si512(words.add(1)),
                _mm512_loadu_si512(words.add(2)),
                _mm512_loadu_si512(words.add(3)),
            )
        };
        // ab holds the words a0 a1 a2 a3 b0 b1 b2 b3.
        let (acbd_02, acbd_13) = (_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        let (egfh_02, egfh_13) = (_mm512_unpacklo_epi64(ef, gh), _mm512_unpackhi_epi64(ef, gh));
        let w0 = _mm512_shuffle_i64x2::<0b10_00_10_00>(acbd_02, egfh_02);
        let w1 = _mm512_shuffle_i64x2::<0b10_00_10_00>(acbd_13, egfh_13);
        let w2 = _mm512_shuffle_i64x2::<0b11_01_11_01>(acbd_02, egfh_02);
        let w3 = _mm512_shuffle_i64x2::<0b11_01_11_01>(acbd_13, egfh_13);
        [w0, w1, w2, w3]
    }

    /// From 256-bit integers, given as four words.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn from_words([w0, w1, w2, w3]: [__m512i; 4]) -> Self {
        Self([
            _mm512_and_si512(w0, _mm512_set1_epi64(MASK)),
            either_masked(_mm512_srli_epi64::<52>(w0), _mm512_slli_epi64::<12>(w1)),
            either_masked(_mm512_srli_epi64::<40>(w1), _mm512_slli_epi64::<24>(w2)),
            either_masked(_mm512_srli_epi64::<28>(w2), _mm512_slli_epi64::<36>(w3)),
            _mm512_srli_epi64::<16>(w3),
        ])
    }

    /// Eight representations, each times 16: the factor that a reduction by 2^260 takes off again. Below 2^4 l, which five limbs
    /// hold.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn load_times_16(values: &[Scalar; LANES]) -> Self {
        let [w0, w1, w2, w3] = Self::words(values);
        Self([
            _mm512_slli_epi64::<4>(w0),
            _mm512_or_si512(_mm512_srli_epi64::<48>(w0), _mm512_slli_epi64::<16>(w1)),
            _mm512_or_si512(_mm512_srli_epi64::<36>(w1), _mm512_slli_epi64::<28>(w2)),
            _mm512_or_si512(_mm512_srli_epi64::<24>(w2), _mm512_slli_epi64::<40>(w3)),
            _mm512_srli_epi64::<12>(w3),
        ])
    }

    /// The sums of two representations each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn sum(self, other: Self) -> Canonical {
        let mut limbs = [_mm512_setzero_si512(); LIMBS];
        for i in 0..LIMBS {
            limbs[i] = _mm512_sub_epi64(_mm512_add_epi64(self.0[i], other.0[i]), _mm512_set1_epi64(L[i]));
        }
        let [sum] = Canonical::from_signed([limbs]);
        sum
    }

    /// Zero in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); LIMBS])
    }

    /// The same representation in every lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn splat(value: Scalar) -> Self {
        Self::load(&[value; LANES])
    }

    /// `self - other + l`, for representations: positive and below 2 l.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn minus(self, other: Self) -> Self {
        let mut limbs = [_mm512_setzero_si512(); LIMBS];
        let mut carry = _mm512_setzero_si512();
        for i in 0..LIMBS {
            let difference = _mm512_sub_epi64(self.0[i], other.0[i]);
            let sum = _mm512_add_epi64(_mm512_add_epi64(difference, _mm512_set1_epi64(L[i])), carry);
            carry = _mm512_srai_epi64::<52>(sum);
            limbs[i] = sum;
        }
        Self(limbs)
    }
}

/// A scalar minus multiples of at most four scalars by integers below 2^34: `base - sum_j factors[j] * small_j`.
#[derive(Clone, Copy)]
pub(super) struct SmallCombination<const N: usize> {
    /// `base + 2 l`, limb by limb.
    base: [__m512i; LIMBS],
    factors: [Lanes; N],
}

impl<const N: usize> SmallCombination<N> {
    /// For one to four factors.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn new(base: Scalar, factors: [Scalar; N]) -> Self {
        const { assert!(N <= 4) };
        let mut lanes = [Lanes::zero(); N];
        for (lanes, factor) in lanes.iter_mut().zip(factors) {
            *lanes = Lanes::splat(factor);
        }
        let Lanes(mut base) = Lanes::splat(base);
        for i in 0..LIMBS {
            base[i] = _mm512_add_epi64(base[i], _mm512_set1_epi64(2 * L[i]));
        }
        Self { base, factors: lanes }
    }

    /// The difference as an operand, below `3 l + 2^162`, with 52 bits a limb.
    ///
    /// The multiples sum to S, below `4 * 2^34 * 2^253 = 2^289`, in six limbs of at most eight halves each, not carried. With
    /// `hi`, below 2^37, the bits from 252 on of the upper two limbs, floor(S / 2^252) is hi or one more, because what is carried
    /// from below is less than 2^4 in the limb at 2^208. So `S - hi l = (S - hi 2^252) - hi c` lies in (-2^162, 2^253), and
    /// `base + 2 l - (S - hi l)` in (2 c, 3 l + 2^162).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn operand(&self, small: [__m512i; N]) -> Lanes {
        let mut multiples = [_mm512_setzero_si512(); LIMBS + 1];
        for (Lanes(factor), small) in self.factors.iter().zip(small) {
            for i in 0..LIMBS {
                multiples[i] = _mm512_madd52lo_epu64(multiples[i], small, factor[i]);
                multiples[i + 1] = _mm512_madd52hi_epu64(multiples[i + 1], small, factor[i]);
            }
        }
        let high =
            _mm512_add_epi64(_mm512_srli_epi64::<44>(multiples[4]), _mm512_slli_epi64::<8>(multiples[5]));
        multiples[4] = _mm512_and_si512(multiples[4], _mm512_set1_epi64((1 << 44) - 1));
        let mut limbs = self.base;
        for j in 0..3 {
            let c = _mm512_set1_epi64(L[j]);
            limbs[j] = _mm512_madd52lo_epu64(limbs[j], high, c);
            limbs[j + 1] = _mm512_madd52hi_epu64(limbs[j + 1], high, c);
        }
        let mut carry = _mm512_setzero_si512();
        for i in 0..LIMBS {
            let sum = _mm512_add_epi64(_mm512_sub_epi64(limbs[i], multiples[i]), carry);
            carry = _mm512_srai_epi64::<52>(sum);
            limbs[i] = _mm512_and_si512(sum, _mm512_set1_epi64(MASK));
        }
        Lanes(limbs)
    }

    /// The difference in canonical form: with q = floor(operand / 2^252) at most 3, `operand - q l` lies in (-3 c, 2^252).
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn canonical(&self, small: [__m512i; N]) -> Canonical {
        let Lanes(mut limbs) = self.operand(small);
        let q = _mm512_srli_epi64::<44>(limbs[4]);
        for i in 0..3 {
            // SAFETY: the array is one vector; a load asks for no alignment.
            let multiples = unsafe { _mm512_loadu_si512(MULTIPLES_OF_C[i].as_ptr().cast()) };
            limbs[i] = _mm512_sub_epi64(limbs[i], _mm512_permutexvar_epi64(q, multiples));
        }
        limbs[4] = _mm512_sub_epi64(limbs[4], _mm512_slli_epi64::<44>(q));
        let [canonical] = Canonical::from_signed([limbs]);
        canonical
    }
}

/// Eight words, in the order in which [`Lanes::load`] puts scalars.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma,avx512vl")]
pub(super) fn load_words(words: &[u16; LANES]) -> __m512i {
    // SAFETY: eight words are one vector of 128 bits; a load asks for no alignment.
    let words = unsafe { _mm_loadu_si128(words.as_ptr().cast()) };
    let order = _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7);
    _mm512_permutexvar_epi64(order, _mm512_cvtepu16_epi64(words))
}

/// Sums of scalars times small integers, lane by lane: column k weighs 2^(52 k).
#[derive(Clone, Copy)]
pub(super) struct SmallColumns([__m512i; LIMBS + 1]);

impl SmallColumns {
    /// The empty sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); LIMBS + 1])
    }

    /// Adds `scalars * small` for integers below 2^52. A column gains two halves; the caller adds at most 2,047 times.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add(&mut self, scalars: Lanes, small: __m512i) {
        for i in 0..LIMBS {
            self.0[i] = _mm512_madd52lo_epu64(self.0[i], scalars.0[i], small);
            self.0[i + 1] = _mm512_madd52hi_epu64(self.0[i + 1], scalars.0[i], small);
        }
    }

    /// The sum over the lanes, as an integer below `2^253 2^52 2^14`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn total(self) -> Wide {
        let mut total = Wide::ZERO;
        for (column, bits) in self.0.into_iter().zip((0..).step_by(52)) {
            let mut lanes = [0u64; LANES];
            // SAFETY: the array has room for the eight lanes.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), column) };
            total.add_shifted(lanes.into_iter().map(i128::from).sum(), bits);
        }
        total
    }
}

/// Multiplicands that are handled in turns: while one waits for the result of a step, the other advances.
pub(super) const PAIRS: usize = 2;

/// A scalar that many are multiplied by.
#[derive(Clone, Copy)]
pub(super) struct Multiplier(Lanes);

impl Multiplier {
    /// Takes in the factor 2^4, so that a reduction by 2^260 leaves products in R = 2^256.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn new(factor: Scalar) -> Self {
        Self(Lanes::splat(factor * Scalar::from(1u8 << 4)))
    }

    /// `self * lanes + addend` of each pair of [`PAIRS`], for addends below l.
    ///
    /// Montgomery's reduction, a step for each limb of the multiplicand: a step adds the multiple `m l` that clears the
    /// lowest column, and carries what is above bit 52. The five multiples sum to less than 2^260 l, so that what
    /// remains is below `(2 l^2 + 2^260 l) / 2^260 < (1 + 2^-6) l`. A column gathers at most 9 halves from the product,
    /// 8 from the multiples, a carry and a limb, and stays below 2^57.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn times_plus(self, lanes: [Lanes; PAIRS], addends: [Lanes; PAIRS]) -> [Canonical; PAIRS] {
        let Lanes(b) = self.0;
        let mut columns = [[_mm512_setzero_si512(); COLUMNS]; PAIRS];
        let l = [_mm512_set1_epi64(L[0]), _mm512_set1_epi64(L[1]), _mm512_set1_epi64(L[2])];
        let (minus_inverse, l4) = (_mm512_set1_epi64(MINUS_INVERSE), _mm512_set1_epi64(L[4]));
        for i in 0..LIMBS {
            for (columns, Lanes(a)) in columns.iter_mut().zip(&lanes) {
                // Products that do not wait for m stand between its computation and its use.
                columns[i] = _mm512_madd52lo_epu64(columns[i], a[i], b[0]);
                let m = _mm512_madd52lo_epu64(_mm512_setzero_si512(), columns[i], minus_inverse);
                for j in 1..LIMBS {
                    columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], a[i], b[j]);
                    columns[i + j] = _mm512_madd52hi_epu64(columns[i + j], a[i], b[j - 1]);
                }
                columns[i + 5] = _mm512_madd52hi_epu64(columns[i + 5], a[i], b[4]);
                for j in 0..3 {
                    columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], m, l[j]);
                    columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], m, l[j]);
                }
                columns[i + 4] = _mm512_madd52lo_epu64(columns[i + 4], m, l4);
                columns[i + 5] = _mm512_madd52hi_epu64(columns[i + 5], m, l4);
                columns[i + 1] = _mm512_add_epi64(columns[i + 1], _mm512_srli_epi64::<52>(columns[i]));
            }
        }
        let mut sums = [[_mm512_setzero_si512(); LIMBS]; PAIRS];
        for i in 0..LIMBS {
            for pair in 0..PAIRS {
                sums[pair][i] = _mm512_add_epi64(columns[pair][LIMBS + i], addends[pair].0[i]);
            }
        }
        for sum in &mut sums {
            // Take off q l, where q is floor(sum / 2^252) or, just below a multiple of 2^252, one more: the carry into the
            // last limb is that of its neighbour's upper bits or one more. The sum is below 3 l, what remains in [-l, l).
            let carried = _mm512_add_epi64(_mm512_srli_epi64::<52>(sum[3]), _mm512_set1_epi64(1));
            let q = _mm512_srli_epi64::<44>(_mm512_add_epi64(sum[4], carried));
            for i in 0..3 {
                // SAFETY: the array is one vector; a load asks for no alignment.
                let multiples = unsafe { _mm512_loadu_si512(MULTIPLES_OF_C[i].as_ptr().cast()) };
                sum[i] = _mm512_sub_epi64(sum[i], _mm512_permutexvar_epi64(q, multiples));
            }
            sum[4] = _mm512_sub_epi64(sum[4], _mm512_slli_epi64::<44>(q));
        }
        Canonical::from_signed(sums)
    }
}

impl Columns {
    /// Products that the columns have room for: 455 times 9 halves, each of at most 2^52 - 1.
    pub(super) const ROOM: usize = (u64::MAX as u128 / (HALVES_PER_COLUMN * MASK as u128)) as usize;

    /// The empty sum.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn zero() -> Self {
        Self([_mm512_setzero_si512(); COLUMNS])
    }

    /// Adds `left * right`. The caller adds at most [`Columns::ROOM`] products.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn add_product(&mut self, left: Lanes, right: Lanes) {
        for i in 0..LIMBS {
            for j in 0..LIMBS {
                let (low, high) = (self.0[i + j], self.0[i + j + 1]);
                self.0[i + j] = _mm512_madd52lo_epu64(low, left.0[i], right.0[j]);
                self.0[i + j + 1] = _mm512_madd52hi_epu64(high, left.0[i], right.0[j]);
            }
        }
    }

    /// Montgomery's reduction of sums of products, several in turns: `sum / 2^260` modulo l.
    ///
    /// For sums below `32 l^2` what remains is below `l / 8 + l`, because the multiples of l that are added sum to less than
    /// `2^260 l`. Before it, a column holds at most two products, so 18 halves; 8 halves of the multiples and a carry keep it
    /// below 2^57.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn reduce<const N: usize>(mut sums: [Self; N]) -> [[__m512i; LIMBS]; N] {
        let l = [_mm512_set1_epi64(L[0]), _mm512_set1_epi64(L[1]), _mm512_set1_epi64(L[2])];
        let (minus_inverse, l4) = (_mm512_set1_epi64(MINUS_INVERSE), _mm512_set1_epi64(L[4]));
        for i in 0..LIMBS {
            for Self(columns) in &mut sums {
                let m = _mm512_madd52lo_epu64(_mm512_setzero_si512(), columns[i], minus_inverse);
                for j in 0..3 {
                    columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], m, l[j]);
                    columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], m, l[j]);
                }
                columns[i + 4] = _mm512_madd52lo_epu64(columns[i + 4], m, l4);
                columns[i + 5] = _mm512_madd52hi_epu64(columns[i + 5], m, l4);
                columns[i + 1] = _mm512_add_epi64(columns[i + 1], _mm512_srli_epi64::<52>(columns[i]));
            }
        }
        sums.map(|Self(columns)| std::array::from_fn(|i| columns[LIMBS + i]))
    }

    /// The reduced sums as operands: below `(1 + 1/8) l`, and 1/16 of the sums of the products' scalars.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn reduced<const N: usize>(sums: [Self; N]) -> [Lanes; N] {
        let mut lanes = Self::reduce(sums);
        for limbs in &mut lanes {
            for i in 1..LIMBS {
                limbs[i] = _mm512_add_epi64(limbs[i], _mm512_srli_epi64::<52>(limbs[i - 1]));
            }
        }
        lanes.map(Lanes)
    }

    /// The reduced sums in canonical form, where one factor of each product was loaded times 16.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn canonical<const N: usize>(sums: [Self; N]) -> [Canonical; N] {
        let mut limbs = Self::reduce(sums);
        for limbs in &mut limbs {
            for i in 0..LIMBS {
                limbs[i] = _mm512_sub_epi64(limbs[i], _mm512_set1_epi64(L[i]));
            }
        }
        Canonical::from_signed(limbs)
    }

    /// The sum over the lanes of each column, below 2^67.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn totals(self) -> Totals {
        let mut totals = [0; COLUMNS];
        for (total, column) in totals.iter_mut().zip(self.0) {
            let mut lanes = [0u64; LANES];
            // SAFETY: the array has room for the eight lanes.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), column) };
            *total = lanes.into_iter().map(u128::from).sum();
        }
        Totals(totals)
    }
}

/// Eight integers in [0, l): limbs of 52 bits.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Canonical([__m512i; LIMBS]);

impl Canonical {
    /// From signed limbs, of magnitude below 2^62, of integers in [-l, l): adds l where one is negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(in crate::kernels) fn from_signed<const N: usize>(limbs: [[__m512i; LIMBS]; N]) -> [Self; N] {
        let mut signs = [_mm512_setzero_si512(); N];
        for i in 0..LIMBS {
            for (sign, limbs) in signs.iter_mut().zip(&limbs) {
                *sign = _mm512_srai_epi64::<52>(_mm512_add_epi64(limbs[i], *sign));
            }
        }
        let mut canonical = [Self([_mm512_setzero_si512(); LIMBS]); N];
        let mut carries = [_mm512_setzero_si512(); N];
        for i in 0..LIMBS {
            for n in 0..N {
                // The carry out of the last limb is 0 or -1, a mask.
                let l = _mm512_and_si512(signs[n], _mm512_set1_epi64(L[i]));
                let sum = _mm512_add_epi64(_mm512_add_epi64(limbs[n][i], l), carries[n]);
                carries[n] = _mm512_srai_epi64::<52>(sum);
                canonical[n].0[i] = _mm512_and_si512(sum, _mm512_set1_epi64(MASK));
            }
        }
        canonical
    }

    /// The residues of unsigned 320-bit integers, given as five words.
    ///
    /// As in [`Wide`]: with x = hi 2^252 + lo, x = lo - hi c modulo l. Here hi is below 2^68 and c below 2^125, so the
    /// difference lies in (-2^193, 2^252), inside [-l, l). A column of hi c has at most four halves.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(in crate::kernels) fn residues(words: [__m512i; 5]) -> Self {
        let Lanes(mut limbs) = Lanes::from_words([words[0], words[1], words[2], words[3]]);
        limbs[4] = _mm512_and_si512(limbs[4], _mm512_set1_epi64((1 << 44) - 1));
        let high = [
            _mm512_or_si512(_mm512_srli_epi64::<60>(words[3]), _mm512_slli_epi64::<4>(words[4])),
            _mm512_srli_epi64::<48>(words[4]),
        ];
        let mut product = [_mm512_setzero_si512(); LIMBS];
        for i in 0..2 {
            for j in 0..3 {
                let c = _mm512_set1_epi64(L[j]);
                product[i + j] = _mm512_madd52lo_epu64(product[i + j], high[i], c);
                product[i + j + 1] = _mm512_madd52hi_epu64(product[i + j + 1], high[i], c);
            }
        }
        for i in 0..LIMBS {
            limbs[i] = _mm512_sub_epi64(limbs[i], product[i]);
        }
        let [canonical] = Self::from_signed([limbs]);
        canonical
    }

    /// Writes the scalars with these representations, the lane that was filled first at the front.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(in crate::kernels) fn store_in_order(mut self, values: &mut [Scalar; LANES]) {
        let order = _mm512_setr_epi64(0, 2, 1, 3, 4, 6, 5, 7);
        for limb in &mut self.0 {
            *limb = _mm512_permutexvar_epi64(order, *limb);
        }
        self.store(values);
    }

    /// Writes the scalars with these representations, in the order of [`Lanes::load`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn store(self, values: &mut [Scalar; LANES]) {
        let limbs = self.0;
        let w0 = _mm512_or_si512(limbs[0], _mm512_slli_epi64::<52>(limbs[1]));
        let w1 = _mm512_or_si512(_mm512_srli_epi64::<12>(limbs[1]), _mm512_slli_epi64::<40>(limbs[2]));
        let w2 = _mm512_or_si512(_mm512_srli_epi64::<24>(limbs[2]), _mm512_slli_epi64::<28>(limbs[3]));
        let w3 = _mm512_or_si512(_mm512_srli_epi64::<36>(limbs[3]), _mm512_slli_epi64::<16>(limbs[4]));
        // The lanes are in the order a c b d e g f h: first pairs of words, then pairs of scalars.
        let (abef_01, cdgh_01) = (_mm512_unpacklo_epi64(w0, w1), _mm512_unpackhi_epi64(w0, w1));
        let (abef_23, cdgh_23) = (_mm512_unpacklo_epi64(w2, w3), _mm512_unpackhi_epi64(w2, w3));
        let first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        let words = values.as_mut_ptr().cast::<__m512i>();
        // SAFETY: eight scalars are 256 bytes, four vectors; a store asks for no alignment. The words are a scalar's
        // representation below l.
        unsafe {
            _mm512_storeu_si512(words, _mm512_permutex2var_epi64(abef_01, first, abef_23));
            _mm512_storeu_si512(words.add(1), _mm512_permutex2var_epi64(cdgh_01, first, cdgh_23));
            _mm512_storeu_si512(words.add(2), _mm512_permutex2var_epi64(abef_01, second, abef_23));
            _mm512_storeu_si512(words.add(3), _mm512_permutex2var_epi64(cdgh_01, second, cdgh_23));
        }
    }
}

/// An exact sum of products of representations: entry k weighs 2^(52 k).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals([u128; COLUMNS]);

impl Totals {
    /// `1 / R` as a scalar: its representation is 1.
    const INVERSE_OF_R: Scalar = Scalar::new_unchecked(BigInt([1, 0, 0, 0]));

    /// Adds another sum.
    pub(super) fn add(&mut self, other: Self) {
        for (total, other) in self.0.iter_mut().zip(other.0) {
            *total += other;
        }
    }

    /// The scalar that is the sum of the products of the *scalars*.
    ///
    /// The sum S of products of representations is R^2 times too large. With S = low + 2^260 high, each part comes out
    /// of its reduction over R; what is missing is 1/R for the lower and 2^260/R = 2^4 for the upper part. A part holds
    /// five columns: n <= 2^48 products make columns below 9 * 2^(48 + 52), so it is below 2^(104 + 209) and fits 320 bits.
    pub(super) fn to_scalar(self) -> Scalar {
        let (low, high) = self.0.split_at(LIMBS);
        let part = |columns: &[u128]| {
            let mut sum = Wide::ZERO;
            for (column, bits) in columns.iter().zip((0..).step_by(52)) {
                sum.add_shifted(*column as i128, bits);
            }
            sum.to_scalar_over_r()
        };
        part(low) * Self::INVERSE_OF_R + part(high) * Scalar::from(1u8 << 4)
    }
}

/// `left | right`, cut to 52 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn either_masked(left: __m512i, right: __m512i) -> __m512i {
    // Bit `4 left + 2 right + mask` of the table is `(left | right) & mask`.
    _mm512_ternarylogic_epi64::<0b1010_1000>(left, right, _mm512_set1_epi64(MASK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Backend;

    /// Every limb of the worst case: `(2^52 - x)^2 = (2^52 - 2 x) 2^52 + x^2`, whose halves are both nearly 2^52 for
    /// `x = 2^26 - 1`. No scalar has such limbs.
    const FULLEST: i64 = (1 << 52) - (1 << 26) + 1;
    const HALVES: [u128; 2] = [(1 << 52) - (1 << 27) + 1, (1 << 52) - (1 << 27) + 2];

    /// The totals of `count` products of the worst case.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn fullest_totals(count: usize) -> Totals {
        let fullest = Lanes([_mm512_set1_epi64(FULLEST); LIMBS]);
        let mut columns = Columns::zero();
        for _ in 0..count {
            columns.add_product(fullest, fullest);
        }
        columns.totals()
    }

    #[test]
    fn columns_have_room_for_so_many_products_and_not_one_more() {
        let expected = |count: usize| {
            Totals(std::array::from_fn(|k| {
                let (lower, upper) = ((k + 1).min(COLUMNS - 1 - k), k.min(COLUMNS - k));
                (LANES * count) as u128 * (lower as u128 * HALVES[0] + upper as u128 * HALVES[1])
            }))
        };
        assert_eq!(Columns::ROOM, 455);
        if Backend::avx512().is_some() {
            // SAFETY: the processor has just been asked.
            let totals = |count| unsafe { fullest_totals(count) };
            assert_eq!(totals(Columns::ROOM), expected(Columns::ROOM));
            assert_ne!(totals(Columns::ROOM + 1), expected(Columns::ROOM + 1));
        }
    }

    #[test]
    fn reduction_of_totals_at_their_bound() {
        let radix = Scalar::from(1u64 << 52);
        let largest = 9 * (MASK as u128) * super::super::MAX_ENTRIES as u128;
        let value = (0..COLUMNS).fold(Scalar::from(0u8), |sum, _| sum * radix + Scalar::from(largest));
        let expected = value * Totals::INVERSE_OF_R * Totals::INVERSE_OF_R;
        assert_eq!(Totals([largest; COLUMNS]).to_scalar(), expected);
    }
}
