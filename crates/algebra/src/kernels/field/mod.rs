//! Long vectors of scalars: inner products, the two sums of a sumcheck round, and binding a variable.
//!
//! | module | what it holds |
//! |---|---|
//! | `lanes` | eight scalars side by side: loading, multiplying, the way back to canonical form |
//! | `avx512` | the loops over such lanes |
//! | `portable` | the same loops in arkworks' arithmetic |
//! | [`pairs`] | the level above them, sums of two inverses |
//! | [`words`] | the leaves of a lookup, `gamma - w` for words of 16 bits |
//!
//! Results are canonical field elements, so the twins agree bit for bit with each other and with arkworks.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_pairs;
#[cfg(target_arch = "x86_64")]
mod avx512_words;
#[cfg(target_arch = "x86_64")]
pub(super) mod lanes;
pub mod pairs;
mod portable;
mod portable_words;
#[cfg(test)]
mod tests;
pub mod words;

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

/// Fractions side by side: numerators and denominators, as many of each.
#[derive(Debug, Clone, Copy)]
pub struct Fractions<'a> {
    /// `p_i`
    pub numerators: &'a [Scalar],
    /// `q_i`
    pub denominators: &'a [Scalar],
}

/// The four tables of a layer of a fraction tree, at both values of a variable: eight slices of one length.
///
/// What is summed over them is `left * q_high + p_high * q_low`.
#[derive(Debug, Clone, Copy)]
pub struct LayerHalves<'a> {
    /// What the first product multiplies `q_high` with, where the variable is 0 and where it is 1.
    pub left: [&'a [Scalar]; 2],
    /// Denominators of the upper children.
    pub q_high: [&'a [Scalar]; 2],
    /// Numerators of the upper children.
    pub p_high: [&'a [Scalar]; 2],
    /// Denominators of the lower children.
    pub q_low: [&'a [Scalar]; 2],
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

/// Adds fractions in pairs: `p = p_0 q_1 + p_1 q_0`, `q = q_0 q_1` for each i.
///
/// # Panics
/// If the lengths differ.
pub fn add_fractions(low: Fractions<'_>, high: Fractions<'_>, p: &mut [Scalar], q: &mut [Scalar]) {
    add_fractions_on(Backend::active(), low, high, p, q);
}

/// As [`add_fractions`], on a named twin.
pub fn add_fractions_on(
    backend: Backend,
    low: Fractions<'_>,
    high: Fractions<'_>,
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let length = p.len();
    let parts = [low.numerators, low.denominators, high.numerators, high.denominators];
    assert!(parts.iter().all(|part| part.len() == length) && q.len() == length, "fractions of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::add_fractions(low, high, p, q) };
    }
    let _ = backend;
    portable::add_fractions(low, high, p, q);
}

/// Adds fractions with the numerator 1 in pairs: `p = q_0 + q_1`, `q = q_0 q_1` for each i.
///
/// # Panics
/// If the lengths differ.
pub fn add_inverses(q_low: &[Scalar], q_high: &[Scalar], p: &mut [Scalar], q: &mut [Scalar]) {
    add_inverses_on(Backend::active(), q_low, q_high, p, q);
}

/// As [`add_inverses`], on a named twin.
pub fn add_inverses_on(
    backend: Backend,
    q_low: &[Scalar],
    q_high: &[Scalar],
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let length = p.len();
    assert!(q_low.len() == length && q_high.len() == length && q.len() == length, "fractions of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::add_inverses(q_low, q_high, p, q) };
    }
    let _ = backend;
    portable::add_inverses(q_low, q_high, p, q);
}

/// The sums of a round over a layer of a fraction tree, each entry weighed:
/// `constant` with all tables where the variable is 0, `leading` with their differences.
///
/// # Panics
/// If the lengths differ.
pub fn layer_sums(weights: &[Scalar], halves: &LayerHalves<'_>) -> RoundSums {
    layer_sums_on(Backend::active(), weights, halves)
}

/// As [`layer_sums`], on a named twin.
pub fn layer_sums_on(backend: Backend, weights: &[Scalar], halves: &LayerHalves<'_>) -> RoundSums {
    let LayerHalves { left, q_high, p_high, q_low } = halves;
    let length = weights.len();
    assert!(
        [left, q_high, p_high, q_low].into_iter().flatten().all(|half| half.len() == length),
        "halves of one length"
    );
    assert!(length <= MAX_ENTRIES, "vectors of at most 2^48 entries");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::layer_sums(weights, halves) };
    }
    let _ = backend;
    portable::layer_sums(weights, halves)
}

/// The sums of a round over two tables, each product weighed: `sum_i w_i x_i y_i` where the variable is 0, and with the
/// differences.
///
/// # Panics
/// If the lengths differ.
pub fn weighed_sums(weights: &[Scalar], halves: &Halves<'_>) -> RoundSums {
    weighed_sums_on(Backend::active(), weights, halves)
}

/// As [`weighed_sums`], on a named twin.
pub fn weighed_sums_on(backend: Backend, weights: &[Scalar], halves: &Halves<'_>) -> RoundSums {
    let Halves { left_low, left_high, right_low, right_high } = halves;
    let length = weights.len();
    assert!(
        [left_low, left_high, right_low, right_high].iter().all(|half| half.len() == length),
        "halves of one length"
    );
    assert!(length <= MAX_ENTRIES, "vectors of at most 2^48 entries");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::weighed_sums(weights, halves) };
    }
    let _ = backend;
    portable::weighed_sums(weights, halves)
}

/// `low[i] + factor * high[i]` in place of `low[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(low: &mut [Scalar], high: &[Scalar], factor: Scalar) {
    add_scaled_on(Backend::active(), low, high, factor);
}

/// As [`add_scaled`], on a named twin.
pub fn add_scaled_on(backend: Backend, low: &mut [Scalar], high: &[Scalar], factor: Scalar) {
    assert_eq!(low.len(), high.len(), "vectors of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::add_scaled(low, high, factor) };
    }
    let _ = backend;
    portable::add_scaled(low, high, factor);
}

/// `out[i] = low[i] + challenge * (high[i] - low[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn bind_into(low: &[Scalar], high: &[Scalar], challenge: Scalar, out: &mut [Scalar]) {
    assert!(low.len() == out.len() && high.len() == out.len(), "halves of one length");
    #[cfg(target_arch = "x86_64")]
    if Backend::active().is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { avx512::bind_into(low, high, challenge, out) };
    }
    out.copy_from_slice(low);
    portable::bind(out, high, challenge);
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
