//! `lorica fetch`: the proof of a session, from its contributor.

use std::io::{self, Write};

use lorica_tensor::Digest;
use serde::Serialize;

use crate::{
    args::FetchArgs,
    artefacts::{PROOF_FILE, open_transcript, write_bytes},
    commands::run::read_record,
    error::CliError,
    report::{Report, format::bytes},
};

/// A proof that was fetched, unchecked.
#[derive(Debug, Serialize)]
pub(crate) struct FetchReport {
    session: Digest,
    contributor: String,
    pub(crate) proof_bytes: u64,
    proof: String,
}

pub(crate) fn run(args: &FetchArgs) -> Result<FetchReport, CliError> {
    let session = open_transcript(&args.session)?.header().session;
    let contributor = match &args.contributor {
        Some(url) => url.clone(),
        None => read_record(&args.session)?.contributor,
    };
    let proof = args.patience.connect(&contributor)?.fetch_proof(session)?;
    let path = args.session.join(PROOF_FILE);
    write_bytes(&path, &proof)?;
    Ok(FetchReport {
        session,
        contributor,
        proof_bytes: proof.len() as u64,
        proof: path.display().to_string(),
    })
}

impl Report for FetchReport {
    const SCHEMA: &'static str = "lorica-fetch/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "fetched the proof of session {} from {}", self.session, self.contributor)?;
        writeln!(out, "{} in {}, not checked yet: `lorica verify` does", bytes(self.proof_bytes), self.proof)
    }
}
