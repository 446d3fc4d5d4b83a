//! A session of the user, and the user's transcript of it.

use std::path::PathBuf;

use axum::body::Bytes;
use lorica_relation::rows::StreamIndex;
use lorica_session::{
    messages::control::{Limits, MAX_CONTROL_BYTES, OpenReply, Summary},
    shapes::SessionShapes,
    user::{CallError, Finished, Open, Proposal},
};
use lorica_tensor::{Digest, ModuleName};
use lorica_transcript::{Call, Role, TranscriptHeader, TranscriptWriter};
use lorica_verify::manifest::Manifest;

use super::{
    Client, ClientError,
    http::{Exchange, Verb, parse},
};
use crate::record::transcript_plan;

const JSON: &str = "application/json";
const BINARY: &str = "application/octet-stream";

/// What a user wants of a session.
#[derive(Debug, Clone)]
pub struct SessionPlan<'a> {
    /// The manifest; its digest must be the pinned one.
    pub manifest: &'a Manifest,
    /// The digest that was pinned before the session.
    pub pin: Digest,
    /// For each stream the modules that read it. [`StreamIndex`] counts in this order.
    pub streams: &'a [Vec<ModuleName>],
    /// A new or empty folder for the transcript.
    pub transcript: PathBuf,
    /// Rows held in memory, in bytes.
    pub window_bytes: u64,
}

/// An open session. Every call is recorded in the transcript before its deltas are handed out.
#[derive(Debug)]
pub struct ClientSession {
    client: Client,
    open: Open,
    writer: TranscriptWriter,
    window_bytes: u64,
    float_rows: u64,
}

impl Client {
    /// Opens a session and starts its transcript.
    pub fn open(&self, plan: SessionPlan<'_>) -> Result<ClientSession, ClientError> {
        let SessionPlan { manifest, pin, streams, transcript, window_bytes } = plan;
        let proposal = Proposal::new(manifest, pin, streams, crate::fresh_nonce()?)?;
        let path = "/v1/sessions";
        let body = Bytes::from(serde_json::to_vec(proposal.request())?);
        let answer = self.exchange(Exchange {
            verb: Verb::Post,
            path,
            body: Some((JSON, body)),
            limit: MAX_CONTROL_BYTES,
            repeatable: false,
        })?;
        let open = proposal.receive(&parse::<OpenReply>(path, &answer)?)?;
        let plan = transcript_plan(open.session(), pin, Role::User, open.shapes());
        let writer = TranscriptWriter::create(&transcript, &plan, window_bytes)?;
        Ok(ClientSession { client: self.clone(), open, writer, window_bytes, float_rows: 0 })
    }
}

impl ClientSession {
    /// The session's identity.
    pub fn session(&self) -> Digest {
        self.open.session()
    }

    /// What the contributor accepts.
    pub fn limits(&self) -> &Limits {
        self.open.limits()
    }

    /// The session's shapes.
    pub fn shapes(&self) -> &SessionShapes {
        self.open.shapes()
    }

    /// Calls so far. Rows beyond the limits of one call are sent in several.
    pub fn calls(&self) -> u64 {
        self.open.calls()
    }

    /// Rows of the float check that are left in this session; 0 where the contributor does not offer it.
    pub fn float_rows_left(&self) -> u64 {
        self.limits().max_float_rows.saturating_sub(self.float_rows)
    }

    /// Sends rows of a stream (row-major `inputs`, rows x width, and one exponent a row), and returns for each module of
    /// the stream its exact deltas, row-major, rows x outputs.
    ///
    /// After an error the session can go on: rows that were not answered and recorded were not counted.
    pub fn call(
        &mut self,
        stream: StreamIndex,
        inputs: &[i16],
        exponents: &[i16],
    ) -> Result<Vec<Vec<i64>>, ClientError> {
        let shapes = self.stream(stream)?;
        let (width, modules) = (shapes.width, shapes.modules.len());
        if inputs.len() != exponents.len().saturating_mul(width) || exponents.is_empty() {
            return Err(rows_error(stream, "activations", exponents.len().max(1), width, inputs.len()));
        }
        let row_bytes = shapes.call_row_bytes().saturating_add(shapes.answer_row_bytes());
        let in_window = self.window_bytes.checked_div(row_bytes).unwrap_or(0);
        let rows = shapes.rows_per_call(self.limits()).min(in_window).max(1);
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        if exponents.len() <= rows {
            return self.call_once(stream, inputs, exponents);
        }
        let mut deltas = vec![Vec::new(); modules];
        for (inputs, exponents) in inputs.chunks(rows.saturating_mul(width)).zip(exponents.chunks(rows)) {
            for (all, part) in deltas.iter_mut().zip(self.call_once(stream, inputs, exponents)?) {
                all.extend(part);
            }
        }
        Ok(deltas)
    }

    fn call_once(
        &mut self,
        stream: StreamIndex,
        inputs: &[i16],
        exponents: &[i16],
    ) -> Result<Vec<Vec<i64>>, ClientError> {
        let session = self.open.session();
        // Not the limit that the contributor stated: an answer has one size.
        let limit = self.stream(stream)?.answer_bytes(exponents.len());
        let calling = self.open.call(stream, inputs, exponents)?;
        let path = format!("/v1/sessions/{session}/calls/{}", calling.index());
        let answer = self.client.exchange(Exchange {
            verb: Verb::Put,
            path: &path,
            body: Some((BINARY, Bytes::copy_from_slice(calling.body()))),
            limit,
            repeatable: true,
        })?;
        let answered = calling.receive(&answer)?;
        let (index, deltas) = (answered.index(), answered.deltas());
        self.writer.append_call(&Call { stream, index, inputs, exponents, deltas })?;
        Ok(answered.commit())
    }

    /// Sends float rows for diagnosis and returns for each module of the stream its float deltas, row-major, rows x
    /// outputs, scaling included. Nothing of it is recorded.
    pub fn float(&mut self, stream: StreamIndex, inputs: &[f32]) -> Result<Vec<Vec<f32>>, ClientError> {
        let shapes = self.stream(stream)?;
        let (width, modules) = (shapes.width, shapes.modules.len());
        let rows = usize::try_from(shapes.rows_per_float_check(self.limits()).max(1)).unwrap_or(usize::MAX);
        let path = format!("/v1/sessions/{}/float", self.session());
        let mut deltas = vec![Vec::new(); modules];
        for inputs in inputs.chunks(rows.saturating_mul(width)) {
            let rows = inputs.len().checked_div(width).unwrap_or(0);
            let limit = self.stream(stream)?.float_answer_bytes(rows);
            let body = self.open.float_body(stream, inputs)?;
            let answer = self.client.exchange(Exchange {
                verb: Verb::Post,
                path: &path,
                body: Some((BINARY, body.into())),
                limit,
                // A repetition only uses up rows of the contributor's limit.
                repeatable: true,
            })?;
            self.float_rows = self.float_rows.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
            let part = self.open.float_answer(stream, rows, &answer)?;
            for (all, part) in deltas.iter_mut().zip(part) {
                all.extend(part);
            }
        }
        Ok(deltas)
    }

    /// Compares counts and digests with the contributor and completes both transcripts.
    pub fn finish(self) -> Result<(Finished, TranscriptHeader), ClientError> {
        let Self { client, open, writer, .. } = self;
        let path = format!("/v1/sessions/{}/finish", open.session());
        let finishing = open.finish(writer.digests());
        let body = Bytes::from(serde_json::to_vec(finishing.summary())?);
        let answer = client.exchange(Exchange {
            verb: Verb::Post,
            path: &path,
            body: Some((JSON, body)),
            limit: MAX_CONTROL_BYTES,
            repeatable: true,
        })?;
        let finished = finishing.receive(&parse::<Summary>(&path, &answer)?)?;
        Ok((finished, writer.finish()?))
    }

    fn stream(&self, stream: StreamIndex) -> Result<&lorica_session::shapes::StreamShapes, ClientError> {
        let streams = &self.open.shapes().streams;
        let found = streams.get(stream.0);
        Ok(found.ok_or(CallError::Stream { streams: streams.len(), found: stream.0 })?)
    }
}

fn rows_error(
    stream: StreamIndex,
    what: &'static str,
    rows: usize,
    width: usize,
    found: usize,
) -> ClientError {
    let expected = format!("{rows} rows of {width}");
    CallError::Rows { stream: stream.0, what, expected, found: found.to_string() }.into()
}
