//! Transport, limits and storage: the contributor's server and the user's client.
//!
//! The protocol itself stands in `lorica-session` and does no I/O; this crate moves its messages over HTTP/1.1 on a
//! loopback socket, keeps each party's transcript on disk, and is the only place with an asynchronous runtime. Both ends
//! have blocking interfaces.
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | [`Server`]: serves one adapter |
//! | [`client`] | [`Client`], [`ClientSession`]: uses a served adapter |
//! | [`record`] | the folder of a session on the contributor's disk |
//! | [`address`] | why only loopback addresses are accepted for now |
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/manifest` | the manifest's JSON |
//! | `GET /v1/commitments` | the commitment list |
//! | `GET /v1/registration` | the registration proof |
//! | `POST /v1/sessions` | `OpenRequest` to `OpenReply` |
//! | `GET /v1/sessions/{id}` | `Status` |
//! | `PUT /v1/sessions/{id}/calls/{index}` | rows to deltas, binary; the same request again gets the same answer |
//! | `POST /v1/sessions/{id}/float` | float rows to float deltas, binary, for diagnosis |
//! | `POST /v1/sessions/{id}/finish` | `Summary` to `Summary` |
//! | `GET /v1/sessions/{id}/proof` | the proof, 404 until it is there |
//!
//! Every refusal is a JSON `Refusal` with a status that fits.

#![forbid(unsafe_code)]

pub mod address;
pub mod client;
pub mod record;
pub mod server;

pub use client::{Client, ClientConfig, ClientError, ClientSession, SessionPlan};
pub use record::{SessionPaths, SessionRecord};
pub use server::{ServeError, Server, ServerConfig, Shutdown, Stopper};

use lorica_tensor::Digest;

/// 32 bytes of the operating system's randomness.
fn fresh_nonce() -> Result<Digest, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Digest(bytes))
}
