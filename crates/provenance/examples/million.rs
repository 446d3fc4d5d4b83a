//! Times of a log with a million entries: `cargo run --release -p lorica-provenance --example million -- FOLDER`.
//!
//! Everything is what a user of the log gets: signed, synced to disk, read back from files. Prints one JSON document. The
//! folder gets a log of about 400 MB, which is removed at the end.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example that measures")]

use std::{
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use lorica_provenance::{
    AuditOptions, ConsistencyProof, Event, InclusionProof, Kept, LogReader, LogSigner, LogWriter, Verdict,
    What, audit, event::Finite,
};
use lorica_tensor::Digest;
use serde::Serialize;

const ENTRIES: u64 = 1_000_000;
const BATCH: u64 = 10_000;
const ONE_BY_ONE: u64 = 500;
const PROOFS: u64 = 2_000;
const AUDITS: usize = 3;

#[derive(Serialize)]
struct Results {
    schema: &'static str,
    command: &'static str,
    processor: String,
    threads: usize,
    entries: u64,
    entry_bytes_mean: f64,
    log_bytes: u64,
    log_files: u64,
    /// Batches of 10,000, each with one signature and one set of syncs.
    append_batched_seconds: f64,
    append_batched_entries_per_second: f64,
    /// Of the process, all threads; the rest of the time it waits for the disk.
    append_batched_processor_seconds: f64,
    /// One entry, one signature, one set of syncs.
    append_one_by_one_milliseconds: Quantiles,
    open_writer_milliseconds: f64,
    /// Read tiles from files, and write the proof file's text; a new view for each, so no tile is in our memory.
    make_inclusion_proof_microseconds: Quantiles,
    verify_inclusion_proof_microseconds: Quantiles,
    inclusion_proof_bytes: usize,
    make_consistency_proof_microseconds: Quantiles,
    verify_consistency_proof_microseconds: Quantiles,
    /// Everything computed again from the entries, with one kept checkpoint. Each run.
    verify_log_seconds: Vec<f64>,
    /// The same, in seconds of processors: what it takes without others on the machine.
    verify_log_processor_seconds: Vec<f64>,
}

#[derive(Serialize)]
struct Quantiles {
    median: f64,
    p90: f64,
    most: f64,
    samples: usize,
}

impl Quantiles {
    fn of(mut times: Vec<Duration>, unit: f64) -> Self {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * unit;
        Self { median: at(0.5), p90: at(0.9), most: at(1.0), samples: times.len() }
    }
}

fn event(i: u64) -> Event {
    let digest = |what: u8| {
        let mut bytes = [what; 32];
        bytes[..8].copy_from_slice(&i.to_le_bytes());
        Digest(bytes)
    };
    let what = match i % 16 {
        0 => What::Checkpoint { step: i, digest: digest(1) },
        1 => What::Metric {
            name: "loss".parse().unwrap(),
            value: Finite::new(1.0 / (1.0 + i as f64)).unwrap(),
            checkpoint: digest(1),
            data: digest(2),
        },
        2 => What::Proof {
            first: i,
            last: i + 13,
            digest: digest(3),
            config: digest(4),
            before: digest(5),
            after: digest(6),
        },
        _ => What::Step {
            first: i,
            last: i,
            data: digest(2),
            rows: digest(7),
            config: digest(4),
            before: digest(5),
            after: digest(6),
        },
    };
    Event::new("benchmark".parse().unwrap(), 1_790_000_000 + i, what)
}

fn size_of(folder: &Path) -> (u64, u64) {
    std::fs::read_dir(folder).unwrap().fold((0, 0), |(bytes, files), entry| {
        let path = entry.unwrap().path();
        let (more, count) = if path.is_dir() { size_of(&path) } else { (path.metadata().unwrap().len(), 1) };
        (bytes + more, files + count)
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let value = black_box(work());
    (started.elapsed(), value)
}

/// Seconds that the process has computed, on all threads.
fn processor_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

fn main() {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent).unwrap();
    let path = folder.path().join("log");
    let signer = LogSigner::from_seed("benchmark/log".parse().unwrap(), &[1; 32]);
    let key = signer.verifier().clone();

    let mut writer = LogWriter::create(&path, signer.clone()).unwrap();
    let (mut batched, mut batched_processor, mut bytes) = (Duration::ZERO, 0.0, 0);
    let mut kept = Vec::new();
    for start in (0..ENTRIES).step_by(BATCH as usize) {
        let batch: Vec<Event> = (start..start + BATCH).map(event).collect();
        bytes += batch.iter().map(|event| event.to_bytes().unwrap().len()).sum::<usize>();
        let computed = processor_seconds();
        batched += timed(|| writer.append(&batch).unwrap()).0;
        batched_processor += processor_seconds() - computed;
        if start + BATCH == ENTRIES / 2 {
            kept = LogReader::new(&path).checkpoint_bytes().unwrap();
        }
    }
    let (log_bytes, log_files) = size_of(&path);
    let reader = LogReader::new(&path);
    let checkpoint = reader.checkpoint_bytes().unwrap();

    let samples = (0..PROOFS).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ENTRIES);
    let (mut make, mut verify, mut proof_bytes) = (Vec::new(), Vec::new(), 0);
    for index in samples.clone() {
        let (time, text) = timed(|| {
            let hashes = reader.at(ENTRIES).inclusion(index).unwrap();
            InclusionProof { index, hashes, checkpoint: checkpoint.clone() }.to_string()
        });
        make.push(time);
        proof_bytes = proof_bytes.max(text.len());
        let entry = event(index).to_bytes().unwrap();
        verify
            .push(timed(|| InclusionProof::parse(text.as_bytes()).unwrap().verify(&entry, &key).unwrap()).0);
    }
    let (mut make_consistency, mut verify_consistency) = (Vec::new(), Vec::new());
    let old = lorica_provenance::SignedCheckpoint::open(&kept, &key).unwrap();
    for size in samples.map(|size| size.max(1)) {
        make_consistency.push(
            timed(|| {
                let hashes = reader.at(ENTRIES).consistency(size).unwrap();
                ConsistencyProof { old: size, hashes, checkpoint: checkpoint.clone() }.to_string()
            })
            .0,
        );
    }
    let hashes = reader.at(ENTRIES).consistency(ENTRIES / 2).unwrap();
    let text = ConsistencyProof { old: ENTRIES / 2, hashes, checkpoint: checkpoint.clone() }.to_string();
    for _ in 0..PROOFS {
        let check =
            || ConsistencyProof::parse(text.as_bytes()).unwrap().verify(old.checkpoint(), &key).unwrap();
        verify_consistency.push(timed(check).0);
    }
    let kept = [Kept { name: "half".to_owned(), bytes: kept }];
    let options = AuditOptions { key: &key, kept: &kept, progress: &|_, _| {} };
    let audits = (0..AUDITS).map(|_| {
        let computed = processor_seconds();
        let (time, verdict) = timed(|| audit(&path, &options).unwrap());
        assert!(matches!(verdict, Verdict::Holds(_)));
        (time.as_secs_f64(), processor_seconds() - computed)
    });
    let (audits, audits_processor) = audits.unzip();

    drop(writer);
    let (open, mut writer) = timed(|| LogWriter::open(&path, signer).unwrap());
    let single =
        (ENTRIES..ENTRIES + ONE_BY_ONE).map(|i| timed(|| writer.append([&event(i)]).unwrap()).0).collect();

    let results = Results {
        schema: "lorica-bench-log/1",
        command: "cargo run --release -p lorica-provenance --example million",
        processor: processor(),
        threads: rayon::current_num_threads(),
        entries: ENTRIES,
        entry_bytes_mean: bytes as f64 / ENTRIES as f64,
        log_bytes,
        log_files,
        append_batched_seconds: batched.as_secs_f64(),
        append_batched_entries_per_second: ENTRIES as f64 / batched.as_secs_f64(),
        append_batched_processor_seconds: batched_processor,
        append_one_by_one_milliseconds: Quantiles::of(single, 1e3),
        open_writer_milliseconds: open.as_secs_f64() * 1e3,
        make_inclusion_proof_microseconds: Quantiles::of(make, 1e6),
        verify_inclusion_proof_microseconds: Quantiles::of(verify, 1e6),
        inclusion_proof_bytes: proof_bytes,
        make_consistency_proof_microseconds: Quantiles::of(make_consistency, 1e6),
        verify_consistency_proof_microseconds: Quantiles::of(verify_consistency, 1e6),
        verify_log_seconds: audits,
        verify_log_processor_seconds: audits_processor,
    };
    println!("{}", serde_json::to_string_pretty(&results).unwrap());
}
