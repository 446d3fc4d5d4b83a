//! Files with one accepted form: JSON with the fields of a struct in their order, two spaces of indentation, numbers in the
//! shortest form that reads back exactly, and one newline at the end. So no two files say the same under two digests.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manifest::ManifestError;

/// The canonical text.
pub fn write<T: Serialize>(document: &T) -> Result<String, ManifestError> {
    let mut text = serde_json::to_string_pretty(document)
        .map_err(|error| ManifestError::Json { message: error.to_string() })?;
    text.push('\n');
    Ok(text)
}

/// Reads a document; `check` looks at every field, then its form has to be the canonical one.
pub fn read<T: Serialize + DeserializeOwned>(
    bytes: &[u8],
    check: impl FnOnce(&T) -> Result<(), ManifestError>,
) -> Result<T, ManifestError> {
    let document: T =
        serde_json::from_slice(bytes).map_err(|error| ManifestError::Json { message: error.to_string() })?;
    check(&document)?;
    let canonical = write(&document)?;
    if canonical.as_bytes() != bytes {
        let offset = canonical.bytes().zip(bytes).take_while(|(ours, theirs)| ours == *theirs).count();
        return Err(ManifestError::NotCanonical { offset });
    }
    Ok(document)
}
