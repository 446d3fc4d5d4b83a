//! What each token adds to a text, as bytes: what two vocabularies can be compared by.
//!
//! A vocabulary writes its tokens in an alphabet of its own. Byte-level vocabularies stand each byte for one printable
//! character (GPT-2's table: printable Latin-1 for itself, the other 68 bytes for the characters from U+0100 on);
//! SentencePiece vocabularies write a space as U+2581 and a lone byte as `<0x0A>`. Added tokens are plain text.

use std::collections::HashMap;

use serde_json::Value;

/// How a vocabulary writes its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// One character for each byte.
    Bytes,
    /// U+2581 for a space, `<0x..>` for a byte that is no character.
    Pieces,
    /// As they are.
    Plain,
}

impl Alphabet {
    /// The alphabet after the decoder of a `tokenizer.json`; the name of a decoder that is not known otherwise.
    pub(crate) fn of(decoder: &Value) -> Result<Self, String> {
        let mut found = Self::Plain;
        for kind in kinds(decoder) {
            match kind {
                "ByteLevel" => found = Self::Bytes,
                "Metaspace" | "ByteFallback" | "Replace" => found = Self::Pieces,
                "Fuse" | "Strip" | "Sequence" => (),
                other => return Err(other.to_owned()),
            }
        }
        Ok(found)
    }
}

/// The `type` of a decoder and of those it is a sequence of.
fn kinds(decoder: &Value) -> Vec<&str> {
    let parts = decoder.get("decoders").and_then(Value::as_array);
    let own = decoder.get("type").and_then(Value::as_str);
    own.into_iter().chain(parts.into_iter().flatten().flat_map(kinds)).collect()
}

/// Reads tokens of one vocabulary.
pub(crate) struct Contents {
    alphabet: Alphabet,
    bytes: HashMap<char, u8>,
}

impl Contents {
    pub(crate) fn new(alphabet: Alphabet) -> Self {
        Self { alphabet, bytes: byte_table() }
    }

    /// The bytes that a token of the vocabulary proper adds to a text.
    pub(crate) fn read(&self, token: &str) -> Vec<u8> {
        match self.alphabet {
            Alphabet::Plain => token.as_bytes().to_vec(),
            Alphabet::Pieces => match lone_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('\u{2581}', " ").into_bytes(),
            },
            Alphabet::Bytes => {
                let mut content = Vec::with_capacity(token.len());
                for character in token.chars() {
                    match self.bytes.get(&character) {
                        Some(&byte) => content.push(byte),
                        None => content.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                content
            }
        }
    }
}

/// `<0x0A>` as 10.
fn lone_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// GPT-2's characters for bytes.
fn byte_table() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    (0..=u8::MAX)
        .filter_map(|byte| {
            let character = if printable(byte) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1)?
            };
            Some((character, byte))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_are_read_in_the_alphabet_of_their_vocabulary() {
        let bytes = Contents::new(Alphabet::Bytes);
        assert_eq!(bytes.read("\u{120}the"), b" the");
        assert_eq!(bytes.read("\u{10a}"), b"\n");
        assert_eq!(bytes.read("\u{c3}\u{a9}"), "\u{e9}".as_bytes());
        // The last of the 68: the soft hyphen's byte.
        assert_eq!(bytes.read("\u{143}"), [0xad]);
        let pieces = Contents::new(Alphabet::Pieces);
        assert_eq!(pieces.read("\u{2581}the"), b" the");
        assert_eq!(pieces.read("<0x0A>"), b"\n");
        assert_eq!(pieces.read("<0xZZ>"), b"<0xZZ>");
        assert_eq!(Contents::new(Alphabet::Plain).read("\u{120}a"), "\u{120}a".as_bytes());
    }

    #[test]
    fn the_alphabet_is_that_of_the_decoder() {
        let llama2 = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip"}]});
        assert_eq!(Alphabet::of(&llama2), Ok(Alphabet::Pieces));
        assert_eq!(Alphabet::of(&json!({"type": "ByteLevel"})), Ok(Alphabet::Bytes));
        assert_eq!(Alphabet::of(&Value::Null), Ok(Alphabet::Plain));
        assert_eq!(Alphabet::of(&json!({"type": "WordPiece"})), Err("WordPiece".into()));
    }
}
