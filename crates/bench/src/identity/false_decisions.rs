//! Each mode at the edge of each claim, under the real stopping rule.

use std::{fmt::Write as _, sync::atomic::AtomicU64};

use lorica_identity::{
    Decision, DifferentBy, Mode, Plan, PlanError, Rate,
    simulate::{Source, run},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{FAMILIES, numbers, plan};

/// Which decision is false in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FalseClaim {
    /// SAME would be false.
    Same,
    /// DIFFERENT would be false.
    Different,
    /// No decision is false: the case shows what the rule does, not that it errs.
    Neither,
}

/// One case of one mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundaryCase {
    /// The mode's name.
    pub mode: String,
    /// The case's name.
    pub case: String,
    /// The scores.
    pub source: Source,
    /// The rate of rare differences that the plan sets, if any.
    pub rare_rate: Option<f64>,
    /// Which decision is false.
    pub false_claim: FalseClaim,
    /// The probability that the rule promises for it, at most.
    pub alpha: f64,
    /// How often SAME.
    pub same: Rate,
    /// How often DIFFERENT by the mean.
    pub different_by_mean: Rate,
    /// How often DIFFERENT by rare differences.
    pub different_by_rare: Rate,
    /// How often UNDECIDED.
    pub undecided: Rate,
    /// How often the false decision; [`None`] where no decision is false.
    pub wrong: Option<Rate>,
    /// Whether the false decision came in at most a part alpha of the runs.
    pub within_alpha: Option<bool>,
    /// Queries until the decision, on average.
    pub mean_queries: f64,
}

/// All cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseDecisions {
    /// The version of the code.
    pub version: String,
    /// Runs of each case.
    pub runs: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The cases.
    pub cases: Vec<BoundaryCase>,
}

struct Case {
    name: &'static str,
    source: Source,
    rare_rate: Option<f64>,
    false_claim: FalseClaim,
}

/// The rate of rare differences that is set for a mode: above what its maximum of queries can rule out.
fn rare_rate(mode: &Mode) -> f64 {
    match mode.name() {
        "quick" => 0.04,
        "audit" => 0.015,
        _ => 0.01,
    }
}

fn cases(mode: &Mode) -> Vec<Case> {
    let around = |mean: f64, false_claim: FalseClaim| {
        let families = [0.0, 0.5, 1.0, 1.5, 2.0].map(|part| part * mean).to_vec();
        let names = match false_claim {
            FalseClaim::Same => [
                "mean at gamma, even",
                "mean at gamma, skewed",
                "mean at gamma, two-valued 0 and 1/2",
                "mean at gamma, drifting",
                "mean at gamma, reacting to the past",
                "mean at gamma, families differ",
            ],
            FalseClaim::Different | FalseClaim::Neither => [
                "mean at delta*, even",
                "mean at delta*, skewed",
                "mean at delta*, two-valued 0 and 1/2",
                "mean at delta*, drifting",
                "mean at delta*, reacting to the past",
                "mean at delta*, families differ",
            ],
        };
        let sources = [
            Source::Uniform { mean, half_width: mean },
            Source::Skewed { mean, high: 0.5 },
            Source::TwoValued { mean, low: 0.0, high: 0.5 },
            Source::Drifting { mean },
            Source::Reacting { mean },
            Source::Families { means: families },
        ];
        names.into_iter().zip(sources).map(move |(name, source)| Case {
            name,
            source,
            rare_rate: None,
            false_claim,
        })
    };
    let two_valued = |mean: f64| Source::TwoValued { mean, low: 0.0, high: 1.0 };
    let set = rare_rate(mode);
    let mut cases: Vec<Case> = around(mode.gamma(), FalseClaim::Same).collect();
    cases.push(Case {
        name: "mean at gamma, two-valued 0 and 1",
        source: two_valued(mode.gamma()),
        rare_rate: None,
        false_claim: FalseClaim::Same,
    });
    cases.extend(around(mode.delta_star(), FalseClaim::Different));
    cases.push(Case {
        name: "large differences at 1 in 1000, the null",
        source: two_valued(lorica_identity::rare::RARE_NULL),
        rare_rate: None,
        false_claim: FalseClaim::Different,
    });
    cases.push(Case {
        name: "large differences at the rate that is set",
        source: two_valued(set),
        rare_rate: Some(set),
        false_claim: FalseClaim::Same,
    });
    cases.push(Case {
        name: "large differences on 1 %, no rate set",
        source: two_valued(0.01),
        rare_rate: None,
        false_claim: FalseClaim::Neither,
    });
    cases
}

/// Simulates `runs` runs of every case of every mode. `progress` is called from any thread, now and then, with the runs
/// that are done and all there will be. The result depends on `runs` and `seed` alone.
///
/// # Errors
/// A plan that cannot be: none of those here, unless the modes change.
pub fn false_decisions(
    runs: u64,
    seed: u64,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<FalseDecisions, PlanError> {
    let mut planned = Vec::new();
    for mode in Mode::all() {
        for case in cases(&mode) {
            planned.push((plan(mode.clone(), FAMILIES, case.rare_rate)?, case));
        }
    }
    let (done, all) = (AtomicU64::new(0), runs * planned.len() as u64);
    let cases = planned.into_iter().zip(0..).map(|((plan, case), number)| {
        let report = |_: &_| {
            let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            if done.is_multiple_of(1000) || done == all {
                progress(done, all);
            }
        };
        let tally = (0..runs)
            .into_par_iter()
            .map(|number_of_run| run(&plan, case.source.scores(&mut numbers(seed, number, number_of_run))))
            .inspect(report)
            .fold(Tally::default, |tally, outcome| tally.with(outcome.decision, outcome.queries))
            .reduce(Tally::default, Tally::plus);
        tally.report(&plan, case, runs)
    });
    Ok(FalseDecisions { version: env!("CARGO_PKG_VERSION").to_owned(), runs, seed, cases: cases.collect() })
}

/// Whole numbers only, so that their sums do not depend on the order.
#[derive(Default, Clone, Copy)]
struct Tally {
    same: u64,
    by_mean: u64,
    by_rare: u64,
    undecided: u64,
    queries: u64,
}

impl Tally {
    fn with(mut self, decision: Decision, queries: u32) -> Self {
        match decision {
            Decision::Same => self.same += 1,
            Decision::Different { by: DifferentBy::Mean } => self.by_mean += 1,
            Decision::Different { by: DifferentBy::RareDifferences } => self.by_rare += 1,
            Decision::Undecided => self.undecided += 1,
        }
        self.queries += u64::from(queries);
        self
    }

    fn plus(self, other: Self) -> Self {
        Self {
            same: self.same + other.same,
            by_mean: self.by_mean + other.by_mean,
            by_rare: self.by_rare + other.by_rare,
            undecided: self.undecided + other.undecided,
            queries: self.queries + other.queries,
        }
    }

    fn report(self, plan: &Plan, case: Case, runs: u64) -> BoundaryCase {
        let rate = |count| Rate::new(count, runs);
        let wrong = match case.false_claim {
            FalseClaim::Same => Some(rate(self.same)),
            FalseClaim::Different => Some(rate(self.by_mean + self.by_rare)),
            FalseClaim::Neither => None,
        };
        BoundaryCase {
            mode: plan.mode().name().to_owned(),
            case: case.name.to_owned(),
            source: case.source,
            rare_rate: case.rare_rate,
            false_claim: case.false_claim,
            alpha: plan.alpha(),
            same: rate(self.same),
            different_by_mean: rate(self.by_mean),
            different_by_rare: rate(self.by_rare),
            undecided: rate(self.undecided),
            wrong,
            within_alpha: wrong.map(|wrong| wrong.part() <= plan.alpha()),
            mean_queries: self.queries as f64 / runs as f64,
        }
    }
}

impl FalseDecisions {
    /// Whether every false decision came in at most a part alpha of its runs.
    pub fn all_within_alpha(&self) -> bool {
        self.cases.iter().all(|case| case.within_alpha != Some(false))
    }

    /// A table.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "{} runs of each case, seed {}, version {}. Intervals are Clopper-Pearson, 95 %.\n\n\
             | mode | case | false is | false decisions % | interval % | alpha % | within | SAME % | DIFFERENT % (mean, rare) | UNDECIDED % | mean queries |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
            self.runs, self.seed, self.version
        );
        for case in &self.cases {
            let name = match case.false_claim {
                FalseClaim::Same => "SAME",
                FalseClaim::Different => "DIFFERENT",
                FalseClaim::Neither => "-",
            };
            let [rate, interval, within] = match (case.wrong, case.within_alpha) {
                (Some(wrong), Some(within)) => [
                    format!("{:.3}", 100.0 * wrong.part()),
                    format!("{:.3} to {:.3}", 100.0 * wrong.lower, 100.0 * wrong.upper),
                    if within { "yes" } else { "NO" }.to_owned(),
                ],
                _ => ["-", "-", "-"].map(String::from),
            };
            let percent = |rate: Rate| 100.0 * rate.part();
            let set = case.rare_rate.map(|rate| format!(" ({:.1} %)", 100.0 * rate)).unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {}{set} | {name} | {rate} | {interval} | {:.1} | {within} | {:.2} | {:.2}, {:.2} | {:.2} | {:.1} |",
                case.mode,
                case.case,
                100.0 * case.alpha,
                percent(case.same),
                percent(case.different_by_mean),
                percent(case.different_by_rare),
                percent(case.undecided),
                case.mean_queries,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_does_not_depend_on_the_number_of_threads() {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| false_decisions(40, 7, &|_, _| {}).unwrap())
        };
        let report = with(1);
        assert_eq!(report, with(3));
        assert_ne!(report, false_decisions(40, 8, &|_, _| {}).unwrap());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<FalseDecisions>(&text).unwrap(), report);
        assert!(report.to_markdown().contains("| audit | mean at gamma, skewed | SAME |"));
    }

    #[test]
    fn every_run_is_counted_and_told() {
        let told = AtomicU64::new(0);
        let report = false_decisions(10, 1, &|done, all| {
            told.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
            assert!(done <= all);
        })
        .unwrap();
        assert_eq!(told.into_inner(), 10 * report.cases.len() as u64);
        for case in &report.cases {
            let all = [case.same, case.different_by_mean, case.different_by_rare, case.undecided];
            assert_eq!(all.iter().map(|rate| rate.count).sum::<u64>(), 10, "{case:?}");
        }
    }
}
