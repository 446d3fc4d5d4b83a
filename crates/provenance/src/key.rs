//! Keys of signed notes: Ed25519, as text.
//!
//! ```text
//! verifier key   <name>+<key id>+<base64(0x01 || public key)>
//! signer key     PRIVATE+KEY+<name>+<key id>+<base64(0x01 || seed)>
//! ```
//!
//! The key id is the first four bytes of `SHA-256(name || 0x0A || 0x01 || public key)`, as eight hexadecimal digits. Both
//! forms are those of Go's `sumdb/note`, which c2sp.org/signed-note names its ids after.

use std::{
    fmt, fs, io,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use lorica_tensor::files::{FileError, FileMode, create_atomically, read_at_most};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// The signature type of Ed25519 in signed notes.
const ED25519: u8 = 1;
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";
/// The longest key name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
const MAX_KEY_FILE_BYTES: u64 = 1024;

/// Why a text is no key. The text itself is never part of the message: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name.
    #[error(
        "{name:?} is no key name: expected 1 to {MAX_NAME_BYTES} bytes without spaces, control characters and plus signs"
    )]
    Name {
        /// The beginning of what was read.
        name: String,
    },
    /// Not the three parts of a verifier key.
    #[error("not a verifier key: expected <name>+<8 hexadecimal digits>+<base64>")]
    VerifierForm,
    /// Not the parts of a signer key.
    #[error("not a signer key: expected PRIVATE+KEY+<name>+<8 hexadecimal digits>+<base64>")]
    SignerForm,
    /// Another kind of signature than Ed25519.
    #[error("signature type {found:#04x} is not supported: expected 0x01, Ed25519")]
    Type {
        /// The type.
        found: u8,
    },
    /// The 32 bytes are no point of the curve.
    #[error("the public key is no Ed25519 key")]
    Point,
    /// The id is not that of the name and the key.
    #[error("the key id is stated as {stated:08x}, but name and key give {computed:08x}")]
    Id {
        /// In the text.
        stated: u32,
        /// From name and key.
        computed: u32,
    },
}

/// Why a key file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// The content.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// Others may read it.
    #[error("others can read the signer key {} (mode {mode:o}): chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// The name of a key, which is also the origin of the log that it signs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.chars().all(allowed) {
            return Err(KeyError::Name { name: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The public half: who is expected to sign.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: KeyName, key: VerifyingKey) -> Self {
        let id = key_id(&name, &key);
        Self { name, id, key }
    }

    /// The name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The first bytes of the hash of name and key: tells keys apart, protects nothing.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether this key made the signature over the message: the strict check of RFC 8032, without keys of small order
    /// and without second forms of a signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.key.verify_strict(message, &signature).is_ok()
    }

    /// Reads a key from a file that holds its text and at most one newline.
    ///
    /// # Errors
    /// A file that cannot be read, or is no verifier key.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = read_at_most(path, MAX_KEY_FILE_BYTES)?;
        line(&bytes)
            .ok_or(KeyError::VerifierForm)
            .and_then(str::parse)
            .map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(typed(self.key.as_bytes())))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, stated, bytes) = parts(text).ok_or(KeyError::VerifierForm)?;
        let name = name.parse()?;
        let bytes = untyped(&bytes, KeyError::VerifierForm)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Point)?;
        let computed = key_id(&name, &key);
        if stated != computed {
            return Err(KeyError::Id { stated, computed });
        }
        Ok(Self { name, id: computed, key })
    }
}

/// The secret half: signs the heads of a log. Wiped from memory when dropped.
#[derive(Clone)]
pub struct LogSigner {
    verifier: VerifierKey,
    key: SigningKey,
}

impl LogSigner {
    /// A key from its 32 secret bytes, which must be random.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Self { verifier: VerifierKey::new(name, key.verifying_key()), key }
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The Ed25519 signature over a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// The text form, wiped when dropped.
    pub fn to_text(&self) -> Zeroizing<String> {
        let bytes = Zeroizing::new(typed(self.key.as_bytes()));
        let digits = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
        let VerifierKey { name, id, .. } = &self.verifier;
        // Reserved at once: a text that grows would leave copies of itself behind.
        let mut text = Zeroizing::new(String::with_capacity(PRIVATE_PREFIX.len() + name.as_str().len() + 64));
        for part in [PRIVATE_PREFIX, name.as_str(), "+", &format!("{id:08x}"), "+", &digits] {
            text.push_str(part);
        }
        text
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// A text that is not a signer key, or whose id is not that of its name and key.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let rest = text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::SignerForm)?;
        let (name, stated, bytes) = parts(rest).ok_or(KeyError::SignerForm)?;
        let seed = Zeroizing::new(untyped(&bytes, KeyError::SignerForm)?);
        let signer = Self::from_seed(name.parse()?, &seed);
        let computed = signer.verifier.id;
        if stated == computed { Ok(signer) } else { Err(KeyError::Id { stated, computed }) }
    }

    /// Reads a key file, which nobody else may be able to read.
    ///
    /// # Errors
    /// A file that cannot be read, that others can read, or that is no signer key.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |source| KeyFileError::File(FileError::Read { path: path.to_owned(), source });
        let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
        }
        let bytes = Zeroizing::new(read_at_most(path, MAX_KEY_FILE_BYTES)?);
        line(&bytes)
            .ok_or(KeyError::SignerForm)
            .and_then(Self::from_text)
            .map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
    }

    /// Writes a new key file, mode 0600. Never replaces one.
    ///
    /// # Errors
    /// A file that is there already, or that cannot be written.
    pub fn create(&self, path: &Path) -> Result<(), FileError> {
        let text = self.to_text();
        create_atomically(path, FileMode::Secret, |file| -> io::Result<()> {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")
        })
    }
}

impl fmt::Debug for LogSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LogSigner({})", self.verifier)
    }
}

fn key_id(name: &KeyName, key: &VerifyingKey) -> u32 {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name.as_str())
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d])
}

/// Name, id and decoded bytes; the name may be anything, the id is eight lower-case digits.
fn parts(text: &str) -> Option<(&str, u32, Zeroizing<Vec<u8>>)> {
    let (name, rest) = text.split_once('+')?;
    let (id, bytes) = rest.split_once('+')?;
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if id.len() != 8 || !id.bytes().all(lower) {
        return None;
    }
    Some((name, u32::from_str_radix(id, 16).ok()?, Zeroizing::new(STANDARD.decode(bytes).ok()?)))
}

fn typed(key: &[u8; 32]) -> [u8; 33] {
    let mut bytes = [ED25519; 33];
    if let Some(rest) = bytes.last_chunk_mut::<32>() {
        rest.copy_from_slice(key);
    }
    bytes
}

fn untyped(bytes: &[u8], wrong: KeyError) -> Result<[u8; 32], KeyError> {
    match bytes.split_first() {
        Some((&ED25519, key)) => key.try_into().map_err(|_| wrong),
        Some((&found, _)) => Err(KeyError::Type { found }),
        None => Err(wrong),
    }
}

/// The one line of a file, with or without its newline.
fn line(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(text.strip_suffix('\n').unwrap_or(text))
}
