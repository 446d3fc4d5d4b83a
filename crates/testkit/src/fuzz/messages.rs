//! What the two parties send each other, each message taken in by the state that waits for it.

use std::sync::LazyLock;

use lorica_relation::digests::{SessionDigests, StreamDigests};
use lorica_relation::rows::StreamIndex;
use lorica_session::contributor::{Offer, Received, Serving};
use lorica_session::engine::WitnessEngine;
use lorica_session::messages::body::{CallBody, FloatAnswerBody, FloatBody};
use lorica_session::messages::control::{Limits, OpenReply, OpenRequest, Phase, Status};
use lorica_session::messages::refusal::Refusal;
use lorica_session::user::{Finishing, Open, Proposal};
use lorica_tensor::Digest;
use serde_json::{from_slice, to_vec};

use super::{ADAPTER, Decoder};

/// The calls are about this stream, which two modules read.
const STREAM: StreamIndex = StreamIndex(0);
const INPUTS: [i16; 10] = [1, -2, 3, i16::MIN, i16::MAX, 6, -7, 8, -9, 10];
const EXPONENTS: [i16; 2] = [3, -4];

fn offer() -> Offer {
    let limits = Limits { max_body_bytes: 4096, max_float_rows: 10, ..Limits::default() };
    Offer::new(ADAPTER.pinned.manifest().clone(), limits).expect("a valid manifest")
}

fn proposal() -> Proposal {
    let adapter = &ADAPTER.pinned;
    let names: Vec<_> = adapter.manifest().modules.iter().map(|module| module.name.clone()).collect();
    let streams = [names[..2].to_vec(), names[2..].to_vec()];
    Proposal::new(adapter.manifest(), adapter.digest(), &streams, Digest([5; 32])).expect("a valid proposal")
}

/// Both parties after an honest handshake.
fn opened() -> (Serving, OpenReply, Open) {
    let proposal = proposal();
    let (serving, reply) = offer().accept(proposal.request(), Digest([6; 32])).expect("a valid request");
    let open = proposal.receive(&reply).expect("a valid reply");
    (serving, reply, open)
}

fn finishing() -> Finishing {
    let stream = StreamDigests { inputs: Digest([7; 32]), exponents: Digest([8; 32]) };
    opened().2.finish(SessionDigests { streams: vec![stream; 2], modules: vec![Digest([9; 32]); 3] })
}

static ENGINE: LazyLock<WitnessEngine> = LazyLock::new(|| {
    WitnessEngine::new(ADAPTER.pinned.manifest(), ADAPTER.witness.clone()).expect("integers of the manifest")
});

/// The contributor's answer to a call, if it takes the call.
fn answer(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut serving, ..) = opened();
    match serving.receive(0, bytes).ok()? {
        Received::New(call) => call.compute(&*ENGINE).ok().map(|computed| computed.commit()),
        Received::Repeated(_) => None,
    }
}

fn call() -> Vec<u8> {
    let (.., mut open) = opened();
    let calling = open.call(STREAM, &INPUTS, &EXPONENTS).expect("rows of the right shape");
    calling.body().to_vec()
}

/// The contributor opens a session.
pub const OPEN_REQUEST: Decoder = Decoder {
    name: "open_request",
    body: |bytes| {
        from_slice::<OpenRequest>(bytes)
            .is_ok_and(|request| offer().accept(&request, Digest([6; 32])).is_ok())
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![to_vec(proposal().request()).expect("JSON")]);
        &SEEDS
    },
    unique: false,
};

/// The user opens a session.
pub const OPEN_REPLY: Decoder = Decoder {
    name: "open_reply",
    body: |bytes| from_slice::<OpenReply>(bytes).is_ok_and(|reply| proposal().receive(&reply).is_ok()),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![to_vec(&opened().1).expect("JSON")]);
        &SEEDS
    },
    unique: false,
};

/// The contributor takes in a call and computes its deltas.
pub const CALL_BODY: Decoder = Decoder {
    name: "call_body",
    body: |bytes| {
        let (serving, ..) = opened();
        if let Ok(call) = CallBody::decode(bytes, serving.shapes()) {
            let width = serving.shapes().streams[call.stream.0].width;
            let again = CallBody::encode(call.stream, call.index, width, &call.inputs, &call.exponents);
            assert_eq!(again, bytes, "a call has a second encoding");
        }
        answer(bytes).is_some()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![call()]);
        &SEEDS
    },
    unique: false,
};

/// The user takes in the answer to a call.
pub const ANSWER_BODY: Decoder = Decoder {
    name: "answer_body",
    body: |bytes| {
        let (.., mut open) = opened();
        let calling = open.call(STREAM, &INPUTS, &EXPONENTS).expect("rows of the right shape");
        calling.receive(bytes).map(|answered| answered.commit()).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![answer(&call()).expect("a call of the user's")]);
        &SEEDS
    },
    unique: false,
};

/// The rows of a float check.
pub const FLOAT_BODY: Decoder = Decoder {
    name: "float_body",
    body: |bytes| {
        let (serving, ..) = opened();
        let Ok(float) = FloatBody::decode(bytes, serving.shapes()) else { return false };
        let width = serving.shapes().streams[float.stream.0].width;
        assert_eq!(FloatBody::encode(float.stream, width, &float.inputs), bytes, "a second encoding");
        true
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let (.., open) = opened();
            vec![open.float_body(STREAM, &[0.5; 10]).expect("rows of the right shape")]
        });
        &SEEDS
    },
    unique: false,
};

/// The deltas of a float check.
pub const FLOAT_ANSWER_BODY: Decoder = Decoder {
    name: "float_answer_body",
    body: |bytes| opened().2.float_answer(STREAM, 2, bytes).is_ok(),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let (serving, ..) = opened();
            let shapes = &serving.shapes().streams[STREAM.0];
            let deltas: Vec<_> = shapes.outputs.iter().map(|outputs| vec![-1.25; 2 * outputs]).collect();
            vec![FloatAnswerBody::encode(STREAM, 2, shapes, &deltas)]
        });
        &SEEDS
    },
    unique: false,
};

/// The user compares the contributor's summary with its own.
pub const SUMMARY: Decoder = Decoder {
    name: "summary",
    body: |bytes| from_slice(bytes).is_ok_and(|theirs| finishing().receive(&theirs).is_ok()),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![to_vec(finishing().summary()).expect("JSON")]);
        &SEEDS
    },
    unique: false,
};

/// The user reads how its session stands.
pub const STATUS: Decoder = Decoder {
    name: "status",
    body: |bytes| from_slice::<Status>(bytes).is_ok(),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let status = Status {
                session: Digest([1; 32]),
                phase: Phase::Serving,
                calls: 3,
                rows: vec![40, 7],
                proof: false,
            };
            vec![to_vec(&status).expect("JSON")]
        });
        &SEEDS
    },
    unique: false,
};

/// The user reads and shows a refusal.
pub const REFUSAL: Decoder = Decoder {
    name: "refusal",
    body: |bytes| from_slice::<Refusal>(bytes).is_ok_and(|refusal| !refusal.to_string().is_empty()),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            vec![to_vec(&Refusal::new("too many rows", 9, "at most 8", "send fewer")).expect("JSON")]
        });
        &SEEDS
    },
    unique: false,
};
