//! Statements and forged proofs that the tests share.

use ark_ff::Field;
use lorica_algebra::Scalar;
use lorica_argument::opening::{OpeningError, OpeningMode};
use lorica_argument::transcript::{FiatShamir, Label, Seed, Transcript};
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::statement::Forger;
use lorica_attack::training::values::{Counting, ForgedValues, Outside};
use lorica_prove::training::values::TrainingValues;
use lorica_relation::program::evaluate::Witness;
use lorica_relation::program::{
    Check, CommittedTensor, Parameter, Program, Rule, Samples, Shape, Source, TensorId, Term,
};
use lorica_testkit::training::SmallProgram;
use lorica_verify::training::context::Context;
use lorica_verify::training::{TRAINING_PROTOCOL, TrainingInvalid, TrainingProof, schedule};

pub(crate) const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

/// Two steps, so that parameters move and a tensor is carried over from one to the other; rows that several tensors share.
pub(crate) const SMALL: SmallProgram =
    SmallProgram { steps: 2, samples: 2, inputs: 2, outputs: 2, data_rows: 3, row_length: 8 };

/// The committed tensors of [`SmallProgram`].
pub(crate) const DELTA: usize = 0;
pub(crate) const SIGN: usize = 1;
pub(crate) const OUTPUT: usize = 2;
pub(crate) const EXPONENTIAL: usize = 3;
pub(crate) const SUM: usize = 4;

pub(crate) fn one() -> Scalar {
    Scalar::from(1u8)
}

pub(crate) fn integer(value: i64) -> Scalar {
    Scalar::from(value)
}

/// `numerator / denominator` modulo the group order.
pub(crate) fn fraction(numerator: i64, denominator: i64) -> Scalar {
    integer(numerator) * integer(denominator).inverse().unwrap()
}

pub(crate) fn real() -> FiatShamir {
    FiatShamir::new(TRAINING_PROTOCOL)
}

/// A witness with the commitments of a statement about it.
pub(crate) struct Case {
    pub(crate) forger: Forger,
    pub(crate) integers: Witness,
    pub(crate) witness: FieldWitness,
    pub(crate) selected: Vec<usize>,
}

/// The statement about a witness: its parameters, carried tensors and samples are what is committed to.
pub(crate) fn register(
    program: Program,
    witness: &FieldWitness,
    selected: &[usize],
    row_length: usize,
) -> Forger {
    let start = |context: &Context| ForgedValues::new(context, witness).rows().unwrap();
    Forger::new(program, selected, row_length, start).unwrap()
}

impl Case {
    pub(crate) fn new(program: Program, integers: Witness, selected: Vec<usize>, row_length: usize) -> Self {
        let witness = FieldWitness::of(&integers);
        let forger = register(program, &witness, &selected, row_length);
        Self { forger, integers, witness, selected }
    }

    pub(crate) fn small() -> Self {
        let (integers, selected) = SMALL.witness(11);
        Self::new(SMALL.program(), integers, selected, SMALL.row_length)
    }

    pub(crate) fn program(&self) -> &Program {
        self.forger.context.program()
    }
}

/// The real verifier's answer to a proof of values, the bytes included.
pub(crate) fn outcome(
    forger: &Forger,
    values: &ForgedValues<'_>,
    mode: OpeningMode,
) -> Result<TrainingProof, TrainingInvalid> {
    let proven = forger.prove_on(values, mode, &mut real()).unwrap();
    TrainingProof::verify_bytes(&proven.proof.to_bytes(), &forger.context, &forger.generators)
}

/// The answer of a verifier with another transcript, which the prover uses too.
pub(crate) fn outcome_on<T: Transcript>(
    forger: &Forger,
    values: &ForgedValues<'_>,
    transcript: impl Fn() -> T,
) -> Result<(), TrainingInvalid> {
    let proven = forger.prove_on(values, OpeningMode::Fast, &mut transcript()).unwrap();
    proven.proof.verify(&forger.context, &forger.generators, &mut transcript())
}

/// The statement is refused whatever the prover does about leaves outside of the table, and in both modes.
#[track_caller]
pub(crate) fn is_refused(forger: &Forger, witness: &FieldWitness, what: &str) {
    for (outside, mode) in [(Outside::Left, MODES[0]), (Outside::Clamped, MODES[1])] {
        let values = ForgedValues { outside, ..ForgedValues::new(&forger.context, witness) };
        values_are_refused(forger, &values, mode, what);
    }
}

#[track_caller]
pub(crate) fn values_are_refused(forger: &Forger, values: &ForgedValues<'_>, mode: OpeningMode, what: &str) {
    let error = outcome(forger, values, mode).err().unwrap_or_else(|| panic!("{what}: accepted"));
    let expected = match mode {
        OpeningMode::Fast => OpeningError::Form,
        OpeningMode::Compact => OpeningError::InnerProduct,
    };
    assert_eq!(error, TrainingInvalid::Opening(expected), "{what}");
}

#[track_caller]
pub(crate) fn is_accepted(forger: &Forger, witness: &FieldWitness, what: &str) {
    let values = ForgedValues::new(&forger.context, witness);
    outcome(forger, &values, OpeningMode::Fast).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// Counts messages.
struct Counter(usize);

impl Transcript for Counter {
    fn absorb(&mut self, _label: Label, _message: &[u8]) {
        self.0 += 1;
    }

    fn seed(&mut self, _label: Label) -> Seed {
        Seed([0; 32])
    }

    fn state(&self) -> [u8; 32] {
        [0; 32]
    }
}

/// A transcript that has taken in the verifier's statement and does not take in the one that it is given: with it a prover
/// makes an honest proof of another statement, on the challenges of the verifier's.
pub(crate) struct Restated {
    inner: FiatShamir,
    skipped: usize,
}

impl Restated {
    pub(crate) fn new(verifiers: &Context, provers: &Context) -> Self {
        let mut inner = real();
        schedule::begin(&mut inner, verifiers);
        let mut count = Counter(0);
        schedule::begin(&mut count, provers);
        Self { inner, skipped: count.0 }
    }
}

impl Transcript for Restated {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        match self.skipped.checked_sub(1) {
            Some(left) => self.skipped = left,
            None => self.inner.absorb(label, message),
        }
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.inner.seed(label)
    }

    fn state(&self) -> [u8; 32] {
        self.inner.state()
    }
}

/// `(2^15 + x) in [0, 2^16)` for one tensor of one row, in so many steps; and nothing else but what every program has.
pub(crate) fn words(steps: usize, columns: usize) -> Program {
    let shape = Shape { rows: 1, columns };
    Program {
        steps,
        steps_before: 0,
        tensors: vec![CommittedTensor { name: "x".to_owned(), shape }],
        parameters: vec![Parameter {
            name: "w".to_owned(),
            shape: Shape { rows: 1, columns: 1 },
            moved_by: None,
        }],
        samples: Samples { per_step: 1, width: 1 },
        exponential: None,
        checks: vec![check("x", shape, 1 << 15, vec![Term::source(1, source(0))], Rule::Word { shift: 0 })],
    }
}

pub(crate) fn check(name: &str, shape: Shape, offset: i64, terms: Vec<Term>, rule: Rule) -> Check {
    Check { name: name.to_owned(), shape, offset, terms, rule }
}

pub(crate) fn source(id: usize) -> Source {
    Source::Committed(TensorId(id))
}

/// Entries of [`words`], honest until they are changed.
pub(crate) fn entries(program: &Program) -> FieldWitness {
    let count = program.steps * program.tensors[0].shape.entries();
    FieldWitness {
        tensors: vec![(0..count as i64).map(|i| integer(i * 977 % 65_536 - (1 << 15))).collect()],
        parameters: vec![vec![integer(1)]],
        samples: vec![integer(1); program.steps],
        carried: Vec::new(),
    }
}

/// The statement about words.
pub(crate) fn of_words(program: Program, witness: &FieldWitness) -> Forger {
    let selected = vec![0; program.steps];
    register(program, witness, &selected, 16)
}

/// Values of a witness whose multiplicities are made for a gamma that is known beforehand.
pub(crate) fn balanced<'a>(
    context: &'a Context,
    witness: &'a FieldWitness,
    gamma: Scalar,
    number: usize,
) -> ForgedValues<'a> {
    ForgedValues { counting: Counting::Balanced { gamma, number }, ..ForgedValues::new(context, witness) }
}
