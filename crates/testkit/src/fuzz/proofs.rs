//! Proofs, the manifest and the secret.

use std::sync::LazyLock;

use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_prove::secret::AdapterSecret;
use lorica_verify::manifest::Manifest;
use lorica_verify::proof::SessionProof;
use lorica_verify::range::{RangeProof, RangeShape};
use lorica_verify::registration::{RegistrationInvalid, RegistrationProof};
use lorica_verify::statement::SessionStatement;

use super::{ADAPTER, Decoder};
use crate::adapter::AdapterFixture;
use crate::session::SessionFixture;

/// An adapter that is registered with a range argument.
static IN_RANGE: LazyLock<AdapterFixture> =
    LazyLock::new(|| AdapterFixture::in_range(&[(5, 3, 2), (3, 6, 1)], 4));

/// All row bases that its proof is about, so that they are not derived for each run.
static ROW_BASES: LazyLock<Generators> = LazyLock::new(|| Generators::derive(1024, 0));

static SESSION: LazyLock<(SessionFixture, SessionStatement)> = LazyLock::new(|| {
    let session = SessionFixture::new(&ADAPTER, &[(&[0, 1], 3), (&[2], 2)], 2);
    let statement = session.statement(&ADAPTER);
    (session, statement)
});

/// Decoded, verified against the true statement; accepted proofs are those that the prover made.
pub const SESSION_PROOF: Decoder = Decoder {
    name: "session_proof",
    body: |bytes| {
        let (session, statement) = &*SESSION;
        if let Ok(proof) = SessionProof::from_bytes(bytes, &statement.sizes()) {
            assert_eq!(proof.to_bytes(), bytes, "a session proof has a second encoding");
        }
        session.verify_statement(&ADAPTER, statement, bytes).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let prove = |mode| SESSION.0.prove(&ADAPTER, mode, 3);
            [OpeningMode::Fast, OpeningMode::Compact].map(prove).into()
        });
        &SEEDS
    },
    unique: true,
};

/// Decoded, verified against the manifest.
pub const REGISTRATION_PROOF: Decoder = Decoder {
    name: "registration_proof",
    body: |bytes| {
        if let Ok(proof) = RegistrationProof::from_bytes(bytes, ADAPTER.pinned.sizes().width) {
            assert_eq!(proof.to_bytes(), bytes, "a registration proof has a second encoding");
        }
        let verdict: Result<(), RegistrationInvalid> =
            RegistrationProof::verify_bytes(bytes, &ADAPTER.pinned, &ADAPTER.generators);
        verdict.is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![ADAPTER.registered.proof.clone()]);
        &SEEDS
    },
    unique: true,
};

/// Decoded, verified against a manifest with a range argument.
pub const RANGE_PROOF: Decoder = Decoder {
    name: "range_proof",
    body: |bytes| {
        let adapter = &*IN_RANGE;
        let shape = RangeShape::of(&adapter.pinned.manifest().shapes());
        if let Ok(proof) = RangeProof::from_bytes(bytes, &shape) {
            assert_eq!(proof.to_bytes(), bytes, "a registration proof has a second encoding");
        }
        RangeProof::verify_bytes(bytes, &adapter.pinned, &ROW_BASES).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![IN_RANGE.registered.proof.clone()]);
        &SEEDS
    },
    unique: true,
};

/// Decoded; what is accepted is in its canonical form.
pub const MANIFEST: Decoder = Decoder {
    name: "manifest",
    body: |bytes| match Manifest::from_json(bytes) {
        Ok(manifest) => {
            let text = manifest.to_json().expect("an accepted manifest can be written");
            assert_eq!(text.as_bytes(), bytes, "a manifest has a second form");
            true
        }
        Err(_) => false,
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![ADAPTER.registered.manifest.clone().into_bytes()]);
        &SEEDS
    },
    unique: false,
};

/// Decoded; what is accepted is in its canonical form.
pub const SECRET: Decoder = Decoder {
    name: "secret",
    body: |bytes| match std::str::from_utf8(bytes).map(AdapterSecret::from_text) {
        Ok(Ok(secret)) => {
            assert_eq!(secret.to_text().as_bytes(), bytes, "a secret has a second form");
            true
        }
        _ => false,
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![ADAPTER.secret.to_text().as_bytes().to_vec()]);
        &SEEDS
    },
    unique: false,
};
