//! `lorica zoo`: small models with known relations, trained and derived by one recipe.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_zoo::{Event, Recipe, Sources};
use serde::Serialize;

use crate::{
    args::ZooArgs,
    error::CliError,
    report::{
        Console, Report,
        format::{plural, seconds},
    },
};

/// A zoo that was made.
#[derive(Debug, Serialize)]
pub(crate) struct ZooReport {
    folder: String,
    members: usize,
    pairs: usize,
    seconds: f64,
}

pub(crate) fn run(args: &ZooArgs, console: &Console) -> Result<ZooReport, CliError> {
    let started = Instant::now();
    let sources = Sources { models: sources(&args.sources, "models"), texts: sources(&args.sources, "text") };
    let recipe = if args.tiny { Recipe::tiny(sources)? } else { Recipe::standard(sources)? };
    let zoo = recipe.build(&args.out, &mut |event| note(&event, console))?;
    let manifest = zoo.manifest();
    Ok(ZooReport {
        folder: args.out.display().to_string(),
        members: manifest.members.len(),
        pairs: manifest.pairs.len(),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn sources(folder: &Path, part: &str) -> PathBuf {
    folder.join(part)
}

fn note(event: &Event<'_>, console: &Console) {
    console.note(&format!("{event:?}"));
}

impl Report for ZooReport {
    const SCHEMA: &'static str = "lorica-zoo/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} and {} with known relations in {}, in {}; zoo.json says what each is",
            plural(self.members as u64, "model"),
            plural(self.pairs as u64, "pair"),
            self.folder,
            seconds(self.seconds)
        )
    }
}
