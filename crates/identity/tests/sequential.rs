//! The sequential test as its callers see it: when it decides, what it takes, what it promises about its bounds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use lorica_identity::{
    Decision, DifferentBy, Mode, ObserveError, Plan, PlanParts, RARE_THRESHOLD, ScoreScale, SequentialTest,
    State, score::Scored, simulate::Source,
};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const FAMILIES: [&str; 5] = ["general", "arithmetic", "code", "safety", "nouns"];

fn parts(mode: Mode) -> PlanParts {
    PlanParts {
        mode,
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::MIN,
        families: FAMILIES.map(String::from).to_vec(),
        budget: None,
        rare_rate: None,
    }
}

fn plan(mode: Mode) -> Plan {
    Plan::new(parts(mode)).unwrap()
}

fn of_one_family(mode: Mode) -> Plan {
    Plan::new(PlanParts { families: vec!["general".into()], ..parts(mode) }).unwrap()
}

/// Feeds scores in the plan's order of families until there is a decision or no score; the states after each score.
fn states(plan: &Plan, scores: impl IntoIterator<Item = Scored>) -> Vec<State> {
    let mut test = SequentialTest::new(plan.clone());
    let families = plan.families().to_vec();
    let mut states = Vec::new();
    for (family, scored) in families.iter().cycle().zip(scores) {
        states.push(test.observe(family, scored).unwrap().clone());
        if test.state().decision.is_some() {
            break;
        }
    }
    states
}

fn last(plan: &Plan, scores: impl IntoIterator<Item = Scored>) -> State {
    states(plan, scores).pop().unwrap()
}

fn values(scores: &[f64]) -> Vec<Scored> {
    scores.iter().copied().map(Scored::Value).collect()
}

#[test]
fn zero_scores_are_same_near_the_floor() {
    for (mode, most) in Mode::all().into_iter().zip([26, 50, 155]) {
        for plan in [plan(mode.clone()), of_one_family(mode)] {
            let end = last(&plan, std::iter::repeat(Scored::Value(0.0)));
            assert_eq!(end.decision, Some(Decision::Same));
            assert!(end.n <= most && f64::from(end.n) <= 1.15 * f64::from(plan.floor()), "{end:?}");
            assert!(end.n >= plan.floor(), "no valid test can be this fast: {end:?}");
            assert_eq!(end.n, plan.needed());
        }
    }
}

#[test]
fn clear_differences_are_different_within_ten_queries_in_audit() {
    for mean in [0.29, 0.36, 0.43] {
        for source in [Source::Uniform { mean, half_width: 0.2 }, Source::Uniform { mean, half_width: mean }]
        {
            for plan in [plan(Mode::audit()), of_one_family(Mode::audit())] {
                let mut queries: Vec<u32> = (0..201)
                    .map(|seed| {
                        let mut rng = ChaCha8Rng::seed_from_u64(seed);
                        let end = last(&plan, source.scores(&mut rng).map(Scored::Value));
                        assert!(matches!(end.decision, Some(Decision::Different { .. })), "{end:?}");
                        end.n
                    })
                    .collect();
                queries.sort_unstable();
                assert!(queries[100] <= 10, "{source:?} {}: median {}", plan.round(), queries[100]);
            }
        }
    }
}

#[test]
fn a_score_that_is_none_is_an_error_and_changes_nothing() {
    let mut test = SequentialTest::new(plan(Mode::audit()));
    test.observe("code", Scored::Value(0.25)).unwrap();
    let before = test.state().clone();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e-9, 1.0 + 1e-9] {
        let error = test.observe("general", Scored::Value(bad)).unwrap_err();
        assert!(matches!(error, ObserveError::NotAScore { n: 1, .. }), "{error:?}");
        assert_eq!(test.state(), &before);
    }
    let error = test.observe("history", Scored::Value(0.0)).unwrap_err();
    assert_eq!(error, ObserveError::UnknownFamily { family: "history".into() });
    let error = test.observe("code", Scored::Value(0.0)).unwrap_err();
    assert_eq!(error, ObserveError::FamilyAgain { n: 1, family: "code".into() });
    assert_eq!(test.state(), &before);
    test.observe("general", Scored::Value(0.0)).unwrap();
}

#[test]
fn after_the_end_nothing_is_taken_and_nothing_changes() {
    let plan = plan(Mode::quick());
    let mut test = SequentialTest::new(plan.clone());
    for family in plan.families().iter().cycle() {
        if test.observe(family, Scored::Value(0.9)).unwrap().decision.is_some() {
            break;
        }
    }
    let end = test.state().clone();
    for family in plan.families() {
        let error = test.observe(family, Scored::Value(0.0)).unwrap_err();
        assert_eq!(error, ObserveError::Ended { n: end.n });
    }
    assert_eq!(test.state(), &end);
}

#[test]
fn a_mean_between_the_thresholds_ends_undecided_at_the_maximum() {
    for budget in [None, Some(63)] {
        let plan = Plan::new(PlanParts { budget, ..parts(Mode::audit()) }).unwrap();
        let end = last(&plan, std::iter::repeat(Scored::Value(0.11)));
        assert_eq!(end.decision, Some(Decision::Undecided));
        assert_eq!(end.n, budget.map_or(400, |_| 60), "whole rounds");
        assert!(end.lower < 0.11 && 0.11 < end.upper, "{end:?}");
    }
}

#[test]
fn same_needs_the_minimum_of_queries() {
    let strict = lorica_identity::ModeParts { name: "strict".into(), minimum: 90, ..Mode::audit().into() };
    let plan = Plan::new(parts(Mode::custom(strict).unwrap())).unwrap();
    assert_eq!(last(&plan, std::iter::repeat(Scored::Value(0.0))).n, 90);
}

#[test]
fn an_exceedance_rules_out_same_unless_a_rate_is_set() {
    let scores = || std::iter::once(0.9).chain(std::iter::repeat(0.0)).map(Scored::Value);
    let end = last(&plan(Mode::audit()), scores());
    assert_eq!((end.decision, end.exceedances), (Some(Decision::Undecided), 1));
    assert!(end.upper <= 0.1, "the mean alone would allow it: {end:?}");
    let allowed = Plan::new(PlanParts { rare_rate: Some(0.05), ..parts(Mode::audit()) }).unwrap();
    let end = last(&allowed, scores());
    assert_eq!(end.decision, Some(Decision::Same));
    assert!(end.rare_upper <= 0.05 && end.n > allowed.needed(), "{end:?}");
    // A score on the threshold is no exceedance.
    let end = last(
        &plan(Mode::audit()),
        std::iter::once(RARE_THRESHOLD).chain(std::iter::repeat(0.0)).map(Scored::Value),
    );
    assert_eq!((end.decision, end.exceedances), (Some(Decision::Same), 0));
}

#[test]
fn rare_large_differences_are_different_although_the_mean_is_small() {
    let scores = (0..).map(|query| Scored::Value(if query % 20 == 7 { 1.0 } else { 0.0 }));
    let end = last(&plan(Mode::audit()), scores);
    assert_eq!(end.decision, Some(Decision::Different { by: DifferentBy::RareDifferences }));
    assert!(end.rare_lower >= 0.001 && end.lower < 0.12, "{end:?}");
}

#[test]
fn withheld_answers_help_neither_decision() {
    for mode in Mode::all() {
        let end = last(&plan(mode.clone()), std::iter::repeat(Scored::Withheld));
        assert_eq!((end.decision, end.mean), (Some(Decision::Undecided), None));
        assert_eq!((end.withheld, end.exceedances), (mode.maximum(), 0));
        for value in [0.0, 0.45] {
            let scores = |withheld: u32| {
                (0..).map(move |query| if query < withheld { Scored::Withheld } else { Scored::Value(value) })
            };
            let [without, with] = [0, 3].map(|withheld| last(&plan(mode.clone()), scores(withheld)));
            assert!(with.n > without.n && with.withheld == 3, "{mode:?} {value}: {} {}", with.n, without.n);
            assert!(without.decision.is_some_and(|decision| decision != Decision::Undecided));
        }
    }
}

#[test]
fn withheld_answers_do_not_lower_the_rate_of_rare_differences() {
    let plan = Plan::new(PlanParts { rare_rate: Some(0.05), ..parts(Mode::audit()) }).unwrap();
    let mixed = (0..).map(|query| if query % 10 == 0 { Scored::Withheld } else { Scored::Value(0.0) });
    let end = last(&plan, mixed);
    assert_ne!(end.decision, Some(Decision::Same), "a tenth was not answered: {end:?}");
    assert!(end.rare_upper > 0.05, "{end:?}");
}

#[test]
fn a_two_sample_score_is_decided_on_its_own_scale() {
    let plan = Plan::new(PlanParts { scale: ScoreScale::TwoSample, ..parts(Mode::audit()) }).unwrap();
    assert!((plan.gamma() - 0.525).abs() < 1e-15 && (plan.delta_star() - 0.53).abs() < 1e-15);
    let end = last(&plan, std::iter::repeat(Scored::Value(0.5)));
    assert_eq!((end.decision, end.n, end.exceedances), (Some(Decision::Same), plan.needed(), 0));
    let end = last(&plan, std::iter::repeat(Scored::Value(0.8)));
    assert_eq!(end.decision, Some(Decision::Different { by: DifferentBy::Mean }));
}

#[test]
fn a_state_survives_being_written_and_read() {
    for scores in [[0.0, 0.1, 0.3, 0.7, 1.0], [0.9; 5]] {
        let state = last(&plan(Mode::audit()), values(&scores));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
    let different = Decision::Different { by: DifferentBy::RareDifferences };
    assert_eq!(serde_json::to_string(&different).unwrap(), r#"{"different":{"by":"rare-differences"}}"#);
    assert_eq!(serde_json::to_string(&Decision::Same).unwrap(), r#""same""#);
}

fn any_scored() -> impl Strategy<Value = Scored> {
    prop_oneof![
        4 => Just(Scored::Value(0.0)),
        4 => (0.0..0.2_f64).prop_map(Scored::Value),
        2 => (0.0..=1.0_f64).prop_map(Scored::Value),
        1 => Just(Scored::Withheld),
    ]
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::quick()), Just(Mode::audit()), Just(Mode::extended())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

    #[test]
    fn bounds_only_tighten_and_change_after_whole_rounds(
        mode in any_mode(), scores in prop::collection::vec(any_scored(), 1..120)
    ) {
        let plan = plan(mode);
        let states = states(&plan, scores);
        for pair in states.windows(2) {
            let [before, after] = pair else { unreachable!() };
            prop_assert!(after.upper <= before.upper && after.lower >= before.lower);
            prop_assert!(after.rare_upper <= before.rare_upper && after.rare_lower >= before.rare_lower);
            if after.n % plan.round() != 0 {
                let same = State { n: after.n, mean: after.mean, withheld: after.withheld, exceedances: after.exceedances, ..before.clone() };
                prop_assert_eq!(&same, after);
            }
        }
        for state in &states {
            prop_assert!(state.log_e_same.is_finite() && state.log_e_different.is_finite() && state.log_e_rare.is_finite());
        }
    }

    #[test]
    fn the_decision_is_the_one_that_the_bounds_say(
        mode in any_mode(), rare in any::<bool>(), scores in prop::collection::vec(any_scored(), 1..400)
    ) {
        let rare_rate = (rare && mode.name() != "extended").then_some(0.05);
        let plan = Plan::new(PlanParts { rare_rate, ..parts(mode) }).unwrap();
        for state in states(&plan, scores) {
            let rounds_end = state.n % plan.round() == 0;
            let different = state.lower >= plan.delta_star();
            let rare = state.rare_lower >= 0.001;
            let allowed = rare_rate.map_or(state.exceedances == 0, |rate| state.rare_upper <= rate);
            let same = state.upper <= plan.gamma() && state.n >= plan.minimum() && allowed;
            let expected = match () {
                () if !rounds_end => None,
                () if different => Some(Decision::Different { by: DifferentBy::Mean }),
                () if rare => Some(Decision::Different { by: DifferentBy::RareDifferences }),
                () if same => Some(Decision::Same),
                () if state.n >= plan.maximum() => Some(Decision::Undecided),
                () => None,
            };
            prop_assert_eq!(state.decision, expected, "{:?}", state);
        }
    }

    #[test]
    fn the_order_of_families_in_a_round_is_irrelevant(
        scores in prop::collection::vec(any_scored(), 25), seed in any::<u64>()
    ) {
        let mut tests = [SequentialTest::new(plan(Mode::audit())), SequentialTest::new(plan(Mode::audit()))];
        for (round, scores) in scores.chunks(5).enumerate() {
            for place in 0..5 {
                let other = (place * 2 + round + (seed % 5) as usize) % 5;
                if tests[0].state().decision.is_none() {
                    tests[0].observe(FAMILIES[place], scores[place]).unwrap();
                    tests[1].observe(FAMILIES[other], scores[other]).unwrap();
                }
            }
            prop_assert_eq!(tests[0].state(), tests[1].state());
        }
    }
}
