//! Programs without one of their defences: the verifier accepts what the defence is there for, and validation refuses the program.

use lorica_argument::opening::OpeningMode;
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::statement::Forger;
use lorica_attack::training::values::{ForgedValues, Outside};
use lorica_prove::training::values::TrainingValues;
use lorica_relation::program::bounds::ProgramError;
use lorica_relation::program::evaluate::{Evaluation, Witness};
use lorica_relation::program::{
    Axis, CommittedTensor, Operand, Parameter, ParameterId, Program, Rule, Samples, Shape, Source, Term,
};
use lorica_testkit::training::{SmallProgram, settle};
use lorica_verify::training::TrainingInvalid;
use lorica_verify::training::context::Context;

use crate::forging::{
    Case, DELTA, MODES, OUTPUT, SIGN, check, entries, fraction, integer, is_accepted, is_refused, of_words,
    outcome, register, source, values_are_refused, words,
};

/// One step is enough, and later ones would follow from a false one.
const ONE_STEP: SmallProgram =
    SmallProgram { steps: 1, samples: 2, inputs: 2, outputs: 2, data_rows: 3, row_length: 8 };

fn one_step(change: impl FnOnce(&mut Witness)) -> Case {
    let (mut integers, selected) = ONE_STEP.witness(12);
    change(&mut integers);
    settle(&ONE_STEP.program(), &mut integers);
    Case::new(ONE_STEP.program(), integers, selected, ONE_STEP.row_length)
}

/// The same commitments under the program without one of its checks.
fn without(case: &Case, name: &str) -> Forger {
    let mut program = case.program().clone();
    program.checks.retain(|check| check.name != name);
    assert_eq!(program.checks.len() + 1, case.program().checks.len());
    case.forger.under(program).unwrap()
}

#[track_caller]
fn is_unbounded(program: &Program, tensor: &str) {
    assert_eq!(program.validate(), Err(ProgramError::Unbounded { tensor: tensor.to_owned() }));
}

/// `delta + k / 2^8 mod l` meets the update's identity with a residual that is larger by k.
#[test]
fn a_fraction_meets_every_residual_and_is_refused_by_the_range_of_its_own() {
    let case = one_step(|_| {});
    let update = case.program().checks.last().unwrap();
    let mut evaluation = Evaluation::new(case.program(), &case.integers).unwrap();
    let residuals = evaluation.check(update);
    evaluation.advance().unwrap();
    let ablated = without(&case, "delta is small");
    is_unbounded(ablated.context.program(), "delta");
    for (entry, residual) in residuals.iter().enumerate().take(3) {
        let room = if *residual < 128 { 255 - residual } else { -residual };
        for k in [room.signum(), room] {
            let what = format!("entry {entry}, {k} / 2^8");
            let mut witness = case.witness.clone();
            witness.tensors[DELTA][entry] += fraction(k, 1 << 8);
            is_accepted(&ablated, &witness, &what);
            is_refused(&case.forger, &witness, &what);
        }
        // What is beyond the residual's room is refused with or without.
        let mut witness = case.witness.clone();
        witness.tensors[DELTA][entry] += fraction(room + room.signum(), 1 << 8);
        is_refused(&ablated, &witness, "beyond the residual");
    }
}

/// Without `- S` the sign of a number that is zero can be chosen.
#[test]
fn the_sign_of_zero_is_zero() {
    // No weights in the first output's row, so this output is zero.
    let case = one_step(|integers| integers.parameters[0][..3].fill(0));
    assert_eq!((case.integers.tensors[OUTPUT][0], case.integers.tensors[SIGN][0]), (0, 0));
    let mut program = case.program().clone();
    assert_eq!(program.checks[2].name, "sign is that of the output");
    program.checks[2].terms.truncate(2);
    is_unbounded(&program, "output");
    let ablated = case.forger.under(program).unwrap();
    let mut witness = case.witness.clone();
    witness.tensors[SIGN][0] = integer(1);
    is_accepted(&ablated, &witness, "a free sign");
    is_refused(&case.forger, &witness, "the sign of zero is one");
    // Of any other number the ablated program still knows the sign.
    let other = case.integers.tensors[OUTPUT].iter().position(|output| *output != 0).unwrap();
    let mut witness = case.witness.clone();
    witness.tensors[SIGN][other] = integer(1) - witness.tensors[SIGN][other];
    is_refused(&ablated, &witness, "a false sign");
}

/// Without booleanity a sign of 2 passes, and the output counts twice.
#[test]
fn a_sign_of_two_is_refused_by_booleanity() {
    let case = one_step(|integers| {
        // Weights that make positive outputs of positive inputs: the bias alone is 16 * 1024 / 2^12.
        integers.parameters[0].iter_mut().for_each(|weight| *weight = 1024);
    });
    let ablated = without(&case, "sign is 0 or 1");
    is_unbounded(ablated.context.program(), "sign");
    let mut integers = case.integers.clone();
    let entry = integers.tensors[OUTPUT].iter().position(|output| *output > 0).unwrap();
    integers.tensors[SIGN][entry] = 2;
    // The update that follows from the doubled output.
    integers.tensors[DELTA].fill(0);
    let update = case.program().checks.last().unwrap();
    let sums = Evaluation::new(case.program(), &integers).unwrap().check(update);
    for (delta, sum) in integers.tensors[DELTA].iter_mut().zip(sums.iter()) {
        *delta = -sum.div_euclid(1 << 8) as i16;
    }
    assert_ne!(integers.tensors[DELTA], case.integers.tensors[DELTA]);
    ablated.context.program().check(&integers).unwrap();
    let witness = FieldWitness::of(&integers);
    is_accepted(&ablated, &witness, "a sign of two");
    case.program().check(&integers).unwrap_err();
    is_refused(&case.forger, &witness, "a sign of two");
}

/// A sign that is known to be small, but minus one: `2 s z - z - s` is then `1 - 3 z`, and thirds are words.
#[test]
fn a_sign_has_to_be_boolean_and_not_only_small() {
    let shape = Shape { rows: 1, columns: 3 };
    let program = |minus_one: bool| {
        let mut program = words(1, 3);
        program.tensors[0].name = "s".to_owned();
        program.tensors.push(CommittedTensor { name: "z".to_owned(), shape });
        let boolean = vec![Term::entrywise(1, source(0), source(0)), Term::source(-1, source(0))];
        let constant = vec![Term::source(1, source(0))];
        let sign = vec![
            Term::entrywise(2, source(0), source(1)),
            Term::source(-1, source(1)),
            Term::source(-1, source(0)),
        ];
        program.checks = vec![
            if minus_one {
                check("s is -1", shape, 1, constant, Rule::Zero)
            } else {
                check("s is 0 or 1", shape, 0, boolean, Rule::Zero)
            },
            check("sign", shape, 0, sign, Rule::Word { shift: 0 }),
        ];
        program
    };
    program(false).validate().unwrap();
    is_unbounded(&program(true), "z");
    let mut witness = entries(&words(1, 3));
    witness.tensors = vec![vec![integer(-1); 3], vec![fraction(1, 3), fraction(-2, 3), integer(-4)]];
    is_accepted(&of_words(program(true), &witness), &witness, "thirds beside minus one");
    is_refused(&of_words(program(false), &witness), &witness, "minus one");
}

/// `2^s x` in the table says that `2^s x` is an integer, and not that x is.
#[test]
fn a_shifted_word_needs_a_word_beside_it() {
    let narrow = |shift: u32, word: bool| {
        let mut program = words(1, 3);
        let shape = program.checks[0].shape;
        let terms = vec![Term::source(1, source(0))];
        let offset = 1 << (15 - shift);
        let shifted = check("narrow", shape, offset, terms, Rule::Word { shift });
        if word {
            program.checks.push(shifted)
        } else {
            program.checks = vec![shifted]
        }
        program
    };
    for shift in [1, 4, 15] {
        narrow(shift, true).validate().unwrap();
        is_unbounded(&narrow(shift, false), "x");
        let bound = 1i64 << (15 - shift);
        let whole = |value: i64| {
            let mut witness = entries(&words(1, 3));
            witness.tensors[0] = vec![integer(-bound), integer(0), integer(value)];
            witness
        };
        let mut halves = whole(0);
        halves.tensors[0][1] = fraction(1, 1 << shift);
        is_accepted(&of_words(narrow(shift, false), &halves), &halves, "a fraction without its word");
        is_refused(&of_words(narrow(shift, true), &halves), &halves, "a fraction");
        // Both ends of the narrow range.
        let inside = whole(bound - 1);
        is_accepted(&of_words(narrow(shift, true), &inside), &inside, "inside");
        let beyond = whole(bound);
        is_refused(&of_words(narrow(shift, true), &beyond), &beyond, "the closed end");
    }
}

/// `y = round(x W^T / 2^4)` for one sample of so many inputs.
fn linear(inputs: usize) -> Program {
    let shape = Shape { rows: 1, columns: inputs };
    let one = Shape { rows: 1, columns: 1 };
    let operand = |source| Operand { shape, terms: vec![Term::source(1, source)], inner: Axis::Columns };
    let product = Term::product(
        1,
        operand(Source::Samples { first: 0, columns: inputs }),
        operand(Source::Parameter(ParameterId(0))),
    );
    let mut program = words(1, 1);
    program.parameters = vec![Parameter { name: "w".to_owned(), shape, moved_by: None }];
    program.samples = Samples { per_step: 1, width: inputs };
    let terms = vec![product, Term::source(-16, source(0))];
    program.checks.push(check("rounded", one, 8, terms, Rule::Word { shift: 12 }));
    program.validate().unwrap();
    program
}

/// A model that says 3 inputs over rows that hold 4: what a row holds beyond 3 would be one more feature for a verifier that takes
/// rows as they are, padded to a power of two.
#[test]
fn hidden_features_beyond_a_rows_length_do_not_count() {
    let witness = |inputs: usize, output: i64| FieldWitness {
        tensors: vec![vec![integer(output)]],
        parameters: vec![[16, 32, -16, 1600].map(integer)[..inputs].to_vec()],
        samples: [5, 1, 2, 9].map(integer)[..inputs].to_vec(),
        carried: Vec::new(),
    };
    // 3 inputs make 5 + 2 - 2, the fourth one adds 900.
    let (honest, hidden) = (5, 905);
    let beyond = vec![(0, vec![integer(1600)]), (1, vec![integer(9)])];
    let naive = register(linear(4), &witness(4, hidden), &[0], 16);
    is_accepted(&naive, &witness(4, hidden), "a verifier that counts what is there");
    let cut = naive.under(linear(3)).unwrap();
    assert_eq!(cut.context.statement.start, naive.context.statement.start);
    let says = |output: i64, outside: Outside, mode: OpeningMode| {
        let witness = witness(3, output);
        let values =
            ForgedValues { junk: beyond.clone(), outside, ..ForgedValues::new(&cut.context, &witness) };
        outcome(&cut, &values, mode).map(|_| ())
    };
    says(honest, Outside::Left, OpeningMode::Compact).unwrap();
    for (outside, mode) in [(Outside::Left, MODES[0]), (Outside::Clamped, MODES[1])] {
        let result = says(hidden, outside, mode);
        assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{outside:?}: {result:?}");
    }
    // A prover that counts the hidden feature in its products too, as the naive verifier would.
    let transcript = || crate::forging::Restated::new(&cut.context, &naive.context);
    let witness = witness(4, hidden);
    let values = ForgedValues::new(&naive.context, &witness);
    let proof = naive.prove_on(&values, OpeningMode::Fast, &mut transcript()).unwrap().proof;
    proof.verify(&naive.context, &naive.generators, &mut transcript()).unwrap();
    let result = proof.verify(&cut.context, &cut.generators, &mut crate::forging::real());
    assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{result:?}");
}

/// Junk behind the end of every row, of the statement and of the proof, changes nothing about a true statement and helps no false one.
#[test]
fn junk_behind_every_row_counts_for_nothing() {
    let case = Case::small();
    let layout = &case.forger.context.rows;
    let all = layout.rows() - layout.multiplicity_rows();
    let junk: Vec<_> = (0..all).map(|row| (row, vec![integer(1 << 15), fraction(1, 3)])).collect();
    let start = |context: &Context| {
        let values = ForgedValues { junk: junk.clone(), ..ForgedValues::new(context, &case.witness) };
        values.rows().unwrap()
    };
    let forger = Forger::new(case.program().clone(), &case.selected, ONE_STEP.row_length, start).unwrap();
    assert_ne!(forger.context.statement.start, case.forger.context.statement.start);
    let values = |witness| ForgedValues { junk: junk.clone(), ..ForgedValues::new(&forger.context, witness) };
    for mode in MODES {
        outcome(&forger, &values(&case.witness), mode).unwrap();
    }
    let mut witness = case.witness.clone();
    witness.tensors[DELTA][7] += integer(1);
    values_are_refused(&forger, &values(&witness), OpeningMode::Compact, "an update nudged");
}

/// Rows of a matrix beyond its last stand behind the end of its last piece: naively they would be more samples in a sum over the batch.
#[test]
fn hidden_rows_beyond_a_matrix_do_not_count() {
    // y = sum of the batch's x, for 3 samples of which each is a row of the tensor x, in rows of 16.
    let summed = |rows: usize| {
        let shape = Shape { rows, columns: 2 };
        let mut program = words(1, 1);
        program.tensors[0].shape = shape;
        program.tensors.push(CommittedTensor { name: "y".to_owned(), shape: Shape { rows: 1, columns: 2 } });
        program.checks[0].shape = shape;
        let ones = Term {
            coefficient: 1,
            value: lorica_relation::program::Value::Ones { rows, first: 0, columns: 1 },
        };
        let ones = Operand { shape: Shape { rows, columns: 1 }, terms: vec![ones], inner: Axis::Rows };
        let x = Operand { shape, terms: vec![Term::source(1, source(0))], inner: Axis::Rows };
        let terms = vec![Term::product(1, ones, x), Term::source(-1, source(1))];
        program.checks.push(check("sum", Shape { rows: 1, columns: 2 }, 0, terms, Rule::Zero));
        // A tensor that moves a parameter has rows of its own, with room behind it.
        program.parameters[0] =
            Parameter { name: "w".to_owned(), shape, moved_by: Some(lorica_relation::program::TensorId(0)) };
        program.validate().unwrap();
        program
    };
    let witness = |rows: usize, sums: [i64; 2]| FieldWitness {
        tensors: vec![(1..=2 * rows as i64).map(integer).collect(), sums.map(integer).to_vec()],
        parameters: vec![vec![integer(0); 2 * rows]],
        samples: vec![integer(1)],
        carried: Vec::new(),
    };
    let (honest, hidden) = ([9, 12], [16, 20]);
    let naive = register(summed(4), &witness(4, hidden), &[0], 16);
    is_accepted(&naive, &witness(4, hidden), "a verifier that counts what is there");
    let cut = naive.under(summed(3)).unwrap();
    let says = |sums: [i64; 2]| {
        let witness = witness(3, sums);
        let first = cut.context.rows.committed_row(0, 0);
        let junk = vec![(first, vec![integer(7), integer(8)])];
        let values = ForgedValues { junk, ..ForgedValues::new(&cut.context, &witness) };
        outcome(&cut, &values, OpeningMode::Fast).map(|_| ())
    };
    says(honest).unwrap();
    assert!(matches!(says(hidden), Err(TrainingInvalid::Opening(_))));
}
