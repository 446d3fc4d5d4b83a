//! `lorica bench`: times and sizes of the product's own paths, and pages of stored results.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use lorica_bench::{
    identity::{self, Comparison, Efficiency, FalseDecisions},
    session::{SessionBench, SessionShape, SessionTimes},
};
use lorica_tensor::files::{FileMode, write_atomically};
use serde::{Deserialize, Serialize};

use crate::{
    args::{BenchCommand, BenchIdentityArgs, BenchSessionArgs},
    error::CliError,
    exit::Exit,
    progress::Unit,
    report::{Console, Report, format},
};

mod pages;
mod show;
mod survey;
mod training;

pub(crate) fn run(command: &BenchCommand, console: &Console) -> Result<Exit, CliError> {
    match command {
        BenchCommand::Session(args) => console.emit(&session(args, console)?),
        BenchCommand::Training(args) => training::training(args, console),
        BenchCommand::Lookup(args) => console.emit(&training::lookup(args, console)?),
        BenchCommand::Identity(args) => console.emit(&identity(args, console)?),
        BenchCommand::Survey(args) => console.emit(&survey::survey(args, console)?),
        BenchCommand::Relations(args) => console.emit(&survey::relations(args, console)?),
        BenchCommand::Summary(args) => console.emit(&pages::summary(args)?),
        BenchCommand::Show(args) => show::show(args, console),
    }
}

fn session(args: &BenchSessionArgs, console: &Console) -> Result<SessionReport, CliError> {
    let folder = match args.stored {
        true => Some(tempfile::tempdir().map_err(|source| CliError::Io {
            action: "make a temporary folder in",
            path: std::env::temp_dir(),
            source,
        })?),
        false => None,
    };
    let bench = SessionBench {
        shape: SessionShape {
            modules: args.modules,
            inputs: args.inputs,
            outputs: args.outputs,
            rank: args.rank,
            tokens: args.tokens,
            shared: args.shared.get(),
        },
        repetitions: args.repetitions.get(),
        store: folder.as_ref().map(tempfile::TempDir::path),
    };
    Ok(SessionReport(bench.run(&|line| console.note(line))?))
}

/// The figures of one run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionReport(SessionTimes);

impl Report for SessionReport {
    const SCHEMA: &'static str = "lorica-bench-session/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let times = &self.0;
        let shape = times.shape;
        writeln!(
            out,
            "{} modules of {} -> {}, rank {}, {} token rows; {} thread(s), {}, {} kernels, median of {}\n",
            shape.modules,
            shape.inputs,
            shape.outputs,
            shape.rank,
            shape.tokens,
            times.threads,
            times.clock,
            times.kernels,
            times.repetitions
        )?;
        let ratio = |value: f64| format!("{:.2}", value / times.compute_integer_ms);
        let row = |name: &str, value: f64| vec![name.to_owned(), format!("{value:.1}"), ratio(value)];
        let rows = [
            row("compute the deltas, integers", times.compute_integer_ms),
            row("compute the deltas, f32", times.compute_f32_ms),
            row("hash all rows (while serving)", times.hash_ms),
            row("prove, fast opening", times.prove_fast_ms),
            row("prove, compact opening", times.prove_compact_ms),
            row("verify, fast (hashing included)", times.verify_fast_ms),
            row("verify, compact (hashing included)", times.verify_compact_ms),
            row("pin the manifest", times.pin_ms),
            row("derive the bases, once a process", times.setup_ms),
        ];
        writeln!(out, "{}\n", format::table(&["step", "ms", "x compute"], rows))?;
        writeln!(out, "registration      {:.1} ns a weight", times.register_ns_per_weight)?;
        writeln!(out, "proof, fast       {}", format::bytes(times.proof_fast_bytes as u64))?;
        writeln!(out, "proof, compact    {}", format::bytes(times.proof_compact_bytes as u64))?;
        writeln!(out, "transcript        {}", format::bytes(times.transcript_bytes as u64))?;
        if let (Some(extra), Some(peak)) = (times.prove_extra_bytes, times.peak_rss_bytes) {
            writeln!(out, "memory to prove   {} beyond what was there", format::bytes(extra))?;
            writeln!(out, "memory in all     {}", format::bytes(peak))?;
        }
        Ok(())
    }
}

/// The decision about model identity, simulated.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityReport {
    false_decisions: FalseDecisions,
    efficiency: Efficiency,
    comparison: Comparison,
}

fn identity(args: &BenchIdentityArgs, console: &Console) -> Result<IdentityReport, CliError> {
    let progress = console.progress("simulating", Unit::Items);
    let runs = u64::from(args.runs.get());
    let false_decisions =
        identity::false_decisions(runs, args.seed, &|done, total| progress.set(done, total))?;
    drop(progress);
    let report = IdentityReport {
        false_decisions,
        efficiency: identity::efficiency()?,
        comparison: identity::comparison(args.seed)?,
    };
    if let Some(folder) = &args.plots {
        report.plot(folder)?;
    }
    Ok(report)
}

impl IdentityReport {
    /// Draws the plots into a folder, which is made if it is not there.
    fn plot(&self, folder: &Path) -> Result<(), CliError> {
        let plots = [
            ("false-decisions.svg", identity::false_decision_plot(&self.false_decisions)),
            ("queries.svg", identity::efficiency_plot(&self.efficiency)),
        ];
        fs::create_dir_all(folder).map_err(CliError::io("create", folder))?;
        for (name, plot) in plots {
            let path = folder.join(name);
            let svg = plot.map_err(|reason| CliError::Content { path: path.clone(), reason })?;
            write_atomically(&path, FileMode::Shared, |out| out.write_all(svg.as_bytes()))?;
        }
        Ok(())
    }
}

impl Report for IdentityReport {
    const SCHEMA: &'static str = "lorica-bench-identity/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.false_decisions.to_markdown())?;
        writeln!(out, "{}", self.efficiency.to_markdown())?;
        writeln!(out, "{}", self.comparison.to_markdown())
    }

    fn exit(&self) -> Exit {
        if self.false_decisions.all_within_alpha() { Exit::Yes } else { Exit::No }
    }
}
