//! What two model folders say without being run: read here, compared by [`lorica_identity::structure`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use lorica_identity::{
    Bank, BankError, Token,
    structure::{
        Comparability, FileSummary, ModelSummary, SimilarityDistances, Structure, TensorSummary,
        TokenizerSummary, WeightsSummary, compare,
    },
};
use lorica_model::{ModelError, TensorEntry, Tokenizer, tensors_digest};
use lorica_tensor::{
    checkpoint::{Checkpoint, LoadError},
    files::{FileError, read_at_most},
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tlsh2::{Tlsh128_1 as Tlsh, TlshDefaultBuilder};

use crate::{agreement, recording::hex};

/// The largest JSON file that is read whole.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// TLSH looks at every byte in turn and is far slower than a disk, so of each tensor it gets so many bytes at most.
const TLSH_BYTES_OF_A_TENSOR: usize = 1 << 20;
/// Bytes read at a time.
const BLOCK: usize = 1 << 20;

/// Texts on which tokenizers are compared whatever the families: prose, numbers, code, other scripts, spaces.
const CORPUS: [&str; 8] = [
    "The quick brown fox jumps over the lazy dog.",
    "In 1969, 2 people walked on the moon; 3.14159 is about pi.",
    "def add(a, b):\n    return a + b  # sum\n",
    "SELECT name FROM users WHERE id = 42 AND active IS NOT NULL;",
    "Übung macht den Meister, déjà vu, mañana.",
    "\u{6771}\u{4eac}\u{306f}\u{65e5}\u{672c}\u{306e}\u{9996}\u{90fd}\u{3067}\u{3059}\u{3002}",
    "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} \u{1f44b} https://example.org/a?b=c",
    "   leading spaces,\ttabs,\r\nand line ends   ",
];

/// Why a folder was not read.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// The file system.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file that is too large or no regular file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A JSON file that is none.
    #[error("{}: {reason}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser found.
        reason: String,
    },
    /// A weight file that is none.
    #[error(transparent)]
    Weights(#[from] LoadError),
    /// A tokenizer that is none.
    #[error(transparent)]
    Tokenizer(#[from] ModelError),
    /// The prompts on which tokenizers are compared.
    #[error(transparent)]
    Bank(#[from] BankError),
}

/// A folder that was read.
pub struct FolderSummary {
    /// What is compared.
    pub summary: ModelSummary,
    weights: Option<Tlsh>,
    config: Option<Tlsh>,
}

impl FolderSummary {
    /// Reads a model's folder once. `done` is called with the bytes read so far.
    ///
    /// # Errors
    /// A file that cannot be read or is not what its name says.
    pub fn read(path: &Path, bank: &Bank, done: &mut dyn FnMut(u64)) -> Result<Self, StructureError> {
        let mut reader = Reader { read: 0, done };
        let names = names(path)?;
        let mut files = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        let mut similar = TlshDefaultBuilder::new();
        for name in &names {
            let file = path.join(name);
            files.insert(name.clone(), reader.file(&file)?);
            if name.ends_with(".safetensors") {
                reader.tensors(&file, &mut tensors, &mut similar)?;
            }
        }
        let config_path = path.join("config.json");
        let config_bytes = read_at_most(&config_path, MAX_JSON_BYTES)?;
        let config: Value = serde_json::from_slice(&config_bytes)
            .map_err(|error| StructureError::Json { path: config_path, reason: error.to_string() })?;
        let weights = (!tensors.is_empty()).then(|| WeightsSummary { digest: digest(&tensors), tensors });
        let tokenizer = match names.iter().any(|name| name == "tokenizer.json") {
            true => Some(tokenizer(path, bank)?),
            false => None,
        };
        let summary = ModelSummary { files: Some(files), weights, config: Some(config), tokenizer };
        Ok(Self { summary, weights: similar.build(), config: TlshDefaultBuilder::build_from(&config_bytes) })
    }

    /// Compares two folders.
    pub fn compare(&self, candidate: &Self) -> Structure {
        let distance = |ours: &Option<Tlsh>, theirs: &Option<Tlsh>| {
            let distance = ours.as_ref()?.diff(theirs.as_ref()?, true);
            u32::try_from(distance).ok()
        };
        let similarity = SimilarityDistances {
            weights: distance(&self.weights, &candidate.weights),
            config: distance(&self.config, &candidate.config),
        };
        compare(&self.summary, &candidate.summary, similarity)
    }
}

/// Whether log-probabilities can be compared, as far as the folders tell.
pub fn comparable(structure: &Structure) -> bool {
    !matches!(structure.comparability, Comparability::CutDifferently { .. })
}

struct Reader<'a> {
    read: u64,
    done: &'a mut dyn FnMut(u64),
}

impl Reader<'_> {
    fn count(&mut self, bytes: usize) {
        self.read += bytes as u64;
        (self.done)(self.read);
    }

    fn file(&mut self, path: &Path) -> Result<FileSummary, StructureError> {
        let unreadable = |source| StructureError::Read { path: path.to_owned(), source };
        let mut file = fs::File::open(path).map_err(unreadable)?;
        let (mut hash, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
        loop {
            let length = file.read(&mut block).map_err(unreadable)?;
            let Some(read) = block.get(..length).filter(|read| !read.is_empty()) else { break };
            hash.update(read);
            bytes += length as u64;
            self.count(length);
        }
        Ok(FileSummary { bytes, sha256: hex(&hash.finalize()) })
    }

    fn tensors(
        &mut self,
        path: &Path,
        tensors: &mut BTreeMap<String, TensorSummary>,
        similar: &mut TlshDefaultBuilder,
    ) -> Result<(), StructureError> {
        let checkpoint = Checkpoint::open(path)?;
        // By name: the similarity digest must not depend on how a file is laid out.
        let mut descriptions = checkpoint.tensors();
        descriptions.sort_by(|a, b| a.name.cmp(&b.name));
        for description in descriptions {
            let mut hash = blake3::Hasher::new();
            let mut left = TLSH_BYTES_OF_A_TENSOR;
            checkpoint.blocks(&description.name, |block| {
                hash.update(block);
                let part = block.get(..left.min(block.len())).unwrap_or_default();
                similar.update(part);
                left -= part.len();
                self.count(block.len());
            })?;
            let summary = TensorSummary {
                shape: description.shape.iter().map(|&size| size as u64).collect(),
                number_type: description.dtype.to_string(),
                digest: hash.finalize().to_hex().to_string(),
            };
            tensors.insert(description.name, summary);
        }
        Ok(())
    }
}

/// The digest by which everything else names these weights too, whatever their order and their files.
fn digest(tensors: &BTreeMap<String, TensorSummary>) -> String {
    let entries = tensors.iter().map(|(name, tensor)| TensorEntry {
        name,
        number_type: tensor.number_type.clone(),
        shape: tensor.shape.clone(),
        digest: tensor.digest.clone(),
    });
    tensors_digest(entries).to_string()
}

/// The files of a model, sorted: what inference reads, and nothing that lies beside it.
fn names(path: &Path) -> Result<Vec<String>, StructureError> {
    let unreadable = |source| StructureError::Read { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let wanted = [".json", ".safetensors", ".txt", ".model"].iter().any(|end| name.ends_with(end));
        if wanted && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn tokenizer(path: &Path, bank: &Bank) -> Result<TokenizerSummary, StructureError> {
    let file = path.join("tokenizer.json");
    let parsed: Value = serde_json::from_slice(&read_at_most(&file, MAX_JSON_BYTES)?)
        .map_err(|error| StructureError::Json { path: file, reason: error.to_string() })?;
    let tokenizer = Tokenizer::load(path)?;
    let contents = tokenizer.contents()?;
    let token = |bytes: &[u8]| Token::new(bytes);
    let vocabulary: BTreeSet<Token> =
        contents.iter().flatten().filter(|one| !one.special).map(|one| token(&one.bytes)).collect();
    let special = contents.iter().flatten().filter(|one| one.special);
    let cut = |text: &str| -> Result<Vec<Token>, ModelError> {
        let content = |id: u32| contents.get(id as usize)?.as_ref().map(|one| token(&one.bytes));
        Ok(tokenizer.encode_as_served(text)?.into_iter().filter_map(content).collect())
    };
    let prompts = agreement::prompts(bank)?;
    Ok(TokenizerSummary {
        vocabulary,
        special: special.map(|one| String::from_utf8_lossy(&one.bytes).into_owned()).collect(),
        merges: parsed.pointer("/model/merges").map(|merges| hex(&Sha256::digest(merges.to_string()))),
        corpus: CORPUS.iter().map(|text| cut(text)).collect::<Result<_, _>>()?,
        prompts: prompts.iter().map(|prompt| cut(&prompt.prompt)).collect::<Result<_, _>>()?,
    })
}
