//! OpenAI-compatible endpoints: a client that puts challenges to them, and servers on loopback that are one.
//!
//! The client, [`Endpoint`], implements [`lorica_identity::Respondent`] for the completions and the chat interface. The
//! servers serve a local model through the same interfaces, honestly or with one of the misbehaviours of the robustness
//! suite.
//!
//! | module | what it holds |
//! |---|---|
//! | [`client`] | [`Endpoint`], its configuration, and how it finds out what an endpoint tells |
//! | [`server`] | [`server::serve`], the [`server::Engine`] behind it, and [`server::Behaviour`] |

#![forbid(unsafe_code)]

pub mod client;
pub mod server;

pub use client::{Endpoint, EndpointConfig, Interface, Retries};
