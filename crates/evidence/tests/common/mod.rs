//! Small bundles of known models, and an attacker who holds the signing key.

#![allow(unreachable_pub, reason = "shared by test files")]
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use lorica_evidence::{
    BundleInvalid, BundleSigner, CODE_VERSION, Digest, Ending, Entry, Header, NewBundle, Reason, VerifyError,
    VerifyOptions, Writer, canonical, record,
    signature::{SignedFile, SignedList},
    verify_bundle,
};
use lorica_identity::{
    Answer, Bank, Challenge, ChallengeKey, Description, Distribution, Mode, Plan, PlanParts, Question,
    ScoreScale, SequentialTest, Tier, Token, score_challenge,
};
use sha2::{Digest as _, Sha256};

/// A family with few bytes and many prompts.
const FAMILY: &str = r#"{"format":"lorica-family-1","name":"counting","about":"Sums for tests.","templates":["In the first row there are {first} small stones and in the second there are {second} more of them"],"numbers":{"first":{"from":1,"to":60},"second":{"from":61,"to":120}}}"#;

/// A bank of one small family.
pub fn bank() -> Bank {
    Bank::from_json(&[("counting.json", FAMILY)]).unwrap()
}

pub fn key() -> ChallengeKey {
    ChallengeKey::new([7; 32])
}

pub fn signer() -> BundleSigner {
    BundleSigner::from_seed(&[9; 32])
}

/// How a candidate answers challenge `index`.
pub type Answers = fn(&Challenge) -> Answer;

/// Probability `p` of one token and the rest of another, at each position.
pub fn telling(challenge: &Challenge, p: f64) -> Answer {
    let one = || {
        let told = vec![(Token::from(" yes"), p.ln()), (Token::from(" no"), (1.0 - p).ln())];
        Distribution::new(told).unwrap()
    };
    Answer::Distributions(challenge.positions.iter().map(|_| one()).collect())
}

pub fn reference(challenge: &Challenge) -> Answer {
    telling(challenge, 0.5)
}

/// A little noise around the reference.
pub fn same(challenge: &Challenge) -> Answer {
    telling(challenge, 0.5 + 0.001 * f64::from(challenge.index % 3))
}

pub fn different(challenge: &Challenge) -> Answer {
    telling(challenge, 0.9999)
}

pub fn description(name: &str) -> Description {
    Description { name: name.to_owned(), tier: Tier::LocalWeights, details: BTreeMap::new() }
}

pub fn plan(mode: Mode, bank: &Bank, candidates: u32) -> Plan {
    Plan::new(PlanParts {
        mode,
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::new(candidates).unwrap(),
        families: bank.families(),
        budget: None,
        rare_rate: None,
    })
    .unwrap()
}

pub fn header(bank: &Bank, candidates: &[&str]) -> Header {
    Header {
        format: record::FORMAT.to_owned(),
        run_id: "test run".to_owned(),
        created: "2026-01-02T03:04:05Z".to_owned(),
        code_version: CODE_VERSION.to_owned(),
        question: Question::Distributions,
        positions: 2,
        plan: plan(Mode::quick(), bank, u32::try_from(candidates.len()).unwrap()),
        key_commitment: Digest::new(key().commitment()),
        bank_digest: Digest::new(bank.digest()),
        reference: description("promised"),
        candidates: candidates.iter().map(|name| description(name)).collect(),
        environment: BTreeMap::new(),
        structure: Vec::new(),
        calibration: None,
    }
}

/// The entries of one candidate until a decision, or `most`.
pub fn entries(header: &Header, bank: &Bank, candidate: u32, answers: Answers, most: usize) -> Vec<Entry> {
    let mut test = SequentialTest::new(header.plan.clone());
    let end = header.plan.maximum();
    let challenges = bank.challenges(&key(), &header.run_id, 0..end, 2).unwrap();
    let mut entries = Vec::new();
    for challenge in challenges.into_iter().take(most) {
        let (ours, theirs) = (reference(&challenge), answers(&challenge));
        let score = score_challenge(&header.question, &challenge, &ours, &theirs).unwrap();
        let state = test.observe(&challenge.family, score).unwrap().clone();
        let ended = state.decision.is_some();
        entries.push(Entry {
            candidate,
            challenge,
            reference_answer: ours,
            candidate_answer: theirs,
            score,
            state,
        });
        if ended {
            break;
        }
    }
    entries
}

pub fn create(folder: &Path, header: Header, bank: &Bank) -> Writer {
    Writer::create(NewBundle { folder, header, bank, key: &key(), signer: signer() }).unwrap()
}

pub fn fault() -> record::Fault {
    record::Fault {
        side: "served".to_owned(),
        kind: record::FaultKind::Respondent(lorica_identity::RespondentFault::Timeout),
        detail: "no answer within 60 s, after 5 attempts".to_owned(),
    }
}

pub fn ending() -> Ending {
    Ending { seconds: 12.5, peak_memory: Some(1 << 30), retries: 2, ..Ending::default() }
}

/// A finished bundle of one candidate. With fewer than all answers it is an ERROR.
pub fn bundle(folder: &Path, answers: Answers, most: usize) {
    let bank = bank();
    let header = header(&bank, &["served"]);
    let mut writer = create(folder, header.clone(), &bank);
    let entries = entries(&header, &bank, 0, answers, most);
    let decided = entries.last().is_some_and(|entry| entry.state.decision.is_some());
    for entry in entries {
        writer.entry(entry).unwrap();
    }
    let mut ending = ending();
    if !decided {
        ending.faults.insert(0, fault());
    }
    writer.finish(ending).unwrap();
}

/// What is wrong with a bundle.
pub fn invalid(folder: &Path) -> BundleInvalid {
    match verify_bundle(folder, VerifyOptions::default()) {
        Err(VerifyError::Invalid(invalid)) => invalid,
        Err(error) => panic!("unreadable: {error}"),
        Ok(_) => panic!("the bundle is accepted"),
    }
}

/// The place and the reason, as a person reads them.
pub fn message(folder: &Path) -> String {
    invalid(folder).to_string()
}

pub fn files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for (prefix, folder) in [("", folder.to_owned()), ("families/", folder.join("families"))] {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                names.push(format!("{prefix}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    names.sort();
    names
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("families")).unwrap();
    for name in files(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// The records of a transcript as texts, by the format's specification and not by the crate's code.
pub fn records(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("evidence.ndjson")).unwrap();
    let digits = 64;
    let before = r#"{"previous":"","record":"#.len() + digits;
    let after = r#","hash":""}"#.len() + digits;
    text.lines().map(|line| line[before..line.len() - after].to_owned()).collect()
}

/// Writes records with a chain that holds.
pub fn write_records(folder: &Path, records: &[String]) {
    let tag = b"lorica/evidence/line/1\0";
    let mut previous: [u8; 32] = Sha256::digest(tag).into();
    let mut text = String::new();
    for record in records {
        let hash: [u8; 32] =
            Sha256::new().chain_update(tag).chain_update(previous).chain_update(record).finalize().into();
        let (from, to) = (hex::encode(previous), hex::encode(hash));
        text += &format!("{{\"previous\":\"{from}\",\"record\":{record},\"hash\":\"{to}\"}}\n");
        previous = hash;
    }
    fs::write(folder.join("evidence.ndjson"), text).unwrap();
}

/// Signs whatever lies in the folder.
pub fn sign_again(folder: &Path, signer: &BundleSigner) {
    let listed = files(folder).into_iter().filter(|name| name != "bundle.json").map(|path| {
        let content = fs::read(folder.join(&path)).unwrap();
        SignedFile { path, bytes: content.len() as u64, sha256: Digest::of(&[&content]) }
    });
    let bundle = fs::read(folder.join("bundle.json")).unwrap();
    let old: SignedList = canonical::decode(&bundle[..bundle.len() - 1]).unwrap();
    let mut bytes = canonical::encode(&signer.sign(listed.collect(), &old.list.report).unwrap()).unwrap();
    bytes.push(b'\n');
    fs::write(folder.join("bundle.json"), bytes).unwrap();
}

/// A scratch folder, gone when dropped.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Whether the reason is one of a value that was computed again.
pub fn recomputed(reason: &Reason) -> bool {
    matches!(reason, Reason::Mismatch { .. })
}

/// A small deterministic source of numbers.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, from SplitMix64.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
