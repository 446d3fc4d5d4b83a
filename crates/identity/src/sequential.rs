//! The decision: SAME, DIFFERENT or UNDECIDED, with error probabilities that hold whenever the run stops.
//!
//! A **round** asks one challenge of each family, in any order. Bounds, e-values and decisions change when a round is
//! complete. In the middle of a round the mean over the families seen so far is not the mean that the decision is
//! about, and a test that could stop there would be wrong more often than alpha; stakes stay the same during a round
//! for the same reason. With one family, a round is one query.
//!
//! SAME: the upper bound of the mean is at most gamma, the minimum of queries is reached, and either no score exceeded
//! [`RARE_THRESHOLD`] or, where a rate of rare differences is set, the upper bound of their rate is at most that.
//! DIFFERENT: the lower bound of the mean is at least delta*, or exceedances come more often than [`RARE_NULL`].
//! UNDECIDED: the maximum of queries is reached. A withheld answer counts as 1 against SAME and as 0 against DIFFERENT.

use serde::{Deserialize, Serialize};

use crate::{
    capital::{Bound, Capital, Claim},
    plan::Plan,
    rare::{RARE_NULL, RARE_THRESHOLD, RateBound, RateCapital},
    score::Scored,
};

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// The mean distance is at most gamma.
    Same,
    /// They differ.
    Different {
        /// What shows it.
        by: DifferentBy,
    },
    /// Neither could be shown with the queries allowed.
    Undecided,
}

/// What shows that two models differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferentBy {
    /// The mean distance is at least delta*.
    Mean,
    /// Large differences are more frequent than one in a thousand.
    RareDifferences,
}

/// What is known after some scores. Bounds and e-values are those of the last complete round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Queries so far, withheld ones included.
    pub n: u32,
    /// Answers withheld so far.
    pub withheld: u32,
    /// The mean of the scores so far; [`None`] before the first.
    pub mean: Option<f64>,
    /// Lower bound of the mean, for DIFFERENT, on the scale of the scores.
    pub lower: f64,
    /// Upper bound of the mean, for SAME, on the scale of the scores.
    pub upper: f64,
    /// Natural logarithm of the e-value against "the mean is at least gamma".
    pub log_e_same: f64,
    /// Natural logarithm of the e-value against "the mean is at most delta*".
    pub log_e_different: f64,
    /// Scores above [`RARE_THRESHOLD`] so far; always 0 on the two-sample scale.
    pub exceedances: u32,
    /// Lower bound of their rate, for DIFFERENT; 0 on the two-sample scale.
    pub rare_lower: f64,
    /// Upper bound of their rate, for SAME, withheld answers counted as exceedances; 1 on the two-sample scale.
    pub rare_upper: f64,
    /// Natural logarithm of the e-value against "the rate is at most [`RARE_NULL`]"; 0 on the two-sample scale.
    pub log_e_rare: f64,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
}

/// Why a score was not taken. The test is as it was before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ObserveError {
    /// There is a decision.
    #[error("the test has ended after {n} queries: it takes no more scores")]
    Ended {
        /// Queries.
        n: u32,
    },
    /// NaN, or outside of `[0, 1]`.
    #[error("query {n} has score {found}: expected a number from 0 to 1")]
    NotAScore {
        /// Which query, from 0.
        n: u32,
        /// The number.
        found: f64,
    },
    /// A family that the plan does not name.
    #[error("the plan has no family {family:?}")]
    UnknownFamily {
        /// The name.
        family: String,
    },
    /// A family asked twice in a round.
    #[error("query {n} is of family {family:?}, which was asked in this round before")]
    FamilyAgain {
        /// Which query, from 0.
        n: u32,
        /// The name.
        family: String,
    },
}

/// The decisions of a plan, in constant time for each score: capital is compared at gamma and delta* directly, which
/// decides the same as the bounds do. Simulations use it; [`SequentialTest`] adds the bounds.
#[derive(Debug, Clone)]
pub struct Decider {
    rule: Rule,
    same: Capital,
    different: Capital,
    rare_same: RateCapital,
    rare_different: RateCapital,
    queries: u32,
    exceedances: u32,
    /// Whether a bound was reached in some round: bounds never widen.
    same_reached: bool,
    rate_reached: bool,
}

/// The numbers of a plan that decide.
#[derive(Debug, Clone, Copy)]
struct Rule {
    log_same: f64,
    log_different: f64,
    log_rare: Option<f64>,
    rare_rate: Option<f64>,
    minimum: u32,
    maximum: Option<u32>,
}

impl Decider {
    /// Decides as the plan says.
    pub fn new(plan: &Plan) -> Self {
        let mut decider = Self::without_maximum(plan);
        decider.rule.maximum = Some(plan.maximum());
        decider
    }

    /// As [`Decider::new`], but never UNDECIDED.
    pub(crate) fn without_maximum(plan: &Plan) -> Self {
        let best = plan.scale().best();
        Self {
            rule: Rule {
                log_same: -libm::log(plan.alpha()),
                log_different: -libm::log(plan.alpha_mean()),
                log_rare: plan.alpha_rare().map(|alpha| -libm::log(alpha)),
                rare_rate: plan.rare_rate(),
                minimum: plan.minimum(),
                maximum: None,
            },
            same: Capital::new(Claim::AtLeast, plan.gamma(), best),
            different: Capital::new(Claim::AtMost, plan.delta_star(), best),
            rare_same: RateCapital::new(Claim::AtLeast),
            rare_different: RateCapital::new(Claim::AtMost),
            queries: 0,
            exceedances: 0,
            same_reached: false,
            rate_reached: false,
        }
    }

    /// Scores so far.
    pub fn queries(&self) -> u32 {
        self.queries
    }

    /// Takes the scores of one round, one for each family in the plan's order, each in `[0, 1]`.
    pub fn round(&mut self, scores: &[Scored]) -> Option<Decision> {
        for scored in scores {
            let Bets { high, low, exceeds_high, exceeds_low } = self.rule.bets(*scored);
            self.same.bet(high);
            self.different.bet(low);
            self.rare_same.count(exceeds_high);
            self.rare_different.count(exceeds_low);
            self.exceedances += u32::from(exceeds_low);
            self.queries += 1;
        }
        self.same.end_round();
        self.different.end_round();
        self.decide()
    }

    fn decide(&mut self) -> Option<Decision> {
        let Rule { log_same, log_different, log_rare, rare_rate, minimum, maximum } = self.rule;
        self.same_reached |= self.same.log_capital() >= log_same;
        if let Some(rate) = rare_rate {
            self.rate_reached |= self.rare_same.log_capital_at(rate) >= log_same;
        }
        let rate_allows = if rare_rate.is_some() { self.rate_reached } else { self.exceedances == 0 };
        if self.different.log_capital() >= log_different {
            Some(Decision::Different { by: DifferentBy::Mean })
        } else if log_rare.is_some_and(|needed| self.rare_different.log_capital_at(RARE_NULL) >= needed) {
            Some(Decision::Different { by: DifferentBy::RareDifferences })
        } else if self.same_reached && self.queries >= minimum && rate_allows {
            Some(Decision::Same)
        } else if maximum.is_some_and(|maximum| self.queries >= maximum) {
            Some(Decision::Undecided)
        } else {
            None
        }
    }
}

/// What one answer counts as, towards each decision.
struct Bets {
    /// The score towards SAME.
    high: f64,
    /// The score towards DIFFERENT.
    low: f64,
    exceeds_high: bool,
    exceeds_low: bool,
}

impl Rule {
    fn bets(&self, scored: Scored) -> Bets {
        let tested = self.log_rare.is_some();
        match scored {
            Scored::Value(score) => {
                let exceeds = tested && score > RARE_THRESHOLD;
                Bets { high: score, low: score, exceeds_high: exceeds, exceeds_low: exceeds }
            }
            Scored::Withheld => Bets { high: 1.0, low: 0.0, exceeds_high: tested, exceeds_low: false },
        }
    }
}

/// The test of one candidate: scores in, state out.
#[derive(Debug, Clone)]
pub struct SequentialTest {
    plan: Plan,
    decider: Decider,
    upper: Bound,
    lower: Bound,
    rare_upper: RateBound,
    rare_lower: RateBound,
    /// Scores of the round that is not complete, by the family's place in the plan.
    pending: Vec<Option<Scored>>,
    /// Of the scores in complete rounds, added in the plan's order.
    sum: f64,
    state: State,
}

impl SequentialTest {
    /// A test that has seen nothing.
    pub fn new(plan: Plan) -> Self {
        let best = plan.scale().best();
        let alpha_rare = plan.alpha_rare().unwrap_or(plan.alpha());
        Self {
            decider: Decider::new(&plan),
            upper: Bound::new(Capital::new(Claim::AtLeast, plan.gamma(), best), plan.alpha()),
            lower: Bound::new(Capital::new(Claim::AtMost, plan.delta_star(), best), plan.alpha_mean()),
            rare_upper: RateBound::new(Claim::AtLeast, plan.alpha()),
            rare_lower: RateBound::new(Claim::AtMost, alpha_rare),
            pending: vec![None; plan.families().len()],
            sum: 0.0,
            state: State {
                n: 0,
                withheld: 0,
                mean: None,
                lower: 0.0,
                upper: 1.0,
                log_e_same: 0.0,
                log_e_different: 0.0,
                exceedances: 0,
                rare_lower: 0.0,
                rare_upper: 1.0,
                log_e_rare: 0.0,
                decision: None,
            },
            plan,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes the score of the next challenge, which is of this family.
    ///
    /// # Errors
    /// The test has ended; the score is no number in `[0, 1]`; the family is not in the plan, or was asked in this
    /// round before. The test is then as it was.
    pub fn observe(&mut self, family: &str, scored: Scored) -> Result<&State, ObserveError> {
        let n = self.state.n;
        if self.state.decision.is_some() {
            return Err(ObserveError::Ended { n });
        }
        if let Scored::Value(found) = scored
            && !(0.0..=1.0).contains(&found)
        {
            return Err(ObserveError::NotAScore { n, found });
        }
        let place = self.plan.families().iter().position(|known| known == family);
        let Some(slot) = place.and_then(|place| self.pending.get_mut(place)) else {
            return Err(ObserveError::UnknownFamily { family: family.to_owned() });
        };
        if slot.is_some() {
            return Err(ObserveError::FamilyAgain { n, family: family.to_owned() });
        }
        *slot = Some(scored);
        self.count(scored);
        if let Some(scores) = self.pending.iter().copied().collect::<Option<Vec<Scored>>>() {
            self.pending.fill(None);
            self.end_round(&scores);
        }
        Ok(&self.state)
    }

    fn count(&mut self, scored: Scored) {
        self.state.n += 1;
        match scored {
            Scored::Value(_) => {
                self.state.exceedances += u32::from(self.decider.rule.bets(scored).exceeds_low);
            }
            Scored::Withheld => self.state.withheld += 1,
        }
        let values = self.state.n - self.state.withheld;
        if values > 0 {
            let pending = self.pending.iter().flatten().map(value_or_nothing);
            self.state.mean = Some((self.sum + pending.sum::<f64>()) / f64::from(values));
        }
    }

    fn end_round(&mut self, scores: &[Scored]) {
        self.sum += scores.iter().map(value_or_nothing).sum::<f64>();
        for scored in scores {
            let Bets { high, low, exceeds_high, exceeds_low } = self.decider.rule.bets(*scored);
            self.upper.bet(high);
            self.lower.bet(low);
            self.rare_upper.count(exceeds_high);
            self.rare_lower.count(exceeds_low);
        }
        self.upper.end_round();
        self.lower.end_round();
        self.state.decision = self.decider.round(scores);
        self.state.upper = self.upper.value();
        self.state.lower = self.lower.value();
        self.state.log_e_same = self.upper.log_capital();
        self.state.log_e_different = self.lower.log_capital();
        if self.plan.alpha_rare().is_some() {
            self.rare_upper.end_round(self.plan.rare_rate().unwrap_or(RARE_NULL));
            self.rare_lower.end_round(RARE_NULL);
            self.state.rare_upper = self.rare_upper.value();
            self.state.rare_lower = self.rare_lower.value();
            self.state.log_e_rare = self.decider.rare_different.log_capital_at(RARE_NULL);
        }
    }
}

fn value_or_nothing(scored: &Scored) -> f64 {
    match scored {
        Scored::Value(score) => *score,
        Scored::Withheld => 0.0,
    }
}
