//! Reports: one JSON document, or text for people.

pub(crate) mod format;

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    args::GlobalArgs,
    error::CliError,
    exit::Exit,
    progress::{Progress, Unit},
};

/// What a command found out.
pub(crate) trait Report: Serialize {
    /// Identifier of the JSON form, `lorica-<command>/<version>`.
    const SCHEMA: &'static str;

    /// Writes the report for people.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// How the command ends.
    fn exit(&self) -> Exit {
        Exit::Yes
    }
}

/// The JSON form of a report.
#[derive(Serialize)]
pub(crate) struct Document<'a, T> {
    schema: &'static str,
    #[serde(flatten)]
    report: &'a T,
}

impl<'a, T: Report> Document<'a, T> {
    pub(crate) fn new(report: &'a T) -> Self {
        Self { schema: T::SCHEMA, report }
    }

    /// The document with a newline at its end.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, CliError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| CliError::Report(error.into()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Where a command's words go: reports to stdout, everything else to stderr.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    json: bool,
    /// Lines for people on stderr.
    notes: bool,
    /// Bars on stderr.
    bars: bool,
}

impl Console {
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        Self { json: global.json, notes: !global.quiet, bars: !global.quiet }
    }

    /// The same with bars alone: for a step of something larger.
    pub(crate) fn without_notes(self) -> Self {
        Self { notes: false, ..self }
    }

    /// Whether reports are JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// A bar for work that may take long.
    pub(crate) fn progress(&self, label: &'static str, unit: Unit) -> Progress {
        Progress::new(self.bars, label, unit)
    }

    /// A line for people.
    pub(crate) fn note(&self, text: &str) {
        if self.notes {
            // Nobody reads a closed stderr.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Writes a report to stdout.
    pub(crate) fn emit<T: Report>(&self, report: &T) -> Result<Exit, CliError> {
        if self.json {
            self.stdout(&Document::new(report).to_json()?)?;
        } else {
            let mut text = Vec::new();
            report.text(&mut text).map_err(CliError::Report)?;
            self.stdout(&text)?;
        }
        Ok(report.exit())
    }

    /// Writes bytes to stdout at once.
    pub(crate) fn stdout(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // A reader that has seen enough, such as `head`, is no failure of the command.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(CliError::Report),
        }
    }

    /// Says why a command failed.
    pub(crate) fn error(&self, error: &CliError) {
        let _ = writeln!(io::stderr(), "error: {error}");
        if self.json {
            let report = ErrorReport { error: error.to_string(), exit_code: error.exit().code() };
            if let Ok(document) = Document::new(&report).to_json() {
                let _ = self.stdout(&document);
            }
        }
    }
}

/// An error as JSON.
#[derive(Serialize)]
struct ErrorReport {
    error: String,
    exit_code: u8,
}

impl Report for ErrorReport {
    const SCHEMA: &'static str = "lorica-error/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "error: {}", self.error)
    }
}
