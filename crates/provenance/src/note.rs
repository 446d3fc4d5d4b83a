//! Signed notes of c2sp.org/signed-note: a text, an empty line, and lines of signatures.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::key::{KeyName, LogSigner, VerifierKey};

/// The largest note that is read, in bytes: room for sixteen of the largest signatures there are.
pub const MAX_NOTE_BYTES: u64 = 128 << 10;
/// The most signatures of a note.
pub const MAX_SIGNATURES: usize = 100;
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A note, its signatures not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One line of signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: KeyName,
    /// The id of the key.
    pub id: u32,
    /// The signature itself, whose form depends on the key's type.
    pub signature: Vec<u8>,
}

/// Why bytes are no note, or a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not the form of a note.
    #[error("not a signed note: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody known has signed it.
    #[error("not signed by {}+{id:08x}; there are signatures by: {}", name, list(found))]
    Unsigned {
        /// The key that was expected.
        name: KeyName,
        /// Its id.
        id: u32,
        /// The keys that are named in the note.
        found: Vec<String>,
    },
    /// The expected key is named, but did not make the signature.
    #[error("the signature by {name}+{id:08x} is not over this text")]
    Signature {
        /// The key.
        name: KeyName,
        /// Its id.
        id: u32,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

impl Note {
    /// Signs a text, which must end with a newline and hold no other control characters.
    ///
    /// # Errors
    /// A text that is none of a note.
    pub fn sign(text: String, signer: &LogSigner) -> Result<Self, NoteError> {
        check_text(&text)?;
        let verifier = signer.verifier();
        let signature = signer.sign(text.as_bytes()).to_vec();
        let signatures = vec![NoteSignature { name: verifier.name().clone(), id: verifier.id(), signature }];
        Ok(Self { text, signatures })
    }

    /// Reads a note. Nothing it says is to be believed before [`Note::verified`].
    ///
    /// # Errors
    /// Bytes that are not a note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let malformed = |reason| NoteError::Malformed { reason };
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_NOTE_BYTES) {
            return Err(malformed("too long"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed("not UTF-8"))?;
        // The text is separated from the signatures by the last empty line, and keeps its own last newline.
        let end = note.rfind("\n\n").ok_or(malformed("no empty line before the signatures"))?;
        let (text, lines) = note.split_at_checked(end + 1).ok_or(malformed("no text"))?;
        check_text(text)?;
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(malformed("no newline at the end"))?;
        let signatures: Vec<_> = lines
            .split('\n')
            .take(MAX_SIGNATURES + 1)
            .map(|line| NoteSignature::parse(line).ok_or(malformed("a line that is no signature")))
            .collect::<Result<_, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(malformed("more than 100 signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text, once it is known that this key signed it. Signatures by other keys are ignored; one of this key that does
    /// not hold condemns the note, even beside one that does.
    ///
    /// # Errors
    /// No signature by the key, or one that does not hold.
    pub fn verified(&self, key: &VerifierKey) -> Result<&str, NoteError> {
        let (name, id) = (key.name(), key.id());
        let mut own = self.signatures.iter().filter(|found| found.name == *name && found.id == id).peekable();
        if own.peek().is_none() {
            let found =
                self.signatures.iter().map(|found| format!("{}+{:08x}", found.name, found.id)).collect();
            return Err(NoteError::Unsigned { name: name.clone(), id, found });
        }
        if own.all(|found| key.verifies(self.text.as_bytes(), &found.signature)) {
            Ok(&self.text)
        } else {
            Err(NoteError::Signature { name: name.clone(), id })
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.text)?;
        self.signatures.iter().try_for_each(|NoteSignature { name, id, signature }| {
            let bytes = [&id.to_be_bytes(), signature.as_slice()].concat();
            writeln!(formatter, "{SIGNATURE_PREFIX}{name} {}", STANDARD.encode(bytes))
        })
    }
}

impl NoteSignature {
    fn parse(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self { name: name.parse().ok()?, id: u32::from_be_bytes(*id), signature: signature.to_vec() })
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed { reason: "the text does not end with a newline" });
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed { reason: "control characters" });
    }
    Ok(())
}
