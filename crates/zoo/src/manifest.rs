//! `zoo.json`: the members, the digests of their files, and what is known of every ordered pair.
//!
//! Beside it each member has a folder as Hugging Face lays it out, with one file more, `zoo-member.json`, its
//! [`Record`]. The manifest repeats all records, so that it alone says whether a folder is what the recipe made.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use lorica_tensor::{Digest, files::read_at_most};
use serde::{Deserialize, Serialize};

use crate::{
    draft::{read_json, write_json},
    error::ZooError,
    member::{Member, MemberName},
    relation::Known,
    shape::Shape,
    train::Learned,
};

/// The manifest's file.
pub const MANIFEST: &str = "zoo.json";
/// The record's file in a member's folder.
pub const RECORD: &str = "zoo-member.json";
/// The format this release reads and writes.
pub const FORMAT: &str = "lorica-zoo/1";
const LARGEST_FILE: u64 = 1 << 32;

/// A finished zoo.
#[derive(Debug, Clone, PartialEq)]
pub struct Zoo {
    folder: PathBuf,
    manifest: Manifest,
}

/// What `zoo.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The seed of the recipe.
    pub seed: u64,
    /// Seconds that making all members took, those kept from an earlier run included.
    pub seconds: f64,
    /// The members, each after the one it was made from.
    pub members: Vec<Entry>,
    /// Every ordered pair of two members.
    pub pairs: Vec<Pair>,
}

/// A member as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Name and origin.
    pub member: Member,
    /// What its folder holds; absent for a member that is served only.
    pub record: Option<Record>,
}

/// What a member's folder holds, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// SHA-256 of what the member was made from: its origin, the seed, and the files that went into it.
    pub made_from: Digest,
    /// SHA-256 of each file.
    pub files: BTreeMap<String, Digest>,
    /// The model's sizes.
    pub shape: Shape,
    /// Number of weights.
    pub parameters: u64,
    /// Held-out loss before and after training, where there was any.
    pub learned: Option<Learned>,
    /// Seconds it took.
    pub seconds: f64,
}

/// An ordered pair, and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The one that is compared with.
    pub reference: MemberName,
    /// The one that is in doubt.
    pub candidate: MemberName,
    /// What is known.
    pub known: Known,
}

impl Zoo {
    pub(crate) fn write(folder: &Path, manifest: Manifest) -> Result<Self, ZooError> {
        write_json(&folder.join(MANIFEST), &manifest)?;
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// Reads a zoo's manifest. The members' files are not looked at; see [`Zoo::verify`].
    ///
    /// # Errors
    /// A manifest that is missing, malformed or of another format.
    pub fn open(folder: &Path) -> Result<Self, ZooError> {
        let path = folder.join(MANIFEST);
        let manifest: Manifest = read_json(&path)?;
        if manifest.format != FORMAT {
            let problem = format!("expected format {FORMAT:?}, found {:?}", manifest.format);
            return Err(ZooError::Manifest { path, problem });
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// Checks the digest of every file of every member.
    ///
    /// # Errors
    /// The first file that is missing, was added, or has another content.
    pub fn verify(&self) -> Result<(), ZooError> {
        for entry in &self.manifest.members {
            if let Some(record) = &entry.record {
                record.verify(&self.path(&entry.member.name))?;
            }
        }
        Ok(())
    }

    /// The zoo's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `zoo.json` holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A member by name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.manifest.members.iter().find(|entry| entry.member.name.as_str() == name)
    }

    /// The folder of a member that has one.
    pub fn path(&self, name: &MemberName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// What is known of an ordered pair; nothing for a member and itself, and for names that are not there.
    pub fn known(&self, reference: &str, candidate: &str) -> Option<&Known> {
        let named =
            |pair: &&Pair| pair.reference.as_str() == reference && pair.candidate.as_str() == candidate;
        self.manifest.pairs.iter().find(named).map(|pair| &pair.known)
    }
}

impl Record {
    /// Checks that a folder holds these files, and no others but the record.
    ///
    /// # Errors
    /// A file that is missing, was added, or has another content.
    pub fn verify(&self, folder: &Path) -> Result<(), ZooError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(ZooError::folder(folder))? {
            let name = entry.map_err(ZooError::folder(folder))?.file_name().to_string_lossy().into_owned();
            if name != RECORD {
                found.push(name);
            }
        }
        found.sort();
        let expected: Vec<String> = self.files.keys().cloned().collect();
        if found != expected {
            return Err(ZooError::Files { path: folder.to_owned(), expected, found });
        }
        for (name, &expected) in &self.files {
            let path = folder.join(name);
            let found = digest_of(&path)?;
            if found != expected {
                return Err(ZooError::Corrupt { path, expected, found });
            }
        }
        Ok(())
    }
}

/// SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> Result<Digest, ZooError> {
    Ok(Digest::sha256(&read_at_most(path, LARGEST_FILE)?))
}
