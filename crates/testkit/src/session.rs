//! Random sessions in memory.

use lorica_argument::opening::OpeningMode;
use lorica_prove::session::SessionProver;
use lorica_relation::rows::{MemoryDeltas, MemoryRows, MemoryStream, ModuleIndex};
use lorica_relation::session::{ModuleShape, StreamShape, Witness};
use lorica_tensor::Digest;
use lorica_verify::passes;
use lorica_verify::session::{SessionInvalid, SessionVerifier};
use lorica_verify::statement::{SessionStatement, StreamStatement};

use crate::adapter::{AdapterFixture, entropy};
use crate::random::Random;

/// A stream of a test session: which modules it feeds, and how many rows it has.
pub type Stream<'a> = (&'a [usize], u64);

/// A session with its rows.
#[derive(Clone)]
pub struct SessionFixture {
    /// Shapes of the streams.
    pub streams: Vec<StreamShape>,
    /// Activations and deltas.
    pub rows: MemoryRows,
    /// The session's identifier.
    pub session: Digest,
}

/// The exact delta, by plain loops.
pub fn delta(x: &[i16], shape: &ModuleShape, witness: &Witness, module: usize) -> Vec<i64> {
    let weights = &witness.modules[module];
    let mut out = vec![0i128; shape.outputs];
    for (a, b) in weights.a.chunks_exact(shape.inputs).zip(weights.b.chunks_exact(shape.outputs)) {
        let y: i128 = a.iter().zip(x).map(|(a, x)| i128::from(*a) * i128::from(*x)).sum();
        for (out, b) in out.iter_mut().zip(b) {
            *out += y * i128::from(*b);
        }
    }
    out.into_iter().map(|value| i64::try_from(value).expect("weight bits keep deltas inside i64")).collect()
}

impl SessionFixture {
    /// A session of an adapter with random activations and honest deltas.
    pub fn new(adapter: &AdapterFixture, streams: &[Stream<'_>], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shapes = adapter.pinned.manifest().shapes();
        let mut rows = MemoryRows { streams: Vec::new(), modules: Vec::new() };
        rows.modules
            .extend(shapes.iter().map(|shape| MemoryDeltas { width: shape.outputs, values: Vec::new() }));
        let mut stream_shapes = Vec::new();
        for (modules, count) in streams {
            let width = shapes[modules[0]].inputs;
            let values = random.integers(width * *count as usize, 16);
            for x in values.chunks_exact(width) {
                for &module in *modules {
                    rows.modules[module].values.extend(delta(x, &shapes[module], &adapter.witness, module));
                }
            }
            let exponents = (0..*count).map(|_| random.below(20) as i16).collect();
            rows.streams.push(MemoryStream { width, values, exponents });
            let modules = modules.iter().map(|module| ModuleIndex(*module)).collect();
            stream_shapes.push(StreamShape { modules, width, rows: *count });
        }
        Self { streams: stream_shapes, rows, session: Digest(random.bytes()) }
    }

    /// The statement about these rows.
    pub fn statement(&self, adapter: &AdapterFixture) -> SessionStatement {
        let modules = adapter.pinned.manifest().shapes();
        let digests = passes::digests(&modules, &self.streams, &self.rows).expect("rows in memory");
        let streams = self.streams.iter().zip(digests.streams).map(|(shape, digests)| StreamStatement {
            shape: shape.clone(),
            calls: 1,
            inputs: digests.inputs,
            exponents: digests.exponents,
        });
        SessionStatement {
            manifest: adapter.pinned.digest(),
            session: self.session,
            modules,
            streams: streams.collect(),
            deltas: digests.modules,
        }
    }

    /// The prover of this session.
    pub fn prover<'a>(
        &'a self,
        adapter: &'a AdapterFixture,
        statement: &'a SessionStatement,
    ) -> SessionProver<'a> {
        SessionProver {
            adapter: &adapter.pinned,
            witness: &adapter.witness,
            secret: &adapter.secret,
            statement,
            rows: &self.rows,
            generators: &adapter.generators,
        }
    }

    /// A proof by the honest prover.
    pub fn prove(&self, adapter: &AdapterFixture, mode: OpeningMode, seed: u64) -> Vec<u8> {
        let statement = self.statement(adapter);
        self.prover(adapter, &statement)
            .prove(mode, &entropy(&mut Random::new(seed)))
            .expect("a proof of an honest session")
    }

    /// The real verifier's answer about these rows and a proof.
    pub fn verify(&self, adapter: &AdapterFixture, proof: &[u8]) -> Result<(), SessionInvalid> {
        let statement = self.statement(adapter);
        self.verify_statement(adapter, &statement, proof)
    }

    /// The same for a given statement.
    pub fn verify_statement(
        &self,
        adapter: &AdapterFixture,
        statement: &SessionStatement,
        proof: &[u8],
    ) -> Result<(), SessionInvalid> {
        let verifier = SessionVerifier {
            adapter: &adapter.pinned,
            statement,
            rows: &self.rows,
            generators: &adapter.generators,
        };
        verifier.verify(proof)
    }
}
