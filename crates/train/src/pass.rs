//! One pass forward and backward in exact fixed point: all committed tensors of a step but the changes of weights.
//!
//! The arithmetic is written down here a second time, and faster than in [`lorica_relation::program::evaluate`]: that a program's
//! check accepts what is made here tests both.

use lorica_relation::{
    program::{ParameterId, TensorId, exponential::ExponentialTable},
    training::{AdapterSettings, Divisor, LayerLayout, LayerSettings, Layout, Loss, Settings, UpdateFactors},
};
use zeroize::Zeroizing;

use crate::{
    error::TrainError,
    matrix::{Integers, Matrix, Sums},
};

/// What a pass needs to know.
pub(crate) struct Pass<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) layout: &'a Layout,
    /// Names of tensors, for errors.
    pub(crate) names: &'a [String],
    pub(crate) parameters: &'a [Zeroizing<Vec<i32>>],
    /// The table of exponentials; empty for mean-squared error.
    pub(crate) exponentials: &'a [u16],
    /// For errors.
    pub(crate) step: u64,
}

/// A step's values of a committed tensor.
pub(crate) type Committed = (TensorId, Zeroizing<Vec<i16>>);

/// What comes out.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Values of committed tensors; those of changes are missing.
    pub(crate) tensors: Vec<Committed>,
    /// For each matrix that moves, its gradient as a sum.
    pub(crate) gradients: Vec<Gradient>,
}

/// The gradient of a matrix.
pub(crate) struct Gradient {
    pub(crate) parameter: ParameterId,
    pub(crate) delta: TensorId,
    pub(crate) factors: UpdateFactors,
    /// Without any factor.
    pub(crate) sums: Sums,
}

/// What the forward pass leaves for the backward pass.
pub(crate) struct LayerState {
    /// A, with the column of ones.
    input: Integers,
    /// Z.
    pub(crate) output: Integers,
    /// U.
    reduced: Option<Integers>,
}

impl Pass<'_> {
    fn matrix(&self, id: ParameterId, columns: usize) -> Integers {
        self.parameters
            .get(id.0)
            .map_or_else(Integers::default, |values| Matrix { columns, values: values.clone() })
    }

    fn weight(&self, layer: &LayerSettings, layout: &LayerLayout) -> Integers {
        self.matrix(layout.weight, layer.inputs + usize::from(self.settings.bias))
    }

    fn layers(&self) -> impl DoubleEndedIterator<Item = (&LayerSettings, &LayerLayout)> + ExactSizeIterator {
        self.settings.layers.iter().zip(&self.layout.layers)
    }

    /// Rounds sums and keeps them, as the values of a tensor.
    fn round(&self, id: TensorId, sums: &Sums, divisor: Divisor) -> Result<Integers, TrainError> {
        let mut values = Vec::with_capacity(sums.values.len());
        for (index, sum) in sums.values.iter().enumerate() {
            let value = divisor.divide(*sum);
            values.push(i32::from(self.narrow(id, sums.columns, index, value)?));
        }
        Ok(Matrix::new(sums.columns, values))
    }

    pub(crate) fn narrow(
        &self,
        id: TensorId,
        columns: usize,
        index: usize,
        value: i64,
    ) -> Result<i16, TrainError> {
        i16::try_from(value).map_err(|_| TrainError::Overflow {
            step: self.step,
            tensor: self.names.get(id.0).cloned().unwrap_or_default(),
            row: index / columns.max(1),
            column: index % columns.max(1),
            value,
        })
    }

    /// All layers, for any number of rows of inputs; the inputs stand before the targets in each sample.
    pub(crate) fn forward(&self, samples: &[i16]) -> Result<Vec<LayerState>, TrainError> {
        let width = self.settings.sample_width();
        let mut states: Vec<LayerState> = Vec::new();
        for (layer, layout) in self.layers() {
            let input = match states.last() {
                None => {
                    let rows = samples.chunks(width);
                    self.with_ones(
                        layer,
                        rows.map(|row| row.iter().take(layer.inputs).map(|x| i32::from(*x))),
                    )
                }
                Some(below) => {
                    self.with_ones(layer, below.output.iter().map(|row| row.iter().map(|z| *z.max(&0))))
                }
            };
            let plain = input.exact_times_transposed(&self.weight(layer, layout));
            let (mut reduced, mut product) = (None, None);
            if let (Some(settings), Some(adapter)) = (&layer.adapter, layout.adapter) {
                let down = self.matrix(adapter.down, layer.inputs);
                let sums = input.exact_times_transposed(&down);
                let rounded =
                    self.round(adapter.reduced, &sums, Divisor::to_nearest(settings.reduced_shift))?;
                product = Some(rounded.exact_times_transposed(&self.matrix(adapter.up, settings.rank)));
                reduced = Some(rounded);
            }
            let adapter = product.as_ref().map(|product| (layer.forward.adapter, product));
            let sums = plain.combine(layer.forward.plain, adapter);
            let output = self.round(layout.output, &sums, layer.forward.divisor)?;
            states.push(LayerState { input, output, reduced });
        }
        Ok(states)
    }

    fn with_ones<Row: Iterator<Item = i32>>(
        &self,
        layer: &LayerSettings,
        rows: impl Iterator<Item = Row>,
    ) -> Integers {
        let one = self.settings.bias.then_some(1 << layer.input_bits);
        let columns = layer.inputs + usize::from(self.settings.bias);
        Matrix::new(columns, rows.flat_map(|row| row.chain(one)).collect())
    }

    /// Forward and backward.
    pub(crate) fn run(&self, samples: &[i16]) -> Result<Outcome, TrainError> {
        let states = self.forward(samples)?;
        let mut outcome = Outcome::default();
        let Some(last) = states.last() else { return Ok(outcome) };
        let mut gradient = self.output_gradient(samples, &last.output, &mut outcome)?;
        for ((index, (layer, layout)), state) in self.layers().enumerate().rev().zip(states.iter().rev()) {
            outcome.keep(layout.output, &state.output);
            if let Some(sign) = layout.sign {
                let signs = state.output.values.iter().map(|z| i16::from(*z > 0)).collect();
                outcome.tensors.push((sign, Zeroizing::new(signs)));
            }
            let reduced_gradient = self.gradients(layer, layout, state, &gradient, &mut outcome)?;
            let (Some(rounding), Some(id)) = (layer.backward, layout.input_gradient) else { continue };
            let plain = gradient.exact_times(&self.weight(layer, layout), layer.inputs);
            let product = match (&reduced_gradient, layout.adapter) {
                (Some(gradient), Some(adapter)) => {
                    Some(gradient.exact_times(&self.matrix(adapter.down, layer.inputs), layer.inputs))
                }
                _ => None,
            };
            let product = product.as_ref().map(|product| (rounding.adapter, product));
            let backward = self.round(id, &plain.combine(rounding.plain, product), rounding.divisor)?;
            outcome.keep(id, &backward);
            gradient = backward;
            // Only where the outputs of the layer below are positive.
            if let Some(below) = index.checked_sub(1).and_then(|below| states.get(below)) {
                for (gradient, z) in gradient.values.iter_mut().zip(below.output.values.iter()) {
                    if *z <= 0 {
                        *gradient = 0;
                    }
                }
            }
        }
        Ok(outcome)
    }

    /// The gradients of a layer's matrices; Q, where it has LoRA's.
    fn gradients(
        &self,
        layer: &LayerSettings,
        layout: &LayerLayout,
        state: &LayerState,
        gradient: &Integers,
        outcome: &mut Outcome,
    ) -> Result<Option<Integers>, TrainError> {
        if let (Some(factors), Some(delta)) = (layer.update, layout.delta) {
            let sums = gradient.exact_transposed_times(&state.input, state.input.columns);
            outcome.gradients.push(Gradient { parameter: layout.weight, delta, factors, sums });
        }
        let (Some(settings), Some(adapter), Some(reduced)) = (&layer.adapter, layout.adapter, &state.reduced)
        else {
            return Ok(None);
        };
        let AdapterSettings { rank, reduced_gradient_shift, .. } = *settings;
        let sums = gradient.exact_times(&self.matrix(adapter.up, rank), rank);
        let reduced_gradient =
            self.round(adapter.reduced_gradient, &sums, Divisor::to_nearest(reduced_gradient_shift))?;
        outcome.keep(adapter.reduced, reduced);
        outcome.keep(adapter.reduced_gradient, &reduced_gradient);
        outcome.gradients.push(Gradient {
            parameter: adapter.down,
            delta: adapter.down_delta,
            factors: settings.down,
            sums: reduced_gradient.exact_transposed_times(&state.input, layer.inputs),
        });
        outcome.gradients.push(Gradient {
            parameter: adapter.up,
            delta: adapter.up_delta,
            factors: settings.up,
            sums: gradient.exact_transposed_times(reduced, rank),
        });
        Ok(Some(reduced_gradient))
    }

    /// G of the last layer.
    fn output_gradient(
        &self,
        samples: &[i16],
        output: &Integers,
        outcome: &mut Outcome,
    ) -> Result<Integers, TrainError> {
        let classes = output.columns;
        let width = self.settings.sample_width();
        let targets = samples.chunks(width).flat_map(|sample| sample.iter().skip(width - classes));
        let (values, shift, target_shift) = match self.settings.loss {
            Loss::MeanSquaredError { output_shift, target_shift } => (output, output_shift, target_shift),
            Loss::CrossEntropy { table, probability_bits, probability_shift, target_shift } => {
                let probabilities = self.softmax(output, table, probability_bits, outcome)?;
                (&probabilities.clone(), probability_shift, target_shift)
            }
        };
        let gradient = values.values.iter().zip(targets);
        let gradient =
            gradient.map(|(value, target)| (value << shift) - (i32::from(*target) << target_shift));
        Ok(Matrix::new(classes, gradient.collect()))
    }

    /// P, with the other tensors of the softmax.
    fn softmax(
        &self,
        output: &Integers,
        table: ExponentialTable,
        bits: u32,
        outcome: &mut Outcome,
    ) -> Result<Integers, TrainError> {
        let Some(layout) = self.layout.softmax else { return Ok(Integers::default()) };
        let classes = output.columns;
        let mut maxima = Vec::new();
        let (mut exponentials, mut sums, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
        for row in output.iter() {
            let maximum = row.iter().copied().max().unwrap_or(0);
            let exponential = |z: &i32| {
                let entry = usize::try_from(maximum - z).ok().and_then(|index| self.exponentials.get(index));
                entry.copied().map_or(0, i32::from)
            };
            let row: Vec<i32> = row.iter().map(exponential).collect();
            // At least 2^scale: the maximum's own is one.
            let sum = row.iter().sum::<i32>().max(1 << table.scale_bits);
            maxima.push(maximum);
            probabilities
                .extend(row.iter().map(|exponential| ((exponential << (bits + 1)) + sum) / (2 * sum)));
            exponentials.extend(row);
            sums.extend(std::iter::repeat_n(sum, classes));
        }
        outcome.keep(layout.maximum, &Matrix::new(1, maxima));
        outcome.keep(layout.exponential, &Matrix::new(classes, exponentials));
        outcome.keep(layout.sum, &Matrix::new(classes, sums));
        let probabilities = Matrix::new(classes, probabilities);
        outcome.keep(layout.probability, &probabilities);
        Ok(probabilities)
    }
}

impl Outcome {
    /// Keeps values that are known to have 16 bits.
    fn keep(&mut self, id: TensorId, values: &Integers) {
        let values = values.values.iter().map(|value| *value as i16).collect();
        self.tensors.push((id, Zeroizing::new(values)));
    }
}
