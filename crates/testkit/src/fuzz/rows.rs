//! The manifests of data sets and models, with all that stands behind them.

use std::sync::LazyLock;

use lorica_argument::generators::Generators;
use lorica_prove::rows::joint::prove_joint;
use lorica_verify::range::RangeProof;
use lorica_verify::rows::data::{DataManifest, RegisteredData};
use lorica_verify::rows::model::{ModelManifest, RegisteredModel};
use lorica_verify::rows::statement::RangeStatement;

use super::Decoder;
use crate::adapter::entropy;
use crate::random::Random;
use crate::rows::{DataFixture, ModelFixture};

static DATA: LazyLock<DataFixture> = LazyLock::new(|| DataFixture::new(3, 5, 2, 5));
static MODEL: LazyLock<ModelFixture> = LazyLock::new(|| ModelFixture::new(&[(3, 4), (1, 4)], 6));

/// All row bases that the proofs are about, so that they are not derived for each run.
static ROW_BASES: LazyLock<Generators> = LazyLock::new(|| Generators::derive(1024, 0));

/// Decoded, and read with the commitments it should name; what is accepted is in its canonical form.
pub const DATA_MANIFEST: Decoder = Decoder {
    name: "data_manifest",
    body: |bytes| {
        let Ok(manifest) = DataManifest::from_json(bytes) else { return false };
        let text = manifest.to_json().expect("an accepted manifest can be written");
        assert_eq!(text.as_bytes(), bytes, "a data manifest has a second form");
        if let Ok(data) = RegisteredData::from_bytes(bytes, &DATA.registered.commitments, None) {
            assert_eq!(RangeStatement::from(&data).lengths().len(), data.rows().len());
        }
        true
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![DATA.registered.manifest.clone().into_bytes()]);
        &SEEDS
    },
    unique: false,
};

/// Decoded, cut into pieces and read with the commitments it should name; what is accepted is in its canonical form.
pub const MODEL_MANIFEST: Decoder = Decoder {
    name: "model_manifest",
    body: |bytes| {
        let Ok(manifest) = ModelManifest::from_json(bytes) else { return false };
        let text = manifest.to_json().expect("an accepted manifest can be written");
        assert_eq!(text.as_bytes(), bytes, "a model manifest has a second form");
        assert_eq!(manifest.pieces().len(), manifest.matrices.len());
        if let Ok(model) = RegisteredModel::from_bytes(bytes, &MODEL.registered.commitments, None) {
            assert_eq!(RangeStatement::from(&model).lengths().len(), model.rows().len());
        }
        true
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| vec![MODEL.registered.manifest.clone().into_bytes()]);
        &SEEDS
    },
    unique: false,
};

/// A proof about two registrations, decoded and verified.
pub const JOINT_PROOF: Decoder = Decoder {
    name: "joint_proof",
    body: |bytes| {
        let members = [DATA.member().statement, MODEL.member().statement];
        let statement = RangeStatement::joint(members).expect("two members");
        if let Ok(proof) = RangeProof::from_bytes(bytes, &statement.shape()) {
            assert_eq!(proof.to_bytes(), bytes, "a joint proof has a second encoding");
        }
        RangeProof::verify_bytes(bytes, statement, &ROW_BASES).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let members = [DATA.member(), MODEL.member()];
            let entropy = entropy(&mut Random::new(7));
            let proof = prove_joint(members, &DATA.secret, &ROW_BASES, &entropy).expect("a joint proof");
            vec![proof.to_bytes()]
        });
        &SEEDS
    },
    unique: true,
};
