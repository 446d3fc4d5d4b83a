//! Servers on loopback that speak the OpenAI-compatible completions and chat interfaces for a local model.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/completions` | continuations; `echo`, `logprobs`, `prompt_logprobs`, prompts in a list, `n`, as far as offered |
//! | `POST /v1/chat/completions` | the same of a chat message within the template; `logprobs`, `top_logprobs` |
//! | `GET /v1/models` | the model's name |
//!
//! Log-probabilities are told where one token is generated (`max_tokens: 1`). Streams are not offered. Only loopback
//! addresses are served: nothing here encrypts. [`Behaviour`] says how a server can be made to misbehave; the answers
//! of a server without behaviours are the model's own.

mod answers;
mod behaviour;
mod engine;
mod request;
mod rewrite;
mod routes;
mod view;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{runtime, sync::oneshot};

pub use behaviour::{Behaviour, BehaviourError, Fault, RouteBy};
pub use engine::{Engine, EngineError, ReadToken};

/// How long requests that are under way at the end may take.
const LAST_REQUESTS: Duration = Duration::from_millis(500);

/// Which log-probabilities of prompts are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptOffer {
    /// None.
    None,
    /// `echo: true`.
    Echo,
    /// vLLM's `prompt_logprobs`.
    PromptLogProbabilities,
}

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// The completions interface.
    pub completions: bool,
    /// The chat interface.
    pub chat: bool,
    /// Log-probabilities of prompts; none are told where [`Offers::top`] is 0.
    pub prompt: PromptOffer,
    /// The most tokens with log-probabilities at each position; 0 for text alone.
    pub top: u32,
    /// Several prompts in one request.
    pub lists: bool,
    /// Several continuations of one prompt (`n`).
    pub several: bool,
    /// Whether what is not offered is left out without a word, as some servers do, rather than refused.
    pub silent: bool,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            completions: true,
            chat: true,
            prompt: PromptOffer::Echo,
            top: 20,
            lists: true,
            several: true,
            silent: false,
        }
    }
}

/// How a model is served.
#[derive(Clone)]
pub struct ServerOptions {
    /// A loopback address; port 0 for any that is free.
    pub address: SocketAddr,
    /// What is offered.
    pub offers: Offers,
    /// How it misbehaves; not at all where there is none.
    pub behaviours: Vec<Behaviour>,
    /// The other model of [`Behaviour::Route`] and [`Behaviour::Recognise`].
    pub other: Option<Arc<dyn Engine>>,
    /// The key that requests must carry, if any.
    pub key: Option<String>,
    /// What stands around a chat message, which is put in the place of `{content}`.
    pub template: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            offers: Offers::default(),
            behaviours: Vec::new(),
            other: None,
            key: None,
            template: "User: {content}\nAssistant:".to_owned(),
        }
    }
}

/// Why a model is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not this machine's own.
    #[error("{address} is not a loopback address: nothing is encrypted here, so only this machine may ask")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// A behaviour is not possible.
    #[error(transparent)]
    Behaviour(#[from] BehaviourError),
    /// The template has no place for the message.
    #[error("the chat template has no {{content}} in it")]
    Template,
    /// The system refuses.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What it said.
        source: std::io::Error,
    },
}

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<runtime::Runtime>,
}

impl ServerHandle {
    /// The base address for a client, such as `http://127.0.0.1:41234/v1`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it; requests under way have half a second.
    pub fn shutdown(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have stopped already.
            let _ = stop.send(());
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(LAST_REQUESTS);
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Serves a model until the handle is dropped. The server has threads of its own.
///
/// # Errors
/// An address that is not loopback or not free, or behaviours that are not possible.
pub fn serve(engine: Arc<dyn Engine>, options: ServerOptions) -> Result<ServerHandle, ServeError> {
    let address = options.address;
    if !address.ip().to_canonical().is_loopback() {
        return Err(ServeError::NotLoopback { address });
    }
    for behaviour in &options.behaviours {
        behaviour.check(options.other.is_some())?;
    }
    if !options.template.contains("{content}") {
        return Err(ServeError::Template);
    }
    let listen = |source| ServeError::Listen { address, source };
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(listen)?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let router = routes::router(engine, options);
    runtime.spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(async {
            // A handle that is gone means the same.
            let _ = stopped.await;
        });
        if let Err(error) = served.await {
            tracing::warn!(%error, "a server ended");
        }
    });
    Ok(ServerHandle { address, stop: Some(stop), runtime: Some(runtime) })
}
