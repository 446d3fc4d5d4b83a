//! A token by its content, never by its number: what two vocabularies have in common is strings.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The bytes that a token adds to a text. They need not be UTF-8: byte-level vocabularies cut characters.
///
/// Serialised as a string where the bytes are UTF-8, otherwise as `{"hex": "..."}`; each token has one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Vec<u8>);

impl Token {
    /// A token of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether its content is known for certain. Endpoints replace bytes that are no character by U+FFFD, so two
    /// different tokens can look alike: all of them are one symbol in a [`crate::Distribution`].
    pub fn is_legible(&self) -> bool {
        std::str::from_utf8(&self.0).is_ok_and(|text| !text.contains('\u{fffd}'))
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Wire {
    Text(String),
    Bytes { hex: String },
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Wire::Bytes { hex: hex::encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer)? {
            Wire::Text(text) => Ok(Self(text.into_bytes())),
            Wire::Bytes { hex: digits } => {
                let bytes = hex::decode(&digits).map_err(D::Error::custom)?;
                if std::str::from_utf8(&bytes).is_ok() {
                    return Err(D::Error::custom("a token that is UTF-8 must be written as a string"));
                }
                if hex::encode(&bytes) != digits {
                    return Err(D::Error::custom("hexadecimal digits of a token must be lower case"));
                }
                Ok(Self(bytes))
            }
        }
    }
}
