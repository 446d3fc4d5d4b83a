//! Completeness of training proofs: true statements of many shapes, in both modes, are accepted; and the bytes are canonical.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::opening::OpeningMode;
use lorica_relation::program::evaluate::{Evaluation, Witness};
use lorica_relation::program::{
    Axis, Check, CommittedTensor, Operand, Parameter, ParameterId, Program, Rule, Samples, Shape, Source,
    TensorId, Term, Value,
};
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_verify::training::TrainingProof;
use zeroize::Zeroizing;

fn accepted(sizes: SmallProgram, mode: OpeningMode) -> usize {
    let fixture = TrainingFixture::small(sizes, 1);
    fixture.context.program().check(&fixture.witness).unwrap();
    let proven = fixture.prove(mode, None).unwrap();
    let bytes = proven.proof.to_bytes();
    let read = TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators);
    assert_eq!(read.as_ref().err(), None, "{sizes:?}");
    assert!(read == Ok(proven.proof), "{sizes:?}");
    bytes.len()
}

#[test]
fn programs_of_many_shapes() {
    let sizes = |steps, samples, inputs, outputs, row_length| SmallProgram {
        steps,
        samples,
        inputs,
        outputs,
        data_rows: 5,
        row_length,
    };
    for sizes in [
        sizes(1, 1, 1, 1, 1024),
        sizes(1, 4, 7, 4, 1024),
        sizes(1, 3, 5, 2, 8),
        sizes(3, 2, 6, 3, 16),
        sizes(2, 9, 17, 11, 64),
        sizes(5, 4, 3, 8, 1024),
    ] {
        accepted(sizes, OpeningMode::Fast);
        accepted(sizes, OpeningMode::Compact);
    }
}

/// Terms that are narrower or shorter than what they are a part of, also by whole blocks of it: one sum of a tensor, an entrywise
/// product, a product of matrices and ones, each smaller than the check.
#[test]
fn terms_smaller_than_their_check_by_whole_blocks() {
    let shape = |rows, columns| Shape { rows, columns };
    let source = |id| Source::Committed(TensorId(id));
    let whole = shape(7, 7);
    let mut steps = 0;
    for (rows, columns) in [(1, 1), (1, 7), (7, 1), (2, 5), (6, 4), (7, 7)] {
        steps += 1;
        let small = shape(rows, columns);
        let committed = |name: &str, shape| CommittedTensor { name: name.to_owned(), shape };
        let word = |name: &str, id, shape| Check {
            name: name.to_owned(),
            shape,
            offset: 1 << 15,
            terms: vec![Term::source(1, source(id))],
            rule: Rule::Word { shift: 0 },
        };
        let operand = |inner, value| Operand {
            shape: whole,
            terms: vec![
                Term { coefficient: 1, value },
                Term::source(2, Source::Samples { first: 0, columns: 2 }),
                Term { coefficient: 3, value: Value::Ones { rows: 1, first: 2, columns: 3 } },
            ],
            inner,
        };
        let product = |inner| {
            let entrywise = Value::Entrywise(source(1), source(1));
            Term::product(1, operand(inner, Value::Source(source(1))), operand(inner, entrywise))
        };
        let terms = vec![
            Term::source(1, source(0)),
            Term::source(5, source(1)),
            Term::entrywise(2, source(1), source(1)),
            Term::source(1, Source::Parameter(ParameterId(0))),
            Term::source(1, Source::Samples { first: 1, columns: 1 }),
            Term { coefficient: 7, value: Value::Ones { rows: 3, first: 1, columns: 2 } },
            product(Axis::Rows),
            product(Axis::Columns),
        ];
        let sum =
            |rule, offset| Check { name: "sum".to_owned(), shape: whole, offset, terms: terms.clone(), rule };
        let program = Program {
            steps,
            steps_before: 0,
            tensors: vec![committed("large", whole), committed("small", small)],
            parameters: vec![Parameter { name: "w".to_owned(), shape: shape(2, 1), moved_by: None }],
            samples: Samples { per_step: 2, width: 2 },
            exponential: None,
            checks: vec![
                word("large", 0, whole),
                word("small", 1, small),
                sum(Rule::Zero, 0),
                sum(Rule::Word { shift: 9 }, 17),
            ],
        };
        let mut witness = Witness {
            tensors: vec![
                Zeroizing::new(vec![0; steps * whole.entries()]),
                Zeroizing::new((0..steps * small.entries()).map(|i| i as i16 % 9 - 4).collect()),
            ],
            parameters: vec![Zeroizing::new(vec![3, -2])],
            samples: Zeroizing::new([[1, 2], [3, 4]].concat().repeat(steps)),
            carried: Vec::new(),
        };
        for step in 0..steps {
            let mut evaluation = Evaluation::new(&program, &witness).unwrap();
            (0..step).for_each(|_| evaluation.advance().unwrap());
            let sums = evaluation.check(&program.checks[2]);
            let large = &mut witness.tensors[0][step * whole.entries()..][..whole.entries()];
            large.iter_mut().zip(sums.iter()).for_each(|(large, sum)| *large = -*sum as i16);
        }
        let selected = [4, 9].repeat(steps);
        let fixture = TrainingFixture::new(program, witness, &selected, 64);
        fixture.context.program().check(&fixture.witness).unwrap();
        let bytes = fixture.prove(OpeningMode::Fast, None).unwrap().proof.to_bytes();
        let read = TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators);
        assert_eq!(read.err(), None, "{rows} x {columns}");
    }
}

/// No lookup, and no product either: one tensor that is known to be zero.
#[test]
fn a_program_without_lookups() {
    let shape = Shape { rows: 2, columns: 3 };
    let terms = vec![Term::source(1, Source::Committed(TensorId(0)))];
    let program = Program {
        steps: 2,
        steps_before: 0,
        tensors: vec![CommittedTensor { name: "nothing".to_owned(), shape }],
        parameters: vec![Parameter { name: "w".to_owned(), shape, moved_by: Some(TensorId(0)) }],
        samples: Samples { per_step: 1, width: 1 },
        exponential: None,
        checks: vec![Check { name: "zero".to_owned(), shape, offset: 0, terms, rule: Rule::Zero }],
    };
    let witness = Witness {
        tensors: vec![Zeroizing::new(vec![0; 12])],
        parameters: vec![Zeroizing::new((0..6).collect())],
        samples: Zeroizing::new(vec![1, 1]),
        carried: Vec::new(),
    };
    let fixture = TrainingFixture::new(program, witness, &[0, 0], 64);
    for mode in [OpeningMode::Fast, OpeningMode::Compact] {
        let bytes = fixture.prove(mode, None).unwrap().proof.to_bytes();
        TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators).unwrap();
    }
}
