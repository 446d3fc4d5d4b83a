//! Signed digits of int16 values, and the choice of their width.

/// Widths to choose from, in bits. Between them, a wider digit would not reduce the number of digits.
const WIDTHS: [u32; 4] = [3, 4, 6, 8];

/// The most digits an int16 value has, at the smallest width.
pub(super) const MAX_DIGITS: usize = 6;

/// Width c of the digits, in bits: an int16 value w is `sum_j digit_j 2^(c j)` with `|digit_j| <= 2^(c-1)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Width(u32);

impl Width {
    /// The width with the least work for each generator: `ceil(16/c)` additions a row and `2^(c-1)` table entries,
    /// where an entry costs `entry_cost` additions.
    ///
    /// `rows` counts additions that cannot be shared, so a backend that adds eight rows at once gives their groups.
    pub(super) fn cheapest(rows: usize, entry_cost: f64) -> Self {
        let cost = |width: &Width| (rows * width.digits()) as f64 + width.largest() as f64 * entry_cost;
        let mut best = Width(WIDTHS[0]);
        for width in WIDTHS.map(Width) {
            if cost(&width) < cost(&best) {
                best = width;
            }
        }
        best
    }

    /// c itself.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The number of digits of a value, `ceil(16/c)`.
    pub(super) fn digits(self) -> usize {
        16_u32.div_ceil(self.0) as usize
    }

    /// The largest magnitude of a digit, `2^(c-1)`.
    pub(super) fn largest(self) -> usize {
        1 << (self.0 - 1)
    }

    /// The digits of `value`, least significant first; those past [`Width::digits`] are zero.
    ///
    /// All but the last lie in `[-2^(c-1), 2^(c-1) - 1]`. What is left for the last is at most
    /// `2^15 / 2^(c (digits - 1)) + 1/2` in magnitude, so at most `2^(c-1)` once more: 2^15 is the largest magnitude
    /// of an int16 and `c digits >= 16`.
    pub(super) fn split(self, value: i16) -> [i32; MAX_DIGITS] {
        let half = 1 << (self.0 - 1);
        let mask = (1 << self.0) - 1;
        let last = self.digits() - 1;
        let mut rest = i32::from(value);
        let mut digits = [0; MAX_DIGITS];
        for digit in &mut digits[..last] {
            *digit = ((rest + half) & mask) - half;
            rest = (rest - *digit) >> self.0;
        }
        digits[last] = rest;
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_value_are_small_and_add_up_to_it() {
        for width in WIDTHS.map(Width) {
            for value in i16::MIN..=i16::MAX {
                let digits = width.split(value);
                let sum = digits.iter().rev().fold(0_i32, |sum, digit| (sum << width.bits()) + digit);
                assert_eq!(sum, i32::from(value));
                assert!(digits.iter().all(|digit| digit.unsigned_abs() as usize <= width.largest()));
                assert!(digits[width.digits()..].iter().all(|digit| *digit == 0));
            }
        }
    }

    #[test]
    fn more_rows_never_ask_for_narrower_digits() {
        let widths: Vec<u32> = (0..4096).map(|rows| Width::cheapest(rows, 1.0).bits()).collect();
        assert!(widths.is_sorted());
        assert_eq!(widths.last(), Some(&8));
    }
}
