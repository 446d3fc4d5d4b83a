//! What a cheating registrar may try against the range argument, at the real verifier; and the ablations that show that the
//! attacks bite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ark_ff::Field;
use lorica_algebra::{Point, Scalar, scalar};
use lorica_argument::lookup::GAMMA;
use lorica_argument::opening::{OpeningError, OpeningMode};
use lorica_argument::transcript::{FiatShamir, Transcript};
use lorica_attack::range::{CheatingRegistrar, Forged, Fraction, FreeRows, counts, rewrite_slot};
use lorica_prove::range::{Multiplicities, RangeProofError, RangeProver};
use lorica_relation::range::check;
use lorica_testkit::adapter::{AdapterFixture, Shape, entropy, modules};
use lorica_testkit::evidence::evidence;
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_testkit::transcript::Overridden;
use lorica_verify::manifest::{Manifest, RangeLevel};
use lorica_verify::range::{ENTRY_OFFSET, RANGE_PROTOCOL, RangeProof, THETA};
use lorica_verify::registered::PinnedAdapter;
use lorica_verify::registration::RegistrationInvalid;
use lorica_verify::verdict::{Check, Outcome, judge};

/// Ragged on purpose: 2 * (6 + 10) + 20 + 7 = 59 leaves, so the trees have 32, 16, 8 and 3 leaves, the last with one place of
/// padding.
const SHAPES: [Shape; 2] = [(6, 10, 2), (20, 7, 1)];
const MODES: [OpeningMode; 2] = [OpeningMode::Fast, OpeningMode::Compact];

/// A registrar's artefacts and choices, honest until they are changed.
struct Cheat {
    honest: AdapterFixture,
    manifest: Manifest,
    rows: FreeRows,
    /// `None`: what there is of the leaves in the table.
    multiplicities: Option<Vec<Scalar>>,
    padding: Vec<Fraction>,
}

impl Cheat {
    fn new() -> Self {
        let honest = AdapterFixture::new(&SHAPES, 70);
        let manifest = honest.pinned.manifest().clone();
        let rows = FreeRows::of(&manifest, &honest.witness, &honest.secret);
        Self { honest, manifest, rows, multiplicities: None, padding: Vec::new() }
    }

    /// The honest registrar with one entry changed.
    fn with_entry(row: usize, entry: usize, value: Scalar) -> Self {
        let mut cheat = Self::new();
        cheat.rows.0[row].entries[entry] = value;
        cheat
    }

    fn counts(&self) -> Vec<Scalar> {
        counts(&self.rows.leaves(&self.manifest.modules)).into_iter().map(Scalar::from).collect()
    }

    fn forge(&self, mode: OpeningMode, transcript: &mut dyn Transcript) -> Forged {
        self.forge_by(|prover| prover.prove_on(mode, &entropy(&mut Random::new(71)), transcript))
    }

    fn forge_by(
        &self,
        prove: impl FnOnce(&RangeProver<'_>) -> Result<RangeProof, RangeProofError>,
    ) -> Forged {
        let multiplicities = match &self.multiplicities {
            Some(values) => Multiplicities::Field(values.clone()),
            None => Multiplicities::Counts(counts(&self.rows.leaves(&self.manifest.modules))),
        };
        let registrar = CheatingRegistrar {
            manifest: &self.manifest,
            secret: &self.honest.secret,
            generators: &self.honest.generators,
            rows: &self.rows,
            multiplicities: &multiplicities,
            padding: &self.padding,
        };
        registrar.register_by(prove).unwrap()
    }

    /// The real verifier's answer, the bytes included.
    fn outcome(&self, mode: OpeningMode) -> Result<PinnedAdapter, RegistrationInvalid> {
        let forged = self.forge(mode, &mut FiatShamir::new(RANGE_PROTOCOL));
        forged.adapter.pin(&forged.proof.to_bytes(), &self.honest.generators)
    }

    #[track_caller]
    fn is_refused(&self, what: &str) {
        for mode in MODES {
            let error = self.outcome(mode).err().unwrap_or_else(|| panic!("{what}: accepted"));
            let expected = match mode {
                OpeningMode::Fast => OpeningError::Form,
                OpeningMode::Compact => OpeningError::InnerProduct,
            };
            assert_eq!(error, RegistrationInvalid::Opening(expected), "{what}");
        }
    }

    /// The answer of a verifier whose gamma is known beforehand.
    fn outcome_with_known(&self, gamma: Scalar) -> Result<(), RegistrationInvalid> {
        let known = || Overridden { inner: FiatShamir::new(RANGE_PROTOCOL), label: GAMMA, value: gamma };
        let forged = self.forge(OpeningMode::Compact, &mut known());
        forged.proof.verify(&forged.adapter, &self.honest.generators, &mut known())
    }
}

fn one() -> Scalar {
    Scalar::from(1u8)
}

fn integer(value: i64) -> Scalar {
    Scalar::from(value)
}

fn leaf(entry: Scalar) -> Scalar {
    entry + Scalar::from(ENTRY_OFFSET)
}

/// Entries outside of [-2^15, 2^15), the nearest ones among them.
fn outside() -> Vec<(&'static str, Scalar)> {
    let half = (-one()) * Scalar::from(2u8).inverse().unwrap();
    vec![
        ("the closed end of the interval", integer(1 << 15)),
        ("one below", integer(-(1 << 15) - 1)),
        ("65,536 more than an entry", integer(7 + (1 << 16))),
        ("a third", Scalar::from(3u8).inverse().unwrap()),
        ("a half", Scalar::from(2u8).inverse().unwrap()),
        ("the middle of the field", half),
        ("2^-16", Scalar::from(1u64 << 16).inverse().unwrap()),
        ("an entry and 2^-16", integer(5) + Scalar::from(1u64 << 16).inverse().unwrap()),
    ]
}

/// Without a cheat the registrar is an honest one: what is refused below is refused for what is changed.
#[test]
fn the_registrar_without_a_cheat_is_accepted() {
    for mode in MODES {
        let pinned = Cheat::new().outcome(mode).unwrap();
        assert_eq!(pinned.manifest().range, RangeLevel::Int16);
    }
    // Both ends of the range are in it, and any entry may be zero.
    for (row, entry, value) in [(0, 0, -(1 << 15)), (1, 5, (1 << 15) - 1), (5, 2, 0)] {
        Cheat::with_entry(row, entry, integer(value)).outcome(OpeningMode::Compact).unwrap();
    }
}

#[test]
fn one_entry_outside_the_table_is_refused() {
    for (what, value) in outside() {
        for (row, entry) in [(0, 0), (2, 8), (5, 2)] {
            Cheat::with_entry(row, entry, value).is_refused(what);
        }
    }
}

#[test]
fn every_entry_of_every_row_is_a_leaf() {
    let rows = Cheat::new().rows.0;
    for (row, honest) in rows.iter().enumerate() {
        for entry in 0..honest.entries.len() {
            let cheat = Cheat::with_entry(row, entry, integer(1 << 15));
            assert!(cheat.outcome(OpeningMode::Fast).is_err(), "row {row}, entry {entry}");
        }
    }
}

#[test]
fn multiplicities_chosen_for_an_entry_outside_do_not_help() {
    let bad = integer(1 << 15);
    let cheat = || Cheat::with_entry(0, 0, bad);
    let counted = cheat().counts();
    let last = (1 << 16) - 1;
    let half = Scalar::from(2u8).inverse().unwrap();
    let cases: Vec<(&str, Vec<(usize, Scalar)>)> = vec![
        ("the nearest number counted once more", vec![(last, one())]),
        ("the number it wraps to counted once more", vec![(0, one())]),
        ("its neighbours counted half", vec![(last, half), (last - 1, half)]),
        ("extrapolated from two numbers", vec![(last, integer(2)), (last - 1, integer(-1))]),
        ("extrapolated from three", vec![(last, integer(3)), (last - 1, integer(-3)), (last - 2, one())]),
        ("a count of minus one", vec![(last, integer(-1))]),
    ];
    for (what, changes) in cases {
        let mut cheat = cheat();
        let mut changed = counted.clone();
        changes.into_iter().for_each(|(number, change)| changed[number] += change);
        cheat.multiplicities = Some(changed);
        cheat.is_refused(what);
    }
}

#[test]
fn wrong_multiplicities_of_right_entries_are_refused() {
    let counted = Cheat::new().counts();
    let used = counted.iter().position(|count| *count != Scalar::default()).unwrap();
    let cases: Vec<(&str, Vec<(usize, Scalar)>)> = vec![
        ("one more", vec![(used, one())]),
        ("one less", vec![(used, integer(-1))]),
        ("one of a number that is no entry", vec![(used + 1, one())]),
        ("one moved to the next number", vec![(used, integer(-1)), (used + 1, one())]),
        ("2^64 more", vec![(used, Scalar::from(u64::MAX) + one())]),
        ("none", vec![(used, -counted[used])]),
        ("two times", vec![(used, counted[used])]),
    ];
    for (what, changes) in cases {
        let mut cheat = Cheat::new();
        let mut changed = counted.clone();
        changes.into_iter().for_each(|(number, change)| changed[number] += change);
        cheat.multiplicities = Some(changed);
        cheat.is_refused(what);
    }
    let mut nothing = Cheat::new();
    nothing.multiplicities = Some(vec![Scalar::default(); 1 << 16]);
    nothing.is_refused("no multiplicities at all");
}

/// In a field of small characteristic p, p equal entries outside of the table would cancel. Here all entries of an adapter are
/// too few by far; and multiplicities that wrap around the order of the field are the same multiplicities.
#[test]
fn equal_entries_outside_do_not_cancel() {
    let mut cheat = Cheat::new();
    for row in &mut cheat.rows.0 {
        row.entries.iter_mut().for_each(|entry| *entry = integer(1 << 15));
    }
    cheat.is_refused("all entries outside");
    // Two entries and two others that sum to nothing.
    let mut cheat = Cheat::new();
    let third = Scalar::from(3u8).inverse().unwrap();
    cheat.rows.0[0].entries[..2].copy_from_slice(&[third, -third]);
    cheat.is_refused("an entry and its negative");
}

/// Leaves and multiplicities are fixed before gamma. A prover that knows gamma beforehand picks multiplicities with which the sums
/// agree at this one gamma: a verifier without that order accepts.
#[test]
fn multiplicities_after_gamma_forge_any_lookup_and_are_refused_before_it() {
    let gamma = scalar::from_uniform_bytes(&[72; 64]);
    for (what, bad) in outside() {
        let mut cheat = Cheat::with_entry(3, 1, bad);
        let mut made_up = cheat.counts();
        // What is missing at gamma, 1 / (gamma - w), on the number 5.
        made_up[5] += (gamma - integer(5)) * (gamma - leaf(bad)).inverse().unwrap();
        cheat.multiplicities = Some(made_up);
        cheat.outcome_with_known(gamma).unwrap_or_else(|error| panic!("{what}: no longer bites: {error}"));
        cheat.is_refused(what);
    }
}

/// Two leaves that equal gamma make numerator and denominator of the leaves' root zero, and the root equation holds for any
/// multiplicities. That takes a gamma that is known beforehand.
#[test]
fn zero_denominators_forge_where_gamma_is_known_and_are_refused_where_it_is_not() {
    let gamma = scalar::from_uniform_bytes(&[73; 64]);
    let entry = gamma - Scalar::from(ENTRY_OFFSET);
    let mut cheat = Cheat::with_entry(0, 0, entry);
    cheat.rows.0[4].entries[3] = entry;
    cheat.multiplicities = Some(vec![integer(17); 1 << 16]);
    cheat.outcome_with_known(gamma).unwrap();
    cheat.is_refused("two leaves at another gamma");
    // One alone leaves the numerator, and the equation does not hold.
    let mut alone = Cheat::with_entry(0, 0, entry);
    alone.multiplicities = Some(vec![integer(17); 1 << 16]);
    alone.outcome_with_known(gamma).expect_err("one zero denominator");
}

/// Where gamma is a number of the table, an honest prover would divide by zero: the verifier refuses.
#[test]
fn a_gamma_in_the_table_is_refused() {
    let forged = Cheat::new().forge(OpeningMode::Compact, &mut FiatShamir::new(RANGE_PROTOCOL));
    for gamma in [0, 5, (1 << 16) - 1] {
        let mut known =
            Overridden { inner: FiatShamir::new(RANGE_PROTOCOL), label: GAMMA, value: integer(gamma) };
        let generators = &Cheat::new().honest.generators;
        let result = forged.proof.verify(&forged.adapter, generators, &mut known);
        assert_eq!(result, Err(RegistrationInvalid::Gamma));
    }
}

/// Behind the last leaf stand fractions 0 / 1, which the verifier evaluates itself. A fraction there that cancels an entry outside,
/// or stands for one, is refused.
#[test]
fn padding_that_cancels_an_entry_is_refused() {
    let cancels: Fraction = |gamma| [-one(), gamma - leaf(integer(1 << 15))];
    let counts_twice: Fraction = |gamma| [one(), gamma - leaf(integer(7))];
    let scaled: Fraction = |_| [Scalar::default(), integer(2)];
    let nothing: Fraction = |_| [Scalar::default(), one()];

    let mut cheat = Cheat::with_entry(0, 0, integer(1 << 15));
    cheat.padding = vec![cancels];
    cheat.is_refused("a negative fraction in the padding");
    let mut cheat = Cheat::new();
    let mut counted = cheat.counts();
    counted[7 + (1 << 15)] += one();
    cheat.multiplicities = Some(counted);
    cheat.padding = vec![counts_twice];
    cheat.is_refused("a leaf in the padding");
    let mut cheat = Cheat::new();
    cheat.padding = vec![scaled];
    cheat.is_refused("another denominator in the padding");
    let mut honest = Cheat::new();
    honest.padding = vec![nothing];
    honest.outcome(OpeningMode::Compact).unwrap();
}

/// What a row holds beyond its declared length is no leaf and enters nothing, whatever it is: here it is outside of the table, and
/// no delta changes.
#[test]
fn junk_beyond_a_rows_length_enters_nothing() {
    let mut cheat = Cheat::new();
    for row in &mut cheat.rows.0[..2] {
        // Rows of A of the first module have 6 entries of 20.
        row.entries.extend([integer(1 << 15), Scalar::from(3u8).inverse().unwrap()]);
    }
    let forged = cheat.forge(OpeningMode::Compact, &mut FiatShamir::new(RANGE_PROTOCOL));
    let proof = forged.proof.to_bytes();
    let pinned = forged.adapter.pin(&proof, &cheat.honest.generators).unwrap();
    assert_eq!(pinned.manifest().modules, modules(&SHAPES));
}

#[test]
fn components_on_other_bases_are_refused() {
    let generators = Cheat::new().honest.generators;
    let bases = [
        ("the first slot of a session", generators.scratch()[0]),
        ("the base of the form", *generators.form()),
        ("a point that nobody can open", Point::from_uniform_bytes(&[74; 64])),
    ];
    for (what, base) in bases {
        for row in [0, 3, 5] {
            let mut cheat = Cheat::new();
            cheat.rows.0[row].on_top = Some(base);
            let error = cheat.outcome(OpeningMode::Compact).err().unwrap_or_else(|| panic!("{what}"));
            assert!(matches!(error, RegistrationInvalid::Opening(_)), "{what}: {error}");
        }
    }
}

/// A later commitment rewrites an earlier round's slot: the session's forgery, against a root equation that does not hold. Accepted
/// without theta, refused with it.
#[test]
fn a_rewritten_slot_is_refused_and_bites_without_theta() {
    let forge = |cheat: &Cheat, transcript: &mut dyn Transcript| {
        cheat.forge_by(|prover| rewrite_slot(prover, &entropy(&mut Random::new(79)), transcript))
    };
    let real = || FiatShamir::new(RANGE_PROTOCOL);
    let without = || Overridden { inner: real(), label: THETA, value: one() };
    for (what, value) in outside() {
        let cheat = Cheat::with_entry(2, 4, value);
        let generators = &cheat.honest.generators;
        let forged = forge(&cheat, &mut real());
        let refused = forged.proof.verify(&forged.adapter, generators, &mut real());
        assert_eq!(refused, Err(RegistrationInvalid::Opening(OpeningError::InnerProduct)), "{what}");
        let forged = forge(&cheat, &mut without());
        forged.proof.verify(&forged.adapter, generators, &mut without()).unwrap();
    }
}

/// The test of range level `none`, turned: weights that are thirds modulo the order of the field cannot be registered any more, and
/// verdicts about what can be say so.
#[test]
fn thirds_cannot_be_registered_in_range_and_verdicts_are_exact() {
    let mut thirds = Cheat::new();
    let third = Scalar::from(3u8).inverse().unwrap();
    for row in &mut thirds.rows.0[..3] {
        row.entries.iter_mut().for_each(|entry| *entry *= third);
    }
    thirds.is_refused("thirds");

    let adapter = AdapterFixture::in_range(&SHAPES, 75);
    let session = SessionFixture::new(&adapter, &[(&[0], 3), (&[1], 2)], 76);
    let proof = session.prove(&adapter, OpeningMode::Compact, 77);
    let verdict = judge(&evidence(&adapter, &session, &proof)).unwrap();
    assert_eq!((verdict.verdict, verdict.range), (Outcome::Valid, RangeLevel::Int16));
    assert!(
        verdict.proven.iter().any(|line| line.contains("exact over the integers")),
        "{:?}",
        verdict.proven
    );
    assert!(!verdict.not_proven.iter().any(|line| line.contains("small integers")));
    assert!(!verdict.proven.iter().any(|line| line.contains("modulo")));

    // The cheat's artefacts in the evidence: the registration is what fails.
    let forged = thirds.forge(OpeningMode::Compact, &mut FiatShamir::new(RANGE_PROTOCOL));
    let bytes = forged.proof.to_bytes();
    let mut evidence = evidence(&adapter, &session, &proof);
    evidence.pin = forged.adapter.digest();
    evidence.manifest = forged.manifest.as_bytes();
    evidence.commitments = &forged.commitments;
    evidence.registration = &bytes;
    let reason = judge(&evidence).unwrap().reason.unwrap();
    assert_eq!(reason.check, Check::Registration);
}

/// Random rows and counts, true and false: the verifier says what plain loops over the integers say.
#[test]
fn the_oracle_and_the_verifier_agree() {
    let mut random = Random::new(78);
    let (mut held, mut violated) = (0, 0);
    for _ in 0..24 {
        let mut cheat = Cheat::new();
        let edges = [-(1 << 15) - 1, -(1 << 15), -1, 0, 1, (1 << 15) - 1, 1 << 15];
        let mut rows: Vec<Vec<i128>> = Vec::new();
        for row in &mut cheat.rows.0 {
            let mut integers = Vec::new();
            for entry in &mut row.entries {
                // Mostly inside: an end that is outside comes up about once in two adapters.
                let value = match random.below(6) {
                    0 => edges[1 + random.below(5)],
                    1 if random.below(11) == 0 => edges[6 * random.below(2)],
                    _ => random.below(1 << 16) as i64 - (1 << 15),
                };
                *entry = integer(value);
                integers.push(i128::from(value));
            }
            rows.push(integers);
        }
        let mut counted = counts(&cheat.rows.leaves(&cheat.manifest.modules));
        if random.below(4) == 0 {
            counted[random.below(1 << 16)] += 1;
        }
        cheat.multiplicities = Some(counted.iter().map(|count| Scalar::from(*count)).collect());
        let oracle = check(&rows, &counted);
        let verdict = cheat.outcome(OpeningMode::Compact).map(|_| ());
        assert_eq!(verdict.is_ok(), oracle.is_ok(), "{oracle:?}, {verdict:?}");
        if oracle.is_ok() { held += 1 } else { violated += 1 }
    }
    assert!(held > 4 && violated > 4, "{held} held, {violated} did not");
}
