//! Initial weights from a seed.
//!
//! As `torch.nn.Linear` does by default (`kaiming_uniform_` with `a = sqrt(5)`): weights and biases are uniform within
//! `1 / sqrt(inputs)`. Of LoRA's matrices, the one that reduces inputs is made so too, and the other one is zero.

use lorica_relation::training::{Settings, WeightKind};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use crate::fixed::Parameters;

/// Weights for a seed: the same ones for the same settings, on every machine.
pub fn initial_parameters(settings: &Settings, seed: u64) -> Parameters {
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut parameters = Vec::new();
    for weights in settings.weights() {
        let inputs = settings.layers.get(weights.layer).map_or(1, |layer| layer.inputs);
        let bound = f64::exp2(f64::from(weights.bits)) / (inputs as f64).sqrt();
        let mut draw = || {
            // 53 bits, so that every machine rounds alike.
            let unit = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            ((2.0 * unit - 1.0) * bound).round() as i32
        };
        let values = match weights.kind {
            WeightKind::Weight | WeightKind::Down => (0..weights.shape.entries()).map(|_| draw()).collect(),
            WeightKind::Up => vec![0; weights.shape.entries()],
        };
        parameters.push(Zeroizing::new(values));
    }
    parameters
}
