//! Fixed point: floats to integers with public power-of-two exponents, and back.
//!
//! An integer `v` with exponent `e` stands for the float `v * 2^-e`. Activations share one exponent for
//! each token row (block floating point), so that an outlier of one token does not cost another its
//! precision; a weight matrix has one exponent. The exponent is always the largest at which every
//! rounded magnitude stays within the integer's range, and rounding is to the nearest integer, ties to even.
//!
//! Every step is exact except that one rounding: a finite `f32` times `2^e` for the exponents that occur
//! here (-128 to 163) is exact in `f64`, subnormal inputs included.

/// Magnitude bound of every exponent that [`quantize_rows`] and [`quantize_matrix`] return: no finite `f32`
/// needs more than 163.
pub const MAX_EXPONENT: i32 = 512;

/// Bits of an activation, sign included.
pub const ACTIVATION_BITS: u32 = 16;

/// The largest number of bits of a weight, sign included; the smallest is 2.
pub const MAX_MATRIX_BITS: u32 = 16;

/// Token rows of int16 activations, each with its own exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizedRows {
    /// Row-major integers in -32767..=32767.
    pub values: Vec<i16>,
    /// One exponent a row; 0 for a row of zeros.
    pub exponents: Vec<i16>,
}

/// A matrix of signed integers with one exponent.
#[derive(Clone, PartialEq, Eq)]
pub struct QuantizedMatrix {
    /// The integers, in the order of the floats they came from.
    pub values: Vec<i16>,
    /// Floats are `value * 2^-exponent`; 0 for a matrix of zeros.
    pub exponent: i32,
}

/// What rounding a matrix cost, in the unit of the floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundingError {
    /// The largest absolute difference.
    pub max: f64,
    /// The root of the mean square difference; 0 for an empty matrix.
    pub rms: f64,
}

/// Floats that have no fixed-point form.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantizeError {
    /// A NaN or an infinity among the activations.
    #[error("row {row}, column {column} holds {value}: only finite numbers have a fixed-point form")]
    RowNotFinite {
        /// Token row.
        row: usize,
        /// Position in the row.
        column: usize,
        /// What is there.
        value: f32,
    },
    /// A NaN or an infinity in a matrix.
    #[error("entry {index} holds {value}: only finite numbers have a fixed-point form")]
    EntryNotFinite {
        /// Position in the row-major matrix.
        index: usize,
        /// What is there.
        value: f32,
    },
    /// The values do not fill whole rows.
    #[error("{values} values do not make whole rows of {width}")]
    RaggedRows {
        /// Number of values given.
        values: usize,
        /// Values in a row.
        width: usize,
    },
    /// A width of integers that is not supported.
    #[error("weight bits: expected 2 to {MAX_MATRIX_BITS}, found {found}")]
    Bits {
        /// The bits asked for.
        found: u32,
    },
}

/// Activations as int16 with one exponent for each row of `width` values.
///
/// # Errors
/// A value that is not finite (with its row and column), or values that do not fill whole rows.
pub fn quantize_rows(values: &[f32], width: usize) -> Result<QuantizedRows, QuantizeError> {
    if width == 0 || !values.len().is_multiple_of(width) {
        return Err(QuantizeError::RaggedRows { values: values.len(), width });
    }
    let mut quantized = QuantizedRows {
        values: Vec::with_capacity(values.len()),
        exponents: Vec::with_capacity(values.len() / width),
    };
    for (row, floats) in values.chunks_exact(width).enumerate() {
        let exponent = common_exponent(floats, ACTIVATION_BITS)
            .map_err(|(column, value)| QuantizeError::RowNotFinite { row, column, value })?;
        round_into(floats, exponent, &mut quantized.values);
        // In -114..=163 for 16 bits.
        quantized.exponents.push(exponent as i16);
    }
    Ok(quantized)
}

/// A matrix as signed integers of `bits` bits with one exponent: magnitudes are at most `2^(bits-1) - 1`.
///
/// # Errors
/// A value that is not finite (with its position), or `bits` outside `2..=16`.
pub fn quantize_matrix(values: &[f32], bits: u32) -> Result<QuantizedMatrix, QuantizeError> {
    if !(2..=MAX_MATRIX_BITS).contains(&bits) {
        return Err(QuantizeError::Bits { found: bits });
    }
    let exponent = common_exponent(values, bits)
        .map_err(|(index, value)| QuantizeError::EntryNotFinite { index, value })?;
    let mut integers = Vec::with_capacity(values.len());
    round_into(values, exponent, &mut integers);
    Ok(QuantizedMatrix { values: integers, exponent })
}

/// The float an integer stands for: `value * 2^-exponent`, exactly.
///
/// In `f64`, because the integer nearest to a value close to `f32::MAX` can stand for `2^128`.
pub fn dequantize(value: i16, exponent: i32) -> f64 {
    scale_by_power_of_two(f64::from(value), exponent.saturating_neg())
}

/// `value * 2^exponent`, exact whenever the result is a normal number; infinite or 0 where it is out of range.
///
/// Unlike a multiplication by `2^exponent` it does not overflow on the way when only the power is out of range.
pub fn scale_by_power_of_two(value: f64, exponent: i32) -> f64 {
    // 2^STEP and 2^-STEP are normal; past 2200 every nonzero double is out of range anyway.
    const STEP: i32 = 1000;
    let mut exponent = exponent.clamp(-2200, 2200);
    let mut scaled = value;
    while exponent.abs() > STEP {
        let step = STEP * exponent.signum();
        scaled *= power_of_two(step);
        exponent -= step;
    }
    scaled * power_of_two(exponent)
}

impl QuantizedRows {
    /// All rows back as floats, row-major.
    pub fn dequantize(&self, width: usize) -> Vec<f64> {
        self.values
            .chunks(width.max(1))
            .zip(&self.exponents)
            .flat_map(|(row, &exponent)| row.iter().map(move |&v| dequantize(v, i32::from(exponent))))
            .collect()
    }
}

impl QuantizedMatrix {
    /// How far the integers are from the floats they came from, which must be given in the same order.
    pub fn rounding_error(&self, floats: &[f32]) -> RoundingError {
        let (mut max, mut squares) = (0f64, 0f64);
        for (&integer, &float) in self.values.iter().zip(floats) {
            let difference = (dequantize(integer, self.exponent) - f64::from(float)).abs();
            max = max.max(difference);
            squares += difference * difference;
        }
        RoundingError { max, rms: (squares / self.values.len().max(1) as f64).sqrt() }
    }
}

// Weights are private: a stray `{:?}` must not print them.
impl std::fmt::Debug for QuantizedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QuantizedMatrix({} integers, exponent {})", self.values.len(), self.exponent)
    }
}

/// The largest `e` with `|round(x * 2^e)| <= 2^(bits-1) - 1` for every x; 0 when all are zero.
/// The error is the position and value of the first entry that is not finite.
fn common_exponent(values: &[f32], bits: u32) -> Result<i32, (usize, f32)> {
    // The bits of a non-negative float are ordered like the float, and those of NaN and infinity lie above all.
    let largest = values.iter().fold(0u32, |largest, value| largest.max(value.abs().to_bits()));
    let magnitude = f32::from_bits(largest);
    if !magnitude.is_finite() {
        let found = values.iter().copied().enumerate().find(|(_, value)| !value.is_finite());
        return Err(found.unwrap_or((0, magnitude)));
    }
    if magnitude == 0.0 {
        return Ok(0);
    }
    // As a double it is normal, so its exponent field is floor(log2) + 1023; this puts x * 2^e in [2^(bits-2), 2^(bits-1)).
    let magnitude = f64::from(magnitude);
    let floor_log2 = (magnitude.to_bits() >> 52) as i32 - 1023;
    let exponent = bits as i32 - 2 - floor_log2;
    let limit = ((1u32 << (bits - 1)) - 1) as f64;
    let rounded = (magnitude * power_of_two(exponent)).round_ties_even();
    Ok(if rounded <= limit { exponent } else { exponent - 1 })
}

fn round_into(values: &[f32], exponent: i32, integers: &mut Vec<i16>) {
    let scale = power_of_two(exponent);
    integers.extend(values.iter().map(|&value| (f64::from(value) * scale).round_ties_even() as i16));
}

/// `2^exponent` for an exponent of a normal double, -1022 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&exponent));
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALLEST: f32 = f32::from_bits(1);

    fn finite() -> impl Strategy<Value = f32> {
        prop_oneof![
            any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |x| x.is_finite()),
            -4f32..4.0,
            Just(0.0),
            Just(-0.0),
            Just(SMALLEST),
            Just(f32::MIN_POSITIVE),
            Just(f32::MAX),
        ]
    }

    fn largest_after_rounding(values: &[f32], exponent: i32) -> f64 {
        values
            .iter()
            .map(|&x| scale_by_power_of_two(f64::from(x), exponent).round_ties_even().abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn extremes_have_the_exponents_worked_out_by_hand() {
        for (value, bits, integer, exponent) in [
            (f32::MAX, 16, 16384, -114), // 32767.998 would round to 32768
            (-f32::MAX, 16, -16384, -114),
            (f32::MIN_POSITIVE, 16, 16384, 140),
            (SMALLEST, 16, 16384, 163),
            (1.0, 16, 16384, 14),
            (1.0, 2, 1, 0),
            (f32::MAX, 2, 1, -128),
            (SMALLEST, 2, 1, 149),
            (1.5, 2, 1, -1), // 1.5 rounds to the even 2, which has no 2-bit form; 0.75 rounds to 1
            (32767.5, 16, 16384, -1),
            (32767.0, 16, 32767, 0),
        ] {
            let matrix = quantize_matrix(&[value, 0.0], bits).unwrap();
            assert_eq!((matrix.values[0], matrix.exponent), (integer, exponent), "{value:e} in {bits} bits");
        }
    }

    #[test]
    fn ties_go_to_even() {
        let rows = quantize_rows(&[32767.0, 0.5, 1.5, 2.5, -0.5, -1.5], 6).unwrap();
        assert_eq!(rows.values, [32767, 0, 2, 2, 0, -2]);
    }

    #[test]
    fn each_row_has_its_own_exponent_and_zero_rows_have_zero() {
        let rows = quantize_rows(&[1.0, -0.25, 0.0, -0.0, 3e38, 1.0], 2).unwrap();
        assert_eq!(rows.exponents, [14, 0, -113]);
        assert_eq!(rows.values[..4], [16384, -4096, 0, 0]);
        assert_eq!(rows.dequantize(2)[..4], [1.0, -0.25, 0.0, 0.0]);
        assert_eq!(quantize_matrix(&[], 16).unwrap().exponent, 0);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let message = |values: &[f32]| quantize_rows(values, 2).unwrap_err().to_string();
        assert_eq!(
            message(&[0.0, 1.0, 2.0, f32::NAN]),
            "row 1, column 1 holds NaN: only finite numbers have a fixed-point form"
        );
        assert!(message(&[f32::NEG_INFINITY, f32::NAN]).starts_with("row 0, column 0 holds -inf"));
        assert_eq!(
            quantize_matrix(&[0.0, f32::INFINITY], 8).unwrap_err().to_string(),
            "entry 1 holds inf: only finite numbers have a fixed-point form"
        );
    }

    #[test]
    fn wrong_arguments_are_refused() {
        assert_eq!(
            quantize_rows(&[0.0; 5], 2).unwrap_err().to_string(),
            "5 values do not make whole rows of 2"
        );
        assert!(quantize_rows(&[0.0], 0).is_err());
        for bits in [0, 1, 17] {
            assert_eq!(quantize_matrix(&[1.0], bits).unwrap_err(), QuantizeError::Bits { found: bits });
        }
    }

    #[test]
    fn powers_out_of_range_do_not_spoil_products_in_range() {
        assert_eq!(scale_by_power_of_two(f64::MAX, -2000), f64::MAX / 2f64.powi(1000) / 2f64.powi(1000));
        assert_eq!(scale_by_power_of_two(2f64.powi(-1000), 1500), 2f64.powi(500));
        assert_eq!(scale_by_power_of_two(3.0, i32::MAX), f64::INFINITY);
        assert_eq!(scale_by_power_of_two(3.0, i32::MIN), 0.0);
        assert_eq!(dequantize(5, i32::MIN), f64::INFINITY);
    }

    #[test]
    fn debug_does_not_print_weights() {
        let text = format!("{:?}", quantize_matrix(&[0.75], 16).unwrap());
        assert_eq!(text, "QuantizedMatrix(1 integers, exponent 15)");
    }

    proptest! {
        #[test]
        fn error_is_at_most_half_a_unit(values in prop::collection::vec(finite(), 1..40), bits in 2u32..=16) {
            let matrix = quantize_matrix(&values, bits).unwrap();
            let half = scale_by_power_of_two(0.5, -matrix.exponent);
            for (&integer, &float) in matrix.values.iter().zip(&values) {
                prop_assert!((dequantize(integer, matrix.exponent) - f64::from(float)).abs() <= half);
            }
            prop_assert!(matrix.rounding_error(&values).max <= half);
        }

        #[test]
        fn exponent_is_the_largest_that_fits(values in prop::collection::vec(finite(), 1..40), bits in 2u32..=16) {
            let exponent = quantize_matrix(&values, bits).unwrap().exponent;
            prop_assert!(exponent.abs() <= MAX_EXPONENT);
            let limit = f64::from((1 << (bits - 1)) - 1);
            prop_assert!(largest_after_rounding(&values, exponent) <= limit);
            if values.iter().any(|&x| x != 0.0) {
                prop_assert!(largest_after_rounding(&values, exponent + 1) > limit);
            }
        }

        #[test]
        fn a_power_of_two_only_moves_the_exponent(
            values in prop::collection::vec(-100f32..100.0, 1..40), shift in -60i32..60,
        ) {
            let factor = 2f32.powi(shift);
            // Below the normal range f32 itself would round.
            prop_assume!(values.iter().all(|&x| x == 0.0 || (x * factor).is_normal()));
            let plain = quantize_rows(&values, values.len()).unwrap();
            let scaled_values: Vec<f32> = values.iter().map(|x| x * factor).collect();
            let scaled = quantize_rows(&scaled_values, values.len()).unwrap();
            prop_assert_eq!(&plain.values, &scaled.values);
            if values.iter().any(|&x| x != 0.0) {
                prop_assert_eq!(i32::from(plain.exponents[0]), i32::from(scaled.exponents[0]) + shift);
            }
        }

        #[test]
        fn rows_and_matrices_agree(values in prop::collection::vec(finite(), 1..40)) {
            let rows = quantize_rows(&values, values.len()).unwrap();
            let matrix = quantize_matrix(&values, ACTIVATION_BITS).unwrap();
            prop_assert_eq!(&rows.values, &matrix.values);
            prop_assert_eq!(i32::from(rows.exponents[0]), matrix.exponent);
        }
    }
}
