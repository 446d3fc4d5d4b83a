//! Times of the integer kernels, each on every twin that this processor runs, on one thread.
//!
//! `cargo run --release -p lorica-algebra --example kernel_times`

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use lorica_algebra::Scalar;
use lorica_algebra::kernels::combine::combine_scalars_on;
use lorica_algebra::kernels::dot::{dot_i16_on, dot_i64_rows_on};
use lorica_algebra::kernels::field::{Halves, bind_on, inner_product_on, round_sums_on, scale_on};
use lorica_algebra::kernels::{Backend, ChallengeDigits, ChallengeVector, Combiner, LowRankProduct};
use lorica_algebra::wide::Wide;

const MODULES: usize = 32;
const TOKENS: usize = 64;
const WIDTH: usize = 4096;
const RANK: usize = 16;
const REPETITIONS: usize = 10;

/// Pseudo-random 64-bit words; the kernels' times do not depend on their quality.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^ (word >> 31)
    }

    fn int16s(&mut self, count: usize) -> Vec<i16> {
        (0..count).map(|_| self.next() as i16).collect()
    }

    fn challenges(&mut self, count: usize) -> Vec<u128> {
        (0..count).map(|_| u128::from(self.next()) << 62 | u128::from(self.next() >> 2)).collect()
    }
}

/// Prints the best time of several runs, in all and for each of `elements`.
fn measure(backend: Backend, kernel: &str, elements: usize, mut run: impl FnMut()) {
    let best = (0..REPETITIONS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    let each = best.as_secs_f64() * 1e9 / elements as f64;
    println!("{:9} {kernel:42} {:9.3} ms {each:8.3} ns each", backend.name(), best.as_secs_f64() * 1e3);
}

/// Tables that fit the second-level cache, so that arithmetic is what is measured.
fn measure_scalars(backend: Backend, words: &mut Words) {
    let mut table = || -> Vec<Scalar> {
        words.challenges(WIDTH).into_iter().map(|c| Scalar::from(c) * Scalar::from(c)).collect()
    };
    let (mut left_low, left_high, right_low, right_high) = (table(), table(), table(), table());
    measure(backend, "inner product of scalars, a product", WIDTH, || {
        black_box(inner_product_on(backend, &left_low, &right_low));
    });
    let halves =
        Halves { left_low: &left_low, left_high: &left_high, right_low: &right_low, right_high: &right_high };
    measure(backend, "sums of a round, a product", 2 * WIDTH, || {
        black_box(round_sums_on(backend, &halves));
    });
    measure(backend, "binding a variable, a pair", WIDTH, || {
        bind_on(backend, &mut left_low, &left_high, right_low[0]);
    });
    measure(backend, "scaling, a scalar", WIDTH, || scale_on(backend, &mut left_low, right_low[0]));
}

fn main() {
    let words = &mut Words(1);
    let x = words.int16s(MODULES * TOKENS * WIDTH);
    let a = words.int16s(MODULES * RANK * WIDTH);
    let int64s: Vec<i64> = (0..MODULES * TOKENS * WIDTH).map(|_| words.next() as i64).collect();
    let mut deltas = vec![0i64; MODULES * TOKENS * WIDTH];
    let rho = words.challenges(TOKENS);
    let sigma = words.challenges(WIDTH);
    let limbs = ChallengeVector::new(&sigma);
    let digits = ChallengeDigits::from_challenges(&sigma);
    let rows: Vec<&[i16]> = a.chunks(WIDTH).collect();
    let coefficients: Vec<Scalar> =
        words.challenges(rows.len()).into_iter().map(|c| Scalar::from(c) * Scalar::from(c)).collect();
    println!("{MODULES} modules, {WIDTH} inputs and outputs, rank {RANK}, {TOKENS} tokens");

    for backend in Backend::available() {
        measure(backend, "product, a multiplication", MODULES * TOKENS * RANK * 2 * WIDTH, || {
            let modules =
                x.chunks(TOKENS * WIDTH).zip(a.chunks(RANK * WIDTH)).zip(deltas.chunks_mut(TOKENS * WIDTH));
            for ((x, a), deltas) in modules {
                LowRankProduct { a, b_transposed: a, inputs: WIDTH, outputs: WIDTH }
                    .write_deltas_on(backend, x, deltas);
            }
        });
        measure(backend, "combine by challenges, an int16 entry", x.len(), || {
            for x in x.chunks(TOKENS * WIDTH) {
                let mut combiner = Combiner::on(backend, WIDTH);
                combiner.add_rows(&rho, x);
                black_box(combiner);
            }
        });
        let mut combiner = Combiner::on(backend, WIDTH);
        combiner.add_rows(&rho, &x[..TOKENS * WIDTH]);
        let mut scalars = vec![Scalar::default(); WIDTH];
        measure(backend, "combine: finish as scalars, a column", WIDTH, || {
            combiner.write_scalars(&mut scalars)
        });
        measure(backend, "combine: finish as scalars over R, a column", WIDTH, || {
            combiner.write_scalars_over_r(&mut scalars);
        });
        measure(backend, "combine by scalars, an int16 entry", a.len(), || {
            combine_scalars_on(backend, &coefficients, &rows, &mut scalars);
        });
        let combined = combiner.into_digits();
        measure(backend, "dot with six digits, an int16 entry", a.len(), || {
            rows.iter().for_each(|row| _ = black_box(dot_i16_on(backend, row, &combined)));
        });
        measure(backend, "dot with four digits, an int16 entry", a.len(), || {
            rows.iter().for_each(|row| _ = black_box(dot_i16_on(backend, row, &digits)));
        });
        let mut sums = vec![Wide::ZERO; TOKENS];
        measure(backend, "dot, an int64 entry", int64s.len(), || {
            for rows in int64s.chunks(TOKENS * WIDTH) {
                dot_i64_rows_on(backend, rows, &limbs, &mut sums);
                black_box(&sums);
            }
        });
        measure_scalars(backend, words);
    }
}
