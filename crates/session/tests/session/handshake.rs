//! Any disagreement is found before the first row is sent.

use lorica_session::{
    contributor::Offer,
    handshake::{HandshakeError, session_identity},
    messages::control::{FixedPoint, Limits, OpenReply, OpenRequest},
    user::Proposal,
};
use lorica_tensor::Digest;

use crate::fixture::{limits, manifest, proposal, streams};

fn offer() -> Offer {
    Offer::new(manifest(), limits()).unwrap()
}

#[test]
fn both_parties_derive_one_session_from_both_nonces() {
    let proposal = proposal();
    let (serving, reply) = offer().accept(proposal.request(), Digest([6; 32])).unwrap();
    let digest = manifest().digest().unwrap();
    assert_eq!(reply.session, session_identity(digest, Digest([5; 32]), Digest([6; 32])));
    assert_eq!(serving.session(), reply.session);
    let open = proposal.receive(&reply).unwrap();
    assert_eq!(open.session(), reply.session);
    assert_eq!(open.shapes(), serving.shapes());
    for other in [
        session_identity(Digest([9; 32]), Digest([5; 32]), Digest([6; 32])),
        session_identity(digest, Digest([6; 32]), Digest([6; 32])),
        session_identity(digest, Digest([5; 32]), Digest([5; 32])),
        session_identity(digest, Digest([6; 32]), Digest([5; 32])),
    ] {
        assert_ne!(other, reply.session);
    }
}

#[test]
fn the_contributor_refuses_what_it_does_not_serve() {
    type Change = fn(&mut OpenRequest);
    let changes: [(&str, Change); 9] = [
        ("protocol", |request| request.protocol = "lorica-session/2".to_owned()),
        ("manifest digest", |request| request.manifest = Digest([0; 32])),
        ("fixed point", |request| request.fixed_point.activation_bits = 8),
        ("fixed point", |request| request.fixed_point.format = "lorica-fixed-point/2".to_owned()),
        ("no module z.none", |request| request.streams[0].modules[1] = "z.none".parse().unwrap()),
        ("already reads stream 0", |request| request.streams[1].modules[0] = "a.k_proj".parse().unwrap()),
        ("6 inputs, the stream has rows of 7", |request| request.streams[0].width = 7),
        ("stream 1 is empty", |request| request.streams[1].modules.clear()),
        ("list of streams is empty", |request| request.streams.clear()),
    ];
    for (expected, change) in changes {
        let mut request = proposal().request().clone();
        change(&mut request);
        let error = offer().accept(&request, Digest([6; 32])).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(!error.refusal().error.is_empty());
    }
    // A width that fits no module of the stream, because the modules have different inputs.
    let mut request = proposal().request().clone();
    request.streams[0].modules.push("b.out".parse().unwrap());
    request.streams.pop();
    let error = offer().accept(&request, Digest([6; 32])).unwrap_err();
    assert!(matches!(error, HandshakeError::Width { stream: 0, expected: 3, found: 6, .. }), "{error}");
}

#[test]
fn a_refusal_names_found_and_expected() {
    let mut request = proposal().request().clone();
    request.manifest = Digest([0; 32]);
    let refusal = offer().accept(&request, Digest([6; 32])).unwrap_err().refusal();
    assert_eq!(refusal.expected, manifest().digest().unwrap().to_string());
    assert_eq!(refusal.found, "0".repeat(64));
    assert!(refusal.hint.contains("pinned"), "{refusal}");
}

#[test]
fn the_user_refuses_an_answer_that_does_not_fit() {
    type Change = fn(&mut OpenReply);
    let changes: [(&str, Change); 7] = [
        ("protocol", |reply| reply.protocol.push('0')),
        ("manifest digest", |reply| reply.manifest = Digest([0; 32])),
        ("session identity", |reply| reply.nonce = Digest([0; 32])),
        ("session identity", |reply| reply.session = Digest([0; 32])),
        ("fixed point", |reply| {
            reply.fixed_point = FixedPoint { activation_bits: 15, ..FixedPoint::current() }
        }),
        ("streams", |reply| reply.streams.reverse()),
        ("may have 10", |reply| reply.limits.max_body_bytes = 10),
    ];
    for (expected, change) in changes {
        let proposal = proposal();
        let (_, mut reply) = offer().accept(proposal.request(), Digest([6; 32])).unwrap();
        change(&mut reply);
        let error = proposal.receive(&reply).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn the_user_proposes_only_what_was_pinned() {
    let error = Proposal::new(&manifest(), Digest([0; 32]), &streams(), Digest([5; 32])).unwrap_err();
    assert!(matches!(error, HandshakeError::Differs { what: "manifest digest", .. }), "{error}");
    let unknown = vec![vec!["z.none".parse().unwrap()]];
    let pin = manifest().digest().unwrap();
    let error = Proposal::new(&manifest(), pin, &unknown, Digest([5; 32])).unwrap_err();
    assert!(matches!(error, HandshakeError::UnknownModule { .. }), "{error}");
}

#[test]
fn limits_that_carry_no_row_are_found_at_once() {
    let small = Limits { max_body_bytes: 64, ..limits() };
    let offer = Offer::new(manifest(), small).unwrap();
    let error = offer.accept(proposal().request(), Digest([6; 32])).unwrap_err();
    assert!(matches!(error, HandshakeError::RowTooLarge { stream: 0, row_bytes: 72, limit: 64 }), "{error}");
}
