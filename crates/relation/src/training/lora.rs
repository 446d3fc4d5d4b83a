//! LoRA over a frozen layer: `Z = A W^T + scaling U up^T` with `U = A down^T`, and backwards `H = G W + scaling Q down` with
//! `Q = G up`. The gradients are `scaling Q^T A` for down and `scaling G^T U` for up.
//!
//! U and Q are committed and rounded like Z and H. Where a product is shorter than the inputs with their column of ones, the
//! ones are left out: down has no bias.

use super::layers::{AdapterLayout, Builder, WORD_OFFSET};
use super::settings::{AdapterSettings, Divisor, LayerSettings, down_name, up_name};
use crate::program::{Axis, Operand, ParameterId, Shape, Source, TensorId, Term};

fn matrix(source: Source, shape: Shape, inner: Axis) -> Operand {
    Operand { shape, terms: vec![Term::source(1, source)], inner }
}

impl AdapterSettings {
    fn down_shape(&self, layer: &LayerSettings) -> Shape {
        Shape { rows: self.rank, columns: layer.inputs }
    }

    fn up_shape(&self, layer: &LayerSettings) -> Shape {
        Shape { rows: layer.outputs, columns: self.rank }
    }
}

impl Builder<'_> {
    /// Tensors and parameters of LoRA in a layer.
    pub(super) fn adapter_tensors(
        &mut self,
        index: usize,
        layer: &LayerSettings,
        adapter: &AdapterSettings,
    ) -> AdapterLayout {
        let rows = self.batch();
        let (down_shape, up_shape) = (adapter.down_shape(layer), adapter.up_shape(layer));
        let (down, up) = (down_name(index), up_name(index));
        let down_delta = self.tensor(format!("d{down}"), down_shape.rows, down_shape.columns);
        let up_delta = self.tensor(format!("d{up}"), up_shape.rows, up_shape.columns);
        AdapterLayout {
            down: self.parameter(down, down_shape, Some(down_delta)),
            up: self.parameter(up, up_shape, Some(up_delta)),
            down_delta,
            up_delta,
            reduced: self.tensor(format!("U{index}"), rows, adapter.rank),
            reduced_gradient: self.tensor(format!("Q{index}"), rows, adapter.rank),
        }
    }

    fn reduced(&self, id: TensorId, adapter: &AdapterSettings, inner: Axis) -> Operand {
        matrix(Source::Committed(id), Shape { rows: self.batch(), columns: adapter.rank }, inner)
    }

    fn parameter_matrix(&self, id: ParameterId, shape: Shape, inner: Axis) -> Operand {
        matrix(Source::Parameter(id), shape, inner)
    }

    /// Checks U, and is its part of Z.
    pub(super) fn adapter_forward(
        &mut self,
        index: usize,
        layer: &LayerSettings,
        settings: &AdapterSettings,
        adapter: AdapterLayout,
        factor: i64,
    ) -> Term {
        let down = self.parameter_matrix(adapter.down, settings.down_shape(layer), Axis::Columns);
        let terms = vec![Term::product(1, self.input(index, Axis::Columns), down)];
        self.rounded(
            format!("LoRA forward of layer {index}"),
            adapter.reduced,
            terms,
            Divisor::to_nearest(settings.reduced_shift),
        );
        self.word(format!("range of U{index}"), adapter.reduced, WORD_OFFSET);
        let up = self.parameter_matrix(adapter.up, settings.up_shape(layer), Axis::Columns);
        Term::product(factor, self.reduced(adapter.reduced, settings, Axis::Columns), up)
    }

    /// Its part of H.
    pub(super) fn adapter_backward(
        &self,
        layer: &LayerSettings,
        settings: &AdapterSettings,
        adapter: AdapterLayout,
        factor: i64,
    ) -> Term {
        let down = self.parameter_matrix(adapter.down, settings.down_shape(layer), Axis::Rows);
        Term::product(factor, self.reduced(adapter.reduced_gradient, settings, Axis::Columns), down)
    }

    /// Checks Q, and the updates of both matrices.
    pub(super) fn adapter_updates(
        &mut self,
        index: usize,
        layer: &LayerSettings,
        settings: &AdapterSettings,
        adapter: AdapterLayout,
    ) {
        let up = self.parameter_matrix(adapter.up, settings.up_shape(layer), Axis::Rows);
        let terms = vec![Term::product(1, self.gradient(index, Axis::Columns), up)];
        let divisor = Divisor::to_nearest(settings.reduced_gradient_shift);
        self.rounded(format!("LoRA backward of layer {index}"), adapter.reduced_gradient, terms, divisor);
        self.word(format!("range of Q{index}"), adapter.reduced_gradient, WORD_OFFSET);

        let left = self.reduced(adapter.reduced_gradient, settings, Axis::Rows);
        let right = self.input(index, Axis::Rows);
        self.update(adapter.down, adapter.down_delta, settings.down, left, right);
        let left = self.gradient(index, Axis::Rows);
        let right = self.reduced(adapter.reduced, settings, Axis::Rows);
        self.update(adapter.up, adapter.up_delta, settings.up, left, right);
    }
}
