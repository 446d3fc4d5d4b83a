//! `lorica demo`: both parties on one machine, one proof, and three cheats that the verifier refuses.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | the shipped model, adapter and text, or a person's own |
//! | [`server`] | the contributor's server as a process of its own |
//! | [`cheats`] | a changed delta, another adapter, a forged slot |
//! | [`report`] | the story as it is told |

mod cheats;
mod data;
mod report;
mod server;

use std::{
    fs,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_model::ModelFolder;
use lorica_verify::verdict::Outcome;

use crate::{
    args::{
        Combine, CommitArgs, DemoArgs, FetchArgs, InspectArgs, ManifestArgs, OpeningChoice, PatienceArgs,
        PinArgs, ProveArgs, RangeChoice, RunArgs,
    },
    artefacts::{
        ArtefactPaths, MAX_PROOF_BYTES, NewFolder, PROOF_FILE, PublicArtefacts, SECRET_FILE, open_transcript,
        read_required,
    },
    commands::{
        commit, fetch, inspect, pin, prove, run,
        verify::{self, SessionClaim},
    },
    error::CliError,
    own::{self, OwnAdapter},
    report::Console,
};

use cheats::{Cheat, Session};
use data::Data;
pub(crate) use report::DemoReport;
use report::{Losses, Party, Story};
use server::ServerProcess;

pub(crate) fn run(args: &DemoArgs, console: &Console) -> Result<DemoReport, CliError> {
    let started = Instant::now();
    let place = Place::create(args)?;
    let data = Data::prepare(args, &place.path)?;
    let mut demo = Demo {
        story: Story::begin(console, &data.description)?,
        quiet: console.without_notes(),
        contributor: place.path.join("contributor"),
        sessions: place.path.join("sessions"),
        user: place.path.join("user"),
        data,
    };
    let (losses, outcome) = demo.main_job()?;
    let cheats = demo.cheats()?;
    let report = DemoReport {
        steps: demo.story.into_steps(),
        losses,
        verdict: outcome,
        cheats,
        seconds: started.elapsed().as_secs_f64(),
        files: args.keep.as_ref().map(|path| path.display().to_string()),
    };
    place.keep();
    Ok(report)
}

/// Where the files go.
struct Place {
    path: PathBuf,
    /// Removed at the end, unless a person wants to keep it.
    kept: Option<NewFolder>,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    fn create(args: &DemoArgs) -> Result<Self, CliError> {
        if let Some(path) = &args.keep {
            let kept = Some(NewFolder::create(path)?);
            return Ok(Self { path: path.clone(), kept, _temporary: None });
        }
        let temporary = tempfile::Builder::new()
            .prefix("lorica-demo-")
            .tempdir()
            .map_err(CliError::io("create a folder in", std::env::temp_dir()))?;
        Ok(Self { path: temporary.path().to_owned(), kept: None, _temporary: Some(temporary) })
    }

    fn keep(self) {
        if let Some(mut folder) = self.kept {
            folder.keep();
        }
    }
}

struct Demo {
    data: Data,
    contributor: PathBuf,
    sessions: PathBuf,
    user: PathBuf,
    quiet: Console,
    story: Story,
}

impl Demo {
    /// Everything that honest parties do.
    fn main_job(&mut self) -> Result<(Losses, Outcome), CliError> {
        let Self { data, contributor, sessions, user, quiet, story } = self;
        let secret = contributor.join(SECRET_FILE);

        let inspect = InspectArgs { adapter: data.adapter.clone(), base: None };
        story.step(Party::Contributor, "inspect", || {
            let report = inspect::run(&inspect)?;
            Ok((report::inspection(&report), ()))
        })?;
        let commit = CommitArgs {
            adapter: data.adapter.clone(),
            base: data.base.clone(),
            out: contributor.clone(),
            range: RangeChoice::Int16,
        };
        let pin = story.step(Party::Contributor, "commit", || {
            let report = commit::run(&commit, quiet)?;
            Ok((report::commit(&report), report.pin))
        })?;
        let server = story.step(Party::Contributor, "serve", || {
            let server = ServerProcess::start(&data.adapter, &secret, sessions)?;
            Ok((format!("{}, a process of its own", server.url), server))
        })?;
        let manifest = ManifestArgs { manifest: contributor.clone(), commitments: None, registration: None };
        let pin_args = PinArgs { manifest, expect: Some(pin) };
        story.step(Party::User, "pin", || {
            let report = pin::run(&pin_args)?;
            Ok((report.pin.to_string(), ()))
        })?;

        let run_args = run_args(data, &server.url, pin, user)?;
        let losses = story.step(Party::User, "run", || {
            let report = run::run(&run_args, quiet)?;
            Ok((report::traffic(&report), Losses::of(&report)))
        })?;
        story.losses(&losses)?;
        let session = only_session(sessions)?;
        let prove =
            ProveArgs { session, opening: OpeningChoice::Auto, adapter: None, secret: None, manifest: None };
        story.step(Party::Contributor, "prove", || {
            let report = prove::run(&prove, quiet)?;
            Ok((report::proof(&report), ()))
        })?;
        let fetch = FetchArgs { session: user.clone(), contributor: None, patience: patience() };
        story.step(Party::User, "fetch", || {
            let report = fetch::run(&fetch)?;
            Ok((report::fetched(&report), ()))
        })?;
        let verify = SessionClaim { pin, folder: user, proof: None };
        let outcome = story.step(Party::User, "verify", || {
            let report = verify::session(&verify, quiet)?;
            Ok((report::verdict(&report.verdict), report.verdict.verdict))
        })?;
        Ok((losses, outcome))
    }

    fn cheats(&mut self) -> Result<Vec<Cheat>, CliError> {
        let artefacts = PublicArtefacts::read(&ArtefactPaths::in_folder(&self.user))?;
        let hint = "the demo fetched it a moment ago";
        let session = Session {
            adapter: &artefacts.check(None)?,
            artefacts: &artefacts,
            reader: &open_transcript(&self.user)?,
            own: &OwnAdapter::load(&self.data.adapter)?,
            secret: &own::read_secret(&self.contributor.join(SECRET_FILE))?,
            proof: &read_required(&self.user.join(PROOF_FILE), MAX_PROOF_BYTES, hint)?,
        };
        session.cheats()
    }
}

fn run_args(data: &Data, url: &str, pin: lorica_tensor::Digest, out: &Path) -> Result<RunArgs, CliError> {
    let context = ModelFolder::open(&data.base)?.config().context;
    const DEFAULT_WINDOW: usize = 512;
    let nonzero = |value: usize| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
    Ok(RunArgs {
        base: data.base.clone(),
        contributor: url.to_owned(),
        pin,
        text: Some(data.text.clone()),
        tokens: None,
        combine: Combine::AddDelta,
        window: Some(nonzero(context.min(DEFAULT_WINDOW))),
        batch: nonzero(4),
        generate: None,
        prompt: NonZeroUsize::MIN,
        float_check: 256,
        patience: patience(),
        out: out.to_owned(),
    })
}

fn patience() -> PatienceArgs {
    PatienceArgs { timeout: NonZeroU32::MIN.saturating_add(119) }
}

/// The folder of the one session that was held.
fn only_session(sessions: &Path) -> Result<PathBuf, CliError> {
    let entries = fs::read_dir(sessions).map_err(CliError::io("list", sessions))?;
    let first = entries.flatten().map(|entry| entry.path()).find(|path| path.is_dir());
    let hint = "the server records a session there";
    first.ok_or(CliError::Missing { path: sessions.to_owned(), hint })
}
