//! Linear combinations of int16 rows: `out[i] = sum_n c_n rows[n][i]`, exact over the integers.
//!
//! A coefficient is written in balanced radix-2^32 digits, so that each product with an int16 entry has magnitude
//! at most 2^46, and products are summed digit by digit in `i64` planes. Carries move up at the latest after 2^16
//! rows: a plane is then at most 2^62 + 2^31 in magnitude.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use super::digits::{
    CHALLENGE_DIGITS, CombinationDigits, DigitVector, SCALAR_DIGITS, challenge_digits, montgomery_digits,
    split_digit,
};
use super::{Backend, field};
use crate::Scalar;
use crate::wide::{MONTGOMERY_R, Wide};

/// Rows between two normalisations: 2^16 products of magnitude 2^46 and a digit of 2^31 stay inside `i64`.
const ROWS_PER_CARRY: usize = 1 << 16;

/// The largest number of rows that are ever combined, which bounds a sum below 2^(126 + 15 + 48) for challenges.
const MAX_ROWS: u64 = 1 << 48;

/// Columns that are combined together: nine planes of them are 72 KiB and stay in the second-level cache.
const COLUMNS_PER_BLOCK: usize = 1024;

/// Digits that one pass over the rows accumulates.
const DIGITS_PER_PASS: usize = 4;

/// Four digits of each row's coefficient, as each twin multiplies them.
struct Coefficients {
    digits: Vec<[i32; DIGITS_PER_PASS]>,
    #[cfg(target_arch = "x86_64")]
    pairs: Vec<avx512::PairParts>,
}

impl Coefficients {
    fn new(digits: Vec<[i32; DIGITS_PER_PASS]>) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            pairs: avx512::pair_parts(&digits),
            digits,
        }
    }
}

/// Adds `digits[n][j] * rows[n][i]` to `planes[j][i]`, for all rows n, digits j and columns i.
///
/// The caller normalises the planes before `i64` can overflow, see [`ROWS_PER_CARRY`].
struct Pass<'a> {
    coefficients: &'a Coefficients,
    /// As many rows, each as wide as the planes.
    rows: &'a [&'a [i16]],
}

impl Pass<'_> {
    fn run(&self, backend: Backend, planes: [&mut [i64]; DIGITS_PER_PASS]) {
        let width = planes[0].len();
        assert!(planes.iter().all(|plane| plane.len() == width), "planes of one width");
        assert!(self.rows.iter().all(|row| row.len() == width), "rows as wide as the planes");
        assert_eq!(self.coefficients.digits.len(), self.rows.len(), "a coefficient for each row");
        #[cfg(target_arch = "x86_64")]
        if backend.is_avx512() {
            // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions, and the
            // lengths were compared above.
            return unsafe { avx512::accumulate(self, planes) };
        }
        let _ = backend;
        portable::accumulate(self, planes);
    }
}

/// Digit sums of a block of columns: `DIGITS` planes, and one for what is carried out of the last.
#[derive(Debug, Clone)]
struct Planes<const DIGITS: usize> {
    digits: [Vec<i64>; DIGITS],
    /// Bounded by |sum| / 2^(32 DIGITS) + 1, which is below 2^62 for challenges and for scalars.
    top: Vec<i64>,
}

impl<const DIGITS: usize> Planes<DIGITS> {
    fn new(width: usize) -> Self {
        Self { digits: std::array::from_fn(|_| vec![0; width]), top: vec![0; width] }
    }

    /// Starts again with empty sums of `width` columns.
    fn reset(&mut self, width: usize) {
        for plane in self.digits.iter_mut().chain([&mut self.top]) {
            plane.clear();
            plane.resize(width, 0);
        }
    }

    /// Moves carries up until every plane but the top holds balanced digits.
    fn normalise(&mut self) {
        for j in 0..DIGITS {
            let (lower, upper) = self.digits.split_at_mut(j + 1);
            let next = upper.first_mut().unwrap_or(&mut self.top);
            for (sum, next) in lower[j].iter_mut().zip(next) {
                let (digit, carry) = split_digit(*sum);
                *sum = i64::from(digit);
                *next += carry;
            }
        }
    }

    /// Writes the sum of each column over R, modulo l.
    fn write_over_r(&self, backend: Backend, out: &mut [Scalar]) {
        assert!(self.digits.iter().chain([&self.top]).all(|plane| plane.len() == out.len()), "one width");
        #[cfg(target_arch = "x86_64")]
        if backend.is_avx512() {
            // SAFETY: a backend that is AVX-512 exists only where the processor has the instructions, and the
            // lengths were compared above.
            return unsafe { avx512::write_over_r(self, out) };
        }
        let _ = backend;
        portable::write_over_r(self, 0, out);
    }

    /// The exact sum of each column from `start` on.
    fn sums(&self, start: usize) -> impl Iterator<Item = Wide> + '_ {
        (start..self.top.len())
            .map(|i| Wide::from_digit_sums(self.digits.iter().map(|plane| plane[i]).chain([self.top[i]])))
    }
}

/// A sum of int16 rows weighted by challenges, gathered block by block: `sum_n rho_n X[n]`.
///
/// It takes 40 bytes a column, however many rows there are.
#[derive(Debug, Clone)]
pub struct Combiner {
    backend: Backend,
    width: usize,
    planes: Planes<CHALLENGE_DIGITS>,
    /// Rows since the last normalisation.
    pending: usize,
    rows: u64,
}

impl Combiner {
    /// The empty sum of rows of `width` entries.
    pub fn new(width: usize) -> Self {
        Self::on(Backend::active(), width)
    }

    /// As [`Combiner::new`], on a named twin.
    pub fn on(backend: Backend, width: usize) -> Self {
        Self { backend, width, planes: Planes::new(width), pending: 0, rows: 0 }
    }

    /// The number of entries of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The number of rows added so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds `sum_n challenges[n] * rows[n]`, where `rows` holds the rows one after the other.
    ///
    /// # Panics
    /// If `rows` is not `challenges.len()` rows of this width, if a challenge is not below 2^126, or at more than
    /// 2^48 rows in all.
    pub fn add_rows(&mut self, challenges: &[u128], rows: &[i16]) {
        assert_eq!(
            Some(rows.len()),
            challenges.len().checked_mul(self.width),
            "a combination takes one challenge for each row of {} entries",
            self.width
        );
        self.rows += challenges.len() as u64;
        assert!(self.rows <= MAX_ROWS, "a combination holds at most 2^48 rows");
        if self.width == 0 {
            return;
        }
        let blocks = challenges.chunks(ROWS_PER_CARRY).zip(rows.chunks(ROWS_PER_CARRY * self.width));
        for (challenges, rows) in blocks {
            if self.pending + challenges.len() > ROWS_PER_CARRY {
                self.planes.normalise();
                self.pending = 0;
            }
            self.pending += challenges.len();
            let coefficients =
                Coefficients::new(challenges.iter().map(|&challenge| challenge_digits(challenge)).collect());
            for start in (0..self.width).step_by(COLUMNS_PER_BLOCK) {
                let columns = start..self.width.min(start + COLUMNS_PER_BLOCK);
                let rows: Vec<_> = rows.chunks_exact(self.width).map(|row| &row[columns.clone()]).collect();
                let planes = self.planes.digits.each_mut().map(|plane| &mut plane[columns.clone()]);
                Pass { coefficients: &coefficients, rows: &rows }.run(self.backend, planes);
            }
        }
    }

    /// The exact sum of each column.
    pub fn sums(&self) -> impl Iterator<Item = Wide> + '_ {
        self.planes.sums(0)
    }

    /// Writes the sums modulo l.
    ///
    /// # Panics
    /// If `out` is not as wide as the rows.
    pub fn write_scalars(&self, out: &mut [Scalar]) {
        self.write_scalars_over_r(out);
        field::scale_on(self.backend, out, MONTGOMERY_R);
    }

    /// Writes the sums divided by R modulo l, see [`Wide::to_scalar_over_r`].
    ///
    /// # Panics
    /// If `out` is not as wide as the rows.
    pub fn write_scalars_over_r(&self, out: &mut [Scalar]) {
        assert_eq!(out.len(), self.width, "a place for each column");
        self.planes.write_over_r(self.backend, out);
    }

    /// The sums as balanced digits, to take inner products with.
    pub fn into_digits(mut self) -> CombinationDigits {
        self.planes.normalise();
        let Planes { digits: [p0, p1, p2, p3], top } = self.planes;
        // After normalising, |top| <= 2^(189 - 128) + 1, so its upper digit is at most 2^29 + 1 in magnitude.
        let (p4, p5): (Vec<i32>, Vec<i32>) = top
            .into_iter()
            .map(|top| {
                let (digit, rest) = split_digit(top);
                (digit, rest as i32)
            })
            .unzip();
        let narrow = |plane: Vec<i64>| plane.into_iter().map(|digit| digit as i32).collect();
        DigitVector::from_planes([narrow(p0), narrow(p1), narrow(p2), narrow(p3), p4, p5])
    }
}

/// Writes `out[i] = sum_k coefficients[k] * rows[k][i]`.
///
/// The digits are those of the coefficients' Montgomery representations, so that the integer sum reduced modulo l
/// is the Montgomery representation of the result. Each row is as wide as `out`; to spread the work over threads,
/// pass pieces of the columns.
///
/// # Panics
/// If there is not one coefficient for each row, or a row is not as wide as `out`.
pub fn combine_scalars(coefficients: &[Scalar], rows: &[&[i16]], out: &mut [Scalar]) {
    combine_scalars_on(Backend::active(), coefficients, rows, out);
}

/// As [`combine_scalars`], on a named twin.
pub fn combine_scalars_on(backend: Backend, coefficients: &[Scalar], rows: &[&[i16]], out: &mut [Scalar]) {
    assert_eq!(coefficients.len(), rows.len(), "a combination takes one coefficient for each row");
    assert!(rows.iter().all(|row| row.len() == out.len()), "rows are as wide as their combination");
    let pieces: Vec<[Coefficients; 2]> = coefficients
        .chunks(ROWS_PER_CARRY)
        .map(|coefficients| {
            let halves = coefficients.iter().map(|coefficient| {
                let [d0, d1, d2, d3, d4, d5, d6, d7] = montgomery_digits(coefficient);
                ([d0, d1, d2, d3], [d4, d5, d6, d7])
            });
            let (low, high) = halves.unzip();
            [low, high].map(Coefficients::new)
        })
        .collect();
    let mut planes = Planes::<SCALAR_DIGITS>::new(0);
    for (block, out) in out.chunks_mut(COLUMNS_PER_BLOCK).enumerate() {
        let start = block * COLUMNS_PER_BLOCK;
        let rows: Vec<_> = rows.iter().map(|row| &row[start..start + out.len()]).collect();
        planes.reset(out.len());
        for (piece, ([low, high], rows)) in pieces.iter().zip(rows.chunks(ROWS_PER_CARRY)).enumerate() {
            if piece > 0 {
                planes.normalise();
            }
            let [p0, p1, p2, p3, p4, p5, p6, p7] = planes.digits.each_mut().map(Vec::as_mut_slice);
            Pass { coefficients: low, rows }.run(backend, [p0, p1, p2, p3]);
            Pass { coefficients: high, rows }.run(backend, [p4, p5, p6, p7]);
        }
        planes.write_over_r(backend, out);
    }
}

#[cfg(test)]
mod tests {
    use ark_ff::{Field, PrimeField};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Each twin against the reduction of [`Wide`]; a row of digits is one column, its top last.
    fn check<const DIGITS: usize>(columns: &[Vec<i64>]) {
        let plane = |j: usize| columns.iter().map(|column| column[j]).collect();
        let planes = Planes::<DIGITS> { digits: std::array::from_fn(plane), top: plane(DIGITS) };
        let expected: Vec<Scalar> =
            planes.sums(0).map(|sum| sum.to_scalar() * MONTGOMERY_R.inverse().unwrap()).collect();
        for backend in Backend::available() {
            let mut out = vec![Scalar::ONE; columns.len()];
            planes.write_over_r(backend, &mut out);
            assert!(out.iter().all(|value| value.0 < Scalar::MODULUS), "{}", backend.name());
            assert_eq!(out, expected, "{}", backend.name());
        }
    }

    fn digit() -> impl Strategy<Value = i64> {
        let bound = 1i64 << 62;
        prop_oneof![
            4 => -bound..=bound,
            1 => Just(bound),
            1 => Just(-bound),
            1 => -2i64..=2,
            1 => Just(u32::MAX.into()),
            1 => Just(i32::MIN.into()),
        ]
    }

    proptest! {
        #[test]
        fn planes_of_any_size_are_reduced(
            scalars in vec(vec(digit(), SCALAR_DIGITS + 1), 0..40),
            challenges in vec(vec(digit(), CHALLENGE_DIGITS + 1), 0..40),
        ) {
            check::<SCALAR_DIGITS>(&scalars);
            check::<CHALLENGE_DIGITS>(&challenges);
        }
    }

    #[test]
    fn planes_at_their_bound_and_sums_around_multiples_of_the_order() {
        let bound = (1i64 << 62) + (1 << 31);
        let mut columns: Vec<Vec<i64>> =
            [bound, -bound, 0, 1, -1].map(|digit| vec![digit; SCALAR_DIGITS + 1]).to_vec();
        let order = Scalar::MODULUS.0.map(|limb| [limb & 0xffff_ffff, limb >> 32]).concat();
        for factor in [-(1 << 30), -3, -2, -1, 1, 2, 3, 1 << 30] {
            for offset in -2..=2 {
                let mut column: Vec<i64> = order.iter().map(|&half| half as i64 * factor).collect();
                column.push(0);
                column[0] += offset;
                columns.push(column);
            }
        }
        check::<SCALAR_DIGITS>(&columns);
    }
}
