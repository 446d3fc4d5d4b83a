//! What a commitment and a range argument cost for each value: a data set of uniform 16-bit integers, registered.
//!
//! A registration is a commitment to rows, and one proof that all entries lie in the table of 16-bit words: the same lookup that
//! proofs of training use, with its sumchecks and the one opening. It is timed whole, so nothing of it is left out; the
//! values are uniform, because small ones are cheaper to commit to.

use lorica_algebra::kernels::Backend;
use lorica_argument::generators::Generators;
use lorica_prove::range::IntegerProver;
use lorica_prove::rows::Committed;
use lorica_prove::rows::data::{DataRegistration, data_rows};
use lorica_prove::secret::AdapterSecret;
use lorica_tensor::Digest;
use lorica_verify::range::RangeProof;
use lorica_verify::rows::data::{Columns, RegisteredData};
use serde::{Deserialize, Serialize};

use crate::error::{BenchError, step};
use crate::machine;
use crate::noise::Noise;
use crate::session::entropy;
use crate::stopwatch::{Span, Stopwatch};

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct LookupBench {
    /// Committed rows.
    pub rows: usize,
    /// Entries of each, at least 2.
    pub row_length: usize,
    /// Timed repetitions of each step, after one that warms up.
    pub repetitions: usize,
}

/// What one run measures. Times are medians.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookupTimes {
    /// Committed rows.
    pub rows: usize,
    /// Entries of each.
    pub row_length: usize,
    /// Threads of the pool.
    pub threads: usize,
    /// Which twin of the integer kernels ran.
    pub kernels: String,
    /// The processor, as the operating system names it.
    pub processor: String,
    /// Version of this program.
    pub version: String,
    /// Timed repetitions.
    pub repetitions: usize,
    /// Commitments to all rows: tables of bases, blinds and encodings included.
    pub commit: Span,
    /// The range argument: multiplicities, lookup and opening.
    pub lookup: Span,
    /// Verification of the range argument.
    pub verify: Span,
    /// Processor time of the commitments for each value.
    pub commit_ns_per_value: f64,
    /// Processor time of the range argument for each value.
    pub lookup_ns_per_value: f64,
    /// Bytes of the range argument.
    pub proof_bytes: usize,
}

impl LookupBench {
    /// Registers the same data set again and again. `say` is told what is being done.
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<LookupTimes, BenchError> {
        let Self { rows, row_length, repetitions } = *self;
        let mut noise = Noise::default();
        let values = noise.integers(rows.saturating_mul(row_length), 16);
        let secret = AdapterSecret::from_seed([1; 32]);
        let generators = Generators::derive(row_length, 0);
        let width = |width| Columns { width, fraction_bits: 0 };
        let registration = DataRegistration {
            inputs: width(row_length.saturating_sub(1)),
            targets: width(1),
            rows: &values,
            nonce: Digest(noise.bytes()),
            secret: &secret,
            generators: &generators,
        };
        say("committing, proving and verifying");
        let (mut commit, mut lookup, mut verify) = (vec![], vec![], vec![]);
        let mut proof_bytes = 0;
        for repetition in 0..=repetitions {
            let started = Stopwatch::start();
            let Committed { registered, .. } = step("committing", registration.commit(&|_, _| {}))?;
            let committed = started.span();
            let (proof, proved) = self.prove(&registered, &registration, &mut noise)?;
            let started = Stopwatch::start();
            step("verifying", RangeProof::verify_bytes(&proof, &registered, &generators))?;
            let verified = started.span();
            proof_bytes = proof.len();
            if repetition > 0 {
                commit.push(committed);
                lookup.push(proved);
                verify.push(verified);
            }
        }
        let (commit, lookup) = (Span::middle(&commit), Span::middle(&lookup));
        Ok(LookupTimes {
            rows,
            row_length,
            threads: rayon::current_num_threads(),
            kernels: Backend::active().name().to_owned(),
            processor: machine::processor(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            repetitions,
            commit,
            lookup,
            verify: Span::middle(&verify),
            commit_ns_per_value: commit.nanoseconds_each(values.len()),
            lookup_ns_per_value: lookup.nanoseconds_each(values.len()),
            proof_bytes,
        })
    }

    fn prove(
        &self,
        registered: &RegisteredData,
        registration: &DataRegistration<'_>,
        noise: &mut Noise,
    ) -> Result<(Vec<u8>, Span), BenchError> {
        let entropy = entropy(noise);
        let started = Stopwatch::start();
        let rows = step("laying out rows", data_rows(registered, registration.rows, registration.secret))?;
        let prover = IntegerProver {
            statement: &registered.into(),
            rows: &rows,
            secret: registration.secret,
            generators: registration.generators,
        };
        let proof = step("proving the range", prover.prove(&entropy))?.to_bytes();
        Ok((proof, started.span()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_values_and_read_back() {
        let times = LookupBench { rows: 4, row_length: 64, repetitions: 1 }.run(&|_| {}).unwrap();
        assert!(times.commit_ns_per_value > 0.0 && times.lookup_ns_per_value > 0.0);
        assert!((times.lookup_ns_per_value * 256.0 / 1e6 - times.lookup.processor_ms).abs() < 1e-6);
        let text = serde_json::to_string(&times).unwrap();
        assert_eq!(serde_json::from_str::<LookupTimes>(&text).unwrap(), times);
    }

    #[test]
    fn rows_without_a_target_are_refused() {
        let refused = LookupBench { rows: 4, row_length: 1, repetitions: 1 }.run(&|_| {}).unwrap_err();
        assert!(refused.to_string().contains("inputs.width"), "{refused}");
    }
}
