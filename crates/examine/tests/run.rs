//! Who is asked what in which order, when a run stops, and what becomes of a side that fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, num::NonZeroU32};

use lorica_examine::{
    recording::{Recording, RecordingHeader, Use, record},
    run::{Contender, Examination, Fault, Remembered, Rounds, Unwritten},
};
use lorica_identity::{
    Answer, Bank, Challenge, ChallengeKey, Decision, Description, Distribution, Mode, Plan, PlanParts,
    Question, Respondent, RespondentError, RespondentFault, ScoreScale, SequentialTest, Tier, Token,
};

/// Says "a" with this probability and "b" otherwise, and counts what it was asked.
struct Coin {
    description: Description,
    share: f64,
    /// Fails at this challenge.
    fails_at: Option<u32>,
    asked: Vec<u32>,
}

impl Coin {
    fn new(share: f64) -> Self {
        let description =
            Description { name: "coin".into(), tier: Tier::LocalWeights, details: BTreeMap::new() };
        Self { description, share, fails_at: None, asked: Vec::new() }
    }
}

impl Respondent for Coin {
    fn description(&self) -> &Description {
        &self.description
    }

    fn answer(
        &mut self,
        _question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        let mut answers = Vec::new();
        for challenge in challenges {
            if self.fails_at == Some(challenge.index) {
                return Err(RespondentError {
                    side: "coin".into(),
                    fault: RespondentFault::Timeout,
                    detail: "late".into(),
                });
            }
            self.asked.push(challenge.index);
            let token = |text: &str, share: f64| (Token::from(text), share.ln());
            let told = Distribution::new(vec![token("a", self.share), token("b", 1.0 - self.share)]).unwrap();
            answers.push(Answer::Distributions(vec![told; challenge.positions.len()]));
            done(answers.len());
        }
        Ok(answers)
    }
}

fn plan(candidates: u32) -> Plan {
    Plan::new(PlanParts {
        mode: Mode::audit(),
        scale: ScoreScale::Distance,
        candidates: NonZeroU32::new(candidates).unwrap(),
        families: Bank::standard().unwrap().families(),
        budget: None,
        rare_rate: None,
    })
    .unwrap()
}

fn challenges(plan: &Plan) -> Vec<Challenge> {
    let key = ChallengeKey::new([7; 32]);
    Bank::standard().unwrap().challenges(&key, "test", 0..plan.maximum(), 2).unwrap()
}

#[test]
fn each_candidate_stops_for_itself_and_a_failing_one_stops_nobody_else() {
    let plan = plan(3);
    let challenges = challenges(&plan);
    let examination = Examination {
        question: Question::Distributions,
        plan: &plan,
        challenges: &challenges,
        rounds: Rounds::Even,
        top: None,
    };
    let mut reference = Coin::new(0.5);
    let (mut same, mut other, mut broken) = (Coin::new(0.5), Coin::new(0.95), Coin::new(0.5));
    broken.fails_at = Some(22);
    let mut contenders = [
        Contender { respondent: &mut same, batch: 5, test: SequentialTest::new(plan.clone()) },
        Contender { respondent: &mut other, batch: usize::MAX, test: SequentialTest::new(plan.clone()) },
        Contender { respondent: &mut broken, batch: 5, test: SequentialTest::new(plan.clone()) },
    ];
    let outcomes = examination.run(&mut reference, &mut contenders, &mut Unwritten, &mut |_| ()).unwrap();
    assert_eq!(*outcomes[0].ending.as_ref().unwrap(), Decision::Same);
    assert_eq!((outcomes[0].state.n, outcomes[0].in_vain), (plan.needed(), 0));
    assert!(matches!(outcomes[1].ending, Ok(Decision::Different { .. })));
    // What came behind its stop within the round was asked in vain, and is counted.
    assert_eq!(outcomes[1].asked, outcomes[1].state.n as usize + outcomes[1].in_vain);
    assert_eq!(outcomes[1].asked, 15);
    assert!(matches!(
        outcomes[2].ending.as_ref().unwrap_err().as_ref(),
        Fault::Respondent(error) if error.fault == RespondentFault::Timeout
    ));
    assert_eq!(outcomes[2].state.n, 20);
    // Nobody is asked anything twice, nor anything behind the last round.
    let order: Vec<u32> = (0..reference.asked.len() as u32).collect();
    assert_eq!(reference.asked, order);
    assert!(reference.asked.len() < plan.needed() as usize + 15);
}

#[test]
fn a_failing_reference_is_an_error_for_all_that_are_not_decided() {
    let plan = plan(2);
    let challenges = challenges(&plan);
    let examination = Examination {
        question: Question::Distributions,
        plan: &plan,
        challenges: &challenges,
        rounds: Rounds::Growing,
        top: None,
    };
    let mut reference = Coin::new(0.5);
    reference.fails_at = Some(30);
    let (mut same, mut other) = (Coin::new(0.5), Coin::new(0.99));
    let mut contenders = [&mut same, &mut other].map(|respondent| Contender {
        respondent,
        batch: 100,
        test: SequentialTest::new(plan.clone()),
    });
    let outcomes = examination.run(&mut reference, &mut contenders, &mut Unwritten, &mut |_| ()).unwrap();
    assert!(outcomes[0].ending.is_err());
    assert_eq!(outcomes[0].state.n, 15);
    assert!(matches!(outcomes[1].ending, Ok(Decision::Different { .. })));
}

#[test]
fn answers_that_are_known_are_not_asked_for_again() {
    let plan = plan(1);
    let challenges = challenges(&plan);
    let mut coin = Coin::new(0.5);
    let mut known = BTreeMap::new();
    let marker = |text: &str| Answer::Refused(text.to_owned());
    known.insert(1, marker("one"));
    known.insert(3, marker("three"));
    let answers = Remembered::new(&mut coin, known)
        .answer(Question::Distributions, &challenges[..5], &mut |_| ())
        .unwrap();
    assert_eq!((&answers[1], &answers[3]), (&marker("one"), &marker("three")));
    assert_eq!(answers.len(), 5);
    assert_eq!(coin.asked, [0, 2, 4]);
}

#[test]
fn a_recording_gives_what_was_recorded_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording");
    let plan = plan(1);
    let challenges = challenges(&plan);
    let asked = &challenges[..20];
    let mut coin = Coin::new(0.25);
    let header = RecordingHeader {
        format: RecordingHeader::format(),
        run_id: "test".into(),
        key: "07".repeat(32),
        bank_digest: String::new(),
        question: Question::Distributions,
        positions: 2,
        description: coin.description.clone(),
        top: None,
        chat: false,
        challenges: 20,
        created: "2026-01-01T00:00:00Z".into(),
        code_version: "test".into(),
    };
    record(&path, &header, asked, 7, &mut coin, &mut |_| ()).unwrap();
    assert!(record(&path, &header, asked, 7, &mut coin, &mut |_| ()).is_err(), "it must not be replaced");
    let mut recording = Recording::open(&path).unwrap();
    let again = recording.answer(Question::Distributions, &asked[5..9], &mut |_| ()).unwrap();
    let live = Coin::new(0.25).answer(Question::Distributions, &asked[5..9], &mut |_| ()).unwrap();
    assert_eq!(again, live);
    // Beyond the end, another question, another prompt.
    let mut refused = |challenges: &[Challenge], question| {
        recording.answer(question, challenges, &mut |_| ()).unwrap_err().fault
    };
    assert_eq!(refused(&challenges[20..21], Question::Distributions), RespondentFault::Unusable);
    let texts = lorica_examine::agreement::texts();
    assert_eq!(refused(&asked[..1], texts), RespondentFault::Unsupported);
    let other = Challenge { prompt: "Another prompt.".into(), ..asked[0].clone() };
    assert_eq!(refused(&[other], Question::Distributions), RespondentFault::Unsupported);
    // Its uses are part of the file.
    let used = Use { when: "2026-01-02T00:00:00Z".into(), candidate: "x".into(), seen_by_others: true };
    recording.note_use(used.clone()).unwrap();
    assert_eq!(Recording::open(&path).unwrap().uses, [used]);
    // A side that fails leaves no recording.
    let mut failing = Coin::new(0.25);
    failing.fails_at = Some(12);
    let other = folder.path().join("failed");
    assert!(record(&other, &header, asked, 7, &mut failing, &mut |_| ()).is_err());
    assert!(!other.exists());
    // Cut short at any line, it is none.
    let text = std::fs::read_to_string(&path).unwrap();
    for lines in [0, 1, 10, 20, 21] {
        let cut: String = text.split_inclusive('\n').take(lines).collect();
        std::fs::write(&other, cut).unwrap();
        assert!(Recording::open(&other).is_err(), "{lines} lines");
    }
}
