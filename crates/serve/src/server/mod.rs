//! The contributor's server.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`](self) | [`ServerConfig`] |
//! | `connections` | accepting, timeouts, stopping |
//! | `routes` | from requests to answers |
//! | `sessions` | the sessions in memory, each behind its own lock, and on disk |
//! | `refused` | a refusal with its status |

mod config;
mod connections;
mod refused;
mod routes;
mod sessions;

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lorica_session::handshake::HandshakeError;
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

pub use config::{ServerConfig, Timeouts};

use crate::address::{NotLoopback, require_loopback};
use routes::App;

pub(crate) use routes::MAX_PROOF_BYTES;

/// Why a server does not start or stops.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not this machine's own.
    #[error(transparent)]
    NotLoopback(#[from] NotLoopback),
    /// Another program listens there.
    #[error(
        "port {} of {} is in use by another program: stop it, or choose another port (port 0 takes any free one)",
        address.port(),
        address.ip()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for sessions cannot be used.
    #[error("cannot use {} for sessions: {source}", path.display())]
    Sessions {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The manifest is not valid.
    #[error(transparent)]
    Manifest(#[from] HandshakeError),
    /// A setting is not usable.
    #[error("server setting {setting}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is accepted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// The runtime or the signal handlers cannot be set up.
    #[error("cannot start the server: {source}")]
    Runtime {
        /// What the system said.
        source: io::Error,
    },
}

/// A server that listens, and serves once it is [`run`](Self::run).
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    timeouts: Timeouts,
    max_connections: usize,
}

/// Ends a running server from another thread. Dropped, it ends the server too.
#[derive(Debug)]
pub struct Stopper(oneshot::Sender<()>);

impl Stopper {
    /// Ends the server; its `run` returns within about two seconds.
    pub fn stop(self) {
        // A server that already ended no longer listens.
        let _ = self.0.send(());
    }
}

/// When a server ends.
#[derive(Debug)]
pub enum Shutdown {
    /// At SIGINT or SIGTERM.
    Signals,
    /// When its [`Stopper`] says so.
    Requested(oneshot::Receiver<()>),
}

impl Shutdown {
    /// A server's end in the hands of the caller.
    pub fn channel() -> (Stopper, Self) {
        let (sender, receiver) = oneshot::channel();
        (Stopper(sender), Self::Requested(receiver))
    }
}

impl Server {
    /// Checks the settings and starts to listen. Requests wait until [`run`](Self::run).
    pub fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        require_loopback(config.listen.ip())?;
        config.check()?;
        let sessions = |source| ServeError::Sessions { path: config.sessions.clone(), source };
        fs::create_dir_all(&config.sessions).map_err(sessions)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|source| ServeError::Runtime { source })?;
        let address = config.listen;
        let listener =
            runtime.block_on(TcpListener::bind(address)).map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => ServeError::InUse { address },
                _ => ServeError::Listen { address, source },
            })?;
        let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        let (timeouts, max_connections) = (config.timeouts, config.max_connections);
        let app = Arc::new(App::new(config)?);
        Ok(Self { runtime, listener, address, app, timeouts, max_connections })
    }

    /// Where the server listens: with the port that was chosen where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`. Then running requests get a moment to end; calls that were answered are on disk.
    pub fn run(self, shutdown: Shutdown) -> Result<(), ServeError> {
        let Self { runtime, listener, app, timeouts, max_connections, .. } = self;
        let served = runtime.block_on(async {
            let stop = stop_signal(shutdown).map_err(|source| ServeError::Runtime { source })?;
            let router = routes::router(app);
            connections::serve(listener, router, timeouts, max_connections, stop).await;
            Ok(())
        });
        // Work on another thread cannot be interrupted; an unanswered call leaves no trace that matters.
        runtime.shutdown_timeout(Duration::from_millis(500));
        served
    }
}

fn stop_signal(shutdown: Shutdown) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = match &shutdown {
        Shutdown::Signals => Some((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)),
        Shutdown::Requested(_) => None,
    };
    Ok(async move {
        match (shutdown, signals) {
            (Shutdown::Requested(receiver), _) => {
                // A dropped stopper ends the server as well.
                let _ = receiver.await;
            }
            (Shutdown::Signals, Some((mut interrupt, mut terminate))) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            (Shutdown::Signals, None) => {}
        }
    })
}
