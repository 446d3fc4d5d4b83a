//! The public files of an adapter, and the folder of a session on the user's disk.
//!
//! ```text
//! manifest.json, commitments.bin, registration.bin     beside each other, wherever an adapter is
//! DIR/                                                  what `lorica run --out DIR` writes
//!   manifest.json, commitments.bin, registration.bin    as they were when the session was held
//!   transcript/                                         see lorica-transcript
//!   run.json                                            the report of the run, losses included
//!   proof.bin                                           what `lorica fetch` adds
//! ```

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use lorica_argument::generators::Generators;
use lorica_tensor::{
    Digest,
    files::{FileMode, read_at_most, write_atomically},
};
use lorica_transcript::{TranscriptReader, header::HEADER_FILE};
use lorica_verify::{
    layout::Layout,
    manifest::{MAX_MANIFEST_BYTES, MAX_TOTAL_RANK, Manifest},
    registered::RegisteredAdapter,
    statement::Sizes,
};

use crate::{args::ManifestArgs, error::CliError};

pub(crate) const MANIFEST_FILE: &str = "manifest.json";
pub(crate) const COMMITMENTS_FILE: &str = "commitments.bin";
pub(crate) const REGISTRATION_FILE: &str = "registration.bin";
pub(crate) const SECRET_FILE: &str = "secret";
pub(crate) const TRANSCRIPT_FOLDER: &str = "transcript";
pub(crate) const RUN_FILE: &str = "run.json";
pub(crate) const PROOF_FILE: &str = "proof.bin";

/// Two commitments of 32 bytes for each rank index.
const MAX_COMMITMENT_BYTES: u64 = (MAX_TOTAL_RANK * 2 * 32) as u64;
/// Far above every proof of the supported sizes.
pub(crate) const MAX_PROOF_BYTES: u64 = 64 << 20;

/// Where the three public files of an adapter are.
#[derive(Debug, Clone)]
pub(crate) struct ArtefactPaths {
    pub(crate) manifest: PathBuf,
    pub(crate) commitments: PathBuf,
    pub(crate) registration: PathBuf,
}

impl ArtefactPaths {
    /// The files in a folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            manifest: folder.join(MANIFEST_FILE),
            commitments: folder.join(COMMITMENTS_FILE),
            registration: folder.join(REGISTRATION_FILE),
        }
    }

    /// The files for a manifest, or for the folder it is in.
    pub(crate) fn of_manifest(manifest: &Path) -> Self {
        if manifest.is_dir() {
            return Self::in_folder(manifest);
        }
        let folder = manifest.parent().unwrap_or(Path::new(""));
        Self { manifest: manifest.to_owned(), ..Self::in_folder(folder) }
    }

    /// What was typed.
    pub(crate) fn of_args(args: &ManifestArgs) -> Self {
        let beside = Self::of_manifest(&args.manifest);
        Self {
            manifest: beside.manifest,
            commitments: args.commitments.clone().unwrap_or(beside.commitments),
            registration: args.registration.clone().unwrap_or(beside.registration),
        }
    }
}

/// The three public files of an adapter, unchecked.
#[derive(Debug, Clone)]
pub(crate) struct PublicArtefacts {
    pub(crate) manifest: Vec<u8>,
    pub(crate) commitments: Vec<u8>,
    pub(crate) registration: Vec<u8>,
}

impl PublicArtefacts {
    pub(crate) fn read(paths: &ArtefactPaths) -> Result<Self, CliError> {
        let hint = "expected manifest.json, commitments.bin and registration.bin in one folder, as `lorica commit` and \
                    `lorica run` write them";
        Ok(Self {
            manifest: read_required(&paths.manifest, MAX_MANIFEST_BYTES, hint)?,
            commitments: read_required(&paths.commitments, MAX_COMMITMENT_BYTES, hint)?,
            registration: read_required(&paths.registration, MAX_PROOF_BYTES, hint)?,
        })
    }

    /// Writes the files, the manifest last: where it is, the others are.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), CliError> {
        for (name, bytes) in [
            (COMMITMENTS_FILE, &self.commitments),
            (REGISTRATION_FILE, &self.registration),
            (MANIFEST_FILE, &self.manifest),
        ] {
            write_bytes(&folder.join(name), bytes)?;
        }
        Ok(())
    }

    /// Checks that the files belong together, and to `pin` if one is given, and that the registration proof holds.
    pub(crate) fn check(&self, pin: Option<&Digest>) -> Result<CheckedAdapter, CliError> {
        let registered = RegisteredAdapter::from_bytes(&self.manifest, &self.commitments, pin)?;
        let generators = session_generators(&registered.sizes());
        let pinned = registered.pin(&self.registration, &generators)?;
        Ok(CheckedAdapter { registered: (*pinned).clone(), generators })
    }
}

/// A registered adapter whose registration proof holds, and the bases for its sessions.
pub(crate) struct CheckedAdapter {
    pub(crate) registered: RegisteredAdapter,
    pub(crate) generators: Generators,
}

impl CheckedAdapter {
    pub(crate) fn manifest(&self) -> &Manifest {
        self.registered.manifest()
    }
}

/// The bases for registration and sessions of an adapter.
pub(crate) fn session_generators(sizes: &Sizes) -> Generators {
    Generators::derive(sizes.width, Layout::new(sizes).slots())
}

/// Reads a file that must be there; `hint` says what it is part of.
pub(crate) fn read_required(path: &Path, limit: u64, hint: &'static str) -> Result<Vec<u8>, CliError> {
    require(path, hint)?;
    Ok(read_at_most(path, limit)?)
}

/// Names a file that is not there, with what it is part of.
pub(crate) fn require(path: &Path, hint: &'static str) -> Result<(), CliError> {
    if path.exists() { Ok(()) } else { Err(CliError::Missing { path: path.to_owned(), hint }) }
}

/// Opens the transcript of a session folder.
pub(crate) fn open_transcript(session: &Path) -> Result<TranscriptReader, CliError> {
    let folder = session.join(TRANSCRIPT_FOLDER);
    require(
        &folder.join(HEADER_FILE),
        "expected the folder of a session, as `lorica run` and `lorica serve` make them",
    )?;
    Ok(TranscriptReader::open(&folder)?)
}

/// Writes a file whole or not at all.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    Ok(write_atomically(path, FileMode::Shared, |file| file.write_all(bytes))?)
}

/// A folder that is new or empty, removed again unless it is [kept](Self::keep).
pub(crate) struct NewFolder {
    path: PathBuf,
    /// Whether this process made the folder itself; an empty one that was there stays.
    made: bool,
    kept: bool,
}

impl NewFolder {
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        let made = match fs::read_dir(path) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(CliError::Occupied { path: path.to_owned(), problem: "is not empty" });
                }
                false
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(CliError::io("create", path))?;
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(CliError::Occupied { path: path.to_owned(), problem: "is not a folder" });
            }
            Err(error) => return Err(CliError::io("read", path)(error)),
        };
        Ok(Self { path: path.to_owned(), made, kept: false })
    }

    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Best effort: the error that led here is the one that is reported.
        if self.made {
            let _ = fs::remove_dir_all(&self.path);
        } else if let Ok(entries) = fs::read_dir(&self.path) {
            for entry in entries.flatten() {
                let path = entry.path();
                let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            }
        }
    }
}
