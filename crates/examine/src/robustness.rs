//! The robustness suite: the model behind servers that misbehave in known ways, each a real server on loopback, each
//! compared with the model itself several times under new keys, as `identify` compares it: what is asked is agreed on
//! with the server first.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use lorica_endpoint::{
    Endpoint, EndpointConfig,
    server::{Behaviour, Engine, Offers, PromptOffer, RouteBy, ServeError, ServerOptions, serve},
};
use lorica_identity::{
    Bank, BankError, Challenge, ChallengeKey, Decision, Mode, Plan, PlanError, PlanParts, Question, Rate,
    RespondentError, ScoreScale, SequentialTest, bank::DEFAULT_POSITIONS,
};
use serde::Serialize;

use crate::{
    agreement::{self, Agreement, AgreementError, Wish},
    measured::{Allowed, Measured},
    run::{Contender, Examination, LedgerError, Rounds, Unwritten},
    side::Side,
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
    /// Whether it answers in a vocabulary of which the model's shares a part ([`crate::recut`]).
    pub recut: bool,
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
    /// Whether the server told log-probabilities.
    pub tells: bool,
    /// Runs in which texts were compared all the same.
    pub by_text: u32,
    /// Why, in the first of them.
    pub by_text_because: Option<String>,
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
    /// How far its answers are from the model's, by log-probabilities and on challenges that no run asks; none where
    /// texts are compared, or where it fails.
    pub measured: Option<Measured>,
    /// Runs whose decision is contradicted by what was measured.
    pub wrong: Option<Rate>,
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
    /// A side that cannot be compared with the model at all.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// Never: nothing is written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What the suite runs on.
pub struct Suite<'a> {
    /// The model at hand.
    pub reference: &'a mut Side,
    /// The same model behind the servers.
    pub engine: Arc<dyn Engine>,
    /// Another model, for servers that route to it.
    pub other: Option<Arc<dyn Engine>>,
    /// The same model in another vocabulary.
    pub recut: Option<Arc<dyn Engine>>,
    /// The families the challenges are drawn from.
    pub bank: &'a Bank,
    /// The mode of the runs.
    pub mode: Mode,
    /// The keys of the runs: as many runs as keys.
    pub keys: &'a [ChallengeKey],
    /// Of servers that tell texts alone, so many runs at most: they take many more requests.
    pub text_runs: usize,
    /// Challenges on which the distance of each server that tells log-probabilities is measured; 0 measures nothing.
    pub measured_on: u32,
}

/// What of the suite's needs there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available {
    /// Another model.
    pub other: bool,
    /// The model in another vocabulary.
    pub recut: bool,
}

impl Available {
    /// Everything.
    pub const ALL: Self = Self { other: true, recut: true };
}

/// The part of the vocabulary that the server with another tokenizer shares.
pub const SHARED_VOCABULARY: f64 = 0.7;

const RECUT: &str = "shares 70 % of the vocabulary";

/// The cases of the suite, as far as there is what they need.
pub fn cases(available: Available) -> Vec<Case> {
    let route = |share| Behaviour::Route { share, seed: 1, by: RouteBy::Request };
    // The same prompts always, as somebody does it who has put a trigger into a model.
    let backdoor = Behaviour::Route { share: 0.01, seed: 1, by: RouteBy::Prompt };
    let mut all = vec![
        ("honest", vec![], Expected::Same),
        ("paraphrases prompts", vec![Behaviour::Paraphrase], Expected::Measured),
        ("keeps the last 4 words", vec![Behaviour::Truncate { words: 4 }], Expected::Measured),
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
    if available.recut {
        all.push((RECUT, vec![], Expected::Same));
    }
    if available.other {
        all.extend([
            ("routes 10 % to another model", vec![route(0.1)], Expected::Measured),
            ("routes 50 % to another model", vec![route(0.5)], Expected::Measured),
            ("is another model", vec![route(1.0)], Expected::Different),
            ("answers 1 % of the prompts otherwise", vec![backdoor], Expected::Measured),
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
                recut: *name == RECUT,
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
        let engine = match &self.recut {
            Some(recut) if case.recut => Arc::clone(recut),
            _ => Arc::clone(&self.engine),
        };
        let server = serve(
            engine,
            ServerOptions {
                offers,
                behaviours: case.behaviours.clone(),
                other: self.other.clone(),
                ..ServerOptions::default()
            },
        )?;
        let model = self.engine.model().to_owned();
        let connect = |seed| {
            let mut config = EndpointConfig::new(server.url(), &model);
            config.retries.backoff = Duration::from_millis(50);
            config.parallel = NonZeroUsize::MIN.saturating_add(1);
            config.seed = seed;
            Endpoint::connect(config).map(|endpoint| Side::Endpoint(Box::new(endpoint)))
        };
        let runs = if case.tells { self.keys.len() } else { self.keys.len().min(self.text_runs) };
        let mut all = Vec::with_capacity(runs);
        // The reference draws its samples with other seeds.
        let seeds = 1000..;
        for (seed, key) in seeds.zip(self.keys.iter().take(runs)) {
            all.push(self.once(key, connect(seed)?)?);
        }
        let measured = match case.tells && self.measured_on > 1 {
            true => self.measure(connect(999)?)?,
            false => None,
        };
        server.shutdown();
        Ok(result(case, &all, measured))
    }

    /// One comparison.
    fn once(&mut self, key: &ChallengeKey, mut endpoint: Side) -> Result<Once, RobustnessError> {
        let agreed = match self.agree(&mut endpoint)? {
            Ok(agreed) => agreed,
            Err(fault) => return Ok(Once::failed(fault)),
        };
        let plan = self.plan(agreed.scale())?;
        let challenges = self.bank.challenges(key, "robustness", 0..plan.maximum(), DEFAULT_POSITIONS)?;
        let examination = examination(&agreed, &plan, &challenges);
        let mut contenders = [Contender {
            batch: plan.families().len(),
            respondent: &mut endpoint,
            test: SequentialTest::new(plan.clone()),
        }];
        let outcomes = examination.run(self.reference, &mut contenders, &mut Unwritten, &mut |_| ())?;
        let by_text = matches!(agreed.question, Question::Texts { .. });
        let failed = || Once::failed("the run has no outcome".to_owned());
        Ok(outcomes.into_iter().next().map_or_else(failed, |outcome| Once {
            ending: outcome.ending.map_err(|fault| fault.to_string()),
            queries: outcome.state.n,
            by_text,
            reasons: agreed.reasons,
        }))
    }

    /// How far a server's answers are from the model's, and what that allows; none where it fails or tells texts alone.
    fn measure(&mut self, mut endpoint: Side) -> Result<Option<(Measured, Allowed)>, RobustnessError> {
        let agreed = match self.agree(&mut endpoint)? {
            Ok(agreed) if agreed.question == Question::Distributions => agreed,
            Ok(_) | Err(_) => return Ok(None),
        };
        let plan = self.plan(ScoreScale::Distance)?;
        // Everybody may know this key: none of the servers knows any.
        let key = ChallengeKey::new([0x5a; 32]);
        let wanted = 0..self.measured_on;
        let challenges = self.bank.challenges(&key, "robustness-distance", wanted, DEFAULT_POSITIONS)?;
        let scores = examination(&agreed, &plan, &challenges).scores(self.reference, &mut endpoint);
        Ok(scores.ok().filter(|scores| scores.len() > 1).map(|scores| {
            let measured = Measured::of(&scores);
            (measured, measured.allowed(&plan))
        }))
    }

    /// What the server can be asked, or what went wrong with it.
    fn agree(&mut self, endpoint: &mut Side) -> Result<Result<Agreement, String>, RobustnessError> {
        let candidates = std::slice::from_mut(endpoint);
        match agreement::agree(self.reference, candidates, self.bank, Wish::Most) {
            Ok(agreed) => Ok(Ok(agreed)),
            Err(AgreementError::Respondent(fault)) => Ok(Err(fault.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn plan(&self, scale: ScoreScale) -> Result<Plan, PlanError> {
        Plan::new(PlanParts {
            mode: self.mode.clone(),
            scale,
            candidates: NonZeroU32::MIN,
            families: self.bank.families(),
            budget: None,
            rare_rate: None,
        })
    }
}

fn examination<'a>(agreed: &Agreement, plan: &'a Plan, challenges: &'a [Challenge]) -> Examination<'a> {
    Examination { question: agreed.question, plan, challenges, rounds: Rounds::Even, top: agreed.top }
}

/// What the runs of a case add up to.
fn result(case: &Case, runs: &[Once], measured: Option<(Measured, Allowed)>) -> CaseResult {
    let rate = |what: &dyn Fn(&Once) -> bool| {
        Rate::new(runs.iter().filter(|run| what(run)).count() as u64, runs.len() as u64)
    };
    let mut queries: Vec<u32> = runs.iter().map(|run| run.queries).collect();
    queries.sort_unstable();
    let by_text: Vec<&Once> = runs.iter().filter(|run| case.tells && run.by_text).collect();
    CaseResult {
        name: case.name.clone(),
        expected: case.expected,
        tells: case.tells,
        by_text: u32::try_from(by_text.len()).unwrap_or(u32::MAX),
        by_text_because: by_text.first().map(|run| run.reasons.join("; ")),
        same: rate(&|run| run.ending == Ok(Decision::Same)),
        different: rate(&|run| matches!(run.ending, Ok(Decision::Different { .. }))),
        undecided: rate(&|run| run.ending == Ok(Decision::Undecided)),
        error: rate(&|run| run.ending.is_err()),
        queries: queries.get(queries.len() / 2).copied().unwrap_or(0),
        first_error: runs.iter().find_map(|run| run.ending.as_ref().err()).cloned(),
        measured: measured.map(|(measured, _)| measured),
        wrong: measured.map(|(measured, allowed)| {
            let wrong = |decision| allowed.contradicts(decision, measured.visible);
            rate(&|run| run.ending.as_ref().is_ok_and(|decision| wrong(*decision)))
        }),
    }
}

/// One run.
struct Once {
    /// A decision, or what went wrong.
    ending: Result<Decision, String>,
    queries: u32,
    by_text: bool,
    /// Why texts were compared.
    reasons: Vec<String>,
}

impl Once {
    /// A run that ended before it began.
    fn failed(fault: String) -> Self {
        Self { ending: Err(fault), queries: 0, by_text: false, reasons: Vec::new() }
    }
}
