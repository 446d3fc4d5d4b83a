//! The report: one HTML file that needs nothing else, for a reader who knows law and not statistics.
//!
//! It is made from the transcript alone, so that a verifier renders it again and compares the bytes.

mod view;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, syntax::SyntaxConfig, value::Serde};

use crate::{
    plot,
    record::{Closing, Header},
    signature::Fingerprint,
    summary::Summary,
};

/// The version of the report. It MUST change whenever the same transcript would give other bytes.
pub const REPORT_FORMAT: &str = "lorica-report/2";

const TEMPLATE: &str = include_str!("report.html");

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// What was fixed before the first question.
    pub header: &'a Header,
    /// How the run ended.
    pub closing: &'a Closing,
    /// One for each candidate.
    pub summaries: &'a [Summary],
    /// Who signs.
    pub signer: &'a Fingerprint,
}

/// A report with its plots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `report.html`, in which the plots stand as well.
    pub html: String,
    /// One SVG picture for each candidate.
    pub plots: Vec<String>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A picture.
    #[error("{0}")]
    Plot(String),
    /// The template.
    #[error("the report's template: {0}")]
    Template(#[from] minijinja::Error),
}

/// Renders the report.
///
/// # Errors
/// None that a transcript can cause; a fault of this program is an error and not a panic.
pub fn render(contents: &Contents<'_>) -> Result<Rendered, ReportError> {
    let plan = &contents.header.plan;
    let plots = contents
        .summaries
        .iter()
        .map(|summary| plot::draw(plan, &summary.trace))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| ReportError::Plot(error.to_string()))?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("report.html", TEMPLATE)?;
    let mut html = environment.get_template("report.html")?.render(Serde(view::view(contents, &plots)))?;
    html.push('\n');
    Ok(Rendered { html, plots })
}
