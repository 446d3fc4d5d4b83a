//! Doing the run again from its answers: every prompt from the key, every score, every state, every decision.

use std::collections::BTreeMap;

use lorica_identity::{Bank, Challenge, ChallengeKey, SequentialTest, score_challenge};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    canonical,
    digest::Digest,
    error::Reason,
    record::{CandidateResult, Closing, Entry, Header, Outcome},
    summary::Summary,
    writer::reference_digest,
};

use super::{folder::shorten, header_rules};

/// The field of a line that does not hold, and why.
pub(super) type Fault = (Option<String>, Reason);

/// A run that is done again.
#[derive(Debug)]
pub(super) struct Replay {
    header: Header,
    /// None where no key was found: then only the chain is followed, to find the line that is broken.
    key: Option<ChallengeKey>,
    challenges: Vec<Challenge>,
    tests: Vec<SequentialTest>,
    summaries: Vec<Summary>,
    reference_answers: BTreeMap<u32, Digest>,
}

fn fault(field: &str, reason: Reason) -> Fault {
    (Some(format!("record.{field}")), reason)
}

impl Replay {
    /// Begins with a header and the key that the closing reveals.
    pub(super) fn new(header: Header, key: ChallengeKey, bank: &Bank) -> Result<Self, Fault> {
        header_rules(&header, bank, &key).map_err(|(field, expected, found)| {
            let reason =
                Reason::Mismatch { expected: shorten(&expected), found: shorten(&found), code_version: None };
            fault(&format!("header.{field}"), reason)
        })?;
        let tests = header.candidates.iter().map(|_| SequentialTest::new(header.plan.clone())).collect();
        Ok(Self { tests, key: Some(key), ..Self::chain_only(header)? })
    }

    /// Begins without a key: nothing but the chain is followed.
    pub(super) fn chain_only(header: Header) -> Result<Self, Fault> {
        Ok(Self {
            summaries: vec![Summary::default(); header.candidates.len()],
            header,
            key: None,
            challenges: Vec::new(),
            tests: Vec::new(),
            reference_answers: BTreeMap::new(),
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn into_summaries(self) -> Vec<Summary> {
        self.summaries
    }

    /// Does one question again.
    pub(super) fn entry(&mut self, entry: &Entry, bank: &Bank) -> Result<(), Fault> {
        let Some(key) = self.key.clone() else { return Ok(()) };
        let index = usize::try_from(entry.candidate).unwrap_or(usize::MAX);
        let next = self.summaries.get(index).map(|summary| summary.trace.len());
        let Some(next) = next else {
            let expected = format!("below {}", self.summaries.len());
            return Err(fault("entry.candidate", self.mismatch(&expected, &entry.candidate.to_string())));
        };
        let challenge = self.challenge(next, &key, bank)?;
        self.same("entry.challenge", &challenge, &entry.challenge)?;

        let digest =
            reference_digest(entry).map_err(|error| fault("entry.reference_answer", error.into()))?;
        let earlier = self.reference_answers.entry(challenge.index).or_insert(digest);
        if *earlier != digest {
            let reason = "another candidate was compared with another answer of the reference".to_owned();
            return Err(fault("entry.reference_answer", Reason::Unusable(reason)));
        }

        let score = score_challenge(
            &self.header.question,
            &challenge,
            &entry.reference_answer,
            &entry.candidate_answer,
        )
        .map_err(|error| fault("entry", Reason::Unusable(error.to_string())))?;
        self.same("entry.score", &score, &entry.score)?;

        let Some(test) = self.tests.get_mut(index) else { return Ok(()) };
        let state = test
            .observe(&challenge.family, score)
            .map_err(|error| fault("entry", Reason::Unusable(error.to_string())))?
            .clone();
        self.same("entry.state", &state, &entry.state)?;
        if let Some(summary) = self.summaries.get_mut(index) {
            summary.add(entry);
        }
        Ok(())
    }

    /// Compares the end of the run with what its entries give.
    pub(super) fn closing(&self, closing: &Closing) -> Result<(), Fault> {
        if self.key.is_none() {
            let reason = "it does not open the commitment of the header".to_owned();
            return Err(fault("closing.key", Reason::Unusable(reason)));
        }
        let (expected, found) = (self.summaries.len().to_string(), closing.results.len().to_string());
        if expected != found {
            return Err(fault("closing.results", self.mismatch(&expected, &found)));
        }
        if closing.seconds < 0.0 {
            return Err(fault("closing.seconds", self.mismatch("at least 0", &closing.seconds.to_string())));
        }
        for (index, (summary, result)) in self.summaries.iter().zip(&closing.results).enumerate() {
            let CandidateResult { outcome, queries, withheld, state, relation } = result;
            let field = |name: &str| format!("closing.results[{index}].{name}");
            self.same(
                &field("queries"),
                &summary.trace.len(),
                &usize::try_from(*queries).unwrap_or(usize::MAX),
            )?;
            self.same(&field("withheld"), &summary.withheld, withheld)?;
            self.same(&field("state"), &summary.state, state)?;
            let decision = summary.state.as_ref().and_then(|state| state.decision);
            match (decision, outcome) {
                (Some(decision), outcome) => {
                    self.same(&field("outcome"), &Outcome::Decided(decision), outcome)?;
                }
                (None, Outcome::Error(_)) => {}
                (None, Outcome::Decided(_)) => {
                    let reason = self.mismatch("ERROR, for the test has no decision", outcome.word());
                    return Err(fault(&field("outcome"), reason));
                }
            }
            let probabilities = relation.iter().flat_map(|relation| &relation.probabilities);
            for (class, probability) in probabilities {
                if !(0.0..=1.0).contains(probability) {
                    let name = field(&format!("relation.probabilities.{class}"));
                    return Err(fault(
                        &name,
                        self.mismatch("a number from 0 to 1", &probability.to_string()),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The challenge with this index. More are derived as the transcript goes on, never more than twice its length:
    /// a plan may name a number of queries that nobody could derive.
    fn challenge(&mut self, index: usize, key: &ChallengeKey, bank: &Bank) -> Result<Challenge, Fault> {
        if index >= self.challenges.len() {
            let end = index.saturating_add(1).max(32).saturating_mul(2);
            let end = u32::try_from(end).unwrap_or(u32::MAX);
            let positions = usize::try_from(self.header.positions).unwrap_or(usize::MAX);
            self.challenges = self
                .derive(key, bank, end, positions)
                // The families may end between here and there.
                .or_else(|_| {
                    self.derive(
                        key,
                        bank,
                        u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1),
                        positions,
                    )
                })
                .map_err(|error| fault("entry.challenge", Reason::Unusable(error.to_string())))?;
        }
        self.challenges.get(index).cloned().ok_or_else(|| {
            fault("entry.challenge", Reason::Unusable("the families give no such challenge".to_owned()))
        })
    }

    fn derive(
        &self,
        key: &ChallengeKey,
        bank: &Bank,
        end: u32,
        positions: usize,
    ) -> Result<Vec<Challenge>, lorica_identity::BankError> {
        bank.challenges(key, &self.header.run_id, 0..end, positions)
    }

    /// Compares canonical forms, and names the first field that differs.
    fn same<T: Serialize + DeserializeOwned>(
        &self,
        field: &str,
        expected: &T,
        found: &T,
    ) -> Result<(), Fault> {
        let bad = |error: canonical::CanonicalError| fault(field, error.into());
        if canonical::form(expected).map_err(bad)? == canonical::form(found).map_err(bad)? {
            return Ok(());
        }
        let value = |of: &T| serde_json::to_value(of).unwrap_or_default();
        let (expected, found) = (value(expected), value(found));
        if let (Some(expected), Some(found)) = (expected.as_object(), found.as_object()) {
            for (name, expected) in expected {
                let found = found.get(name).unwrap_or(&serde_json::Value::Null);
                if expected != found {
                    let reason = self.mismatch(&expected.to_string(), &found.to_string());
                    return Err(fault(&format!("{field}.{name}"), reason));
                }
            }
        }
        Err(fault(field, self.mismatch(&expected.to_string(), &found.to_string())))
    }

    fn mismatch(&self, expected: &str, found: &str) -> Reason {
        let version = &self.header.code_version;
        Reason::Mismatch {
            expected: shorten(expected),
            found: shorten(found),
            code_version: (version != crate::CODE_VERSION).then(|| shorten(version)),
        }
    }
}
