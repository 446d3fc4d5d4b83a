//! Files in folders: transcripts and adapters. A body writes the folder with one file replaced, and opens it.

use std::fs;
use std::sync::LazyLock;

use lorica_adapter::{Adapter, quantize};
use lorica_relation::rows::{ModuleIndex, StreamIndex};
use lorica_tensor::Digest;
use lorica_transcript::{
    Call, ModuleHeader, Role, StreamPlan, TranscriptPlan, TranscriptReader, TranscriptWriter,
};
use lorica_verify::manifest::weight_bits_for;
use tempfile::TempDir;

use super::Decoder;

/// Names and bytes of the files of a folder.
type Files = Vec<(String, Vec<u8>)>;

const HEADER: &str = "transcript.json";
const SHARD: &str = "rows-00001.safetensors";
const LOG: &str = "window.log";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Room for one call of the session below, so that each becomes a shard of its own.
const WINDOW_BYTES: u64 = 256;

/// A new folder with these files, the bytes of one of them replaced.
fn folder_with(files: &Files, replaced: &str, bytes: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, original) in files {
        let content = if name == replaced { bytes } else { original };
        fs::write(folder.path().join(name), content).expect("a file in a temporary folder");
    }
    folder
}

fn files_of(folder: &TempDir) -> Files {
    let entries = fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry"));
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read(entry.path()).expect("a file"))
    };
    entries.map(read).collect()
}

fn file(files: &Files, name: &str) -> Vec<u8> {
    files.iter().find(|(found, _)| found == name).expect("the file is there").1.clone()
}

/// A transcript of two calls, finished or not.
fn transcript(finished: bool) -> Files {
    let module = |name: &str, outputs| ModuleHeader { name: name.parse().expect("a name"), outputs };
    let plan = TranscriptPlan {
        session: Digest([1; 32]),
        manifest: Digest([2; 32]),
        role: Role::User,
        modules: vec![module("a", 3), module("b", 2)],
        streams: vec![
            StreamPlan { modules: vec![ModuleIndex(0)], width: 4 },
            StreamPlan { modules: vec![ModuleIndex(1)], width: 2 },
        ],
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    // An unfinished transcript keeps both calls in its log; a finished one has a shard for each.
    let window = if finished { WINDOW_BYTES } else { 10 * WINDOW_BYTES };
    let mut writer = TranscriptWriter::create(folder.path(), &plan, window).expect("a new transcript");
    let calls: [(usize, [i16; 16], &[i64]); 2] = [(0, [-5; 16], &[1 << 40; 12]), (1, [7; 16], &[-3; 16])];
    for (index, (stream, inputs, deltas)) in calls.into_iter().enumerate() {
        let exponents = &[9; 8][..inputs.len() / plan.streams[stream].width];
        let deltas = [deltas.to_vec()];
        let (stream, index) = (StreamIndex(stream), index as u64);
        let call = Call { stream, index, inputs: &inputs, exponents, deltas: &deltas };
        writer.append_call(&call).expect("a call of the right shape");
    }
    if finished {
        writer.finish().expect("a finished transcript");
    }
    files_of(&folder)
}

static FINISHED: LazyLock<Files> = LazyLock::new(|| transcript(true));
static UNFINISHED: LazyLock<Files> = LazyLock::new(|| transcript(false));

fn read_transcript(replaced: &str, bytes: &[u8]) -> bool {
    let folder = folder_with(&FINISHED, replaced, bytes);
    TranscriptReader::open(folder.path()).is_ok_and(|reader| reader.check_digests().is_ok())
}

/// Opened, and all rows read and compared with the header's digests.
pub const TRANSCRIPT_HEADER: Decoder = Decoder {
    name: "transcript_header",
    body: |bytes| read_transcript(HEADER, bytes),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![file(&FINISHED, HEADER)]);
        &SEEDS
    },
    unique: false,
};

/// The same; the header fixes every byte of a shard.
pub const TRANSCRIPT_SHARD: Decoder = Decoder {
    name: "transcript_shard",
    body: |bytes| read_transcript(SHARD, bytes),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![file(&FINISHED, SHARD)]);
        &SEEDS
    },
    unique: true,
};

/// Replayed, as after a crash.
pub const TRANSCRIPT_LOG: Decoder = Decoder {
    name: "transcript_log",
    body: |bytes| {
        let folder = folder_with(&UNFINISHED, LOG, bytes);
        TranscriptWriter::resume(folder.path(), WINDOW_BYTES).is_ok()
    },
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![file(&UNFINISHED, LOG)]);
        &SEEDS
    },
    unique: false,
};

/// Target modules as a list and as a regular expression.
const CONFIGS: [&str; 2] = [
    r#"{"peft_type": "LORA", "base_model_name_or_path": "base", "r": 2, "lora_alpha": 16, "bias": "none",
"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"down_proj": 1}, "alpha_pattern": {"layers.0.*": 2.5},
"use_rslora": true, "use_dora": false, "modules_to_save": null, "fan_in_fan_out": false, "task_type": "CAUSAL_LM"}"#,
    r#"{"peft_type": "LORA", "r": 1, "lora_alpha": 8, "target_modules": "layers\\.\\d+\\.(q|down)_proj",
"rank_pattern": {"layers.0.q_proj": 2}, "use_dora": false}"#,
];

static ADAPTER_FOLDER: LazyLock<Files> =
    LazyLock::new(|| vec![(CONFIG.to_owned(), CONFIGS[0].into()), (WEIGHTS.to_owned(), weights())]);

/// Two modules in float32: 3 to 2 of rank 2, and 2 to 3 of rank 1.
fn weights() -> Vec<u8> {
    let tensors = [
        ("layers.0.q_proj.lora_A", [2, 3]),
        ("layers.0.q_proj.lora_B", [2, 2]),
        ("layers.1.down_proj.lora_A", [1, 2]),
        ("layers.1.down_proj.lora_B", [3, 1]),
    ];
    let (mut header, mut end) = (r#"{"__metadata__":{"format":"pt"}"#.to_owned(), 0);
    for (name, [rows, columns]) in tensors {
        let start = end;
        end += 4 * rows * columns;
        header.push_str(&format!(
            r#","base_model.model.{name}.weight":{{"dtype":"F32","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#
        ));
    }
    header.push('}');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    (0..end / 4).for_each(|index| bytes.extend_from_slice(&(index as f32 - 7.5).to_le_bytes()));
    bytes
}

/// Loads and rounds, as `lorica commit` does.
fn load_adapter(replaced: &str, bytes: &[u8]) -> bool {
    let folder = folder_with(&ADAPTER_FOLDER, replaced, bytes);
    Adapter::load(folder.path()).is_ok_and(|adapter| quantize(&adapter, weight_bits_for).is_ok())
}

/// Loaded with weights that fit.
pub const ADAPTER_CONFIG: Decoder = Decoder {
    name: "adapter_config",
    body: |bytes| load_adapter(CONFIG, bytes),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| CONFIGS.map(Vec::from).into());
        &SEEDS
    },
    unique: false,
};

/// Loaded with a configuration that fits.
pub const ADAPTER_WEIGHTS: Decoder = Decoder {
    name: "adapter_weights",
    body: |bytes| load_adapter(WEIGHTS, bytes),
    seeds: || {
        static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| vec![weights()]);
        &SEEDS
    },
    unique: false,
};
