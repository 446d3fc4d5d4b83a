//! Evidence bundles of identity runs: a hash-chained transcript, signed, verified offline, and shown as a report.
//!
//! A bundle is a folder. Everything that the decision depends on is in it, so that somebody who has none of the models
//! recomputes every score and the decision, and finds any byte that was changed.

#![forbid(unsafe_code)]
