//! What a training proof is about, and all sizes that follow from it.

use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;
use lorica_argument::lookup::{self, Lookup, LookupShape, Table};
use lorica_argument::products as many_products;
use lorica_relation::program::bounds::ProgramError;
use lorica_relation::program::{Check, Program, Rule, Shape, Term, Value};
use lorica_tensor::Digest;

use super::layout::{RowLayout, Selection};
use super::leaves::{Lane, LeafLayout};
use super::reduce::{EntrywisePairs, product_rounds};
use lorica_algebra::multilinear::variables;

/// Commitments that a proof starts from: registered, or computed from registered ones and earlier proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// For each parameter, one for each piece.
    pub parameters: Vec<Vec<EncodedPoint>>,
    /// For each tensor that is carried over, one for each piece.
    pub carried: Vec<Vec<EncodedPoint>>,
    /// One for each selected row of the data set.
    pub samples: Vec<EncodedPoint>,
}

/// Everything public about a training proof.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What is computed.
    pub program: Program,
    /// A digest of everything that the steps are said to be: run, numbers of steps, configuration, data set, model, the rows
    /// that were selected, and the proof before.
    pub digest: Digest,
    /// The largest number of entries of a row of parameters and committed tensors: the registered model's.
    pub row_length: usize,
    /// Which rows of the data set the steps use.
    pub selection: Selection,
    /// The commitments that it starts from.
    pub start: Start,
}

/// Why a statement is not one that can be proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The program is refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A matrix is wider than a row.
    #[error("rows of {row_length} entries are too short for a row of the widest matrix")]
    RowLength {
        /// The length of a row.
        row_length: usize,
    },
    /// The selection, or the commitments, are not as many as the program asks for.
    #[error("{what}: {expected} expected, {found} found")]
    Count {
        /// What is counted.
        what: &'static str,
        /// By the program.
        expected: usize,
        /// In the statement.
        found: usize,
    },
}

/// A statement with the layouts that follow from it.
#[derive(Debug, Clone)]
pub struct Context {
    /// The statement.
    pub statement: Statement,
    /// Where entries of checks stand among the leaves.
    pub leaves: LeafLayout,
    /// Which row holds what.
    pub rows: RowLayout,
    /// The table of exponentials, if the program has one.
    pub exponentials: Option<Vec<u16>>,
}

impl Context {
    /// Refuses what is no statement.
    pub fn new(statement: Statement) -> Result<Self, StatementError> {
        let program = &statement.program;
        program.validate()?;
        let row_length = statement.row_length;
        let leaves = LeafLayout::of(program);
        let lookups = leaves.lookups().len();
        let rows = RowLayout::of(program, row_length, statement.selection.rows.len(), lookups)
            .ok_or(StatementError::RowLength { row_length })?;
        let count = |what, expected: usize, found: usize| {
            if expected == found { Ok(()) } else { Err(StatementError::Count { what, expected, found }) }
        };
        let Selection { rows: selected, places } = &statement.selection;
        count("samples of all steps", program.steps.saturating_mul(program.samples.per_step), places.len())?;
        let outside = places.iter().filter(|place| **place >= selected.len()).count();
        count("samples that were not selected", 0, outside)?;
        // Each row once, in order, and used: then the rows of all steps say everything about the selection.
        let disordered =
            selected.windows(2).filter(|pair| matches!(pair, [row, next] if row >= next)).count();
        count("selected rows that are not above the one before", 0, disordered)?;
        let mut used = vec![false; selected.len()];
        places.iter().for_each(|place| used.iter_mut().skip(*place).take(1).for_each(|used| *used = true));
        count("selected rows that no step uses", 0, used.iter().filter(|used| !**used).count())?;
        let Start { parameters, carried, samples } = &statement.start;
        count("commitments to samples", selected.len(), samples.len())?;
        count("parameters with commitments", program.parameters.len(), parameters.len())?;
        count("carried tensors with commitments", rows.carried.len(), carried.len())?;
        for (pieces, points) in rows.parameters.iter().zip(parameters) {
            count("commitments to a parameter", pieces.count(), points.len())?;
        }
        for ((_, pieces), points) in rows.carried.iter().zip(carried) {
            count("commitments to a carried tensor", pieces.count(), points.len())?;
        }
        let exponentials = program.exponential.map(|table| table.entries());
        Ok(Self { leaves, rows, exponentials, statement })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.statement.program
    }

    /// The commitments of the statement, in the order of rows.
    pub fn start(&self) -> impl Iterator<Item = &EncodedPoint> {
        let Start { parameters, carried, samples } = &self.statement.start;
        parameters.iter().flatten().chain(carried.iter().flatten()).chain(samples)
    }

    /// The shape of a check.
    pub fn check_shape(&self, check: usize) -> Option<Shape> {
        self.program().checks.get(check).map(|check| check.shape)
    }

    /// The entries of the table of exponentials as the lookup compares them: `index + beta * entry`.
    pub fn paired(&self, beta: Scalar) -> Vec<Scalar> {
        let entries = self.exponentials.iter().flatten();
        let indices = (0u64..).map(Scalar::from);
        indices.zip(entries).map(|(index, entry)| index + beta * Scalar::from(*entry)).collect()
    }

    /// The lookups with their tables.
    pub fn lookups<'a>(&self, paired: &'a [Scalar]) -> Vec<Lookup<'a>> {
        let table = |lane| match lane {
            Lane::Words => Table::Words,
            Lane::Pairs => Table::Entries(paired),
        };
        self.leaves.lookups().into_iter().map(|(lane, shape)| Lookup { shape, table: table(lane) }).collect()
    }

    /// The checks whose entries are zero.
    pub fn zeros(&self) -> impl Iterator<Item = &Check> {
        self.program().checks.iter().filter(|check| matches!(check.rule, Rule::Zero))
    }

    /// Every term of every claim on checks: for each block in each tree, and for each zero check.
    fn claimed_terms(&self) -> Vec<&Term> {
        let mut terms = Vec::new();
        for (lane, shape) in self.leaves.lookups() {
            for tree in shape.trees() {
                let point = vec![Scalar::from(0u8); tree.depth()];
                let forms = self.leaves.forms(lane, tree, &point, |check| self.check_shape(check));
                for form in forms.into_iter().flatten() {
                    terms.extend(self.program().checks.get(form.check).iter().flat_map(|check| &check.terms));
                }
            }
        }
        terms.extend(self.zeros().flat_map(|check| &check.terms));
        terms
    }

    /// All sizes of a proof.
    pub fn sizes(&self) -> ProofSizes {
        let steps = self.program().steps;
        let (mut products, mut product_sums) = (0usize, Vec::new());
        let mut pairs = EntrywisePairs::default();
        let mut add_pair = |value: &Value| {
            if let Value::Entrywise(left, right) = value
                && let Some(shape) = self.program().shape(*left)
            {
                pairs.add(*left, *right, shape);
            }
        };
        for term in self.claimed_terms() {
            add_pair(&term.value);
            if let Value::Product(product) = &term.value {
                products = products.saturating_add(1);
                product_sums.push([variables(steps), variables(product.inner())]);
                product.left.terms.iter().chain(&product.right.terms).for_each(|term| add_pair(&term.value));
            }
        }
        ProofSizes {
            lookups: self.leaves.lookups().into_iter().map(|(_, shape)| shape).collect(),
            products,
            product_rounds: product_rounds(product_sums.into_iter()),
            sources: pairs.sources.len(),
            pairs: pairs.pairs.len(),
            entrywise_rounds: pairs.rounds(steps),
            column_rounds: variables(self.rows.width),
        }
    }
}

/// Sizes of a proof, all from the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofSizes {
    /// The lookups.
    pub lookups: Vec<LookupShape>,
    /// Claims on products of matrices.
    pub products: usize,
    /// Rounds of their sumcheck.
    pub product_rounds: usize,
    /// Factors of entrywise products.
    pub sources: usize,
    /// Entrywise products.
    pub pairs: usize,
    /// Rounds of their sumcheck.
    pub entrywise_rounds: usize,
    /// Column rounds.
    pub column_rounds: usize,
}

impl ProofSizes {
    /// The number of slots of each scratch commitment, in the order of sending.
    pub fn blocks(&self) -> Vec<usize> {
        let mut blocks: Vec<usize> = lookup::blocks(&self.lookups).collect();
        if self.products > 0 {
            blocks.push(1);
            blocks.extend(std::iter::repeat_n(2, self.product_rounds));
            blocks.push(self.products.saturating_mul(2));
        }
        if self.pairs > 0 {
            blocks.push(1);
            blocks.extend(std::iter::repeat_n(3, self.entrywise_rounds));
            blocks.push(self.sources);
        }
        let of_lookups = self.lookups.iter().map(LookupShape::product_terms).fold(0, usize::saturating_add);
        blocks.extend(many_products::blocks(
            of_lookups.saturating_add(self.products).saturating_add(self.pairs),
        ));
        blocks.extend(std::iter::repeat_n(2, self.column_rounds));
        blocks
    }

    /// The number of slots.
    pub fn slots(&self) -> usize {
        self.blocks().into_iter().fold(0, usize::saturating_add)
    }
}
