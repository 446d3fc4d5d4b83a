//! Statements of cheating provers: about programs that no verifier accepts, and commitments to anything.
//!
//! A verifier makes its [`Context`] by [`Context::new`], which refuses a program that leaves room for fractions. A test that
//! wants to see what such a program would let pass needs a verifier without that defence. Its context is put together here, from
//! the same layouts: the parts of a context are public, so neither a hook nor a second constructor is needed in the verifier,
//! and nothing but this crate's tests goes this way.

use lorica_algebra::Scalar;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::Transcript;
use lorica_prove::randomness::{Entropy, Randomness};
use lorica_prove::secret::AdapterSecret;
use lorica_prove::training::values::{RowValues, TrainingValues};
use lorica_prove::training::{ProvenSteps, TrainingProofError, TrainingProver};
use lorica_relation::program::Program;
use lorica_tensor::Digest;
use lorica_verify::training::context::{Context, Start, Statement};
use lorica_verify::training::layout::{RowLayout, Selection};
use lorica_verify::training::leaves::LeafLayout;
use zeroize::Zeroizing;

/// The context of a statement that nobody checked. `None` if a matrix is wider than a row.
pub fn unchecked_context(statement: Statement) -> Option<Context> {
    let program = &statement.program;
    let leaves = LeafLayout::of(program);
    let selected = statement.selection.rows.len();
    let rows = RowLayout::of(program, statement.row_length, selected, leaves.lookups().len())?;
    let exponentials = program.exponential.map(|table| table.entries());
    Some(Context { leaves, rows, exponentials, statement })
}

/// A statement with what a prover of it has: the blinds, and the bases.
#[derive(Clone)]
pub struct Forger {
    /// The statement with its layouts, unchecked.
    pub context: Context,
    /// The blinds of its commitments.
    pub start_blinds: Vec<Scalar>,
    /// The seed of all masks.
    pub secret: AdapterSecret,
    /// The bases.
    pub generators: Generators,
}

impl Forger {
    /// A statement about a program with commitments to rows of any length, as many as its layout has. `None` if they are not,
    /// or a matrix is wider than a row.
    pub fn new(
        program: Program,
        selected: &[usize],
        row_length: usize,
        start: impl FnOnce(&Context) -> Vec<RowValues>,
    ) -> Option<Self> {
        let nothing = Start { parameters: Vec::new(), carried: Vec::new(), samples: Vec::new() };
        let selection = Selection::new(selected);
        let statement = Statement { program, digest: Digest([7; 32]), row_length, selection, start: nothing };
        let mut context = unchecked_context(statement)?;
        let generators = Generators::derive(context.rows.width, 0);
        let secret = AdapterSecret::from_seed([9; 32]);
        let counts = |pieces: &mut dyn Iterator<Item = usize>| pieces.collect::<Vec<_>>();
        let parameters = counts(&mut context.rows.parameters.iter().map(|pieces| pieces.count()));
        let carried = counts(&mut context.rows.carried.iter().map(|(_, pieces)| pieces.count()));
        let count = parameters.iter().chain(&carried).sum::<usize>() + context.rows.samples;

        let mut values = start(&context);
        values.truncate(count);
        let mut randomness = Randomness::new(&Entropy(Zeroizing::new([3; 32])), &secret, &[0; 32]);
        let start_blinds = randomness.scalars(values.len());
        let mut points = values.iter().zip(&start_blinds).map(|(row, blind)| {
            let mut scalars = of_row(row);
            let mut bases = generators.rows()[..scalars.len()].to_vec();
            scalars.push(*blind);
            bases.push(*generators.blinding());
            EncodedPoint::new(multiscalar(&scalars, &bases))
        });
        let mut take = |count: usize| points.by_ref().take(count).collect::<Vec<_>>();
        let parameters = parameters.into_iter().map(&mut take).collect();
        let carried = carried.into_iter().map(&mut take).collect();
        let samples = take(count);
        context.statement.start = Start { parameters, carried, samples };
        (start_blinds.len() == count).then_some(())?;
        Some(Self { context, start_blinds, secret, generators })
    }

    /// The same commitments under another program.
    pub fn under(&self, program: Program) -> Option<Self> {
        let statement = Statement { program, ..self.context.statement.clone() };
        Some(Self { context: unchecked_context(statement)?, ..self.clone() })
    }

    /// The prover of values.
    pub fn prover<'a>(&'a self, values: &'a dyn TrainingValues) -> TrainingProver<'a> {
        TrainingProver {
            context: &self.context,
            values,
            start_blinds: &self.start_blinds,
            secret: &self.secret,
            generators: &self.generators,
        }
    }

    /// The honest prover's proof of values, on a transcript.
    pub fn prove_on(
        &self,
        values: &dyn TrainingValues,
        mode: OpeningMode,
        transcript: &mut dyn Transcript,
    ) -> Result<ProvenSteps, TrainingProofError> {
        self.prover(values).prove_on(mode, &entropy(), transcript)
    }
}

/// What proofs of cheating provers are blinded with: the same for all, as nothing in them is a secret.
pub fn entropy() -> Entropy {
    Entropy(Zeroizing::new([5; 32]))
}

fn of_row(row: &RowValues) -> Vec<Scalar> {
    let wide = |(high, low): (&i16, &i16)| Scalar::from((i64::from(*high) << 16) + i64::from(*low));
    match row {
        RowValues::Narrow(values) => values.iter().map(|value| Scalar::from(*value)).collect(),
        RowValues::Wide { high, low } => high.iter().zip(low.iter()).map(wide).collect(),
        RowValues::Field(values) => values.to_vec(),
    }
}
