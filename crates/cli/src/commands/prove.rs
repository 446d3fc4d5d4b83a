//! `lorica prove`: the one proof of a session.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_argument::opening::OpeningMode;
use lorica_prove::session::SessionProver;
use lorica_relation::digests::SessionDigests;
use lorica_serve::{SessionRecord, record::RECORD_FILE};
use lorica_tensor::Digest;
use lorica_transcript::{TranscriptHeader, TranscriptReader};
use lorica_verify::{
    proof::SessionProof,
    registered::RegisteredAdapter,
    session::{SessionInvalid, SessionVerifier},
    statement::{SessionStatement, Sizes, StreamStatement},
};
use serde::Serialize;

use crate::{
    args::{OpeningChoice, ProveArgs},
    artefacts::{
        ArtefactPaths, PROOF_FILE, PublicArtefacts, open_transcript, require, session_generators, write_bytes,
    },
    error::CliError,
    own::{self, OwnAdapter},
    progress::Unit,
    report::{
        Console, Report,
        format::{bytes, plural, seconds},
    },
    rows::{CountedRows, transcript_bytes},
};

/// A fast proof is chosen where it adds less than this share to what is kept and sent anyway.
const FAST_SHARE: f64 = 0.001;

/// A proof that was made.
#[derive(Debug, Serialize)]
pub(crate) struct ProveReport {
    session: Digest,
    pin: Digest,
    pub(crate) opening: &'static str,
    pub(crate) proof_bytes: u64,
    pub(crate) transcript_bytes: u64,
    token_rows: u64,
    calls: u64,
    pub(crate) seconds: f64,
    proof: String,
}

pub(crate) fn run(args: &ProveArgs, console: &Console) -> Result<ProveReport, CliError> {
    let hint = "expected the folder of a session, under the folder given to `lorica serve --sessions`";
    require(&args.session.join(RECORD_FILE), hint)?;
    let record = SessionRecord::read(&args.session)?;
    let path = |typed: &Option<PathBuf>, recorded: &str| typed.clone().unwrap_or_else(|| recorded.into());
    let manifest = path(&args.manifest, &record.paths.manifest);
    let reader = open_transcript(&args.session)?;
    let header = reader.header();

    let artefacts = PublicArtefacts::read(&ArtefactPaths::of_manifest(&manifest))?;
    let found = Digest::sha256(&artefacts.manifest);
    if found != header.manifest {
        return Err(CliError::OtherManifest { path: manifest, session: header.manifest, found });
    }
    let adapter = RegisteredAdapter::from_bytes(&artefacts.manifest, &artefacts.commitments, None)?;
    let secret = own::read_secret(&path(&args.secret, &record.paths.secret))?;
    let folder = path(&args.adapter, &record.paths.adapter);
    let own = OwnAdapter::load(&folder)?;
    if let Some(difference) = own.public_difference(adapter.manifest()) {
        let folder = folder.display();
        return Err(CliError::NotOpened(format!(
            "{folder} is not the adapter of this session: {}; name the folder that was served with --adapter",
            difference.message
        )));
    }

    let statement = statement(&adapter, &reader, &header.digests);
    let sizes = adapter.sizes();
    let transcript_bytes = transcript_bytes(header);
    let mode = opening(args.opening, &sizes, transcript_bytes);
    let generators = session_generators(&sizes);
    let started = Instant::now();
    let progress = console.progress("proving", Unit::Bytes);
    let proof = SessionProver {
        adapter: &adapter,
        witness: &own.quantized.witness,
        secret: &secret,
        statement: &statement,
        rows: &CountedRows::activations(&reader, header, |done, total| progress.set(done, total)),
        generators: &generators,
    }
    .prove(mode, &own::entropy()?)?;
    drop(progress);
    let seconds = started.elapsed().as_secs_f64();
    check_proof(&args.session, adapter, &artefacts.registration, &proof, &statement, &reader)?;
    let path = args.session.join(PROOF_FILE);
    write_bytes(&path, &proof)?;
    Ok(ProveReport {
        session: header.session,
        pin: header.manifest,
        opening: match mode {
            OpeningMode::Fast => "fast",
            OpeningMode::Compact => "compact",
        },
        proof_bytes: proof.len() as u64,
        transcript_bytes,
        token_rows: header.streams.iter().map(|stream| stream.rows).sum(),
        calls: header.calls,
        seconds,
        proof: path.display().to_string(),
    })
}

/// A proof that does not hold must not leave: beside being useless, it would tell one linear value of the weights it was made
/// with. It cannot hold when the weights or the recorded rows are not those of the session any more.
fn check_proof(
    session: &Path,
    adapter: RegisteredAdapter,
    registration: &[u8],
    proof: &[u8],
    statement: &SessionStatement,
    reader: &TranscriptReader,
) -> Result<(), CliError> {
    let generators = session_generators(&adapter.sizes());
    let adapter = adapter.pin(registration, &generators)?;
    let verifier = SessionVerifier { adapter: &adapter, statement, rows: reader, generators: &generators };
    match verifier.verify(proof) {
        Ok(()) => Ok(()),
        Err(SessionInvalid::Rows(error)) => Err(error.into()),
        Err(error) => Err(CliError::Content {
            path: session.to_owned(),
            reason: format!(
                "the proof made does not hold, so it was not written: weights, secret or recorded rows are not those of \
                 the session any more ({error})"
            ),
        }),
    }
}

fn opening(choice: OpeningChoice, sizes: &Sizes, transcript_bytes: u64) -> OpeningMode {
    let fast = SessionProof::encoded_bytes(sizes, OpeningMode::Fast) as f64;
    match choice {
        OpeningChoice::Fast => OpeningMode::Fast,
        OpeningChoice::Compact => OpeningMode::Compact,
        OpeningChoice::Auto if fast < FAST_SHARE * transcript_bytes as f64 => OpeningMode::Fast,
        OpeningChoice::Auto => OpeningMode::Compact,
    }
}

/// The statement about a session, with digests that were taken while the data flowed.
pub(crate) fn statement(
    adapter: &RegisteredAdapter,
    reader: &TranscriptReader,
    digests: &SessionDigests,
) -> SessionStatement {
    let TranscriptHeader { session, streams, .. } = reader.header();
    let streams = reader.streams().iter().zip(streams).zip(&digests.streams);
    SessionStatement {
        manifest: adapter.digest(),
        session: *session,
        modules: adapter.manifest().shapes(),
        streams: streams
            .map(|((shape, stream), digests)| StreamStatement {
                shape: shape.clone(),
                calls: stream.calls,
                inputs: digests.inputs,
                exponents: digests.exponents,
            })
            .collect(),
        deltas: digests.modules.clone(),
    }
}

impl Report for ProveReport {
    const SCHEMA: &'static str = "lorica-prove/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "proved {} over {} in {}",
            plural(self.calls, "call"),
            plural(self.token_rows, "token row"),
            seconds(self.seconds)
        )?;
        writeln!(out, "session     {}", self.session)?;
        writeln!(
            out,
            "proof       {} ({} opening) in {}",
            bytes(self.proof_bytes),
            self.opening,
            self.proof
        )?;
        writeln!(out, "transcript  {}", bytes(self.transcript_bytes))
    }
}
