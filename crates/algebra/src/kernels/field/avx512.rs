//! The AVX-512 twins of the loops over scalars. The last scalars of a vector, too few for a step of
//! eight or of two times eight, go the portable way.

use super::lanes::{Canonical, Columns, LANES, Lanes, Multiplier, PAIRS, Totals};
use super::{Halves, RoundSums, portable};
use crate::Scalar;

/// Steps of eight products between two foldings of the columns, which have room for more.
const STEPS_PER_FOLD: usize = 256;
const _: () = assert!(STEPS_PER_FOLD <= Columns::ROOM);

/// `sum_i left[i] * right[i]`.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn inner_product(left: &[Scalar], right: &[Scalar]) -> Scalar {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut totals = Totals::default();
    for (left, right) in left.chunks(STEPS_PER_FOLD).zip(right.chunks(STEPS_PER_FOLD)) {
        let mut columns = Columns::zero();
        for (left, right) in left.iter().zip(right) {
            columns.add_product(Lanes::load(left), Lanes::load(right));
        }
        totals.add(columns.totals());
    }
    totals.to_scalar() + portable::inner_product(left_rest, right_rest)
}

/// The sums of a round.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn round_sums(halves: &Halves<'_>) -> RoundSums {
    let (left_low, left_low_rest) = halves.left_low.as_chunks::<LANES>();
    let (left_high, left_high_rest) = halves.left_high.as_chunks::<LANES>();
    let (right_low, right_low_rest) = halves.right_low.as_chunks::<LANES>();
    let (right_high, right_high_rest) = halves.right_high.as_chunks::<LANES>();
    let (mut constant, mut leading) = (Totals::default(), Totals::default());
    let lows = left_low.chunks(STEPS_PER_FOLD).zip(right_low.chunks(STEPS_PER_FOLD));
    let highs = left_high.chunks(STEPS_PER_FOLD).zip(right_high.chunks(STEPS_PER_FOLD));
    for ((left_low, right_low), (left_high, right_high)) in lows.zip(highs) {
        let (mut lower, mut difference) = (Columns::zero(), Columns::zero());
        let (lows, highs) = (left_low.iter().zip(right_low), left_high.iter().zip(right_high));
        for ((left_low, right_low), (left_high, right_high)) in lows.zip(highs) {
            let (left_low, right_low) = (Lanes::load(left_low), Lanes::load(right_low));
            lower.add_product(left_low, right_low);
            let left = Lanes::load(left_high).minus(left_low);
            let right = Lanes::load(right_high).minus(right_low);
            difference.add_product(left, right);
        }
        constant.add(lower.totals());
        leading.add(difference.totals());
    }
    let rest = portable::round_sums(&Halves {
        left_low: left_low_rest,
        left_high: left_high_rest,
        right_low: right_low_rest,
        right_high: right_high_rest,
    });
    RoundSums { constant: constant.to_scalar() + rest.constant, leading: leading.to_scalar() + rest.leading }
}

/// `low[i] += challenge * (high[i] - low[i])`.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn bind(low: &mut [Scalar], high: &[Scalar], challenge: Scalar) {
    let (low, high) = (low.split_at_mut(whole_steps(low.len())), high.split_at(whole_steps(high.len())));
    let multiplier = Multiplier::new(challenge);
    let (steps, upper_steps) = (low.0.as_chunks_mut::<LANES>().0, high.0.as_chunks::<LANES>().0);
    for (low, high) in steps.as_chunks_mut::<PAIRS>().0.iter_mut().zip(upper_steps.as_chunks::<PAIRS>().0) {
        let (lower, upper) = (load_pair(low), load_pair(high));
        let difference = [upper[0].minus(lower[0]), upper[1].minus(lower[1])];
        store_pair(multiplier.times_plus(difference, lower), low);
    }
    portable::bind(low.1, high.1, challenge);
}

/// `values[i] *= factor`.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn scale(values: &mut [Scalar], factor: Scalar) {
    let (whole, rest) = values.split_at_mut(whole_steps(values.len()));
    let (multiplier, zero) = (Multiplier::new(factor), [Lanes::zero(); PAIRS]);
    for values in whole.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIRS>().0 {
        store_pair(multiplier.times_plus(load_pair(values), zero), values);
    }
    portable::scale(rest, factor);
}

/// The length without what is left over after steps of two times eight scalars.
fn whole_steps(length: usize) -> usize {
    length - length % (PAIRS * LANES)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn load_pair([first, second]: &[[Scalar; LANES]; PAIRS]) -> [Lanes; PAIRS] {
    [Lanes::load(first), Lanes::load(second)]
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn store_pair(lanes: [Canonical; PAIRS], values: &mut [[Scalar; LANES]; PAIRS]) {
    for (lanes, values) in lanes.into_iter().zip(values) {
        lanes.store(values);
    }
}
