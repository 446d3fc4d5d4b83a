//! The frozen sessions, registrations and training proofs under `testdata/frozen-proofs`: what must verify for ever.

use std::path::{Path, PathBuf};

use lorica_algebra::point::EncodedPoint;
use lorica_argument::generators::Generators;
use lorica_argument::opening::OpeningMode;
use lorica_prove::registration::Registered;
use lorica_prove::rows::joint::prove_joint;
use lorica_relation::program::Program;
use lorica_relation::rows::StreamIndex;
use lorica_tensor::Digest;
use lorica_transcript::{Call, ModuleHeader, Role, StreamPlan, TranscriptPlan, TranscriptWriter};
use lorica_verify::training::context::{Start, Statement};
use lorica_verify::training::layout::Selection;

use crate::adapter::{AdapterFixture, entropy};
use crate::random::Random;
use crate::rows::{DataFixture, ModelFixture};
use crate::session::SessionFixture;
use crate::training::{SmallProgram, TrainingFixture};

/// The folder of the frozen session of version 1.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen-proofs/v1")
}

/// The fixtures that the frozen session was made from: modules of different shapes, one shared stream, one module that was
/// never called.
pub fn fixtures() -> (AdapterFixture, SessionFixture) {
    let adapter = AdapterFixture::new(&[(6, 10, 2), (6, 4, 3), (9, 3, 1), (5, 5, 1)], 2026);
    let session = SessionFixture::new(&adapter, &[(&[0, 1], 5), (&[2], 2)], 11);
    (adapter, session)
}

/// The folder of the frozen registration with a range argument, version 2 of the registration proof.
pub fn range_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen-proofs/registration-2")
}

/// Writes the frozen registration with a range argument to a folder: rows of different lengths, none a power of two.
pub fn write_range(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let adapter = AdapterFixture::in_range(&[(6, 10, 2), (9, 3, 1)], 2027);
    write_registration(folder, &adapter.registered, adapter.pinned.digest())
}

/// The folder of the frozen data set, model and joint proof about both, version 1 of each.
pub fn rows_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen-proofs/rows-1")
}

/// Writes the frozen data set, the frozen model and one proof about both to a folder.
pub fn write_rows(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (data, model) = (DataFixture::new(5, 7, 3, 2028), ModelFixture::new(&[(3, 700), (1, 5)], 2029));
    write_registration(&folder.join("data"), &data.registered, data.pinned.digest())?;
    write_registration(&folder.join("model"), &model.registered, model.pinned.digest())?;
    let members = [data.member(), model.member()];
    let entropy = entropy(&mut Random::new(2030));
    let joint = prove_joint(members, &data.secret, &Generators::derive(0, 0), &entropy)?;
    std::fs::write(folder.join("joint.bin"), joint.to_bytes())?;
    Ok(())
}

/// The folder of the frozen training proofs of version 1, one for each opening, with their statement.
pub fn training_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/frozen-proofs/training-1")
}

/// The fixture that the frozen training proofs were made from: three steps, matrices cut into several rows, samples that are used
/// more than once, every kind of check.
pub fn training_fixture() -> TrainingFixture {
    let sizes = SmallProgram { steps: 3, samples: 3, inputs: 5, outputs: 4, data_rows: 6, row_length: 16 };
    TrainingFixture::small(sizes, 2031)
}

/// Writes the frozen training proofs and their statement to a folder. The program is named by its digest.
pub fn write_training(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let fixture = training_fixture();
    let Statement { program, digest, row_length, selection, start } = &fixture.context.statement;
    let hex = |point: &EncodedPoint| Digest(*point.bytes()).to_string();
    let lists = |lists: &[Vec<EncodedPoint>]| -> Vec<Vec<String>> {
        lists.iter().map(|points| points.iter().map(hex).collect()).collect()
    };
    let samples: Vec<usize> = selection.places.iter().map(|place| selection.rows[*place]).collect();
    let statement = serde_json::json!({
        "program": program.digest().to_string(),
        "digest": digest.to_string(),
        "row_length": row_length,
        "samples": samples,
        "start": {
            "parameters": lists(&start.parameters),
            "carried": lists(&start.carried),
            "samples": start.samples.iter().map(hex).collect::<Vec<_>>(),
        },
    });
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("statement.json"), format!("{statement:#}\n"))?;
    for (name, mode) in [("proof-fast.bin", OpeningMode::Fast), ("proof-compact.bin", OpeningMode::Compact)] {
        std::fs::write(folder.join(name), fixture.prove(mode, None)?.proof.to_bytes())?;
    }
    Ok(())
}

/// Reads the statement of the frozen training proofs about a program, with the program's frozen digest.
pub fn read_training(
    folder: &Path,
    program: Program,
) -> Result<(Statement, Digest), Box<dyn std::error::Error>> {
    let statement: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("statement.json"))?)?;
    let list = |value: &serde_json::Value| value.as_array().cloned().ok_or("a list is missing");
    let digest = |value: &serde_json::Value| -> Result<Digest, Box<dyn std::error::Error>> {
        Ok(value.as_str().ok_or("a text is missing")?.parse()?)
    };
    let number = |value: &serde_json::Value| -> Result<usize, Box<dyn std::error::Error>> {
        Ok(usize::try_from(value.as_u64().ok_or("a number is missing")?)?)
    };
    let points = |value: &serde_json::Value| -> Result<Vec<EncodedPoint>, Box<dyn std::error::Error>> {
        let point = |value| Ok(EncodedPoint::decode(&digest(value)?.0).ok_or("no point")?);
        list(value)?.iter().map(point).collect()
    };
    let lists = |value: &serde_json::Value| list(value)?.iter().map(points).collect::<Result<Vec<_>, _>>();
    let start = &statement["start"];
    let start = Start {
        parameters: lists(&start["parameters"])?,
        carried: lists(&start["carried"])?,
        samples: points(&start["samples"])?,
    };
    let samples: Vec<usize> = list(&statement["samples"])?.iter().map(number).collect::<Result<_, _>>()?;
    let frozen = digest(&statement["program"])?;
    let statement = Statement {
        program,
        digest: digest(&statement["digest"])?,
        row_length: number(&statement["row_length"])?,
        selection: Selection::new(&samples),
        start,
    };
    Ok((statement, frozen))
}

fn write_registration(
    folder: &Path,
    registered: &Registered,
    pin: Digest,
) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("manifest.json"), &registered.manifest)?;
    std::fs::write(folder.join("commitments.bin"), &registered.commitments)?;
    std::fs::write(folder.join("registration.bin"), &registered.proof)?;
    std::fs::write(folder.join("pin.txt"), format!("{pin}\n"))?;
    Ok(())
}

/// Writes the frozen session to a folder: as a user's session folder, with a proof for each opening.
pub fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let (adapter, session) = fixtures();
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("manifest.json"), &adapter.registered.manifest)?;
    std::fs::write(folder.join("commitments.bin"), &adapter.registered.commitments)?;
    std::fs::write(folder.join("registration.bin"), &adapter.registered.proof)?;
    std::fs::write(folder.join("pin.txt"), format!("{}\n", adapter.pinned.digest()))?;
    for (name, mode) in [("proof-fast.bin", OpeningMode::Fast), ("proof-compact.bin", OpeningMode::Compact)] {
        std::fs::write(folder.join(name), session.prove(&adapter, mode, 12))?;
    }
    let plan = TranscriptPlan {
        session: session.session,
        manifest: adapter.pinned.digest(),
        role: Role::User,
        modules: adapter
            .pinned
            .manifest()
            .modules
            .iter()
            .map(|module| ModuleHeader { name: module.name.clone(), outputs: module.outputs })
            .collect(),
        streams: session
            .streams
            .iter()
            .map(|stream| StreamPlan { modules: stream.modules.clone(), width: stream.width })
            .collect(),
    };
    let mut writer = TranscriptWriter::create(
        &folder.join("transcript"),
        &plan,
        lorica_transcript::writer::DEFAULT_WINDOW_BYTES,
    )?;
    for (index, (shape, stream)) in session.streams.iter().zip(&session.rows.streams).enumerate() {
        let deltas: Vec<Vec<i64>> =
            shape.modules.iter().map(|module| session.rows.modules[module.0].values.clone()).collect();
        writer.append_call(&Call {
            stream: StreamIndex(index),
            index: index as u64,
            inputs: &stream.values,
            exponents: &stream.exponents,
            deltas: &deltas,
        })?;
    }
    writer.finish()?;
    Ok(())
}
