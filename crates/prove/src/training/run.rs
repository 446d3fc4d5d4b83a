//! The prover of a run: the blinds that go along with the commitments of a chain, and the proof of the next steps.

use ark_ff::Zero;
use lorica_algebra::Scalar;
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::FiatShamir;
use lorica_relation::program::evaluate::Witness;
use lorica_tensor::Digest;
use lorica_verify::training::TRAINING_PROTOCOL;
use lorica_verify::training::context::Context;
use lorica_verify::training::run::{Run, RunInvalid, RunState};
use zeroize::Zeroizing;

use super::values::IntegerValues;
use super::{ProvenSteps, TrainingProofError, TrainingProver};
use crate::randomness::Entropy;
use crate::rows::data::data_blinds;
use crate::rows::model::model_blinds;
use crate::secret::AdapterSecret;

/// Why the next proof of a run cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunProofError {
    /// The parts make no statement, or the proof that was made does not hold: then it is not given out, because a proof from
    /// wrong values shows something of them.
    #[error(transparent)]
    Run(#[from] RunInvalid),
    /// The proof could not be made.
    #[error(transparent)]
    Proof(#[from] TrainingProofError),
}

/// The blinds of a chain's commitments, in the order of [`RunState`].
#[derive(Clone)]
pub struct RunBlinds {
    parameters: Vec<Zeroizing<Vec<Scalar>>>,
    carried: Vec<Zeroizing<Vec<Scalar>>>,
}

/// What a run is proven with.
pub struct RunProver<'a> {
    /// What all proofs share.
    pub run: Run<'a>,
    /// The secret that the data set was committed with.
    pub data_secret: &'a AdapterSecret,
    /// The secret that the model was committed with; masks depend on it as well.
    pub model_secret: &'a AdapterSecret,
    /// The bases.
    pub generators: &'a Generators,
}

/// The proof of the next steps, with the chain's state after them.
pub struct NextSteps {
    /// The bytes of the proof.
    pub proof: Vec<u8>,
    /// Blinds of its commitments to tensors, to be kept: the proofs after it need them.
    pub tensor_blinds: Zeroizing<Vec<Scalar>>,
    /// The state after it.
    pub state: RunState,
    /// The blinds after it.
    pub blinds: RunBlinds,
}

impl RunProver<'_> {
    /// The blinds before the first step: those of the model; zero for what the first step takes over, unless it was registered.
    pub fn begin(&self, state: &RunState) -> RunBlinds {
        let mut parameters: Vec<Zeroizing<Vec<Scalar>>> =
            model_blinds(self.run.model, self.model_secret).iter().map(|matrix| matrix.joined()).collect();
        let registered = parameters.split_off(state.parameters.len());
        let zeros = state.carried.iter().map(|points| Zeroizing::new(vec![Scalar::zero(); points.len()]));
        let carried = if registered.is_empty() { zeros.collect() } else { registered };
        RunBlinds { parameters, carried }
    }

    /// Proves the next steps, one for each batch, and verifies the proof.
    pub fn next(
        &self,
        state: &RunState,
        blinds: &RunBlinds,
        batches: &[Vec<usize>],
        witness: &Witness,
        entropy: &Entropy,
    ) -> Result<NextSteps, RunProofError> {
        let context = self.run.context(state, batches)?;
        let values = IntegerValues::new(&context, witness).map_err(TrainingProofError::from)?;
        let of_samples = data_blinds(self.run.data, self.data_secret);
        let selected = context.statement.selection.rows.iter().map(|row| of_samples[*row]);
        let of_start =
            blinds.parameters.iter().chain(&blinds.carried).flat_map(|blinds| blinds.iter().copied());
        let start_blinds: Zeroizing<Vec<Scalar>> = Zeroizing::new(of_start.chain(selected).collect());
        let prover = TrainingProver {
            context: &context,
            values: &values,
            start_blinds: &start_blinds,
            secret: self.model_secret,
            generators: self.generators,
        };
        let transcript = &mut FiatShamir::new(TRAINING_PROTOCOL);
        let ProvenSteps { proof, blinds: tensor_blinds } =
            prover.prove_on(OpeningMode::Compact, entropy, transcript)?;
        let bytes = proof.to_bytes();
        let after = self.run.verify(state, batches, &bytes, self.generators)?;
        debug_assert_eq!(after, state.after(&context, &proof, Digest::sha256(&bytes)));
        let blinds = blinds.after(&context, &tensor_blinds);
        Ok(NextSteps { proof: bytes, tensor_blinds, state: after, blinds })
    }
}

impl RunBlinds {
    /// The blinds after the steps of a proof, given those of its commitments to tensors.
    pub fn after(&self, context: &Context, tensor_blinds: &[Scalar]) -> Self {
        let layout = &context.rows;
        let committed = |step: usize, row: usize| tensor_blinds[step * layout.step_rows.len() + row];
        let parameters = self.parameters.iter().zip(&layout.movers).map(|(blinds, mover)| {
            let Some(places) = mover.and_then(|id| layout.tensors.get(id.0)) else { return blinds.clone() };
            let moved = blinds.iter().zip(&places.places).map(|(start, place)| {
                (0..layout.steps).fold(*start, |sum, step| sum + committed(step, place.row))
            });
            Zeroizing::new(moved.collect())
        });
        let carried = layout.carried.iter().map(|(id, _)| {
            let places = &layout.tensors[id.0].places;
            Zeroizing::new(places.iter().map(|place| committed(layout.steps - 1, place.row)).collect())
        });
        Self { parameters: parameters.collect(), carried: carried.collect() }
    }
}
