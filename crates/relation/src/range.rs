//! What a range argument states, and the lookup that shows it, in the clear.
//!
//! The statement: every entry of every registered row, up to the row's length, is an integer in `[-2^15, 2^15)`. It is shown by
//! a lookup: each entry plus 2^15 is a number of the table `0 .. 2^16`, and there are counts that say how often each number occurs.
//! Plain loops over integers, which share no code with prover or verifier and fix what they must agree with.

/// The range of an entry: half-open, so that its two ends are not one number modulo 2^16.
pub const ENTRIES: std::ops::Range<i128> = -(1 << 15)..1 << 15;

/// Numbers of the table.
pub const TABLE: usize = 1 << 16;

/// Why rows are not in range, or counts are not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeViolation {
    /// An entry is outside of the range.
    #[error("entry {entry} of row {row} is {value}, outside of -32768..32768")]
    Entry {
        /// The row.
        row: usize,
        /// The entry.
        entry: usize,
        /// Its value.
        value: i128,
    },
    /// The counts are not one for each number of the table.
    #[error("there are {found} counts, a table of 65536 numbers has as many")]
    Table {
        /// Counts there are.
        found: usize,
    },
    /// A number does not occur as often as its count says.
    #[error("{number} occurs {occurs} times, its count is {count}")]
    Count {
        /// The number of the table.
        number: usize,
        /// How often it occurs.
        occurs: u64,
        /// What is claimed.
        count: u64,
    },
}

/// Checks rows and counts; the first violation is named.
pub fn check<R: AsRef<[i128]>>(rows: &[R], counts: &[u64]) -> Result<(), RangeViolation> {
    if counts.len() != TABLE {
        return Err(RangeViolation::Table { found: counts.len() });
    }
    let mut occurs = vec![0u64; TABLE];
    for (row, entries) in rows.iter().enumerate() {
        for (entry, &value) in entries.as_ref().iter().enumerate() {
            let number = usize::try_from(value.saturating_sub(ENTRIES.start)).ok();
            match number.and_then(|number| occurs.get_mut(number)) {
                Some(occurs) => *occurs += 1,
                None => return Err(RangeViolation::Entry { row, entry, value }),
            }
        }
    }
    match occurs.iter().zip(counts).position(|(occurs, count)| occurs != count) {
        Some(number) => Err(RangeViolation::Count { number, occurs: occurs[number], count: counts[number] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_and_every_count_are_told() {
        let mut counts = vec![0; TABLE];
        (counts[0], counts[TABLE - 1], counts[1 << 15]) = (1, 1, 2);
        let rows = [vec![ENTRIES.start, 0], vec![ENTRIES.end - 1, 0]];
        assert_eq!(check(&rows, &counts), Ok(()));
        for value in [ENTRIES.start - 1, ENTRIES.end, i128::MIN, i128::MAX] {
            let rows = [vec![0], vec![0, value]];
            assert_eq!(check(&rows, &counts), Err(RangeViolation::Entry { row: 1, entry: 1, value }));
        }
        counts[7] = 3;
        assert_eq!(check(&rows, &counts), Err(RangeViolation::Count { number: 7, occurs: 0, count: 3 }));
        counts.pop();
        assert_eq!(check(&rows, &counts), Err(RangeViolation::Table { found: TABLE - 1 }));
    }
}
