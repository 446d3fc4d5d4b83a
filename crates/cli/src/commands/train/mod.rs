//! `lorica train`: data sets and models committed to, training that can be proven, and the record of a run.

mod commit_data;
mod folder;
mod log;
mod prove;
mod run;
mod verify;

use crate::{args::train::TrainCommand, error::CliError, exit::Exit, report::Console};

pub(super) fn run(command: &TrainCommand, console: &Console) -> Result<Exit, CliError> {
    match command {
        TrainCommand::CommitData(args) => console.emit(&commit_data::run(args, console)?),
        TrainCommand::Run(args) => console.emit(&run::run(args, console)?),
        TrainCommand::Prove(args) => console.emit(&prove::run(args, console)?),
        TrainCommand::Verify(args) => console.emit(&verify::run(args, console)?),
        TrainCommand::Log(command) => log::run(command, console),
    }
}
