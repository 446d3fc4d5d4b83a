//! The earlier published rule, Hoeffding's inequality with a union bound, a fixed-n test and ours, on the same scores.

use std::fmt::Write as _;

use lorica_identity::{
    Decision, Mode, Plan, PlanError, Rate,
    published::{EarlierRule, OtherRule, Trial},
    simulate::{Source, leaves_out, run},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{numbers, plan};

/// One rule on scores of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRow {
    /// The mode's name.
    pub mode: String,
    /// The kind of scores.
    pub scores: String,
    /// The rule's name.
    pub rule: String,
    /// The mean score.
    pub mean: f64,
    /// The mean up to which this rule says SAME.
    pub gamma: f64,
    /// The mean from which this rule says DIFFERENT.
    pub delta_star: f64,
    /// How often SAME.
    pub same: Rate,
    /// How often DIFFERENT.
    pub different: Rate,
    /// How often UNDECIDED.
    pub undecided: Rate,
    /// How often SAME where the mean is not below the rule's gamma, or DIFFERENT where it is not above its delta*.
    pub wrong: Rate,
    /// How often an interval that the rule looks at, up to its maximum of queries, leaves out the mean.
    pub missed: Rate,
    /// What the rule promises for each of the two sides of that interval, at most.
    pub alpha: f64,
    /// Queries until the decision, on average.
    pub mean_queries: f64,
}

/// All rules on all scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The version of the code.
    pub version: String,
    /// Runs of each row.
    pub runs: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// One for each rule on each kind of scores in each mode.
    pub rows: Vec<ComparisonRow>,
}

const RUNS: u64 = 2000;

/// A rule under comparison.
enum Rule {
    Ours(Box<Plan>),
    Other(Box<OtherRule>),
}

impl Rule {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(_) => "ours, by betting",
            Self::Other(rule) => rule.name(),
        }
    }

    fn thresholds(&self) -> [f64; 2] {
        match self {
            Self::Ours(plan) => [plan.gamma(), plan.delta_star()],
            Self::Other(rule) => rule.thresholds(),
        }
    }

    fn trial(&self, case: &Case<'_>, number_of_run: u64) -> Trial {
        let source = case.source;
        let mean = source.mean();
        let mut rng = numbers(case.seed, case.number, number_of_run);
        match self {
            Self::Ours(plan) => {
                let scores: Vec<f64> = source.scores(&mut rng).take(plan.maximum() as usize).collect();
                let outcome = run(plan, scores.iter().copied());
                Trial { outcome, missed: leaves_out(plan, mean, scores) }
            }
            Self::Other(rule) => rule.trial(mean, source.scores(&mut rng)),
        }
    }
}

fn rules(mode: &Mode, earlier: EarlierRule) -> Result<[Rule; 5], PlanError> {
    let other = |rule| Rule::Other(Box::new(rule));
    Ok([
        Rule::Ours(Box::new(plan(mode.clone(), 1, None)?)),
        other(OtherRule::Earlier(earlier)),
        other(OtherRule::HoeffdingUnion(mode.clone())),
        other(OtherRule::FixedSize(mode.clone())),
        other(OtherRule::FixedSizeRepeated(mode.clone())),
    ])
}

/// Kinds of scores, for a rule with these thresholds.
fn scores([gamma, delta_star]: [f64; 2]) -> [(&'static str, Source); 8] {
    let half = |mean: f64| Source::TwoValued { mean, low: 0.0, high: 0.5 };
    [
        ("identical: all 0", Source::Constant { mean: 0.0 }),
        ("noise: even, 0 to 0.01", Source::Uniform { mean: 0.005, half_width: 0.005 }),
        ("other model: even, 0 to 0.58", Source::Uniform { mean: 0.29, half_width: 0.29 }),
        ("other model: skewed, mean 0.43", Source::Skewed { mean: 0.43, high: 1.0 }),
        ("other on 1 % of prompts: 0 and 1", Source::TwoValued { mean: 0.01, low: 0.0, high: 1.0 }),
        ("at the rule's own gamma: 0 and 1/2", half(gamma)),
        ("at the rule's own delta*: 0 and 1/2", half(delta_star)),
        ("at the rule's own gamma: 0 and 1", Source::TwoValued { mean: gamma, low: 0.0, high: 1.0 }),
    ]
}

/// Runs every rule on the same scores: each run of a kind of scores draws the same random numbers for every rule. Rounds
/// are one query, so that our rule, too, looks after every query. The result depends on `seed` alone.
///
/// # Errors
/// A plan that cannot be: none of those here, unless the modes change.
pub fn comparison(seed: u64) -> Result<Comparison, PlanError> {
    of_runs(RUNS, seed)
}

fn of_runs(runs: u64, seed: u64) -> Result<Comparison, PlanError> {
    let mut rows = Vec::new();
    for (mode, earlier) in [(Mode::quick(), EarlierRule::QUICK), (Mode::audit(), EarlierRule::AUDIT)] {
        let rules = rules(&mode, earlier)?;
        for kind in 0..scores([0.1, 0.1]).len() {
            for rule in &rules {
                let (name, source) = &scores(rule.thresholds())[kind];
                let case = Case { number: kind as u64, name, source, runs, seed };
                rows.push(row(rule, &mode, &case));
            }
        }
    }
    Ok(Comparison { version: env!("CARGO_PKG_VERSION").to_owned(), runs, seed, rows })
}

/// Scores of one kind, and how many runs on them.
struct Case<'a> {
    number: u64,
    name: &'a str,
    source: &'a Source,
    runs: u64,
    seed: u64,
}

fn row(rule: &Rule, mode: &Mode, case: &Case<'_>) -> ComparisonRow {
    let Case { name, source, runs, .. } = *case;
    let mean = source.mean();
    let trials: Vec<Trial> =
        (0..runs).into_par_iter().map(|number_of_run| rule.trial(case, number_of_run)).collect();
    let [gamma, delta_star] = rule.thresholds();
    let rate = |counts: &dyn Fn(&Trial) -> bool| {
        Rate::new(trials.iter().filter(|trial| counts(trial)).count() as u64, runs)
    };
    let is_different = |trial: &Trial| matches!(trial.outcome.decision, Decision::Different { .. });
    // Large differences are differences: a rule that finds them is not wrong about a mean that is small.
    let rare = matches!(source, Source::TwoValued { high, .. } if *high > lorica_identity::RARE_THRESHOLD);
    ComparisonRow {
        mode: mode.name().to_owned(),
        scores: name.to_owned(),
        rule: rule.name().to_owned(),
        mean,
        gamma,
        delta_star,
        same: rate(&|trial| trial.outcome.decision == Decision::Same),
        different: rate(&is_different),
        undecided: rate(&|trial| trial.outcome.decision == Decision::Undecided),
        wrong: rate(&|trial| match trial.outcome.decision {
            Decision::Same => mean >= gamma,
            Decision::Different { .. } => mean <= delta_star && !rare,
            Decision::Undecided => false,
        }),
        missed: rate(&|trial| trial.missed),
        alpha: mode.alpha(),
        mean_queries: trials.iter().map(|trial| f64::from(trial.outcome.queries)).sum::<f64>() / runs as f64,
    }
}

impl Comparison {
    /// A table.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{} runs of each row, seed {}, version {}. *Wrong*: SAME although the mean is not below the rule's own gamma, or\n\
             DIFFERENT although it is not above the rule's own delta*; Clopper-Pearson interval, 95 %. *Missed*: an interval\n\
             that the rule looks at, up to its maximum of queries, leaves out the true mean; a valid rule misses in at most\n\
             2 alpha of the runs.\n\n\
             | mode | scores | rule | gamma, delta* | SAME % | DIFFERENT % | UNDECIDED % | wrong % (interval) | missed % | 2 alpha % | mean queries |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
            self.runs, self.seed, self.version
        );
        for row in &self.rows {
            let percent = |rate: Rate| 100.0 * rate.part();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {}, {} | {:.1} | {:.1} | {:.1} | {:.2} ({:.2} to {:.2}) | {:.2} | {:.1} | {:.1} |",
                row.mode,
                row.scores,
                row.rule,
                row.gamma,
                row.delta_star,
                percent(row.same),
                percent(row.different),
                percent(row.undecided),
                percent(row.wrong),
                100.0 * row.wrong.lower,
                100.0 * row.wrong.upper,
                percent(row.missed),
                200.0 * row.alpha,
                row.mean_queries,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_do_not_hold_are_seen_to_fail_and_ours_is_not() {
        let comparison = of_runs(150, 5).unwrap();
        let row = |scores: &str, rule: &str| {
            let mut rows = comparison.rows.iter().filter(|row| row.mode == "audit");
            rows.find(|row| row.scores.starts_with(scores) && row.rule.starts_with(rule)).unwrap()
        };
        let own_gamma = "at the rule's own gamma: 0 and 1/2";
        assert!(row(own_gamma, "published").wrong.lower > 0.5);
        assert!(row(own_gamma, "published").missed.lower > 0.5);
        for row in comparison.rows.iter().filter(|row| row.rule.starts_with("ours")) {
            assert!(row.wrong.lower <= row.alpha && row.missed.lower <= 2.0 * row.alpha, "{row:?}");
        }
        assert!(row("identical", "ours").mean_queries < row("identical", "Hoeffding").mean_queries);
        assert!(
            row("other model: even", "ours").mean_queries < row("other model: even", "fixed n").mean_queries
        );
        assert!(comparison.to_markdown().contains("| audit | identical: all 0 | ours, by betting |"));
    }
}
