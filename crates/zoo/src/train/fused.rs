//! Operations in one pass, with their gradients: cross-entropy, causal softmax, GELU.
//!
//! Out of single operations each of them would go over its rows about ten times; over logits, which are by far the
//! largest tensor, that would be most of the training. With p the softmax of a row z, t a target distribution and n
//! rows, the gradient of the mean cross-entropy `-(1/n) sum t log p` is `(p - t) / n`; that of `y = softmax(c z)` for a
//! gradient g of y is `c y (g - sum g y)`. Tests compare all of them with differences.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Storage, Tensor};

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;

/// Mean cross-entropy of rows of logits, `[rows, vocabulary]` to a scalar.
pub(super) fn cross_entropy(logits: &Tensor, target: Target) -> Result<Tensor> {
    logits.apply_op1(CrossEntropy { target, softmax: OnceLock::new() })
}

/// What the logits should predict, row by row.
pub(super) enum Target {
    /// One token for each row.
    Tokens(Vec<u32>),
    /// A distribution for each row, one after the other.
    Distributions(Vec<f32>),
}

/// The softmax of each row of a `[rows, columns]` matrix, as plain numbers.
pub(super) fn distributions(logits: &Tensor) -> Result<Vec<f32>> {
    let columns = logits.dim(1)?;
    let mut values = logits.flatten_all()?.to_vec1::<f32>()?;
    for row in values.chunks_exact_mut(columns) {
        softmax_in_place(row, 1.0);
    }
    Ok(values)
}

/// `softmax(scale * x)` of scores `[.., positions, positions]` where row i sees its first i + 1 entries.
pub(super) fn causal_softmax(scores: &Tensor, scale: f32) -> Result<Tensor> {
    scores.apply_op1(CausalSoftmax { scale })
}

/// The GELU in its tanh form.
pub(super) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.apply_op1(Gelu)
}

/// Turns a row z into `softmax(scale z)` and returns `log sum exp(scale z)`.
fn softmax_in_place(row: &mut [f32], scale: f32) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0f32;
    for value in row.iter_mut() {
        *value = (scale * (*value - largest)).exp();
        sum += *value;
    }
    let factor = sum.recip();
    row.iter_mut().for_each(|value| *value *= factor);
    scale * largest + sum.ln()
}

struct CrossEntropy {
    target: Target,
    /// What the forward pass leaves to the backward pass.
    softmax: OnceLock<Vec<f32>>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = contiguous(storage, layout)?;
        let (rows, columns) = layout.shape().dims2()?;
        let mut sum = 0f64;
        let mut softmax = values.to_vec();
        for (index, (powers, row)) in
            softmax.chunks_exact_mut(columns).zip(values.chunks_exact(columns)).enumerate()
        {
            let normaliser = softmax_in_place(powers, 1.0);
            let hit = match &self.target {
                Target::Tokens(tokens) => entry(row, tokens.get(index).copied())?,
                Target::Distributions(all) => {
                    let target = distribution(all, index, columns)?;
                    row.iter().zip(target).map(|(z, t)| z * t).sum()
                }
            };
            sum += f64::from(normaliser - hit);
        }
        self.softmax.set(softmax).map_err(|_| missing("one forward pass"))?;
        Ok((CpuStorage::F32(vec![(sum / rows as f64) as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (rows, columns) = logits.dims2()?;
        let factor = gradient.to_scalar::<f32>()? / rows as f32;
        let mut values = self.softmax.get().ok_or_else(|| missing("a forward pass"))?.clone();
        for (index, row) in values.chunks_exact_mut(columns).enumerate() {
            match &self.target {
                Target::Tokens(tokens) => {
                    let token = tokens.get(index).and_then(|&token| row.get_mut(token as usize));
                    *token.ok_or_else(|| missing("a target below the vocabulary"))? -= 1.0;
                }
                Target::Distributions(all) => {
                    let target = distribution(all, index, columns)?;
                    row.iter_mut().zip(target).for_each(|(p, t)| *p -= t);
                }
            }
            row.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(Some(Tensor::from_vec(values, (rows, columns), &Device::Cpu)?))
    }
}

struct CausalSoftmax {
    scale: f32,
}

impl CustomOp1 for CausalSoftmax {
    fn name(&self) -> &'static str {
        "causal-softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut values = contiguous(storage, layout)?.to_vec();
        let positions = *layout.dims().last().ok_or_else(|| missing("a dimension"))?;
        for (index, row) in values.chunks_exact_mut(positions).enumerate() {
            let (seen, hidden) = row.split_at_mut(index % positions + 1);
            softmax_in_place(seen, self.scale);
            hidden.fill(0.0);
        }
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let positions = result.dim(candle_core::D::Minus1)?;
        let mut values = gradient.flatten_all()?.to_vec1::<f32>()?;
        with_values(result, |weights| {
            for (gradients, weights) in
                values.chunks_exact_mut(positions).zip(weights.chunks_exact(positions))
            {
                let mean: f32 = gradients.iter().zip(weights).map(|(g, y)| g * y).sum();
                gradients.iter_mut().zip(weights).for_each(|(g, y)| *g = self.scale * y * (*g - mean));
            }
        })?;
        Ok(Some(Tensor::from_vec(values, result.shape(), &Device::Cpu)?))
    }
}

struct Gelu;

/// `(1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u))` with the inner u of the GELU at x: one exponential, where a library's tanh
/// takes two.
fn bend(x: f32) -> f32 {
    (1.0 + (-2.0 * SQRT_2_OVER_PI * x * (1.0 + GELU_CUBIC * x * x)).exp()).recip()
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values = contiguous(storage, layout)?.iter().map(|&x| x * bend(x)).collect();
        Ok((CpuStorage::F32(values), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut values = gradient.flatten_all()?.to_vec1::<f32>()?;
        with_values(x, |x| {
            for (gradient, &x) in values.iter_mut().zip(x) {
                let share = bend(x);
                let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
                *gradient *= share + 2.0 * x * share * (1.0 - share) * inner;
            }
        })?;
        Ok(Some(Tensor::from_vec(values, x.shape(), &Device::Cpu)?))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| missing("a contiguous tensor"))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// Hands out the values of a tensor on the CPU.
fn with_values(tensor: &Tensor, work: impl FnOnce(&[f32])) -> Result<()> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(contiguous(storage, layout)?),
        _ => return Err(missing("a tensor on the CPU")),
    }
    Ok(())
}

fn entry(row: &[f32], token: Option<u32>) -> Result<f32> {
    let value = token.and_then(|token| row.get(token as usize)).copied();
    value.ok_or_else(|| missing("a target below the vocabulary"))
}

fn distribution(all: &[f32], index: usize, columns: usize) -> Result<&[f32]> {
    all.get(index * columns..(index + 1) * columns).ok_or_else(|| missing("a distribution for each row"))
}

fn missing(what: &str) -> candle_core::Error {
    candle_core::Error::Msg(format!("expected {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use candle_core::Var;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-2.0..2.0)).collect()
    }

    /// Compares the gradient of a scalar function with central differences.
    fn check(shape: &[usize], function: impl Fn(&Tensor) -> Tensor) {
        let count = shape.iter().product();
        let values = numbers(count, 7);
        let at = |values: Vec<f32>| Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&at(values.clone())).unwrap();
        let gradients = function(variable.as_tensor()).backward().unwrap();
        let found: Vec<f32> = gradients.get(&variable).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (index, found) in found.into_iter().enumerate() {
            let side = |step: f32| {
                let mut values = values.clone();
                values[index] += step;
                f64::from(function(&at(values)).to_scalar::<f32>().unwrap())
            };
            let step = 1e-2;
            let expected = (side(step) - side(-step)) / (2.0 * f64::from(step));
            assert!((f64::from(found) - expected).abs() < 2e-3, "{index}: {found} {expected}");
        }
    }

    /// A weighted sum of all entries, so that every gradient is another.
    fn weighted(x: &Tensor) -> Tensor {
        let weights = Tensor::from_vec(numbers(x.elem_count(), 8), x.shape(), &Device::Cpu).unwrap();
        (x * weights).unwrap().sum_all().unwrap()
    }

    #[test]
    fn gradients_are_what_differences_say() {
        check(&[3, 5], |x| cross_entropy(x, Target::Tokens(vec![0, 4, 2])).unwrap());
        let targets = Tensor::from_vec(numbers(15, 9), (3, 5), &Device::Cpu).unwrap();
        check(&[3, 5], |x| {
            cross_entropy(x, Target::Distributions(distributions(&targets).unwrap())).unwrap()
        });
        check(&[2, 4, 4], |x| weighted(&causal_softmax(x, 0.7).unwrap()));
        check(&[3, 4], |x| weighted(&gelu(x).unwrap()));
    }

    #[test]
    fn values_are_those_of_candle() {
        let x = Tensor::from_vec(numbers(32, 1), (2, 4, 4), &Device::Cpu).unwrap();
        let largest = |a: Tensor, b: Tensor| -> f32 {
            (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
        };
        assert!(largest(gelu(&x).unwrap(), x.gelu().unwrap()) < 1e-6);
        let mask: Vec<f32> = (0..16).map(|i| if i % 4 > i / 4 { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (4, 4), &Device::Cpu).unwrap();
        let masked = (&x * 0.7).unwrap().broadcast_add(&mask).unwrap();
        let expected = candle_nn::ops::softmax_last_dim(&masked).unwrap();
        assert!(largest(causal_softmax(&x, 0.7).unwrap(), expected) < 1e-6);
        let logits = Tensor::from_vec(numbers(15, 2), (3, 5), &Device::Cpu).unwrap();
        let tokens = Tensor::new(&[0u32, 4, 2], &Device::Cpu).unwrap();
        let expected = candle_nn::loss::cross_entropy(&logits, &tokens).unwrap();
        let found = cross_entropy(&logits, Target::Tokens(vec![0, 4, 2])).unwrap();
        assert!(largest(found.reshape(1).unwrap(), expected.reshape(1).unwrap()) < 1e-6);
    }

    #[test]
    fn a_target_beyond_the_vocabulary_is_an_error() {
        let logits = Tensor::from_vec(numbers(10, 3), (2, 5), &Device::Cpu).unwrap();
        assert!(cross_entropy(&logits, Target::Tokens(vec![0, 5])).is_err());
        assert!(cross_entropy(&logits, Target::Tokens(vec![0])).is_err());
    }
}
