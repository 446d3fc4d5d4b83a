//! The bases of every commitment, from hash-to-group with domain separation.
//!
//! Nothing here is read from a file: a verifier that took bases from a prover's folder would check an attacker's
//! settings. Nobody knows a discrete logarithm between any two of them.

use std::borrow::Cow;

use lorica_algebra::Point;
use rayon::prelude::*;

const ROW_DOMAIN: &str = "lorica 1 row base";

/// The bases for commitments to rows of up to `rows.len()` entries and up to `scratch.len()` slots.
///
/// Row base i and slot base j do not depend on how many there are, so one set serves every smaller statement.
#[derive(Clone)]
pub struct Generators {
    rows: Vec<Point>,
    scratch: Vec<Point>,
    blinding: Point,
    form: Point,
}

impl Generators {
    /// Derives the bases: one hash-to-group each, a few microseconds of work, spread over the threads at hand.
    pub fn derive(rows: usize, scratch: usize) -> Self {
        Self {
            rows: derive_many(ROW_DOMAIN, rows),
            scratch: derive_many("lorica 1 scratch base", scratch),
            blinding: derive_one("lorica 1 blinding base", 0),
            form: derive_one("lorica 1 form base", 0),
        }
    }

    /// `g_0 .. g_{D-1}`: the entries of a row.
    pub fn rows(&self) -> &[Point] {
        &self.rows
    }

    /// The first `count` row bases: those at hand, and the others derived where there are fewer.
    pub fn first_rows(&self, count: usize) -> Cow<'_, [Point]> {
        match self.rows.get(..count) {
            Some(rows) => Cow::Borrowed(rows),
            None => {
                let first = self.rows.len();
                let more = (first..count).into_par_iter().map(|index| derive_one(ROW_DOMAIN, index));
                Cow::Owned(self.rows.iter().copied().chain(more.collect::<Vec<_>>()).collect())
            }
        }
    }

    /// `s_0 .. s_{S-1}`: the slots of a session's scratch commitments, disjoint from the row bases.
    pub fn scratch(&self) -> &[Point] {
        &self.scratch
    }

    /// `h`: blinds.
    pub fn blinding(&self) -> &Point {
        &self.blinding
    }

    /// `q`: the value of the form inside the inner-product argument.
    pub fn form(&self) -> &Point {
        &self.form
    }
}

/// The slot bases of a registration proof. They are not those of a session proof, so that a registered row which holds
/// something on them opens in no session.
pub fn registration_slots(count: usize) -> Vec<Point> {
    derive_many("lorica 1 registration slot base", count)
}

/// The slot bases of a training proof: neither a session's nor a registration's, for the same reason.
pub fn training_slots(count: usize) -> Vec<Point> {
    derive_many("lorica 1 training slot base", count)
}

fn derive_many(domain: &'static str, count: usize) -> Vec<Point> {
    (0..count).into_par_iter().map(|index| derive_one(domain, index)).collect()
}

fn derive_one(domain: &'static str, index: usize) -> Point {
    // usize is at most 64 bits on every platform Rust supports.
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let mut uniform = [0; 64];
    blake3::Hasher::new_derive_key(domain).update(&index.to_le_bytes()).finalize_xof().fill(&mut uniform);
    Point::from_uniform_bytes(&uniform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_distinct_and_do_not_depend_on_the_count() {
        let small = Generators::derive(5, 3);
        let large = Generators::derive(9, 8);
        assert_eq!(small.rows(), &large.rows()[..5]);
        assert_eq!(small.scratch(), &large.scratch()[..3]);
        let mut all: Vec<[u8; 32]> = large
            .rows()
            .iter()
            .chain(large.scratch())
            .chain([large.blinding(), large.form()])
            .map(|point| point.compress().to_bytes())
            .collect();
        all.sort();
        all.dedup();
        all.extend(registration_slots(4).iter().map(|point| point.compress().to_bytes()));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 23);
        assert_eq!(small.first_rows(9), large.rows());
        assert_eq!(small.first_rows(4), &large.rows()[..4]);
    }

    /// A change of the derivation changes every manifest and proof there is: it needs a new version.
    #[test]
    fn bases_are_frozen() {
        let bases = Generators::derive(1, 1);
        let text = |point: &Point| {
            point.compress().to_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(
            [text(&bases.rows()[0]), text(&bases.scratch()[0]), text(bases.blinding()), text(bases.form())],
            FROZEN
        );
    }

    const FROZEN: [&str; 4] = [
        "b0b6dd9c1dcd67e8594baf8491cf34bf606a0e16993ac81295f11898695e6516",
        "98e0d1c11cab26f1f2f9f347bf376ce109d00fa16645ee908240e80921849d5a",
        "303bad16c43452dbdca2c5cdb45f587a52312bf6ad0d130afcc301a004c8815f",
        "c0d627489eeffb66f4f5c2f765baf04b4709ad0d8ee65fc60cbc47baac675123",
    ];
}
