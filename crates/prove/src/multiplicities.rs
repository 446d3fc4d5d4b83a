//! Commitments to how often each number of a table is looked up.

use lorica_algebra::kernels::rows::{RowCommitter, RowError};
use lorica_algebra::{Point, Scalar, point};
use zeroize::Zeroizing;

/// Commits to counts in rows of as many entries as there are bases, without blinds: 15 bits of each count at a time.
pub fn commit_counts(counts: &[u64], bases: &[Point]) -> Result<Vec<Point>, RowError> {
    const LIMB_BITS: u32 = i16::BITS - 1;
    let committer = RowCommitter::new(bases);
    let largest = counts.iter().copied().max().unwrap_or(0);
    let limbs = (u64::BITS - largest.leading_zeros()).div_ceil(LIMB_BITS).max(1);
    let mut sums = vec![point::identity(); counts.len().div_ceil(bases.len())];
    for limb in 0..limbs {
        let shift = limb * LIMB_BITS;
        let values: Zeroizing<Vec<i16>> = Zeroizing::new(
            counts.iter().map(|count| (count >> shift & ((1 << LIMB_BITS) - 1)) as i16).collect(),
        );
        let rows: Vec<&[i16]> = values.chunks(bases.len()).collect();
        let factor = Scalar::from(1u128 << shift);
        for (sum, part) in sums.iter_mut().zip(committer.commit(&rows)?) {
            *sum += point::multiscalar(&[factor], &[part]);
        }
    }
    Ok(sums)
}
