//! One exchange with the contributor: sending, sending again, and what can go wrong.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use axum::body::Bytes;
use lorica_session::{
    handshake::HandshakeError,
    messages::{
        control::{FinishError, MAX_CONTROL_BYTES},
        refusal::Refusal,
    },
    user::CallError,
};
use lorica_transcript::TranscriptError;
use reqwest::{
    Url,
    blocking::{Client as Http, Response},
    header::CONTENT_TYPE,
    redirect::Policy,
};
use serde::de::DeserializeOwned;

use crate::address::{NotLoopback, require_loopback};

/// Why something that a client does fails.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The contributor's address is not usable.
    #[error("{url} is not a contributor's address: {reason}; expected something like http://127.0.0.1:7700")]
    Address {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The contributor is not on this machine.
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    /// Nothing answers there.
    #[error(
        "cannot reach the contributor at {url} ({attempts} attempts): {reason}; is `lorica serve` running there?"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// What the system said.
        reason: String,
    },
    /// The contributor does not answer in time.
    #[error("the contributor at {url} gave no answer within {} s ({attempts} attempts)", patience.as_secs_f32())]
    Silent {
        /// The address.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// How long was waited each time.
        patience: Duration,
    },
    /// What answers there does not speak HTTP, or stops in the middle.
    #[error("{url} does not answer as a contributor does: {reason}; it sent {received}")]
    Garbage {
        /// The address.
        url: String,
        /// What is wrong.
        reason: String,
        /// The first bytes that it sends.
        received: String,
    },
    /// An answer is not what it must be.
    #[error("the contributor's answer to {path} cannot be read: {reason}; it begins with {received}")]
    Answer {
        /// The path that was asked for.
        path: String,
        /// What is wrong.
        reason: String,
        /// The first bytes.
        received: String,
    },
    /// An answer is larger than it may be.
    #[error("the contributor's answer to {path} is too large: expected at most {limit} bytes, found {found}")]
    TooLarge {
        /// The path that was asked for.
        path: String,
        /// The most that is read.
        limit: u64,
        /// What was announced or read.
        found: String,
    },
    /// The contributor refuses.
    #[error("the contributor refuses (status {status}): {refusal}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        refusal: Refusal,
    },
    /// The parties cannot open a session.
    #[error("cannot open a session: {0}")]
    Handshake(#[from] HandshakeError),
    /// A call cannot be made or its answer not be taken.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The parties disagree at the end.
    #[error("the session cannot be finished: {0}")]
    Finish(#[from] FinishError),
    /// The transcript cannot be written.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// A message cannot be written.
    #[error("cannot write a message: {0}")]
    Message(#[from] serde_json::Error),
    /// The system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The client cannot be set up.
    #[error("cannot set up the client: {reason}")]
    Setup {
        /// What is wrong.
        reason: String,
    },
}

/// How patient a client is.
#[derive(Debug, Clone, Copy)]
pub struct ClientConfig {
    /// For a connection.
    pub connect_timeout: Duration,
    /// For a whole exchange.
    pub request_timeout: Duration,
    /// How often a request that may be repeated is sent at most.
    pub attempts: u32,
    /// Before the second attempt; doubled for each one after.
    pub backoff: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(120),
            attempts: 4,
            backoff: Duration::from_millis(200),
        }
    }
}

/// A connection to a contributor.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    base: Url,
    addresses: Vec<SocketAddr>,
    config: ClientConfig,
}

/// The method of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Get,
    Put,
    Post,
}

/// A request, and what is accepted as its answer.
pub(super) struct Exchange<'a> {
    pub(super) verb: Verb,
    pub(super) path: &'a str,
    pub(super) body: Option<(&'static str, Bytes)>,
    /// The most bytes of an answer.
    pub(super) limit: u64,
    /// Whether sending it twice does what sending it once does.
    pub(super) repeatable: bool,
}

impl Client {
    /// A client of the contributor at `url`, such as `http://127.0.0.1:7700`. Nothing is sent yet.
    pub fn connect(url: &str) -> Result<Self, ClientError> {
        Self::connect_with(url, ClientConfig::default())
    }

    /// A client with other timeouts.
    pub fn connect_with(url: &str, config: ClientConfig) -> Result<Self, ClientError> {
        let refuse = |reason: String| ClientError::Address { url: url.to_owned(), reason };
        let base = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        if base.scheme() != "http" {
            return Err(refuse(format!(
                "the scheme is {}, and only http is spoken (TLS comes in a later version)",
                base.scheme()
            )));
        }
        if base.path() != "/"
            || base.query().is_some()
            || base.fragment().is_some()
            || !base.username().is_empty()
        {
            return Err(refuse("it has more than a host and a port".to_owned()));
        }
        let host = base.host_str().ok_or_else(|| refuse("it names no host".to_owned()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = base.port_or_known_default().unwrap_or(80);
        let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        for address in &addresses {
            require_loopback(address.ip())?;
        }
        let http = Http::builder()
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1)
            .redirect(Policy::none())
            .no_proxy()
            .http1_only()
            // The name was checked above: it must not be looked up again with another result.
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(|error| ClientError::Setup { reason: reason(&error) })?;
        Ok(Self { http, base, addresses, config })
    }

    /// Sends a request, and again where that is harmless and the connection failed; returns the answer's body.
    pub(super) fn exchange(&self, exchange: Exchange<'_>) -> Result<Vec<u8>, ClientError> {
        let attempts = if exchange.repeatable { self.config.attempts.max(1) } else { 1 };
        let mut pause = self.config.backoff;
        let mut attempt = 1;
        loop {
            match self.attempt(&exchange) {
                Ok(answer) => return answer,
                // A peer that was silent twice will be a third time; only a lost connection is worth more.
                Err(error) if attempt < attempts && !(error.is_timeout() && attempt > 1) => {
                    tracing::debug!(error = reason(&error), attempt, "sending the request again");
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(2);
                    attempt = attempt.saturating_add(1);
                }
                Err(error) => return Err(self.explain(&error, attempt)),
            }
        }
    }

    /// One attempt. The outer error is one of the connection, after which another attempt may help.
    fn attempt(&self, exchange: &Exchange<'_>) -> Result<Result<Vec<u8>, ClientError>, reqwest::Error> {
        let Exchange { verb, path, body, limit, .. } = exchange;
        let mut url = self.base.clone();
        url.set_path(path);
        let mut request = match verb {
            Verb::Get => self.http.get(url),
            Verb::Put => self.http.put(url),
            Verb::Post => self.http.post(url),
        };
        if let Some((kind, bytes)) = body {
            request = request.header(CONTENT_TYPE, *kind).body(bytes.clone());
        }
        let response = request.send()?;
        let status = response.status();
        let limit = if status.is_success() { *limit } else { MAX_CONTROL_BYTES };
        let bytes = match read(response, path, limit)? {
            Ok(bytes) => bytes,
            Err(error) => return Ok(Err(error)),
        };
        if status.is_success() {
            return Ok(Ok(bytes));
        }
        Ok(Err(match serde_json::from_slice(&bytes) {
            Ok(refusal) => ClientError::Refused { status: status.as_u16(), refusal },
            Err(_) => ClientError::Answer {
                path: (*path).to_owned(),
                reason: format!("status {status} without a reason this version can read"),
                received: excerpt(&bytes),
            },
        }))
    }

    fn explain(&self, error: &reqwest::Error, attempts: u32) -> ClientError {
        let url = self.base.to_string();
        if error.is_timeout() {
            return ClientError::Silent { url, attempts, patience: self.config.request_timeout };
        }
        if error.is_connect() {
            return ClientError::Unreachable { url, attempts, reason: reason(error) };
        }
        ClientError::Garbage { url, reason: reason(error), received: self.probe() }
    }

    /// What the other side sends to a plain request: it did not parse as HTTP, so a person should see it.
    fn probe(&self) -> String {
        let talk = || -> std::io::Result<Vec<u8>> {
            let address = self.addresses.first().ok_or(std::io::ErrorKind::NotFound)?;
            let mut stream = TcpStream::connect_timeout(address, self.config.connect_timeout)?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.set_write_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /v1/manifest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut bytes = vec![0; 64];
            let length = stream.read(&mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        };
        match talk() {
            Ok(bytes) => excerpt(&bytes),
            Err(_) => "nothing more".to_owned(),
        }
    }
}

/// Reads an answer's body up to its limit. The outer error is one of the connection.
fn read(
    mut response: Response,
    path: &str,
    limit: u64,
) -> Result<Result<Vec<u8>, ClientError>, reqwest::Error> {
    let too_large = |found: String| ClientError::TooLarge { path: path.to_owned(), limit, found };
    if let Some(length) = response.content_length()
        && length > limit
    {
        return Ok(Err(too_large(format!("{length} bytes"))));
    }
    let mut bytes = Vec::new();
    let mut capped = (&mut response).take(limit.saturating_add(1));
    if let Err(error) = capped.read_to_end(&mut bytes) {
        let path = path.to_owned();
        return match error.downcast::<reqwest::Error>() {
            Ok(error) => Err(error),
            Err(error) => {
                Ok(Err(ClientError::Answer { path, reason: error.to_string(), received: excerpt(&bytes) }))
            }
        };
    }
    if u64::try_from(bytes.len()).map_or(true, |length| length > limit) {
        return Ok(Err(too_large("more".to_owned())));
    }
    Ok(Ok(bytes))
}

/// Reads a control message of the contributor.
pub(super) fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(bytes).map_err(|error| ClientError::Answer {
        path: path.to_owned(),
        reason: error.to_string(),
        received: excerpt(bytes),
    })
}

fn excerpt(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    let start: Vec<u8> = bytes.iter().take(64).copied().collect();
    format!("{:?}", String::from_utf8_lossy(&start))
}

/// An error with all that caused it: the outermost text alone says little.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
