//! The checks of a handshake, which both parties make alike, and the session's identity.

use lorica_relation::rows::ModuleIndex;
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::manifest::{Manifest, ManifestError};

use crate::{
    messages::{
        control::{FixedPoint, Limits, PROTOCOL, StreamRequest},
        refusal::Refusal,
    },
    shapes::{SessionShapes, StreamShapes},
};

/// Why the parties cannot open a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The manifest is not valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The other party holds something else.
    #[error("{what}: expected {expected}, found {found}")]
    Differs {
        /// What differs.
        what: &'static str,
        /// What this party holds.
        expected: String,
        /// What the other party sent.
        found: String,
    },
    /// A stream names a module that the manifest does not have.
    #[error("stream {stream}: the manifest has no module {name}")]
    UnknownModule {
        /// Index of the stream.
        stream: usize,
        /// The name.
        name: ModuleName,
    },
    /// A module stands in two streams, or twice in one.
    #[error("stream {stream}: module {name} already reads stream {earlier}; a module reads one stream")]
    RepeatedModule {
        /// Index of the stream.
        stream: usize,
        /// The stream that named it before.
        earlier: usize,
        /// The name.
        name: ModuleName,
    },
    /// A module cannot read the rows of its stream.
    #[error("stream {stream}: module {name} has {expected} inputs, the stream has rows of {found}")]
    Width {
        /// Index of the stream.
        stream: usize,
        /// The module.
        name: ModuleName,
        /// The module's input width.
        expected: usize,
        /// The stream's width.
        found: usize,
    },
    /// There is no stream, or a stream has no module.
    #[error("{what} is empty: expected at least one {expected}")]
    Empty {
        /// What is empty.
        what: String,
        /// What should be in it.
        expected: &'static str,
    },
    /// Not even one row keeps the limits.
    #[error("stream {stream}: a row and its deltas take {row_bytes} bytes, a body may have {limit}")]
    RowTooLarge {
        /// Index of the stream.
        stream: usize,
        /// Bytes of the larger of the two bodies with one row.
        row_bytes: u64,
        /// Bytes of a body.
        limit: u64,
    },
}

impl HandshakeError {
    /// The refusal that the other party gets.
    pub fn refusal(&self) -> Refusal {
        let (expected, found, hint) = match self {
            Self::Differs { what, expected, found } => (expected.clone(), found.clone(), hint_for(what)),
            Self::UnknownModule { name, .. } => {
                (String::new(), name.to_string(), "use the module names of the served manifest")
            }
            Self::RepeatedModule { name, .. } => (String::new(), name.to_string(), "name each module once"),
            Self::Width { expected, found, .. } => {
                (expected.to_string(), found.to_string(), "group only modules that read the same input")
            }
            Self::Empty { expected, .. } => (format!("at least one {expected}"), "none".to_owned(), ""),
            Self::RowTooLarge { row_bytes, limit, .. } => (
                format!("at most {limit} bytes"),
                format!("{row_bytes} bytes"),
                "ask the contributor to raise its body limit",
            ),
            Self::Manifest(_) => (String::new(), String::new(), "fetch the manifest again"),
        };
        let error = match self {
            Self::Differs { what, .. } => format!("the parties disagree on the {what}"),
            other => other.to_string(),
        };
        Refusal::new(error, found, expected, hint)
    }
}

fn hint_for(what: &str) -> &'static str {
    match what {
        "manifest digest" => {
            "the contributor serves another adapter than the one that was pinned: ask for the right manifest, and pin its digest anew only if you trust it"
        }
        _ => "use the same version of lorica on both sides",
    }
}

pub(crate) fn same<T: PartialEq + ToString>(
    what: &'static str,
    expected: &T,
    found: &T,
) -> Result<(), HandshakeError> {
    if expected == found {
        return Ok(());
    }
    Err(HandshakeError::Differs { what, expected: expected.to_string(), found: found.to_string() })
}

/// Checks protocol and fixed point of the other party.
pub(crate) fn check_versions(protocol: &str, fixed_point: &FixedPoint) -> Result<(), HandshakeError> {
    same("protocol", &PROTOCOL.to_owned(), &protocol.to_owned())?;
    same("fixed point", &FixedPoint::current(), fixed_point)
}

/// The identity of a session: BLAKE3 in key derivation mode over manifest digest, user's and contributor's nonce.
pub fn session_identity(manifest: Digest, user_nonce: Digest, contributor_nonce: Digest) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("lorica-session/1 session identity");
    hasher.update(manifest.as_bytes()).update(user_nonce.as_bytes()).update(contributor_nonce.as_bytes());
    Digest(*hasher.finalize().as_bytes())
}

/// Checks streams against the manifest and resolves their modules.
pub fn resolve_streams(
    manifest: &Manifest,
    streams: &[StreamRequest],
) -> Result<SessionShapes, HandshakeError> {
    if streams.is_empty() {
        return Err(HandshakeError::Empty { what: "the list of streams".to_owned(), expected: "stream" });
    }
    let modules = manifest.shapes();
    let mut reads: Vec<Option<usize>> = vec![None; modules.len()];
    let mut resolved = Vec::new();
    for (stream, request) in streams.iter().enumerate() {
        if request.modules.is_empty() {
            return Err(HandshakeError::Empty { what: format!("stream {stream}"), expected: "module" });
        }
        let mut shapes = StreamShapes { width: request.width, modules: Vec::new(), outputs: Vec::new() };
        for name in &request.modules {
            // The manifest's names are strictly increasing.
            let at = modules.binary_search_by(|module| module.name.cmp(name));
            let found = at.ok().and_then(|at| Some((at, modules.get(at)?, reads.get_mut(at)?)));
            let Some((at, module, read)) = found else {
                return Err(HandshakeError::UnknownModule { stream, name: name.clone() });
            };
            if let Some(earlier) = read.replace(stream) {
                return Err(HandshakeError::RepeatedModule { stream, earlier, name: name.clone() });
            }
            if module.inputs != request.width {
                let (expected, found) = (module.inputs, request.width);
                return Err(HandshakeError::Width { stream, name: name.clone(), expected, found });
            }
            shapes.modules.push(ModuleIndex(at));
            shapes.outputs.push(module.outputs);
        }
        resolved.push(shapes);
    }
    Ok(SessionShapes { modules, streams: resolved })
}

/// Checks that every stream can carry at least one row.
pub(crate) fn check_limits(shapes: &SessionShapes, limits: &Limits) -> Result<(), HandshakeError> {
    for (stream, shape) in shapes.streams.iter().enumerate() {
        if shape.rows_per_call(limits) == 0 {
            return Err(HandshakeError::RowTooLarge {
                stream,
                row_bytes: shape.call_row_bytes().max(shape.answer_row_bytes()),
                limit: limits.max_body_bytes,
            });
        }
    }
    Ok(())
}
