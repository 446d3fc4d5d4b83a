//! The table of exponentials: `E(v) = round(2^scale * exp(-v / 2^fraction))` for v in `[0, 2^16)`.
//!
//! Every party makes the table by the same integer arithmetic, so that it has one value on every machine: products of 64-bit
//! fixed-point constants `exp(-2^(j - fraction))`, one for each binary digit of v.

/// The number of entries.
pub const ENTRIES: usize = 1 << 16;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExponentialTable {
    /// Fraction bits of an index, at most 16.
    pub fraction_bits: u32,
    /// An entry of `2^scale_bits` stands for one; at most 15.
    pub scale_bits: u32,
}

/// Fraction bits of the products.
const PRECISION: u32 = 62;

impl ExponentialTable {
    /// All entries.
    pub fn entries(&self) -> Vec<u16> {
        let factors: Vec<u64> = (0..16u32).map(|digit| exp_of_power(digit, self.fraction_bits)).collect();
        let half = 1u64 << (PRECISION - self.scale_bits - 1);
        let mut exact = vec![1u64 << PRECISION];
        for factor in factors {
            // Entries with this digit set follow those without.
            let upper: Vec<u64> = exact.iter().map(|value| multiply(*value, factor)).collect();
            exact.extend(upper);
        }
        exact
            .into_iter()
            .map(|value| u16::try_from((value + half) >> (PRECISION - self.scale_bits)).unwrap_or(u16::MAX))
            .collect()
    }
}

fn multiply(left: u64, right: u64) -> u64 {
    // Both are at most 2^62.
    u64::try_from((u128::from(left) * u128::from(right)) >> PRECISION).unwrap_or(u64::MAX)
}

/// `exp(-2^(digit - fraction_bits))` with 62 fraction bits: a Taylor series of a small argument, then squarings.
fn exp_of_power(digit: u32, fraction_bits: u32) -> u64 {
    // The argument 2^(digit - fraction_bits - 16) is at most 2^-1 for fraction_bits >= 0 and digit <= 15.
    const SQUARINGS: u32 = 16;
    let shift = fraction_bits + SQUARINGS - digit;
    let one = 1u64 << PRECISION;
    let (mut sum, mut term, mut negative) = (one, one, true);
    for n in 1..40u64 {
        term = (term >> shift.min(63)) / n;
        if term == 0 {
            break;
        }
        sum = if negative { sum - term } else { sum + term };
        negative = !negative;
    }
    (0..SQUARINGS).fold(sum, |value, _| multiply(value, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_rounded_exponentials() {
        for (fraction_bits, scale_bits) in [(10, 12), (8, 9), (16, 15), (0, 15)] {
            let entries = ExponentialTable { fraction_bits, scale_bits }.entries();
            assert_eq!(entries.len(), ENTRIES);
            for (index, entry) in entries.iter().enumerate() {
                let exact = f64::exp2(f64::from(scale_bits))
                    * (-(index as f64) / f64::exp2(f64::from(fraction_bits))).exp();
                assert!((f64::from(*entry) - exact).abs() <= 0.5 + 1e-6, "{index}: {entry} for {exact}");
            }
        }
    }

    /// A change of the table makes every proof with a softmax invalid: it needs a new version.
    #[test]
    fn the_table_is_frozen() {
        let entries = ExponentialTable { fraction_bits: 10, scale_bits: 12 }.entries();
        assert_eq!(
            [0, 1, 512, 1024, 2048, 8192, 9227, 9300, 65535].map(|index: usize| entries[index]),
            FROZEN
        );
    }

    const FROZEN: [u16; 9] = [4096, 4092, 2484, 1507, 554, 1, 1, 0, 0];
}
