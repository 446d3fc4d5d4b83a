//! The robustness suite: the model behind servers that misbehave in known ways, each a real server on loopback, each
//! compared with the model itself several times under new keys.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use lorica_endpoint::{
    Endpoint, EndpointConfig,
    server::{Behaviour, Engine, Offers, PromptOffer, RouteBy, ServeError, ServerOptions, serve},
};
use lorica_identity::{
    Bank, BankError, ChallengeKey, Decision, Mode, Plan, PlanError, PlanParts, Question, Rate, Respondent,
    RespondentError, ScoreScale, SequentialTest, bank::DEFAULT_POSITIONS,
};
use serde::Serialize;

use crate::{
    agreement,
    run::{Contender, Examination, Fault, LedgerError, Rounds, Unwritten},
};

/// What a right answer about a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// It is the model, if slowly.
    Same,
    /// It is not the model as it was promised.
    Different,
    /// The suite measures what comes out: how much such a server changes depends on the model.
    Measured,
    /// It cannot be told from the model by asking: the answers are the model's, whatever others get.
    Invisible,
}

/// One server of the suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How it misbehaves.
    pub behaviours: Vec<Behaviour>,
    /// Whether it tells log-probabilities.
    pub tells: bool,
    /// What a right answer is.
    pub expected: Expected,
}

/// How a case came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// What a right answer is.
    pub expected: Expected,
    /// Whether distributions were compared, or texts.
    pub distributions: bool,
    /// Runs that said SAME, with a 95 % Clopper-Pearson interval.
    pub same: Rate,
    /// DIFFERENT.
    pub different: Rate,
    /// UNDECIDED.
    pub undecided: Rate,
    /// ERROR.
    pub error: Rate,
    /// The median of scored challenges.
    pub queries: u32,
    /// What the first error said.
    pub first_error: Option<String>,
}

/// Why the suite did not run.
#[derive(Debug, thiserror::Error)]
pub enum RobustnessError {
    /// The server was not started.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The families hold too few prompts.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The mode makes no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An endpoint that cannot be connected to.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// Never: nothing is written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What the suite runs on.
pub struct Suite<'a> {
    /// The model at hand.
    pub reference: &'a mut dyn Respondent,
    /// The same model behind the servers.
    pub engine: Arc<dyn Engine>,
    /// Another model, for servers that route to it.
    pub other: Option<Arc<dyn Engine>>,
    /// The families the challenges are drawn from.
    pub bank: &'a Bank,
    /// The mode of the runs.
    pub mode: Mode,
    /// The keys of the runs: as many runs as keys.
    pub keys: &'a [ChallengeKey],
}

/// The cases of the suite; those that need another model only if there is one.
pub fn cases(other: bool) -> Vec<Case> {
    let route = |share| Behaviour::Route { share, seed: 1, by: RouteBy::Request };
    let mut all = vec![
        ("honest", vec![], Expected::Same),
        ("paraphrases prompts", vec![Behaviour::Paraphrase], Expected::Different),
        ("keeps the last 4 words", vec![Behaviour::Truncate { words: 4 }], Expected::Different),
        ("temperature 1.05", vec![Behaviour::Temperature { factor: 1.05 }], Expected::Measured),
        ("temperature 1.5", vec![Behaviour::Temperature { factor: 1.5 }], Expected::Different),
        (
            "answers 5 to 15 ms late",
            vec![Behaviour::Latency { milliseconds: 5, jitter: 10, seed: 1 }],
            Expected::Same,
        ),
        ("caches answers", vec![Behaviour::Cache { capacity: 10_000 }], Expected::Measured),
        ("limits the rate", vec![Behaviour::RateLimit { requests: 200, seconds: 1 }], Expected::Same),
    ];
    if other {
        all.extend([
            ("routes 10 % to another model", vec![route(0.1)], Expected::Measured),
            ("routes 50 % to another model", vec![route(0.5)], Expected::Measured),
            ("is another model", vec![route(1.0)], Expected::Different),
            (
                "recognises log-probability requests",
                vec![Behaviour::Recognise { containing: Vec::new(), log_probabilities: true }],
                Expected::Measured,
            ),
            (
                "recognises challenges",
                vec![Behaviour::Recognise { containing: vec![" ".to_owned()], log_probabilities: true }],
                Expected::Invisible,
            ),
        ]);
    }
    [true, false]
        .into_iter()
        .flat_map(|tells| {
            all.iter().map(move |(name, behaviours, expected)| Case {
                name: (*name).to_owned(),
                behaviours: behaviours.clone(),
                tells,
                // How far texts are apart depends on how much they vary, so only what changes nothing has a known answer.
                expected: match expected {
                    Expected::Different if !tells => Expected::Measured,
                    expected => *expected,
                },
            })
        })
        .collect()
}

impl Suite<'_> {
    /// Runs one case: a server of its own, and one comparison for each key.
    ///
    /// # Errors
    /// A server that does not start or cannot be connected to. What goes wrong in a run is counted as ERROR.
    pub fn run(&mut self, case: &Case) -> Result<CaseResult, RobustnessError> {
        let offers = match case.tells {
            true => Offers::default(),
            false => Offers { prompt: PromptOffer::None, top: 0, ..Offers::default() },
        };
        let server = serve(
            Arc::clone(&self.engine),
            ServerOptions {
                offers,
                behaviours: case.behaviours.clone(),
                other: self.other.clone(),
                ..ServerOptions::default()
            },
        )?;
        let mut queries = Vec::new();
        let [mut same, mut different, mut undecided, mut error] = [0; 4];
        let mut first_error = None;
        for (run, key) in (0..).zip(self.keys) {
            let mut config = EndpointConfig::new(server.url(), self.engine.model());
            config.retries.backoff = Duration::from_millis(50);
            config.parallel = NonZeroUsize::MIN.saturating_add(1);
            // The reference draws its samples with other seeds.
            config.seed = 1000 + run;
            let mut endpoint = Endpoint::connect(config)?;
            let (ending, n) = self.once(key, &mut endpoint, case.tells)?;
            match ending {
                Ok(Decision::Same) => same += 1,
                Ok(Decision::Different { .. }) => different += 1,
                Ok(Decision::Undecided) => undecided += 1,
                Err(fault) => {
                    error += 1;
                    first_error.get_or_insert_with(|| fault.to_string());
                }
            }
            queries.push(n);
        }
        server.shutdown();
        queries.sort_unstable();
        let rate = |count| Rate::new(count, self.keys.len() as u64);
        Ok(CaseResult {
            name: case.name.clone(),
            expected: case.expected,
            distributions: case.tells,
            same: rate(same),
            different: rate(different),
            undecided: rate(undecided),
            error: rate(error),
            queries: queries.get(queries.len() / 2).copied().unwrap_or(0),
            first_error,
        })
    }

    fn once(
        &mut self,
        key: &ChallengeKey,
        endpoint: &mut Endpoint,
        tells: bool,
    ) -> Result<(Result<Decision, Arc<Fault>>, u32), RobustnessError> {
        let (question, scale) = match tells {
            true => (Question::Distributions, ScoreScale::Distance),
            false => (agreement::texts(), ScoreScale::TwoSample),
        };
        let plan = Plan::new(PlanParts {
            mode: self.mode.clone(),
            scale,
            candidates: std::num::NonZeroU32::MIN,
            families: self.bank.families(),
            budget: None,
            rare_rate: None,
        })?;
        let challenges = self.bank.challenges(key, "robustness", 0..plan.maximum(), DEFAULT_POSITIONS)?;
        let top = Some(endpoint.top()).filter(|top| *top > 0);
        let examination =
            Examination { question, plan: &plan, challenges: &challenges, rounds: Rounds::Even, top };
        let mut contenders = [Contender {
            batch: plan.families().len(),
            respondent: endpoint,
            test: SequentialTest::new(plan.clone()),
        }];
        let outcomes = examination.run(self.reference, &mut contenders, &mut Unwritten, &mut |_| ())?;
        let outcome = outcomes.into_iter().next();
        Ok(outcome.map_or((Ok(Decision::Undecided), 0), |outcome| (outcome.ending, outcome.state.n)))
    }
}
