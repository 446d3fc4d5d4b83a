//! The same training in single precision, for comparison: same weights at the beginning, same batches, no rounding but that of
//! floats.

use lorica_relation::training::{LayerSettings, Loss, Settings, TrainingConfig};

use crate::{
    data::DataSet,
    error::TrainError,
    fixed::Parameters,
    matrix::{Floats, Matrix},
};

/// A trainer in single precision.
pub struct FloatTrainer {
    settings: Settings,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    scaling: f32,
    /// In the order of the program's parameters.
    weights: Vec<Floats>,
    /// Momentum; empty for frozen matrices.
    buffers: Vec<Vec<f32>>,
}

/// A layer's place in the list of parameters.
struct Place<'a> {
    layer: &'a LayerSettings,
    weight: usize,
    adapter: Option<(usize, usize)>,
}

struct LayerState {
    input: Floats,
    output: Floats,
    reduced: Option<Floats>,
}

impl FloatTrainer {
    /// A trainer that begins with the weights that integers stand for, and has the hyper-parameters that were asked for rather than
    /// those that integers stand for.
    pub fn new(config: &TrainingConfig, settings: &Settings, parameters: &Parameters) -> Self {
        let update = &config.update;
        let matrices = settings.weights();
        let weights = matrices.iter().zip(parameters).map(|(matrix, values)| {
            let unit = f32::exp2(-(matrix.bits as f32));
            Matrix::new(matrix.shape.columns, values.iter().map(|value| *value as f32 * unit).collect())
        });
        let scaling = update.alpha.zip(update.rank).map_or(1.0, |(alpha, rank)| alpha / rank as f64);
        Self {
            settings: settings.clone(),
            learning_rate: update.learning_rate as f32,
            momentum: update.momentum as f32,
            weight_decay: update.weight_decay as f32,
            scaling: scaling as f32,
            weights: weights.collect(),
            buffers: vec![Vec::new(); matrices.len()],
        }
    }

    /// The weights, in the order of the program's parameters, row by row.
    pub fn weights(&self) -> impl Iterator<Item = &[f32]> {
        self.weights.iter().map(|matrix| matrix.values.as_slice())
    }

    fn places(&self) -> Vec<Place<'_>> {
        let mut next = 0;
        let mut take = || {
            next += 1;
            next - 1
        };
        let place = |layer: &'_ LayerSettings| (take(), layer.adapter.as_ref().map(|_| (take(), take())));
        let places: Vec<_> = self.settings.layers.iter().map(place).collect();
        let places = self.settings.layers.iter().zip(places);
        places.map(|(layer, (weight, adapter))| Place { layer, weight, adapter }).collect()
    }

    fn weight(&self, index: usize) -> &Floats {
        &self.weights[index]
    }

    fn forward(&self, samples: &[i16]) -> Vec<LayerState> {
        let width = self.settings.sample_width();
        let unit = f32::exp2(-(self.settings.input_bits as f32));
        let one = self.settings.bias.then_some(1.0);
        let mut states: Vec<LayerState> = Vec::new();
        for Place { layer, weight, adapter } in self.places() {
            let columns = layer.inputs + usize::from(self.settings.bias);
            let input: Vec<f32> = match states.last() {
                None => samples
                    .chunks(width)
                    .flat_map(|row| row.iter().take(layer.inputs).map(|x| f32::from(*x) * unit).chain(one))
                    .collect(),
                Some(below) => {
                    below.output.iter().flat_map(|row| row.iter().map(|z| z.max(0.0)).chain(one)).collect()
                }
            };
            let input = Matrix::new(columns, input);
            let plain = input.times_transposed(self.weight(weight));
            let reduced = adapter.map(|(down, _)| input.times_transposed(self.weight(down)));
            let product = adapter.zip(reduced.as_ref());
            let product = product.map(|((_, up), reduced)| reduced.times_transposed(self.weight(up)));
            let output = plain.combine(1.0, product.as_ref().map(|product| (self.scaling, product)));
            states.push(LayerState { input, output, reduced });
        }
        states
    }

    /// Makes a step with some rows of a data set.
    ///
    /// # Errors
    /// Rows that there are not.
    pub fn step(&mut self, data: &DataSet, batch: &[usize]) -> Result<(), TrainError> {
        let samples = data.rows(batch)?;
        let states = self.forward(&samples);
        let Some(last) = states.last() else { return Ok(()) };
        let mut gradient = self.output_gradient(&samples, &last.output);
        let mut gradients = Vec::new();
        let places = self.places();
        for (index, (place, state)) in places.iter().zip(&states).enumerate().rev() {
            let Place { layer, weight, adapter } = place;
            if layer.update.is_some() {
                gradients.push((*weight, gradient.transposed_times(&state.input, state.input.columns)));
            }
            let mut product = None;
            if let (Some((down, up)), Some(reduced)) = (adapter, &state.reduced) {
                let by_reduced = gradient.times(self.weight(*up), reduced.columns);
                let scaled = |sums: Floats| sums.combine(self.scaling, None);
                gradients.push((*up, scaled(gradient.transposed_times(reduced, reduced.columns))));
                gradients.push((*down, scaled(by_reduced.transposed_times(&state.input, layer.inputs))));
                product = Some(by_reduced.times(self.weight(*down), layer.inputs));
            }
            if layer.backward.is_none() {
                continue;
            }
            let plain = gradient.times(self.weight(*weight), layer.inputs);
            gradient = plain.combine(1.0, product.as_ref().map(|product| (self.scaling, product)));
            if let Some(below) = index.checked_sub(1).and_then(|below| states.get(below)) {
                for (gradient, z) in gradient.values.iter_mut().zip(below.output.values.iter()) {
                    if *z <= 0.0 {
                        *gradient = 0.0;
                    }
                }
            }
        }
        gradients.into_iter().for_each(|(index, gradient)| self.update(index, &gradient));
        Ok(())
    }

    fn update(&mut self, index: usize, gradient: &Floats) {
        let Self { learning_rate, momentum, weight_decay, .. } = *self;
        let (Some(weights), Some(buffer)) = (self.weights.get_mut(index), self.buffers.get_mut(index)) else {
            return;
        };
        buffer.resize(gradient.values.len(), 0.0);
        let places = weights.values.iter_mut().zip(buffer).zip(gradient.values.iter());
        for ((weight, buffer), gradient) in places {
            *buffer = momentum * *buffer + gradient + weight_decay * *weight;
            *weight -= learning_rate * *buffer;
        }
    }

    /// The gradient of the mean loss by the outputs.
    fn output_gradient(&self, samples: &[i16], output: &Floats) -> Floats {
        let classes = output.columns;
        let width = self.settings.sample_width();
        let unit = f32::exp2(-(self.settings.target_bits as f32));
        let rows = output.rows() as f32;
        let mut gradient = Vec::with_capacity(output.values.len());
        for (row, sample) in output.iter().zip(samples.chunks(width)) {
            let targets = sample.iter().skip(width - classes).map(|target| f32::from(*target) * unit);
            match self.settings.loss {
                Loss::MeanSquaredError { .. } => {
                    let factor = 2.0 / (rows * classes as f32);
                    gradient
                        .extend(row.iter().zip(targets).map(|(output, target)| factor * (output - target)));
                }
                Loss::CrossEntropy { .. } => {
                    let probabilities = softmax(row);
                    gradient.extend(probabilities.iter().zip(targets).map(|(p, target)| (p - target) / rows));
                }
            }
        }
        Matrix::new(classes, gradient)
    }

    /// Outputs of the last layer for all rows of a data set.
    pub fn outputs(&self, data: &DataSet) -> Vec<f64> {
        let states = self.forward(data.samples());
        states
            .last()
            .map(|state| state.output.values.iter().map(|z| f64::from(*z)).collect())
            .unwrap_or_default()
    }
}

fn softmax(row: &[f32]) -> Vec<f32> {
    let maximum = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = row.iter().map(|z| (z - maximum).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| exponential / sum).collect()
}

/// How good outputs are, for all rows of a data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// The share of rows whose largest output is where the largest target is.
    pub accuracy: f64,
}

impl Score {
    /// Compares outputs, one row after the other, with a data set's targets.
    pub fn of(settings: &Settings, data: &DataSet, outputs: &[f64]) -> Self {
        let classes = data.targets().max(1);
        let unit = f64::exp2(-f64::from(settings.target_bits));
        let (mut loss, mut correct) = (0.0, 0usize);
        for (row, sample) in outputs.chunks(classes).zip(data.samples().chunks(data.width().max(1))) {
            let targets: Vec<f64> =
                sample.iter().skip(data.inputs()).map(|target| f64::from(*target) * unit).collect();
            correct += usize::from(largest(row) == largest(&targets));
            let pairs = row.iter().zip(&targets);
            loss += match settings.loss {
                Loss::MeanSquaredError { .. } => {
                    pairs.map(|(output, target)| (output - target).powi(2)).sum::<f64>() / classes as f64
                }
                Loss::CrossEntropy { .. } => {
                    let maximum = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = row.iter().map(|z| (z - maximum).exp()).sum();
                    pairs.map(|(output, target)| target * (maximum + sum.ln() - output)).sum()
                }
            };
        }
        let rows = data.len().max(1) as f64;
        Self { loss: loss / rows, accuracy: correct as f64 / rows }
    }
}

/// The place of the first largest entry.
fn largest(values: &[f64]) -> Option<usize> {
    values
        .iter()
        .enumerate()
        .fold(None, |best: Option<(usize, f64)>, (index, value)| match best {
            Some((_, found)) if found >= *value => best,
            _ => Some((index, *value)),
        })
        .map(|(index, _)| index)
}
