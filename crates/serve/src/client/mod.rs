//! The user's client: blocking, with one persistent connection, bounded retries and size limits on every answer.
//!
//! | module | what it holds |
//! |---|---|
//! | `http` | one exchange: sending, sending again, and what can go wrong |
//! | `session` | [`ClientSession`]: a session and the user's transcript of it |

mod http;
mod session;

use lorica_tensor::Digest;
use lorica_verify::manifest::{MAX_MANIFEST_BYTES, MAX_TOTAL_RANK};

pub use http::{Client, ClientConfig, ClientError};
pub use session::{ClientSession, SessionPlan};

use http::{Exchange, Verb};
use lorica_session::messages::control::{MAX_CONTROL_BYTES, Status};

use crate::server::MAX_PROOF_BYTES;

/// Two commitments of 32 bytes for each rank index.
const MAX_COMMITMENT_BYTES: u64 = (MAX_TOTAL_RANK * 2 * 32) as u64;
/// The largest registration proof that is read: masked openings of a few rows, far below this.
const MAX_REGISTRATION_BYTES: u64 = 64 << 20;

impl Client {
    /// Bytes of the served manifest, unchecked: parse them, and compare their digest with the pinned one.
    pub fn manifest(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/v1/manifest", MAX_MANIFEST_BYTES)
    }

    /// Bytes of the commitment list, unchecked.
    pub fn commitments(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/v1/commitments", MAX_COMMITMENT_BYTES)
    }

    /// Bytes of the registration proof, unchecked.
    pub fn registration(&self) -> Result<Vec<u8>, ClientError> {
        self.get("/v1/registration", MAX_REGISTRATION_BYTES)
    }

    /// How a session stands.
    pub fn status(&self, session: Digest) -> Result<Status, ClientError> {
        let path = format!("/v1/sessions/{session}");
        http::parse(&path, &self.get(&path, MAX_CONTROL_BYTES)?)
    }

    /// Bytes of the proof of a finished session, unchecked. Refused with status 404 until the contributor has made it.
    pub fn fetch_proof(&self, session: Digest) -> Result<Vec<u8>, ClientError> {
        self.get(&format!("/v1/sessions/{session}/proof"), MAX_PROOF_BYTES)
    }

    fn get(&self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        self.exchange(Exchange { verb: Verb::Get, path, body: None, limit, repeatable: true })
    }
}
