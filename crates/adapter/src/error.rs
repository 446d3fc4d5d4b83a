//! Why an adapter folder is refused.

use std::{fmt, path::PathBuf};

use lorica_tensor::{ModuleName, checkpoint::LoadError, files::FileError, fixed_point::QuantizeError};
use serde::Serialize;

/// An adapter folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The weight file, or a tensor in it, could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The path is not a folder with a PEFT adapter in it.
    #[error(
        "{} is not a PEFT adapter folder: {file} is missing; expected adapter_config.json and \
         adapter_model.safetensors, as save_pretrained writes them",
        folder.display()
    )]
    MissingFile {
        /// The path.
        folder: PathBuf,
        /// The first file that is not there.
        file: &'static str,
    },
    /// The weights are there as a pickle only.
    #[error(
        "{}: adapter_model.bin is a pickle, which can run code when it is opened, and is not read; load the \
         adapter with PEFT once and write it with save_pretrained(..., safe_serialization=True)",
        folder.display()
    )]
    Pickle {
        /// The folder.
        folder: PathBuf,
    },
    /// The configuration is not what PEFT writes.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the field where the parser knows it.
        reason: String,
    },
    /// The folder asks for something that is not supported, or its tensors do not fit together.
    #[error("the adapter in {} is refused:{}", folder.display(), Listed(reasons))]
    Refused {
        /// The folder.
        folder: PathBuf,
        /// Every reason.
        reasons: Vec<Refusal>,
    },
    /// The adapter does not fit the base model.
    #[error("the adapter does not fit the base model:{}", Listed(mismatches))]
    Base {
        /// Every module that does not fit.
        mismatches: Vec<BaseMismatch>,
    },
    /// A module whose shape has no exact fixed-point product.
    #[error(
        "module {module}: {inputs} inputs, {outputs} outputs and rank {rank} are outside the sizes for which \
         exact integer deltas are supported"
    )]
    UnsupportedShape {
        /// The module.
        module: ModuleName,
        /// Input width.
        inputs: usize,
        /// Output width.
        outputs: usize,
        /// Rank.
        rank: usize,
    },
    /// Weights that have no fixed-point form.
    #[error("matrix {matrix} of module {module}: {source}")]
    Quantize {
        /// The module.
        module: ModuleName,
        /// `A` or `B`.
        matrix: &'static str,
        /// What is wrong.
        source: QuantizeError,
    },
    /// Activations for a reference delta that do not fill whole rows.
    #[error("module {module} reads rows of {inputs} values, {found} values do not make whole rows")]
    RaggedRows {
        /// The module.
        module: ModuleName,
        /// Its input width.
        inputs: usize,
        /// Number of values given.
        found: usize,
    },
}

/// One reason why a folder is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Refusal {
    /// An adapter of another kind than LoRA.
    #[error("peft_type is {found}: only LORA is supported")]
    PeftType {
        /// The kind.
        found: String,
    },
    /// A setting that changes the forward pass in a way that is not supported.
    #[error("setting {key} = {value} is not supported: {why}")]
    Setting {
        /// The setting.
        key: String,
        /// Its value as JSON, cut short.
        value: String,
        /// What it changes.
        why: String,
    },
    /// A setting this version has never heard of; it may change the forward pass.
    #[error(
        "setting {key} = {value} is unknown and could change what the adapter computes; if it is known not to, \
         set it to null in adapter_config.json"
    )]
    UnknownSetting {
        /// The setting.
        key: String,
        /// Its value as JSON, cut short.
        value: String,
    },
    /// A file that adds to what the adapter computes.
    #[error("file {file} is not supported: {why}")]
    File {
        /// The file.
        file: String,
        /// What it changes.
        why: String,
    },
    /// A tensor that is no part of a plain LoRA module.
    #[error("tensor {tensor} is not supported: {why}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What it is, or what was expected.
        why: String,
    },
    /// A module that PEFT itself would not load.
    #[error(
        "module {module} has weights but target_modules ({targets}) does not name it, so PEFT would ignore them"
    )]
    NotTargeted {
        /// The module.
        module: ModuleName,
        /// The setting.
        targets: String,
    },
    /// One of a module's two matrices is missing.
    #[error("module {module} has {present} but no {missing}")]
    Unpaired {
        /// The module.
        module: ModuleName,
        /// The tensor that is there.
        present: &'static str,
        /// The tensor that is not.
        missing: &'static str,
    },
    /// A tensor that is not a matrix.
    #[error("tensor {tensor}: expected {expected}, found shape {found:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape that was expected, in words.
        expected: &'static str,
        /// Its shape.
        found: Vec<usize>,
    },
    /// The ranks of A, of B and of the configuration differ.
    #[error(
        "module {module}: the configuration gives rank {expected}, lora_A is {a:?} (rank x inputs) and lora_B is \
         {b:?} (outputs x rank)"
    )]
    Rank {
        /// The module.
        module: ModuleName,
        /// `r`, or what `rank_pattern` says.
        expected: usize,
        /// Shape of A.
        a: Vec<usize>,
        /// Shape of B.
        b: Vec<usize>,
    },
    /// No module at all: the adapter would do nothing.
    #[error("the folder adapts no module")]
    Empty,
}

impl Refusal {
    /// Whether the folder contradicts itself, rather than asking for something unsupported.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Unpaired { .. } | Self::Shape { .. } | Self::Rank { .. } | Self::Empty => true,
            Self::PeftType { .. }
            | Self::Setting { .. }
            | Self::UnknownSetting { .. }
            | Self::File { .. }
            | Self::Tensor { .. }
            | Self::NotTargeted { .. } => false,
        }
    }
}

/// One module that does not fit the base model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseMismatch {
    /// The base model has no such linear layer.
    #[error("module {module}: the base model has no linear layer of that name")]
    Missing {
        /// The module.
        module: ModuleName,
    },
    /// The base model's layer has other widths.
    #[error(
        "module {module}: the base layer maps {base_inputs} to {base_outputs} values, the adapter {inputs} to {outputs}"
    )]
    Widths {
        /// The module.
        module: ModuleName,
        /// Input width of the base layer.
        base_inputs: usize,
        /// Output width of the base layer.
        base_outputs: usize,
        /// Input width of the adapter's module.
        inputs: usize,
        /// Output width of the adapter's module.
        outputs: usize,
    },
}

/// Shows each reason on a line of its own.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|reason| write!(f, "\n- {reason}"))
    }
}
