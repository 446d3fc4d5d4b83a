//! Challenges known beforehand: what they forge, and that the real ones do not.

use ark_ff::Field;
use lorica_algebra::{Scalar, scalar};
use lorica_argument::opening::{OpeningError, OpeningMode};
use lorica_argument::transcript::{FiatShamir, Label, Seed, Transcript};
use lorica_attack::training::prover::{Cheats, forge};
use lorica_attack::training::values::{ForgedValues, Outside};
use lorica_testkit::transcript::Overridden;
use lorica_verify::training::schedule::{BETA, GAMMA, THETA};
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

/// A transcript that writes down the labels of messages and challenges.
struct Recorded {
    inner: FiatShamir,
    labels: Vec<&'static str>,
}

impl Transcript for Recorded {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        self.labels.push(label.0);
        self.inner.absorb(label, message);
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.labels.push(label.0);
        self.inner.seed(label)
    }

    fn state(&self) -> [u8; 32] {
        self.inner.state()
    }
}

/// No challenge is drawn before what it has to be a surprise for. The forgeries above need challenges that are known beforehand, so
/// they could not tell a verifier that draws one too early: this is what fails then.
#[test]
fn challenges_come_after_what_they_are_to_separate() {
    let case = Case::small();
    let values = ForgedValues::new(&case.forger.context, &case.witness);
    let proof = case.forger.prove_on(&values, OpeningMode::Fast, &mut real()).unwrap().proof;
    let mut transcript = Recorded { inner: real(), labels: Vec::new() };
    proof.verify(&case.forger.context, &case.forger.generators, &mut transcript).unwrap();
    let labels = transcript.labels;
    let all = |label: &str| -> Vec<usize> {
        let places: Vec<usize> = (0..labels.len()).filter(|place| labels[*place] == label).collect();
        assert!(!places.is_empty(), "no {label}");
        places
    };
    // Every message with the first label before every one with the next.
    let order = [
        "training: statement",
        "training: program",
        "training: starting commitment",
        "training: selected row",
        "training: tensors",
        BETA.0,
        "training: multiplicities",
        GAMMA.0,
        "lookup: roots",
        "lookup: ends",
        "training: point of a zero check",
        "training: nu",
        "training: total of products",
        "training: product round",
        "training: factors of products",
        "training: kappa",
        "training: total of entrywise products",
        "training: entrywise round",
        "training: factors of entrywise products",
        "training: iota",
        "products: chi",
        "products: round",
        "products: alpha beta gamma",
        "training: column round",
        "training: mu",
        THETA.0,
        "opening: C_y",
        "opening: f_y",
        "opening: e",
    ];
    for pair in order.windows(2) {
        let (before, after) = (all(pair[0]), all(pair[1]));
        assert!(before.last() < after.first(), "{} and {}", pair[0], pair[1]);
    }
    // Each round's commitment before its challenge.
    for (round, challenge) in [
        ("lookup: round", "lookup: r"),
        ("lookup: ends", "lookup: tau"),
        ("training: product round", "training: product r"),
        ("training: entrywise round", "training: entrywise r"),
        ("products: round", "products: p"),
        ("training: column round", "training: q"),
    ] {
        let (rounds, challenges) = (all(round), all(challenge));
        assert_eq!(rounds.len(), challenges.len(), "{round}");
        assert!(rounds.iter().zip(&challenges).all(|(round, challenge)| round + 1 == *challenge), "{round}");
    }
    // Everything that is sent is taken in, in the order of the proof.
    let layout = &case.forger.context.rows;
    assert_eq!(all("training: tensors").len(), layout.committed_rows());
    assert_eq!(all("training: multiplicities").len(), layout.multiplicity_rows());
    assert_eq!(all("training: starting commitment").len(), case.forger.context.start().count());
    assert_eq!(all("training: selected row").len(), case.selected.len());
    let scratch = labels.iter().filter(|label| {
        let message = ["round", "ends", "roots", "total", "factors of", "alpha beta gamma"];
        message.iter().any(|part| label.contains(part))
    });
    assert_eq!(scratch.count(), proof.scratch.len());
}
