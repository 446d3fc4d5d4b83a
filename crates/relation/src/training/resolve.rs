//! From a configuration to integers.
//!
//! # How fraction bits are chosen
//!
//! A residual has at most 16 bits, so a rounding drops at most 16. With `f_A` and `f_Z` fraction bits of a layer's inputs and
//! outputs, its weights have `F = f_Z - f_A + s` with `s <= 16`: weights are finer where outputs have more bits than inputs.
//! So bits rise from the data (6 unless given) to the outputs (10), evenly over the layers but at least 8, and
//! `F = 16 + f_Z - f_A`, at most 18: a weight's change in a step then stays within 1/8. (At most 22 for small learning rates,
//! one bit more for each halving of `learning_rate / (1 - momentum)` from 0.1 on.) Backwards, gradients by a layer's inputs have
//! `F - 16` bits more than those by its outputs.
//!
//! An update is `p dW = -(c G^T A - m dW_before + w W)` up to a residual. `c / p` is the learning rate; its precision is that
//! of the integer c, which is larger the fewer fraction bits G and A have. `p` is `2^16` for exact rounding, and about
//! `2^(16 - bits)`, up to a quarter less, with a tolerance, chosen so that `c / p` is near the wanted rate. Probabilities have the most bits, from 11
//! down to 7, with which every c is at least 16 (4 with a tolerance), hidden layers' gradients have at most 13 bits and those by
//! LoRA's products at most 12.

use super::config::{ConfigError, LossKind, TrainingConfig, UpdateKind, require};
use super::settings::{
    AdapterSettings, Divisor, LayerSettings, Loss, Rounding, Settings, UpdateFactors, down_name, power,
    up_name, weight_name,
};
use crate::program::exponential::ExponentialTable;

/// The largest number of fraction bits of anything.
const MAX_BITS: u32 = 24;
/// Bits of a residual.
const WORD_BITS: u32 = 16;
/// Relative error of a learning rate or momentum that is accepted.
const FACTOR_ERROR: f64 = 0.03;
/// Relative error of a learning rate that is good enough where there is a choice.
const DELTA_ERROR: f64 = 0.0001;
/// Relative error of a weight decay that is accepted: `learning_rate weight_decay` is a small multiple of `1 / p`. With a tolerance the
/// nearest multiple is taken, even 0: what decay is left over is less than the tolerance, or the step does not keep it.
const DECAY_ERROR: f64 = 0.1;

impl Settings {
    pub(super) fn resolve(config: &TrainingConfig) -> Result<Self, ConfigError> {
        let given = config.fixed_point.probability;
        let mut found = Self::with_probability_bits(config, given.unwrap_or(11));
        for bits in (7..11).rev().filter(|_| given.is_none() && config.loss.kind == LossKind::CrossEntropy) {
            if matches!(&found, Ok(settings) if settings.is_fine()) {
                break;
            }
            found = Self::with_probability_bits(config, bits);
        }
        let found = found?;
        found.program(1, 0)?;
        Ok(found)
    }

    /// Whether learning rates are stated precisely, and gradients have room.
    fn is_fine(&self) -> bool {
        // With a tolerance, the other factor of an update helps.
        let is_precise =
            |factors: &UpdateFactors| factors.gradient >= if factors.is_exact() { 16 } else { 4 };
        let has_below = self.layers.iter().skip(1).map(|above| above.backward.is_some()).chain([false]);
        self.layers.iter().zip(has_below).all(|(layer, is_passed_on)| {
            let is_precise = layer.update.iter().all(is_precise)
                && layer.adapter.iter().all(|adapter| is_precise(&adapter.down) && is_precise(&adapter.up));
            let has_room = !is_passed_on || layer.gradient_bits <= 13;
            is_precise && has_room && layer.adapter.iter().all(|adapter| adapter.reduced_gradient_bits <= 12)
        })
    }

    fn with_probability_bits(config: &TrainingConfig, probability: u32) -> Result<Self, ConfigError> {
        let widths = &config.model.layers;
        let classes = widths.last().copied().unwrap_or(1);
        let count = widths.len() - 1;
        let scaling = Scaling::of(config)?;
        let bits = layer_bits(config, scaling)?;
        // The lowest layer with trained weights needs no gradients by its inputs, nor does anything below.
        let is_adapted = |layer: usize| match config.update.kind {
            UpdateKind::Sgd | UpdateKind::Auto => false,
            UpdateKind::Lora => config.update.adapted.as_ref().is_none_or(|list| list.contains(&layer)),
        };
        let lowest = match config.update.kind {
            UpdateKind::Sgd | UpdateKind::Auto => 0,
            UpdateKind::Lora => (0..count).find(|layer| is_adapted(*layer)).unwrap_or(0),
        };
        let outputs = bits.last().map_or(0, |bits| bits.output);
        let (loss, target_bits, mut gradient) = loss(config, classes, outputs, probability)?;
        let samples = config.batch.size as f64;
        let mean = match config.loss.kind {
            LossKind::CrossEntropy => 1.0 / samples,
            LossKind::MeanSquaredError => 2.0 / (samples * classes as f64),
        };
        let updates = Updates { config, mean };
        let mut layers = Vec::new();
        for (layer, (bits, widths)) in bits.iter().zip(widths.windows(2)).enumerate().rev() {
            let &[inputs, outputs] = widths else { continue };
            let LayerBits { input, output, weight, adapter, gain } = *bits;
            let full = output + WORD_BITS;
            // Hidden outputs are rounded up, so that ReLU sees the sign that the sum has before it is rounded.
            let is_hidden = layer + 1 < count;
            let forward_divisor =
                |shift| if is_hidden { Divisor::up(shift) } else { Divisor::to_nearest(shift) };
            let (forward, backward, adapter) = match adapter {
                None => {
                    let forward =
                        Rounding { plain: 1, adapter: 0, divisor: forward_divisor(input + weight - output) };
                    let shift = gradient + weight - (gradient + gain);
                    (forward, Rounding { plain: 1, adapter: 0, divisor: Divisor::to_nearest(shift) }, None)
                }
                Some((reduced, down, up)) => {
                    let Scaling { factor, bits: scaling_bits } = scaling;
                    let reduced_gradient = gradient + up - WORD_BITS;
                    let target = gradient + gain + WORD_BITS;
                    let forward = Rounding {
                        plain: 1 << (full - input - weight),
                        adapter: factor << (full - reduced - up - scaling_bits),
                        divisor: forward_divisor(WORD_BITS),
                    };
                    let backward = Rounding {
                        plain: 1 << (target - gradient - weight),
                        adapter: factor << (target - reduced_gradient - down - scaling_bits),
                        divisor: Divisor::to_nearest(WORD_BITS),
                    };
                    let value = scaling.value();
                    let adapter = AdapterSettings {
                        rank: config.update.rank.unwrap_or(1),
                        down_bits: down,
                        up_bits: up,
                        reduced_bits: reduced,
                        reduced_shift: input + down - reduced,
                        reduced_gradient_bits: reduced_gradient,
                        reduced_gradient_shift: WORD_BITS,
                        scaling: factor,
                        scaling_bits,
                        down: updates.factors(&down_name(layer), down, reduced_gradient + input, value)?,
                        up: updates.factors(&up_name(layer), up, gradient + reduced, value)?,
                    };
                    (forward, backward, Some(adapter))
                }
            };
            let update = match config.update.kind {
                UpdateKind::Sgd | UpdateKind::Auto => {
                    Some(updates.factors(&weight_name(layer), weight, gradient + input, 1.0)?)
                }
                UpdateKind::Lora => None,
            };
            layers.push(LayerSettings {
                inputs,
                outputs,
                input_bits: input,
                output_bits: output,
                weight_bits: weight,
                gradient_bits: gradient,
                forward,
                backward: (layer > lowest).then_some(backward),
                update,
                adapter,
            });
            gradient += gain;
        }
        layers.reverse();
        Ok(Self {
            batch: config.batch.size,
            bias: config.model.bias,
            input_bits: bits.first().map_or(0, |bits| bits.input),
            target_bits,
            loss,
            layers,
        })
    }
}

/// What all updates of a configuration have in common.
struct Updates<'a> {
    config: &'a TrainingConfig,
    /// `1 / N`, or `2 / (N K)`: the gradient of the mean is this times G.
    mean: f64,
}

impl Updates<'_> {
    /// Factors for a matrix of `bits` fraction bits moved by a product of `product_bits`, counted `scaling` times.
    fn factors(
        &self,
        tensor: &str,
        bits: u32,
        product_bits: u32,
        scaling: f64,
    ) -> Result<UpdateFactors, ConfigError> {
        let update = &self.config.update;
        let tolerance = self.config.tolerance.bits.unwrap_or(0.0);
        let unit = self.mean * scaling * power(i64::from(bits) - i64::from(product_bits));
        let ratio = update.learning_rate * unit;
        let largest = f64::exp2(f64::from(WORD_BITS) - tolerance).floor() as i64;
        // With a tolerance, the factor of dW is free within a quarter: the largest one that states the learning rate well, or else
        // the one that states it best.
        let smallest = if tolerance == 0.0 { largest } else { largest - largest / 4 };
        let error = |delta: i64| ((ratio * delta as f64).round() / (ratio * delta as f64) - 1.0).abs();
        let candidates = || (smallest..=largest).rev();
        let delta = candidates()
            .find(|delta| error(*delta) <= DELTA_ERROR)
            .or_else(|| candidates().min_by(|left, right| error(*left).total_cmp(&error(*right))))
            .unwrap_or(largest);
        let factor = |field: &'static str, wanted: f64, ratio: f64, limit: f64| {
            let exact = ratio * delta as f64;
            let rounded = exact.round();
            if wanted == 0.0 || ((rounded / exact - 1.0).abs() <= limit && rounded < power(40)) {
                return Ok(rounded as i64);
            }
            let nearest = wanted / exact * rounded.clamp(1.0, power(40));
            Err(ConfigError::Unrepresentable { field, tensor: tensor.to_owned(), wanted, nearest })
        };
        Ok(UpdateFactors {
            delta,
            gradient: factor("update.learning_rate", update.learning_rate, ratio, FACTOR_ERROR)?,
            momentum: factor("update.momentum", update.momentum, update.momentum, FACTOR_ERROR)?,
            decay: factor(
                "update.weight_decay",
                update.weight_decay,
                update.learning_rate * update.weight_decay,
                if tolerance == 0.0 { DECAY_ERROR } else { f64::INFINITY },
            )?,
            residual_bits: WORD_BITS,
        })
    }
}

/// Fraction bits of layers before gradients are known.
struct LayerBits {
    input: u32,
    output: u32,
    weight: u32,
    /// Of U, down and up.
    adapter: Option<(u32, u32, u32)>,
    /// What gradients gain on their way to this layer's inputs.
    gain: u32,
}

/// `alpha / rank` as `factor / 2^bits`.
#[derive(Clone, Copy)]
struct Scaling {
    factor: i64,
    bits: u32,
}

impl Scaling {
    const MAX_BITS: u32 = 6;

    /// As few bits as state it within a hundredth.
    fn of(config: &TrainingConfig) -> Result<Self, ConfigError> {
        let (Some(rank), Some(alpha)) = (config.update.rank, config.update.alpha) else {
            return Ok(Self { factor: 1, bits: 0 });
        };
        let wanted = alpha / rank as f64;
        let at = |bits: u32| Self { factor: (wanted * power(bits.into())).round() as i64, bits };
        let found = (0..=Self::MAX_BITS).map(at).find(|found| (found.value() / wanted - 1.0).abs() <= 0.01);
        match found {
            Some(found) if found.factor < 1 << 12 => Ok(found),
            _ => Err(ConfigError::Field {
                field: "update.alpha".to_owned(),
                expected: "alpha / rank within a hundredth of k / 2^6, with k from 1 to 4095".to_owned(),
                found: wanted.to_string(),
            }),
        }
    }

    fn value(self) -> f64 {
        self.factor as f64 * power(-i64::from(self.bits))
    }
}

/// Chooses fraction bits of inputs, outputs and weights of all layers, or takes those that are given.
fn layer_bits(config: &TrainingConfig, scaling: Scaling) -> Result<Vec<LayerBits>, ConfigError> {
    let given = &config.fixed_point;
    let count = config.model.layers.len() - 1;
    let input = config.input_bits();
    require(input <= 15, "fixed_point.input", "0 to 15", input)?;
    let outputs = match &given.layers {
        None => {
            const OUTPUT: usize = 10;
            const HIDDEN: usize = 8;
            let start = input as usize;
            let between = |layer: usize| (start * (count - layer) + OUTPUT * layer) / count;
            (1..=count).map(|layer| between(layer).max(HIDDEN) as u32).collect()
        }
        Some(list) => {
            let fits = list.len() == count && list.iter().all(|bits| *bits <= 15);
            let expected = format_args!("{count} numbers from 0 to 15");
            require(fits, "fixed_point.layers", expected, format_args!("{list:?}"))?;
            list.clone()
        }
    };
    if let Some(list) = &given.weights {
        let expected = format_args!("{count} numbers");
        require(list.len() == count, "fixed_point.weights", expected, format_args!("{list:?}"))?;
    }
    let reach = config.update.learning_rate / (1.0 - config.update.momentum);
    let finest = 18 + (0.1 / reach).log2().clamp(0.0, 4.0) as u32;
    let mut bits = Vec::new();
    let mut from = input;
    for (layer, output) in outputs.into_iter().enumerate() {
        let is_adapted = config.update.kind == UpdateKind::Lora
            && config.update.adapted.as_ref().is_none_or(|list| list.contains(&layer));
        let most = (output + WORD_BITS).saturating_sub(from);
        let chosen = if config.update.kind == UpdateKind::Lora { most } else { most.min(finest) };
        let weight = given.weights.as_ref().and_then(|list| list.get(layer)).copied().unwrap_or(chosen);
        let least = (output + 1).saturating_sub(from).max(WORD_BITS.saturating_sub(8));
        let field = format!("fixed_point.weights, layer {layer}");
        let most = most.min(MAX_BITS);
        require((least..=most).contains(&weight), &field, format_args!("{least} to {most}"), weight)?;
        let adapter = is_adapted.then(|| {
            // Half of what the bits rise by goes to each of the two products.
            let reduced = (from + output).div_ceil(2).max(output.min(7));
            let down = (reduced + WORD_BITS - from).min(finest);
            let up = (output + WORD_BITS - reduced).saturating_sub(scaling.bits).min(finest);
            (reduced, down, up)
        });
        let gain = match adapter {
            None => weight.saturating_sub(WORD_BITS),
            // Of the two products that make a gradient, the finer one decides.
            Some((_, down, up)) => {
                (down + up + scaling.bits).saturating_sub(WORD_BITS).max(weight).saturating_sub(WORD_BITS)
            }
        };
        if let Some((_, _, up)) = adapter {
            let expected =
                "LoRA matrices with at least 10 fraction bits: fewer bits of inputs, or more of outputs";
            require(up >= 10, "fixed_point.layers", expected, format_args!("{up} for layer {layer}"))?;
        }
        bits.push(LayerBits { input: from, output, weight, adapter, gain });
        from = output;
    }
    Ok(bits)
}

/// The loss, the targets' fraction bits and those of the gradients by the outputs.
fn loss(
    config: &TrainingConfig,
    classes: usize,
    outputs: u32,
    probability: u32,
) -> Result<(Loss, u32, u32), ConfigError> {
    let given = &config.fixed_point;
    match config.loss.kind {
        LossKind::MeanSquaredError => {
            let field = "fixed_point.probability";
            require(given.probability.is_none(), field, "nothing, for mean-squared error", "a value")?;
            let target = config.target_bits();
            require(target <= 15, "fixed_point.target", "0 to 15", target)?;
            let gradient = outputs.max(target);
            let expected = "outputs or targets with at least 6 fraction bits";
            require(gradient >= 6, "fixed_point.layers", expected, gradient)?;
            let loss =
                Loss::MeanSquaredError { output_shift: gradient - outputs, target_shift: gradient - target };
            Ok((loss, target, gradient))
        }
        LossKind::CrossEntropy => {
            let target = config.target_bits();
            require(target <= 14, "fixed_point.target", "0 to 14", target)?;
            // With more, the sum of 16 bits leaves too few for each exponential: a probability would be known to a tenth only.
            let most = 64;
            let expected = format_args!("2 to {} outputs for cross-entropy", most - 1);
            require((2..most).contains(&classes), "model.layers", expected, classes)?;
            require((6..=14).contains(&probability), "fixed_point.probability", "6 to 14", probability)?;
            // K 2^scale < 2^15, for the sum of K exponentials.
            let scale_bits = (0..15).rev().find(|scale| classes << scale < 1 << 15).unwrap_or(0);
            let gradient = probability.max(target);
            let loss = Loss::CrossEntropy {
                table: ExponentialTable { fraction_bits: outputs, scale_bits },
                probability_bits: probability,
                probability_shift: gradient - probability,
                target_shift: gradient - target,
            };
            Ok((loss, target, gradient))
        }
    }
}
