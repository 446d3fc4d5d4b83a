//! From requests to answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use lorica_session::{
    contributor::{CallError, Offer, Received},
    engine::{DeltaEngine, FloatEngine},
    messages::{
        body::AnswerBody,
        control::{MAX_CONTROL_BYTES, OpenReply, OpenRequest, Phase, Status, Summary},
        refusal::Refusal,
    },
};
use lorica_tensor::{Digest, files};
use lorica_transcript::Call;
use serde::de::DeserializeOwned;

use super::{
    ServeError, ServerConfig,
    refused::Refused,
    sessions::{Sessions, SessionsConfig, Slot},
};
use crate::record::PROOF_FILE;

/// The largest proof that is sent, in bytes.
pub(crate) const MAX_PROOF_BYTES: u64 = 64 << 20;

/// What all requests share.
pub(super) struct App {
    manifest: Bytes,
    commitments: Bytes,
    registration: Bytes,
    engine: Arc<dyn DeltaEngine>,
    float_engine: Option<Arc<dyn FloatEngine>>,
    max_body_bytes: u64,
    body_timeout: Duration,
    sessions: Arc<Sessions>,
}

type Shared = State<Arc<App>>;

impl App {
    pub(super) fn new(config: ServerConfig) -> Result<Self, ServeError> {
        let manifest = config.manifest.to_json().map_err(lorica_session::handshake::HandshakeError::from)?;
        let sessions = Sessions::new(SessionsConfig {
            folder: config.sessions,
            offer: Offer::new(config.manifest, config.limits)?,
            paths: config.paths,
            window_bytes: config.window_bytes,
            idle: config.timeouts.idle_session,
            limit: config.max_open_sessions,
        });
        Ok(Self {
            manifest: manifest.into(),
            commitments: config.commitments.into(),
            registration: config.registration.into(),
            engine: config.engine,
            float_engine: config.float_engine,
            max_body_bytes: config.limits.max_body_bytes,
            body_timeout: config.timeouts.body,
            sessions: Arc::new(sessions),
        })
    }
}

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/manifest", get(manifest))
        .route("/v1/commitments", get(commitments))
        .route("/v1/registration", get(registration))
        .route("/v1/sessions", post(open))
        .route("/v1/sessions/{id}", get(status))
        .route("/v1/sessions/{id}/calls/{index}", put(call))
        .route("/v1/sessions/{id}/float", post(float))
        .route("/v1/sessions/{id}/finish", post(finish))
        .route("/v1/sessions/{id}/proof", get(proof))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

async fn manifest(State(app): Shared) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.manifest.clone()).into_response()
}

async fn commitments(State(app): Shared) -> Response {
    binary(app.commitments.clone())
}

async fn registration(State(app): Shared) -> Response {
    binary(app.registration.clone())
}

async fn open(State(app): Shared, request: Request) -> Result<Json<OpenReply>, Refused> {
    let request: OpenRequest = control(&app, request).await?;
    let nonce = crate::fresh_nonce().map_err(|error| Refused::crashed(&error))?;
    Ok(Json(Arc::clone(&app.sessions).open(request, nonce).await?))
}

async fn status(State(app): Shared, Path(id): Path<String>) -> Result<Json<Status>, Refused> {
    let session = session_id(&id)?;
    let proof = app.sessions.folder(session).join(PROOF_FILE);
    let status = Arc::clone(&app.sessions).with(session, move |slot| {
        let proof = proof.is_file();
        Ok(match slot {
            Slot::Live(live) => Status {
                session,
                phase: Phase::Serving,
                calls: live.serving.calls(),
                rows: live.serving.rows().to_vec(),
                proof,
            },
            Slot::Finished(finished) => {
                let Summary { calls, rows, .. } = finished.summary().clone();
                Status { session, phase: Phase::Finished, calls, rows, proof }
            }
            Slot::Aside => return Err(Refused::crashed(&"a session was used before it was loaded")),
        })
    });
    Ok(Json(status.await?))
}

async fn call(
    State(app): Shared,
    Path((id, index)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refused> {
    let session = session_id(&id)?;
    let index: u64 = index.parse().map_err(|_| {
        let refusal = Refusal::new("a call index is a number", &index, "0, 1, 2, ...", "");
        Refused::new(StatusCode::BAD_REQUEST, refusal)
    })?;
    let body = read(request, app.max_body_bytes, app.body_timeout).await?;
    let engine = Arc::clone(&app.engine);
    let answer = Arc::clone(&app.sessions).with(session, move |slot| {
        let live = match slot {
            Slot::Live(live) => live,
            _ => return Err(already_finished(session)),
        };
        let shapes = live.serving.shapes().clone();
        match live.serving.receive(index, &body)? {
            Received::New(call) => {
                let computed = call.compute(&*engine)?;
                let call = computed.call();
                live.writer.append_call(&Call {
                    stream: call.stream,
                    index: call.index,
                    inputs: &call.inputs,
                    exponents: &call.exponents,
                    deltas: computed.deltas(),
                })?;
                Ok(computed.commit())
            }
            Received::Repeated(stream) => {
                let last = live.writer.last_call();
                let answered = last.as_ref().zip(shapes.streams.get(stream.0)).map(|(last, shapes)| {
                    AnswerBody::encode(stream, index, last.exponents.len(), shapes, &last.deltas)
                });
                answered.ok_or_else(|| Refused::crashed(&"the last call is not in the record"))
            }
        }
    });
    Ok(binary(answer.await?.into()))
}

async fn float(State(app): Shared, Path(id): Path<String>, request: Request) -> Result<Response, Refused> {
    let session = session_id(&id)?;
    let engine = app.float_engine.clone().ok_or(CallError::NoFloatCheck)?;
    let body = read(request, app.max_body_bytes, app.body_timeout).await?;
    let answer = Arc::clone(&app.sessions).with(session, move |slot| match slot {
        Slot::Live(live) => Ok(live.serving.float_check(&*engine, &body)?),
        _ => Err(already_finished(session)),
    });
    Ok(binary(answer.await?.into()))
}

async fn finish(
    State(app): Shared,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Summary>, Refused> {
    let session = session_id(&id)?;
    let theirs: Summary = control(&app, request).await?;
    let ours = Arc::clone(&app.sessions).with(session, move |slot| {
        // Put aside while it ends: should the disk fail now, the next request finds the session there.
        match std::mem::replace(slot, Slot::Aside) {
            Slot::Finished(finished) => {
                let answer = finished.repeat(&theirs).cloned();
                *slot = Slot::Finished(finished);
                Ok(answer?)
            }
            Slot::Live(live) => {
                let mut live = *live;
                match live.serving.finish(&theirs, live.writer.digests()) {
                    Ok(finished) => {
                        live.writer.finish()?;
                        let summary = finished.summary().clone();
                        *slot = Slot::Finished(finished);
                        Ok(summary)
                    }
                    Err(refused) => {
                        live.serving = refused.serving;
                        *slot = Slot::Live(Box::new(live));
                        Err(refused.error.into())
                    }
                }
            }
            Slot::Aside => Err(Refused::crashed(&"a session was used before it was loaded")),
        }
    });
    Ok(Json(ours.await?))
}

async fn proof(State(app): Shared, Path(id): Path<String>) -> Result<Response, Refused> {
    let session = session_id(&id)?;
    let path = app.sessions.folder(session).join(PROOF_FILE);
    let bytes = Arc::clone(&app.sessions).with(session, move |slot| {
        if !path.exists() {
            let hint = match slot {
                Slot::Finished(_) => "the contributor has not made it yet: ask again later",
                _ => "finish the session first",
            };
            let refusal = Refusal::new("there is no proof of this session yet", "", "", hint);
            return Err(Refused::new(StatusCode::NOT_FOUND, refusal));
        }
        files::read_at_most(&path, MAX_PROOF_BYTES).map_err(|error| Refused::crashed(&error))
    });
    Ok(binary(bytes.await?.into()))
}

async fn unknown(uri: Uri) -> Refused {
    let hint = "see /v1/manifest; other versions of the interface are not served here";
    let refusal = Refusal::new("there is nothing at this address", uri.path(), "", hint);
    Refused::new(StatusCode::NOT_FOUND, refusal)
}

async fn wrong_method(method: Method, uri: Uri) -> Refused {
    let error = format!("{} does not take this method", uri.path());
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, Refusal::new(error, method, "", ""))
}

fn already_finished(session: Digest) -> Refused {
    let refusal = Refusal::new("the session is finished", session, "", "open a new session");
    Refused::new(StatusCode::CONFLICT, refusal)
}

fn binary(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from(bytes)).into_response()
}

fn session_id(text: &str) -> Result<Digest, Refused> {
    text.parse().map_err(|error: lorica_tensor::digest::DigestError| {
        let expected = "64 lower-case hexadecimal digits";
        let refusal = Refusal::new("this is no session identity", error.found, expected, "");
        Refused::new(StatusCode::BAD_REQUEST, refusal)
    })
}

/// Reads a control message.
async fn control<T: DeserializeOwned>(app: &App, request: Request) -> Result<T, Refused> {
    let bytes = read(request, MAX_CONTROL_BYTES, app.body_timeout).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let hint = "use the same version of lorica on both sides";
        let refusal = Refusal::new("the message cannot be read", error, "", hint);
        Refused::new(StatusCode::BAD_REQUEST, refusal)
    })
}

/// Reads a body whose length was stated and is within the limit; both are checked before a byte of it is read.
async fn read(request: Request, limit: u64, patience: Duration) -> Result<Bytes, Refused> {
    let stated = request.headers().get(header::CONTENT_LENGTH);
    let length = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let Some(length) = length else {
        let refusal = Refusal::new("the request states no length", "", "a Content-Length header", "");
        return Err(Refused::new(StatusCode::LENGTH_REQUIRED, refusal));
    };
    let allowed = usize::try_from(limit).ok().filter(|_| length <= limit);
    let Some(allowed) = allowed else {
        let refusal = Refusal::new(
            "the request is too large",
            format!("{length} bytes"),
            format!("at most {limit} bytes"),
            "send fewer rows in a call",
        );
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, refusal));
    };
    match tokio::time::timeout(patience, to_bytes(request.into_body(), allowed)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let refusal =
                Refusal::new("the request ended early", error, format!("{length} bytes"), "send it again");
            Err(Refused::new(StatusCode::BAD_REQUEST, refusal))
        }
        Err(_) => {
            let expected = format!("{length} bytes within {} s", patience.as_secs());
            let refusal = Refusal::new("the request came too slowly", "", expected, "send it again");
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, refusal))
        }
    }
}
