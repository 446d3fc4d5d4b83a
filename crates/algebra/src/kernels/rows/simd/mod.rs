//! Row commitments eight rows at a time, with AVX-512 IFMA.

mod digits;
mod field;
mod point;
mod ristretto;
#[cfg(test)]
mod tests;

use curve25519_dalek::ristretto::CompressedRistretto;
use rayon::prelude::*;

use self::digits::Digits8;
use self::field::Field8;
use self::point::{Entry, Niels8, Point8};
use super::digits::Width;
use crate::Point;
use crate::kernels::Backend;

/// Rows, or generators, that one vector holds.
const LANES: usize = 8;

/// Table entries of a block of generators: 256 KiB of them, so that a block stays in the second-level cache.
const BLOCK_ENTRIES: usize = 2048;

/// Vectors of table entries that share one field inversion.
const INVERSION_BATCH: usize = 128;

/// Cost of a vector of table entries, in vector additions: fourteen multiplications against seven, and the stores.
const ENTRY_COST: f64 = 2.5;

/// Proof that this processor has the instructions that every function below is compiled for: a backend that is AVX-512.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, if `backend` is the AVX-512 twin.
    pub(super) fn of(backend: Backend) -> Option<Self> {
        backend.is_avx512().then_some(Self(()))
    }
}

/// Affine coordinates of fixed generators, eight in each vector.
#[derive(Clone, Debug)]
pub(super) struct Generators {
    avx512: Avx512,
    /// The last one is filled up with the identity.
    groups: Vec<Niels8>,
}

impl Generators {
    pub(super) fn new(avx512: Avx512, generators: &[Point]) -> Self {
        let groups = generators.par_chunks(LANES).map(|points| {
            let mut encodings = [[0; 32]; LANES];
            for (encoding, point) in encodings.iter_mut().zip(points) {
                *encoding = point.compress().to_bytes();
            }
            // SAFETY: `avx512` proves that the processor has the instructions; 32 zeros encode the identity.
            unsafe { ristretto::decode(&encodings) }
        });
        Self { avx512, groups: groups.collect() }
    }

    /// The commitments `sum_i rows[k][i] * generators[i]`, or the position of a row whose sum has no valid encoding, which
    /// only a fault can cause. Every row has at most as many entries as there are generators.
    pub(super) fn commit(&self, rows: &[&[i16]]) -> Result<Vec<Point>, usize> {
        let Avx512(()) = self.avx512;
        let width = Width::cheapest(rows.len().div_ceil(LANES), ENTRY_COST / LANES as f64);
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let groups = &self.groups[..longest.div_ceil(LANES)];
        let block_groups = BLOCK_ENTRIES / width.largest() / LANES;

        let mut tables = Tables::new(width, block_groups.min(groups.len()));
        // SAFETY: `self.avx512` proves that the processor has the instructions.
        let identity = unsafe { Point8::identity() };
        let mut sums = vec![identity; rows.len().div_ceil(LANES) * width.digits()];
        for (index, groups) in groups.chunks(block_groups).enumerate() {
            tables.fill(self.avx512, groups);
            let start = index * block_groups * LANES;
            let length = groups.len() * LANES;
            sums.par_chunks_mut(width.digits()).zip(rows.par_chunks(LANES)).for_each(|(sums, rows)| {
                let mut block = [&[][..]; LANES];
                for (block, row) in block.iter_mut().zip(rows) {
                    *block = &row[start.min(row.len())..row.len().min(start + length)];
                }
                // SAFETY: `self.avx512` proves that the processor has the instructions.
                unsafe { add_block(sums, &tables, &block) };
            });
        }

        let encodings: Vec<_> = sums
            .par_chunks(width.digits())
            // SAFETY: `self.avx512` proves that the processor has the instructions.
            .flat_map_iter(|sums| unsafe { ristretto::encode(&join(sums, width)) })
            .collect();
        let decode = |(row, bytes): (usize, &[u8; 32])| CompressedRistretto(*bytes).decompress().ok_or(row);
        encodings[..rows.len()].par_iter().enumerate().map(decode).collect()
    }
}

/// The multiples `0 g .. 2^(c-1) g` of each generator of a block.
struct Tables {
    width: Width,
    entries: Vec<Entry>,
}

impl Tables {
    /// Room for the tables of `groups` vectors of generators.
    fn new(width: Width, groups: usize) -> Self {
        let table = width.largest() + 1;
        Self { width, entries: vec![Entry::IDENTITY; groups * LANES * table] }
    }

    /// Entries of one table.
    fn table(&self) -> usize {
        self.width.largest() + 1
    }

    /// Replaces the tables with those of `groups`, which must be no more than there is room for.
    fn fill(&mut self, avx512: Avx512, groups: &[Niels8]) {
        let Avx512(()) = avx512;
        let batch = (INVERSION_BATCH / self.width.largest()).max(1);
        let table = self.table();
        self.entries.par_chunks_mut(batch * LANES * table).zip(groups.par_chunks(batch)).for_each(
            |(entries, groups)| {
                // SAFETY: `avx512` proves that the processor has the instructions.
                unsafe { fill_tables(entries, groups, table) };
            },
        );
    }
}

/// Writes the tables of `groups`, `table` entries for each generator, into `entries`; entry 0 stays as it is.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fill_tables(entries: &mut [Entry], groups: &[Niels8], table: usize) {
    let count = groups.len() * (table - 1);
    // `before[i]` is the product of all Z before point i, so that one inversion serves all (Montgomery's trick). No Z is
    // zero, since the addition formulas are complete.
    let mut points = Vec::with_capacity(count);
    let mut before = Vec::with_capacity(count);
    let mut product = Field8::one();
    for group in groups {
        let mut multiple = Point8::identity();
        for _ in 1..table {
            multiple.add(group);
            points.push(multiple);
            before.push(product);
            product = product.times(multiple.z);
        }
    }
    let mut inverse = product.inverse();
    for (index, (point, before)) in points.into_iter().zip(before).enumerate().rev() {
        let niels = point.to_niels(inverse.times(before));
        inverse = inverse.times(point.z);
        let (group, magnitude) = (index / (table - 1), index % (table - 1) + 1);
        for (lane, entry) in niels.to_entries().into_iter().enumerate() {
            entries[(group * LANES + lane) * table + magnitude] = entry;
        }
    }
}

/// Adds `digit_j(rows[lane][i]) g_i` to lane `lane` of `sums[j]`, for all entries of the rows of one block.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn add_block(sums: &mut [Point8], tables: &Tables, rows: &[&[i16]; LANES]) {
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    for (i, table) in tables.entries.chunks_exact(tables.table()).take(longest).enumerate() {
        let mut values = [0; LANES];
        for (value, row) in values.iter_mut().zip(rows) {
            *value = row.get(i).copied().unwrap_or(0).into();
        }
        let mut digits = Digits8::new(tables.width, &values);
        for sum in sums.iter_mut() {
            let digit = digits.next_digit();
            if !digit.is_zero() {
                let mut entries = [&table[0]; LANES];
                for (entry, magnitude) in entries.iter_mut().zip(digit.magnitudes()) {
                    *entry = &table[magnitude as usize];
                }
                sum.add(&Niels8::from_entries(&entries, digit.negative()));
            }
        }
    }
}

/// `sum_j 2^(c j) sums[j]`, lane by lane.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn join(sums: &[Point8], width: Width) -> Point8 {
    let mut joined = Point8::identity();
    for sum in sums.iter().rev() {
        for _ in 0..width.bits() {
            joined = joined.plus(&joined);
        }
        joined = joined.plus(sum);
    }
    joined
}
