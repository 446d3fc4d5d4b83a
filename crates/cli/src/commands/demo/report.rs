//! The story of the demo, told step by step, and its report.

use std::{
    io::{self, Write},
    time::Instant,
};

use lorica_verify::verdict::{Outcome, Verdict};
use serde::Serialize;

use super::cheats::Cheat;
use crate::{
    commands::{
        commit::CommitReport,
        fetch::FetchReport,
        inspect::InspectReport,
        prove::ProveReport,
        run::{FloatCheck, RunReport},
        verify::check_name,
    },
    error::CliError,
    exit::Exit,
    report::{
        Console, Report,
        format::{bytes, count, plural, seconds, wrapped},
    },
};

const MEANING: &str = "The VALID says: every delta is B (A x) for the one committed adapter and exactly these activations \
                       x. It does not say that the adapter is good, how it was trained, or that deltas hide it for \
                       ever: whoever collects about as many rows of a module as it has inputs can solve for B A.";

/// Who does a step.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Party {
    Contributor,
    User,
}

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    party: Party,
    command: &'static str,
    what: String,
    seconds: f64,
}

/// Losses on the text.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Losses {
    base: f64,
    adapted: f64,
    tokens: u64,
    /// The loss with exact integer deltas less that with float deltas, where it was measured.
    rounding: Option<f64>,
}

impl Losses {
    pub(super) fn of(report: &RunReport) -> Self {
        let measured = report.measured_loss;
        let rounding = match &report.float_check {
            FloatCheck::Done(measured) => Some(measured.loss_fixed - measured.loss_float),
            FloatCheck::Off | FloatCheck::Refused { .. } => None,
        };
        Self { base: measured.base, adapted: measured.adapted, tokens: measured.tokens, rounding }
    }
}

/// Tells the steps as they happen, unless the report is JSON.
pub(super) struct Story {
    console: Console,
    steps: Vec<Step>,
}

impl Story {
    pub(super) fn begin(console: &Console, description: &str) -> Result<Self, CliError> {
        let story = Self { console: *console, steps: Vec::new() };
        story.tell(
            "A private LoRA adapter, served, used and proven; its weights never leave the contributor.",
        )?;
        story.tell(&format!("{}.\n", wrapped("Data: ", description)))?;
        Ok(story)
    }

    /// Does a step and tells what came of it and how long it took.
    pub(super) fn step<T>(
        &mut self,
        party: Party,
        command: &'static str,
        work: impl FnOnce() -> Result<(String, T), CliError>,
    ) -> Result<T, CliError> {
        let started = Instant::now();
        let (what, result) = work()?;
        let elapsed = started.elapsed().as_secs_f64();
        let name = match party {
            Party::Contributor => "contributor",
            Party::User => "user",
        };
        self.tell(&format!("{name:<12} {command:<8} {:>7}   {what}", seconds(elapsed)))?;
        self.steps.push(Step { party, command, what, seconds: elapsed });
        Ok(result)
    }

    pub(super) fn losses(&self, losses: &Losses) -> Result<(), CliError> {
        let Losses { base, adapted, tokens, rounding } = losses;
        let margin = " ".repeat(32);
        self.tell(&format!("{margin}loss over {} without the adapter  {base:.4}", plural(*tokens, "token")))?;
        self.tell(&format!(
            "{margin}loss over {} with the adapter     {adapted:.4}",
            plural(*tokens, "token")
        ))?;
        match rounding {
            Some(rounding) => self.tell(&format!("{margin}of which fixed point costs {rounding:+.1e}")),
            None => Ok(()),
        }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn tell(&self, line: &str) -> Result<(), CliError> {
        if self.console.json() { Ok(()) } else { self.console.stdout(format!("{line}\n").as_bytes()) }
    }
}

pub(super) fn inspection(report: &InspectReport) -> String {
    let inspection = &report.inspection;
    let modules = plural(inspection.modules.len() as u64, "module");
    let supported = if inspection.supported { "supported" } else { "not supported" };
    format!("{modules}, {} weights, {supported}", count(inspection.weights))
}

pub(super) fn commit(report: &CommitReport) -> String {
    format!(
        "{} hiding commitments, and a proof that each can be opened, to integers of 16 bits",
        count(report.commitments as u64)
    )
}

pub(super) fn traffic(report: &RunReport) -> String {
    let traffic = &report.traffic;
    format!(
        "{}: {} of int16 activations out, {} of exact int64 deltas back",
        plural(traffic.calls, "call"),
        bytes(traffic.activation_bytes),
        bytes(traffic.delta_bytes)
    )
}

pub(super) fn proof(report: &ProveReport) -> String {
    format!(
        "ONE proof for all calls: {} ({} opening), {} to make",
        bytes(report.proof_bytes),
        report.opening,
        seconds(report.seconds)
    )
}

pub(super) fn fetched(report: &FetchReport) -> String {
    format!("{}, not trusted", bytes(report.proof_bytes))
}

pub(super) fn verdict(verdict: &Verdict) -> String {
    let coverage = &verdict.coverage;
    match (&verdict.verdict, &verdict.reason) {
        (Outcome::Invalid, Some(reason)) => format!("INVALID: {}", reason.message),
        (Outcome::Invalid, None) => "INVALID".to_owned(),
        (Outcome::Valid, _) => format!(
            "VALID: {} of {}, {} of {} modules, {} rows of deltas",
            coverage.calls_covered,
            plural(coverage.calls_made, "call"),
            coverage.modules_called,
            coverage.modules,
            count(coverage.delta_rows)
        ),
    }
}

/// What the demo showed.
#[derive(Debug, Serialize)]
pub(crate) struct DemoReport {
    pub(super) steps: Vec<Step>,
    pub(super) losses: Losses,
    pub(super) verdict: Outcome,
    pub(super) cheats: Vec<Cheat>,
    pub(super) seconds: f64,
    pub(super) files: Option<String>,
}

impl DemoReport {
    fn as_it_should_be(&self) -> bool {
        self.verdict == Outcome::Valid && self.cheats.iter().all(|cheat| cheat.verdict == Outcome::Invalid)
    }
}

impl Report for DemoReport {
    const SCHEMA: &'static str = "lorica-demo/1";

    /// The end of the story: its steps have been told.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n{}\n", wrapped("", MEANING))?;
        writeln!(out, "Three ways to cheat, before the same verifier:\n")?;
        for (index, cheat) in self.cheats.iter().enumerate() {
            let number = format!("{}. ", index + 1);
            writeln!(out, "{}", wrapped(&number, &format!("{}: {}", cheat.name, cheat.what)))?;
            match (&cheat.verdict, &cheat.reason) {
                (Outcome::Invalid, Some(reason)) => {
                    let why = format!("INVALID by {}: {}", check_name(reason.check), reason.message);
                    writeln!(out, "{}\n", wrapped("   ", &why))?;
                }
                (Outcome::Invalid, None) => writeln!(out, "   INVALID\n")?,
                (Outcome::Valid, _) => writeln!(out, "   VALID, which it must not be: please report this\n")?,
            }
        }
        if let Some(files) = &self.files {
            writeln!(out, "All files are in {files}.")?;
        }
        let end = if self.as_it_should_be() {
            "As it should be: the honest session is VALID, all three cheats are INVALID"
        } else {
            "NOT as it should be"
        };
        writeln!(out, "{end} ({}).", seconds(self.seconds))
    }

    fn exit(&self) -> Exit {
        if self.as_it_should_be() { Exit::Yes } else { Exit::No }
    }
}
