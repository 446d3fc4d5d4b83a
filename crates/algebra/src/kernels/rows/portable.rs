//! Row commitments with the additions of `curve25519-dalek`: the twin that every machine can run.

use curve25519_dalek::traits::Identity;
use rayon::prelude::*;

use super::digits::Width;
use crate::Point;

/// Table entries of a block of generators: points of 160 bytes, 160 KiB, which stay in the second-level cache.
const BLOCK_ENTRIES: usize = 1024;

/// The commitments `sum_i rows[k][i] * generators[i]`; every row has at most as many entries as there are generators.
pub(super) fn commit(generators: &[Point], rows: &[&[i16]]) -> Vec<Point> {
    let width = Width::cheapest(rows.len(), 1.0);
    let block = BLOCK_ENTRIES / width.largest();
    let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut sums = vec![Point::identity(); rows.len() * width.digits()];
    for (index, generators) in generators[..longest].chunks(block).enumerate() {
        let tables: Vec<Vec<Point>> = generators.par_iter().map(|g| multiples(g, width.largest())).collect();
        sums.par_chunks_mut(width.digits()).zip(rows).for_each(|(sums, row)| {
            let values = row.get(index * block..).unwrap_or_default();
            for (table, value) in tables.iter().zip(values) {
                add_multiples(sums, table, width, *value);
            }
        });
    }
    sums.chunks(width.digits()).map(|sums| join(sums, width)).collect()
}

/// `1 g, 2 g, .. , count g`.
fn multiples(g: &Point, count: usize) -> Vec<Point> {
    std::iter::successors(Some(*g), |last| Some(last + g)).take(count).collect()
}

/// Adds `digit_j(value) g` to `sums[j]`, for every digit position j.
fn add_multiples(sums: &mut [Point], table: &[Point], width: Width, value: i16) {
    for (sum, digit) in sums.iter_mut().zip(width.split(value)) {
        let magnitude = digit.unsigned_abs() as usize;
        match digit.signum() {
            1 => *sum += table[magnitude - 1],
            -1 => *sum -= table[magnitude - 1],
            _ => {}
        }
    }
}

/// `sum_j 2^(c j) sums[j]`.
fn join(sums: &[Point], width: Width) -> Point {
    let shift = |point: Point| (0..width.bits()).fold(point, |point, _| point + point);
    sums.iter().rev().fold(Point::identity(), |joined, sum| shift(joined) + sum)
}
