//! The session relation: for every module m and token row n, `D_m[n] = B_m (A_m X_m[n])` over the integers.
//!
//! [`check`] evaluates it with plain loops in `i128`, in the clear. It is slow on purpose: it shares no code
//! with the kernels, the prover or the verifier, and so fixes what they must agree with.

use std::{fmt, ops::Range};

use crate::rows::{ModuleIndex, RowsError, SessionRows, StreamIndex};
use lorica_tensor::ModuleName;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The public shape of one adapted module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleShape {
    /// The linear layer's path in the base model.
    pub name: ModuleName,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// Rank r.
    pub rank: usize,
}

/// The public shape of one stream of activations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShape {
    /// The modules that read this stream; all have `inputs == width`. A module reads at most one stream.
    pub modules: Vec<ModuleIndex>,
    /// Values in a row.
    pub width: usize,
    /// Number of token rows N.
    pub rows: u64,
}

/// What both parties see: the shapes, the activations and the deltas.
#[derive(Clone, Copy)]
pub struct Instance<'a> {
    /// All modules of the manifest, in its order. A module that no stream feeds was never called.
    pub modules: &'a [ModuleShape],
    /// The streams of the session.
    pub streams: &'a [StreamShape],
    /// Activations and deltas.
    pub rows: &'a dyn SessionRows,
}

/// The integers of one adapted module; wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LowRank {
    /// A, row-major, rank x inputs: row j is `a[j * inputs..][..inputs]`.
    pub a: Vec<i16>,
    /// B transposed, row-major, rank x outputs: column j of B is `b[j * outputs..][..outputs]`.
    pub b: Vec<i16>,
}

/// What only the contributor knows: the integers of every module, in the order of the manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct Witness {
    /// One entry for each module.
    pub modules: Vec<LowRank>,
}

// Weights are private: a stray `{:?}` in a log must not print them.
impl fmt::Debug for LowRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LowRank({} + {} private integers)", self.a.len(), self.b.len())
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({} private modules)", self.modules.len())
    }
}

/// The first reason found why a statement does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A stream names a module that does not exist.
    #[error("stream {stream} feeds module {module}, but there are {modules} modules")]
    UnknownModule {
        /// The stream.
        stream: usize,
        /// The index it names.
        module: usize,
        /// Number of modules.
        modules: usize,
    },
    /// A module is named twice, by one stream or by two.
    #[error("module {module} is fed by stream {first} and again by stream {second}")]
    FedTwice {
        /// The module.
        module: ModuleName,
        /// The stream that names it first.
        first: usize,
        /// The stream that names it again.
        second: usize,
    },
    /// A stream's rows do not have the width its module reads.
    #[error("module {module} reads rows of {inputs} values, stream {stream} has rows of {width}")]
    Width {
        /// The module.
        module: ModuleName,
        /// The module's input width.
        inputs: usize,
        /// The stream.
        stream: usize,
        /// The stream's width.
        width: usize,
    },
    /// The witness has not one entry a module.
    #[error("the witness holds {found} modules, the statement {expected}")]
    WitnessModules {
        /// Modules of the statement.
        expected: usize,
        /// Modules of the witness.
        found: usize,
    },
    /// A private matrix does not have its public shape.
    #[error("matrix {matrix} of module {module}: expected {rank} x {width} integers, found {found}")]
    WitnessShape {
        /// The module.
        module: ModuleName,
        /// `A` or `B`.
        matrix: &'static str,
        /// The rank.
        rank: usize,
        /// Width of a row: inputs for A, outputs for B.
        width: usize,
        /// Integers there are.
        found: usize,
    },
    /// The row source failed.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The row source returned another number of values than was asked for.
    #[error("{what}, rows {first}..{end}: expected {expected} values, found {found}")]
    RowsLength {
        /// The tensor.
        what: String,
        /// First row asked for.
        first: u64,
        /// Row after the last one asked for.
        end: u64,
        /// Rows times width.
        expected: usize,
        /// Values returned.
        found: usize,
    },
    /// A delta is not what the private matrices make of the activations.
    #[error("delta of module {module}, row {row}, column {column}: expected {expected}, found {found}")]
    WrongDelta {
        /// The module.
        module: ModuleName,
        /// The token row.
        row: u64,
        /// The output coordinate.
        column: usize,
        /// What the matrices give.
        expected: i128,
        /// What the session holds.
        found: i64,
    },
}

/// Rows that are held in memory at once.
const BLOCK_ROWS: u64 = 32;

impl Instance<'_> {
    /// Checks that the shapes fit each other: every stream names known modules of its own width, and no
    /// module is named twice.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check_shapes(&self) -> Result<(), SessionError> {
        let mut fed_by = vec![None; self.modules.len()];
        for (stream, shape) in self.streams.iter().enumerate() {
            for &ModuleIndex(module) in &shape.modules {
                let (Some(found), Some(fed_by)) = (self.modules.get(module), fed_by.get_mut(module)) else {
                    return Err(SessionError::UnknownModule { stream, module, modules: self.modules.len() });
                };
                if let Some(first) = fed_by.replace(stream) {
                    return Err(SessionError::FedTwice { module: found.name.clone(), first, second: stream });
                }
                if found.inputs != shape.width {
                    return Err(SessionError::Width {
                        module: found.name.clone(),
                        inputs: found.inputs,
                        stream,
                        width: shape.width,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Witness {
    /// Checks that the private matrices have the public shapes.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check_shapes(&self, modules: &[ModuleShape]) -> Result<(), SessionError> {
        if self.modules.len() != modules.len() {
            return Err(SessionError::WitnessModules { expected: modules.len(), found: self.modules.len() });
        }
        for (shape, weights) in modules.iter().zip(&self.modules) {
            let matrices = [("A", &weights.a, shape.inputs), ("B", &weights.b, shape.outputs)];
            for (matrix, integers, width) in matrices {
                if shape.rank.checked_mul(width) != Some(integers.len()) {
                    return Err(SessionError::WitnessShape {
                        module: shape.name.clone(),
                        matrix,
                        rank: shape.rank,
                        width,
                        found: integers.len(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Checks that every delta of the session is exactly what the witness makes of the activations.
///
/// Rows are read in blocks, so memory does not grow with the session. A module that no stream feeds states nothing.
///
/// # Errors
/// Shapes that disagree, rows that cannot be read, or the first wrong delta in the order of streams, row
/// blocks, modules, rows and columns.
pub fn check(instance: &Instance<'_>, witness: &Witness) -> Result<(), SessionError> {
    instance.check_shapes()?;
    witness.check_shapes(instance.modules)?;
    for (stream, shape) in instance.streams.iter().enumerate() {
        for first in (0..shape.rows).step_by(BLOCK_ROWS as usize) {
            let rows = first..shape.rows.min(first.saturating_add(BLOCK_ROWS));
            check_block(instance, witness, StreamIndex(stream), rows)?;
        }
    }
    Ok(())
}

fn check_block(
    instance: &Instance<'_>,
    witness: &Witness,
    stream: StreamIndex,
    rows: Range<u64>,
) -> Result<(), SessionError> {
    let shape = &instance.streams[stream.0];
    let (mut input_buffer, mut delta_buffer) = (Vec::new(), Vec::new());
    let inputs = instance.rows.inputs(stream, rows.clone(), &mut input_buffer)?;
    expect_length(|| format!("inputs of stream {}", stream.0), &rows, shape.width, inputs.len())?;
    for &module in &shape.modules {
        let (public, private) = (&instance.modules[module.0], &witness.modules[module.0]);
        let deltas = instance.rows.deltas(module, rows.clone(), &mut delta_buffer)?;
        expect_length(|| format!("deltas of module {}", public.name), &rows, public.outputs, deltas.len())?;
        for (offset, row) in rows.clone().enumerate() {
            let input = &inputs[offset * public.inputs..][..public.inputs];
            let found = &deltas[offset * public.outputs..][..public.outputs];
            let expected = delta_of_row(public, private, input);
            if let Some(column) = (0..public.outputs).find(|&i| i128::from(found[i]) != expected[i]) {
                return Err(SessionError::WrongDelta {
                    module: public.name.clone(),
                    row,
                    column,
                    expected: expected[column],
                    found: found[column],
                });
            }
        }
    }
    Ok(())
}

/// `B (A x)` for one row x. The products of 16-bit integers stay far below 2^127 at any length that fits in memory.
fn delta_of_row(shape: &ModuleShape, weights: &LowRank, input: &[i16]) -> Vec<i128> {
    let mut delta = vec![0i128; shape.outputs];
    for rank_index in 0..shape.rank {
        let row_of_a = &weights.a[rank_index * shape.inputs..][..shape.inputs];
        let column_of_b = &weights.b[rank_index * shape.outputs..][..shape.outputs];
        let inner: i128 = row_of_a.iter().zip(input).map(|(&a, &x)| i128::from(a) * i128::from(x)).sum();
        for (sum, &b) in delta.iter_mut().zip(column_of_b) {
            *sum += i128::from(b) * inner;
        }
    }
    delta
}

fn expect_length(
    what: impl Fn() -> String,
    rows: &Range<u64>,
    width: usize,
    found: usize,
) -> Result<(), SessionError> {
    // At most BLOCK_ROWS rows; a width so large that this overflows cannot be met by any slice.
    let expected = ((rows.end - rows.start) as usize).saturating_mul(width);
    if found == expected {
        return Ok(());
    }
    Err(SessionError::RowsLength { what: what(), first: rows.start, end: rows.end, expected, found })
}

#[cfg(test)]
mod tests;
