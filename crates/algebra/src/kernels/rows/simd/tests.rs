//! Eight-lane arithmetic against `ark-ff` and `curve25519-dalek`, with limbs up to the largest allowed.
//!
//! On a processor without AVX-512 IFMA there is nothing here to test, and every test passes.

use ark_ed25519::Fq;
use ark_ff::{AdditiveGroup, BigInteger, Field, PrimeField};
use curve25519_dalek::traits::Identity;
use proptest::prelude::*;

use super::field::{Field8, Limbs, SQRT_MINUS_ONE, limbs_from_bytes, limbs_to_bytes};
use super::point::{Niels8, Point8};
use super::*;

/// Limbs of a tight element stay below this.
const TIGHT: u64 = (1 << 51) + (1 << 16);
/// Limbs of a multiplication operand stay below this.
const LOOSE: u64 = 1 << 52;
/// Columns before a carry stay below this.
const WIDE: u64 = 1 << 62;

/// p = 2^255 - 19.
const P: Limbs = [(1 << 51) - 19, (1 << 51) - 1, (1 << 51) - 1, (1 << 51) - 1, (1 << 51) - 1];

/// `sum_i limbs[i] 2^(51 i)`.
fn value(limbs: &Limbs) -> Fq {
    limbs.iter().rev().fold(Fq::ZERO, |sum, limb| sum * Fq::from(1_u64 << 51) + Fq::from(*limb))
}

fn values(lanes: [Limbs; 8]) -> [Fq; 8] {
    lanes.map(|limbs| value(&limbs))
}

/// Eight lanes of limbs below `bound`, often the largest or zero.
fn lanes(bound: u64) -> impl Strategy<Value = [Limbs; 8]> {
    let limb = prop_oneof![Just(0), Just(bound - 1), Just((1_u64 << 51) - 1), 0..bound];
    let limbs = prop::array::uniform5(limb);
    prop::array::uniform8(prop_oneof![3 => limbs, 1 => Just([bound - 1; 5])])
}

/// Lanes of values about p and its multiples, where a reduction may go wrong.
fn lanes_near_p() -> impl Strategy<Value = [Limbs; 8]> {
    let near = (0..20_u64, any::<bool>()).prop_map(|(offset, above)| {
        let mut limbs = P;
        if above {
            limbs[0] += 19 + offset
        } else {
            limbs[0] -= offset
        }
        limbs
    });
    let small = (0..40_u64).prop_map(|limb| [limb, 0, 0, 0, 0]);
    prop::array::uniform8(prop_oneof![near, small, Just([TIGHT - 1; 5]), Just([(1 << 51) - 1; 5])])
}

/// Whether the value of RFC 9496, 4.1, is negative.
fn is_negative(element: Fq) -> bool {
    element.into_bigint().is_odd()
}

fn assert_tight(lanes: [Limbs; 8]) {
    assert!(lanes.iter().flatten().all(|limb| *limb < TIGHT));
}

/// Deterministic points, the identity first.
fn points() -> [Point; 8] {
    let hashed = |seed: u64| {
        let mut bytes = [0; 64];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        Point::from_uniform_bytes(&bytes)
    };
    [Point::identity(), hashed(1), hashed(2), hashed(3), hashed(4), hashed(5), hashed(6), -hashed(1)]
}

/// A test body that needs the instructions: run only where they are.
macro_rules! with_avx512 {
    ($(#[$attribute:meta])* fn $name:ident($($argument:ident in $strategy:expr),*) $body:block) => {
        #[test]
        fn $name() {
            #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
            fn body($($argument: [Limbs; 8]),*) $body

            if Avx512::of(Backend::detect()).is_none() {
                return;
            }
            proptest!(|($($argument in $strategy),*)| {
                // SAFETY: the processor has the instructions, as was just asked.
                unsafe { body($($argument),*) }
            });
        }
    };
}

with_avx512! {
    fn products_of_loose_operands(a in lanes(LOOSE), b in lanes(LOOSE)) {
        let product = Field8::from_lanes(&a).product(Field8::from_lanes(&b));
        let columns = Field8::from_planes(product.planes()).to_lanes();
        assert!(columns.iter().flatten().all(|column| *column < 267 << 52));
        let carried = product.carry().to_lanes();
        assert_tight(carried);
        let expected: Vec<Fq> = values(a).iter().zip(values(b)).map(|(a, b)| *a * b).collect();
        assert_eq!(values(carried).to_vec(), expected);
    }
}

with_avx512! {
    fn sums_and_differences_of_products(a in lanes(LOOSE), b in lanes(LOOSE)) {
        let [first, second] = [&a, &b].map(|lanes| Field8::from_lanes(lanes));
        let (ab, bb) = (first.product(second), second.product(second));
        let (sum, difference) = (ab.plus(bb), ab.minus(bb));
        for columns in [sum, difference] {
            let columns = Field8::from_planes(columns.planes()).to_lanes();
            assert!(columns.iter().flatten().all(|column| *column < WIDE));
        }
        let (sum, difference) = (sum.carry().to_lanes(), difference.carry().to_lanes());
        assert_tight(sum);
        assert_tight(difference);
        for (lane, (a, b)) in values(a).into_iter().zip(values(b)).enumerate() {
            assert_eq!(value(&sum[lane]), a * b + b * b);
            assert_eq!(value(&difference[lane]), a * b - b * b);
        }
    }
}

with_avx512! {
    fn carries_of_wide_columns(a in lanes(WIDE)) {
        let carried = Field8::from_lanes(&a).columns().carry().to_lanes();
        assert_tight(carried);
        assert_eq!(values(carried), values(a));
    }
}

with_avx512! {
    fn sums_and_differences_of_tight_elements(a in lanes(TIGHT), b in lanes(TIGHT)) {
        let [first, second] = [&a, &b].map(|lanes| Field8::from_lanes(lanes));
        let (sum, difference) = (first.plus(second).to_lanes(), first.minus(second).to_lanes());
        assert_tight(sum);
        assert_tight(difference);
        for (lane, (a, b)) in values(a).into_iter().zip(values(b)).enumerate() {
            assert_eq!(value(&sum[lane]), a + b);
            assert_eq!(value(&difference[lane]), a - b);
        }
    }
}

with_avx512! {
    fn lanes_are_negated_and_chosen_one_by_one(a in lanes(TIGHT), b in lanes(TIGHT)) {
        let chosen = 0b1010_0110;
        let [first, second] = [&a, &b].map(|lanes| Field8::from_lanes(lanes));
        let loose = first.negate_lanes(chosen).to_lanes();
        assert!(loose.iter().flatten().all(|limb| *limb < LOOSE));
        let tight = first.negated_in(chosen).to_lanes();
        assert_tight(tight);
        let other = first.or_else(second, chosen).to_lanes();
        for lane in 0..8 {
            let is_chosen = chosen >> lane & 1 == 1;
            let expected = if is_chosen { -value(&a[lane]) } else { value(&a[lane]) };
            assert_eq!(value(&loose[lane]), expected);
            assert_eq!(value(&tight[lane]), expected);
            assert_eq!(other[lane], if is_chosen { b[lane] } else { a[lane] });
        }
    }
}

with_avx512! {
    fn canonical_limbs(a in prop_oneof![lanes(TIGHT), lanes_near_p()]) {
        let element = Field8::from_lanes(&a);
        let (negative, absolute) = (element.negative(), element.absolute().canonical().to_lanes());
        for (lane, limbs) in element.canonical().to_lanes().iter().enumerate() {
            let value = value(&a[lane]);
            assert_eq!(limbs_to_bytes(limbs).to_vec(), value.into_bigint().to_bytes_le());
            assert_eq!(limbs_from_bytes(&limbs_to_bytes(limbs)), *limbs);
            assert_eq!(negative >> lane & 1 == 1, is_negative(value));
            let absolute = self::value(&absolute[lane]);
            assert!(!is_negative(absolute) && (absolute == value || absolute == -value));
        }
    }
}

with_avx512! {
    fn equality_is_of_values(a in lanes_near_p(), b in lanes_near_p()) {
        let equal = Field8::from_lanes(&a).equal(Field8::from_lanes(&b));
        for lane in 0..8 {
            assert_eq!(equal >> lane & 1 == 1, value(&a[lane]) == value(&b[lane]));
        }
    }
}

with_avx512! {
    fn inverses_and_roots(a in prop_oneof![lanes(TIGHT), lanes_near_p()]) {
        let element = Field8::from_lanes(&a);
        let (inverse, root) = (element.inverse().to_lanes(), element.inverse_sqrt().to_lanes());
        for lane in 0..8 {
            let value = value(&a[lane]);
            let expected = value.inverse().unwrap_or(Fq::ZERO);
            assert_eq!(self::value(&inverse[lane]), expected);
            let root = self::value(&root[lane]);
            assert!(!is_negative(root));
            let square = if value.legendre().is_qnr() { expected * self::value(&SQRT_MINUS_ONE) } else { expected };
            assert_eq!(root * root, square);
        }
    }
}

#[test]
fn the_root_of_minus_one_is_the_even_one() {
    let root = value(&SQRT_MINUS_ONE);
    assert_eq!(root * root, -Fq::ONE);
    assert!(!is_negative(root));
}

#[test]
fn digits_of_eight_values_are_those_of_each() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn body() {
        for width in [1, 3, 10, 1000].map(|rows| Width::cheapest(rows, 1.0)) {
            for first in (i16::MIN..=i16::MAX).step_by(8) {
                let values: [i16; LANES] = std::array::from_fn(|lane| first + lane as i16);
                let mut digits = Digits8::new(width, &values.map(i64::from));
                for j in 0..=width.digits() {
                    let expected = values.map(|value| width.split(value).get(j).copied().unwrap_or(0));
                    let digit = digits.next_digit();
                    assert_eq!(digit.magnitudes(), expected.map(|digit| u64::from(digit.unsigned_abs())));
                    assert_eq!(digit.is_zero(), expected == [0; LANES]);
                    for (lane, expected) in expected.into_iter().enumerate() {
                        assert_eq!(digit.negative() >> lane & 1 == 1, expected < 0);
                    }
                }
            }
        }
    }
    if_avx512(body);
}

/// Runs `body` where the processor has the instructions.
fn if_avx512(body: unsafe fn()) {
    if Avx512::of(Backend::detect()).is_some() {
        // SAFETY: the processor has the instructions, as was just asked; `body` needs nothing else.
        unsafe { body() }
    }
}

#[test]
fn encodings_agree_with_dalek() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn body() {
        let points = points();
        let decoded = ristretto::decode(&points.map(|point| point.compress().to_bytes()));
        // With Z = 1 on the first round and another Z on the later ones.
        let mut sum = Point8::identity();
        for round in 1..5_u64 {
            sum.add(&decoded);
            let expected =
                points.map(|point| (point * curve25519_dalek::Scalar::from(round)).compress().to_bytes());
            assert_eq!(ristretto::encode(&sum), expected);
        }
    }
    if_avx512(body);
}

#[test]
fn points_that_differ_by_four_torsion_have_one_encoding() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn body() {
        let points = points();
        let encodings = points.map(|point| point.compress().to_bytes());
        let (zero, one) = (Field8::zero(), Field8::one());
        let root = Field8::splat(SQRT_MINUS_ONE);
        let torsion = [(zero, zero.minus(one)), (root, zero), (zero.minus(root), zero)];
        for (x, y) in torsion {
            let mut sum = Point8::identity();
            sum.add(&Niels8::from_affine(x, y));
            assert_eq!(ristretto::encode(&sum), [[0; 32]; 8]);
            sum.add(&ristretto::decode(&encodings));
            assert_eq!(ristretto::encode(&sum), encodings);
        }
    }
    if_avx512(body);
}

#[test]
fn additions_of_both_kinds_agree() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn body() {
        let points = points();
        let niels = ristretto::decode(&points.map(|point| point.compress().to_bytes()));
        let mut once = Point8::identity();
        once.add(&niels);
        let mut twice = once;
        twice.add(&niels);
        assert_eq!(ristretto::encode(&once.plus(&once)), ristretto::encode(&twice));
        assert_eq!(ristretto::encode(&twice), points.map(|point| (point + point).compress().to_bytes()));
    }
    if_avx512(body);
}

#[test]
fn entries_keep_their_lane_and_change_sign() {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn body() {
        let points = points();
        let entries = ristretto::decode(&points.map(|point| point.compress().to_bytes())).to_entries();
        let negative = 0b0110_1001_u8;
        let mut sum = Point8::identity();
        sum.add(&Niels8::from_entries(&entries.each_ref(), negative));
        let encodings = ristretto::encode(&sum);
        for (lane, point) in points.iter().enumerate() {
            let expected = if negative >> lane & 1 == 1 { -point } else { *point };
            assert_eq!(encodings[lane], expected.compress().to_bytes());
        }
    }
    if_avx512(body);
}
