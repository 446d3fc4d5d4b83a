//! Whatever byte of a bundle is changed, the verifier names the place; and it never panics.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::*;
use lorica_evidence::{Reason, VerifyError, VerifyOptions, verify_bundle};

/// Changes a file, looks at the verdict, and puts the file back.
fn with(folder: &Path, name: &str, content: &[u8], check: impl FnOnce(&Path)) {
    let path = folder.join(name);
    let before = fs::read(&path).unwrap();
    fs::write(&path, content).unwrap();
    check(folder);
    fs::write(&path, before).unwrap();
}

/// A scratch bundle for each part of a byte range, so that parts run side by side.
fn in_parts(scratch: &Scratch, folder: &Path, length: usize, check: impl Fn(&Path, usize) + Sync) {
    let parts: usize = 2;
    let folders: Vec<PathBuf> = (0..parts).map(|part| scratch.path(&format!("part {part}"))).collect();
    std::thread::scope(|scope| {
        for (part, copied) in folders.iter().enumerate() {
            copy(folder, copied);
            let check = &check;
            scope.spawn(move || (part..length).step_by(parts).for_each(|at| check(copied, at)));
        }
    });
    for copied in folders {
        verify_bundle(&copied, VerifyOptions::default()).unwrap();
        fs::remove_dir_all(copied).unwrap();
    }
}

/// Changes one byte of a file, and expects its file and line.
fn flip(copied: &Path, name: &str, content: &[u8], at: usize) {
    let mut edited = content.to_vec();
    // Each byte gets another change; none is 0.
    edited[at] ^= u8::try_from(at % 255 + 1).unwrap();
    with(copied, name, &edited, |copied| {
        let place = invalid(copied).place;
        assert_eq!(place.file, name, "byte {at}");
        if name == "evidence.ndjson" {
            let line = content[..at].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert_eq!(place.line, Some(line), "byte {at}: {place}");
        }
    });
}

#[test]
fn every_byte_of_a_small_bundle_counts() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, 1);
    for name in files(&folder) {
        let content = fs::read(folder.join(&name)).unwrap();
        // Report and plot are long, and only compared with their digest: every fourth byte of them.
        let step = if ["report.html", "interval-0.svg"].contains(&name.as_str()) { 4 } else { 1 };
        in_parts(&scratch, &folder, content.len().div_ceil(step), |copied, at| {
            flip(copied, &name, &content, (at * step + at % step).min(content.len() - 1));
        });
    }
}

#[test]
fn a_sample_of_the_bytes_of_a_longer_bundle_counts() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, same, usize::MAX);
    for name in files(&folder) {
        let content = fs::read(folder.join(&name)).unwrap();
        in_parts(&scratch, &folder, 300, |copied, seed| {
            flip(copied, &name, &content, Numbers::new(seed as u64).below(content.len()));
        });
    }
}

#[test]
fn truncation_is_found_at_every_length_and_so_is_an_empty_file() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, 2);
    for name in files(&folder) {
        let content = fs::read(folder.join(&name)).unwrap();
        for length in (0..content.len()).step_by(11).chain([content.len() - 1]) {
            with(&folder, &name, &content[..length], |folder| {
                assert_eq!(invalid(folder).place.file, name, "{length} of {} bytes", content.len());
            });
        }
        let longer: Vec<u8> = content.iter().copied().chain(*b"\n").collect();
        with(&folder, &name, &longer, |folder| assert_eq!(invalid(folder).place.file, name));
    }
}

#[test]
fn files_that_are_missing_added_or_of_another_kind_are_named() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    for name in files(&folder) {
        let path = folder.join(&name);
        let content = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let found = invalid(&folder);
        assert_eq!((found.place.file.as_str(), *found.reason), (name.as_str(), Reason::Missing));
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let found = invalid(&folder);
        assert_eq!((found.place.file.as_str(), *found.reason), (name.as_str(), Reason::NotAFile));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let found = invalid(&folder);
        assert_eq!((found.place.file.as_str(), *found.reason), (name.as_str(), Reason::Extra));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, content).unwrap();
    }
    for name in ["notes.txt", "challenge-key.secret", ".hidden", "families/x.json", "interval-1.svg"] {
        fs::write(folder.join(name), "x").unwrap();
        let found = invalid(&folder);
        assert_eq!((found.place.file.as_str(), *found.reason), (name, Reason::Extra));
        fs::remove_file(folder.join(name)).unwrap();
    }
    fs::create_dir(folder.join("more")).unwrap();
    assert_eq!(invalid(&folder).place.file, "more");
    fs::remove_dir(folder.join("more")).unwrap();
    verify_bundle(&folder, VerifyOptions::default()).unwrap();
    let missing = verify_bundle(&scratch.path("nowhere"), VerifyOptions::default());
    assert!(matches!(missing, Err(VerifyError::Unreadable { .. })));
}

#[test]
fn lines_that_are_repeated_moved_or_removed_are_named() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, usize::MAX);
    let text = fs::read_to_string(folder.join("evidence.ndjson")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    assert!(lines.len() >= 5);
    for at in 0..lines.len() {
        let mut removed = lines.clone();
        removed.remove(at);
        let mut repeated = lines.clone();
        repeated.insert(at, lines[at]);
        let mut edits = vec![(removed, at + 1), (repeated, at + 2)];
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            edits.push((swapped, at + 1));
        }
        for (edited, line) in edits {
            with(&folder, "evidence.ndjson", edited.concat().as_bytes(), |folder| {
                let place = invalid(folder).place;
                // Where the last line is gone, the transcript ends one line before.
                let line = line.min(edited.len());
                assert_eq!((place.file.as_str(), place.line), ("evidence.ndjson", Some(line as u64)), "{at}");
            });
        }
    }
}

#[test]
fn random_damage_is_found_and_never_panics() {
    let scratch = Scratch::new();
    let folder = scratch.path("run");
    bundle(&folder, different, 1);
    let words: [&[u8]; 8] =
        [b"null", b"1e999", b"NaN", b"[[[[", b"\"\"", b"\n", b"-1", b"99999999999999999999"];
    for name in files(&folder) {
        let content = fs::read(folder.join(&name)).unwrap();
        in_parts(&scratch, &folder, 3_000, |copied, seed| {
            let mut numbers = Numbers::new(seed as u64);
            let mut edited = content.clone();
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(edited.len().max(1)).min(edited.len());
                let end = at + numbers.below((edited.len() - at).min(40) + 1);
                match numbers.below(5) {
                    0 if at < edited.len() => edited[at] ^= 1 << numbers.below(8),
                    1 => drop(edited.drain(at..end)),
                    2 => {
                        let piece = edited[at..end].to_vec();
                        let target = numbers.below(edited.len() + 1);
                        edited.splice(target..target, piece);
                    }
                    3 if seed % 8 == 0 => edited.truncate(at),
                    _ => drop(edited.splice(at..end, words[numbers.below(words.len())].iter().copied())),
                }
            }
            if edited != content {
                with(copied, &name, &edited, |copied| assert_eq!(invalid(copied).place.file, name, "{seed}"));
            }
        });
    }
}
