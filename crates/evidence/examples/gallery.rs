//! Writes one bundle for each outcome, with invented answers, to look at the reports:
//! `cargo run --release -p lorica-evidence --example gallery -- FOLDER`.
//!
//! Nothing in it is a measurement: the "models" are formulas.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example stops at the first error")]

use std::{collections::BTreeMap, num::NonZeroU32, path::Path};

use lorica_evidence::{
    BundleSigner, CODE_VERSION, Calibration, CalibrationCondition, Digest, Ending, Entry, Fault, FaultKind,
    Header, NewBundle, Relation, StructureCheck, VerifyOptions, Writer, record, verify_bundle,
};
use lorica_identity::{
    Answer, Bank, Challenge, ChallengeKey, Description, Distribution, Mode, Plan, PlanParts, Question,
    RespondentFault, ScoreScale, SequentialTest, Tier, Token, score_challenge,
};

fn main() {
    let folder = std::env::args().nth(1).expect("a folder to write to");
    let folder = Path::new(&folder);
    let distances: [(&str, Question, Distance); 6] = [
        ("same", Question::Distributions, |index| Some(0.004 * noise(index))),
        ("different", Question::Distributions, |index| Some(0.22 + 0.35 * noise(index))),
        ("rare", Question::Distributions, |index| Some(if index % 23 == 7 { 0.85 } else { 0.002 })),
        ("undecided", Question::Distributions, |index| (index % 37 != 4).then(|| 0.05 + 0.12 * noise(index))),
        ("error", Question::Distributions, |index| Some(0.004 * noise(index))),
        ("texts", texts(), |index| Some(0.3 + 0.5 * noise(index))),
    ];
    for (name, question, distance) in distances {
        let run = Run { question, distance, most: if name == "error" { 17 } else { usize::MAX } };
        let path = folder.join(name);
        run.write(&path);
        print!("{name}: {}", verify_bundle(&path, VerifyOptions::default()).unwrap());
    }
}

fn texts() -> Question {
    let (samples, tokens) = (NonZeroU32::new(8).unwrap(), NonZeroU32::new(24).unwrap());
    Question::Texts { samples, tokens, temperature: 1.0 }
}

/// A number in `[0, 1)` that looks random.
fn noise(index: u32) -> f64 {
    f64::from(index.wrapping_mul(2_654_435_761) >> 16) / 65_536.0
}

/// How far apart two answers to the challenge with this index are; none is a refusal.
type Distance = fn(u32) -> Option<f64>;

struct Run {
    question: Question,
    /// The distance at a challenge; none is a refusal.
    distance: Distance,
    most: usize,
}

impl Run {
    fn write(&self, folder: &Path) {
        let bank = Bank::standard().unwrap();
        let key = ChallengeKey::new([42; 32]);
        let header = self.header(&bank, &key);
        let mut test = SequentialTest::new(header.plan.clone());
        let challenges = bank.challenges(&key, &header.run_id, 0..header.plan.maximum(), 4).unwrap();
        let signer = BundleSigner::from_seed(&[1; 32]);
        let new = NewBundle { folder, header: header.clone(), bank: &bank, key: &key, signer };
        let mut writer = Writer::create(new).unwrap();
        let mut different = false;
        for challenge in challenges.into_iter().take(self.most) {
            let (ours, theirs) = self.answers(&challenge);
            let score = score_challenge(&header.question, &challenge, &ours, &theirs).unwrap();
            let state = test.observe(&challenge.family, score).unwrap().clone();
            let decision = state.decision;
            different = matches!(decision, Some(lorica_identity::Decision::Different { .. }));
            let entry = Entry {
                candidate: 0,
                challenge,
                reference_answer: ours,
                candidate_answer: theirs,
                score,
                state,
            };
            writer.entry(entry).unwrap();
            if decision.is_some() {
                break;
            }
        }
        let mut ending =
            Ending { seconds: 412.0, peak_memory: Some(1_384_120_320), retries: 3, ..Ending::default() };
        if test.state().decision.is_none() {
            ending.faults.insert(0, fault());
        }
        if different {
            ending.relations.insert(0, relation());
        }
        writer.finish(ending).unwrap();
    }

    fn header(&self, bank: &Bank, key: &ChallengeKey) -> Header {
        let scale = match self.question {
            Question::Distributions => ScoreScale::Distance,
            Question::Texts { .. } => ScoreScale::TwoSample,
        };
        let parts = PlanParts {
            mode: Mode::audit(),
            scale,
            candidates: NonZeroU32::MIN,
            families: bank.families(),
            budget: None,
            rare_rate: None,
        };
        let digest = |byte: u8| Digest::of(&[&[byte]]).to_string();
        let reference = Description {
            name: "Example-7B-Instruct (as licensed)".to_owned(),
            tier: Tier::LocalWeights,
            details: pairs(&[
                ("weights (SHA-256)", &digest(1)),
                ("configuration (SHA-256)", &digest(2)),
                ("tokenizer (SHA-256)", &digest(3)),
                ("number type", "bf16"),
            ]),
        };
        let candidate = Description {
            name: "example-7b at api.example.com".to_owned(),
            tier: if scale == ScoreScale::Distance { Tier::TopLogProbabilities } else { Tier::TextOnly },
            details: pairs(&[
                ("address", "https://api.example.com/v1/completions"),
                ("model asked for", "example-7b"),
                ("log-probabilities told", "20 for each position"),
            ]),
        };
        Header {
            format: record::FORMAT.to_owned(),
            run_id: "2026-03-02 audit of the contract".to_owned(),
            created: "2026-03-02T09:30:00Z".to_owned(),
            code_version: CODE_VERSION.to_owned(),
            question: self.question,
            positions: 4,
            plan: Plan::new(parts).unwrap(),
            key_commitment: Digest::new(key.commitment()),
            bank_digest: Digest::new(bank.digest()),
            reference,
            candidates: vec![candidate],
            environment: pairs(&[("operating system", "linux"), ("processor", "x86_64, 8 threads")]),
            structure: structure(),
            calibration: Some(Calibration {
                conditions: vec![
                    CalibrationCondition {
                        name: "batch of 16 against batch of 1".to_owned(),
                        queries: 40,
                        mean: 0.000_003,
                        largest: 0.000_041,
                    },
                    CalibrationCondition {
                        name: "bf16 against f32".to_owned(),
                        queries: 40,
                        mean: 0.0061,
                        largest: 0.019,
                    },
                ],
            }),
        }
    }

    /// Two answers as far apart as this challenge says.
    fn answers(&self, challenge: &Challenge) -> (Answer, Answer) {
        let distance = (self.distance)(challenge.index);
        if let Question::Texts { samples, .. } = self.question {
            let say = |mood: &str, shift: f64| {
                let one = |sample: u32| {
                    let word =
                        ["yes", "no", "perhaps", "later"][(noise(sample * 7 + 1) * 4.0 * shift) as usize % 4];
                    format!(" {word}, {mood} they went on to the {sample} next")
                };
                Answer::Texts((0..samples.get()).map(one).collect())
            };
            return (say("because", 1.0), say("although slowly", distance.unwrap_or(0.0)));
        }
        let tell = |shift: f64| {
            let rest = 0.7 - 0.6 * shift;
            let told = [
                (" the", 0.3 * (1.0 - shift)),
                (" a", rest * 0.5),
                (" its", rest * 0.3),
                ("<br>", shift * 0.9),
            ];
            let told = told.iter().filter(|(_, p)| *p > 0.0).map(|(t, p)| (Token::from(*t), p.ln()));
            Distribution::new(told.collect()).unwrap()
        };
        let all = |shift| Answer::Distributions(challenge.positions.iter().map(|_| tell(shift)).collect());
        match distance {
            Some(distance) => (all(0.0), all(distance)),
            None => (all(0.0), Answer::Refused("I cannot help with that.".to_owned())),
        }
    }
}

fn pairs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn structure() -> Vec<StructureCheck> {
    let check = |name: &str, finding: &str, can: &str, cannot: &str| StructureCheck {
        candidate: 0,
        name: name.to_owned(),
        finding: finding.to_owned(),
        can_tell: can.to_owned(),
        cannot_tell: cannot.to_owned(),
        details: BTreeMap::new(),
    };
    vec![
        check(
            "Vocabulary overlap",
            "50,257 of 50,257 tokens are the same",
            "Another tokenizer means another model, or a changed one.",
            "The same tokenizer does not mean the same model: most models of a family share one.",
        ),
        check(
            "Encodings of a fixed text",
            "all 200 sentences are cut the same way",
            "A difference shows another tokenizer.",
            "Equality says nothing about the weights.",
        ),
    ]
}

fn fault() -> Fault {
    Fault {
        side: "example-7b at api.example.com".to_owned(),
        kind: FaultKind::Respondent(RespondentFault::ModelChanged),
        detail: "asked for example-7b, answered as example-7b-turbo at question 18: start a new run"
            .to_owned(),
    }
}

fn relation() -> Relation {
    Relation {
        class: "fine-tuned".to_owned(),
        probabilities: [("fine-tuned", 0.71), ("LoRA merged", 0.22), ("quantized", 0.05), ("other", 0.02)]
            .map(|(class, probability)| (class.to_owned(), probability))
            .into(),
        features: [("bits per byte, difference", 0.13), ("agreement of the most probable token", 0.62)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        classifier:
            "On held-out pairs of the project's own small models it names the right class in 81 of 100."
                .to_owned(),
    }
}
