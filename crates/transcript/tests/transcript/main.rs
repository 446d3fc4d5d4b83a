//! The transcript as its users see it: what is written is read back, crashes lose nothing, lies are named.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod crashes;
mod fixture;
mod round_trip;
mod tampering;
