//! Betting capital: evidence about a mean of numbers in `[0, 1]` that may be looked at after every round.
//!
//! Against "the mean is at least m" the bet on a score x multiplies the capital by `1 + c (m - x)/(1 - m)`, against
//! "the mean is at most m" by `1 + c (x - m)/m`, with a stake c in `[0, 1)` that is fixed before x is seen. If the
//! claim is true, no factor is above 1 on average, and by Ville's inequality the capital ever reaches `1/alpha` with
//! probability at most alpha. The capital here is a mixture of products with several constant stakes and one stake
//! that follows the scores; no stake depends on m, so the capital is monotone in m and the means that are not
//! rejected are an interval (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
//! Journal of the Royal Statistical Society B, 2024).
//!
//! A stake stays the same during a round: [`crate::sequential`] says why. Logarithms come from `libm`, so that two
//! machines that replay one sequence compute the same capital.

/// Which claim is bet against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The mean is at least m: rejecting it bounds the mean from above, the way to SAME.
    AtLeast,
    /// The mean is at most m: rejecting it bounds the mean from below, the way to DIFFERENT.
    AtMost,
}

/// A stake and the share of the capital that it starts with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stake {
    /// Starting capital, above 0. All weights of a mixture, the adaptive one included, add up to 1.
    pub(crate) weight: f64,
    /// The part of the largest possible bet, in `[0, 1)`.
    pub(crate) part: f64,
}

/// Stakes against "the mean is at least m". Large ones reach SAME on zero scores near the floor; small ones survive
/// scores that are not small.
pub(crate) const AT_LEAST: [Stake; 4] = [
    Stake { weight: 0.45, part: 0.97 },
    Stake { weight: 0.10, part: 0.90 },
    Stake { weight: 0.15, part: 0.50 },
    Stake { weight: 0.05, part: 0.25 },
];

/// Stakes against "the mean is at most m": a score of 0 costs the part, so the weight lies lower.
pub(crate) const AT_MOST: [Stake; 4] = [
    Stake { weight: 0.25, part: 0.90 },
    Stake { weight: 0.30, part: 0.50 },
    Stake { weight: 0.15, part: 0.25 },
    Stake { weight: 0.05, part: 0.10 },
];

/// The starting capital of the stake that follows the scores.
const ADAPTIVE_WEIGHT: f64 = 0.25;

/// The largest stake that follows the scores, against [`Claim::AtLeast`] and [`Claim::AtMost`].
const ADAPTIVE_LIMITS: [f64; 2] = [0.97, 0.90];

/// How closely a bound is computed: it errs to the safe side by at most this.
const RESOLUTION: f64 = 1e-9;

/// A product of positive factors that neither overflows nor vanishes.
#[derive(Debug, Clone, Copy)]
struct Product {
    logarithm: f64,
    factor: f64,
}

impl Product {
    const ONE: Self = Self { logarithm: 0.0, factor: 1.0 };

    fn multiply(&mut self, by: f64) {
        self.factor *= by;
        if !(1e-150..1e150).contains(&self.factor) {
            self.logarithm += libm::log(self.factor);
            self.factor = 1.0;
        }
    }

    fn logarithm(self) -> f64 {
        self.logarithm + libm::log(self.factor)
    }
}

/// The logarithm of a sum of positive numbers, given by their logarithms. The numbers are not none, and finite.
pub(crate) fn log_sum(logarithms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logarithms.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + libm::log(logarithms.map(|one| libm::exp(one - largest)).sum())
}

impl Claim {
    fn stakes(self) -> &'static [Stake; 4] {
        match self {
            Self::AtLeast => &AT_LEAST,
            Self::AtMost => &AT_MOST,
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::AtLeast => ADAPTIVE_LIMITS[0],
            Self::AtMost => ADAPTIVE_LIMITS[1],
        }
    }

    /// By how much a unit of the stake is multiplied: `(m - x)/(1 - m)` or `(x - m)/m`, at least -1.
    fn gain(self, mean: f64, score: f64) -> f64 {
        match self {
            Self::AtLeast => (mean - score) / (1.0 - mean),
            Self::AtMost => (score - mean) / mean,
        }
    }
}

/// Capitals against a claim about one mean, one for each stake.
#[derive(Debug, Clone)]
struct Purse {
    claim: Claim,
    mean: f64,
    products: [Product; 5],
}

impl Purse {
    fn new(claim: Claim, mean: f64) -> Self {
        Self { claim, mean, products: [Product::ONE; 5] }
    }

    fn bet(&mut self, Step { score, adaptive }: Step) {
        let gain = self.claim.gain(self.mean, score);
        let stakes = self.claim.stakes().iter().map(|stake| stake.part).chain([adaptive]);
        for (product, part) in self.products.iter_mut().zip(stakes) {
            product.multiply(1.0 + part * gain);
        }
    }

    fn log_capital(&self) -> f64 {
        let weights = self.claim.stakes().iter().map(|stake| stake.weight).chain([ADAPTIVE_WEIGHT]);
        log_sum(
            self.products
                .iter()
                .zip(weights)
                .map(|(product, weight)| product.logarithm() + libm::log(weight)),
        )
    }
}

/// One bet: the score, and the adaptive stake that was fixed before.
#[derive(Debug, Clone, Copy)]
struct Step {
    score: f64,
    adaptive: f64,
}

/// The stake that follows the scores: close to the one under which the capital would have grown fastest, from a
/// guess that counts as one score.
#[derive(Debug, Clone)]
struct Follower {
    claim: Claim,
    mean: f64,
    count: f64,
    sum: f64,
    squares: f64,
    part: f64,
}

impl Follower {
    /// `best` is the score of identical behaviour.
    fn new(claim: Claim, mean: f64, best: f64) -> Self {
        let (guess, deviation) = match claim {
            Claim::AtLeast => (best, (mean - best) / 2.0),
            Claim::AtMost => (mean + (1.0 - mean) / 4.0, 0.25),
        };
        let squares = deviation * deviation;
        let mut follower = Self { claim, mean, count: 1.0, sum: guess, squares, part: 0.0 };
        follower.fix();
        follower
    }

    fn see(&mut self, score: f64) {
        self.count += 1.0;
        self.sum += score;
        let deviation = score - self.sum / self.count;
        self.squares += deviation * deviation;
    }

    /// Fixes the stake for the next round.
    fn fix(&mut self) {
        let (seen, variance) = (self.sum / self.count, self.squares / self.count);
        let (edge, unit) = match self.claim {
            Claim::AtLeast => (self.mean - seen, 1.0 - self.mean),
            Claim::AtMost => (seen - self.mean, self.mean),
        };
        // The bet lambda that maximises the second-order growth lambda edge - lambda^2 (variance + edge^2)/2.
        self.part =
            if edge > 0.0 { (unit * edge / (variance + edge * edge)).min(self.claim.limit()) } else { 0.0 };
    }
}

/// The capital against one claim about one mean, updated in constant time.
#[derive(Debug, Clone)]
pub struct Capital {
    purse: Purse,
    follower: Follower,
}

impl Capital {
    /// A capital of 1 against the claim about `mean`, in (0, 1). `best` is the score of identical behaviour, which
    /// only guides the first adaptive stake.
    pub fn new(claim: Claim, mean: f64, best: f64) -> Self {
        Self { purse: Purse::new(claim, mean), follower: Follower::new(claim, mean, best) }
    }

    /// A capital of 1 against the same claim about another mean, in (0, 1), with the same stakes.
    #[must_use]
    pub fn restarted_at(&self, mean: f64) -> Self {
        Self { purse: Purse::new(self.purse.claim, mean), follower: self.follower.clone() }
    }

    /// Bets on a score in `[0, 1]` of the current round.
    pub fn bet(&mut self, score: f64) {
        self.step(score);
    }

    /// Fixes the stakes of the next round.
    pub fn end_round(&mut self) {
        self.follower.fix();
    }

    /// The natural logarithm of the capital: an e-value against the claim.
    pub fn log_capital(&self) -> f64 {
        self.purse.log_capital()
    }

    fn step(&mut self, score: f64) -> Step {
        let step = Step { score, adaptive: self.follower.part };
        self.purse.bet(step);
        self.follower.see(score);
        step
    }
}

/// A bound on the mean that only ever tightens: the running intersection of all means that a capital rejects.
#[derive(Debug, Clone)]
pub struct Bound {
    capital: Capital,
    log_needed: f64,
    steps: Vec<Step>,
    bound: f64,
}

impl Bound {
    /// An upper bound against [`Claim::AtLeast`], a lower one against [`Claim::AtMost`], that fails to hold with
    /// probability at most `alpha`; `mean` and `best` as for [`Capital::new`], to tune the adaptive stake.
    pub fn new(capital: Capital, alpha: f64) -> Self {
        let bound = match capital.purse.claim {
            Claim::AtLeast => 1.0,
            Claim::AtMost => 0.0,
        };
        Self { capital, log_needed: -libm::log(alpha), steps: Vec::new(), bound }
    }

    /// Bets on a score in `[0, 1]` of the current round.
    pub fn bet(&mut self, score: f64) {
        let step = self.capital.step(score);
        self.steps.push(step);
    }

    /// Tightens the bound and fixes the stakes of the next round.
    pub fn end_round(&mut self) {
        self.capital.end_round();
        self.tighten();
    }

    /// The bound as of the last round that ended.
    pub fn value(&self) -> f64 {
        self.bound
    }

    /// The natural logarithm of the capital against the mean that the stake is tuned to.
    pub fn log_capital(&self) -> f64 {
        self.capital.log_capital()
    }

    /// The natural logarithm of the capital against the claim about another mean, in (0, 1).
    pub fn log_capital_at(&self, mean: f64) -> f64 {
        let mut purse = Purse::new(self.capital.purse.claim, mean);
        for step in &self.steps {
            purse.bet(*step);
        }
        purse.log_capital()
    }

    fn rejects(&self, mean: f64) -> bool {
        self.log_capital_at(mean) >= self.log_needed
    }

    fn tighten(&mut self) {
        let claim = self.capital.purse.claim;
        // Nothing is left of (0, 1), or the present bound itself is not rejected: it stays.
        let inside = self.bound > 0.0 && self.bound < 1.0;
        if inside && !self.rejects(self.bound) {
            return;
        }
        // Means on the near side are rejected, those on the far side are not.
        let (mut near, mut far) = match claim {
            Claim::AtLeast => (self.bound, 0.0),
            Claim::AtMost => (self.bound, 1.0),
        };
        // The mean that decisions are about comes first, so that bound and decision agree to the last bit.
        let mut probe = self.capital.purse.mean;
        if (probe - near) * (probe - far) >= 0.0 {
            probe = f64::midpoint(near, far);
        }
        while (near - far).abs() > RESOLUTION {
            if self.rejects(probe) {
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
    fn the_weights_add_up_to_one() {
        for claim in [Claim::AtLeast, Claim::AtMost] {
            let sum: f64 = claim.stakes().iter().map(|stake| stake.weight).sum();
            assert!((sum + ADAPTIVE_WEIGHT - 1.0).abs() < 1e-15);
            assert!(claim.stakes().iter().all(|stake| stake.part < 1.0));
            assert!(claim.limit() < 1.0);
        }
    }

    #[test]
    fn a_product_of_many_factors_neither_overflows_nor_vanishes() {
        let mut product = Product::ONE;
        for _ in 0..100_000 {
            product.multiply(0.03);
        }
        let expected = 100_000.0 * 0.03_f64.ln();
        assert!((product.logarithm() / expected - 1.0).abs() < 1e-9);
    }

    /// Exact expectation over two-valued scores with the mean claimed: never above 1, whatever the stake has become.
    #[test]
    fn no_bet_gains_on_average_if_the_claim_is_true() {
        for (claim, mean, best) in
            [(Claim::AtLeast, 0.1, 0.0), (Claim::AtMost, 0.12, 0.0), (Claim::AtLeast, 0.525, 0.5)]
        {
            for before in [vec![], vec![0.0; 20], vec![1.0; 3], vec![0.2, 0.9, 0.0, 0.4]] {
                let mut capital = Capital::new(claim, mean, best);
                for score in before {
                    capital.bet(score);
                    capital.end_round();
                }
                let now = capital.log_capital();
                for (low, high) in [(0.0, 1.0), (0.0, 0.6), (0.1, 1.0), (0.05, 0.55)] {
                    if !(low..=high).contains(&mean) {
                        continue;
                    }
                    let rate = (mean - low) / (high - low);
                    let after = |score| {
                        let mut next = capital.clone();
                        next.bet(score);
                        (next.log_capital() - now).exp()
                    };
                    let expected = rate * after(high) + (1.0 - rate) * after(low);
                    assert!((expected - 1.0).abs() < 1e-9, "{claim:?} {low} {high}: {expected}");
                }
            }
        }
    }

    /// A round over two families that differ: on average over the round the capital does not grow, although it would
    /// with stakes that change inside the round.
    #[test]
    fn a_round_gains_nothing_if_the_mean_over_families_is_the_claimed_one() {
        for (claim, mean) in [(Claim::AtLeast, 0.1), (Claim::AtMost, 0.12)] {
            for spread in [0.0, 0.04, 0.09] {
                let rates = [mean - spread, mean + spread];
                let mut expected = 0.0;
                for (first, p) in [(0.0, 1.0 - rates[0]), (1.0, rates[0])] {
                    for (second, q) in [(0.0, 1.0 - rates[1]), (1.0, rates[1])] {
                        let mut capital = Capital::new(claim, mean, 0.0);
                        capital.bet(first);
                        capital.bet(second);
                        expected += p * q * capital.log_capital().exp();
                    }
                }
                assert!(expected <= 1.0 + 1e-12, "{claim:?} {spread}: {expected}");
            }
        }
    }

    /// Why there are rounds. Two families, always 0 and always 0.2, asked in random order, have mean 0.1. Whoever may
    /// stop inside the round stops after a 0 and gains on average.
    #[test]
    fn stopping_inside_a_round_would_gain() {
        let after = |scores: &[f64]| {
            let mut capital = Capital::new(Claim::AtLeast, 0.1, 0.0);
            scores.iter().for_each(|score| capital.bet(*score));
            capital.log_capital().exp()
        };
        let stopping = f64::midpoint(after(&[0.0]), after(&[0.2, 0.0]));
        assert!(stopping > 1.02, "{stopping}");
        assert!(after(&[0.0, 0.2]) < 1.0 && after(&[0.2, 0.0]) < 1.0);
    }

    #[test]
    fn the_bound_is_where_the_capital_is_just_enough() {
        let scores = [0.0, 0.1, 0.02, 0.4, 0.0, 0.03, 0.0, 0.2, 0.01, 0.0, 0.05, 0.0];
        for (claim, alpha) in [(Claim::AtLeast, 0.05), (Claim::AtMost, 0.2)] {
            let mut bound = Bound::new(Capital::new(claim, 0.1, 0.0), alpha);
            let mut tightest = bound.value();
            for score in scores {
                bound.bet(score);
                bound.end_round();
                if bound.value() != tightest {
                    tightest = bound.value();
                    assert!(bound.rejects(tightest));
                    let beyond = if claim == Claim::AtLeast { -1e-6 } else { 1e-6 };
                    assert!(!bound.rejects(tightest + beyond), "{claim:?}");
                }
            }
            assert!(tightest > 0.0 && tightest < 1.0, "{claim:?}: {tightest}");
            assert_eq!(bound.log_capital(), bound.log_capital_at(0.1));
        }
    }

    #[test]
    fn the_capital_is_monotone_in_the_mean() {
        let mut bounds =
            [Claim::AtLeast, Claim::AtMost].map(|claim| Bound::new(Capital::new(claim, 0.1, 0.0), 0.01));
        for score in [0.0, 0.7, 1.0, 0.1, 0.0, 0.3] {
            for bound in &mut bounds {
                bound.bet(score);
                bound.end_round();
            }
        }
        let means: Vec<f64> = (1..100).map(|step| f64::from(step) / 100.0).collect();
        for pair in means.windows(2) {
            assert!(bounds[0].log_capital_at(pair[0]) <= bounds[0].log_capital_at(pair[1]));
            assert!(bounds[1].log_capital_at(pair[0]) >= bounds[1].log_capital_at(pair[1]));
        }
    }
}
