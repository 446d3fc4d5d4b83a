//! Registration: commitments to every row of an adapter, its manifest, and the proof that all of them can be opened.

use lorica_algebra::kernels::combine::combine_scalars;
use lorica_algebra::kernels::rows::{RowCommitter, RowError};
use lorica_algebra::point::{EncodedPoint, FixedBase};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_relation::session::{LowRank, Witness};
use lorica_tensor::Digest;
use lorica_verify::manifest::{
    BaseIdentity, CommitmentList, MANIFEST_FORMAT, Manifest, ManifestError, ManifestModule, RangeLevel,
};
use lorica_verify::range::{RANGE_PROTOCOL, RangeProof};
use lorica_verify::registered::{Matrix, RegisteredAdapter, RegisteredError};
use lorica_verify::registration::{self, REGISTRATION_PROTOCOL, RegistrationProof};
use zeroize::Zeroizing;

use crate::opening::{OpeningProofError, OpeningWitness};
use crate::randomness::{Entropy, Randomness};
use crate::range::{IntegerProver, IntegerRows, RangeProofError};
use crate::secret::AdapterSecret;

/// What is registered.
pub struct Registration<'a> {
    /// The base model the adapter belongs to.
    pub base: BaseIdentity,
    /// The modules, in strictly increasing order of their names.
    pub modules: Vec<ManifestModule>,
    /// Their integers, in the same order.
    pub witness: &'a Witness,
    /// Fresh public randomness for this commitment.
    pub nonce: Digest,
    /// The seed of all blinds.
    pub secret: &'a AdapterSecret,
    /// At least as many row bases as the widest module.
    pub generators: &'a Generators,
    /// What is proven of the range of the integers.
    pub range: RangeLevel,
}

/// The three public artefacts of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// `manifest.json`
    pub manifest: String,
    /// `commitments.bin`
    pub commitments: Vec<u8>,
    /// `registration.bin`
    pub proof: Vec<u8>,
}

/// Why an adapter cannot be registered, or its weights do not open a commitment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The manifest would not be valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The artefacts that were just made do not belong together: a defect of this program.
    #[error("the artefacts made do not read back: {0}")]
    Registered(#[from] RegisteredError),
    /// The integers do not have the manifest's shapes.
    #[error("module {module}: {matrix} has {found} integers, the manifest asks for {expected}")]
    Shape {
        /// The module.
        module: String,
        /// A or B.
        matrix: Matrix,
        /// By the manifest.
        expected: usize,
        /// There are.
        found: usize,
    },
    /// Another number of modules.
    #[error("the adapter has {found} modules, the manifest {expected}")]
    Modules {
        /// In the manifest.
        expected: usize,
        /// In the adapter.
        found: usize,
    },
    /// A weight does not fit the manifest's weight bits.
    #[error("module {module}: an integer of {matrix} is outside the {bits}-bit range")]
    Range {
        /// The module.
        module: String,
        /// A or B.
        matrix: Matrix,
        /// Bits of a weight.
        bits: u32,
    },
    /// A row is longer than the bases at hand.
    #[error(transparent)]
    Rows(#[from] RowError),
    /// The opening could not be made.
    #[error(transparent)]
    Opening(#[from] OpeningProofError),
    /// The range argument could not be made.
    #[error(transparent)]
    RangeProof(#[from] RangeProofError),
    /// A row of the given weights does not open its commitment.
    #[error(
        "row {index} of {matrix} of module {module} does not open the pinned commitment: these are not the committed weights"
    )]
    NotOpened {
        /// The module.
        module: String,
        /// A or B.
        matrix: Matrix,
        /// The rank index.
        index: usize,
    },
}

/// One committed row: which it is, and its integers.
struct Row<'a> {
    module: usize,
    matrix: Matrix,
    index: usize,
    values: &'a [i16],
}

/// Rows that one call of the kernel commits to: enough that its tables pay, few enough that progress is seen.
const ROWS_PER_BATCH: usize = 2048;

impl Registration<'_> {
    /// Commits to every row and proves that the commitments can be opened. `progress` is told (weights done, of all).
    pub fn run(
        self,
        entropy: &Entropy,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Registered, RegistrationError> {
        check_shapes(&self.modules, self.witness)?;
        let rows = rows_of(&self.modules, self.witness);
        let committer = Committer {
            modules: &self.modules,
            nonce: self.nonce,
            secret: self.secret,
            generators: self.generators,
        };
        let commitments: Vec<u8> = committer
            .commit(&rows, progress)?
            .iter()
            .flat_map(|point| *EncodedPoint::new(*point).bytes())
            .collect();
        let manifest = Manifest {
            format: MANIFEST_FORMAT.to_owned(),
            base: self.base,
            modules: self.modules.clone(),
            nonce: self.nonce,
            commitments: CommitmentList { count: rows.len(), digest: Digest::sha256(&commitments) },
            range: self.range,
        };
        manifest.check()?;
        let manifest = manifest.to_json()?;
        let registered = RegisteredAdapter::from_bytes(manifest.as_bytes(), &commitments, None)?;
        let proof = match self.range {
            RangeLevel::None => {
                prove(&registered, self.witness, self.secret, self.generators, entropy)?.to_bytes()
            }
            RangeLevel::Int16 => {
                let mut transcript = FiatShamir::new(RANGE_PROTOCOL);
                prove_range(
                    &registered,
                    self.witness,
                    self.secret,
                    self.generators,
                    OpeningMode::Compact,
                    entropy,
                    &mut transcript,
                )?
                .to_bytes()
            }
        };
        Ok(Registered { manifest, commitments, proof })
    }
}

/// Checks that these weights and this secret open every commitment of a registered adapter.
pub fn open(
    adapter: &RegisteredAdapter,
    witness: &Witness,
    secret: &AdapterSecret,
    generators: &Generators,
    progress: &dyn Fn(u64, u64),
) -> Result<(), RegistrationError> {
    let modules = &adapter.manifest().modules;
    check_shapes(modules, witness)?;
    let rows = rows_of(modules, witness);
    let committer = Committer { modules, nonce: adapter.manifest().nonce, secret, generators };
    let opened = committer.commit(&rows, progress)?;
    let (mut a, mut b) = (adapter.a().iter(), adapter.b().iter());
    for (row, opened) in rows.iter().zip(&opened) {
        let committed = match row.matrix {
            Matrix::A => a.next(),
            Matrix::B => b.next(),
        };
        if committed != Some(opened) {
            let module = modules[row.module].name.to_string();
            return Err(RegistrationError::NotOpened { module, matrix: row.matrix, index: row.index });
        }
    }
    Ok(())
}

struct Committer<'a> {
    modules: &'a [ManifestModule],
    nonce: Digest,
    secret: &'a AdapterSecret,
    generators: &'a Generators,
}

impl Committer<'_> {
    fn commit(&self, rows: &[Row<'_>], progress: &dyn Fn(u64, u64)) -> Result<Vec<Point>, RegistrationError> {
        let blind = |row: &Row<'_>| {
            self.secret.blind(&self.nonce, &self.modules[row.module].name, row.matrix, row.index)
        };
        let rows = IntegerRows {
            rows: rows.iter().map(|row| row.values).collect(),
            blinds: Zeroizing::new(rows.iter().map(blind).collect()),
        };
        Ok(commit_rows(&rows, self.generators.rows(), self.generators.blinding(), progress)?)
    }
}

/// Commits to every row, with its blind. `progress` is told (entries done, of all).
pub(crate) fn commit_rows(
    rows: &IntegerRows<'_>,
    bases: &[Point],
    blinding: &Point,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<Point>, RowError> {
    let entries = |rows: &[&[i16]]| rows.iter().map(|row| row.len() as u64).sum::<u64>();
    let all = entries(&rows.rows);
    let widest = rows.rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let kernel = RowCommitter::new(&bases[..widest.min(bases.len())]);
    let blinding = FixedBase::new(blinding);
    let mut points = Vec::with_capacity(rows.rows.len());
    let mut done = 0;
    for (batch, blinds) in rows.rows.chunks(ROWS_PER_BATCH).zip(rows.blinds.chunks(ROWS_PER_BATCH)) {
        let sums = kernel.commit(batch)?;
        points.extend(sums.iter().zip(blinds).map(|(sum, blind)| *sum + blinding.times(blind)));
        done += entries(batch);
        progress(done, all);
    }
    Ok(points)
}

/// All rows in the order of the commitment list: for each module the rows of A, then the columns of B.
fn rows_of<'a>(modules: &[ManifestModule], witness: &'a Witness) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for (module, (shape, LowRank { a, b })) in modules.iter().zip(&witness.modules).enumerate() {
        for (matrix, values, width) in [(Matrix::A, a, shape.inputs), (Matrix::B, b, shape.outputs)] {
            let chunks = values.chunks_exact(width).enumerate();
            rows.extend(chunks.map(|(index, values)| Row { module, matrix, index, values }));
        }
    }
    rows
}

/// Checks the witness against the shapes it is to have.
pub fn check_shapes(modules: &[ManifestModule], witness: &Witness) -> Result<(), RegistrationError> {
    if modules.len() != witness.modules.len() {
        return Err(RegistrationError::Modules { expected: modules.len(), found: witness.modules.len() });
    }
    for (module, LowRank { a, b }) in modules.iter().zip(&witness.modules) {
        for (matrix, values, width) in [(Matrix::A, a, module.inputs), (Matrix::B, b, module.outputs)] {
            let name = module.name.to_string();
            let expected = module.rank.saturating_mul(width);
            if width == 0 || values.len() != expected {
                return Err(RegistrationError::Shape { module: name, matrix, expected, found: values.len() });
            }
            if module.weight_bits >= i16::BITS {
                continue; // every i16 is in range
            }
            let limit = 1i32 << (module.weight_bits.max(1) - 1);
            // Both ends in one pass without a branch for each weight, which is quicker than to look for the first outside.
            let (least, most) =
                values.iter().fold((0, 0), |(least, most), &value| (value.min(least), value.max(most)));
            if i32::from(least) < -limit || i32::from(most) >= limit {
                return Err(RegistrationError::Range { module: name, matrix, bits: module.weight_bits });
            }
        }
    }
    Ok(())
}

/// The blinds of all rows: first those of A for every (module, rank index) pair, then those of B.
pub fn row_blinds(
    adapter: &RegisteredAdapter,
    secret: &AdapterSecret,
) -> (Zeroizing<Vec<Scalar>>, Zeroizing<Vec<Scalar>>) {
    let manifest = adapter.manifest();
    let of = |matrix| {
        let rows = manifest
            .modules
            .iter()
            .flat_map(|module| (0..module.rank).map(move |index| (&module.name, index)));
        Zeroizing::new(rows.map(|(name, index)| secret.blind(&manifest.nonce, name, matrix, index)).collect())
    };
    (of(Matrix::A), of(Matrix::B))
}

fn prove(
    adapter: &RegisteredAdapter,
    witness: &Witness,
    secret: &AdapterSecret,
    generators: &Generators,
    entropy: &Entropy,
) -> Result<RegistrationProof, RegistrationError> {
    let mut transcript = FiatShamir::new(REGISTRATION_PROTOCOL);
    let combination = registration::begin(&mut transcript, adapter);
    let weights =
        |challenges: &[u128]| challenges.iter().map(|c| scalar::from_challenge(*c)).collect::<Vec<_>>();
    let (a_weights, b_weights) = (weights(&combination.a), weights(&combination.b));
    let (a_blinds, b_blinds) = row_blinds(adapter, secret);
    let width = adapter.sizes().width;
    let mut vector = Zeroizing::new(vec![Scalar::default(); width]);
    let mut first = 0;
    for (module, LowRank { a, b }) in adapter.manifest().modules.iter().zip(&witness.modules) {
        let pairs = first..first + module.rank;
        add_rows(&mut vector, &a_weights[pairs.clone()], a, module.inputs);
        add_rows(&mut vector, &b_weights[pairs], b, module.outputs);
        first += module.rank;
    }
    let blind = a_weights.iter().zip(a_blinds.iter()).chain(b_weights.iter().zip(b_blinds.iter()));
    let blind = blind.map(|(weight, blind)| *weight * blind).sum();
    let mut randomness = Randomness::new(entropy, secret, &transcript.state());
    let opening = OpeningWitness {
        bases: generators.rows()[..width].to_vec(),
        blinding: generators.blinding(),
        form_base: generators.form(),
        form: vec![Scalar::default(); width],
        vector,
        blind,
    }
    .prove(OpeningMode::Compact, &mut randomness, &mut transcript)?;
    Ok(RegistrationProof { opening })
}

/// The rows of an adapter with their blinds, in the order of its statement: what a range argument is made from, of this adapter
/// alone or of several registrations.
pub fn integer_rows<'a>(
    adapter: &RegisteredAdapter,
    witness: &'a Witness,
    secret: &AdapterSecret,
) -> Result<IntegerRows<'a>, RegistrationError> {
    let modules = &adapter.manifest().modules;
    check_shapes(modules, witness)?;
    let rows = |matrix: Matrix| {
        modules.iter().zip(&witness.modules).flat_map(move |(module, weights)| match matrix {
            Matrix::A => weights.a.chunks_exact(module.inputs),
            Matrix::B => weights.b.chunks_exact(module.outputs),
        })
    };
    let (a_blinds, b_blinds) = row_blinds(adapter, secret);
    let blinds = Zeroizing::new([a_blinds.as_slice(), b_blinds.as_slice()].concat());
    Ok(IntegerRows { rows: rows(Matrix::A).chain(rows(Matrix::B)).collect(), blinds })
}

/// Makes the registration proof with a range argument on a given transcript.
pub fn prove_range(
    adapter: &RegisteredAdapter,
    witness: &Witness,
    secret: &AdapterSecret,
    generators: &Generators,
    mode: OpeningMode,
    entropy: &Entropy,
    transcript: &mut dyn Transcript,
) -> Result<RangeProof, RegistrationError> {
    let rows = integer_rows(adapter, witness, secret)?;
    let prover = IntegerProver { statement: &adapter.into(), rows: &rows, secret, generators };
    Ok(prover.prove_on(mode, entropy, transcript)?)
}

/// `vector[i] += sum_k weights[k] * rows[k * width + i]`
pub(crate) fn add_rows(vector: &mut [Scalar], weights: &[Scalar], rows: &[i16], width: usize) {
    let rows: Vec<&[i16]> = rows.chunks_exact(width).collect();
    let mut sum = vec![Scalar::default(); width];
    combine_scalars(weights, &rows, &mut sum);
    for (entry, sum) in vector.iter_mut().zip(sum) {
        *entry += sum;
    }
}
