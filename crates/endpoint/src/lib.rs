//! OpenAI-compatible endpoints: a client that puts challenges to them, and servers on loopback that are one.
//!
//! The client implements [`lorica_identity::Respondent`] for the completions and chat interfaces. The servers serve a
//! local model through the same interface, honestly or with one of the misbehaviours of the robustness suite.

#![forbid(unsafe_code)]
