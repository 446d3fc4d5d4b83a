//! Probabilities of cross-entropy.
//!
//! With one maximum M a sample: `E = exp(Z - M)` from the table of exponentials, where one stands for `2^scale`; `D`, the sum of a
//! sample's exponentials, in every column; and `P = round(2^fP E / D)`. M is not tied to the outputs exactly: that every
//! `M - Z` is an index of the table makes it no smaller than any of them, and `D >= 2^scale` keeps the relative error of P
//! below about `K / 2^(scale + 1)`. `K 2^scale < 2^15` lets D and all remainders fit into words.
//!
//! The remainder `r = 2^(fP+1) E + D - 2 P D` has to be in `[0, 2 D)`: two words, r and `2 D - 1 - r`. P is rounded to nearest
//! because the gradient of a bias is a sum over samples, in which errors of one sign would add up.

use super::layers::{Builder, SoftmaxLayout, WORD_OFFSET};
use crate::program::{
    Axis, Operand, Rule, Shape, Source, TensorId, Term, Value, exponential::ExponentialTable,
};

impl Builder<'_> {
    /// Tensors and checks of the softmax of the last layer's outputs.
    pub(super) fn softmax(&mut self, table: ExponentialTable, probability_bits: u32) {
        let Some(outputs) = self.layout.layers.last().map(|layer| layer.output) else { return };
        let Some(shape) = self.program.shape(Source::Committed(outputs)) else { return };
        let Shape { rows, columns: classes } = shape;
        self.program.exponential = Some(table);
        let layout = SoftmaxLayout {
            maximum: self.tensor("M".to_owned(), rows, 1),
            exponential: self.tensor("E".to_owned(), rows, classes),
            sum: self.tensor("D".to_owned(), rows, classes),
            probability: self.tensor("P".to_owned(), rows, classes),
        };
        self.layout.softmax = Some(layout);
        let term = |coefficient, id: TensorId| Term::source(coefficient, Source::Committed(id));

        self.word("range of M".to_owned(), layout.maximum, WORD_OFFSET);
        let terms = vec![repeat(1, layout.maximum, rows, 1, classes), term(-1, outputs)];
        let rule = Rule::Exponential { result: Source::Committed(layout.exponential) };
        self.check("exponentials".to_owned(), shape, 0, terms, rule);

        let terms = vec![term(1, layout.sum), repeat(-1, layout.exponential, rows, classes, classes)];
        self.check("sum of exponentials".to_owned(), shape, 0, terms, Rule::Zero);
        let name = "sum of exponentials is at least one".to_owned();
        self.word(name, layout.sum, -(1 << table.scale_bits));

        self.word("range of P".to_owned(), layout.probability, 0);
        let (exponential, sum, probability) = (
            Source::Committed(layout.exponential),
            Source::Committed(layout.sum),
            Source::Committed(layout.probability),
        );
        let terms = |sign: i64, sums: i64| {
            vec![
                Term::source(sign << (probability_bits + 1), exponential),
                Term::source(sums, sum),
                Term::entrywise(-2 * sign, probability, sum),
            ]
        };
        let word = Rule::Word { shift: 0 };
        self.check("remainder of the probabilities".to_owned(), shape, 0, terms(1, 1), word);
        let name = "remainder of the probabilities is below the divisor".to_owned();
        self.check(name, shape, -1, terms(-1, 1), word);
    }
}

/// The product of a tensor with a matrix of ones: the sum of each row, in `copies` columns.
fn repeat(coefficient: i64, id: TensorId, rows: usize, columns: usize, copies: usize) -> Term {
    let left = Operand {
        shape: Shape { rows, columns },
        terms: vec![Term::source(1, Source::Committed(id))],
        inner: Axis::Columns,
    };
    let ones = Value::Ones { rows: copies, first: 0, columns };
    let right = Operand {
        shape: Shape { rows: copies, columns },
        terms: vec![Term { coefficient: 1, value: ones }],
        inner: Axis::Columns,
    };
    Term::product(coefficient, left, right)
}
