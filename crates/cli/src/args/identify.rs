//! `lorica identify ...` as it is typed.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};

use super::parse;

/// `lorica identify`: the comparison itself, or one of its helpers.
#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct IdentifyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<IdentifyCommand>,
    // Clap knows whether these were given only where nothing is nested in them, so the options stand beside them.
    #[command(flatten)]
    pub(crate) sides: Option<SidesArgs>,
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
}

/// What else can be done about a model's identity.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentifyCommand {
    /// Ask a reference now and keep its answers, to compare with them later
    Record(RecordArgs),
    /// Measure how far a model is from itself in other batches, threads and number types
    Calibrate(CalibrateArgs),
    /// Power, expected queries and the floor of a mode, before any query is spent
    Plan(PlanArgs),
    /// Compare two model folders without running them: digests, configuration, tokenizer
    Structure(PairArgs),
    /// How two local models are related: quantized, fine-tuned, distilled, another architecture
    Relation(RelationArgs),
    /// Run the robustness suite: each misbehaviour is a real server on this machine
    Robustness(RobustnessArgs),
    /// Serve a local model over the OpenAI completions interface, on this machine only
    Serve(ServeModelArgs),
}

/// How sure the answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeChoice {
    /// Error rate 2.5 %, 25 queries at the least for SAME
    Quick,
    /// Error rate 1 %, 50 queries at the least for SAME
    Audit,
    /// Error rate 0.1 %, 145 queries at the least for SAME
    Extended,
}

impl ModeChoice {
    /// The mode's name in a plan.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Audit => "audit",
            Self::Extended => "extended",
        }
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierChoice {
    /// As much as both sides tell
    Auto,
    /// Next-token distributions; an error where a side tells none
    Distributions,
    /// Sampled text alone
    Text,
}

/// What is compared, and where the evidence goes.
#[derive(Debug, Args)]
pub(crate) struct SidesArgs {
    /// The model that was promised: a folder, an endpoint's URL, or a recording
    #[arg(long, value_name = "DIR|URL|RECORDING")]
    pub(crate) reference: String,
    /// The model in question: a folder or an endpoint's URL; several share one error rate
    #[arg(long = "candidate", value_name = "DIR|URL", required = true)]
    pub(crate) candidates: Vec<String>,
    /// New or empty folder for the evidence
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Options of the comparison.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// How sure the answer must be
    #[arg(long, value_enum, default_value = "audit")]
    pub(crate) mode: ModeChoice,
    /// Challenges at most, for each candidate [default: the mode's own]
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<NonZeroU32>,
    /// Keep weights and activations within this; the models then run layer by layer, one after the other
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub(crate) max_memory: Option<u64>,
    /// SAME also needs that at most this share of prompts is answered visibly differently, such as 0.01
    #[arg(long, value_name = "R", value_parser = parse::rate)]
    pub(crate) rare_rate: Option<f64>,
    /// What is compared
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) tier: TierChoice,
    #[command(flatten)]
    pub(crate) families: FamiliesArgs,
    /// Name of the model at an endpoint
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    /// Name of the model at the candidates' endpoints [default: that of --model]
    #[arg(long, value_name = "NAME")]
    pub(crate) candidate_model: Option<String>,
    /// Sign the evidence with this key, made if it is not there [default: a new key for this run]
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_key: Option<PathBuf>,
    /// What `lorica identify calibrate --json` printed about the reference, to stand beside the decision
    #[arg(long, value_name = "FILE")]
    pub(crate) calibration: Option<PathBuf>,
    /// Go on with the interrupted run in --out
    #[arg(long)]
    pub(crate) resume: bool,
    /// Compare with a recording whose challenges an endpoint has seen before
    #[arg(long)]
    pub(crate) reuse_recording: bool,
}

/// Where the prompts come from.
#[derive(Debug, Args)]
pub(crate) struct FamiliesArgs {
    /// Folder of prompt families, one JSON file each [default: the five that are built in]
    #[arg(long, value_name = "DIR")]
    pub(crate) families: Option<PathBuf>,
}

/// How endpoints are asked.
#[derive(Debug, Args)]
pub(crate) struct EndpointArgs {
    /// Which OpenAI-compatible interface is asked
    #[arg(long, value_enum, default_value = "completions")]
    pub(crate) interface: InterfaceChoice,
    /// Environment variable that holds the endpoint's key; the key is written nowhere
    #[arg(long, value_name = "VAR")]
    pub(crate) key_env: Option<String>,
    /// Seconds to wait for each answer
    #[arg(long, default_value = "120", value_name = "SECONDS")]
    pub(crate) timeout: NonZeroU32,
    /// Attempts for each request
    #[arg(long, default_value = "6", value_name = "N")]
    pub(crate) attempts: NonZeroU32,
    /// Requests under way at once
    #[arg(long, default_value = "2", value_name = "N")]
    pub(crate) parallel: NonZeroUsize,
    /// PEM file with the only certificates to trust [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) certificates: Option<PathBuf>,
}

/// An OpenAI-compatible interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InterfaceChoice {
    /// The prompt is continued as it is
    Completions,
    /// The prompt is a user's message; the endpoint puts its chat template around it
    Chat,
}

#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// The model to record: a folder or an endpoint's URL
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) model: String,
    /// Name of the model at an endpoint
    #[arg(long, value_name = "NAME")]
    pub(crate) model_name: Option<String>,
    /// The mode of the comparisons that are to come: it sets how many challenges are asked
    #[arg(long, value_enum, default_value = "audit")]
    pub(crate) mode: ModeChoice,
    /// Challenges to ask [default: as many as the mode asks at most]
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<NonZeroU32>,
    /// What is recorded
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) tier: TierChoice,
    /// Keep weights and activations within this
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub(crate) max_memory: Option<u64>,
    #[command(flatten)]
    pub(crate) families: FamiliesArgs,
    #[command(flatten)]
    pub(crate) endpoint: EndpointArgs,
    /// New file for the recording; it holds the secret of the challenges
    #[arg(long, value_name = "RECORDING")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CalibrateArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Challenges to measure on
    #[arg(long, default_value = "20", value_name = "N")]
    pub(crate) challenges: NonZeroU32,
    #[command(flatten)]
    pub(crate) families: FamiliesArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// How sure the answer must be
    #[arg(long, value_enum, default_value = "audit")]
    pub(crate) mode: ModeChoice,
    /// The mean distance to plan for, in [0, 1]; 0 is the same model
    #[arg(long, value_name = "MEAN", value_parser = parse::unit)]
    pub(crate) effect: f64,
    /// Challenges at most [default: the mode's own]
    #[arg(long, value_name = "N")]
    pub(crate) budget: Option<NonZeroU32>,
    /// SAME also needs that at most this share of prompts is answered visibly differently
    #[arg(long, value_name = "R", value_parser = parse::rate)]
    pub(crate) rare_rate: Option<f64>,
    /// Candidates that share the error rate
    #[arg(long, default_value = "1", value_name = "N")]
    pub(crate) candidates: NonZeroU32,
    /// Simulated runs
    #[arg(long, default_value = "2000", value_name = "N")]
    pub(crate) runs: NonZeroU32,
}

#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// Model folder
    pub(crate) a: PathBuf,
    /// Model folder
    pub(crate) b: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RelationArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    /// Challenges to measure on
    #[arg(long, default_value = "40", value_name = "N")]
    pub(crate) challenges: NonZeroU32,
    /// Keep weights and activations within this
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    pub(crate) max_memory: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RobustnessArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Another model, for the servers that route to it [default: behaviours that need one are left out, by name]
    #[arg(long, value_name = "DIR")]
    pub(crate) other: Option<PathBuf>,
    /// Runs of each behaviour, each with its own key
    #[arg(long, default_value = "5", value_name = "N")]
    pub(crate) runs: NonZeroU32,
    /// Runs of each behaviour at most where the server tells texts alone, which take longer [default: those of --runs]
    #[arg(long, value_name = "N")]
    pub(crate) text_runs: Option<NonZeroU32>,
    /// How sure each answer must be
    #[arg(long, value_enum, default_value = "quick")]
    pub(crate) mode: ModeChoice,
    /// Seed of the keys, to repeat a measurement [default: new keys]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Challenges on which the distance of each server that tells log-probabilities is measured, beside the runs: what
    /// a right answer is [0: none]
    #[arg(long, default_value = "100", value_name = "N")]
    pub(crate) measured_on: u32,
    /// Only behaviours whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeModelArgs {
    /// Model folder
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// A loopback address; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,
    /// How the server misbehaves, as JSON such as {"temperature":{"factor":1.5}}; can be repeated [default: it is honest]
    #[arg(long = "behaviour", value_name = "JSON")]
    pub(crate) behaviours: Vec<String>,
    /// Another model, for behaviours that need one
    #[arg(long, value_name = "DIR")]
    pub(crate) other: Option<PathBuf>,
    /// Which log-probabilities are told
    #[arg(long, value_enum, default_value = "prompt")]
    pub(crate) offer: OfferChoice,
    /// Most probable tokens told at each position
    #[arg(long, default_value = "20", value_name = "N")]
    pub(crate) top: NonZeroU32,
    /// End when stdin is closed, as well as at a signal: for a program that starts this one
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

/// Log-probabilities that a server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OfferChoice {
    /// Of prompts and of next tokens
    Prompt,
    /// Of next tokens
    Top,
    /// None
    Text,
}
