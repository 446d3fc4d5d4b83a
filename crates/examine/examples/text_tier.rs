//! What the text tier sees: decisions and queries on pairs of the zoo at several sampling temperatures.
//!
//! `text_tier ZOO KEYS OUT`: each pair is compared by text under KEYS new keys at each temperature, in the modes quick
//! and audit, by the real test. OUT is a folder: `text-tier.json` and the page `text-tier.md` are written there. The
//! distances by log-probabilities stand beside, measured on challenges that no run asks.

#![allow(clippy::print_stderr, reason = "it is a program")]

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    fmt::Write as _,
    fs,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use lorica_examine::{
    agreement,
    local::{LocalModel, LocalOptions},
};
use lorica_identity::{
    Answer, Bank, Challenge, ChallengeKey, Decision, Mode, Plan, PlanParts, Question, Rate, Respondent as _,
    ScoreScale, Scored, SequentialTest, score_challenge,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use serde::Serialize;

type Failure = Box<dyn Error + Send + Sync>;

/// Positions of each challenge.
const POSITIONS: usize = 4;
/// Challenges for the distance by log-probabilities.
const MEASURED_ON: u32 = 200;
/// Challenges that a model answers at a time.
const BATCH: usize = 5;
const TEMPERATURES: [f64; 4] = [1.0, 0.5, 0.25, 0.0];

/// What is done to a model of each family, by the names of the zoo's members.
const CANDIDATES: [(&str, &str); 8] = [
    ("same weights", ""),
    ("same weights in bf16", "-bf16"),
    ("8-bit quantized", "-int8-channel"),
    ("LoRA merged", "-merged-es"),
    ("fine-tuned much", "-tuned-code-much"),
    ("logits for temperature 0.7", "-cooled"),
    ("other seed", "-again"),
    ("other architecture", "other"),
];

#[derive(Serialize)]
struct Measured {
    format: &'static str,
    keys: usize,
    samples: u32,
    tokens: u32,
    measured_on: u32,
    rows: Vec<Row>,
}

/// The runs of one pair at one temperature in one mode.
#[derive(Serialize)]
struct Row {
    relation: &'static str,
    reference: String,
    candidate: String,
    /// Mean total variation by log-probabilities, and its standard error.
    distance: [f64; 2],
    temperature: f64,
    mode: String,
    same: Rate,
    different: Rate,
    undecided: Rate,
    /// The median.
    queries: u32,
    /// The mean statistic h over all scores of all runs, 0 for equal distributions of texts.
    mean_h: f64,
}

/// One run.
struct Run {
    decision: Decision,
    queries: u32,
    sum: f64,
    scores: usize,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [zoo, keys, out] = arguments.as_slice() else {
        return Err("usage: text_tier ZOO KEYS OUT".into());
    };
    let (zoo, out, count) = (Path::new(zoo), Path::new(out), keys.parse::<usize>()?);
    let bank = Bank::standard()?;
    let plans = [Mode::quick(), Mode::audit()].map(|mode| plan(mode, &bank));
    let plans = plans.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let keys: Vec<ChallengeKey> = (0..count).map(|_| ChallengeKey::new(random.random())).collect();
    let measuring =
        bank.challenges(&ChallengeKey::new(random.random()), "distance", 0..MEASURED_ON, POSITIONS)?;
    let jobs: Vec<(usize, usize)> =
        (0..TEMPERATURES.len()).flat_map(|place| (0..count).map(move |key| (place, key))).collect();
    let done = AtomicUsize::new(0);
    let found = jobs
        .par_iter()
        .map(|&(place, key)| -> Result<_, Failure> {
            let most = plans.iter().map(Plan::maximum).max().unwrap_or(0);
            let challenges =
                bank.challenges(keys.get(key).ok_or("no such key")?, "text-tier", 0..most, POSITIONS)?;
            let temperature = TEMPERATURES.get(place).copied().ok_or("no such temperature")?;
            let mut texts = Texts::new(zoo, &challenges, temperature);
            let mut runs = Vec::new();
            for (_, reference, candidate) in pairs() {
                let ours = Speaker { member: reference, seed: 1 };
                let theirs = Speaker { member: candidate, seed: 2 + key as u64 };
                for plan in &plans {
                    runs.push(texts.run(plan, &ours, &theirs)?);
                }
            }
            eprintln!("{} of {}", done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            Ok((place, runs))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut rows = Vec::new();
    for (pair, (relation, reference, candidate)) in pairs().into_iter().enumerate() {
        let distance = distance(zoo, &reference, &candidate, &measuring)?;
        for (place, temperature) in TEMPERATURES.into_iter().enumerate() {
            for (index, plan) in plans.iter().enumerate() {
                let runs: Vec<&Run> = found
                    .iter()
                    .filter(|(other, _)| *other == place)
                    .filter_map(|(_, runs)| runs.get(pair * plans.len() + index))
                    .collect();
                let pair = (relation, reference.clone(), candidate.clone());
                rows.push(Row::of(pair, distance, temperature, plan, &runs));
            }
        }
    }
    let measured = Measured {
        format: "lorica-text-tier/1",
        keys: count,
        samples: agreement::SAMPLES,
        tokens: agreement::TOKENS,
        measured_on: MEASURED_ON,
        rows,
    };
    fs::create_dir_all(out)?;
    fs::write(out.join("text-tier.json"), format!("{}\n", serde_json::to_string_pretty(&measured)?))?;
    fs::write(out.join("text-tier.md"), measured.page()?)?;
    Ok(())
}

fn plan(mode: Mode, bank: &Bank) -> Result<Plan, Failure> {
    Ok(Plan::new(PlanParts {
        mode,
        scale: ScoreScale::TwoSample,
        candidates: NonZeroU32::MIN,
        families: bank.families(),
        budget: None,
        rare_rate: None,
    })?)
}

/// Relation, reference and candidate.
fn pairs() -> Vec<(&'static str, String, String)> {
    let of = |reference: &'static str, other: &'static str| {
        CANDIDATES.map(|(relation, suffix)| {
            let candidate = if suffix == "other" { other.to_owned() } else { format!("{reference}{suffix}") };
            (relation, reference.to_owned(), candidate)
        })
    };
    of("gpt2", "llama").into_iter().chain(of("llama", "gpt2")).collect()
}

fn open(zoo: &Path, member: &str, seed: u64) -> Result<LocalModel, Failure> {
    let threads = Some(NonZeroUsize::MIN);
    Ok(LocalModel::open(&zoo.join(member), LocalOptions { threads, seed, ..LocalOptions::default() })?)
}

/// Mean total variation and its standard error.
fn distance(zoo: &Path, reference: &str, candidate: &str, asked: &[Challenge]) -> Result<[f64; 2], Failure> {
    let question = Question::Distributions;
    let ours = open(zoo, reference, 0)?.answer(question, asked, &mut |_| ())?;
    let theirs = open(zoo, candidate, 0)?.answer(question, asked, &mut |_| ())?;
    let mut scores = Vec::new();
    for (challenge, (ours, theirs)) in asked.iter().zip(ours.iter().zip(&theirs)) {
        if let Scored::Value(score) = score_challenge(&question, challenge, ours, theirs)? {
            scores.push(score);
        }
    }
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Ok([mean, (variance / n).sqrt()])
}

/// A member that samples with a seed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Speaker {
    member: String,
    seed: u64,
}

/// The texts of several models about one list of challenges, sampled when they are first needed.
struct Texts<'a> {
    zoo: PathBuf,
    challenges: &'a [Challenge],
    question: Question,
    models: HashMap<Speaker, (LocalModel, Vec<Answer>)>,
}

impl<'a> Texts<'a> {
    fn new(zoo: &Path, challenges: &'a [Challenge], temperature: f64) -> Self {
        let question = match agreement::texts() {
            // Without chance all texts are alike: two say what eight would.
            Question::Texts { tokens, .. } if temperature == 0.0 => {
                Question::Texts { samples: NonZeroU32::MIN.saturating_add(1), tokens, temperature }
            }
            Question::Texts { samples, tokens, .. } => Question::Texts { samples, tokens, temperature },
            other => other,
        };
        Self { zoo: zoo.to_owned(), challenges, question, models: HashMap::new() }
    }

    fn answer(&mut self, speaker: &Speaker, place: usize) -> Result<Answer, Failure> {
        if !self.models.contains_key(speaker) {
            let model = open(&self.zoo, &speaker.member, speaker.seed)?;
            self.models.insert(speaker.clone(), (model, Vec::new()));
        }
        let (model, answers) = self.models.get_mut(speaker).ok_or("no such model")?;
        while answers.len() <= place {
            let end = (answers.len() + BATCH).min(self.challenges.len());
            let next = self.challenges.get(answers.len()..end).filter(|next| !next.is_empty());
            answers.extend(model.answer(self.question, next.ok_or("no more challenges")?, &mut |_| ())?);
        }
        Ok(answers.get(place).ok_or("no answer")?.clone())
    }

    fn run(&mut self, plan: &Plan, ours: &Speaker, theirs: &Speaker) -> Result<Run, Failure> {
        let mut test = SequentialTest::new(plan.clone());
        let mut sum = 0.0;
        for (place, challenge) in self.challenges.iter().enumerate() {
            let (reference, candidate) = (self.answer(ours, place)?, self.answer(theirs, place)?);
            let scored = score_challenge(&self.question, challenge, &reference, &candidate)?;
            if let Scored::Value(score) = scored {
                sum += plan.scale().to_distance(score);
            }
            if let Some(decision) = test.observe(&challenge.family, scored)?.decision {
                return Ok(Run { decision, queries: test.state().n, sum, scores: place + 1 });
            }
        }
        Err("the challenges ended before the test".into())
    }
}

impl Row {
    fn of(
        (relation, reference, candidate): (&'static str, String, String),
        distance: [f64; 2],
        temperature: f64,
        plan: &Plan,
        runs: &[&Run],
    ) -> Self {
        let rate = |of: fn(&Decision) -> bool| {
            Rate::new(runs.iter().filter(|run| of(&run.decision)).count() as u64, runs.len() as u64)
        };
        let mut queries: Vec<u32> = runs.iter().map(|run| run.queries).collect();
        queries.sort_unstable();
        let scores: usize = runs.iter().map(|run| run.scores).sum();
        Self {
            relation,
            reference,
            candidate,
            distance,
            temperature,
            mode: plan.mode().name().to_owned(),
            same: rate(|decision| matches!(decision, Decision::Same)),
            different: rate(|decision| matches!(decision, Decision::Different { .. })),
            undecided: rate(|decision| matches!(decision, Decision::Undecided)),
            queries: queries.get(queries.len() / 2).copied().unwrap_or(0),
            mean_h: runs.iter().map(|run| run.sum).sum::<f64>() / scores.max(1) as f64,
        }
    }

    /// SAME / DIFFERENT / UNDECIDED, and the median of the queries.
    fn cell(&self) -> String {
        let Self { same, different, undecided, queries, .. } = self;
        format!("{}/{}/{} ({queries})", same.count, different.count, undecided.count)
    }
}

impl Measured {
    fn page(&self) -> Result<String, Failure> {
        let mut page = String::from("# What the text tier sees\n\n");
        writeln!(
            page,
            "Pairs of the zoo compared by text alone ({} continuations of {} tokens each) at several sampling \
             temperatures, {} key{} each.\n`just bench-text-tier` makes this page and `text-tier.json`, which has the \
             Clopper-Pearson intervals.\n",
            self.samples,
            self.tokens,
            self.keys,
            if self.keys == 1 { "" } else { "s" }
        )?;
        writeln!(
            page,
            "A cell is runs that said SAME/DIFFERENT/UNDECIDED, and the median of the queries. *Distance* is the mean \
             total variation\nby log-probabilities over {} other challenges; *h* is the statistic that is bounded here, \
             at each temperature.\n",
            self.measured_on
        )?;
        for mode in ["quick", "audit"] {
            writeln!(page, "## {mode}\n")?;
            let columns: Vec<String> =
                TEMPERATURES.iter().map(|temperature| format!("T = {temperature}")).collect();
            writeln!(page, "| candidate | relation | distance | {} | h |", columns.join(" | "))?;
            writeln!(page, "|---|---|---|{}---|", "---|".repeat(columns.len()))?;
            let mut lines: BTreeMap<usize, (String, Vec<String>, Vec<String>)> = BTreeMap::new();
            let wanted: Vec<&Row> = self.rows.iter().filter(|row| row.mode == mode).collect();
            for (place, row) in wanted.into_iter().enumerate() {
                let line = lines.entry(place / TEMPERATURES.len()).or_insert_with(|| {
                    let against = format!("{} against {}", row.candidate, row.reference);
                    let head = format!("| {against} | {} | {:.3} |", row.relation, row.distance[0]);
                    (head, Vec::new(), Vec::new())
                });
                line.1.push(row.cell());
                line.2.push(format!("{:.3}", row.mean_h));
            }
            for (head, cells, h) in lines.values() {
                writeln!(page, "{head} {} | {} |", cells.join(" | "), h.join(", "))?;
            }
            writeln!(page)?;
        }
        Ok(page)
    }
}
