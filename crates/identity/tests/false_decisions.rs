//! False decisions under the real stopping rule, on scores whose mean lies exactly on a threshold; and rules that look
//! valid and are not, on the same scores. Seeded: the counts are the same in every run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use lorica_identity::{
    Decision, Mode, Plan, PlanParts, Rate, ScoreScale,
    published::{EarlierRule, OtherRule},
    simulate::{Source, leaves_out, run},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const RUNS: u64 = 1000;

fn parts(mode: Mode, families: usize) -> PlanParts {
    PlanParts {
        mode,
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::MIN,
        families: (0..families).map(|family| format!("family {family}")).collect(),
        budget: None,
        rare_rate: None,
    }
}

fn rng(run: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(run)
}

/// How often a run of the plan on the source ends so.
fn rate(plan: &Plan, source: &Source, wrong: fn(Decision) -> bool) -> Rate {
    let count = (0..RUNS).filter(|seed| wrong(run(plan, source.scores(&mut rng(*seed))).decision)).count();
    Rate::new(count as u64, RUNS)
}

fn at(mean: f64) -> Vec<Source> {
    vec![
        Source::Uniform { mean, half_width: mean },
        Source::Skewed { mean, high: 0.5 },
        Source::TwoValued { mean, low: 0.0, high: 0.5 },
        Source::Drifting { mean },
        Source::Reacting { mean },
        Source::Families { means: vec![0.0, 0.5 * mean, mean, 1.5 * mean, 2.0 * mean] },
    ]
}

#[test]
fn false_same_keeps_below_alpha_where_the_mean_is_gamma() {
    for mode in Mode::all() {
        let plan = Plan::new(parts(mode.clone(), 5)).unwrap();
        for source in at(mode.gamma()) {
            let rate = rate(&plan, &source, |decision| decision == Decision::Same);
            assert!(rate.part() <= mode.alpha(), "{} {source:?}: {rate:?}", mode.name());
        }
    }
}

#[test]
fn false_different_keeps_below_alpha_where_the_mean_is_delta_star() {
    for mode in Mode::all() {
        let plan = Plan::new(parts(mode.clone(), 5)).unwrap();
        for source in at(mode.delta_star()) {
            let rate = rate(&plan, &source, |decision| matches!(decision, Decision::Different { .. }));
            assert!(rate.part() <= mode.alpha(), "{} {source:?}: {rate:?}", mode.name());
        }
    }
}

#[test]
fn rare_differences_at_their_null_are_not_different_and_at_the_set_rate_not_same() {
    for (mode, rare_rate) in Mode::all().into_iter().zip([0.04, 0.015, 0.01]) {
        let null = Source::TwoValued { mean: 0.001, low: 0.0, high: 1.0 };
        let plan = Plan::new(parts(mode.clone(), 5)).unwrap();
        let different = rate(&plan, &null, |decision| matches!(decision, Decision::Different { .. }));
        assert!(different.part() <= mode.alpha(), "{}: {different:?}", mode.name());
        let edge = Source::TwoValued { mean: rare_rate, low: 0.0, high: 1.0 };
        let plan = Plan::new(PlanParts { rare_rate: Some(rare_rate), ..parts(mode.clone(), 5) }).unwrap();
        let same = rate(&plan, &edge, |decision| decision == Decision::Same);
        assert!(same.part() <= mode.alpha(), "{}: {same:?}", mode.name());
    }
}

/// Not a false decision of the mean, but what the earlier system did in 73 % of its runs: without a rate set, a model
/// that differs on 1 % of the prompts still passes audit often, and the specification says so; with one it does not.
#[test]
fn one_percent_of_large_differences_passes_only_where_no_rate_is_set() {
    let rare = Source::TwoValued { mean: 0.01, low: 0.0, high: 1.0 };
    let same = |rare_rate, mode: Mode| {
        let plan = Plan::new(PlanParts { rare_rate, ..parts(mode, 5) }).unwrap();
        rate(&plan, &rare, |decision| decision == Decision::Same).part()
    };
    assert!(same(None, Mode::audit()) > 0.5);
    assert!(same(Some(0.01), Mode::extended()) <= 0.001);
}

/// The interval that is valid for a fixed number of queries leaves the mean out more often than alpha allows when it is
/// looked at after every query, and so does the earlier published rule; ours does not, on the same scores.
#[test]
fn intervals_for_a_fixed_number_of_queries_fail_when_looked_at_repeatedly() {
    let mode = Mode::audit();
    let (plan, alpha) = (Plan::new(parts(mode.clone(), 1)).unwrap(), 2.0 * mode.alpha());
    let source = Source::TwoValued { mean: mode.gamma(), low: 0.0, high: 1.0 };
    let missed = |misses: &dyn Fn(&mut ChaCha8Rng) -> bool| {
        Rate::new((0..RUNS).filter(|seed| misses(&mut rng(*seed))).count() as u64, RUNS)
    };
    let by_rule = |rule: OtherRule| missed(&|rng| rule.trial(source.mean(), source.scores(rng)).missed);
    let ours = missed(&|rng| leaves_out(&plan, source.mean(), source.scores(rng)));
    let repeated = by_rule(OtherRule::FixedSizeRepeated(mode.clone()));
    let once = by_rule(OtherRule::FixedSize(mode.clone()));
    let earlier = by_rule(OtherRule::Earlier(EarlierRule::AUDIT));
    eprintln!("ours {ours:?}\nrepeated {repeated:?}\nonce {once:?}\nearlier {earlier:?}");
    assert!(ours.part() <= alpha, "{ours:?}");
    assert!(once.part() <= alpha, "{once:?}");
    assert!(repeated.lower > alpha, "{repeated:?}");
    assert!(earlier.lower > 0.5, "{earlier:?}");
}
