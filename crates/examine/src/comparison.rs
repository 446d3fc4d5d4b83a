//! A comparison with its evidence: begun or resumed, run, and closed.

use std::{collections::BTreeMap, path::Path, time::Instant};

use lorica_evidence::{
    BundleSigner, Ending, Entry, Fault as WrittenFault, FaultKind, Finished, Header, NewBundle, Resumed,
    WriteError, Writer, record::Relation,
};
use lorica_identity::{
    Answer, Bank, BankError, ChallengeKey, Decision, Respondent as _, RespondentFault, SequentialTest,
    relation::{ClassifierError, Features, Observed},
    structure::Structure,
};

use crate::{
    local::peak_memory,
    relation,
    run::{self, Contender, Examination, Fault, Ledger, LedgerError, Outcome, Remembered, Rounds, Stage},
    side::Side,
};

/// Why there is neither a decision nor an ERROR that could be written down.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// The evidence cannot be written or resumed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The evidence could not be written on the way.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The fitted classifier cannot be read.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
    /// The challenges cannot be drawn.
    #[error(transparent)]
    Bank(#[from] BankError),
    /// The interrupted run was another one.
    #[error(
        "the interrupted run had another {what}: {found}, now it is {now}; resume it with the same arguments"
    )]
    OtherRun {
        /// What differs.
        what: &'static str,
        /// In the folder.
        found: String,
        /// As asked for now.
        now: String,
    },
}

/// A run whose header is on disk: the key of its challenges is committed to.
pub struct Started {
    writer: Writer,
    key: ChallengeKey,
    tests: Vec<SequentialTest>,
    /// The reference's answers so far, by the challenge's index.
    known: BTreeMap<u32, Answer>,
}

/// What was found in the folder of an interrupted run.
pub enum Interrupted {
    /// It can go on.
    Open(Box<Started>),
    /// It had ended, but for the signature.
    Finished(Box<Finished>),
}

/// Who takes part.
pub struct Parties<'a> {
    /// The side that is taken as true.
    pub reference: &'a mut Side,
    /// The sides that are compared with it.
    pub candidates: &'a mut [Side],
    /// The families the challenges are drawn from.
    pub bank: &'a Bank,
    /// The most probable tokens that all sides tell at each position, where one of them does not tell them all.
    pub top: Option<usize>,
    /// Whether every round is a pass over a model's file.
    pub streamed: bool,
    /// What the files say about each candidate, where both sides are folders.
    pub structures: &'a [Option<Structure>],
}

/// A comparison that has ended.
pub struct Compared {
    /// What was fixed before the first question.
    pub header: Header,
    /// How it ended, and who signed.
    pub finished: Finished,
    /// Challenges that each candidate answered in this process, and those among them that came beyond the stop.
    pub asked: Vec<(usize, usize)>,
}

impl Started {
    /// Begins a run. When it returns, the key is committed to, and nothing has been asked yet.
    ///
    /// # Errors
    /// A folder that is not empty; the file system.
    pub fn begin(bundle: NewBundle<'_>) -> Result<Self, WriteError> {
        let (key, plan) = (bundle.key.clone(), bundle.header.plan.clone());
        let tests = vec![SequentialTest::new(plan); bundle.header.candidates.len()];
        Ok(Self { writer: Writer::create(bundle)?, key, tests, known: BTreeMap::new() })
    }

    /// Finds an interrupted run again and brings its tests to where they were. `expected` is the header that the same
    /// arguments give now; its run, key, time and environment are not compared.
    ///
    /// # Errors
    /// No run, a damaged one, or another one.
    pub fn resume(
        folder: &Path,
        expected: &Header,
        signer: BundleSigner,
    ) -> Result<Interrupted, ComparisonError> {
        let mut tests = vec![SequentialTest::new(expected.plan.clone()); expected.candidates.len()];
        let mut known = BTreeMap::new();
        let mut other = None;
        let resumed = Writer::resume(folder, signer, &mut |header, entry| {
            if let Err(error) = same_run(header, expected) {
                let reason = error.to_string();
                other = Some(error);
                return Err(reason);
            }
            replay(&mut tests, &mut known, entry)
        });
        if let Some(error) = other {
            return Err(error);
        }
        match resumed? {
            Resumed::Finished(finished) => Ok(Interrupted::Finished(Box::new(finished))),
            Resumed::Open(writer, key) => {
                same_run(writer.header(), expected)?;
                Ok(Interrupted::Open(Box::new(Self { writer: *writer, key, tests, known })))
            }
        }
    }

    /// The header on disk.
    pub fn header(&self) -> &Header {
        self.writer.header()
    }

    /// Asks until every candidate is decided, has failed or has used its budget, and closes the evidence.
    ///
    /// # Errors
    /// Evidence that cannot be written. A side that fails is no error here: it ends in the evidence as ERROR.
    pub fn run(
        self,
        parties: Parties<'_>,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Compared, ComparisonError> {
        let started = Instant::now();
        let Self { mut writer, key, tests, known } = self;
        let header = writer.header().clone();
        let plan = &header.plan;
        let challenges =
            parties.bank.challenges(&key, &header.run_id, 0..plan.maximum(), header.positions as usize)?;
        let examination = Examination {
            question: header.question,
            plan,
            challenges: &challenges,
            rounds: if parties.streamed { Rounds::Growing } else { Rounds::Even },
            top: parties.top,
        };
        let mut reference = Remembered::new(&mut *parties.reference, known);
        let families = plan.families().len();
        let mut contenders: Vec<Contender<'_>> = parties
            .candidates
            .iter_mut()
            .zip(tests)
            .map(|(side, test)| Contender { batch: side.batch(families), respondent: side, test })
            .collect();
        let mut evidence = Evidence { writer: &mut writer, answers: BTreeMap::new() };
        let outcomes = examination.run(&mut reference, &mut contenders, &mut evidence, progress)?;
        let answers = evidence.answers;
        let names: Vec<String> =
            parties.candidates.iter().map(|side| side.description().name.clone()).collect();
        let faults = (0..).zip(outcomes.iter().zip(&names)).filter_map(|(index, (outcome, name))| {
            Some((index, written(outcome.ending.as_ref().err()?, name)))
        });
        let ending = Ending {
            faults: faults.collect(),
            relations: relations(&outcomes, &answers, parties.structures)?,
            seconds: started.elapsed().as_secs_f64(),
            peak_memory: peak_memory().map(|peak| peak.resident),
            retries: parties
                .candidates
                .iter()
                .fold(parties.reference.retries(), |sum, side| sum.saturating_add(side.retries())),
        };
        let asked = outcomes.iter().map(|Outcome { asked, in_vain, .. }| (*asked, *in_vain)).collect();
        Ok(Compared { header, finished: writer.finish(ending)?, asked })
    }
}

/// Brings a test to where it was.
fn replay(
    tests: &mut [SequentialTest],
    known: &mut BTreeMap<u32, Answer>,
    entry: Entry,
) -> Result<(), String> {
    let test = tests.get_mut(entry.candidate as usize).ok_or("it is about a candidate that is not there")?;
    let state = test.observe(&entry.challenge.family, entry.score).map_err(|error| error.to_string())?;
    if *state != entry.state {
        return Err("its test came out differently: was it written by another version?".to_owned());
    }
    known.insert(entry.challenge.index, entry.reference_answer);
    Ok(())
}

/// Whether an interrupted run is the one that is asked for now.
fn same_run(found: &Header, now: &Header) -> Result<(), ComparisonError> {
    let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let parts = [
        ("question", text(&found.question), text(&now.question)),
        ("plan", text(&found.plan), text(&now.plan)),
        ("set of families", text(&found.bank_digest), text(&now.bank_digest)),
        ("reference", text(&found.reference), text(&now.reference)),
        ("set of candidates", text(&found.candidates), text(&now.candidates)),
    ];
    match parts.into_iter().find(|(_, found, now)| found != now) {
        None => Ok(()),
        Some((what, found, now)) => Err(ComparisonError::OtherRun { what, found, now }),
    }
}

/// How each candidate that is DIFFERENT is related to the reference, where both are folders.
fn relations(
    outcomes: &[Outcome],
    answers: &BTreeMap<usize, Vec<(Answer, Answer)>>,
    structures: &[Option<Structure>],
) -> Result<BTreeMap<u32, Relation>, ComparisonError> {
    let classifier = relation::classifier()?;
    let mut found = BTreeMap::new();
    for (index, (outcome, structure)) in outcomes.iter().zip(structures).enumerate() {
        let (Ok(Decision::Different { .. }), Some(structure), Some(answers)) =
            (&outcome.ending, structure, answers.get(&index))
        else {
            continue;
        };
        let observed = Observed { answers, structure: Some(structure), bits_per_token: None };
        // Texts have no features, and no relation is estimated from them.
        let Ok(features) = Features::measure(observed) else { continue };
        let estimate = relation::written(&classifier, &features)?;
        found.insert(u32::try_from(index).unwrap_or(u32::MAX), estimate);
    }
    Ok(found)
}

/// A bundle as a ledger.
struct Evidence<'a> {
    writer: &'a mut Writer,
    /// The reference's and each candidate's answers, for the relation of those that differ.
    answers: BTreeMap<usize, Vec<(Answer, Answer)>>,
}

/// Answers kept in memory for each candidate: a relation is seen in the first ones.
const KEPT: usize = 50;

impl Ledger for Evidence<'_> {
    fn entry(&mut self, candidate: usize, entry: run::Observed) -> Result<(), LedgerError> {
        let run::Observed { challenge, reference, candidate: answer, scored, state } = entry;
        let kept = self.answers.entry(candidate).or_default();
        if kept.len() < KEPT {
            kept.push((reference.clone(), answer.clone()));
        }
        let entry = Entry {
            candidate: u32::try_from(candidate).unwrap_or(u32::MAX),
            challenge,
            reference_answer: reference,
            candidate_answer: answer,
            score: scored,
            state,
        };
        self.writer.entry(entry).map_err(|error| LedgerError(Box::new(error)))
    }
}

/// A fault as it is written down.
fn written(fault: &Fault, candidate: &str) -> WrittenFault {
    let (side, kind) = match fault {
        Fault::Respondent(error) => (error.side.clone(), FaultKind::Respondent(error.fault)),
        Fault::Count { side, .. } => (side.clone(), FaultKind::Respondent(RespondentFault::Malformed)),
        Fault::Score { .. } | Fault::Observe { .. } => (candidate.to_owned(), FaultKind::Score),
        Fault::TooFewChallenges(_) => ("lorica".to_owned(), FaultKind::Resources),
    };
    let detail = match fault {
        Fault::Respondent(error) => error.detail.clone(),
        other => other.to_string(),
    };
    WrittenFault { side, kind, detail }
}
