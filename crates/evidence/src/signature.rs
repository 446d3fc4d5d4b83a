//! Who vouches for a bundle: an Ed25519 key kept in a file, its fingerprint, and the signed list of files.

use std::{
    fmt, fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    str::FromStr,
};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    canonical::{self, CanonicalError},
    digest::{Digest, DigestError},
    error::{WriteError, io_error},
    files::create_secret,
};

/// The format of `bundle.json`.
pub const BUNDLE_FORMAT: &str = "lorica-bundle/1";
const SIGNATURE_TAG: &[u8] = b"lorica/evidence/signature/1\0";
const FINGERPRINT_TAG: &[u8] = b"lorica/evidence/signer/1\0";
const KEY_FILE_MAGIC: &str = "lorica-signing-key/1";

/// A short name of a public key: SHA-256 over a tag and the key. A person who pins it knows who signed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    pub(crate) fn of(key: &VerifyingKey) -> Self {
        Self(Digest::of(&[FINGERPRINT_TAG, key.as_bytes()]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse().map(Self)
    }
}

/// The key that signs bundles. Wiped from memory when dropped; never written into a bundle.
#[derive(Clone)]
pub struct BundleSigner {
    key: SigningKey,
}

impl fmt::Debug for BundleSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BundleSigner({})", self.fingerprint())
    }
}

impl BundleSigner {
    /// A key from its 32 secret bytes, which must be random.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// Whom others will see as the signer.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key.verifying_key())
    }

    /// Signs a list of files.
    pub fn sign(&self, files: Vec<SignedFile>, report: &str) -> Result<SignedList, CanonicalError> {
        let list = FileList {
            format: BUNDLE_FORMAT.to_owned(),
            files,
            report: report.to_owned(),
            public_key: hex::encode(self.key.verifying_key().as_bytes()),
        };
        let signature = self.key.sign(&list.message()?);
        Ok(SignedList { list, signature: hex::encode(signature.to_bytes()) })
    }
}

/// The file that holds the signing key: UTF-8 text of two lines, a name of the format and 64 lower-case hexadecimal
/// digits, mode 0600.
#[derive(Debug)]
pub struct SigningKeyFile;

impl SigningKeyFile {
    /// Reads the key, or makes a new one where there is no file.
    ///
    /// # Errors
    /// A file that others may read, or that is not a signing key; the file system; no source of randomness.
    pub fn load_or_create(path: &Path) -> Result<BundleSigner, WriteError> {
        match fs::File::open(path) {
            Ok(file) => Self::load(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(io_error("read", path)(error)),
        }
    }

    fn create(path: &Path) -> Result<BundleSigner, WriteError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|error| WriteError::SigningKey {
            path: path.to_owned(),
            reason: format!("no random bytes for a new key: {error}"),
        })?;
        let digits = Zeroizing::new(hex::encode(*seed));
        create_secret(path, |file| {
            file.write_all(KEY_FILE_MAGIC.as_bytes())?;
            file.write_all(b"\n")?;
            file.write_all(digits.as_bytes())?;
            file.write_all(b"\n")
        })?;
        Ok(BundleSigner::from_seed(&seed))
    }

    fn load(path: &Path, file: fs::File) -> Result<BundleSigner, WriteError> {
        let refuse = |reason: String| WriteError::SigningKey { path: path.to_owned(), reason };
        let metadata = file.metadata().map_err(io_error("read", path))?;
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_file() {
            return Err(refuse("not a regular file".to_owned()));
        }
        if mode & 0o077 != 0 {
            return Err(refuse(format!("others can read this signing key (mode {mode:o}): chmod 600 it")));
        }
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(200).read_to_string(&mut text).map_err(io_error("read", path))?;
        let digits = text
            .strip_prefix(KEY_FILE_MAGIC)
            .and_then(|rest| rest.strip_prefix('\n'))
            .and_then(|rest| rest.strip_suffix('\n'));
        let mut seed = Zeroizing::new([0; 32]);
        digits
            .filter(|digits| !digits.bytes().any(|byte| byte.is_ascii_uppercase()))
            .and_then(|digits| hex::decode_to_slice(digits, &mut *seed).ok())
            .ok_or_else(|| {
                refuse(format!(
                    "not a signing key: expected the line {KEY_FILE_MAGIC:?} and 64 hexadecimal digits"
                ))
            })?;
        Ok(BundleSigner::from_seed(&seed))
    }
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedFile {
    /// Its path inside the bundle, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileList {
    /// [`BUNDLE_FORMAT`].
    pub format: String,
    /// All files but `bundle.json`, ascending by path.
    pub files: Vec<SignedFile>,
    /// Which version of the report was rendered.
    pub report: String,
    /// The signer's Ed25519 public key, 64 lower-case hexadecimal digits.
    pub public_key: String,
}

impl FileList {
    fn message(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut message = SIGNATURE_TAG.to_vec();
        message.extend_from_slice(&canonical::encode(self)?);
        Ok(message)
    }
}

/// The content of `bundle.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedList {
    /// What is signed.
    pub list: FileList,
    /// The Ed25519 signature over a tag and the canonical bytes of the list, 128 lower-case hexadecimal digits.
    pub signature: String,
}

impl SignedList {
    /// Checks the signature, and tells who signed. The strict check of RFC 8032 is made: no key of small order, no
    /// second form of a signature.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<Fingerprint, String> {
        let key: [u8; 32] =
            exact_hex(&self.list.public_key).ok_or("the public key is not 64 hexadecimal digits")?;
        let signature: [u8; 64] =
            exact_hex(&self.signature).ok_or("the signature is not 128 hexadecimal digits")?;
        let key = VerifyingKey::from_bytes(&key).map_err(|error| format!("not a public key: {error}"))?;
        let message = self.list.message().map_err(|error| error.to_string())?;
        key.verify_strict(&message, &Signature::from_bytes(&signature)).map_err(|error| error.to_string())?;
        Ok(Fingerprint::of(&key))
    }
}

fn exact_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}
