//! `lorica train`: the record of a training run.

mod log;

use crate::{args::train::TrainCommand, error::CliError, exit::Exit, report::Console};

pub(super) fn run(command: &TrainCommand, console: &Console) -> Result<Exit, CliError> {
    match command {
        TrainCommand::Log(command) => log::run(command, console),
    }
}
