//! The user's states: [`Proposal`], [`Open`] (with [`Calling`] and [`Answered`] during a call), [`Finishing`],
//! [`Finished`].

use lorica_relation::{digests::SessionDigests, rows::StreamIndex};
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::manifest::Manifest;

use crate::{
    handshake::{HandshakeError, check_limits, check_versions, resolve_streams, same, session_identity},
    messages::{
        body::{AnswerBody, BodyError, CallBody, FloatAnswerBody, FloatBody},
        control::{
            FinishError, FixedPoint, Limits, OpenReply, OpenRequest, PROTOCOL, StreamRequest, Summary,
            compare,
        },
    },
    shapes::SessionShapes,
};

/// Why a call cannot be made, or its answer not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The session has no such stream.
    #[error("stream: expected below {streams}, found {found}")]
    Stream {
        /// Number of streams.
        streams: usize,
        /// The stream asked for.
        found: usize,
    },
    /// The rows do not fit the stream.
    #[error("rows for stream {stream}, {what}: expected {expected}, found {found}")]
    Rows {
        /// The stream.
        stream: usize,
        /// What does not fit.
        what: &'static str,
        /// What the stream's shapes or the limits imply.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The contributor does not offer the float check.
    #[error("this contributor does not offer the float check: run without it")]
    NoFloatCheck,
    /// The answer cannot be read.
    #[error("the contributor's answer to call {index} cannot be read: {error}")]
    Answer {
        /// Index of the call.
        index: u64,
        /// Why.
        error: BodyError,
    },
    /// The answer belongs to another call.
    #[error("the contributor's answer to call {index}, {what}: expected {expected}, found {found}")]
    Mismatch {
        /// Index of the call.
        index: u64,
        /// What differs.
        what: &'static str,
        /// What was asked for.
        expected: String,
        /// What was answered.
        found: String,
    },
}

/// A user that has not spoken yet.
#[derive(Debug)]
pub struct Proposal {
    request: OpenRequest,
    shapes: SessionShapes,
}

impl Proposal {
    /// Proposes a session over the adapter of `manifest`, whose digest must be the pinned one. Each entry of `streams`
    /// names the modules that read one input. `nonce` is fresh randomness.
    pub fn new(
        manifest: &Manifest,
        pin: Digest,
        streams: &[Vec<ModuleName>],
        nonce: Digest,
    ) -> Result<Self, HandshakeError> {
        same("manifest digest", &pin, &manifest.digest()?)?;
        let width_of = |modules: &Vec<ModuleName>| {
            let first = modules.first();
            let found = manifest.modules.iter().find(|module| Some(&module.name) == first);
            found.map_or(0, |module| module.inputs)
        };
        let streams: Vec<StreamRequest> = streams
            .iter()
            .map(|modules| StreamRequest { width: width_of(modules), modules: modules.clone() })
            .collect();
        let shapes = resolve_streams(manifest, &streams)?;
        let request = OpenRequest {
            protocol: PROTOCOL.to_owned(),
            manifest: pin,
            nonce,
            fixed_point: FixedPoint::current(),
            streams,
        };
        Ok(Self { request, shapes })
    }

    /// The message to send.
    pub fn request(&self) -> &OpenRequest {
        &self.request
    }

    /// Checks the contributor's answer, and opens the session.
    pub fn receive(self, reply: &OpenReply) -> Result<Open, HandshakeError> {
        let Self { request, shapes } = self;
        check_versions(&reply.protocol, &reply.fixed_point)?;
        same("manifest digest", &request.manifest, &reply.manifest)?;
        let session = session_identity(request.manifest, request.nonce, reply.nonce);
        same("session identity", &session, &reply.session)?;
        if request.streams != reply.streams {
            let text = |streams: &[StreamRequest]| format!("{streams:?}").chars().take(200).collect();
            return Err(HandshakeError::Differs {
                what: "streams",
                expected: text(&request.streams),
                found: text(&reply.streams),
            });
        }
        check_limits(&shapes, &reply.limits)?;
        let rows = vec![0; shapes.streams.len()];
        Ok(Open { session, shapes, limits: reply.limits, calls: 0, rows })
    }
}

/// A user with an open session.
#[derive(Debug)]
pub struct Open {
    session: Digest,
    shapes: SessionShapes,
    limits: Limits,
    calls: u64,
    rows: Vec<u64>,
}

impl Open {
    /// The session's identity.
    pub fn session(&self) -> Digest {
        self.session
    }

    /// The session's shapes.
    pub fn shapes(&self) -> &SessionShapes {
        &self.shapes
    }

    /// What the contributor accepts.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Calls committed so far.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Begins a call with rows of a stream: row-major `inputs`, rows x width, and one exponent a row.
    pub fn call(
        &mut self,
        stream: StreamIndex,
        inputs: &[i16],
        exponents: &[i16],
    ) -> Result<Calling<'_>, CallError> {
        let shapes = stream_shapes(&self.shapes, stream)?;
        let rows = exponents.len();
        let refuse = |what, expected: String, found: String| {
            Err(CallError::Rows { stream: stream.0, what, expected, found })
        };
        let limit = shapes.rows_per_call(&self.limits);
        let count = u64::try_from(rows).unwrap_or(u64::MAX);
        if count == 0 || count > limit {
            return refuse("number", format!("1 to {limit} in a call"), rows.to_string());
        }
        if rows.checked_mul(shapes.width) != Some(inputs.len()) {
            return refuse(
                "activations",
                format!("{rows} rows of {}", shapes.width),
                inputs.len().to_string(),
            );
        }
        let index = self.calls;
        let body = CallBody::encode(stream, index, shapes.width, inputs, exponents);
        Ok(Calling { open: self, stream, index, rows, body })
    }

    /// The body of a diagnostic float check.
    pub fn float_body(&self, stream: StreamIndex, inputs: &[f32]) -> Result<Vec<u8>, CallError> {
        if self.limits.max_float_rows == 0 {
            return Err(CallError::NoFloatCheck);
        }
        let shapes = stream_shapes(&self.shapes, stream)?;
        let rows = inputs.len().checked_div(shapes.width).unwrap_or(0);
        let limit = shapes.rows_per_float_check(&self.limits).min(self.limits.max_float_rows);
        let whole = rows.checked_mul(shapes.width) == Some(inputs.len());
        if !whole || rows == 0 || u64::try_from(rows).map_or(true, |rows| rows > limit) {
            return Err(CallError::Rows {
                stream: stream.0,
                what: "float activations",
                expected: format!("1 to {limit} rows of {}", shapes.width),
                found: format!("{} values", inputs.len()),
            });
        }
        Ok(FloatBody::encode(stream, shapes.width, inputs))
    }

    /// Reads the answer to a float check of so many rows: for each module of the stream rows x outputs, scaling included.
    pub fn float_answer(
        &self,
        stream: StreamIndex,
        rows: usize,
        body: &[u8],
    ) -> Result<Vec<Vec<f32>>, CallError> {
        let index = self.calls;
        let answer = FloatAnswerBody::decode(body, &self.shapes)
            .map_err(|error| CallError::Answer { index, error })?;
        let shapes = stream_shapes(&self.shapes, stream)?;
        matches(index, "stream", stream.0, answer.stream.0)?;
        for (deltas, outputs) in answer.deltas.iter().zip(&shapes.outputs) {
            matches(index, "deltas", rows.saturating_mul(*outputs), deltas.len())?;
        }
        Ok(answer.deltas)
    }

    /// Ends the session with the digests of everything this side recorded.
    pub fn finish(self, digests: SessionDigests) -> Finishing {
        let Self { session, shapes, calls, rows, .. } = self;
        Finishing { summary: Summary { session, calls, rows, digests }, shapes }
    }
}

fn stream_shapes(
    shapes: &SessionShapes,
    stream: StreamIndex,
) -> Result<&crate::shapes::StreamShapes, CallError> {
    let streams = shapes.streams.len();
    shapes.streams.get(stream.0).ok_or(CallError::Stream { streams, found: stream.0 })
}

fn matches<T: PartialEq + ToString>(
    index: u64,
    what: &'static str,
    expected: T,
    found: T,
) -> Result<(), CallError> {
    if expected == found {
        return Ok(());
    }
    Err(CallError::Mismatch { index, what, expected: expected.to_string(), found: found.to_string() })
}

/// A call that is on its way. It may be sent again, byte for byte, for as long as no answer came.
#[derive(Debug)]
pub struct Calling<'o> {
    open: &'o mut Open,
    stream: StreamIndex,
    index: u64,
    rows: usize,
    body: Vec<u8>,
}

impl<'o> Calling<'o> {
    /// Index of the call.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The bytes to send.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the answer.
    pub fn receive(self, body: &[u8]) -> Result<Answered<'o>, CallError> {
        let Self { open, stream, index, rows, .. } = self;
        let answer =
            AnswerBody::decode(body, &open.shapes).map_err(|error| CallError::Answer { index, error })?;
        matches(index, "stream", stream.0, answer.stream.0)?;
        matches(index, "call index", index, answer.index)?;
        let shapes = stream_shapes(&open.shapes, stream)?;
        for (deltas, outputs) in answer.deltas.iter().zip(&shapes.outputs) {
            matches(index, "deltas", rows.saturating_mul(*outputs), deltas.len())?;
        }
        Ok(Answered { open, stream, index, rows, deltas: answer.deltas })
    }
}

/// A call whose answer is there, to be recorded and then committed. Dropped, the call never was, and can be made again.
#[derive(Debug)]
pub struct Answered<'o> {
    open: &'o mut Open,
    stream: StreamIndex,
    index: u64,
    rows: usize,
    deltas: Vec<Vec<i64>>,
}

impl Answered<'_> {
    /// Index of the call.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// For each module of the stream the deltas, row-major, rows x outputs.
    pub fn deltas(&self) -> &[Vec<i64>] {
        &self.deltas
    }

    /// Counts the call and hands out its deltas.
    pub fn commit(self) -> Vec<Vec<i64>> {
        self.open.calls = self.open.calls.saturating_add(1);
        if let Some(sum) = self.open.rows.get_mut(self.stream.0) {
            *sum = sum.saturating_add(u64::try_from(self.rows).unwrap_or(u64::MAX));
        }
        self.deltas
    }
}

/// A user that waits for the contributor's summary.
#[derive(Debug)]
pub struct Finishing {
    summary: Summary,
    shapes: SessionShapes,
}

impl Finishing {
    /// The message to send.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Compares the contributor's summary with this side's.
    pub fn receive(self, theirs: &Summary) -> Result<Finished, FinishError> {
        compare(&self.summary, theirs, &self.shapes)?;
        Ok(Finished { summary: self.summary })
    }
}

/// A session on whose content both parties agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    summary: Summary,
}

impl Finished {
    /// What both parties hold.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}
