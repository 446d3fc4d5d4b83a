//! The f32 product that a contributor without proofs would compute, by candle's matrix multiplication.

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use crate::noise::Noise;
use crate::session::SessionShape;

/// Activations and weights in f32.
pub struct FloatSession {
    shared: usize,
    inputs: Vec<Tensor>,
    /// For each module: A transposed (inputs x rank) and B transposed (rank x outputs).
    weights: Vec<(Tensor, Tensor)>,
}

impl FloatSession {
    /// A synthetic session of a shape.
    pub fn new(shape: SessionShape, noise: &mut Noise) -> Result<Self> {
        let SessionShape { modules, inputs, outputs, rank, tokens, shared } = shape;
        let mut matrix = |rows: usize, columns: usize| {
            Tensor::from_vec(noise.floats(rows * columns), (rows, columns), &Device::Cpu)
        };
        Ok(Self {
            shared,
            inputs: (0..modules.div_ceil(shared)).map(|_| matrix(tokens, inputs)).collect::<Result<_>>()?,
            weights: (0..modules)
                .map(|_| Ok((matrix(rank, inputs)?.t()?, matrix(rank, outputs)?)))
                .collect::<Result<_>>()?,
        })
    }

    /// Computes `X A^T B^T` for every module, modules in parallel.
    pub fn compute(&self) -> Result<()> {
        self.weights.par_iter().enumerate().try_for_each(|(index, (a, b))| {
            let deltas = self.inputs[index / self.shared].matmul(a)?.matmul(b)?;
            std::hint::black_box(deltas);
            Ok(())
        })
    }
}
