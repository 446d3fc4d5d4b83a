//! The portable twin of the low-rank product.

use super::{Expansion, Projection};

/// Outputs that are computed together, so that their sums stay in the first-level cache over all ranks.
const OUTPUTS_PER_BLOCK: usize = 1024;

/// Writes Y.
pub(super) fn project(projection: &Projection<'_>, y: &mut [i64]) {
    let rows = projection.x.chunks_exact(projection.inputs).zip(y.chunks_exact_mut(projection.rank));
    for (x, y) in rows {
        for (place, a) in y.iter_mut().zip(projection.a.chunks_exact(projection.inputs)) {
            // One product is at most 2^30 in magnitude; two of them can already leave `i32`.
            *place = x.iter().zip(a).map(|(&x, &a)| i64::from(i32::from(x) * i32::from(a))).sum();
        }
    }
}

/// Writes D.
pub(super) fn expand(expansion: &Expansion<'_>, deltas: &mut [i64]) {
    let rows = expansion.y.chunks_exact(expansion.rank).zip(deltas.chunks_exact_mut(expansion.outputs));
    for (y, deltas) in rows {
        for (block, deltas) in deltas.chunks_mut(OUTPUTS_PER_BLOCK).enumerate() {
            deltas.fill(0);
            for (&y, b) in y.iter().zip(expansion.b_transposed.chunks_exact(expansion.outputs)) {
                for (delta, &b) in deltas.iter_mut().zip(&b[block * OUTPUTS_PER_BLOCK..]) {
                    *delta = delta.wrapping_add(y.wrapping_mul(i64::from(b)));
                }
            }
        }
    }
}
