//! Compute, register, prove and verify one synthetic session of a given shape, all in one run.

use std::path::Path;

use lorica_algebra::kernels::Backend;
use lorica_algebra::kernels::product::LowRankProduct;
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_prove::randomness::Entropy;
use lorica_prove::registration::Registration;
use lorica_prove::secret::AdapterSecret;
use lorica_prove::session::SessionProver;
use lorica_relation::digests::SessionDigests;
use lorica_relation::rows::{MemoryDeltas, MemoryRows, MemoryStream, ModuleIndex, SessionRows, StreamIndex};
use lorica_relation::session::{LowRank, ModuleShape, StreamShape, Witness};
use lorica_tensor::Digest;
use lorica_transcript::writer::DEFAULT_WINDOW_BYTES;
use lorica_transcript::{
    Call, ModuleHeader, Role, StreamPlan, TranscriptPlan, TranscriptReader, TranscriptWriter,
};
use lorica_verify::layout::Layout;
use lorica_verify::manifest::{
    BaseIdentity, ManifestModule, RangeLevel, Scaling, ScalingRule, weight_bits_for,
};
use lorica_verify::passes;
use lorica_verify::registered::{PinnedAdapter, RegisteredAdapter};
use lorica_verify::session::SessionVerifier;
use lorica_verify::statement::{SessionStatement, Sizes, StreamStatement};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{BenchError, step};
use crate::float::FloatSession;
use crate::machine;
use crate::noise::Noise;
use crate::stopwatch::{Stopwatch, middle, uses_processor_time};

/// The shape of a synthetic session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionShape {
    /// Adapted modules.
    pub modules: usize,
    /// Input width of each.
    pub inputs: usize,
    /// Output width of each.
    pub outputs: usize,
    /// Rank of each.
    pub rank: usize,
    /// Token rows of each stream.
    pub tokens: usize,
    /// Modules that share one stream of activations.
    pub shared: usize,
}

/// What is run.
#[derive(Debug, Clone, Copy)]
pub struct SessionBench<'a> {
    /// The shape.
    pub shape: SessionShape,
    /// Timed repetitions of each step, after one that warms up.
    pub repetitions: usize,
    /// Write the transcript to this folder and read it from there, instead of holding it in memory.
    pub store: Option<&'a Path>,
}

/// What one run measures. Times are medians in milliseconds; the clock is [`clock`](Self::clock).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionTimes {
    /// The shape.
    pub shape: SessionShape,
    /// Threads of the pool.
    pub threads: usize,
    /// `processor time` on one thread, `wall time` on several.
    pub clock: String,
    /// Which twin of the integer kernels ran.
    pub kernels: String,
    /// The processor, as the operating system names it.
    pub processor: String,
    /// Version of this program.
    pub version: String,
    /// Whether activations and deltas were read from disk.
    pub stored: bool,
    /// Timed repetitions.
    pub repetitions: usize,
    /// `X A^T B^T` over int16 and int64, as the contributor computes it.
    pub compute_integer_ms: f64,
    /// The same product in f32 by candle.
    pub compute_f32_ms: f64,
    /// Hash-to-group of all bases, once in a process.
    pub setup_ms: f64,
    /// BLAKE3 over all rows: the contributor pays it while it serves, the verifier inside its own time.
    pub hash_ms: f64,
    /// The session proof with a fast opening, from digests that were taken while the data flowed.
    pub prove_fast_ms: f64,
    /// With a compact opening.
    pub prove_compact_ms: f64,
    /// Verification of the fast proof, hashing of all rows included.
    pub verify_fast_ms: f64,
    /// Verification of the compact proof, hashing of all rows included.
    pub verify_compact_ms: f64,
    /// Decoding of the commitments and verification of the registration proof.
    pub pin_ms: f64,
    /// Bytes of the fast proof.
    pub proof_fast_bytes: usize,
    /// Bytes of the compact proof.
    pub proof_compact_bytes: usize,
    /// Commitments to all rows, their encoding and the registration proof, for each weight.
    pub register_ns_per_weight: f64,
    /// Memory that proving takes beyond what was resident before it: weights, and activations and deltas in memory.
    pub prove_extra_bytes: Option<u64>,
    /// The largest resident set of the process up to the end of the last proof, session data in memory included.
    pub peak_rss_bytes: Option<u64>,
    /// Activations, exponents and deltas.
    pub transcript_bytes: usize,
}

impl SessionShape {
    fn weights(&self) -> usize {
        self.modules * self.rank * (self.inputs + self.outputs)
    }

    fn streams(&self) -> usize {
        self.modules.div_ceil(self.shared)
    }

    fn transcript_bytes(&self) -> usize {
        let inputs = self.streams() * (self.inputs + 1) * size_of::<i16>();
        self.tokens * (inputs + self.modules * self.outputs * size_of::<i64>())
    }

    fn manifest_modules(&self) -> Result<Vec<ManifestModule>, BenchError> {
        let Self { modules, inputs, outputs, rank, tokens, shared } = *self;
        let refused = BenchError::Shape { modules, inputs, outputs, rank, tokens };
        let Some(weight_bits) = weight_bits_for(inputs, outputs, rank) else { return Err(refused) };
        if modules == 0 || modules > lorica_verify::manifest::MAX_MODULES || tokens == 0 || shared == 0 {
            return Err(refused);
        }
        let entry = |index: usize| {
            Ok(ManifestModule {
                name: step("naming", format!("module.{index:05}").parse())?,
                inputs,
                outputs,
                rank,
                weight_bits,
                a_exponent: 14,
                b_exponent: 14,
                scaling: Scaling { alpha: 16.0, rule: ScalingRule::Rank },
            })
        };
        (0..modules).map(entry).collect()
    }
}

/// A synthetic session, with the deltas not yet computed.
struct Synthetic {
    shape: SessionShape,
    witness: Witness,
    rows: MemoryRows,
    streams: Vec<StreamShape>,
}

impl Synthetic {
    fn new(shape: SessionShape, weight_bits: u32, noise: &mut Noise) -> Self {
        let SessionShape { modules, inputs, outputs, rank, tokens, shared } = shape;
        let low_rank = |noise: &mut Noise| LowRank {
            a: noise.integers(rank * inputs, weight_bits),
            b: noise.integers(rank * outputs, weight_bits),
        };
        let witness = Witness { modules: (0..modules).map(|_| low_rank(noise)).collect() };
        let stream = |noise: &mut Noise| MemoryStream {
            width: inputs,
            values: noise.integers(inputs * tokens, 16),
            exponents: vec![12; tokens],
        };
        let rows = MemoryRows {
            streams: (0..shape.streams()).map(|_| stream(noise)).collect(),
            modules: (0..modules)
                .map(|_| MemoryDeltas { width: outputs, values: vec![0; outputs * tokens] })
                .collect(),
        };
        let indices: Vec<ModuleIndex> = (0..modules).map(ModuleIndex).collect();
        let streams = indices
            .chunks(shared)
            .map(|modules| StreamShape { modules: modules.to_vec(), width: inputs, rows: tokens as u64 })
            .collect();
        Self { shape, witness, rows, streams }
    }

    /// The rows: on disk if they were written there.
    fn rows<'a>(&'a self, reader: &'a Option<TranscriptReader>) -> &'a dyn SessionRows {
        match reader {
            Some(reader) => reader,
            None => &self.rows,
        }
    }

    /// Computes all deltas, modules in parallel, as the contributor's server does.
    fn compute(&mut self) -> Result<(), BenchError> {
        let SessionShape { inputs, outputs, shared, .. } = self.shape;
        let MemoryRows { streams, modules } = &mut self.rows;
        modules.par_iter_mut().zip(&self.witness.modules).enumerate().for_each(
            |(index, (deltas, weights))| {
                LowRankProduct { a: &weights.a, b_transposed: &weights.b, inputs, outputs }
                    .write_deltas(&streams[index / shared].values, &mut deltas.values);
            },
        );
        Ok(())
    }

    /// Writes the session to a folder, as both parties do while it runs.
    fn store(&self, folder: &Path, modules: &[ModuleShape]) -> Result<TranscriptReader, BenchError> {
        let plan = TranscriptPlan {
            session: Digest([1; 32]),
            manifest: Digest([2; 32]),
            role: Role::User,
            modules: modules
                .iter()
                .map(|module| ModuleHeader { name: module.name.clone(), outputs: module.outputs })
                .collect(),
            streams: self
                .streams
                .iter()
                .map(|stream| StreamPlan { modules: stream.modules.clone(), width: stream.width })
                .collect(),
        };
        let mut writer = step("writing", TranscriptWriter::create(folder, &plan, DEFAULT_WINDOW_BYTES))?;
        for (index, (shape, stream)) in self.streams.iter().zip(&self.rows.streams).enumerate() {
            let deltas: Vec<Vec<i64>> =
                shape.modules.iter().map(|module| self.rows.modules[module.0].values.clone()).collect();
            let call = Call {
                stream: StreamIndex(index),
                index: index as u64,
                inputs: &stream.values,
                exponents: &stream.exponents,
                deltas: &deltas,
            };
            step("writing", writer.append_call(&call))?;
        }
        step("writing", writer.finish())?;
        step("reading", TranscriptReader::open(folder))
    }
}

/// The registered adapter, ready for sessions.
struct Setting {
    adapter: PinnedAdapter,
    secret: AdapterSecret,
    generators: Generators,
    modules: Vec<ModuleShape>,
    streams: Vec<StreamShape>,
}

impl Setting {
    fn statement(&self, digests: &SessionDigests) -> SessionStatement {
        let streams = self.streams.iter().zip(&digests.streams);
        SessionStatement {
            manifest: self.adapter.digest(),
            session: Digest([1; 32]),
            modules: self.modules.clone(),
            streams: streams
                .map(|(shape, digests)| StreamStatement {
                    shape: shape.clone(),
                    calls: 1,
                    inputs: digests.inputs,
                    exponents: digests.exponents,
                })
                .collect(),
            deltas: digests.modules.clone(),
        }
    }

    fn digests(&self, rows: &dyn SessionRows) -> Result<SessionDigests, BenchError> {
        step("hashing", passes::digests(&self.modules, &self.streams, rows))
    }

    /// What a verifier does with a session: hash all rows, then verify.
    fn verify(&self, rows: &dyn SessionRows, proof: &[u8]) -> Result<(), BenchError> {
        let statement = self.statement(&self.digests(rows)?);
        let verifier = SessionVerifier {
            adapter: &self.adapter,
            statement: &statement,
            rows,
            generators: &self.generators,
        };
        step("verifying", verifier.verify(proof))
    }
}

pub(crate) fn entropy(noise: &mut Noise) -> Entropy {
    Entropy(Zeroizing::new(noise.bytes()))
}

/// Times of one step, one a repetition; the first, which warms caches and memory, does not count.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn take<T>(&mut self, run: impl FnOnce() -> Result<T, BenchError>) -> Result<T, BenchError> {
        let started = Stopwatch::start();
        let result = run()?;
        self.0.push(started.milliseconds());
        Ok(result)
    }

    fn median(self) -> f64 {
        middle(self.0.into_iter().skip(1).collect())
    }
}

impl SessionBench<'_> {
    /// Runs all steps. `say` is told what is being done.
    pub fn run(&self, say: &dyn Fn(&str)) -> Result<SessionTimes, BenchError> {
        let shape = self.shape;
        let manifest_modules = shape.manifest_modules()?;
        let modules: Vec<ModuleShape> = manifest_modules.iter().map(ManifestModule::shape).collect();
        let sizes = Sizes::of(&modules);

        say("making a random adapter and random activations");
        let mut noise = Noise::default();
        let bits = manifest_modules.first().map_or(16, |module| module.weight_bits);
        let mut session = Synthetic::new(shape, bits, &mut noise);

        say("registering the adapter");
        let started = Stopwatch::start();
        let generators = Generators::derive(sizes.width, Layout::new(&sizes).slots());
        let setup_ms = started.milliseconds();
        let secret = AdapterSecret::from_seed(noise.bytes());
        let registration = Registration {
            base: BaseIdentity {
                family: "synthetic".into(),
                config: Digest([0; 32]),
                weights: Digest([0; 32]),
            },
            modules: manifest_modules,
            witness: &session.witness,
            nonce: Digest(noise.bytes()),
            secret: &secret,
            generators: &generators,
            range: RangeLevel::None,
        };
        let started = Stopwatch::start();
        let registered = step("registering", registration.run(&entropy(&mut noise), &|_, _| {}))?;
        let register_ms = started.milliseconds();
        let started = Stopwatch::start();
        let (manifest, commitments) = (registered.manifest.as_bytes(), &registered.commitments);
        let read = step("reading the manifest", RegisteredAdapter::from_bytes(manifest, commitments, None))?;
        let adapter = step("pinning", read.pin(&registered.proof, &generators))?;
        let pin_ms = started.milliseconds();
        let setting = Setting { adapter, secret, generators, modules, streams: session.streams.clone() };

        say("computing the deltas");
        let (mut integer, mut float) = (Times::default(), Times::default());
        let float_session = step("f32 product", FloatSession::new(shape, &mut noise))?;
        for _ in 0..=self.repetitions {
            float.take(|| step("f32 product", float_session.compute()))?;
        }
        drop(float_session);
        // Rows that stay in memory are computed again before each proof, so that a slow moment hits both. Rows on disk are not
        // in memory any more by then.
        let beforehand = if self.store.is_some() { self.repetitions } else { 0 };
        for _ in 0..=beforehand {
            integer.take(|| session.compute())?;
        }
        let reader = match self.store {
            Some(folder) => {
                say("writing the transcript");
                let reader = session.store(folder, &setting.modules)?;
                session.rows = MemoryRows::default();
                Some(reader)
            }
            None => None,
        };

        say("hashing, proving and verifying");
        let mut hash = Times::default();
        let digests = hash.take(|| setting.digests(session.rows(&reader)))?;
        let statement = setting.statement(&digests);
        let mut prove = |session: &Synthetic, mode| {
            let prover = SessionProver {
                adapter: &setting.adapter,
                witness: &session.witness,
                secret: &setting.secret,
                statement: &statement,
                rows: session.rows(&reader),
                generators: &setting.generators,
            };
            step("proving", prover.prove(mode, &entropy(&mut noise)))
        };
        let resident = machine::resident_bytes();
        machine::restart_peak();
        let (fast, compact) = (prove(&session, OpeningMode::Fast)?, prove(&session, OpeningMode::Compact)?);
        let peak = machine::peak_bytes();
        let [mut prove_fast, mut prove_compact, mut verify_fast, mut verify_compact] =
            [(); 4].map(|()| Times::default());
        for _ in 0..=self.repetitions {
            if reader.is_none() {
                integer.take(|| session.compute())?;
            }
            prove_fast.take(|| prove(&session, OpeningMode::Fast))?;
            prove_compact.take(|| prove(&session, OpeningMode::Compact))?;
            let rows = session.rows(&reader);
            hash.take(|| setting.digests(rows))?;
            verify_fast.take(|| setting.verify(rows, &fast))?;
            verify_compact.take(|| setting.verify(rows, &compact))?;
        }
        Ok(SessionTimes {
            shape,
            threads: rayon::current_num_threads(),
            clock: if uses_processor_time() { "processor time" } else { "wall time" }.to_owned(),
            kernels: Backend::active().name().to_owned(),
            processor: machine::processor(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stored: reader.is_some(),
            repetitions: self.repetitions,
            compute_integer_ms: integer.median(),
            compute_f32_ms: float.median(),
            setup_ms,
            hash_ms: hash.median(),
            prove_fast_ms: prove_fast.median(),
            prove_compact_ms: prove_compact.median(),
            verify_fast_ms: verify_fast.median(),
            verify_compact_ms: verify_compact.median(),
            pin_ms,
            proof_fast_bytes: fast.len(),
            proof_compact_bytes: compact.len(),
            register_ns_per_weight: register_ms * 1e6 / shape.weights() as f64,
            prove_extra_bytes: peak.zip(resident).map(|(peak, before)| peak.saturating_sub(before)),
            peak_rss_bytes: peak,
            transcript_bytes: shape.transcript_bytes(),
        })
    }
}
