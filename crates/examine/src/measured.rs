//! How far two models are from each other, measured on many challenges, and which decisions that contradicts.
//!
//! Whether a decision was right cannot follow from what was done to a model: eight bits may change it less than gamma,
//! or more. So the mean distance is measured, on challenges of another key and more of them than most runs ask. A
//! decision by the mean is wrong where the measured mean contradicts it by more than three standard errors. DIFFERENT by
//! rare differences is wrong where the measured share of visible differences is not above the share that the test
//! refuses.

use lorica_identity::{Decision, DifferentBy, Plan, RARE_NULL, RARE_THRESHOLD};
use serde::{Deserialize, Serialize};

/// Standard errors between a measured mean and a threshold before a decision counts as wrong.
const STANDARD_ERRORS: f64 = 3.0;

/// A measured mean distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The mean of the scores, in `[0, 1]`.
    pub mean: f64,
    /// The standard error of the mean.
    pub standard_error: f64,
    /// The share of scores above the threshold of rare differences.
    pub visible: f64,
}

/// Which decisions are not wrong, by the measured mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// The mean is below delta* and not above gamma: DIFFERENT is wrong.
    Same,
    /// The mean is between the thresholds: SAME and DIFFERENT are both wrong.
    Neither,
    /// The mean is above gamma and not below delta*: SAME is wrong.
    Different,
    /// The mean is too near to a threshold to call one of them wrong.
    Unclear,
}

impl Measured {
    /// What scores add up to. At least two are needed for a standard error; with fewer it is not a number.
    pub fn of(scores: &[f64]) -> Self {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let visible = scores.iter().filter(|score| **score > RARE_THRESHOLD).count() as f64 / n;
        Self { mean, standard_error: (variance / n).sqrt(), visible }
    }

    /// What the mean allows under a plan on the scale of distances.
    pub fn allowed(&self, plan: &Plan) -> Allowed {
        Allowed::of(self.mean, self.standard_error, plan.gamma(), plan.delta_star())
    }
}

impl Allowed {
    /// What a measured mean allows.
    fn of(mean: f64, standard_error: f64, gamma: f64, delta_star: f64) -> Self {
        let slack = STANDARD_ERRORS * standard_error;
        let (lower, upper) = (mean - slack, mean + slack);
        if upper <= gamma {
            Self::Same
        } else if lower >= delta_star {
            Self::Different
        } else if lower > gamma && upper < delta_star {
            Self::Neither
        } else {
            Self::Unclear
        }
    }

    /// Whether a decision is wrong by what was measured, where this share of challenges was visibly different.
    pub fn contradicts(self, decision: Decision, visible: f64) -> bool {
        match decision {
            Decision::Undecided => false,
            Decision::Same => matches!(self, Self::Different | Self::Neither),
            Decision::Different { by: DifferentBy::Mean } => matches!(self, Self::Same | Self::Neither),
            Decision::Different { by: DifferentBy::RareDifferences } => visible <= RARE_NULL,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_mean_and_its_standard_error() {
        let measured = Measured::of(&[0.0, 0.2, 0.4, 0.6]);
        assert!((measured.mean - 0.3).abs() < 1e-12);
        // The sample variance is 0.2 / 3.
        assert!((measured.standard_error - (0.2_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(measured.visible, 0.25);
    }

    #[test]
    fn a_decision_is_contradicted_beyond_three_standard_errors_only() {
        let allowed = |mean| Allowed::of(mean, 0.01, 0.1, 0.2);
        assert_eq!(
            [0.06, 0.08, 0.15, 0.22, 0.24].map(allowed),
            [Allowed::Same, Allowed::Unclear, Allowed::Neither, Allowed::Unclear, Allowed::Different]
        );
        let by_mean = Decision::Different { by: DifferentBy::Mean };
        let by_rare = Decision::Different { by: DifferentBy::RareDifferences };
        for (mean, wrong) in [
            (0.06, [false, true]),
            (0.08, [false, false]),
            (0.15, [true, true]),
            (0.22, [false, false]),
            (0.24, [true, false]),
        ] {
            let found = [Decision::Same, by_mean].map(|decision| allowed(mean).contradicts(decision, 0.0));
            assert_eq!(found, wrong, "{mean}");
            assert!(!allowed(mean).contradicts(Decision::Undecided, 0.0));
            // What is measured of rare differences is another share, whatever the mean is.
            assert!(allowed(mean).contradicts(by_rare, RARE_NULL));
            assert!(!allowed(mean).contradicts(by_rare, 0.02));
        }
    }
}
