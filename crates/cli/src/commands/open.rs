//! `lorica open`: do these weights and this secret open a pinned commitment?

use std::{
    io::{self, Write},
    time::Instant,
};

use lorica_model::ModelFolder;
use lorica_tensor::Digest;
use serde::Serialize;

use crate::{
    args::OpenArgs,
    artefacts::{ArtefactPaths, PublicArtefacts},
    base,
    error::CliError,
    exit::Exit,
    own::{self, Difference, OwnAdapter},
    report::{
        Console, Report,
        format::{plural, seconds},
    },
};

/// Whether the weights are the committed ones.
#[derive(Debug, Serialize)]
pub(crate) struct OpenReport {
    opens: bool,
    pin: Digest,
    modules: usize,
    difference: Option<Difference>,
    base_checked: bool,
    seconds: f64,
}

pub(crate) fn run(args: &OpenArgs, console: &Console) -> Result<OpenReport, CliError> {
    let started = Instant::now();
    let committed = PublicArtefacts::read(&ArtefactPaths::of_args(&args.manifest))?.check(None)?;
    let secret = own::read_secret(&args.secret)?;
    let own = OwnAdapter::load(&args.adapter)?;
    if let Some(path) = &args.base {
        let found = base::identity(&ModelFolder::open(path)?, console)?;
        base::require(&committed.manifest().base, &found, path)?;
    }
    let difference = own.difference(&committed.registered, &secret, &committed.generators, console)?;
    Ok(OpenReport {
        opens: difference.is_none(),
        pin: committed.registered.digest(),
        modules: committed.manifest().modules.len(),
        difference,
        base_checked: args.base.is_some(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

impl Report for OpenReport {
    const SCHEMA: &'static str = "lorica-open/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.difference {
            None => {
                writeln!(
                    out,
                    "OPENS: the weights of all {} are the committed ones",
                    plural(self.modules as u64, "module")
                )?;
            }
            Some(difference) => {
                writeln!(out, "DOES NOT OPEN: {}", difference.message)?;
            }
        }
        if self.base_checked {
            writeln!(out, "base  the one the manifest names")?;
        }
        writeln!(out, "pin   {}", self.pin)?;
        writeln!(out, "time  {}", seconds(self.seconds))
    }

    fn exit(&self) -> Exit {
        if self.opens { Exit::Yes } else { Exit::No }
    }
}
