//! The contributor's states: [`Offer`], [`Serving`] (with [`Computing`] and [`Computed`] while a call is answered),
//! [`Finished`].

use lorica_relation::{digests::SessionDigests, rows::StreamIndex};
use lorica_tensor::Digest;
use lorica_verify::manifest::Manifest;

use crate::{
    engine::{DeltaEngine, EngineError, FloatEngine},
    handshake::{HandshakeError, check_limits, check_versions, resolve_streams, same, session_identity},
    messages::{
        body::{AnswerBody, BodyError, CallBody, FloatAnswerBody, FloatBody},
        control::{FinishError, FixedPoint, Limits, OpenReply, OpenRequest, PROTOCOL, Summary, compare},
        refusal::Refusal,
    },
    shapes::{SessionShapes, StreamShapes},
};

/// Why a call is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The body cannot be read.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The index in the body is not the one it was sent under.
    #[error("call {sent_as}: its body says call {found}")]
    Mislabelled {
        /// The index it was sent under.
        sent_as: u64,
        /// The index in the body.
        found: u64,
    },
    /// The index is neither the next one nor that of the last call.
    #[error("call index: expected {next} for a new call{}, found {found}", repeat_text(*next))]
    OutOfOrder {
        /// The index of the next call.
        next: u64,
        /// The index that was sent.
        found: u64,
    },
    /// The last call was sent again with other rows.
    #[error(
        "call {index} was answered before for other rows: a repeated call must be the same, byte for byte"
    )]
    Changed {
        /// Index of the call.
        index: u64,
    },
    /// More rows than a call may carry.
    #[error("rows of one call: expected at most {limit}, found {found}")]
    TooManyRows {
        /// The most rows.
        limit: u64,
        /// Rows that were sent.
        found: u64,
    },
    /// The session has served its rows.
    #[error(
        "the {what} of this session are used up: {limit} in all, {served} served, {found} more asked for"
    )]
    UsedUp {
        /// Which rows.
        what: &'static str,
        /// Rows of a session.
        limit: u64,
        /// Rows served.
        served: u64,
        /// Rows asked for.
        found: u64,
    },
    /// The contributor does not offer the float check.
    #[error("this contributor does not offer the float check")]
    NoFloatCheck,
    /// The deltas could not be computed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn repeat_text(next: u64) -> String {
    next.checked_sub(1).map_or_else(String::new, |last| format!(", or {last} to repeat the last one"))
}

impl CallError {
    /// The refusal that the user gets.
    pub fn refusal(&self) -> Refusal {
        let error = self.to_string();
        match self {
            Self::Body(body) => {
                let (expected, found) = body.parts();
                Refusal::new(error, found, expected, "use the same version of lorica on both sides")
            }
            Self::Mislabelled { sent_as, found } => {
                Refusal::new(error, found, sent_as, "send a call under its own index")
            }
            Self::OutOfOrder { next, found } => {
                Refusal::new(error, found, next, "calls are consecutive; ask for the state of the session")
            }
            Self::Changed { .. } => Refusal::new(error, "", "", "send new rows under the next index"),
            Self::TooManyRows { limit, found } => {
                Refusal::new(error, found, format!("at most {limit}"), "send fewer rows in a call")
            }
            Self::UsedUp { limit, served, found, .. } => {
                let rest = limit.saturating_sub(*served);
                Refusal::new(error, found, format!("at most {rest} more"), "finish this session")
            }
            Self::NoFloatCheck => Refusal::new(error, "", "", "run without the float check"),
            Self::Engine(_) => Refusal::new(error, "", "", "tell the contributor"),
        }
    }
}

/// A contributor that waits for a handshake.
#[derive(Debug, Clone)]
pub struct Offer {
    manifest: Manifest,
    digest: Digest,
    limits: Limits,
}

impl Offer {
    /// Offers the adapter of a manifest under limits.
    pub fn new(manifest: Manifest, limits: Limits) -> Result<Self, HandshakeError> {
        let digest = manifest.digest()?;
        Ok(Self { manifest, digest, limits })
    }

    /// Digest of the manifest.
    pub fn manifest_digest(&self) -> Digest {
        self.digest
    }

    /// Checks the user's request, and opens the session. `nonce` is fresh randomness.
    pub fn accept(
        self,
        request: &OpenRequest,
        nonce: Digest,
    ) -> Result<(Serving, OpenReply), HandshakeError> {
        check_versions(&request.protocol, &request.fixed_point)?;
        same("manifest digest", &self.digest, &request.manifest)?;
        let shapes = resolve_streams(&self.manifest, &request.streams)?;
        check_limits(&shapes, &self.limits)?;
        let session = session_identity(self.digest, request.nonce, nonce);
        let reply = OpenReply {
            protocol: PROTOCOL.to_owned(),
            manifest: self.digest,
            nonce,
            session,
            fixed_point: FixedPoint::current(),
            streams: request.streams.clone(),
            limits: self.limits,
        };
        let rows = vec![0; shapes.streams.len()];
        let limits = self.limits;
        Ok((Serving { session, shapes, limits, calls: 0, rows, last: None, float_rows: 0 }, reply))
    }

    /// Opens again a session that was stored: its handshake, and how far it had come.
    pub fn resume(
        mut self,
        request: &OpenRequest,
        reply: &OpenReply,
        progress: Progress<'_>,
    ) -> Result<Serving, HandshakeError> {
        self.limits = reply.limits;
        let (mut serving, again) = self.accept(request, reply.nonce)?;
        same("session identity", &again.session, &reply.session)?;
        same("number of streams", &serving.rows.len(), &progress.rows.len())?;
        serving.last = progress.last.map(|last| {
            let width = serving.shapes.streams.get(last.stream.0).map_or(0, |stream| stream.width);
            let body = CallBody::encode(last.stream, last.index, width, last.inputs, last.exponents);
            (last.index, Digest::blake3(&body))
        });
        serving.calls = progress.calls;
        serving.rows = progress.rows;
        Ok(serving)
    }
}

impl Offer {
    /// Opens again a session that was stored after it had finished with this summary.
    pub fn resume_finished(
        mut self,
        request: &OpenRequest,
        reply: &OpenReply,
        summary: Summary,
    ) -> Result<Finished, HandshakeError> {
        self.limits = reply.limits;
        let (serving, again) = self.accept(request, reply.nonce)?;
        same("session identity", &again.session, &reply.session)?;
        same("session identity", &again.session, &summary.session)?;
        Ok(Finished { summary, shapes: serving.shapes })
    }
}

/// How far a stored session had come.
#[derive(Debug, Clone)]
pub struct Progress<'a> {
    /// Calls recorded.
    pub calls: u64,
    /// Rows recorded, for each stream.
    pub rows: Vec<u64>,
    /// The last call recorded.
    pub last: Option<LastCall<'a>>,
}

/// What the user sent in the last call.
#[derive(Debug, Clone, Copy)]
pub struct LastCall<'a> {
    /// The stream.
    pub stream: StreamIndex,
    /// Index of the call.
    pub index: u64,
    /// Row-major, rows x width.
    pub inputs: &'a [i16],
    /// One for each row.
    pub exponents: &'a [i16],
}

/// A contributor that answers calls.
#[derive(Debug)]
pub struct Serving {
    session: Digest,
    shapes: SessionShapes,
    limits: Limits,
    calls: u64,
    rows: Vec<u64>,
    /// Index and BLAKE3 of the body of the last call.
    last: Option<(u64, Digest)>,
    float_rows: u64,
}

/// What a call asks for.
#[derive(Debug)]
pub enum Received<'s> {
    /// New rows: compute their deltas.
    New(Computing<'s>),
    /// The last call, again: answer it from the record.
    Repeated(StreamIndex),
}

impl Serving {
    /// The session's identity.
    pub fn session(&self) -> Digest {
        self.session
    }

    /// The session's shapes.
    pub fn shapes(&self) -> &SessionShapes {
        &self.shapes
    }

    /// Calls committed so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Rows committed so far, for each stream.
    pub fn rows(&self) -> &[u64] {
        &self.rows
    }

    /// Reads a call that was sent under `index`.
    pub fn receive(&mut self, index: u64, body: &[u8]) -> Result<Received<'_>, CallError> {
        let call = CallBody::decode(body, &self.shapes)?;
        if call.index != index {
            return Err(CallError::Mislabelled { sent_as: index, found: call.index });
        }
        let fingerprint = Digest::blake3(body);
        if let Some((last, known)) = self.last
            && last == index
        {
            return if known == fingerprint {
                Ok(Received::Repeated(call.stream))
            } else {
                Err(CallError::Changed { index })
            };
        }
        if index != self.calls {
            return Err(CallError::OutOfOrder { next: self.calls, found: index });
        }
        let rows = u64::try_from(call.rows()).unwrap_or(u64::MAX);
        let Some(shapes) = self.shapes.streams.get(call.stream.0).cloned() else {
            return Err(CallError::TooManyRows { limit: 0, found: rows });
        };
        let limit = shapes.rows_per_call(&self.limits);
        if rows > limit {
            return Err(CallError::TooManyRows { limit, found: rows });
        }
        let served = self.rows.iter().fold(0, |sum: u64, rows| sum.saturating_add(*rows));
        check_total("rows", self.limits.max_total_rows, served, rows)?;
        Ok(Received::New(Computing { serving: self, shapes, call, fingerprint }))
    }

    /// Answers the diagnostic float check. Nothing of it is recorded but the number of rows.
    pub fn float_check(&mut self, engine: &dyn FloatEngine, body: &[u8]) -> Result<Vec<u8>, CallError> {
        if self.limits.max_float_rows == 0 {
            return Err(CallError::NoFloatCheck);
        }
        let check = FloatBody::decode(body, &self.shapes)?;
        let Some(shapes) = self.shapes.streams.get(check.stream.0) else {
            return Err(CallError::NoFloatCheck);
        };
        let rows = check.inputs.len().checked_div(shapes.width).unwrap_or(0);
        let asked = u64::try_from(rows).unwrap_or(u64::MAX);
        let limit = shapes.rows_per_float_check(&self.limits);
        if asked > limit {
            return Err(CallError::TooManyRows { limit, found: asked });
        }
        check_total("float check rows", self.limits.max_float_rows, self.float_rows, asked)?;
        let deltas = shapes.modules.iter().map(|&module| engine.deltas(module, &check.inputs));
        let deltas = deltas.collect::<Result<Vec<_>, _>>()?;
        self.float_rows = self.float_rows.saturating_add(asked);
        Ok(FloatAnswerBody::encode(check.stream, rows, shapes, &deltas))
    }

    /// Compares what the user holds with what this side holds, and ends the session. When they differ the session goes
    /// on as it was.
    pub fn finish(self, theirs: &Summary, digests: SessionDigests) -> Result<Finished, Box<FinishRefused>> {
        let ours = Summary { session: self.session, calls: self.calls, rows: self.rows.clone(), digests };
        match compare(&ours, theirs, &self.shapes) {
            Ok(()) => Ok(Finished { summary: ours, shapes: self.shapes }),
            Err(error) => Err(Box::new(FinishRefused { serving: self, error })),
        }
    }
}

fn check_total(what: &'static str, limit: u64, served: u64, found: u64) -> Result<(), CallError> {
    if served.saturating_add(found) > limit {
        return Err(CallError::UsedUp { what, limit, served, found });
    }
    Ok(())
}

/// A call whose rows were checked.
#[derive(Debug)]
pub struct Computing<'s> {
    serving: &'s mut Serving,
    shapes: StreamShapes,
    call: CallBody,
    fingerprint: Digest,
}

impl<'s> Computing<'s> {
    /// Computes the deltas of every module of the stream.
    pub fn compute(self, engine: &dyn DeltaEngine) -> Result<Computed<'s>, CallError> {
        let Self { serving, shapes, call, fingerprint } = self;
        let mut deltas = Vec::with_capacity(shapes.modules.len());
        for (&module, &outputs) in shapes.modules.iter().zip(&shapes.outputs) {
            let values = engine.deltas(module, &call.inputs)?;
            let expected = call.rows().saturating_mul(outputs);
            if values.len() != expected {
                return Err(CallError::Engine(EngineError::Rows {
                    module: module.0,
                    expected: format!("{expected} deltas"),
                    found: values.len().to_string(),
                }));
            }
            deltas.push(values);
        }
        Ok(Computed { serving, shapes, call, fingerprint, deltas })
    }
}

/// A call whose deltas are there, to be recorded and then committed. Dropped, the call never was.
#[derive(Debug)]
pub struct Computed<'s> {
    serving: &'s mut Serving,
    shapes: StreamShapes,
    call: CallBody,
    fingerprint: Digest,
    deltas: Vec<Vec<i64>>,
}

impl Computed<'_> {
    /// The rows.
    pub fn call(&self) -> &CallBody {
        &self.call
    }

    /// The deltas, for each module of the stream rows x outputs.
    pub fn deltas(&self) -> &[Vec<i64>] {
        &self.deltas
    }

    /// Counts the call and returns the body of its answer.
    pub fn commit(self) -> Vec<u8> {
        let rows = self.call.rows();
        self.serving.calls = self.serving.calls.saturating_add(1);
        self.serving.last = Some((self.call.index, self.fingerprint));
        if let Some(sum) = self.serving.rows.get_mut(self.call.stream.0) {
            *sum = sum.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
        }
        AnswerBody::encode(self.call.stream, self.call.index, rows, &self.shapes, &self.deltas)
    }
}

/// A session that could not be finished, and goes on.
#[derive(Debug)]
pub struct FinishRefused {
    /// The session as it was.
    pub serving: Serving,
    /// What differs.
    pub error: FinishError,
}

/// A session on whose content both parties agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    summary: Summary,
    shapes: SessionShapes,
}

impl Finished {
    /// What both parties hold.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Answers a user that asks to finish once more, because it lost the first answer.
    pub fn repeat(&self, theirs: &Summary) -> Result<&Summary, FinishError> {
        compare(&self.summary, theirs, &self.shapes)?;
        Ok(&self.summary)
    }
}
