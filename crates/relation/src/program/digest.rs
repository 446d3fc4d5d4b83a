//! The digest of a program: BLAKE3 over one canonical encoding, so that a proof is about this program and no other.

use lorica_tensor::Digest;

use super::{
    Axis, Check, Operand, ParameterId, Program, Rule, Samples, Shape, Source, TensorId, Term, Value,
};

/// The context that the digest is derived in; a change of the encoding needs a new one.
const CONTEXT: &str = "lorica tensor program 1";

/// Numbers as 64 bits, little-endian; names, lists and variants with a length or a tag before them.
struct Encoder(blake3::Hasher);

impl Program {
    /// The digest of everything in the program.
    pub fn digest(&self) -> Digest {
        let Self { steps, steps_before, tensors, parameters, samples, exponential, checks } = self;
        let Samples { per_step, width } = *samples;
        let mut encoder = Encoder(blake3::Hasher::new_derive_key(CONTEXT));
        encoder.count(*steps);
        encoder.number(*steps_before);
        encoder.count(per_step);
        encoder.count(width);
        match exponential {
            None => encoder.number(0),
            Some(table) => {
                encoder.number(1);
                encoder.number(table.fraction_bits.into());
                encoder.number(table.scale_bits.into());
            }
        }
        encoder.list(tensors, |encoder, tensor| {
            encoder.name(&tensor.name);
            encoder.shape(tensor.shape);
        });
        encoder.list(parameters, |encoder, parameter| {
            encoder.name(&parameter.name);
            encoder.shape(parameter.shape);
            match parameter.moved_by {
                None => encoder.number(0),
                Some(TensorId(id)) => {
                    encoder.number(1);
                    encoder.count(id);
                }
            }
        });
        encoder.list(checks, Encoder::check);
        Digest(*encoder.0.finalize().as_bytes())
    }
}

impl Encoder {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn count(&mut self, count: usize) {
        // usize is at most 64 bits on every platform Rust supports.
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn name(&mut self, name: &str) {
        self.count(name.len());
        self.0.update(name.as_bytes());
    }

    fn shape(&mut self, Shape { rows, columns }: Shape) {
        self.count(rows);
        self.count(columns);
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.count(items.len());
        items.iter().for_each(|item| each(self, item));
    }

    fn source(&mut self, source: Source) {
        match source {
            Source::Committed(TensorId(id)) => {
                self.number(0);
                self.count(id);
            }
            Source::Before(TensorId(id)) => {
                self.number(1);
                self.count(id);
            }
            Source::Parameter(ParameterId(id)) => {
                self.number(2);
                self.count(id);
            }
            Source::Samples { first, columns } => {
                self.number(3);
                self.count(first);
                self.count(columns);
            }
        }
    }

    fn check(&mut self, check: &Check) {
        self.name(&check.name);
        self.shape(check.shape);
        self.0.update(&check.offset.to_le_bytes());
        match check.rule {
            Rule::Word { shift } => {
                self.number(0);
                self.number(shift.into());
            }
            Rule::Zero => self.number(1),
            Rule::Exponential { result } => {
                self.number(2);
                self.source(result);
            }
        }
        self.list(&check.terms, Self::term);
    }

    fn term(&mut self, term: &Term) {
        self.0.update(&term.coefficient.to_le_bytes());
        match &term.value {
            Value::Source(source) => {
                self.number(0);
                self.source(*source);
            }
            Value::Entrywise(left, right) => {
                self.number(1);
                self.source(*left);
                self.source(*right);
            }
            Value::Ones { rows, first, columns } => {
                self.number(2);
                self.count(*rows);
                self.count(*first);
                self.count(*columns);
            }
            Value::Product(product) => {
                self.number(3);
                self.operand(&product.left);
                self.operand(&product.right);
            }
        }
    }

    fn operand(&mut self, operand: &Operand) {
        self.shape(operand.shape);
        self.number(match operand.inner {
            Axis::Rows => 0,
            Axis::Columns => 1,
        });
        self.list(&operand.terms, Self::term);
    }
}
