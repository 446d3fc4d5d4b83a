//! Updates: `p dW = -(c G^T A - m dW_before + w W)` up to a residual.
//!
//! PyTorch's momentum buffer is `-dW / learning_rate`, so the change of the step before is all that a step takes over, and
//! nothing more is committed. Before the first step of a run the change is zero.

use super::layers::{Builder, WORD_OFFSET};
use super::settings::{LayerSettings, UpdateFactors};
use crate::program::{Axis, Operand, ParameterId, Rule, Source, TensorId, Term};

impl Builder<'_> {
    /// The updates of a layer's weights, or of its LoRA matrices.
    pub(super) fn updates(&mut self, index: usize, layer: &LayerSettings) {
        let Some(layout) = self.layout.layers.get(index).cloned() else { return };
        if let (Some(factors), Some(delta)) = (layer.update, layout.delta) {
            let (left, right) = (self.gradient(index, Axis::Rows), self.input(index, Axis::Rows));
            self.update(layout.weight, delta, factors, left, right);
        }
        if let (Some(settings), Some(adapter)) = (&layer.adapter, layout.adapter) {
            self.adapter_updates(index, layer, settings, adapter);
        }
    }

    /// The update of one matrix, whose gradient is `left^T right`.
    pub(super) fn update(
        &mut self,
        parameter: ParameterId,
        delta: TensorId,
        factors: UpdateFactors,
        left: Operand,
        right: Operand,
    ) {
        let moved = Source::Committed(delta);
        let Some(shape) = self.program.shape(moved) else { return };
        let mut terms =
            vec![Term::source(factors.delta, moved), Term::product(factors.gradient, left, right)];
        if factors.momentum != 0 {
            terms.push(Term::source(-factors.momentum, Source::Before(delta)));
        }
        if factors.decay != 0 {
            terms.push(Term::source(factors.decay, Source::Parameter(parameter)));
        }
        let name =
            self.program.parameters.get(parameter.0).map_or("", |parameter| &parameter.name).to_owned();
        let bits = factors.residual_bits;
        let rule = Rule::Word { shift: 16 - bits };
        self.check(format!("update of {name}"), shape, 1 << (bits - 1), terms, rule);
        self.word(format!("range of d{name}"), delta, WORD_OFFSET);
    }
}
