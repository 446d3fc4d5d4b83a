//! Long vectors of scalars: inner products, the two sums of a sumcheck round, and binding a variable.
//!
//! | module | what it holds |
//! |---|---|
//! | `lanes` | eight scalars side by side: loading, multiplying, the way back to canonical form |
//! | `avx512` | the loops over such lanes |
//! | `portable` | the same loops in arkworks' arithmetic |
//!
//! Results are canonical field elements, so the twins agree bit for bit with each other and with arkworks.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
pub(super) mod lanes;
mod portable;
#[cfg(test)]
mod tests;

use super::Backend;
use crate::Scalar;

/// More entries than any vector has; 2^48 of them would fill 2^53 bytes. It bounds the sums before reduction.
const MAX_ENTRIES: usize = 1 << 48;

/// Two tables that are multiplied entry by entry, each cut into halves: four slices of one length.
#[derive(Debug, Clone, Copy)]
pub struct Halves<'a> {
    /// Where the variable is 0, in the left table.
    pub left_low: &'a [Scalar],
    /// Where the variable is 1, in the left table.
    pub left_high: &'a [Scalar],
    /// Where the variable is 0, in the right table.
    pub right_low: &'a [Scalar],
    /// Where the variable is 1, in the right table.
    pub right_high: &'a [Scalar],
}

/// The two coefficients of a round polynomial that have to be summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundSums {
    /// `sum_i left_low[i] * right_low[i]`, the constant coefficient.
    pub constant: Scalar,
    /// `sum_i (left_high[i] - left_low[i]) * (right_high[i] - right_low[i])`, the coefficient of `X^2`.
    pub leading: Scalar,
}

/// `sum_i left[i] * right[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn inner_product(left: &[Scalar], right: &[Scalar]) -> Scalar {
    inner_product_on(Backend::active(), left, right)
}

/// As [`inner_product`], on a named twin.
pub fn inner_product_on(backend: Backend, left: &[Scalar], right: &[Scalar]) -> Scalar {
    assert_eq!(left.len(), right.len(), "an inner product takes vectors of one length");
    assert!(left.len() <= MAX_ENTRIES, "vectors of at most 2^48 entries");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::inner_product(left, right) };
    }
    let _ = backend;
    portable::inner_product(left, right)
}

/// The sums of a sumcheck round over these halves.
///
/// # Panics
/// If the lengths differ.
pub fn round_sums(halves: &Halves<'_>) -> RoundSums {
    round_sums_on(Backend::active(), halves)
}

/// As [`round_sums`], on a named twin.
pub fn round_sums_on(backend: Backend, halves: &Halves<'_>) -> RoundSums {
    let Halves { left_low, left_high, right_low, right_high } = halves;
    let length = left_low.len();
    assert!(
        [left_high, right_low, right_high].iter().all(|half| half.len() == length),
        "halves of one length"
    );
    assert!(length <= MAX_ENTRIES, "vectors of at most 2^48 entries");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::round_sums(halves) };
    }
    let _ = backend;
    portable::round_sums(halves)
}

/// `low[i] += challenge * (high[i] - low[i])` for each i: the variable that tells the halves apart becomes `challenge`.
///
/// # Panics
/// If the lengths differ.
pub fn bind(low: &mut [Scalar], high: &[Scalar], challenge: Scalar) {
    bind_on(Backend::active(), low, high, challenge);
}

/// As [`bind`], on a named twin.
pub fn bind_on(backend: Backend, low: &mut [Scalar], high: &[Scalar], challenge: Scalar) {
    assert_eq!(low.len(), high.len(), "halves of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::bind(low, high, challenge) };
    }
    let _ = backend;
    portable::bind(low, high, challenge);
}

/// `values[i] *= factor` for each i.
pub fn scale(values: &mut [Scalar], factor: Scalar) {
    scale_on(Backend::active(), values, factor);
}

/// As [`scale`], on a named twin.
pub fn scale_on(backend: Backend, values: &mut [Scalar], factor: Scalar) {
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::scale(values, factor) };
    }
    let _ = backend;
    portable::scale(values, factor);
}
