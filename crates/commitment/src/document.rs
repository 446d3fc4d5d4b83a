//! The commitments of some tensors of a file, as JSON in one form: made, read, and checked against tensors.

use std::{collections::BTreeSet, fmt};

use lorica_argument::generators::Generators;
use lorica_tensor::{
    Digest,
    checkpoint::{Checkpoint, Dtype, LoadError},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    pedersen::{self, PedersenError, Rows},
    poseidon::{self, Root},
    secret::CommitmentSecret,
    sha256,
    tensor::Tensor,
};

/// The version of the form.
pub const DOCUMENT_FORMAT: &str = "lorica-tensor-commitment/1";
/// The largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 30;

/// One kind of commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A SHA-256 Merkle root.
    Sha256,
    /// A Poseidon Merkle root over BN254.
    Poseidon,
    /// Pedersen commitments to rows of integers.
    Pedersen,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Poseidon => "poseidon",
            Self::Pedersen => "pedersen",
        })
    }
}

/// The commitments of some tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    format: String,
    /// Whether the roots are salted. Pedersen rows always are blinded.
    pub hiding: bool,
    /// Ascending by name.
    pub tensors: Vec<TensorCommitment>,
}

/// The commitments of one tensor. At least one is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorCommitment {
    /// Its name in the file.
    pub name: String,
    /// The type of an entry.
    pub dtype: Dtype,
    /// The dimensions, outermost first.
    pub shape: Vec<u64>,
    /// The length in bytes.
    pub bytes: u64,
    /// The SHA-256 root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<Digest>,
    /// The Poseidon root, decimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub poseidon: Option<String>,
    /// The Pedersen rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pedersen: Option<PedersenCommitment>,
}

/// The Pedersen rows of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PedersenCommitment {
    /// SHA-256 over everything public.
    pub root: Digest,
    /// Integers stand for `integer * 2^-exponent`.
    pub exponent: i32,
    /// The points' canonical encodings.
    pub rows: Vec<Digest>,
}

/// Why bytes are no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON of the known form.
    #[error("not commitments of form {DOCUMENT_FORMAT}: {reason}")]
    Form {
        /// What the parser found.
        reason: String,
    },
    /// The same, spelled in another way.
    #[error("not in the one accepted form: it was changed after it was written")]
    Spelling,
    /// Names that are not ascending, or one tensor twice.
    #[error("tensor {name} stands twice, or out of order")]
    Order {
        /// The second one.
        name: String,
    },
    /// A tensor without a commitment, or a root that is none.
    #[error("tensor {name}: {reason}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why there is no commitment.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The weight file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The Pedersen rows.
    #[error("tensor {tensor}: {source}")]
    Pedersen {
        /// Which.
        tensor: String,
        /// Why not.
        source: PedersenError,
    },
    /// The Poseidon root. No input leads here.
    #[error("tensor {tensor}: Poseidon: {reason}")]
    Poseidon {
        /// Which.
        tensor: String,
        /// What the hash said.
        reason: String,
    },
    /// A hiding commitment without a seed.
    #[error("salts and blinds come from an opening, and there is none: name the file with --opening")]
    NoSecret,
    /// No tensor, or no kind of commitment: a commitment to nothing would hold for everything.
    #[error("no tensor, or no kind of commitment")]
    Nothing,
}

/// How to commit.
#[derive(Debug, Clone, Copy)]
pub struct CommitOptions<'a> {
    /// Which commitments; at least one.
    pub kinds: &'a BTreeSet<Kind>,
    /// Whether the roots are salted.
    pub hiding: bool,
    /// The seed of salts and blinds; needed for hiding roots and for Pedersen rows.
    pub secret: Option<&'a CommitmentSecret>,
    /// Told how many bytes of how many are done.
    pub progress: Option<&'a dyn Progress>,
}

/// Somebody who wants to know how far the work is.
pub trait Progress: fmt::Debug {
    /// So many bytes are done.
    fn done(&self, bytes: u64);
}

impl CommitOptions<'_> {
    /// Whether these commitments need a secret.
    pub fn needs_secret(&self) -> bool {
        self.hiding || self.kinds.contains(&Kind::Pedersen)
    }
}

/// Commits to some tensors of a file, each read once; memory for one tensor.
///
/// # Errors
/// A tensor that is not there or cannot be read, a type without Pedersen rows, no secret where one is needed.
pub fn commit(
    file: &Checkpoint,
    names: &BTreeSet<String>,
    options: &CommitOptions<'_>,
) -> Result<Document, CommitError> {
    if names.is_empty() || options.kinds.is_empty() {
        return Err(CommitError::Nothing);
    }
    let generators = Bases::default();
    let mut tensors = Vec::with_capacity(names.len());
    for name in names {
        let tensor = Tensor::read(file, name)?;
        tensors.push(TensorCommitment::of(&tensor, options, &generators)?);
        options.progress.iter().for_each(|progress| progress.done(tensor.length()));
    }
    Ok(Document { format: DOCUMENT_FORMAT.to_owned(), hiding: options.hiding, tensors })
}

/// Bases that are derived when they are needed for the first time.
#[derive(Default)]
struct Bases(std::sync::OnceLock<Generators>);

impl Bases {
    fn get(&self) -> &Generators {
        self.0.get_or_init(pedersen::generators)
    }
}

impl TensorCommitment {
    fn of(tensor: &Tensor, options: &CommitOptions<'_>, bases: &Bases) -> Result<Self, CommitError> {
        let name = &tensor.name;
        let secret = || options.secret.ok_or(CommitError::NoSecret);
        let salted = if options.hiding { Some(secret()?) } else { None };
        let mut commitment = Self {
            name: name.clone(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            bytes: tensor.length(),
            sha256: None,
            poseidon: None,
            pedersen: None,
        };
        for kind in options.kinds {
            match kind {
                Kind::Sha256 => {
                    let salt = salted.map(|secret| secret.sha256_salt(name));
                    commitment.sha256 = Some(Digest(sha256::root(tensor, salt.as_ref())));
                }
                Kind::Poseidon => {
                    let salt = salted.map(|secret| secret.poseidon_salt(name));
                    let root = poseidon::root(tensor, salt.as_ref()).map_err(|error| {
                        CommitError::Poseidon { tensor: name.clone(), reason: error.to_string() }
                    })?;
                    commitment.poseidon = Some(root.to_string());
                }
                Kind::Pedersen => {
                    let rows = pedersen::commit(tensor, &secret()?.blind_key(name), bases.get())
                        .map_err(|source| CommitError::Pedersen { tensor: name.clone(), source })?;
                    commitment.pedersen = Some(rows.into());
                }
            }
        }
        Ok(commitment)
    }

    /// Which commitments there are.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        let Self { sha256, poseidon, pedersen, .. } = self;
        let kinds = [
            sha256.as_ref().map(|_| Kind::Sha256),
            poseidon.as_ref().map(|_| Kind::Poseidon),
            pedersen.as_ref().map(|_| Kind::Pedersen),
        ];
        kinds.into_iter().flatten().collect()
    }
}

impl From<Rows> for PedersenCommitment {
    fn from(rows: Rows) -> Self {
        let points = rows.points.into_iter().map(Digest).collect();
        Self { root: Digest(rows.root), exponent: rows.exponent, rows: points }
    }
}

impl Document {
    /// The one form: indented by two spaces, with a newline at the end.
    ///
    /// # Errors
    /// None that a document leads to.
    pub fn to_json(&self) -> Result<String, DocumentError> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| DocumentError::Form { reason: error.to_string() })?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a document, which must be in its one form.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let form = |reason: String| DocumentError::Form { reason };
        let document: Self = serde_json::from_slice(bytes).map_err(|error| form(error.to_string()))?;
        if document.format != DOCUMENT_FORMAT {
            return Err(form(format!("the format is {:?}", document.format)));
        }
        if document.tensors.is_empty() {
            return Err(form("no tensors".to_owned()));
        }
        for pair in document.tensors.windows(2) {
            if let [before, after] = pair
                && before.name >= after.name
            {
                return Err(DocumentError::Order { name: after.name.clone() });
            }
        }
        for tensor in &document.tensors {
            let wrong = |reason| DocumentError::Tensor { name: tensor.name.clone(), reason };
            if tensor.kinds().is_empty() {
                return Err(wrong("no commitment"));
            }
            if tensor.poseidon.as_ref().is_some_and(|root| Root::parse(root).is_none()) {
                return Err(wrong("the Poseidon root is no element of the field, in decimal"));
            }
        }
        if document.to_json()?.as_bytes() != bytes {
            return Err(DocumentError::Spelling);
        }
        Ok(document)
    }

    /// All kinds of commitments in it.
    pub fn kinds(&self) -> BTreeSet<Kind> {
        self.tensors.iter().flat_map(TensorCommitment::kinds).collect()
    }
}

/// Whether one commitment of one tensor holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The tensor.
    pub tensor: String,
    /// The commitment.
    pub kind: Kind,
    /// What does not hold; nothing where it does.
    pub difference: Option<String>,
}

/// Checks the commitments of a document, of the kinds in `options.kinds`, against the tensors of a file: all are made again,
/// from the bytes, and compared. Every tensor must have one of each kind. `options.hiding` is taken from the document.
///
/// # Errors
/// Files that cannot be read, no secret where one is needed, nothing to check. A tensor or a commitment that is missing or
/// different is an outcome.
pub fn verify(
    document: &Document,
    file: &Checkpoint,
    options: &CommitOptions<'_>,
) -> Result<Vec<Outcome>, CommitError> {
    let bases = Bases::default();
    let mut outcomes = Vec::new();
    for committed in &document.tensors {
        let there = committed.kinds();
        let kinds: BTreeSet<Kind> = there.intersection(options.kinds).copied().collect();
        let mut add = |kind, difference| {
            outcomes.push(Outcome { tensor: committed.name.clone(), kind, difference });
        };
        for kind in options.kinds.difference(&there) {
            add(*kind, Some("there is no such commitment".to_owned()));
        }
        let tensor = match Tensor::read(file, &committed.name) {
            Ok(tensor) => tensor,
            Err(LoadError::MissingTensor { .. }) => {
                kinds.into_iter().for_each(|kind| add(kind, Some("the file has no such tensor".to_owned())));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(difference) = described(committed, &tensor) {
            kinds.into_iter().for_each(|kind| add(kind, Some(difference.clone())));
        } else {
            let options = CommitOptions { kinds: &kinds, hiding: document.hiding, ..*options };
            let found = match TensorCommitment::of(&tensor, &options, &bases) {
                Ok(found) => found,
                // Committed to finite values; these are not.
                Err(CommitError::Pedersen { source, .. }) => {
                    add(Kind::Pedersen, Some(source.to_string()));
                    let rest = kinds.iter().filter(|kind| **kind != Kind::Pedersen).copied().collect();
                    TensorCommitment::of(&tensor, &CommitOptions { kinds: &rest, ..options }, &bases)?
                }
                Err(error) => return Err(error),
            };
            found.kinds().into_iter().for_each(|kind| add(kind, differs(kind, committed, &found)));
        }
        options.progress.iter().for_each(|progress| progress.done(tensor.length()));
    }
    if outcomes.is_empty() {
        return Err(CommitError::Nothing);
    }
    outcomes.sort_by(|left, right| (&left.tensor, left.kind).cmp(&(&right.tensor, right.kind)));
    Ok(outcomes)
}

/// In what a tensor's description differs from the committed one.
fn described(committed: &TensorCommitment, tensor: &Tensor) -> Option<String> {
    let TensorCommitment { dtype, shape, bytes, .. } = committed;
    if tensor.dtype != *dtype {
        Some(format!("committed to type {dtype}, found {}", tensor.dtype))
    } else if tensor.shape != *shape {
        Some(format!("committed to shape {shape:?}, found {:?}", tensor.shape))
    } else if tensor.length() != *bytes {
        Some(format!("committed to {bytes} bytes, found {}", tensor.length()))
    } else {
        None
    }
}

/// In what one commitment differs from the one that was made again.
fn differs(kind: Kind, committed: &TensorCommitment, found: &TensorCommitment) -> Option<String> {
    let roots = |committed: String, found: String| {
        (committed != found).then(|| format!("committed to root {committed}, the tensor has {found}"))
    };
    match kind {
        Kind::Sha256 => roots(text(committed.sha256), text(found.sha256)),
        Kind::Poseidon => {
            roots(committed.poseidon.clone().unwrap_or_default(), found.poseidon.clone().unwrap_or_default())
        }
        Kind::Pedersen => {
            let (Some(committed), Some(found)) = (&committed.pedersen, &found.pedersen) else { return None };
            if committed.exponent != found.exponent {
                let (committed, found) = (committed.exponent, found.exponent);
                return Some(format!("committed to exponent {committed}, the tensor has {found}"));
            }
            if committed.rows.len() != found.rows.len() {
                let (committed, found) = (committed.rows.len(), found.rows.len());
                return Some(format!("{committed} rows, the tensor has {found}"));
            }
            // Rows are many, and independent of one another.
            let pairs = committed.rows.par_iter().zip(&found.rows);
            match pairs.position_first(|(committed, found)| committed != found) {
                Some(row) => Some(format!(
                    "row {row} (entries {} to {}) does not open: another tensor, or not the opening it was committed with",
                    row * pedersen::ROW_ENTRIES,
                    (row + 1) * pedersen::ROW_ENTRIES - 1
                )),
                None => roots(committed.root.to_string(), found.root.to_string()),
            }
        }
    }
}

fn text(digest: Option<Digest>) -> String {
    digest.map(|digest| digest.to_string()).unwrap_or_default()
}
