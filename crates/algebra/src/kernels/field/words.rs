//! The leaves of a lookup: denominators `gamma - w` for words w of 16 bits, made where they are needed and not stored.
//!
//! Words are small, so a denominator, and even one with a variable bound, is a constant minus small multiples of constants;
//! and the first round's sums are sums of scalars times small integers, reduced once.

use super::super::Backend;
use super::portable_words;
use crate::Scalar;

/// The words of two tables at both values of a variable: four slices of one length.
#[derive(Debug, Clone, Copy)]
pub struct WordHalves<'a> {
    /// The lower children's words, where the variable is 0 and where it is 1.
    pub low: [&'a [u16]; 2],
    /// The upper children's words.
    pub high: [&'a [u16]; 2],
}

/// Weighed sums over words a (lower child) and b (upper child) where the variable is 0, a' and b' where it is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordSums {
    /// `sum of weights`
    pub weights: Scalar,
    /// `sum w a` and `sum w a'`
    pub low: [Scalar; 2],
    /// `sum w b`
    pub high: Scalar,
    /// `sum w a b`
    pub product: Scalar,
    /// `sum w (a' - a) (b' - b)`
    pub difference: Scalar,
}

/// `q_i = gamma - words[i]`
///
/// # Panics
/// If the lengths differ.
pub fn denominators(gamma: Scalar, words: &[u16], q: &mut [Scalar]) {
    denominators_on(Backend::active(), gamma, words, q);
}

/// As [`denominators`], on a named twin.
pub fn denominators_on(backend: Backend, gamma: Scalar, words: &[u16], q: &mut [Scalar]) {
    assert_eq!(words.len(), q.len(), "a denominator for each word");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_words::denominators(gamma, words, q) };
    }
    let _ = backend;
    portable_words::denominators(gamma, words, q);
}

/// Adds `1 / (gamma - low[i])` and `1 / (gamma - high[i])`: numerators p and denominators q.
///
/// # Panics
/// If the lengths differ.
pub fn add_inverses(gamma: Scalar, low: &[u16], high: &[u16], p: &mut [Scalar], q: &mut [Scalar]) {
    add_inverses_on(Backend::active(), gamma, low, high, p, q);
}

/// As [`add_inverses`], on a named twin.
pub fn add_inverses_on(
    backend: Backend,
    gamma: Scalar,
    low: &[u16],
    high: &[u16],
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let length = low.len();
    assert!(high.len() == length && p.len() == length && q.len() == length, "fractions of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_words::add_inverses(gamma, low, high, p, q) };
    }
    let _ = backend;
    portable_words::add_inverses(gamma, low, high, p, q);
}

/// `out[i] = gamma - (low[i] + challenge * (high[i] - low[i]))`: denominators with a variable bound.
///
/// # Panics
/// If the lengths differ.
pub fn bind(gamma: Scalar, challenge: Scalar, low: &[u16], high: &[u16], out: &mut [Scalar]) {
    bind_on(Backend::active(), gamma, challenge, low, high, out);
}

/// As [`bind`], on a named twin.
pub fn bind_on(
    backend: Backend,
    gamma: Scalar,
    challenge: Scalar,
    low: &[u16],
    high: &[u16],
    out: &mut [Scalar],
) {
    assert!(low.len() == high.len() && low.len() == out.len(), "halves of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_words::bind(gamma, challenge, low, high, out) };
    }
    let _ = backend;
    portable_words::bind(gamma, challenge, low, high, out);
}

/// The sums of a round over words.
///
/// # Panics
/// If the lengths differ.
pub fn sums(weights: &[Scalar], halves: &WordHalves<'_>) -> WordSums {
    sums_on(Backend::active(), weights, halves)
}

/// As [`sums`], on a named twin.
pub fn sums_on(backend: Backend, weights: &[Scalar], halves: &WordHalves<'_>) -> WordSums {
    let length = weights.len();
    assert!(halves.low.iter().chain(&halves.high).all(|half| half.len() == length), "halves of one length");
    #[cfg(target_arch = "x86_64")]
    if backend.is_avx512() {
        // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
        return unsafe { super::avx512_words::sums(weights, halves) };
    }
    let _ = backend;
    portable_words::sums(weights, halves)
}

impl std::ops::Add for WordSums {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            low: [self.low[0] + other.low[0], self.low[1] + other.low[1]],
            high: self.high + other.high,
            product: self.product + other.product,
            difference: self.difference + other.difference,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ark_ff::{AdditiveGroup, Field, PrimeField};

    const EDGES: [u16; 6] = [0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff];

    fn scalars(count: usize) -> Vec<Scalar> {
        let largest = -Scalar::ONE;
        let representation_of_ones =
            Scalar::new_unchecked(ark_ff::BigInt([u64::MAX, u64::MAX, u64::MAX, (1 << 60) - 1]));
        let edges = [Scalar::ZERO, Scalar::ONE, largest, representation_of_ones, largest.inverse().unwrap()];
        (0..count)
            .map(|i| {
                if i % 3 == 0 {
                    edges[i / 3 % edges.len()]
                } else {
                    Scalar::from(i as u64 + 3).inverse().unwrap()
                }
            })
            .collect()
    }

    fn words(count: usize, seed: usize) -> Vec<u16> {
        (0..count)
            .map(|i| {
                if (i + seed).is_multiple_of(2) {
                    EDGES[(i / 2 + seed) % EDGES.len()]
                } else {
                    (i * 40_503 * (seed + 1)) as u16
                }
            })
            .collect()
    }

    #[test]
    fn every_loop_is_what_it_says_at_every_length() {
        let field = |word: u16| Scalar::from(u64::from(word));
        for length in (0..70).chain([2047, 2048, 2049, 8 * 2048 + 5]) {
            let [a, a1, b, b1] = [0, 1, 2, 3].map(|seed| words(length, seed));
            let weights = scalars(length);
            for (gamma, r) in
                [(-Scalar::ONE, -Scalar::ONE), (Scalar::ZERO, Scalar::ZERO), (scalars(9)[8], scalars(8)[7])]
            {
                let each = |f: &dyn Fn(usize) -> Scalar| (0..length).map(f).collect::<Vec<Scalar>>();
                let sum =
                    |f: &dyn Fn(usize) -> Scalar| (0..length).map(|i| weights[i] * f(i)).sum::<Scalar>();
                for backend in Backend::available() {
                    let (mut p, mut q) = (vec![Scalar::ONE; length], vec![Scalar::ONE; length]);
                    denominators_on(backend, gamma, &a, &mut q);
                    assert_eq!(q, each(&|i| gamma - field(a[i])));
                    add_inverses_on(backend, gamma, &a, &b, &mut p, &mut q);
                    assert_eq!(p, each(&|i| gamma + gamma - field(a[i]) - field(b[i])));
                    assert_eq!(q, each(&|i| (gamma - field(a[i])) * (gamma - field(b[i]))));
                    assert!(p.iter().chain(&q).all(|value| value.0 < Scalar::MODULUS));
                    bind_on(backend, gamma, r, &a, &a1, &mut q);
                    assert_eq!(q, each(&|i| gamma - field(a[i]) - r * (field(a1[i]) - field(a[i]))));
                    assert!(q.iter().all(|value| value.0 < Scalar::MODULUS));
                    let found = sums_on(backend, &weights, &WordHalves { low: [&a, &a1], high: [&b, &b1] });
                    let expected = WordSums {
                        weights: weights.iter().sum(),
                        low: [sum(&|i| field(a[i])), sum(&|i| field(a1[i]))],
                        high: sum(&|i| field(b[i])),
                        product: sum(&|i| field(a[i]) * field(b[i])),
                        difference: sum(&|i| (field(a1[i]) - field(a[i])) * (field(b1[i]) - field(b[i]))),
                    };
                    assert_eq!(found, expected, "{}, {length}", backend.name());
                }
            }
        }
    }
}
