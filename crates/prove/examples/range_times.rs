//! Times registration with and without a range argument on one thread: nanoseconds of processor time for each weight, and
//! the verifier's milliseconds.
//!
//! `cargo run --release -p lorica-prove --example range_times -- MODULES WIDTH RANK LEVEL` (level 0 or 1 alone, or both), and once more with `LORICA_SIMD=off`.

use std::error::Error;

use lorica_argument::generators::Generators;
use lorica_prove::registration::Registration;
use lorica_prove::secret::AdapterSecret;
use lorica_tensor::Digest;
use lorica_testkit::adapter::{entropy, modules, witness};
use lorica_testkit::random::Random;
use lorica_verify::layout::Layout;
use lorica_verify::manifest::{BaseIdentity, RangeLevel};
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::statement::Sizes;
use rustix::time::{ClockId, clock_gettime};

/// Runs of each; all are printed.
const RUNS: usize = 3;

fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| arguments.next().unwrap_or(Ok(default));
    let (count, width, rank) = (next(32)?, next(4096)?, next(16)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let only = match next(2)? {
        0 => Some(RangeLevel::None),
        1 => Some(RangeLevel::Int16),
        _ => None,
    };
    pool.install(|| run(count, width, rank, only))
}

#[allow(clippy::print_stdout)]
fn run(
    count: usize,
    width: usize,
    rank: usize,
    only: Option<RangeLevel>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut random = Random::new(1);
    let modules = modules(&vec![(width, width, rank); count]);
    let witness = witness(&modules, &mut random);
    let shapes: Vec<_> = modules.iter().map(|module| module.shape()).collect();
    let weights = shapes.iter().map(|shape| shape.rank * (shape.inputs + shape.outputs)).sum::<usize>();
    let sizes = Sizes::of(&shapes);
    let generators = Generators::derive(sizes.width, Layout::new(&sizes).slots());
    let secret = AdapterSecret::from_seed(random.bytes());
    for _ in 0..RUNS {
        for range in [RangeLevel::None, RangeLevel::Int16] {
            if only.is_some_and(|only| only != range) {
                continue;
            }
            let registration = Registration {
                base: BaseIdentity {
                    family: "synthetic".into(),
                    config: Digest([0; 32]),
                    weights: Digest([0; 32]),
                },
                modules: modules.clone(),
                witness: &witness,
                nonce: Digest(random.bytes()),
                secret: &secret,
                generators: &generators,
                range,
            };
            let started = seconds();
            let registered = registration.run(&entropy(&mut random), &|_, _| {})?;
            let made = seconds();
            let adapter =
                RegisteredAdapter::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None)?;
            let read = seconds();
            adapter.pin(&registered.proof, &generators)?;
            println!(
                "{range:?}: {weights} weights, {:.1} ns each; verified in {:.1} ms; proof of {} bytes",
                (made - started) * 1e9 / weights as f64,
                (seconds() - read) * 1e3,
                registered.proof.len()
            );
        }
    }
    Ok(())
}
