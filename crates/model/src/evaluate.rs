//! Loss and perplexity of a text, in windows, several at a time.
//!
//! The logits at position i predict token i + 1, so a window of n tokens predicts n - 1. Loss is minus the
//! natural logarithm of the probability, `log(sum_j exp z_j) - z_target`, computed in double precision from the
//! single-precision logits z, and averaged over all predicted tokens.

use serde::Serialize;

use crate::{
    error::ModelError,
    hook::Hook,
    model::{BaseModel, TokenBatch},
    progress::Progress,
};

/// Logits held at a time, so that a long window with a large vocabulary needs little memory.
const LOGITS_AT_A_TIME: usize = 1 << 24;

/// How a text is cut. Windows do not overlap; a rest of fewer than 2 tokens predicts nothing and is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Not at all: a text longer than the context is an error.
    Whole,
    /// Into windows as long as the model's context.
    Context,
    /// Into windows of this many tokens, at least 2 and at most the context.
    Tokens(usize),
}

/// How a text is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvaluateOptions {
    /// How it is cut.
    pub window: Window,
    /// How many windows go through the model together, at least 1. It does not change the result beyond rounding.
    pub batch: usize,
}

/// What a model makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean loss in nats a predicted token.
    pub loss: f64,
    /// `exp(loss)`.
    pub perplexity: f64,
    /// Number of predicted tokens.
    pub predicted: u64,
    /// Number of windows.
    pub windows: u64,
}

impl BaseModel {
    /// The loss of a text given as tokens. Progress is in windows.
    ///
    /// # Errors
    /// A text of fewer than 2 tokens, tokens beyond the vocabulary, a text or window longer than the context,
    /// a failing hook, activations that overflow.
    pub fn evaluate(
        &self,
        tokens: &[u32],
        options: EvaluateOptions,
        hook: &mut dyn Hook,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Evaluation, ModelError> {
        if tokens.len() < 2 {
            return Err(ModelError::TooFewTokens { what: "the text", found: tokens.len(), needed: 2 });
        }
        if options.batch == 0 {
            return Err(ModelError::Setting { setting: "batch", expected: "at least 1".into(), found: 0 });
        }
        self.check_tokens(tokens)?;
        let length = self.window_length(tokens, options.window)?;
        let windows: Vec<&[u32]> = tokens.chunks(length).filter(|window| window.len() >= 2).collect();
        let mut state = Progress { done: 0, total: windows.len() as u64 };
        let (mut loss, mut predicted) = (0f64, 0u64);
        // Only the last window can be shorter: windows of one length go together.
        for same in windows.chunk_by(|left, right| left.len() == right.len()) {
            for batch in same.chunks(options.batch) {
                loss += self.batch_loss(batch, hook)?;
                predicted += batch.iter().map(|window| window.len() as u64 - 1).sum::<u64>();
                state.done += batch.len() as u64;
                progress(state);
            }
        }
        let loss = loss / predicted as f64;
        Ok(Evaluation { loss, perplexity: loss.exp(), predicted, windows: state.total })
    }

    fn window_length(&self, tokens: &[u32], window: Window) -> Result<usize, ModelError> {
        let context = self.config().context;
        match window {
            Window::Whole => self.check_context(tokens.len()).map(|()| tokens.len()),
            Window::Context if context >= 2 => Ok(context),
            Window::Tokens(length) if (2..=context).contains(&length) => Ok(length),
            Window::Context => Err(self.wrong_window(context)),
            Window::Tokens(length) => Err(self.wrong_window(length)),
        }
    }

    fn wrong_window(&self, found: usize) -> ModelError {
        let expected = format!("from 2 to the model's context of {} tokens", self.config().context);
        ModelError::Setting { setting: "window", expected, found }
    }

    /// The summed loss of windows of one length.
    fn batch_loss(&self, windows: &[&[u32]], hook: &mut dyn Hook) -> Result<f64, ModelError> {
        let hidden = self.hidden(&TokenBatch::new(windows)?, None, hook)?;
        let vocabulary = self.config().vocabulary;
        let rows_at_a_time = (LOGITS_AT_A_TIME / vocabulary).max(1);
        let mut sum = 0.0;
        for (index, window) in windows.iter().enumerate() {
            let targets = window.get(1..).unwrap_or_default();
            for (part, targets) in targets.chunks(rows_at_a_time).enumerate() {
                let first = part * rows_at_a_time;
                let logits =
                    self.output(&hidden.narrow(0, index * window.len() + first, targets.len())?)?;
                for (row, (logits, &target)) in logits.chunks_exact(vocabulary).zip(targets).enumerate() {
                    sum += token_loss(logits, target)
                        .ok_or(ModelError::LogitsNotFinite { position: first + row })?;
                }
            }
        }
        Ok(sum)
    }
}

/// Minus the log-probability of `target`; nothing if a logit is not finite.
fn token_loss(logits: &[f32], target: u32) -> Option<f64> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum();
    let loss = largest + sum.ln() - f64::from(*logits.get(target as usize)?);
    loss.is_finite().then_some(loss)
}

#[cfg(test)]
mod tests {
    use super::token_loss;

    #[test]
    fn loss_is_minus_the_log_of_the_softmax() {
        // exp(0), exp(ln 2), exp(ln 5) weigh 1 : 2 : 5.
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for (target, weight) in [(0, 1.0), (1, 2.0), (2, 5.0)] {
            let expected = -f64::ln(weight / 8.0);
            assert!((token_loss(&logits, target).unwrap() - expected).abs() < 1e-6);
            let shifted = logits.map(|z| z + 1e4);
            assert!((token_loss(&shifted, target).unwrap() - expected).abs() < 1e-3);
        }
        assert_eq!(token_loss(&[0.0, f32::NAN], 0), None);
        assert_eq!(token_loss(&[0.0, f32::INFINITY], 0), None);
        assert_eq!(token_loss(&[0.0], 1), None);
    }
}
