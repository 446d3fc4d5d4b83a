//! One module a command: resolve what was typed, do it, report.

mod bench;
mod commit;
mod demo;
mod fetch;
mod identify;
mod inspect;
mod open;
mod pin;
mod prove;
mod run;
mod serve;
mod tensor;
mod train;
mod verify;
mod zoo;

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Command},
    error::CliError,
    exit::Exit,
    report::Console,
};

/// Runs a command and writes its report.
pub(crate) fn dispatch(command: &Command, console: &Console) -> Result<Exit, CliError> {
    match command {
        Command::Inspect(args) => console.emit(&inspect::run(args)?),
        Command::Commit(args) => console.emit(&commit::run(args, console)?),
        Command::Pin(args) => console.emit(&pin::run(args)?),
        Command::Open(args) => console.emit(&open::run(args, console)?),
        Command::Serve(args) => serve::run(args, console),
        Command::Run(args) => console.emit(&run::run(args, console)?),
        Command::Prove(args) => console.emit(&prove::run(args, console)?),
        Command::Fetch(args) => console.emit(&fetch::run(args)?),
        Command::Verify(args) => verify::run(args, console),
        Command::Identify(args) => identify::run(args, console),
        Command::Zoo(args) => console.emit(&zoo::run(args, console)?),
        Command::Train(command) => train::run(command, console),
        Command::Tensor(command) => tensor::run(command, console),
        Command::Demo(args) => console.emit(&demo::run(args, console)?),
        Command::Bench(command) => bench::run(command, console),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "lorica", &mut script);
            console.stdout(&script)?;
            Ok(Exit::Yes)
        }
    }
}
