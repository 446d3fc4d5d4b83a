//! Other decision rules, to compare with: what they cost and how often they are wrong on the same scores.
//!
//! [`EarlierRule`] is written down from its description in the public repository of an earlier model-identity system
//! (PoT_Experiments, 2025): an empirical Bernstein interval that is looked at after every query. The others are
//! textbook rules with the thresholds of our own modes. None of them is used to decide.

use crate::{
    mode::Mode,
    sequential::{Decision, DifferentBy},
    simulate::Outcome,
};

/// A rule that looks at a growing sequence of scores.
#[derive(Debug, Clone)]
pub enum OtherRule {
    /// The earlier published rule.
    Earlier(EarlierRule),
    /// Hoeffding's inequality at every n with error probability `alpha 6/(pi^2 n^2)`: valid at every n at once.
    HoeffdingUnion(Mode),
    /// Chernoff's bound `exp(-n kl(mean, m))`, looked at once, after the mode's maximum of queries: valid.
    FixedSize(Mode),
    /// The same bound looked at after every query from the mode's minimum on: not valid.
    FixedSizeRepeated(Mode),
}

/// The earlier rule's constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlierRule {
    /// Nominal error probability.
    pub alpha: f64,
    /// SAME: the interval lies in `[-gamma, gamma]`, its half width is at most `gamma/2`.
    pub gamma: f64,
    /// DIFFERENT: an end of the interval is at least this far from 0.
    pub delta_star: f64,
    /// And the half width is at most this part of the mean.
    pub relative: f64,
    /// No decision before this many queries.
    pub minimum: u32,
    /// UNDECIDED after this many.
    pub maximum: u32,
    /// Positions in a prompt, each counted as an independent sample.
    pub positions: u32,
}

/// Scores are clipped to `[0, 0.3]` for the earlier rule's variance.
const EARLIER_CLIP: f64 = 0.3;

impl EarlierRule {
    /// Its quick mode.
    pub const QUICK: Self = Self {
        alpha: 0.025,
        gamma: 0.015,
        delta_star: 0.10,
        relative: 0.20,
        minimum: 12,
        maximum: 120,
        positions: 32,
    };
    /// Its audit mode.
    pub const AUDIT: Self = Self {
        alpha: 0.01,
        gamma: 0.010,
        delta_star: 0.10,
        relative: 0.10,
        minimum: 30,
        maximum: 400,
        positions: 64,
    };

    fn half_width(&self, seen: &Seen) -> f64 {
        let (mean, variance) = (seen.clipped.mean, seen.clipped.variance());
        if variance < 1e-10 && mean.abs() < 1e-10 {
            return 0.0;
        }
        let samples = seen.all.count * f64::from(self.positions);
        let term = libm::log(3.0 / self.alpha);
        (libm::sqrt(2.0 * variance * term / samples) + 3.0 * term / (samples - 1.0)) * EARLIER_CLIP
    }

    fn decide(&self, seen: &Seen) -> Option<Decision> {
        let (mean, half_width) = (seen.all.mean, self.half_width(seen));
        let (lower, upper) = (mean - half_width, mean + half_width);
        if lower >= -self.gamma && upper <= self.gamma && half_width <= self.gamma / 2.0 {
            Some(Decision::Same)
        } else if lower.abs().max(upper.abs()) >= self.delta_star && half_width <= self.relative * mean.abs()
        {
            Some(DIFFERENT)
        } else {
            None
        }
    }
}

const DIFFERENT: Decision = Decision::Different { by: DifferentBy::Mean };

/// Mean and sum of squared deviations, updated.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, score: f64) {
        self.count += 1.0;
        let before = score - self.mean;
        self.mean += before / self.count;
        self.squares += before * (score - self.mean);
    }

    fn variance(&self) -> f64 {
        if self.count < 2.0 { 0.0 } else { self.squares / (self.count - 1.0) }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    all: Moments,
    clipped: Moments,
}

/// What a rule did on one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The decision and its queries.
    pub outcome: Outcome,
    /// Whether an interval that the rule looked at, up to its maximum of queries, left out the true mean.
    pub missed: bool,
}

/// Kullback-Leibler divergence of two coins, `p` and `q` in `[0, 1]`.
fn divergence(p: f64, q: f64) -> f64 {
    let term = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * libm::log(p / q) };
    term(p, q) + term(1.0 - p, 1.0 - q)
}

impl OtherRule {
    /// Its name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Earlier(_) => "published empirical Bernstein rule",
            Self::HoeffdingUnion(_) => "Hoeffding with union bound",
            Self::FixedSize(_) => "fixed n, one look",
            Self::FixedSizeRepeated(_) => "fixed n, looked at repeatedly",
        }
    }

    /// The largest mean that it calls SAME, and the smallest that it calls DIFFERENT.
    pub fn thresholds(&self) -> [f64; 2] {
        match self {
            Self::Earlier(rule) => [rule.gamma, rule.delta_star],
            Self::HoeffdingUnion(mode) | Self::FixedSize(mode) | Self::FixedSizeRepeated(mode) => {
                [mode.gamma(), mode.delta_star()]
            }
        }
    }

    /// Looks at the scores until it decides, and goes on to its maximum of queries to see whether it ever leaves out
    /// the true mean. Scores that end before are [`Decision::Undecided`].
    pub fn trial(&self, true_mean: f64, scores: impl IntoIterator<Item = f64>) -> Trial {
        let (minimum, maximum) = self.queries();
        let mut seen = Seen::default();
        let mut decided = None;
        let mut missed = false;
        for (score, queries) in scores.into_iter().zip(1..=maximum) {
            seen.all.add(score);
            seen.clipped.add(score.min(EARLIER_CLIP));
            if queries < minimum {
                continue;
            }
            missed |= self.excludes(&seen, true_mean);
            decided = decided.or_else(|| self.decide(&seen).map(|decision| Outcome { decision, queries }));
        }
        let undecided = Outcome { decision: Decision::Undecided, queries: seen.all.count as u32 };
        Trial { outcome: decided.unwrap_or(undecided), missed }
    }

    fn queries(&self) -> (u32, u32) {
        match self {
            Self::Earlier(rule) => (rule.minimum, rule.maximum),
            Self::HoeffdingUnion(mode) | Self::FixedSizeRepeated(mode) => (mode.minimum(), mode.maximum()),
            Self::FixedSize(mode) => (mode.maximum(), mode.maximum()),
        }
    }

    /// Whether the interval of the scores so far leaves this mean out.
    fn excludes(&self, seen: &Seen, mean: f64) -> bool {
        let Moments { count, mean: found, .. } = seen.all;
        match self {
            Self::Earlier(rule) => (found - mean).abs() > rule.half_width(seen),
            Self::HoeffdingUnion(mode) => {
                let spent = mode.alpha() * 6.0 / (std::f64::consts::PI * count).powi(2);
                (found - mean).abs() >= libm::sqrt(-libm::log(spent) / (2.0 * count))
            }
            Self::FixedSize(mode) | Self::FixedSizeRepeated(mode) => {
                count * divergence(found, mean) >= -libm::log(mode.alpha())
            }
        }
    }

    fn decide(&self, seen: &Seen) -> Option<Decision> {
        if let Self::Earlier(rule) = self {
            return rule.decide(seen);
        }
        let [gamma, delta_star] = self.thresholds();
        if seen.all.mean < gamma && self.excludes(seen, gamma) {
            Some(Decision::Same)
        } else if seen.all.mean > delta_star && self.excludes(seen, delta_star) {
            Some(DIFFERENT)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_rule_says_same_on_its_first_look_at_zeros() {
        let trial = OtherRule::Earlier(EarlierRule::QUICK).trial(0.0, std::iter::repeat(0.0));
        assert_eq!(trial.outcome, Outcome { decision: Decision::Same, queries: 12 });
        assert!(!trial.missed);
    }

    #[test]
    fn a_divergence_by_hand() {
        assert!((divergence(0.0, 0.1) - -0.9_f64.ln()).abs() < 1e-12);
        assert_eq!(divergence(0.3, 0.3), 0.0);
        // 0.5 ln(0.5/0.25) + 0.5 ln(0.5/0.75)
        assert!((divergence(0.5, 0.25) - 0.5 * (4.0_f64 / 3.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn valid_rules_with_our_thresholds_need_more_queries_on_zeros() {
        let queries = |rule: OtherRule| rule.trial(0.0, std::iter::repeat(0.0)).outcome;
        let union = queries(OtherRule::HoeffdingUnion(Mode::audit()));
        assert_eq!(union.decision, Decision::Undecided);
        assert_eq!(queries(OtherRule::FixedSize(Mode::audit())).queries, 400);
        let repeated = queries(OtherRule::FixedSizeRepeated(Mode::audit()));
        assert_eq!(repeated, Outcome { decision: Decision::Same, queries: 44 });
    }
}
