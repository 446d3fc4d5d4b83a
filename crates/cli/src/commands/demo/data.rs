//! What the demo runs on: a person's own files, or those in this binary.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{args::DemoArgs, artefacts::write_bytes, error::CliError};

/// A file in this binary, and where it goes.
struct Shipped {
    folder: &'static str,
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! shipped {
    ($folder:literal, $name:literal, $source:literal) => {
        Shipped {
            folder: $folder,
            name: $name,
            bytes: include_bytes!(concat!("../../../../../testdata/", $source, "/", $name)),
        }
    };
}

/// See the README files in `testdata/models` and `testdata/text`.
const SHIPPED: &[Shipped] = &[
    shipped!("base", "config.json", "models/tiny-gpt2"),
    shipped!("base", "generation_config.json", "models/tiny-gpt2"),
    shipped!("base", "model.safetensors", "models/tiny-gpt2"),
    shipped!("base", "tokenizer.json", "models/tiny-gpt2"),
    shipped!("adapter", "adapter_config.json", "models/tiny-gpt2-lora-es"),
    shipped!("adapter", "adapter_model.safetensors", "models/tiny-gpt2-lora-es"),
    shipped!("", "demo-es.txt", "text"),
];

/// The inputs of the demo.
pub(super) struct Data {
    pub(super) base: PathBuf,
    pub(super) adapter: PathBuf,
    pub(super) text: PathBuf,
    /// What they are, for people.
    pub(super) description: String,
}

impl Data {
    pub(super) fn prepare(args: &DemoArgs, folder: &Path) -> Result<Self, CliError> {
        if let (Some(base), Some(adapter), Some(text)) = (&args.base, &args.adapter, &args.text) {
            let description =
                format!("base {}, adapter {}, text {}", base.display(), adapter.display(), text.display());
            return Ok(Self {
                base: base.clone(),
                adapter: adapter.clone(),
                text: text.clone(),
                description,
            });
        }
        for file in SHIPPED {
            let place = folder.join(file.folder);
            fs::create_dir_all(&place).map_err(CliError::io("create", &place))?;
            write_bytes(&place.join(file.name), file.bytes)?;
        }
        Ok(Self {
            base: folder.join("base"),
            adapter: folder.join("adapter"),
            text: folder.join("demo-es.txt"),
            description:
                "a small GPT-2 trained on English manual pages, a LoRA adapter trained on Spanish ones, \
                          and a Spanish text that is new to both"
                    .to_owned(),
        })
    }
}
