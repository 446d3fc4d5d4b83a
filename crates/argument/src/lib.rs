//! The argument's engine as the verifier runs it: transcript, codec, generators, forms, product proof, opening.
//!
//! | module | what it holds |
//! |---|---|
//! | [`transcript`] | [`transcript::Transcript`], its Fiat-Shamir instance over BLAKE3, short challenges |
//! | [`codec`] | canonical bytes of proofs: exact lengths, canonical points and scalars |
//! | [`generators`] | the bases, from hash-to-group, never from an artefact |
//! | [`form`] | affine forms in committed slots: what a committed sumcheck leaves behind |
//! | [`walk`] | scratch commitments and their slots in the order of sending, committed sumcheck rounds |
//! | [`lookup`] | the forest of fraction trees: LogUp by GKR with committed rounds |
//! | [`products`] | many products of slots, brought down to one |
//! | [`collapse`] | the one linear form that holds all constraints |
//! | [`product`] | the proof that three committed slots satisfy `alpha * beta = gamma` |
//! | [`opening`] | the masked opening of one commitment under a public linear form, fast or compact |
//!
//! It stands above [`lorica_algebra`] and knows nothing of machine learning. The prover's halves are in the
//! `prove` crate, which takes the order of messages from here. Nothing in this crate panics on proof data.

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

pub mod codec;
pub mod collapse;
pub mod form;
pub mod generators;
pub mod lookup;
pub mod opening;
pub mod product;
pub mod products;
pub mod transcript;
pub mod walk;
