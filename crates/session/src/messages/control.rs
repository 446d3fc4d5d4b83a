//! The JSON messages that open and finish a session.

use lorica_relation::{
    digests::SessionDigests,
    rows::{FIXED_POINT_FORMAT, ModuleIndex},
};
use lorica_tensor::{Digest, ModuleName};
use serde::{Deserialize, Serialize};

use crate::{messages::refusal::Refusal, shapes::SessionShapes};

/// Name and version of the protocol.
pub const PROTOCOL: &str = "lorica-session/1";
/// The largest control message, in bytes: 4,096 names of 256 bytes fit several times over.
pub const MAX_CONTROL_BYTES: u64 = 4 << 20;
/// Bits of an activation.
pub const ACTIVATION_BITS: u32 = 16;

/// The user's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRequest {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// The pinned manifest digest.
    pub manifest: Digest,
    /// 32 random bytes of the user.
    pub nonce: Digest,
    /// What the integers mean.
    pub fixed_point: FixedPoint,
    /// Which modules share an input.
    pub streams: Vec<StreamRequest>,
}

/// What the integers mean. Both parties must hold the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedPoint {
    /// [`FIXED_POINT_FORMAT`].
    pub format: String,
    /// [`ACTIVATION_BITS`].
    pub activation_bits: u32,
}

impl FixedPoint {
    /// The fixed point of this version.
    pub fn current() -> Self {
        Self { format: FIXED_POINT_FORMAT.to_owned(), activation_bits: ACTIVATION_BITS }
    }
}

impl std::fmt::Display for FixedPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {} activation bits", self.format, self.activation_bits)
    }
}

/// A stream of activations that one or more modules read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Values in a row.
    pub width: usize,
    /// The modules, in the order in which an answer carries their deltas.
    pub modules: Vec<ModuleName>,
}

/// The contributor's answer to [`OpenRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenReply {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// The digest of the manifest that is served.
    pub manifest: Digest,
    /// 32 random bytes of the contributor.
    pub nonce: Digest,
    /// The session's identity, from both nonces and the manifest digest.
    pub session: Digest,
    /// What the integers mean.
    pub fixed_point: FixedPoint,
    /// The accepted streams.
    pub streams: Vec<StreamRequest>,
    /// What the contributor accepts.
    pub limits: Limits,
}

/// What a contributor accepts in one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Rows in one call.
    pub max_rows_per_call: u32,
    /// Bytes of one request body and of one answer body.
    pub max_body_bytes: u64,
    /// Rows in the session, of all streams together.
    pub max_total_rows: u64,
    /// Rows of the diagnostic float check in the session, of all streams together; 0 where it is off.
    pub max_float_rows: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_rows_per_call: 8_192,
            max_body_bytes: 32 << 20,
            max_total_rows: 1 << 40,
            max_float_rows: 0,
        }
    }
}

/// What one party holds at the end of a session. Both send theirs, and the session is finished when they agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The session's identity.
    pub session: Digest,
    /// Calls in all.
    pub calls: u64,
    /// Rows of each stream.
    pub rows: Vec<u64>,
    /// Digests of all rows.
    pub digests: SessionDigests,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It takes calls.
    Serving,
    /// Both parties agreed on what it held.
    Finished,
}

/// A contributor's answer to the question how a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The session's identity.
    pub session: Digest,
    /// Where it stands.
    pub phase: Phase,
    /// Calls in all.
    pub calls: u64,
    /// Rows of each stream.
    pub rows: Vec<u64>,
    /// Whether a proof can be fetched.
    pub proof: bool,
}

/// In what the parties' summaries differ.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the parties disagree on the {what}: this side has {ours}, the other {theirs}")]
pub struct FinishError {
    /// The count or the digest, with its stream or module.
    pub what: String,
    /// What this side holds.
    pub ours: String,
    /// What the other side holds.
    pub theirs: String,
}

impl FinishError {
    /// The refusal that the other party gets.
    pub fn refusal(&self) -> Refusal {
        let hint = "rows were changed or lost on the way; neither side's transcript can be proven to the other, start a new session";
        Refusal::new(format!("the parties disagree on the {}", self.what), &self.theirs, &self.ours, hint)
    }
}

/// Compares two summaries, and names the first thing that differs: counts first, then digests stream by stream.
pub(crate) fn compare(ours: &Summary, theirs: &Summary, shapes: &SessionShapes) -> Result<(), FinishError> {
    let same = |what: String, ours: String, theirs: String| {
        if ours == theirs { Ok(()) } else { Err(FinishError { what, ours, theirs }) }
    };
    same("session identity".to_owned(), ours.session.to_string(), theirs.session.to_string())?;
    same("number of calls".to_owned(), ours.calls.to_string(), theirs.calls.to_string())?;
    let lengths = |summary: &Summary| {
        let Summary { rows, digests, .. } = summary;
        format!(
            "{} streams, {} stream digests, {} module digests",
            rows.len(),
            digests.streams.len(),
            digests.modules.len()
        )
    };
    same("lists of the summary".to_owned(), lengths(ours), lengths(theirs))?;
    for (stream, (ours, theirs)) in ours.rows.iter().zip(&theirs.rows).enumerate() {
        same(format!("number of rows of stream {stream}"), ours.to_string(), theirs.to_string())?;
    }
    for (stream, (ours, theirs)) in ours.digests.streams.iter().zip(&theirs.digests.streams).enumerate() {
        same(format!("activations of stream {stream}"), ours.inputs.to_string(), theirs.inputs.to_string())?;
        same(
            format!("exponents of stream {stream}"),
            ours.exponents.to_string(),
            theirs.exponents.to_string(),
        )?;
    }
    for (module, (ours, theirs)) in ours.digests.modules.iter().zip(&theirs.digests.modules).enumerate() {
        let name = shapes.modules.get(module).map_or("?", |module| module.name.as_str());
        let stream = shapes.streams.iter().position(|stream| stream.modules.contains(&ModuleIndex(module)));
        let stream = stream.map_or_else(String::new, |stream| format!(" of stream {stream}"));
        same(format!("deltas of module {name}{stream}"), ours.to_string(), theirs.to_string())?;
    }
    Ok(())
}
