//! What can go wrong in a command. Each message names what was found, what was expected and what to do.

use std::{io, path::PathBuf};

use lorica_adapter::AdapterError;
use lorica_algebra::kernels::SimdError;
use lorica_attack::session::ForgeryError;
use lorica_commitment::CommitError;
use lorica_model::ModelError;
use lorica_prove::{registration::RegistrationError, secret::SecretError, session::SessionProofError};
use lorica_provenance::{ReadError, WriteError};
use lorica_relation::rows::RowsError;
use lorica_serve::{ClientError, ServeError, record::RecordError};
use lorica_session::engine::EngineError;
use lorica_tensor::{Digest, files::FileError};
use lorica_transcript::TranscriptError;
use lorica_verify::{registered::RegisteredError, registration::RegistrationInvalid, verdict::NoVerdict};

use crate::exit::Exit;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Arguments that clap accepts but that do not go together.
    #[error("{0}")]
    Usage(String),
    /// The thread pool.
    #[error("cannot run on {threads} threads: {reason}; leave --threads out to use all cores")]
    Threads { threads: usize, reason: String },
    #[error(transparent)]
    Simd(#[from] SimdError),
    #[error("the operating system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write the report: {0}")]
    Report(io::Error),
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of a set that belongs together is not there.
    #[error("{} is missing: {hint}", path.display())]
    Missing { path: PathBuf, hint: &'static str },
    /// A folder that must be new.
    #[error("{} {problem}: name a new or an empty folder", path.display())]
    Occupied { path: PathBuf, problem: &'static str },
    #[error("{}: {reason}", path.display())]
    Content { path: PathBuf, reason: String },
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    #[error(transparent)]
    Model(ModelError),
    #[error("{}: {source}", path.display())]
    Secret { path: PathBuf, source: SecretError },
    /// A check of public artefacts said no.
    #[error(transparent)]
    Registered(#[from] RegisteredError),
    #[error(transparent)]
    RegistrationInvalid(#[from] RegistrationInvalid),
    /// The weights at hand are not those of the manifest.
    #[error("{0}")]
    NotOpened(String),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(
        "the base model in {} is not the one the manifest names: {what} is {found}, expected {expected}; use the base model \
         the adapter was committed for", path.display()
    )]
    Base { path: PathBuf, what: &'static str, expected: String, found: String },
    /// More tokens than the model has positions.
    #[error("{what}: {found} tokens, the model's context has {allowed}; {hint}")]
    TooLong { what: &'static str, found: usize, allowed: usize, hint: &'static str },
    #[error(transparent)]
    Bench(#[from] lorica_bench::error::BenchError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(
        "{source}; what was recorded before ({calls} calls) is kept in {}, but an unfinished session cannot be proven: run \
         again with another --out", path.display()
    )]
    Interrupted { path: PathBuf, calls: u64, source: Box<CliError> },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    #[error("the session was held under manifest {session}, {} is {found}: name the manifest that was served", path.display())]
    OtherManifest { path: PathBuf, session: Digest, found: Digest },
    #[error(transparent)]
    Proof(#[from] SessionProofError),
    #[error(transparent)]
    NoVerdict(#[from] NoVerdict),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error(transparent)]
    Forgery(#[from] ForgeryError),
    #[error(transparent)]
    Source(#[from] lorica_examine::source::SourceError),
    #[error(transparent)]
    Side(#[from] lorica_examine::side::SideError),
    #[error(transparent)]
    Agreement(#[from] lorica_examine::agreement::AgreementError),
    #[error(transparent)]
    Comparison(#[from] lorica_examine::comparison::ComparisonError),
    #[error(transparent)]
    Recording(#[from] lorica_examine::recording::RecordingError),
    #[error(transparent)]
    Structure(#[from] lorica_examine::structure::StructureError),
    #[error(transparent)]
    Calibration(#[from] lorica_examine::calibrate::CalibrationError),
    #[error(transparent)]
    Relation(#[from] lorica_examine::relation::RelationError),
    #[error(transparent)]
    Survey(#[from] Box<lorica_examine::survey::SurveyError>),
    #[error(transparent)]
    Fit(#[from] Box<lorica_examine::survey::FitFailed>),
    #[error(transparent)]
    Robustness(#[from] lorica_examine::robustness::RobustnessError),
    /// A side that failed outside a comparison.
    #[error(transparent)]
    Respondent(#[from] lorica_identity::RespondentError),
    #[error(transparent)]
    Bank(#[from] lorica_identity::BankError),
    /// A plan in which a decision can never happen.
    #[error(transparent)]
    Plan(#[from] lorica_identity::PlanError),
    #[error(transparent)]
    Evidence(#[from] lorica_evidence::WriteError),
    #[error(transparent)]
    Bundle(#[from] lorica_evidence::VerifyError),
    #[error(transparent)]
    ServeModel(#[from] lorica_endpoint::server::ServeError),
    #[error(transparent)]
    Zoo(#[from] lorica_zoo::ZooError),
    #[error(transparent)]
    Train(#[from] lorica_train::TrainError),
    #[error(transparent)]
    TrainingTable(#[from] lorica_train::TableError),
    #[error(transparent)]
    ModelFile(#[from] lorica_train::ModelFileError),
    /// Two checkpoints and a batch that make no provable step.
    #[error(transparent)]
    Step(#[from] lorica_train::CheckpointError),
    #[error(transparent)]
    RowsRegistration(#[from] lorica_prove::rows::RowsRegistrationError),
    #[error(transparent)]
    RunProof(#[from] lorica_prove::training::run::RunProofError),
    #[error(transparent)]
    TrainingRecord(#[from] lorica_verify::training::record::RecordError),
    #[error(transparent)]
    InvalidRun(#[from] lorica_verify::training::record::InvalidRun),
    #[error(transparent)]
    Key(#[from] lorica_provenance::KeyFileError),
    #[error(transparent)]
    LogWrite(#[from] lorica_provenance::WriteError),
    #[error(transparent)]
    LogRead(#[from] lorica_provenance::ReadError),
    #[error(transparent)]
    Audit(#[from] lorica_provenance::audit::AuditError),
    /// The log's tiles give no proof that holds.
    #[error(
        "no proof was written, because it does not hold: {source}; `lorica train log verify --log {log}` names the place"
    )]
    NotProven { log: String, source: Box<lorica_provenance::ProofInvalid> },
    #[error(transparent)]
    Commitment(#[from] lorica_commitment::CommitError),
    #[error(transparent)]
    CommitmentDocument(#[from] lorica_commitment::DocumentError),
    #[error(
        "the contributor's server did not start: expected its address on stdout, found {found:?}; its own message is above"
    )]
    ServerProcess { found: String },
}

impl CliError {
    /// The exit code: a failed check is a no, everything else that is not about usage is a failure.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::Threads { .. } | Self::Simd(_) | Self::Plan(_) => Exit::Usage,
            Self::Side(lorica_examine::side::SideError::NoModelName(..)) => Exit::Usage,
            Self::Agreement(error) if error.is_usage() => Exit::Usage,
            // What is no manifest at all was not checked against anything.
            Self::Registered(RegisteredError::Manifest(_)) => Exit::Failed,
            Self::Registered(_) | Self::RegistrationInvalid(_) | Self::NotOpened(_) => Exit::No,
            Self::Step(error) if error.is_no() => Exit::No,
            Self::InvalidRun(_) => Exit::No,
            Self::LogWrite(WriteError::Changed { .. }) | Self::NotProven { .. } => Exit::No,
            Self::LogRead(error) | Self::LogWrite(WriteError::Read(error)) => match error {
                // Signed by nobody, or by somebody else.
                ReadError::Checkpoint { .. } => Exit::No,
                _ => Exit::Failed,
            },
            Self::Commitment(CommitError::NoSecret | CommitError::Nothing) => Exit::Usage,
            Self::Interrupted { source, .. } => source.exit(),
            _ => Exit::Failed,
        }
    }

    /// For `map_err` on file-system calls.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        // What a hook fails with is the contributor's answer: the message is about that, not about the hook.
        match error {
            ModelError::Hook { modules, source } => match source.downcast::<ClientError>() {
                Ok(error) => Self::Client(*error),
                Err(source) => Self::Model(ModelError::Hook { modules, source }),
            },
            other => Self::Model(other),
        }
    }
}
