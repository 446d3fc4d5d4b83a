//! Addresses, retries, patience, TLS.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use lorica_endpoint::{
    Endpoint,
    server::{Behaviour, Fault, Offers, ServerOptions},
};
use lorica_identity::{Respondent as _, RespondentFault, Tier};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::{challenges, config, distributions, number, start, start_with};

fn refused(url: &str) -> RespondentFault {
    Endpoint::connect(config(url)).unwrap_err().fault
}

#[test]
fn addresses_that_are_none() {
    for bad in [
        "",
        "nonsense",
        "ftp://127.0.0.1/v1",
        "http://",
        "http://user:pass@127.0.0.1/v1",
        "http://127.0.0.1/v1?x=1",
    ] {
        assert_eq!(refused(bad), RespondentFault::Unusable, "{bad}");
    }
}

#[test]
fn nobody_there() {
    // A reserved port that nobody listens on.
    assert_eq!(refused("http://127.0.0.1:1/v1"), RespondentFault::Unreachable);
}

#[test]
fn a_path_that_is_none_is_told() {
    let server = start(Offers::default(), vec![]);
    let error = Endpoint::connect(config(&format!("http://{}/v9", server.address()))).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Malformed);
    assert!(error.detail.contains("status 404"), "{error}");
}

#[test]
fn a_model_that_is_not_there_is_told() {
    let server = start(Offers::default(), vec![]);
    let mut settings = config(&server.url());
    settings.model = "something-else".to_owned();
    let error = Endpoint::connect(settings).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Malformed);
    assert!(error.detail.contains("no such model"), "{error}");
}

fn passing(fault: Fault, times: u32) -> Behaviour {
    Behaviour::Fault { fault, containing: Some("zebra".to_owned()), times: Some(times), after: None }
}

#[test]
fn what_passes_is_tried_again() {
    for fault in [
        Fault::Close,
        Fault::Status { status: 429, retry_after: None },
        Fault::Status { status: 503, retry_after: Some(0) },
        Fault::Status { status: 502, retry_after: None },
        Fault::Status { status: 504, retry_after: None },
    ] {
        let server = start(Offers::default(), vec![passing(fault.clone(), 2)]);
        let clean = start(Offers::default(), vec![]);
        let of = |url: &str| {
            let mut endpoint = Endpoint::connect(config(url)).unwrap();
            (distributions(&mut endpoint, &challenges()).unwrap(), endpoint.retries())
        };
        let (patient, plain) = (of(&server.url()), of(&clean.url()));
        assert_eq!(patient.0, plain.0, "{fault:?}");
        assert_eq!((patient.1, plain.1), (2, 0), "{fault:?}");
    }
}

#[test]
fn patience_ends_after_the_attempts() {
    let server = start(Offers::default(), vec![passing(Fault::Status { status: 429, retry_after: None }, 3)]);
    let error =
        distributions(&mut Endpoint::connect(config(&server.url())).unwrap(), &challenges()).unwrap_err();
    assert_eq!(error.fault, RespondentFault::RateLimited);
}

#[test]
fn a_wait_beyond_all_patience_is_not_begun() {
    let fault = Fault::Status { status: 429, retry_after: Some(86_400) };
    let server = start(Offers::default(), vec![passing(fault, 1)]);
    let error =
        distributions(&mut Endpoint::connect(config(&server.url())).unwrap(), &challenges()).unwrap_err();
    assert_eq!(error.fault, RespondentFault::RateLimited);
    assert!(error.detail.contains("86400 s") && error.detail.contains("1 of at most 3"), "{error}");
}

#[test]
fn an_answer_that_does_not_come_in_time() {
    let fault = Behaviour::Fault {
        fault: Fault::Slow { milliseconds: 3_600_000 },
        containing: Some("zebra".to_owned()),
        times: None,
        after: None,
    };
    let server = start(Offers::default(), vec![fault]);
    let mut settings = config(&server.url());
    // Generous for the probe on a busy machine, short against an hour.
    settings.request_timeout = Duration::from_secs(8);
    settings.retries.attempts = number(1);
    let error = distributions(&mut Endpoint::connect(settings).unwrap(), &challenges()[1..2]).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Timeout, "{error}");
}

#[test]
fn a_peer_that_speaks_no_http() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The request is read first: closing with unread bytes would reset the connection.
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        }
    });
    assert_eq!(refused(&format!("http://{address}/v1")), RespondentFault::Unreachable);
}

/// A certificate for `localhost` and its key, made for one test.
fn certificate() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// Reads a request to its end, and asks that its connection be closed afterwards.
fn read_request(stream: &mut impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut request = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            request.extend(b"connection: close\r\n\r\n");
            break;
        }
        request.extend(line.as_bytes());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.extend(body);
    Ok(request)
}

/// Ends TLS in front of a server.
fn tls_before(server: std::net::SocketAddr, made: &CertifiedKey<KeyPair>) -> std::net::SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let tls = Arc::new(tls);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut secure = rustls::StreamOwned::new(connection, stream.unwrap());
            thread::spawn(move || {
                // A client that does not trust us ends the handshake.
                let Ok(request) = read_request(&mut secure) else { return };
                let mut plain = TcpStream::connect(server).unwrap();
                plain.write_all(&request).unwrap();
                let mut answer = Vec::new();
                plain.read_to_end(&mut answer).unwrap();
                let _ = secure.write_all(&answer);
                secure.conn.send_close_notify();
                let _ = secure.flush();
            });
        }
    });
    address
}

#[test]
fn https_with_a_certificate_that_is_trusted_or_not() {
    let server = start_with(ServerOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let made = certificate();
    let address = tls_before(server.address(), &made);
    let mut settings = config(&format!("https://localhost:{}/v1", address.port()));
    settings.certificates = Some(file("certificate.pem", made.cert.pem()));
    let mut trusted = Endpoint::connect(settings.clone()).unwrap();
    assert_eq!(trusted.description().tier, Tier::PromptLogProbabilities);
    let plain = distributions(&mut Endpoint::connect(config(&server.url())).unwrap(), &challenges()).unwrap();
    assert_eq!(distributions(&mut trusted, &challenges()).unwrap(), plain);

    settings.certificates = Some(file("other.pem", certificate().cert.pem()));
    let error = Endpoint::connect(settings.clone()).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Unreachable, "{error}");
    assert!(error.detail.contains("certificate"), "{error}");
    // Files that hold none.
    for path in [file("key.pem", made.signing_key.serialize_pem()), folder.path().join("absent.pem")] {
        settings.certificates = Some(path);
        let error = Endpoint::connect(settings.clone()).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unusable, "{error}");
    }
}

#[test]
fn requests_keep_their_distance() {
    // Not a measurement: that an interval neither loses nor reorders anything.
    let server = start(Offers::default(), vec![]);
    let mut settings = config(&server.url());
    settings.interval = Duration::from_millis(3);
    let spaced = distributions(&mut Endpoint::connect(settings).unwrap(), &challenges()).unwrap();
    let plain = distributions(&mut Endpoint::connect(config(&server.url())).unwrap(), &challenges()).unwrap();
    assert_eq!(spaced, plain);
}
