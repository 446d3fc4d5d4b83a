//! Scratch commitments: each holds the values of its block of slots, with a fresh blind.

use lorica_algebra::point::{self, EncodedPoint};
use lorica_algebra::{Point, Scalar};
use lorica_argument::generators::Generators;
use zeroize::Zeroize;

use crate::randomness::Randomness;

/// The slots committed so far, in the order of the layout, and the blind of each commitment.
pub struct Scratch<'a> {
    bases: &'a [Point],
    blinding: &'a Point,
    slots: Vec<Scalar>,
    blinds: Vec<Scalar>,
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        self.slots.zeroize();
        self.blinds.zeroize();
    }
}

impl<'a> Scratch<'a> {
    /// Starts with no slot.
    pub fn new(generators: &'a Generators) -> Self {
        Self::on(generators.scratch(), generators.blinding())
    }

    /// Starts with no slot, on other slot bases than a session's.
    pub fn on(bases: &'a [Point], blinding: &'a Point) -> Self {
        Self { bases, blinding, slots: Vec::new(), blinds: Vec::new() }
    }

    /// Commits to `values` on the next slots.
    pub fn commit(&mut self, values: &[Scalar], randomness: &mut Randomness) -> EncodedPoint {
        let first = self.slots.len();
        let blind = randomness.scalar();
        self.slots.extend_from_slice(values);
        self.blinds.push(blind);
        let mut scalars = values.to_vec();
        scalars.push(blind);
        let mut bases = self.bases[first..first + values.len()].to_vec();
        bases.push(*self.blinding);
        EncodedPoint::new(point::multiscalar(&scalars, &bases))
    }

    /// The values of all slots.
    pub fn slots(&self) -> &[Scalar] {
        &self.slots
    }

    /// The blind of each commitment, in order.
    pub fn blinds(&self) -> &[Scalar] {
        &self.blinds
    }

    /// The blind of the last commitment.
    pub fn last_blind(&self) -> Scalar {
        self.blinds.last().copied().unwrap_or_default()
    }
}
