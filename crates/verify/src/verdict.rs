//! The verdict: everything that is checked, in order, and an answer that says what it does and does not mean.
//!
//! [`judge`] takes the artefacts as they were found and the digest that the user pinned. A file that cannot be read is
//! an error and never a verdict; everything that can be read and does not hold is INVALID, with the check that failed.

use lorica_argument::generators::Generators;
use lorica_relation::digests::SessionDigests;
use lorica_relation::rows::{RowsError, SessionRows};
use lorica_relation::session::StreamShape;
use lorica_tensor::{Digest, ModuleName};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::manifest::{Manifest, RangeLevel};
use crate::passes;
use crate::registered::{PinnedAdapter, RegisteredAdapter, RegisteredError};
use crate::session::{SessionInvalid, SessionVerifier};
use crate::statement::{SessionStatement, StatementError, StreamStatement};

/// The format of a verdict.
pub const VERDICT_FORMAT: &str = "lorica-verdict/1";

/// Bits of the statistical error of a session proof: a wrong session is accepted with probability below `2^-120`.
pub const STATISTICAL_BITS: u32 = 120;

/// A session as its header states it, with access to its rows.
#[derive(Clone)]
pub struct SessionRecord<'a> {
    /// The manifest digest that both parties agreed on before the first call.
    pub manifest: Digest,
    /// The session's identifier.
    pub session: Digest,
    /// Calls the user made, counted by the user.
    pub calls: u64,
    /// The modules, which must be the manifest's, in order.
    pub modules: Vec<RecordedModule>,
    /// The streams with the calls that made each.
    pub streams: Vec<RecordedStream>,
    /// Digests taken while the data flowed.
    pub digests: SessionDigests,
    /// The rows.
    pub rows: &'a dyn SessionRows,
}

/// One module of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedModule {
    /// Its name.
    pub name: ModuleName,
    /// Values in a row of its deltas.
    pub outputs: usize,
}

/// One stream of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedStream {
    /// Modules, width and rows.
    pub shape: StreamShape,
    /// Calls.
    pub calls: u64,
}

/// Losses that the user measured while the session ran, in nats per token. They are no part of the proof.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredLoss {
    /// Of the base model alone.
    pub base: f64,
    /// With the adapter's deltas.
    pub adapted: f64,
    /// Tokens predicted.
    pub tokens: u64,
}

/// The artefacts and the pin.
#[derive(Clone)]
pub struct Evidence<'a> {
    /// The digest that the user pinned.
    pub pin: Digest,
    /// `manifest.json`
    pub manifest: &'a [u8],
    /// `commitments.bin`
    pub commitments: &'a [u8],
    /// `registration.bin`
    pub registration: &'a [u8],
    /// The user's own record of the session.
    pub record: SessionRecord<'a>,
    /// `proof.bin`
    pub proof: &'a [u8],
    /// Losses, if the session was about text.
    pub loss: Option<MeasuredLoss>,
}

/// VALID or INVALID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// Everything holds.
    Valid,
    /// Something does not.
    Invalid,
}

/// The checks, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The manifest carries the pinned digest.
    Pin,
    /// The manifest is well-formed.
    Manifest,
    /// The commitment list is the manifest's.
    Commitments,
    /// The registration proof holds.
    Registration,
    /// The session was held under this manifest, with its modules.
    Session,
    /// The rows are those that were recorded while the session ran.
    Digests,
    /// The session has rows, and its shapes fit.
    Coverage,
    /// The proof is well-formed.
    ProofFormat,
    /// The proof holds.
    Proof,
}

/// Why a verdict is INVALID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The check that failed.
    pub check: Check,
    /// The module it is about, where that can be told.
    pub module: Option<ModuleName>,
    /// In words.
    pub message: String,
}

/// What a session covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coverage {
    /// Modules of the manifest.
    pub modules: usize,
    /// Modules with at least one row.
    pub modules_called: usize,
    /// Pinned modules that were never called: nothing is known of them.
    pub never_called: Vec<ModuleName>,
    /// Token rows of all streams.
    pub token_rows: u64,
    /// Rows of deltas: token rows times the modules that read them.
    pub delta_rows: u64,
    /// Calls whose rows the proof covers.
    pub calls_covered: u64,
    /// Calls that the user made.
    pub calls_made: u64,
}

/// The security level of a VALID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityLevel {
    /// A false session is accepted with probability below `2^-statistical_bits` for each attempt.
    pub statistical_bits: u32,
    /// What must be hard.
    pub assumptions: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// [`VERDICT_FORMAT`].
    pub format: String,
    /// VALID or INVALID.
    pub verdict: Outcome,
    /// Why, when INVALID.
    pub reason: Option<Reason>,
    /// The digest that was pinned.
    pub pin: Digest,
    /// The session.
    pub session: Digest,
    /// What was covered.
    pub coverage: Coverage,
    /// How sure it is.
    pub security: SecurityLevel,
    /// Whether the range of the committed weights is proven.
    pub range: RangeLevel,
    /// Losses that the user measured; no part of the proof.
    pub measured_loss: Option<MeasuredLoss>,
    /// In words, what is proven. Empty when INVALID.
    pub proven: Vec<String>,
    /// In words, what is not.
    pub not_proven: Vec<String>,
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum NoVerdict {
    /// The rows could not be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
}

enum Failure {
    Invalid(Reason),
    Error(NoVerdict),
}

impl From<RowsError> for Failure {
    fn from(error: RowsError) -> Self {
        Self::Error(error.into())
    }
}

fn invalid(check: Check, module: Option<&ModuleName>, message: impl ToString) -> Failure {
    Failure::Invalid(Reason { check, module: module.cloned(), message: message.to_string() })
}

/// Checks all evidence and gives the verdict.
pub fn judge(evidence: &Evidence<'_>) -> Result<Verdict, NoVerdict> {
    let reason = match check(evidence) {
        Ok(()) => None,
        Err(Failure::Invalid(reason)) => Some(reason),
        Err(Failure::Error(error)) => return Err(error),
    };
    let coverage = coverage(&evidence.record);
    let valid = reason.is_none();
    // What a manifest that cannot be read says of its range is nothing.
    let range = Manifest::from_json(evidence.manifest).map_or(RangeLevel::None, |manifest| manifest.range);
    Ok(Verdict {
        format: VERDICT_FORMAT.to_owned(),
        verdict: if valid { Outcome::Valid } else { Outcome::Invalid },
        reason,
        pin: evidence.pin,
        session: evidence.record.session,
        security: SecurityLevel {
            statistical_bits: STATISTICAL_BITS,
            assumptions: "discrete logarithms in ristretto255 are hard; BLAKE3 behaves as a random oracle; \
                          SHA-256 and BLAKE3 are collision-resistant"
                .to_owned(),
        },
        range,
        measured_loss: evidence.loss,
        proven: if valid { proven(&coverage, range) } else { Vec::new() },
        not_proven: not_proven(&coverage, range),
        coverage,
    })
}

fn check(evidence: &Evidence<'_>) -> Result<(), Failure> {
    let Evidence { pin, record, .. } = evidence;
    let adapter = RegisteredAdapter::from_bytes(evidence.manifest, evidence.commitments, Some(pin)).map_err(
        |error| match &error {
            RegisteredError::Pin { .. } => invalid(Check::Pin, None, &error),
            RegisteredError::Manifest(_) => invalid(Check::Manifest, None, &error),
            RegisteredError::CommitmentLength { .. } | RegisteredError::CommitmentDigest { .. } => {
                invalid(Check::Commitments, None, &error)
            }
            RegisteredError::CommitmentPoint { module, .. } => {
                invalid(Check::Commitments, Some(module), &error)
            }
        },
    )?;
    let sizes = adapter.sizes();
    let generators = Generators::derive(sizes.width, Layout::new(&sizes).slots());
    let adapter = adapter
        .pin(evidence.registration, &generators)
        .map_err(|error| invalid(Check::Registration, None, error))?;
    check_session(&adapter, record)?;
    let statement = statement(&adapter, record)?;
    let verifier = SessionVerifier {
        adapter: &adapter,
        statement: &statement,
        rows: record.rows,
        generators: &generators,
    };
    verifier.verify(evidence.proof).map_err(|error| match error {
        SessionInvalid::Rows(error) => error.into(),
        error @ SessionInvalid::Statement(_) => invalid(Check::Coverage, None, error),
        error @ SessionInvalid::Adapter { .. } => invalid(Check::Session, None, error),
        error @ (SessionInvalid::Codec(_) | SessionInvalid::Rounds { .. }) => {
            invalid(Check::ProofFormat, None, error)
        }
        error @ (SessionInvalid::Product(_)
        | SessionInvalid::Opening(_)
        | SessionInvalid::Generators { .. }) => invalid(Check::Proof, None, error),
    })
}

fn check_session(adapter: &PinnedAdapter, record: &SessionRecord<'_>) -> Result<(), Failure> {
    if record.manifest != adapter.digest() {
        let message = format!(
            "the session was held under manifest {}, but {} is pinned: the adapter was committed to after the session, or is another",
            record.manifest,
            adapter.digest()
        );
        return Err(invalid(Check::Session, None, message));
    }
    let modules = &adapter.manifest().modules;
    if record.modules.len() != modules.len() {
        let message =
            format!("the session lists {} modules, the manifest {}", record.modules.len(), modules.len());
        return Err(invalid(Check::Session, None, message));
    }
    for (found, expected) in record.modules.iter().zip(modules) {
        if found.name != expected.name {
            let message =
                format!("the session lists {} where the manifest has {}", found.name, expected.name);
            return Err(invalid(Check::Session, Some(&expected.name), message));
        }
        if found.outputs != expected.outputs {
            let message = format!(
                "the session has deltas of {} values, the manifest of {}",
                found.outputs, expected.outputs
            );
            return Err(invalid(Check::Session, Some(&expected.name), message));
        }
    }
    Ok(())
}

/// Recomputes all digests, compares them with the recorded ones, and makes the statement from the recomputed ones.
fn statement(adapter: &PinnedAdapter, record: &SessionRecord<'_>) -> Result<SessionStatement, Failure> {
    let modules = adapter.manifest().shapes();
    let shapes: Vec<StreamShape> = record.streams.iter().map(|stream| stream.shape.clone()).collect();
    let mut statement = SessionStatement {
        manifest: adapter.digest(),
        session: record.session,
        modules,
        streams: record
            .streams
            .iter()
            .map(|stream| StreamStatement {
                shape: stream.shape.clone(),
                calls: stream.calls,
                inputs: Digest([0; 32]),
                exponents: Digest([0; 32]),
            })
            .collect(),
        deltas: record.modules.iter().map(|_| Digest([0; 32])).collect(),
    };
    statement.check().map_err(|error| match &error {
        StatementError::FedTwice { module, .. } => {
            let named = record.modules.iter().find(|recorded| recorded.name.as_str() == module);
            invalid(Check::Coverage, named.map(|recorded| &recorded.name), &error)
        }
        _ => invalid(Check::Coverage, None, &error),
    })?;
    let coverage = coverage(record);
    if coverage.calls_covered != coverage.calls_made {
        let message = format!(
            "the streams hold {} calls, but {} were made",
            coverage.calls_covered, coverage.calls_made
        );
        return Err(invalid(Check::Coverage, None, message));
    }
    let found = passes::digests(&statement.modules, &shapes, record.rows)?;
    compare(record, &found)?;
    for (stream, digests) in statement.streams.iter_mut().zip(found.streams) {
        stream.inputs = digests.inputs;
        stream.exponents = digests.exponents;
    }
    statement.deltas = found.modules;
    Ok(statement)
}

fn compare(record: &SessionRecord<'_>, found: &SessionDigests) -> Result<(), Failure> {
    let message = |what: String| {
        format!("{what} are not those recorded while the session ran: the transcript was changed afterwards")
    };
    let counts = (record.digests.streams.len(), record.digests.modules.len());
    if counts != (found.streams.len(), found.modules.len()) {
        return Err(invalid(Check::Digests, None, "the header holds another number of digests"));
    }
    for (index, (recorded, found)) in record.digests.streams.iter().zip(&found.streams).enumerate() {
        if recorded != found {
            let first = record.streams.get(index).and_then(|stream| stream.shape.modules.first());
            let module = first.and_then(|module| record.modules.get(module.0)).map(|module| &module.name);
            return Err(invalid(
                Check::Digests,
                module,
                message(format!("the activations of stream {index}")),
            ));
        }
    }
    for ((recorded, found), module) in record.digests.modules.iter().zip(&found.modules).zip(&record.modules)
    {
        if recorded != found {
            let name = &module.name;
            return Err(invalid(Check::Digests, Some(name), message(format!("the deltas of {name}"))));
        }
    }
    Ok(())
}

fn coverage(record: &SessionRecord<'_>) -> Coverage {
    let rows: Vec<StreamShape> = record.streams.iter().map(|stream| stream.shape.clone()).collect();
    let rows = passes::rows_of_modules(record.modules.len(), &rows);
    let never_called: Vec<ModuleName> = record
        .modules
        .iter()
        .zip(&rows)
        .filter(|(_, rows)| **rows == 0)
        .map(|(module, _)| module.name.clone())
        .collect();
    let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0u64, u64::saturating_add);
    Coverage {
        modules: record.modules.len(),
        modules_called: record.modules.len().saturating_sub(never_called.len()),
        never_called,
        token_rows: sum(&mut record.streams.iter().map(|stream| stream.shape.rows)),
        delta_rows: sum(&mut rows.into_iter()),
        calls_covered: sum(&mut record.streams.iter().map(|stream| stream.calls)),
        calls_made: record.calls,
    }
}

fn proven(coverage: &Coverage, range: RangeLevel) -> Vec<String> {
    let level = match range {
        RangeLevel::None => {
            "Equality is shown modulo the group order with one fixed committed low-rank map (no range argument)."
        }
        RangeLevel::Int16 => {
            "Equality is exact over the integers: every committed entry is proven to be an integer of 16 bits."
        }
    };
    vec![
        format!(
            "Each of the {} delta rows of {} modules is B (A x) for the matrices committed to in the pinned manifest, \
             for the exact int16 activations x of this session ({} of {} calls).",
            coverage.delta_rows, coverage.modules_called, coverage.calls_covered, coverage.calls_made
        ),
        level.to_owned(),
    ]
}

fn not_proven(coverage: &Coverage, range: RangeLevel) -> Vec<String> {
    let mut lines = Vec::new();
    match range {
        RangeLevel::None => lines.push(
            "That the committed entries are small integers: the range argument is not part of this manifest."
                .to_owned(),
        ),
        RangeLevel::Int16 => {}
    }
    if !coverage.never_called.is_empty() {
        let names: Vec<&str> = coverage.never_called.iter().map(ModuleName::as_str).collect();
        lines.push(format!("Anything about the modules that were never called: {}.", names.join(", ")));
    }
    lines.extend(
        [
            "That the adapter is useful: the losses are the user's own measurement.",
            "How the adapter was trained, or on what data.",
            "That activations were rounded well: the statement begins at the integers that were sent.",
            "That the deltas hide the weights: D is a linear function of X, and enough rows of it determine B A.",
        ]
        .map(str::to_owned),
    );
    lines
}
