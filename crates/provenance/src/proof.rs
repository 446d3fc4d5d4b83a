//! Proofs as files, verified without the log.
//!
//! An inclusion proof is a file of c2sp.org/tlog-proof. A consistency proof is the body of a request to a witness
//! (c2sp.org/tlog-witness, `add-checkpoint`): the old size, hashes, and the new checkpoint. Both carry the signed
//! checkpoint that they lead to, and both are useless without the log's key.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint, decimal},
    hash::Hash,
    key::VerifierKey,
    tree::{self, MAX_PROOF_HASHES},
};

/// The first line of an inclusion proof.
pub const INCLUSION_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The largest proof file that is read, in bytes.
pub const MAX_PROOF_FILE_BYTES: u64 = 256 << 10;

/// Why bytes are no proof file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {kind}: {reason}")]
pub struct ProofFormatError {
    /// Which kind of file was expected.
    pub kind: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofInvalid {
    /// The checkpoint it leads to.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// An index beyond the checkpoint's size.
    #[error("it is about entry {index}, but its checkpoint covers {size}")]
    Index {
        /// The entry.
        index: u64,
        /// Entries under the checkpoint.
        size: u64,
    },
    /// Another number of hashes than the sizes ask for.
    #[error("{found} hashes do not fit a proof about entry {index} of {size}")]
    Length {
        /// The entry.
        index: u64,
        /// Entries under the checkpoint.
        size: u64,
        /// Hashes there are.
        found: usize,
    },
    /// The hashes lead elsewhere: another entry, another place, or another log.
    #[error(
        "entry and hashes lead to root {computed}, but {signed} was signed for {size} entries: this entry is not at place {index}"
    )]
    Root {
        /// The entry's place.
        index: u64,
        /// Entries under the checkpoint.
        size: u64,
        /// From entry and hashes.
        computed: Hash,
        /// Under the signature.
        signed: Hash,
    },
    /// The proof begins at another size than the checkpoint that was kept.
    #[error("it begins at {stated} entries, the checkpoint that was kept has {kept}")]
    Old {
        /// In the proof.
        stated: u64,
        /// In the checkpoint.
        kept: u64,
    },
    /// The new checkpoint is older than the old one.
    #[error(
        "its checkpoint has {new} entries, fewer than the {old} of the one that was kept: the log was rolled back"
    )]
    Rollback {
        /// Kept.
        old: u64,
        /// In the proof.
        new: u64,
    },
    /// The hashes do not lead to both roots.
    #[error(
        "the hashes do not lead from root {old_root} of {old} entries to root {new_root} of {new}: either the proof is no \
         good, or the log has forked"
    )]
    Inconsistent {
        /// Kept.
        old: u64,
        /// Its root.
        old_root: Hash,
        /// In the proof.
        new: u64,
        /// Its root.
        new_root: Hash,
    },
}

/// That an entry stands at a place of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// The place.
    pub index: u64,
    /// From the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The checkpoint it leads to, with its signatures: not yet verified.
    pub checkpoint: Vec<u8>,
}

impl InclusionProof {
    const KIND: &'static str = "an inclusion proof (c2sp.org/tlog-proof@v1)";

    /// Reads a proof file. Extra data, which nothing vouches for, are passed over.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFormatError> {
        let wrong = |reason| ProofFormatError { kind: Self::KIND, reason };
        let (head, checkpoint) = halves(bytes).ok_or(wrong("no empty line before a checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(INCLUSION_HEADER) {
            return Err(wrong("another first line"));
        }
        if let Some(extra) = lines.next_if(|line| line.starts_with("extra "))
            && extra.strip_prefix("extra ").and_then(|extra| STANDARD.decode(extra).ok()).is_none()
        {
            return Err(wrong("extra data that are no base64"));
        }
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(wrong("no line with the index"))?;
        let hashes = hashes(lines).ok_or(wrong("a line that is no hash, or too many of them"))?;
        Ok(Self { index, hashes, checkpoint: checkpoint.to_vec() })
    }

    /// Checks that `entry` stands at the proof's place of the log that `key` signs. Returns the head it is under.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self, entry: &[u8], key: &VerifierKey) -> Result<Checkpoint, ProofInvalid> {
        let signed = SignedCheckpoint::open(&self.checkpoint, key)?;
        let checkpoint = signed.checkpoint();
        let (index, size) = (self.index, checkpoint.size);
        if index >= size {
            return Err(ProofInvalid::Index { index, size });
        }
        let computed = tree::root_of_inclusion(index, size, Hash::leaf(entry), &self.hashes)
            .ok_or(ProofInvalid::Length { index, size, found: self.hashes.len() })?;
        if computed != checkpoint.root {
            return Err(ProofInvalid::Root { index, size, computed, signed: checkpoint.root });
        }
        Ok(checkpoint.clone())
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{INCLUSION_HEADER}\nindex {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(formatter, "{hash}"))?;
        write!(formatter, "\n{}", String::from_utf8_lossy(&self.checkpoint))
    }
}

/// That a log only grew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Entries of the old tree.
    pub old: u64,
    /// The proof of RFC 6962.
    pub hashes: Vec<Hash>,
    /// The new checkpoint, with its signatures: not yet verified.
    pub checkpoint: Vec<u8>,
}

impl ConsistencyProof {
    const KIND: &'static str = "a consistency proof (as in c2sp.org/tlog-witness)";

    /// Reads a proof file.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFormatError> {
        let wrong = |reason| ProofFormatError { kind: Self::KIND, reason };
        let (head, checkpoint) = halves(bytes).ok_or(wrong("no empty line before a checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or(wrong("the first line is not the old size"))?;
        let hashes = hashes(lines).ok_or(wrong("a line that is no hash, or too many of them"))?;
        Ok(Self { old, hashes, checkpoint: checkpoint.to_vec() })
    }

    /// Checks that the log of the proof's checkpoint, signed by `key`, begins with everything that `kept` covers. Returns
    /// the new head.
    ///
    /// # Errors
    /// What does not hold.
    pub fn verify(&self, kept: &Checkpoint, key: &VerifierKey) -> Result<Checkpoint, ProofInvalid> {
        let signed = SignedCheckpoint::open(&self.checkpoint, key)?;
        let checkpoint = signed.checkpoint();
        if checkpoint.size < kept.size {
            return Err(ProofInvalid::Rollback { old: kept.size, new: checkpoint.size });
        }
        if self.old != kept.size {
            return Err(ProofInvalid::Old { stated: self.old, kept: kept.size });
        }
        if !checkpoint.follows(kept, &self.hashes) {
            return Err(ProofInvalid::Inconsistent {
                old: kept.size,
                old_root: kept.root,
                new: checkpoint.size,
                new_root: checkpoint.root,
            });
        }
        Ok(checkpoint.clone())
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "old {}", self.old)?;
        self.hashes.iter().try_for_each(|hash| writeln!(formatter, "{hash}"))?;
        write!(formatter, "\n{}", String::from_utf8_lossy(&self.checkpoint))
    }
}

/// The lines of the proof, and the checkpoint behind the first empty line.
fn halves(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, checkpoint) = text.split_once("\n\n")?;
    Some((head, checkpoint.as_bytes()))
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<Hash>> {
    let hashes: Vec<Hash> = lines.take(MAX_PROOF_HASHES + 1).map(Hash::from_base64).collect::<Option<_>>()?;
    (hashes.len() <= MAX_PROOF_HASHES).then_some(hashes)
}
