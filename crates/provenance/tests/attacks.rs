//! Every way to tell another story: the audit finds it, and says what was done and where.
//!
//! Three attackers: one who changes files, one who also computes the tiles again, and the holder of the key, who signs
//! whatever there is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{Log, event, events, read_bundle, signer, write_bundle};
use lorica_provenance::{
    AuditOptions, Checkpoint, CheckpointError, Event, Finding, Hash, LogReader, LogSigner, LogWriter,
    NoteError, audit,
    audit::AuditError,
    finding::MAX_FINDINGS,
    tile::{self, Row, TILE_WIDTH, Tile},
    tree::Frontier,
};

const SIZE: u64 = 1000;

/// All entries of a log, whatever is in its bundles.
fn entries(log: &Log) -> Vec<Vec<u8>> {
    (0..SIZE.div_ceil(TILE_WIDTH))
        .map(|index| Tile::of_size(Row::Entries, index, SIZE).unwrap())
        .flat_map(|tile| read_bundle(&log.file(tile.path())))
        .collect()
}

/// Writes other entries, as many as there were, into the bundles.
fn write_entries(log: &Log, entries: &[Vec<u8>]) {
    assert_eq!(entries.len() as u64, SIZE);
    for (index, entries) in (0..).zip(entries.chunks(TILE_WIDTH as usize)) {
        let tile = Tile::of_size(Row::Entries, index, SIZE).unwrap();
        write_bundle(&log.file(tile.path()), entries);
    }
}

/// Computes all tiles up to a level from the entries, as an attacker would who covers his tracks. Returns the root.
fn write_tiles(log: &Log, levels: u32) -> Hash {
    let leaves: Vec<Hash> = entries(log).iter().map(|entry| Hash::leaf(entry)).collect();
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(0, *leaf));
    let mut row = leaves;
    for level in 0..levels {
        for (index, hashes) in (0..).zip(row.chunks(TILE_WIDTH as usize)) {
            let tile = Tile::of_size(Row::Level(level), index, SIZE).unwrap();
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            fs::write(log.file(tile.path()), bytes).unwrap();
        }
        row = row.chunks_exact(TILE_WIDTH as usize).map(|hashes| Hash::perfect(hashes).unwrap()).collect();
    }
    frontier.root()
}

/// Signs a head over whatever the entries are, as the holder of the key can.
fn sign(log: &Log, size: u64, root: Hash) {
    let head = Checkpoint { origin: signer().verifier().name().clone(), size, root }.sign(&signer()).unwrap();
    fs::write(log.file("checkpoint"), head.to_string()).unwrap();
}

fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::name).collect()
}

fn places(findings: &[Finding]) -> Vec<(&'static str, Option<(u64, u64)>)> {
    findings.iter().map(|finding| (finding.name(), finding.entries())).collect()
}

fn bytes_of(i: u64) -> Vec<u8> {
    event(i).to_bytes().unwrap()
}

type Change = fn(&mut Vec<Vec<u8>>);

/// A finding's name, its first entry, and how many.
type Found = (&'static str, u64, u64);

/// What is done to the entries, and what is found.
const CHANGES: &[(&str, Change, &[Found])] = &[
    ("one entry edited", |all| all[700] = bytes_of(5000), &[("edit", 700, 1)]),
    ("one bit flipped", |all| all[3][40] ^= 1, &[("edit", 3, 1)]),
    (
        "the first and the last edited",
        |all| {
            all[0] = bytes_of(5000);
            all[999] = bytes_of(5001);
        },
        &[("edit", 0, 1), ("edit", 999, 1)],
    ),
    ("two swapped", |all| all.swap(10, 900), &[("reorder", 900, 1), ("reorder", 10, 1)]),
    ("two neighbours swapped", |all| all.swap(500, 501), &[("reorder", 501, 1), ("reorder", 500, 1)]),
    ("the last two swapped", |all| all.swap(998, 999), &[("reorder", 999, 1), ("reorder", 998, 1)]),
    (
        "three rotated",
        |all| all[100..103].rotate_left(1),
        &[("reorder", 101, 1), ("reorder", 102, 1), ("reorder", 100, 1)],
    ),
    (
        "one deleted, the end filled up",
        |all| {
            all.remove(300);
            all.push(bytes_of(5000));
        },
        &[("deletion", 300, 1)],
    ),
    (
        "seven deleted, the end filled up",
        |all| {
            all.drain(300..307);
            all.extend((5000..5007).map(bytes_of));
        },
        &[("deletion", 300, 7)],
    ),
    (
        "one inserted, the last cut off",
        |all| {
            all.insert(0, bytes_of(5000));
            all.pop();
        },
        &[("insertion", 0, 1)],
    ),
    ("one copied over another", |all| all[20] = all[10].clone(), &[("edit", 20, 1)]),
];

#[test]
fn changed_entries_are_named_where_the_tiles_still_stand() {
    for (what, change, expected) in CHANGES {
        let log = Log::of(SIZE);
        let mut all = entries(&log);
        change(&mut all);
        write_entries(&log, &all);
        let found = places(&log.findings(&[]));
        let expected: Vec<_> =
            expected.iter().map(|(name, first, count)| (*name, Some((*first, *count)))).collect();
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn changed_entries_with_their_tiles_are_named_by_their_block() {
    for (what, change, expected) in CHANGES {
        let log = Log::of(SIZE);
        let mut all = entries(&log);
        change(&mut all);
        write_entries(&log, &all);
        // Level 1 still tells the block; the last block has no hash there, and is named whole where it is changed.
        write_tiles(&log, 1);
        let findings = log.findings(&[]);
        assert!(names(&findings).iter().all(|name| *name == "rewrite"), "{what}: {findings:?}");
        for (_, first, _) in *expected {
            let within = |finding: &Finding| {
                let (start, count) = finding.entries().unwrap();
                (start..start + count).contains(first)
            };
            assert!(findings.iter().any(within), "{what}: {first} is in none of {findings:?}");
        }
    }
}

#[test]
fn a_block_that_was_changed_with_its_tile_is_named_alone() {
    let log = Log::of(SIZE);
    let mut all = entries(&log);
    all[300] = bytes_of(5000);
    write_entries(&log, &all);
    write_tiles(&log, 1);
    assert_eq!(places(&log.findings(&[])), [("rewrite", Some((256, 256)))]);
}

#[test]
fn a_log_that_was_rewritten_without_the_key_does_not_lead_to_its_head() {
    let log = Log::of(600);
    let kept = log.keep();
    log.grow(SIZE);
    let mut all = entries(&log);
    all[700] = bytes_of(5000);
    write_entries(&log, &all);
    write_tiles(&log, 2);
    assert_eq!(places(&log.findings(&[])), [("rewrite", Some((0, SIZE)))]);
    // A kept checkpoint shows that the beginning is as it was.
    assert_eq!(places(&log.findings(&[kept])), [("rewrite", Some((600, 400)))]);
}

#[test]
fn the_holder_of_the_key_cannot_rewrite_what_an_auditor_kept() {
    let log = Log::of(250);
    let mut kept = vec![log.keep()];
    log.grow(600);
    kept.push(log.keep());
    log.grow(SIZE);
    for (what, change, _) in CHANGES {
        let log = {
            let copy = Log::of(SIZE);
            let mut all = entries(&copy);
            change(&mut all);
            write_entries(&copy, &all);
            let root = write_tiles(&copy, 2);
            sign(&copy, SIZE, root);
            copy
        };
        let first = entries(&log).iter().zip(0..).find(|(entry, i)| **entry != bytes_of(*i)).unwrap().1;
        if matches!(log.verdict(&[]), lorica_provenance::Verdict::Broken(_)) {
            // Signed or not, bytes that are no event are refused.
            assert_eq!(names(&log.findings(&[])), ["event"], "{what}");
        }
        if first >= 600 {
            // Nothing that was kept covers it: it is as if it had been logged so.
            continue;
        }
        let findings = log.findings(&kept);
        let fork = findings.iter().find(|finding| finding.name() == "fork").unwrap();
        let expected = if first < 250 { (0, 250) } else { (250, 350) };
        assert_eq!(fork.entries(), Some(expected), "{what}");
        assert!(fork.to_string().contains("forked"), "{fork}");
    }
}

#[test]
fn a_rollback_is_named_with_what_is_gone() {
    let log = Log::of(600);
    let old = log.keep();
    log.grow(SIZE);
    let kept = log.keep();
    // The old checkpoint over the new files: everything of the old log is there, and signed.
    fs::write(log.file("checkpoint"), &old.bytes).unwrap();
    log.holds(std::slice::from_ref(&old));
    assert_eq!(places(&log.findings(&[old.clone(), kept.clone()])), [("rollback", Some((600, 400)))]);
    // Signed anew, by the holder of the key.
    let other = Log::of(600);
    assert_eq!(places(&other.findings(&[kept])), [("rollback", Some((600, 400)))]);
}

#[test]
fn two_heads_of_one_size_are_a_fork() {
    let log = Log::of(SIZE);
    let other = Log::of(0);
    let mut writer = LogWriter::open(&other.path(), signer()).unwrap();
    writer.append(&events(1..SIZE + 1)).unwrap();
    drop(writer);
    let findings = log.findings(&[other.keep()]);
    assert_eq!(places(&findings), [("fork", Some((0, SIZE)))]);
}

#[test]
fn bundles_that_are_missing_or_have_other_lengths_are_named() {
    let log = Log::of(SIZE);
    fs::remove_file(log.file("tile/entries/002")).unwrap();
    let findings = log.findings(&[]);
    assert_eq!(places(&findings), [("deletion", Some((512, 256)))]);
    assert!(findings[0].to_string().contains("tile/entries/002: it is missing"), "{}", findings[0]);

    let log = Log::of(SIZE);
    let path = log.file("tile/entries/001");
    let mut bundle = read_bundle(&path);
    bundle.remove(44);
    bundle.drain(100..102);
    write_bundle(&path, &bundle);
    assert_eq!(places(&log.findings(&[])), [("deletion", Some((300, 1))), ("deletion", Some((357, 2)))]);
    // The tile with it, so that there is nothing to compare entries with.
    fs::remove_file(log.file("tile/0/001")).unwrap();
    assert_eq!(places(&log.findings(&[])), [("rewrite", Some((256, 256)))]);

    let log = Log::of(SIZE);
    let path = log.file("tile/entries/003.p/232");
    let mut bundle = read_bundle(&path);
    bundle.push(bytes_of(5000));
    write_bundle(&path, &bundle);
    assert_eq!(places(&log.findings(&[])), [("insertion", Some((1000, 1)))]);

    let log = Log::of(SIZE);
    let path = log.file("tile/entries/000");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(places(&log.findings(&[])), [("deletion", Some((0, 256)))]);
}

#[test]
fn tiles_that_do_not_fit_their_entries_are_named() {
    for (file, first, count) in
        [("tile/0/002", 512, 256), ("tile/0/003.p/232", 768, 232), ("tile/1/000.p/3", 0, 768)]
    {
        let log = Log::of(SIZE);
        let mut bytes = fs::read(log.file(file)).unwrap();
        bytes[40] ^= 1;
        fs::write(log.file(file), &bytes).unwrap();
        let findings = log.findings(&[]);
        assert_eq!(places(&findings), [("tile", Some((first, count)))], "{file}");
        assert!(findings[0].to_string().contains("hash 1 is another one"), "{}", findings[0]);
        bytes.pop();
        fs::write(log.file(file), &bytes).unwrap();
        assert_eq!(places(&log.findings(&[])), [("tile", Some((first, count)))], "{file} cut short");
        fs::remove_file(log.file(file)).unwrap();
        assert_eq!(places(&log.findings(&[])), [("tile", Some((first, count)))], "{file} removed");
    }
}

#[test]
fn entries_changed_in_one_place_and_tiles_in_another_are_both_named() {
    let log = Log::of(SIZE);
    let mut all = entries(&log);
    all[300] = bytes_of(5000);
    write_entries(&log, &all);
    let path = log.file("tile/0/002");
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(places(&log.findings(&[])), [("edit", Some((300, 1))), ("tile", Some((512, 256)))]);
}

#[test]
fn a_head_that_the_key_did_not_sign_is_named() {
    let log = Log::of(SIZE);
    let text = fs::read_to_string(log.file("checkpoint")).unwrap();
    let key = signer();
    let other_key = LogSigner::from_seed("lorica.test/log".parse().unwrap(), &[8; 32]);
    let other_log = LogSigner::from_seed("lorica.test/other".parse().unwrap(), &[7; 32]);
    let by = |signer: &LogSigner| {
        let origin = signer.verifier().name().clone();
        Checkpoint { origin, size: SIZE, root: Hash::empty() }.sign(signer).unwrap().to_string()
    };
    let foreign = lorica_provenance::Note::sign(
        text.replace("test/log\n1000", "test/x\n1000").split("\n\n").next().unwrap().to_owned() + "\n",
        &key,
    );
    let with_extension = text.split("\n\n").next().unwrap().to_owned() + "\nmore\n";
    let with_extension = lorica_provenance::Note::sign(with_extension, &key).unwrap().to_string();
    for (head, expected) in [
        (text.replacen("1000", "1001", 1), "is not over this text"),
        (text.replacen("1000", "999", 1), "is not over this text"),
        (by(&other_key), "not signed by lorica.test/log"),
        (by(&other_log), "not signed by lorica.test/log"),
        (foreign.unwrap().to_string(), "is a checkpoint of \"lorica.test/x\""),
        (with_extension, "more than an origin, a size and a root"),
        ("1000 entries, I promise\n".to_owned(), "not a signed note"),
    ] {
        fs::write(log.file("checkpoint"), &head).unwrap();
        let findings = log.findings(&[]);
        assert_eq!(names(&findings), ["signature"], "{head}");
        assert!(findings[0].to_string().contains(expected), "{}", findings[0]);
    }
    // Right key, wrong root: the entries do not lead to it.
    sign(&log, SIZE, Hash::empty());
    assert_eq!(places(&log.findings(&[])), [("rewrite", Some((0, SIZE)))]);
}

#[test]
fn a_kept_checkpoint_of_another_log_is_an_error_and_no_verdict() {
    let log = Log::of(10);
    let mut kept = log.keep();
    kept.bytes[0] ^= 1;
    let key = signer();
    let options = AuditOptions { key: key.verifier(), kept: &[kept], progress: &|_, _| {} };
    let error = audit(&log.path(), &options).unwrap_err();
    assert!(
        matches!(error, AuditError::Kept { source: CheckpointError::Note(NoteError::Signature { .. }), .. }),
        "{error}"
    );
    let nothing = tempfile::tempdir().unwrap();
    let options = AuditOptions { kept: &[], ..options };
    assert!(matches!(audit(nothing.path(), &options), Err(AuditError::Read(_))));
}

#[test]
fn signed_entries_that_are_no_events_are_named() {
    let log = Log::of(SIZE);
    let mut all = entries(&log);
    all[4] = b"trust me".to_vec();
    all[5] = String::from_utf8(bytes_of(5)).unwrap().replace("\"kind\":\"data\"", "\"kind\":\"deta\"").into();
    write_entries(&log, &all);
    let root = write_tiles(&log, 2);
    sign(&log, SIZE, root);
    assert_eq!(places(&log.findings(&[])), [("event", Some((4, 1))), ("event", Some((5, 1)))]);
}

#[test]
fn findings_are_counted_beyond_those_that_are_told() {
    let log = Log::of(SIZE);
    let mut all = entries(&log);
    (0..100).for_each(|i| all[7 * i] = bytes_of(5000 + i as u64));
    write_entries(&log, &all);
    let lorica_provenance::Verdict::Broken(broken) = log.verdict(&[]) else { panic!("it holds") };
    assert_eq!((broken.findings.len(), broken.total), (MAX_FINDINGS, 100));
}

#[test]
fn files_beyond_the_head_are_no_part_of_the_log() {
    let log = Log::of(SIZE);
    let path = log.file("tile/entries/004");
    write_bundle(&path, &[b"not signed".to_vec()]);
    fs::write(log.file("tile/0/004"), "not signed").unwrap();
    assert_eq!(log.holds(&[]).head.size, SIZE);
    let reader = LogReader::new(&log.path());
    assert!(reader.entry(1024, SIZE).is_err() && tile::entries(b"\x00").is_none());
    assert!(Event::parse(b"not signed").is_err());
}
