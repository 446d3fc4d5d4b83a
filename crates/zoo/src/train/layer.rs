//! Norms, rotary positions and causal attention out of operations that candle can differentiate.

use candle_core::{D, Device, Result, Tensor};

use super::fused::causal_softmax;

/// `x / sqrt(mean(x^2) + epsilon) * weight` along the last dimension.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    x.broadcast_div(&scale)?.broadcast_mul(weight)
}

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` along the last dimension.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    rms_norm(&centred, weight, epsilon)?.broadcast_add(bias)
}

/// Sizes of an attention layer's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) sequences: usize,
    pub(super) positions: usize,
    pub(super) query: usize,
    pub(super) key_value: usize,
    pub(super) width: usize,
}

impl Heads {
    /// `[sequences * positions, heads * width]` to `[sequences, heads, positions, width]`.
    pub(super) fn split(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        x.reshape((self.sequences, self.positions, heads, self.width))?.transpose(1, 2)?.contiguous()
    }

    /// Causal attention of split heads; returns `[sequences * positions, query heads * width]`.
    pub(super) fn attend(&self, query: &Tensor, key: &Tensor, value: &Tensor) -> Result<Tensor> {
        let Self { sequences, positions, query: heads, key_value, width } = *self;
        // Query heads that share a key head are neighbours: they are seen as more rows of one head.
        let rows = heads / key_value * positions;
        let scores = query
            .reshape((sequences, key_value, rows, width))?
            .matmul(&key.t()?)?
            .reshape((sequences, heads, positions, positions))?;
        causal_softmax(&scores, (width as f32).sqrt().recip())?
            .reshape((sequences, key_value, rows, positions))?
            .matmul(value)?
            .reshape((sequences, heads, positions, width))?
            .transpose(1, 2)?
            .reshape((sequences * positions, heads * width))
    }
}

/// Cosines and sines of rotary positions, each `[positions, width]` with the two halves alike.
pub(super) struct Rotary {
    cosines: Tensor,
    sines: Tensor,
}

impl Rotary {
    pub(super) fn new(positions: usize, width: usize) -> Result<Self> {
        let half = width / 2;
        let angle = |index: usize| {
            let (position, pair) = (index / width, index % width % half);
            // Frequencies are single-precision numbers, as in transformers and in `lorica-model`.
            let frequency = 10_000f64.powf(-2.0 * pair as f64 / width as f64) as f32;
            position as f64 * f64::from(frequency)
        };
        let table = |of: fn(f64) -> f64| {
            let values: Vec<f32> = (0..positions * width).map(|index| of(angle(index)) as f32).collect();
            Tensor::from_vec(values, (positions, width), &Device::Cpu)
        };
        Ok(Self { cosines: table(f64::cos)?, sines: table(f64::sin)? })
    }

    /// Turns `[sequences, heads, positions, width]`: entry i with entry `i + width / 2`.
    pub(super) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.dim(D::Minus1)? / 2;
        let (low, high) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let crossed = Tensor::cat(&[high.neg()?, low.contiguous()?], D::Minus1)?;
        x.broadcast_mul(&self.cosines)? + crossed.broadcast_mul(&self.sines)?
    }
}
