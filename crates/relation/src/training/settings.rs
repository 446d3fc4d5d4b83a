//! The integers that a configuration stands for.
//!
//! A proof knows these alone: learning rate, momentum and so on are *defined* as the fractions that the integers make, and
//! [`Settings::effective`] says what those are. [`super::resolve`] chooses them.

use lorica_tensor::Digest;

use crate::program::{Shape, exponential::ExponentialTable};

/// What a configuration stands for; made by [`super::TrainingConfig::settings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// N, samples in a step.
    pub batch: usize,
    /// Whether layers have a bias.
    pub bias: bool,
    /// Fraction bits of the data's inputs.
    pub input_bits: u32,
    /// Fraction bits of the data's targets.
    pub target_bits: u32,
    /// The loss.
    pub loss: Loss,
    /// The layers, at least one.
    pub layers: Vec<LayerSettings>,
}

/// A loss and how its gradient `G = 2^a (output or probability) - 2^b target` is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// `G = 2^a Z - 2^b T`.
    MeanSquaredError {
        /// a.
        output_shift: u32,
        /// b.
        target_shift: u32,
    },
    /// `G = 2^a P - 2^b T`.
    CrossEntropy {
        /// Exponentials of outputs; one stands for `2^scale_bits`.
        table: ExponentialTable,
        /// Fraction bits of P.
        probability_bits: u32,
        /// a.
        probability_shift: u32,
        /// b.
        target_shift: u32,
    },
}

/// A division by a power of two: `floor((x + offset) / 2^shift)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divisor {
    /// 1 to 16.
    pub shift: u32,
    /// `2^(shift-1)` rounds to nearest, halves up; `2^shift - 1` rounds up.
    pub offset: i64,
}

impl Divisor {
    /// Rounds to nearest.
    pub fn to_nearest(shift: u32) -> Self {
        Self { shift, offset: 1 << (shift - 1) }
    }

    /// Rounds up: the result is positive where the sum is.
    pub fn up(shift: u32) -> Self {
        Self { shift, offset: (1 << shift) - 1 }
    }

    /// The quotient.
    pub fn divide(self, sum: i64) -> i64 {
        (sum + self.offset) >> self.shift
    }
}

/// A rounding of `(plain X + adapter Y) / 2^shift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounding {
    /// The factor of the product with the layer's weights.
    pub plain: i64,
    /// The factor of the product with LoRA's matrices; 0 without.
    pub adapter: i64,
    /// How the sum is divided.
    pub divisor: Divisor,
}

/// One linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSettings {
    /// Columns of A, the one for the bias left out.
    pub inputs: usize,
    /// Columns of Z.
    pub outputs: usize,
    /// Fraction bits of A.
    pub input_bits: u32,
    /// Fraction bits of Z.
    pub output_bits: u32,
    /// Fraction bits of W, bias included.
    pub weight_bits: u32,
    /// Fraction bits of G, the gradients by Z.
    pub gradient_bits: u32,
    /// How Z is rounded.
    pub forward: Rounding,
    /// How H, the gradients by A, are rounded; `None` where no layer below is trained.
    pub backward: Option<Rounding>,
    /// How W moves; `None` if it is frozen.
    pub update: Option<UpdateFactors>,
    /// LoRA's matrices.
    pub adapter: Option<AdapterSettings>,
}

/// LoRA's matrices of a layer: `down` (A in the literature, `rank x d`) and `up` (B, `o x rank`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterSettings {
    /// Rows of down and columns of up.
    pub rank: usize,
    /// Fraction bits of down.
    pub down_bits: u32,
    /// Fraction bits of up.
    pub up_bits: u32,
    /// Fraction bits of `U = A down^T`.
    pub reduced_bits: u32,
    /// How U is rounded: `round(A down^T / 2^shift)`.
    pub reduced_shift: u32,
    /// Fraction bits of `Q = G up`.
    pub reduced_gradient_bits: u32,
    /// How Q is rounded: `round(G up / 2^shift)`.
    pub reduced_gradient_shift: u32,
    /// `alpha / rank` is `scaling / 2^scaling_bits`.
    pub scaling: i64,
    /// See `scaling`.
    pub scaling_bits: u32,
    /// How down moves, by `Q^T A`.
    pub down: UpdateFactors,
    /// How up moves, by `G^T U`.
    pub up: UpdateFactors,
}

/// Factors of an update: `delta dW + gradient G^T A - momentum dW_before + decay W + 2^(bits-1)` lies in `[0, 2^bits)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateFactors {
    /// p, at most `2^residual_bits`.
    pub delta: i64,
    /// c.
    pub gradient: i64,
    /// m; 0 without momentum.
    pub momentum: i64,
    /// w; 0 without weight decay.
    pub decay: i64,
    /// The residual's bits, 1 to 16.
    pub residual_bits: u32,
}

/// A matrix of weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMatrix {
    /// The name of the program's parameter.
    pub name: String,
    /// The layer, from 0.
    pub layer: usize,
    /// Which of the layer's.
    pub kind: WeightKind,
    /// Rows and columns, a bias included.
    pub shape: Shape,
    /// Fraction bits.
    pub bits: u32,
    /// How it moves; `None` if it is frozen.
    pub update: Option<UpdateFactors>,
}

/// Which matrix of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightKind {
    /// The layer's weights, with the bias in the last column.
    Weight,
    /// LoRA's matrix that reduces inputs to the rank.
    Down,
    /// LoRA's matrix that leads from the rank to the outputs.
    Up,
}

/// What the integers of one moved matrix stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The matrix.
    pub tensor: String,
    /// The learning rate.
    pub learning_rate: f64,
    /// The momentum.
    pub momentum: f64,
    /// The weight decay.
    pub weight_decay: f64,
    /// How far a weight's change may be from the exact one, in units of the weight; one half is exact rounding.
    pub tolerance_units: f64,
    /// The same as a weight.
    pub tolerance: f64,
}

impl UpdateFactors {
    /// Whether a change is the rounded exact one, so that a step has one result.
    pub fn is_exact(&self) -> bool {
        self.delta == 1 << self.residual_bits
    }

    /// The largest distance of a change from the exact one, in units of the weight.
    pub fn tolerance_units(&self) -> f64 {
        f64::exp2(f64::from(self.residual_bits) - 1.0) / self.delta as f64
    }
}

/// A number `2^exponent` with an exponent that is a difference of bits.
pub(super) fn power(exponent: i64) -> f64 {
    f64::exp2(exponent as f64)
}

impl Settings {
    /// Entries of a sample: the inputs, then the targets.
    pub fn sample_width(&self) -> usize {
        let inputs = self.layers.first().map_or(0, |layer| layer.inputs);
        inputs + self.layers.last().map_or(0, |layer| layer.outputs)
    }

    /// All matrices of weights, in the order of the program's parameters.
    pub fn weights(&self) -> Vec<WeightMatrix> {
        let mut list = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let columns = layer.inputs + usize::from(self.bias);
            let mut add = |name, kind, rows, columns, bits, update| {
                let shape = Shape { rows, columns };
                list.push(WeightMatrix { name, layer: index, kind, shape, bits, update });
            };
            let kind = WeightKind::Weight;
            add(weight_name(index), kind, layer.outputs, columns, layer.weight_bits, layer.update);
            let Some(adapter) = &layer.adapter else { continue };
            let AdapterSettings { rank, down_bits, up_bits, down, up, .. } = *adapter;
            add(down_name(index), WeightKind::Down, rank, layer.inputs, down_bits, Some(down));
            add(up_name(index), WeightKind::Up, layer.outputs, rank, up_bits, Some(up));
        }
        list
    }

    /// What the integers stand for, for each matrix that moves, in the order of the program's parameters.
    pub fn effective(&self) -> Vec<Effective> {
        let classes = self.layers.last().map_or(1, |layer| layer.outputs) as f64;
        let samples = self.batch as f64;
        let mean = match self.loss {
            Loss::CrossEntropy { .. } => 1.0 / samples,
            Loss::MeanSquaredError { .. } => 2.0 / (samples * classes),
        };
        let effective = |tensor, factors: &UpdateFactors, bits: u32, product_bits: u32, scaling: f64| {
            let unit = mean * scaling * power(i64::from(bits) - i64::from(product_bits));
            let delta = factors.delta as f64;
            let learning_rate = factors.gradient as f64 / delta / unit;
            Effective {
                tensor,
                learning_rate,
                momentum: factors.momentum as f64 / delta,
                weight_decay: factors.decay as f64 / delta / learning_rate,
                tolerance_units: factors.tolerance_units(),
                tolerance: factors.tolerance_units() * power(-i64::from(bits)),
            }
        };
        let mut list = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let LayerSettings { input_bits, weight_bits, gradient_bits, .. } = *layer;
            if let Some(update) = &layer.update {
                list.push(effective(
                    weight_name(index),
                    update,
                    weight_bits,
                    gradient_bits + input_bits,
                    1.0,
                ));
            }
            if let Some(adapter) = &layer.adapter {
                let scaling = adapter.scaling as f64 * power(-i64::from(adapter.scaling_bits));
                let product = adapter.reduced_gradient_bits + input_bits;
                list.push(effective(down_name(index), &adapter.down, adapter.down_bits, product, scaling));
                let product = gradient_bits + adapter.reduced_bits;
                list.push(effective(up_name(index), &adapter.up, adapter.up_bits, product, scaling));
            }
        }
        list
    }

    /// The largest distance of a probability from the softmax of the outputs, for cross-entropy: `2^-(f+1)` for its own rounding, and
    /// half a unit of each exponential beside a sum of at least one (`docs/spec/training.md` derives it).
    pub fn softmax_error(&self) -> Option<f64> {
        let Loss::CrossEntropy { table, probability_bits, .. } = self.loss else { return None };
        let others = self.layers.last().map_or(1, |layer| layer.outputs).saturating_sub(1) as f64;
        let of_exponentials = 0.500001 * others * power(-i64::from(table.scale_bits));
        Some(power(-i64::from(probability_bits) - 1) + of_exponentials)
    }

    /// SHA-256 of [`Settings::canonical_bytes`].
    pub fn digest(&self) -> Digest {
        Digest::sha256(&self.canonical_bytes())
    }

    /// All integers in one order: a tag that ends in a zero byte, then 64-bit little-endian numbers, lists after their lengths and
    /// optional parts after a 0 or 1.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = b"lorica-training-settings/1\0".to_vec();
        let mut put = |numbers: &[i64]| {
            numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        };
        let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        put(&[size(self.batch), self.bias.into(), self.input_bits.into(), self.target_bits.into()]);
        match self.loss {
            Loss::MeanSquaredError { output_shift, target_shift } => {
                put(&[0, output_shift.into(), target_shift.into()]);
            }
            Loss::CrossEntropy { table, probability_bits, probability_shift, target_shift } => {
                put(&[1, table.fraction_bits.into(), table.scale_bits.into(), probability_bits.into()]);
                put(&[probability_shift.into(), target_shift.into()]);
            }
        }
        let rounding = |rounding: &Rounding| {
            [rounding.plain, rounding.adapter, rounding.divisor.shift.into(), rounding.divisor.offset]
        };
        let factors = |factors: &UpdateFactors| {
            let UpdateFactors { delta, gradient, momentum, decay, residual_bits } = *factors;
            [delta, gradient, momentum, decay, residual_bits.into()]
        };
        put(&[size(self.layers.len())]);
        for layer in &self.layers {
            put(&[size(layer.inputs), size(layer.outputs), layer.input_bits.into()]);
            put(&[layer.output_bits.into(), layer.weight_bits.into(), layer.gradient_bits.into()]);
            put(&rounding(&layer.forward));
            put(&[layer.backward.is_some().into()]);
            layer.backward.iter().for_each(|backward| put(&rounding(backward)));
            put(&[layer.update.is_some().into()]);
            layer.update.iter().for_each(|update| put(&factors(update)));
            put(&[layer.adapter.is_some().into()]);
            if let Some(adapter) = &layer.adapter {
                put(&[size(adapter.rank), adapter.down_bits.into(), adapter.up_bits.into()]);
                put(&[adapter.reduced_bits.into(), adapter.reduced_shift.into()]);
                put(&[adapter.reduced_gradient_bits.into(), adapter.reduced_gradient_shift.into()]);
                put(&[adapter.scaling, adapter.scaling_bits.into()]);
                put(&factors(&adapter.down));
                put(&factors(&adapter.up));
            }
        }
        bytes
    }
}

/// The name of a layer's weights.
pub fn weight_name(layer: usize) -> String {
    format!("W{layer}")
}

/// The name of a layer's LoRA matrix that reduces inputs to the rank.
pub fn down_name(layer: usize) -> String {
    format!("A{layer}")
}

/// The name of a layer's LoRA matrix that leads from the rank to the outputs.
pub fn up_name(layer: usize) -> String {
    format!("B{layer}")
}
