//! A training run: a chain of proofs from a registered model over a registered data set.
//!
//! Every proof is about consecutive steps and starts from the commitments that the proofs before it lead to:
//! `C(W_t) = C(W_0) + sum of C(dW_s)`, row by row. So there are no commitments to checkpoints that could be exchanged, and a step
//! cannot be skipped, repeated or moved: its statement names the run, the number of its first step and the proof before it.

use lorica_algebra::Point;
use lorica_algebra::point::{self, EncodedPoint};
use lorica_argument::generators::Generators;
use lorica_relation::program::bounds::ProgramError;
use lorica_relation::training::{Settings, WeightMatrix};
use lorica_tensor::Digest;
use rayon::prelude::*;

use super::context::{Context, Start, Statement, StatementError};
use super::layout::Selection;
use super::{ProofBatch, TrainingInvalid, TrainingProof};
use crate::rows::data::PinnedData;
use crate::rows::model::PinnedModel;
use crate::rows::pieces::Pieces;

/// Begins what the digest of a statement is taken over.
const STATEMENT: &[u8] = b"lorica training statement 1\n";

/// The name of a run, chosen at random when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunId(pub Digest);

/// What all proofs of a run share.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Its name.
    pub id: RunId,
    /// The configuration.
    pub settings: &'a Settings,
    /// The data set.
    pub data: &'a PinnedData,
    /// The model before the first step.
    pub model: &'a PinnedModel,
}

/// Why parts do not make a run, or a proof is not the next one of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunInvalid {
    /// A registered object is not what the configuration asks for.
    #[error("{object}: {what} is {found}, the configuration asks for {expected}")]
    Mismatch {
        /// The data set or the model.
        object: &'static str,
        /// The property.
        what: String,
        /// By the configuration.
        expected: String,
        /// In the manifest.
        found: String,
    },
    /// A batch names a row that the data set does not have, or has another size.
    #[error("batch of step {step}: {what}")]
    Batch {
        /// The step, from 0 in the whole run.
        step: u64,
        /// What is wrong.
        what: String,
    },
    /// The configuration makes no program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The parts make no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The proof does not hold.
    #[error("steps {first} to {last}: {reason}")]
    Proof {
        /// The first step.
        first: u64,
        /// The last step.
        last: u64,
        /// Why not.
        reason: TrainingInvalid,
    },
}

/// What the first step takes over from a step before it, as matrices that a model may register behind its weights: with momentum,
/// the last change of every weight, named `momentum.` and the weights' name.
pub fn carried_matrices(settings: &Settings) -> Result<Vec<WeightMatrix>, RunInvalid> {
    let program = settings.program(1, 0)?.program;
    let weights = settings.weights();
    let moved_by = |id| {
        let place = program.parameters.iter().position(|parameter| parameter.moved_by == Some(id))?;
        let mut matrix = weights.get(place)?.clone();
        matrix.name.insert_str(0, "momentum.");
        Some(matrix)
    };
    Ok(program.carried().into_iter().filter_map(moved_by).collect())
}

/// Where a run stands after the proofs verified so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunState {
    /// Steps proven.
    pub steps: u64,
    /// Commitments to the parameters, piece by piece.
    pub parameters: Vec<Vec<EncodedPoint>>,
    /// Commitments to the tensors that the next step takes over.
    pub carried: Vec<Vec<EncodedPoint>>,
    /// SHA-256 of the last proof; of nothing before the first.
    pub last_proof: Digest,
}

impl Run<'_> {
    /// Refuses a data set or a model that is not what the configuration asks for.
    pub fn check(&self) -> Result<(), RunInvalid> {
        let compare = |object, what: &str, expected: String, found: String| {
            if expected == found {
                return Ok(());
            }
            Err(RunInvalid::Mismatch { object, what: what.to_owned(), expected, found })
        };
        let count = |object, what: &str, expected: usize, found: usize| {
            compare(object, what, expected.to_string(), found.to_string())
        };
        let bits = |object, what: &str, expected: u32, found: u32| {
            compare(object, what, expected.to_string(), found.to_string())
        };
        let data = self.data.manifest();
        let inputs = self.settings.layers.first().map_or(0, |layer| layer.inputs);
        count("the data set", "inputs.width", inputs, data.inputs.width)?;
        count("the data set", "row length", self.settings.sample_width(), data.row_length())?;
        bits("the data set", "inputs.fraction_bits", self.settings.input_bits, data.inputs.fraction_bits)?;
        bits("the data set", "targets.fraction_bits", self.settings.target_bits, data.targets.fraction_bits)?;
        let mut expected_matrices = self.settings.weights();
        let matrices = &self.model.manifest().matrices;
        if matrices.len() > expected_matrices.len() {
            expected_matrices.extend(carried_matrices(self.settings)?);
        }
        count("the model", "number of matrices", expected_matrices.len(), matrices.len())?;
        for (WeightMatrix { name, shape, bits: expected, .. }, matrix) in
            expected_matrices.iter().zip(matrices)
        {
            let what = |property: &str| format!("{property} of matrix `{name}`");
            compare("the model", "name of a matrix", name.clone(), matrix.name.to_string())?;
            compare("the model", &what("shape"), shape.to_string(), matrix.shape().to_string())?;
            bits("the model", &what("fraction_bits"), *expected, matrix.fraction_bits)?;
        }
        Ok(())
    }

    /// The state before the first step: the registered model, and what the first step takes over, which is zero unless it was
    /// registered with the model.
    pub fn begin(&self) -> Result<RunState, RunInvalid> {
        self.check()?;
        let encode = |points: &Vec<Point>| points.par_iter().map(|point| EncodedPoint::new(*point)).collect();
        let matrices = self.model.matrices();
        let (parameters, registered) =
            matrices.split_at_checked(self.settings.weights().len()).unwrap_or((matrices, &[]));
        let carried = if registered.is_empty() {
            let zero = EncodedPoint::new(point::identity());
            let zeros = |matrix: WeightMatrix| {
                let pieces = Pieces::of(matrix.shape, self.model.manifest().row_length);
                vec![zero; pieces.map_or(0, |pieces| pieces.count())]
            };
            carried_matrices(self.settings)?.into_iter().map(zeros).collect()
        } else {
            registered.iter().map(encode).collect()
        };
        let parameters = parameters.iter().map(encode).collect();
        Ok(RunState { steps: 0, parameters, carried, last_proof: Digest::sha256(&[]) })
    }

    /// The statement that the next steps of a run, one for each batch of rows of the data set, were made as configured.
    pub fn context(&self, state: &RunState, batches: &[Vec<usize>]) -> Result<Context, RunInvalid> {
        let rows = self.data.rows();
        for (step, batch) in (state.steps..).zip(batches) {
            if batch.len() != self.settings.batch {
                let what =
                    format!("{} samples, the configuration asks for {}", batch.len(), self.settings.batch);
                return Err(RunInvalid::Batch { step, what });
            }
            if let Some(row) = batch.iter().find(|row| **row >= rows.len()) {
                let what = format!("row {row}, the data set has {} rows", rows.len());
                return Err(RunInvalid::Batch { step, what });
            }
        }
        let program = self.settings.program(batches.len(), state.steps)?.program;
        let selection = Selection::new(&batches.concat());
        let samples: Vec<EncodedPoint> = selection
            .rows
            .par_iter()
            .filter_map(|row| rows.get(*row).map(|point| EncodedPoint::new(*point)))
            .collect();
        let start = Start { parameters: state.parameters.clone(), carried: state.carried.clone(), samples };
        let statement = Statement {
            digest: self.digest(state, batches.len()),
            row_length: self.model.manifest().row_length,
            program,
            selection,
            start,
        };
        Ok(Context::new(statement)?)
    }

    /// What a statement names beside its program and its rows.
    fn digest(&self, state: &RunState, steps: usize) -> Digest {
        let mut bytes = STATEMENT.to_vec();
        for digest in
            [self.id.0, self.settings.digest(), self.data.digest(), self.model.digest(), state.last_proof]
        {
            bytes.extend_from_slice(digest.as_bytes());
        }
        bytes.extend_from_slice(&state.steps.to_le_bytes());
        // usize is at most 64 bits on every platform Rust supports.
        bytes.extend_from_slice(&u64::try_from(steps).unwrap_or(u64::MAX).to_le_bytes());
        Digest::sha256(&bytes)
    }

    /// As [`Run::verify`], but for one equation, which is added to a batch: the state that is returned is worth something only if the
    /// batch holds.
    pub fn defer(
        &self,
        state: &RunState,
        batches: &[Vec<usize>],
        proof: &[u8],
        generators: &Generators,
        batch: &mut ProofBatch,
    ) -> Result<RunState, RunInvalid> {
        let context = self.context(state, batches)?;
        let read = TrainingProof::defer_bytes(proof, &context, generators, batch)
            .map_err(|reason| invalid(state, batches, reason))?;
        Ok(state.after(&context, &read, Digest::sha256(proof)))
    }

    /// Verifies the proof of the next steps; returns the state after them.
    pub fn verify(
        &self,
        state: &RunState,
        batches: &[Vec<usize>],
        proof: &[u8],
        generators: &Generators,
    ) -> Result<RunState, RunInvalid> {
        let context = self.context(state, batches)?;
        let read = TrainingProof::verify_bytes(proof, &context, generators)
            .map_err(|reason| invalid(state, batches, reason))?;
        Ok(state.after(&context, &read, Digest::sha256(proof)))
    }
}

fn invalid(state: &RunState, batches: &[Vec<usize>], reason: TrainingInvalid) -> RunInvalid {
    let steps = u64::try_from(batches.len()).unwrap_or(u64::MAX);
    let last = state.steps.saturating_add(steps).saturating_sub(1);
    RunInvalid::Proof { first: state.steps, last, reason }
}

impl RunState {
    /// The state after the steps of a proof that was verified, or made.
    pub fn after(&self, context: &Context, proof: &TrainingProof, digest: Digest) -> Self {
        let layout = &context.rows;
        let per_step = layout.step_rows.len();
        let committed = |step: usize, row: usize| {
            proof.tensors.get(step.saturating_mul(per_step).saturating_add(row)).map(|point| *point.point())
        };
        let parameters = self.parameters.iter().zip(&layout.movers).map(|(points, mover)| {
            let Some(places) = mover.and_then(|id| layout.tensors.get(id.0)) else { return points.clone() };
            points
                .par_iter()
                .zip(&places.places)
                .map(|(start, place)| {
                    let moved = (0..layout.steps).filter_map(|step| committed(step, place.row));
                    EncodedPoint::new(moved.fold(*start.point(), |sum, point| sum + point))
                })
                .collect()
        });
        let last = layout.steps.saturating_sub(1);
        let carried = layout.carried.iter().map(|(id, _)| {
            let places = layout.tensors.get(id.0).map(|tensor| tensor.places.as_slice()).unwrap_or_default();
            let points = places.iter().filter_map(|place| {
                proof.tensors.get(last.saturating_mul(per_step).saturating_add(place.row)).copied()
            });
            points.collect()
        });
        Self {
            steps: self.steps.saturating_add(u64::try_from(layout.steps).unwrap_or(u64::MAX)),
            parameters: parameters.collect(),
            carried: carried.collect(),
            last_proof: digest,
        }
    }

    /// A name for the parameters that were proven: SHA-256 of their commitments, in order.
    pub fn parameters_digest(&self) -> Digest {
        let points = self.parameters.iter().flatten();
        Digest::sha256(&points.flat_map(|point| *point.bytes()).collect::<Vec<u8>>())
    }
}
