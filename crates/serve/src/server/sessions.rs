//! The sessions of a server: on disk all of them, in memory those in use, each behind its own lock.
//!
//! A session is loaded when a request first needs it, after a restart as well as after it was put aside, so there is one
//! path for both. Work on a session runs on a thread that may block, under that session's lock alone.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use lorica_session::{
    contributor::{Finished, LastCall, Offer, Progress, Serving},
    messages::{
        control::{OpenReply, OpenRequest, Summary},
        refusal::Refusal,
    },
};
use lorica_tensor::Digest;
use lorica_transcript::{Role, TranscriptHeader, TranscriptWriter};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

use super::refused::Refused;
use crate::record::{
    NewFolder, RECORD_FORMAT, SessionPaths, SessionRecord, TRANSCRIPT_FOLDER, session_folder, transcript_plan,
};

/// A session that takes calls.
pub(super) struct Live {
    pub(super) serving: Serving,
    pub(super) writer: TranscriptWriter,
    used: Instant,
    _place: OwnedSemaphorePermit,
}

/// What is in memory of a session.
pub(super) enum Slot {
    /// Nothing: it is on disk.
    Aside,
    /// It takes calls.
    Live(Box<Live>),
    /// It was finished.
    Finished(Finished),
}

type SharedSlot = Arc<AsyncMutex<Slot>>;

/// All sessions.
pub(super) struct Sessions {
    folder: PathBuf,
    offer: Offer,
    paths: SessionPaths,
    window_bytes: u64,
    idle: Duration,
    limit: usize,
    places: Arc<Semaphore>,
    slots: Mutex<HashMap<Digest, SharedSlot>>,
}

/// What [`Sessions`] needs of the configuration.
pub(super) struct SessionsConfig {
    pub(super) folder: PathBuf,
    pub(super) offer: Offer,
    pub(super) paths: SessionPaths,
    pub(super) window_bytes: u64,
    pub(super) idle: Duration,
    pub(super) limit: usize,
}

impl Sessions {
    pub(super) fn new(config: SessionsConfig) -> Self {
        let SessionsConfig { folder, offer, paths, window_bytes, idle, limit } = config;
        let places = Arc::new(Semaphore::new(limit));
        Self { folder, offer, paths, window_bytes, idle, limit, places, slots: Mutex::default() }
    }

    /// Folder of a session.
    pub(super) fn folder(&self, session: Digest) -> PathBuf {
        session_folder(&self.folder, session)
    }

    /// Opens a new session: its folder appears complete or not at all.
    pub(super) async fn open(
        self: Arc<Self>,
        request: OpenRequest,
        nonce: Digest,
    ) -> Result<OpenReply, Refused> {
        let place = self.place()?;
        let (live, reply) = blocking({
            let sessions = Arc::clone(&self);
            move || sessions.create(&request, nonce, place)
        })
        .await?;
        let slot = Arc::new(AsyncMutex::new(Slot::Live(Box::new(live))));
        self.slots().insert(reply.session, slot);
        Ok(reply)
    }

    fn create(
        &self,
        request: &OpenRequest,
        nonce: Digest,
        place: OwnedSemaphorePermit,
    ) -> Result<(Live, OpenReply), Refused> {
        let (serving, reply) = self.offer.clone().accept(request, nonce)?;
        let folder = NewFolder::create(&self.folder, reply.session)?;
        let plan = transcript_plan(reply.session, reply.manifest, Role::Contributor, serving.shapes());
        // Opened again under its final name below: the writer keeps the path it was given.
        TranscriptWriter::create(&folder.path().join(TRANSCRIPT_FOLDER), &plan, self.window_bytes)?;
        let record = SessionRecord {
            format: RECORD_FORMAT.to_owned(),
            request: request.clone(),
            reply: reply.clone(),
            paths: self.paths.clone(),
        };
        record.write(folder.path())?;
        let folder = folder.publish(&self.folder, reply.session)?;
        let writer = TranscriptWriter::resume(&folder.join(TRANSCRIPT_FOLDER), self.window_bytes)?;
        Ok((Live { serving, writer, used: Instant::now(), _place: place }, reply))
    }

    /// Works on a session on a thread that may block, loading it first where it is not in memory.
    pub(super) async fn with<T: Send + 'static>(
        self: Arc<Self>,
        session: Digest,
        work: impl FnOnce(&mut Slot) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let slot = self.slot(session)?;
        let mut slot = slot.lock_owned().await;
        blocking(move || {
            if matches!(*slot, Slot::Aside) {
                *slot = self.load(session)?;
            }
            if let Slot::Live(live) = &mut *slot {
                live.used = Instant::now();
            }
            let outcome = work(&mut slot);
            if matches!(&outcome, Err(refused) if refused.status.is_server_error()) {
                // What is in memory may be half changed; what is on disk is not.
                *slot = Slot::Aside;
            }
            outcome
        })
        .await
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, SharedSlot>> {
        // The map is never left half changed.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, session: Digest) -> Result<SharedSlot, Refused> {
        if let Some(slot) = self.slots().get(&session) {
            return Ok(Arc::clone(slot));
        }
        if !self.folder(session).is_dir() {
            let hint = "open a session first; sessions are known only to the server that opened them";
            let refusal = Refusal::new("there is no such session", session, "", hint);
            return Err(Refused::new(StatusCode::NOT_FOUND, refusal));
        }
        let aside = || Arc::new(AsyncMutex::new(Slot::Aside));
        Ok(Arc::clone(self.slots().entry(session).or_insert_with(aside)))
    }

    fn load(&self, session: Digest) -> Result<Slot, Refused> {
        let folder = self.folder(session);
        let SessionRecord { request, reply, .. } = SessionRecord::read(&folder)?;
        let transcript = folder.join(TRANSCRIPT_FOLDER);
        let header = TranscriptHeader::read(&transcript)?;
        if header.completed {
            let TranscriptHeader { session, calls, streams, digests, .. } = header;
            let rows = streams.iter().map(|stream| stream.rows).collect();
            let summary = Summary { session, calls, rows, digests };
            return Ok(Slot::Finished(self.offer.clone().resume_finished(&request, &reply, summary)?));
        }
        let place = self.place()?;
        let writer = TranscriptWriter::resume(&transcript, self.window_bytes)?;
        let last = writer.last_call();
        let progress = Progress {
            calls: writer.calls(),
            rows: writer.rows(),
            last: last.as_ref().map(|last| LastCall {
                stream: last.stream,
                index: last.index,
                inputs: &last.inputs,
                exponents: &last.exponents,
            }),
        };
        let serving = self.offer.clone().resume(&request, &reply, progress)?;
        tracing::info!(%session, calls = serving.calls(), "the session goes on");
        Ok(Slot::Live(Box::new(Live { serving, writer, used: Instant::now(), _place: place })))
    }

    /// A place for one more session in memory, putting idle ones aside where there is none left.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let take = || Arc::clone(&self.places).try_acquire_owned().ok();
        if let Some(place) = take() {
            return Ok(place);
        }
        let idle = |slot: &Slot| matches!(slot, Slot::Live(live) if live.used.elapsed() >= self.idle);
        for slot in self.slots().values() {
            // A session whose lock is held is in use.
            if let Ok(mut slot) = slot.try_lock()
                && idle(&slot)
            {
                *slot = Slot::Aside;
            }
        }
        take().ok_or_else(|| {
            let refusal = Refusal::new(
                "this contributor has as many open sessions as it accepts",
                self.limit,
                format!("fewer than {}", self.limit),
                "finish a session, or try again later",
            );
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, refusal)
        })
    }
}

/// Runs work that computes or touches the disk away from the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Refused::crashed(&error)))
}
