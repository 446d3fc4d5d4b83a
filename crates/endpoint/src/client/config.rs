//! What an endpoint is asked with: address, model, patience, limits.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

/// Which of the two OpenAI-compatible interfaces is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    /// `POST {url}/completions`: the prompt is continued as it is.
    Completions,
    /// `POST {url}/chat/completions`: the prompt is a user's message, and the endpoint puts its chat template around it.
    Chat,
}

impl Interface {
    /// Its name in descriptions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat",
        }
    }

    /// The path below the base address.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Completions => "completions",
            Self::Chat => "chat/completions",
        }
    }
}

/// When a request is sent again, and when it is given up.
///
/// A request is sent again after a lost connection, a timeout and the statuses 408, 429, 502, 503, 504 and 529: it
/// changes nothing on the other side, so that sending it twice is harmless. `Retry-After` is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The most attempts for one request.
    pub attempts: NonZeroU32,
    /// The longest time for one request with all its attempts and pauses. A `Retry-After` that ends later is not
    /// waited for.
    pub total: Duration,
    /// The pause before the second attempt; it doubles for each one after, and the half of each is drawn at random.
    pub backoff: Duration,
    /// The longest pause, unless `Retry-After` asks for a longer one.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: NonZeroU32::MIN.saturating_add(5),
            total: Duration::from_secs(300),
            backoff: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The base address, such as `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model to ask for.
    pub model: String,
    /// The interface.
    pub interface: Interface,
    /// The environment variable that holds the key; its name is no secret, its value is.
    pub key_variable: Option<String>,
    /// The longest time for a connection.
    pub connect_timeout: Duration,
    /// The longest time for one attempt, its answer included.
    pub request_timeout: Duration,
    /// When a request is sent again.
    pub retries: Retries,
    /// The least time between the starts of two requests; zero for none.
    pub interval: Duration,
    /// Requests under way at once. Answers come in the order of the challenges whatever it is.
    pub parallel: NonZeroUsize,
    /// Most probable tokens to ask for at each position. An endpoint that tells fewer is taken at that number, which is
    /// [`super::Endpoint::top`].
    pub top: NonZeroU32,
    /// The most bytes of one answer.
    pub largest_answer: u64,
    /// A PEM file with the only certificates that are trusted; the system's where there is none.
    pub certificates: Option<PathBuf>,
    /// Seeds the jitter of pauses and the `seed` of sampled texts.
    pub seed: u64,
}

impl EndpointConfig {
    /// The usual settings for a model at an address: completions, no key, 20 tokens a position, 2 requests at once.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: model.into(),
            interface: Interface::Completions,
            key_variable: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(120),
            retries: Retries::default(),
            interval: Duration::ZERO,
            parallel: NonZeroUsize::MIN.saturating_add(1),
            top: NonZeroU32::MIN.saturating_add(19),
            largest_answer: 32 << 20,
            certificates: None,
            seed: 0,
        }
    }
}
