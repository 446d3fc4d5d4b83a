//! Everything that can go wrong with a base model, each with what was found, what was expected and what to do.

use std::path::PathBuf;

use lorica_tensor::{ModuleName, checkpoint::LoadError, files::FileError, name::NameError};

use crate::hook::HookError;

/// Why a base model was not loaded or did not compute.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The model's folder is not there.
    #[error("{}: expected a folder with config.json, safetensors files and tokenizer.json, found no folder", path.display())]
    NoFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A weight file, or a tensor in it, cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There are no weights in a format that is read.
    #[error(
        "{} holds neither model.safetensors nor model.safetensors.index.json{}", folder.display(),
        found.as_ref().map_or_else(String::new, |file| format!(
            ", only {file}: convert it to safetensors, for instance by loading the model with transformers and \
             calling save_pretrained(folder, safe_serialization=True)"
        ))
    )]
    NoWeights {
        /// The model's folder.
        folder: PathBuf,
        /// Weights in another format, if there are any.
        found: Option<String>,
    },
    /// A JSON file cannot be parsed.
    #[error("{} is not valid: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// A field of a JSON file is missing or has a value that makes no sense.
    #[error("{}, field {field}: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What it may hold.
        expected: String,
        /// What it holds, as JSON, or `nothing`.
        found: String,
    },
    /// A field asks for a computation that is not implemented, so the model would compute something else.
    #[error(
        "{}, field {field}: {found} changes the forward pass and is not supported; supported: {supported}. \
         Use a model without it", path.display()
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What it holds, as JSON.
        found: String,
        /// What is implemented.
        supported: String,
    },
    /// The index of a sharded checkpoint and its files disagree.
    #[error("{}: {problem}; fetch the model's files again", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What disagrees.
        problem: String,
    },
    /// A tensor the configuration asks for is not there.
    #[error(
        "{}: no tensor {tensor} (expected with shape {expected:?} after config.json); \
         is it the checkpoint of another model, or of one without its output layer?", folder.display()
    )]
    MissingTensor {
        /// The model's folder.
        folder: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape it must have.
        expected: Vec<usize>,
    },
    /// Tensors that the configuration has no use for: the model would compute something other than its author meant.
    #[error(
        "{}: {count} tensors have no place in a {family} model as config.json describes it, the first is {first}; \
         check that config.json belongs to these weights", folder.display()
    )]
    UnexpectedTensors {
        /// The model's folder.
        folder: PathBuf,
        /// The decoder family.
        family: &'static str,
        /// The first name in alphabetical order.
        first: String,
        /// How many there are.
        count: usize,
    },
    /// A tensor's shape is not what the configuration says.
    #[error("{}, tensor {tensor}: expected shape {expected:?} after config.json, found {found:?}", path.display())]
    TensorShape {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// The output matrix is declared to be the embedding, but another one is stored.
    #[error(
        "{}, tensor {output}: config.json says tie_word_embeddings, but its bytes differ from those of \
         {embedding}; set tie_word_embeddings to false if the model has an output matrix of its own", path.display()
    )]
    NotTied {
        /// The weight file.
        path: PathBuf,
        /// The output matrix's name.
        output: &'static str,
        /// The embedding's name.
        embedding: String,
    },
    /// A module path that cannot be a module name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is nothing to compute on.
    #[error("{what} holds {found} tokens, at least {needed} are needed")]
    TooFewTokens {
        /// What was given: a text, a prompt, a window.
        what: &'static str,
        /// How many tokens it has.
        found: usize,
        /// How many it must have.
        needed: usize,
    },
    /// More tokens than positions.
    #[error(
        "{found} tokens do not fit into the model's context of {allowed}; cut the text into windows of at most \
         {allowed} tokens, or shorten it"
    )]
    ContextExceeded {
        /// Tokens at hand: cached, given and still to be generated.
        found: usize,
        /// The context length.
        allowed: usize,
    },
    /// A token the model has no embedding for.
    #[error(
        "token {token} at position {position} is beyond the model's vocabulary of {vocabulary}; was the text encoded \
         with the tokenizer of another model?"
    )]
    TokenBeyondVocabulary {
        /// Where it stands.
        position: usize,
        /// The token.
        token: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
    /// The sequences of a batch have different lengths.
    #[error(
        "all sequences of a batch need one length: sequence {index} has {found} tokens, the first has {expected}"
    )]
    UnequalSequences {
        /// The sequence that differs.
        index: usize,
        /// Its length.
        found: usize,
        /// The length of the first one.
        expected: usize,
    },
    /// Evaluation settings that cannot work.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        found: usize,
    },
    /// A cache that does not belong to the call.
    #[error("the key-value cache holds {found}, this call needs {expected}; start with a new cache")]
    Cache {
        /// What the call needs.
        expected: String,
        /// What the cache holds.
        found: String,
    },
    /// The hook failed.
    #[error("the hook of {} failed: {source}", names(modules))]
    Hook {
        /// The modules of the group.
        modules: Vec<ModuleName>,
        /// What the hook returned.
        #[source]
        source: HookError,
    },
    /// The hook answered for another number of modules than it was asked about.
    #[error("the hook of {} returned {found} outputs for {} modules", names(modules), modules.len())]
    HookCount {
        /// The modules of the group.
        modules: Vec<ModuleName>,
        /// How many outputs came back.
        found: usize,
    },
    /// The hook's values do not have the module's shape.
    #[error(
        "the hook's output for {module} has {found} values, expected {tokens} rows of {outputs} = {}",
        tokens * outputs
    )]
    HookShape {
        /// The module.
        module: ModuleName,
        /// Rows of the call.
        tokens: usize,
        /// Output width of the module.
        outputs: usize,
        /// How many values came back.
        found: usize,
    },
    /// The hook returned a NaN or an infinity.
    #[error(
        "the hook's output for {module} holds {value} in row {row}, column {column}: values must be finite"
    )]
    HookNotFinite {
        /// The module.
        module: ModuleName,
        /// Token row.
        row: usize,
        /// Output column.
        column: usize,
        /// What is there.
        value: f32,
    },
    /// The model computed a NaN or an infinity.
    #[error(
        "the model's logits at position {position} are not finite: the activations overflow single precision"
    )]
    LogitsNotFinite {
        /// Position in the sequence.
        position: usize,
    },
    /// The tokenizer cannot be read or refuses a text.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What the tokenizer says.
        reason: String,
    },
    /// The tokenizer knows tokens the model does not.
    #[error(
        "{} makes tokens up to {largest}, the model's vocabulary has {vocabulary}; use the model's own tokenizer",
        path.display()
    )]
    TokenizerVocabulary {
        /// The tokenizer's file.
        path: PathBuf,
        /// Its largest token.
        largest: u32,
        /// The model's vocabulary.
        vocabulary: usize,
    },
    /// A row is wanted where the text has no token.
    #[error("request {request} asks for position {position} of a text of {tokens} tokens")]
    NoSuchPosition {
        /// The request's place in the call.
        request: usize,
        /// The position.
        position: usize,
        /// The text's length.
        tokens: usize,
    },
    /// The memory allowed cannot hold what must be held at once.
    #[error(
        "{} of memory are left for the model, {} are needed at least: {} for its largest layer, {} to compute with; \
         allow more, or use shorter texts", mebibytes(*allowed), mebibytes(*needed), mebibytes(*weights),
        mebibytes(needed - weights)
    )]
    Memory {
        /// Bytes that may be used beyond what the process holds.
        allowed: u64,
        /// Bytes that are needed at least.
        needed: u64,
        /// Bytes of those for weights.
        weights: u64,
    },
    /// The thread that reads weights could not be started, or the pass that it read for ended before it did.
    #[error("the reading of weights stopped: {reason}")]
    Reader {
        /// What happened.
        reason: String,
    },
    /// A tensor computation failed.
    #[error("tensor computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

fn names(modules: &[ModuleName]) -> String {
    modules.iter().map(ModuleName::as_str).collect::<Vec<_>>().join(", ")
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
