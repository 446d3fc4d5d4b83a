//! Logs on disk for tests, with events that are easy to tell apart.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use lorica_provenance::{
    Audit, AuditOptions, Event, Finding, Kept, LogReader, LogSigner, LogWriter, Verdict, What, audit,
    event::Finite,
};
use lorica_tensor::Digest;

/// The key of all logs in tests.
pub(crate) fn signer() -> LogSigner {
    LogSigner::from_seed("lorica.test/log".parse().unwrap(), &[7; 32])
}

/// Event number i, different from all others.
pub(crate) fn event(i: u64) -> Event {
    let digest = |what: &str| Digest::sha256(format!("{what} {i}").as_bytes());
    let what = match i % 5 {
        0 => What::Data { name: format!("data {i}").parse().unwrap(), digest: digest("data"), rows: i },
        1 => What::Checkpoint { step: i, digest: digest("weights") },
        2 => What::Step {
            first: i,
            last: i + 1,
            data: digest("data"),
            rows: digest("rows"),
            config: digest("config"),
            before: digest("before"),
            after: digest("after"),
        },
        3 => What::Metric {
            name: "loss".parse().unwrap(),
            value: Finite::new(i as f64 / 7.0).unwrap(),
            checkpoint: digest("weights"),
            data: digest("data"),
        },
        _ => What::Proof {
            first: i,
            last: i,
            digest: digest("proof"),
            config: digest("config"),
            before: digest("before"),
            after: digest("after"),
        },
    };
    Event::new("run 1".parse().unwrap(), 1_790_000_000 + i, what)
}

pub(crate) fn events(range: std::ops::Range<u64>) -> Vec<Event> {
    range.map(event).collect()
}

/// A log in a folder of its own.
pub(crate) struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    /// A log of so many events, one batch.
    pub(crate) fn of(size: u64) -> Self {
        let log = Self { folder: tempfile::tempdir().unwrap() };
        let mut writer = LogWriter::create(&log.path(), signer()).unwrap();
        writer.append(&events(0..size)).unwrap();
        log
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    /// Appends up to this size.
    pub(crate) fn grow(&self, size: u64) {
        let mut writer = LogWriter::open(&self.path(), signer()).unwrap();
        let from = writer.head().checkpoint().size;
        writer.append(&events(from..size)).unwrap();
    }

    /// The checkpoint as an auditor keeps it.
    pub(crate) fn keep(&self) -> Kept {
        let bytes = LogReader::new(&self.path()).checkpoint_bytes().unwrap();
        Kept { name: "kept".to_owned(), bytes }
    }

    pub(crate) fn verdict(&self, kept: &[Kept]) -> Verdict {
        let key = signer();
        audit(&self.path(), &AuditOptions { key: key.verifier(), kept, progress: &|_, _| {} }).unwrap()
    }

    #[track_caller]
    pub(crate) fn holds(&self, kept: &[Kept]) -> Audit {
        match self.verdict(kept) {
            Verdict::Holds(audit) => audit,
            Verdict::Broken(broken) => panic!("{:?}", broken.findings),
        }
    }

    #[track_caller]
    pub(crate) fn findings(&self, kept: &[Kept]) -> Vec<Finding> {
        match self.verdict(kept) {
            Verdict::Holds(_) => panic!("the log holds"),
            Verdict::Broken(broken) => broken.findings,
        }
    }
}

/// The entries of a bundle's file.
pub(crate) fn read_bundle(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    lorica_provenance::tile::entries(&bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect()
}

/// Writes a bundle's file.
pub(crate) fn write_bundle(path: &Path, entries: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    assert!(entries.iter().all(|entry| lorica_provenance::tile::append_entry(&mut bytes, entry)));
    std::fs::write(path, bytes).unwrap();
}
