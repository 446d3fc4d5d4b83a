//! The mean distance of each pair, on many challenges that no run asks.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use lorica_identity::{
    Answer, Bank, Challenge, ChallengeKey, Question, Respondent as _, Scored, score_challenge,
};
use lorica_zoo::{MemberName, Pair, Zoo};
use rayon::prelude::*;

use super::{POSITIONS, Stage, SurveyError, open, threads::concurrently};
use crate::{local::LocalModel, measured::Measured};

/// Challenges that all members answer before their answers are compared and forgotten: with a whole vocabulary told at
/// each position, answers of a hundred members take some memory.
const BATCH: usize = 5;

/// The measured mean of each pair, in their order.
pub(super) fn means(
    zoo: &Zoo,
    bank: &Bank,
    key: &ChallengeKey,
    pairs: &[&Pair],
    challenges: u32,
    progress: &(dyn Fn(Stage) + Sync),
) -> Result<Vec<Measured>, SurveyError> {
    let challenges = bank.challenges(key, "survey-means", 0..challenges, POSITIONS)?;
    let mut members: BTreeMap<&MemberName, Mutex<LocalModel>> = BTreeMap::new();
    for name in pairs.iter().flat_map(|pair| [&pair.reference, &pair.candidate]) {
        if !members.contains_key(name) {
            members.insert(name, Mutex::new(open(zoo, name)?));
        }
    }
    let members: Vec<(&MemberName, Mutex<LocalModel>)> = members.into_iter().collect();
    let mut scores = vec![Vec::with_capacity(challenges.len()); pairs.len()];
    for (index, batch) in challenges.chunks(BATCH).enumerate() {
        let answers = concurrently(&members, |_, (name, member)| -> Result<_, SurveyError> {
            let mut member = member.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((*name, member.answer(Question::Distributions, batch, &mut |_| ())?))
        })?;
        let answers: BTreeMap<&MemberName, Vec<Answer>> = answers.into_iter().collect();
        scores
            .par_iter_mut()
            .zip(pairs)
            .try_for_each(|(scores, pair)| score_batch(scores, pair, batch, &answers))?;
        progress(Stage::Measuring((index * BATCH + batch.len()).min(challenges.len()), challenges.len()));
    }
    Ok(scores.iter().map(|scores| Measured::of(scores)).collect())
}

fn score_batch(
    scores: &mut Vec<f64>,
    pair: &Pair,
    batch: &[Challenge],
    answers: &BTreeMap<&MemberName, Vec<Answer>>,
) -> Result<(), SurveyError> {
    let of = |name: &MemberName| answers.get(name).map(Vec::as_slice).unwrap_or_default();
    for (challenge, (ours, theirs)) in batch.iter().zip(of(&pair.reference).iter().zip(of(&pair.candidate))) {
        let scored =
            score_challenge(&Question::Distributions, challenge, ours, theirs).map_err(|source| {
                SurveyError::Score {
                    reference: pair.reference.to_string(),
                    candidate: pair.candidate.to_string(),
                    source,
                }
            })?;
        // Local weights refuse nothing.
        if let Scored::Value(score) = scored {
            scores.push(score);
        }
    }
    Ok(())
}
