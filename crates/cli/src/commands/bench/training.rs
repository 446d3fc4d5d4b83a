//! Proofs of training steps: one process registers, another one that it starts proves.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use clap::ValueEnum;
use lorica_bench::{
    lookup::{LookupBench, LookupTimes},
    stopwatch::{Span, Stopwatch},
    training::{ProofTimes, TrainingBench, TrainingShape, TrainingTimes},
};
use lorica_relation::training::config::{LossKind, UpdateKind};
use serde::{Deserialize, Serialize};

use crate::{
    args::bench::{BenchLookupArgs, BenchTrainingArgs, LossChoice, UpdateChoice},
    error::CliError,
    exit::Exit,
    report::{Console, Report, format},
};

/// The figures of one shape.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TrainingReport(pub(super) TrainingTimes);

/// The figures of the process that proves.
#[derive(Debug, Serialize, Deserialize)]
struct ProofsReport(ProofTimes);

/// The figures of commitments and lookups.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LookupReport(pub(super) LookupTimes);

pub(super) fn training(args: &BenchTrainingArgs, console: &Console) -> Result<Exit, CliError> {
    let process = Stopwatch::of_process();
    let bench = bench(args);
    let say = |line: &str| console.note(line);
    if let Some(folder) = &args.registered {
        return console.emit(&ProofsReport(bench.prove(folder, &process, &say)?));
    }
    let folder = tempfile::tempdir().map_err(|source| CliError::Io {
        action: "make a temporary folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    let registrations = bench.register(folder.path(), &say)?;
    say("proving and verifying in a process of its own");
    let proofs = prove(&bench.shape, args, folder.path())?;
    console.emit(&TrainingReport(bench.times(registrations, proofs)?))
}

fn bench(args: &BenchTrainingArgs) -> TrainingBench {
    let (update, rank) = match args.update {
        UpdateChoice::Sgd => (UpdateKind::Sgd, None),
        UpdateChoice::Lora => (UpdateKind::Lora, Some(args.rank)),
    };
    let loss = match args.loss {
        LossChoice::MeanSquaredError => LossKind::MeanSquaredError,
        LossChoice::CrossEntropy => LossKind::CrossEntropy,
    };
    TrainingBench {
        shape: TrainingShape {
            layers: args.layers.clone(),
            batch: args.batch.get(),
            steps: args.steps.get(),
            update,
            rank,
            loss,
            momentum: args.momentum,
        },
        repetitions: args.repetitions.get(),
    }
}

/// Proves in a process of its own, on as many threads.
fn prove(shape: &TrainingShape, args: &BenchTrainingArgs, folder: &Path) -> Result<ProofTimes, CliError> {
    let failed =
        |source| CliError::Io { action: "run this program again from", path: folder.to_owned(), source };
    let layers = shape.layers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let output = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["bench", "training", "--json", "--quiet"])
        .args(["--threads", &rayon::current_num_threads().to_string()])
        .args(["--layers", &layers, "--batch", &shape.batch.to_string(), "--steps", &shape.steps.to_string()])
        .args(["--update", &typed(args.update)])
        .args(["--rank", &args.rank.to_string()])
        .args(["--loss", &typed(args.loss)])
        .args(["--momentum", &shape.momentum.to_string(), "--repetitions", &args.repetitions.to_string()])
        .arg("--registered")
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(failed)?;
    let content = |reason: String| CliError::Content { path: folder.to_owned(), reason };
    if !output.status.success() {
        return Err(content(format!("the process that proves ended with {}", output.status)));
    }
    let ProofsReport(times) =
        serde_json::from_slice(&output.stdout).map_err(|error| content(error.to_string()))?;
    Ok(times)
}

/// A choice as it is typed.
fn typed(choice: impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

pub(super) fn lookup(args: &BenchLookupArgs, console: &Console) -> Result<LookupReport, CliError> {
    let bench = LookupBench {
        rows: args.rows.get(),
        row_length: args.row_length.get(),
        repetitions: args.repetitions.get(),
    };
    Ok(LookupReport(bench.run(&|line| console.note(line))?))
}

fn row(name: &str, span: Span) -> Vec<String> {
    vec![name.to_owned(), format!("{:.1}", span.wall_ms), format!("{:.1}", span.processor_ms)]
}

impl Report for TrainingReport {
    const SCHEMA: &'static str = "lorica-bench-training/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let times = &self.0;
        let (shape, proofs) = (&times.shape, &times.proofs);
        let layers = shape.layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        let rank = shape.rank.map(|rank| format!(" of rank {rank}")).unwrap_or_default();
        writeln!(
            out,
            "{} of {layers}, {}{rank}, batch {}; {} of {} parameters move; {}, {} kernels, median of {}\n",
            format::plural(shape.steps as u64, "step"),
            shape.update,
            shape.batch,
            format::count(times.moved as u64),
            format::count(times.parameters as u64),
            format::plural(times.threads as u64, "thread"),
            times.kernels,
            times.repetitions
        )?;
        let rows = [
            row("plain steps, exact", proofs.plain),
            row("plain steps, f32", proofs.float),
            row("prove, warm", proofs.prove),
            row("verify", proofs.verify),
            row(&format!("verify, each of {} together", proofs.together), proofs.verify_together),
            row("first proof of a process", proofs.first),
            row("derive the bases, once a process", proofs.bases),
            row("pin data and model, once a process", proofs.pin),
            row("whole process, to the first proof on disk", proofs.whole_process),
            row("register the data (not in the process)", times.data.time),
            row("register the model (not in the process)", times.model.time),
        ];
        writeln!(out, "{}\n", format::table(&["step", "ms", "processor ms"], rows))?;
        writeln!(out, "prove / plain     {:.1} in processor time", proofs.prove_over_plain)?;
        writeln!(
            out,
            "proof             {}, {} of them row commitments",
            format::bytes(proofs.proof_bytes as u64),
            format::bytes(proofs.row_bytes as u64)
        )?;
        writeln!(
            out,
            "looked up         {} values, {:.0} ns of the proof for each",
            format::count(proofs.leaves as u64),
            proofs.prove.nanoseconds_each(proofs.leaves)
        )?;
        writeln!(out, "committed         {} rows of at most {}", proofs.rows, proofs.row_length)?;
        for (name, registration) in [("data ", times.data), ("model", times.model)] {
            writeln!(
                out,
                "register {name}    {} values, {:.0} ns each",
                format::count(registration.values as u64),
                registration.ns_per_value
            )?;
        }
        if let Some(peak) = proofs.peak_rss_bytes {
            writeln!(out, "memory            {}", format::bytes(peak))?;
        }
        Ok(())
    }
}

impl Report for ProofsReport {
    const SCHEMA: &'static str = "lorica-bench-training-proofs/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{:.1} ms to the first proof on disk", self.0.whole_process.wall_ms)
    }
}

impl Report for LookupReport {
    const SCHEMA: &'static str = "lorica-bench-lookup/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let times = &self.0;
        writeln!(
            out,
            "{} rows of {} uniform 16-bit integers; {}, {} kernels, median of {}\n",
            times.rows,
            times.row_length,
            format::plural(times.threads as u64, "thread"),
            times.kernels,
            times.repetitions
        )?;
        let rows = [
            row("commit to all rows", times.commit),
            row("range argument", times.lookup),
            row("verify it", times.verify),
        ];
        writeln!(out, "{}\n", format::table(&["step", "ms", "processor ms"], rows))?;
        writeln!(out, "commitment        {:.1} ns a value", times.commit_ns_per_value)?;
        writeln!(out, "lookup            {:.1} ns a value", times.lookup_ns_per_value)?;
        writeln!(out, "proof             {}", format::bytes(times.proof_bytes as u64))
    }
}
