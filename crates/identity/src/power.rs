//! What a plan can be expected to find, before any query is spent: decisions and queries by simulation.

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{
    intervals::Rate,
    plan::{Plan, ScoreScale},
    sequential::Decision,
    simulate::{Source, run},
};

/// What comes of a plan on scores of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Power {
    /// The scores, on the plan's scale.
    pub source: Source,
    /// How often SAME.
    pub same: Rate,
    /// How often DIFFERENT.
    pub different: Rate,
    /// How often UNDECIDED.
    pub undecided: Rate,
    /// Queries until the decision, on average.
    pub mean_queries: f64,
    /// Half of the runs needed at most this many queries.
    pub median_queries: u32,
    /// Nine in ten runs needed at most this many queries.
    pub most_queries: u32,
}

/// An effect that no pair of models can have.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the effect is {found}: expected a mean distance of at least 0 and less than 1")]
pub struct EffectError {
    /// The number.
    pub found: f64,
}

/// Simulates `runs` runs of the plan on scores from the source.
pub fn power(plan: &Plan, source: &Source, runs: u32, rng: &mut impl Rng) -> Power {
    let mut queries = Vec::with_capacity(runs as usize);
    let [mut same, mut different, mut undecided] = [0; 3];
    for _ in 0..runs {
        let outcome = run(plan, source.scores(rng));
        queries.push(outcome.queries);
        match outcome.decision {
            Decision::Same => same += 1,
            Decision::Different { .. } => different += 1,
            Decision::Undecided => undecided += 1,
        }
    }
    queries.sort_unstable();
    let rate = |count| Rate::new(count, u64::from(runs));
    let quantile = |tenths: usize| queries.get((queries.len() * tenths).div_ceil(10).saturating_sub(1));
    Power {
        source: source.clone(),
        same: rate(same),
        different: rate(different),
        undecided: rate(undecided),
        mean_queries: queries.iter().copied().map(f64::from).sum::<f64>() / f64::from(runs.max(1)),
        median_queries: quantile(5).copied().unwrap_or(0),
        most_queries: quantile(9).copied().unwrap_or(0),
    }
}

/// The power of a plan for a mean distance, for scores that are steady, that spread evenly, that are skewed and that
/// take two values (on the two-sample scale: steady, a little noisy, noisy). What a pair of models does lies between
/// them: the mean alone does not fix the number of queries.
///
/// # Errors
/// An effect below 0, or not below 1.
pub fn outlook(plan: &Plan, effect: f64, runs: u32, rng: &mut impl Rng) -> Result<Vec<Power>, EffectError> {
    if !(0.0..1.0).contains(&effect) {
        return Err(EffectError { found: effect });
    }
    let mean = plan.scale().from_distance(effect);
    let room = mean.min(1.0 - mean);
    let sources = match plan.scale() {
        _ if effect == 0.0 && plan.scale() == ScoreScale::Distance => vec![Source::Constant { mean }],
        ScoreScale::Distance => vec![
            Source::Constant { mean },
            Source::Uniform { mean, half_width: room },
            Source::Skewed { mean, high: 1.0 },
            Source::TwoValued { mean, low: 0.0, high: if mean < 0.5 { 0.5 } else { 1.0 } },
        ],
        ScoreScale::TwoSample => vec![
            Source::Constant { mean },
            Source::Uniform { mean, half_width: room.min(0.1) },
            Source::Uniform { mean, half_width: room.min(0.25) },
        ],
    };
    Ok(sources.iter().map(|source| power(plan, source, runs, rng)).collect())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::{mode::Mode, plan::PlanParts};

    fn plan() -> Plan {
        Plan::new(PlanParts {
            mode: Mode::audit(),
            scale: ScoreScale::Distance,
            candidates: NonZeroU32::MIN,
            families: ["a", "b", "c", "d", "e"].map(String::from).to_vec(),
            budget: None,
            rare_rate: None,
        })
        .unwrap()
    }

    #[test]
    fn large_effects_are_found_and_no_effect_is_same() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for found in outlook(&plan(), 0.35, 200, &mut rng).unwrap() {
            assert!(found.different.count >= 199, "{found:?}");
            assert!(found.median_queries <= 20, "{found:?}");
        }
        let none = outlook(&plan(), 0.0, 10, &mut rng).unwrap();
        assert_eq!(none.len(), 1);
        assert_eq!((none[0].same.count, none[0].median_queries), (10, plan().needed()));
        assert_eq!(
            (none[0].most_queries, none[0].mean_queries),
            (plan().needed(), f64::from(plan().needed()))
        );
    }

    #[test]
    fn an_effect_that_is_none_is_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for effect in [f64::NAN, -0.1, 1.0] {
            assert!(outlook(&plan(), effect, 1, &mut rng).is_err(), "{effect}");
        }
    }
}
