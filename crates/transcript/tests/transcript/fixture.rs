//! A small session to write: two modules share stream 0, one reads stream 1, one is never called.

use std::path::Path;

use lorica_relation::rows::{MemoryDeltas, MemoryRows, MemoryStream, ModuleIndex, StreamIndex};
use lorica_tensor::Digest;
use lorica_transcript::{ModuleHeader, RecordedCall, Role, StreamPlan, TranscriptPlan, TranscriptWriter};

pub(crate) const WIDTHS: [usize; 2] = [3, 5];
pub(crate) const OUTPUTS: [usize; 4] = [4, 2, 7, 1];
pub(crate) const STREAM_MODULES: [&[usize]; 2] = [&[2, 0], &[1]];

pub(crate) fn plan(session: u8) -> TranscriptPlan {
    let names = ["a.k_proj", "a.out", "a.q_proj", "z.unused"];
    TranscriptPlan {
        session: Digest([session; 32]),
        manifest: Digest([7; 32]),
        role: Role::User,
        modules: names
            .iter()
            .zip(OUTPUTS)
            .map(|(name, outputs)| ModuleHeader { name: name.parse().unwrap(), outputs })
            .collect(),
        streams: STREAM_MODULES
            .iter()
            .zip(WIDTHS)
            .map(|(modules, width)| StreamPlan {
                modules: modules.iter().map(|&module| ModuleIndex(module)).collect(),
                width,
            })
            .collect(),
    }
}

/// Calls of 1 to 4 rows that visit both streams, with values that tell every row apart.
pub(crate) fn calls(count: u64) -> Vec<RecordedCall> {
    (0..count)
        .map(|index| {
            let stream = usize::from(index % 3 == 2);
            let rows = 1 + (index % 4) as usize;
            let value = |at: usize| (index as usize * 131 + at * 17) as i64;
            RecordedCall {
                stream: StreamIndex(stream),
                index,
                inputs: (0..rows * WIDTHS[stream]).map(|at| value(at) as i16 - 400).collect(),
                exponents: (0..rows).map(|at| value(at) as i16 % 20).collect(),
                deltas: STREAM_MODULES[stream]
                    .iter()
                    .map(|&module| {
                        (0..rows * OUTPUTS[module]).map(|at| (value(at) - 500) * i64::MAX / 5000).collect()
                    })
                    .collect(),
            }
        })
        .collect()
}

/// The same rows in memory.
pub(crate) fn in_memory(calls: &[RecordedCall]) -> MemoryRows {
    let mut rows = MemoryRows {
        streams: WIDTHS.map(|width| MemoryStream { width, ..MemoryStream::default() }).into(),
        modules: OUTPUTS.map(|width| MemoryDeltas { width, values: Vec::new() }).into(),
    };
    for call in calls {
        let stream = &mut rows.streams[call.stream.0];
        stream.values.extend(&call.inputs);
        stream.exponents.extend(&call.exponents);
        for (&module, deltas) in STREAM_MODULES[call.stream.0].iter().zip(&call.deltas) {
            rows.modules[module].values.extend(deltas);
        }
    }
    rows
}

/// Writes and finishes a transcript.
pub(crate) fn write(folder: &Path, session: u8, calls: &[RecordedCall], window_bytes: u64) {
    let mut writer = TranscriptWriter::create(folder, &plan(session), window_bytes).unwrap();
    for call in calls {
        writer.append_call(&call.as_call()).unwrap();
    }
    writer.finish().unwrap();
}

pub(crate) fn file_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
