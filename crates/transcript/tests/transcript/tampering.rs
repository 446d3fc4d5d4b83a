//! Folders that lie: named errors, and never a panic.

use std::{fs, path::Path};

use crate::fixture::{calls, file_names, write};
use lorica_relation::rows::SessionRows as _;
use lorica_transcript::{TranscriptError, TranscriptReader, TranscriptWriter};
use proptest::{prelude::*, sample::Index};

fn small(folder: &Path) {
    write(folder, 1, &calls(9), 600);
}

fn read_all(folder: &Path) -> Result<(), TranscriptError> {
    let reader = TranscriptReader::open(folder)?;
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    for (index, stream) in reader.streams().iter().enumerate() {
        let id = lorica_relation::rows::StreamIndex(index);
        reader.inputs(id, 0..stream.rows, &mut narrow)?;
        reader.exponents(id, 0..stream.rows, &mut narrow)?;
        for &module in &stream.modules {
            reader.deltas(module, 0..stream.rows, &mut wide)?;
        }
    }
    reader.check_digests()
}

/// Makes a transcript, changes it, and returns the message of the error that follows.
fn refusal(change: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    read_all(folder.path()).unwrap();
    change(folder.path());
    read_all(folder.path()).expect_err("the change was accepted").to_string()
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("transcript.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

const FIRST: &str = "rows-00001.safetensors";
const SECOND: &str = "rows-00002.safetensors";

#[test]
fn shards_that_are_not_the_ones_listed() {
    let message = refusal(|folder| fs::remove_file(folder.join(SECOND)).unwrap());
    assert!(message.contains(SECOND) && message.contains("cannot open"), "{message}");

    let message = refusal(|folder| drop(fs::copy(folder.join(FIRST), folder.join("rows-00099.safetensors"))));
    assert!(message.contains("rows-00099.safetensors is no part of a finished transcript"), "{message}");

    let message = refusal(|folder| fs::write(folder.join("window.log"), "").unwrap());
    assert!(message.contains("window.log is no part"), "{message}");

    let message = refusal(|folder| {
        let mut bytes = fs::read(folder.join(FIRST)).unwrap();
        bytes.push(0);
        fs::write(folder.join(FIRST), bytes).unwrap();
    });
    assert!(message.contains(FIRST) && message.contains("size in bytes"), "{message}");

    let message = refusal(|folder| {
        let mut bytes = fs::read(folder.join(FIRST)).unwrap();
        bytes.pop();
        fs::write(folder.join(FIRST), bytes).unwrap();
    });
    assert!(message.contains(FIRST) && message.contains("size in bytes"), "{message}");

    let message = refusal(|folder| {
        let bytes = fs::read(folder.join(FIRST)).unwrap();
        let at = bytes.windows(8).position(|text| text == b"a.q_proj").unwrap();
        let mut changed = bytes.clone();
        changed[at + 2] = b'v';
        fs::write(folder.join(FIRST), changed).unwrap();
    });
    assert!(message.contains("a.q_proj") && message.contains("a.v_proj"), "{message}");
}

#[test]
fn equal_shards_cannot_change_places_or_sessions() {
    let uniform: Vec<_> =
        (0..8).map(|index| lorica_transcript::RecordedCall { index, ..calls(1).remove(0) }).collect();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1, &uniform, 200);
    fs::rename(folder.path().join(FIRST), folder.path().join("x")).unwrap();
    fs::rename(folder.path().join(SECOND), folder.path().join(FIRST)).unwrap();
    fs::rename(folder.path().join("x"), folder.path().join(SECOND)).unwrap();
    let message = read_all(folder.path()).unwrap_err().to_string();
    assert!(message.contains(FIRST) && message.contains("header"), "{message}");

    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(one.path(), 1, &uniform, 200);
    write(two.path(), 2, &uniform, 200);
    fs::copy(two.path().join(FIRST), one.path().join(FIRST)).unwrap();
    let message = read_all(one.path()).unwrap_err().to_string();
    assert!(message.contains("0202"), "{message}");
}

#[test]
fn changed_rows_are_named_by_their_tensor() {
    let message = refusal(|folder| {
        let path = folder.join(FIRST);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(message.contains("exponents.") && message.contains("digest"), "{message}");
}

#[test]
fn headers_that_lie() {
    for (from, to, expected) in [
        ("lorica-transcript/1", "lorica-transcript/2", "field format"),
        ("lorica-fixed-point/1", "lorica-fixed-point/9", "field fixed_point"),
        ("\"completed\": true", "\"completed\": false", "was not finished"),
        ("\"calls\": 9", "\"calls\": 10", "field calls"),
        ("\"outputs\": 4", "\"outputs\": 0", "modules[0].outputs"),
        ("\"outputs\": 4", "\"outputs\": 3", "size in bytes"),
        ("\"outputs\": 4", "\"outputs\": 4, \"more\": 1", "unknown field"),
        ("\"width\": 3", "\"width\": 4", "size in bytes"),
        ("\"width\": 3", "\"width\": 70000", "streams[0].width"),
        ("\"name\": \"z.unused\"", "\"name\": \"a.out\"", "modules[3].name"),
        ("\"name\": \"z.unused\"", "\"name\": \"a/../b\"", "not a module name"),
        ("\"role\": \"user\"", "\"role\": \"auditor\"", "unknown variant"),
    ] {
        let message = refusal(|folder| edit(folder, from, to));
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
    let message = refusal(|folder| fs::write(folder.join("transcript.json"), "{").unwrap());
    assert!(message.contains("not a transcript header"), "{message}");
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, Index, u8),
    Truncate(Index, Index),
    Append(Index, Vec<u8>),
    Insert(Index, Index, Vec<u8>),
    Digit(Index, u8),
    Zero(Index, Index),
    Swap(Index, Index),
    Remove(Index),
    Rename(Index, String),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let bytes = || prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        6 => (index(), index(), 1..=255u8).prop_map(|(file, at, bits)| Mutation::Flip(file, at, bits)),
        2 => (index(), index()).prop_map(|(file, at)| Mutation::Truncate(file, at)),
        1 => (index(), bytes()).prop_map(|(file, bytes)| Mutation::Append(file, bytes)),
        2 => (index(), index(), bytes()).prop_map(|(file, at, bytes)| Mutation::Insert(file, at, bytes)),
        8 => (index(), b'0'..=b'9').prop_map(|(at, digit)| Mutation::Digit(at, digit)),
        1 => (index(), index()).prop_map(|(file, at)| Mutation::Zero(file, at)),
        1 => (index(), index()).prop_map(|(a, b)| Mutation::Swap(a, b)),
        1 => index().prop_map(Mutation::Remove),
        1 => (index(), "[a-z0-9.-]{1,20}").prop_map(|(file, name)| Mutation::Rename(file, name)),
    ]
}

/// Applies a mutation to a folder whose files are `files`.
fn apply(folder: &Path, files: &[(String, Vec<u8>)], mutation: &Mutation) {
    let change = |file: &Index, change: &dyn Fn(&mut Vec<u8>)| {
        let (name, bytes) = file.get(files);
        let mut bytes = bytes.clone();
        change(&mut bytes);
        fs::write(folder.join(name), bytes).unwrap();
    };
    match mutation {
        Mutation::Flip(file, at, bits) => change(file, &|bytes| {
            if !bytes.is_empty() {
                *at.get_mut(bytes) ^= bits;
            }
        }),
        Mutation::Truncate(file, at) => change(file, &|bytes| bytes.truncate(at.index(bytes.len().max(1)))),
        Mutation::Append(file, more) => change(file, &|bytes| bytes.extend(more)),
        Mutation::Insert(file, at, more) => change(file, &|bytes| {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, more.iter().copied());
        }),
        Mutation::Digit(at, digit) => {
            let (name, bytes) = files.iter().find(|(name, _)| name == "transcript.json").unwrap();
            let digits: Vec<_> = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
            let mut bytes = bytes.clone();
            bytes[*at.get(&digits)] = *digit;
            fs::write(folder.join(name), bytes).unwrap();
        }
        Mutation::Zero(file, at) => change(file, &|bytes| {
            let at = at.index(bytes.len().max(1));
            bytes.iter_mut().skip(at).take(64).for_each(|byte| *byte = 0);
        }),
        Mutation::Swap(a, b) => {
            fs::write(folder.join(&a.get(files).0), &b.get(files).1).unwrap();
            fs::write(folder.join(&b.get(files).0), &a.get(files).1).unwrap();
        }
        Mutation::Remove(file) => fs::remove_file(folder.join(&file.get(files).0)).unwrap(),
        Mutation::Rename(file, name) if !name.starts_with('.') => {
            fs::rename(folder.join(&file.get(files).0), folder.join(name)).unwrap();
        }
        Mutation::Rename(..) => {}
    }
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    file_names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

fn restore(folder: &Path, files: &[(String, Vec<u8>)]) {
    for name in file_names(folder) {
        if !files.iter().any(|(known, _)| *known == name) {
            fs::remove_file(folder.join(name)).unwrap();
        }
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        if fs::read(&path).ok().as_ref() != Some(bytes) {
            fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn ten_thousand_mutations_of_a_finished_transcript() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let files = contents(folder.path());
    let original = TranscriptReader::open(folder.path()).unwrap();
    let shards = |folder: &Path| {
        contents(folder).into_iter().filter(|(name, _)| name != "transcript.json").collect::<Vec<_>>()
    };
    let shards_before = shards(folder.path());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) };
    proptest!(config, |(mutations in prop::collection::vec(mutation(), 1..3))| {
        restore(folder.path(), &files);
        let mut done = Vec::new();
        for mutation in &mutations {
            // A second mutation works on the original bytes, so it may undo the first; a file may be gone.
            if done.is_empty() || !matches!(mutation, Mutation::Remove(_) | Mutation::Rename(..)) {
                apply(folder.path(), &files, mutation);
                done.push(mutation);
            }
        }
        // The folder alone cannot tell the manifest, the role or the shape of a module that was never called; its rows it can.
        if read_all(folder.path()).is_ok() {
            let reader = TranscriptReader::open(folder.path()).unwrap();
            prop_assert_eq!(reader.streams(), original.streams(), "{:?}", done);
            prop_assert_eq!(&reader.header().digests, &original.header().digests, "{:?}", done);
            prop_assert_eq!(shards(folder.path()), shards_before.clone(), "{:?}", done);
        }
    });
}

#[test]
fn ten_thousand_mutations_of_an_open_transcript() {
    let folder = tempfile::tempdir().unwrap();
    {
        let mut writer = TranscriptWriter::create(folder.path(), &crate::fixture::plan(1), 600).unwrap();
        for call in calls(9) {
            writer.append_call(&call.as_call()).unwrap();
        }
    }
    let files = contents(folder.path());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) };
    proptest!(config, |(mutation in mutation())| {
        restore(folder.path(), &files);
        apply(folder.path(), &files, &mutation);
        if let Ok(writer) = TranscriptWriter::resume(folder.path(), 600) {
            prop_assert!(writer.calls() <= 9);
        }
    });
}
