//! The exact fixed-point trainer: it moves weights step by step and writes down the witness.

use lorica_relation::{
    program::{TensorId, evaluate::Witness, exponential::ExponentialTable},
    training::{Layout, Loss, Settings, TrainingProgram},
};
use zeroize::Zeroizing;

use crate::{
    data::DataSet,
    error::TrainError,
    pass::{Committed, Gradient, Outcome, Pass},
};

/// Weights as integers, in the order of the program's parameters.
pub type Parameters = Vec<Zeroizing<Vec<i32>>>;

/// A trainer with its weights.
pub struct FixedTrainer {
    settings: Settings,
    layout: Layout,
    names: Vec<String>,
    /// The parameters' names and columns.
    shapes: Vec<(String, usize)>,
    exponentials: Vec<u16>,
    parameters: Parameters,
    /// Changes of the last step, for tensors that are carried over.
    carried: Vec<Committed>,
    steps: u64,
}

/// Where a run is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Steps since the weights were made.
    pub steps: u64,
    /// The weights, in the order of the program's parameters.
    pub parameters: Parameters,
    /// The changes of the last step for the tensors that steps carry over, in their order; zero before the first step, none
    /// without momentum.
    pub carried: Vec<Zeroizing<Vec<i16>>>,
}

/// Consecutive steps, ready to be proven.
pub struct Chunk {
    /// The program of these steps and what its tensors are.
    pub program: TrainingProgram,
    /// All private numbers.
    pub witness: Witness,
}

impl FixedTrainer {
    /// A trainer at step 0.
    ///
    /// # Errors
    /// Parameters of other sizes than the settings ask for.
    pub fn new(settings: Settings, parameters: Parameters) -> Result<Self, TrainError> {
        let program = settings.program(1, 0)?.program;
        let zeros = |id: TensorId| {
            let entries = program.tensors.get(id.0).map_or(0, |tensor| tensor.shape.entries());
            Zeroizing::new(vec![0; entries])
        };
        let carried = program.carried().into_iter().map(zeros).collect();
        Self::resume(settings, State { steps: 0, parameters, carried })
    }

    /// A trainer that goes on from where a run is.
    ///
    /// # Errors
    /// Matrices of other sizes than the settings ask for.
    pub fn resume(settings: Settings, state: State) -> Result<Self, TrainError> {
        let TrainingProgram { program, layout } = settings.program(1, state.steps)?;
        let State { steps, parameters, carried } = state;
        size("matrices of weights", program.parameters.len(), parameters.len())?;
        for (parameter, values) in program.parameters.iter().zip(&parameters) {
            size(&parameter.name, parameter.shape.entries(), values.len())?;
        }
        let ids = program.carried();
        size("matrices of the last step's changes", ids.len(), carried.len())?;
        for (id, values) in ids.iter().zip(&carried) {
            let tensor = program.tensors.get(id.0);
            let (name, entries) = tensor.map_or(("", 0), |tensor| (&tensor.name, tensor.shape.entries()));
            size(name, entries, values.len())?;
        }
        let shapes =
            program.parameters.iter().map(|parameter| (parameter.name.clone(), parameter.shape.columns));
        Ok(Self {
            layout,
            names: program.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            shapes: shapes.collect(),
            exponentials: program.exponential.as_ref().map(ExponentialTable::entries).unwrap_or_default(),
            carried: ids.into_iter().zip(carried).collect(),
            parameters,
            steps,
            settings,
        })
    }

    /// Where the run is.
    pub fn state(&self) -> State {
        let carried = self.carried.iter().map(|(_, values)| values.clone()).collect();
        State { steps: self.steps, parameters: self.parameters.clone(), carried }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The weights as they are now.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Steps made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            settings: &self.settings,
            layout: &self.layout,
            names: &self.names,
            parameters: &self.parameters,
            exponentials: &self.exponentials,
            step: self.steps,
        }
    }

    /// Makes one step for each batch of rows of a data set, and returns their witness. After an error the weights are those
    /// after the last whole step.
    ///
    /// # Errors
    /// A batch of another size or with rows that there are not; a number beyond its bits.
    pub fn run(&mut self, data: &DataSet, batches: &[Vec<usize>]) -> Result<Chunk, TrainError> {
        size("entries of a sample", self.settings.sample_width(), data.width())?;
        let program = self.settings.program(batches.len(), self.steps)?;
        let mut witness = Witness {
            tensors: vec![Zeroizing::default(); program.program.tensors.len()],
            parameters: self.parameters.clone(),
            samples: Zeroizing::default(),
            carried: self.carried.iter().map(|(_, values)| values.clone()).collect(),
        };
        for batch in batches {
            let samples = data.rows(batch)?;
            for (id, values) in self.step(&samples)? {
                if let Some(tensor) = witness.tensors.get_mut(id.0) {
                    tensor.extend_from_slice(&values);
                }
            }
            witness.samples.extend_from_slice(&samples);
        }
        Ok(Chunk { program, witness })
    }

    /// The committed tensors of a step but the changes of weights, and the gradients.
    pub(crate) fn gradients(&self, samples: &[i16]) -> Result<(Vec<Committed>, Vec<Gradient>), TrainError> {
        size("entries of a batch", self.settings.batch * self.settings.sample_width(), samples.len())?;
        let Outcome { tensors, gradients } = self.pass().run(samples)?;
        Ok((tensors, gradients))
    }

    /// Makes a step with the samples of one batch; the committed tensors of the step.
    fn step(&mut self, samples: &[i16]) -> Result<Vec<Committed>, TrainError> {
        let (mut tensors, gradients) = self.gradients(samples)?;
        let pass = self.pass();
        let mut moved = Vec::new();
        for gradient in gradients {
            let exact = self.exact(&gradient);
            let delta = gradient.factors.delta;
            let mut deltas = Zeroizing::new(Vec::with_capacity(exact.len()));
            for (index, exact) in exact.iter().enumerate() {
                let value = -(exact + delta / 2).div_euclid(delta);
                deltas.push(pass.narrow(gradient.delta, gradient.sums.columns, index, value)?);
            }
            let values = self.moved(gradient.parameter.0, &deltas)?;
            moved.push((gradient.parameter.0, values));
            tensors.push((gradient.delta, deltas));
        }
        for (index, values) in moved {
            if let Some(parameter) = self.parameters.get_mut(index) {
                *parameter = values;
            }
        }
        for (id, carried) in &mut self.carried {
            if let Some((_, values)) = tensors.iter().find(|(tensor, _)| tensor == id) {
                carried.clone_from(values);
            }
        }
        self.steps += 1;
        Ok(tensors)
    }

    /// `c G^T A - m dW_before + w W`, what `-p dW` has to be.
    pub(crate) fn exact(&self, gradient: &Gradient) -> Zeroizing<Vec<i64>> {
        let factors = gradient.factors;
        let mut exact =
            Zeroizing::new(gradient.sums.values.iter().map(|sum| sum * factors.gradient).collect());
        let add = |exact: &mut Vec<i64>, factor: i64, values: &mut dyn Iterator<Item = i64>| {
            exact.iter_mut().zip(values).for_each(|(exact, value)| *exact += factor * value);
        };
        if let Some((_, before)) = self.carried.iter().find(|(id, _)| *id == gradient.delta) {
            add(&mut exact, -factors.momentum, &mut before.iter().map(|value| i64::from(*value)));
        }
        if let (Some(weights), true) = (self.parameters.get(gradient.parameter.0), factors.decay != 0) {
            add(&mut exact, factors.decay, &mut weights.iter().map(|value| i64::from(*value)));
        }
        exact
    }

    fn moved(&self, index: usize, deltas: &[i16]) -> Result<Zeroizing<Vec<i32>>, TrainError> {
        let Some(weights) = self.parameters.get(index) else { return Ok(Zeroizing::default()) };
        let mut values = Zeroizing::new(Vec::with_capacity(weights.len()));
        for (place, (weight, delta)) in weights.iter().zip(deltas).enumerate() {
            values.push(weight.checked_add(i32::from(*delta)).ok_or_else(|| {
                let (parameter, columns) = self.shapes.get(index).cloned().unwrap_or_default();
                let columns = columns.max(1);
                TrainError::Weight {
                    step: self.steps,
                    parameter,
                    row: place / columns,
                    column: place % columns,
                }
            })?);
        }
        Ok(values)
    }

    /// Outputs of the last layer for rows of a data set, one row after the other.
    ///
    /// # Errors
    /// As [`FixedTrainer::run`].
    pub fn outputs(&self, data: &DataSet) -> Result<Vec<f64>, TrainError> {
        size("entries of a sample", self.settings.sample_width(), data.width())?;
        let unit = self.settings.layers.last().map_or(1.0, |layer| f64::exp2(-f64::from(layer.output_bits)));
        let states = self.pass().forward(data.samples())?;
        let outputs =
            states.last().map(|state| state.output.values.iter().map(|z| f64::from(*z) * unit).collect());
        Ok(outputs.unwrap_or_default())
    }

    /// Whether the loss is cross-entropy.
    pub fn is_classifier(&self) -> bool {
        matches!(self.settings.loss, Loss::CrossEntropy { .. })
    }
}

fn size(what: &str, expected: usize, found: usize) -> Result<(), TrainError> {
    if expected == found {
        return Ok(());
    }
    Err(TrainError::Size { what: what.to_owned(), expected, found })
}

// Weights and data are private: a stray `{:?}` must not print them.
impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let program = &self.program.program;
        write!(f, "Chunk({} steps after {})", program.steps, program.steps_before)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({} matrices after {} steps)", self.parameters.len(), self.steps)
    }
}
