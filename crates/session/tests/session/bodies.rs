//! Bodies: one encoding each, and decoders that refuse everything else without a panic.

use lorica_relation::rows::StreamIndex;
use lorica_session::messages::body::{
    AnswerBody, BodyError, CallBody, FloatAnswerBody, FloatBody, HEADER_BYTES, MAGIC,
};
use proptest::{prelude::*, sample::Index};

use crate::fixture::{open, rows};

fn encodings() -> [Vec<u8>; 4] {
    let (_, serving) = open();
    let shapes = &serving.shapes().streams[0];
    let (inputs, exponents) = rows(3, 6, 5);
    let stream = StreamIndex(0);
    let deltas: Vec<Vec<i64>> = vec![(0..15).map(|at| at << 40).collect(), vec![-1; 12]];
    let floats = vec![vec![0.5; 15], vec![-1e30; 12]];
    [
        CallBody::encode(stream, 7, 6, &inputs, &exponents),
        AnswerBody::encode(stream, 7, 3, shapes, &deltas),
        FloatBody::encode(stream, 6, &[0.25; 18]),
        FloatAnswerBody::encode(stream, 3, shapes, &floats),
    ]
}

/// Decodes with the decoder of one kind and encodes again.
fn again(kind: usize, bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let (_, serving) = open();
    let shapes = serving.shapes();
    let stream = |stream: StreamIndex| &shapes.streams[stream.0];
    Ok(match kind {
        0 => {
            let body = CallBody::decode(bytes, shapes)?;
            CallBody::encode(
                body.stream,
                body.index,
                stream(body.stream).width,
                &body.inputs,
                &body.exponents,
            )
        }
        1 => {
            let body = AnswerBody::decode(bytes, shapes)?;
            let rows = body.deltas[0].len() / stream(body.stream).outputs[0];
            AnswerBody::encode(body.stream, body.index, rows, stream(body.stream), &body.deltas)
        }
        2 => {
            let body = FloatBody::decode(bytes, shapes)?;
            FloatBody::encode(body.stream, stream(body.stream).width, &body.inputs)
        }
        _ => {
            let body = FloatAnswerBody::decode(bytes, shapes)?;
            let rows = body.deltas[0].len() / stream(body.stream).outputs[0];
            FloatAnswerBody::encode(body.stream, rows, stream(body.stream), &body.deltas)
        }
    })
}

#[test]
fn bodies_have_exactly_their_bytes() {
    let [call, answer, float, float_answer] = encodings();
    assert_eq!(call.len(), HEADER_BYTES + 3 * (6 * 2 + 2));
    assert_eq!(answer.len(), HEADER_BYTES + 3 * 9 * 8);
    assert_eq!(float.len(), HEADER_BYTES + 3 * 6 * 4);
    assert_eq!(float_answer.len(), HEADER_BYTES + 3 * 9 * 4);
    assert_eq!(&call[..8], &MAGIC);
    assert_eq!(call[8..32], [1, 0, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 0]);
}

#[test]
fn what_is_wrong_is_named() {
    let call = &encodings()[0];
    let refuse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = call.clone();
        change(&mut bytes);
        again(0, &bytes).unwrap_err().to_string()
    };
    for (expected, message) in [
        ("found \"\"", refuse(&|bytes| bytes.clear())),
        ("found \"HTTP/1.1", refuse(&|bytes| bytes[..8].copy_from_slice(b"HTTP/1.1"))),
        ("at least 32 bytes, found 31 bytes", refuse(&|bytes| bytes.truncate(31))),
        ("version: expected 1, found 2", refuse(&|bytes| bytes[8] = 2)),
        ("kind: expected 1 (Call), found 2", refuse(&|bytes| bytes[10] = 2)),
        ("stream: expected below 2, found 2", refuse(&|bytes| bytes[12] = 2)),
        ("rows: expected at least 1, found 0", refuse(&|bytes| bytes[24] = 0)),
        ("columns: expected 6, found 5", refuse(&|bytes| bytes[28] = 5)),
        ("expected 74 bytes, found 73", refuse(&|bytes| drop(bytes.pop().map(|_| String::new())))),
        ("expected 74 bytes, found 75", refuse(&|bytes| bytes.push(0))),
        ("body of 4294967043 rows", refuse(&|bytes| bytes[24..28].copy_from_slice(&[3, 255, 255, 255]))),
    ] {
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Truncate(Index),
    Append(Vec<u8>),
    Insert(Index, Vec<u8>),
    Header(Index, u8),
    Replace(Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..100);
    prop_oneof![
        1 => (any::<Index>(), 1..=255u8).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        1 => bytes().prop_map(Mutation::Append),
        1 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Header(at, byte)),
        1 => bytes().prop_map(Mutation::Replace),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10_000) })]

    /// Whatever a decoder accepts has exactly one encoding: the bytes that it was given.
    #[test]
    fn ten_thousand_mutations_of_a_body(kind in 0..4usize, mutations in prop::collection::vec(mutation(), 1..3)) {
        let mut bytes = encodings()[kind].clone();
        for mutation in mutations {
            match mutation {
                Mutation::Flip(at, bits) if !bytes.is_empty() => *at.get_mut(&mut bytes) ^= bits,
                Mutation::Flip(..) => {}
                Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len() + 1)),
                Mutation::Append(more) => bytes.extend(more),
                Mutation::Insert(at, more) => {
                    let at = at.index(bytes.len() + 1);
                    bytes.splice(at..at, more);
                }
                Mutation::Header(at, byte) => {
                    let at = at.index(HEADER_BYTES);
                    if let Some(old) = bytes.get_mut(at) {
                        *old = byte;
                    }
                }
                Mutation::Replace(other) => bytes = other,
            }
        }
        for decoder in 0..4 {
            if let Ok(encoded) = again(decoder, &bytes) {
                prop_assert_eq!(&encoded, &bytes);
            }
        }
    }

    /// Control messages come from the other party as well.
    #[test]
    fn ten_thousand_mutations_of_a_control_message(at in any::<Index>(), bits in 1..=127u8, cut in any::<Index>()) {
        use lorica_session::{contributor::Offer, messages::control::{OpenReply, OpenRequest}};
        use crate::fixture::{limits, manifest, proposal};
        let offer = Offer::new(manifest(), limits()).unwrap();
        let proposal = proposal();
        let (_, reply) = offer.clone().accept(proposal.request(), lorica_tensor::Digest([6; 32])).unwrap();
        let mut request = serde_json::to_vec(proposal.request()).unwrap();
        *at.get_mut(&mut request) ^= bits;
        if let Ok(request) = serde_json::from_slice::<OpenRequest>(&request) {
            let _ = offer.accept(&request, lorica_tensor::Digest([6; 32]));
        }
        let mut answer = serde_json::to_vec(&reply).unwrap();
        *at.get_mut(&mut answer) ^= bits;
        answer.truncate(cut.index(answer.len() * 4));
        if let Ok(answer) = serde_json::from_slice::<OpenReply>(&answer) {
            let limits = answer.limits;
            match proposal.receive(&answer) {
                Ok(open) => prop_assert_eq!((open.session(), open.limits()), (reply.session, &limits)),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
