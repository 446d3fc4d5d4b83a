//! A two-sample statistic for texts: are these samples and those from the same distribution over texts?
//!
//! The Hamming kernel on prefixes of a fixed length, and the unbiased estimate of the squared maximum mean discrepancy,
//! as in I. Gao, P. Liang, C. Guestrin, "Model Equality Testing: Which Model Is This API Serving?" (2024). Each side
//! is cut or padded to `L` characters; `k(x, y)` is the share of the `L` places with the same character, where a place
//! beyond the end of a text matches only another such place. With samples `x_1..x_m` of one side and `y_1..y_n` of
//! the other,
//!
//! ```text
//! h = mean over i < j of k(x_i, x_j)  +  mean over i < j of k(y_i, y_j)  -  2 mean over i, j of k(x_i, y_j)
//! ```
//!
//! A sample is never compared with itself, so the expectation of `h` is 0 where both sides have the same distribution,
//! and positive only if the distributions of the character at some place differ: it is the mean over the places of
//! the squared distance between the two distributions of characters. What differs in the dependence between places
//! alone is not seen. `h` lies in `[-2, 2]`.

use std::num::NonZeroU32;

/// Characters of the prefix for each token that a side may give. A token of a small vocabulary holds two or three
/// characters and more of a large one, so that the prefix is text and not padding; the places far behind say least,
/// because what stands there depends least on the prompt.
const CHARACTERS_EACH_TOKEN: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The kernel on prefixes of a fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HammingKernel {
    length: NonZeroU32,
}

impl HammingKernel {
    /// The kernel on the first `length` characters (Unicode scalar values).
    pub fn new(length: NonZeroU32) -> Self {
        Self { length }
    }

    /// The kernel for texts of at most so many tokens: its length depends on what is asked, never on what is answered.
    pub fn for_tokens(tokens: NonZeroU32) -> Self {
        Self::new(tokens.saturating_mul(CHARACTERS_EACH_TOKEN))
    }

    /// How many characters are compared.
    pub fn length(self) -> NonZeroU32 {
        self.length
    }

    /// The unbiased two-sample statistic `h` in `[-2, 2]`; [`None`] where a side has fewer than two samples.
    pub fn two_sample<T: AsRef<str>>(self, ours: &[T], theirs: &[T]) -> Option<f64> {
        if ours.len() < 2 || theirs.len() < 2 {
            return None;
        }
        let ours = self.padded(ours);
        let theirs = self.padded(theirs);
        let cross: f64 = ours.iter().flat_map(|x| theirs.iter().map(|y| similarity(x, y))).sum();
        let cross = cross / (ours.len() * theirs.len()) as f64;
        Some(within(&ours) + within(&theirs) - 2.0 * cross)
    }

    /// Each text as exactly `length` places; [`None`] is a place beyond its end.
    fn padded<T: AsRef<str>>(self, texts: &[T]) -> Vec<Vec<Option<char>>> {
        texts
            .iter()
            .map(|text| {
                let characters = text.as_ref().chars().map(Some);
                characters.chain(std::iter::repeat(None)).take(self.length.get() as usize).collect()
            })
            .collect()
    }
}

/// `h` in `[-2, 2]` as a score in `[0, 1]`: `(h + 2) / 4`. Equal distributions have the mean score 1/2.
pub fn to_score(h: f64) -> f64 {
    (h + 2.0) / 4.0
}

/// The mean over pairs of different samples of one side.
fn within(samples: &[Vec<Option<char>>]) -> f64 {
    let pairs = samples.len() * (samples.len() - 1) / 2;
    let sum: f64 = samples
        .iter()
        .enumerate()
        .flat_map(|(place, x)| samples.iter().take(place).map(move |y| similarity(x, y)))
        .sum();
    sum / pairs as f64
}

/// The share of places with the same character, of two texts of the same length.
fn similarity(x: &[Option<char>], y: &[Option<char>]) -> f64 {
    let same = x.iter().zip(y).filter(|(a, b)| a == b).count();
    same as f64 / x.len() as f64
}
