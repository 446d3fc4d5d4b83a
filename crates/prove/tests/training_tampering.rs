//! Every field of a training proof, and of the statement that it is verified for, changed, against the real verifier.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_testkit::tamper::Case;
use lorica_testkit::tamper::training::{
    commitment_cases, proof_cases, proof_fields, statement_cases, statement_fields,
};
use lorica_testkit::training::{SmallProgram, TrainingFixture};
use lorica_testkit::transcript::Substituted;
use lorica_verify::training::context::{Context, Statement};
use lorica_verify::training::{TRAINING_PROTOCOL, TrainingInvalid, TrainingProof};

const SIZES: SmallProgram =
    SmallProgram { steps: 2, samples: 3, inputs: 5, outputs: 4, data_rows: 5, row_length: 16 };

fn fixture() -> TrainingFixture {
    TrainingFixture::small(SIZES, 40)
}

fn prove(fixture: &TrainingFixture, mode: OpeningMode) -> TrainingProof {
    fixture.prove(mode, None).unwrap().proof
}

fn assert_every_field_has_a_case<T>(fields: Vec<&'static str>, cases: &[Case<T>]) {
    let fields: BTreeSet<_> = fields.into_iter().collect();
    let cases: BTreeSet<_> = cases.iter().map(|(field, _)| *field).collect();
    assert_eq!(fields, cases, "fields (left) and tamper cases (right) differ");
}

#[test]
fn every_field_of_a_training_proof() {
    let fixture = fixture();
    for mode in [OpeningMode::Fast, OpeningMode::Compact] {
        let proof = prove(&fixture, mode);
        let verify = |proof: &TrainingProof| {
            TrainingProof::verify_bytes(&proof.to_bytes(), &fixture.context, &fixture.generators)
        };
        assert_eq!(verify(&proof).as_ref(), Ok(&proof));
        let cases = proof_cases(&proof);
        assert_every_field_has_a_case(proof_fields(&proof), &cases);
        for (field, change) in cases {
            let mut changed = proof.clone();
            change(&mut changed);
            assert_ne!(changed, proof, "the case for {field} changes nothing");
            assert!(verify(&changed).is_err(), "{mode:?}: {field} may be changed");
        }
    }
}

#[test]
fn every_commitment_alone() {
    let fixture = fixture();
    let proof = prove(&fixture, OpeningMode::Compact);
    let mut count = 0;
    for (name, changed) in commitment_cases(&proof) {
        let transcript = &mut FiatShamir::new(TRAINING_PROTOCOL);
        let result = changed.verify(&fixture.context, &fixture.generators, transcript);
        assert!(result.is_err(), "commitment {name} may be changed");
        count += 1;
    }
    let sizes = fixture.context.sizes();
    let rows = &fixture.context.rows;
    assert_eq!(count, rows.committed_rows() + rows.multiplicity_rows() + sizes.blocks().len());
}

/// The number of commitments is the statement's, also for a proof that never was bytes.
#[test]
fn commitments_left_out_or_added() {
    let fixture = fixture();
    let proof = prove(&fixture, OpeningMode::Fast);
    type Change = fn(&mut TrainingProof);
    let cases: [(Change, &str); 8] = [
        (|p| p.tensors.truncate(1), "commitments to tensors"),
        (|p| p.tensors.push(p.scratch[0]), "commitments to tensors"),
        (|p| p.multiplicities.clear(), "commitments to multiplicities"),
        (|p| p.multiplicities.push(p.scratch[0]), "commitments to multiplicities"),
        (|p| p.scratch.clear(), "scratch commitments"),
        (|p| p.scratch.truncate(p.scratch.len() - 1), "scratch commitments"),
        (|p| p.scratch.push(p.tensors[0]), "scratch commitments"),
        (|p| p.scratch.insert(0, p.tensors[0]), "scratch commitments"),
    ];
    for (change, expected) in cases {
        let mut changed = proof.clone();
        change(&mut changed);
        let transcript = &mut FiatShamir::new(TRAINING_PROTOCOL);
        let error = changed.verify(&fixture.context, &fixture.generators, transcript).unwrap_err();
        assert!(matches!(error, TrainingInvalid::Count { what, .. } if what == expected), "{error}");
    }
}

/// A changed statement is no statement, or one for which the proof does not hold.
#[test]
fn every_field_of_a_statement() {
    let fixture = fixture();
    let statement = &fixture.context.statement;
    let cases = statement_cases();
    assert_every_field_has_a_case(statement_fields(statement), &cases);
    let bytes = prove(&fixture, OpeningMode::Compact).to_bytes();
    TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators).unwrap();
    let (mut well_formed, total) = (0, cases.len());
    for (field, change) in cases {
        let mut changed = statement.clone();
        change(&mut changed);
        let text = |statement: &Statement| format!("{statement:?}");
        assert_ne!(text(&changed), text(statement), "a case for {field} changes nothing");
        let Ok(context) = Context::new(changed) else { continue };
        let result = TrainingProof::verify_bytes(&bytes, &context, &fixture.generators);
        assert!(result.is_err(), "{field} of the statement may be changed");
        // Most changes leave sizes as they are, so that the argument refuses them, not the codec.
        well_formed += usize::from(!matches!(result, Err(TrainingInvalid::Codec(_))));
    }
    assert!(well_formed > total / 3, "{well_formed} of {total} changed statements had a proof's sizes");
}

/// What means nothing to the argument itself is bound by the transcript alone. With that binding switched off these changes are
/// accepted; so it is what refuses them.
#[test]
fn names_and_numbers_are_bound_by_the_transcript() {
    let fixture = fixture();
    let honest = &fixture.context.statement;
    let proof = prove(&fixture, OpeningMode::Compact);
    let number = |row: usize| (row as u64).to_le_bytes().to_vec();
    type Change = fn(&mut Statement);
    type Binding<'a> = &'a dyn Fn(&Statement) -> Vec<u8>;
    let digest: Binding<'_> = &|statement| statement.digest.as_bytes().to_vec();
    let program: Binding<'_> = &|statement| statement.program.digest().as_bytes().to_vec();
    let row: Binding<'_> = &|statement| number(*statement.selection.rows.last().unwrap());
    let cases: [(Change, Binding<'_>); 7] = [
        (|s| s.digest.0[0] ^= 1, digest),
        (|s| s.program.steps_before += 1, program),
        (|s| s.program.tensors[0].name.push('s'), program),
        (|s| s.program.parameters[0].name.push('s'), program),
        (|s| s.program.checks[6].name.push('s'), program),
        (|s| s.program.checks[3].offset += 1, program),
        (|s| *s.selection.rows.last_mut().unwrap() = 1_000_000, row),
    ];
    for (index, (change, binding)) in cases.into_iter().enumerate() {
        let mut changed = honest.clone();
        change(&mut changed);
        let (from, to) = (binding(&changed), binding(honest));
        let context = Context::new(changed).unwrap();
        let verify =
            |transcript: &mut dyn Transcript| proof.verify(&context, &fixture.generators, transcript);
        let inner = || FiatShamir::new(TRAINING_PROTOCOL);
        assert!(verify(&mut inner()).is_err(), "case {index}");
        let unbound = verify(&mut Substituted { inner: inner(), from, to });
        // Another equation is more than a name: it is refused all the same.
        assert_eq!(unbound.is_ok(), index != 5, "case {index}: {unbound:?}");
    }
}

/// A proof is for one statement: not for another witness' weights, nor for the next steps of the same ones.
#[test]
fn another_statements_proof() {
    let (fixture, other) = (fixture(), TrainingFixture::small(SIZES, 41));
    for (of, with) in [(&fixture, &other), (&other, &fixture)] {
        let proof = prove(with, OpeningMode::Compact);
        let transcript = &mut FiatShamir::new(TRAINING_PROTOCOL);
        assert!(proof.verify(&of.context, &of.generators, transcript).is_err());
    }
    let longer = TrainingFixture::small(SmallProgram { steps: 3, ..SIZES }, 40);
    let bytes = prove(&longer, OpeningMode::Compact).to_bytes();
    assert!(TrainingProof::verify_bytes(&bytes, &fixture.context, &fixture.generators).is_err());
    // Nor is it a proof of another protocol.
    let proof = prove(&fixture, OpeningMode::Compact);
    let transcript = &mut FiatShamir::new("lorica training proof 2");
    assert!(proof.verify(&fixture.context, &fixture.generators, transcript).is_err());
}
