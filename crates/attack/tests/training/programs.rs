//! A proof is of the verifier's statement: the prover makes an honest one of another, on the challenges of the verifier's, so that
//! nothing but the algebra can tell them apart.

use lorica_argument::opening::OpeningMode;
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::statement::Forger;
use lorica_attack::training::values::ForgedValues;
use lorica_relation::program::exponential::ExponentialTable;
use lorica_relation::program::{Check, Program, Rule, Source, TensorId, Value};
use lorica_testkit::training::settle;
use lorica_verify::training::TrainingInvalid;
use lorica_verify::training::context::{Context, Statement};

use crate::forging::{Case, Restated, SMALL, real, register};

/// The honest proof of `witness` for `provers`, made on the challenges of `verifiers`: accepted for the former, refused for the latter.
#[track_caller]
fn tells_apart(verifiers: &Forger, provers: &Forger, witness: &FieldWitness, what: &str) {
    let values = ForgedValues::new(&provers.context, witness);
    let transcript = || Restated::new(&verifiers.context, &provers.context);
    let proof = provers.prove_on(&values, OpeningMode::Fast, &mut transcript()).unwrap().proof;
    proof
        .verify(&provers.context, &provers.generators, &mut transcript())
        .unwrap_or_else(|error| panic!("{what}: the proof is not one of the other statement: {error}"));
    let result = proof.verify(&verifiers.context, &verifiers.generators, &mut real());
    assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{what}: {result:?}");
}

/// A change of the program, with a witness that satisfies the changed one.
#[track_caller]
fn change(what: &str, change: impl FnOnce(&mut Program)) {
    let case = Case::small();
    let mut program = case.program().clone();
    change(&mut program);
    program.validate().unwrap();
    let mut integers = case.integers.clone();
    settle(&program, &mut integers);
    program.check(&integers).unwrap();
    let provers = case.forger.under(program).unwrap();
    tells_apart(&case.forger, &provers, &FieldWitness::of(&integers), what);
}

fn update(program: &mut Program) -> &mut Check {
    program.checks.last_mut().unwrap()
}

#[test]
fn learning_rate_momentum_and_rounding_are_the_verifiers() {
    change("learning rate", |program| update(program).terms[1].coefficient = 4);
    change("sign of the learning rate", |program| update(program).terms[1].coefficient = -3);
    change("momentum", |program| update(program).terms[2].coefficient = -99);
    change("no momentum", |program| update(program).terms[2].coefficient = 0);
    change("weight decay", |program| update(program).terms[3].coefficient = 2);
    change("rounding of the update", |program| update(program).offset += 1);
    change("rounding of outputs", |program| program.checks[3].offset -= 100);
    change("a wider tolerance", |program| {
        program.checks[3].rule = Rule::Word { shift: 3 };
        program.checks[3].offset += 1 << 11;
    });
}

#[test]
fn the_bias_the_samples_columns_and_the_table_are_the_verifiers() {
    change("another bias", |program| {
        let Value::Product(product) = &mut program.checks[3].terms[0].value else { panic!() };
        product.left.terms[1].coefficient = 8;
    });
    change("inputs of the next column", |program| {
        let Value::Product(product) = &mut program.checks[3].terms[0].value else { panic!() };
        product.left.terms[0].value = Value::Source(Source::Samples { first: 1, columns: 2 });
    });
    change("targets for inputs in the update", |program| {
        let Value::Product(product) = &mut update(program).terms[1].value else { panic!() };
        product.right.terms[0].value = Value::Source(Source::Samples { first: 2, columns: 2 });
    });
    change("a gradient that forgets the targets", |program| {
        let Value::Product(product) = &mut update(program).terms[1].value else { panic!() };
        product.left.terms[1].coefficient = 0;
    });
    change("another table", |program| {
        program.exponential = Some(ExponentialTable { fraction_bits: 10, scale_bits: 8 });
    });
    change("another index", |program| program.checks[4].offset += 1);
}

/// Parameters that do not move are other parameters in the second step.
#[test]
fn parameters_move() {
    change("a frozen parameter", |program| program.parameters[0].moved_by = None);
    change("the update before in its place", |program| {
        update(program).terms[3].value = Value::Source(Source::Before(TensorId(0)));
    });
}

/// A statement with the same program, whose rows or commitments are others.
#[test]
fn batches_and_commitments_are_the_verifiers() {
    let case = Case::small();
    let width = case.program().samples.width;
    let rows = |case: &Case, selected: &[usize]| {
        let mut integers = case.integers.clone();
        for (place, row) in selected.iter().enumerate() {
            let from = case.selected.iter().position(|chosen| chosen == row).unwrap();
            let sample = case.integers.samples[from * width..][..width].to_vec();
            integers.samples[place * width..][..width].copy_from_slice(&sample);
        }
        settle(case.program(), &mut integers);
        case.program().check(&integers).unwrap();
        FieldWitness::of(&integers)
    };
    // The same rows of the data set, in other orders: the commitments are the same, and so are all sizes.
    let distinct = &case.forger.context.statement.selection.rows;
    assert!(distinct.len() >= 2, "{:?}", case.selected);
    let exchange = |row: &usize| {
        let [first, second, ..] = distinct[..] else { panic!() };
        if *row == first {
            second
        } else if *row == second {
            first
        } else {
            *row
        }
    };
    let exchanged: Vec<usize> = case.selected.iter().map(exchange).collect();
    let turned: Vec<usize> = case.selected.iter().cycle().skip(2).take(4).copied().collect();
    for (what, selected) in [("rows exchanged", exchanged), ("batches exchanged", turned)] {
        assert_ne!(selected, case.selected, "{what}");
        let mut provers = case.forger.clone();
        provers.context.statement.selection = lorica_verify::training::layout::Selection::new(&selected);
        tells_apart(&case.forger, &provers, &rows(&case, &selected), what);
    }
    // Other commitments: of a parameter, of the matrix that is carried over, of a sample.
    for what in ["parameter", "carried", "sample"] {
        let mut integers = case.integers.clone();
        match what {
            "parameter" => integers.parameters[0][2] += 1,
            "carried" => integers.carried[0][4] -= 1,
            _ => {
                for (place, row) in case.selected.iter().enumerate() {
                    integers.samples[place * width] += i16::from(*row == distinct[0]);
                }
            }
        }
        settle(case.program(), &mut integers);
        let witness = FieldWitness::of(&integers);
        let provers = register(case.program().clone(), &witness, &case.selected, SMALL.row_length);
        tells_apart(&case.forger, &provers, &witness, what);
    }
}

/// What is no statement is refused before any proof is read.
#[test]
fn statements_that_do_not_fit_their_program_are_refused() {
    let case = Case::small();
    let statement = &case.forger.context.statement;
    Context::new(statement.clone()).unwrap();
    let refused = |what: &str, change: &dyn Fn(&mut Statement)| {
        let mut changed = statement.clone();
        change(&mut changed);
        assert!(Context::new(changed).is_err(), "{what}");
    };
    refused("a row selected twice", &|statement| statement.selection.rows[1] = statement.selection.rows[0]);
    refused("rows out of order", &|statement| statement.selection.rows.reverse());
    refused("a sample that is not selected", &|statement| statement.selection.places[3] = 7);
    refused("a sample too many", &|statement| statement.selection.places.push(0));
    refused("a sample too few", &|statement| statement.selection.places.truncate(3));
    refused("a commitment to a sample too few", &|statement| statement.start.samples.truncate(1));
    refused("no commitment to a parameter", &|statement| statement.start.parameters[0].clear());
    refused("no carried tensor", &|statement| statement.start.carried.clear());
    refused("a carried tensor cut otherwise", &|statement| {
        let piece = statement.start.carried[0][0];
        statement.start.carried[0].push(piece);
    });
    refused("rows too short for a matrix", &|statement| statement.row_length = 2);
    refused("no step", &|statement| statement.program.steps = 0);
}

/// The statement is absorbed: without the trick above a proof of another statement meets other challenges. Here even the algebra
/// of both is the same.
#[test]
fn every_part_of_a_statement_is_absorbed() {
    let case = Case::small();
    let values = ForgedValues::new(&case.forger.context, &case.witness);
    let proof = case.forger.prove_on(&values, OpeningMode::Fast, &mut real()).unwrap().proof;
    let refused = |what: &str, change: &dyn Fn(&mut Context)| {
        let mut context = case.forger.context.clone();
        change(&mut context);
        let result = proof.verify(&context, &case.forger.generators, &mut real());
        assert!(result.is_err(), "{what}: accepted");
    };
    proof.verify(&case.forger.context, &case.forger.generators, &mut real()).unwrap();
    refused("digest", &|context| context.statement.digest.0[31] ^= 1);
    refused("row length", &|context| context.statement.row_length += 1);
    refused("numbers of rows", &|context| {
        context.statement.selection.rows.iter_mut().for_each(|row| *row += 1);
    });
    refused("steps before", &|context| context.statement.program.steps_before = 5);
    refused("name of a tensor", &|context| context.statement.program.tensors[1].name.push('x'));
    refused("name of a check", &|context| context.statement.program.checks[0].name.push('x'));
    refused("a coefficient", &|context| context.statement.program.checks[2].terms[0].coefficient = 3);
    let rows = case.forger.context.start().count();
    assert_eq!(rows, 2 + case.forger.context.rows.samples);
    refused("a commitment", &|context| {
        let one = context.statement.start.parameters[0][0];
        context.statement.start.carried[0][0] = one;
    });
}
