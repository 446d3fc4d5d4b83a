//! The tamper manifest: every field of every artefact that a verifier reads, each with a way to change it.
//!
//! [`proof_fields`], [`registration_fields`], [`range_fields`] and [`statement_fields`] take their structs apart without `..`, so a new
//! field does not compile until it is listed; and the suites compare the lists with the tamper cases, so a listed field
//! without a case fails. JSON artefacts need no list: [`json_leaves`] finds every value there is. Training proofs and their
//! statements stand in [`training`].

pub mod training;

use lorica_algebra::point::EncodedPoint;
use lorica_algebra::{Point, Scalar};
use lorica_argument::opening::{Fold, OpeningProof, OpeningResponse};
use lorica_argument::product::{ProductMasks, ProductProof, ProductResponse};
use lorica_relation::rows::ModuleIndex;
use lorica_relation::session::{ModuleShape, StreamShape};
use lorica_tensor::Digest;
use lorica_verify::proof::SessionProof;
use lorica_verify::range::RangeProof;
use lorica_verify::registration::RegistrationProof;
use lorica_verify::schedule::FactorCommitments;
use lorica_verify::statement::{SessionStatement, StreamStatement};

/// A named change of a value.
pub type Case<T> = (&'static str, fn(&mut T));

fn shift(point: &mut EncodedPoint) {
    *point = EncodedPoint::new(point.point() + Point::from_uniform_bytes(&[7; 64]));
}

fn increment(scalar: &mut Scalar) {
    *scalar += Scalar::from(1u8);
}

fn change(digest: &mut Digest) {
    digest.0[9] ^= 4;
}

/// The fields of an opening.
pub fn opening_fields(proof: &OpeningProof) -> Vec<&'static str> {
    let OpeningProof { mask_commitment: _, mask_value: _, blind: _, response } = proof;
    let mut fields = vec!["opening.mask_commitment", "opening.mask_value", "opening.blind"];
    match response {
        OpeningResponse::Fast { vector: _ } => fields.push("opening.vector"),
        OpeningResponse::Compact { folds, last: _ } => {
            if let Some(Fold { left: _, right: _ }) = folds.first() {
                fields.extend(["opening.folds.left", "opening.folds.right"]);
            }
            fields.push("opening.last");
        }
    }
    fields
}

/// The fields of a session proof.
pub fn proof_fields(proof: &SessionProof) -> Vec<&'static str> {
    let SessionProof {
        pair_rounds: _,
        factors: FactorCommitments { alpha: _, beta: _, gamma: _ },
        product:
            ProductProof {
                masks: ProductMasks { t_a: _, t_b: _, t_0: _, t_1: _ },
                response: ProductResponse { f_a: _, f_b: _, tau_a: _, tau_b: _, tau_c: _ },
            },
        module_rounds: _,
        item_rounds: _,
        opening,
    } = proof;
    let mut fields = vec![
        "pair_rounds",
        "factors.alpha",
        "factors.beta",
        "factors.gamma",
        "product.t_a",
        "product.t_b",
        "product.t_0",
        "product.t_1",
        "product.f_a",
        "product.f_b",
        "product.tau_a",
        "product.tau_b",
        "product.tau_c",
        "module_rounds",
        "item_rounds",
    ];
    fields.extend(opening_fields(opening));
    fields
}

/// A change of each field of a session proof, for both openings.
pub fn proof_cases(proof: &SessionProof) -> Vec<Case<SessionProof>> {
    let mut cases: Vec<Case<SessionProof>> = vec![
        ("pair_rounds", |p| p.pair_rounds.iter_mut().for_each(shift)),
        ("pair_rounds", |p| p.pair_rounds.reverse()),
        ("pair_rounds", |p| shift(p.pair_rounds.last_mut().expect("a round"))),
        ("factors.alpha", |p| shift(&mut p.factors.alpha)),
        ("factors.beta", |p| shift(&mut p.factors.beta)),
        ("factors.gamma", |p| shift(&mut p.factors.gamma)),
        ("factors.alpha", |p| std::mem::swap(&mut p.factors.alpha, &mut p.factors.beta)),
        ("product.t_a", |p| shift(&mut p.product.masks.t_a)),
        ("product.t_b", |p| shift(&mut p.product.masks.t_b)),
        ("product.t_0", |p| shift(&mut p.product.masks.t_0)),
        ("product.t_1", |p| shift(&mut p.product.masks.t_1)),
        ("product.f_a", |p| increment(&mut p.product.response.f_a)),
        ("product.f_b", |p| increment(&mut p.product.response.f_b)),
        ("product.tau_a", |p| increment(&mut p.product.response.tau_a)),
        ("product.tau_b", |p| increment(&mut p.product.response.tau_b)),
        ("product.tau_c", |p| increment(&mut p.product.response.tau_c)),
        ("module_rounds", |p| shift(p.module_rounds.first_mut().expect("a round"))),
        ("item_rounds", |p| shift(p.item_rounds.first_mut().expect("a round"))),
        ("item_rounds", |p| p.item_rounds.reverse()),
        ("opening.mask_commitment", |p| shift(&mut p.opening.mask_commitment)),
        ("opening.mask_value", |p| increment(&mut p.opening.mask_value)),
        ("opening.blind", |p| increment(&mut p.opening.blind)),
    ];
    let response: Vec<Case<SessionProof>> = match proof.opening.response {
        OpeningResponse::Fast { .. } => vec![
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(&mut v[0]))),
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(v.last_mut().expect("an entry")))),
            ("opening.vector", |p| vector(&mut p.opening, |v| v.reverse())),
        ],
        OpeningResponse::Compact { .. } => vec![
            ("opening.folds.left", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].left))),
            ("opening.folds.right", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].right))),
            ("opening.folds.right", |p| folds(&mut p.opening, |f, _| f.reverse())),
            ("opening.last", |p| folds(&mut p.opening, |_, last| increment(last))),
        ],
    };
    cases.extend(response);
    cases
}

fn vector(opening: &mut OpeningProof, change: impl FnOnce(&mut Vec<Scalar>)) {
    if let OpeningResponse::Fast { vector } = &mut opening.response {
        change(vector);
    }
}

fn folds(opening: &mut OpeningProof, change: impl FnOnce(&mut Vec<Fold>, &mut Scalar)) {
    if let OpeningResponse::Compact { folds, last } = &mut opening.response {
        change(folds, last);
    }
}

/// The fields of a registration proof.
pub fn registration_fields(proof: &RegistrationProof) -> Vec<&'static str> {
    let RegistrationProof { opening } = proof;
    opening_fields(opening)
}

/// A change of each field of a (compact) registration proof.
pub fn registration_cases() -> Vec<Case<RegistrationProof>> {
    vec![
        ("opening.mask_commitment", |p| shift(&mut p.opening.mask_commitment)),
        ("opening.mask_value", |p| increment(&mut p.opening.mask_value)),
        ("opening.blind", |p| increment(&mut p.opening.blind)),
        ("opening.folds.left", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].left))),
        ("opening.folds.right", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].right))),
        ("opening.last", |p| folds(&mut p.opening, |_, last| increment(last))),
    ]
}

/// The fields of a registration proof with a range argument.
pub fn range_fields(proof: &RangeProof) -> Vec<&'static str> {
    let RangeProof {
        multiplicities: _,
        scratch: _,
        product:
            ProductProof {
                masks: ProductMasks { t_a: _, t_b: _, t_0: _, t_1: _ },
                response: ProductResponse { f_a: _, f_b: _, tau_a: _, tau_b: _, tau_c: _ },
            },
        opening,
    } = proof;
    let mut fields = vec![
        "multiplicities",
        "scratch",
        "product.t_a",
        "product.t_b",
        "product.t_0",
        "product.t_1",
        "product.f_a",
        "product.f_b",
        "product.tau_a",
        "product.tau_b",
        "product.tau_c",
    ];
    fields.extend(opening_fields(opening));
    fields
}

/// A change of each field of a registration proof with a range argument, for both openings. Each scratch commitment is changed
/// alone by [`range_scratch_cases`].
pub fn range_cases(proof: &RangeProof) -> Vec<Case<RangeProof>> {
    let mut cases: Vec<Case<RangeProof>> = vec![
        ("multiplicities", |p| shift(&mut p.multiplicities[0])),
        ("multiplicities", |p| shift(p.multiplicities.last_mut().expect("a row"))),
        ("multiplicities", |p| p.multiplicities.swap(0, 1)),
        ("scratch", |p| p.scratch.reverse()),
        ("product.t_a", |p| shift(&mut p.product.masks.t_a)),
        ("product.t_b", |p| shift(&mut p.product.masks.t_b)),
        ("product.t_0", |p| shift(&mut p.product.masks.t_0)),
        ("product.t_1", |p| shift(&mut p.product.masks.t_1)),
        ("product.f_a", |p| increment(&mut p.product.response.f_a)),
        ("product.f_b", |p| increment(&mut p.product.response.f_b)),
        ("product.tau_a", |p| increment(&mut p.product.response.tau_a)),
        ("product.tau_b", |p| increment(&mut p.product.response.tau_b)),
        ("product.tau_c", |p| increment(&mut p.product.response.tau_c)),
        ("opening.mask_commitment", |p| shift(&mut p.opening.mask_commitment)),
        ("opening.mask_value", |p| increment(&mut p.opening.mask_value)),
        ("opening.blind", |p| increment(&mut p.opening.blind)),
    ];
    let response: Vec<Case<RangeProof>> = match proof.opening.response {
        OpeningResponse::Fast { .. } => vec![
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(&mut v[0]))),
            ("opening.vector", |p| vector(&mut p.opening, |v| increment(v.last_mut().expect("an entry")))),
        ],
        OpeningResponse::Compact { .. } => vec![
            ("opening.folds.left", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].left))),
            ("opening.folds.right", |p| folds(&mut p.opening, |f, _| shift(&mut f[0].right))),
            ("opening.last", |p| folds(&mut p.opening, |_, last| increment(last))),
        ],
    };
    cases.extend(response);
    cases
}

/// The proof with each of its scratch commitments changed alone.
pub fn range_scratch_cases(proof: &RangeProof) -> impl Iterator<Item = RangeProof> {
    (0..proof.scratch.len()).map(|index| {
        let mut changed = proof.clone();
        shift(&mut changed.scratch[index]);
        changed
    })
}

/// The fields of a session statement.
pub fn statement_fields(statement: &SessionStatement) -> Vec<&'static str> {
    let SessionStatement { manifest: _, session: _, modules, streams, deltas: _ } = statement;
    for ModuleShape { name: _, inputs: _, outputs: _, rank: _ } in modules {}
    for StreamStatement {
        shape: StreamShape { modules: _, width: _, rows: _ },
        calls: _,
        inputs: _,
        exponents: _,
    } in streams
    {}
    vec![
        "manifest",
        "session",
        "modules.name",
        "modules.inputs",
        "modules.outputs",
        "modules.rank",
        "streams.modules",
        "streams.width",
        "streams.rows",
        "streams.calls",
        "streams.inputs",
        "streams.exponents",
        "deltas",
    ]
}

/// A change of each field of a statement with at least two modules of equal shape, in two streams.
pub fn statement_cases() -> Vec<Case<SessionStatement>> {
    vec![
        ("manifest", |s| change(&mut s.manifest)),
        ("session", |s| change(&mut s.session)),
        ("modules.name", |s| s.modules[0].name = "another.name".parse().expect("a name")),
        ("modules.inputs", |s| s.modules[0].inputs += 1),
        ("modules.outputs", |s| s.modules[0].outputs += 1),
        ("modules.outputs", |s| s.modules[0].outputs -= 1),
        ("modules.rank", |s| s.modules[0].rank += 1),
        ("modules.rank", |s| s.modules.swap(0, 1)),
        ("streams.modules", |s| {
            let (first, second) = s.streams.split_at_mut(1);
            std::mem::swap(&mut first[0].shape.modules, &mut second[0].shape.modules);
        }),
        ("streams.modules", |s| s.streams[0].shape.modules.clear()),
        ("streams.modules", |s| s.streams[0].shape.modules.push(ModuleIndex(0))),
        ("streams.modules", |s| s.streams[0].shape.modules.push(ModuleIndex(1 << 40))),
        ("streams.width", |s| s.streams[0].shape.width += 1),
        ("streams.width", |s| s.streams[0].shape.width = 0),
        ("streams.rows", |s| s.streams[0].shape.rows += 1),
        ("streams.rows", |s| s.streams[0].shape.rows -= 1),
        ("streams.rows", |s| s.streams[0].shape.rows = u64::MAX),
        ("streams.rows", |s| s.streams.iter_mut().for_each(|stream| stream.shape.rows = 0)),
        ("streams.calls", |s| s.streams[0].calls += 1),
        ("streams.inputs", |s| change(&mut s.streams[0].inputs)),
        ("streams.exponents", |s| change(&mut s.streams[0].exponents)),
        ("deltas", |s| change(&mut s.deltas[0])),
        ("deltas", |s| s.deltas.swap(0, 1)),
        ("deltas", |s| s.deltas.truncate(1)),
    ]
}

/// The path of every number, text, truth value and null in a JSON document.
pub fn json_leaves(value: &serde_json::Value) -> Vec<String> {
    fn walk(value: &serde_json::Value, path: &str, leaves: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"), leaves));
            }
            serde_json::Value::Array(items) => {
                items.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{path}/{i}"), leaves));
            }
            _ => leaves.push(path.to_owned()),
        }
    }
    let mut leaves = Vec::new();
    walk(value, "", &mut leaves);
    leaves
}

/// Changes a JSON value to another of its kind.
pub fn change_json(value: &mut serde_json::Value) {
    *value = match &*value {
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => (number + 1).into(),
            None => (number.as_f64().expect("a number") + 0.5).into(),
        },
        serde_json::Value::String(text) => match text.char_indices().last() {
            Some((_, 'a')) => format!("{}b", &text[..text.len() - 1]).into(),
            Some((at, _)) => format!("{}a", &text[..at]).into(),
            None => "a".into(),
        },
        serde_json::Value::Bool(value) => (!value).into(),
        _ => serde_json::Value::Bool(true),
    };
}
