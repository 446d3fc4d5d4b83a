//! The signed digits of eight values at once.

use std::arch::x86_64::*;

use crate::kernels::rows::digits::Width;

/// Takes the digits off eight int16 values, least significant first, as [`Width::split`] does.
pub(super) struct Digits8 {
    /// What is left of each value.
    rest: __m512i,
    /// Digits not yet taken.
    left: usize,
    bits: __m128i,
    half: __m512i,
    mask: __m512i,
}

/// One digit of each of the eight values.
#[derive(Clone, Copy)]
pub(super) struct Digit8(__m512i);

impl Digits8 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn new(width: Width, values: &[i64; 8]) -> Self {
        let largest = width.largest() as i64;
        Self {
            // SAFETY: `values` is 64 readable bytes, and the load asks for no alignment.
            rest: unsafe { _mm512_loadu_si512(values.as_ptr().cast()) },
            left: width.digits(),
            bits: _mm_cvtsi64_si128(width.bits().into()),
            half: _mm512_set1_epi64(largest),
            mask: _mm512_set1_epi64(2 * largest - 1),
        }
    }

    /// The next digit of each value. After the last one, zeros.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn next_digit(&mut self) -> Digit8 {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return Digit8(std::mem::replace(&mut self.rest, _mm512_setzero_si512()));
        }
        let low = _mm512_and_si512(_mm512_add_epi64(self.rest, self.half), self.mask);
        let digit = _mm512_sub_epi64(low, self.half);
        self.rest = _mm512_sra_epi64(_mm512_sub_epi64(self.rest, digit), self.bits);
        Digit8(digit)
    }
}

impl Digit8 {
    /// Whether all eight digits are zero.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn is_zero(self) -> bool {
        _mm512_test_epi64_mask(self.0, self.0) == 0
    }

    /// The lanes whose digit is negative.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn negative(self) -> __mmask8 {
        _mm512_movepi64_mask(self.0)
    }

    /// The magnitudes, at most [`Width::largest`] each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    pub(super) fn magnitudes(self) -> [u64; 8] {
        let mut magnitudes = [0; 8];
        // SAFETY: `magnitudes` is 64 writable bytes, and the store asks for no alignment.
        unsafe { _mm512_storeu_si512(magnitudes.as_mut_ptr().cast(), _mm512_abs_epi64(self.0)) };
        magnitudes
    }
}
