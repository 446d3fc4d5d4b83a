//! Two checkpoints of another trainer, and the witness of the step between them.
//!
//! Weights before and after the step are rounded to the integers of the settings; their difference is dW. Everything else
//! is computed as our own trainer would, and what is left over is the residual of each update. It is no rounding: it holds what the other
//! trainer's floats and our integers do not agree on. The tolerance is the smallest one of about `2^bits` units that all residuals keep,
//! unless the configuration states one.
//!
//! A tolerance is freedom: a proof shows that each weight moved as the step says, *up to it*. Where that is a large part of how far
//! weights move at all, a proof would show next to nothing, and none is made.

use lorica_relation::{
    program::evaluate::Witness,
    training::{
        ConfigError, Settings, TrainingConfig, UpdateFactors, WeightMatrix,
        config::{ToleranceConfig, UpdateKind},
    },
};
use zeroize::Zeroizing;

use crate::{
    data::DataSet,
    error::TrainError,
    fixed::{Chunk, FixedTrainer, Parameters, State},
    model_file::{LinearLayers, ModelFileError, Part},
    pass::Gradient,
};

/// The share of the update's size that a tolerance may have, unless another is stated.
pub const USUAL_SHARE: f64 = 0.25;
/// The largest tolerance, in bits.
const MAX_TOLERANCE_BITS: f64 = 15.0;
/// Tolerances are tried in steps of this many bits.
const TOLERANCE_STEP: f64 = 0.25;

/// A step of another trainer.
pub struct Step<'a> {
    /// The weights before it.
    pub before: &'a LinearLayers,
    /// The weights after it.
    pub after: &'a LinearLayers,
    /// The weights before the step that came before, for momentum where `before` holds no buffers; `None` for the first step.
    pub previous: Option<&'a LinearLayers>,
    /// The data set.
    pub data: &'a DataSet,
    /// The rows of the step's batch.
    pub batch: &'a [usize],
}

/// What changed between two checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Weights and biases.
    Weights,
    /// LoRA's matrices alone.
    Adapter {
        /// Their rank.
        rank: usize,
        /// The layers that have them.
        layers: Vec<usize>,
    },
}

/// A step that is ready to be proven.
#[derive(Debug)]
pub struct Prepared {
    /// The configuration, with the update's kind and the tolerance that were found.
    pub config: TrainingConfig,
    /// What it stands for.
    pub settings: Settings,
    /// The program and its witness.
    pub chunk: Chunk,
    /// For each matrix that moved, how well it keeps the tolerance.
    pub residuals: Vec<Residual>,
}

/// How well the change of a matrix agrees with the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The matrix.
    pub matrix: String,
    /// The layer, from 0.
    pub layer: usize,
    /// The row of the largest residual.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// The largest residual's magnitude, in units of the weight.
    pub largest: f64,
    /// What the largest residual's magnitude would be with the learning rate as it was asked for, rather than as integers state it.
    pub needed: f64,
    /// The tolerance, in units of the weight.
    pub tolerance: f64,
    /// The root mean square of the exact change, in units of the weight.
    pub update: f64,
    /// What a unit stands for.
    pub unit: f64,
    /// Entries of the matrix.
    pub entries: usize,
}

impl Residual {
    /// The tolerance beside the size of the update.
    pub fn share(&self) -> f64 {
        self.tolerance / self.update
    }
}

/// The tolerance beside the size of the update, over all matrices: both as root mean squares of all entries.
pub fn share(residuals: &[Residual]) -> f64 {
    let sum = |size: fn(&Residual) -> f64| {
        residuals.iter().map(|r| (size(r) * r.unit).powi(2) * r.entries as f64).sum::<f64>().sqrt()
    };
    sum(|residual| residual.tolerance) / sum(|residual| residual.update)
}

/// Why two checkpoints make no provable step.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The batch does not fit, or a number is beyond 16 bits.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The checkpoints are of different models.
    #[error(
        "the checkpoints differ in their tensors: layer {layer} has {before} before the step and {after} after it"
    )]
    Model {
        /// The layer, from 0.
        layer: usize,
        /// Its tensors before.
        before: String,
        /// Its tensors after.
        after: String,
    },
    /// Nothing changed.
    #[error("both checkpoints hold the same weights: there is no step to prove")]
    Nothing,
    /// Frozen weights changed too.
    #[error(
        "LoRA's matrices changed, and so did the weights under them (layer {layer}): neither kind of step does that"
    )]
    Both {
        /// A layer with changed weights.
        layer: usize,
    },
    /// Something else changed than the configuration says.
    #[error("update.kind is {expected}, but between the checkpoints {found} changed")]
    Kind {
        /// What the configuration says.
        expected: &'static str,
        /// What changed.
        found: &'static str,
    },
    /// A residual is larger than the tolerance.
    #[error(
        "the weights did not move as the step says: {matrix} (layer {layer}), row {row}, column {column} is off by {residual:.2} units, the tolerance is {tolerance:.2} ({hint})"
    )]
    Residual {
        /// The matrix.
        matrix: String,
        /// The layer, from 0.
        layer: usize,
        /// The row.
        row: usize,
        /// The column.
        column: usize,
        /// The residual, in units of the weight.
        residual: f64,
        /// The tolerance, in units of the weight.
        tolerance: f64,
        /// What may be wrong.
        hint: &'static str,
    },
    /// The tolerance is too large a part of the update.
    #[error(
        "this step needs a tolerance of {:.0} % of the update's size, at most {:.0} % is accepted: a bound so loose proves nothing, \
         as weights that hardly follow the gradient would pass too. Check learning rate, batch and data; finer fraction bits under \
         [fixed_point] make the tolerance smaller",
        share * 100.0, limit * 100.0
    )]
    Loose {
        /// The tolerance beside the update's size.
        share: f64,
        /// The largest accepted.
        limit: f64,
        /// Each matrix.
        residuals: Vec<Residual>,
    },
}

impl CheckpointError {
    /// Whether the step was looked at, and is not the one that is described.
    pub fn is_no(&self) -> bool {
        matches!(
            self,
            Self::Nothing
                | Self::Both { .. }
                | Self::Kind { .. }
                | Self::Residual { .. }
                | Self::Loose { .. }
        )
    }
}

/// Finds out what changed.
///
/// # Errors
/// Checkpoints of different models, no change, or changes of LoRA's matrices and of others.
pub fn changed(before: &LinearLayers, after: &LinearLayers) -> Result<Changed, CheckpointError> {
    let count = before.layers().len().max(after.layers().len());
    let mut layers = Vec::new();
    let (mut rank, mut weights, mut adapters) = (0, None, false);
    for layer in 0..count {
        let describe = |checkpoint: &LinearLayers| {
            let parts = checkpoint.layers().get(layer).into_iter().flat_map(|parts| parts.keys());
            let parts = parts.map(|part| Ok(format!("{part:?} {:?}", checkpoint.shape(layer, *part)?)));
            Ok::<_, ModelFileError>(parts.collect::<Result<Vec<_>, ModelFileError>>()?.join(", "))
        };
        let (one, other) = (describe(before)?, describe(after)?);
        if one != other {
            return Err(CheckpointError::Model { layer, before: one, after: other });
        }
        for part in before.layers().get(layer).into_iter().flat_map(|parts| parts.keys()) {
            let shape = before.shape(layer, *part)?;
            let is_changed = before.read(layer, *part, &shape)? != after.read(layer, *part, &shape)?;
            match part {
                Part::Weight | Part::Bias => weights = weights.or(is_changed.then_some(layer)),
                Part::Down | Part::Up => adapters |= is_changed,
            }
            if *part == Part::Down {
                layers.push(layer);
                rank = shape.first().copied().unwrap_or(0);
            }
        }
    }
    match (weights, adapters) {
        (None, false) => Err(CheckpointError::Nothing),
        (Some(layer), true) => Err(CheckpointError::Both { layer }),
        (Some(_), false) => Ok(Changed::Weights),
        (None, true) => Ok(Changed::Adapter { rank, layers }),
    }
}

impl Changed {
    /// The configuration with the kind of update that was found.
    ///
    /// # Errors
    /// A configuration that says something else.
    pub fn apply(&self, mut config: TrainingConfig) -> Result<TrainingConfig, CheckpointError> {
        let (kind, name) = match self {
            Self::Weights => (UpdateKind::Sgd, "all weights"),
            Self::Adapter { .. } => (UpdateKind::Lora, "LoRA's matrices alone"),
        };
        let update = &mut config.update;
        match (update.kind, kind) {
            (UpdateKind::Sgd, UpdateKind::Lora) => {
                Err(CheckpointError::Kind { expected: "sgd", found: name })
            }
            (UpdateKind::Lora, UpdateKind::Sgd) => {
                Err(CheckpointError::Kind { expected: "lora", found: name })
            }
            (UpdateKind::Auto, _) => {
                update.kind = kind;
                match self {
                    // A configuration for both kinds may state what only LoRA needs.
                    Self::Weights => (update.rank, update.alpha, update.adapted) = (None, None, None),
                    Self::Adapter { rank, layers } => {
                        update.rank = update.rank.or(Some(*rank));
                        update.adapted = update.adapted.take().or(Some(layers.clone()));
                    }
                }
                Ok(config)
            }
            _ => Ok(config),
        }
    }
}

/// Makes the witness of a step, with the tolerance of the configuration or else the smallest there is.
///
/// # Errors
/// A step that the configuration does not describe, whose weights moved otherwise, or whose tolerance would be more than `limit`
/// (see [`USUAL_SHARE`]) of the update's size.
pub fn prepare(config: &TrainingConfig, step: &Step<'_>, limit: f64) -> Result<Prepared, CheckpointError> {
    let config = changed(step.before, step.after)?.apply(config.clone())?;
    let prepared = match config.tolerance.bits {
        Some(_) => {
            let prepared = attempt(config, step)?;
            match prepared.worst() {
                Some(worst) if worst.is_broken() => return Err(worst.error()),
                _ => prepared,
            }
        }
        None => smallest(&config, step)?,
    };
    let share = share(&prepared.residuals);
    if share > limit {
        return Err(CheckpointError::Loose { share, limit, residuals: prepared.residuals });
    }
    Ok(prepared)
}

/// Tries tolerances from exact rounding on.
fn smallest(config: &TrainingConfig, step: &Step<'_>) -> Result<Prepared, CheckpointError> {
    let mut last = None;
    let mut bits: f64 = 0.0;
    while bits <= MAX_TOLERANCE_BITS {
        let tolerance = ToleranceConfig { bits: Some(bits) };
        bits += TOLERANCE_STEP;
        let prepared = match attempt(TrainingConfig { tolerance, ..config.clone() }, step) {
            // Another tolerance may state the learning rate well enough.
            Err(error @ CheckpointError::Config(ConfigError::Unrepresentable { .. })) => {
                // A weight that is off says more than that a wider tolerance cannot be stated.
                last = last.or(Some(error));
                continue;
            }
            other => other?,
        };
        match prepared.worst() {
            Some(worst) if worst.is_broken() => {
                // A residual of r units needs log2(2 r) bits; a tolerance can be a third larger than its bits say.
                let needed = prepared.residuals.iter().map(|residual| residual.needed).fold(0.0, f64::max);
                let needed = (2.0 * 0.75 * needed).log2();
                bits = bits.max((needed / TOLERANCE_STEP).floor() * TOLERANCE_STEP);
                last = Some(worst.error());
            }
            _ => return Ok(prepared),
        }
    }
    Err(last.unwrap_or(CheckpointError::Nothing))
}

/// The witness for one tolerance, whether its residuals keep it or not.
fn attempt(config: TrainingConfig, step: &Step<'_>) -> Result<Prepared, CheckpointError> {
    let settings = config.settings()?;
    let before = step.before.quantise(&settings)?;
    let after = step.after.quantise(&settings)?;
    let zero = FixedTrainer::new(settings.clone(), before.clone())?.state();
    let buffers = step.before.last_changes(&settings, config.update.learning_rate)?;
    let carried = match (buffers, step.previous) {
        (Some(changes), _) => changes,
        (None, Some(previous)) if !zero.carried.is_empty() => {
            let previous = previous.quantise(&settings)?;
            let program = settings.program(1, 0).map_err(TrainError::from)?.program;
            let moved = |id| program.parameters.iter().position(|parameter| parameter.moved_by == Some(id));
            let places = program.carried().into_iter().filter_map(moved);
            places.map(|place| differences(&settings, place, &previous, &before)).collect::<Result<_, _>>()?
        }
        _ => zero.carried,
    };
    let state = State { steps: 0, parameters: before.clone(), carried };
    let trainer = FixedTrainer::resume(settings.clone(), state.clone())?;
    let samples = step.data.rows(step.batch)?;
    let (mut tensors, gradients) = trainer.gradients(&samples)?;
    let weights = settings.weights();
    let effective = settings.effective();
    let mut residuals = Vec::new();
    for gradient in &gradients {
        let place = gradient.parameter.0;
        let deltas = differences(&settings, place, &before, &after)?;
        if let Some(weights) = weights.get(place) {
            let effective = effective.iter().find(|effective| effective.tensor == weights.name);
            let rate =
                effective.map_or(1.0, |effective| config.update.learning_rate / effective.learning_rate);
            residuals.push(Residual::of(weights, gradient, rate, &deltas, &trainer.exact(gradient)));
        }
        tensors.push((gradient.delta, deltas));
    }
    let program = settings.program(1, 0).map_err(TrainError::from)?;
    let mut witness = Witness {
        tensors: vec![Zeroizing::default(); program.program.tensors.len()],
        parameters: state.parameters,
        samples,
        carried: state.carried,
    };
    for (id, values) in tensors {
        if let Some(tensor) = witness.tensors.get_mut(id.0) {
            *tensor = values;
        }
    }
    residuals.sort_by_key(|residual| weights.iter().position(|weights| weights.name == residual.matrix));
    Ok(Prepared { config, settings, chunk: Chunk { program, witness }, residuals })
}

/// How one matrix changed.
fn differences(
    settings: &Settings,
    place: usize,
    before: &Parameters,
    after: &Parameters,
) -> Result<Zeroizing<Vec<i16>>, TrainError> {
    let (Some(before), Some(after)) = (before.get(place), after.get(place)) else {
        return Ok(Zeroizing::default());
    };
    let mut deltas = Zeroizing::new(Vec::with_capacity(before.len()));
    for (index, (before, after)) in before.iter().zip(after.iter()).enumerate() {
        let value = i64::from(*after) - i64::from(*before);
        deltas.push(i16::try_from(value).map_err(|_| {
            let weights = settings.weights();
            let weights = weights.get(place);
            let columns = weights.map_or(1, |weights| weights.shape.columns);
            TrainError::Overflow {
                step: 0,
                tensor: format!("d{}", weights.map_or("", |weights| &weights.name)),
                row: index / columns,
                column: index % columns,
                value,
            }
        })?);
    }
    Ok(deltas)
}

impl Residual {
    /// Of changes beside what `-delta` times the change should be; the wanted learning rate is `rate` times the effective one.
    fn of(weights: &WeightMatrix, gradient: &Gradient, rate: f64, deltas: &[i16], exact: &[i64]) -> Self {
        let UpdateFactors { delta, gradient: factor, .. } = gradient.factors;
        let (mut largest, mut place, mut squares, mut needed) = (0i64, 0, 0.0, 0f64);
        let sums = gradient.sums.values.iter();
        for (index, ((change, exact), sum)) in deltas.iter().zip(exact).zip(sums).enumerate() {
            let residual = delta * i64::from(*change) + exact;
            // The range is half open: its lower end is in it, its upper end is not.
            let magnitude = if residual < 0 { -residual } else { residual + 1 };
            if magnitude > largest {
                (largest, place) = (magnitude, index);
            }
            let wanted = residual as f64 + (rate - 1.0) * (factor * sum) as f64;
            needed = needed.max(wanted.abs() / delta as f64);
            squares += (*exact as f64 / delta as f64).powi(2);
        }
        Self {
            matrix: weights.name.clone(),
            layer: weights.layer,
            row: place / weights.shape.columns,
            column: place % weights.shape.columns,
            largest: largest as f64 / delta as f64,
            needed,
            tolerance: weights.update.map_or(0.5, |update| update.tolerance_units()),
            update: (squares / exact.len().max(1) as f64).sqrt(),
            unit: f64::exp2(-f64::from(weights.bits)),
            entries: exact.len(),
        }
    }

    fn is_broken(&self) -> bool {
        self.largest > self.tolerance
    }

    fn error(&self) -> CheckpointError {
        let hint = if self.largest > self.update {
            "it is off by more than weights move: compare learning rate, batch, data and the order of checkpoints"
        } else {
            "a larger tolerance.bits, or finer fraction bits under [fixed_point], may help"
        };
        CheckpointError::Residual {
            matrix: self.matrix.clone(),
            layer: self.layer,
            row: self.row,
            column: self.column,
            residual: self.largest,
            tolerance: self.tolerance,
            hint,
        }
    }
}

impl Prepared {
    /// The matrix that keeps its tolerance worst.
    fn worst(&self) -> Option<&Residual> {
        self.residuals
            .iter()
            .max_by(|one, other| (one.largest / one.tolerance).total_cmp(&(other.largest / other.tolerance)))
    }
}
