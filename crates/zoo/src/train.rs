//! Training: decoders out of differentiable operations, on the CPU, in single precision.
//!
//! The forward pass of `lorica-model` is made for speed and has no gradients, so the zoo has its own, of plain
//! operations; a test holds the two to the same logits. Batches are windows at random places of a text; the optimiser is
//! AdamW (Loshchilov and Hutter 2019) with its gradient clipped to norm 1, the rate rising over the first twentieth of
//! the steps and falling along a cosine to a tenth. A tenth of the text is never trained on; its loss is measured
//! before and after.
//!
//! | module | what it holds |
//! |---|---|
//! | [`network`] | [`Network`]: tokens in, logits out, with or without gradients |
//! | [`text`] | tokens of a text, training windows and held-out ones |
//! | `layer`, `fused` | norms, attention, losses that can be differentiated |
//! | `optimiser` | AdamW |

mod fused;
mod layer;
pub mod network;
mod optimiser;
pub mod text;

use candle_core::Tensor;
use rand::Rng;
use serde::{Deserialize, Serialize};

use fused::Target;
pub use network::Network;
use optimiser::AdamW;
pub use text::{Batch, Tokens};

use crate::error::ZooError;

const CLIP: f64 = 1.0;
const FLOOR: f64 = 0.1;

/// How long and how fast a model learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Number of batches, at least 1.
    pub steps: u32,
    /// Windows in a batch, at least 1.
    pub batch: usize,
    /// Predicted tokens of a window, at most the model's context.
    pub window: usize,
    /// The largest learning rate.
    pub rate: f64,
}

/// What a model learns to predict.
pub enum Objective<'a> {
    /// The token that comes next.
    NextToken,
    /// The distribution that another model has for the next token (distillation; Hinton, Vinyals and Dean 2015, at
    /// temperature 1). It needs the same vocabulary.
    Teacher(&'a Network),
}

/// What training did: mean losses of the held-out windows in nats a token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learned {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// Trains the variables of a network. `progress` is told each step and its loss.
///
/// # Errors
/// A setting outside its range, a text too short, a loss that is no number any more.
pub fn train(
    network: &Network,
    tokens: &Tokens,
    (training, objective): (Training, &Objective<'_>),
    rng: &mut impl Rng,
    progress: &mut dyn FnMut(u32, f32),
) -> Result<Learned, ZooError> {
    let Training { steps, batch, window, rate } = training;
    for (setting, value) in [("steps", steps as usize), ("batch", batch), ("window", window)] {
        if value == 0 {
            return Err(ZooError::Setting { setting, expected: "at least 1".into(), found: "0".into() });
        }
    }
    if !(rate.is_finite() && rate > 0.0) {
        let (setting, found) = ("rate", rate.to_string());
        return Err(ZooError::Setting { setting, expected: "above 0".into(), found });
    }
    let held_out = tokens.held_out(window)?;
    let before = held_out_loss(network, &held_out)?;
    let mut optimiser = AdamW::new(network.variables())?;
    for step in 0..steps {
        let batch = tokens.batch(batch, window, rng)?;
        let logits = network.logits(&batch)?;
        let loss = match objective {
            Objective::NextToken => next_token_loss(&logits, &batch)?,
            Objective::Teacher(teacher) => imitation_loss(&logits, &teacher.logits(&batch)?)?,
        };
        let value: f32 = loss.to_scalar()?;
        if !value.is_finite() {
            return Err(ZooError::Diverged { step, loss: value });
        }
        optimiser.step(&loss.backward()?, rate * schedule(step, steps), CLIP)?;
        progress(step, value);
    }
    let after = held_out_loss(network, &held_out)?;
    if !after.is_finite() {
        return Err(ZooError::Diverged { step: steps, loss: after as f32 });
    }
    Ok(Learned { before, after })
}

/// The share of the largest rate at a step: a line up, half a cosine down.
fn schedule(step: u32, steps: u32) -> f64 {
    let warm_up = (steps / 20).max(1);
    if step < warm_up {
        return f64::from(step + 1) / f64::from(warm_up);
    }
    let progress = f64::from(step - warm_up) / f64::from((steps - warm_up).max(1));
    FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

fn next_token_loss(logits: &Tensor, batch: &Batch) -> Result<Tensor, ZooError> {
    Ok(fused::cross_entropy(logits, Target::Tokens(batch.targets.clone()))?)
}

fn imitation_loss(logits: &Tensor, teacher: &Tensor) -> Result<Tensor, ZooError> {
    Ok(fused::cross_entropy(logits, Target::Distributions(fused::distributions(&teacher.detach())?))?)
}

fn held_out_loss(network: &Network, batches: &[Batch]) -> Result<f64, ZooError> {
    let mut sum = 0f64;
    for batch in batches {
        sum += f64::from(next_token_loss(&network.logits(batch)?.detach(), batch)?.to_scalar::<f32>()?);
    }
    Ok(sum / batches.len().max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::schedule;

    #[test]
    fn the_rate_rises_and_falls() {
        let rates: Vec<f64> = (0..200).map(|step| schedule(step, 200)).collect();
        assert!(rates[..10].is_sorted() && rates[10..].is_sorted_by(|a, b| a >= b));
        assert!((rates[9] - 1.0).abs() < 1e-12 && rates[0] > 0.0);
        assert!(rates[199] > 0.1 && rates[199] < 0.11);
        assert!((schedule(0, 1) - 1.0).abs() < 1e-12);
    }
}
