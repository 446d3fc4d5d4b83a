//! Stored results of training steps as a page: the bars, growth with steps and with parameters, every run, and plots.

use std::fmt::Write as _;

use lorica_relation::training::config::{LossKind, UpdateKind};

use super::{TrainingShape, TrainingTimes};
use crate::lookup::LookupTimes;
use crate::plot::{self, Line, Plot};
use crate::stopwatch::Span;

/// Runs with this prefix differ in their steps alone.
const STEPS: &str = "steps-";
/// Runs with this prefix differ in their layers, and in what moves.
const PARAMETERS: &str = "parameters-";

/// A stored result.
pub struct Stored<T> {
    /// The file's name without its extension.
    pub name: String,
    /// The figures.
    pub times: T,
}

/// A plot of a page.
pub struct PagePlot {
    /// The file's name.
    pub file: &'static str,
    /// What it shows.
    pub what: &'static str,
    /// The drawing.
    pub svg: String,
}

/// What a workload has to keep to on two cores.
struct Bar {
    what: &'static str,
    layers: &'static [usize],
    batch: usize,
    steps: usize,
    rank: Option<usize>,
    /// Seconds of the whole cold process.
    process: f64,
    /// Seconds of a warm proof.
    warm: Option<f64>,
    /// Milliseconds.
    verify: f64,
    /// Thousands of bytes.
    proof: f64,
    /// Thousands of millions of bytes.
    memory: f64,
}

const BARS: [Bar; 4] = [
    Bar {
        what: "one SGD step, 784-1024-256-10, batch 64",
        layers: &[784, 1024, 256, 10],
        batch: 64,
        steps: 1,
        rank: None,
        process: 1.5,
        warm: Some(0.6),
        verify: 50.0,
        proof: 30.0,
        memory: 0.6,
    },
    Bar {
        what: "one LoRA step, rank 8, same network",
        layers: &[784, 1024, 256, 10],
        batch: 64,
        steps: 1,
        rank: Some(8),
        process: 0.5,
        warm: Some(0.3),
        verify: 30.0,
        proof: 25.0,
        memory: 0.2,
    },
    Bar {
        what: "32 steps of 784-128-10, batch 64, one proof",
        layers: &[784, 128, 10],
        batch: 64,
        steps: 32,
        rank: None,
        process: 4.0,
        warm: None,
        verify: 100.0,
        proof: 40.0,
        memory: 1.0,
    },
    Bar {
        what: "one SGD step, 2048-4096-512-10, batch 16",
        layers: &[2048, 4096, 512, 10],
        batch: 16,
        steps: 1,
        rank: None,
        process: 8.0,
        warm: None,
        verify: 100.0,
        proof: 64.0,
        memory: 2.0,
    },
];

/// Runs with this prefix are held against the bar of their shape.
const BAR: &str = "bar-";

impl Bar {
    fn is_of(&self, shape: &TrainingShape) -> bool {
        let TrainingShape { layers, batch, steps, update: _, rank, loss, momentum } = shape;
        layers == self.layers
            && (*batch, *steps, *rank) == (self.batch, self.steps, self.rank)
            && *loss == LossKind::MeanSquaredError
            && *momentum == 0.0
    }
}

/// Nanoseconds a value on one core, warm.
const LOOKUP_BAR: f64 = 70.0;
const COMMIT_BAR: f64 = 100.0;

/// A figure beside its bar.
fn judged(value: f64, bar: f64, digits: usize) -> String {
    let verdict = if value <= bar { "met" } else { "**MISSED**" };
    format!("{value:.digits$} ({bar}: {verdict})")
}

impl TrainingShape {
    /// Such as `784-128-10`.
    fn network(&self) -> String {
        self.layers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
    }

    fn updates(&self) -> String {
        let rank = self.rank.map(|rank| format!(", rank {rank}")).unwrap_or_default();
        let momentum =
            if self.momentum > 0.0 { format!(", momentum {}", self.momentum) } else { String::new() };
        let loss = match self.loss {
            LossKind::CrossEntropy => ", cross-entropy",
            LossKind::MeanSquaredError => "",
        };
        format!("{}{rank}{momentum}{loss}", self.update)
    }
}

/// The page, in Markdown. It holds nothing but what the results hold, and the bars.
pub fn page(runs: &[Stored<TrainingTimes>], lookups: &[Stored<LookupTimes>], plots: &[PagePlot]) -> String {
    let mut text = String::from(
        "# Benchmarks of training proofs\n\nMade by `just bench-training` (`scripts/bench-training`), which runs `lorica bench \
         training` and `lorica bench lookup` for each shape and stores their JSON beside this page. Do not edit: run it \
         again. KB, MB and GB are powers of 1000.\n\n",
    );
    let first = runs.first().map(|run| (&run.times.processor, &run.times.kernels, &run.times.version));
    let first =
        first.or(lookups.first().map(|run| (&run.times.processor, &run.times.kernels, &run.times.version)));
    if let Some((processor, kernels, version)) = first {
        let _ = writeln!(text, "Processor: {processor}. Kernels: {kernels}. Version {version}.\n");
    }
    text.push_str(
        "- *Whole process*: a process of its own from its start to the proof on disk: making up weights and samples (which stands for \
         reading them), deriving bases, reading and verifying the registrations of data set and model, the steps, the proof and its check. \
         Making the registrations is not in it; *register* says what it takes.\n\
         - *Prove*: the median of proofs with memory warm, each with the verification without which the product gives no proof out.\n\
         - *Plain*: the same steps by the exact trainer without any proof. *Floats*: the same by plain loops in single precision.\n\
         - *Verify one of several together*: the last equations of as many proofs as are named in one check, for each of them.\n\
         - *Memory*: the largest resident set of the whole process.\n\
         - Times are by the clock on the wall unless they are called processor time, which adds all threads up.\n",
    );
    bars(&mut text, runs, lookups);
    growth(&mut text, "Growth with steps in one proof", &with_prefix(runs, STEPS));
    growth(&mut text, "Growth with parameters", &with_prefix(runs, PARAMETERS));
    for PagePlot { file, what, .. } in plots {
        let _ = writeln!(text, "\n![{what}]({file})");
    }
    all(&mut text, runs);
    text
}

fn with_prefix<'a, T>(runs: &'a [Stored<T>], prefix: &str) -> Vec<&'a Stored<T>> {
    runs.iter().filter(|run| run.name.starts_with(prefix)).collect()
}

fn bars(text: &mut String, runs: &[Stored<TrainingTimes>], lookups: &[Stored<LookupTimes>]) {
    text.push_str(
        "\n## Bars\n\nEach figure stands beside its bar.\n\n\
         | workload | run | threads | whole process s | prove, warm s | verify ms | proof KB | memory GB |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for bar in &BARS {
        let Bar { what, process, warm, verify, proof, memory, .. } = bar;
        for Stored { name, times } in with_prefix(runs, BAR) {
            if !bar.is_of(&times.shape) {
                continue;
            }
            let proofs = &times.proofs;
            let warm_seconds = proofs.prove.wall_ms / 1e3;
            let warm = warm.map_or(format!("{warm_seconds:.2}"), |bar| judged(warm_seconds, bar, 2));
            let peak =
                proofs.peak_rss_bytes.map_or("-".to_owned(), |bytes| judged(bytes as f64 / 1e9, *memory, 2));
            let _ = writeln!(
                text,
                "| {what} | {name} | {} | {} | {warm} | {} | {} | {peak} |",
                times.threads,
                judged(proofs.whole_process.wall_ms / 1e3, *process, 2),
                judged(proofs.verify.wall_ms, *verify, 1),
                judged(proofs.proof_bytes as f64 / 1e3, *proof, 1),
            );
        }
    }
    if lookups.is_empty() {
        return;
    }
    text.push_str(
        "\nUniform 16-bit values, warm, processor time. The *lookup* is a whole range argument: multiplicities, tree, sumchecks, \
         column rounds and opening; its time is divided by the values.\n\n\
         | run | threads | values | row length | lookup ns a value | commitment ns a value | verify ms | proof KB |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for Stored { name, times } in lookups {
        // The bars are for one core, long rows and many values.
        let is_of_bars =
            times.threads == 1 && times.row_length >= 1 << 12 && times.rows * times.row_length >= 1 << 18;
        let beside = |value: f64, bar| if is_of_bars { judged(value, bar, 1) } else { format!("{value:.1}") };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            times.threads,
            times.rows * times.row_length,
            times.row_length,
            beside(times.lookup_ns_per_value, LOOKUP_BAR),
            beside(times.commit_ns_per_value, COMMIT_BAR),
            times.verify.wall_ms,
            times.proof_bytes as f64 / 1e3,
        );
    }
}

fn growth(text: &mut String, title: &str, runs: &[&Stored<TrainingTimes>]) {
    if runs.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## {title}\n\n\
         | network | update | batch | steps | parameters | moved | plain ms | prove ms | prove / plain (processor time) | verify ms | proof KB (rows + rest) | memory MB |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut runs = runs.to_vec();
    runs.sort_by_key(|run| (run.times.shape.rank, run.times.parameters, run.times.shape.steps));
    for Stored { times, .. } in runs {
        let TrainingTimes { shape, proofs, .. } = times;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} |",
            shape.network(),
            shape.updates(),
            shape.batch,
            shape.steps,
            times.parameters,
            times.moved,
            proofs.plain.wall_ms,
            proofs.prove.wall_ms,
            proofs.prove_over_plain,
            proofs.verify.wall_ms,
            size(times),
            megabytes(proofs.peak_rss_bytes),
        );
    }
}

fn all(text: &mut String, runs: &[Stored<TrainingTimes>]) {
    text.push_str(
        "\n## All runs\n\nWall / processor milliseconds; the first proof, bases and pin are measured once, in the process of its own.\n\n\
         | run | whole process | bases | pin | first proof | prove | plain | floats | verify | verify one of several together | learning rate |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for Stored { name, times } in runs {
        let proofs = &times.proofs;
        let _ = write!(text, "| {name} |");
        for span in [
            proofs.whole_process,
            proofs.bases,
            proofs.pin,
            proofs.first,
            proofs.prove,
            proofs.plain,
            proofs.float,
            proofs.verify,
        ] {
            let _ = write!(text, " {:.1} / {:.1} |", span.wall_ms, span.processor_ms);
        }
        let Span { wall_ms, processor_ms } = proofs.verify_together;
        let _ = write!(text, " {wall_ms:.1} / {processor_ms:.1} ({}) |", proofs.together);
        let _ = writeln!(text, " {} |", times.learning_rate);
    }
    text.push_str(
        "\n| run | network, update, batch x steps | threads | rows committed, of at most | values looked up | prove ns of processor time for each of them | proof KB (rows + rest) | memory MB | register data: values, ns each | register model: values, ns each |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for Stored { name, times } in runs {
        let TrainingTimes { shape, proofs, data, model, .. } = times;
        let _ = writeln!(
            text,
            "| {name} | {}, {}, {} x {} | {} | {}, {} | {} | {:.0} | {} | {} | {}, {:.0} | {}, {:.0} |",
            shape.network(),
            shape.updates(),
            shape.batch,
            shape.steps,
            times.threads,
            proofs.rows,
            proofs.row_length,
            proofs.leaves,
            proofs.prove.nanoseconds_each(proofs.leaves),
            size(times),
            megabytes(proofs.peak_rss_bytes),
            data.values,
            data.ns_per_value,
            model.values,
            model.ns_per_value,
        );
    }
}

fn size(times: &TrainingTimes) -> String {
    let kilobytes = |bytes: usize| bytes as f64 / 1e3;
    let (all, rows) = (times.proofs.proof_bytes, times.proofs.row_bytes);
    format!("{:.1} ({:.1} + {:.1})", kilobytes(all), kilobytes(rows), kilobytes(all.saturating_sub(rows)))
}

fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6))
}

/// A line over runs.
fn line(
    name: &str,
    colour: plotters::style::RGBColor,
    runs: &[&Stored<TrainingTimes>],
    point: impl Fn(&TrainingTimes) -> (f64, f64),
) -> Line {
    let mut points: Vec<(f64, f64)> = runs.iter().map(|run| point(&run.times)).collect();
    points.sort_by(|left, right| left.0.total_cmp(&right.0));
    Line { name: name.to_owned(), colour, points }
}

/// The plots of a page: of those that have at least two sizes.
///
/// # Errors
/// What the plotting library says.
pub fn plots(runs: &[Stored<TrainingTimes>]) -> Result<Vec<PagePlot>, String> {
    let mut plots = Vec::new();
    let mut add = |file, what, plot: Plot<'_>| match plot.svg() {
        None => Ok(()),
        Some(Ok(svg)) => {
            plots.push(PagePlot { file, what, svg });
            Ok(())
        }
        Some(Err(reason)) => Err(format!("{file}: {reason}")),
    };
    let times = |runs: &[&Stored<TrainingTimes>], size: fn(&TrainingTimes) -> usize| {
        let at = move |value: fn(&TrainingTimes) -> f64| {
            move |times: &TrainingTimes| (size(times) as f64, value(times))
        };
        vec![
            line("prove", plot::RED, runs, at(|times| times.proofs.prove.wall_ms)),
            line("plain", plot::GREY, runs, at(|times| times.proofs.plain.wall_ms)),
            line("verify", plot::BLUE, runs, at(|times| times.proofs.verify.wall_ms)),
        ]
    };
    let (of_steps, of_parameters) = (with_prefix(runs, STEPS), with_prefix(runs, PARAMETERS));
    if let Some(first) = of_steps.first() {
        let shape = &first.times.shape;
        let title = format!(
            "{}, {}, batch {}, {} thread(s)",
            shape.network(),
            shape.updates(),
            shape.batch,
            first.times.threads
        );
        let lines = times(&of_steps, |times| times.shape.steps);
        let (size, value) = ("steps in one proof", "milliseconds");
        add("steps.svg", "times against steps", Plot { title: &title, size, value, lines })?;
        let kilobytes = |bytes: usize| bytes as f64 / 1e3;
        let steps = |times: &TrainingTimes| times.shape.steps as f64;
        let lines = vec![
            line("proof", plot::RED, &of_steps, |times| (steps(times), kilobytes(times.proofs.proof_bytes))),
            line("row commitments in it", plot::ORANGE, &of_steps, |times| {
                (steps(times), kilobytes(times.proofs.row_bytes))
            }),
        ];
        add("proof-size.svg", "size against steps", Plot { title: &title, size, value: "KB", lines })?;
    }
    for (file, what, update) in [
        ("parameters-sgd.svg", "times against parameters, all weights", UpdateKind::Sgd),
        ("parameters-lora.svg", "times against parameters, LoRA", UpdateKind::Lora),
    ] {
        let kind: Vec<_> =
            of_parameters.iter().copied().filter(|run| run.times.shape.update == update).collect();
        let Some(first) = kind.first() else { continue };
        let shape = &first.times.shape;
        let title = format!(
            "one step, {}, batch {}, {} thread(s)",
            shape.updates(),
            shape.batch,
            first.times.threads
        );
        let lines = times(&kind, |times| times.parameters);
        let (size, value) = ("parameters of the network", "milliseconds");
        add(file, what, Plot { title: &title, size, value, lines })?;
    }
    Ok(plots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::{ProofTimes, RegistrationTimes};

    fn times(steps: usize, update: UpdateKind) -> TrainingTimes {
        let span = |milliseconds: f64| Span { wall_ms: milliseconds, processor_ms: 2.0 * milliseconds };
        let registration = RegistrationTimes {
            values: 100,
            commitments: 2,
            time: span(1.0),
            ns_per_value: 10_000.0,
            proof_bytes: 5,
        };
        TrainingTimes {
            shape: TrainingShape {
                layers: vec![784, 128, 10],
                batch: 64,
                steps,
                update,
                rank: (update == UpdateKind::Lora).then_some(8),
                loss: LossKind::MeanSquaredError,
                momentum: 0.0,
            },
            parameters: 101_770 * steps,
            moved: 101_770,
            learning_rate: 0.05,
            threads: 2,
            kernels: "avx512".to_owned(),
            processor: "a processor".to_owned(),
            version: "0.1.0".to_owned(),
            repetitions: 3,
            data: registration,
            model: registration,
            proofs: ProofTimes {
                whole_process: span(3990.0),
                bases: span(5.0),
                pin: span(6.0),
                first: span(700.0),
                plain: span(10.0),
                float: span(8.0),
                prove: span(600.0 * steps as f64),
                verify: span(101.0),
                verify_together: span(51.0),
                together: 4,
                prove_over_plain: 60.0,
                proof_bytes: 40_100,
                row_bytes: 32_000,
                rows: 9,
                row_length: 16_384,
                leaves: 1 << 18,
                peak_rss_bytes: None,
            },
        }
    }

    fn stored(name: &str, steps: usize, update: UpdateKind) -> Stored<TrainingTimes> {
        Stored { name: name.to_owned(), times: times(steps, update) }
    }

    #[test]
    fn bars_that_are_missed_are_said_to_be() {
        let text = page(&[stored("bar-steps-32", 32, UpdateKind::Sgd)], &[], &[]);
        assert!(
            text.contains("| 3.99 (4: met) | 19.20 | 101.0 (100: **MISSED**) | 40.1 (40: **MISSED**) | - |")
        );
        assert!(text.contains("Processor: a processor. Kernels: avx512."));
        assert!(!text.contains("## Growth"));
        // A run of another shape is held against no bar, whatever it is called.
        let other = page(&[stored("bar-steps-32", 8, UpdateKind::Sgd)], &[], &[]);
        assert!(!other.contains("met)") && !other.contains("MISSED"));
    }

    #[test]
    fn growth_is_drawn_where_there_are_two_sizes() {
        let runs = [
            stored("parameters-lora-1k", 1, UpdateKind::Lora),
            stored("parameters-lora-2k", 2, UpdateKind::Lora),
            stored("parameters-sgd-1k", 1, UpdateKind::Sgd),
            stored("steps-001", 1, UpdateKind::Sgd),
            stored("steps-008", 8, UpdateKind::Sgd),
        ];
        let plots = plots(&runs).unwrap();
        let files: Vec<_> = plots.iter().map(|plot| plot.file).collect();
        assert_eq!(files, ["steps.svg", "proof-size.svg", "parameters-lora.svg"]);
        assert!(plots[0].svg.contains("784-128-10, sgd, batch 64, 2 thread(s)"));
        let text = page(&runs, &[], &plots);
        assert!(text.contains("](proof-size.svg)"));
        assert!(text.contains("| 784-128-10 | sgd | 64 | 8 | 814160 | 101770 | 10.0 | 4800.0 | 60.0 | 101.0 | 40.1 (32.0 + 8.1) | - |"));
    }
}
