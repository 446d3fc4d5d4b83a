//! A process that dies, a disk that is full: no accepted call is lost, and nothing half-written stays.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::fixture::{calls, file_names, plan, write};
use lorica_transcript::{
    RecordedCall, TranscriptError, TranscriptHeader, TranscriptReader, TranscriptWriter,
};

const WINDOW: u64 = 600;

fn begin(folder: &Path, calls: &[RecordedCall]) -> TranscriptWriter {
    let mut writer = TranscriptWriter::create(folder, &plan(1), WINDOW).unwrap();
    for call in calls {
        writer.append_call(&call.as_call()).unwrap();
    }
    writer
}

/// Resumes, appends what is missing, finishes, and compares with a transcript that was never interrupted.
fn complete(folder: &Path, calls: &[RecordedCall], expected_calls: u64) {
    let mut writer = TranscriptWriter::resume(folder, WINDOW).unwrap();
    assert_eq!(writer.calls(), expected_calls);
    for call in &calls[expected_calls as usize..] {
        writer.append_call(&call.as_call()).unwrap();
    }
    let header = writer.finish().unwrap();
    let reader = TranscriptReader::open(folder).unwrap();
    reader.check_digests().unwrap();

    let whole = tempfile::tempdir().unwrap();
    write(whole.path(), 1, calls, WINDOW);
    assert_eq!(header.digests, TranscriptHeader::read(whole.path()).unwrap().digests);
}

#[test]
fn a_writer_that_dies_after_any_call_loses_none() {
    let calls = calls(14);
    for accepted in 0..=calls.len() {
        let folder = tempfile::tempdir().unwrap();
        let writer = begin(folder.path(), &calls[..accepted]);
        let (last, rows, digests) = (writer.last_call(), writer.rows(), writer.digests());
        drop(writer);
        let resumed = TranscriptWriter::resume(folder.path(), WINDOW).unwrap();
        assert_eq!(resumed.last_call(), last);
        assert_eq!(last.as_ref(), calls[..accepted].last(), "the last call can always be answered again");
        assert_eq!(resumed.rows(), rows);
        assert_eq!(resumed.digests(), digests);
        drop(resumed);
        complete(folder.path(), &calls, accepted as u64);
    }
}

#[test]
fn a_log_torn_at_any_byte_keeps_its_whole_records() {
    let calls = calls(3);
    let source = tempfile::tempdir().unwrap();
    let mut ends = vec![0];
    let mut writer = begin(source.path(), &[]);
    for call in &calls {
        writer.append_call(&call.as_call()).unwrap();
        ends.push(fs::metadata(source.path().join("window.log")).unwrap().len());
    }
    drop(writer);
    let log = fs::read(source.path().join("window.log")).unwrap();
    for length in 0..=log.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(source.path().join("transcript.json"), folder.path().join("transcript.json")).unwrap();
        fs::write(folder.path().join("window.log"), &log[..length]).unwrap();
        let whole = ends.iter().filter(|&&end| end > 0 && end <= length as u64).count();
        let mut resumed = TranscriptWriter::resume(folder.path(), WINDOW).unwrap();
        assert_eq!(resumed.calls(), whole as u64, "torn after {length} bytes");
        for call in &calls[whole..] {
            resumed.append_call(&call.as_call()).unwrap();
        }
        assert_eq!(resumed.finish().unwrap().calls, 3);
    }
}

#[test]
fn damage_before_the_last_record_is_an_error_and_not_a_loss() {
    let calls = calls(3);
    let folder = tempfile::tempdir().unwrap();
    drop(begin(folder.path(), &calls));
    let path = folder.path().join("window.log");
    let mut log = fs::read(&path).unwrap();
    log[60] ^= 1;
    fs::write(&path, &log).unwrap();
    let error = TranscriptWriter::resume(folder.path(), WINDOW).unwrap_err();
    assert!(matches!(error, TranscriptError::Log { offset: 0, .. }), "{error}");

    // The log of another session has other checksums.
    let other = tempfile::tempdir().unwrap();
    drop(TranscriptWriter::create(other.path(), &plan(2), WINDOW).unwrap());
    log[60] ^= 1;
    fs::write(other.path().join("window.log"), &log).unwrap();
    let error = TranscriptWriter::resume(other.path(), WINDOW).unwrap_err();
    assert!(matches!(error, TranscriptError::Log { .. }), "{error}");
}

#[test]
fn a_crash_between_any_two_writes_of_a_flush_is_repaired() {
    let calls = calls(14);
    let folder = tempfile::tempdir().unwrap();
    let mut writer = begin(folder.path(), &[]);
    let path = |name: &str| folder.path().join(name);
    let (mut header, mut log) = (Vec::new(), Vec::new());
    let mut flushed_at = None;
    for (index, call) in calls.iter().enumerate() {
        (header, log) = (fs::read(path("transcript.json")).unwrap(), fs::read(path("window.log")).unwrap());
        writer.append_call(&call.as_call()).unwrap();
        if fs::read(path("transcript.json")).unwrap() != header {
            flushed_at = Some(index);
            break;
        }
    }
    let flushed_at = flushed_at.expect("the window is small enough to be flushed");
    let new_header = fs::read(path("transcript.json")).unwrap();
    drop(writer);

    // Before the shard was whole.
    fs::write(path("transcript.json"), &header).unwrap();
    fs::write(path("window.log"), &log).unwrap();
    fs::rename(path("rows-00001.safetensors"), path(".lorica-abc.partial")).unwrap();
    drop(TranscriptWriter::resume(folder.path(), WINDOW).unwrap());
    assert_eq!(file_names(folder.path()), ["transcript.json", "window.log"]);

    // After the shard, before the header.
    fs::write(path("rows-00001.safetensors"), "a shard that the header does not list").unwrap();
    let mut resumed = TranscriptWriter::resume(folder.path(), WINDOW).unwrap();
    assert_eq!(resumed.calls(), flushed_at as u64);
    resumed.append_call(&calls[flushed_at].as_call()).unwrap();
    drop(resumed);
    assert_eq!(fs::read(path("transcript.json")).unwrap(), new_header);

    // After the header, before the log was emptied.
    fs::write(path("window.log"), &log).unwrap();
    let resumed = TranscriptWriter::resume(folder.path(), WINDOW).unwrap();
    assert_eq!(resumed.calls(), flushed_at as u64);
    drop(resumed);

    // After the log was removed, before the header said completed.
    complete(folder.path(), &calls, flushed_at as u64);
    let finished = fs::read_to_string(path("transcript.json")).unwrap();
    fs::write(path("transcript.json"), finished.replace("\"completed\": true", "\"completed\": false"))
        .unwrap();
    complete(folder.path(), &calls, calls.len() as u64);
}

#[test]
fn a_full_disk_refuses_the_call_and_keeps_what_was_accepted() {
    let calls = calls(2);
    let folder = tempfile::tempdir().unwrap();
    drop(begin(folder.path(), &[]));
    fs::remove_file(folder.path().join("window.log")).unwrap();
    symlink("/dev/full", folder.path().join("window.log")).unwrap();
    let mut writer = TranscriptWriter::resume(folder.path(), WINDOW).unwrap();
    let error = writer.append_call(&calls[0].as_call()).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert!(error.to_string().contains("window.log"), "{error}");
    assert_eq!(writer.calls(), 0);
    assert_eq!(writer.last_call(), None);
    // A device cannot be cut back, so this writer must not go on.
    let error = writer.append_call(&calls[0].as_call()).unwrap_err();
    assert!(matches!(error, TranscriptError::Broken { .. }), "{error}");
    drop(writer);
    fs::remove_file(folder.path().join("window.log")).unwrap();
    complete(folder.path(), &calls, 0);
}

#[test]
fn a_shard_that_cannot_be_written_leaves_the_window_as_it_was() {
    let calls = calls(14);
    let folder = tempfile::tempdir().unwrap();
    // A folder in its place stands for every reason why a file cannot get its name.
    let obstacle = folder.path().join("rows-00001.safetensors");
    let mut writer = begin(folder.path(), &[]);
    fs::create_dir_all(obstacle.join("x")).unwrap();
    let mut accepted = 0;
    for call in &calls {
        match writer.append_call(&call.as_call()) {
            Ok(()) => accepted += 1,
            Err(error) => {
                assert!(error.to_string().contains("rows-00001.safetensors"), "{error}");
                break;
            }
        }
    }
    assert!(accepted > 0 && accepted < calls.len());
    assert_eq!(writer.calls(), accepted as u64);
    assert_eq!(file_names(folder.path()), ["rows-00001.safetensors", "transcript.json", "window.log"]);
    fs::remove_dir_all(&obstacle).unwrap();
    for call in &calls[accepted..] {
        writer.append_call(&call.as_call()).unwrap();
    }
    writer.finish().unwrap();
    TranscriptReader::open(folder.path()).unwrap().check_digests().unwrap();
}

#[test]
fn a_transcript_has_one_writer_and_one_end() {
    let folder = tempfile::tempdir().unwrap();
    let writer = begin(folder.path(), &calls(2));
    let error = TranscriptWriter::resume(folder.path(), WINDOW).unwrap_err();
    assert!(matches!(error, TranscriptError::InUse { .. }), "{error}");
    let error = TranscriptReader::open(folder.path()).unwrap_err();
    assert!(matches!(error, TranscriptError::NotFinished { .. }), "{error}");
    let error = TranscriptWriter::create(folder.path(), &plan(1), WINDOW).unwrap_err();
    assert!(matches!(error, TranscriptError::NotEmpty { .. }), "{error}");
    writer.finish().unwrap();
    let error = TranscriptWriter::resume(folder.path(), WINDOW).unwrap_err();
    assert!(matches!(error, TranscriptError::Finished { calls: 2, .. }), "{error}");
}
