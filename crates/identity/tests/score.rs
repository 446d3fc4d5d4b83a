//! Scores by hand, what is refused, and the text kernel's behaviour under equal and different distributions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use lorica_identity::{
    Answer, Challenge, Distribution, Question, ScoreError, Scored, Token, score,
    score::Side,
    score_challenge,
    text::{HammingKernel, to_score},
};
use rand::RngExt;
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

fn distribution(entries: &[(&str, f64)]) -> Distribution {
    Distribution::new(entries.iter().map(|(t, p)| (Token::from(*t), p.ln())).collect()).unwrap()
}

fn count(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

fn texts(samples: u32, tokens: u32) -> Question {
    Question::Texts { samples: count(samples), tokens: count(tokens), temperature: 1.0 }
}

fn strings(list: &[&str]) -> Answer {
    Answer::Texts(list.iter().map(|text| (*text).to_owned()).collect())
}

fn value(scored: Result<Scored, ScoreError>) -> f64 {
    match scored.unwrap() {
        Scored::Value(value) => value,
        Scored::Withheld => panic!("a score was expected"),
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}

#[test]
fn the_score_of_distributions_is_the_mean_of_total_variations() {
    let ours = Answer::Distributions(vec![
        distribution(&[("a", 0.5), ("b", 0.3)]),
        distribution(&[("a", 1.0)]),
        distribution(&[("a", 0.6), ("b", 0.4)]),
    ]);
    let theirs = Answer::Distributions(vec![
        distribution(&[("a", 0.2), ("c", 0.7)]), // 0.7
        distribution(&[("b", 1.0)]),             // 1
        distribution(&[("a", 0.5), ("b", 0.5)]), // 0.1
    ]);
    assert!(close(value(score(&Question::Distributions, &ours, &theirs)), 0.6));
    assert!(close(value(score(&Question::Distributions, &theirs, &ours)), 0.6));
    assert_eq!(value(score(&Question::Distributions, &ours, &ours)), 0.0);
}

#[test]
fn the_score_of_texts_by_hand() {
    // Two tokens are four characters. k(abcd, abzz) = 1/2; k(ab, abcd) = 1/2, k(ab, abzz) = 1/2, k(ab, ab) = 1.
    let ours = strings(&["abcdXX", "abzz"]);
    let theirs = strings(&["ab", "ab"]);
    let h = 0.5 + 1.0 - 2.0 * 0.5;
    assert!(close(value(score(&texts(2, 2), &ours, &theirs)), (h + 2.0) / 4.0));
    // Greedy sampling: each side always says the same; the end of a text matches an end, not a character.
    let h = 1.0 + 1.0 - 2.0 * 0.5;
    assert!(close(value(score(&texts(2, 2), &strings(&["abcd", "abcd"]), &theirs)), (h + 2.0) / 4.0));
    assert!(close(value(score(&texts(2, 2), &theirs, &theirs)), 0.5));
    assert!(close(value(score(&texts(2, 2), &strings(&["", ""]), &strings(&["", ""]))), 0.5));
}

#[test]
fn a_refusal_withholds_the_score_and_excuses_nothing() {
    let told = Answer::Distributions(vec![distribution(&[("a", 1.0)])]);
    let refused = Answer::Refused("I cannot help with that".into());
    for (ours, theirs) in [(&told, &refused), (&refused, &told), (&refused, &refused)] {
        assert_eq!(score(&Question::Distributions, ours, theirs), Ok(Scored::Withheld));
    }
    let found = score(&Question::Distributions, &refused, &strings(&["a", "b"]));
    assert!(matches!(found, Err(ScoreError::OtherKind { side: Side::Candidate, .. })));
    let found = score(&texts(3, 4), &strings(&["a", "b"]), &refused);
    assert_eq!(found, Err(ScoreError::Samples { side: Side::Reference, expected: 3, found: 2 }));
}

#[test]
fn an_answer_that_was_not_asked_for_is_an_error() {
    let one = Answer::Distributions(vec![distribution(&[("a", 1.0)])]);
    let two = Answer::Distributions(vec![distribution(&[("a", 1.0)]); 2]);
    let none = Answer::Distributions(vec![]);
    let said = strings(&["a", "b"]);
    let distributions = Question::Distributions;
    assert!(matches!(score(&distributions, &one, &said), Err(ScoreError::OtherKind { .. })));
    assert!(matches!(score(&texts(2, 4), &said, &one), Err(ScoreError::OtherKind { .. })));
    let wrong = ScoreError::Positions { side: Side::Candidate, expected: 1, found: 2 };
    assert_eq!(score(&distributions, &one, &two), Err(wrong));
    assert!(matches!(score(&distributions, &none, &none), Err(ScoreError::Positions { .. })));
    assert_eq!(score(&texts(1, 4), &said, &said), Err(ScoreError::TooFewSamples { found: 1 }));
    let wrong = ScoreError::Samples { side: Side::Reference, expected: 5, found: 2 };
    assert_eq!(score(&texts(5, 4), &said, &said), Err(wrong));
}

#[test]
fn each_position_of_the_challenge_needs_a_distribution() {
    let challenge =
        Challenge { index: 0, family: "general".into(), prompt: "one two".into(), positions: vec![3, 7] };
    let one = Answer::Distributions(vec![distribution(&[("a", 1.0)])]);
    let two = Answer::Distributions(vec![distribution(&[("a", 1.0)]); 2]);
    let question = Question::Distributions;
    assert_eq!(score_challenge(&question, &challenge, &two, &two), Ok(Scored::Value(0.0)));
    // Both sides left out the same position: alike, and still no score.
    let wrong = ScoreError::Positions { side: Side::Reference, expected: 2, found: 1 };
    assert_eq!(score_challenge(&question, &challenge, &one, &one), Err(wrong));
}

/// Texts of independent letters, the first of which have the given probability of `a` instead of another letter.
fn sample(rng: &mut ChaCha12Rng, probability: f64, samples: usize) -> Vec<String> {
    (0..samples)
        .map(|_| {
            let length = rng.random_range(4..12);
            (0..length)
                .map(|_| {
                    if rng.random_bool(probability) { 'a' } else { char::from(rng.random_range(b'b'..=b'f')) }
                })
                .collect()
        })
        .collect()
}

/// Mean and standard error of `h` over 4,000 pairs of samples.
fn mean(seed: u64, ours: f64, theirs: f64, sizes: (usize, usize)) -> (f64, f64) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let kernel = HammingKernel::new(count(8));
    let values: Vec<f64> = (0..4000)
        .map(|_| {
            let x = sample(&mut rng, ours, sizes.0);
            let y = sample(&mut rng, theirs, sizes.1);
            kernel.two_sample(&x, &y).unwrap()
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, (variance / values.len() as f64).sqrt())
}

#[test]
fn the_kernel_is_unbiased_under_equal_distributions() {
    for (seed, sizes) in [(1, (2, 2)), (2, (5, 5)), (3, (2, 7))] {
        let (mean, error) = mean(seed, 0.3, 0.3, sizes);
        assert!(mean.abs() < 4.0 * error, "{sizes:?}: {mean} +- {error}");
        assert!(error < 0.01);
    }
}

#[test]
fn the_kernel_is_positive_for_different_distributions() {
    let (found, error) = mean(4, 0.3, 0.7, (4, 4));
    assert!(found > 10.0 * error, "{found} +- {error}");
    // By hand, at one place: (0.3-0.7)^2 + 5 (0.14-0.06)^2 = 0.192 where both texts go on. A place l (from 0) is in a
    // text with probability 1 for l < 4 and (11-l)/8 from there on: the squares add up over 8 places to this mean.
    let present = [1.0, 1.0, 1.0, 1.0, 7.0 / 8.0, 6.0 / 8.0, 5.0 / 8.0, 4.0 / 8.0];
    let expected = present.iter().map(|share: &f64| share.powi(2) * 0.192).sum::<f64>() / 8.0;
    assert!((found - expected).abs() < 5.0 * error, "{found} +- {error}, by hand {expected}");
}

#[test]
fn scores_of_texts_stay_in_the_range() {
    let kernel = HammingKernel::for_tokens(count(3));
    assert_eq!(kernel.length().get(), 6);
    let far = kernel.two_sample(&["aaaaaa", "aaaaaa"], &["bbbbbb", "bbbbbb"]).unwrap();
    assert_eq!((far, to_score(far)), (2.0, 1.0));
    // Samples that agree across the sides and not within them.
    let odd = kernel.two_sample(&["aaaaaa", "bbbbbb"], &["aaaaaa", "bbbbbb"]).unwrap();
    assert_eq!((odd, to_score(odd)), (-1.0, 0.25));
    assert_eq!(kernel.two_sample(&["a"], &["a", "b"]), None);
}
