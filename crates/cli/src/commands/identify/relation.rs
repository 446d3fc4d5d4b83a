//! How two local models are related.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use lorica_examine::{
    local::{LocalModel, LocalOptions},
    relation,
};
use lorica_identity::{
    Bank,
    relation::{Feature, Relation},
};
use serde::Serialize;

use super::{
    compare::POSITIONS,
    resolve, structure,
    verdict::{number, percent},
};
use crate::{
    args::identify::RelationArgs,
    error::CliError,
    progress::Unit,
    report::{Console, Report, format::table},
};

/// What two models have in common.
#[derive(Debug, Serialize)]
pub(crate) struct RelationReport {
    reference: String,
    candidate: String,
    /// The most probable relation.
    relation: Relation,
    probabilities: BTreeMap<Relation, f64>,
    features: BTreeMap<Feature, f64>,
}

pub(super) fn run(args: &RelationArgs, console: &Console) -> Result<RelationReport, CliError> {
    let bank = Bank::standard()?;
    let (a, b) = (&args.pair.a, &args.pair.b);
    let files = structure::read(a, &bank, console)?.compare(&structure::read(b, &bank, console)?);
    let options = LocalOptions { max_memory: args.max_memory, ..LocalOptions::default() };
    let mut reference = LocalModel::open(a, options.clone())?;
    let mut candidate = LocalModel::open(b, options)?;
    let challenges =
        bank.challenges(&resolve::challenge_key()?, "relation", 0..args.challenges.get(), POSITIONS)?;
    let progress = console.progress("asking both models", Unit::Items);
    let total = 2 * u64::from(args.challenges.get());
    let related = relation::relate(&mut reference, &mut candidate, &challenges, Some(&files), &mut |done| {
        progress.set(done as u64, total);
    })?;
    Ok(RelationReport {
        reference: a.display().to_string(),
        candidate: b.display().to_string(),
        relation: related.classification.likeliest,
        probabilities: related.classification.probabilities,
        features: related.features.iter().collect(),
    })
}

impl Report for RelationReport {
    const SCHEMA: &'static str = "lorica-identify-relation/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "probably {}", name(self.relation))?;
        writeln!(out, "reference  {}\ncandidate  {}\n", self.reference, self.candidate)?;
        let mut sorted: Vec<(Relation, f64)> =
            self.probabilities.iter().map(|(relation, share)| (*relation, *share)).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let rows = sorted.iter().map(|(relation, share)| vec![name(*relation), percent(*share)]);
        writeln!(out, "{}\n", table(&["relation", "estimate"], rows))?;
        let rows = self.features.iter().map(|(feature, value)| vec![name(*feature), number(*value)]);
        writeln!(out, "{}\n", table(&["feature", "value"], rows))?;
        writeln!(out, "An estimate, without the guarantee of a decision: `lorica identify` decides.")
    }
}

/// A name as its JSON form has it.
fn name<T: Serialize + std::fmt::Debug>(value: T) -> String {
    match serde_json::to_value(&value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{value:?}"),
    }
}
