//! The tamper manifest of training proofs: every message, and every part of the statement that a verifier is given.
//!
//! [`statement_cases`] are changes of a statement about a [`crate::training::SmallProgram`] with at least two steps and two outputs
//! and with rows that hold some of its matrices' rows, but not all.

use lorica_argument::opening::OpeningResponse;
use lorica_argument::product::{ProductMasks, ProductProof, ProductResponse};
use lorica_relation::program::exponential::ExponentialTable;
use lorica_relation::program::{
    Axis, Check, CommittedTensor, Operand, Parameter, ParameterId, Product, Program, Rule, Samples, Shape,
    Source, TensorId, Term, Value,
};
use lorica_verify::training::TrainingProof;
use lorica_verify::training::context::{Start, Statement};
use lorica_verify::training::layout::Selection;

use super::{Case, change, folds, increment, opening_fields, shift, vector};

/// The fields of a training proof.
pub fn proof_fields(proof: &TrainingProof) -> Vec<&'static str> {
    let TrainingProof {
        tensors: _,
        multiplicities: _,
        scratch: _,
        product:
            ProductProof {
                masks: ProductMasks { t_a: _, t_b: _, t_0: _, t_1: _ },
                response: ProductResponse { f_a: _, f_b: _, tau_a: _, tau_b: _, tau_c: _ },
            },
        opening,
    } = proof;
    let mut fields = vec![
        "tensors",
        "multiplicities",
        "scratch",
        "product.t_a",
        "product.t_b",
        "product.t_0",
        "product.t_1",
        "product.f_a",
        "product.f_b",
        "product.tau_a",
        "product.tau_b",
        "product.tau_c",
    ];
    fields.extend(opening_fields(opening));
    fields
}

/// A change of each field of a training proof, for both openings. Each commitment is changed alone by [`commitment_cases`].
pub fn proof_cases(proof: &TrainingProof) -> Vec<Case<TrainingProof>> {
    let mut cases: Vec<Case<TrainingProof>> = vec![
        ("tensors", |p| shift(&mut p.tensors[0])),
        ("tensors", |p| p.tensors.swap(0, 1)),
        ("tensors", |p| p.tensors.reverse()),
        ("tensors", |p| std::mem::swap(&mut p.tensors[0], &mut p.multiplicities[0])),
        ("multiplicities", |p| shift(&mut p.multiplicities[0])),
        ("multiplicities", |p| p.multiplicities.swap(0, 1)),
        ("multiplicities", |p| p.multiplicities.reverse()),
        ("scratch", |p| p.scratch.reverse()),
        ("scratch", |p| p.scratch.swap(0, 1)),
        ("product.t_a", |p| shift(&mut p.product.masks.t_a)),
        ("product.t_b", |p| shift(&mut p.product.masks.t_b)),
        ("product.t_0", |p| shift(&mut p.product.masks.t_0)),
        ("product.t_1", |p| shift(&mut p.product.masks.t_1)),
        ("product.f_a", |p| increment(&mut p.product.response.f_a)),
        ("product.f_b", |p| increment(&mut p.product.response.f_b)),
        ("product.tau_a", |p| increment(&mut p.product.response.tau_a)),
        ("product.tau_b", |p| increment(&mut p.product.response.tau_b)),
        ("product.tau_c", |p| increment(&mut p.product.response.tau_c)),
        ("opening.mask_commitment", |p| shift(&mut p.opening.mask_commitment)),
        ("opening.mask_value", |p| increment(&mut p.opening.mask_value)),
        ("opening.blind", |p| increment(&mut p.opening.blind)),
    ];
    let response: Vec<Case<TrainingProof>> = match proof.opening.response {
        OpeningResponse::Fast { .. } => vec![
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(&mut v[0]))),
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(v.last_mut().expect("an entry")))),
            ("opening.vector", |p| vector(&mut p.opening, |v| v.reverse())),
        ],
        OpeningResponse::Compact { .. } => vec![
            ("opening.folds.left", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].left))),
            ("opening.folds.right", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].right))),
            ("opening.folds.right", |p| folds(&mut p.opening, |f, _| f.reverse())),
            ("opening.last", |p| folds(&mut p.opening, |_, last| increment(last))),
        ],
    };
    cases.extend(response);
    cases
}

/// The proof with each of its commitments changed alone.
pub fn commitment_cases(proof: &TrainingProof) -> impl Iterator<Item = (String, TrainingProof)> {
    let TrainingProof { tensors, multiplicities, scratch, product: _, opening: _ } = proof;
    let counts = [tensors.len(), multiplicities.len(), scratch.len()];
    let places =
        counts.into_iter().enumerate().flat_map(|(kind, count)| (0..count).map(move |at| (kind, at)));
    places.map(|(kind, at)| {
        let mut changed = proof.clone();
        let (name, commitments) = match kind {
            0 => ("tensors", &mut changed.tensors),
            1 => ("multiplicities", &mut changed.multiplicities),
            _ => ("scratch", &mut changed.scratch),
        };
        shift(&mut commitments[at]);
        (format!("{name} {at}"), changed)
    })
}

/// The fields of a statement about a training proof, those of its program included.
pub fn statement_fields(statement: &Statement) -> Vec<&'static str> {
    let Statement {
        program,
        digest: _,
        row_length: _,
        selection: Selection { rows: _, places: _ },
        start: Start { parameters: _, carried: _, samples: _ },
    } = statement;
    let mut fields = vec![
        "digest",
        "row_length",
        "selection.rows",
        "selection.places",
        "start.parameters",
        "start.carried",
    ];
    fields.push("start.samples");
    fields.extend(program_fields(program));
    fields
}

fn program_fields(program: &Program) -> Vec<&'static str> {
    let Program {
        steps: _,
        steps_before: _,
        tensors,
        parameters,
        samples: Samples { per_step: _, width: _ },
        exponential,
        checks,
    } = program;
    for CommittedTensor { name: _, shape: Shape { rows: _, columns: _ } } in tensors {}
    for Parameter { name: _, shape: Shape { rows: _, columns: _ }, moved_by: _ } in parameters {}
    if let Some(ExponentialTable { fraction_bits: _, scale_bits: _ }) = exponential {}
    let mut fields = vec![
        "steps",
        "steps_before",
        "tensors",
        "tensors.name",
        "tensors.shape.rows",
        "tensors.shape.columns",
        "parameters",
        "parameters.name",
        "parameters.shape.rows",
        "parameters.shape.columns",
        "parameters.moved_by",
        "samples.per_step",
        "samples.width",
        "exponential",
        "exponential.fraction_bits",
        "exponential.scale_bits",
        "checks",
    ];
    for Check { name: _, shape: Shape { rows: _, columns: _ }, offset: _, terms, rule } in checks {
        fields.extend(["checks.name", "checks.shape.rows", "checks.shape.columns", "checks.offset"]);
        fields.extend(match rule {
            Rule::Word { shift: _ } => vec!["checks.rule", "rule.word.shift"],
            Rule::Zero => vec!["checks.rule"],
            Rule::Exponential { result: _ } => vec!["checks.rule", "rule.exponential.result"],
        });
        fields.push("checks.terms");
        term_fields(terms, &mut fields);
    }
    fields
}

fn term_fields(terms: &[Term], fields: &mut Vec<&'static str>) {
    for Term { coefficient: _, value } in terms {
        fields.push("term.coefficient");
        match value {
            Value::Source(source) => fields.extend(source_fields(source)),
            Value::Entrywise(left, right) => {
                fields.extend(["entrywise.left", "entrywise.right"]);
                fields.extend(source_fields(left));
                fields.extend(source_fields(right));
            }
            Value::Ones { rows: _, first: _, columns: _ } => {
                fields.extend(["ones.rows", "ones.first", "ones.columns"]);
            }
            Value::Product(Product { left, right }) => {
                fields.extend(["product.left", "product.right"]);
                for Operand { shape: Shape { rows: _, columns: _ }, terms, inner: _ } in [left, right] {
                    fields.extend([
                        "operand.shape.rows",
                        "operand.shape.columns",
                        "operand.terms",
                        "operand.inner",
                    ]);
                    term_fields(terms, fields);
                }
            }
        }
    }
}

fn source_fields(source: &Source) -> Vec<&'static str> {
    match source {
        Source::Committed(TensorId(_)) => vec!["source.committed"],
        Source::Before(TensorId(_)) => vec!["source.before"],
        Source::Parameter(ParameterId(_)) => vec!["source.parameter"],
        Source::Samples { first: _, columns: _ } => vec!["source.samples.first", "source.samples.columns"],
    }
}

fn term(statement: &mut Statement, check: usize, term: usize) -> &mut Term {
    &mut statement.program.checks[check].terms[term]
}

fn product(statement: &mut Statement, check: usize, at: usize) -> &mut Product {
    match &mut term(statement, check, at).value {
        Value::Product(product) => product,
        _ => panic!("term {at} of check {check} is no product"),
    }
}

/// The ones of the bias column.
fn ones(statement: &mut Statement) -> [&mut usize; 3] {
    match &mut product(statement, 3, 0).left.terms[1].value {
        Value::Ones { rows, first, columns } => [rows, first, columns],
        _ => panic!("the bias column is made of ones"),
    }
}

/// The first column and the number of columns of the targets.
fn targets(statement: &mut Statement) -> [&mut usize; 2] {
    match &mut product(statement, 6, 1).left.terms[1].value {
        Value::Source(Source::Samples { first, columns }) => [first, columns],
        _ => panic!("targets are samples"),
    }
}

fn samples_of_two_places(statement: &mut Statement) -> [usize; 2] {
    let places = &statement.selection.places;
    let other = places.iter().position(|place| *place != places[0]).expect("two samples are used");
    [0, other]
}

/// A change of each field of a statement about a small program.
pub fn statement_cases() -> Vec<Case<Statement>> {
    let mut cases: Vec<Case<Statement>> = vec![
        ("digest", |s| change(&mut s.digest)),
        ("row_length", |s| s.row_length += 1),
        ("row_length", |s| s.row_length *= 2),
        ("selection.rows", |s| *s.selection.rows.last_mut().expect("a row") += 1),
        ("selection.rows", |s| s.selection.rows.swap(0, 1)),
        ("selection.rows", |s| s.selection.rows.truncate(1)),
        ("selection.rows", |s| {
            // A row that no step uses, with a commitment.
            s.selection.rows.push(1_000);
            s.start.samples.push(s.start.samples[0]);
        }),
        ("selection.rows", |s| {
            // The same rows in another order.
            s.selection.rows.swap(0, 1);
            s.start.samples.swap(0, 1);
            s.selection.places.iter_mut().filter(|place| **place < 2).for_each(|place| *place = 1 - *place);
        }),
        ("selection.places", |s| {
            let [first, second] = samples_of_two_places(s);
            s.selection.places.swap(first, second);
        }),
        ("selection.places", |s| {
            let [first, second] = samples_of_two_places(s);
            s.selection.places[second] = s.selection.places[first];
        }),
        ("selection.places", |s| s.selection.places[0] = 1 << 40),
        ("selection.places", |s| s.selection.places.truncate(1)),
        ("start.parameters", |s| shift(&mut s.start.parameters[0][0])),
        ("start.parameters", |s| s.start.parameters[0].swap(0, 1)),
        ("start.parameters", |s| s.start.parameters[0].truncate(1)),
        ("start.parameters", |s| {
            let Start { parameters, carried, .. } = &mut s.start;
            std::mem::swap(&mut parameters[0], &mut carried[0]);
        }),
        ("start.carried", |s| shift(s.start.carried[0].last_mut().expect("a piece"))),
        ("start.carried", |s| s.start.carried[0].swap(0, 1)),
        ("start.carried", |s| s.start.carried.clear()),
        ("start.samples", |s| shift(&mut s.start.samples[0])),
        ("start.samples", |s| s.start.samples.swap(0, 1)),
        ("start.samples", |s| s.start.samples.truncate(1)),
    ];
    cases.extend(program_cases());
    cases.extend(check_cases());
    cases.extend(term_cases());
    cases
}

fn program_cases() -> Vec<Case<Statement>> {
    vec![
        ("steps", |s| s.program.steps += 1),
        ("steps", |s| s.program.steps -= 1),
        ("steps", |s| s.program.steps = usize::MAX),
        ("steps_before", |s| s.program.steps_before += 1),
        ("tensors", |s| s.program.tensors.swap(1, 2)),
        ("tensors", |s| drop(s.program.tensors.pop())),
        ("tensors", |s| s.program.tensors.push(s.program.tensors[0].clone())),
        ("tensors.name", |s| s.program.tensors[0].name.push('s')),
        ("tensors.shape.rows", |s| s.program.tensors[4].shape.rows += 1),
        ("tensors.shape.rows", |s| s.program.tensors[4].shape.rows = usize::MAX),
        ("tensors.shape.columns", |s| s.program.tensors[4].shape.columns -= 1),
        ("parameters", |s| s.program.parameters.push(s.program.parameters[0].clone())),
        ("parameters.name", |s| s.program.parameters[0].name.push('s')),
        ("parameters.shape.rows", |s| s.program.parameters[0].shape.rows -= 1),
        ("parameters.shape.columns", |s| s.program.parameters[0].shape.columns -= 1),
        ("parameters.moved_by", |s| s.program.parameters[0].moved_by = None),
        ("parameters.moved_by", |s| s.program.parameters[0].moved_by = Some(TensorId(1))),
        ("samples.per_step", |s| s.program.samples.per_step += 1),
        ("samples.width", |s| s.program.samples.width += 1),
        ("exponential", |s| s.program.exponential = None),
        ("exponential.fraction_bits", |s| table(s).fraction_bits += 1),
        ("exponential.scale_bits", |s| table(s).scale_bits -= 1),
        ("checks", |s| s.program.checks.swap(0, 1)),
        ("checks", |s| drop(s.program.checks.pop())),
        ("checks", |s| s.program.checks.push(s.program.checks[1].clone())),
    ]
}

fn table(statement: &mut Statement) -> &mut ExponentialTable {
    statement.program.exponential.as_mut().expect("the program has a table")
}

fn check_cases() -> Vec<Case<Statement>> {
    vec![
        ("checks.name", |s| s.program.checks[3].name.push('s')),
        ("checks.shape.rows", |s| s.program.checks[5].shape.rows -= 1),
        ("checks.shape.columns", |s| s.program.checks[5].shape.columns -= 1),
        ("checks.offset", |s| s.program.checks[3].offset += 1),
        ("checks.offset", |s| s.program.checks[5].offset = -1),
        ("checks.terms", |s| drop(s.program.checks[6].terms.pop())),
        ("checks.terms", |s| s.program.checks[6].terms.swap(0, 1)),
        ("checks.terms", |s| {
            let update = term(s, 0, 0).clone();
            s.program.checks[6].terms.push(update);
        }),
        ("checks.rule", |s| s.program.checks[3].rule = Rule::Zero),
        ("checks.rule", |s| s.program.checks[5].rule = Rule::Word { shift: 15 }),
        ("checks.rule", |s| s.program.checks[6].rule = s.program.checks[4].rule),
        ("rule.word.shift", |s| s.program.checks[3].rule = Rule::Word { shift: 3 }),
        ("rule.word.shift", |s| s.program.checks[6].rule = Rule::Word { shift: 0 }),
        ("rule.exponential.result", |s| {
            s.program.checks[4].rule = Rule::Exponential { result: Source::Committed(TensorId(4)) };
        }),
    ]
}

fn term_cases() -> Vec<Case<Statement>> {
    vec![
        // The learning rate.
        ("term.coefficient", |s| term(s, 6, 1).coefficient += 1),
        ("term.coefficient", |s| term(s, 6, 3).coefficient = 0),
        ("term.coefficient", |s| product(s, 3, 0).left.terms[1].coefficient += 1),
        ("entrywise.left", |s| {
            term(s, 2, 0).value =
                Value::Entrywise(Source::Committed(TensorId(2)), Source::Committed(TensorId(2)));
        }),
        ("entrywise.right", |s| {
            term(s, 2, 0).value =
                Value::Entrywise(Source::Committed(TensorId(1)), Source::Committed(TensorId(1)));
        }),
        ("entrywise.right", |s| {
            // The same product.
            term(s, 2, 0).value =
                Value::Entrywise(Source::Committed(TensorId(2)), Source::Committed(TensorId(1)));
        }),
        ("ones.rows", |s| *ones(s)[0] -= 1),
        ("ones.first", |s| *ones(s)[1] -= 1),
        ("ones.columns", |s| {
            let [_, first, columns] = ones(s);
            (*first, *columns) = (*first - 1, 2);
        }),
        ("product.left", |s| {
            let Product { left, right } = product(s, 3, 0);
            std::mem::swap(left, right);
        }),
        ("product.right", |s| {
            let weights = product(s, 3, 0).right.clone();
            product(s, 5, 0).right = weights;
        }),
        ("operand.shape.rows", |s| product(s, 3, 0).left.shape.rows += 1),
        ("operand.shape.columns", |s| product(s, 3, 0).left.shape.columns += 1),
        ("operand.terms", |s| drop(product(s, 6, 1).left.terms.pop())),
        ("operand.terms", |s| product(s, 3, 0).left.terms.swap(0, 1)),
        ("operand.inner", |s| product(s, 5, 0).right.inner = Axis::Rows),
        ("source.committed", |s| term(s, 3, 1).value = Value::Source(Source::Committed(TensorId(4)))),
        ("source.committed", |s| term(s, 3, 1).value = Value::Source(Source::Committed(TensorId(1 << 40)))),
        ("source.before", |s| term(s, 6, 2).value = Value::Source(Source::Committed(TensorId(0)))),
        ("source.before", |s| term(s, 6, 2).value = Value::Source(Source::Before(TensorId(1)))),
        ("source.parameter", |s| term(s, 6, 3).value = Value::Source(Source::Parameter(ParameterId(1)))),
        ("source.samples.first", |s| *targets(s)[0] -= 1),
        ("source.samples.first", |s| *targets(s)[0] = usize::MAX),
        ("source.samples.columns", |s| *targets(s)[1] -= 1),
    ]
}
