//! A plan: a mode, what is scored, how many candidates share the error probability, and the families that are asked.
//!
//! A plan is fixed before the first query and is part of the evidence. It is checked when it is made and when it is
//! read: a plan in which SAME can never happen does not exist.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{
    mode::{self, Mode},
    rare,
    score::Scored,
    sequential::{Decider, Decision},
};

/// What a score means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreScale {
    /// A distance: 0 for identical behaviour, 1 for behaviour that has nothing in common.
    Distance,
    /// A two-sample statistic h in `[-2, 2]`, 0 on average for identical behaviour, scored as `(h + 2)/4`.
    TwoSample,
}

impl ScoreScale {
    /// A distance on the scale of the scores.
    pub fn from_distance(self, distance: f64) -> f64 {
        match self {
            Self::Distance => distance,
            Self::TwoSample => (2.0 + distance) / 4.0,
        }
    }

    /// A score, or a mean of scores, as a distance.
    pub fn to_distance(self, score: f64) -> f64 {
        match self {
            Self::Distance => score,
            Self::TwoSample => 4.0 * score - 2.0,
        }
    }

    /// The score of identical behaviour: 0, or the mean 1/2 of a two-sample statistic.
    pub fn best(self) -> f64 {
        self.from_distance(0.0)
    }
}

/// The parts of a plan, not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanParts {
    /// Error probability, thresholds, numbers of queries.
    pub mode: Mode,
    /// What a score means.
    pub scale: ScoreScale,
    /// How many candidates share the mode's error probability: each gets an equal part of it, so that the probability
    /// of any false SAME among them all, and of any false DIFFERENT, keeps within the mode's alpha.
    pub candidates: NonZeroU32,
    /// Families of challenges, by name. A round asks one challenge of each.
    pub families: Vec<String>,
    /// Queries at most, in place of the mode's.
    pub budget: Option<u32>,
    /// If set, SAME also says that the score exceeds [`rare::RARE_THRESHOLD`] on at most this part of the challenges.
    pub rare_rate: Option<f64>,
}

/// A plan in which every decision can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PlanParts", into = "PlanParts")]
pub struct Plan {
    parts: PlanParts,
    floor: u32,
    needed: u32,
}

/// Why parts are not a plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Nobody to ask about.
    #[error("a plan needs at least one family of challenges")]
    NoFamily,
    /// One name twice.
    #[error("the family {family:?} is named twice")]
    FamilyTwice {
        /// The name.
        family: String,
    },
    /// Not a rate of rare differences.
    #[error(
        "the rate of rare differences is {found}: expected more than {} and less than 1",
        rare::RARE_NULL
    )]
    RareRate {
        /// The number.
        found: f64,
    },
    /// Exceedances mean nothing for a two-sample statistic.
    #[error("a rate of rare differences can be bounded for distances only, not for texts")]
    RareOnTwoSample,
    /// SAME can never happen.
    #[error(
        "{maximum} queries can never end in SAME: no valid test needs fewer than {floor}, and this one needs {needed}"
    )]
    BelowFloor {
        /// At most this many queries, in whole rounds.
        maximum: u32,
        /// The least that any valid test needs.
        floor: u32,
        /// What this test needs when every score is the best.
        needed: u32,
    },
}

/// Above this many queries, nobody counts what a test would need.
const COUNTED: u32 = 200_000;

impl Plan {
    /// Checks the parts.
    ///
    /// # Errors
    /// No family or one named twice; a rate that is none; too few queries for SAME ever to happen.
    pub fn new(parts: PlanParts) -> Result<Self, PlanError> {
        if parts.families.is_empty() {
            return Err(PlanError::NoFamily);
        }
        for (index, family) in parts.families.iter().enumerate() {
            if parts.families[..index].contains(family) {
                return Err(PlanError::FamilyTwice { family: family.clone() });
            }
        }
        if let Some(rate) = parts.rare_rate {
            if !(rate > rare::RARE_NULL && rate < 1.0) {
                return Err(PlanError::RareRate { found: rate });
            }
            if parts.scale == ScoreScale::TwoSample {
                return Err(PlanError::RareOnTwoSample);
            }
        }
        let mut plan = Self { parts, floor: 0, needed: 0 };
        plan.floor = plan.compute_floor();
        plan.needed = plan.compute_needed();
        let maximum = plan.maximum();
        if maximum < plan.needed {
            return Err(PlanError::BelowFloor { maximum, floor: plan.floor, needed: plan.needed });
        }
        Ok(plan)
    }

    /// The mode.
    pub fn mode(&self) -> &Mode {
        &self.parts.mode
    }

    /// What a score means.
    pub fn scale(&self) -> ScoreScale {
        self.parts.scale
    }

    /// How many candidates share the mode's error probability.
    pub fn candidates(&self) -> NonZeroU32 {
        self.parts.candidates
    }

    /// Families of challenges; a round asks one challenge of each.
    pub fn families(&self) -> &[String] {
        &self.parts.families
    }

    /// Queries in a round.
    pub fn round(&self) -> u32 {
        self.parts.families.len() as u32
    }

    /// The rate of rare differences that SAME rules out, if one is set.
    pub fn rare_rate(&self) -> Option<f64> {
        self.parts.rare_rate
    }

    /// The probability of a false SAME about one candidate, and of a false DIFFERENT, at most: the mode's divided by
    /// the number of candidates.
    pub fn alpha(&self) -> f64 {
        self.parts.mode.alpha() / f64::from(self.parts.candidates.get())
    }

    /// The part of [`Plan::alpha`] for DIFFERENT by the mean: nine tenths, or all of it where rare differences are not
    /// tested.
    pub fn alpha_mean(&self) -> f64 {
        match self.parts.scale {
            ScoreScale::Distance => 0.9 * self.alpha(),
            ScoreScale::TwoSample => self.alpha(),
        }
    }

    /// The part of [`Plan::alpha`] for DIFFERENT by rare differences: one tenth; [`None`] where they are not tested.
    pub fn alpha_rare(&self) -> Option<f64> {
        match self.parts.scale {
            ScoreScale::Distance => Some(0.1 * self.alpha()),
            ScoreScale::TwoSample => None,
        }
    }

    /// The threshold for SAME on the scale of the scores.
    pub fn gamma(&self) -> f64 {
        self.parts.scale.from_distance(self.parts.mode.gamma())
    }

    /// The threshold for DIFFERENT on the scale of the scores.
    pub fn delta_star(&self) -> f64 {
        self.parts.scale.from_distance(self.parts.mode.delta_star())
    }

    /// No SAME before this many queries.
    pub fn minimum(&self) -> u32 {
        self.parts.mode.minimum()
    }

    /// UNDECIDED after this many queries: the budget, or else the mode's maximum, in whole rounds.
    pub fn maximum(&self) -> u32 {
        let queries = self.parts.budget.unwrap_or(self.parts.mode.maximum());
        queries - queries % self.round()
    }

    /// The least number of queries with which any valid test can say SAME about one candidate.
    pub fn floor(&self) -> u32 {
        self.floor
    }

    /// The number of queries after which this test says SAME if every score is the best.
    pub fn needed(&self) -> u32 {
        self.needed
    }

    fn compute_floor(&self) -> u32 {
        let of_mean = mode::floor(self.alpha(), self.gamma(), self.parts.scale.best());
        let of_rate = self.parts.rare_rate.map_or(0, |rate| mode::floor(self.alpha(), rate, 0.0));
        of_mean.max(of_rate)
    }

    fn compute_needed(&self) -> u32 {
        if self.floor > COUNTED {
            return self.floor;
        }
        let mut decider = Decider::without_maximum(self);
        let best = Scored::Value(self.parts.scale.best());
        while decider.queries() < 2 * COUNTED {
            if decider.round(&vec![best; self.parts.families.len()]) == Some(Decision::Same) {
                return decider.queries();
            }
        }
        u32::MAX
    }
}

impl TryFrom<PlanParts> for Plan {
    type Error = PlanError;

    fn try_from(parts: PlanParts) -> Result<Self, PlanError> {
        Self::new(parts)
    }
}

impl From<Plan> for PlanParts {
    fn from(plan: Plan) -> Self {
        plan.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(mode: Mode) -> PlanParts {
        PlanParts {
            mode,
            scale: ScoreScale::Distance,
            candidates: NonZeroU32::MIN,
            families: ["general", "arithmetic", "code", "safety", "nouns"].map(String::from).to_vec(),
            budget: None,
            rare_rate: None,
        }
    }

    #[test]
    fn a_budget_below_the_floor_is_refused_by_name_also_when_read() {
        let small = PlanParts { budget: Some(40), ..parts(Mode::audit()) };
        assert_eq!(
            Plan::new(small.clone()),
            Err(PlanError::BelowFloor { maximum: 40, floor: 44, needed: 50 })
        );
        let message =
            serde_json::from_str::<Plan>(&serde_json::to_string(&small).unwrap()).unwrap_err().to_string();
        assert!(message.contains("44"), "{message}");
        assert!(Plan::new(PlanParts { budget: Some(50), ..small }).is_ok());
    }

    #[test]
    fn a_plan_survives_being_written_and_read() {
        let plan = Plan::new(PlanParts { rare_rate: Some(0.02), ..parts(Mode::audit()) }).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn a_rare_rate_that_the_mode_cannot_reach_is_refused() {
        let error = Plan::new(PlanParts { rare_rate: Some(0.01), ..parts(Mode::audit()) });
        assert!(matches!(error, Err(PlanError::BelowFloor { floor: 459, maximum: 400, .. })), "{error:?}");
        let plan = Plan::new(PlanParts { rare_rate: Some(0.01), ..parts(Mode::extended()) }).unwrap();
        assert_eq!(plan.floor(), 688);
        assert!(f64::from(plan.needed()) <= 1.15 * 688.0, "{}", plan.needed());
    }

    #[test]
    fn candidates_share_alpha() {
        let plan =
            Plan::new(PlanParts { candidates: NonZeroU32::new(4).unwrap(), ..parts(Mode::audit()) }).unwrap();
        assert_eq!(plan.alpha(), 0.0025);
        assert_eq!(plan.floor(), 57);
        let shares = plan.alpha_mean() + plan.alpha_rare().unwrap();
        assert!((shares - plan.alpha()).abs() < 1e-15);
    }

    #[test]
    fn parts_that_are_no_plan_are_refused() {
        let audit = || parts(Mode::audit());
        assert_eq!(Plan::new(PlanParts { families: vec![], ..audit() }), Err(PlanError::NoFamily));
        let twice = PlanParts { families: vec!["a".into(), "b".into(), "a".into()], ..audit() };
        assert_eq!(Plan::new(twice), Err(PlanError::FamilyTwice { family: "a".into() }));
        for rate in [f64::NAN, 0.0, 0.001, 1.0] {
            let found = Plan::new(PlanParts { rare_rate: Some(rate), ..audit() });
            assert!(matches!(found, Err(PlanError::RareRate { .. })), "{rate}");
        }
        let text = PlanParts { rare_rate: Some(0.02), scale: ScoreScale::TwoSample, ..audit() };
        assert_eq!(Plan::new(text), Err(PlanError::RareOnTwoSample));
    }

    #[test]
    fn every_mode_can_decide_on_texts() {
        for mode in Mode::all() {
            let plan = Plan::new(PlanParts { scale: ScoreScale::TwoSample, ..parts(mode) }).unwrap();
            assert!(f64::from(plan.needed()) <= 1.15 * f64::from(plan.floor()), "{plan:?}");
        }
    }
}
