//! Ten thousand random mutations of every artefact, through the bodies of the fuzz targets.

use lorica_testkit::fuzz::{self, DECODERS, Decoder};
use lorica_testkit::mutate::mutate;
use lorica_testkit::random::Random;

const MUTATIONS: u64 = 10_000;

/// The valid artefacts are accepted, random mutations of them never panic, and most are refused.
fn survives(decoder: Decoder) {
    for (index, seed) in decoder.seeds().iter().enumerate() {
        assert!(decoder.run(seed), "{}: valid artefact {index} is refused", decoder.name);
    }
    let count = decoder.seeds().len() as u64;
    let mut refused = 0;
    for number in 0..MUTATIONS {
        let valid = &decoder.seeds()[(number % count) as usize];
        // A seed for each mutation, so that one that fails can be made again alone.
        let mutated = mutate(valid, &mut Random::new(number));
        let accepted = std::panic::catch_unwind(|| decoder.run(&mutated)).unwrap_or_else(|_| {
            panic!("{}: mutation {number} panics: {}", decoder.name, mutated.escape_ascii())
        });
        refused += u64::from(!accepted);
    }
    assert!(
        refused > MUTATIONS / 4,
        "{}: only {refused} of {MUTATIONS} mutations were refused",
        decoder.name
    );
}

macro_rules! every_decoder {
    ($($test:ident: $decoder:ident,)*) => {
        $(#[test] fn $test() { survives(fuzz::$decoder); })*
        const TESTED: &[Decoder] = &[$(fuzz::$decoder),*];
    };
}

every_decoder! {
    session_proof: SESSION_PROOF,
    registration_proof: REGISTRATION_PROOF,
    range_proof: RANGE_PROOF,
    manifest: MANIFEST,
    secret: SECRET,
    data_manifest: DATA_MANIFEST,
    model_manifest: MODEL_MANIFEST,
    joint_proof: JOINT_PROOF,
    training_proof: TRAINING_PROOF,
    run_record: RUN_RECORD,
    run_batches: RUN_BATCHES,
    transcript_header: TRANSCRIPT_HEADER,
    transcript_shard: TRANSCRIPT_SHARD,
    transcript_log: TRANSCRIPT_LOG,
    adapter_config: ADAPTER_CONFIG,
    adapter_weights: ADAPTER_WEIGHTS,
    open_request: OPEN_REQUEST,
    open_reply: OPEN_REPLY,
    call_body: CALL_BODY,
    answer_body: ANSWER_BODY,
    float_body: FLOAT_BODY,
    float_answer_body: FLOAT_ANSWER_BODY,
    summary: SUMMARY,
    status: STATUS,
    refusal: REFUSAL,
}

#[test]
fn every_decoder_is_tested_and_has_a_fuzz_target() {
    let tested: Vec<_> = TESTED.iter().map(|decoder| decoder.name).collect();
    let listed: Vec<_> = DECODERS.iter().map(|decoder| decoder.name).collect();
    assert_eq!(tested, listed);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let manifest = std::fs::read_to_string(format!("{folder}/Cargo.toml")).expect("fuzz/Cargo.toml");
    for decoder in DECODERS {
        let path = format!("fuzz_targets/{}.rs", decoder.name);
        assert!(manifest.contains(&format!("path = \"{path}\"")), "fuzz/Cargo.toml does not name {path}");
        let target = std::fs::read_to_string(format!("{folder}/{path}")).expect("a fuzz target");
        let body = format!("fuzz::{}.run(", decoder.name.to_uppercase());
        assert!(target.contains(&body), "{path} does not run {body}");
    }
}
