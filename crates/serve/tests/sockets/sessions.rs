//! Whole sessions: alone, side by side, with lost answers, across restarts.

use std::{fs, sync::atomic::Ordering};

use lorica_relation::rows::StreamIndex;
use lorica_serve::{ClientError, SessionRecord};
use lorica_session::messages::control::Phase;
use lorica_transcript::TranscriptReader;

use crate::fixture::{
    LosingProxy, Running, call, client, config, contributor_transcript, manifest, open, rows,
};

#[test]
fn a_session_from_the_manifest_to_the_proof() {
    let sessions = tempfile::tempdir().unwrap();
    let mut settings = config(sessions.path());
    settings.paths.adapter = "adapters/spanish".to_owned();
    let server = Running::start(settings);
    let client = server.client();
    assert_eq!(client.manifest().unwrap(), manifest(3).to_json().unwrap().into_bytes());
    assert_eq!(client.commitments().unwrap(), vec![1; 12 * 32]);
    assert_eq!(client.registration().unwrap(), b"registration");

    let (mut session, folder) = open(&client);
    let id = session.session();
    call(&mut session, 0, 3, 1);
    call(&mut session, 1, 16, -7);
    call(&mut session, 0, 1, i16::MIN);
    // More rows than one call may carry are sent in several, in order.
    call(&mut session, 0, 50, 77);
    assert_eq!(session.calls(), 3 + 4);
    let status = client.status(id).unwrap();
    assert_eq!((status.phase, status.calls, status.rows), (Phase::Serving, 7, vec![54, 16]));

    let error = client.fetch_proof(id).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { status: 404, refusal } if refusal.hint.contains("finish")),
        "{error}"
    );
    let (finished, header) = session.finish().unwrap();
    assert_eq!((finished.summary().calls, header.calls), (7, 7));
    assert_eq!(client.status(id).unwrap().phase, Phase::Finished);

    let ours = TranscriptReader::open(&folder.path().join("transcript")).unwrap();
    let theirs = TranscriptReader::open(&contributor_transcript(sessions.path(), id)).unwrap();
    ours.check_digests().unwrap();
    theirs.check_digests().unwrap();
    assert_eq!(ours.header().digests, theirs.header().digests);
    assert_eq!(ours.header().session, theirs.header().session);
    assert_eq!(ours.streams(), theirs.streams());

    let stored = sessions.path().join(id.to_string());
    let record = SessionRecord::read(&stored).unwrap();
    assert_eq!((record.reply.session, record.paths.adapter.as_str()), (id, "adapters/spanish"));
    let error = client.fetch_proof(id).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { status: 404, refusal } if refusal.hint.contains("later")),
        "{error}"
    );
    fs::write(stored.join("proof.bin"), b"proof").unwrap();
    assert_eq!(client.fetch_proof(id).unwrap(), b"proof");
    assert!(client.status(id).unwrap().proof);
    server.stop();
}

#[test]
fn a_lost_answer_is_asked_for_again_and_changes_nothing() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let proxy = LosingProxy::start(server.address);
    let client = client(proxy.address);
    let (mut session, folder) = open(&client);
    let id = session.session();
    for seed in 0..4 {
        proxy.lose_next.store(seed % 2 == 1, Ordering::SeqCst);
        call(&mut session, 0, 2, seed);
        assert!(!proxy.lose_next.load(Ordering::SeqCst), "an answer was lost");
    }
    assert_eq!(server.client().status(id).unwrap().calls, 4);
    proxy.lose_next.store(true, Ordering::SeqCst);
    let (finished, _) = session.finish().unwrap();
    assert_eq!(finished.summary().rows, [8, 0]);
    let theirs = TranscriptReader::open(&contributor_transcript(sessions.path(), id)).unwrap();
    let ours = TranscriptReader::open(&folder.path().join("transcript")).unwrap();
    assert_eq!(ours.digests().unwrap(), theirs.digests().unwrap());
    server.stop();
}

#[test]
fn a_session_goes_on_after_the_server_restarts() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let address = server.address;
    let client = server.client();
    let (mut session, _folder) = open(&client);
    let id = session.session();
    for seed in 0..60 {
        call(&mut session, 0, 2, seed);
    }
    server.stop();
    let (inputs, exponents) = rows(2, 1, 9);
    let error = session.call(StreamIndex(1), &inputs, &exponents).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { attempts: 4, .. }), "{error}");

    let mut again = config(sessions.path());
    again.listen = address;
    let server = Running::start(again);
    assert_eq!(client.status(id).unwrap().calls, 60, "calls accepted before the restart are there");
    call(&mut session, 1, 2, 9);
    server.stop();

    let mut again = config(sessions.path());
    again.listen = address;
    let server = Running::start(again);
    let (finished, _) = session.finish().unwrap();
    assert_eq!(finished.summary().rows, [120, 2]);
    let theirs = TranscriptReader::open(&contributor_transcript(sessions.path(), id)).unwrap();
    assert!(theirs.header().shards.len() > 1, "the test needs a flushed window");
    server.stop();
}

#[test]
fn sessions_side_by_side_do_not_mix() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let address = server.address;
    let threads: Vec<_> = (0..4)
        .map(|seed: i16| {
            std::thread::spawn(move || {
                let client = client(address);
                let (mut session, _folder) = open(&client);
                for at in 0..20 {
                    call(&mut session, usize::from(at % 2 == 0), 1 + at as usize % 5, seed * 1000 + at);
                }
                let id = session.session();
                (id, session.finish().unwrap().0)
            })
        })
        .collect();
    let mut ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for (id, finished) in &ids {
        let theirs = TranscriptReader::open(&contributor_transcript(sessions.path(), *id)).unwrap();
        assert_eq!(theirs.digests().unwrap(), finished.summary().digests);
    }
    ids.sort_by_key(|(id, _)| *id);
    ids.dedup_by_key(|(id, _)| *id);
    assert_eq!(ids.len(), 4);
    server.stop();
}

#[test]
fn float_deltas_for_diagnosis_leave_no_trace() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let client = server.client();
    let (mut session, _folder) = open(&client);
    // One rank of 0.5 and 0.25, scaling 2, three inputs of 1.
    assert_eq!(session.float(StreamIndex(1), &[1.0; 6]).unwrap(), [[0.75; 4]]);
    assert_eq!(session.float_rows_left(), 48);
    let error = session.float(StreamIndex(1), &vec![1.0; 3 * 49]).unwrap_err();
    assert!(matches!(&error, ClientError::Refused { status: 403, .. }), "{error}");
    let (finished, _) = session.finish().unwrap();
    assert_eq!((finished.summary().calls, &finished.summary().rows[..]), (0, &[0, 0][..]));
    server.stop();

    let mut without = config(sessions.path());
    without.limits.max_float_rows = 0;
    without.float_engine = None;
    let server = Running::start(without);
    let (mut session, _folder) = open(&server.client());
    assert_eq!(session.float_rows_left(), 0);
    assert!(session.float(StreamIndex(1), &[1.0; 3]).unwrap_err().to_string().contains("does not offer"));
    server.stop();
}
