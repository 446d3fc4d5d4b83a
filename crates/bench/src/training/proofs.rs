//! What a process that proves training steps takes, and what one that verifies them takes.

use std::path::Path;

use lorica_argument::generators::Generators;
use lorica_prove::secret::AdapterSecret;
use lorica_prove::training::run::RunProver;
use lorica_tensor::Digest;
use lorica_train::{FixedTrainer, FloatTrainer};
use lorica_verify::rows::data::RegisteredData;
use lorica_verify::rows::model::RegisteredModel;
use lorica_verify::training::leaves::Lane;
use lorica_verify::training::run::{Run, RunId};
use lorica_verify::training::{ProofBatch, TrainingProof};
use serde::{Deserialize, Serialize};

use super::{
    COMMITMENTS, Case, DATA_SECRET, MANIFEST, MODEL_SECRET, REGISTRATION, TrainingBench, data_folder,
    model_folder, read, write,
};
use crate::error::{BenchError, step};
use crate::machine;
use crate::noise::Noise;
use crate::session::entropy;
use crate::stopwatch::{Span, Stopwatch};

/// Bytes of a commitment.
const POINT_BYTES: usize = 32;

/// What proofs of training steps take. A time that is not said to be the first one is the median of the repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProofTimes {
    /// The whole process up to the proof on disk: start, synthetic weights and samples (they stand for reading them), bases, reading
    /// and verifying both registrations, the steps themselves, the proof and its own check. Making the registrations is not in it.
    pub whole_process: Span,
    /// Hash-to-group of all row bases, once in a process.
    pub bases: Span,
    /// Reading both registrations and verifying their range proofs, once in a process.
    pub pin: Span,
    /// The first proof in the process. Like every one it includes its verification, without which the product gives no proof out.
    pub first: Span,
    /// The steps by the exact trainer, with the witness that they leave, without any proof.
    pub plain: Span,
    /// The same steps in single precision, by the project's own plain loops.
    pub float: Span,
    /// A proof with memory and tables warm.
    pub prove: Span,
    /// Verification of a proof from its bytes.
    pub verify: Span,
    /// Verification of the proofs of all repetitions and the first one, their last equations together, divided by their number.
    pub verify_together: Span,
    /// How many proofs that is.
    pub together: usize,
    /// Processor time of [`prove`](Self::prove) over that of [`plain`](Self::plain).
    pub prove_over_plain: f64,
    /// Bytes of the proof.
    pub proof_bytes: usize,
    /// Those of them that are commitments to rows: of tensors, and of the lookups' multiplicities.
    pub row_bytes: usize,
    /// Rows of tensors that the steps commit to.
    pub rows: usize,
    /// The largest number of entries of a row.
    pub row_length: usize,
    /// Values that are looked up, padding included.
    pub leaves: usize,
    /// The largest resident set of the process up to the first proof on disk.
    pub peak_rss_bytes: Option<u64>,
}

impl TrainingBench {
    /// Pins what [`TrainingBench::register`] left in a folder, proves the steps again and again, and verifies. `process` is the
    /// clock that started with the process.
    pub fn prove(
        &self,
        folder: &Path,
        process: &Stopwatch,
        say: &dyn Fn(&str),
    ) -> Result<ProofTimes, BenchError> {
        let Case { config, settings, parameters, data, batches } = self.shape.case()?;
        let mut noise = Noise::default();

        say("pinning the registrations");
        let started = Stopwatch::start();
        let (of_data, of_model) = (data_folder(folder), model_folder(folder));
        let registered_data = step(
            "reading the data set",
            RegisteredData::from_bytes(
                &read(&of_data.join(MANIFEST))?,
                &read(&of_data.join(COMMITMENTS))?,
                None,
            ),
        )?;
        let registered_model = step(
            "reading the model",
            RegisteredModel::from_bytes(
                &read(&of_model.join(MANIFEST))?,
                &read(&of_model.join(COMMITMENTS))?,
                None,
            ),
        )?;
        let reading = started.span();
        let started = Stopwatch::start();
        let row_length = registered_model.manifest().row_length;
        let generators = Generators::derive(row_length.max(registered_data.manifest().row_length()), 0);
        let bases = started.span();
        let started = Stopwatch::start();
        let pinned_data = step(
            "pinning the data set",
            registered_data.pin(&read(&of_data.join(REGISTRATION))?, &generators),
        )?;
        let pinned_model = step(
            "pinning the model",
            registered_model.pin(&read(&of_model.join(REGISTRATION))?, &generators),
        )?;
        let pinning = started.span();

        let run = Run {
            id: RunId(Digest(noise.bytes())),
            settings: &settings,
            data: &pinned_data,
            model: &pinned_model,
        };
        let (data_secret, model_secret) =
            (AdapterSecret::from_seed(DATA_SECRET), AdapterSecret::from_seed(MODEL_SECRET));
        let prover = RunProver {
            run,
            data_secret: &data_secret,
            model_secret: &model_secret,
            generators: &generators,
        };
        let state = step("beginning the run", run.begin())?;
        let blinds = prover.begin(&state);
        let trainer = || step("training", FixedTrainer::new(settings.clone(), parameters.clone()));

        say("making the steps and the first proof");
        let chunk = step("training", trainer()?.run(&data, &batches))?;
        let mut prove = || -> Result<Vec<u8>, BenchError> {
            let entropy = entropy(&mut noise);
            Ok(step("proving", prover.next(&state, &blinds, &batches, &chunk.witness, &entropy))?.proof)
        };
        let started = Stopwatch::start();
        let proof = prove()?;
        let first = started.span();
        write(&folder.join("proof.bin"), &proof)?;
        let whole_process = process.span();
        let peak_rss_bytes = machine::peak_bytes();

        say("making the steps, proving and verifying again");
        let (mut plain, mut float, mut proved, mut verified) = (vec![], vec![], vec![], vec![]);
        let mut all_proofs = vec![proof.clone()];
        for _ in 0..self.repetitions {
            let mut trainer = trainer()?;
            plain.push(timed(|| step("training", trainer.run(&data, &batches)))?);
            let mut trainer = FloatTrainer::new(&config, &settings, &parameters);
            let mut steps = || batches.iter().try_for_each(|batch| trainer.step(&data, batch));
            float.push(timed(|| step("training in floats", steps()))?);
            let started = Stopwatch::start();
            let another = prove()?;
            proved.push(started.span());
            all_proofs.push(another);
            let verify = || run.verify(&state, &batches, &proof, &generators);
            verified.push(timed(|| step("verifying", verify()))?);
        }
        let started = Stopwatch::start();
        let mut batch = ProofBatch::default();
        for proof in &all_proofs {
            step("verifying together", run.defer(&state, &batches, proof, &generators, &mut batch))?;
        }
        if !batch.holds(&generators) {
            return step("verifying together", Err("the proofs do not hold together"));
        }
        let together = all_proofs.len();
        let verify_together = started.span().divided(together);
        let context = step("stating", run.context(&state, &batches))?;
        let read = step("reading the proof", TrainingProof::from_bytes(&proof, &context))?;
        let (plain, prove) = (Span::middle(&plain), Span::middle(&proved));
        Ok(ProofTimes {
            whole_process,
            bases,
            pin: Span {
                wall_ms: reading.wall_ms + pinning.wall_ms,
                processor_ms: reading.processor_ms + pinning.processor_ms,
            },
            first,
            plain,
            float: Span::middle(&float),
            prove,
            verify: Span::middle(&verified),
            verify_together,
            together,
            prove_over_plain: prove.processor_ms / plain.processor_ms,
            proof_bytes: proof.len(),
            row_bytes: POINT_BYTES * (read.tensors.len() + read.multiplicities.len()),
            rows: context.rows.committed_rows(),
            row_length,
            leaves: context.leaves.leaves(Lane::Words) + context.leaves.leaves(Lane::Pairs),
            peak_rss_bytes,
        })
    }
}

fn timed<T>(run: impl FnOnce() -> Result<T, BenchError>) -> Result<Span, BenchError> {
    let started = Stopwatch::start();
    let result = run()?;
    let span = started.span();
    drop(result);
    Ok(span)
}
