//! Everything that stops a zoo from being built or trusted, and why.

use std::{io, path::PathBuf};

use lorica_adapter::AdapterError;
use lorica_model::ModelError;
use lorica_tensor::{Digest, checkpoint::LoadError, files::FileError};

use crate::member::MemberName;

/// Why a zoo was not built, or is not what its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// A file that cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder that cannot be made, renamed or listed.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A weight file that cannot be read.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// A member that the decoder refuses.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An adapter that cannot be merged.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// Arithmetic on tensors that went wrong.
    #[error("tensor arithmetic: {0}")]
    Tensor(#[from] candle_core::Error),
    /// Tensors that cannot be written.
    #[error("{}: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the writer found.
        source: safetensors::SafeTensorError,
    },
    /// A JSON file that is not what it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// A tokenizer that cannot be used.
    #[error("the tokenizer: {reason}")]
    Tokenizer {
        /// What is wrong.
        reason: String,
    },
    /// A field of a configuration that is not there or not supported.
    #[error("config.json: {field}: expected {expected}")]
    Field {
        /// The field.
        field: String,
        /// What it should hold.
        expected: String,
    },
    /// A tensor that a configuration implies and that is not there, or has another shape.
    #[error("tensor {tensor}: expected {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// What was expected of it.
        expected: String,
    },
    /// A setting outside its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// The range.
        expected: String,
        /// What was asked for.
        found: String,
    },
    /// A name that is not one.
    #[error(
        "{found:?} is not a member's name: expected 1 to 60 lower-case letters, digits and hyphens, a letter first"
    )]
    Name {
        /// What was found.
        found: String,
    },
    /// Two members of one name.
    #[error("the recipe names {member} twice")]
    Twice {
        /// The name.
        member: MemberName,
    },
    /// A member made from one that does not come before it, or that has no folder.
    #[error("{member} is made from {parent}, which is no earlier member with a folder")]
    Parent {
        /// The member.
        member: MemberName,
        /// What it is made from.
        parent: MemberName,
    },
    /// A loss that is no longer a number.
    #[error("the loss is {loss} at step {step} of training: choose a lower rate")]
    Diverged {
        /// The step, from 0.
        step: u32,
        /// The loss.
        loss: f32,
    },
    /// A text too short to learn from.
    #[error("the text has {found} tokens: at least {needed} are needed")]
    TextTooShort {
        /// Tokens there.
        found: usize,
        /// Tokens needed.
        needed: usize,
    },
    /// A folder from another recipe, or from another seed, or from parents that have changed.
    #[error("{} was made otherwise than this recipe says: choose another folder or remove it", path.display())]
    OtherRecipe {
        /// The member's folder.
        path: PathBuf,
    },
    /// A file whose content is not what was written.
    #[error("{} is damaged: expected SHA-256 {expected}, found {found}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// From the record.
        expected: Digest,
        /// Of the file.
        found: Digest,
    },
    /// Files that are missing or were added.
    #[error("{} holds the files {found:?}, expected {expected:?}", path.display())]
    Files {
        /// The member's folder.
        path: PathBuf,
        /// From the record.
        expected: Vec<String>,
        /// In the folder.
        found: Vec<String>,
    },
    /// A manifest in a format that is not read.
    #[error("{}: {problem}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ZooError {
    pub(crate) fn folder(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Folder { path: path.to_owned(), source }
    }
}
