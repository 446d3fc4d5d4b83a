//! The provers: registration of adapters, data sets and models, and the one proof of a session.
//!
//! | module | what it holds |
//! |---|---|
//! | [`secret`] | [`secret::AdapterSecret`]: the seed all blinds of a registration come from |
//! | [`randomness`] | masks from operating-system randomness, the adapter's secret and the transcript together |
//! | [`scratch`] | scratch commitments: values on slots, each commitment with a fresh blind |
//! | [`tables`] | the tables of a sumcheck of degree two, its rounds and its folding |
//! | [`opened`] | the vector that the one opening of a session opens |
//! | [`opening`] | the masked opening, fast and compact |
//! | [`product`] | the product proof |
//! | [`projection`] | the tables that activations and weights come down to |
//! | [`fraction`] | one fraction tree: its levels and the rounds of a layer |
//! | [`bottom`] | its layer above leaves that are words |
//! | [`forest`] | the prover's half of the lookup |
//! | [`products`] | many products brought down to one |
//! | [`multiplicities`] | commitments to counts |
//! | [`range`] | the range argument of registered rows |
//! | [`registration`] | manifest, commitment list and registration proof of an adapter |
//! | [`rows`] | the same for data sets and models, and one proof for several registrations |
//! | [`session`] | the session prover |
//! | [`training`] | the prover of tensor programs |
//!
//! It stands above `verify` and takes the order of messages, the layout and the forms from there. Provers run in
//! variable time on the contributor's own machine; nothing secret is sent but in blinded or masked form.

#![forbid(unsafe_code)]

pub mod bottom;
pub mod forest;
pub mod fraction;
pub mod multiplicities;
pub mod opened;
pub mod opening;
pub mod product;
pub mod products;
pub mod projection;
pub mod randomness;
pub mod range;
pub mod registration;
pub mod rows;
pub mod scratch;
pub mod secret;
pub mod session;
pub mod tables;
pub mod training;
