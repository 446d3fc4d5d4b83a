//! Server and client over real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod bad_peers;
mod fixture;
mod limits;
mod sessions;
