//! The AVX-512 twins of the loops over scalars. The last scalars of a vector, too few for a step of
//! eight or of two times eight, go the portable way.

use super::lanes::{Canonical, Columns, LANES, Lanes, Multiplier, PAIRS, Totals};
use super::{Fractions, Halves, LayerHalves, RoundSums, portable};
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

/// `out[i] = low[i] + challenge * (high[i] - low[i])`.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn bind_into(low: &[Scalar], high: &[Scalar], challenge: Scalar, out: &mut [Scalar]) {
    let whole = whole_steps(out.len());
    let (low, high, out) = (low.split_at(whole), high.split_at(whole), out.split_at_mut(whole));
    let multiplier = Multiplier::new(challenge);
    let (lower, upper) = (low.0.as_chunks::<LANES>().0.as_chunks::<PAIRS>().0, high.0.as_chunks::<LANES>().0);
    let steps = out.0.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIRS>().0;
    for ((out, low), high) in steps.iter_mut().zip(lower).zip(upper.as_chunks::<PAIRS>().0) {
        let (lower, upper) = (load_pair(low), load_pair(high));
        let difference = [upper[0].minus(lower[0]), upper[1].minus(lower[1])];
        store_pair(multiplier.times_plus(difference, lower), out);
    }
    out.1.copy_from_slice(low.1);
    portable::bind(out.1, high.1, challenge);
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

/// Adds fractions in pairs.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn add_fractions(
    low: Fractions<'_>,
    high: Fractions<'_>,
    p: &mut [Scalar],
    q: &mut [Scalar],
) {
    let (p_low, p_low_rest) = low.numerators.as_chunks::<LANES>();
    let (q_low, q_low_rest) = low.denominators.as_chunks::<LANES>();
    let (p_high, p_high_rest) = high.numerators.as_chunks::<LANES>();
    let (q_high, q_high_rest) = high.denominators.as_chunks::<LANES>();
    let (p, p_rest) = p.as_chunks_mut::<LANES>();
    let (q, q_rest) = q.as_chunks_mut::<LANES>();
    for i in 0..p.len() {
        let (low, high) = (Lanes::load_times_16(&q_low[i]), Lanes::load(&q_high[i]));
        let (mut numerator, mut denominator) = (Columns::zero(), Columns::zero());
        numerator.add_product(Lanes::load(&p_high[i]), low);
        numerator.add_product(Lanes::load_times_16(&p_low[i]), high);
        denominator.add_product(low, high);
        let [numerator, denominator] = Columns::canonical([numerator, denominator]);
        numerator.store(&mut p[i]);
        denominator.store(&mut q[i]);
    }
    let low = Fractions { numerators: p_low_rest, denominators: q_low_rest };
    let high = Fractions { numerators: p_high_rest, denominators: q_high_rest };
    portable::add_fractions(low, high, p_rest, q_rest);
}

/// Adds fractions with the numerator 1 in pairs.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn add_inverses(q_low: &[Scalar], q_high: &[Scalar], p: &mut [Scalar], q: &mut [Scalar]) {
    let (q_low, q_low_rest) = q_low.as_chunks::<LANES>();
    let (q_high, q_high_rest) = q_high.as_chunks::<LANES>();
    let (p, p_rest) = p.as_chunks_mut::<LANES>();
    let (q, q_rest) = q.as_chunks_mut::<LANES>();
    for i in 0..p.len() {
        let high = Lanes::load(&q_high[i]);
        Lanes::load(&q_low[i]).sum(high).store(&mut p[i]);
        let mut denominator = Columns::zero();
        denominator.add_product(Lanes::load_times_16(&q_low[i]), high);
        let [denominator] = Columns::canonical([denominator]);
        denominator.store(&mut q[i]);
    }
    portable::add_inverses(q_low_rest, q_high_rest, p_rest, q_rest);
}

/// The sums of a round over a layer, weighed.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn layer_sums(weights: &[Scalar], halves: &LayerHalves<'_>) -> RoundSums {
    let (steps, weights_rest) = weights.as_chunks::<LANES>();
    let (left, q_high) = (halves.left.map(<[_]>::as_chunks), halves.q_high.map(<[_]>::as_chunks));
    let (p_high, q_low) = (halves.p_high.map(<[_]>::as_chunks), halves.q_low.map(<[_]>::as_chunks));
    let (mut constant, mut leading) = (Totals::default(), Totals::default());
    for (fold, folded) in steps.chunks(STEPS_PER_FOLD).enumerate() {
        let (mut lower, mut difference) = (Columns::zero(), Columns::zero());
        for (i, weight) in (fold * STEPS_PER_FOLD..).zip(folded) {
            let (left_low, q_high_low) = (Lanes::load(&left[0].0[i]), Lanes::load(&q_high[0].0[i]));
            let (p_high_low, q_low_low) = (Lanes::load(&p_high[0].0[i]), Lanes::load(&q_low[0].0[i]));
            let (mut at_zero, mut leading) = (Columns::zero(), Columns::zero());
            at_zero.add_product(left_low, q_high_low);
            at_zero.add_product(p_high_low, q_low_low);
            leading.add_product(
                Lanes::load(&left[1].0[i]).minus(left_low),
                Lanes::load(&q_high[1].0[i]).minus(q_high_low),
            );
            leading.add_product(
                Lanes::load(&p_high[1].0[i]).minus(p_high_low),
                Lanes::load(&q_low[1].0[i]).minus(q_low_low),
            );
            let [at_zero, leading] = Columns::reduced([at_zero, leading]);
            let weight = Lanes::load(weight);
            lower.add_product(at_zero, weight);
            difference.add_product(leading, weight);
        }
        constant.add(lower.totals());
        leading.add(difference.totals());
    }
    let rest = portable::layer_sums(
        weights_rest,
        &LayerHalves {
            left: [left[0].1, left[1].1],
            q_high: [q_high[0].1, q_high[1].1],
            p_high: [p_high[0].1, p_high[1].1],
            q_low: [q_low[0].1, q_low[1].1],
        },
    );
    with_rest(constant, leading, rest)
}

/// The sums of a round over two tables, weighed.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn weighed_sums(weights: &[Scalar], halves: &Halves<'_>) -> RoundSums {
    let (steps, weights_rest) = weights.as_chunks::<LANES>();
    let (left_low, left_low_rest) = halves.left_low.as_chunks::<LANES>();
    let (left_high, left_high_rest) = halves.left_high.as_chunks::<LANES>();
    let (right_low, right_low_rest) = halves.right_low.as_chunks::<LANES>();
    let (right_high, right_high_rest) = halves.right_high.as_chunks::<LANES>();
    let (mut constant, mut leading) = (Totals::default(), Totals::default());
    for (fold, folded) in steps.chunks(STEPS_PER_FOLD).enumerate() {
        let (mut lower, mut difference) = (Columns::zero(), Columns::zero());
        for (i, weight) in (fold * STEPS_PER_FOLD..).zip(folded) {
            let (left, right) = (Lanes::load(&left_low[i]), Lanes::load(&right_low[i]));
            let (mut at_zero, mut leading) = (Columns::zero(), Columns::zero());
            at_zero.add_product(left, right);
            leading.add_product(
                Lanes::load(&left_high[i]).minus(left),
                Lanes::load(&right_high[i]).minus(right),
            );
            let [at_zero, leading] = Columns::reduced([at_zero, leading]);
            let weight = Lanes::load(weight);
            lower.add_product(at_zero, weight);
            difference.add_product(leading, weight);
        }
        constant.add(lower.totals());
        leading.add(difference.totals());
    }
    let rest = portable::weighed_sums(
        weights_rest,
        &Halves {
            left_low: left_low_rest,
            left_high: left_high_rest,
            right_low: right_low_rest,
            right_high: right_high_rest,
        },
    );
    with_rest(constant, leading, rest)
}

/// The sums of weighed products, whose reduction left a factor of 1/16, and what the portable way has summed.
fn with_rest(constant: Totals, leading: Totals, rest: RoundSums) -> RoundSums {
    let sixteen = Scalar::from(16u8);
    RoundSums {
        constant: constant.to_scalar() * sixteen + rest.constant,
        leading: leading.to_scalar() * sixteen + rest.leading,
    }
}

/// `low[i] += factor * high[i]`.
///
/// # Safety
/// The processor has AVX-512 F, DQ and IFMA; the lengths agree.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(super) unsafe fn add_scaled(low: &mut [Scalar], high: &[Scalar], factor: Scalar) {
    let (low, high) = (low.split_at_mut(whole_steps(low.len())), high.split_at(whole_steps(high.len())));
    let multiplier = Multiplier::new(factor);
    let (steps, upper_steps) = (low.0.as_chunks_mut::<LANES>().0, high.0.as_chunks::<LANES>().0);
    for (low, high) in steps.as_chunks_mut::<PAIRS>().0.iter_mut().zip(upper_steps.as_chunks::<PAIRS>().0) {
        let addends = load_pair(low);
        store_pair(multiplier.times_plus(load_pair(high), addends), low);
    }
    portable::add_scaled(low.1, high.1, factor);
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
