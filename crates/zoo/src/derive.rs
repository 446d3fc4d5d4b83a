//! One model from another without training: each function changes a [`Draft`](crate::draft::Draft) in a stated way.
//!
//! | module | what it changes |
//! |---|---|
//! | [`quantize`] | weights to few bits, stored as floats again |
//! | [`prune`] | small weights to zero |
//! | [`merge`] | a LoRA adapter added to the weights |
//! | [`vocabulary`] | tokens appended, renumbered (rightly or wrongly), or cut to fewer |
//! | [`output`] | the scale of the logits: a temperature inside the weights |
//! | [`layers`] | layers left out |

pub mod layers;
pub mod merge;
pub mod output;
pub mod prune;
pub mod quantize;
pub mod vocabulary;
