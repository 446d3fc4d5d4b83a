//! The chain of the transcript: every line holds the hash of the line before it and its own.
//!
//! `{"previous":"<64 digits>","record":<canonical JSON>,"hash":"<64 digits>"}` and a newline, with
//! `hash = SHA-256(tag || previous || record)`: the tag, 32 bytes, and the bytes of the record as they stand in the
//! line. The first line's `previous` is the SHA-256 of the tag alone.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    canonical::{self, CanonicalError},
    digest::Digest,
};

const TAG: &[u8] = b"lorica/evidence/line/1\0";

/// Why a line is no next link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The line's bytes.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// It follows another line.
    #[error("it follows the line with hash {stated}, but the line before it has {expected}")]
    Previous {
        /// What the line says.
        stated: Digest,
        /// The hash of the line before.
        expected: Digest,
    },
    /// Its content was changed.
    #[error("its hash is stated as {stated}, but its content gives {expected}")]
    Hash {
        /// What the line says.
        stated: Digest,
        /// What its content gives.
        expected: Digest,
    },
}

/// The head of a chain: the hash of its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    head: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<R> {
    previous: Digest,
    record: R,
    hash: Digest,
}

impl Chain {
    /// A chain without a line.
    pub(crate) fn new() -> Self {
        Self { head: Digest::of(&[TAG]) }
    }

    /// The next line, with its newline. The chain moves on only with [`Chain::advance`].
    pub(crate) fn line<R: Serialize + DeserializeOwned>(
        &self,
        record: &R,
    ) -> Result<(Vec<u8>, Self), CanonicalError> {
        let record = canonical::encode(record)?;
        let hash = self.hash(&record);
        Ok((self.assemble(&record, &hash), Self { head: hash }))
    }

    /// Reads the next line, given without its newline. Returns what is in it also where only the chain is broken, so
    /// that a message can say more.
    pub(crate) fn read<R: Serialize + DeserializeOwned>(
        &mut self,
        bytes: &[u8],
    ) -> Result<R, (LinkError, Option<R>)> {
        let fail = |error: CanonicalError| (LinkError::Canonical(error), None);
        let line: Line<R> = canonical::decode(bytes).map_err(fail)?;
        let Line { previous, record, hash } = line;
        if previous != self.head {
            let error = LinkError::Previous { stated: previous, expected: self.head };
            return Err((error, Some(record)));
        }
        let expected = self.hash(&canonical::form(&record).map_err(fail)?);
        if hash != expected {
            return Err((LinkError::Hash { stated: hash, expected }, Some(record)));
        }
        self.head = hash;
        Ok(record)
    }

    fn hash(&self, record: &[u8]) -> Digest {
        Digest::of(&[TAG, self.head.bytes(), record])
    }

    fn assemble(&self, record: &[u8], hash: &Digest) -> Vec<u8> {
        let mut line = format!(r#"{{"previous":"{}","record":"#, self.head).into_bytes();
        line.extend_from_slice(record);
        line.extend_from_slice(format!(r#","hash":"{hash}"}}"#).as_bytes());
        line.push(b'\n');
        line
    }
}

/// The record of a line, without its place in a chain.
pub(crate) fn record<R: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<R, CanonicalError> {
    canonical::decode::<Line<R>>(bytes).map(|line| line.record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_each_other_and_nothing_else() {
        let start = Chain::new();
        let (first, second) = start.line(&"one".to_owned()).unwrap();
        let (next, _) = second.line(&"two".to_owned()).unwrap();
        let cut = |line: &[u8]| line[..line.len() - 1].to_vec();
        let mut reader = Chain::new();
        assert_eq!(reader.read::<String>(&cut(&first)).unwrap(), "one");
        assert_eq!(reader.read::<String>(&cut(&next)).unwrap(), "two");

        let mut skipping = Chain::new();
        let error = skipping.read::<String>(&cut(&next)).unwrap_err();
        assert!(matches!(error, (LinkError::Previous { .. }, Some(_))));
        let edited = String::from_utf8(cut(&first)).unwrap().replace("one", "six");
        let error = Chain::new().read::<String>(edited.as_bytes()).unwrap_err();
        assert!(matches!(error, (LinkError::Hash { .. }, Some(_))));
    }

    #[test]
    fn the_first_line_is_frozen() {
        // printf 'lorica/evidence/line/1\0' | sha256sum, and the same with those 32 bytes and "one" behind it.
        let (line, _) = Chain::new().line(&"one".to_owned()).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), FIRST);
    }

    const FIRST: &str = concat!(
        r#"{"previous":"883b9a4ce3181bc471a23b77532d893a25387f98139f99eb1418f3544c8c56c5","#,
        r#""record":"one","#,
        r#""hash":"2211bc63ee7e39d121dd76abb4a7a673a7219ef2eb9446f18c43d86ebc89198b"}"#,
        "\n"
    );
}
