//! Arithmetic modulo p = 2^255 - 19 in the eight lanes of AVX-512 IFMA: the bottom of the SIMD backend.
//!
//! # Representation and bounds
//! A lane holds `x = sum_i limb_i 2^(51 i)`, five limbs. Three bounds on limbs, each with its own meaning:
//!
//! | name | every limb or column | where |
//! |---|---|---|
//! | tight | < 2^51 + 2^16 | [`Field8`]: what [`Columns::carry`] returns, what everything takes if nothing else is said |
//! | loose | < 2^52 | [`Field8`] from [`Field8::negate_lanes`]: a multiplication operand and nothing else |
//! | wide | < 2^62 | [`Columns`]: not yet carried; a product is < 2^61 |
//!
//! IFMA multiplies the low 52 bits of its operands, so an operand that is not loose would lose bits in silence.
//! No other operation here can wrap as long as the columns stay below 2^64, and each function says why they do.

use std::arch::x86_64::*;

/// The array of an expression at each of the five limbs.
///
/// Not `array::map` or `from_fn`: those are compiled without AVX-512, so a closure on vectors would not be inlined.
macro_rules! limbwise {
    ($i:ident => $value:expr) => {
        [
            limbwise!(@ $i 0 $value),
            limbwise!(@ $i 1 $value),
            limbwise!(@ $i 2 $value),
            limbwise!(@ $i 3 $value),
            limbwise!(@ $i 4 $value),
        ]
    };
    (@ $i:ident $index:literal $value:expr) => {{
        const $i: usize = $index;
        $value
    }};
}

/// Limbs of one lane, radix 2^51.
pub(super) type Limbs = [u64; 5];

/// The low 51 bits.
const MASK: i64 = (1 << 51) - 1;

/// 2^10 p, columnwise: `2^10 (2^51 - 19)` then `2^10 (2^51 - 1)`. Each column is at least 2^61 - 2^15.
const BIAS_LOWEST: i64 = ((1 << 51) - 19) << 10;
const BIAS_OTHERS: i64 = ((1 << 51) - 1) << 10;

/// 2 p, columnwise: 2^52 - 38 then 2^52 - 2.
const TWICE_P_LOWEST: i64 = (1 << 52) - 38;
const TWICE_P_OTHERS: i64 = (1 << 52) - 2;

/// sqrt(-1), the non-negative (even) root.
pub(super) const SQRT_MINUS_ONE: Limbs =
    [0x61b274a0ea0b0, 0xd5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d];

/// Eight field elements, one a lane; limb i of all lanes in vector i. Tight unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field8([__m512i; 5]);

/// Eight sums of products, not yet carried: column i weighs 2^(51 i).
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns([__m512i; 5]);

impl Columns {
    /// Carries each column once into the next, the last one times 19 into the first. Every column must be < 2^62.
    ///
    /// A carry is then < 2^11 and 19 times it < 2^16, so the result is tight.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn carry(self) -> Field8 {
        let Self(columns) = self;
        let mask = _mm512_set1_epi64(MASK);
        let carries = limbwise!(I => _mm512_srli_epi64::<51>(columns[I]));
        let kept = limbwise!(I => _mm512_and_si512(columns[I], mask));
        Field8([
            _mm512_add_epi64(kept[0], times_19(carries[4])),
            _mm512_add_epi64(kept[1], carries[0]),
            _mm512_add_epi64(kept[2], carries[1]),
            _mm512_add_epi64(kept[3], carries[2]),
            _mm512_add_epi64(kept[4], carries[3]),
        ])
    }

    /// The planar vectors.
    #[cfg(test)]
    pub(super) fn planes(self) -> [__m512i; 5] {
        self.0
    }

    /// `self + other`; of two products (< 2^61 each) the sum is < 2^62.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn plus(self, other: Self) -> Self {
        Self(limbwise!(I => _mm512_add_epi64(self.0[I], other.0[I])))
    }

    /// `self - other + 2^10 p`. `other` must be a product, < 267 * 2^52, which is below every column of the bias, so no
    /// column is negative; with `self` a product too the result is < 267 * 2^52 + 2^61 < 2^62.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn minus(self, other: Self) -> Self {
        let lowest = _mm512_set1_epi64(BIAS_LOWEST);
        let others = _mm512_set1_epi64(BIAS_OTHERS);
        Self(limbwise!(I => {
            let bias = if I == 0 { lowest } else { others };
            _mm512_add_epi64(self.0[I], _mm512_sub_epi64(bias, other.0[I]))
        }))
    }
}

impl Field8 {
    /// The same element in every lane; limbs must be < 2^51.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn splat(limbs: Limbs) -> Self {
        Self(limbwise!(I => _mm512_set1_epi64(limbs[I] as i64)))
    }

    /// Zero in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn zero() -> Self {
        Self::splat([0; 5])
    }

    /// One in every lane.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn one() -> Self {
        Self::splat([1, 0, 0, 0, 0])
    }

    /// From planar vectors, which the caller has kept within the bounds of a field element.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_planes(planes: [__m512i; 5]) -> Self {
        Self(planes)
    }

    /// The planar vectors.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn planes(self) -> [__m512i; 5] {
        self.0
    }

    /// One element a lane; limbs must be tight.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn from_lanes(lanes: &[Limbs; 8]) -> Self {
        let l = |i: usize| lanes.map(|limbs| limbs[i] as i64);
        Self(std::array::from_fn(|i| {
            let l = l(i);
            _mm512_setr_epi64(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7])
        }))
    }

    /// The limbs of each lane.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn to_lanes(self) -> [Limbs; 8] {
        let mut planes = [[0_u64; 8]; 5];
        for (plane, vector) in planes.iter_mut().zip(self.0) {
            // SAFETY: `plane` is 64 writable bytes, and the store asks for no alignment.
            unsafe { _mm512_storeu_si512(plane.as_mut_ptr().cast(), vector) };
        }
        std::array::from_fn(|lane| std::array::from_fn(|i| planes[i][lane]))
    }

    /// The same element as columns, < 2^52 + 2^17 when doubled: any few of them add up far below 2^61.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn columns(self) -> Columns {
        Columns(self.0)
    }

    /// `self * other`, not carried. Both operands must be loose.
    ///
    /// With a = self, b = other: `a_i b_j = low + 2^52 high = low + 2^51 (2 high)`, low and high < 2^52, and
    /// 2^255 = 19 mod p takes column k + 5 to column k. Column k gathers `k + 1 + 19 (4 - k) <= 77` lows and
    /// `k + 19 (5 - k) <= 95` highs that count twice: < (77 + 190) 2^52 = 267 * 2^52 < 2^61.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn product(self, other: Self) -> Columns {
        let zero = _mm512_setzero_si512();
        let mut low = [zero; 10];
        let mut high = [zero; 10];
        let (a, b) = (self.0, other.0);
        for i in 0..5 {
            for j in 0..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], a[i], b[j]);
                high[i + j + 1] = _mm512_madd52hi_epu64(high[i + j + 1], a[i], b[j]);
            }
        }
        Columns(limbwise!(K => {
            let lower = _mm512_add_epi64(low[K], _mm512_add_epi64(high[K], high[K]));
            let upper = _mm512_add_epi64(low[K + 5], _mm512_add_epi64(high[K + 5], high[K + 5]));
            _mm512_add_epi64(lower, times_19(upper))
        }))
    }

    /// `self * other`. Both operands must be loose.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn times(self, other: Self) -> Self {
        self.product(other).carry()
    }

    /// `self + other`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn plus(self, other: Self) -> Self {
        self.columns().plus(other.columns()).carry()
    }

    /// `self - other`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn minus(self, other: Self) -> Self {
        self.columns().minus(other.columns()).carry()
    }

    /// `-self` in the lanes of `lanes`, self in the others. The result is loose, not tight: a limb is `2 p_i - limb`,
    /// which is not negative since a tight limb is < 2^51 + 2^16 < 2^52 - 38, and is at most 2^52 - 2.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn negate_lanes(self, lanes: __mmask8) -> Self {
        let lowest = _mm512_set1_epi64(TWICE_P_LOWEST);
        let others = _mm512_set1_epi64(TWICE_P_OTHERS);
        Self(limbwise!(I => {
            let twice_p = if I == 0 { lowest } else { others };
            _mm512_mask_sub_epi64(self.0[I], lanes, twice_p, self.0[I])
        }))
    }

    /// `other` in the lanes of `lanes`, self in the others.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn or_else(self, other: Self, lanes: __mmask8) -> Self {
        Self(limbwise!(I => _mm512_mask_blend_epi64(lanes, self.0[I], other.0[I])))
    }

    /// `self^(2^count)`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn squared(self, count: usize) -> Self {
        let mut power = self;
        for _ in 0..count {
            power = power.times(power);
        }
        power
    }

    /// `(self^(2^250 - 1), self^11)`, the common part of the two long powers.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn long_power(self) -> (Self, Self) {
        let two = self.squared(1);
        let nine = two.squared(2).times(self);
        let eleven = nine.times(two);
        let ones_5 = eleven.squared(1).times(nine);
        let ones_10 = ones_5.squared(5).times(ones_5);
        let ones_20 = ones_10.squared(10).times(ones_10);
        let ones_40 = ones_20.squared(20).times(ones_20);
        let ones_50 = ones_40.squared(10).times(ones_10);
        let ones_100 = ones_50.squared(50).times(ones_50);
        let ones_200 = ones_100.squared(100).times(ones_100);
        (ones_200.squared(50).times(ones_50), eleven)
    }

    /// `self^(p - 2)`: the inverse, and zero of zero. p - 2 = 2^5 (2^250 - 1) + 11.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn inverse(self) -> Self {
        let (ones_250, eleven) = self.long_power();
        ones_250.squared(5).times(eleven)
    }

    /// `SQRT_RATIO_M1(1, self)` of RFC 9496, 4.2, without the flag: the non-negative square root of `1/self` if that is a
    /// square, of `sqrt(-1)/self` otherwise, and zero of zero.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn inverse_sqrt(self) -> Self {
        // self^3 (self^7)^((p - 5)/8), with (p - 5)/8 = 2^2 (2^250 - 1) + 1.
        let cube = self.squared(1).times(self);
        let seventh = cube.squared(1).times(self);
        let root = cube.times(seventh.long_power().0.squared(2).times(seventh));
        let check = self.times(root.squared(1));
        let one = Self::one();
        let sqrt_minus_one = Self::splat(SQRT_MINUS_ONE);
        let minus_one = Self::zero().minus(one);
        let flipped = check.equal(minus_one) | check.equal(minus_one.times(sqrt_minus_one));
        root.or_else(root.times(sqrt_minus_one), flipped).absolute()
    }

    /// The canonical limbs: each < 2^51 and their value < p.
    ///
    /// A tight value is below 2^255 + 2^221 < 2 p, so at most one p comes off, namely if `value + 19 >= 2^255`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn canonical(self) -> Self {
        let mask = _mm512_set1_epi64(MASK);
        let mut carry = _mm512_set1_epi64(19);
        for limb in self.0 {
            carry = _mm512_srli_epi64::<51>(_mm512_add_epi64(limb, carry));
        }
        // Adding 19 for each 2^255 that the mask then drops from the last limb subtracts p that many times.
        carry = times_19(carry);
        Self(self.0.map(|limb| {
            let sum = _mm512_add_epi64(limb, carry);
            carry = _mm512_srli_epi64::<51>(sum);
            _mm512_and_si512(sum, mask)
        }))
    }

    /// The lanes in which the two elements are equal.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn equal(self, other: Self) -> __mmask8 {
        let (a, b) = (self.canonical().0, other.canonical().0);
        a.iter().zip(b).fold(0xff, |lanes, (a, b)| lanes & _mm512_cmpeq_epi64_mask(*a, b))
    }

    /// The lanes that are negative in the sense of RFC 9496, 4.1: whose canonical value is odd.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn negative(self) -> __mmask8 {
        _mm512_test_epi64_mask(self.canonical().0[0], _mm512_set1_epi64(1))
    }

    /// `-self` in the lanes of `lanes`, self in the others, tight.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn negated_in(self, lanes: __mmask8) -> Self {
        self.or_else(Self::zero().minus(self), lanes)
    }

    /// The non-negative one of self and -self, `CT_ABS` of RFC 9496.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn absolute(self) -> Self {
        self.negated_in(self.negative())
    }
}

/// `19 x`; x must be < 2^59.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn times_19(x: __m512i) -> __m512i {
    _mm512_mullo_epi64(x, _mm512_set1_epi64(19))
}

/// The element of 32 little-endian bytes; the top bit is ignored. Limbs are < 2^51.
pub(super) fn limbs_from_bytes(bytes: &[u8; 32]) -> Limbs {
    let mut words = [0_u64; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mask = MASK as u64;
    [
        words[0] & mask,
        (words[0] >> 51 | words[1] << 13) & mask,
        (words[1] >> 38 | words[2] << 26) & mask,
        (words[2] >> 25 | words[3] << 39) & mask,
        (words[3] >> 12) & mask,
    ]
}

/// The 32 little-endian bytes of canonical limbs.
pub(super) fn limbs_to_bytes(limbs: &Limbs) -> [u8; 32] {
    let words = [
        limbs[0] | limbs[1] << 51,
        limbs[1] >> 13 | limbs[2] << 38,
        limbs[2] >> 26 | limbs[3] << 25,
        limbs[3] >> 39 | limbs[4] << 12,
    ];
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}
