//! What computes deltas on the contributor's side.

use lorica_algebra::kernels::product::LowRankProduct;
use lorica_relation::{rows::ModuleIndex, session::Witness};
use lorica_verify::manifest::{Manifest, ManifestModule};

/// Computes exact deltas.
pub trait DeltaEngine: Send + Sync {
    /// The deltas `D = X A^T B^T` of a module for row-major rows of its input width: rows x outputs.
    fn deltas(&self, module: ModuleIndex, inputs: &[i16]) -> Result<Vec<i64>, EngineError>;
}

/// Computes float deltas from float weights, scaling included: for diagnosis only, outside what is proven.
pub trait FloatEngine: Send + Sync {
    /// The deltas of a module for row-major rows of its input width: rows x outputs.
    fn deltas(&self, module: ModuleIndex, inputs: &[f32]) -> Result<Vec<f32>, EngineError>;
}

/// Why deltas cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The weights are not those of the manifest's shapes.
    #[error("weights of {module}, {what}: expected {expected}, found {found}")]
    Weights {
        /// The module.
        module: String,
        /// What does not fit.
        what: &'static str,
        /// What the manifest implies.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The rows are not whole, or the module is not there.
    #[error("rows for module {module}: expected {expected}, found {found}")]
    Rows {
        /// Index of the module.
        module: usize,
        /// What its shape implies.
        expected: String,
        /// What was given.
        found: String,
    },
}

/// Exact deltas from the contributor's integers.
pub struct WitnessEngine {
    shapes: Vec<ManifestModule>,
    witness: Witness,
}

impl WitnessEngine {
    /// Takes the integers of all modules, after checking their number and magnitude against the manifest: this is what
    /// makes every delta fit 64 bits.
    pub fn new(manifest: &Manifest, witness: Witness) -> Result<Self, EngineError> {
        let refuse = |module: String, what, expected: String, found: String| {
            Err(EngineError::Weights { module, what, expected, found })
        };
        if manifest.modules.len() != witness.modules.len() {
            let (expected, found) = (manifest.modules.len(), witness.modules.len());
            return refuse("the adapter".to_owned(), "modules", expected.to_string(), found.to_string());
        }
        for (module, weights) in manifest.modules.iter().zip(&witness.modules) {
            let half = module.weight_bits.checked_sub(1).and_then(|bits| 1i32.checked_shl(bits)).unwrap_or(0);
            for (what, values, width) in [("A", &weights.a, module.inputs), ("B", &weights.b, module.outputs)]
            {
                let expected = module.rank.saturating_mul(width);
                if values.len() != expected {
                    return refuse(
                        module.name.to_string(),
                        what,
                        format!("{expected} entries"),
                        values.len().to_string(),
                    );
                }
                if let Some(value) = values.iter().find(|&&value| !(-half..half).contains(&i32::from(value)))
                {
                    let expected = format!("entries of {} bits", module.weight_bits);
                    return refuse(module.name.to_string(), what, expected, value.to_string());
                }
            }
        }
        Ok(Self { shapes: manifest.modules.clone(), witness })
    }
}

impl DeltaEngine for WitnessEngine {
    fn deltas(&self, module: ModuleIndex, inputs: &[i16]) -> Result<Vec<i64>, EngineError> {
        let found = self.shapes.get(module.0).zip(self.witness.modules.get(module.0));
        let Some((shape, weights)) = found else {
            let (expected, found) = (format!("below {}", self.shapes.len()), module.0.to_string());
            return Err(EngineError::Rows { module: module.0, expected, found });
        };
        let rows = whole_rows(module, inputs.len(), shape.inputs)?;
        let mut deltas = vec![0; rows.saturating_mul(shape.outputs)];
        let product = LowRankProduct {
            a: &weights.a,
            b_transposed: &weights.b,
            inputs: shape.inputs,
            outputs: shape.outputs,
        };
        product.write_deltas(inputs, &mut deltas);
        Ok(deltas)
    }
}

fn whole_rows(module: ModuleIndex, values: usize, width: usize) -> Result<usize, EngineError> {
    match (values.checked_div(width), values.checked_rem(width)) {
        (Some(rows), Some(0)) => Ok(rows),
        _ => Err(EngineError::Rows {
            module: module.0,
            expected: format!("rows of {width}"),
            found: format!("{values} values"),
        }),
    }
}

/// The float weights of one module.
#[derive(Clone, PartialEq)]
pub struct FloatLowRank {
    /// A, row-major, rank x inputs.
    pub a: Vec<f32>,
    /// B transposed, row-major, rank x outputs.
    pub b: Vec<f32>,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// The factor after the product: alpha / r, or alpha / sqrt(r).
    pub scaling: f64,
}

/// Float deltas from float weights, summed in double precision.
pub struct FloatWeightsEngine {
    modules: Vec<FloatLowRank>,
}

impl FloatWeightsEngine {
    /// Takes the float weights of all modules, in the order of the manifest.
    pub fn new(manifest: &Manifest, modules: Vec<FloatLowRank>) -> Result<Self, EngineError> {
        if manifest.modules.len() != modules.len() {
            return Err(EngineError::Weights {
                module: "the adapter".to_owned(),
                what: "modules",
                expected: manifest.modules.len().to_string(),
                found: modules.len().to_string(),
            });
        }
        for (shape, weights) in manifest.modules.iter().zip(&modules) {
            let expected = (
                shape.inputs,
                shape.outputs,
                shape.rank.saturating_mul(shape.inputs),
                shape.rank.saturating_mul(shape.outputs),
            );
            let found = (weights.inputs, weights.outputs, weights.a.len(), weights.b.len());
            if expected != found {
                return Err(EngineError::Weights {
                    module: shape.name.to_string(),
                    what: "inputs, outputs, entries of A, entries of B",
                    expected: format!("{expected:?}"),
                    found: format!("{found:?}"),
                });
            }
        }
        Ok(Self { modules })
    }
}

impl FloatEngine for FloatWeightsEngine {
    fn deltas(&self, module: ModuleIndex, inputs: &[f32]) -> Result<Vec<f32>, EngineError> {
        let Some(weights) = self.modules.get(module.0) else {
            let (expected, found) = (format!("below {}", self.modules.len()), module.0.to_string());
            return Err(EngineError::Rows { module: module.0, expected, found });
        };
        let rows = whole_rows(module, inputs.len(), weights.inputs)?;
        let mut deltas = Vec::with_capacity(rows.saturating_mul(weights.outputs));
        for row in inputs.chunks_exact(weights.inputs) {
            let mut sums = vec![0f64; weights.outputs];
            for (a, b) in weights.a.chunks_exact(weights.inputs).zip(weights.b.chunks_exact(weights.outputs))
            {
                let y: f64 = row.iter().zip(a).map(|(x, a)| f64::from(*x) * f64::from(*a)).sum();
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += y * f64::from(*b);
                }
            }
            deltas.extend(sums.iter().map(|sum| to_f32(sum * weights.scaling)));
        }
        Ok(deltas)
    }
}

/// Rounds to single precision, which is what the float deltas of a model are.
#[expect(
    clippy::as_conversions,
    reason = "rounding to the nearest f32 is what is wanted, and has no other spelling"
)]
fn to_f32(value: f64) -> f32 {
    value as f32
}
