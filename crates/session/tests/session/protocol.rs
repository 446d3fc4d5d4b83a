//! Calls, repeated calls, and the end of a session.

use lorica_relation::{
    digests::{SessionDigests, SessionHasher},
    rows::{MemoryDeltas, MemoryRows, MemoryStream, ModuleIndex, StreamIndex},
    session::{Instance, StreamShape, Witness, check},
};
use lorica_session::{
    contributor::{CallError, LastCall, Offer, Progress, Received, Serving},
    engine::{DeltaEngine, EngineError, FloatLowRank, FloatWeightsEngine, WitnessEngine},
    messages::body::{AnswerBody, CallBody},
    user::{self, Open},
};
use lorica_tensor::Digest;

use crate::fixture::{MODULES, limits, manifest, open, proposal, rows, witness};

fn engine() -> WitnessEngine {
    WitnessEngine::new(&manifest(), witness()).unwrap()
}

/// One call from end to end.
fn exchange(
    open: &mut Open,
    serving: &mut Serving,
    stream: usize,
    inputs: &[i16],
    exponents: &[i16],
) -> Vec<Vec<i64>> {
    let calling = open.call(StreamIndex(stream), inputs, exponents).unwrap();
    let Received::New(computing) = serving.receive(calling.index(), calling.body()).unwrap() else {
        panic!("a new call");
    };
    let body = computing.compute(&engine()).unwrap().commit();
    calling.receive(&body).unwrap().commit()
}

fn digests(change: i64) -> SessionDigests {
    let mut hasher = SessionHasher::new(2, 3);
    hasher.inputs(StreamIndex(0), &[1]);
    hasher.deltas(ModuleIndex(1), &[change]);
    hasher.digests()
}

#[test]
fn every_delta_is_what_the_oracle_says() {
    let (mut open, mut serving) = open();
    let mut memory = MemoryRows {
        streams: [6, 3].map(|width| MemoryStream { width, ..MemoryStream::default() }).into(),
        modules: MODULES.map(|(_, _, width, _)| MemoryDeltas { width, values: Vec::new() }).into(),
    };
    for (stream, count, seed) in [(0, 3, 1), (1, 8, -7), (0, 1, i16::MIN), (0, 4, i16::MAX)] {
        let (inputs, exponents) = rows(count, [6, 3][stream], seed);
        let deltas = exchange(&mut open, &mut serving, stream, &inputs, &exponents);
        memory.streams[stream].values.extend(inputs);
        memory.streams[stream].exponents.extend(exponents);
        for (module, deltas) in serving.shapes().streams[stream].modules.iter().zip(deltas) {
            memory.modules[module.0].values.extend(deltas);
        }
    }
    let shape = |modules: &[usize], width, rows| StreamShape {
        modules: modules.iter().map(|&module| ModuleIndex(module)).collect(),
        width,
        rows,
    };
    let streams = [shape(&[1, 0], 6, 8), shape(&[2], 3, 8)];
    let modules = manifest().shapes();
    let instance = Instance { modules: &modules, streams: &streams, rows: &memory };
    check(&instance, &witness()).unwrap();
    assert_eq!((open.calls(), serving.calls(), serving.rows()), (4, 4, &[8, 8][..]));
}

#[test]
fn a_repeated_call_is_told_from_a_changed_one_and_a_gap() {
    let (mut open, mut serving) = open();
    let (inputs, exponents) = rows(2, 6, 1);
    let calling = open.call(StreamIndex(0), &inputs, &exponents).unwrap();
    let first = calling.body().to_vec();
    drop(calling);
    assert!(matches!(serving.receive(1, &first), Err(CallError::Mislabelled { sent_as: 1, found: 0 })));
    exchange(&mut open, &mut serving, 0, &inputs, &exponents);

    assert!(matches!(serving.receive(0, &first), Ok(Received::Repeated(StreamIndex(0)))));
    let mut changed = exponents.clone();
    changed[1] += 1;
    let changed = CallBody::encode(StreamIndex(0), 0, 6, &inputs, &changed);
    assert!(matches!(serving.receive(0, &changed), Err(CallError::Changed { index: 0 })));
    let gap = CallBody::encode(StreamIndex(0), 2, 6, &inputs, &exponents);
    assert!(matches!(serving.receive(2, &gap), Err(CallError::OutOfOrder { next: 1, found: 2 })));

    exchange(&mut open, &mut serving, 1, &rows(1, 3, 1).0, &[0]);
    let error = serving.receive(0, &first).unwrap_err();
    assert!(
        error.to_string().contains("expected 2 for a new call, or 1 to repeat the last one, found 0"),
        "{error}"
    );
    assert_eq!(serving.calls(), 2);
}

#[test]
fn a_call_that_was_not_recorded_never_was() {
    let (mut open, mut serving) = open();
    let (inputs, exponents) = rows(2, 6, 1);
    let calling = open.call(StreamIndex(0), &inputs, &exponents).unwrap();
    let Ok(Received::New(computing)) = serving.receive(0, calling.body()) else { panic!("a new call") };
    drop(computing.compute(&engine()).unwrap());
    drop(calling);
    assert_eq!((open.calls(), serving.calls()), (0, 0));
    exchange(&mut open, &mut serving, 0, &inputs, &exponents);
    assert_eq!((open.calls(), serving.calls()), (1, 1));
}

#[test]
fn rows_are_limited_by_call_and_by_session() {
    let (mut open, mut serving) = open();
    let (inputs, exponents) = rows(9, 6, 1);
    let error = open.call(StreamIndex(0), &inputs, &exponents).unwrap_err();
    assert!(error.to_string().contains("1 to 8 in a call, found 9"), "{error}");
    let body = CallBody::encode(StreamIndex(0), 0, 6, &inputs, &exponents);
    assert!(matches!(serving.receive(0, &body), Err(CallError::TooManyRows { limit: 8, found: 9 })));
    let (inputs, exponents) = rows(8, 6, 1);
    exchange(&mut open, &mut serving, 0, &inputs, &exponents);
    exchange(&mut open, &mut serving, 0, &inputs, &exponents);
    let calling = open.call(StreamIndex(0), &inputs, &exponents).unwrap();
    let error = serving.receive(2, calling.body()).unwrap_err();
    assert!(matches!(error, CallError::UsedUp { limit: 20, served: 16, found: 8, .. }), "{error}");
    assert!(open.call(StreamIndex(2), &inputs, &exponents).is_err());
    assert!(open.call(StreamIndex(0), &inputs, &[]).is_err());
    assert!(open.call(StreamIndex(0), &inputs[1..], &exponents).is_err());
}

#[test]
fn the_user_takes_only_the_answer_to_its_call() {
    let (mut open, serving) = open();
    let (inputs, exponents) = rows(2, 6, 1);
    let shapes = serving.shapes().streams.clone();
    let deltas = |rows: usize, stream: usize| {
        shapes[stream].outputs.iter().map(|o| vec![0; rows * o]).collect::<Vec<_>>()
    };
    for (body, expected) in [
        (AnswerBody::encode(StreamIndex(0), 1, 2, &shapes[0], &deltas(2, 0)), "call index"),
        (AnswerBody::encode(StreamIndex(1), 0, 2, &shapes[1], &deltas(2, 1)), "stream"),
        (AnswerBody::encode(StreamIndex(0), 0, 3, &shapes[0], &deltas(3, 0)), "deltas"),
        (b"<html>".to_vec(), "cannot be read"),
    ] {
        let calling = open.call(StreamIndex(0), &inputs, &exponents).unwrap();
        let error = calling.receive(&body).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    assert_eq!(open.calls(), 0);
}

#[test]
fn the_end_needs_equal_counts_and_digests() {
    let finish = |theirs: SessionDigests, ours: SessionDigests| {
        let (mut open, mut serving) = open();
        exchange(&mut open, &mut serving, 1, &rows(1, 3, 1).0, &[0]);
        let finishing = open.finish(theirs);
        let outcome = serving.finish(finishing.summary(), ours);
        (finishing, outcome)
    };
    let (finishing, outcome) = finish(digests(1), digests(1));
    let finished = outcome.unwrap();
    assert_eq!(finished.repeat(finishing.summary()).unwrap(), finished.summary());
    assert_eq!(finishing.receive(finished.summary()).unwrap().summary(), finished.summary());

    let (finishing, outcome) = finish(digests(1), digests(2));
    let refused = outcome.unwrap_err();
    assert_eq!(refused.error.what, "deltas of module a.q_proj of stream 0");
    assert_eq!(refused.serving.calls(), 1, "the session goes on");
    let mut theirs = finishing.summary().clone();
    theirs.rows[1] += 1;
    let error = finishing.receive(&theirs).unwrap_err();
    assert_eq!(error.what, "number of rows of stream 1");

    for change in [0, 1, 2, 3] {
        let (finishing, outcome) = finish(digests(1), digests(1));
        let mut theirs = outcome.unwrap().summary().clone();
        match change {
            0 => theirs.session = Digest([0; 32]),
            1 => theirs.calls += 1,
            2 => theirs.digests.streams[1].exponents = Digest([0; 32]),
            _ => drop(theirs.digests.modules.pop()),
        }
        assert!(finishing.receive(&theirs).is_err(), "change {change} was accepted");
    }
}

#[test]
fn a_stored_session_goes_on_where_it_was() {
    let proposal = proposal();
    let offer = Offer::new(manifest(), limits()).unwrap();
    let (mut serving, reply) = offer.clone().accept(proposal.request(), Digest([6; 32])).unwrap();
    let request = proposal.request().clone();
    let mut open = proposal.receive(&reply).unwrap();
    let (inputs, exponents) = rows(2, 6, 1);
    exchange(&mut open, &mut serving, 0, &inputs, &exponents);

    let last = LastCall { stream: StreamIndex(0), index: 0, inputs: &inputs, exponents: &exponents };
    let progress = Progress { calls: 1, rows: vec![2, 0], last: Some(last) };
    let mut resumed = offer.clone().resume(&request, &reply, progress.clone()).unwrap();
    let body = CallBody::encode(StreamIndex(0), 0, 6, &inputs, &exponents);
    assert!(matches!(resumed.receive(0, &body), Ok(Received::Repeated(_))), "its last call can be repeated");
    exchange(&mut open, &mut resumed, 1, &rows(1, 3, 1).0, &[0]);

    let mut forged = reply.clone();
    forged.session = Digest([0; 32]);
    assert!(offer.resume(&request, &forged, progress).is_err());
}

#[test]
fn weights_beyond_the_manifest_never_compute() {
    let mut wrong = witness();
    wrong.modules[0].a.pop();
    let error = WitnessEngine::new(&manifest(), wrong).err().unwrap();
    assert!(
        matches!(&error, EngineError::Weights { module, what: "A", .. } if module == "a.k_proj"),
        "{error}"
    );
    assert!(WitnessEngine::new(&manifest(), Witness { modules: Vec::new() }).is_err());

    // At 4096 x 512 the shape allows 14 bits; a 16-bit entry could overflow 64 bits.
    let mut wide = manifest();
    let module = &mut wide.modules[0];
    (module.inputs, module.rank) = (4096, 512);
    module.weight_bits = lorica_verify::manifest::weight_bits_for(4096, 4, 512).unwrap();
    assert!(module.weight_bits < 16);
    let mut wrong = witness();
    wrong.modules[0].a = vec![0; 4096 * 512];
    wrong.modules[0].b = vec![0; 4 * 512];
    wrong.modules[0].a[77] = i16::MAX;
    let error = WitnessEngine::new(&wide, wrong).err().unwrap();
    assert!(error.to_string().contains("found 32767"), "{error}");

    assert!(engine().deltas(ModuleIndex(3), &[]).is_err());
    assert!(engine().deltas(ModuleIndex(0), &[1; 7]).is_err());
}

#[test]
fn the_float_check_is_offered_or_not_and_limited() {
    let manifest = manifest();
    let weights: Vec<_> = MODULES
        .iter()
        .map(|&(_, inputs, outputs, rank)| FloatLowRank {
            a: (0..rank * inputs).map(|at| at as f32 * 0.25).collect(),
            b: vec![0.5; rank * outputs],
            inputs,
            outputs,
            scaling: 2.0,
        })
        .collect();
    let engine = FloatWeightsEngine::new(&manifest, weights.clone()).unwrap();
    assert!(FloatWeightsEngine::new(&manifest, weights[1..].to_vec()).is_err());
    let (open, mut serving) = open();
    let body = open.float_body(StreamIndex(1), &[1.0, 2.0, 4.0, 0.0, 0.0, 0.0]).unwrap();
    let answer = serving.float_check(&engine, &body).unwrap();
    // (0.25 * 2 + 0.5 * 4) * 0.5 * 2
    assert_eq!(open.float_answer(StreamIndex(1), 2, &answer).unwrap(), [[2.5, 2.5, 0.0, 0.0]]);
    assert!(open.float_answer(StreamIndex(1), 1, &answer).is_err());
    assert!(open.float_answer(StreamIndex(0), 2, &answer).is_err());
    assert_eq!((serving.calls(), serving.rows()), (0, &[0, 0][..]), "it is no part of the session");
    let error = serving.float_check(&engine, &body).unwrap_err();
    assert!(matches!(error, CallError::UsedUp { limit: 3, served: 2, found: 2, .. }), "{error}");
    assert!(open.float_body(StreamIndex(1), &[0.0; 12]).is_err());
    let nan = lorica_session::messages::body::FloatBody::encode(StreamIndex(1), 3, &[0.0, f32::NAN, 0.0]);
    assert!(serving.float_check(&engine, &nan).unwrap_err().to_string().contains("found NaN at value 1"));

    let mut none = limits();
    none.max_float_rows = 0;
    let proposal = proposal();
    let (mut serving, reply) =
        Offer::new(manifest, none).unwrap().accept(proposal.request(), Digest([6; 32])).unwrap();
    let open = proposal.receive(&reply).unwrap();
    assert!(matches!(open.float_body(StreamIndex(1), &[0.0; 3]), Err(user::CallError::NoFloatCheck)));
    assert!(matches!(serving.float_check(&engine, &body), Err(CallError::NoFloatCheck)));
}
