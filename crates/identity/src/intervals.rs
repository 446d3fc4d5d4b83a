//! Clopper-Pearson intervals for the rates that simulations and benchmarks report.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF as _};

/// How often something happened, with an interval that holds for the true rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How often it happened.
    pub count: u64,
    /// Among how many.
    pub of: u64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// Every interval of a [`Rate`] holds with at least this probability.
pub const CONFIDENCE: f64 = 0.95;

impl Rate {
    /// `count` among `of`, with the Clopper-Pearson interval of 95 %. A count above `of` is taken as `of`; none among
    /// none is the interval from 0 to 1.
    pub fn new(count: u64, of: u64) -> Self {
        let count = count.min(of);
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let (k, n) = (count as f64, of as f64);
        let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).ok().map(|beta| beta.inverse_cdf(p));
        // Each end is the rate at which so extreme a count has probability `tail`; a count at the edge has no parameter
        // above 0 there, and the end is 0 or 1.
        let lower = quantile(k, n - k + 1.0, tail).unwrap_or(0.0);
        let upper = quantile(k + 1.0, n - k, 1.0 - tail).unwrap_or(1.0);
        Self { count, of, lower, upper }
    }

    /// The part itself; NaN among none.
    pub fn part(&self) -> f64 {
        self.count as f64 / self.of as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_intervals() {
        // Both ends have closed forms for 0 and for all: 1 - (0.025)^(1/n).
        let none = Rate::new(0, 20);
        assert_eq!(none.lower, 0.0);
        assert!((none.upper - (1.0 - 0.025_f64.powf(0.05))).abs() < 1e-9, "{none:?}");
        let all = Rate::new(20, 20);
        assert_eq!(all.upper, 1.0);
        assert!((all.lower - 0.025_f64.powf(0.05)).abs() < 1e-9, "{all:?}");
        // The interval for 1 of 2 is symmetric, with ends 1 - sqrt(0.975) and sqrt(0.975).
        let half = Rate::new(1, 2);
        assert!((half.lower - (1.0 - 0.975_f64.sqrt())).abs() < 1e-9, "{half:?}");
        assert!((half.upper - 0.975_f64.sqrt()).abs() < 1e-9, "{half:?}");
        assert_eq!((Rate::new(0, 0).lower, Rate::new(0, 0).upper), (0.0, 1.0));
    }

    #[test]
    fn large_counts_have_narrow_intervals_around_the_part() {
        let rate = Rate::new(180, 20_000);
        assert!(rate.lower < rate.part() && rate.part() < rate.upper);
        assert!(rate.upper - rate.lower < 0.003, "{rate:?}");
    }
}
