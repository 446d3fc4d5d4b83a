//! What a server serves, and under which limits.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lorica_session::{
    engine::{DeltaEngine, FloatEngine},
    messages::control::Limits,
};
use lorica_transcript::writer::DEFAULT_WINDOW_BYTES;
use lorica_verify::manifest::Manifest;

use super::ServeError;
use crate::record::SessionPaths;

/// How long a server waits.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the next request's header on an open connection.
    pub header: Duration,
    /// For the whole of a request's body.
    pub body: Duration,
    /// For running requests when the server stops.
    pub stop: Duration,
    /// Before a session without requests may be put aside (it stays on disk, and goes on with its next request).
    pub idle_session: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(120),
            body: Duration::from_secs(60),
            stop: Duration::from_millis(1_500),
            idle_session: Duration::from_secs(600),
        }
    }
}

/// What a server serves, and under which limits.
#[derive(Clone)]
pub struct ServerConfig {
    /// Where to listen: a loopback address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Folder that holds a folder for each session.
    pub sessions: PathBuf,
    /// The manifest that is served.
    pub manifest: Manifest,
    /// Bytes of its commitment list.
    pub commitments: Vec<u8>,
    /// Bytes of its registration proof.
    pub registration: Vec<u8>,
    /// Computes deltas.
    pub engine: Arc<dyn DeltaEngine>,
    /// Computes float deltas for diagnosis; `limits.max_float_rows` must be 0 where there is none.
    pub float_engine: Option<Arc<dyn FloatEngine>>,
    /// What is accepted in one session.
    pub limits: Limits,
    /// Stored in each session's record for `prove`.
    pub paths: SessionPaths,
    /// Rows held in memory for each open session, in bytes.
    pub window_bytes: u64,
    /// Sessions in memory at once.
    pub max_open_sessions: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// How long to wait.
    pub timeouts: Timeouts,
}

impl ServerConfig {
    /// A configuration with default limits and no float check.
    pub fn new(
        listen: SocketAddr,
        sessions: PathBuf,
        manifest: Manifest,
        engine: Arc<dyn DeltaEngine>,
    ) -> Self {
        Self {
            listen,
            sessions,
            manifest,
            commitments: Vec::new(),
            registration: Vec::new(),
            engine,
            float_engine: None,
            limits: Limits::default(),
            paths: SessionPaths { adapter: String::new(), secret: String::new(), manifest: String::new() },
            window_bytes: DEFAULT_WINDOW_BYTES,
            max_open_sessions: 16,
            max_connections: 64,
            timeouts: Timeouts::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), ServeError> {
        let refuse =
            |setting, expected: String, found: String| Err(ServeError::Setting { setting, expected, found });
        let call = self.limits.max_body_bytes.saturating_mul(2);
        if self.window_bytes < call {
            let expected =
                format!("at least twice the body limit, {call} bytes: a call and its answer fit a window");
            return refuse("window_bytes", expected, self.window_bytes.to_string());
        }
        if self.limits.max_body_bytes > u64::from(u32::MAX) {
            return refuse(
                "limits.max_body_bytes",
                "below 4 GiB".to_owned(),
                self.limits.max_body_bytes.to_string(),
            );
        }
        if self.limits.max_float_rows > 0 && self.float_engine.is_none() {
            let expected = "0 without float weights".to_owned();
            return refuse("limits.max_float_rows", expected, self.limits.max_float_rows.to_string());
        }
        for (setting, value) in
            [("max_open_sessions", self.max_open_sessions), ("max_connections", self.max_connections)]
        {
            if value == 0 {
                return refuse(setting, "at least 1".to_owned(), "0".to_owned());
            }
        }
        Ok(())
    }
}
