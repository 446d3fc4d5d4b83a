//! The folders of `lorica train` on disk.
//!
//! ```text
//! DATA/                                             what `lorica train commit-data` writes
//!   manifest.json, commitments.bin, registration.bin
//!   private/samples.bin, private/secret
//! RUN/                                              what `lorica train run` and `prove` write
//!   public/run.json, public/step.toml, public/batches.bin
//!   public/data/, public/model/                     manifest.json, commitments.bin, registration.bin
//!   public/proofs/FIRST-LAST.bin
//!   private/samples.bin, private/data-secret, private/secret
//!   private/checkpoints/STEP.safetensors            exact weights
//!   private/blinds/FIRST-LAST.bin                   blinds of a proof's commitments, for the proofs after it
//! ```

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use lorica_algebra::{Scalar, scalar};
use lorica_prove::{registration::Registered, secret::AdapterSecret};
use lorica_relation::training::{Settings, TrainingConfig};
use lorica_tensor::files::{FileMode, create_atomically, read_at_most, write_atomically};
use lorica_train::DataSet;
use lorica_verify::training::record::{ProofEntry, RegisteredFiles, RunFiles, RunRecord};
use zeroize::Zeroizing;

use crate::{
    artefacts::{ArtefactPaths, MAX_PROOF_BYTES, read_required, write_bytes},
    error::CliError,
};

const CONFIG_LIMIT: u64 = 1 << 20;
const MANIFEST_LIMIT: u64 = 64 << 20;
const COMMITMENTS_LIMIT: u64 = 256 << 20;
const BATCHES_LIMIT: u64 = 1 << 32;
const SAMPLES_LIMIT: u64 = 8 << 30;
const HINT: &str = "expected a folder that `lorica train` wrote";
const SAMPLES_MAGIC: &[u8; 8] = b"LoricaD1";

/// Reads a configuration and the integers that it stands for.
pub(super) fn read_config(path: &Path) -> Result<(TrainingConfig, Settings), CliError> {
    let config = read_unresolved(path)?;
    let settings = settings_of(&config, path)?;
    Ok((config, settings))
}

/// The integers that a configuration stands for.
pub(super) fn settings_of(config: &TrainingConfig, path: &Path) -> Result<Settings, CliError> {
    config.settings().map_err(|error| CliError::Content { path: path.to_owned(), reason: error.to_string() })
}

/// Reads a configuration whose kind of update may be open.
pub(super) fn read_unresolved(path: &Path) -> Result<TrainingConfig, CliError> {
    let content = |reason: String| CliError::Content { path: path.to_owned(), reason };
    let bytes = read_at_most(path, CONFIG_LIMIT)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| content("expected TOML, found bytes that are no text".to_owned()))?;
    TrainingConfig::from_toml(text).map_err(|error| content(error.to_string()))
}

/// The three public files of a data set or a model.
pub(super) struct RegisteredBytes {
    pub(super) manifest: Vec<u8>,
    pub(super) commitments: Vec<u8>,
    pub(super) registration: Vec<u8>,
}

impl RegisteredBytes {
    pub(super) fn read(folder: &Path) -> Result<Self, CliError> {
        let paths = ArtefactPaths::in_folder(folder);
        Ok(Self {
            manifest: read_required(&paths.manifest, MANIFEST_LIMIT, HINT)?,
            commitments: read_required(&paths.commitments, COMMITMENTS_LIMIT, HINT)?,
            registration: read_required(&paths.registration, MAX_PROOF_BYTES, HINT)?,
        })
    }

    pub(super) fn of(registered: Registered) -> Self {
        Self {
            manifest: registered.manifest.into_bytes(),
            commitments: registered.commitments,
            registration: registered.proof,
        }
    }

    /// Writes the files, the manifest last: where it is, the others are.
    pub(super) fn write(&self, folder: &Path) -> Result<(), CliError> {
        let paths = ArtefactPaths::in_folder(folder);
        write_bytes(&paths.commitments, &self.commitments)?;
        write_bytes(&paths.registration, &self.registration)?;
        write_bytes(&paths.manifest, &self.manifest)
    }

    pub(super) fn files(&self) -> RegisteredFiles<'_> {
        RegisteredFiles {
            manifest: &self.manifest,
            commitments: &self.commitments,
            registration: &self.registration,
        }
    }
}

/// The folder of a data set.
pub(super) struct DataFolder {
    path: PathBuf,
}

impl DataFolder {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn private(&self) -> PathBuf {
        self.path.join("private")
    }

    pub(super) fn samples(&self) -> PathBuf {
        self.private().join("samples.bin")
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.private().join("secret")
    }

    /// Writes what is to be kept.
    pub(super) fn write_private(&self, data: &DataSet, secret: &AdapterSecret) -> Result<(), CliError> {
        create_folder(&self.private())?;
        write_secret(&self.secret(), secret)?;
        write_samples(&self.samples(), data)
    }
}

/// The folder of a run.
pub(super) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The run that a public folder, or the folder around it, belongs to.
    pub(super) fn public_at(path: &Path) -> PathBuf {
        let inside = path.join("public");
        if inside.join("run.json").exists() { inside } else { path.to_owned() }
    }

    pub(super) fn public(&self) -> PathBuf {
        self.path.join("public")
    }

    pub(super) fn samples(&self) -> PathBuf {
        self.path.join("private/samples.bin")
    }

    pub(super) fn data_secret(&self) -> PathBuf {
        self.path.join("private/data-secret")
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.path.join("private/secret")
    }

    pub(super) fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(format!("private/checkpoints/{step:06}.safetensors"))
    }

    fn blinds(&self, entry: &ProofEntry) -> PathBuf {
        self.path.join("private/blinds").join(file_name(entry))
    }

    /// The configuration of the run, as it was when it began.
    pub(super) fn config(&self) -> PathBuf {
        self.public().join("step.toml")
    }

    /// Writes the configuration.
    pub(super) fn write_config(&self, config: &TrainingConfig) -> Result<(), CliError> {
        let path = self.config();
        let text = config.to_toml();
        let text =
            text.map_err(|error| CliError::Content { path: path.clone(), reason: error.to_string() })?;
        write_bytes(&path, text.as_bytes())
    }

    /// Makes all folders.
    pub(super) fn create(&self) -> Result<(), CliError> {
        for folder in
            ["public/data", "public/model", "public/proofs", "private/checkpoints", "private/blinds"]
        {
            create_folder(&self.path.join(folder))?;
        }
        // The folder itself, so that names of files in it are nobody's either.
        use std::os::unix::fs::PermissionsExt as _;
        let private = self.path.join("private");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700))
            .map_err(CliError::io("protect", &private))
    }

    /// The last step, up to the given one, whose weights were kept.
    pub(super) fn checkpoint_before(&self, step: u64) -> Result<u64, CliError> {
        let folder = self.path.join("private/checkpoints");
        let entries = fs::read_dir(&folder).map_err(CliError::io("read", &folder))?;
        let steps = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".safetensors")?.parse::<u64>().ok()
        });
        let missing = || CliError::Missing { path: self.checkpoint(0), hint: HINT };
        steps.filter(|kept| *kept <= step).max().ok_or_else(missing)
    }

    /// Keeps a proof's blinds, writes the proof, and only then the record that names it.
    pub(super) fn add_proof(
        &self,
        record: &RunRecord,
        entry: &ProofEntry,
        proof: &[u8],
        blinds: &[Scalar],
    ) -> Result<(), CliError> {
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(blinds.iter().flat_map(scalar::to_bytes).collect());
        write_atomically(&self.blinds(entry), FileMode::Secret, |file| file.write_all(&bytes))?;
        write_bytes(&proof_path(&self.public(), entry), proof)?;
        self.write_record(record)
    }

    pub(super) fn write_record(&self, record: &RunRecord) -> Result<(), CliError> {
        let path = self.public().join("run.json");
        let text = record
            .to_json()
            .map_err(|error| CliError::Content { path: path.clone(), reason: error.to_string() })?;
        write_bytes(&path, text.as_bytes())
    }

    /// The blinds that were kept of a proof.
    pub(super) fn read_blinds(&self, entry: &ProofEntry) -> Result<Zeroizing<Vec<Scalar>>, CliError> {
        let path = self.blinds(entry);
        let bytes = Zeroizing::new(read_required(&path, COMMITMENTS_LIMIT, HINT)?);
        let (chunks, rest) = bytes.as_chunks::<32>();
        let blinds: Option<Vec<Scalar>> = chunks.iter().map(scalar::from_canonical_bytes).collect();
        match blinds {
            Some(blinds) if rest.is_empty() => Ok(Zeroizing::new(blinds)),
            _ => Err(CliError::Content {
                path,
                reason: "expected blinds of 32 bytes each; the file is damaged".to_owned(),
            }),
        }
    }
}

/// The public files of a run, proofs left out.
pub(super) struct PublicFiles {
    record: Vec<u8>,
    data: RegisteredBytes,
    model: RegisteredBytes,
    batches: Vec<u8>,
}

impl PublicFiles {
    pub(super) fn read(public: &Path) -> Result<Self, CliError> {
        Ok(Self {
            record: read_required(&public.join("run.json"), MANIFEST_LIMIT, HINT)?,
            data: RegisteredBytes::read(&public.join("data"))?,
            model: RegisteredBytes::read(&public.join("model"))?,
            batches: read_required(&public.join("batches.bin"), BATCHES_LIMIT, HINT)?,
        })
    }

    pub(super) fn files(&self) -> RunFiles<'_> {
        RunFiles {
            record: &self.record,
            data: self.data.files(),
            model: self.model.files(),
            batches: &self.batches,
        }
    }
}

fn file_name(entry: &ProofEntry) -> String {
    format!("{:06}-{:06}.bin", entry.first, entry.end().saturating_sub(1))
}

fn proof_path(public: &Path, entry: &ProofEntry) -> PathBuf {
    public.join("proofs").join(file_name(entry))
}

/// Reads a proof of a run.
pub(super) fn read_proof(public: &Path, entry: &ProofEntry) -> Result<Vec<u8>, CliError> {
    read_required(&proof_path(public, entry), MAX_PROOF_BYTES, HINT)
}

/// Writes a secret, which must not be there yet.
pub(super) fn write_secret(path: &Path, secret: &AdapterSecret) -> Result<(), CliError> {
    Ok(create_atomically(path, FileMode::Secret, |file| file.write_all(secret.to_text().as_bytes()))?)
}

/// Writes the integers of a data set: magic, widths of inputs and targets, then 16 bits for each entry.
pub(super) fn write_samples(path: &Path, data: &DataSet) -> Result<(), CliError> {
    let widths = [data.inputs() as u64, data.targets() as u64];
    Ok(write_atomically(path, FileMode::Secret, |file| {
        file.write_all(SAMPLES_MAGIC)?;
        widths.iter().try_for_each(|width| file.write_all(&width.to_le_bytes()))?;
        let bytes: Zeroizing<Vec<u8>> =
            Zeroizing::new(data.samples().iter().flat_map(|value| value.to_le_bytes()).collect());
        file.write_all(&bytes)
    })?)
}

/// Reads the integers of a data set.
pub(super) fn read_samples(path: &Path) -> Result<DataSet, CliError> {
    let bytes = Zeroizing::new(read_required(path, SAMPLES_LIMIT, HINT)?);
    let damaged =
        || CliError::Content { path: path.to_owned(), reason: "the file of samples is damaged".to_owned() };
    let rest = bytes.strip_prefix(SAMPLES_MAGIC).ok_or_else(damaged)?;
    let (widths, rest) = rest.split_at_checked(16).ok_or_else(damaged)?;
    let (widths, _) = widths.as_chunks::<8>();
    let [inputs, targets] = widths else { return Err(damaged()) };
    let width = |bytes: &[u8; 8]| usize::try_from(u64::from_le_bytes(*bytes)).map_err(|_| damaged());
    let (values, odd) = rest.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(damaged());
    }
    let samples = values.iter().map(|value| i16::from_le_bytes(*value)).collect();
    Ok(DataSet::new(width(inputs)?, width(targets)?, samples)?)
}

/// Copies a private file, readable by its owner alone.
pub(super) fn copy_private(from: &Path, to: &Path) -> Result<(), CliError> {
    let bytes = Zeroizing::new(read_required(from, SAMPLES_LIMIT, HINT)?);
    Ok(write_atomically(to, FileMode::Secret, |file| file.write_all(&bytes))?)
}

fn create_folder(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path).map_err(CliError::io("create", path))
}
