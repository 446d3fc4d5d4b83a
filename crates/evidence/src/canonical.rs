//! One form for every JSON text: fields in the order of their declaration, no space, floats as the shortest digits
//! that give them back.
//!
//! What is read is written again and compared: a repeated field, a space, `1e0` for `1.0`, an escape that was not
//! needed or a field of an older version is refused with the byte at which it differs.

use serde::{Serialize, de::DeserializeOwned};

/// Why bytes are not the canonical form of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON of the right shape.
    #[error("not JSON of the expected shape: {message}")]
    Shape {
        /// The parser's message, with line and column.
        message: String,
    },
    /// The value has another form.
    #[error("not in the canonical form, from byte {offset} on")]
    Form {
        /// The first byte that differs.
        offset: usize,
    },
    /// A value that JSON has no form for: NaN or an infinity.
    #[error("a number that is not finite, or another value that has no form in JSON: {message}")]
    NotJson {
        /// What was found.
        message: String,
    },
}

/// The canonical form of a value, checked to give the same value back: NaN and infinities are refused here.
///
/// # Errors
/// A value without a canonical form.
pub fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let bytes = form(value)?;
    // JSON writers turn NaN into null, which reads as an error or as something else.
    decode::<T>(&bytes).map_err(|error| CanonicalError::NotJson { message: error.to_string() })?;
    Ok(bytes)
}

/// The value of a canonical form.
///
/// # Errors
/// Bytes that are not JSON of this shape, or not its canonical form.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: T = serde_json::from_slice(bytes)
        .map_err(|error| CanonicalError::Shape { message: error.to_string() })?;
    let again = form(&value)?;
    if again == bytes {
        return Ok(value);
    }
    let same = again.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    Err(CanonicalError::Form { offset: same })
}

/// The form of a value, not yet checked.
pub(crate) fn form<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    serde_json::to_vec(value).map_err(|error| CanonicalError::NotJson { message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        name: String,
        value: f64,
        more: BTreeMap<String, u32>,
    }

    fn read(text: &str) -> Result<Small, CanonicalError> {
        decode(text.as_bytes())
    }

    #[test]
    fn one_form_is_read_and_no_other() {
        let good = r#"{"name":"a","value":0.1,"more":{"x":1,"y":2}}"#;
        let value = read(good).unwrap();
        assert_eq!(encode(&value).unwrap(), good.as_bytes());
        for (bad, offset) in [
            (r#"{"name":"a","value":0.10,"more":{"x":1,"y":2}}"#, 23),
            (r#"{"name":"a","value":1e-1,"more":{"x":1,"y":2}}"#, 20),
            (r#"{"name":"a","value":0.1,"more":{"y":2,"x":1}}"#, 33),
            (r#"{"name":"a","value":0.1,"more":{"x":1,"x":1,"y":2}}"#, 39),
            (r#"{"name":"a", "value":0.1,"more":{"x":1,"y":2}}"#, 12),
            (r#"{"name":"\u0061","value":0.1,"more":{"x":1,"y":2}}"#, 9),
            (r#"{"value":0.1,"name":"a","more":{"x":1,"y":2}}"#, 2),
        ] {
            assert_eq!(read(bad), Err(CanonicalError::Form { offset }), "{bad}");
        }
        for bad in [
            r#"{"name":"a","value":NaN,"more":{}}"#,
            r#"{"name":"a","value":null,"more":{}}"#,
            r#"{"name":"a","value":1e999,"more":{}}"#,
            r#"{"name":"a","name":"a","value":1.0,"more":{}}"#,
            r#"{"name":"a","value":1.0,"more":{},"extra":1}"#,
            r#"{"name":"a","value":1.0,"more":{}} {}"#,
        ] {
            assert!(matches!(read(bad), Err(CanonicalError::Shape { .. })), "{bad}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_not_written() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Small { name: String::new(), value, more: BTreeMap::new() };
            assert!(matches!(encode(&value), Err(CanonicalError::NotJson { .. })));
        }
    }
}
