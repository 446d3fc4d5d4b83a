//! How fast tensors are committed to: `cargo run --release -p lorica-commitment --example speed`. Prints one JSON document.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that measures")]

use std::{hint::black_box, time::Instant};

use lorica_commitment::{Tensor, pedersen, poseidon, sha256};
use lorica_tensor::checkpoint::Dtype;
use serde::Serialize;

const ENTRIES: usize = 1 << 20;
const RUNS: usize = 5;

#[derive(Serialize)]
struct Results {
    schema: &'static str,
    command: &'static str,
    processor: String,
    threads: usize,
    entries: usize,
    /// Seconds of all threads, each run; F32 entries.
    sha256_processor_seconds: Vec<f64>,
    poseidon_processor_seconds: Vec<f64>,
    /// Tables of the bases included.
    pedersen_processor_seconds: Vec<f64>,
    /// By the clock.
    sha256_seconds: Vec<f64>,
    poseidon_seconds: Vec<f64>,
    pedersen_seconds: Vec<f64>,
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

/// Seconds that the process has computed, on all threads.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn runs<T>(work: impl Fn() -> T) -> (Vec<f64>, Vec<f64>) {
    let run = |_| {
        let (computed, started) = (processor_seconds(), Instant::now());
        black_box(work());
        (started.elapsed().as_secs_f64(), processor_seconds() - computed)
    };
    (0..RUNS).map(run).unzip()
}

fn main() {
    let floats = (0..ENTRIES).flat_map(|i| ((i as f32 * 0.37).sin() * 0.05).to_le_bytes()).collect();
    let shape = vec![1024, (ENTRIES / 1024) as u64];
    let tensor = Tensor { name: "w".to_owned(), dtype: Dtype::F32, shape, bytes: floats };
    let generators = pedersen::generators();
    let key = zeroize::Zeroizing::new([1; 32]);
    let (sha256_seconds, sha256_processor_seconds) = runs(|| sha256::root(&tensor, None));
    let (poseidon_seconds, poseidon_processor_seconds) = runs(|| poseidon::root(&tensor, None).unwrap());
    let (pedersen_seconds, pedersen_processor_seconds) =
        runs(|| pedersen::commit(&tensor, &key, &generators).unwrap());
    let results = Results {
        schema: "lorica-bench-tensor/1",
        command: "cargo run --release -p lorica-commitment --example speed",
        processor: processor(),
        threads: rayon::current_num_threads(),
        entries: ENTRIES,
        sha256_processor_seconds,
        poseidon_processor_seconds,
        pedersen_processor_seconds,
        sha256_seconds,
        poseidon_seconds,
        pedersen_seconds,
    };
    println!("{}", serde_json::to_string_pretty(&results).unwrap());
}
