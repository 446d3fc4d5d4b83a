//! The shapes of a session: what both parties derive from the manifest and the agreed streams.

use lorica_relation::{rows::ModuleIndex, session::ModuleShape};

use crate::messages::{body::HEADER_BYTES, control::Limits};

/// All modules of the manifest, and the streams of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionShapes {
    /// All modules of the manifest, in its order.
    pub modules: Vec<ModuleShape>,
    /// The streams, in the order of the handshake.
    pub streams: Vec<StreamShapes>,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShapes {
    /// Values in a row of activations.
    pub width: usize,
    /// The modules that read the stream, in the order of an answer.
    pub modules: Vec<ModuleIndex>,
    /// Output width of each of them.
    pub outputs: Vec<usize>,
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

impl StreamShapes {
    /// Output widths of all modules together.
    pub fn total_outputs(&self) -> usize {
        self.outputs.iter().fold(0, |sum, &outputs| sum.saturating_add(outputs))
    }

    /// Bytes of a row in a call: activations and exponent.
    pub fn call_row_bytes(&self) -> u64 {
        wide(self.width).saturating_mul(2).saturating_add(2)
    }

    /// Bytes of a row in an answer: the deltas of all modules.
    pub fn answer_row_bytes(&self) -> u64 {
        wide(self.total_outputs()).saturating_mul(8)
    }

    /// Bytes of a row in a float check.
    pub fn float_row_bytes(&self) -> u64 {
        wide(self.width).saturating_mul(4)
    }

    /// Bytes of a row in a float answer.
    pub fn float_answer_row_bytes(&self) -> u64 {
        wide(self.total_outputs()).saturating_mul(4)
    }

    /// Bytes of the answer to a call of so many rows.
    pub fn answer_bytes(&self, rows: usize) -> u64 {
        self.answer_row_bytes().saturating_mul(wide(rows)).saturating_add(wide(HEADER_BYTES))
    }

    /// Bytes of the answer to a float check of so many rows.
    pub fn float_answer_bytes(&self, rows: usize) -> u64 {
        self.float_answer_row_bytes().saturating_mul(wide(rows)).saturating_add(wide(HEADER_BYTES))
    }

    /// The most rows a call may carry so that it and its answer keep the limits; 0 where not even one does.
    pub fn rows_per_call(&self, limits: &Limits) -> u64 {
        let data = limits.max_body_bytes.saturating_sub(wide(HEADER_BYTES));
        let row = self.call_row_bytes().max(self.answer_row_bytes());
        data.checked_div(row).unwrap_or(0).min(u64::from(limits.max_rows_per_call))
    }

    /// The most rows a float check may carry so that it and its answer keep the body limit.
    pub fn rows_per_float_check(&self, limits: &Limits) -> u64 {
        let data = limits.max_body_bytes.saturating_sub(wide(HEADER_BYTES));
        let row = self.float_row_bytes().max(self.float_answer_row_bytes());
        data.checked_div(row).unwrap_or(0).min(u64::from(limits.max_rows_per_call))
    }
}
