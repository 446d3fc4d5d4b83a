//! The zoo, surveyed: what `identify` says about pairs whose relation is known.

use std::io::{self, Write};

use lorica_examine::survey::{self, Relations, Stage, Survey, SurveyOptions};
use lorica_identity::Mode;
use lorica_tensor::files::{FileMode, write_atomically};
use lorica_zoo::Zoo;
use serde::{Deserialize, Serialize};

use crate::{
    args::{BenchRelationsArgs, BenchSurveyArgs},
    error::CliError,
    exit::Exit,
    progress::Unit,
    report::{Console, Report},
};

/// A survey.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SurveyReport(Survey);

/// A fit of relations.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RelationsReport(Relations);

pub(super) fn survey(args: &BenchSurveyArgs, console: &Console) -> Result<SurveyReport, CliError> {
    let zoo = opened(&args.zoo)?;
    let options = SurveyOptions {
        mode: Mode::named(args.mode.name()).map_err(|error| CliError::Usage(error.to_string()))?,
        pairs: args.pairs,
        measured_on: args.measured_on,
        seed: args.seed,
    };
    let measuring = console.progress("measuring the pairs", Unit::Items);
    let running = console.progress("running the pairs", Unit::Items);
    let survey = survey::survey(&zoo, &options, &|stage| match stage {
        Stage::Measuring(done, all) => measuring.set(done as u64, all as u64),
        Stage::Running(done, all) => running.set(done as u64, all as u64),
    });
    Ok(SurveyReport(survey.map_err(Box::new)?))
}

pub(super) fn relations(args: &BenchRelationsArgs, console: &Console) -> Result<RelationsReport, CliError> {
    let zoo = opened(&args.zoo)?;
    let progress = console.progress("measuring the pairs", Unit::Items);
    let (classifier, relations) =
        survey::relations(&zoo, args.pairs, args.challenges, args.seed, &|stage| match stage {
            Stage::Measuring(done, all) | Stage::Running(done, all) => progress.set(done as u64, all as u64),
        })
        .map_err(Box::new)?;
    drop(progress);
    let text = classifier.to_json().map_err(lorica_examine::relation::RelationError::from)?;
    write_atomically(&args.out, FileMode::Shared, |out| out.write_all(text.as_bytes()))?;
    Ok(RelationsReport(relations))
}

fn opened(folder: &std::path::Path) -> Result<Zoo, CliError> {
    let zoo = Zoo::open(folder)?;
    zoo.verify()?;
    Ok(zoo)
}

impl Report for SurveyReport {
    const SCHEMA: &'static str = "lorica-bench-survey/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", self.0.to_markdown())
    }

    /// A wrong decision beyond the error rate is a no.
    fn exit(&self) -> Exit {
        let confusion = &self.0.confusion;
        let beyond = |rate: &lorica_identity::Rate| rate.lower > self.0.alpha;
        if beyond(&confusion.false_same) || beyond(&confusion.false_different) { Exit::No } else { Exit::Yes }
    }
}

impl Report for RelationsReport {
    const SCHEMA: &'static str = "lorica-bench-relations/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", self.0.to_markdown())
    }
}
