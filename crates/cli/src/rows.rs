//! The rows of a transcript, counted while they are read, for progress.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use lorica_relation::rows::{ModuleIndex, RowsError, SessionRows, StreamIndex};
use lorica_tensor::ModuleName;
use lorica_transcript::{TranscriptHeader, header::StreamHeader};

/// Bytes of all rows of a transcript.
pub(crate) fn transcript_bytes(header: &TranscriptHeader) -> u64 {
    activation_bytes(header) + delta_bytes(header)
}

fn activation_bytes(header: &TranscriptHeader) -> u64 {
    header.streams.iter().map(|stream| stream.rows * (2 * stream.width as u64 + 2)).sum()
}

fn delta_bytes(header: &TranscriptHeader) -> u64 {
    let outputs = |name: &ModuleName| {
        header.modules.iter().find(|module| &module.name == name).map_or(0, |module| module.outputs as u64)
    };
    let row = |stream: &StreamHeader| stream.modules.iter().map(outputs).sum::<u64>() * 8;
    header.streams.iter().map(|stream| stream.rows * row(stream)).sum()
}

/// Rows that tell how many of their bytes have been read.
pub(crate) struct CountedRows<'a, F> {
    rows: &'a dyn SessionRows,
    total: u64,
    done: AtomicU64,
    progress: F,
}

impl<'a, F: Fn(u64, u64) + Sync> CountedRows<'a, F> {
    /// For a reader that passes once over the activations.
    pub(crate) fn activations(rows: &'a dyn SessionRows, header: &TranscriptHeader, progress: F) -> Self {
        Self { rows, total: activation_bytes(header), done: AtomicU64::new(0), progress }
    }

    /// For a reader that passes over everything so many times.
    pub(crate) fn everything(
        rows: &'a dyn SessionRows,
        header: &TranscriptHeader,
        passes: u64,
        progress: F,
    ) -> Self {
        Self { rows, total: transcript_bytes(header) * passes, done: AtomicU64::new(0), progress }
    }

    fn count<'s, T>(&self, values: &'s [T]) -> &'s [T] {
        let bytes = size_of_val(values) as u64;
        let before = self.done.fetch_add(bytes, Ordering::Relaxed);
        (self.progress)(before + bytes, self.total);
        values
    }
}

impl<F: Fn(u64, u64) + Sync> SessionRows for CountedRows<'_, F> {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        Ok(self.count(self.rows.inputs(stream, rows, buffer)?))
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        Ok(self.count(self.rows.exponents(stream, rows, buffer)?))
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        Ok(self.count(self.rows.deltas(module, rows, buffer)?))
    }
}
