//! Registered rows beside an adapter's: those of data sets and of models.
//!
//! | module | what it holds |
//! |---|---|
//! | [`data`] | data sets, one row for each sample: manifest, commitments, [`data::PinnedData`] |
//! | [`model`] | models, matrices of 32-bit integers: manifest, commitments, [`model::PinnedModel`] |
//! | [`pieces`] | where the entries of a matrix stand in committed rows |
//! | [`commitments`] | the list of commitments beside a manifest |
//! | [`statement`] | the rows that a range argument is about, of one registration or of several |
//! | [`joint`] | several registrations in one proof |
//!
//! `docs/spec/registration.md`, "Data sets and models".

pub mod commitments;
pub mod data;
pub mod joint;
pub mod model;
pub mod pieces;
pub mod statement;

use crate::manifest::{ManifestError, field};

/// The largest number of entries of a data set or of a model.
pub const MAX_ENTRIES: usize = 1 << 31;
/// The largest number of fraction bits.
pub const MAX_FRACTION_BITS: u32 = 63;

fn check_fraction_bits(path: &str, found: u32) -> Result<(), ManifestError> {
    if found > MAX_FRACTION_BITS {
        return Err(field(path, format!("0 to {MAX_FRACTION_BITS}"), found));
    }
    Ok(())
}
