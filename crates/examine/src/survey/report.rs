//! What the runs of a survey add up to.

use std::{collections::BTreeMap, fmt::Write as _};

use lorica_identity::{Decision, DifferentBy, Plan, Rate};
use lorica_zoo::Relation;
use serde::{Deserialize, Serialize};

use super::{Run, Survey, SurveyOptions};
use crate::measured::Allowed;

/// A mean distance from which a pair counts as clearly different: more than twice delta* of every mode but quick.
const CLEARLY: f64 = 0.25;

/// Truth against decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Runs by what the measured mean allows and by decision.
    pub cells: Vec<Cell>,
    /// SAME where the measured mean is above gamma, among all runs on such pairs.
    pub false_same: Rate,
    /// DIFFERENT that is wrong, among all runs on pairs with a measured mean below delta*.
    pub false_different: Rate,
}

/// Runs with one truth and one decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// What the measured mean allows.
    pub truth: Allowed,
    /// SAME among the runs with this truth.
    pub same: Rate,
    /// DIFFERENT among them, by the mean.
    pub different: Rate,
    /// DIFFERENT among them, by rare differences.
    pub different_by_rare: Rate,
    /// UNDECIDED among them.
    pub undecided: Rate,
}

/// The runs on pairs of one relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByRelation {
    /// The relation.
    pub relation: Relation,
    /// Whether one step leads from one to the other.
    pub direct: bool,
    /// Runs.
    pub runs: usize,
    /// Smallest, median and largest measured mean.
    pub mean: [f64; 3],
    /// How many said SAME, DIFFERENT, UNDECIDED.
    pub decisions: [usize; 3],
    /// Wrong ones among them.
    pub wrong: usize,
    /// Median of the queries.
    pub queries: u32,
}

/// Pairs whose measured mean is large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearlyDifferent {
    /// From which mean on.
    pub mean: f64,
    /// Runs.
    pub runs: usize,
    /// Median of the queries.
    pub median_queries: u32,
    /// The largest number of queries.
    pub most_queries: u32,
    /// DIFFERENT among them.
    pub different: Rate,
}

pub(super) fn survey(options: &SurveyOptions, plan: &Plan, seconds: [f64; 2], runs: Vec<Run>) -> Survey {
    let members: std::collections::BTreeSet<&str> =
        runs.iter().flat_map(|run| [run.reference.as_str(), run.candidate.as_str()]).collect();
    Survey {
        format: "lorica-survey/1".into(),
        mode: options.mode.name().to_owned(),
        alpha: plan.alpha(),
        gamma: plan.gamma(),
        delta_star: plan.delta_star(),
        measured_on: options.measured_on,
        members: members.len(),
        confusion: confusion(&runs),
        by_relation: by_relation(&runs),
        clearly_different: clearly_different(&runs),
        seconds,
        runs,
    }
}

fn rate(runs: &[&Run], what: impl Fn(&Run) -> bool) -> Rate {
    Rate::new(runs.iter().filter(|run| what(run)).count() as u64, runs.len() as u64)
}

const DIFFERENT_BY_MEAN: Decision = Decision::Different { by: DifferentBy::Mean };

fn is_different(run: &Run) -> bool {
    matches!(run.decision, Decision::Different { .. })
}

fn confusion(runs: &[Run]) -> Confusion {
    let with =
        |truths: &[Allowed]| -> Vec<&Run> { runs.iter().filter(|run| truths.contains(&run.truth)).collect() };
    let cells = [Allowed::Same, Allowed::Neither, Allowed::Different, Allowed::Unclear]
        .map(|truth| {
            let runs = with(&[truth]);
            Cell {
                truth,
                same: rate(&runs, |run| run.decision == Decision::Same),
                different: rate(&runs, |run| run.decision == DIFFERENT_BY_MEAN),
                different_by_rare: rate(&runs, |run| is_different(run) && run.decision != DIFFERENT_BY_MEAN),
                undecided: rate(&runs, |run| run.decision == Decision::Undecided),
            }
        })
        .into();
    let above = with(&[Allowed::Different, Allowed::Neither]);
    let below = with(&[Allowed::Same, Allowed::Neither]);
    Confusion {
        cells,
        false_same: rate(&above, |run| run.decision == Decision::Same),
        false_different: rate(&below, |run| is_different(run) && run.is_wrong()),
    }
}

fn median<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len() / 2).copied()
}

fn by_relation(runs: &[Run]) -> Vec<ByRelation> {
    let mut groups: BTreeMap<(Relation, bool), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        groups.entry((run.relation, !run.direct)).or_default().push(run);
    }
    groups
        .into_iter()
        .map(|((relation, indirect), runs)| {
            let mut means: Vec<f64> = runs.iter().map(|run| run.mean).collect();
            means.sort_by(f64::total_cmp);
            let mut queries: Vec<u32> = runs.iter().map(|run| run.queries).collect();
            queries.sort_unstable();
            let count = |what: &dyn Fn(&Run) -> bool| runs.iter().filter(|run| what(run)).count();
            ByRelation {
                relation,
                direct: !indirect,
                runs: runs.len(),
                mean: [means.first().copied(), median(&means), means.last().copied()]
                    .map(|mean| mean.unwrap_or(f64::NAN)),
                decisions: [
                    count(&|run| run.decision == Decision::Same),
                    count(&is_different),
                    count(&|run| run.decision == Decision::Undecided),
                ],
                wrong: count(&Run::is_wrong),
                queries: median(&queries).unwrap_or(0),
            }
        })
        .collect()
}

fn clearly_different(runs: &[Run]) -> ClearlyDifferent {
    let clear: Vec<&Run> = runs.iter().filter(|run| run.mean >= CLEARLY).collect();
    let mut queries: Vec<u32> = clear.iter().map(|run| run.queries).collect();
    queries.sort_unstable();
    ClearlyDifferent {
        mean: CLEARLY,
        runs: clear.len(),
        median_queries: median(&queries).unwrap_or(0),
        most_queries: queries.last().copied().unwrap_or(0),
        different: rate(&clear, is_different),
    }
}

impl Survey {
    /// The survey as a page.
    pub fn to_markdown(&self) -> String {
        let mut page = String::new();
        let percent = |rate: &Rate| match rate.of {
            0 => "none of 0".to_owned(),
            of => {
                format!("{} of {of} ({:.1} to {:.1} %)", rate.count, 100.0 * rate.lower, 100.0 * rate.upper)
            }
        };
        let _ = writeln!(
            page,
            "# The zoo, surveyed in mode {}\n\n{} runs on ordered pairs of {} small models; alpha {}, gamma {}, delta* \
             {}. The truth is the mean distance on {} challenges of another key: a decision by the mean is wrong where that \
             contradicts it by more than three standard errors, and DIFFERENT by rare differences where no more than one \
             in a thousand of those challenges is visibly different. Intervals are Clopper-Pearson, 95 %. {:.0} s for \
             measuring, {:.0} s for the runs.\n",
            self.mode,
            self.runs.len(),
            self.members,
            self.alpha,
            self.gamma,
            self.delta_star,
            self.measured_on,
            self.seconds[0],
            self.seconds[1],
        );
        page += "| measured mean | SAME | DIFFERENT by the mean | by rare differences | UNDECIDED |\n|---|---|---|---|---|\n";
        for cell in &self.confusion.cells {
            let truth = match cell.truth {
                Allowed::Same => "at most gamma",
                Allowed::Neither => "between gamma and delta*",
                Allowed::Different => "at least delta*",
                Allowed::Unclear => "too near to a threshold to tell",
            };
            let _ = writeln!(
                page,
                "| {truth} | {} | {} | {} | {} |",
                percent(&cell.same),
                percent(&cell.different),
                percent(&cell.different_by_rare),
                percent(&cell.undecided)
            );
        }
        let clear = &self.clearly_different;
        let _ = writeln!(
            page,
            "\nFalse SAME: {}. False DIFFERENT: {}.\n\nPairs with a mean of {} or more: {}; DIFFERENT in {}; {} queries \
             in the median, {} at most.\n",
            percent(&self.confusion.false_same),
            percent(&self.confusion.false_different),
            clear.mean,
            clear.runs,
            percent(&clear.different),
            clear.median_queries,
            clear.most_queries,
        );
        page += "| relation | runs | mean distance: least, median, most | SAME | DIFFERENT | UNDECIDED | wrong | median queries | \
                 median seconds |\n|---|---|---|---|---|---|---|---|---|\n";
        for group in &self.by_relation {
            let [same, different, undecided] =
                group.decisions.map(|count| percent(&Rate::new(count as u64, group.runs as u64)));
            let mut seconds: Vec<f64> = self
                .runs
                .iter()
                .filter(|run| (run.relation, run.direct) == (group.relation, group.direct))
                .map(|run| run.seconds)
                .collect();
            seconds.sort_by(f64::total_cmp);
            let relation = serde_json::to_value(group.relation)
                .ok()
                .and_then(|name| name.as_str().map(ToOwned::to_owned))
                .unwrap_or_default();
            let _ = writeln!(
                page,
                "| {relation}{} | {} | {:.4}, {:.4}, {:.4} | {same} | {different} | {undecided} | {} | {} | {:.1} |",
                if group.direct { "" } else { ", with other steps" },
                group.runs,
                group.mean[0],
                group.mean[1],
                group.mean[2],
                group.wrong,
                group.queries,
                median(&seconds).unwrap_or(f64::NAN),
            );
        }
        page
    }
}
