//! `lorica identify`: is it the same model?
//!
//! | module | what it does |
//! |---|---|
//! | [`compare`], [`verdict`] | the comparison, and its report |
//! | [`record`] | a reference's answers for later |
//! | [`calibrate`], [`plan`] | a model against itself; what a mode costs |
//! | [`structure`] | files compared |
//! | [`robustness`], [`serve`] | servers on loopback, honest or not |
//! | [`verify`] | an evidence bundle, computed again |
//! | [`resolve`] | what several of them share: sides, families, keys, clock |

mod calibrate;
mod compare;
mod plan;
mod record;
mod relation;
mod resolve;
mod robustness;
mod serve;
mod structure;
mod verdict;
pub(crate) mod verify;

use compare::Request;

use crate::{
    args::identify::{IdentifyArgs, IdentifyCommand},
    error::CliError,
    exit::Exit,
    report::Console,
};

/// Runs the comparison, or the command beside it that was named.
pub(crate) fn run(args: &IdentifyArgs, console: &Console) -> Result<Exit, CliError> {
    match (&args.command, &args.sides) {
        (Some(IdentifyCommand::Record(args)), _) => console.emit(&record::run(args, console)?),
        (Some(IdentifyCommand::Calibrate(args)), _) => console.emit(&calibrate::run(args, console)?),
        (Some(IdentifyCommand::Plan(args)), _) => console.emit(&plan::run(args)?),
        (Some(IdentifyCommand::Structure(args)), _) => console.emit(&structure::run(args, console)?),
        (Some(IdentifyCommand::Relation(args)), _) => console.emit(&relation::run(args, console)?),
        (Some(IdentifyCommand::Robustness(args)), _) => console.emit(&robustness::run(args, console)?),
        (Some(IdentifyCommand::Serve(args)), _) => serve::run(args, console),
        (None, Some(sides)) => {
            console.emit(&compare::run(&Request { sides, options: &args.compare }, console)?)
        }
        (None, None) => Err(CliError::Usage(
            "name a --reference, a --candidate and a folder for the evidence with --out, or one of the commands of \
             `lorica identify --help`"
                .to_owned(),
        )),
    }
}
