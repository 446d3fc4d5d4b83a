//! The layer above leaves that are words: two tables of denominators, made from the words.
//!
//! Where there is an upper leaf, both numerators are 1; where there is none, the upper fraction is `0 / 1`. So no numerators
//! are stored: `p(0,x)` is 1, and `p(1,x)` has one value up to a break and another one behind it, with any number of
//! variables bound. What is summed is `q(1,x) + p(1,x) q(0,x) + lambda q(0,x) q(1,x)`.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_algebra::kernels::field::words::{self, WordHalves, WordSums};
use lorica_algebra::kernels::field::{self, Halves, RoundSums};
use rayon::prelude::*;

use crate::fraction::{CHUNK, ChunkWeights, Level, bind_and_wipe};

/// A table of two values.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Entries with the first value.
    at: usize,
    before: Scalar,
    after: Scalar,
}

impl Step {
    fn value(&self, index: usize) -> Scalar {
        if index < self.at { self.before } else { self.after }
    }

    /// Binds the first variable of a table with halves of `half` entries.
    fn bind(&mut self, half: usize, challenge: Scalar) {
        let between = self.before + challenge * (self.after - self.before);
        if self.at >= half {
            // The lower half has the first value everywhere.
            self.at -= half;
            self.after = between;
        } else {
            self.before = between;
        }
    }
}

/// The layer above the leaves.
pub struct BottomTables {
    gamma: Scalar,
    lambda: Scalar,
    length: usize,
    /// `p(1,x)`
    step: Step,
    /// Both tables of denominators, once a variable is bound: of the lower children where a level has numerators, of the upper
    /// ones where it has denominators.
    bound: Option<Level>,
    /// Memory for them.
    used: Option<Level>,
}

/// Sums over a piece of a chunk in which `p(1,x)` is constant, at both values of the variable.
struct PieceSums {
    q_low: [Scalar; 2],
    q_high: Scalar,
    product: Scalar,
    difference: Scalar,
}

/// Upper words of a piece that has no upper leaves.
static NO_WORDS: [u16; CHUNK] = [0; CHUNK];

impl BottomTables {
    /// The layer number `layer` above `leaves` leaves, more than half of its power of two.
    pub(crate) fn new(
        leaves: usize,
        gamma: Scalar,
        layer: usize,
        lambda: Scalar,
        used: Option<Level>,
    ) -> Self {
        let length = 1 << layer;
        let step = Step { at: leaves - length, before: Scalar::from(1u8), after: Scalar::zero() };
        Self { gamma, lambda, length, step, bound: None, used }
    }

    /// Cuts `first .. first + length` where `p(1,x)` changes in the lower or in the upper half.
    fn pieces(&self, first: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let half = self.length / 2;
        let mut cuts = [first, self.step.at.saturating_sub(half), self.step.at, first + length];
        cuts.iter_mut().for_each(|cut| *cut = (*cut).clamp(first, first + length));
        cuts.sort_unstable();
        let pieces = [(cuts[0], cuts[1]), (cuts[1], cuts[2]), (cuts[2], cuts[3])];
        pieces.into_iter().filter(|(first, last)| first < last)
    }

    pub(crate) fn round(&self, words: &[u16], rest: &[Scalar]) -> RoundSums {
        let half = self.length / 2;
        let weights = ChunkWeights::new(rest);
        weights.sum(
            || (),
            |(), first| {
                let mut sums = RoundSums { constant: Scalar::zero(), leading: Scalar::zero() };
                for (start, end) in self.pieces(first, weights.within.len()) {
                    let weights = &weights.within[start - first..end - first];
                    let numerators = [self.step.value(start), self.step.value(half + start)];
                    let rises = numerators[0] != numerators[1];
                    let piece = match &self.bound {
                        None => self.word_sums(words, weights, start),
                        Some(bound) => bound_sums(bound, weights, start, half, rises),
                    };
                    sums.constant +=
                        piece.q_high + numerators[0] * piece.q_low[0] + self.lambda * piece.product;
                    sums.leading += self.lambda * piece.difference;
                    if rises {
                        sums.leading += (numerators[1] - numerators[0]) * (piece.q_low[1] - piece.q_low[0]);
                    }
                }
                sums
            },
        )
    }

    /// Sums over a piece of words. The step is where the upper leaves end.
    fn word_sums(&self, words: &[u16], weights: &[Scalar], start: usize) -> PieceSums {
        let half = self.length / 2;
        let cut = |first: usize| &words[first..first + weights.len()];
        let upper = |first: usize| {
            if first < self.step.at { cut(self.length + first) } else { &NO_WORDS[..weights.len()] }
        };
        let paired = [start < self.step.at, half + start < self.step.at];
        let halves =
            WordHalves { low: [cut(start), cut(half + start)], high: [upper(start), upper(half + start)] };
        let WordSums { weights, low, high, product, difference } = words::sums(weights, &halves);
        let gamma = self.gamma;
        let q_low = low.map(|low| gamma * weights - low);
        let (q_high, product) = if paired[0] {
            (gamma * weights - high, gamma * (gamma * weights - low[0] - high) + product)
        } else {
            // The upper denominators are 1.
            (weights, q_low[0])
        };
        let difference = match paired {
            [true, true] => difference,
            // (a - a') ((1 - gamma + b) for words a, a' and b; the sum has (a' - a) (0 - b).
            [true, false] => difference - (Scalar::from(1u8) - gamma) * (low[1] - low[0]),
            [false, _] => Scalar::zero(),
        };
        PieceSums { q_low, q_high, product, difference }
    }

    pub(crate) fn bind(&mut self, words: &[u16], challenge: Scalar) {
        let half = self.length / 2;
        match &mut self.bound {
            Some(Level { numerators: low, denominators: high }) => {
                bind_and_wipe(&mut low[..2 * half], challenge);
                bind_and_wipe(&mut high[..2 * half], challenge);
            }
            None => {
                let mut bound = Level::at_least(half, self.used.take());
                let (gamma, length) = (self.gamma, self.length);
                let low = bound.numerators[..half].par_chunks_mut(CHUNK);
                let chunks = low.zip(bound.denominators[..half].par_chunks_mut(CHUNK));
                chunks.enumerate().for_each(|(chunk, (low, high))| {
                    let first = chunk * CHUNK;
                    let cut = |start: usize, count: usize| &words[start..start + count];
                    words::bind(gamma, challenge, cut(first, low.len()), cut(half + first, low.len()), low);
                    for (start, end) in self.pieces(first, low.len()) {
                        let (out, count) = (&mut high[start - first..end - first], end - start);
                        if half + start < self.step.at {
                            let (zero, one) = (cut(length + start, count), cut(length + half + start, count));
                            words::bind(gamma, challenge, zero, one, out);
                        } else if start < self.step.at {
                            words::denominators(gamma, cut(length + start, count), out);
                            out.iter_mut().for_each(|q| *q += challenge * (Scalar::from(1u8) - *q));
                        } else {
                            out.fill(Scalar::from(1u8));
                        }
                    }
                });
                self.bound = Some(bound);
            }
        }
        self.step.bind(half, challenge);
        self.length = half;
    }

    pub(crate) fn ends(self, words: &[u16]) -> [Scalar; 4] {
        let one = Scalar::from(1u8);
        let denominator =
            |word: Option<&u16>| word.map_or(one, |word| self.gamma - Scalar::from(u64::from(*word)));
        let [q_low, q_high] = match &self.bound {
            Some(bound) => [bound.numerators[0], bound.denominators[0]],
            None => [denominator(words.first()), denominator(words.get(1))],
        };
        [one, self.step.value(0), q_low, q_high]
    }
}

/// Sums over a piece of bound tables.
fn bound_sums(bound: &Level, weights: &[Scalar], start: usize, half: usize, rises: bool) -> PieceSums {
    let (low, high) = (&bound.numerators, &bound.denominators);
    let at_zero = start..start + weights.len();
    let at_one = half + start..half + start + weights.len();
    let halves = Halves {
        left_low: &low[at_zero.clone()],
        left_high: &low[at_one.clone()],
        right_low: &high[at_zero],
        right_high: &high[at_one],
    };
    let RoundSums { constant, leading } = field::weighed_sums(weights, &halves);
    let q_low_at_one = if rises { field::inner_product(weights, halves.left_high) } else { Scalar::zero() };
    PieceSums {
        q_low: [field::inner_product(weights, halves.left_low), q_low_at_one],
        q_high: field::inner_product(weights, halves.right_low),
        product: constant,
        difference: leading,
    }
}
