//! A survey of the zoo: the real run on many pairs whose relation is known, and what it said.
//!
//! Whether a decision was right is measured: [`crate::measured`].

mod measure;
mod relations;
mod report;
mod threads;

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use lorica_identity::{
    Bank, BankError, ChallengeKey, Decision, Mode, Plan, PlanError, PlanParts, Question, RespondentError,
    ScoreError, ScoreScale, SequentialTest,
};
use lorica_zoo::{Pair, Relation, Zoo};
use rand::{RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use crate::{
    local::{LocalModel, LocalOptions},
    measured::{Allowed, Measured},
    run::{Contender, Examination, Fault, LedgerError, Rounds, Unwritten},
};

pub use relations::{FitFailed, Relations, relations};
pub use report::{ByRelation, ClearlyDifferent, Confusion};

/// Prefixes of a prompt that are compared.
const POSITIONS: usize = 4;
/// How a survey is made.
#[derive(Debug, Clone)]
pub struct SurveyOptions {
    /// The mode of the runs.
    pub mode: Mode,
    /// Ordered pairs, drawn as evenly over the relations as there are pairs of each.
    pub pairs: usize,
    /// Challenges for the measured mean of each pair.
    pub measured_on: u32,
    /// Seed of the keys and of the pairs drawn.
    pub seed: u64,
}

/// What a survey found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// `lorica-survey/1`.
    pub format: String,
    /// The mode's name.
    pub mode: String,
    /// Error rate of each side of the decision.
    pub alpha: f64,
    /// Above this mean, SAME is wrong.
    pub gamma: f64,
    /// Below this mean, DIFFERENT is wrong.
    pub delta_star: f64,
    /// Challenges for each measured mean.
    pub measured_on: u32,
    /// Members of the zoo that took part.
    pub members: usize,
    /// Truth against decision.
    pub confusion: Confusion,
    /// The pairs of each relation.
    pub by_relation: Vec<ByRelation>,
    /// Pairs that are far apart.
    pub clearly_different: ClearlyDifferent,
    /// Seconds for measuring and for the runs.
    pub seconds: [f64; 2],
    /// Every run.
    pub runs: Vec<Run>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The reference.
    pub reference: String,
    /// The candidate.
    pub candidate: String,
    /// How they are related.
    pub relation: Relation,
    /// Whether one step leads from one to the other.
    pub direct: bool,
    /// The measured mean distance.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The measured share of challenges that are visibly different.
    pub visible: f64,
    /// What the measured mean allows.
    pub truth: Allowed,
    /// What the run said.
    pub decision: Decision,
    /// Queries it took.
    pub queries: u32,
    /// Seconds it took, loading included.
    pub seconds: f64,
}

/// Why there is no survey.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// A member of the zoo.
    #[error(transparent)]
    Zoo(#[from] lorica_zoo::ZooError),
    /// The challenges.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A member that cannot be asked.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// Two answers that cannot be compared.
    #[error("{reference} against {candidate}: {source}")]
    Score {
        /// The reference.
        reference: String,
        /// The candidate.
        candidate: String,
        /// Why not.
        source: ScoreError,
    },
    /// A run without a decision.
    #[error("{reference} against {candidate}: {source}")]
    Run {
        /// The reference.
        reference: String,
        /// The candidate.
        candidate: String,
        /// Why not.
        source: std::sync::Arc<Fault>,
    },
    /// Nothing was to be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Where a survey is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Challenges measured, of all.
    Measuring(usize, usize),
    /// Runs done, of all.
    Running(usize, usize),
}

impl Run {
    /// Whether the decision is wrong by what was measured.
    pub fn is_wrong(&self) -> bool {
        self.truth.contradicts(self.decision, self.visible)
    }
}

/// Surveys a zoo.
///
/// # Errors
/// A member that cannot be loaded or asked, challenges that run out, a run that ends without a decision.
pub fn survey(
    zoo: &Zoo,
    options: &SurveyOptions,
    progress: &(dyn Fn(Stage) + Sync),
) -> Result<Survey, SurveyError> {
    let started = Instant::now();
    let bank = Bank::standard()?;
    let mut random = ChaCha20Rng::seed_from_u64(options.seed);
    let pairs = chosen(zoo, options.pairs, &mut random);
    let key = key(&mut random);
    let measured = measure::means(zoo, &bank, &key, &pairs, options.measured_on, progress)?;
    let measuring = started.elapsed().as_secs_f64();

    let plan = Plan::new(PlanParts {
        mode: options.mode.clone(),
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::MIN,
        families: bank.families(),
        budget: None,
        rare_rate: None,
    })?;
    let keys: Vec<ChallengeKey> = pairs.iter().map(|_| self::key(&mut random)).collect();
    let done = AtomicUsize::new(0);
    let items: Vec<_> = pairs.iter().zip(&keys).zip(&measured).collect();
    let runs = threads::concurrently(&items, |_, ((pair, key), measured)| {
        let run = one(zoo, &bank, &plan, key, pair, measured);
        progress(Stage::Running(done.fetch_add(1, Ordering::Relaxed) + 1, pairs.len()));
        run
    })?;
    let seconds = [measuring, started.elapsed().as_secs_f64() - measuring];
    Ok(report::survey(options, &plan, seconds, runs))
}

fn key(random: &mut ChaCha20Rng) -> ChallengeKey {
    ChallengeKey::new(random.random())
}

/// Pairs drawn at random, as evenly over the relations as there are pairs of each. Within a relation, those with one step
/// between them come first.
fn chosen<'a>(zoo: &'a Zoo, count: usize, random: &mut ChaCha20Rng) -> Vec<&'a Pair> {
    let has_folder = |name: &str| zoo.entry(name).is_some_and(|entry| entry.record.is_some());
    let mut relations: BTreeMap<Relation, Vec<&Pair>> = BTreeMap::new();
    for pair in &zoo.manifest().pairs {
        // Two tokenizers are compared by text, which is another estimand.
        let comparable = pair.known.relation != Relation::OtherTokenizer;
        if comparable && has_folder(pair.reference.as_str()) && has_folder(pair.candidate.as_str()) {
            relations.entry(pair.known.relation).or_default().push(pair);
        }
    }
    for pairs in relations.values_mut() {
        pairs.shuffle(random);
        // The last ones are taken first.
        pairs.sort_by_key(|pair| pair.known.direct && pair.known.steps.len() == 1);
    }
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !relations.is_empty() {
        relations.retain(|_, pairs| {
            if chosen.len() < count {
                chosen.extend(pairs.pop());
            }
            !pairs.is_empty()
        });
    }
    chosen
}

fn open(zoo: &Zoo, name: &lorica_zoo::MemberName) -> Result<LocalModel, RespondentError> {
    LocalModel::open(
        &zoo.path(name),
        LocalOptions { threads: Some(std::num::NonZeroUsize::MIN), ..LocalOptions::default() },
    )
}

fn one(
    zoo: &Zoo,
    bank: &Bank,
    plan: &Plan,
    key: &ChallengeKey,
    pair: &Pair,
    measured: &Measured,
) -> Result<Run, SurveyError> {
    let started = Instant::now();
    let (mut reference, mut candidate) = (open(zoo, &pair.reference)?, open(zoo, &pair.candidate)?);
    let challenges = bank.challenges(key, "survey", 0..plan.maximum(), POSITIONS)?;
    let examination = Examination {
        question: Question::Distributions,
        plan,
        challenges: &challenges,
        rounds: Rounds::Even,
        top: None,
    };
    let batch = plan.families().len();
    let mut contenders =
        [Contender { respondent: &mut candidate, batch, test: SequentialTest::new(plan.clone()) }];
    let outcomes = examination.run(&mut reference, &mut contenders, &mut Unwritten, &mut |_| ())?;
    let name = |name: &lorica_zoo::MemberName| name.as_str().to_owned();
    let (reference, candidate) = (name(&pair.reference), name(&pair.candidate));
    let Some(outcome) = outcomes.into_iter().next() else {
        unreachable!("one candidate has one outcome");
    };
    let decision = match outcome.ending {
        Ok(decision) => decision,
        Err(source) => return Err(SurveyError::Run { reference, candidate, source }),
    };
    Ok(Run {
        reference,
        candidate,
        relation: pair.known.relation,
        direct: pair.known.direct,
        mean: measured.mean,
        standard_error: measured.standard_error,
        visible: measured.visible,
        truth: measured.allowed(plan),
        decision,
        queries: outcome.state.n,
        seconds: started.elapsed().as_secs_f64(),
    })
}
