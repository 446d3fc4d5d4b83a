//! Multilinear extensions over the boolean cube, the first variable being the most significant bit of an index.
//!
//! A table of n entries stands for the function on `ceil(log2 n)` variables that is zero beyond entry n - 1:
//! padding is virtual, nobody stores or sends it.

use ark_ff::One;

use crate::Scalar;
use crate::kernels::field;

/// Number of variables of a table with `len` entries: the least v with `2^v >= len`.
pub fn variables(len: usize) -> usize {
    len.next_power_of_two().trailing_zeros() as usize
}

/// The first `len` values of `eq(point, .)`, where `eq(p, x) = prod_j (p_j x_j + (1 - p_j)(1 - x_j))`.
///
/// The evaluation of a table's extension at `point` is its inner product with this vector.
pub fn eq_table(point: &[Scalar], len: usize) -> Vec<Scalar> {
    let mut table = Vec::with_capacity(len.max(1));
    table.push(Scalar::one());
    for (j, coordinate) in point.iter().enumerate() {
        // After this step the table holds eq over the first j + 1 variables, cut to what `len` needs.
        let needed = len.div_ceil(1 << (point.len() - j - 1).min(usize::BITS as usize - 1)).max(1);
        let mut next = Vec::with_capacity(2 * table.len());
        for value in &table {
            let high = *value * coordinate;
            next.push(*value - high);
            next.push(high);
        }
        next.truncate(needed);
        table = next;
    }
    table.truncate(len);
    table
}

/// `sum_i left[i] * right[i]` over the shorter length.
pub fn inner_product(left: &[Scalar], right: &[Scalar]) -> Scalar {
    let length = left.len().min(right.len());
    field::inner_product(&left[..length], &right[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow_eq(point: &[Scalar], index: usize) -> Scalar {
        point.iter().enumerate().fold(Scalar::one(), |product, (j, p)| {
            let bit = index >> (point.len() - 1 - j) & 1;
            product * if bit == 1 { *p } else { Scalar::one() - p }
        })
    }

    #[test]
    fn eq_table_is_the_product_formula_at_every_length() {
        let point: Vec<Scalar> = [3u64, 5, 11, 1 << 60].map(Scalar::from).to_vec();
        for len in 1..=16 {
            let table = eq_table(&point, len);
            assert_eq!(table.len(), len);
            for (index, value) in table.iter().enumerate() {
                assert_eq!(*value, slow_eq(&point, index), "length {len}, index {index}");
            }
        }
        assert_eq!(eq_table(&[], 1), vec![Scalar::one()]);
    }

    #[test]
    fn variables_of_small_tables() {
        assert_eq!([1, 2, 3, 4, 5, 8, 9].map(variables), [0, 1, 2, 2, 3, 3, 4]);
    }
}
