//! What was typed, as what the commands need: sides, families, modes, randomness, the clock.

use std::{
    collections::BTreeMap,
    fs,
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    time::{Duration, SystemTime},
};

use lorica_endpoint::Interface;
use lorica_examine::{
    agreement::Wish,
    side::{EndpointOptions, Side, SideOptions},
    source::Source,
};
use lorica_identity::{Bank, ChallengeKey, Mode, Plan, PlanParts, ScoreScale};
use lorica_tensor::files::read_at_most;
use zeroize::Zeroizing;

use crate::{
    args::identify::{EndpointArgs, FamiliesArgs, InterfaceChoice, ModeChoice, TierChoice},
    error::CliError,
    progress::Unit,
    report::Console,
};

/// A family file is some pages of templates.
const MAX_FAMILY_BYTES: u64 = 4 << 20;

/// What a plan is made of, as typed.
pub(super) struct PlanChoice {
    pub(super) mode: ModeChoice,
    pub(super) scale: ScoreScale,
    pub(super) candidates: usize,
    pub(super) budget: Option<NonZeroU32>,
    pub(super) rare_rate: Option<f64>,
}

impl PlanChoice {
    /// The plan for these families.
    pub(super) fn plan(&self, bank: &Bank) -> Result<Plan, CliError> {
        let candidates = u32::try_from(self.candidates).ok().and_then(NonZeroU32::new);
        Ok(Plan::new(PlanParts {
            mode: mode(self.mode)?,
            scale: self.scale,
            candidates: candidates.unwrap_or(NonZeroU32::MIN),
            families: bank.families(),
            budget: self.budget.map(NonZeroU32::get),
            rare_rate: self.rare_rate,
        })?)
    }
}

pub(super) fn mode(choice: ModeChoice) -> Result<Mode, CliError> {
    Mode::named(choice.name()).map_err(|error| CliError::Usage(error.to_string()))
}

/// The families of a folder, or those that are built in.
pub(super) fn bank(args: &FamiliesArgs) -> Result<Bank, CliError> {
    let Some(folder) = &args.families else { return Ok(Bank::standard()?) };
    let unreadable = |source| CliError::Io { action: "read", path: folder.clone(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = String::from_utf8(read_at_most(&path, MAX_FAMILY_BYTES)?)
                .map_err(|error| CliError::Content { path: path.clone(), reason: error.to_string() })?;
            files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), text));
        }
    }
    if files.is_empty() {
        return Err(CliError::Content {
            path: folder.clone(),
            reason: "no family files: expected one JSON file for each family of prompts".to_owned(),
        });
    }
    files.sort();
    Ok(Bank::from_json(&files)?)
}

pub(super) fn wish(choice: TierChoice) -> Wish {
    match choice {
        TierChoice::Auto => Wish::Most,
        TierChoice::Distributions => Wish::Distributions,
        TierChoice::Text => Wish::Texts,
    }
}

/// How sides are opened.
pub(super) struct SideChoice<'a> {
    pub(super) max_memory: Option<u64>,
    /// Model folders among all sides: within a limit they are loaded one after the other.
    pub(super) folders: usize,
    pub(super) endpoint: &'a EndpointArgs,
    /// The model's name at an endpoint.
    pub(super) model: Option<&'a str>,
    /// The option that gives that name, for messages.
    pub(super) name_option: &'static str,
}

impl SideChoice<'_> {
    /// Opens a side, with a bar while its files are read.
    pub(super) fn open(&self, source: &Source, console: &Console) -> Result<Side, CliError> {
        let EndpointArgs { key_env, interface, timeout, attempts, parallel, certificates } = self.endpoint;
        let options = SideOptions {
            max_memory: self.max_memory,
            threads: None,
            gives_back: self.max_memory.is_some() && self.folders > 1,
            endpoint: EndpointOptions {
                model: self.model.map(str::to_owned),
                interface: match interface {
                    InterfaceChoice::Completions => Interface::Completions,
                    InterfaceChoice::Chat => Interface::Chat,
                },
                key_variable: key_env.clone(),
                timeout: Duration::from_secs(timeout.get().into()),
                attempts: *attempts,
                parallel: *parallel,
                certificates: certificates.clone(),
            },
            // Each side draws its own samples.
            seed: u64::from_le_bytes(random()?),
        };
        let progress = console.progress("reading the model's files", Unit::Bytes);
        Ok(Side::open(source, &options, self.name_option, &mut |state| {
            progress.set(state.done, state.total)
        })?)
    }
}

/// Bytes that nobody can predict.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CliError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A new key for the challenges of a run.
pub(super) fn challenge_key() -> Result<ChallengeKey, CliError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(ChallengeKey::new(*bytes))
}

/// A new identifier of a run.
pub(super) fn run_id() -> Result<String, CliError> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Now, as RFC 3339 text.
pub(super) fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Where this runs; nothing in it is secret.
pub(super) fn environment() -> BTreeMap<String, String> {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut all = BTreeMap::from([
        ("operating-system".to_owned(), std::env::consts::OS.to_owned()),
        ("architecture".to_owned(), std::env::consts::ARCH.to_owned()),
        ("threads".to_owned(), threads.to_string()),
    ]);
    if let Some(name) = processor() {
        all.insert("processor".to_owned(), name);
    }
    all
}

/// The processor's name, where the system tells it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A side, where a recording makes no sense.
pub(super) fn model_source(text: &str) -> Result<Source, CliError> {
    match Source::parse(text)? {
        Source::Recording(path) => Err(CliError::Content {
            path,
            reason: "a recording can be a reference only: name a model folder or an endpoint's address"
                .to_owned(),
        }),
        source => Ok(source),
    }
}

/// The name of a folder's model where no better one is known.
pub(super) fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
