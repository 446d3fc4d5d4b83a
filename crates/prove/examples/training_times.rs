//! Times of one training proof on synthetic data: making the witness, proving, verifying, and the proof's size.
//!
//! `cargo run --release -p lorica-prove --example training_times -- LAYERS BATCH STEPS ROW_LENGTH`, such as `784,1024,256,10 64 1 4096`.

use std::error::Error;

use lorica_argument::opening::OpeningMode;
use lorica_relation::training::TrainingConfig;
use lorica_testkit::random::Random;
use lorica_testkit::training::TrainingFixture;
use lorica_train::{DataSet, FixedTrainer};
use lorica_verify::training::TrainingProof;
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let get = |index: usize, default: &str| arguments.get(index).cloned().unwrap_or(default.to_owned());
    let (layers, batch, steps) =
        (get(0, "64,32,10"), get(1, "64").parse::<usize>()?, get(2, "1").parse::<usize>()?);
    let row_length = get(3, "4096").parse()?;
    let update = get(4, "kind = \"sgd\"");
    let loss = get(5, "mean-squared-error");
    let text = format!(
        "format = \"lorica-training/1\"\n[model]\nlayers = [{layers}]\n[loss]\nkind = \"{loss}\"\n[update]\n{update}\nlearning_rate = 0.05\n[batch]\nsize = {batch}\n"
    );
    let settings = TrainingConfig::from_toml(&text)?.settings()?;
    let program = settings.program(1, 0)?.program;
    let mut random = Random::new(1);
    let parameters = program
        .parameters
        .iter()
        .map(|parameter| {
            // Weights of magnitude 1 / sqrt(inputs), with about 16 fraction bits.
            let bound = (f64::from(1 << 16) / (parameter.shape.columns as f64).sqrt()) as usize;
            let value = |random: &mut Random| random.below(2 * bound) as i32 - bound as i32;
            Zeroizing::new((0..parameter.shape.entries()).map(|_| value(&mut random)).collect())
        })
        .collect();
    let classes = layers.rsplit(',').next().map_or(Ok(10), |last| last.trim().parse::<usize>())?;
    let inputs = settings.sample_width() - classes;
    let rows = 4 * batch;
    let mut samples = Vec::new();
    for _ in 0..rows {
        samples.extend((0..inputs).map(|_| random.below(17) as i16));
        let label = random.below(classes);
        samples.extend((0..classes).map(|class| i16::from(class == label)));
    }
    let data = DataSet::new(inputs, classes, samples)?;
    let batches: Vec<Vec<usize>> =
        (0..steps).map(|_| (0..batch).map(|_| random.below(rows)).collect()).collect();
    let mut trainer = FixedTrainer::new(settings, parameters)?;
    let started = seconds();
    let chunk = trainer.run(&data, &batches)?;
    let plain = seconds() - started;
    let fixture = TrainingFixture::new(chunk.program.program, chunk.witness, &batches.concat(), row_length);
    let leaves = fixture.context.leaves.leaves(lorica_verify::training::leaves::Lane::Words);
    println!(
        "processor seconds: plain {plain:.3}, {leaves} leaves, {} rows, {:?}",
        fixture.context.rows.committed_rows(),
        fixture.context.sizes()
    );
    for _ in 0..3 {
        let started = seconds();
        let proven = fixture.prove(OpeningMode::Compact, None)?;
        let prove = seconds() - started;
        let bytes = proven.proof.to_bytes();
        let started = seconds();
        TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators)?;
        println!("prove {prove:.3}, verify {:.3}, {} bytes", seconds() - started, bytes.len());
    }
    Ok(())
}
