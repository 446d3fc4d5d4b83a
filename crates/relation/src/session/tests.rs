use super::*;
use crate::rows::{MemoryDeltas, MemoryRows, MemoryStream};
use proptest::prelude::*;

/// A whole statement in memory.
#[derive(Debug, Clone)]
struct Case {
    modules: Vec<ModuleShape>,
    streams: Vec<StreamShape>,
    rows: MemoryRows,
    witness: Witness,
}

impl Case {
    fn check(&self) -> Result<(), SessionError> {
        check(&Instance { modules: &self.modules, streams: &self.streams, rows: &self.rows }, &self.witness)
    }

    fn message(&self) -> String {
        self.check().expect_err("the statement was accepted").to_string()
    }
}

fn shape(name: &str, inputs: usize, outputs: usize, rank: usize) -> ModuleShape {
    ModuleShape { name: name.parse().unwrap(), inputs, outputs, rank }
}

/// Integers that look random, extremes among them.
fn integers(count: usize, seed: u64) -> Vec<i16> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        match state >> 60 {
            0 => i16::MIN,
            1 => i16::MAX,
            _ => (state >> 40) as i16,
        }
    };
    (0..count).map(|_| next()).collect()
}

/// Deltas by `(B A) x`, the other order of the product.
fn true_deltas(shape: &ModuleShape, weights: &LowRank, inputs: &[i16]) -> Vec<i64> {
    let product = |i: usize, o: usize| -> i128 {
        let entry =
            |j| i128::from(weights.a[j * shape.inputs + i]) * i128::from(weights.b[j * shape.outputs + o]);
        (0..shape.rank).map(entry).sum()
    };
    let mut deltas = Vec::new();
    for row in inputs.chunks(shape.inputs) {
        for o in 0..shape.outputs {
            let delta: i128 = (0..shape.inputs).map(|i| product(i, o) * i128::from(row[i])).sum();
            deltas.push(i64::try_from(delta).unwrap());
        }
    }
    deltas
}

fn case(modules: Vec<ModuleShape>, streams: Vec<StreamShape>, seed: u64) -> Case {
    let witness = Witness {
        modules: modules
            .iter()
            .zip(seed..)
            .map(|(m, seed)| LowRank {
                a: integers(m.rank * m.inputs, seed),
                b: integers(m.rank * m.outputs, !seed),
            })
            .collect(),
    };
    let mut rows = MemoryRows {
        streams: Vec::new(),
        modules: modules.iter().map(|m| MemoryDeltas { width: m.outputs, values: Vec::new() }).collect(),
    };
    for (stream, seed) in streams.iter().zip(seed ^ 0xABCD..) {
        let count = stream.rows as usize;
        let values = integers(count * stream.width, seed);
        for &ModuleIndex(m) in &stream.modules {
            rows.modules[m].values = true_deltas(&modules[m], &witness.modules[m], &values);
        }
        rows.streams.push(MemoryStream { width: stream.width, values, exponents: vec![0; count] });
    }
    Case { modules, streams, rows, witness }
}

/// Three modules; q and v share a stream of 70 rows (three blocks), one module is never called.
fn ragged() -> Case {
    let modules =
        vec![shape("q", 5, 7, 3), shape("unused", 2, 2, 1), shape("v", 5, 1, 2), shape("w", 3, 9, 5)];
    let streams = vec![
        StreamShape { modules: vec![ModuleIndex(2), ModuleIndex(0)], width: 5, rows: 70 },
        StreamShape { modules: vec![ModuleIndex(3)], width: 3, rows: 1 },
    ];
    case(modules, streams, 7)
}

#[test]
fn a_true_statement_of_ragged_shapes_holds() {
    ragged().check().unwrap();
}

#[test]
fn an_empty_session_states_nothing() {
    let mut empty = ragged();
    empty.streams.clear();
    empty.check().unwrap();
    let mut no_rows = ragged();
    no_rows.streams.iter_mut().for_each(|stream| stream.rows = 0);
    no_rows.check().unwrap();
}

#[test]
fn a_small_product_is_what_paper_says() {
    let mut small = case(
        vec![shape("m", 2, 2, 1)],
        vec![StreamShape { modules: vec![ModuleIndex(0)], width: 2, rows: 2 }],
        0,
    );
    small.witness.modules[0] = LowRank { a: vec![1, 2], b: vec![3, -4] };
    small.rows.streams[0].values = vec![5, 6, -1, 1];
    small.rows.modules[0].values = vec![51, -68, 3, -4];
    small.check().unwrap();
    small.rows.modules[0].values[3] = 4;
    assert_eq!(small.message(), "delta of module m, row 1, column 1: expected -4, found 4");
}

#[test]
fn a_wrong_delta_is_named_in_every_block() {
    for (index, row, column) in [(0, 0, 0), (31 * 7 + 6, 31, 6), (32 * 7, 32, 0), (69 * 7 + 3, 69, 3)] {
        let mut wrong = ragged();
        let found = &mut wrong.rows.modules[0].values[index];
        let expected = *found;
        *found = expected.wrapping_add(1);
        assert_eq!(
            wrong.message(),
            format!(
                "delta of module q, row {row}, column {column}: expected {expected}, found {}",
                expected + 1
            )
        );
    }
}

#[test]
fn equality_is_over_the_integers() {
    // With all weights at their extreme the product passes 2^63: the delta that wraps around is false.
    let mut wide = case(
        vec![shape("m", 2, 1, 1 << 17)],
        vec![StreamShape { modules: vec![ModuleIndex(0)], width: 2, rows: 1 }],
        0,
    );
    let weights = &mut wide.witness.modules[0];
    weights.a.fill(i16::MIN);
    weights.b.fill(i16::MIN);
    wide.rows.streams[0].values = vec![i16::MIN; 2];
    // -2^15 * 2^30 * 2 * 2^17 = -2^63 fits; one more step does not.
    wide.rows.modules[0].values = vec![i64::MIN];
    wide.check().unwrap();
    let rank = (1 << 17) + 1;
    wide.modules[0].rank = rank;
    wide.witness.modules[0].a.resize(2 * rank, i16::MIN);
    wide.witness.modules[0].b.resize(rank, i16::MIN);
    let exact = -(1i128 << 63) - (1 << 46);
    wide.rows.modules[0].values = vec![exact as i64];
    let message = wide.message();
    assert!(message.contains(&format!("expected {exact}, found {}", exact as i64)), "{message}");
}

#[test]
fn changed_weights_and_activations_are_noticed() {
    let mut a = ragged();
    a.witness.modules[3].a[0] ^= 1;
    assert!(a.message().starts_with("delta of module w, row 0"), "{}", a.message());
    let mut b = ragged();
    b.witness.modules[0].b[6] ^= 1;
    assert!(b.message().contains("module q, row 0, column 6"), "{}", b.message());
    let mut x = ragged();
    x.rows.streams[0].values[5 * 40] ^= 1;
    assert!(x.message().contains("row 40"), "{}", x.message());
}

#[test]
fn shapes_that_disagree_are_named() {
    let mut twice = ragged();
    twice.streams[0].modules.push(ModuleIndex(3));
    twice.modules[3].inputs = 5;
    assert_eq!(twice.message(), "module w is fed by stream 0 and again by stream 1");

    let mut same = ragged();
    same.streams[0].modules.push(ModuleIndex(2));
    assert_eq!(same.message(), "module v is fed by stream 0 and again by stream 0");

    let mut unknown = ragged();
    unknown.streams[1].modules = vec![ModuleIndex(4)];
    assert_eq!(unknown.message(), "stream 1 feeds module 4, but there are 4 modules");

    let mut width = ragged();
    width.streams[1].width = 4;
    assert_eq!(width.message(), "module w reads rows of 3 values, stream 1 has rows of 4");
}

#[test]
fn a_witness_of_another_shape_is_named() {
    let mut fewer = ragged();
    fewer.witness.modules.pop();
    assert_eq!(fewer.message(), "the witness holds 3 modules, the statement 4");

    let mut short = ragged();
    short.witness.modules[1].a.pop();
    assert_eq!(short.message(), "matrix A of module unused: expected 1 x 2 integers, found 1");

    let mut long = ragged();
    long.witness.modules[0].b.push(0);
    assert_eq!(long.message(), "matrix B of module q: expected 3 x 7 integers, found 22");
}

#[test]
fn missing_rows_and_lying_sources_are_named() {
    let mut missing = ragged();
    missing.streams[1].rows = 2;
    assert_eq!(missing.message(), "inputs of stream 1: rows 0..2 asked for, 1 are there");

    let mut narrow = ragged();
    narrow.rows.modules[3].width = 8;
    assert_eq!(narrow.message(), "deltas of module w, rows 0..1: expected 9 values, found 8");

    let mut wide = ragged();
    wide.rows.streams[0].width = 6;
    assert!(wide.message().starts_with("inputs of stream 0, rows 0..32: expected 160 values, found 192"));
}

#[test]
fn debug_does_not_print_weights() {
    let witness = Witness { modules: vec![LowRank { a: vec![12345; 4], b: vec![-12345; 2] }] };
    assert_eq!(format!("{witness:?}"), "Witness(1 private modules)");
    assert_eq!(format!("{:?}", witness.modules), "[LowRank(4 + 2 private integers)]");
}

proptest! {
    #[test]
    fn true_statements_hold_and_any_changed_delta_fails(
        (inputs, outputs, rank) in (1usize..20, 1usize..20, 1usize..9),
        rows in 1u64..70,
        seed: u64,
        pick: prop::sample::Index,
        change in prop_oneof![Just(i64::MIN), Just(1), any::<i64>()],
    ) {
        let streams = vec![StreamShape { modules: vec![ModuleIndex(0)], width: inputs, rows }];
        let mut case = case(vec![shape("m", inputs, outputs, rank)], streams, seed);
        prop_assert!(case.check().is_ok());
        prop_assume!(change != 0);
        let index = pick.index(case.rows.modules[0].values.len());
        let changed = &mut case.rows.modules[0].values[index];
        *changed = changed.wrapping_add(change);
        let named = matches!(
            case.check(),
            Err(SessionError::WrongDelta { row, column, .. })
                if row as usize == index / outputs && column == index % outputs
        );
        prop_assert!(named);
    }
}
