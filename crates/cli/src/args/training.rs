//! The commands of `lorica train` that commit, train, prove and verify, as they are typed.

use std::path::PathBuf;

use clap::Args;
use lorica_tensor::Digest;

/// The configuration of training.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What is trained and how: model, loss, update, batch (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CommitDataArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The samples: CSV with a header (inputs, and `label` or `target...`), or safetensors (inputs, and labels or targets)
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Multiply all inputs by this before they are rounded to fixed point
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub(crate) scale_inputs: f32,
    /// A new folder: manifest, commitments and proof to publish; samples and secret to keep
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct TrainRunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The committed data set, as `lorica train commit-data` wrote it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Steps to make
    #[arg(long, value_name = "N")]
    pub(crate) steps: u64,
    /// A new folder for the run: public/ to publish, private/ to keep
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Chooses the first weights and the order of batches
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Begin with these weights (safetensors) instead of random ones
    #[arg(long, value_name = "FILE")]
    pub(crate) start: Option<PathBuf>,
    /// Draw batches from the first N rows of the data set only; the others are there to test on [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) train_rows: Option<usize>,
    /// Keep the weights after so many steps, so that a proof can begin there
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) checkpoint_every: u64,
}

/// Steps from the first to the one after the last, `0..32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StepRange {
    pub(crate) first: u64,
    pub(crate) end: u64,
}

impl std::str::FromStr for StepRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once("..").and_then(|(first, end)| {
            let range = Self { first: first.parse().ok()?, end: end.parse().ok()? };
            (range.first < range.end).then_some(range)
        });
        parsed.ok_or_else(|| {
            format!("`{text}` is no range of steps: expected FIRST..END with FIRST < END, such as 0..32")
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct TrainProveArgs {
    /// A run of `lorica train run`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["before", "after", "batch", "config", "out", "limit"], required_unless_present = "before")]
    pub(crate) run: Option<PathBuf>,
    /// Which steps of the run [default: all that are not proven yet]
    #[arg(long, value_name = "FIRST..END", requires = "run")]
    pub(crate) steps: Option<StepRange>,
    /// Steps in one proof, where no range is given
    #[arg(long, value_name = "N", default_value_t = 50, requires = "run", conflicts_with = "steps")]
    pub(crate) chunk: u64,
    /// The weights before a step of another trainer, such as PyTorch (safetensors)
    #[arg(long, value_name = "FILE", requires_all = ["after", "batch", "config", "out"])]
    pub(crate) before: Option<PathBuf>,
    /// The weights after it
    #[arg(long, value_name = "FILE", requires = "before")]
    pub(crate) after: Option<PathBuf>,
    /// Its batch: inputs, and labels or targets (safetensors or CSV)
    #[arg(long, value_name = "FILE", requires = "before")]
    pub(crate) batch: Option<PathBuf>,
    /// What was trained and how (TOML)
    #[arg(long, value_name = "FILE", requires = "before")]
    pub(crate) config: Option<PathBuf>,
    /// A new folder for the proof: public/ to publish, private/ to keep
    #[arg(long, value_name = "DIR", requires = "before")]
    pub(crate) out: Option<PathBuf>,
    /// Refuse when the tolerance that the step needs is more than this share of the update's size
    #[arg(long, value_name = "SHARE", default_value_t = lorica_train::checkpoint::USUAL_SHARE, requires = "before")]
    pub(crate) limit: f64,
}

#[derive(Debug, Args)]
pub(crate) struct TrainVerifyArgs {
    /// The public folder of a run, or the run itself
    #[arg(value_name = "DIR")]
    pub(crate) proof: PathBuf,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The digest of the data set's manifest, from whom you trust about the data
    #[arg(long, value_name = "DIGEST")]
    pub(crate) data: Option<Digest>,
    /// The digest of the first model's manifest, from whom you trust about it
    #[arg(long, value_name = "DIGEST")]
    pub(crate) model: Option<Digest>,
}
