//! Challenges known beforehand: what they forge, and that the real ones do not.

use ark_ff::Field;
use lorica_algebra::{Scalar, scalar};
use lorica_argument::opening::{OpeningError, OpeningMode};
use lorica_argument::transcript::Transcript;
use lorica_attack::training::prover::{Cheats, forge};
use lorica_attack::training::values::{ForgedValues, Outside};
use lorica_testkit::transcript::Overridden;
use lorica_verify::training::schedule::{BETA, THETA};
use lorica_verify::training::{TrainingInvalid, TrainingProof};

use crate::forging::{
    Case, DELTA, EXPONENTIAL, MODES, OUTPUT, SUM, integer, is_refused, one, outcome_on, real,
};

/// False witnesses, each of which breaks another kind of check.
fn falsities(case: &Case) -> Vec<(&'static str, lorica_attack::training::field::FieldWitness)> {
    let cases: [(&str, usize, i64); 5] = [
        ("an update nudged", DELTA, 1),
        ("an update far away", DELTA, 30_000),
        ("an output", OUTPUT, 1),
        ("an exponential", EXPONENTIAL, 1),
        ("a sum", SUM, -7),
    ];
    let change = |(what, tensor, amount): (&'static str, usize, i64)| {
        let mut witness = case.witness.clone();
        witness.tensors[tensor][1] += integer(amount);
        (what, witness)
    };
    cases.into_iter().map(change).collect()
}

/// The proof of a prover whose last commitment rewrites an earlier slot, and what a verifier on the same transcript says.
fn rewritten(
    case: &Case,
    values: &ForgedValues<'_>,
    mode: OpeningMode,
    [provers, verifiers]: [&mut dyn Transcript; 2],
) -> (TrainingProof, Result<(), TrainingInvalid>) {
    let cheats = Cheats { padding: &[], rewrite: true };
    let proof = forge(&case.forger.prover(values), values, cheats, mode, provers).unwrap();
    let result = proof.verify(&case.forger.context, &case.forger.generators, verifiers);
    (proof, result)
}

/// A later commitment rewrites an earlier round's slot, so that any claim on the rows comes out. Accepted without theta, refused
/// with it.
#[test]
fn a_rewritten_slot_is_refused_and_bites_without_theta() {
    let case = Case::small();
    let without = || Overridden { inner: real(), label: THETA, value: one() };
    for (number, (what, witness)) in falsities(&case).into_iter().enumerate() {
        let values =
            ForgedValues { outside: Outside::Clamped, ..ForgedValues::new(&case.forger.context, &witness) };
        let mode = MODES[number % 2];
        let (_, accepted) = rewritten(&case, &values, mode, [&mut without(), &mut without()]);
        accepted.unwrap_or_else(|error| panic!("{what}: no longer bites: {error}"));
        let (proof, refused) = rewritten(&case, &values, mode, [&mut real(), &mut real()]);
        let expected = [OpeningError::Form, OpeningError::InnerProduct][number % 2];
        assert_eq!(refused, Err(TrainingInvalid::Opening(expected)), "{what}");
        let bytes = proof.to_bytes();
        TrainingProof::verify_bytes(&bytes, &case.forger.context, &case.forger.generators).expect_err(what);
    }
    // A true statement needs no rewriting: then nothing is rewritten, and all is well.
    let values = ForgedValues::new(&case.forger.context, &case.witness);
    let (_, honest) = rewritten(&case, &values, OpeningMode::Fast, [&mut real(), &mut real()]);
    honest.unwrap();
}

/// Beta is drawn when all tensors are committed to. Known before, it lets a result be any that makes another pair of the table the same
/// number: `index + beta result = j + beta E(j)`.
#[test]
fn exponentials_are_any_where_beta_is_known() {
    let beta = scalar::from_uniform_bytes(&[75; 64]);
    let known = || Overridden { inner: real(), label: BETA, value: beta };
    let case = Case::small();
    let index = case.witness.check(case.program(), 0, &case.program().checks[4])[0];
    let other = 9000;
    let entry = case.forger.context.exponentials.as_ref().unwrap()[other];
    let result = Scalar::from(entry) + (integer(other as i64) - index) * beta.inverse().unwrap();
    let mut witness = case.witness.clone();
    let change = result - witness.tensors[EXPONENTIAL][0];
    witness.tensors[EXPONENTIAL][0] = result;
    witness.tensors[SUM][..2].iter_mut().for_each(|sum| *sum += change);
    let values = ForgedValues::new(&case.forger.context, &witness);
    outcome_on(&case.forger, &values, known).unwrap();
    is_refused(&case.forger, &witness, "a result for a beta that is not drawn");
}
