//! Commitments to many rows of int16 values over fixed bases: `C_k = sum_i rows[k][i] * g_i` in ristretto255.
//!
//! Registration of an adapter is this kernel plus one blind a row. It stands on `curve25519-dalek` alone.
//!
//! # Method
//! The bases are the same for every row, so each base gets a table of its small multiples `1 g .. 2^(c-1) g`, and an
//! entry of a row, cut into `ceil(16/c)` signed digits of c bits, costs one table lookup and one addition a digit.
//! Every row keeps one accumulator a digit position, `W_j = sum_i digit_j(rows[k][i]) g_i`; at the end
//! `C_k = sum_j 2^(c j) W_j` takes a few doublings a row. A table thus never holds `2^(c j) g`.
//! Bases are taken in blocks whose tables stay in the second-level cache while all rows pass over them.
//! The digit width c follows from the number of rows: the one with the fewest additions, table entries included.
//!
//! | module | what it holds |
//! |---|---|
//! | `digits` | signed digits of int16 values, and the choice of their width |
//! | `portable` | the method over `curve25519-dalek` additions |
//! | `simd` | the method eight rows at a time with AVX-512 IFMA: `field` < `point` < `ristretto` below it |
//!
//! # Not constant time
//! Table addresses depend on the row entries, and zero digits are skipped. The entries are secret weights: run this
//! only where no other party can time it or share its cache, as in a local registration.

mod digits;
mod portable;
#[cfg(target_arch = "x86_64")]
mod simd;
#[cfg(test)]
mod tests;

use super::Backend;
use crate::Point;

/// Why rows could not be committed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A row has more entries than there are generators.
    #[error(
        "row {row} has {entries} entries but there are only {generators} generators: derive more generators"
    )]
    TooLong {
        /// Position of the row among those given.
        row: usize,
        /// Number of entries of the row.
        entries: usize,
        /// Number of generators of the committer.
        generators: usize,
    },
    /// The computed sum of a row is not a group element. No input leads here: the machine has erred.
    #[error(
        "the sum of row {row} is not a group element: the machine computed wrongly, check its memory and processor"
    )]
    NotInGroup {
        /// Position of the row among those given.
        row: usize,
    },
}

/// Commits to rows of int16 values over a fixed list of generators.
///
/// Build it once for a list of generators: reading their coordinates costs a few microseconds each.
#[derive(Clone, Debug)]
pub struct RowCommitter {
    generators: usize,
    twin: Twin,
}

/// The implementation that runs, with the generators as it wants them.
#[derive(Clone, Debug)]
enum Twin {
    Portable(Vec<Point>),
    #[cfg(target_arch = "x86_64")]
    Avx512(simd::Generators),
}

impl RowCommitter {
    /// A committer over `generators` (g_0, g_1, ..) with the twin that this process uses, [`Backend::active`].
    pub fn new(generators: &[Point]) -> Self {
        Self::with_backend(generators, Backend::active())
    }

    /// A committer over `generators` with the given twin.
    pub fn with_backend(generators: &[Point], backend: Backend) -> Self {
        Self { generators: generators.len(), twin: Twin::new(generators, backend) }
    }

    /// The commitments `C_k = sum_i rows[k][i] * g_i`, one a row, in order; every int16 value is allowed.
    ///
    /// Rows may differ in length; a shorter row is as if padded with zeros. Spreads over the current rayon pool.
    ///
    /// # Errors
    /// [`RowError::TooLong`] if a row has more entries than there are generators; [`RowError::NotInGroup`] after a
    /// fault of the machine.
    pub fn commit(&self, rows: &[&[i16]]) -> Result<Vec<Point>, RowError> {
        for (row, entries) in rows.iter().map(|row| row.len()).enumerate() {
            if entries > self.generators {
                return Err(RowError::TooLong { row, entries, generators: self.generators });
            }
        }
        match &self.twin {
            Twin::Portable(generators) => Ok(portable::commit(generators, rows)),
            #[cfg(target_arch = "x86_64")]
            Twin::Avx512(generators) => generators.commit(rows).map_err(|row| RowError::NotInGroup { row }),
        }
    }
}

impl Twin {
    fn new(generators: &[Point], backend: Backend) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = simd::Avx512::of(backend) {
            return Self::Avx512(simd::Generators::new(avx512, generators));
        }
        let _ = backend;
        Self::Portable(generators.to_vec())
    }
}
