//! Events into the log.

use std::{
    io::{self, BufRead, BufReader, Read as _, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use lorica_provenance::{
    Appended, Event, LogReader, LogSigner, LogWriter, What,
    event::{Label, file_digest},
    key::KeyName,
    tile::MAX_ENTRY_BYTES,
};
use lorica_tensor::{
    Digest,
    files::{FileMode, write_atomically},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Head, entries};
use crate::{
    args::train::{AppendArgs, EventCommand, FileOrDigest},
    error::CliError,
    report::Report,
};

/// What was appended.
#[derive(Debug, Serialize)]
pub(crate) struct AppendReport {
    log: String,
    /// The index of the first new entry.
    first: u64,
    appended: u64,
    head: Head,
    /// Whether the log is new.
    created: bool,
    vkey: String,
}

pub(super) fn run(args: &AppendArgs) -> Result<AppendReport, CliError> {
    // Before anything is made: what is appended must make sense.
    let events = events(&args.event)?;
    let created = !LogReader::new(&args.log).checkpoint_path().exists();
    let signer = signer(args, created)?;
    let vkey = signer.verifier().to_string();
    let mut writer = match created {
        true => LogWriter::create(&args.log, signer)?,
        false => LogWriter::open(&args.log, signer)?,
    };
    let Appended { first, checkpoint } = writer.append(&events)?;
    let head = Head::of(checkpoint.checkpoint());
    let log = args.log.display().to_string();
    Ok(AppendReport { log, first, appended: head.size - first, head, created, vkey })
}

/// The key, which is made for a new log where there is none.
fn signer(args: &AppendArgs, created: bool) -> Result<LogSigner, CliError> {
    let AppendArgs { log, key, origin, .. } = args;
    let signer = match (origin, created) {
        (None, true) => {
            let text = format!(
                "{} is no log: name a new one with --origin, such as example.org/run-7",
                log.display()
            );
            return Err(CliError::Usage(text));
        }
        (Some(origin), true) if !key.exists() => create_key(key, origin.clone())?,
        _ => LogSigner::read(key)?,
    };
    match origin {
        Some(origin) if origin != signer.verifier().name() => {
            let (path, name) = (key.display(), signer.verifier().name());
            Err(CliError::Usage(format!("--origin {origin}: the key {path} is one of {name}")))
        }
        _ => Ok(signer),
    }
}

fn create_key(path: &Path, origin: KeyName) -> Result<LogSigner, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)?;
    let signer = LogSigner::from_seed(origin, &seed);
    signer.create(path)?;
    let public = format!("{}\n", signer.verifier());
    write_atomically(&public_path(path), FileMode::Shared, |file| file.write_all(public.as_bytes()))?;
    Ok(signer)
}

/// Where the public half of a new key goes.
fn public_path(key: &Path) -> PathBuf {
    let mut path = key.to_owned();
    path.as_mut_os_string().push(".vkey");
    path
}

fn events(command: &EventCommand) -> Result<Vec<Event>, CliError> {
    let event = match command {
        EventCommand::Events { file } => return read_events(file),
        EventCommand::Data { run, name, data, rows } => {
            new(run, What::Data { name: name.clone(), digest: digest(data)?, rows: *rows })
        }
        EventCommand::Checkpoint { run, step, weights } => {
            new(run, What::Checkpoint { step: *step, digest: digest(weights)? })
        }
        EventCommand::Step { run, first, last, data, rows, config, before, after } => new(
            run,
            What::Step {
                first: *first,
                last: last.unwrap_or(*first),
                data: digest(data)?,
                rows: digest(rows)?,
                config: digest(config)?,
                before: digest(before)?,
                after: digest(after)?,
            },
        ),
        EventCommand::Metric { run, name, value, weights, data } => new(
            run,
            What::Metric {
                name: name.clone(),
                value: *value,
                checkpoint: digest(weights)?,
                data: digest(data)?,
            },
        ),
        EventCommand::Proof { run, first, last, proof, config, before, after } => new(
            run,
            What::Proof {
                first: *first,
                last: last.unwrap_or(*first),
                digest: digest(proof)?,
                config: digest(config)?,
                before: digest(before)?,
                after: digest(after)?,
            },
        ),
    };
    // Its form is checked by what checks entries.
    event.to_bytes().map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(vec![event])
}

fn new(run: &Label, what: What) -> Event {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Event::new(run.clone(), now.as_secs(), what)
}

fn digest(what: &FileOrDigest) -> Result<Digest, CliError> {
    match what {
        FileOrDigest::Digest(digest) => Ok(*digest),
        FileOrDigest::File(path) => Ok(file_digest(path)?),
    }
}

/// Events, one a line. An empty file is an error: it is more likely a slip than a wish.
fn read_events(path: &Path) -> Result<Vec<Event>, CliError> {
    let mut source: Box<dyn BufRead> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(BufReader::new(std::fs::File::open(path).map_err(CliError::io("read", path))?)),
    };
    let content = |reason: String| CliError::Content { path: path.to_owned(), reason };
    let mut events = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        // A line is an entry with spaces; one that never ends is none.
        let most = 4 * MAX_ENTRY_BYTES as u64;
        let read = source.by_ref().take(most).read_until(b'\n', &mut line);
        if read.map_err(CliError::io("read", path))? == 0 {
            break;
        }
        let event = Event::parse_any_spelling(&line);
        events.push(event.map_err(|error| content(format!("line {number}: {error}")))?);
    }
    if events.is_empty() {
        return Err(content("no events".to_owned()));
    }
    Ok(events)
}

impl Report for AppendReport {
    const SCHEMA: &'static str = "lorica-train-log-append/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { log, first, appended, head, created, vkey } = self;
        if *created {
            writeln!(out, "new log in {log}")?;
        }
        let last = first + appended - 1;
        match appended {
            1 => writeln!(out, "appended entry {first}")?,
            _ => writeln!(out, "appended entries {first} to {last}")?,
        }
        writeln!(out, "head   {}, root {}", entries(head.size), head.root)?;
        writeln!(out, "key    {vkey}")
    }
}
