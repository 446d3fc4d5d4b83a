//! Points: canonical encodings and multi-scalar multiplication in ristretto255.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable};
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use rayon::prelude::*;

use crate::{Point, Scalar, scalar};

/// Length of the canonical encoding of a point.
pub const POINT_BYTES: usize = 32;

/// A point together with its canonical encoding, so that neither is computed twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EncodedPoint {
    point: Point,
    bytes: [u8; POINT_BYTES],
}

impl EncodedPoint {
    /// Encodes a point.
    pub fn new(point: Point) -> Self {
        Self { point, bytes: point.compress().to_bytes() }
    }

    /// Decodes a canonical encoding; `None` for any other 32 bytes.
    pub fn decode(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let point = CompressedRistretto(*bytes).decompress()?;
        Some(Self { point, bytes: *bytes })
    }

    /// The point.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// The canonical encoding.
    pub fn bytes(&self) -> &[u8; POINT_BYTES] {
        &self.bytes
    }
}

impl std::fmt::Debug for EncodedPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EncodedPoint(")?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The neutral element.
pub fn identity() -> Point {
    Point::identity()
}

/// `sum_i scalars[i] * points[i]`, in variable time, spread over the threads of the current rayon pool.
///
/// Pairs beyond the shorter slice are ignored; callers pass equal lengths.
pub fn multiscalar(scalars: &[Scalar], points: &[Point]) -> Point {
    debug_assert_eq!(scalars.len(), points.len());
    // Below this many points another thread costs more in smaller Pippenger windows than it saves.
    const LEAST_PER_THREAD: usize = 512;
    let threads = rayon::current_num_threads().min(scalars.len() / LEAST_PER_THREAD);
    if threads < 2 {
        return multiscalar_here(scalars, points);
    }
    let chunk = scalars.len().div_ceil(threads);
    scalars
        .par_chunks(chunk)
        .zip(points.par_chunks(chunk))
        .map(|(scalars, points)| multiscalar_here(scalars, points))
        .reduce(identity, |left, right| left + right)
}

/// A point with a table of its multiples, for many multiplications of one base.
pub struct FixedBase(Box<RistrettoBasepointTable>);

impl FixedBase {
    /// Computes the table: 30 KiB, the work of a few multiplications.
    pub fn new(point: &Point) -> Self {
        Self(Box::new(RistrettoBasepointTable::create(point)))
    }

    /// `scalar * point`
    pub fn times(&self, scalar: &Scalar) -> Point {
        &scalar::to_group(scalar) * &*self.0
    }
}

fn multiscalar_here(scalars: &[Scalar], points: &[Point]) -> Point {
    Point::vartime_multiscalar_mul(scalars.iter().map(scalar::to_group), points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiscalar_is_the_sum_of_products() {
        let points: Vec<Point> =
            (0..1200u64).map(|i| Point::mul_base(&curve25519_dalek::Scalar::from(i + 7))).collect();
        let scalars: Vec<Scalar> = (0..1200u64).map(|i| Scalar::from(i * i) - Scalar::from(500u64)).collect();
        let expected: Point = scalars.iter().zip(&points).map(|(s, p)| p * scalar::to_group(s)).sum();
        assert_eq!(multiscalar(&scalars, &points), expected);
        let fixed = FixedBase::new(&points[5]);
        assert_eq!(fixed.times(&scalars[9]), points[5] * scalar::to_group(&scalars[9]));
    }

    #[test]
    fn non_canonical_points_are_refused() {
        let good = EncodedPoint::new(Point::mul_base(&curve25519_dalek::Scalar::from(3u8)));
        assert_eq!(EncodedPoint::decode(good.bytes()), Some(good));
        assert_eq!(EncodedPoint::decode(&[0xff; 32]), None);
        let mut negative = *good.bytes();
        negative[0] ^= 1;
        assert_eq!(EncodedPoint::decode(&negative), None);
    }
}
