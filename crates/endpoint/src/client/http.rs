//! One request to the endpoint: pacing, sending again, what each status means, and limits on what is read.

use std::{
    io::Read as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use lorica_identity::{RespondentError, RespondentFault};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use ureq::{
    Agent, Timeout,
    http::{HeaderMap, Uri, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig},
};

use super::{EndpointConfig, Retries, key::Key, wire::Refusal};

/// The most bytes of an error's body, which is read for its reason alone.
const LARGEST_REJECTION: u64 = 64 << 10;
/// The most characters of what an endpoint says that an error quotes.
const QUOTED: usize = 300;

/// What came back, where it is not a fault of the endpoint as a whole.
#[derive(Debug)]
pub(super) enum Reply {
    /// Status 200 with this body.
    Answer(Vec<u8>),
    /// It does not take this request.
    Rejected(Rejection),
}

/// A request that the endpoint understood and does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The HTTP status.
    pub(super) status: u16,
    /// `error.code` or `error.type`, where there is one.
    pub(super) code: Option<String>,
    /// `error.message`, or the start of the body. Without the key, and cut.
    pub(super) message: String,
}

impl Rejection {
    /// Whether a content filter declined the prompt.
    pub(super) fn is_filter(&self) -> bool {
        self.code.as_deref().is_some_and(|code| {
            code.contains("content_filter")
                || code.contains("content_policy")
                || code == "ResponsibleAIPolicyViolation"
        })
    }

    /// Whether the prompt does not fit into the model's context.
    pub(super) fn is_length(&self) -> bool {
        self.code.as_deref() == Some("context_length_exceeded")
            || self.message.contains("maximum context length")
    }
}

/// One attempt that failed in a way that another may not.
struct Failure {
    fault: RespondentFault,
    detail: String,
    /// `Retry-After`.
    wait: Option<Duration>,
}

/// How one attempt ended.
enum Attempt {
    Done(Reply),
    Again(Failure),
    Never(RespondentError),
}

/// The connection to one endpoint.
pub(super) struct Transport {
    agent: Agent,
    key: Option<Key>,
    target: String,
    side: String,
    retries: Retries,
    request_timeout: Duration,
    interval: Duration,
    largest_answer: u64,
    /// When the next request may start.
    next_start: Mutex<Instant>,
    jitter: Mutex<ChaCha8Rng>,
    /// Requests that were sent again.
    sent_again: AtomicU64,
}

impl Transport {
    /// Checks the address and reads the key. Nothing is sent yet.
    pub(super) fn new(config: &EndpointConfig) -> Result<Self, RespondentError> {
        // Until the address is known to hold no password, it is not quoted.
        let refuse = |detail: String| RespondentError {
            side: config.model.clone(),
            fault: RespondentFault::Unusable,
            detail,
        };
        let base = base(&config.url).map_err(refuse)?;
        let key = match &config.key_variable {
            Some(variable) => {
                Some(Key::from_environment(variable).map_err(|error| refuse(error.to_string()))?)
            }
            None => None,
        };
        if key.is_some() && !base.encrypted && !base.loopback {
            return Err(refuse(format!(
                "{} is not encrypted: a key is sent over https, or over http to this machine alone",
                base.text
            )));
        }
        let mut agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(config.connect_timeout))
            .max_idle_connections_per_host(config.parallel.get())
            .user_agent("lorica")
            .tls_config(tls(config).map_err(refuse)?);
        if base.loopback {
            agent = agent.proxy(None);
        }
        Ok(Self {
            agent: agent.build().new_agent(),
            key,
            target: format!("{}/{}", base.text, config.interface.path()),
            side: format!("{} at {}", config.model, base.text),
            retries: config.retries,
            request_timeout: config.request_timeout,
            interval: config.interval,
            largest_answer: config.largest_answer,
            next_start: Mutex::new(Instant::now()),
            jitter: Mutex::new(ChaCha8Rng::seed_from_u64(config.seed)),
            sent_again: AtomicU64::new(0),
        })
    }

    /// The endpoint's name in errors and descriptions.
    pub(super) fn side(&self) -> &str {
        &self.side
    }

    /// How often a request was sent again so far.
    pub(super) fn sent_again(&self) -> u64 {
        self.sent_again.load(Ordering::Relaxed)
    }

    /// The address that requests go to.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// A fault of this endpoint; the key is taken out of the detail, and it is cut.
    pub(super) fn fault(&self, fault: RespondentFault, detail: impl AsRef<str>) -> RespondentError {
        let detail = cut(&self.redacted(detail.as_ref()), 3 * QUOTED);
        RespondentError { side: self.side.clone(), fault, detail }
    }

    /// What an endpoint says, fit to be kept: without the key, and cut.
    pub(super) fn quote(&self, text: &str) -> String {
        cut(&self.redacted(text), QUOTED)
    }

    /// Whether a text holds the key.
    pub(super) fn tells_key(&self, text: &str) -> bool {
        self.key.as_ref().is_some_and(|key| key.is_in(text))
    }

    fn redacted(&self, text: &str) -> String {
        match &self.key {
            Some(key) => key.redact(text),
            None => text.to_owned(),
        }
    }

    /// Sends a request until there is an answer, a refusal, or no patience left.
    pub(super) fn post(&self, body: &Value) -> Result<Reply, RespondentError> {
        let deadline = Instant::now() + self.retries.total;
        let body = body.to_string();
        let mut pause = self.retries.backoff;
        let mut attempt = 1_u32;
        loop {
            self.pace();
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.attempt(&body, left.min(self.request_timeout)) {
                Attempt::Done(reply) => return Ok(reply),
                Attempt::Never(error) => return Err(error),
                Attempt::Again(failure) => failure,
            };
            let waits = self.pause(pause, failure.wait);
            let left = deadline.saturating_duration_since(Instant::now());
            if attempt >= self.retries.attempts.get() || waits >= left {
                let wish = failure
                    .wait
                    .map(|wait| format!(", it asks to wait {} s", wait.as_secs_f64()))
                    .unwrap_or_default();
                return Err(self.fault(
                    failure.fault,
                    format!(
                        "{} ({attempt} of at most {} attempts within {} s{wish})",
                        failure.detail,
                        self.retries.attempts,
                        self.retries.total.as_secs_f64(),
                    ),
                ));
            }
            tracing::debug!(side = self.side, attempt, fault = %failure.fault, "sending a request again");
            thread::sleep(waits);
            self.sent_again.fetch_add(1, Ordering::Relaxed);
            pause = pause.saturating_mul(2).min(self.retries.longest_pause);
            attempt = attempt.saturating_add(1);
        }
    }

    /// Waits for this request's turn.
    fn pace(&self) {
        if self.interval.is_zero() {
            return;
        }
        let start = {
            let mut next = self.next_start.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*next).max(Instant::now());
            *next = start + self.interval;
            start
        };
        thread::sleep(start.saturating_duration_since(Instant::now()));
    }

    /// Half of a pause is fixed and half is drawn, so that clients that failed together do not come back together.
    fn pause(&self, pause: Duration, asked: Option<Duration>) -> Duration {
        let share: f64 = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random();
        let drawn = pause.mul_f64(0.5 + share / 2.0);
        asked.map_or(drawn, |asked| asked.saturating_add(pause.mul_f64(share / 2.0)))
    }

    fn attempt(&self, body: &str, patience: Duration) -> Attempt {
        let mut request = self
            .agent
            .post(&self.target)
            .config()
            .timeout_global(Some(patience))
            .build()
            .content_type("application/json")
            .header(header::ACCEPT, "application/json");
        if let Some(key) = &self.key {
            let Some(value) = key.header() else {
                return Attempt::Never(
                    self.fault(RespondentFault::Unusable, "the key cannot be sent in a header"),
                );
            };
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = match request.send(body) {
            Ok(response) => response,
            Err(error) => return self.broken(&error, patience),
        };
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        let limit = if status == 200 { self.largest_answer } else { LARGEST_REJECTION };
        let mut bytes = Vec::new();
        let reader = body.into_with_config().limit(limit.saturating_add(1)).reader();
        if let Err(error) = reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)
            && status == 200
        {
            return self.broken(&ureq::Error::from(error), patience);
        }
        if status == 200 && bytes.len() as u64 > limit {
            return Attempt::Never(self.fault(
                RespondentFault::Malformed,
                format!("an answer is larger than it may be: expected at most {limit} bytes"),
            ));
        }
        self.judge(status, &parts.headers, bytes)
    }

    /// What a status means.
    fn judge(&self, status: u16, headers: &HeaderMap, bytes: Vec<u8>) -> Attempt {
        let again = |fault, wait| {
            Attempt::Again(Failure { fault, detail: format!("status {status}: {}", self.said(&bytes)), wait })
        };
        match status {
            200 => Attempt::Done(Reply::Answer(bytes)),
            // What it says may hold the key in a form that we would not know again.
            401 | 403 => Attempt::Never(self.fault(
                RespondentFault::Unauthorized,
                if self.key.is_some() {
                    format!("status {status}: it does not accept the key")
                } else {
                    format!("status {status}: it wants a key; name the environment variable that holds it")
                },
            )),
            408 | 504 => again(RespondentFault::Timeout, retry_after(headers)),
            429 | 503 | 529 => again(RespondentFault::RateLimited, retry_after(headers)),
            502 => again(RespondentFault::Unreachable, retry_after(headers)),
            300..=399 => Attempt::Never(self.fault(
                RespondentFault::Malformed,
                format!("status {status}: redirects are not followed; give the address that it leads to"),
            )),
            _ => {
                let error = serde_json::from_slice::<Refusal>(&bytes).ok();
                Attempt::Done(Reply::Rejected(Rejection {
                    status,
                    code: error.as_ref().and_then(Refusal::code).map(|code| self.quote(&code)),
                    message: self.said(&bytes),
                }))
            }
        }
    }

    /// What an error's body says.
    fn said(&self, bytes: &[u8]) -> String {
        let message = serde_json::from_slice::<Refusal>(bytes).ok().and_then(|refusal| refusal.message());
        match message {
            Some(message) => self.quote(&message),
            None if bytes.is_empty() => "it says nothing more".to_owned(),
            None => self.quote(&String::from_utf8_lossy(bytes)),
        }
    }

    /// What a broken exchange means.
    fn broken(&self, error: &ureq::Error, patience: Duration) -> Attempt {
        let again = |fault, detail| Attempt::Again(Failure { fault, detail, wait: None });
        match error {
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                again(RespondentFault::Unreachable, "no connection in time".to_owned())
            }
            ureq::Error::Timeout(_) => {
                again(RespondentFault::Timeout, format!("no answer within {} s", patience.as_secs_f64()))
            }
            ureq::Error::Io(cause) if cause.kind() == std::io::ErrorKind::TimedOut => {
                again(RespondentFault::Timeout, format!("no answer within {} s", patience.as_secs_f64()))
            }
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                again(RespondentFault::Unreachable, reason(error))
            }
            // Certificates, schemes, headers that are no HTTP: the same again would not be better.
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) | ureq::Error::Pem(_) => {
                Attempt::Never(self.fault(RespondentFault::Unreachable, reason(error)))
            }
            _ => again(RespondentFault::Unreachable, reason(error)),
        }
    }
}

/// A base address.
struct Base {
    /// Without a slash at the end.
    text: String,
    encrypted: bool,
    loopback: bool,
}

/// Reads a base address. Its text is not quoted: it may hold a password.
fn base(url: &str) -> Result<Base, String> {
    let expected = "expected something like http://127.0.0.1:8000/v1";
    let uri: Uri =
        url.trim_end_matches('/').parse().map_err(|_| format!("the address is none; {expected}"))?;
    let encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(format!("the address begins with neither http:// nor https://; {expected}")),
    };
    let authority = uri.authority().ok_or_else(|| format!("the address names no host; {expected}"))?;
    if authority.as_str().contains('@') {
        return Err("the address holds a user name: keys come from the environment alone".to_owned());
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(format!("the address has more than a path; {expected}"));
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(format!("the address names no host; {expected}"));
    }
    let loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    Ok(Base { text: url.trim_end_matches('/').to_owned(), encrypted, loopback })
}

/// Whom to trust. The provider of the cryptography is named here, so that none is looked for in the process.
fn tls(config: &EndpointConfig) -> Result<TlsConfig, String> {
    let roots = match &config.certificates {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let refuse = |reason: String| format!("{}: no certificates: {reason}", path.display());
            let text = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
            let mut certificates = Vec::<Certificate<'static>>::new();
            for item in ureq::tls::parse_pem(&text) {
                if let PemItem::Certificate(certificate) = item.map_err(|error| refuse(error.to_string()))? {
                    certificates.push(certificate);
                }
            }
            if certificates.is_empty() {
                return Err(refuse("the PEM file holds none".to_owned()));
            }
            RootCerts::new_with_certs(&certificates)
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The start of a text, on one line.
fn cut(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(limit) {
        Some((index, _)) => format!("{}...", &line[..index]),
        None => line,
    }
}

/// An error with all that caused it.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_are_refused_without_being_quoted() {
        for bad in [
            "",
            "nonsense",
            "ftp://host/v1",
            "http://",
            "https:///v1",
            "http://user:canary@host/v1",
            "http://host/v1?key=canary",
            "http://host/v1#canary",
            "http://ho st/canary",
        ] {
            let error = base(bad).err().unwrap_or_else(|| panic!("{bad} is accepted"));
            assert!(!error.contains("canary"), "{error}");
        }
        let good = base("https://example.com:8443/v1/").unwrap();
        assert_eq!(
            (good.text.as_str(), good.encrypted, good.loopback),
            ("https://example.com:8443/v1", true, false)
        );
        for local in ["http://localhost:1/v1", "http://127.0.0.1/v1", "http://[::1]:80/v1"] {
            assert!(base(local).unwrap().loopback, "{local}");
        }
        assert!(!base("http://127.0.0.1.example.com/v1").unwrap().loopback);
    }

    #[test]
    fn waiting_times_are_seconds_or_dates() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn what_is_quoted_is_one_short_line() {
        assert_eq!(cut("a\n  b", 10), "a b");
        assert_eq!(cut("äöüß", 2), "äö...");
    }
}
