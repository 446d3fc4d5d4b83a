//! `lorica serve`: the contributor's server, on this machine only.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use lorica_adapter::{Adapter, LoraModule};
use lorica_serve::{Server, ServerConfig, SessionPaths, Shutdown};
use lorica_session::engine::{FloatLowRank, FloatWeightsEngine, WitnessEngine};
use lorica_tensor::Digest;
use serde::Serialize;

use crate::{
    args::ServeArgs,
    artefacts::{ArtefactPaths, MANIFEST_FILE, PublicArtefacts},
    error::CliError,
    exit::Exit,
    own::{self, OwnAdapter},
    report::{Console, Report},
};

/// Said once the server listens.
#[derive(Debug, Serialize)]
pub(crate) struct ServeReport {
    url: String,
    pin: Digest,
    sessions: String,
}

pub(crate) fn run(args: &ServeArgs, console: &Console) -> Result<Exit, CliError> {
    let beside = args.secret.parent().unwrap_or(Path::new("")).join(MANIFEST_FILE);
    let paths = ArtefactPaths::of_manifest(args.manifest.as_ref().unwrap_or(&beside));
    let artefacts = PublicArtefacts::read(&paths)?;
    let committed = artefacts.check(None)?;
    let secret = own::read_secret(&args.secret)?;
    let own = OwnAdapter::load(&args.adapter)?;
    // Deltas of other weights could never be proven: better to find out now than after a session.
    if let Some(difference) =
        own.difference(&committed.registered, &secret, &committed.generators, console)?
    {
        return Err(CliError::NotOpened(format!(
            "{} and {} do not open {}: {}",
            args.adapter.display(),
            args.secret.display(),
            paths.manifest.display(),
            difference.message
        )));
    }
    drop(secret);

    let manifest = committed.manifest().clone();
    let pin = committed.registered.digest();
    let OwnAdapter { adapter, quantized } = own;
    let engine = WitnessEngine::new(&manifest, quantized.witness)?;
    let mut config = ServerConfig::new(args.listen, args.sessions.clone(), manifest, Arc::new(engine));
    if args.max_float_rows > 0 {
        let weights = float_weights(&adapter);
        config.float_engine = Some(Arc::new(FloatWeightsEngine::new(&config.manifest, weights)?));
        config.limits.max_float_rows = args.max_float_rows;
    }
    drop(adapter);
    config.commitments = artefacts.commitments;
    config.registration = artefacts.registration;
    config.paths = SessionPaths {
        adapter: absolute(&args.adapter)?,
        secret: absolute(&args.secret)?,
        manifest: absolute(&paths.manifest)?,
    };
    let server = Server::bind(config)?;
    let url = format!("http://{}", server.local_addr());
    let report = ServeReport { url, pin, sessions: args.sessions.display().to_string() };
    announce(&report, console)?;
    server.run(if args.end_with_stdin { until_stdin_closes() } else { Shutdown::Signals })?;
    Ok(Exit::Yes)
}

/// One line of JSON, so that whoever started the server can read it while the server runs.
fn announce(report: &ServeReport, console: &Console) -> Result<(), CliError> {
    if !console.json() {
        return console.emit(report).map(|_| ());
    }
    let mut line = serde_json::to_vec(&crate::report::Document::new(report))
        .map_err(|error| CliError::Report(error.into()))?;
    line.push(b'\n');
    console.stdout(&line)
}

fn float_weights(adapter: &Adapter) -> Vec<FloatLowRank> {
    let of_module = |module: &LoraModule| FloatLowRank {
        a: module.a.clone(),
        b: (0..module.rank).flat_map(|j| module.b.iter().skip(j).step_by(module.rank).copied()).collect(),
        inputs: module.inputs,
        outputs: module.outputs,
        scaling: module.factor(),
    };
    adapter.modules.iter().map(of_module).collect()
}

/// `prove` reads these paths later, perhaps from another working directory.
fn absolute(path: &Path) -> Result<String, CliError> {
    let path: PathBuf = std::path::absolute(path).map_err(CliError::io("resolve", path))?;
    path.into_os_string().into_string().map_err(|path| CliError::Content {
        path: path.into(),
        reason: "the path is not valid UTF-8 and cannot be recorded for `lorica prove`; rename it".to_owned(),
    })
}

fn until_stdin_closes() -> Shutdown {
    let (stopper, shutdown) = Shutdown::channel();
    std::thread::spawn(move || {
        // An error ends it as well: whoever held the other end is gone.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stopper.stop();
    });
    shutdown
}

impl Report for ServeReport {
    const SCHEMA: &'static str = "lorica-serve/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "weights and secret open the manifest; serving it at {}", self.url)?;
        writeln!(out, "pin       {}", self.pin)?;
        writeln!(out, "sessions  {}", self.sessions)?;
        writeln!(
            out,
            "Only programs on this machine can connect: there is no encryption and there are no accounts yet."
        )?;
        writeln!(
            out,
            "Rows are not metered yet: whoever collects about as many rows of a module as it has inputs can solve for B A."
        )?;
        writeln!(out, "Stop with Ctrl-C.")
    }
}
