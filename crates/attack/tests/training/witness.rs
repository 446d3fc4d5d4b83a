//! No number of a witness can be another one.

use lorica_argument::opening::OpeningMode;
use lorica_attack::training::field::FieldWitness;
use lorica_attack::training::values::{ForgedValues, Outside};
use lorica_relation::program::evaluate::{Evaluation, Witness};
use lorica_testkit::random::Random;
use lorica_verify::training::TrainingInvalid;

use crate::forging::{Case, DELTA, MODES, SMALL, fraction, integer, is_refused, outcome, register};

/// Without a cheat the prover is an honest one: what is refused below is refused for what is changed.
#[test]
fn the_prover_without_a_cheat_is_accepted_and_computes_what_the_program_does() {
    let case = Case::small();
    case.program().check(&case.integers).unwrap();
    for mode in MODES {
        let values = ForgedValues::new(&case.forger.context, &case.witness);
        outcome(&case.forger, &values, mode).unwrap();
    }
    let mut evaluation = Evaluation::new(case.program(), &case.integers).unwrap();
    for step in 0..SMALL.steps {
        for check in &case.program().checks {
            let integers = evaluation.check(check);
            let field = case.witness.check(case.program(), step, check);
            assert!(integers.iter().map(|value| integer(*value)).eq(field), "{}", check.name);
        }
        evaluation.advance().unwrap();
    }
}

/// In the clear it is refused; a prover that goes on anyway is refused with the leaves as they are, and with numbers of the table
/// in their place.
#[test]
fn every_entry_of_every_committed_tensor_changed_by_one() {
    let case = Case::small();
    for (tensor, values) in case.integers.tensors.iter().enumerate() {
        for entry in 0..values.len() {
            let what = format!("tensor {tensor}, entry {entry}");
            let mut changed = case.integers.clone();
            changed.tensors[tensor][entry] += 1;
            case.program().check(&changed).expect_err(&what);
            let witness = FieldWitness::of(&changed);
            for outside in [Outside::Left, Outside::Clamped] {
                let values = ForgedValues { outside, ..ForgedValues::new(&case.forger.context, &witness) };
                let result = outcome(&case.forger, &values, OpeningMode::Fast);
                assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "{what}, {outside:?}");
            }
        }
    }
}

#[test]
fn one_entry_of_each_tensor_changed_by_other_amounts() {
    let case = Case::small();
    let amounts = [
        ("one less", integer(-1)),
        ("2^16 more", integer(1 << 16)),
        ("2^16 less", integer(-(1 << 16))),
        ("2^64 more", integer(1 << 62) * integer(4)),
        ("2^-4 more", fraction(1, 1 << 4)),
        ("2^-8 more", fraction(1, 1 << 8)),
        ("2^-12 less", fraction(-1, 1 << 12)),
        ("a third", fraction(1, 3)),
    ];
    for tensor in 0..case.witness.tensors.len() {
        for (number, (what, amount)) in amounts.into_iter().enumerate() {
            let mut witness = case.witness.clone();
            let entries = witness.tensors[tensor].len();
            witness.tensors[tensor][(3 * number + 1) % entries] += amount;
            is_refused(&case.forger, &witness, &format!("tensor {tensor}: {what}"));
        }
    }
}

/// Changes an entry of what a statement starts from: a parameter, a tensor that is carried over, or a sample of the data
/// set, in all places where its row is used.
fn change_start(case: &Case, entry: usize, amount: i32) -> Option<Witness> {
    let mut changed = case.integers.clone();
    let parameters = changed.parameters[0].len();
    let carried = changed.carried[0].len();
    let width = case.program().samples.width;
    if entry < parameters {
        changed.parameters[0][entry] += amount;
        return Some(changed);
    }
    let entry = entry - parameters;
    if entry < carried {
        changed.carried[0][entry] += amount as i16;
        return Some(changed);
    }
    let entry = entry - carried;
    let row = *case.forger.context.statement.selection.rows.get(entry / width)?;
    for (place, _) in case.selected.iter().enumerate().filter(|(_, selected)| **selected == row) {
        changed.samples[place * width + entry % width] += amount as i16;
    }
    Some(changed)
}

/// Whatever a program makes of it: the commitments are those of the statement.
#[test]
fn every_entry_of_parameters_carried_tensors_and_samples_is_that_of_its_commitment() {
    let case = Case::small();
    let mut entries = 0;
    while let Some(changed) = change_start(&case, entries, 1) {
        let mut settled = changed.clone();
        lorica_testkit::training::settle(case.program(), &mut settled);
        case.program().check(&settled).unwrap();
        let witness = FieldWitness::of(&settled);
        // All equations hold of this witness, so only the opening can tell.
        let of_its_own = register(case.program().clone(), &witness, &case.selected, SMALL.row_length);
        let values = ForgedValues::new(&case.forger.context, &witness);
        let result = outcome(&case.forger, &values, OpeningMode::Fast);
        assert!(matches!(result, Err(TrainingInvalid::Opening(_))), "entry {entries}");
        if entries % 5 == 0 {
            let values = ForgedValues::new(&of_its_own.context, &witness);
            outcome(&of_its_own, &values, OpeningMode::Fast).unwrap();
        }
        entries += 1;
    }
    let distinct = case.forger.context.statement.selection.rows.len();
    assert_eq!(entries, 6 + 6 + distinct * 4);
}

/// Random changes of what a statement starts from, with the tensors as they were and commitments to what was changed: the
/// verifier says what plain loops over the integers say.
#[test]
fn the_oracle_and_the_verifier_agree() {
    let case = Case::small();
    let mut random = Random::new(91);
    let (mut held, mut violated) = (0, 0);
    for _ in 0..16 {
        let amount = [1, -1, 7, -60, 90, 3000][random.below(6)];
        let entry = random.below(6 + 6 + case.forger.context.statement.selection.rows.len() * 4);
        let changed = change_start(&case, entry, amount).unwrap();
        let witness = FieldWitness::of(&changed);
        let forger = register(case.program().clone(), &witness, &case.selected, SMALL.row_length);
        let values = ForgedValues::new(&forger.context, &witness);
        let verdict = outcome(&forger, &values, OpeningMode::Compact).map(|_| ());
        let oracle = case.program().check(&changed);
        assert_eq!(verdict.is_ok(), oracle.is_ok(), "{entry} by {amount}: {oracle:?}, {verdict:?}");
        if oracle.is_ok() { held += 1 } else { violated += 1 }
    }
    assert!(held > 2 && violated > 2, "{held} held, {violated} did not");
}

/// The matrices of both steps exchanged, the first step's twice, the second's twice, a step without any change.
#[test]
fn steps_exchanged_repeated_or_skipped() {
    let case = Case::small();
    let orders: [(&str, [Option<usize>; 2]); 4] = [
        ("exchanged", [Some(1), Some(0)]),
        ("the first repeated", [Some(0), Some(0)]),
        ("the second repeated", [Some(1), Some(1)]),
        ("the second skipped", [Some(0), None]),
    ];
    for (what, order) in orders {
        let mut changed = case.integers.clone();
        for (tensor, values) in changed.tensors.iter_mut().enumerate() {
            let entries = values.len() / 2;
            for (step, from) in order.into_iter().enumerate() {
                match from {
                    Some(from) => {
                        let honest = &case.integers.tensors[tensor][from * entries..][..entries];
                        values[step * entries..][..entries].copy_from_slice(honest);
                    }
                    // A step that moves nothing.
                    None if tensor == DELTA => values[step * entries..][..entries].fill(0),
                    None => {}
                }
            }
        }
        case.program().check(&changed).expect_err(what);
        is_refused(&case.forger, &FieldWitness::of(&changed), what);
    }
}
