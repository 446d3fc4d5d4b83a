//! What a registered row may hold: a cheating contributor's commitments, with the best proofs it can make.
//!
//! The sessions here come from the honest prover, run on inputs that are not the statement's but give the same messages:
//! rows that are wider than the manifest says, or a third of the activations for three times the weights.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ark_ff::Field;
use lorica_algebra::point::{EncodedPoint, multiscalar};
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_prove::opening::OpeningWitness;
use lorica_prove::randomness::Randomness;
use lorica_prove::registration::Registered;
use lorica_relation::session::{LowRank, Witness};
use lorica_tensor::Digest;
use lorica_testkit::adapter::{AdapterFixture, Shape, entropy, modules, witness};
use lorica_testkit::evidence::evidence;
use lorica_testkit::random::Random;
use lorica_testkit::session::{SessionFixture, delta};
use lorica_testkit::transcript::Restated;
use lorica_verify::manifest::{CommitmentList, Manifest, ManifestModule, RangeLevel};
use lorica_verify::registered::{Matrix, PinnedAdapter, RegisteredAdapter};
use lorica_verify::registration::{REGISTRATION_PROTOCOL, RegistrationInvalid, RegistrationProof, begin};
use lorica_verify::schedule::{SESSION_PROTOCOL, STATEMENT};
use lorica_verify::session::SessionInvalid;
use lorica_verify::verdict::{Outcome, judge};
use zeroize::Zeroizing;

const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

/// One row as a cheating contributor commits to it: any elements of the field, and any point on top.
struct FreeRow {
    matrix: Matrix,
    entries: Vec<Scalar>,
    blind: Scalar,
    on_top: Option<Point>,
}

/// The rows of an honest adapter, in the order of the commitment list.
fn rows_of(adapter: &AdapterFixture) -> Vec<FreeRow> {
    let manifest = adapter.pinned.manifest();
    let mut rows = Vec::new();
    for (module, weights) in manifest.modules.iter().zip(&adapter.witness.modules) {
        let matrices = [(Matrix::A, &weights.a, module.inputs), (Matrix::B, &weights.b, module.outputs)];
        for (matrix, values, width) in matrices {
            rows.extend(values.chunks_exact(width).enumerate().map(|(index, row)| FreeRow {
                matrix,
                entries: row.iter().map(|value| Scalar::from(*value)).collect(),
                blind: adapter.secret.blind(&manifest.nonce, &module.name, matrix, index),
                on_top: None,
            }));
        }
    }
    rows
}

/// Commits to rows under an honest adapter's manifest, with modules of other shapes if need be, and makes the best
/// registration proof there is: the opening of all entries.
fn register(honest: &AdapterFixture, modules: Vec<ManifestModule>, rows: &[FreeRow]) -> Registered {
    let generators = &honest.generators;
    let commit = |row: &FreeRow| {
        let entries = multiscalar(&row.entries, &generators.rows()[..row.entries.len()]);
        entries + multiscalar(&[row.blind], &[*generators.blinding()]) + row.on_top.unwrap_or_default()
    };
    let commitments: Vec<u8> = rows.iter().flat_map(|row| *EncodedPoint::new(commit(row)).bytes()).collect();
    let manifest = Manifest {
        modules,
        commitments: CommitmentList { count: rows.len(), digest: Digest::sha256(&commitments) },
        ..honest.pinned.manifest().clone()
    }
    .to_json()
    .unwrap();
    let adapter = RegisteredAdapter::from_bytes(manifest.as_bytes(), &commitments, None).unwrap();
    let mut transcript = FiatShamir::new(REGISTRATION_PROTOCOL);
    let combination = begin(&mut transcript, &adapter);
    let (mut of_a, mut of_b) = (combination.a.iter(), combination.b.iter());
    let width = adapter.sizes().width;
    let mut vector = Zeroizing::new(vec![Scalar::default(); width]);
    let mut blind = Scalar::default();
    for row in rows {
        let weights = if row.matrix == Matrix::A { &mut of_a } else { &mut of_b };
        let weight = scalar::from_challenge(*weights.next().unwrap());
        vector.iter_mut().zip(&row.entries).for_each(|(sum, entry)| *sum += weight * entry);
        blind += weight * row.blind;
    }
    let entropy = entropy(&mut Random::new(40));
    let mut randomness = Randomness::new(&entropy, &honest.secret, &transcript.state());
    let opening = OpeningWitness {
        bases: generators.rows()[..width].to_vec(),
        blinding: generators.blinding(),
        form_base: generators.form(),
        form: vec![Scalar::default(); width],
        vector,
        blind,
    }
    .prove(OpeningMode::Compact, &mut randomness, &mut transcript)
    .unwrap();
    Registered { manifest, commitments, proof: RegistrationProof { opening }.to_bytes() }
}

fn pin(registered: &Registered, generators: &Generators) -> Result<PinnedAdapter, RegistrationInvalid> {
    RegisteredAdapter::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None)
        .unwrap()
        .pin(&registered.proof, generators)
}

/// The cheating contributor's adapter as its users see it, with the weights they would expect.
fn cheat(honest: &AdapterFixture, shapes: &[Shape], rows: &[FreeRow], expected: Witness) -> AdapterFixture {
    let registered = register(honest, modules(shapes), rows);
    let pinned = pin(&registered, &honest.generators).expect("a registration that holds");
    let (secret, generators) = (honest.secret.clone(), honest.generators.clone());
    AdapterFixture { witness: expected, secret, registered, pinned, generators }
}

/// The proof about `public`, a session of `cheat`, by the honest prover of `own`, a session of `honest`.
fn proof_by(
    (honest, own): (&AdapterFixture, &SessionFixture),
    (cheat, public): (&AdapterFixture, &SessionFixture),
    mode: OpeningMode,
) -> Vec<u8> {
    let statement = own.statement(honest);
    let mut transcript = Restated {
        inner: FiatShamir::new(SESSION_PROTOCOL),
        label: STATEMENT,
        message: public.statement(cheat).to_bytes(),
    };
    let prover = own.prover(honest, &statement);
    prover.prove_on(mode, &entropy(&mut Random::new(41)), &mut transcript).unwrap().to_bytes()
}

#[test]
fn a_row_with_a_component_on_another_base_cannot_be_registered() {
    let shapes = [(4, 3, 2), (2, 5, 1)];
    let honest = AdapterFixture::new(&shapes, 42);
    let more = Generators::derive(6, 0);
    let unknown = Point::from_uniform_bytes(&[43; 64]);
    let bases = [
        ("the first slot", honest.generators.scratch()[0]),
        ("the last slot", *honest.generators.scratch().last().unwrap()),
        ("the base of the form", *honest.generators.form()),
        ("the row base after the last", more.rows()[5]),
        ("a point that nobody can open", unknown),
    ];
    for row in 0..6 {
        let registered = |change: &dyn Fn(&mut FreeRow)| {
            let mut rows = rows_of(&honest);
            change(&mut rows[row]);
            pin(&register(&honest, modules(&shapes), &rows), &honest.generators)
        };
        for (what, base) in bases {
            let result = registered(&|row| row.on_top = Some(base));
            assert!(matches!(result, Err(RegistrationInvalid::Opening(_))), "row {row}: {what}");
        }
        // The registrar does its best: what does not leave the row bases and the blinding base goes through.
        assert!(registered(&|_| ()).is_ok(), "row {row} as it was");
        let other = registered(&|row| {
            row.entries.resize(5, Scalar::default());
            row.entries.iter_mut().for_each(|entry| *entry -= Scalar::from(u128::MAX));
            row.blind += Scalar::from(1u8);
        });
        assert!(other.is_ok(), "row {row} with other entries");
    }
}

/// The first `to` of every `from` values.
fn narrowed<T: Copy>(values: &[T], from: usize, to: usize) -> Vec<T> {
    values.chunks_exact(from).flat_map(|row| &row[..to]).copied().collect()
}

/// Every `from` values, and zeros up to `to`.
fn widened<T: Copy + Default>(values: &[T], from: usize, to: usize) -> Vec<T> {
    let zeros = std::iter::repeat_n(T::default(), to - from);
    values.chunks_exact(from).flat_map(|row| row.iter().copied().chain(zeros.clone())).collect()
}

const WIDE: [Shape; 2] = [(6, 5, 2), (6, 5, 1)];

/// An adapter of the shapes [`WIDE`] that is registered with a narrower first module, and a session of both.
struct Narrowed {
    wide: AdapterFixture,
    own: SessionFixture,
    narrow: AdapterFixture,
    public: SessionFixture,
}

impl Narrowed {
    /// `(inputs, outputs)` is the declared shape of the first module.
    fn new(witness: Witness, (inputs, outputs): (usize, usize)) -> Self {
        let wide = AdapterFixture::with_witness(modules(&WIDE), witness, &mut Random::new(44));
        let mut expected = wide.witness.clone();
        let first = &mut expected.modules[0];
        let (a, b) = (narrowed(&first.a, 6, inputs), narrowed(&first.b, 5, outputs));
        (first.a, first.b) = (a, b);
        let narrow = cheat(&wide, &[(inputs, outputs, 2), WIDE[1]], &rows_of(&wide), expected);
        let public = SessionFixture::new(&narrow, &[(&[0], 4), (&[1], 2)], 45);
        let mut own = public.clone();
        (own.streams[0].width, own.rows.streams[0].width, own.rows.modules[0].width) = (6, 6, 5);
        own.rows.streams[0].values = widened(&public.rows.streams[0].values, inputs, 6);
        own.rows.modules[0].values = widened(&public.rows.modules[0].values, outputs, 5);
        Self { wide, own, narrow, public }
    }

    /// The real verifier's answer about the session of the declared shape.
    fn outcome(&self, mode: OpeningMode) -> Result<(), SessionInvalid> {
        let proof = proof_by((&self.wide, &self.own), (&self.narrow, &self.public), mode);
        self.public.verify(&self.narrow, &proof)
    }
}

fn wide_witness() -> Witness {
    witness(&modules(&WIDE), &mut Random::new(46))
}

/// Harmless: see `docs/spec/security.md`, "Rows beyond their width".
#[test]
fn rows_of_a_beyond_their_width_change_no_delta() {
    for mode in MODES {
        let honest = Narrowed::new(wide_witness(), (4, 5));
        honest.outcome(mode).unwrap();
        for entry in 0..honest.public.rows.modules[0].values.len() {
            let mut wrong = Narrowed::new(wide_witness(), (4, 5));
            wrong.public.rows.modules[0].values[entry] += 1;
            let error = wrong.outcome(mode).expect_err("a wrong delta was accepted");
            assert!(matches!(error, SessionInvalid::Opening(_)), "{mode:?}, entry {entry}: {error}");
        }
    }
}

#[test]
fn columns_of_b_beyond_their_width_make_right_deltas_unprovable() {
    for mode in MODES {
        let error =
            Narrowed::new(wide_witness(), (6, 3)).outcome(mode).expect_err("outputs nobody asked for");
        assert!(matches!(error, SessionInvalid::Opening(_)), "{mode:?}: {error}");
    }
}

/// The attempt above fails for what the columns hold there, and not for their length: what cancels goes through.
#[test]
fn columns_of_b_beyond_their_width_are_harmless_where_they_cancel() {
    let mut witness = wide_witness();
    let LowRank { a, b } = &mut witness.modules[0];
    a.copy_within(..6, 6);
    for entry in 3..5 {
        assert_ne!(b[entry], 0);
        b[5 + entry] = -b[entry];
    }
    for mode in MODES {
        let mut honest = Narrowed::new(witness.clone(), (6, 3));
        honest.outcome(mode).unwrap();
        honest.public.rows.modules[0].values[1] += 1;
        honest.outcome(mode).expect_err("a wrong delta was accepted");
    }
}

/// What range level `none` leaves open. With a proven range, a registration of such rows must be refused: then this test
/// has to turn.
#[test]
fn thirds_verify_without_a_range_argument_and_the_verdict_says_so() {
    let shapes = [(4, 5, 2), (6, 3, 1)];
    let mut random = Random::new(47);
    let mut weights = witness(&modules(&shapes), &mut random);
    let LowRank { a, b } = &mut weights.modules[0];
    (a[0], a[4], b[0]) = (1, 0, 1);
    let whole = AdapterFixture::with_witness(modules(&shapes), weights, &mut random);
    // Every row of A is a third of integers, modulo the group order.
    let third = Scalar::from(3u8).inverse().unwrap();
    let mut rows = rows_of(&whole);
    for row in rows.iter_mut().filter(|row| row.matrix == Matrix::A) {
        row.entries.iter_mut().for_each(|entry| *entry *= third);
        row.blind *= third;
    }
    let thirds = cheat(&whole, &shapes, &rows, whole.witness.clone());

    // The user's activations happen to be multiples of three, the first row three times a unit vector.
    let mut own = SessionFixture::new(&whole, &[(&[0], 3), (&[1], 2)], 48);
    own.rows.streams.iter_mut().for_each(|stream| stream.values.iter_mut().for_each(|x| *x /= 3));
    own.rows.streams[0].values[..4].copy_from_slice(&[1, 0, 0, 0]);
    let shapes = whole.pinned.manifest().shapes();
    for (module, stream) in own.rows.streams.iter().enumerate() {
        let deltas = stream.values.chunks_exact(stream.width);
        own.rows.modules[module].values =
            deltas.flat_map(|x| delta(x, &shapes[module], &whole.witness, module)).collect();
    }
    let mut public = own.clone();
    public.rows.streams.iter_mut().for_each(|stream| stream.values.iter_mut().for_each(|x| *x *= 3));

    // Three times a column of B A, which no integers are: it is one third there.
    assert_eq!(public.rows.streams[0].values[..4], [3, 0, 0, 0]);
    assert_eq!(public.rows.modules[0].values[0], 1);
    for mode in MODES {
        let proof = proof_by((&whole, &own), (&thirds, &public), mode);
        let verdict = judge(&evidence(&thirds, &public, &proof)).unwrap();
        assert_eq!(verdict.verdict, Outcome::Valid, "{mode:?}: {:?}", verdict.reason);
        assert_eq!(verdict.range, RangeLevel::None);
        assert!(verdict.proven.iter().any(|line| line.contains("modulo the group order")));
        assert!(verdict.proven.iter().any(|line| line.contains("no range argument")));
        assert!(
            verdict.not_proven.iter().any(|line| line.contains("committed entries are small integers")),
            "{:?}",
            verdict.not_proven
        );
    }
}
