//! Times row commitments on one thread: nanoseconds for each int16 entry, table building and encodings included;
//! apart from it, microseconds for each generator to hash it to the group and to prepare the committer.
//!
//! `cargo run --release -p lorica-algebra --example row_commit_times`, and once more with `LORICA_SIMD=off`.

use std::error::Error;
use std::time::{Duration, Instant};

use lorica_algebra::Point;
use lorica_algebra::kernels::rows::RowCommitter;
use lorica_algebra::kernels::{Backend, simd};

/// Runs of which the fastest counts: other programs can only slow a run down.
const RUNS: usize = 5;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let backend = simd()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| {
        for (rows, entries) in [(2048, 4096), (32, 768), (8, 768)] {
            time(backend, rows, entries)?;
        }
        Ok(())
    })
}

/// Times the commitments to `rows` rows of `entries` entries.
fn time(backend: Backend, rows: usize, entries: usize) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut stream = blake3::Hasher::new().update(b"row commitment times").finalize_xof();
    let mut uniform = [0; 64];
    let start = Instant::now();
    let generators: Vec<Point> = (0..entries)
        .map(|_| {
            stream.fill(&mut uniform);
            Point::from_uniform_bytes(&uniform)
        })
        .collect();
    let derived = start.elapsed();

    let mut bytes = vec![0; 2 * rows * entries];
    stream.fill(&mut bytes);
    let values: Vec<i16> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let matrix: Vec<&[i16]> = values.chunks_exact(entries).collect();

    let start = Instant::now();
    let committer = RowCommitter::with_backend(&generators, backend);
    let built = start.elapsed();
    let mut committed = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        let commitments = committer.commit(&matrix)?;
        committed = committed.min(start.elapsed());
        std::hint::black_box(commitments);
    }

    let each = committed.as_nanos() as f64 / (rows * entries) as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / entries as f64;
    #[allow(clippy::print_stdout)]
    {
        println!(
            "{}: {rows} rows of {entries}: {each:.1} ns an entry; each generator: {:.2} us to derive, {:.2} us to prepare",
            backend.name(),
            micros(derived),
            micros(built),
        );
    }
    Ok(())
}
