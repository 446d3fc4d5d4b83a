//! `lorica inspect`: the support matrix of an adapter.

use std::io::{self, Write};

use lorica_adapter::{Adapter, AdapterError, Inspection, ScalingRule, inspect};
use lorica_model::ModelFolder;
use serde::Serialize;

use crate::{
    args::InspectArgs,
    base,
    error::CliError,
    exit::Exit,
    report::{
        Report,
        format::{count, plural, table},
    },
};

/// What a folder holds.
#[derive(Debug, Serialize)]
pub(crate) struct InspectReport {
    adapter: String,
    #[serde(flatten)]
    pub(crate) inspection: Inspection,
    /// Only where a base model was named and the adapter is supported.
    base: Option<BaseFit>,
}

/// Whether every module has its layer in the base model.
#[derive(Debug, Serialize)]
struct BaseFit {
    path: String,
    fits: bool,
    mismatches: Vec<String>,
}

pub(crate) fn run(args: &InspectArgs) -> Result<InspectReport, CliError> {
    let inspection = inspect(&args.adapter)?;
    let base = match &args.base {
        Some(path) if inspection.supported => {
            let layers = base::modules(ModelFolder::open(path)?.modules()?);
            let mismatches = match Adapter::load(&args.adapter)?.check_against(&layers) {
                Ok(()) => Vec::new(),
                Err(AdapterError::Base { mismatches }) => {
                    mismatches.iter().map(ToString::to_string).collect()
                }
                Err(error) => return Err(error.into()),
            };
            let path = path.display().to_string();
            Some(BaseFit { path, fits: mismatches.is_empty(), mismatches })
        }
        _ => None,
    };
    Ok(InspectReport { adapter: args.adapter.display().to_string(), inspection, base })
}

impl Report for InspectReport {
    const SCHEMA: &'static str = "lorica-inspect/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Inspection { config, modules, tensors, .. } = &self.inspection;
        writeln!(
            out,
            "{}: {} adapter, written by PEFT {}",
            self.adapter,
            config.peft_type,
            known(&config.peft_version)
        )?;
        writeln!(out, "trained for {} (a label, checked only by `commit`)\n", known(&config.base_model))?;
        let header = ["module", "shape", "rank", "alpha", "scaling", "dtype", "|A|", "|B|", "|update|"];
        let rows = modules.iter().map(|module| {
            let dtype = if module.a_dtype == module.b_dtype {
                module.a_dtype.clone()
            } else {
                format!("{}/{}", module.a_dtype, module.b_dtype)
            };
            let rule = match module.rule {
                ScalingRule::Rank => "",
                ScalingRule::SqrtRank => " rs",
            };
            vec![
                module.name.to_string(),
                format!("{} -> {}", module.inputs, module.outputs),
                module.rank.to_string(),
                module.alpha.to_string(),
                format!("{:.4}{rule}", module.scaling),
                dtype,
                format!("{:.3}", module.norms.a),
                format!("{:.3}", module.norms.b),
                format!("{:.3}", module.norms.update),
            ]
        });
        writeln!(out, "{}\n", table(&header, rows))?;
        writeln!(
            out,
            "{}, {} weights; tensors: {} applied, {} unused",
            plural(modules.len() as u64, "module"),
            count(self.inspection.weights),
            tensors.applied,
            tensors.unused.len()
        )?;
        for name in &tensors.unused {
            writeln!(out, "  unused: {name}")?;
        }
        for note in &self.inspection.notes {
            writeln!(out, "note: {note}")?;
        }
        match &self.base {
            Some(base) if base.fits => {
                writeln!(out, "fits the base model in {}: every module has its layer", base.path)?
            }
            Some(base) => {
                writeln!(out, "does not fit the base model in {}:", base.path)?;
                base.mismatches.iter().try_for_each(|mismatch| writeln!(out, "  - {mismatch}"))?;
            }
            None => {}
        }
        if self.inspection.supported {
            return writeln!(out, "SUPPORTED");
        }
        writeln!(out, "NOT SUPPORTED:")?;
        self.inspection.refusals.iter().try_for_each(|refusal| writeln!(out, "  - {}", refusal.message))
    }

    fn exit(&self) -> Exit {
        let fits = self.base.as_ref().is_none_or(|base| base.fits);
        if self.inspection.supported && fits { Exit::Yes } else { Exit::No }
    }
}

fn known(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("(not said)")
}
