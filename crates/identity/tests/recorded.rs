//! The rule on score sequences that an earlier system recorded between real models: none may come out wrong.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use lorica_identity::{
    Decision, Mode, ObserveError, Plan, PlanParts, ScoreScale, SequentialTest, State, score::Scored,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    id: String,
    pair: String,
    truth: Truth,
    scores: Vec<f64>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Truth {
    Same,
    Different,
    Unknown,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("../testdata/recorded-scores.json")).unwrap()
}

/// The sequences are not labelled by family, so a round is one query.
fn plan(mode: Mode) -> Plan {
    Plan::new(PlanParts {
        mode,
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::MIN,
        families: vec!["recorded".into()],
        budget: None,
        rare_rate: None,
    })
    .unwrap()
}

fn replay(mode: Mode, scores: &[f64]) -> State {
    let mut test = SequentialTest::new(plan(mode));
    for score in scores {
        test.observe("recorded", Scored::Value(score.abs().min(1.0))).unwrap();
        if test.state().decision.is_some() {
            break;
        }
    }
    test.state().clone()
}

#[test]
fn no_recorded_pair_is_decided_wrongly_in_any_mode() {
    for mode in Mode::all() {
        for Recorded { id, pair, truth, scores } in recorded() {
            let state = replay(mode.clone(), &scores);
            let wrong = match truth {
                Truth::Same => matches!(state.decision, Some(Decision::Different { .. })),
                Truth::Different => state.decision == Some(Decision::Same),
                Truth::Unknown => false,
            };
            assert!(!wrong, "{} {id} {pair}: {state:?}", mode.name());
        }
    }
}

/// How many queries DIFFERENT takes on each pair that is known to differ. Twelve scores are fewer than SAME can need.
#[test]
fn recorded_pairs_that_differ_are_found_early_in_audit() {
    for Recorded { id, pair, truth, scores } in recorded() {
        let state = replay(Mode::audit(), &scores);
        if truth == Truth::Different {
            assert!(
                matches!(state.decision, Some(Decision::Different { .. })) && state.n <= 8,
                "{id} {pair}: {state:?}"
            );
        }
        if truth == Truth::Same {
            assert_eq!(state.decision, None, "{id} {pair}: {} zeros show nothing yet", scores.len());
        }
    }
}

#[test]
fn a_recorded_sequence_with_a_nan_is_an_error_and_no_decision() {
    let mut test = SequentialTest::new(plan(Mode::audit()));
    test.observe("recorded", Scored::Value(0.0)).unwrap();
    let error = test.observe("recorded", Scored::Value(f64::NAN)).unwrap_err();
    assert!(matches!(error, ObserveError::NotAScore { n: 1, found } if found.is_nan()), "{error:?}");
    assert_eq!(test.state().decision, None);
}
