//! A refusal with its HTTP status.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use lorica_session::{
    contributor::CallError,
    handshake::HandshakeError,
    messages::{control::FinishError, refusal::Refusal},
};
use lorica_transcript::TranscriptError;

use crate::record::RecordError;

/// A refusal with its HTTP status.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) refusal: Refusal,
}

impl Refused {
    pub(super) fn new(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal }
    }

    /// Something on this side failed. The user learns that it did; paths and details stay in the contributor's log.
    fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "{what}");
        let hint = "ask the contributor to look at its log; a call that got no answer can be sent again";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Refusal::new(what, "", "", hint))
    }

    fn disk_full(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "the disk is full");
        let hint = "ask the contributor to free disk space, then send the same request again";
        let refusal = Refusal::new("the contributor's disk is full", "", "", hint);
        Self::new(StatusCode::INSUFFICIENT_STORAGE, refusal)
    }

    pub(super) fn crashed(error: &dyn std::fmt::Display) -> Self {
        Self::internal("the contributor failed while it worked on this request", error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}

impl From<HandshakeError> for Refused {
    fn from(error: HandshakeError) -> Self {
        let status = match error {
            HandshakeError::Differs { .. } => StatusCode::CONFLICT,
            HandshakeError::RowTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            HandshakeError::UnknownModule { .. }
            | HandshakeError::RepeatedModule { .. }
            | HandshakeError::Width { .. }
            | HandshakeError::Empty { .. } => StatusCode::BAD_REQUEST,
            HandshakeError::Manifest(_) => {
                return Self::internal("the contributor's manifest is not valid", &error);
            }
        };
        Self::new(status, error.refusal())
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        let status = match error {
            CallError::Body(_) | CallError::Mislabelled { .. } => StatusCode::BAD_REQUEST,
            CallError::OutOfOrder { .. } | CallError::Changed { .. } => StatusCode::CONFLICT,
            CallError::TooManyRows { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            CallError::UsedUp { .. } | CallError::NoFloatCheck => StatusCode::FORBIDDEN,
            CallError::Engine(_) => return Self::internal("the contributor cannot compute deltas", &error),
        };
        Self::new(status, error.refusal())
    }
}

impl From<FinishError> for Refused {
    fn from(error: FinishError) -> Self {
        Self::new(StatusCode::CONFLICT, error.refusal())
    }
}

impl From<TranscriptError> for Refused {
    fn from(error: TranscriptError) -> Self {
        if error.is_disk_full() {
            return Self::disk_full(&error);
        }
        Self::internal("the contributor cannot record this session", &error)
    }
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        if error.is_disk_full() {
            return Self::disk_full(&error);
        }
        Self::internal("the contributor cannot store this session", &error)
    }
}
