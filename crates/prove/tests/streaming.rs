//! Prover and verifier hold a fixed window of a session, however many tokens it has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use lorica_argument::opening::OpeningMode;
use lorica_relation::rows::{MemoryRows, ModuleIndex, RowsError, SessionRows, StreamIndex};
use lorica_testkit::adapter::{AdapterFixture, entropy};
use lorica_testkit::random::Random;
use lorica_testkit::session::SessionFixture;
use lorica_verify::passes;
use lorica_verify::session::SessionVerifier;

/// Rows in memory that remember the largest request and how much was read.
struct Watched<'a> {
    rows: &'a MemoryRows,
    widths: (usize, usize),
    largest: AtomicU64,
    deltas_read: AtomicU64,
}

impl Watched<'_> {
    fn note(&self, rows: &Range<u64>, bytes_a_row: usize) {
        self.largest.fetch_max((rows.end - rows.start) * bytes_a_row as u64, Ordering::Relaxed);
    }
}

impl SessionRows for Watched<'_> {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.note(&rows, 2 * self.widths.0);
        self.rows.inputs(stream, rows, buffer)
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.note(&rows, 2);
        self.rows.exponents(stream, rows, buffer)
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        self.note(&rows, 8 * self.widths.1);
        self.deltas_read.fetch_add(rows.end - rows.start, Ordering::Relaxed);
        self.rows.deltas(module, rows, buffer)
    }
}

#[test]
fn no_request_is_larger_than_the_window_and_the_prover_reads_no_deltas() {
    const WINDOW: u64 = 256 << 10;
    let (width, outputs) = (96, 160);
    let adapter = AdapterFixture::new(&[(width, outputs, 2)], 110);
    // 6 MB of deltas: more than twenty windows.
    let rows = 5_000;
    let session = SessionFixture::new(&adapter, &[(&[0], rows)], 111);
    let watched = Watched {
        rows: &session.rows,
        widths: (width, outputs),
        largest: AtomicU64::new(0),
        deltas_read: AtomicU64::new(0),
    };
    let statement = session.statement(&adapter);
    let mut prover = session.prover(&adapter, &statement);
    prover.rows = &watched;
    let proof = prover.prove(OpeningMode::Compact, &entropy(&mut Random::new(112))).unwrap();
    assert_eq!(watched.deltas_read.load(Ordering::Relaxed), 0);

    let shapes = adapter.pinned.manifest().shapes();
    let digests = passes::digests(&shapes, &session.streams, &watched).unwrap();
    assert_eq!(digests.modules, statement.deltas);
    let verifier = SessionVerifier {
        adapter: &adapter.pinned,
        statement: &statement,
        rows: &watched,
        generators: &adapter.generators,
    };
    verifier.verify(&proof).unwrap();
    assert_eq!(watched.deltas_read.load(Ordering::Relaxed), 2 * rows, "one pass to hash, one to project");
    assert!(watched.largest.load(Ordering::Relaxed) <= WINDOW);
}
