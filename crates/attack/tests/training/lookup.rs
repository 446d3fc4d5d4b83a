//! Lookups of a training proof: ranges, multiplicities, padding, zero denominators.

use ark_ff::{Field, Zero};
use lorica_algebra::{Scalar, scalar};
use lorica_argument::opening::OpeningMode;
use lorica_attack::range::Fraction;
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::prover::{Cheats, forge};
use lorica_attack::training::values::{Counting, ForgedValues, Outside};
use lorica_relation::program::{Program, Rule, Source, Term};
use lorica_testkit::transcript::Overridden;
use lorica_verify::training::leaves::Lane;
use lorica_verify::training::schedule::GAMMA;
use lorica_verify::training::{TrainingInvalid, TrainingProof};

use crate::forging::{
    Case, EXPONENTIAL, MODES, SUM, balanced, check, entries, fraction, integer, is_accepted, is_refused,
    of_words, one, outcome, outcome_on, real, source, values_are_refused, words,
};

/// 9 steps of 7 entries: blocks of 4, 2 and 1, in trees of 32, 16, 8 and 7 leaves, the last with one place of padding.
fn ragged() -> Program {
    words(9, 7)
}

/// Entries outside of [-2^15, 2^15), the nearest ones among them.
fn outside() -> Vec<(&'static str, Scalar)> {
    vec![
        ("the closed end of the interval", integer(1 << 15)),
        ("one below", integer(-(1 << 15) - 1)),
        ("65,536 more than an entry", integer(7 + (1 << 16))),
        ("a third", fraction(1, 3)),
        ("a half", fraction(1, 2)),
        ("2^-16", fraction(1, 1 << 16)),
        ("an entry and 2^-16", integer(5) + fraction(1, 1 << 16)),
    ]
}

fn with_entry(entry: usize, value: Scalar) -> FieldWitness {
    let mut witness = entries(&ragged());
    witness.tensors[0][entry] = value;
    witness
}

#[test]
fn the_interval_is_half_open() {
    for value in [-(1 << 15), 0, (1 << 15) - 1] {
        let witness = with_entry(20, integer(value));
        is_accepted(&of_words(ragged(), &witness), &witness, "inside");
    }
    for (what, value) in outside() {
        for entry in [0, 6, 62] {
            let witness = with_entry(entry, value);
            is_refused(&of_words(ragged(), &witness), &witness, what);
        }
    }
}

#[test]
fn every_entry_of_every_step_is_a_leaf() {
    for entry in 0..63 {
        let witness = with_entry(entry, integer(1 << 15));
        let forger = of_words(ragged(), &witness);
        let values = ForgedValues::new(&forger.context, &witness);
        assert!(outcome(&forger, &values, OpeningMode::Fast).is_err(), "{entry}");
    }
}

/// `sample - 2^4 x + 2^3` in [0, 2^4), and x a word: x is the sample divided by 16, halves rounded up.
fn rounded() -> Program {
    let mut program = words(1, 1);
    let sample = Source::Samples { first: 0, columns: 1 };
    let terms = vec![Term::source(1, sample), Term::source(-16, source(0))];
    program.checks.push(check("rounded", program.checks[0].shape, 8, terms, Rule::Word { shift: 12 }));
    program.validate().unwrap();
    program
}

/// A residual one beyond the tolerance, at both ends, and one inside.
#[test]
fn a_residual_just_beyond_the_tolerance() {
    for (sample, holds) in [(40, true), (55, true), (39, false), (56, false), (48, true)] {
        let mut witness = entries(&rounded());
        witness.tensors[0][0] = integer(3);
        witness.samples[0] = integer(sample);
        let forger = of_words(rounded(), &witness);
        if holds {
            is_accepted(&forger, &witness, "inside");
        } else {
            is_refused(&forger, &witness, &format!("{sample} / 16 is not 3"));
        }
    }
}

#[test]
fn wrong_multiplicities_are_refused() {
    let bad = with_entry(0, integer(1 << 15));
    let good = entries(&ragged());
    let last = (1 << 16) - 1;
    // The first entry is -2^15, the first number of the table.
    let cases = [
        ("the nearest number counted once more", &bad, vec![(last, one())]),
        ("the number it wraps to counted once more", &bad, vec![(0, one())]),
        ("its neighbours counted half", &bad, vec![(last, fraction(1, 2)), (last - 1, fraction(1, 2))]),
        ("extrapolated from two numbers", &bad, vec![(last, integer(2)), (last - 1, integer(-1))]),
        ("a count of minus one", &bad, vec![(last, integer(-1))]),
        ("one more", &good, vec![(0, one())]),
        ("one less", &good, vec![(0, integer(-1))]),
        ("one moved to the next number", &good, vec![(0, integer(-1)), (1, one())]),
        ("2^64 more", &good, vec![(0, integer(1 << 62) * integer(4))]),
        ("a third of a number that is no entry", &good, vec![(3, fraction(1, 3))]),
    ];
    for (what, witness, changes) in cases {
        let forger = of_words(ragged(), witness);
        let changes = changes.into_iter().map(|(number, change)| (Lane::Words, number, change)).collect();
        let counting = Counting::Changed(changes);
        let values = ForgedValues { counting, ..ForgedValues::new(&forger.context, witness) };
        for mode in MODES {
            values_are_refused(&forger, &values, mode, what);
        }
    }
    let forger = of_words(ragged(), &good);
    for count in [Scalar::zero(), one(), integer(-1)] {
        let counting = Counting::Always(count);
        let values = ForgedValues { counting, ..ForgedValues::new(&forger.context, &good) };
        values_are_refused(&forger, &values, OpeningMode::Fast, "so often each number");
    }
}

/// In a field of small characteristic p, p equal entries outside of the table would cancel, and a count of p would be none. The
/// order l of this field, added to a count, is nothing at all; and equal entries, or an entry and its negative, do not cancel.
#[test]
fn tricks_of_the_characteristic() {
    let mut all = entries(&ragged());
    all.tensors[0].fill(integer(1 << 15));
    is_refused(&of_words(ragged(), &all), &all, "all entries outside");
    let mut pair = entries(&ragged());
    pair.tensors[0][..2].copy_from_slice(&[fraction(1, 3), fraction(-1, 3) - integer(1 << 16)]);
    is_refused(&of_words(ragged(), &pair), &pair, "leaves that sum to nothing");

    let good = entries(&ragged());
    let forger = of_words(ragged(), &good);
    // l = (l - 1) + 1
    let order = integer(-1) + one();
    let counting = Counting::Changed(vec![(Lane::Words, 0, order)]);
    let values = ForgedValues { counting, ..ForgedValues::new(&forger.context, &good) };
    outcome(&forger, &values, OpeningMode::Fast).unwrap();
}

/// Leaves and multiplicities are fixed before gamma. A prover that knows gamma beforehand picks multiplicities with which the sums
/// agree at this one gamma: a verifier without that order accepts.
#[test]
fn multiplicities_after_gamma_forge_any_lookup_and_are_refused_before_it() {
    let gamma = scalar::from_uniform_bytes(&[72; 64]);
    let known = || Overridden { inner: real(), label: GAMMA, value: gamma };
    for (what, bad) in outside() {
        let witness = with_entry(33, bad);
        let forger = of_words(ragged(), &witness);
        let values = balanced(&forger.context, &witness, gamma, 5);
        outcome_on(&forger, &values, known)
            .unwrap_or_else(|error| panic!("{what}: no longer bites: {error}"));
        values_are_refused(&forger, &values, OpeningMode::Compact, what);
    }
}

/// The same for the table of exponentials.
#[test]
fn multiplicities_of_exponentials_after_gamma() {
    let gamma = scalar::from_uniform_bytes(&[73; 64]);
    let known = || Overridden { inner: real(), label: GAMMA, value: gamma };
    let case = Case::small();
    let mut witness = case.witness.clone();
    // A false exponential, and the sums of its row with it.
    witness.tensors[EXPONENTIAL][0] += one();
    witness.tensors[SUM][..2].iter_mut().for_each(|sum| *sum += one());
    let values = balanced(&case.forger.context, &witness, gamma, 4100);
    outcome_on(&case.forger, &values, known).unwrap();
    values_are_refused(&case.forger, &values, OpeningMode::Compact, "a false exponential");
    is_refused(&case.forger, &witness, "a false exponential");
}

/// Two leaves that equal gamma make numerator and denominator of the leaves' root zero, and the root equation holds for any
/// multiplicities. That takes a gamma that is known beforehand.
#[test]
fn zero_denominators_forge_where_gamma_is_known_and_are_refused_where_it_is_not() {
    let gamma = scalar::from_uniform_bytes(&[74; 64]);
    let known = || Overridden { inner: real(), label: GAMMA, value: gamma };
    let entry = gamma - integer(1 << 15);
    let mut witness = with_entry(3, entry);
    let counting = || Counting::Always(integer(17));
    // One alone leaves the numerator, and the equation does not hold.
    let forger = of_words(ragged(), &witness);
    let values = ForgedValues { counting: counting(), ..ForgedValues::new(&forger.context, &witness) };
    outcome_on(&forger, &values, known).expect_err("one zero denominator");
    witness.tensors[0][40] = entry;
    let forger = of_words(ragged(), &witness);
    let values = ForgedValues { counting: counting(), ..ForgedValues::new(&forger.context, &witness) };
    outcome_on(&forger, &values, known).unwrap();
    values_are_refused(&forger, &values, OpeningMode::Compact, "two leaves at another gamma");
}

#[test]
fn a_gamma_in_the_table_is_refused() {
    let witness = entries(&ragged());
    let forger = of_words(ragged(), &witness);
    let values = ForgedValues::new(&forger.context, &witness);
    let proof = forger.prove_on(&values, OpeningMode::Fast, &mut real()).unwrap().proof;
    for gamma in [0, 5, (1 << 16) - 1] {
        let mut known = Overridden { inner: real(), label: GAMMA, value: integer(gamma) };
        let result = proof.verify(&forger.context, &forger.generators, &mut known);
        assert_eq!(result, Err(TrainingInvalid::Gamma));
    }
}

/// Behind the last leaf stand fractions 0 / 1, which the verifier evaluates itself. A fraction there that cancels an entry outside,
/// or stands for one, is refused.
#[test]
fn padding_that_cancels_an_entry_is_refused() {
    let cancels: Fraction = |gamma| [-one(), gamma - integer(1 << 16)];
    let counts_twice: Fraction = |gamma| [one(), gamma];
    let scaled: Fraction = |_| [Scalar::zero(), integer(2)];
    let nothing: Fraction = |_| [Scalar::zero(), one()];

    let forged = |witness: &FieldWitness, counting: Counting, padding: Fraction| {
        let forger = of_words(ragged(), witness);
        let values = ForgedValues { counting, ..ForgedValues::new(&forger.context, witness) };
        let cheats = Cheats { padding: &[padding], rewrite: false };
        let mode = OpeningMode::Compact;
        let proof = forge(&forger.prover(&values), &values, cheats, mode, &mut real()).unwrap();
        TrainingProof::verify_bytes(&proof.to_bytes(), &forger.context, &forger.generators).map(|_| ())
    };
    let good = entries(&ragged());
    let bad = with_entry(0, integer(1 << 15));
    forged(&good, Counting::Counted, nothing).unwrap();
    let more = Counting::Changed(vec![(Lane::Words, 0, one())]);
    let cases = [
        ("a negative fraction", forged(&bad, Counting::Counted, cancels)),
        ("a leaf", forged(&good, more, counts_twice)),
        ("another denominator", forged(&good, Counting::Counted, scaled)),
    ];
    for (what, result) in cases {
        assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{what}: {result:?}");
    }
}

/// A block that is wider than its matrix is filled up with zeros. Another number of the table there, counted as it should be, is
/// refused: what a claim on leaves is about ends at the matrix.
#[test]
fn blocks_hold_nothing_beyond_their_matrix() {
    // 15 columns: one block of 16, with one place beyond.
    let program = words(1, 15);
    let witness = entries(&program);
    let forger = of_words(program, &witness);
    assert_eq!(forger.context.leaves.leaves(Lane::Words), 16);
    is_accepted(&forger, &witness, "zeros");
    // The claim on what is behind the matrix, as a prover of 16 columns would make it.
    let wide = words(1, 16);
    let mut all = witness.clone();
    all.tensors[0].push(integer(5));
    let longer = of_words(wide, &all);
    let values = ForgedValues::new(&longer.context, &all);
    let transcript = || crate::forging::Restated::new(&forger.context, &longer.context);
    let proof = longer.prove_on(&values, OpeningMode::Fast, &mut transcript()).unwrap().proof;
    proof.verify(&longer.context, &longer.generators, &mut transcript()).unwrap();
    let result = proof.verify(&forger.context, &forger.generators, &mut real());
    assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{result:?}");
}

/// What a cheating prover proves in the place of an entry outside is a number of the table, and the claim on the leaf is what fails.
#[test]
fn a_clamped_leaf_is_not_the_entry() {
    let inverse = integer(1 << 15).inverse().unwrap();
    let witness = with_entry(11, inverse);
    let forger = of_words(ragged(), &witness);
    let values = ForgedValues { outside: Outside::Clamped, ..ForgedValues::new(&forger.context, &witness) };
    for mode in MODES {
        values_are_refused(&forger, &values, mode, "clamped");
    }
}
