//! Rare differences: how often the score exceeds [`RARE_THRESHOLD`], bounded at every time at once.
//!
//! A model that differs on 1 % of the prompts has a mean near 0. What it does not hide is that scores above 1/2 come
//! at a rate which the same model never shows. Against "the rate is at least r" and "the rate is at most r" stand
//! mixtures of likelihood ratios `(q/r)^k ((1 - q)/(1 - r))^(n - k)` for k exceedances among n, with q below or above r:
//! they are betting capitals ([`crate::capital`]) for scores that are 0 or 1, so the same theorem holds. With
//! `q = r (1 - c)` or `q = r + c (1 - r)` the parts c below do not depend on r.

use crate::capital::{Claim, Stake, log_sum};

/// A score above this is an exceedance.
pub const RARE_THRESHOLD: f64 = 0.5;

/// DIFFERENT may rest on exceedances alone where they come more often than this.
pub const RARE_NULL: f64 = 0.001;

/// Stakes against "the rate is at least r": the largest reaches a bound near the floor if nothing exceeds.
const AT_LEAST: [Stake; 4] = [
    Stake { weight: 0.70, part: 0.99 },
    Stake { weight: 0.15, part: 0.80 },
    Stake { weight: 0.10, part: 0.50 },
    Stake { weight: 0.05, part: 0.20 },
];

/// Stakes against "the rate is at most r": for r near 0 the part is about the rate under which the capital grows fastest.
const AT_MOST: [Stake; 5] = [
    Stake { weight: 0.2, part: 0.005 },
    Stake { weight: 0.2, part: 0.02 },
    Stake { weight: 0.2, part: 0.08 },
    Stake { weight: 0.2, part: 0.25 },
    Stake { weight: 0.2, part: 0.60 },
];

/// How closely a bound is computed: it errs to the safe side by at most this.
const RESOLUTION: f64 = 1e-9;

/// Capital against a claim about the rate of exceedances.
#[derive(Debug, Clone)]
pub struct RateCapital {
    claim: Claim,
    exceedances: u32,
    others: u32,
}

impl RateCapital {
    /// A capital of 1.
    pub fn new(claim: Claim) -> Self {
        Self { claim, exceedances: 0, others: 0 }
    }

    /// Counts one answer.
    pub fn count(&mut self, exceeds: bool) {
        if exceeds {
            self.exceedances += 1;
        } else {
            self.others += 1;
        }
    }

    /// The natural logarithm of the capital against the claim about this rate, in (0, 1): an e-value.
    pub fn log_capital_at(&self, rate: f64) -> f64 {
        let (stakes, gains): (&[Stake], _) = match self.claim {
            Claim::AtLeast => (&AT_LEAST, [-1.0, rate / (1.0 - rate)]),
            Claim::AtMost => (&AT_MOST, [(1.0 - rate) / rate, -1.0]),
        };
        log_sum(stakes.iter().map(|stake| {
            let [exceeding, other] = gains.map(|gain| libm::log1p(stake.part * gain));
            libm::log(stake.weight) + f64::from(self.exceedances) * exceeding + f64::from(self.others) * other
        }))
    }
}

/// A bound on the rate of exceedances that only ever tightens.
#[derive(Debug, Clone)]
pub struct RateBound {
    capital: RateCapital,
    log_needed: f64,
    bound: f64,
}

impl RateBound {
    /// An upper bound against [`Claim::AtLeast`], a lower one against [`Claim::AtMost`], that fails to hold with
    /// probability at most `alpha`.
    pub fn new(claim: Claim, alpha: f64) -> Self {
        let bound = match claim {
            Claim::AtLeast => 1.0,
            Claim::AtMost => 0.0,
        };
        Self { capital: RateCapital::new(claim), log_needed: -libm::log(alpha), bound }
    }

    /// Counts one answer of the current round.
    pub fn count(&mut self, exceeds: bool) {
        self.capital.count(exceeds);
    }

    /// The bound as of the last round that ended.
    pub fn value(&self) -> f64 {
        self.bound
    }

    /// Tightens the bound. `decisive` is the rate that decisions are about: it is tried first, so that bound and
    /// decision agree to the last bit.
    pub fn end_round(&mut self, decisive: f64) {
        let rejects = |rate: f64| self.capital.log_capital_at(rate) >= self.log_needed;
        let inside = self.bound > 0.0 && self.bound < 1.0;
        if inside && !rejects(self.bound) {
            return;
        }
        let (mut near, mut far) = match self.capital.claim {
            Claim::AtLeast => (self.bound, 0.0),
            Claim::AtMost => (self.bound, 1.0),
        };
        let mut probe = decisive;
        if (probe - near) * (probe - far) >= 0.0 {
            probe = f64::midpoint(near, far);
        }
        while (near - far).abs() > RESOLUTION {
            if rejects(probe) {
                near = probe;
            } else {
                far = probe;
            }
            probe = f64::midpoint(near, far);
        }
        self.bound = near;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_and_no_bet_gains_if_the_claim_is_true() {
        for (claim, rate) in [(Claim::AtLeast, 0.01), (Claim::AtMost, RARE_NULL)] {
            let mut capital = RateCapital::new(claim);
            assert!(capital.log_capital_at(rate).abs() < 1e-12);
            for exceeds in [false, true, false] {
                let now = capital.log_capital_at(rate);
                let after = |exceeds| {
                    let mut next = capital.clone();
                    next.count(exceeds);
                    libm::exp(next.log_capital_at(rate) - now)
                };
                let expected = rate * after(true) + (1.0 - rate) * after(false);
                assert!((expected - 1.0).abs() < 1e-9, "{claim:?}: {expected}");
                capital.count(exceeds);
            }
        }
    }

    #[test]
    fn without_exceedances_the_upper_bound_comes_near_the_floor() {
        let mut bound = RateBound::new(Claim::AtLeast, 0.001);
        let mut queries = 0;
        while bound.value() > 0.01 {
            bound.count(false);
            bound.end_round(0.01);
            queries += 1;
        }
        // ln(1000)/-ln(0.99) = 687.3
        assert!((688..=791).contains(&queries), "{queries}");
    }

    #[test]
    fn exceedances_raise_the_lower_bound_and_others_never_lower_it() {
        let mut bound = RateBound::new(Claim::AtMost, 0.001);
        let mut last = 0.0;
        for query in 0..200 {
            bound.count(query % 10 == 0);
            bound.end_round(RARE_NULL);
            assert!(bound.value() >= last && bound.value() < 0.1);
            last = bound.value();
        }
        assert!(last > 0.02, "{last}");
    }
}
