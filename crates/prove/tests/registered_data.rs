//! Data sets and models: what is registered is what was given, and every byte of the artefacts matters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeSet, HashSet};

use lorica_algebra::point::multiscalar;
use lorica_algebra::{Point, Scalar};
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::FiatShamir;
use lorica_prove::range::{IntegerProver, RangeProofError};
use lorica_prove::rows::RowsRegistrationError;
use lorica_prove::rows::data::{data_blinds, data_rows};
use lorica_prove::rows::model::{Limbs, model_blinds, model_rows};
use lorica_tensor::Digest;
use lorica_testkit::adapter::entropy;
use lorica_testkit::random::Random;
use lorica_testkit::range_simulator::simulate_range;
use lorica_testkit::rows::{DataFixture, ModelFixture};
use lorica_testkit::tamper::{change_json, json_leaves, range_cases, range_scratch_cases};
use lorica_testkit::transcript::Foreseen;
use lorica_verify::range::RangeProof;
use lorica_verify::rows::commitments::RowsError;
use lorica_verify::rows::data::{DATA_PROTOCOL, DataManifest, RegisteredData};
use lorica_verify::rows::model::{MODEL_PROTOCOL, ModelManifest, RegisteredModel};
use lorica_verify::rows::statement::RangeStatement;

fn generators() -> Generators {
    Generators::derive(1024, 0)
}

fn commitment(generators: &Generators, entries: impl Iterator<Item = i64>, blind: Scalar) -> Point {
    let entries: Vec<Scalar> = entries.map(Scalar::from).collect();
    let bases = generators.first_rows(entries.len());
    multiscalar(&entries, &bases) + multiscalar(&[blind], &[*generators.blinding()])
}

#[test]
fn data_sets_of_odd_sizes_hold_what_was_given() {
    let generators = generators();
    for (seed, (samples, inputs, targets)) in
        [(1, 1, 1), (3, 1, 2), (5, 7, 3), (64, 16, 1), (33, 61, 5), (2, 1500, 1)].into_iter().enumerate()
    {
        let data = DataFixture::new(samples, inputs, targets, seed as u64);
        let manifest = data.pinned.manifest();
        assert_eq!((manifest.samples, manifest.row_length()), (samples, inputs + targets));
        let blinds = data_blinds(&data.pinned, &data.secret);
        assert_eq!((data.pinned.rows().len(), blinds.len()), (samples, samples));
        let rows = data.rows.chunks(inputs + targets);
        for ((row, blind), point) in rows.zip(blinds.iter()).zip(data.pinned.rows()) {
            let entries = row.iter().map(|value| i64::from(*value));
            assert_eq!(commitment(&generators, entries, *blind), *point);
        }
    }
}

#[test]
fn models_of_odd_sizes_hold_what_was_given() {
    let generators = generators();
    let models: [&[(usize, usize)]; 4] =
        [&[(1, 1)], &[(5, 3), (1, 5)], &[(3, 700), (20, 101), (1, 1024)], &[(1025, 1), (7, 1023)]];
    for (seed, shapes) in models.into_iter().enumerate() {
        let model = ModelFixture::new(shapes, seed as u64);
        let blinds = model_blinds(&model.pinned, &model.secret);
        assert_eq!(model.pinned.matrices().len(), shapes.len());
        let mut committed = 0;
        for (matrix, values) in model.values.iter().enumerate() {
            let pieces = model.pinned.pieces()[matrix];
            let points = &model.pinned.matrices()[matrix];
            let joined = blinds[matrix].joined();
            assert_eq!((points.len(), joined.len()), (pieces.count(), pieces.count()));
            committed += 2 * points.len();
            let mut rest = values.as_slice();
            for (piece, length) in pieces.lengths().enumerate() {
                let (entries, others) = rest.split_at(length);
                rest = others;
                let expected = commitment(&generators, entries.iter().copied(), joined[piece]);
                assert_eq!(expected, points[piece], "matrix {matrix}, piece {piece}");
            }
            assert!(rest.is_empty());
        }
        assert_eq!(model.pinned.rows().len(), committed);
    }
}

/// Artefacts of any kind: manifest, commitments and proof are accepted.
type Judge = fn(&[u8], &[u8], &[u8], Option<&Digest>) -> Result<(), Box<dyn std::error::Error>>;

fn judge_data(
    manifest: &[u8],
    commitments: &[u8],
    proof: &[u8],
    pin: Option<&Digest>,
) -> Result<(), Box<dyn std::error::Error>> {
    RegisteredData::from_bytes(manifest, commitments, pin)?.pin(proof, &generators())?;
    Ok(())
}

fn judge_model(
    manifest: &[u8],
    commitments: &[u8],
    proof: &[u8],
    pin: Option<&Digest>,
) -> Result<(), Box<dyn std::error::Error>> {
    RegisteredModel::from_bytes(manifest, commitments, pin)?.pin(proof, &generators())?;
    Ok(())
}

struct Artefacts {
    judge: Judge,
    manifest: String,
    commitments: Vec<u8>,
    proof: Vec<u8>,
    pin: Digest,
    /// The length of its list of commitments, by its manifest's canonical form.
    rewrite: fn(&[u8]) -> Option<String>,
}

fn artefacts() -> [Artefacts; 2] {
    let data = DataFixture::new(6, 10, 2, 80);
    let model = ModelFixture::new(&[(3, 4), (1, 4)], 81);
    [
        Artefacts {
            judge: judge_data,
            pin: data.pinned.digest(),
            manifest: data.registered.manifest,
            commitments: data.registered.commitments,
            proof: data.registered.proof,
            rewrite: |text| serde_json::from_slice::<DataManifest>(text).ok()?.to_json().ok(),
        },
        Artefacts {
            judge: judge_model,
            pin: model.pinned.digest(),
            manifest: model.registered.manifest,
            commitments: model.registered.commitments,
            proof: model.registered.proof,
            rewrite: |text| serde_json::from_slice::<ModelManifest>(text).ok()?.to_json().ok(),
        },
    ]
}

#[test]
fn every_value_of_the_manifests() {
    for Artefacts { judge, manifest, commitments, proof, pin, rewrite } in artefacts() {
        judge(manifest.as_bytes(), &commitments, &proof, Some(&pin)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let leaves = json_leaves(&value);
        assert!(leaves.len() >= 9, "{leaves:?}");
        for path in leaves {
            let mut changed = value.clone();
            change_json(changed.pointer_mut(&path).unwrap());
            // In the canonical form, where there is one: the change is refused for itself.
            let text = serde_json::to_string(&changed).unwrap();
            let text = rewrite(text.as_bytes()).unwrap_or(text);
            assert_ne!(text, manifest, "{path}");
            for pin in [Some(&pin), None] {
                let result = judge(text.as_bytes(), &commitments, &proof, pin);
                assert!(result.is_err(), "{path} may be changed, pin {pin:?}");
            }
        }
        let unknown = manifest.replacen("{\n", "{\n  \"more\": 1,\n", 1);
        let repeated = manifest.replacen("{\n", "{\n  \"format\": \"x\",\n", 1);
        for text in [&manifest[..manifest.len() - 1], &manifest.replace("  ", " "), &unknown, &repeated] {
            assert!(judge(text.as_bytes(), &commitments, &proof, None).is_err());
        }
    }
}

#[test]
fn every_commitment() {
    for Artefacts { judge, manifest, commitments, proof, .. } in artefacts() {
        let other = commitments[32..64].to_vec();
        for first in (0..commitments.len()).step_by(32) {
            let mut changed = commitments.clone();
            changed[first..first + 32].copy_from_slice(if first == 32 { &[0; 32] } else { &other });
            assert!(judge(manifest.as_bytes(), &changed, &proof, None).is_err());
            // A cheat who pins its own change.
            let value: serde_json::Value = serde_json::from_str(&manifest).unwrap();
            let digest = value.pointer("/commitments/digest").unwrap().as_str().unwrap();
            let own = manifest.replace(digest, &Digest::sha256(&changed).to_string());
            assert!(judge(own.as_bytes(), &changed, &proof, None).is_err());
        }
        let short = &commitments[..commitments.len() - 32];
        let long = [commitments.as_slice(), &other].concat();
        for list in [short, &long, &[]] {
            assert!(judge(manifest.as_bytes(), list, &proof, None).is_err());
        }
        // Not a point, under a manifest that says so.
        let mut changed = commitments.clone();
        changed[..32].fill(0xff);
        let old = Digest::sha256(&commitments).to_string();
        let own = manifest.replace(&old, &Digest::sha256(&changed).to_string());
        let error = judge(own.as_bytes(), &changed, &proof, None).unwrap_err();
        assert_eq!(error.downcast_ref::<RowsError>(), Some(&RowsError::CommitmentPoint { row: 0 }));
    }
}

#[test]
fn every_field_of_the_proofs() {
    let (data, model) = (DataFixture::new(5, 3, 2, 82), ModelFixture::new(&[(2, 3)], 83));
    let statements: [RangeStatement<'_>; 2] = [(&*data.pinned).into(), (&*model.pinned).into()];
    let proofs = [&data.registered.proof, &model.registered.proof];
    for (statement, proof) in statements.iter().zip(proofs) {
        let proof = RangeProof::from_bytes(proof, &statement.shape()).unwrap();
        let verify = |proof: &RangeProof| {
            RangeProof::verify_bytes(&proof.to_bytes(), statement.clone(), &generators())
        };
        verify(&proof).unwrap();
        for (field, change) in range_cases(&proof) {
            let mut changed = proof.clone();
            change(&mut changed);
            assert!(verify(&changed).is_err(), "{field} may be changed");
        }
        for (index, changed) in range_scratch_cases(&proof).enumerate() {
            assert!(verify(&changed).is_err(), "scratch commitment {index} may be changed");
        }
    }
}

/// A proof is for one kind of registration, also where rows and digests are the same.
#[test]
fn a_proof_on_another_transcript_is_refused() {
    let data = DataFixture::new(4, 3, 2, 84);
    let rows = data.member().rows;
    let statement: RangeStatement<'_> = (&*data.pinned).into();
    let generators = generators();
    let prover =
        IntegerProver { statement: &statement, rows: &rows, secret: &data.secret, generators: &generators };
    for (protocol, accepted) in [(DATA_PROTOCOL, true), (MODEL_PROTOCOL, false)] {
        let entropy = entropy(&mut Random::new(85));
        let proof =
            prover.prove_on(OpeningMode::Fast, &entropy, &mut FiatShamir::new(protocol)).unwrap().to_bytes();
        let result = RangeProof::verify_bytes(&proof, statement.clone(), &generators);
        assert_eq!(result.is_ok(), accepted, "{protocol}");
    }
}

#[test]
fn what_does_not_fit_makes_no_registration() {
    let data = DataFixture::new(4, 3, 2, 86);
    let error = data_rows(&data.pinned, &data.rows[1..], &data.secret).err().unwrap();
    assert!(matches!(error, RowsRegistrationError::Shape { expected: 20, found: 19, .. }), "{error}");
    let model = ModelFixture::new(&[(2, 3), (1, 2)], 87);
    let error = model_rows(&model.pinned, &model.limbs[1..], &model.secret).err().unwrap();
    assert_eq!(error, RowsRegistrationError::Matrices { expected: 2, found: 1 });
    let swapped = [model.limbs[1].clone(), model.limbs[0].clone()];
    let error = model_rows(&model.pinned, &swapped, &model.secret).err().unwrap();
    assert!(matches!(error, RowsRegistrationError::Shape { expected: 6, found: 2, .. }), "{error}");
    assert!(Limbs::of("layers.0", &[1i64 << 40]).is_err());

    // Rows of another statement make no proof.
    let generators = generators();
    let (statement, rows) = ((&*data.pinned).into(), model.member().rows);
    let prover =
        IntegerProver { statement: &statement, rows: &rows, secret: &data.secret, generators: &generators };
    let error = prover.prove(&entropy(&mut Random::new(88))).unwrap_err();
    assert_eq!(error, RangeProofError::Shape { row: 0, expected: Some(5), found: Some(6) });
}

/// The same secret and integers, registered again: only the nonce is fresh. Equal blinds would show as equal commitments; so
/// would those of equal rows.
#[test]
fn commitments_share_no_blind() {
    let mut random = Random::new(89);
    let (data, model) = (DataFixture::new(6, 2, 1, 90), ModelFixture::new(&[(3, 4), (3, 4)], 91));
    let mut seen = HashSet::new();
    let mut total = 0;
    for _ in 0..3 {
        let equal_rows = [1, 2, 3].repeat(6);
        let data = DataFixture::with_secret([2, 1], equal_rows, data.secret.clone(), &mut random);
        let shapes = [(3, 4), (3, 4)];
        let values = vec![vec![65_537; 12]; 2];
        // The secret is the data set's: an owner may have one for all its registrations.
        let model = ModelFixture::with_secret(&shapes, values, data.secret.clone(), &mut random);
        for commitment in [&data.registered.commitments, &model.registered.commitments]
            .iter()
            .flat_map(|list| list.as_chunks::<32>().0)
        {
            seen.insert(*commitment);
            total += 1;
        }
    }
    assert_eq!(seen.len(), total);
    let blinds: BTreeSet<_> = model_blinds(&model.pinned, &model.secret)
        .iter()
        .flat_map(|matrix| matrix.high.iter().chain(matrix.low.iter()).copied().collect::<Vec<_>>())
        .collect();
    assert_eq!(blinds.len(), model.pinned.rows().len());
}

/// Zero knowledge: the simulator has manifest and commitments alone.
#[test]
fn accepting_transcripts_can_be_made_without_the_integers() {
    let (data, model) = (DataFixture::new(5, 3, 2, 92), ModelFixture::new(&[(2, 3)], 93));
    let generators = generators();
    let statements: [RangeStatement<'_>; 2] = [(&*data.pinned).into(), (&*model.pinned).into()];
    let joint = RangeStatement::joint(statements.clone()).unwrap();
    for statement in statements.into_iter().chain([joint]) {
        for mode in [OpeningMode::Fast, OpeningMode::Compact] {
            let challenges = Foreseen::new(94);
            let proof = simulate_range(statement.clone(), &generators, mode, &challenges, 95);
            proof.verify(statement.clone(), &generators, &mut challenges.clone()).unwrap();
            assert!(RangeProof::verify_bytes(&proof.to_bytes(), statement.clone(), &generators).is_err());
        }
    }
}
