//! What is written is read back, whatever the window, and by any safetensors reader.

use crate::fixture::{OUTPUTS, WIDTHS, calls, file_names, in_memory, plan, write};
use lorica_relation::{
    rows::{ModuleIndex, RowsError, SessionRows, StreamIndex},
    session::ModuleShape,
};
use lorica_transcript::{TranscriptError, TranscriptReader, TranscriptWriter};

#[test]
fn every_range_of_rows_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let calls = calls(20);
    write(folder.path(), 1, &calls, 600);
    let reader = TranscriptReader::open(folder.path()).unwrap();
    let memory = in_memory(&calls);
    assert!(reader.header().shards.len() > 3, "the test needs several shards");
    let (mut a, mut b, mut c, mut d) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, stream) in reader.streams().iter().enumerate() {
        for start in 0..=stream.rows {
            for end in start..=stream.rows {
                let id = StreamIndex(index);
                assert_eq!(
                    reader.inputs(id, start..end, &mut a).unwrap(),
                    memory.inputs(id, start..end, &mut b).unwrap()
                );
                assert_eq!(
                    reader.exponents(id, start..end, &mut a).unwrap(),
                    memory.exponents(id, start..end, &mut b).unwrap()
                );
                for &module in &stream.modules {
                    assert_eq!(
                        reader.deltas(module, start..end, &mut c).unwrap(),
                        memory.deltas(module, start..end, &mut d).unwrap()
                    );
                }
            }
        }
        let beyond = stream.rows..stream.rows + 1;
        let error = reader.inputs(StreamIndex(index), beyond, &mut a).unwrap_err();
        assert!(matches!(error, RowsError::OutOfRange { rows, .. } if rows == stream.rows), "{error}");
    }
    assert!(reader.inputs(StreamIndex(9), 0..1, &mut a).is_err());
    assert!(reader.deltas(ModuleIndex(9), 0..1, &mut c).is_err());
    assert!(
        reader.deltas(ModuleIndex(3), 0..0, &mut c).unwrap().is_empty(),
        "a module that was never called has no rows"
    );
    assert!(reader.deltas(ModuleIndex(3), 0..1, &mut c).is_err());
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = 3..1;
    assert!(reader.inputs(StreamIndex(0), backwards, &mut a).is_err());
}

#[test]
fn digests_do_not_depend_on_the_window() {
    let calls = calls(20);
    let mut seen = Vec::new();
    for window_bytes in [400, 1_000, 1 << 20] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 1, &calls, window_bytes);
        let reader = TranscriptReader::open(folder.path()).unwrap();
        let data: u64 = calls
            .iter()
            .map(|call| 2 * call.inputs.len() + 2 * call.exponents.len() + 8 * call.deltas.concat().len())
            .sum::<usize>() as u64;
        assert!(reader.header().shards.len() as u64 >= data / window_bytes);
        reader.check_digests().unwrap();
        assert_eq!(reader.digests().unwrap(), reader.header().digests);
        seen.push(reader.digests().unwrap());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let memory = in_memory(&calls);
    assert_eq!(
        seen[0].streams[1].inputs,
        lorica_tensor::Digest::blake3(bytemuck::cast_slice(&memory.streams[1].values))
    );
    assert_eq!(
        seen[0].modules[2],
        lorica_tensor::Digest::blake3(bytemuck::cast_slice(&memory.modules[2].values))
    );
}

#[test]
fn shards_are_plain_safetensors_files_within_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let calls = calls(12);
    write(folder.path(), 1, &calls, 500);
    let names = file_names(folder.path());
    assert_eq!(names[0], "rows-00001.safetensors");
    assert_eq!(names.last().unwrap(), "transcript.json");
    let memory = in_memory(&calls);
    let mut inputs = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".safetensors")) {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let (head, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert!(bytes.len() - head - 8 <= 500, "{name} is larger than the window");
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "lorica-transcript/1");
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        if let Ok(tensor) = file.tensor("inputs.0") {
            assert_eq!(tensor.dtype(), safetensors::Dtype::I16);
            assert_eq!(tensor.shape()[1], WIDTHS[0]);
            inputs.extend_from_slice(tensor.data());
            let deltas = file.tensor("deltas.a.q_proj").unwrap();
            assert_eq!(deltas.shape(), [tensor.shape()[0], OUTPUTS[2]]);
            assert_eq!(deltas.dtype(), safetensors::Dtype::I64);
        }
    }
    assert_eq!(inputs, bytemuck::cast_slice::<i16, u8>(&memory.streams[0].values));
}

#[test]
fn an_instance_needs_the_modules_of_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1, &calls(5), 1 << 20);
    let reader = TranscriptReader::open(folder.path()).unwrap();
    let inputs = [WIDTHS[0], WIDTHS[1], WIDTHS[0], 9];
    let mut modules: Vec<_> = plan(1)
        .modules
        .into_iter()
        .zip(inputs)
        .map(|(module, inputs)| ModuleShape { name: module.name, inputs, outputs: module.outputs, rank: 2 })
        .collect();
    let instance = reader.instance(&modules).unwrap();
    assert_eq!(instance.streams.len(), 2);
    assert_eq!(instance.streams[0].modules, [ModuleIndex(2), ModuleIndex(0)]);

    modules[1].outputs += 1;
    let message = reader.instance(&modules).err().unwrap().to_string();
    assert!(message.contains("modules[1]") && message.contains("a.out with 3 outputs"), "{message}");
    modules[1].outputs -= 1;
    modules[1].inputs += 1;
    assert!(reader.instance(&modules).err().unwrap().to_string().contains("streams[1].width"));
    modules.pop();
    assert!(reader.instance(&modules).is_err());
}

#[test]
fn an_empty_session_is_a_transcript_of_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), 1, &[], 1 << 20);
    let reader = TranscriptReader::open(folder.path()).unwrap();
    assert_eq!(reader.header().calls, 0);
    assert!(reader.streams().iter().all(|stream| stream.rows == 0));
    reader.check_digests().unwrap();
}

#[test]
fn calls_that_do_not_fit_are_refused_and_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let good = calls(3);
    let mut writer = TranscriptWriter::create(folder.path(), &plan(1), 600).unwrap();
    writer.append_call(&good[0].as_call()).unwrap();
    type Change = fn(&mut lorica_transcript::RecordedCall);
    let broken: [(&str, Change); 8] = [
        ("index", |call| call.index = 0),
        ("index", |call| call.index = 2),
        ("stream", |call| call.stream = StreamIndex(2)),
        ("activations", |call| call.inputs.push(1)),
        ("rows", |call| call.exponents.clear()),
        ("modules", |call| drop(call.deltas.pop())),
        ("deltas", |call| call.deltas[0].push(0)),
        ("size of its rows", |call| {
            call.exponents = vec![0; 100];
            call.inputs = vec![0; 100 * WIDTHS[0]];
            call.deltas = vec![vec![0; 100 * OUTPUTS[2]], vec![0; 100 * OUTPUTS[0]]];
        }),
    ];
    for (expected, change) in broken {
        let mut call = good[1].clone();
        change(&mut call);
        let error = writer.append_call(&call.as_call()).unwrap_err();
        assert!(
            matches!(&error, TranscriptError::Call { what, .. } if *what == expected),
            "{expected}: {error}"
        );
    }
    for call in &good[1..] {
        writer.append_call(&call.as_call()).unwrap();
    }
    assert_eq!(writer.finish().unwrap().calls, 3);
    TranscriptReader::open(folder.path()).unwrap().check_digests().unwrap();
}
