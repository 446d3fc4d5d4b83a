//! Runs of the decision rule on drawn scores: the cases at the edge of each claim, with the mean known.
//!
//! Nothing here is used to decide about models. [`crate::power`] and the benchmarks count what comes out.

use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

use crate::{
    capital::{Capital, Claim},
    plan::Plan,
    score::Scored,
    sequential::{Decider, Decision},
};

/// Scores with a known mean. In all of them the mean of the next score, given everything before, is the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// Always this score.
    Constant {
        /// The score.
        mean: f64,
    },
    /// Uniform around the mean.
    Uniform {
        /// The mean.
        mean: f64,
        /// Half the width; at most the distance from the mean to 0 and to 1.
        half_width: f64,
    },
    /// `high u^k` for u uniform on `[0, 1]`: many small scores and a tail.
    Skewed {
        /// The mean, `high/(k + 1)`, above 0 and below `high`.
        mean: f64,
        /// The largest score.
        high: f64,
    },
    /// One of two scores.
    TwoValued {
        /// The mean.
        mean: f64,
        /// The smaller score.
        low: f64,
        /// The larger score.
        high: f64,
    },
    /// The spread grows and shrinks over 120 scores, from none to two-valued 0 and 1/2; the mean stays.
    Drifting {
        /// The mean, at most 1/2.
        mean: f64,
    },
    /// Reacts to the past: two-valued 0 and 1/2 while the scores so far are above their mean, steady while they are
    /// below, so that what was lucky is kept.
    Reacting {
        /// The mean, at most 1/2.
        mean: f64,
    },
    /// Two-valued 0 and 1/2 with another mean in each family, in the plan's order.
    Families {
        /// The means, each at most 1/2.
        means: Vec<f64>,
    },
}

impl Source {
    /// The mean of its scores.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant { mean }
            | Self::Uniform { mean, .. }
            | Self::Skewed { mean, .. }
            | Self::TwoValued { mean, .. }
            | Self::Drifting { mean }
            | Self::Reacting { mean } => *mean,
            Self::Families { means } => means.iter().sum::<f64>() / means.len() as f64,
        }
    }

    /// Its scores from the beginning.
    pub fn scores<'a, R: Rng>(&'a self, rng: &'a mut R) -> Scores<'a, R> {
        Scores { source: self, rng, drawn: 0, sum: 0.0 }
    }
}

/// The scores of a [`Source`], without end.
pub struct Scores<'a, R> {
    source: &'a Source,
    rng: &'a mut R,
    drawn: usize,
    sum: f64,
}

/// Scores in one period of [`Source::Drifting`].
const PERIOD: usize = 120;

impl<R: Rng> Scores<'_, R> {
    fn two_valued(&mut self, mean: f64, low: f64, high: f64) -> f64 {
        if self.rng.random::<f64>() * (high - low) < mean - low { high } else { low }
    }
}

impl<R: Rng> Iterator for Scores<'_, R> {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let score = match *self.source {
            Source::Constant { mean } => mean,
            Source::Uniform { mean, half_width } => {
                mean + half_width * (2.0 * self.rng.random::<f64>() - 1.0)
            }
            Source::Skewed { mean, high } => high * libm::pow(self.rng.random(), high / mean - 1.0),
            Source::TwoValued { mean, low, high } => self.two_valued(mean, low, high),
            Source::Drifting { mean } => {
                let phase = self.drawn % PERIOD;
                let spread = 2.0 * phase.min(PERIOD - phase) as f64 / PERIOD as f64;
                mean + spread * (self.two_valued(mean, 0.0, 0.5) - mean)
            }
            Source::Reacting { mean } if self.sum <= mean * self.drawn as f64 && self.drawn > 0 => mean,
            Source::Reacting { mean } => self.two_valued(mean, 0.0, 0.5),
            Source::Families { ref means } => {
                let mean = means.get(self.drawn % means.len().max(1)).copied().unwrap_or(0.0);
                self.two_valued(mean, 0.0, 0.5)
            }
        };
        let score = score.clamp(0.0, 1.0);
        self.drawn += 1;
        self.sum += score;
        Some(score)
    }
}

/// How one simulated run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The decision.
    pub decision: Decision,
    /// After how many queries.
    pub queries: u32,
}

/// Runs the plan's rule on scores until it decides. It takes one score for each family in each round. Scores that
/// end before the decision leave it [`Decision::Undecided`].
pub fn run(plan: &Plan, scores: impl IntoIterator<Item = f64>) -> Outcome {
    let mut decider = Decider::new(plan);
    let mut scores = scores.into_iter();
    let mut round = Vec::with_capacity(plan.families().len());
    loop {
        round.clear();
        round.extend(scores.by_ref().take(plan.families().len()).map(Scored::Value));
        if round.len() < plan.families().len() {
            return Outcome { decision: Decision::Undecided, queries: decider.queries() };
        }
        if let Some(decision) = decider.round(&round) {
            return Outcome { decision, queries: decider.queries() };
        }
    }
}

/// Whether the interval for the mean, upper bound with error probability `alpha` and lower bound with `alpha_mean`, ever
/// leaves out this mean within the plan's maximum of queries, whatever is decided on the way. For plans of one family.
pub fn leaves_out(plan: &Plan, mean: f64, scores: impl IntoIterator<Item = f64>) -> bool {
    let best = plan.scale().best();
    let capital = |claim, tuned_to| Capital::new(claim, tuned_to, best).restarted_at(mean);
    let mut sides = [
        (capital(Claim::AtLeast, plan.gamma()), -libm::log(plan.alpha())),
        (capital(Claim::AtMost, plan.delta_star()), -libm::log(plan.alpha_mean())),
    ];
    scores.into_iter().take(plan.maximum() as usize).any(|score| {
        sides.iter_mut().any(|(capital, needed)| {
            capital.bet(score);
            capital.end_round();
            capital.log_capital() >= *needed
        })
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn sources_have_the_mean_that_they_say() {
        let sources = [
            Source::Constant { mean: 0.1 },
            Source::Uniform { mean: 0.3, half_width: 0.2 },
            Source::Skewed { mean: 0.1, high: 1.0 },
            Source::Skewed { mean: 0.1, high: 0.5 },
            Source::TwoValued { mean: 0.12, low: 0.02, high: 0.6 },
            Source::Drifting { mean: 0.1 },
            Source::Reacting { mean: 0.1 },
            Source::Families { means: vec![0.0, 0.1, 0.4] },
        ];
        for (seed, source) in sources.iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let count = 60_000;
            let sum: f64 = source.scores(&mut rng).take(count).sum();
            assert!((sum / count as f64 - source.mean()).abs() < 0.006, "{source:?}: {}", sum / count as f64);
        }
    }
}
