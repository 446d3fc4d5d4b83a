//! What a mode costs and finds, simulated before any query is spent.

use std::io::{self, Write};

use lorica_identity::{
    Bank, Plan, Rate, ScoreScale,
    power::{self, Power},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use serde::Serialize;

use super::{
    resolve::PlanChoice,
    verdict::{number, percent},
};
use crate::{
    args::identify::PlanArgs,
    error::CliError,
    report::{
        Report,
        format::{table, wrapped},
    },
};

/// The simulation is the same every time.
const SEED: u64 = 1;

/// What to expect of a plan.
#[derive(Debug, Serialize)]
pub(crate) struct PlanReport {
    plan: Plan,
    effect: f64,
    floor: u32,
    needed: u32,
    maximum: u32,
    runs: u32,
    power: Vec<Power>,
}

pub(super) fn run(args: &PlanArgs) -> Result<PlanReport, CliError> {
    let plan = PlanChoice {
        mode: args.mode,
        scale: ScoreScale::Distance,
        candidates: args.candidates.get() as usize,
        budget: args.budget,
        rare_rate: args.rare_rate,
    }
    .plan(&Bank::standard()?)?;
    let mut rng = ChaCha20Rng::seed_from_u64(SEED);
    let power = power::outlook(&plan, args.effect, args.runs.get(), &mut rng)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(PlanReport {
        effect: args.effect,
        floor: plan.floor(),
        needed: plan.needed(),
        maximum: plan.maximum(),
        runs: args.runs.get(),
        plan,
        power,
    })
}

impl Report for PlanReport {
    const SCHEMA: &'static str = "lorica-identify-plan/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mode = self.plan.mode();
        let rule = format!(
            "SAME if the mean distance is at most {}, DIFFERENT if it is at least {}; each wrong with probability {} at \
             most{}, whenever the run stops",
            number(mode.gamma()),
            number(mode.delta_star()),
            percent(self.plan.alpha()),
            if self.plan.candidates().get() > 1 { " for each candidate" } else { "" }
        );
        writeln!(out, "{}", wrapped(&format!("{:<9}  ", mode.name()), &rule))?;
        let cost = format!(
            "no valid test says SAME before challenge {}; this one does after {} if every distance is 0, and ends after \
             {} whatever comes",
            self.floor, self.needed, self.maximum
        );
        writeln!(out, "{}\n", wrapped("cost       ", &cost))?;
        let rate = |rate: &Rate| percent(rate.part());
        let rows = self.power.iter().map(|power| {
            vec![
                source(&power.source),
                rate(&power.same),
                rate(&power.different),
                rate(&power.undecided),
                power.median_queries.to_string(),
                power.most_queries.to_string(),
            ]
        });
        let header = ["distances", "SAME", "DIFFERENT", "UNDECIDED", "half need", "9 in 10 need"];
        writeln!(out, "{}\n", table(&header, rows))?;
        let note = format!(
            "{} simulated runs each at a mean distance of {}. The mean alone does not fix the number of queries: a pair \
             of models lies between these kinds of distances.",
            self.runs,
            number(self.effect)
        );
        writeln!(out, "{}", wrapped("", &note))
    }
}

/// A source in words.
fn source(source: &lorica_identity::simulate::Source) -> String {
    use lorica_identity::simulate::Source;
    match source {
        Source::Constant { mean } => format!("always {}", number(*mean)),
        Source::Uniform { mean, half_width } => {
            format!("evenly from {} to {}", number(mean - half_width), number(mean + half_width))
        }
        Source::Skewed { high, .. } => format!("many small, some up to {}", number(*high)),
        Source::TwoValued { low, high, .. } => format!("either {} or {}", number(*low), number(*high)),
        Source::Drifting { .. } => "drifting".to_owned(),
        Source::Reacting { .. } => "reacting to the past".to_owned(),
        Source::Families { .. } => "other in each family".to_owned(),
    }
}
