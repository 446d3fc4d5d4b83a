//! The two-party protocol as typestates, free of I/O.
//!
//! ```text
//! user                                                     contributor
//! Proposal ── OpenRequest: pin, nonce, fixed point, streams ──▶ Offer
//!    │     ◀── OpenReply: nonce, session identity, limits ────── │
//!   Open   ── call c: rows of one stream ──────────────────▶  Serving
//!    │     ◀── exact deltas of every module of the stream ────── │
//! Finishing ── Summary: counts and digests ────────────────▶     │
//! Finished ◀── Summary ──────────────────────────────────── Finished
//! ```
//!
//! Each state is a type and each transition consumes it, so a step out of order does not compile. A call is counted only
//! when its holder says that it was recorded ([`contributor::Computed::commit`], [`user::Answered::commit`]).
//!
//! ```compile_fail,E0382
//! # use lorica_relation::{digests::SessionDigests, rows::StreamIndex};
//! fn call_after_the_end(mut open: lorica_session::user::Open, digests: SessionDigests) {
//!     let finishing = open.finish(digests);
//!     open.call(StreamIndex(0), &[0], &[0]);
//! }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`messages`] | what travels: JSON control messages, binary bodies, refusals |
//! | [`shapes`] | [`shapes::SessionShapes`]: streams, modules and row sizes both parties derive alike |
//! | [`handshake`] | the checks of a handshake, and the session's identity |
//! | [`contributor`] | the states of the party that computes deltas |
//! | [`user`] | the states of the party that sends activations |
//! | [`engine`] | what computes deltas: [`engine::DeltaEngine`] |
//!
//! Randomness, transport and storage belong to the caller (`lorica-serve`).

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::as_conversions
    )
)]

pub mod contributor;
pub mod engine;
pub mod handshake;
pub mod messages;
pub mod shapes;
pub mod user;
