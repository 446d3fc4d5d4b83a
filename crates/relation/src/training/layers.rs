//! The program of training: what every layer has, whatever its update is.
//!
//! For each layer the checks are `forward` (Z is the rounded product), and for hidden layers `sign` (S is 0 or 1), `positive`
//! (S says where Z is positive), `backward` (H is the rounded product) and the range of H; the last Z has a range of its
//! own. Hidden Z is bounded by `positive`. The softmax stands in [`super::softmax`], updates in [`super::sgd`] and LoRA's products
//! in [`super::lora`].

use super::settings::{Divisor, LayerSettings, Loss, Rounding, Settings, weight_name};
use crate::program::{
    Axis, Check, CommittedTensor, Operand, Parameter, ParameterId, Program, Rule, Samples, Shape, Source,
    TensorId, Term, Value, bounds::ProgramError,
};

/// Added to a number of 16 bits with a sign, it makes a word.
pub(super) const WORD_OFFSET: i64 = 1 << 15;

/// A program with the numbers of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingProgram {
    /// The program; it is valid.
    pub program: Program,
    /// What its tensors and parameters are.
    pub layout: Layout,
}

/// What the tensors and parameters of a program are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// For each layer.
    pub layers: Vec<LayerLayout>,
    /// Tensors of the softmax; `None` for mean-squared error.
    pub softmax: Option<SoftmaxLayout>,
}

/// Tensors and parameters of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerLayout {
    /// W, with the bias in the last column.
    pub weight: ParameterId,
    /// dW; `None` if W is frozen.
    pub delta: Option<TensorId>,
    /// Z.
    pub output: TensorId,
    /// S; `None` for the last layer.
    pub sign: Option<TensorId>,
    /// H, gradients by this layer's inputs; `None` where nothing below is trained.
    pub input_gradient: Option<TensorId>,
    /// LoRA's.
    pub adapter: Option<AdapterLayout>,
}

/// Tensors and parameters of LoRA in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdapterLayout {
    /// The matrix that reduces inputs to the rank, `rank x d`.
    pub down: ParameterId,
    /// The matrix that leads to the outputs, `o x rank`.
    pub up: ParameterId,
    /// Moves down.
    pub down_delta: TensorId,
    /// Moves up.
    pub up_delta: TensorId,
    /// U, `N x rank`.
    pub reduced: TensorId,
    /// Q, `N x rank`.
    pub reduced_gradient: TensorId,
}

/// Tensors of the softmax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftmaxLayout {
    /// M, `N x 1`: the largest output of a sample.
    pub maximum: TensorId,
    /// E, `N x K`: exponentials of outputs less M.
    pub exponential: TensorId,
    /// D, `N x K`: the sum of a sample's exponentials, in every column.
    pub sum: TensorId,
    /// P, `N x K`.
    pub probability: TensorId,
}

impl Settings {
    /// The program of so many steps, after `steps_before` steps since the weights were registered.
    ///
    /// # Errors
    /// No step, more than a program may have, or sizes beyond its limits.
    pub fn program(&self, steps: usize, steps_before: u64) -> Result<TrainingProgram, ProgramError> {
        let samples = Samples { per_step: self.batch, width: self.sample_width() };
        let program = Program {
            steps,
            steps_before,
            tensors: Vec::new(),
            parameters: Vec::new(),
            samples,
            exponential: None,
            checks: Vec::new(),
        };
        let mut builder = Builder { settings: self, program, layout: Layout::default() };
        self.layers.iter().enumerate().for_each(|(index, layer)| builder.forward(index, layer));
        if let Loss::CrossEntropy { table, probability_bits, .. } = self.loss {
            builder.softmax(table, probability_bits);
        }
        for (index, layer) in self.layers.iter().enumerate().rev() {
            builder.backward(index, layer);
            builder.updates(index, layer);
        }
        let Builder { program, layout, .. } = builder;
        program.validate()?;
        Ok(TrainingProgram { program, layout })
    }
}

/// A program in the making.
pub(super) struct Builder<'a> {
    pub(super) settings: &'a Settings,
    pub(super) program: Program,
    pub(super) layout: Layout,
}

impl Builder<'_> {
    pub(super) fn batch(&self) -> usize {
        self.settings.batch
    }

    pub(super) fn tensor(&mut self, name: String, rows: usize, columns: usize) -> TensorId {
        self.program.tensors.push(CommittedTensor { name, shape: Shape { rows, columns } });
        TensorId(self.program.tensors.len() - 1)
    }

    pub(super) fn parameter(
        &mut self,
        name: String,
        shape: Shape,
        moved_by: Option<TensorId>,
    ) -> ParameterId {
        self.program.parameters.push(Parameter { name, shape, moved_by });
        ParameterId(self.program.parameters.len() - 1)
    }

    pub(super) fn check(&mut self, name: String, shape: Shape, offset: i64, terms: Vec<Term>, rule: Rule) {
        self.program.checks.push(Check { name, shape, offset, terms, rule });
    }

    /// The check that a tensor alone, with an offset, is a word.
    pub(super) fn word(&mut self, name: String, id: TensorId, offset: i64) {
        let Some(shape) = self.program.shape(Source::Committed(id)) else { return };
        let terms = vec![Term::source(1, Source::Committed(id))];
        self.check(name, shape, offset, terms, Rule::Word { shift: 0 });
    }

    /// The check that a tensor is the sum of terms, divided by a power of two and rounded.
    pub(super) fn rounded(
        &mut self,
        name: String,
        id: TensorId,
        mut terms: Vec<Term>,
        Divisor { shift, offset }: Divisor,
    ) {
        let Some(shape) = self.program.shape(Source::Committed(id)) else { return };
        terms.push(Term::source(-(1 << shift), Source::Committed(id)));
        self.check(name, shape, offset, terms, Rule::Word { shift: 16 - shift });
    }

    /// A, with the column of ones.
    pub(super) fn input(&self, layer: usize, inner: Axis) -> Operand {
        let Some(settings) = self.settings.layers.get(layer) else { return empty(inner) };
        let (rows, columns) = (self.batch(), settings.inputs);
        let below = layer.checked_sub(1).and_then(|below| self.layout.layers.get(below));
        let term = match below {
            None => Term::source(1, Source::Samples { first: 0, columns }),
            Some(below) => {
                let sign = below.sign.unwrap_or(below.output);
                Term::entrywise(1, Source::Committed(sign), Source::Committed(below.output))
            }
        };
        let mut terms = vec![term];
        if self.settings.bias {
            let value = Value::Ones { rows, first: columns, columns: 1 };
            terms.push(Term { coefficient: 1 << settings.input_bits, value });
        }
        Operand { shape: Shape { rows, columns: columns + usize::from(self.settings.bias) }, terms, inner }
    }

    /// G.
    pub(super) fn gradient(&self, layer: usize, inner: Axis) -> Operand {
        let (Some(settings), Some(layout)) = (self.settings.layers.get(layer), self.layout.layers.get(layer))
        else {
            return empty(inner);
        };
        let shape = Shape { rows: self.batch(), columns: settings.outputs };
        let above = self.layout.layers.get(layer + 1).and_then(|above| above.input_gradient);
        let terms = match (layout.sign, above) {
            (Some(sign), Some(above)) => {
                vec![Term::entrywise(1, Source::Committed(sign), Source::Committed(above))]
            }
            _ => self.output_gradient(layout.output, settings.outputs),
        };
        Operand { shape, terms, inner }
    }

    fn output_gradient(&self, output: TensorId, classes: usize) -> Vec<Term> {
        let targets = Source::Samples { first: self.settings.sample_width() - classes, columns: classes };
        let (value, shift, target_shift) = match (self.settings.loss, self.layout.softmax) {
            (Loss::MeanSquaredError { output_shift, target_shift }, _) => {
                (output, output_shift, target_shift)
            }
            (Loss::CrossEntropy { probability_shift, target_shift, .. }, softmax) => {
                (softmax.map_or(output, |softmax| softmax.probability), probability_shift, target_shift)
            }
        };
        vec![Term::source(1 << shift, Source::Committed(value)), Term::source(-(1 << target_shift), targets)]
    }

    fn forward(&mut self, index: usize, layer: &LayerSettings) {
        let (rows, outputs) = (self.batch(), layer.outputs);
        let shape = Shape { rows: outputs, columns: layer.inputs + usize::from(self.settings.bias) };
        let delta =
            layer.update.map(|_| self.tensor(format!("d{}", weight_name(index)), outputs, shape.columns));
        let weight = self.parameter(weight_name(index), shape, delta);
        let output = self.tensor(format!("Z{index}"), rows, outputs);
        let is_last = index + 1 == self.settings.layers.len();
        let sign = (!is_last).then(|| self.tensor(format!("S{index}"), rows, outputs));
        let input_gradient = layer.backward.map(|_| self.tensor(format!("H{index}"), rows, layer.inputs));
        let adapter = layer.adapter.as_ref().map(|adapter| self.adapter_tensors(index, layer, adapter));
        self.layout.layers.push(LayerLayout { weight, delta, output, sign, input_gradient, adapter });

        let right =
            Operand { shape, terms: vec![Term::source(1, Source::Parameter(weight))], inner: Axis::Columns };
        let Rounding { plain, adapter: factor, divisor } = layer.forward;
        let mut terms = vec![Term::product(plain, self.input(index, Axis::Columns), right)];
        if let (Some(adapter), Some(settings)) = (adapter, &layer.adapter) {
            terms.push(self.adapter_forward(index, layer, settings, adapter, factor));
        }
        self.rounded(format!("forward of layer {index}"), output, terms, divisor);
        match sign {
            None => self.word(format!("range of Z{index}"), output, WORD_OFFSET),
            Some(sign) => self.relu(index, sign, output),
        }
    }

    fn relu(&mut self, index: usize, sign: TensorId, output: TensorId) {
        let Some(shape) = self.program.shape(Source::Committed(sign)) else { return };
        let (sign, output) = (Source::Committed(sign), Source::Committed(output));
        let terms = vec![Term::entrywise(1, sign, sign), Term::source(-1, sign)];
        self.check(format!("sign of layer {index}"), shape, 0, terms, Rule::Zero);
        let terms = vec![Term::entrywise(2, sign, output), Term::source(-1, output), Term::source(-1, sign)];
        self.check(format!("ReLU of layer {index}"), shape, 0, terms, Rule::Word { shift: 0 });
    }

    fn backward(&mut self, index: usize, layer: &LayerSettings) {
        let Some(layout) = self.layout.layers.get(index).cloned() else { return };
        let (Some(Rounding { plain, adapter: factor, divisor }), Some(gradient)) =
            (layer.backward, layout.input_gradient)
        else {
            return;
        };
        let shape = Shape { rows: layer.outputs, columns: layer.inputs + usize::from(self.settings.bias) };
        let right = Operand {
            shape,
            terms: vec![Term::source(1, Source::Parameter(layout.weight))],
            inner: Axis::Rows,
        };
        let mut terms = vec![Term::product(plain, self.gradient(index, Axis::Columns), right)];
        if let (Some(adapter), Some(settings)) = (layout.adapter, &layer.adapter) {
            terms.push(self.adapter_backward(layer, settings, adapter, factor));
        }
        self.rounded(format!("backward of layer {index}"), gradient, terms, divisor);
        self.word(format!("range of H{index}"), gradient, WORD_OFFSET);
    }
}

/// What stands for a layer that there is not; [`Program::validate`] refuses it.
fn empty(inner: Axis) -> Operand {
    Operand { shape: Shape { rows: 0, columns: 0 }, terms: Vec::new(), inner }
}
