//! Challenges: unique, stratified, reproducible from the key, and family files read strictly.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};

use lorica_identity::{
    Bank, BankError, Challenge, ChallengeKey,
    bank::{DEFAULT_POSITIONS, MOST_POSITIONS},
};
use sha2::{Digest, Sha256};

const FAMILIES: [&str; 5] =
    ["arithmetic", "code", "general", "out-of-distribution-nouns", "safety-vocabulary"];

fn key(number: u8) -> ChallengeKey {
    ChallengeKey::new([number; 32])
}

fn draw(number: u8, count: u32) -> Vec<Challenge> {
    Bank::standard().unwrap().challenges(&key(number), "run", 0..count, DEFAULT_POSITIONS).unwrap()
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[test]
fn eight_hundred_draws_hold_no_duplicate_whatever_the_key() {
    for number in 0..50 {
        let challenges = draw(number, 800);
        let prompts: HashSet<&str> = challenges.iter().map(|c| c.prompt.as_str()).collect();
        assert_eq!(prompts.len(), 800, "key {number}");
    }
}

#[test]
fn three_thousand_draws_hold_no_duplicate() {
    let challenges = draw(3, 3000);
    let prompts: HashSet<&str> = challenges.iter().map(|c| c.prompt.as_str()).collect();
    assert_eq!(prompts.len(), 3000);
}

#[test]
fn every_prompt_is_plain_and_whole() {
    for number in 0..10 {
        for challenge in draw(number, 800) {
            let prompt = &challenge.prompt;
            assert!(!prompt.contains(['{', '}']), "{prompt}");
            assert!(prompt.bytes().all(|b| b.is_ascii_graphic() || b == b' '), "{prompt}");
            assert!(prompt.split(' ').all(|word| !word.is_empty()), "{prompt}");
            let words = prompt.split(' ').count();
            assert!((12..=40).contains(&words) && prompt.len() <= 200, "{words} words: {prompt}");
        }
    }
}

#[test]
fn positions_end_where_words_end() {
    let bank = Bank::standard().unwrap();
    for positions in 1..=MOST_POSITIONS {
        for challenge in bank.challenges(&key(4), "run", 0..100, positions).unwrap() {
            let prompt = &challenge.prompt;
            assert_eq!(challenge.positions.len(), positions);
            assert!(challenge.positions.is_sorted_by(|a, b| a < b));
            assert_eq!(*challenge.positions.last().unwrap() as usize, prompt.len());
            for prefix in challenge.prefixes() {
                assert!(prompt.len() == prefix.len() || prompt.as_bytes()[prefix.len()] == b' ', "{prefix}");
                // Half of the words come before the first position, so that there is something to go by.
                assert!(2 * prefix.split(' ').count() >= prompt.split(' ').count(), "{prefix}");
            }
        }
    }
    for wrong in [0, MOST_POSITIONS + 1] {
        let found = bank.challenges(&key(4), "run", 0..1, wrong);
        assert_eq!(found, Err(BankError::Positions { found: wrong, most: MOST_POSITIONS }));
    }
}

#[test]
fn every_block_asks_every_family_once_in_an_order_of_its_own() {
    let challenges = draw(5, 800);
    let mut orders = HashSet::new();
    let mut first: BTreeMap<&str, u32> = BTreeMap::new();
    for block in challenges.chunks(5) {
        let order: Vec<&str> = block.iter().map(|c| c.family.as_str()).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, FAMILIES);
        *first.entry(order[0]).or_default() += 1;
        orders.insert(order);
    }
    // 160 orders drawn from 120: about 88 different ones are expected, and each family is first in about 32.
    assert!(orders.len() > 60, "{}", orders.len());
    assert!(first.len() == 5 && first.values().all(|count| (12..=52).contains(count)), "{first:?}");
}

#[test]
fn every_template_and_entry_can_come_up() {
    let bank = Bank::standard().unwrap();
    for family in bank.contents() {
        assert!(family.arrangements() > 100_000, "{}", family.name());
        assert!(family.distinct_at_least() >= 2000, "{}", family.name());
    }
    let prompts: Vec<String> = (0..4).flat_map(|number| draw(number, 2000)).map(|c| c.prompt).collect();
    for (file, text) in Bank::standard_files() {
        let family: serde_json::Value = serde_json::from_str(text).unwrap();
        for (name, list) in family["lists"].as_object().unwrap() {
            for entry in list.as_array().unwrap() {
                let entry = entry.as_str().unwrap();
                assert!(prompts.iter().any(|prompt| prompt.contains(entry)), "{file}: {name}: {entry}");
            }
        }
    }
}

#[test]
fn a_range_is_a_part_of_the_run() {
    let bank = Bank::standard().unwrap();
    let all = draw(6, 120);
    let part = bank.challenges(&key(6), "run", 37..83, DEFAULT_POSITIONS).unwrap();
    assert_eq!(part, all[37..83]);
    assert!(bank.challenges(&key(6), "run", 9..9, DEFAULT_POSITIONS).unwrap().is_empty());
}

#[test]
fn another_key_or_run_is_another_set_of_challenges() {
    let bank = Bank::standard().unwrap();
    let ours: HashSet<String> = draw(7, 200).into_iter().map(|c| c.prompt).collect();
    let same = |challenges: Vec<Challenge>| challenges.iter().filter(|c| ours.contains(&c.prompt)).count();
    assert!(same(draw(8, 200)) <= 2);
    assert!(same(bank.challenges(&key(7), "run2", 0..200, DEFAULT_POSITIONS).unwrap()) <= 2);
    for wrong in ["", "a\nb", "\u{e9}", &"x".repeat(129)] {
        let found = bank.challenges(&key(7), wrong, 0..1, DEFAULT_POSITIONS);
        assert!(matches!(found, Err(BankError::RunName { .. })), "{wrong:?}");
    }
}

/// Evidence is checked by deriving its prompts again: if this fails, evidence from before can no longer be checked.
#[test]
fn derivation_is_frozen() {
    let bank = Bank::standard().unwrap();
    let key = ChallengeKey::new(std::array::from_fn(|i| u8::try_from(i).unwrap()));
    assert_eq!(
        hex::encode(key.commitment()),
        "ccc5fbb64851aea7cbf1684c1d5493282d4edcd7c491a7094ce89db23a26e701"
    );
    assert_eq!(
        hex::encode(bank.digest()),
        "de161316e54e35d17965d8688a2e79bd2920c6e34b2b2d2ade14b4e8ee53aee8"
    );
    let challenges = bank.challenges(&key, "frozen", 0..800, DEFAULT_POSITIONS).unwrap();
    assert_eq!(
        digest(&challenges[0].prompt),
        "1bc05641bbb283c03354775f851dc5d5702666cc5f78c9dd12697b0ca3a543f3"
    );
    assert_eq!(
        digest(&challenges[1].prompt),
        "9833d13d56af3af41ab4e7d60cba5e495d5f7d2ef8992a9aa80bd260d972676c"
    );
    assert_eq!(
        digest(&challenges[799].prompt),
        "481f02fc86358cff9a29e225e7bdc5072922da256928d14e60c8b3b88062c6c6"
    );
    let all = serde_json::to_string(&challenges).unwrap();
    assert_eq!(digest(&all), "f794a3fcf581a704d427470531ce5182b1c42d760f709dc22dff25eac141f0dd");
}

/// The derivation by itself: a bank of its own, so that better prompts do not change it.
#[test]
fn derivation_from_a_given_bank_is_frozen() {
    let bank = Bank::from_json(&[("small.json", small())]).unwrap();
    let challenges = bank.challenges(&key(1), "frozen", 0..300, 3).unwrap();
    assert_eq!(
        digest(&serde_json::to_string(&challenges).unwrap()),
        "993ddc478cbd844c88e532c0f5e576ff77c688942890c3184274619bc69f5f4d"
    );
}

#[test]
fn the_commitment_is_of_the_key_alone_and_the_key_does_not_show() {
    let key = key(9);
    assert_eq!(key.commitment(), ChallengeKey::from_hex(&key.reveal()).unwrap().commitment());
    assert_ne!(key.commitment(), self::key(10).commitment());
    assert_ne!(key.commitment().as_slice(), Sha256::digest([9; 32]).as_slice());
    assert!(!format!("{key:?}").contains("09"));
    for wrong in ["", "09", &"0".repeat(63), &"0".repeat(65), &"AB".repeat(32), &"zz".repeat(32)] {
        assert_eq!(ChallengeKey::from_hex(wrong).unwrap_err().length, wrong.len());
    }
}

#[test]
fn the_digest_is_of_the_contents_not_of_files() {
    let bank = Bank::standard().unwrap();
    assert_eq!(bank.families(), FAMILIES);
    assert_eq!(Bank::from_json(&bank.files()).unwrap(), bank);
    let mut files: Vec<(&str, String)> =
        Bank::standard_files().iter().map(|(name, text)| (*name, text.replace("  ", ""))).collect();
    files.reverse();
    assert_eq!(Bank::from_json(&files).unwrap().digest(), bank.digest());
    files[0].1 = files[0].1.replace("phishing", "fishing");
    let changed = Bank::from_json(&files).unwrap();
    assert_ne!(changed.digest(), bank.digest());
}

fn small() -> String {
    serde_json::json!({
        "format": "lorica-family-1",
        "name": "small",
        "about": "A family for tests.",
        "templates": ["one two three four five six seven eight nine ten {word} and {word.other} or {count}"],
        "lists": {"word": ["red", "blue", "green", "dark grey"]},
        "numbers": {"count": {"from": 1, "to": 400}}
    })
    .to_string()
}

/// What reading a family file says after a change to the small family.
fn refused(change: impl FnOnce(&mut serde_json::Value)) -> String {
    let mut family: serde_json::Value = serde_json::from_str(&small()).unwrap();
    change(&mut family);
    Bank::from_json(&[("small.json", family.to_string())]).unwrap_err().to_string()
}

#[test]
fn labels_choose_different_entries_and_prompts_run_out_with_an_error() {
    let bank = Bank::from_json(&[("small.json", small())]).unwrap();
    let challenges = bank.challenges(&key(1), "run", 0..2000, 1).unwrap();
    let prompts: HashSet<&str> = challenges.iter().map(|c| c.prompt.as_str()).collect();
    assert_eq!(prompts.len(), 2000);
    for prompt in prompts {
        let (_, words) = prompt.split_once("ten ").unwrap();
        let (first, rest) = words.split_once(" and ").unwrap();
        let (second, _) = rest.split_once(" or ").unwrap();
        assert_ne!(first, second);
    }
    // 4 x 3 x 400 prompts and not one more.
    assert_eq!(bank.contents()[0].arrangements(), 4800);
    let found = bank.challenges(&key(1), "run", 0..4801, 1);
    assert!(matches!(found, Err(BankError::Exhausted { .. })), "{:?}", found.map(|c| c.len()));
}

#[test]
fn a_file_that_breaks_a_rule_is_named_with_the_place() {
    use serde_json::json;
    let long = "a b c d e f g h i j k l {word} {count}";
    let cases: Vec<(String, &str, &str)> = vec![
        (refused(|f| f["templates"][0] = json!(format!("{long} {{colour}}"))), "templates[0]", "{colour}"),
        (refused(|f| f["templates"][0] = json!(format!("{long} {{word"))), "templates[0]", "every brace"),
        (refused(|f| f["templates"][0] = json!(format!("{long} word}}"))), "templates[0]", "every brace"),
        (refused(|f| f["templates"][0] = json!(format!("{long} {{{{word}}}}"))), "templates[0]", "{slot}"),
        (refused(|f| f["templates"][0] = json!(format!("{long} {{}}"))), "templates[0]", "{slot}"),
        (
            refused(|f| {
                f["templates"][0] =
                    json!(format!("{long} {{word.1}} {{word.2}} {{word.3}} {{word.4}} {{word.5}}"))
            }),
            "templates[0]",
            "at most 4",
        ),
        (
            refused(|f| f["templates"][0] = json!("too short {word} {count}")),
            "templates[0]",
            "12 to 40 words",
        ),
        (
            refused(|f| f["templates"][0] = json!(format!("{long} {}", "long ".repeat(30).trim()))),
            "templates[0]",
            "words",
        ),
        (
            refused(|f| f["templates"][0] = json!(format!("{long} {}", "x".repeat(190)))),
            "templates[0]",
            "200 bytes",
        ),
        (refused(|f| f["templates"][0] = json!(format!("{long} "))), "templates[0]", "single spaces"),
        (refused(|f| f["templates"][0] = json!(format!("{long}  x"))), "templates[0]", "single spaces"),
        (refused(|f| f["templates"][0] = json!(format!("{long} caf\u{e9}"))), "templates[0]", "ASCII"),
        (refused(|f| f["templates"] = json!([])), "templates", "at least one"),
        (refused(|f| f["templates"] = json!([long, long])), "templates[1]", "again"),
        (refused(|f| f["lists"]["word"] = json!([])), "lists.word", "empty"),
        (refused(|f| f["lists"]["word"] = json!(["a", "b", "a"])), "lists.word[2]", "again"),
        (refused(|f| f["lists"]["word"] = json!(["a", ""])), "lists.word[1]", "ASCII"),
        (refused(|f| f["lists"]["word"] = json!(["a", " b"])), "lists.word[1]", "spaces"),
        (refused(|f| f["lists"]["word"] = json!(["a", "{b}"])), "lists.word[1]", "braces"),
        (refused(|f| f["lists"]["idle"] = json!(["a"])), "lists.idle", "none names"),
        (refused(|f| f["lists"]["Word"] = json!(["a"])), "lists.Word", "lower-case"),
        (refused(|f| f["lists"]["count"] = json!(["a"])), "numbers.count", "same name"),
        (refused(|f| f["numbers"]["idle"] = json!({"from": 1, "to": 2})), "numbers.idle", "none names"),
        (refused(|f| f["numbers"]["count"] = json!({"from": 3, "to": 2})), "numbers.count", "3 to 2"),
        (refused(|f| f["numbers"]["count"]["to"] = json!(20)), "templates", "240"),
        (refused(|f| f["numbers"]["count"]["step"] = json!(2)), "not a family file", "step"),
        (refused(|f| f["name"] = json!("Small Family")), "name", "lower-case"),
        (refused(|f| f["about"] = json!(" ")), "about", "nothing"),
        (refused(|f| f["format"] = json!("lorica-family-2")), "format", "lorica-family-1"),
        (refused(|f| f["weight"] = json!(2)), "not a family file", "weight"),
        (refused(|f| f["name"] = json!(3)), "not a family file", "line 1"),
    ];
    for (message, place, detail) in cases {
        assert!(message.starts_with("small.json: ") && message.contains(place), "{place}: {message}");
        assert!(message.contains(detail), "{detail}: {message}");
    }
}

#[test]
fn a_slot_or_a_family_that_is_there_twice_is_refused() {
    let twice = small().replacen("\"word\":", "\"word\":[\"x\"],\"word\":", 1);
    let message = Bank::from_json(&[("small.json", twice)]).unwrap_err().to_string();
    assert!(message.contains("\"word\" is there twice"), "{message}");
    let found = Bank::from_json(&[("a.json", small()), ("b.json", small())]);
    assert_eq!(
        found,
        Err(BankError::FamilyTwice { file: "b.json".into(), other: "a.json".into(), family: "small".into() })
    );
    let none: [(&str, &str); 0] = [];
    assert!(matches!(Bank::from_json(&none), Err(BankError::Families { found: 0, .. })));
}

#[test]
fn a_person_adds_a_family_without_code() {
    let mut files: Vec<(String, String)> =
        Bank::standard_files().iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    files.push(("small.json".into(), small()));
    let bank = Bank::from_json(&files).unwrap();
    let challenges = bank.challenges(&key(2), "run", 0..60, 2).unwrap();
    assert!(challenges.chunks(6).all(|block| block.iter().filter(|c| c.family == "small").count() == 1));
}
