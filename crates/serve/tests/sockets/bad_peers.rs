//! Peers that send garbage, nothing, or something else than they should.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use lorica_serve::{Client, ClientConfig, ClientError, Server, SessionPlan};
use lorica_tensor::Digest;

use crate::fixture::{Running, client, config, manifest, plain, request, streams};

/// A peer that answers every connection with the same bytes, or with nothing.
fn peer(answer: Option<&'static [u8]>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if let Some(answer) = answer {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer);
            } else {
                held.push(stream);
            }
        }
    });
    address
}

fn impatient(address: SocketAddr) -> Client {
    let config = ClientConfig {
        request_timeout: Duration::from_millis(200),
        attempts: 2,
        backoff: Duration::from_millis(10),
        ..ClientConfig::default()
    };
    Client::connect_with(&format!("http://{address}"), config).unwrap()
}

#[test]
fn garbage_is_shown() {
    let error = client(peer(Some(b"SSH-2.0-OpenSSH_9.6\r\n"))).manifest().unwrap_err();
    assert!(matches!(error, ClientError::Garbage { .. }), "{error}");
    assert!(error.to_string().contains("it sent \"SSH-2.0-OpenSSH_9.6"), "{error}");

    let page = b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>";
    let error = client(peer(Some(page))).manifest().unwrap_err();
    assert!(error.to_string().contains("500") && error.to_string().contains("\"<html>\""), "{error}");

    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\nConnection: close\r\n\r\n{";
    let error = client(peer(Some(short))).manifest().unwrap_err();
    assert!(matches!(error, ClientError::Garbage { .. }), "{error}");

    let huge = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\nConnection: close\r\n\r\n{";
    let error = client(peer(Some(huge))).manifest().unwrap_err();
    assert!(matches!(&error, ClientError::TooLarge { found, .. } if found == "99999999999 bytes"), "{error}");

    let wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
    let manifest = manifest(3);
    let folder = tempfile::tempdir().unwrap();
    let plan = SessionPlan {
        manifest: &manifest,
        pin: manifest.digest().unwrap(),
        streams: &streams(),
        transcript: folder.path().join("transcript"),
        window_bytes: 1 << 20,
    };
    let error = client(peer(Some(wrong))).open(plan).unwrap_err();
    assert!(error.to_string().contains("/v1/sessions") && error.to_string().contains("\"[]\""), "{error}");
    assert!(!folder.path().join("transcript").exists(), "no transcript of a session that never was");
}

#[test]
fn silence_ends_after_the_timeout() {
    let start = Instant::now();
    let error = impatient(peer(None)).manifest().unwrap_err();
    assert!(matches!(error, ClientError::Silent { attempts: 2, .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = impatient(gone).manifest().unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { attempts: 2, .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[test]
fn another_manifest_is_refused_by_name() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let folder = tempfile::tempdir().unwrap();
    let other = manifest(9);
    let pin = other.digest().unwrap();
    let transcript = folder.path().join("transcript");
    let plan = SessionPlan { manifest: &other, pin, streams: &streams(), transcript, window_bytes: 1 << 20 };
    let error = server.client().open(plan.clone()).unwrap_err();
    let ClientError::Refused { status: 409, refusal } = &error else { panic!("{error}") };
    assert_eq!(refusal.expected, manifest(3).digest().unwrap().to_string());
    assert_eq!(refusal.found, pin.to_string());
    // The pin is checked before anything is sent.
    let error = server.client().open(SessionPlan { pin: Digest([0; 32]), ..plan }).unwrap_err();
    assert!(matches!(error, ClientError::Handshake(_)), "{error}");
    assert!(!folder.path().join("transcript").exists());
    assert_eq!(std::fs::read_dir(sessions.path()).unwrap().count(), 0, "nothing was stored");
    server.stop();
}

#[test]
fn every_wrong_request_gets_a_reason() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let unknown = "0".repeat(64);
    let length = |length: u64| format!("Content-Length: {length}\r\n");
    for (status, error, bytes) in [
        (404, "there is nothing at this address", request("GET /v2/manifest", "", "")),
        (405, "does not take this method", request("DELETE /v1/manifest", "", "")),
        (404, "there is no such session", request(&format!("GET /v1/sessions/{unknown}"), "", "")),
        (400, "this is no session identity", request("GET /v1/sessions/..%2f..%2fetc", "", "")),
        (
            400,
            "this is no session identity",
            request(&format!("GET /v1/sessions/{}", "A".repeat(64)), "", ""),
        ),
        (
            400,
            "a call index is a number",
            request(&format!("PUT /v1/sessions/{unknown}/calls/x"), &length(0), ""),
        ),
        (
            411,
            "states no length",
            request("POST /v1/sessions", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (413, "too large", request("POST /v1/sessions", &length(1 << 40), "")),
        (413, "too large", request(&format!("PUT /v1/sessions/{unknown}/calls/0"), &length(4097), "")),
        (
            404,
            "there is no such session",
            request(&format!("PUT /v1/sessions/{unknown}/calls/0"), &length(3), "abc"),
        ),
        (400, "cannot be read", request("POST /v1/sessions", &length(2), "{}")),
        (400, "cannot be read", request("POST /v1/sessions", &length(7), "garbage")),
    ] {
        let (found, refusal) = plain(server.address, &bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(found, status, "{text}: {refusal}");
        assert!(refusal.error.contains(error), "{text}: {refusal}");
    }
    server.stop();
}

#[test]
fn only_this_machine_is_served_and_used() {
    let sessions = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7700"] {
        let mut open_to_all = config(sessions.path());
        open_to_all.listen = address.parse().unwrap();
        let error = Server::bind(open_to_all).err().unwrap().to_string();
        assert!(error.contains("TLS and accounts come in a later version"), "{error}");
    }
    for url in ["http://192.0.2.1:7700", "http://0.0.0.0:7700", "http://[2001:db8::1]:7700"] {
        let error = Client::connect(url).unwrap_err();
        assert!(matches!(error, ClientError::NotLoopback(_)), "{url}: {error}");
    }
    for url in
        ["https://127.0.0.1:7700", "127.0.0.1:7700", "http://127.0.0.1:7700/v1", "", "http://me@127.0.0.1"]
    {
        let error = Client::connect(url).unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{url}: {error}");
    }
    Client::connect("http://localhost:7700").unwrap();
    Client::connect("http://[::1]:7700").unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    let sessions = tempfile::tempdir().unwrap();
    let server = Running::start(config(sessions.path()));
    let mut second = config(sessions.path());
    second.listen = server.address;
    let error = Server::bind(second).err().unwrap().to_string();
    let port = server.address.port();
    assert!(
        error.contains(&format!("port {port} of 127.0.0.1 is in use")) && error.contains("another port"),
        "{error}"
    );
    server.stop();
}
