//! What a cheating registrar of a data set or a model may try, alone and in a joint proof, at the real verifier.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ark_ff::Field;
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::generators::Generators;
use lorica_argument::lookup::GAMMA;
use lorica_argument::opening::{OpeningError, OpeningMode};
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_attack::range::{CheatingProver, FreeRow, FreeRows, counts};
use lorica_prove::range::{IntegerRows, Multiplicities};
use lorica_tensor::Digest;
use lorica_testkit::adapter::entropy;
use lorica_testkit::random::Random;
use lorica_testkit::rows::{DataFixture, ModelFixture};
use lorica_testkit::transcript::Overridden;
use lorica_verify::manifest::CommitmentList;
use lorica_verify::range::{ENTRY_OFFSET, RangeProof};
use lorica_verify::registration::RegistrationInvalid;
use lorica_verify::rows::data::{DataManifest, RegisteredData};
use lorica_verify::rows::joint::JointRegistration;
use lorica_verify::rows::model::{ModelManifest, RegisteredModel};
use lorica_verify::rows::statement::{JOINT_PROTOCOL, RangeStatement};

fn generators() -> Generators {
    Generators::derive(1024, 0)
}

fn integer(value: i64) -> Scalar {
    Scalar::from(value)
}

/// Entries outside of [-2^15, 2^15): the closed end, one below, a wrap, fractions.
fn outside() -> Vec<(&'static str, Scalar)> {
    let inverse = |value: u64| Scalar::from(value).inverse().unwrap();
    vec![
        ("the closed end of the interval", integer(1 << 15)),
        ("one below", integer(-(1 << 15) - 1)),
        ("65,536 more than an entry", integer(7 + (1 << 16))),
        ("a half", inverse(2)),
        ("a third", inverse(3)),
        ("2^-16", inverse(1 << 16)),
    ]
}

/// Honest rows as a cheat may change them.
fn free(rows: &IntegerRows<'_>) -> FreeRows {
    let row = |(row, blind): (&&[i16], &Scalar)| FreeRow {
        entries: row.iter().map(|value| Scalar::from(*value)).collect(),
        blind: *blind,
        on_top: None,
    };
    FreeRows(rows.rows.iter().zip(rows.blinds.iter()).map(row).collect())
}

/// The commitment list to any rows.
fn list(rows: &FreeRows) -> (Vec<u8>, CommitmentList) {
    let bytes: Vec<u8> = rows.commit(&generators()).iter().flat_map(|point| *point.bytes()).collect();
    let list = CommitmentList { count: rows.0.len(), digest: Digest::sha256(&bytes) };
    (bytes, list)
}

fn data(manifest: &DataManifest, rows: &FreeRows) -> RegisteredData {
    let (bytes, commitments) = list(rows);
    let manifest = DataManifest { commitments, ..manifest.clone() }.to_json().unwrap();
    RegisteredData::from_bytes(manifest.as_bytes(), &bytes, None).unwrap()
}

fn model(manifest: &ModelManifest, rows: &FreeRows) -> RegisteredModel {
    let (bytes, commitments) = list(rows);
    let manifest = ModelManifest { commitments, ..manifest.clone() }.to_json().unwrap();
    RegisteredModel::from_bytes(manifest.as_bytes(), &bytes, None).unwrap()
}

/// The best proof there is for any rows: multiplicities count what is in the table.
fn prove(statement: &RangeStatement<'_>, rows: &FreeRows, mode: OpeningMode) -> Vec<u8> {
    let prover = CheatingProver {
        statement,
        secret: &DataFixture::new(1, 1, 1, 1).secret,
        generators: &generators(),
        rows,
        multiplicities: &Multiplicities::Counts(counts(&rows.leaves_of(&statement.shape().packing))),
        padding: &[],
    };
    let transcript = &mut FiatShamir::new(statement.protocol());
    let entropy = entropy(&mut Random::new(140));
    prover.prove_by(|prover| prover.prove_on(mode, &entropy, transcript)).unwrap().to_bytes()
}

#[track_caller]
fn is_refused(statement: RangeStatement<'_>, rows: &FreeRows, what: &str) {
    for mode in [OpeningMode::Fast, OpeningMode::Compact] {
        let proof = prove(&statement, rows, mode);
        let expected = match mode {
            OpeningMode::Fast => OpeningError::Form,
            OpeningMode::Compact => OpeningError::InnerProduct,
        };
        let result = RangeProof::verify_bytes(&proof, statement.clone(), &generators());
        assert_eq!(result, Err(RegistrationInvalid::Opening(expected)), "{what}");
    }
}

/// Without a cheat the registrar is an honest one.
#[test]
fn the_registrar_without_a_cheat_is_accepted() {
    let (fixture, honest) = (DataFixture::new(5, 6, 3, 141), ModelFixture::new(&[(3, 4), (1, 5)], 142));
    let mut rows = free(&fixture.member().rows);
    // Both ends of the range are in it.
    rows.0[1].entries[..2].copy_from_slice(&[integer(-(1 << 15)), integer((1 << 15) - 1)]);
    let registered = data(fixture.pinned.manifest(), &rows);
    let proof = prove(&(&registered).into(), &rows, OpeningMode::Compact);
    registered.pin(&proof, &generators()).unwrap();

    let rows = free(&honest.member().rows);
    let registered = model(honest.pinned.manifest(), &rows);
    let proof = prove(&(&registered).into(), &rows, OpeningMode::Fast);
    let pinned = registered.pin(&proof, &generators()).unwrap();
    assert_eq!(pinned.matrices(), honest.pinned.matrices());
}

#[test]
fn an_entry_of_a_sample_outside_the_range_is_refused() {
    let fixture = DataFixture::new(5, 6, 3, 143);
    for (what, value) in outside() {
        // The first input, the last input, the first and the last target.
        for (row, entry) in [(0, 0), (2, 5), (3, 6), (4, 8)] {
            let mut rows = free(&fixture.member().rows);
            rows.0[row].entries[entry] = value;
            is_refused((&data(fixture.pinned.manifest(), &rows)).into(), &rows, what);
        }
    }
}

#[test]
fn a_limb_outside_the_range_is_refused() {
    let fixture = ModelFixture::new(&[(3, 4), (1, 5)], 144);
    let manifest = fixture.pinned.manifest();
    for (what, value) in outside() {
        // High and low limbs of both matrices.
        for (row, entry) in [(0, 0), (1, 11), (2, 4), (3, 0)] {
            let mut rows = free(&fixture.member().rows);
            rows.0[row].entries[entry] = value;
            is_refused((&model(manifest, &rows)).into(), &rows, what);
        }
    }
}

/// Limbs that are wrong but make a right integer: the joined commitments are those of the honest model, and yet each limb is
/// looked at alone.
#[test]
fn limbs_that_cancel_are_refused() {
    let fixture = ModelFixture::new(&[(3, 4), (1, 5)], 145);
    let small = Scalar::from(1u64 << 16).inverse().unwrap();
    for (what, high, low) in [
        ("a high limb of one less for 65,536 more", integer(-1), integer(1 << 16)),
        ("2^-16 more for one less", small, integer(-1)),
    ] {
        let mut rows = free(&fixture.member().rows);
        rows.0[0].entries[2] += high;
        rows.0[1].entries[2] += low;
        let registered = model(fixture.pinned.manifest(), &rows);
        assert_eq!(registered.matrices(), fixture.pinned.matrices(), "{what}");
        is_refused((&registered).into(), &rows, what);
    }
}

/// An entry outside in one member, and multiplicities and honest members that cannot make up for it.
#[test]
fn one_bad_member_of_many_is_refused() {
    let honest: Vec<_> = (0..3).map(|seed| DataFixture::new(4, 3, 2, 146 + seed)).collect();
    for (number, (what, value)) in outside().into_iter().enumerate() {
        let mut members: Vec<FreeRows> = honest.iter().map(|fixture| free(&fixture.member().rows)).collect();
        members[number % honest.len()].0[1].entries[4] = value;
        let registered = honest.iter().zip(&members);
        let registered: Vec<_> =
            registered.map(|(fixture, rows)| data(fixture.pinned.manifest(), rows)).collect();
        let statement = RangeStatement::joint(registered.iter().map(Into::into)).unwrap();
        let rows = FreeRows(members.into_iter().flat_map(|rows| rows.0).collect());
        is_refused(statement, &rows, what);
    }
}

/// The members are fixed before gamma. Where gamma is known beforehand, multiplicities make up for a bad entry of any member: the
/// attack bites a verifier without that order.
#[test]
fn multiplicities_after_gamma_forge_a_joint_proof_and_are_refused_before_it() {
    let gamma = scalar::from_uniform_bytes(&[72; 64]);
    let (first, second) = (DataFixture::new(4, 3, 2, 150), ModelFixture::new(&[(2, 3)], 151));
    for (what, value) in outside() {
        let (honest, mut bad) = (free(&first.member().rows), free(&second.member().rows));
        bad.0[0].entries[5] = value;
        let registered = (data(first.pinned.manifest(), &honest), model(second.pinned.manifest(), &bad));
        let statement = RangeStatement::joint([(&registered.0).into(), (&registered.1).into()]).unwrap();
        let rows = FreeRows([honest.0, bad.0].concat());
        let counted = counts(&rows.leaves_of(&statement.shape().packing));
        let mut made_up: Vec<Scalar> = counted.into_iter().map(Scalar::from).collect();
        // What is missing at gamma, 1 / (gamma - w), on the number 5.
        let leaf = value + Scalar::from(ENTRY_OFFSET);
        made_up[5] += (gamma - integer(5)) * (gamma - leaf).inverse().unwrap();
        let prover = CheatingProver {
            statement: &statement,
            secret: &first.secret,
            generators: &generators(),
            rows: &rows,
            multiplicities: &Multiplicities::Field(made_up),
            padding: &[],
        };
        let prove = |transcript: &mut dyn Transcript| {
            let entropy = entropy(&mut Random::new(152));
            prover.prove_by(|prover| prover.prove_on(OpeningMode::Compact, &entropy, transcript)).unwrap()
        };
        let real = || FiatShamir::new(JOINT_PROTOCOL);
        let known = || Overridden { inner: real(), label: GAMMA, value: gamma };
        let forged = prove(&mut known());
        let bites = forged.verify(statement.clone(), &generators(), &mut known());
        bites.unwrap_or_else(|error| panic!("{what}: no longer bites: {error}"));
        let members = [(&registered.0).into(), (&registered.1).into()];
        let proof = prove(&mut real()).to_bytes();
        let refused = JointRegistration::verify(members, &proof, &generators()).err();
        assert_eq!(refused, Some(RegistrationInvalid::Opening(OpeningError::InnerProduct)), "{what}");
    }
}

#[test]
fn components_on_other_bases_are_refused() {
    let fixture = DataFixture::new(5, 6, 3, 149);
    let generators = Generators::derive(1025, 1);
    let bases = [
        ("a row base beyond all rows", generators.rows()[1024]),
        ("the first slot of a session", generators.scratch()[0]),
        ("the base of the form", *generators.form()),
        ("a point that nobody can open", Point::from_uniform_bytes(&[74; 64])),
    ];
    for (what, base) in bases {
        let mut rows = free(&fixture.member().rows);
        rows.0[2].on_top = Some(base);
        let registered = data(fixture.pinned.manifest(), &rows);
        let proof = prove(&(&registered).into(), &rows, OpeningMode::Compact);
        let error = registered.pin(&proof, &generators).err().unwrap_or_else(|| panic!("{what}"));
        assert!(matches!(error, RegistrationInvalid::Opening(_)), "{what}: {error}");
    }
}
