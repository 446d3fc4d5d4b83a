//! The `lorica` command.
//!
//! What was typed ([`args`]) is resolved and done by one module of [`commands`] each, which returns a report; reports go to
//! stdout ([`report`]), progress and messages for people to stderr ([`progress`]).
//!
//! | module | what it holds |
//! |---|---|
//! | [`args`] | the command line, as typed |
//! | [`commands`] | one module a command |
//! | [`artefacts`] | the files of a manifest and of a session folder |
//! | [`base`], [`own`] | the base model's folder; the contributor's own adapter |
//! | [`report`] | reports as text and as JSON |
//! | [`progress`], [`rows`] | bars for work that takes long; rows that are counted while they are read |
//! | [`error`], [`exit`] | what can go wrong, and the exit codes |

#![forbid(unsafe_code)]

mod args;
mod artefacts;
mod base;
mod commands;
mod error;
mod exit;
mod own;
mod progress;
mod report;
mod rows;

use std::{io::IsTerminal as _, process::ExitCode};

use tracing::level_filters::LevelFilter;

use crate::{args::GlobalArgs, error::CliError, exit::Exit, report::Console};

fn main() -> ExitCode {
    let cli = args::parse();
    let console = Console::new(&cli.global);
    let outcome = prepare(&cli.global).and_then(|()| commands::dispatch(&cli.command, &console));
    let exit = match outcome {
        Ok(exit) => exit,
        Err(error) => {
            console.error(&error);
            error.exit()
        }
    };
    exit.into()
}

/// Sets up what the whole process shares: log, kernels, threads.
fn prepare(global: &GlobalArgs) -> Result<(), CliError> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // NO_COLOR counts when it is set to anything but nothing (no-color.org).
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(!plain && std::io::stderr().is_terminal())
        .with_target(false);
    // A single warning needs no time; a log does.
    if global.verbose > 0 {
        log.init()
    } else {
        log.without_time().init()
    }
    lorica_algebra::kernels::simd()?;
    if let Some(threads) = global.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .map_err(|error| CliError::Threads { threads: threads.get(), reason: error.to_string() })?;
    }
    Ok(())
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
