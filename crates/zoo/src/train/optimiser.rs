//! AdamW (Loshchilov and Hutter 2019) in one pass over each tensor, with the gradient clipped to a norm.
//!
//! With the gradient g, moments m and v, step t from 1, rate e and decay d: `m <- b1 m + (1 - b1) g`,
//! `v <- b2 v + (1 - b2) g^2`, `w <- (1 - e d) w - e (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)`.
//! Out of tensor operations, as candle-nn has it, a step makes about ten copies of every weight: as long as the rest of
//! the training of such small models. A test holds it to candle-nn's.

use candle_core::{Result, Tensor, Var, backprop::GradStore};

const FIRST: f32 = 0.9;
const SECOND: f32 = 0.98;
const EPSILON: f32 = 1e-8;
const DECAY: f32 = 0.01;

/// The optimiser with its moments.
pub(super) struct AdamW {
    variables: Vec<Moments>,
    steps: i32,
}

struct Moments {
    variable: Var,
    weights: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    pub(super) fn new(variables: &[Var]) -> Result<Self> {
        let moments = |variable: &Var| {
            let weights: Vec<f32> = variable.flatten_all()?.to_vec1()?;
            let zeros = vec![0f32; weights.len()];
            Ok(Moments { variable: variable.clone(), weights, first: zeros.clone(), second: zeros })
        };
        Ok(Self { variables: variables.iter().map(moments).collect::<Result<_>>()?, steps: 0 })
    }

    /// One step at this rate; the gradient as a whole is scaled down to the norm `clip` if it is longer.
    pub(super) fn step(&mut self, gradients: &GradStore, rate: f64, clip: f64) -> Result<()> {
        self.steps += 1;
        let mut found = Vec::with_capacity(self.variables.len());
        for moments in &self.variables {
            let gradient: Option<Vec<f32>> = match gradients.get(&moments.variable) {
                Some(gradient) => Some(gradient.flatten_all()?.to_vec1()?),
                None => None,
            };
            found.push(gradient);
        }
        let square: f64 = found.iter().flatten().flatten().map(|&g| f64::from(g).powi(2)).sum();
        let scale = (clip / square.sqrt()).min(1.0) as f32;
        let (rate, steps) = (rate as f32, self.steps);
        let (first_share, second_share) = (1.0 - FIRST.powi(steps), 1.0 - SECOND.powi(steps));
        for (moments, gradient) in self.variables.iter_mut().zip(found) {
            let Some(gradient) = gradient else { continue };
            let Moments { variable, weights, first, second } = moments;
            let state = weights.iter_mut().zip(first.iter_mut()).zip(second.iter_mut());
            for (((weight, first), second), gradient) in state.zip(gradient) {
                let gradient = scale * gradient;
                *first = FIRST * *first + (1.0 - FIRST) * gradient;
                *second = SECOND * *second + (1.0 - SECOND) * gradient * gradient;
                let direction = (*first / first_share) / ((*second / second_share).sqrt() + EPSILON);
                *weight -= rate * (DECAY * *weight + direction);
            }
            variable.set(&Tensor::from_slice(weights, variable.shape(), variable.device())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use candle_core::Device;
    use candle_nn::{Optimizer, ParamsAdamW};

    use super::*;

    #[test]
    fn steps_are_those_of_candle() {
        let start = Tensor::new(&[[1f32, -2.0, 0.5], [0.1, 3.0, -0.7]], &Device::Cpu).unwrap();
        let [ours, theirs] = [(); 2].map(|()| Var::from_tensor(&start).unwrap());
        let parameters = ParamsAdamW {
            lr: 0.1,
            beta1: f64::from(FIRST),
            beta2: f64::from(SECOND),
            eps: f64::from(EPSILON),
            weight_decay: f64::from(DECAY),
        };
        let mut expected = candle_nn::AdamW::new(vec![theirs.clone()], parameters).unwrap();
        let mut found = AdamW::new(std::slice::from_ref(&ours)).unwrap();
        let loss = |variable: &Var| variable.sqr().unwrap().sqr().unwrap().sum_all().unwrap();
        for _ in 0..20 {
            expected.step(&loss(&theirs).backward().unwrap()).unwrap();
            // A clip that is never reached.
            found.step(&loss(&ours).backward().unwrap(), 0.1, 1e9).unwrap();
        }
        let numbers = |variable: &Var| variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for ((found, expected), start) in numbers(&ours).iter().zip(numbers(&theirs)).zip([1f32, -2.0, 0.5]) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            assert!((found - start).abs() > 0.1);
        }
    }

    #[test]
    fn a_long_gradient_is_scaled_down() {
        // A first step of Adam has the length of the rate whatever the gradient; the second moment shows the clip.
        let variable = Var::from_tensor(&Tensor::new(&[30f32, 40.0], &Device::Cpu).unwrap()).unwrap();
        let mut optimiser = AdamW::new(std::slice::from_ref(&variable)).unwrap();
        let loss = (variable.sqr().unwrap().sum_all().unwrap() / 2.0).unwrap();
        optimiser.step(&loss.backward().unwrap(), 1e-3, 1.0).unwrap();
        for (second, expected) in optimiser.variables[0].second.iter().zip([0.36, 0.64]) {
            assert!((second / (1.0 - SECOND) - expected).abs() < 1e-3, "{second}");
        }
    }
}
