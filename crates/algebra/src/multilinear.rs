//! Multilinear extensions over the boolean cube, the first variable being the most significant bit of an index.
//!
//! A table of n entries stands for the function on `ceil(log2 n)` variables that is zero beyond entry n - 1:
//! padding is virtual, nobody stores or sends it.

use ark_ff::{One, Zero};

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

/// The values `eq(point, first) .. eq(point, first + count - 1)`, at a cost that does not depend on `first`.
///
/// Indices from `2^n` on, for a point of n coordinates, have no value: the list ends there.
pub fn eq_range(point: &[Scalar], first: usize, count: usize) -> Vec<Scalar> {
    // The lowest variables that `count` consecutive numbers run through, and the few values of those above.
    let low = variables(count.max(1)).min(point.len());
    let (high_point, low_point) = point.split_at(point.len() - low);
    let block = eq_table(low_point, 1 << low);
    let last = first.saturating_add(count);
    let limit = 1u128 << point.len().min(127);
    let mut values = Vec::with_capacity(count);
    let mut index = first;
    while index < last && (index as u128) < limit {
        let number = index >> low;
        let high = eq_at(high_point, number);
        let start = index & ((1 << low) - 1);
        let stop = (start + (last - index)).min(1 << low);
        values.extend(block[start..stop].iter().map(|value| high * value));
        index += stop - start;
    }
    values
}

/// `eq(point, index)`
pub fn eq_at(point: &[Scalar], index: usize) -> Scalar {
    let bits = point.len();
    point.iter().enumerate().fold(Scalar::one(), |product, (j, coordinate)| {
        let bit = index.checked_shr((bits - 1 - j) as u32).unwrap_or(0) & 1;
        product * if bit == 1 { *coordinate } else { Scalar::one() - coordinate }
    })
}

/// `sum over i < count of eq(point, i)`: the extension of a table that is one up to `count` and then zero.
pub fn prefix_at(point: &[Scalar], count: usize) -> Scalar {
    let bits = point.len() as u32;
    if count.checked_shr(bits).unwrap_or(0) > 0 {
        return Scalar::one();
    }
    // At each bit of `count` that is one, all indices with a zero there and the bits of `count` before it are below.
    let (mut sum, mut product) = (Scalar::zero(), Scalar::one());
    for (j, coordinate) in point.iter().enumerate() {
        let rest = product * coordinate;
        if count >> (point.len() - 1 - j) & 1 == 1 {
            sum += product - rest;
            product = rest;
        } else {
            product -= rest;
        }
    }
    sum
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
    fn ranges_and_prefixes_are_parts_of_the_table() {
        for bits in 0..6usize {
            let point: Vec<Scalar> = (0..bits as u64).map(|j| Scalar::from(j * 1000 + 3)).collect();
            let table = eq_table(&point, 1 << bits);
            for first in 0..1 << bits {
                assert_eq!(eq_at(&point, first), table[first]);
                for count in 0..=(1 << bits) - first {
                    assert_eq!(eq_range(&point, first, count), table[first..first + count]);
                }
            }
            assert_eq!(eq_range(&point, 1 << bits, 3), []);
            for count in 0..=1 << bits {
                let sum = table[..count].iter().fold(Scalar::zero(), |sum, value| sum + value);
                assert_eq!(prefix_at(&point, count), sum, "{count} of 2^{bits}");
            }
            assert_eq!(prefix_at(&point, (1 << bits) + 1), Scalar::one());
        }
    }

    #[test]
    fn variables_of_small_tables() {
        assert_eq!([1, 2, 3, 4, 5, 8, 9].map(variables), [0, 1, 2, 2, 3, 3, 4]);
    }
}
