//! The decision about model identity, measured: false decisions, queries, other rules.
//!
//! | module | what it holds |
//! |---|---|
//! | [`false_decisions()`] | each mode at the edge of each claim, under the real stopping rule |
//! | [`efficiency()`] | queries for SAME against the floor, and for DIFFERENT against the effect |
//! | [`comparison()`] | the earlier published rule, Hoeffding's with a union bound, a fixed-n test and ours |
//! | [`false_decision_plot`], [`efficiency_plot`] | SVG plots of those |
//!
//! Scores are drawn, not measured: the mean must be known to count what is false. Every run has its own random number
//! generator, so no figure depends on the number of threads.

use std::num::NonZeroU32;

use lorica_identity::{Mode, Plan, PlanError, PlanParts, ScoreScale};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

mod comparison;
mod efficiency;
mod false_decisions;
mod plots;

pub use comparison::{Comparison, ComparisonRow, comparison};
pub use efficiency::{DifferentQueries, Efficiency, SameQueries, efficiency};
pub use false_decisions::{BoundaryCase, FalseClaim, FalseDecisions, false_decisions};
pub use plots::{efficiency_plot, false_decision_plot};

/// The number of families in the standard bank: a round has as many queries.
const FAMILIES: u32 = 5;

/// A plan of a mode for one candidate and so many families.
fn plan(mode: Mode, families: u32, rare_rate: Option<f64>) -> Result<Plan, PlanError> {
    Plan::new(PlanParts {
        mode,
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::MIN,
        families: (1..=families).map(|family| format!("family {family}")).collect(),
        budget: None,
        rare_rate,
    })
}

/// The random numbers of one run of one case.
fn numbers(seed: u64, case: u64, run: u64) -> ChaCha8Rng {
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    numbers.set_stream(case << 40 | run);
    numbers
}
