//! A small tensor program with every kind of check, term and source, and witnesses that satisfy it.
//!
//! It is a step of training in miniature: one layer with a bias column, rounded outputs, their signs, exponentials of them,
//! and an update with momentum from a product of matrices; nothing about it is realistic but its structure.

use lorica_algebra::point::EncodedPoint;
use lorica_algebra::{Point, Scalar};
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_prove::randomness::{Entropy, Randomness};
use lorica_prove::secret::AdapterSecret;
use lorica_prove::training::commitments::Rows;
use lorica_prove::training::values::{IntegerValues, RowValues, TrainingValues};
use lorica_prove::training::{ProvenSteps, TrainingProofError, TrainingProver};
use lorica_relation::program::evaluate::{Evaluation, Witness};
use lorica_relation::program::exponential::ExponentialTable;
use lorica_relation::program::{
    Axis, Check, CommittedTensor, Operand, Parameter, ParameterId, Program, Rule, Samples, Shape, Source,
    TensorId, Term, Value,
};
use lorica_tensor::Digest;
use lorica_verify::training::TRAINING_PROTOCOL;
use lorica_verify::training::context::{Context, Start, Statement};
use lorica_verify::training::layout::Selection;
use zeroize::Zeroizing;

/// Sizes of the small program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmallProgram {
    /// T
    pub steps: usize,
    /// N
    pub samples: usize,
    /// d
    pub inputs: usize,
    /// o
    pub outputs: usize,
    /// Rows of the data set.
    pub data_rows: usize,
    /// Entries of a committed row.
    pub row_length: usize,
}

const DELTA: Source = Source::Committed(TensorId(0));
const SIGN: Source = Source::Committed(TensorId(1));
const OUTPUT: Source = Source::Committed(TensorId(2));
const EXPONENTIAL: Source = Source::Committed(TensorId(3));
const SUM: Source = Source::Committed(TensorId(4));

/// One, as the bias column has it.
const ONE: i64 = 16;

impl SmallProgram {
    /// The program.
    pub fn program(&self) -> Program {
        let Self { steps, samples, inputs, outputs, .. } = *self;
        let output = Shape { rows: samples, columns: outputs };
        let weight = Shape { rows: outputs, columns: inputs + 1 };
        let committed = |name: &str, shape| CommittedTensor { name: name.to_owned(), shape };
        let operand = |shape, terms, inner| Operand { shape, terms, inner };
        let input_shape = Shape { rows: samples, columns: inputs + 1 };
        let input = |inner| {
            let bias = Value::Ones { rows: samples, first: inputs, columns: 1 };
            let terms = vec![
                Term::source(1, Source::Samples { first: 0, columns: inputs }),
                Term { coefficient: ONE, value: bias },
            ];
            operand(input_shape, terms, inner)
        };
        let weights =
            operand(weight, vec![Term::source(1, Source::Parameter(ParameterId(0)))], Axis::Columns);
        let gradient = operand(
            output,
            vec![
                Term::entrywise(1, SIGN, OUTPUT),
                Term::source(-1, Source::Samples { first: inputs, columns: outputs }),
            ],
            Axis::Rows,
        );
        let ones = Term { coefficient: 1, value: Value::Ones { rows: outputs, first: 0, columns: outputs } };
        let exponentials = operand(output, vec![Term::source(1, EXPONENTIAL)], Axis::Columns);
        let all_ones = operand(Shape { rows: outputs, columns: outputs }, vec![ones], Axis::Columns);
        let check = |name: &str, shape, offset, terms, rule| Check {
            name: name.to_owned(),
            shape,
            offset,
            terms,
            rule,
        };
        let word = |shift| Rule::Word { shift };
        Program {
            steps,
            steps_before: 0,
            tensors: vec![
                committed("delta", weight),
                committed("sign", output),
                committed("output", output),
                committed("exponential", output),
                committed("sum", output),
            ],
            parameters: vec![Parameter {
                name: "weight".to_owned(),
                shape: weight,
                moved_by: Some(TensorId(0)),
            }],
            samples: Samples { per_step: samples, width: inputs + outputs },
            exponential: Some(ExponentialTable { fraction_bits: 10, scale_bits: 9 }),
            checks: vec![
                check("delta is small", weight, 1 << 15, vec![Term::source(1, DELTA)], word(0)),
                check(
                    "sign is 0 or 1",
                    output,
                    0,
                    vec![Term::entrywise(1, SIGN, SIGN), Term::source(-1, SIGN)],
                    Rule::Zero,
                ),
                check(
                    "sign is that of the output",
                    output,
                    0,
                    vec![Term::entrywise(2, SIGN, OUTPUT), Term::source(-1, OUTPUT), Term::source(-1, SIGN)],
                    word(0),
                ),
                check(
                    "output is rounded",
                    output,
                    1 << 11,
                    vec![Term::product(1, input(Axis::Columns), weights), Term::source(-(1 << 12), OUTPUT)],
                    word(4),
                ),
                check(
                    "exponential of the output",
                    output,
                    1 << 12,
                    vec![Term::source(1, OUTPUT)],
                    Rule::Exponential { result: EXPONENTIAL },
                ),
                check(
                    "sum of exponentials",
                    output,
                    0,
                    vec![Term::product(1, exponentials, all_ones), Term::source(-1, SUM)],
                    Rule::Zero,
                ),
                check(
                    "delta is the update",
                    weight,
                    1 << 7,
                    vec![
                        Term::source(1 << 8, DELTA),
                        Term::product(3, gradient, input(Axis::Rows)),
                        Term::source(-100, Source::Before(TensorId(0))),
                        Term::source(1, Source::Parameter(ParameterId(0))),
                    ],
                    word(8),
                ),
            ],
        }
    }

    /// A witness that satisfies it, from a seed, and the data set's rows that its steps use.
    pub fn witness(&self, seed: u64) -> (Witness, Vec<usize>) {
        let program = self.program();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut number = move |bound: i64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i64 % (2 * bound + 1) - bound
        };
        let width = program.samples.width;
        let data: Vec<Vec<i16>> =
            (0..self.data_rows).map(|_| (0..width).map(|_| number(20) as i16).collect()).collect();
        let selected: Vec<usize> = (0..self.steps * self.samples)
            .map(|_| number(self.data_rows as i64 - 1).unsigned_abs() as usize)
            .collect();
        let weights = self.outputs * (self.inputs + 1);
        let mut witness = Witness {
            tensors: program
                .tensors
                .iter()
                .map(|t| Zeroizing::new(vec![0; t.shape.entries() * self.steps]))
                .collect(),
            parameters: vec![Zeroizing::new((0..weights).map(|_| number(200) as i32).collect())],
            samples: Zeroizing::new(selected.iter().flat_map(|row| data[*row].clone()).collect()),
            carried: vec![Zeroizing::new((0..weights).map(|_| number(30) as i16).collect())],
        };
        settle(&program, &mut witness);
        (witness, selected)
    }
}

/// Fills in the committed tensors of a small program, or of one with other coefficients and other orders of samples, so that it
/// is satisfied.
pub fn settle(program: &Program, witness: &mut Witness) {
    let table = program.exponential.expect("the program has a table").entries();
    for step in 0..program.steps {
        let of = |id: usize| {
            step * program.tensors[id].shape.entries()..(step + 1) * program.tensors[id].shape.entries()
        };
        let residual = |witness: &mut Witness, check: usize, tensor: usize| {
            witness.tensors[tensor][of(tensor)].fill(0);
            let mut evaluation = Evaluation::new(program, witness).expect("sizes fit");
            (0..step).for_each(|_| evaluation.advance().expect("parameters stay small"));
            evaluation.check(&program.checks[check])
        };
        let outputs: Vec<i16> =
            residual(witness, 3, 2).iter().map(|value| (value.div_euclid(1 << 12)) as i16).collect();
        witness.tensors[2][of(2)].copy_from_slice(&outputs);
        for (index, value) in outputs.iter().enumerate() {
            witness.tensors[1][of(1)][index] = i16::from(*value > 0);
            witness.tensors[3][of(3)][index] = table[(i64::from(*value) + (1 << 12)) as usize] as i16;
        }
        let sums: Vec<i16> = residual(witness, 5, 4).iter().map(|value| *value as i16).collect();
        witness.tensors[4][of(4)].copy_from_slice(&sums);
        let deltas: Vec<i16> =
            residual(witness, 6, 0).iter().map(|value| -value.div_euclid(1 << 8) as i16).collect();
        witness.tensors[0][of(0)].copy_from_slice(&deltas);
    }
}

/// A statement with everything that a proof of it is made from.
pub struct TrainingFixture {
    /// The statement with its layouts.
    pub context: Context,
    /// The private numbers.
    pub witness: Witness,
    /// The blinds of the statement's commitments.
    pub start_blinds: Zeroizing<Vec<Scalar>>,
    /// The seed that masks depend on.
    pub secret: AdapterSecret,
    /// The bases.
    pub generators: Generators,
}

impl TrainingFixture {
    /// Commits to parameters, carried tensors and samples of a witness.
    pub fn new(program: Program, witness: Witness, selected: &[usize], row_length: usize) -> Self {
        let selection = Selection::new(selected);
        let nothing = Start { parameters: Vec::new(), carried: Vec::new(), samples: Vec::new() };
        let statement = Statement { program, digest: Digest([7; 32]), row_length, selection, start: nothing };
        // The layout does not depend on the commitments: they are made for it, and then put in.
        let placeholder = EncodedPoint::new(lorica_algebra::point::identity());
        let mut statement = statement;
        let program = &statement.program;
        let pieces = |shape| {
            let pieces =
                lorica_verify::rows::pieces::Pieces::of(shape, row_length).expect("matrices fit rows");
            vec![placeholder; pieces.count()]
        };
        statement.start = Start {
            parameters: program.parameters.iter().map(|parameter| pieces(parameter.shape)).collect(),
            carried: program.carried().iter().map(|id| pieces(program.tensors[id.0].shape)).collect(),
            samples: vec![placeholder; statement.selection.rows.len()],
        };
        let context = Context::new(statement).expect("a valid statement");
        let generators = Generators::derive(context.rows.width, 0);
        let secret = AdapterSecret::from_seed([9; 32]);
        let count = context.start().count();
        let mut values = IntegerValues::new(&context, &witness)
            .and_then(|values| values.rows())
            .expect("a true statement");
        values.truncate(count);
        let (points, start_blinds) = commit(values, generators.rows(), generators.blinding(), &secret);
        let mut points = points.into_iter();
        let mut statement = context.statement;
        let Start { parameters, carried, samples } = &mut statement.start;
        for point in parameters.iter_mut().flatten().chain(carried.iter_mut().flatten()).chain(samples) {
            *point = points.next().expect("a commitment for each row");
        }
        Self {
            context: Context::new(statement).expect("a valid statement"),
            witness,
            start_blinds,
            secret,
            generators,
        }
    }

    /// The fixture of a small program.
    pub fn small(sizes: SmallProgram, seed: u64) -> Self {
        let (witness, selected) = sizes.witness(seed);
        Self::new(sizes.program(), witness, &selected, sizes.row_length)
    }

    /// Proves the fixture's witness, or values put in its place.
    pub fn prove(
        &self,
        mode: OpeningMode,
        values: Option<&dyn TrainingValues>,
    ) -> Result<ProvenSteps, TrainingProofError> {
        let entropy = Entropy(Zeroizing::new([5; 32]));
        self.prove_on(mode, values, &entropy, &mut FiatShamir::new(TRAINING_PROTOCOL))
    }

    /// The same with given entropy, on a given transcript.
    pub fn prove_on(
        &self,
        mode: OpeningMode,
        values: Option<&dyn TrainingValues>,
        entropy: &Entropy,
        transcript: &mut dyn Transcript,
    ) -> Result<ProvenSteps, TrainingProofError> {
        let honest;
        let values = match values {
            Some(values) => values,
            None => {
                honest = IntegerValues::new(&self.context, &self.witness)?;
                &honest
            }
        };
        let prover = TrainingProver {
            context: &self.context,
            values,
            start_blinds: &self.start_blinds,
            secret: &self.secret,
            generators: &self.generators,
        };
        prover.prove_on(mode, entropy, transcript)
    }
}

fn commit(
    values: Vec<RowValues>,
    bases: &[Point],
    blinding: &Point,
    secret: &AdapterSecret,
) -> (Vec<EncodedPoint>, Zeroizing<Vec<Scalar>>) {
    let mut randomness = Randomness::new(&Entropy(Zeroizing::new([3; 32])), secret, &[0; 32]);
    let mut rows = Rows { values: Vec::new(), blinds: Zeroizing::default() };
    let points = rows.commit(values, bases, blinding, &mut randomness).expect("rows fit their bases");
    (points, rows.blinds)
}
