//! Queries for SAME against the floor of any valid test, and for DIFFERENT against the effect.

use std::fmt::Write as _;

use lorica_identity::{
    Mode, Plan, PlanError, Rate,
    power::{Power, power},
    simulate::Source,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{FAMILIES, numbers, plan};

/// SAME in one mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameQueries {
    /// The mode's name.
    pub mode: String,
    /// The least number of queries that any valid test needs.
    pub floor: u32,
    /// Queries if every score is 0, in rounds of five families.
    pub on_zeros: u32,
    /// Queries if every score is 0 and a round is one query.
    pub on_zeros_one_family: u32,
    /// Noise of the same model under other kernels: scores uniform from 0 to twice this, of the mode's gamma.
    pub noise: Vec<SameUnderNoise>,
}

/// SAME where the same model does not score 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameUnderNoise {
    /// The mean score as a part of gamma.
    pub part_of_gamma: f64,
    /// How often SAME.
    pub same: Rate,
    /// Half of the runs needed at most this many queries.
    pub median_queries: u32,
}

/// DIFFERENT in one mode on scores of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferentQueries {
    /// The mode's name.
    pub mode: String,
    /// Families in a round.
    pub families: u32,
    /// The kind of scores: `even`, `skewed`.
    pub shape: String,
    /// The mean score.
    pub mean: f64,
    /// Decisions and queries.
    pub power: Power,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// The version of the code.
    pub version: String,
    /// Runs of each simulated case.
    pub runs: u32,
    /// SAME.
    pub same: Vec<SameQueries>,
    /// DIFFERENT.
    pub different: Vec<DifferentQueries>,
}

const RUNS: u32 = 2000;
const SEED: u64 = 1;
const MEANS: [f64; 9] = [0.15, 0.20, 0.25, 0.29, 0.36, 0.43, 0.50, 0.65, 0.80];
const NOISE: [f64; 4] = [0.05, 0.1, 0.25, 0.5];

/// Measures it, with a fixed seed.
///
/// # Errors
/// A plan that cannot be: none of those here, unless the modes change.
pub fn efficiency() -> Result<Efficiency, PlanError> {
    let mut same = Vec::new();
    let mut wanted = Vec::new();
    for mode in Mode::all() {
        let rounds = plan(mode.clone(), FAMILIES, None)?;
        let single = plan(mode.clone(), 1, None)?;
        same.push(same_queries(&rounds, &single));
        for plan in [single, rounds] {
            for mean in MEANS.into_iter().filter(|mean| *mean > mode.delta_star()) {
                let even = Source::Uniform { mean, half_width: mean.min(1.0 - mean) };
                let skewed = Source::Skewed { mean, high: 1.0 };
                wanted.extend(
                    [("even", even), ("skewed", skewed)].map(|(shape, source)| (plan.clone(), shape, source)),
                );
            }
        }
    }
    let different = wanted.par_iter().enumerate().map(|(case, (plan, shape, source))| DifferentQueries {
        mode: plan.mode().name().to_owned(),
        families: plan.round(),
        shape: (*shape).to_owned(),
        mean: source.mean(),
        power: power(plan, source, RUNS, &mut numbers(SEED, case as u64, 0)),
    });
    Ok(Efficiency {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        runs: RUNS,
        same,
        different: different.collect(),
    })
}

fn same_queries(rounds: &Plan, single: &Plan) -> SameQueries {
    let noise = NOISE.iter().enumerate().map(|(case, part)| {
        let mean = part * rounds.gamma();
        let source = Source::Uniform { mean, half_width: mean };
        let found = power(rounds, &source, RUNS, &mut numbers(SEED, 1000 + case as u64, 0));
        SameUnderNoise { part_of_gamma: *part, same: found.same, median_queries: found.median_queries }
    });
    SameQueries {
        mode: rounds.mode().name().to_owned(),
        floor: rounds.floor(),
        on_zeros: rounds.needed(),
        on_zeros_one_family: single.needed(),
        noise: noise.collect(),
    }
}

impl Efficiency {
    /// Tables.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "Version {}; {} runs of each simulated case.\n\n\
             SAME, queries. *Noise* is a mean score of that part of gamma, spread evenly from 0 to twice of it: the median of\n\
             queries, and the part of runs that end in SAME.\n\n\
             | mode | floor | all scores 0 | over floor | one family | over floor |",
            self.version, self.runs
        );
        for part in NOISE {
            let _ = write!(text, " noise {part} |");
        }
        let _ = writeln!(text, "\n|---|---|---|---|---|---|{}", "---|".repeat(NOISE.len()));
        for SameQueries { mode, floor, on_zeros, on_zeros_one_family, noise } in &self.same {
            let over = |queries: u32| f64::from(queries) / f64::from(*floor);
            let _ = write!(
                text,
                "| {mode} | {floor} | {on_zeros} | {:.2} | {on_zeros_one_family} | {:.2} |",
                over(*on_zeros),
                over(*on_zeros_one_family)
            );
            for SameUnderNoise { same, median_queries, .. } in noise {
                let _ = write!(text, " {median_queries} ({:.0} %) |", 100.0 * same.part());
            }
            text.push('\n');
        }
        text.push_str(
            "\nDIFFERENT, queries. *Even* scores are uniform around the mean, as widely as `[0, 1]` allows; *skewed* ones are\n\
             `u^k` for u uniform on `[0, 1]`. *Single* asks one family, so that it can stop after any query; *rounds* asks five.\n\n\
             | mode | scores | mean | DIFFERENT % | single: median, nine in ten | rounds: median, nine in ten |\n\
             |---|---|---|---|---|---|\n",
        );
        for row in self.different.iter().filter(|row| row.families == FAMILIES) {
            let single = self.different.iter().find(|other| {
                other.families == 1
                    && (&other.mode, &other.shape, other.mean) == (&row.mode, &row.shape, row.mean)
            });
            let queries = |power: &Power| format!("{}, {}", power.median_queries, power.most_queries);
            let _ = writeln!(
                text,
                "| {} | {} | {:.2} | {:.1} | {} | {} |",
                row.mode,
                row.shape,
                row.mean,
                100.0 * row.power.different.part(),
                single.map_or_else(|| "-".to_owned(), |single| queries(&single.power)),
                queries(&row.power),
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_keep_to_what_the_project_promises() {
        let efficiency = efficiency().unwrap();
        for same in &efficiency.same {
            assert!(f64::from(same.on_zeros) <= 1.15 * f64::from(same.floor), "{same:?}");
        }
        let clear = |row: &&DifferentQueries| row.mode == "audit" && row.mean >= 0.29;
        for row in efficiency.different.iter().filter(clear) {
            assert!(row.power.median_queries <= 10, "{row:?}");
        }
        let text = efficiency.to_markdown();
        assert!(text.contains("| audit | 44 | 50 | 1.14 |"), "{text}");
    }
}
