//! Stored results as a page: a table of every run, the bars they are measured against, and a plot of growth.

use std::fmt::Write as _;

use plotters::style::RGBColor;

use crate::plot::{self, Line, Plot};
use crate::session::SessionTimes;

/// One stored run: its name, which is the file's, and its figures.
pub struct StoredRun {
    /// Such as `llama-8b-attention`.
    pub name: String,
    /// The figures.
    pub times: SessionTimes,
}

/// The page, in Markdown. It holds nothing but what the runs hold.
pub fn page(runs: &[StoredRun], plot: Option<&str>) -> String {
    let mut text = String::from(
        "# Benchmarks\n\nMade by `just bench-store` (`scripts/bench`), which runs `lorica bench session` for each shape and \
         stores its JSON beside this page. Do not edit: run it again.\n\n",
    );
    if let Some(first) = runs.first() {
        let times = &first.times;
        let _ = writeln!(
            text,
            "Processor: {}. Kernels: {}. Clock: {}. Version {}.\n",
            times.processor, times.kernels, times.clock, times.version
        );
    }
    text.push_str(
        "*compute* is the plain product `X A^T B^T` that is being proven, without any proof. *prove* takes the digests that \
         were made while the session ran; *hash* is what those cost. *verify* hashes all rows itself.\n\n\
         | run | modules, shape, rank, tokens | threads | compute int / f32 ms | hash ms | prove fast / compact ms | verify fast / compact ms | proof fast / compact bytes |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for StoredRun { name, times } in runs {
        let shape = times.shape;
        let _ = writeln!(
            text,
            "| {name} | {} x {} -> {}, r {}, {} | {} | {:.1} / {:.1} | {:.1} | {:.1} / {:.1} | {:.1} / {:.1} | {} / {} |",
            shape.modules,
            shape.inputs,
            shape.outputs,
            shape.rank,
            shape.tokens,
            times.threads,
            times.compute_integer_ms,
            times.compute_f32_ms,
            times.hash_ms,
            times.prove_fast_ms,
            times.prove_compact_ms,
            times.verify_fast_ms,
            times.verify_compact_ms,
            times.proof_fast_bytes,
            times.proof_compact_bytes,
        );
    }
    text.push_str(
        "\n| run | prove fast / compute | (prove fast + hash) / compute | verify fast / compute | register ns a weight | prove memory MB | peak MB | transcript MB | fast proof / transcript |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for StoredRun { name, times } in runs {
        let ratio = |value: f64| value / times.compute_integer_ms;
        let megabytes = |bytes: Option<u64>| match bytes {
            Some(bytes) => format!("{:.1}", bytes as f64 / 1e6),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {:.2} | {:.0} | {} | {} | {} | {:.3} % |",
            ratio(times.prove_fast_ms),
            ratio(times.prove_fast_ms + times.hash_ms),
            ratio(times.verify_fast_ms),
            times.register_ns_per_weight,
            megabytes(times.prove_extra_bytes),
            megabytes(times.peak_rss_bytes),
            megabytes(Some(times.transcript_bytes as u64)),
            100.0 * times.proof_fast_bytes as f64 / times.transcript_bytes as f64,
        );
    }
    if let Some(plot) = plot {
        let _ = writeln!(text, "\n![time against token rows]({plot})");
    }
    text
}

/// A line of the plot: its name, its colour and what it shows of a run.
type Shown = (&'static str, RGBColor, fn(&SessionTimes) -> f64);

const LINES: [Shown; 4] = [
    ("compute, integer", plot::GREY, |times| times.compute_integer_ms),
    ("prove, fast", plot::RED, |times| times.prove_fast_ms),
    ("prove, compact", plot::ORANGE, |times| times.prove_compact_ms),
    ("verify, fast", plot::BLUE, |times| times.verify_fast_ms),
];

/// A plot of time against token rows, over runs that differ in their tokens alone. `None` with fewer than two of them.
pub fn growth_plot(runs: &[StoredRun]) -> Option<Result<String, String>> {
    let mut runs: Vec<&SessionTimes> = runs.iter().map(|run| &run.times).collect();
    runs.sort_by_key(|times| times.shape.tokens);
    let first = runs.first()?;
    let title = format!(
        "{} modules of {} x {}, rank {}, {} thread(s)",
        first.shape.modules, first.shape.inputs, first.shape.outputs, first.shape.rank, first.threads
    );
    let line = |(name, colour, value): Shown| Line {
        name: name.to_owned(),
        colour,
        points: runs.iter().map(|times| (times.shape.tokens as f64, value(times))).collect(),
    };
    let lines = LINES.map(line).into();
    Plot { title: &title, size: "token rows", value: "milliseconds", lines }.svg()
}
