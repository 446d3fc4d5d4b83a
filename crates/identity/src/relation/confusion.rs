//! How often the classifier is right on pairs that it was not fitted to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Classifier, FitError, Labelled, Relation};

/// For each true relation, how often each relation was the likeliest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// `counts[truth][answer]`; what did not occur is not there.
    pub counts: BTreeMap<Relation, BTreeMap<Relation, u32>>,
    /// Pairs whose relation had no other group to learn it from: wrong of necessity, and counted as such.
    pub never_learned: u32,
}

impl Confusion {
    /// Classifies each pair by a classifier that was fitted to all pairs of other groups.
    ///
    /// # Errors
    /// Fewer than two groups; a fit that fails, for example because the others have only one relation.
    pub fn leave_one_group_out(pairs: &[Labelled]) -> Result<Self, FitError> {
        let groups: BTreeSet<&str> = pairs.iter().map(|pair| pair.group.as_str()).collect();
        if groups.len() < 2 {
            return Err(FitError::TooFewGroups { found: groups.len() });
        }
        let mut confusion = Self::default();
        for group in groups {
            let others: Vec<Labelled> = pairs.iter().filter(|pair| pair.group != group).cloned().collect();
            let classifier = Classifier::fit(&others)?;
            let known = classifier.relations();
            for pair in pairs.iter().filter(|pair| pair.group == group) {
                if !known.contains(&pair.relation) {
                    confusion.never_learned += 1;
                }
                let answer = classifier.classify(&pair.features).likeliest;
                *confusion.counts.entry(pair.relation).or_default().entry(answer).or_default() += 1;
            }
        }
        Ok(confusion)
    }

    /// How many pairs were classified.
    pub fn total(&self) -> u32 {
        self.counts.values().flat_map(BTreeMap::values).sum()
    }

    /// How many of them rightly.
    pub fn right(&self) -> u32 {
        self.counts.iter().filter_map(|(truth, answers)| answers.get(truth)).sum()
    }
}
