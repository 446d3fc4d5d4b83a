//! Which rows of a data set a step takes: public, and the same for everyone who knows the seed.
//!
//! Each epoch is a permutation of all rows; rows left over at its end, fewer than a batch, are not used in it. The order follows from the
//! seed by ChaCha20 and by the algorithm below, which is part of the format: it must not change. A proof shows that a
//! step took *these* rows; that they were drawn at random is for the reader of the seed to judge.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::error::TrainError;

/// Batches of a data set in a seeded order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shuffled {
    rows: usize,
    size: usize,
    seed: u64,
}

impl Shuffled {
    /// Batches of `size` out of `rows` rows.
    ///
    /// # Errors
    /// A batch larger than the data set, or empty.
    pub fn new(rows: usize, size: usize, seed: u64) -> Result<Self, TrainError> {
        if size == 0 || size > rows {
            return Err(TrainError::Size {
                what: "rows of the data set".to_owned(),
                expected: size,
                found: rows,
            });
        }
        Ok(Self { rows, size, seed })
    }

    /// The batches of consecutive steps, counted from 0 since training began.
    pub fn steps(&self, first: u64, count: usize) -> Vec<Vec<usize>> {
        let per_epoch = (self.rows / self.size) as u64;
        let mut epoch: Option<(u64, Vec<usize>)> = None;
        let mut batches = Vec::with_capacity(count);
        for step in (first..).take(count) {
            let number = step / per_epoch;
            let order = match epoch.take() {
                Some((found, order)) if found == number => order,
                _ => self.epoch(number),
            };
            let start = (step % per_epoch) as usize * self.size;
            batches.push(order.iter().skip(start).take(self.size).copied().collect());
            epoch = Some((number, order));
        }
        batches
    }

    /// The order of rows in an epoch: a Fisher-Yates shuffle from the end.
    fn epoch(&self, number: u64) -> Vec<usize> {
        let mut seed = [0; 32];
        let words = b"lorica-batches/1".iter().copied();
        let words = words.chain(self.seed.to_le_bytes()).chain(number.to_le_bytes());
        seed.iter_mut().zip(words).for_each(|(byte, word)| *byte = word);
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut order: Vec<usize> = (0..self.rows).collect();
        for last in (1..self.rows).rev() {
            order.swap(last, below(&mut random, last as u64 + 1) as usize);
        }
        order
    }
}

/// A uniform number below a limit, which is not zero.
fn below(random: &mut ChaCha20Rng, limit: u64) -> u64 {
    // Numbers beyond the last whole multiple of the limit would favour small remainders.
    let end = u64::MAX - u64::MAX % limit;
    loop {
        let number = random.next_u64();
        if number < end {
            return number % limit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_takes_every_row_at_most_once() {
        let batches = Shuffled::new(23, 5, 1).unwrap();
        let mut rows = batches.steps(0, 4).concat();
        rows.sort();
        rows.dedup();
        assert_eq!(rows.len(), 20);
        assert!(rows.iter().all(|row| *row < 23));
    }

    #[test]
    fn steps_do_not_depend_on_where_one_begins() {
        let batches = Shuffled::new(23, 5, 1).unwrap();
        assert_eq!(batches.steps(0, 12)[7..], batches.steps(7, 5));
        assert_ne!(batches.steps(0, 4), batches.steps(4, 4));
        assert_ne!(batches.steps(0, 4), Shuffled::new(23, 5, 2).unwrap().steps(0, 4));
    }

    /// The order is part of the format: proofs name rows by it.
    #[test]
    fn the_order_is_frozen() {
        assert_eq!(Shuffled::new(10, 10, 7).unwrap().steps(3, 1), [vec![3, 1, 2, 9, 7, 8, 5, 0, 6, 4]]);
    }

    #[test]
    fn a_batch_larger_than_the_data_is_refused() {
        let message = Shuffled::new(3, 4, 0).unwrap_err().to_string();
        assert_eq!(message, "rows of the data set: expected 4 numbers, found 3");
        assert!(Shuffled::new(3, 0, 0).is_err());
    }
}
