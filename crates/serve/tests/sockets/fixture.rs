//! A served adapter (two modules share an input, one stands alone), a proxy that loses answers, and plain requests.

use std::{
    io::{Read, Write},
    net::{Shutdown as Half, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use lorica_relation::{
    rows::{ModuleIndex, StreamIndex},
    session::{LowRank, Witness},
};
use lorica_serve::{
    Client, ClientConfig, ClientSession, ServeError, Server, ServerConfig, SessionPlan, Shutdown, Stopper,
};
use lorica_session::{
    engine::{DeltaEngine, FloatLowRank, FloatWeightsEngine, WitnessEngine},
    messages::{control::Limits, refusal::Refusal},
};
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::manifest::{
    BaseIdentity, CommitmentList, MANIFEST_FORMAT, Manifest, ManifestModule, RangeLevel, Scaling,
    ScalingRule, weight_bits_for,
};
use tempfile::TempDir;

/// Name, inputs, outputs, rank.
const MODULES: [(&str, usize, usize, usize); 3] =
    [("a.k_proj", 12, 4, 2), ("a.q_proj", 12, 5, 3), ("b.out", 3, 2, 1)];
pub(crate) const WIDTHS: [usize; 2] = [12, 3];
const STREAMS: [&[usize]; 2] = [&[1, 0], &[2]];
pub(crate) const WINDOW: u64 = 8192;

pub(crate) fn manifest(nonce: u8) -> Manifest {
    let modules = MODULES.iter().map(|&(name, inputs, outputs, rank)| ManifestModule {
        name: name.parse().unwrap(),
        inputs,
        outputs,
        rank,
        weight_bits: weight_bits_for(inputs, outputs, rank).unwrap(),
        a_exponent: 10,
        b_exponent: 12,
        scaling: Scaling { alpha: 8.0, rule: ScalingRule::Rank },
    });
    Manifest {
        format: MANIFEST_FORMAT.to_owned(),
        base: BaseIdentity { family: "gpt2".to_owned(), config: Digest([1; 32]), weights: Digest([2; 32]) },
        modules: modules.collect(),
        nonce: Digest([nonce; 32]),
        commitments: CommitmentList { count: 12, digest: Digest([4; 32]) },
        range: RangeLevel::None,
    }
}

pub(crate) fn engine() -> WitnessEngine {
    let value = |seed: usize| ((seed * 7919 + 13) % 65_536) as i32 as i16;
    let modules = MODULES.iter().enumerate().map(|(module, &(_, inputs, outputs, rank))| LowRank {
        a: (0..rank * inputs).map(|at| value(at + 100 * module)).collect(),
        b: (0..rank * outputs).map(|at| value(at + 100 * module + 50)).collect(),
    });
    WitnessEngine::new(&manifest(3), Witness { modules: modules.collect() }).unwrap()
}

fn float_engine() -> FloatWeightsEngine {
    let modules = MODULES.iter().map(|&(_, inputs, outputs, rank)| FloatLowRank {
        a: vec![0.5; rank * inputs],
        b: vec![0.25; rank * outputs],
        inputs,
        outputs,
        scaling: 2.0,
    });
    FloatWeightsEngine::new(&manifest(3), modules.collect()).unwrap()
}

/// What the deltas of rows of a stream must be.
pub(crate) fn expected(stream: usize, inputs: &[i16]) -> Vec<Vec<i64>> {
    STREAMS[stream].iter().map(|&module| engine().deltas(ModuleIndex(module), inputs).unwrap()).collect()
}

pub(crate) fn rows(count: usize, stream: usize, seed: i16) -> (Vec<i16>, Vec<i16>) {
    let inputs =
        (0..count * WIDTHS[stream]).map(|at| (at as i16).wrapping_mul(4001).wrapping_add(seed)).collect();
    (inputs, vec![seed; count])
}

/// Sends rows and checks their deltas.
pub(crate) fn call(session: &mut ClientSession, stream: usize, count: usize, seed: i16) {
    let (inputs, exponents) = rows(count, stream, seed);
    let deltas = session.call(StreamIndex(stream), &inputs, &exponents).unwrap();
    assert_eq!(deltas, expected(stream, &inputs));
}

pub(crate) fn config(sessions: &Path) -> ServerConfig {
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut config = ServerConfig::new(listen, sessions.to_owned(), manifest(3), Arc::new(engine()));
    config.commitments = vec![1; 12 * 32];
    config.registration = b"registration".to_vec();
    config.float_engine = Some(Arc::new(float_engine()));
    config.limits =
        Limits { max_rows_per_call: 16, max_body_bytes: 4096, max_total_rows: 1_000, max_float_rows: 50 };
    config.window_bytes = WINDOW;
    config
}

/// A running server.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stopper: Stopper,
    thread: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) fn start(config: ServerConfig) -> Self {
        let server = Server::bind(config).unwrap();
        let address = server.local_addr();
        let (stopper, shutdown) = Shutdown::channel();
        Self { address, stopper, thread: std::thread::spawn(move || server.run(shutdown)) }
    }

    pub(crate) fn stop(self) {
        self.stopper.stop();
        self.thread.join().unwrap().unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        client(self.address)
    }
}

pub(crate) fn client(address: SocketAddr) -> Client {
    let config = ClientConfig {
        request_timeout: Duration::from_secs(20),
        backoff: Duration::from_millis(10),
        ..ClientConfig::default()
    };
    Client::connect_with(&format!("http://{address}"), config).unwrap()
}

pub(crate) fn streams() -> Vec<Vec<ModuleName>> {
    STREAMS.map(|modules| modules.iter().map(|&module| MODULES[module].0.parse().unwrap()).collect()).into()
}

/// Opens a session whose transcript is in a new folder.
pub(crate) fn open(client: &Client) -> (ClientSession, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(3);
    let plan = SessionPlan {
        manifest: &manifest,
        pin: manifest.digest().unwrap(),
        streams: &streams(),
        transcript: folder.path().join("transcript"),
        window_bytes: WINDOW,
    };
    (client.open(plan).unwrap(), folder)
}

pub(crate) fn contributor_transcript(sessions: &Path, session: Digest) -> PathBuf {
    sessions.join(session.to_string()).join("transcript")
}

/// A proxy that can lose one answer: it passes the request on, and closes the connection when the answer comes.
pub(crate) struct LosingProxy {
    pub(crate) address: SocketAddr,
    pub(crate) lose_next: Arc<AtomicBool>,
}

impl LosingProxy {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lose_next = Arc::new(AtomicBool::new(false));
        let lose = Arc::clone(&lose_next);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(server).unwrap();
                let (mut near_in, mut far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut near_in, &mut far_out);
                    let _ = far_out.shutdown(Half::Write);
                });
                let (mut near, mut far, lose) = (near, far, Arc::clone(&lose));
                std::thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = far.read(&mut buffer) {
                        if lose.swap(false, Ordering::SeqCst) || near.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = near.shutdown(Half::Both);
                    let _ = far.shutdown(Half::Both);
                });
            }
        });
        Self { address, lose_next }
    }
}

/// Sends bytes and reads until the other side closes: status, and the refusal in the body.
pub(crate) fn plain(address: SocketAddr, request: &[u8]) -> (u16, Refusal) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A server that refuses a body it has not read may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer, never a silently closed socket");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// A request that asks to close the connection afterwards.
pub(crate) fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}").into_bytes()
}
