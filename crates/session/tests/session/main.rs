//! Both parties of the protocol against each other, without I/O.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod bodies;
mod fixture;
mod handshake;
mod protocol;
