//! The secret of an adapter, a data set or a model: one seed, from which every blind of its commitments is derived.

use lorica_algebra::{Scalar, scalar};
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::registered::Matrix;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The secret seed of one adapter, or of data sets and models of one owner. It is zeroized on drop and shows nothing of itself in debug output.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct AdapterSecret {
    seed: [u8; 32],
}

/// A secret file that cannot be read. The message never holds a part of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not the format of a secret file.
    #[error("the secret file is not valid: expected {expected}; use the file that `lorica commit` wrote")]
    Format {
        /// What should be there.
        expected: &'static str,
    },
}

/// What a committed row of a data set or a model is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOf<'a> {
    /// The samples of a data set.
    Samples,
    /// The high limbs of a matrix.
    HighLimbs(&'a ModuleName),
    /// The low limbs of a matrix.
    LowLimbs(&'a ModuleName),
}

const FORMAT: &str = "lorica-secret/1";

impl AdapterSecret {
    /// The secret with a seed of 32 bytes from the operating system's randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self { seed }
    }

    /// The seed, for mixing into masks.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    /// The blind of one row commitment.
    ///
    /// BLAKE3, keyed with the seed, over the manifest's nonce, the module's name, the matrix and the rank index.
    /// The nonce is fresh for every commitment of an adapter, so blinds never repeat; two commitments that shared a
    /// blind would show the difference of their weights.
    pub fn blind(&self, nonce: &Digest, module: &ModuleName, matrix: Matrix, index: usize) -> Scalar {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(b"lorica row blind 1");
        hasher.update(nonce.as_bytes());
        hasher.update(&(module.as_str().len() as u64).to_le_bytes());
        hasher.update(module.as_str().as_bytes());
        hasher.update(&[match matrix {
            Matrix::A => 0,
            Matrix::B => 1,
        }]);
        hasher.update(&(index as u64).to_le_bytes());
        finish(hasher)
    }

    /// The blind of one row commitment of a data set or a model: the same, over the manifest's nonce, what the row is a part of,
    /// and its number there.
    pub fn row_blind(&self, nonce: &Digest, row_of: RowOf<'_>, index: usize) -> Scalar {
        let (kind, name) = match row_of {
            RowOf::Samples => (0, ""),
            RowOf::HighLimbs(name) => (1, name.as_str()),
            RowOf::LowLimbs(name) => (2, name.as_str()),
        };
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        hasher.update(b"lorica row blind 2");
        hasher.update(nonce.as_bytes());
        hasher.update(&[kind]);
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&(index as u64).to_le_bytes());
        finish(hasher)
    }

    /// The text of a secret file: a format line and 64 hexadecimal digits.
    pub fn to_text(&self) -> zeroize::Zeroizing<String> {
        let mut text = zeroize::Zeroizing::new(String::with_capacity(FORMAT.len() + 66));
        text.push_str(FORMAT);
        text.push('\n');
        for byte in self.seed {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        text.push('\n');
        text
    }

    /// Reads the text of a secret file.
    pub fn from_text(text: &str) -> Result<Self, SecretError> {
        let expected = "the line `lorica-secret/1` and a line of 64 hexadecimal digits";
        let error = || SecretError::Format { expected };
        let digits = text
            .strip_prefix(FORMAT)
            .and_then(|rest| rest.strip_prefix('\n'))
            .and_then(|rest| rest.strip_suffix('\n'))
            .ok_or_else(error)?;
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(error());
        }
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(error()),
        };
        let mut secret = Self { seed: [0; 32] };
        for (byte, [high, low]) in secret.seed.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(secret)
    }
}

/// A uniform scalar from all that was hashed.
fn finish(mut hasher: blake3::Hasher) -> Scalar {
    let mut bytes = [0; 64];
    hasher.finalize_xof().fill(&mut bytes);
    let blind = scalar::from_uniform_bytes(&bytes);
    bytes.zeroize();
    hasher.zeroize();
    blind
}

impl std::fmt::Debug for AdapterSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdapterSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn text_form_round_trips_and_refuses_everything_else() {
        let secret = AdapterSecret::from_seed(std::array::from_fn(|i| (i * 37) as u8));
        let text = secret.to_text();
        assert_eq!(AdapterSecret::from_text(&text).unwrap().seed, secret.seed);
        let upper = text.to_uppercase();
        for wrong in ["", "lorica-secret/1\n", &text[..text.len() - 1], &upper, &format!("{}\n", *text)] {
            assert!(AdapterSecret::from_text(wrong).is_err());
        }
        assert_eq!(format!("{secret:?}"), "AdapterSecret(..)");
    }

    #[test]
    fn blinds_never_repeat() {
        let secret = AdapterSecret::from_seed([1; 32]);
        let other = AdapterSecret::from_seed([2; 32]);
        let names: Vec<ModuleName> = ["a", "b", "a.b"].map(|name| name.parse().unwrap()).into();
        let mut seen = HashSet::new();
        for secret in [&secret, &other] {
            for nonce in [Digest([0; 32]), Digest([1; 32])] {
                for name in &names {
                    for matrix in [Matrix::A, Matrix::B] {
                        for index in 0..4 {
                            assert!(seen.insert(secret.blind(&nonce, name, matrix, index)));
                        }
                    }
                }
                let limbs = names.iter().flat_map(|name| [RowOf::HighLimbs(name), RowOf::LowLimbs(name)]);
                for row_of in limbs.chain([RowOf::Samples]) {
                    for index in 0..4 {
                        assert!(seen.insert(secret.row_blind(&nonce, row_of, index)), "{row_of:?} {index}");
                    }
                }
            }
        }
    }
}
