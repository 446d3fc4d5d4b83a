//! The configuration of a training run, as a person writes it.
//!
//! ```toml
//! format = "lorica-training/1"
//!
//! [model]
//! layers = [64, 32, 10]     # inputs, hidden layers, outputs
//!
//! [loss]
//! kind = "cross-entropy"    # or "mean-squared-error", or "mse"
//!
//! [update]
//! kind = "sgd"              # or "lora", with rank and alpha; or "auto", for two checkpoints
//! learning_rate = 0.1
//! momentum = 0.9
//!
//! [batch]
//! size = 64
//! ```
//!
//! A loss is the mean over the batch as in PyTorch: over samples for `CrossEntropyLoss`, over samples and outputs for
//! `MSELoss`. Updates are those of `torch.optim.SGD`: `buffer = momentum buffer + gradient + weight_decay w`, then
//! `w -= learning_rate buffer`. Biases decay like weights.

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::program::bounds::ProgramError;

/// The value of the field `format`.
pub const FORMAT: &str = "lorica-training/1";
/// The largest rank of LoRA matrices.
pub const MAX_RANK: usize = 64;
/// The largest number of layers.
pub const MAX_LAYERS: usize = 32;
/// The largest width of a layer: with the bias, an axis of a program.
pub const MAX_WIDTH: usize = (1 << 16) - 1;

/// A configuration; [`TrainingConfig::settings`] resolves it to integers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// [`FORMAT`].
    pub format: String,
    /// The network.
    pub model: ModelConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How weights move.
    pub update: UpdateConfig,
    /// The samples of a step.
    pub batch: BatchConfig,
    /// Fraction bits; what is not given is chosen.
    #[serde(default)]
    pub fixed_point: FixedPointConfig,
    /// How far an update may be from the exact one.
    #[serde(default)]
    pub tolerance: ToleranceConfig,
}

/// Linear layers with an activation between them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Widths: the inputs, every hidden layer, the outputs.
    pub layers: Vec<usize>,
    /// Whether layers have a bias; true if not given.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Between layers.
    #[serde(default)]
    pub activation: Activation,
}

fn yes() -> bool {
    true
}

/// An activation function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(0, z)`, with derivative 0 at 0.
    #[default]
    Relu,
}

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Which.
    pub kind: LossKind,
}

/// A loss function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Softmax, then the negative logarithm of the target's probability; the mean over samples.
    CrossEntropy,
    /// The mean square of `output - target`, over samples and outputs; `mse` for short.
    #[serde(alias = "mse")]
    MeanSquaredError,
}

/// How weights move.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateConfig {
    /// Which of them.
    pub kind: UpdateKind,
    /// The learning rate, positive.
    pub learning_rate: f64,
    /// In `[0, 1)`.
    #[serde(default)]
    pub momentum: f64,
    /// In `[0, 1)`.
    #[serde(default)]
    pub weight_decay: f64,
    /// LoRA alone: rows of A, columns of B, 1 to [`MAX_RANK`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// LoRA alone: the product B A counts `alpha / rank` times; positive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// LoRA alone: the layers that have matrices, from 0, ascending; all if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapted: Option<Vec<usize>>,
}

/// Which weights move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateKind {
    /// All weights and biases.
    Sgd,
    /// LoRA matrices over frozen layers.
    Lora,
    /// Whichever of them changed between two checkpoints; it has no settings before they are known.
    Auto,
}

impl std::fmt::Display for UpdateKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sgd => "sgd",
            Self::Lora => "lora",
            Self::Auto => "auto",
        })
    }
}

/// The samples of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// N.
    pub size: usize,
}

/// Fraction bits of each kind of number. [`super::resolve`] says how they are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FixedPointConfig {
    /// Of the data's inputs; 6 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u32>,
    /// Of the data's targets; 0 for cross-entropy, 8 for mean-squared error if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<u32>,
    /// Of the outputs of each layer, the last one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<u32>>,
    /// Of the weights of each layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<u32>>,
    /// Of probabilities, and so of the gradients by the outputs; cross-entropy alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probability: Option<u32>,
}

/// How far an update may be from the exact one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToleranceConfig {
    /// The residual of an update spans about `2^bits` units of a weight: 0 is exact rounding, at most 15; fractions are fine. If it
    /// is not given, our own trainer's steps are exact, and for two checkpoints the smallest is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// It is not TOML, or has a field that is unknown, missing or of another type.
    #[error("the training configuration cannot be read: {message}")]
    Toml {
        /// What the parser found, with line and column.
        message: String,
    },
    /// A field has a value that is not supported.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Its path, such as `update.rank`.
        field: String,
        /// What is supported.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A number has no integer form that is near enough.
    #[error(
        "{field} = {wanted} cannot be stated for {tensor}: the nearest value that integers of these sizes can stand for is {nearest}; choose that, or other bits under [fixed_point]"
    )]
    Unrepresentable {
        /// Its path, such as `update.learning_rate`.
        field: &'static str,
        /// The weights that it is for.
        tensor: String,
        /// The number.
        wanted: f64,
        /// The nearest one.
        nearest: f64,
    },
    /// The program of these settings is refused.
    #[error("no program has these settings: {0}")]
    Program(#[from] ProgramError),
}

impl TrainingConfig {
    /// Reads a configuration and checks that it can be resolved.
    ///
    /// # Errors
    /// Anything but a complete configuration of supported values, named by its field.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            toml::from_str(text).map_err(|error| ConfigError::Toml { message: error.to_string() })?;
        match config.update.kind {
            UpdateKind::Sgd | UpdateKind::Lora => drop(config.settings()?),
            UpdateKind::Auto => config.check()?,
        }
        Ok(config)
    }

    /// The configuration as text, which [`TrainingConfig::from_toml`] reads back to the same.
    ///
    /// # Errors
    /// None for a configuration that was read; a number that TOML does not have.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Toml { message: error.to_string() })
    }

    /// The integers that the configuration stands for.
    ///
    /// # Errors
    /// As [`TrainingConfig::from_toml`].
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        self.check()?;
        let is_known = self.update.kind != UpdateKind::Auto;
        require(is_known, "update.kind", "\"sgd\" or \"lora\"; \"auto\" is for two checkpoints", "\"auto\"")?;
        Settings::resolve(self)
    }

    /// Fraction bits of the data's inputs.
    pub fn input_bits(&self) -> u32 {
        self.fixed_point.input.unwrap_or(6)
    }

    /// Fraction bits of the data's targets.
    pub fn target_bits(&self) -> u32 {
        let usual = match self.loss.kind {
            LossKind::CrossEntropy => 0,
            LossKind::MeanSquaredError => 8,
        };
        self.fixed_point.target.unwrap_or(usual)
    }

    /// Refuses values out of range.
    fn check(&self) -> Result<(), ConfigError> {
        require(self.format == FORMAT, "format", FORMAT, &self.format)?;
        let layers = &self.model.layers;
        let widths = layers.iter().all(|width| (1..=MAX_WIDTH).contains(width));
        require(
            widths && (2..=MAX_LAYERS + 1).contains(&layers.len()),
            "model.layers",
            format_args!("2 to {} widths, each from 1 to {MAX_WIDTH}", MAX_LAYERS + 1),
            format_args!("{layers:?}"),
        )?;
        let batch = self.batch.size;
        let batch_limit = 1 << 16;
        require((1..=batch_limit).contains(&batch), "batch.size", format_args!("1 to {batch_limit}"), batch)?;
        let UpdateConfig { learning_rate, momentum, weight_decay, .. } = self.update;
        require(
            learning_rate.is_finite() && learning_rate > 0.0,
            "update.learning_rate",
            "a positive number",
            learning_rate,
        )?;
        for (field, value) in [("update.momentum", momentum), ("update.weight_decay", weight_decay)] {
            require((0.0..1.0).contains(&value), field, "a number from 0 to below 1", value)?;
        }
        self.check_adapter()?;
        let bits = self.tolerance.bits.unwrap_or(0.0);
        require((0.0..=15.0).contains(&bits), "tolerance.bits", "0 to 15", bits)
    }

    fn check_adapter(&self) -> Result<(), ConfigError> {
        let UpdateConfig { kind, rank, alpha, adapted, .. } = &self.update;
        let given = [
            ("update.rank", rank.is_some()),
            ("update.alpha", alpha.is_some()),
            ("update.adapted", adapted.is_some()),
        ];
        match kind {
            UpdateKind::Auto => Ok(()),
            UpdateKind::Sgd => given.into_iter().try_for_each(|(field, given)| {
                require(!given, field, "nothing, for update.kind = \"sgd\"", "a value")
            }),
            UpdateKind::Lora => {
                let rank = rank.unwrap_or(0);
                require(
                    (1..=MAX_RANK).contains(&rank),
                    "update.rank",
                    format_args!("1 to {MAX_RANK}, for update.kind = \"lora\""),
                    rank,
                )?;
                let alpha = alpha.unwrap_or(0.0);
                require(
                    alpha.is_finite() && alpha > 0.0,
                    "update.alpha",
                    "a positive number, for update.kind = \"lora\"",
                    alpha,
                )?;
                let layers = self.model.layers.len() - 1;
                let adapted = adapted.clone().unwrap_or_else(|| (0..layers).collect());
                let ascending = adapted.iter().zip(adapted.iter().skip(1)).all(|(one, next)| one < next);
                require(
                    ascending && !adapted.is_empty() && adapted.iter().all(|layer| *layer < layers),
                    "update.adapted",
                    format_args!("layers from 0 to {}, ascending", layers - 1),
                    format_args!("{adapted:?}"),
                )
            }
        }
    }
}

/// An error about a field unless the condition holds.
pub(super) fn require(
    condition: bool,
    field: &str,
    expected: impl ToString,
    found: impl ToString,
) -> Result<(), ConfigError> {
    if condition {
        return Ok(());
    }
    Err(ConfigError::Field {
        field: field.to_owned(),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}
