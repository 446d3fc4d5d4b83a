//! The command line as it is typed. Nothing here is resolved: paths may not exist, and options may not go together.

pub(crate) mod bench;
pub(crate) mod identify;
mod parse;
pub(crate) mod tensor;
pub(crate) mod train;
pub(crate) mod training;

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{
    ArgAction, ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
    error::ErrorKind, parser::ValueSource,
};
use clap_complete::Shell;
use lorica_serve::{Client, ClientConfig, ClientError};
use lorica_tensor::Digest;
use serde::{Deserialize, Serialize};

/// Prove that every delta came from a pinned private adapter; test whether a model is the one that was promised.
///
/// Exit codes: 0 yes; 1 a check said no; 2 usage; 3 undecided; 4 input, files or network.
#[derive(Debug, Parser)]
#[command(name = "lorica", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What was typed; ends the process with a message where it makes no sense.
pub(crate) fn parse() -> Cli {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    if let Some(message) = beside_a_subcommand(&command, &matches) {
        command.error(ErrorKind::ArgumentConflict, message).exit();
    }
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// `lorica identify` has options of its own and commands beside it. The options do not go with the commands, those of
/// every command do, before as well as behind; clap knows only all or none.
fn beside_a_subcommand(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let (name, found) = matches.subcommand()?;
    let (beside, _) = found.subcommand()?;
    let typed = |argument: &&clap::Arg| {
        !argument.is_global_set()
            && found.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let argument = command.find_subcommand(name)?.get_arguments().find(typed)?;
    Some(format!("{argument} goes with `lorica {name}` alone, not with `lorica {name} {beside}`"))
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct GlobalArgs {
    /// Print the report as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on stderr (-v, -vv, -vvv)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Number of threads [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the modules of a PEFT adapter, and what is refused and why
    Inspect(InspectArgs),
    /// Commit to an adapter: manifest, commitments and secret
    Commit(CommitArgs),
    /// Check a manifest and its registration proof, and print the digest to pin
    Pin(PinArgs),
    /// Check whether weights and secret open a committed manifest
    Open(OpenArgs),
    /// Serve an adapter to users on this machine
    Serve(ServeArgs),
    /// Run a base model with a served adapter, and record the session
    Run(RunArgs),
    /// Make the one proof of a session
    Prove(ProveArgs),
    /// Fetch the proof of a session from its contributor
    Fetch(FetchArgs),
    /// Verify a session or an evidence bundle: VALID or INVALID, and what that means
    Verify(VerifyArgs),
    /// Is it the same model? SAME, DIFFERENT or UNDECIDED, with error rates and evidence
    Identify(Box<identify::IdentifyArgs>),
    /// Train and derive small models with known relations, to try `identify` on
    Zoo(ZooArgs),
    /// Train, prove training steps and verify such proofs; keep and check the record of a run
    #[command(subcommand)]
    Train(train::TrainCommand),
    /// Commit to tensors for tools outside, and check such commitments
    #[command(subcommand)]
    Tensor(tensor::TensorCommand),
    /// See the whole of it on shipped data: two parties, one proof, three cheats
    Demo(DemoArgs),
    /// Measure times and sizes on this machine
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// PEFT adapter folder
    pub(crate) adapter: PathBuf,
    /// Base model folder: also check that every module fits it
    #[arg(long)]
    pub(crate) base: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArgs {
    /// PEFT adapter folder
    pub(crate) adapter: PathBuf,
    /// Folder of the base model the adapter was trained for
    #[arg(long)]
    pub(crate) base: PathBuf,
    /// Folder for manifest.json, commitments.bin, registration.bin and secret
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// What is proven of the committed entries
    #[arg(long, value_enum, default_value = "int16")]
    pub(crate) range: RangeChoice,
}

/// What is proven of the committed entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RangeChoice {
    /// Each is an integer of 16 bits, so that a VALID is exact over the integers
    Int16,
    /// Nothing: commits in less time, and a VALID holds modulo the group order only
    None,
}

#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// Exit with 1 unless the digest is this one
    #[arg(long, value_name = "DIGEST")]
    pub(crate) expect: Option<Digest>,
}

/// A manifest and the files that stand beside it.
#[derive(Debug, Args)]
pub(crate) struct ManifestArgs {
    /// manifest.json, or the folder it is in
    pub(crate) manifest: PathBuf,
    /// The commitment list [default: commitments.bin beside the manifest]
    #[arg(long, value_name = "FILE")]
    pub(crate) commitments: Option<PathBuf>,
    /// The registration proof [default: registration.bin beside the manifest]
    #[arg(long, value_name = "FILE")]
    pub(crate) registration: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) manifest: ManifestArgs,
    /// PEFT adapter folder with the weights
    #[arg(long)]
    pub(crate) adapter: PathBuf,
    /// The secret that `lorica commit` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: PathBuf,
    /// Base model folder: also check that it is the one the manifest names
    #[arg(long)]
    pub(crate) base: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// PEFT adapter folder
    pub(crate) adapter: PathBuf,
    /// The secret that `lorica commit` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: PathBuf,
    /// The manifest [default: manifest.json beside the secret]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// A loopback address; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:7700", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// Folder that gets a folder for each session
    #[arg(long, value_name = "DIR")]
    pub(crate) sessions: PathBuf,
    /// Rows of float deltas that a user may ask for in a session, to measure rounding; 0 turns it off
    #[arg(long, default_value_t = 1 << 20, value_name = "N")]
    pub(crate) max_float_rows: u64,
    /// End when stdin is closed, as well as at a signal: for a program that starts this one
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

/// What becomes of a module's own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Combine {
    /// The module's output plus the delta: an adapter as it was trained
    AddDelta,
    /// The delta instead of the module's output
    Replace,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("input").required(true))]
pub(crate) struct RunArgs {
    /// Base model folder
    #[arg(long)]
    pub(crate) base: PathBuf,
    /// Address of the contributor, such as http://127.0.0.1:7700
    #[arg(long, value_name = "URL")]
    pub(crate) contributor: String,
    /// The manifest digest that you pinned
    #[arg(long, value_name = "DIGEST")]
    pub(crate) pin: Digest,
    /// Text to evaluate, UTF-8
    #[arg(long, group = "input", value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Tokens to evaluate: a JSON list of integers
    #[arg(long, group = "input", value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// What becomes of a module's own output
    #[arg(long, value_enum)]
    pub(crate) combine: Combine,
    /// Cut the text into windows of N tokens [default: one window, which must fit the model's context]
    #[arg(long, value_name = "N")]
    pub(crate) window: Option<NonZeroUsize>,
    /// Windows that go through the model together
    #[arg(long, default_value = "8", value_name = "N")]
    pub(crate) batch: NonZeroUsize,
    /// Also continue the beginning of the text by N tokens, without and with the adapter
    #[arg(long, value_name = "N")]
    pub(crate) generate: Option<NonZeroUsize>,
    /// Tokens of the beginning that --generate continues
    #[arg(long, default_value = "32", value_name = "N")]
    pub(crate) prompt: NonZeroUsize,
    /// Compare with float deltas over the first TOKENS tokens, rounded up to whole windows; 0 turns it off
    #[arg(long, default_value_t = 256, value_name = "TOKENS")]
    pub(crate) float_check: usize,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
    /// New or empty folder for the session
    #[arg(long)]
    pub(crate) out: PathBuf,
}

/// How the proof opens its last commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OpeningChoice {
    /// Fast to make, 32 bytes for each entry of the widest row
    Fast,
    /// A few kilobytes, a little slower to make
    Compact,
    /// Fast where it adds less than 0.1 % to the transcript
    Auto,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    /// The session's folder, under the folder given to `lorica serve --sessions`
    pub(crate) session: PathBuf,
    /// How the proof opens its last commitment
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) opening: OpeningChoice,
    /// PEFT adapter folder [default: the one that was served]
    #[arg(long)]
    pub(crate) adapter: Option<PathBuf>,
    /// The secret [default: the one that was served with]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret: Option<PathBuf>,
    /// The manifest [default: the one that was served]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The folder that `lorica run` wrote
    #[arg(long, value_name = "DIR")]
    pub(crate) session: PathBuf,
    /// Address of the contributor [default: the one of the run]
    #[arg(long, value_name = "URL")]
    pub(crate) contributor: Option<String>,
    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

/// How long to wait for a contributor.
#[derive(Debug, Args)]
pub(crate) struct PatienceArgs {
    /// Seconds to wait for each answer; a request without an answer is sent again up to three times
    #[arg(long, default_value = "120", value_name = "SECONDS")]
    pub(crate) timeout: NonZeroU32,
}

impl PatienceArgs {
    /// A client that waits so long.
    pub(crate) fn connect(&self, url: &str) -> Result<Client, ClientError> {
        let request_timeout = Duration::from_secs(self.timeout.get().into());
        Client::connect_with(url, ClientConfig { request_timeout, ..ClientConfig::default() })
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["session", "bundle"]))]
pub(crate) struct VerifyArgs {
    /// The manifest digest that you pinned before the session
    #[arg(long, value_name = "DIGEST", required_unless_present = "bundle", conflicts_with = "bundle")]
    pub(crate) pin: Option<Digest>,
    /// The folder that `lorica run` wrote
    #[arg(long, value_name = "DIR")]
    pub(crate) session: Option<PathBuf>,
    /// The proof [default: proof.bin in the session's folder]
    #[arg(long, value_name = "FILE", conflicts_with = "bundle")]
    pub(crate) proof: Option<PathBuf>,
    /// The evidence folder that `lorica identify` wrote: everything in it is computed again
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: Option<PathBuf>,
    /// INVALID unless this key signed the bundle
    #[arg(long, value_name = "FINGERPRINT", requires = "bundle")]
    pub(crate) signer: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ZooArgs {
    /// Folder for the models; a build that was interrupted goes on there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Only a few members, in a moment
    #[arg(long)]
    pub(crate) tiny: bool,
    /// Folder with the shipped models and texts
    #[arg(long, default_value = "testdata", value_name = "DIR")]
    pub(crate) sources: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Your own base model folder [default: a shipped one]
    #[arg(long, requires_all = ["adapter", "text"])]
    pub(crate) base: Option<PathBuf>,
    /// Your own PEFT adapter folder
    #[arg(long, requires_all = ["base", "text"])]
    pub(crate) adapter: Option<PathBuf>,
    /// Your own text, UTF-8
    #[arg(long, requires_all = ["base", "adapter"], value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Keep all files in this new or empty folder
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Compute, register, prove and verify one synthetic session
    Session(BenchSessionArgs),
    /// Register, train, prove and verify synthetic training steps
    Training(bench::BenchTrainingArgs),
    /// Commitment and range argument of 16-bit integers, for each value
    Lookup(bench::BenchLookupArgs),
    /// False decisions and queries of `identify`, simulated under its real stopping rule
    Identity(BenchIdentityArgs),
    /// Run `identify` on many pairs of a zoo whose relation is known
    Survey(BenchSurveyArgs),
    /// Fit the classifier of relations to a zoo, and test it on models left out
    Relations(BenchRelationsArgs),
    /// Make a page with tables and plots from stored results
    Summary(BenchSummaryArgs),
    /// Print a stored result, as the command that made it would have without --json
    Show(BenchShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchSessionArgs {
    /// Adapted modules
    #[arg(long, default_value_t = 128)]
    pub(crate) modules: usize,
    /// Input width of each module
    #[arg(long = "in", default_value_t = 4096)]
    pub(crate) inputs: usize,
    /// Output width of each module
    #[arg(long = "out", default_value_t = 4096)]
    pub(crate) outputs: usize,
    /// Rank of each module
    #[arg(long, default_value_t = 16)]
    pub(crate) rank: usize,
    /// Token rows
    #[arg(long, default_value_t = 64)]
    pub(crate) tokens: usize,
    /// Modules that share one stream of activations, as q, k and v do
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) shared: NonZeroUsize,
    /// Timed repetitions of each step
    #[arg(long, default_value = "7", value_name = "N")]
    pub(crate) repetitions: NonZeroUsize,
    /// Write the transcript to disk and prove and verify from there
    #[arg(long)]
    pub(crate) stored: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchSummaryArgs {
    /// Folder with results of `lorica bench session --json`, or of `training` and `lookup`
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchShowArgs {
    /// File made by a `lorica bench` command with --json
    pub(crate) file: PathBuf,
    /// Folder to draw the plots of the result into, for a result of `bench identity`
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchSurveyArgs {
    /// Folder made by `lorica zoo`
    #[arg(long, value_name = "DIR")]
    pub(crate) zoo: PathBuf,
    /// How sure the answers must be
    #[arg(long, value_enum, default_value = "audit")]
    pub(crate) mode: identify::ModeChoice,
    /// Ordered pairs, drawn as evenly over the relations as there are pairs of each
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub(crate) pairs: usize,
    /// Challenges on which each pair's mean distance is measured beforehand
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(20..))]
    pub(crate) measured_on: u32,
    /// Seed of the challenges and of the pairs drawn
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct BenchRelationsArgs {
    /// Folder made by `lorica zoo`
    #[arg(long, value_name = "DIR")]
    pub(crate) zoo: PathBuf,
    /// Ordered pairs, drawn as evenly over the relations as there are pairs of each
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub(crate) pairs: usize,
    /// Challenges that both models of a pair are asked
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(10..))]
    pub(crate) challenges: u32,
    /// Seed of the challenges and of the pairs drawn
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) seed: u64,
    /// Write the classifier, fitted to all pairs, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BenchIdentityArgs {
    /// Simulated runs of each case
    #[arg(long, default_value = "20000", value_name = "N")]
    pub(crate) runs: NonZeroU32,
    /// Seed of the simulation
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) seed: u64,
    /// Also write the plots into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
}
