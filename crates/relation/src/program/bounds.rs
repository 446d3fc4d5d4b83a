//! Why every number of a program is a small integer.
//!
//! A proof shows equations modulo the group order l. They are equations of integers only if everything in them is known to be a
//! small integer, and a rounding residual in range shows nothing by itself: for any k, `Z + k / 2^16 mod l` meets the
//! identity of `Z` with a residual that is larger by k. So **every committed tensor needs a bound of its own**, from a check
//! that holds for no fraction:
//!
//! - a word check of the tensor alone and without a shift: `x + offset` in `[0, 2^16)`;
//! - `x x - x = 0`: x is 0 or 1;
//! - `2 s z - z - s` in `[0, 2^16)` with s known to be 0 or 1: `|z| <= 2^16`, and s is the sign of z, 0 for z = 0;
//! - a result of the table of exponentials;
//! - a zero check in which everything else is bounded and the tensor has the coefficient 1 or -1.
//!
//! Parameters and samples were registered with a range argument. [`Program::validate`] finds these bounds, then a bound of every
//! check, and refuses the program unless all are below `2^62`.

use super::{Check, Operand, Program, Rule, Samples, Shape, Source, TensorId, Term, Value};

/// No entry of a check and no sum on the way to it exceeds this magnitude: i64 holds it, and l is far beyond.
pub const MAGNITUDE_LIMIT: u128 = 1 << 62;
/// The largest length of an axis.
pub const MAX_AXIS: usize = 1 << 16;
/// The largest number of steps in one program.
pub const MAX_STEPS: usize = 1 << 16;
/// The largest number of entries of all checks in all steps.
pub const MAX_ENTRIES: usize = 1 << 33;
/// The largest number of checks, tensors or parameters, and of terms of a sum.
pub const MAX_PARTS: usize = 4096;
/// The magnitude of a registered parameter: two limbs of 16 bits in range make at most `2^15 2^16 + 2^15`.
pub const PARAMETER_BOUND: u128 = (1 << 31) + (1 << 15);
/// The magnitude of a registered sample's entry: 16 bits.
pub const SAMPLE_BOUND: u128 = 1 << 15;

/// Why a program is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// A count or a length is zero or above its limit.
    #[error("{what}: {found} is not between 1 and {limit}")]
    Size {
        /// What is counted.
        what: String,
        /// The count.
        found: usize,
        /// The largest one.
        limit: usize,
    },
    /// A term names a source that there is not.
    #[error("check `{check}` names {found:?}, which the program does not have")]
    Source {
        /// The check.
        check: String,
        /// The source.
        found: Source,
    },
    /// Shapes do not fit.
    #[error("check `{check}`: {what} is {found}, expected {expected}")]
    Shape {
        /// The check.
        check: String,
        /// What does not fit.
        what: &'static str,
        /// The shape it should have.
        expected: Shape,
        /// The shape it has.
        found: Shape,
    },
    /// A factor of a product holds a product itself, or a shift is too large.
    #[error("check `{check}`: {what}")]
    Form {
        /// The check.
        check: String,
        /// What is not supported.
        what: &'static str,
    },
    /// A committed tensor has no check that bounds it.
    #[error(
        "nothing bounds the committed tensor `{tensor}`: its entries could be fractions modulo the group order"
    )]
    Unbounded {
        /// The tensor.
        tensor: String,
    },
    /// A check can be too large.
    #[error(
        "an entry of check `{check}` can reach 2^{bits}, the limit is 2^62: use fewer fraction bits or smaller factors"
    )]
    Magnitude {
        /// The check.
        check: String,
        /// The logarithm of its bound.
        bits: u32,
    },
}

/// The bounds of all committed tensors.
struct Bounds<'a> {
    program: &'a Program,
    tensors: Vec<Option<u128>>,
    /// Tensors that a check shows to be 0 or 1: a bound of 1 alone would leave -1.
    booleans: Vec<TensorId>,
}

impl Program {
    /// Refuses a program with sizes beyond the limits, shapes that do not fit, or numbers that are not known to be small.
    pub fn validate(&self) -> Result<(), ProgramError> {
        self.validate_sizes()?;
        for check in &self.checks {
            self.validate_check(check)?;
        }
        let bounds = self.tensor_bounds();
        for (tensor, bound) in self.tensors.iter().zip(&bounds.tensors) {
            if bound.is_none() {
                return Err(ProgramError::Unbounded { tensor: tensor.name.clone() });
            }
        }
        for check in &self.checks {
            let bound = bounds.of_terms(&check.terms).unwrap_or(u128::MAX);
            let bound = bound.saturating_add(u128::from(check.offset.unsigned_abs()));
            if bound >= MAGNITUDE_LIMIT {
                let bits = u128::BITS.saturating_sub(bound.leading_zeros());
                return Err(ProgramError::Magnitude { check: check.name.clone(), bits });
            }
        }
        Ok(())
    }

    fn validate_sizes(&self) -> Result<(), ProgramError> {
        let size = |what: &str, found: usize, limit: usize| {
            if (1..=limit).contains(&found) {
                return Ok(());
            }
            Err(ProgramError::Size { what: what.to_owned(), found, limit })
        };
        let shape = |name: &str, shape: Shape| {
            size(&format!("rows of `{name}`"), shape.rows, MAX_AXIS)?;
            size(&format!("columns of `{name}`"), shape.columns, MAX_AXIS)
        };
        let Samples { per_step, width } = self.samples;
        size("steps", self.steps, MAX_STEPS)?;
        size(
            "steps since registration",
            usize::try_from(self.steps_before).unwrap_or(usize::MAX).saturating_add(1),
            1 << 40,
        )?;
        size("samples in a step", per_step, MAX_AXIS)?;
        size("entries of a sample", width, MAX_AXIS)?;
        size("checks", self.checks.len(), MAX_PARTS)?;
        size("committed tensors", self.tensors.len(), MAX_PARTS)?;
        size("parameters", self.parameters.len(), MAX_PARTS)?;
        for tensor in &self.tensors {
            shape(&tensor.name, tensor.shape)?;
        }
        for parameter in &self.parameters {
            shape(&parameter.name, parameter.shape)?;
            let Some(by) = parameter.moved_by else { continue };
            let check = || format!("parameter {}", parameter.name);
            let found = self.shape(Source::Committed(by));
            match found {
                Some(found) if found == parameter.shape => {}
                Some(found) => {
                    let what = "the tensor that moves the parameter";
                    return Err(ProgramError::Shape {
                        check: check(),
                        what,
                        expected: parameter.shape,
                        found,
                    });
                }
                None => return Err(ProgramError::Source { check: check(), found: Source::Committed(by) }),
            }
        }
        let mut entries = 0usize;
        for check in &self.checks {
            shape(&check.name, check.shape)?;
            size(&format!("terms of `{}`", check.name), check.terms.len(), MAX_PARTS)?;
            entries = entries.saturating_add(check.shape.entries());
        }
        size("entries of all checks", entries.saturating_mul(self.steps), MAX_ENTRIES)
    }

    fn validate_check(&self, check: &Check) -> Result<(), ProgramError> {
        let form = |what| Err(ProgramError::Form { check: check.name.clone(), what });
        match check.rule {
            Rule::Word { shift } if shift > 16 => return form("a residual has between 0 and 16 bits"),
            Rule::Word { .. } | Rule::Zero => {}
            Rule::Exponential { result } => {
                let Some(table) = self.exponential else {
                    return form("the program has no table of exponentials");
                };
                if table.fraction_bits > 16 || table.scale_bits > 15 {
                    return form(
                        "the table of exponentials has at most 16 fraction bits and a scale of 2^15",
                    );
                }
                let found = self.require(check, result)?;
                if found != check.shape {
                    let what = "the result of the exponential";
                    return Err(ProgramError::Shape {
                        check: check.name.clone(),
                        what,
                        expected: check.shape,
                        found,
                    });
                }
            }
        }
        check.terms.iter().try_for_each(|term| self.validate_value(check, &term.value, false))
    }

    fn require(&self, check: &Check, source: Source) -> Result<Shape, ProgramError> {
        self.shape(source).ok_or_else(|| ProgramError::Source { check: check.name.clone(), found: source })
    }

    fn validate_value(&self, check: &Check, value: &Value, inside: bool) -> Result<(), ProgramError> {
        match value {
            Value::Source(source) => self.require(check, *source).map(drop),
            Value::Entrywise(left, right) => {
                let (expected, found) = (self.require(check, *left)?, self.require(check, *right)?);
                if expected == found {
                    return Ok(());
                }
                let what = "the right factor of an entrywise product";
                Err(ProgramError::Shape { check: check.name.clone(), what, expected, found })
            }
            Value::Ones { rows, first, columns } => {
                let end = first.saturating_add(*columns);
                if *rows >= 1 && *rows <= MAX_AXIS && *columns >= 1 && end <= MAX_AXIS {
                    return Ok(());
                }
                Err(ProgramError::Size {
                    what: format!("ones in `{}`", check.name),
                    found: end,
                    limit: MAX_AXIS,
                })
            }
            Value::Product(_) if inside => Err(ProgramError::Form {
                check: check.name.clone(),
                what: "a factor of a product is a product",
            }),
            Value::Product(product) => [&product.left, &product.right].into_iter().try_for_each(|operand| {
                let lengths = [operand.shape.rows, operand.shape.columns, operand.terms.len()];
                for (found, limit) in lengths.into_iter().zip([MAX_AXIS, MAX_AXIS, MAX_PARTS]) {
                    if found == 0 || found > limit {
                        let what = format!("rows, columns or terms of a factor in `{}`", check.name);
                        return Err(ProgramError::Size { what, found, limit });
                    }
                }
                operand.terms.iter().try_for_each(|term| {
                    self.validate_value(check, &term.value, true)?;
                    self.validate_inside(check, operand, &term.value)
                })
            }),
        }
    }

    /// A term of a factor lies inside of it: what a product sums over is then the same for all terms.
    fn validate_inside(&self, check: &Check, operand: &Operand, value: &Value) -> Result<(), ProgramError> {
        let found = match value {
            Value::Source(source) | Value::Entrywise(source, _) => self.require(check, *source)?,
            Value::Ones { rows, first, columns } => {
                Shape { rows: *rows, columns: first.saturating_add(*columns) }
            }
            Value::Product(_) => return Ok(()),
        };
        let expected = operand.shape;
        if found.rows <= expected.rows && found.columns <= expected.columns {
            return Ok(());
        }
        Err(ProgramError::Shape { check: check.name.clone(), what: "a term of a factor", expected, found })
    }

    /// Bounds of committed tensors, each from a check that involves tensors with bounds alone, until none is found any more.
    fn tensor_bounds(&self) -> Bounds<'_> {
        let booleans = self.checks.iter().filter_map(|check| {
            let boolean = boolean(check)?;
            self.is_whole(check, boolean).then_some(boolean)
        });
        let booleans = booleans.collect();
        let mut bounds = Bounds { program: self, tensors: vec![None; self.tensors.len()], booleans };
        loop {
            let found = self.checks.iter().find_map(|check| {
                let (tensor, bound) = bounds.by_check(check)?;
                let TensorId(id) = tensor;
                let new = bounds.tensors.get(id) == Some(&None);
                (new && self.is_whole(check, tensor)).then_some((id, bound))
            });
            let Some((id, bound)) = found else { return bounds };
            if let Some(tensor) = bounds.tensors.get_mut(id) {
                *tensor = Some(bound);
            }
        }
    }

    /// Whether a check is about all of a tensor.
    fn is_whole(&self, check: &Check, TensorId(id): TensorId) -> bool {
        self.tensors.get(id).is_some_and(|tensor| {
            tensor.shape.rows <= check.shape.rows && tensor.shape.columns <= check.shape.columns
        })
    }
}

/// The tensor that a check shows to be 0 or 1.
fn boolean(check: &Check) -> Option<TensorId> {
    let [square, alone] = check.terms.as_slice() else { return None };
    match (check.rule, check.offset, square, alone) {
        (
            Rule::Zero,
            0,
            Term {
                coefficient: 1,
                value: Value::Entrywise(Source::Committed(left), Source::Committed(right)),
            },
            Term { coefficient: -1, value: Value::Source(Source::Committed(alone)) },
        ) if left == right && left == alone => Some(*alone),
        _ => None,
    }
}

impl Bounds<'_> {
    /// The tensor that a check bounds, with its bound.
    fn by_check(&self, check: &Check) -> Option<(TensorId, u128)> {
        if let Some(boolean) = boolean(check) {
            return Some((boolean, 1));
        }
        let terms: Vec<(i64, &Value)> =
            check.terms.iter().map(|term| (term.coefficient, &term.value)).collect();
        let offset = u128::from(check.offset.unsigned_abs());
        match (check.rule, terms.as_slice()) {
            (Rule::Exponential { result: Source::Committed(id) }, _) => Some((id, 1 << 16)),
            // With a shift, fractions would pass: 2^shift x is an integer then, not x.
            (Rule::Word { shift: 0 }, [(1 | -1, Value::Source(Source::Committed(id)))]) => {
                Some((*id, offset + (1 << 16)))
            }
            (
                Rule::Word { shift: 0 },
                [
                    (2, Value::Entrywise(Source::Committed(sign), Source::Committed(number))),
                    (-1, Value::Source(Source::Committed(same_number))),
                    (-1, Value::Source(Source::Committed(same_sign))),
                ],
            ) if check.offset == 0 && number == same_number && sign == same_sign => {
                self.booleans.contains(sign).then_some((*number, 1 << 16))
            }
            (Rule::Zero, _) => {
                let is_free = |term: &&Term| match (&term.value, term.coefficient) {
                    (Value::Source(Source::Committed(TensorId(id))), 1 | -1) => {
                        self.tensors.get(*id) == Some(&None)
                    }
                    _ => false,
                };
                let free = check.terms.iter().find(is_free)?;
                let mut others = check.terms.iter().filter(|term| !std::ptr::eq(*term, free));
                let Value::Source(Source::Committed(id)) = &free.value else { return None };
                let sum =
                    others.try_fold(offset, |sum, term| Some(sum.saturating_add(self.of_term(term)?)))?;
                Some((*id, sum))
            }
            _ => None,
        }
    }

    fn of_source(&self, source: Source) -> Option<u128> {
        match source {
            Source::Committed(TensorId(id)) => self.tensors.get(id).copied().flatten(),
            // What is carried into the first step may be registered like a parameter.
            Source::Before(TensorId(id)) => {
                self.tensors.get(id).copied().flatten().map(|bound| bound.max(PARAMETER_BOUND))
            }
            Source::Samples { .. } => Some(SAMPLE_BOUND),
            Source::Parameter(id) => {
                let parameter = self.program.parameters.get(id.0)?;
                let Some(by) = parameter.moved_by else { return Some(PARAMETER_BOUND) };
                let steps = u128::try_from(self.program.steps)
                    .ok()?
                    .saturating_add(u128::from(self.program.steps_before));
                Some(
                    steps
                        .saturating_mul(self.of_source(Source::Committed(by))?)
                        .saturating_add(PARAMETER_BOUND),
                )
            }
        }
    }

    /// `None` if something in it has no bound.
    fn of_term(&self, term: &Term) -> Option<u128> {
        let value = match &term.value {
            Value::Source(source) => self.of_source(*source)?,
            Value::Entrywise(left, right) => self.of_source(*left)?.saturating_mul(self.of_source(*right)?),
            Value::Ones { .. } => 1,
            Value::Product(product) => u128::try_from(product.inner())
                .ok()?
                .saturating_mul(self.of_terms(&product.left.terms)?)
                .saturating_mul(self.of_terms(&product.right.terms)?),
        };
        Some(value.saturating_mul(u128::from(term.coefficient.unsigned_abs())))
    }

    fn of_terms(&self, terms: &[Term]) -> Option<u128> {
        terms.iter().try_fold(0u128, |sum, term| Some(sum.saturating_add(self.of_term(term)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, CommittedTensor, ExponentialTable, Parameter, ParameterId};
    use super::*;

    const SHAPE: Shape = Shape { rows: 2, columns: 3 };

    fn tensor(name: &str) -> CommittedTensor {
        CommittedTensor { name: name.to_owned(), shape: SHAPE }
    }

    fn source(id: usize) -> Source {
        Source::Committed(TensorId(id))
    }

    fn check(rule: Rule, offset: i64, terms: Vec<Term>) -> Check {
        Check { name: "check".to_owned(), shape: SHAPE, offset, terms, rule }
    }

    fn word(id: usize, shift: u32) -> Check {
        check(Rule::Word { shift }, 1 << 15, vec![Term::source(1, source(id))])
    }

    fn program(tensors: &[&str], checks: Vec<Check>) -> Program {
        Program {
            steps: 4,
            steps_before: 0,
            tensors: tensors.iter().map(|name| tensor(name)).collect(),
            parameters: vec![Parameter { name: "w".to_owned(), shape: SHAPE, moved_by: Some(TensorId(0)) }],
            samples: Samples { per_step: 2, width: 3 },
            exponential: None,
            checks,
        }
    }

    fn sign_check() -> Check {
        let terms = vec![
            Term::entrywise(2, source(1), source(2)),
            Term::source(-1, source(2)),
            Term::source(-1, source(1)),
        ];
        check(Rule::Word { shift: 0 }, 0, terms)
    }

    fn boolean() -> Check {
        check(Rule::Zero, 0, vec![Term::entrywise(1, source(1), source(1)), Term::source(-1, source(1))])
    }

    #[test]
    fn every_way_to_bound_a_tensor() {
        assert_eq!(program(&["x"], vec![word(0, 0)]).validate(), Ok(()));
        assert_eq!(program(&["x", "s", "z"], vec![sign_check(), boolean(), word(0, 0)]).validate(), Ok(()));
        let sum = check(Rule::Zero, 0, vec![Term::source(-1, source(1)), Term::source(3, source(0))]);
        assert_eq!(program(&["x", "sum"], vec![word(0, 0), sum]).validate(), Ok(()));
        let mut looked_up = program(
            &["x", "e"],
            vec![
                word(0, 0),
                check(Rule::Exponential { result: source(1) }, 0, vec![Term::source(1, source(0))]),
            ],
        );
        assert!(matches!(looked_up.validate(), Err(ProgramError::Form { .. })));
        looked_up.exponential = Some(ExponentialTable { fraction_bits: 10, scale_bits: 12 });
        assert_eq!(looked_up.validate(), Ok(()));
    }

    #[test]
    fn a_tensor_that_could_hold_fractions_is_refused() {
        let unbounded = |tensors: &[&str], checks| {
            let result = program(tensors, checks).validate();
            assert!(matches!(&result, Err(ProgramError::Unbounded { .. })), "{result:?}");
        };
        // A residual alone, a shifted word, a sign that is not known to be one, a fraction of a bounded tensor.
        unbounded(&["x"], vec![check(Rule::Word { shift: 0 }, 0, vec![Term::source(1 << 16, source(0))])]);
        unbounded(&["x"], vec![word(0, 1)]);
        unbounded(&["x", "s", "z"], vec![word(0, 0), sign_check()]);
        // A sign that is -1, so that 2 s z - z - s is 1 - 3 z: as small as a sign, but none.
        let minus_one = check(Rule::Zero, 1, vec![Term::source(1, source(1))]);
        unbounded(&["x", "s", "z"], vec![word(0, 0), minus_one, sign_check()]);
        let mut part = boolean();
        part.shape.columns = 2;
        unbounded(&["x", "s", "z"], vec![word(0, 0), part, word(1, 0), sign_check()]);
        unbounded(
            &["x", "y"],
            vec![
                word(0, 0),
                check(Rule::Zero, 0, vec![Term::source(2, source(1)), Term::source(1, source(0))]),
            ],
        );
        // A check of a part of the tensor.
        let mut narrow = word(0, 0);
        narrow.shape.columns = 2;
        unbounded(&["x"], vec![narrow]);
    }

    #[test]
    fn large_numbers_wrong_shapes_and_missing_sources_are_refused() {
        let large = check(
            Rule::Zero,
            0,
            vec![Term::entrywise(1 << 30, source(0), Source::Parameter(ParameterId(0)))],
        );
        assert!(matches!(
            program(&["x"], vec![word(0, 0), large]).validate(),
            Err(ProgramError::Magnitude { bits: 78, .. })
        ));
        let missing = check(Rule::Zero, 0, vec![Term::source(1, source(7))]);
        assert!(matches!(program(&["x"], vec![missing]).validate(), Err(ProgramError::Source { .. })));
        let samples = Source::Samples { first: 1, columns: 3 };
        let missing = check(Rule::Zero, 0, vec![Term::source(1, samples)]);
        assert!(matches!(program(&["x"], vec![missing]).validate(), Err(ProgramError::Source { .. })));
        let operand = |columns| Operand {
            shape: Shape { rows: 2, columns },
            terms: vec![Term::source(1, source(0))],
            inner: Axis::Columns,
        };
        let narrow = check(Rule::Zero, 0, vec![Term::product(1, operand(2), operand(3))]);
        assert!(matches!(
            program(&["x"], vec![word(0, 0), narrow]).validate(),
            Err(ProgramError::Shape { .. })
        ));
        let nested = Operand { terms: vec![Term::product(1, operand(3), operand(3))], ..operand(3) };
        let nested = check(Rule::Zero, 0, vec![Term::product(1, nested, operand(3))]);
        assert!(matches!(
            program(&["x"], vec![word(0, 0), nested]).validate(),
            Err(ProgramError::Form { .. })
        ));
        // A factor without terms or without entries, and samples of no columns.
        let empty = Operand { terms: Vec::new(), ..operand(3) };
        let nothing = Operand { shape: Shape { rows: 0, columns: 3 }, ..empty.clone() };
        let wide = Operand { shape: Shape { rows: 2, columns: MAX_AXIS + 1 }, ..operand(3) };
        for factor in [empty, nothing, wide] {
            let product = check(Rule::Zero, 0, vec![Term::product(1, operand(3), factor)]);
            assert!(matches!(
                program(&["x"], vec![word(0, 0), product]).validate(),
                Err(ProgramError::Size { .. })
            ));
        }
        let samples = check(Rule::Zero, 0, vec![Term::source(1, Source::Samples { first: 0, columns: 0 })]);
        assert!(matches!(
            program(&["x"], vec![word(0, 0), samples]).validate(),
            Err(ProgramError::Source { .. })
        ));
        let mut none = program(&["x"], vec![word(0, 0)]);
        none.steps = 0;
        assert!(matches!(none.validate(), Err(ProgramError::Size { .. })));
    }
}
