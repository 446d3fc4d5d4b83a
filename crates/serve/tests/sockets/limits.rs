//! Limits and timeouts: of sessions, of patience, of the disk.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use lorica_relation::rows::StreamIndex;
use lorica_serve::{ClientError, ServeError, Server, SessionPlan};

use crate::fixture::{
    Running, WINDOW, call, config, contributor_transcript, manifest, open, plain, request, rows, streams,
};

#[test]
fn open_sessions_are_limited_and_idle_ones_give_way() {
    let sessions = tempfile::tempdir().unwrap();
    let mut one = config(sessions.path());
    one.max_open_sessions = 1;
    one.timeouts.idle_session = Duration::from_millis(1_500);
    let server = Running::start(one);
    let client = server.client();
    let (mut first, _first) = open(&client);
    call(&mut first, 0, 2, 1);

    let manifest = manifest(3);
    let folder = tempfile::tempdir().unwrap();
    let plan = SessionPlan {
        manifest: &manifest,
        pin: manifest.digest().unwrap(),
        streams: &streams(),
        transcript: folder.path().join("transcript"),
        window_bytes: WINDOW,
    };
    let error = client.open(plan).unwrap_err();
    assert!(matches!(&error, ClientError::Refused { status: 503, .. }), "{error}");

    std::thread::sleep(Duration::from_millis(1_700));
    let (mut second, _second) = open(&client);
    call(&mut second, 0, 2, 2);
    second.finish().unwrap();
    // The first was put aside, and goes on.
    call(&mut first, 1, 2, 3);
    assert_eq!(first.finish().unwrap().0.summary().calls, 2);
    server.stop();
}

#[test]
fn a_slow_client_delays_nobody_and_is_told() {
    let sessions = tempfile::tempdir().unwrap();
    let mut hasty = config(sessions.path());
    hasty.timeouts.body = Duration::from_secs(2);
    let server = Running::start(hasty);
    let (mut session, _folder) = open(&server.client());
    let slow = {
        let (address, id) = (server.address, session.session());
        std::thread::spawn(move || {
            plain(
                address,
                &request(&format!("PUT /v1/sessions/{id}/calls/0"), "Content-Length: 4000\r\n", "half"),
            )
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    call(&mut session, 0, 2, 1);
    assert!(!slow.is_finished(), "the other client was served while the slow one was still sending");
    let (status, refusal) = slow.join().unwrap();
    assert_eq!(status, 408, "{refusal}");
    session.finish().unwrap();
    server.stop();
}

#[test]
fn stopping_does_not_wait_for_idle_or_slow_clients() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let client = server.client();
    let (mut session, _folder) = open(&client);
    call(&mut session, 0, 2, 1);
    let _idle = TcpStream::connect(server.address).unwrap();
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(&request("POST /v1/sessions", "Content-Length: 4000\r\n", "half")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_millis(3_500), "stopped after {:?}", start.elapsed());
}

#[test]
fn a_header_that_never_ends_is_cut() {
    use std::io::Read as _;
    let sessions = tempfile::tempdir().unwrap();
    let mut hasty = config(sessions.path());
    hasty.timeouts.header = Duration::from_millis(200);
    let server = Running::start(hasty);
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET /v1/manifest HTTP/1.1\r\nHost: loc").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the server closes the connection");
    server.stop();
}

#[test]
fn a_full_disk_is_reported_and_the_session_goes_on_once_there_is_room() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let address = server.address;
    let (mut session, _folder) = open(&server.client());
    let log = contributor_transcript(sessions.path(), session.session()).join("window.log");
    server.stop();
    fs::remove_file(&log).unwrap();
    symlink("/dev/full", &log).unwrap();
    let mut again = config(sessions.path());
    again.listen = address;
    let server = Running::start(again);
    let (inputs, exponents) = rows(2, 0, 1);
    let error = session.call(StreamIndex(0), &inputs, &exponents).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { status: 507, refusal } if refusal.error.contains("disk is full")),
        "{error}"
    );
    fs::remove_file(&log).unwrap();
    call(&mut session, 0, 2, 1);
    assert_eq!(session.finish().unwrap().0.summary().calls, 1);
    server.stop();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let sessions = tempfile::tempdir().unwrap();
    type Change = fn(&mut lorica_serve::ServerConfig);
    let changes: [(&str, Change); 4] = [
        ("window_bytes", |config| config.window_bytes = 8191),
        ("limits.max_float_rows", |config| config.float_engine = None),
        ("max_open_sessions", |config| config.max_open_sessions = 0),
        ("max_connections", |config| config.max_connections = 0),
    ];
    for (expected, change) in changes {
        let mut settings = config(sessions.path());
        change(&mut settings);
        let error = Server::bind(settings).err().unwrap();
        assert!(matches!(&error, ServeError::Setting { setting, .. } if *setting == expected), "{error}");
    }
    let file = sessions.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Server::bind(config(&file)).err().unwrap().to_string();
    assert!(error.contains("cannot use") && error.contains("file for sessions"), "{error}");
}
