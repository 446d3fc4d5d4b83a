//! A stored result of a bench, for people: what the command itself would have printed without `--json`.

use std::{
    io::{self, Write},
    path::Path,
};

use lorica_tensor::files::read_at_most;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    IdentityReport, SessionReport,
    survey::{RelationsReport, SurveyReport},
    training::{LookupReport, TrainingReport},
};
use crate::{
    args::BenchShowArgs,
    error::CliError,
    exit::Exit,
    report::{Console, Report},
};

/// A survey with all its runs, or the features of all pairs, is larger than a page.
const MAX_RESULT_BYTES: u64 = 64 << 20;

pub(super) fn show(args: &BenchShowArgs, console: &Console) -> Result<Exit, CliError> {
    let content = |reason: String| CliError::Content { path: args.file.clone(), reason };
    let bytes = read_at_most(&args.file, MAX_RESULT_BYTES)?;
    let mut document: Value = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
    let schema = document.as_object_mut().and_then(|fields| fields.remove("schema"));
    let schema = schema.as_ref().and_then(Value::as_str);
    if args.plots.is_some() && schema != Some(IdentityReport::SCHEMA) {
        return Err(CliError::Usage(
            "--plots: only a result of `lorica bench identity` has plots".to_owned(),
        ));
    }
    match schema {
        Some(SessionReport::SCHEMA) => shown::<SessionReport>(document, &args.file, console),
        Some(TrainingReport::SCHEMA) => shown::<TrainingReport>(document, &args.file, console),
        Some(LookupReport::SCHEMA) => shown::<LookupReport>(document, &args.file, console),
        Some(IdentityReport::SCHEMA) => {
            let report: IdentityReport = read(document, &args.file)?;
            if let Some(folder) = &args.plots {
                report.plot(folder)?;
            }
            emit(report, console)
        }
        Some(SurveyReport::SCHEMA) => shown::<SurveyReport>(document, &args.file, console),
        Some(RelationsReport::SCHEMA) => shown::<RelationsReport>(document, &args.file, console),
        Some(other) => Err(content(format!("schema {other}: expected a result of `lorica bench --json`"))),
        None => Err(content("no schema: expected a result of `lorica bench --json`".to_owned())),
    }
}

fn shown<T: Report + DeserializeOwned>(
    document: Value,
    path: &Path,
    console: &Console,
) -> Result<Exit, CliError> {
    emit(read::<T>(document, path)?, console)
}

fn read<T: DeserializeOwned>(document: Value, path: &Path) -> Result<T, CliError> {
    serde_json::from_value(document)
        .map_err(|error| CliError::Content { path: path.to_owned(), reason: error.to_string() })
}

fn emit<T: Report>(report: T, console: &Console) -> Result<Exit, CliError> {
    console.emit(&Stored(report))?;
    Ok(Exit::Yes)
}

/// A result that was stored: what it says is no answer of this command.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Stored<T>(T);

impl<T: Report> Report for Stored<T> {
    const SCHEMA: &'static str = T::SCHEMA;

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.text(out)
    }
}
