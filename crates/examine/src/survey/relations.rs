//! The relation of pairs whose relation is known: a classifier fitted to them, and how often it is right about pairs of
//! models that it has not seen.

use std::collections::BTreeMap;

use lorica_identity::{
    Bank, ChallengeKey,
    relation::{Classifier, Confusion, FitError, Labelled, Relation},
};
use lorica_zoo::{MemberName, Pair, Relation as Known, Zoo};
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};

use super::{POSITIONS, Stage, SurveyError, chosen, key, open, threads::concurrently};
use crate::{
    relation::{RelationError, relate},
    structure::{FolderSummary, StructureError},
};

/// What was fitted, and how good it is on what it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relations {
    /// `lorica-relations/1`.
    pub format: String,
    /// Challenges that both models of a pair were asked.
    pub asked: u32,
    /// Pairs.
    pub pairs: usize,
    /// Groups: pairs that were made from the same roots. Each is left out of the fit that is tested on it.
    pub groups: usize,
    /// Right answers on pairs left out.
    pub right: u32,
    /// All answers on pairs left out.
    pub tested: u32,
    /// The answers by true relation.
    pub confusion: Confusion,
    /// The pairs with what was measured of them.
    pub labelled: Vec<Labelled>,
}

/// Why nothing was fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitFailed {
    /// The zoo could not be asked.
    #[error(transparent)]
    Survey(#[from] SurveyError),
    /// A pair's relation could not be measured.
    #[error("{reference} against {candidate}: {source}")]
    Relation {
        /// The reference.
        reference: String,
        /// The candidate.
        candidate: String,
        /// Why not.
        source: RelationError,
    },
    /// A member's files.
    #[error(transparent)]
    Structure(#[from] StructureError),
    /// The pairs do not allow a fit.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// Measures pairs of a zoo, fits a classifier to all of them, and tests it on groups left out.
///
/// # Errors
/// A member that cannot be read or asked; pairs that do not allow a fit.
pub fn relations(
    zoo: &Zoo,
    pairs: usize,
    asked: u32,
    seed: u64,
    progress: &(dyn Fn(Stage) + Sync),
) -> Result<(Classifier, Relations), FitFailed> {
    let bank = Bank::standard().map_err(SurveyError::from)?;
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let pairs = chosen(zoo, pairs, &mut random);
    let keys: Vec<ChallengeKey> = pairs.iter().map(|_| key(&mut random)).collect();
    let mut files: BTreeMap<&MemberName, FolderSummary> = BTreeMap::new();
    for name in pairs.iter().flat_map(|pair| [&pair.reference, &pair.candidate]) {
        if !files.contains_key(name) {
            files.insert(name, FolderSummary::read(&zoo.path(name), &bank, &mut |_| ())?);
        }
    }
    let done = std::sync::atomic::AtomicUsize::new(0);
    let items: Vec<_> = pairs.iter().zip(&keys).collect();
    let labelled = concurrently(&items, |_, (pair, key)| {
        let labelled = measure(zoo, &bank, &files, pair, key, asked);
        let done = done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        progress(Stage::Running(done, pairs.len()));
        labelled
    })?;
    let confusion = Confusion::leave_one_group_out(&labelled)?;
    let classifier = Classifier::fit(&labelled)?;
    let groups: std::collections::BTreeSet<&str> = labelled.iter().map(|pair| pair.group.as_str()).collect();
    let relations = Relations {
        format: "lorica-relations/1".into(),
        asked,
        pairs: labelled.len(),
        groups: groups.len(),
        right: confusion.right(),
        tested: confusion.total(),
        confusion,
        labelled,
    };
    Ok((classifier, relations))
}

fn measure(
    zoo: &Zoo,
    bank: &Bank,
    files: &BTreeMap<&MemberName, FolderSummary>,
    pair: &Pair,
    key: &ChallengeKey,
    asked: u32,
) -> Result<Labelled, FitFailed> {
    let failed = |source: RelationError| FitFailed::Relation {
        reference: pair.reference.to_string(),
        candidate: pair.candidate.to_string(),
        source,
    };
    let mut reference = open(zoo, &pair.reference).map_err(SurveyError::from)?;
    let mut candidate = open(zoo, &pair.candidate).map_err(SurveyError::from)?;
    let challenges =
        bank.challenges(key, "survey-relations", 0..asked, POSITIONS).map_err(SurveyError::from)?;
    let structure = match (files.get(&pair.reference), files.get(&pair.candidate)) {
        (Some(ours), Some(theirs)) => Some(ours.compare(theirs)),
        _ => None,
    };
    let related = relate(&mut reference, &mut candidate, &challenges, structure.as_ref(), &mut |_| ())
        .map_err(failed)?;
    Ok(Labelled { features: related.features, relation: label(pair.known.relation), group: group(zoo, pair) })
}

/// The roots of both members: what was made from the same roots is never on both sides of a fit and its test.
fn group(zoo: &Zoo, pair: &Pair) -> String {
    let mut roots = [root(zoo, &pair.reference), root(zoo, &pair.candidate)];
    roots.sort();
    roots.join(" and ")
}

fn root(zoo: &Zoo, name: &MemberName) -> String {
    match zoo.entry(name.as_str()).and_then(|entry| entry.member.origin.parent()) {
        Some(parent) => root(zoo, parent),
        None => name.to_string(),
    }
}

/// The classifier's name for what the zoo knows.
fn label(known: Known) -> Relation {
    match known {
        Known::SameWeights | Known::SameWeightsRounded => Relation::Same,
        Known::ExtendedVocabulary => Relation::ExtendedVocabulary,
        Known::Quantized => Relation::Quantized,
        Known::Pruned => Relation::Pruned,
        Known::TemperatureChanged => Relation::TemperatureChanged,
        Known::LoraMerged => Relation::LoraMerged,
        Known::FineTuned => Relation::FineTuned,
        Known::Distilled | Known::Resized => Relation::DistilledOrResized,
        Known::TokensMisnumbered => Relation::Permuted,
        Known::Wrapped => Relation::Wrapped,
        Known::Backdoored => Relation::Backdoored,
        Known::OtherSeed => Relation::OtherSeed,
        Known::OtherArchitecture | Known::OtherTokenizer => Relation::OtherArchitecture,
    }
}

impl Relations {
    /// The confusion matrix as a page.
    pub fn to_markdown(&self) -> String {
        use std::fmt::Write as _;
        let name = |relation: &Relation| match serde_json::to_value(relation) {
            Ok(serde_json::Value::String(name)) => name,
            _ => format!("{relation:?}"),
        };
        let mut page = format!(
            "# Relations told, on models left out of the fit\n\nA classifier fitted to {} ordered pairs of the zoo, {} \
             challenges each. Each pair is answered by a fit that has seen no pair of the same roots ({} groups): {} of {} \
             right. Rows are what is true, columns what was answered.\n\n",
            self.pairs, self.asked, self.groups, self.right, self.tested
        );
        let mut columns: Vec<Relation> = self.confusion.counts.keys().copied().collect();
        columns.extend(self.confusion.counts.values().flat_map(|answers| answers.keys().copied()));
        columns.sort();
        columns.dedup();
        page += "| true relation |";
        for column in &columns {
            let _ = write!(page, " {} |", name(column));
        }
        page += "\n|---|";
        page += &"---|".repeat(columns.len());
        page.push('\n');
        for (truth, answers) in &self.confusion.counts {
            let _ = write!(page, "| {} |", name(truth));
            for column in &columns {
                let _ = write!(page, " {} |", answers.get(column).copied().unwrap_or(0));
            }
            page.push('\n');
        }
        page
    }
}
