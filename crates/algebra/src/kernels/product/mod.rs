//! The contributor's exact low-rank product: `D = X A^T B^T` over the integers.
//!
//! `X` holds one int16 row a token, `A` is r x d and `B^T` is r x o, all row by row. The product goes through
//! `Y = X A^T` (n x r): n r (d + o) multiplications instead of n d o.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::Backend;

/// Tokens whose rows of Y are kept at a time: at rank 512 they fill 256 KiB.
const TOKENS_PER_BLOCK: usize = 64;

/// The widest input. |Y| is then at most 2^15 * 2^15 * 2^16 = 2^46.
const MAX_INPUTS: usize = 1 << 16;

/// One adapted module, as its contributor computes with it.
#[derive(Debug, Clone, Copy)]
pub struct LowRankProduct<'a> {
    /// A, `rank` rows of `inputs` entries.
    pub a: &'a [i16],
    /// B^T, `rank` rows of `outputs` entries.
    pub b_transposed: &'a [i16],
    /// The input width d, at least 1 and at most 65,536.
    pub inputs: usize,
    /// The output width o.
    pub outputs: usize,
}

impl LowRankProduct<'_> {
    /// Writes the deltas of the token rows in `x`, `outputs` entries for each.
    ///
    /// The caller guarantees, by the width of the weights, that every delta fits `i64`:
    /// `d r max|X| max|A| max|B| < 2^63`. Past that, results would be right only modulo 2^64.
    ///
    /// # Panics
    /// If the lengths do not fit the widths.
    pub fn write_deltas(&self, x: &[i16], deltas: &mut [i64]) {
        self.write_deltas_on(Backend::active(), x, deltas);
    }

    /// As [`LowRankProduct::write_deltas`], on a named twin.
    pub fn write_deltas_on(&self, backend: Backend, x: &[i16], deltas: &mut [i64]) {
        assert!((1..=MAX_INPUTS).contains(&self.inputs), "1 to {MAX_INPUTS} inputs, not {}", self.inputs);
        let rank = self.a.len() / self.inputs;
        let tokens = x.len() / self.inputs;
        assert_eq!(self.a.len(), rank * self.inputs, "A has whole rows of the input width");
        assert_eq!(self.b_transposed.len(), rank * self.outputs, "B^T has rank rows of the output width");
        assert_eq!(x.len(), tokens * self.inputs, "X has whole rows of the input width");
        assert_eq!(
            deltas.len(),
            tokens * self.outputs,
            "the deltas have a row of the output width for each token"
        );
        debug_assert!(self.fits(x, rank), "d r max|X| max|A| max|B| is below 2^63");
        if rank == 0 || self.outputs == 0 {
            return deltas.fill(0);
        }
        let mut y = vec![0; TOKENS_PER_BLOCK.min(tokens) * rank];
        let blocks =
            x.chunks(TOKENS_PER_BLOCK * self.inputs).zip(deltas.chunks_mut(TOKENS_PER_BLOCK * self.outputs));
        for (x, deltas) in blocks {
            let y = &mut y[..x.len() / self.inputs * rank];
            Projection { x, a: self.a, inputs: self.inputs, rank }.run(backend, y);
            Expansion { y, b_transposed: self.b_transposed, rank, outputs: self.outputs }
                .run(backend, deltas);
        }
    }

    fn fits(&self, x: &[i16], rank: usize) -> bool {
        let largest =
            |values: &[i16]| values.iter().map(|value| value.unsigned_abs()).max().map_or(0, u128::from);
        let bound = largest(x) * largest(self.a) * largest(self.b_transposed) * (self.inputs * rank) as u128;
        bound < 1 << 63
    }
}

/// `Y = X A^T`: int16 rows against int16 rows.
struct Projection<'a> {
    x: &'a [i16],
    a: &'a [i16],
    inputs: usize,
    rank: usize,
}

impl Projection<'_> {
    /// Writes Y, `rank` entries a token. All lengths agree.
    fn run(&self, backend: Backend, y: &mut [i64]) {
        #[cfg(target_arch = "x86_64")]
        if backend.is_avx512() {
            // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions.
            return unsafe { avx512::project(self, y) };
        }
        let _ = backend;
        portable::project(self, y);
    }
}

/// `D = Y B^T`: 47-bit integers against int16 rows, modulo 2^64.
struct Expansion<'a> {
    y: &'a [i64],
    b_transposed: &'a [i16],
    rank: usize,
    outputs: usize,
}

impl Expansion<'_> {
    /// Writes D, `outputs` entries a token. All lengths agree, and none is zero.
    fn run(&self, backend: Backend, deltas: &mut [i64]) {
        #[cfg(target_arch = "x86_64")]
        if backend.is_avx512() {
            // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions, and
            // `write_deltas_on` compared the lengths.
            return unsafe { avx512::expand(self, deltas) };
        }
        let _ = backend;
        portable::expand(self, deltas);
    }
}
