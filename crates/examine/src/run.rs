//! The run itself: who is asked what in which order, and when it stops.
//!
//! Challenges go out in rounds: the reference answers a round first, then each candidate that is not decided yet. Where a
//! round is one pass over a model's file, rounds grow; where every question has its price, a candidate is asked a few
//! challenges at a time. Answers are scored one at a time in the order of the challenges, and what was asked beyond the
//! stop is not looked at, only counted.

use std::{collections::BTreeMap, sync::Arc};

use lorica_identity::{
    Answer, Challenge, Decision, Description, Distribution, ObserveError, Plan, Question, Respondent,
    RespondentError, ScoreError, Scored, SequentialTest, State, score_challenge,
};

/// Challenges of a round where rounds do not grow, and of the first round where they do: the test looks at its bounds
/// when each family was asked as often as the others, so this is brought to a whole multiple of the families.
const ROUND: usize = 15;

/// Where each scored challenge is written down, before the next one is looked at.
pub trait Ledger {
    /// Writes one scored challenge of a candidate, counted from 0.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn entry(&mut self, candidate: usize, entry: Observed) -> Result<(), LedgerError>;
}

/// A ledger could not be written: the run ends, since nothing of it could be shown.
#[derive(Debug, thiserror::Error)]
#[error("the evidence cannot be written: {0}")]
pub struct LedgerError(pub Box<dyn std::error::Error + Send + Sync>);

/// One scored challenge.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What was asked.
    pub challenge: Challenge,
    /// What the reference said, cut to what both sides tell.
    pub reference: Answer,
    /// What the candidate said, cut likewise.
    pub candidate: Answer,
    /// How far apart that is.
    pub scored: Scored,
    /// The test behind it.
    pub state: State,
}

/// A ledger that keeps nothing: for measurements whose scores are not evidence.
pub struct Unwritten;

impl Ledger for Unwritten {
    fn entry(&mut self, _candidate: usize, _entry: Observed) -> Result<(), LedgerError> {
        Ok(())
    }
}

/// One candidate of a run.
pub struct Contender<'a> {
    /// Who is asked.
    pub respondent: &'a mut dyn Respondent,
    /// Challenges it is asked at a time; what lies behind a decision among them is asked in vain.
    pub batch: usize,
    /// The test: new, or as far as an interrupted run had come.
    pub test: SequentialTest,
}

/// How many challenges go out at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// About 15.
    Even,
    /// About 15, then as many as two equal models need for SAME, then twice as many each time: where every round is one
    /// pass over a model's file.
    Growing,
}

/// What is asked, of whom.
pub struct Examination<'a> {
    /// What is asked about each challenge.
    pub question: Question,
    /// What the candidates' tests are made of.
    pub plan: &'a Plan,
    /// As many challenges as the plan allows, in order.
    pub challenges: &'a [Challenge],
    /// How many go out at a time.
    pub rounds: Rounds,
    /// The most probable tokens that both sides tell at each position, where one side tells only some.
    pub top: Option<usize>,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// So many challenges of the run have been answered by the reference.
    Reference(usize),
    /// So many have been answered by a candidate.
    Candidate {
        /// Which one, counted from 0.
        candidate: usize,
        /// Challenges of the run answered.
        answered: usize,
    },
}

/// How the run ended for one candidate.
#[derive(Debug)]
pub struct Outcome {
    /// A decision, or what went wrong.
    pub ending: Result<Decision, Arc<Fault>>,
    /// The test behind the last scored challenge.
    pub state: State,
    /// Challenges that the candidate answered in this run.
    pub asked: usize,
    /// Answers among them that came beyond the stop and were not looked at.
    pub in_vain: usize,
}

/// Why there is no decision. Never a score.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A side failed.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// Two answers cannot be compared.
    #[error("challenge {index}: {source}")]
    Score {
        /// The challenge.
        index: u32,
        /// Why not.
        source: ScoreError,
    },
    /// The test refused a score.
    #[error("challenge {index}: {source}")]
    Observe {
        /// The challenge.
        index: u32,
        /// Why.
        source: ObserveError,
    },
    /// A side gave another number of answers than it was asked for.
    #[error("{side} gave {found} answers to {asked} challenges")]
    Count {
        /// The side.
        side: String,
        /// Challenges.
        asked: usize,
        /// Answers.
        found: usize,
    },
    /// The challenges ended before the test did.
    #[error("the challenges ended after {0}, before the plan's budget was used")]
    TooFewChallenges(usize),
}

impl Examination<'_> {
    /// Runs until every candidate is decided, has failed or has used its budget.
    ///
    /// A failing reference ends the run for all candidates that are not decided yet, a failing candidate for itself.
    ///
    /// # Errors
    /// A ledger that cannot be written.
    pub fn run(
        &self,
        reference: &mut dyn Respondent,
        contenders: &mut [Contender<'_>],
        ledger: &mut dyn Ledger,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Outcome>, LedgerError> {
        let mut runners: Vec<Runner<'_, '_>> = contenders.iter_mut().enumerate().map(Runner::new).collect();
        while let Some(start) = runners.iter().filter(|r| r.ending.is_none()).map(Runner::position).min() {
            let round = self.challenges.get(start..self.round_end(start)).unwrap_or_default();
            let told = |done| progress(Stage::Reference(start + done));
            let answers = match round {
                [] => Err(Fault::TooFewChallenges(self.challenges.len())),
                round => ask(reference, self.question, round, told),
            };
            match answers {
                Ok(answers) => {
                    let answers: Vec<Answer> = answers.into_iter().map(|answer| self.cut(answer)).collect();
                    for runner in runners.iter_mut().filter(|runner| runner.ending.is_none()) {
                        let (candidate, first) = (runner.candidate, runner.position());
                        let told = &mut |done| {
                            progress(Stage::Candidate { candidate, answered: first + done });
                        };
                        let skipped = first - start;
                        let round = Round {
                            examination: self,
                            challenges: round.get(skipped..).unwrap_or_default(),
                            references: answers.get(skipped..).unwrap_or_default(),
                        };
                        runner.round(&round, ledger, told)?;
                    }
                }
                Err(fault) => {
                    let fault = Arc::new(fault);
                    for runner in runners.iter_mut().filter(|runner| runner.ending.is_none()) {
                        runner.ending = Some(Err(Arc::clone(&fault)));
                    }
                }
            }
        }
        Ok(runners.into_iter().map(Runner::outcome).collect())
    }

    /// The scores of all challenges that no side refused, without any stop: for measuring how far two sides are apart.
    ///
    /// # Errors
    /// A side that fails, answers that cannot be compared.
    pub fn scores(
        &self,
        reference: &mut dyn Respondent,
        candidate: &mut dyn Respondent,
    ) -> Result<Vec<f64>, Fault> {
        let mut scores = Vec::with_capacity(self.challenges.len());
        for challenges in self.challenges.chunks(ROUND) {
            let ours = ask(reference, self.question, challenges, |_| ())?;
            let theirs = ask(candidate, self.question, challenges, |_| ())?;
            for (challenge, (ours, theirs)) in challenges.iter().zip(ours.into_iter().zip(theirs)) {
                let (ours, theirs) = (self.cut(ours), self.cut(theirs));
                let scored = score_challenge(&self.question, challenge, &ours, &theirs)
                    .map_err(|source| Fault::Score { index: challenge.index, source })?;
                match scored {
                    Scored::Value(score) => scores.push(score),
                    Scored::Withheld => {}
                }
            }
        }
        Ok(scores)
    }

    /// Where the round that begins at `start` ends.
    fn round_end(&self, start: usize) -> usize {
        let families = self.plan.round().max(1) as usize;
        let first = ROUND.next_multiple_of(families);
        // Two equal models are seldom at a distance of exactly 0, so they need a little more than the least.
        let same = self.plan.needed() as usize + families;
        let end = match self.rounds {
            Rounds::Even => start + first,
            Rounds::Growing if start < first => first,
            Rounds::Growing if start < same => same,
            Rounds::Growing => start.saturating_mul(2),
        };
        end.next_multiple_of(families).min(self.challenges.len())
    }

    /// Leaves of an answer what both sides tell.
    fn cut(&self, answer: Answer) -> Answer {
        match (self.top, answer) {
            (Some(top), Answer::Distributions(distributions)) => Answer::Distributions(
                distributions.into_iter().map(|whole| most_probable(whole, top)).collect(),
            ),
            (_, answer) => answer,
        }
    }
}

/// The `top` most probable tokens; what is left out is in the remainder.
fn most_probable(distribution: Distribution, top: usize) -> Distribution {
    match distribution.told().get(..top) {
        // A part of a distribution is one: nothing in it was refused before.
        Some(told) if !told.is_empty() => Distribution::new(told.to_vec()).unwrap_or(distribution),
        _ => distribution,
    }
}

/// Answers to challenges, one each.
fn ask(
    respondent: &mut dyn Respondent,
    question: Question,
    challenges: &[Challenge],
    mut done: impl FnMut(usize),
) -> Result<Vec<Answer>, Fault> {
    let answers = respondent.answer(question, challenges, &mut done)?;
    if answers.len() != challenges.len() {
        let side = respondent.description().name.clone();
        return Err(Fault::Count { side, asked: challenges.len(), found: answers.len() });
    }
    Ok(answers)
}

/// What one contender has to answer.
struct Round<'a> {
    examination: &'a Examination<'a>,
    challenges: &'a [Challenge],
    /// The reference's answers to them.
    references: &'a [Answer],
}

/// A contender on its way.
struct Runner<'a, 'b> {
    candidate: usize,
    contender: &'a mut Contender<'b>,
    ending: Option<Result<Decision, Arc<Fault>>>,
    asked: usize,
    in_vain: usize,
}

impl<'a, 'b> Runner<'a, 'b> {
    fn new((candidate, contender): (usize, &'a mut Contender<'b>)) -> Self {
        let ending = contender.test.state().decision.map(Ok);
        Self { candidate, contender, ending, asked: 0, in_vain: 0 }
    }

    /// Challenges scored so far, which is the index of the next one.
    fn position(&self) -> usize {
        self.contender.test.state().n as usize
    }

    /// One round, or as much of it as it takes.
    fn round(
        &mut self,
        round: &Round<'_>,
        ledger: &mut dyn Ledger,
        told: &mut dyn FnMut(usize),
    ) -> Result<(), LedgerError> {
        let size = self.contender.batch.max(1);
        let question = round.examination.question;
        let mut answered = 0;
        for (challenges, references) in round.challenges.chunks(size).zip(round.references.chunks(size)) {
            let answers = ask(self.contender.respondent, question, challenges, |done| told(answered + done));
            let answers = match answers {
                Ok(answers) => answers,
                Err(fault) => {
                    self.ending = Some(Err(Arc::new(fault)));
                    return Ok(());
                }
            };
            answered += answers.len();
            self.asked += answers.len();
            for (challenge, (reference, candidate)) in challenges.iter().zip(references.iter().zip(answers)) {
                if self.ending.is_some() {
                    self.in_vain += 1;
                    continue;
                }
                let candidate = round.examination.cut(candidate);
                self.ending = match self.score(question, challenge, reference, &candidate) {
                    Err(fault) => Some(Err(Arc::new(fault))),
                    Ok((scored, state)) => {
                        let decision = state.decision;
                        let (challenge, reference) = (challenge.clone(), reference.clone());
                        let entry = Observed { challenge, reference, candidate, scored, state };
                        ledger.entry(self.candidate, entry)?;
                        decision.map(Ok)
                    }
                };
            }
            if self.ending.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Scores one challenge.
    fn score(
        &mut self,
        question: Question,
        challenge: &Challenge,
        reference: &Answer,
        candidate: &Answer,
    ) -> Result<(Scored, State), Fault> {
        let index = challenge.index;
        let scored = score_challenge(&question, challenge, reference, candidate)
            .map_err(|source| Fault::Score { index, source })?;
        let state = self
            .contender
            .test
            .observe(&challenge.family, scored)
            .map_err(|source| Fault::Observe { index, source })?;
        Ok((scored, state.clone()))
    }

    fn outcome(self) -> Outcome {
        let state = self.contender.test.state().clone();
        let position = state.n as usize;
        let ending = self.ending.unwrap_or_else(|| Err(Arc::new(Fault::TooFewChallenges(position))));
        Outcome { ending, state, asked: self.asked, in_vain: self.in_vain }
    }
}

/// A side some of whose answers are known from before: an interrupted run goes on with the same answers.
pub struct Remembered<'a> {
    inner: &'a mut dyn Respondent,
    known: BTreeMap<u32, Answer>,
}

impl<'a> Remembered<'a> {
    /// The side, with answers by the challenge's index.
    pub fn new(inner: &'a mut dyn Respondent, known: BTreeMap<u32, Answer>) -> Self {
        Self { inner, known }
    }
}

impl Respondent for Remembered<'_> {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        let unknown: Vec<Challenge> = challenges
            .iter()
            .filter(|challenge| !self.known.contains_key(&challenge.index))
            .cloned()
            .collect();
        let before = challenges.len() - unknown.len();
        let mut fresh = match unknown.as_slice() {
            [] => Vec::new(),
            unknown => self.inner.answer(question, unknown, &mut |count| done(before + count))?,
        }
        .into_iter();
        let answer =
            |challenge: &Challenge| self.known.get(&challenge.index).cloned().or_else(|| fresh.next());
        // A side that gives too few answers is noticed by whoever asked.
        Ok(challenges.iter().map_while(answer).collect())
    }
}
