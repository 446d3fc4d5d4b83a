//! Pages of stored results: of sessions, or of training proofs.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use lorica_bench::{
    summary::{self, StoredRun},
    training::page::{self, PagePlot, Stored},
};
use lorica_tensor::files::{FileMode, read_at_most, write_atomically};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    SessionReport,
    training::{LookupReport, TrainingReport},
};
use crate::{args::BenchSummaryArgs, error::CliError, report::Report};

/// A stored result is a page of figures; anything larger is something else.
const MAX_RESULT_BYTES: u64 = 1 << 20;
/// Runs of sessions with this prefix differ in their tokens alone, and make the plot.
const GROWTH_PREFIX: &str = "growth-";
const PLOT_FILE: &str = "session-growth.svg";

/// The pages made from stored runs.
#[derive(Debug, Serialize)]
pub(crate) struct SummaryReport {
    runs: usize,
    written: Vec<PathBuf>,
}

/// Stored results by what they are of.
#[derive(Default)]
struct Results {
    sessions: Vec<StoredRun>,
    training: Vec<Stored<lorica_bench::training::TrainingTimes>>,
    lookups: Vec<Stored<lorica_bench::lookup::LookupTimes>>,
}

/// A folder that gets pages.
struct Pages<'a> {
    folder: &'a Path,
    written: Vec<PathBuf>,
}

impl Pages<'_> {
    fn write(&mut self, name: &str, text: &str) -> Result<(), CliError> {
        let path = self.folder.join(name);
        write_atomically(&path, FileMode::Shared, |out| out.write_all(text.as_bytes()))?;
        self.written.push(path);
        Ok(())
    }

    fn drawn(&self, name: &str, reason: String) -> CliError {
        CliError::Content { path: self.folder.join(name), reason }
    }

    fn of_sessions(&mut self, runs: &[StoredRun]) -> Result<(), CliError> {
        let growth: Vec<StoredRun> = runs
            .iter()
            .filter(|run| run.name.starts_with(GROWTH_PREFIX))
            .map(|run| StoredRun { name: run.name.clone(), times: run.times.clone() })
            .collect();
        let plot = match summary::growth_plot(&growth) {
            Some(svg) => {
                let svg = svg.map_err(|reason| self.drawn(PLOT_FILE, reason))?;
                self.write(PLOT_FILE, &svg)?;
                Some(PLOT_FILE)
            }
            None => None,
        };
        self.write("README.md", &summary::page(runs, plot))
    }

    fn of_training(&mut self, results: &Results) -> Result<(), CliError> {
        let plots = page::plots(&results.training).map_err(|reason| self.drawn("README.md", reason))?;
        for PagePlot { file, svg, .. } in &plots {
            self.write(file, svg)?;
        }
        self.write("README.md", &page::page(&results.training, &results.lookups, &plots))
    }
}

pub(super) fn summary(args: &BenchSummaryArgs) -> Result<SummaryReport, CliError> {
    let results = Results::read(&args.folder)?;
    let (sessions, training) = (results.sessions.len(), results.training.len() + results.lookups.len());
    let mut pages = Pages { folder: &args.folder, written: Vec::new() };
    let content = |reason: &str| CliError::Content { path: args.folder.clone(), reason: reason.to_owned() };
    match (sessions, training) {
        (0, 0) => {
            return Err(content(
                "no stored results: expected files made by `lorica bench session --json`, or by `training` and `lookup`",
            ));
        }
        (_, 0) => pages.of_sessions(&results.sessions)?,
        (0, _) => pages.of_training(&results)?,
        (_, _) => return Err(content("results of sessions and of training: keep them in two folders")),
    }
    Ok(SummaryReport { runs: sessions + training, written: pages.written })
}

impl Results {
    fn read(folder: &Path) -> Result<Self, CliError> {
        let unreadable = |source| CliError::Io { action: "read", path: folder.to_owned(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut results = Self::default();
        for path in paths {
            results.add(&path)?;
        }
        Ok(results)
    }

    fn add(&mut self, path: &Path) -> Result<(), CliError> {
        let content = |reason: String| CliError::Content { path: path.to_owned(), reason };
        let bytes = read_at_most(path, MAX_RESULT_BYTES)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| content(error.to_string()))?;
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let schema = document.get("schema").and_then(Value::as_str).unwrap_or_default();
        match schema {
            SessionReport::SCHEMA => {
                self.sessions.push(StoredRun { name, times: parsed(document).map_err(content)? });
            }
            TrainingReport::SCHEMA => {
                self.training.push(Stored { name, times: parsed(document).map_err(content)? });
            }
            LookupReport::SCHEMA => {
                self.lookups.push(Stored { name, times: parsed(document).map_err(content)? });
            }
            other => {
                return Err(content(format!(
                    "schema {other:?}: expected a result of `lorica bench session`, `training` or `lookup`"
                )));
            }
        }
        Ok(())
    }
}

fn parsed<T: DeserializeOwned>(document: Value) -> Result<T, String> {
    serde_json::from_value(document).map_err(|error| error.to_string())
}

impl Report for SummaryReport {
    const SCHEMA: &'static str = "lorica-bench-summary/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        for path in &self.written {
            writeln!(out, "{}", path.display())?;
        }
        Ok(())
    }
}
