//! Small models with known relations: trained on shipped text and derived from each other by one recipe.
//!
//! The zoo is the ground truth that identity decisions and the relationship classifier are measured on. Every member is
//! a folder as Hugging Face lays it out, which `lorica-model` loads; members that only differ in how an endpoint serves
//! them are described and have no folder. What is known of two members follows from how they were made, never from a
//! measurement. How far apart two functions are is not known beforehand: it is for a benchmark to measure.
//!
//! ```no_run
//! use lorica_zoo::{Recipe, Sources};
//! # fn main() -> Result<(), lorica_zoo::ZooError> {
//! let sources = Sources { models: "testdata/models".into(), texts: "testdata/text".into() };
//! let zoo = Recipe::standard(sources)?.build("zoo".as_ref(), &mut |_| ())?;
//! for pair in &zoo.manifest().pairs {
//!     let _ = (&pair.reference, &pair.candidate, pair.known.relation);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`recipe`] | [`Recipe`]: the members to make, standard and tiny |
//! | [`member`] | [`Member`]: name, origin, the steps that make one from another |
//! | [`relation`] | [`Relation`], [`Truth`]: what is known of two members |
//! | [`manifest`] | [`Zoo`]: `zoo.json`, digests, checking |
//! | [`mod@derive`] | one model from another without training |
//! | [`train`] | decoders with gradients, training, distillation |
//! | [`draft`], [`shape`] | a model in memory; the sizes of a decoder |
//! | [`error`] | [`ZooError`]: everything that stops a zoo |
//! | `build` | from a recipe to a zoo on disk |

#![forbid(unsafe_code)]

mod build;
pub mod derive;
pub mod draft;
pub mod error;
pub mod manifest;
pub mod member;
pub mod recipe;
pub mod relation;
pub mod shape;
pub mod train;

pub use draft::{Draft, Layout, Precision};
pub use error::ZooError;
pub use manifest::{Entry, Manifest, Pair, Record, Zoo};
pub use member::{Behaviour, Member, MemberName, Origin, Step, Text};
pub use recipe::{Event, Recipe, Sources};
pub use relation::{Known, Relation, Truth};
pub use shape::Shape;
