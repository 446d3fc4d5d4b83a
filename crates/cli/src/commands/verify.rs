//! `lorica verify`: the verdict about a session, or about an evidence bundle ([`super::identify::verify`]).

use std::{
    io::{self, Write},
    path::Path,
    time::Instant,
};

use lorica_tensor::Digest;
use lorica_transcript::TranscriptReader;
use lorica_verify::{
    manifest::RangeLevel,
    verdict::{
        Check, Coverage, Evidence, MeasuredLoss, Outcome, RecordedModule, RecordedStream, SessionRecord,
        Verdict, judge,
    },
};
use serde::Serialize;

use crate::{
    args::VerifyArgs,
    artefacts::{
        ArtefactPaths, MAX_PROOF_BYTES, PROOF_FILE, PublicArtefacts, RUN_FILE, open_transcript, read_required,
    },
    commands::{identify, run::read_record},
    error::CliError,
    exit::Exit,
    progress::Unit,
    report::{
        Console, Report,
        format::{count, plural, seconds, wrapped},
    },
    rows::CountedRows,
};

/// The verdict, and how long it took.
#[derive(Debug, Serialize)]
pub(crate) struct VerifyReport {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
}

/// What is to be verified of a session.
#[derive(Debug)]
pub(crate) struct SessionClaim<'a> {
    /// The digest that was pinned before the session.
    pub(crate) pin: Digest,
    /// The session's folder.
    pub(crate) folder: &'a Path,
    /// The proof, if it is not in that folder.
    pub(crate) proof: Option<&'a Path>,
}

pub(crate) fn run(args: &VerifyArgs, console: &Console) -> Result<Exit, CliError> {
    match (&args.bundle, args.pin, &args.session) {
        (Some(bundle), _, _) => {
            console.emit(&identify::verify::run(bundle, args.signer.as_deref(), console)?)
        }
        (None, Some(pin), Some(folder)) => {
            console.emit(&session(&SessionClaim { pin, folder, proof: args.proof.as_deref() }, console)?)
        }
        _ => Err(CliError::Usage(
            "name a session with --session and --pin, or a bundle with --bundle".to_owned(),
        )),
    }
}

/// The verdict about a session.
pub(crate) fn session(claim: &SessionClaim<'_>, console: &Console) -> Result<VerifyReport, CliError> {
    let started = Instant::now();
    let artefacts = PublicArtefacts::read(&ArtefactPaths::in_folder(claim.folder))?;
    let proof = claim.proof.map_or_else(|| claim.folder.join(PROOF_FILE), Path::to_owned);
    let proof = read_required(
        &proof,
        MAX_PROOF_BYTES,
        "the contributor makes it with `lorica prove`, `lorica fetch` brings it here",
    )?;
    // A session that was not about text has no losses.
    let has_record = claim.folder.join(RUN_FILE).exists();
    let loss = if has_record { Some(read_record(claim.folder)?.measured_loss) } else { None };
    let reader = open_transcript(claim.folder)?;
    let header = reader.header();
    // One pass for digests, one for the proof.
    let progress = console.progress("verifying", Unit::Bytes);
    let rows = CountedRows::everything(&reader, header, 2, |done, total| progress.set(done, total));
    let verdict = judge(&Evidence {
        pin: claim.pin,
        manifest: &artefacts.manifest,
        commitments: &artefacts.commitments,
        registration: &artefacts.registration,
        record: SessionRecord { rows: &rows, ..record(&reader) },
        proof: &proof,
        loss,
    })?;
    Ok(VerifyReport { verdict, seconds: started.elapsed().as_secs_f64() })
}

/// A transcript as the verdict takes it.
pub(crate) fn record(reader: &TranscriptReader) -> SessionRecord<'_> {
    let header = reader.header();
    let streams = reader.streams().iter().zip(&header.streams);
    SessionRecord {
        manifest: header.manifest,
        session: header.session,
        calls: header.calls,
        modules: header
            .modules
            .iter()
            .map(|module| RecordedModule { name: module.name.clone(), outputs: module.outputs })
            .collect(),
        streams: streams
            .map(|(shape, stream)| RecordedStream { shape: shape.clone(), calls: stream.calls })
            .collect(),
        digests: header.digests.clone(),
        rows: reader,
    }
}

impl Report for VerifyReport {
    const SCHEMA: &'static str = "lorica-verify/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Verdict { verdict, reason, pin, session, coverage, security, range, measured_loss, .. } =
            &self.verdict;
        match (verdict, reason) {
            (Outcome::Valid, _) => writeln!(out, "VALID")?,
            (Outcome::Invalid, Some(reason)) => {
                writeln!(out, "INVALID")?;
                writeln!(out, "failed      {}", check_name(reason.check))?;
                if let Some(module) = &reason.module {
                    writeln!(out, "module      {module}")?;
                }
                writeln!(out, "{}", wrapped("reason      ", &reason.message))?;
            }
            (Outcome::Invalid, None) => writeln!(out, "INVALID")?,
        }
        let Coverage {
            modules,
            modules_called,
            never_called,
            delta_rows,
            calls_covered,
            calls_made,
            token_rows,
        } = coverage;
        writeln!(
            out,
            "coverage    {calls_covered} of {} ({} of {} modules, {}, {} of deltas)",
            plural(*calls_made, "call"),
            modules_called,
            modules,
            plural(*token_rows, "token row"),
            count(*delta_rows)
        )?;
        for name in never_called {
            writeln!(out, "            never called: {name}")?;
        }
        writeln!(out, "pin         {pin}\nsession     {session}")?;
        let bound = format!("error below 2^-{} if {}", security.statistical_bits, security.assumptions);
        writeln!(out, "{}", wrapped("security    ", &bound))?;
        match range {
            RangeLevel::None => {
                writeln!(out, "range       none: entries of the adapter are not proven to be small")?
            }
            RangeLevel::Int16 => writeln!(
                out,
                "range       int16: all entries of the adapter are proven to be integers of 16 bits"
            )?,
        }
        if let Some(MeasuredLoss { base, adapted, tokens }) = measured_loss {
            writeln!(
                out,
                "loss        {base:.4} without, {adapted:.4} with the adapter over {} (measured, not proven)",
                plural(*tokens, "token")
            )?;
        }
        writeln!(out, "time        {}", seconds(self.seconds))?;
        for (title, lines) in [("proven:", &self.verdict.proven), ("not proven:", &self.verdict.not_proven)] {
            if !lines.is_empty() {
                writeln!(out, "\n{title}")?;
                lines.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))?;
            }
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        match self.verdict.verdict {
            Outcome::Valid => Exit::Yes,
            Outcome::Invalid => Exit::No,
        }
    }
}

/// A check in words.
pub(crate) fn check_name(check: Check) -> &'static str {
    match check {
        Check::Pin => "the pin",
        Check::Manifest => "the manifest",
        Check::Commitments => "the commitment list",
        Check::Registration => "the registration proof",
        Check::Session => "the session's header",
        Check::Digests => "the digests of the rows",
        Check::Coverage => "coverage",
        Check::ProofFormat => "the form of the proof",
        Check::Proof => "the proof",
    }
}
